"""Affiliations on ORCID records: permissions, and what was written.

Both belong to a link, so they follow it to a renamed account, and end with it. A change of what has to be written makes
the person's newest delivery to the transfer wait again, which brings the record to the state that is stored then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sql import rows
from sql.records import (
    Affiliation,
    AffiliationItem,
    AffiliationItemState,
    AffiliationPermission,
    AffiliationSection,
    ChangeKind,
    Consent,
    Link,
    LinkSummary,
)
from sql.repositories.base import NO_LIMIT, OrganisationTransaction, Repository

_MILLISECONDS = 1000


class AffiliationRepository(Repository):
    """Permissions to write to ORCID records, and the items that were written."""

    def permission(self, link_id: str) -> AffiliationPermission | None:
        """Return the permission of a link."""
        row = self.engine.fetch_one("get_affiliation_permission", link_id=link_id)
        return None if row is None else rows.affiliation_permission_from_row(row)

    def list_permissions(
        self, organisation_id: str, person_key: str, limit: int = NO_LIMIT
    ) -> list[AffiliationPermission]:
        """Return the permissions of all links of a person, newest first."""
        person = {"organisation": organisation_id, "person_key": person_key}
        found = self.engine.fetch_all("list_affiliation_permissions_of_person", **person, limit=limit)
        return [rows.affiliation_permission_from_row(row) for row in found]

    def list_items(self, organisation_id: str, person_key: str, limit: int = NO_LIMIT) -> list[AffiliationItem]:
        """Return the items of all links of a person, the last changed first."""
        person = {"organisation": organisation_id, "person_key": person_key}
        found = self.engine.fetch_all("list_affiliation_items_of_person", **person, limit=limit)
        return [rows.affiliation_item_from_row(row) for row in found]

    def permit(self, link: Link, consent: Consent, said: Affiliation, transfer: str, now: datetime) -> bool:
        """Store a person's permission, and queue a delivery.

        What the person has deleted at ORCID is written again.

        Args:
            link: The person's link.
            consent: What the person agreed to.
            said: What the organisation says of the person.
            transfer: The name of the organisation's transfer of kind `orcid`.
            now: The time.

        Returns:
            False, having written nothing, when the link has ended.
        """
        with self.organisation_transaction(link.organisation, now) as transaction:
            session = transaction.session
            if session.fetch_one("lock_current_link", link_id=link.id, organisation=link.organisation) is None:
                return False
            session.execute("insert_consent_text", **rows.consent_text_values(consent))
            session.execute(
                "set_affiliation_permission",
                link_id=link.id,
                consent_digest=rows.consent_digest(consent),
                now=rows.format_timestamp(now),
                **rows.affiliation_values(said),
            )
            session.execute("delete_deleted_affiliation_items", link_id=link.id)
            queue_delivery(transaction, link, transfer)
            facts = {"orcid": link.orcid_id.uri, "account": link.account, "link": link.id}
            facts |= {"consent": f"{consent.version} {consent.language}"}
            transaction.insert_event("affiliation-permitted", "person", link.person_key, facts)
        return True

    def withdraw(self, link: Link, transfer: str, now: datetime) -> bool:
        """Delete a permission, and queue a delivery that ends what was written.

        Returns:
            False, having written nothing, when there is no permission.
        """
        with self.organisation_transaction(link.organisation, now) as transaction:
            return withdraw_permission(transaction, link, transfer, "person")

    def withdraw_all(self, organisation_id: str, transfer: str, now: datetime) -> int:
        """Delete all permissions of an organisation.

        The deliveries that end what was written are queued. Each link has a transaction of its own.

        Returns:
            The number of deliveries.
        """
        links = self._links(organisation_id)
        for link, is_current in links:
            with self.organisation_transaction(organisation_id, now) as transaction:
                if not withdraw_permission(transaction, link, transfer, "operator", is_current=is_current):
                    queue_delivery(transaction, link, transfer, is_current=is_current)
        return len(links)

    def queue_all(self, organisation_id: str, transfer: str, now: datetime) -> int:
        """Queue a delivery for each link with something to write or to end.

        Returns:
            Their number.
        """
        links = self._links(organisation_id)
        for link, is_current in links:
            with self.organisation_transaction(organisation_id, now) as transaction:
                queue_delivery(transaction, link, transfer, is_current=is_current)
        return len(links)

    def count_links(self, organisation_id: str) -> int:
        """Return for how many links `queue_all` queues a delivery."""
        return len(self._links(organisation_id))

    def _links(self, organisation_id: str) -> list[tuple[LinkSummary, bool]]:
        # And whether each is current
        found = self.engine.fetch_all("list_affiliation_links", organisation=organisation_id)
        return [(rows.link_summary_from_row(row), row["ended_at"] is None) for row in found]

    def count_open_items(self) -> dict[str, int]:
        """Count the items that are not ended, by the organisation's id."""
        return {row["organisation"]: row["count"] for row in self.engine.fetch_all("count_affiliation_items")}

    def count_items_to_end(self, organisation_id: str, transfer: str, client_id: str) -> int:
        """Count an organisation's items that nothing ends, though they have to be.

        Args:
            organisation_id: The organisation's id.
            transfer: The name of its transfer of kind `orcid`.
            client_id: Its ORCID client; what another one wrote has to be ended too.
        """
        values = {"organisation": organisation_id, "transfer": transfer, "client_id": client_id}
        (row,) = self.engine.fetch_all("count_affiliation_items_to_end", **values)
        return int(row["count"])

    def record_said(self, link: Link, said: Affiliation, transfer: str, now: datetime) -> bool:
        """Store what the organisation says of a person, and queue a delivery.

        Returns:
            False, having written nothing, when there is no permission, or it said the same before.
        """
        values = {"link_id": link.id, **rows.affiliation_values(said)}
        with self.organisation_transaction(link.organisation, now) as transaction:
            if transaction.session.execute("update_said_affiliation", **values, now=rows.format_timestamp(now)) != 1:
                return False
            queue_delivery(transaction, link, transfer)
        return True

    def queue(self, link: Link, transfer: str, now: datetime) -> None:
        """Queue a delivery, as after a new access token."""
        with self.organisation_transaction(link.organisation, now) as transaction:
            transaction.session.execute("clear_affiliation_refused", link_id=link.id)
            queue_delivery(transaction, link, transfer)

    def set_refused(self, link: Link, now: datetime) -> None:
        """Store since when there is no access token with which to write."""
        self.engine.execute("set_affiliation_refused", link_id=link.id, now=rows.format_timestamp(now))

    def add_item(self, link_id: str, section: AffiliationSection, client_id: str, now: datetime) -> None:
        """Insert an item that ORCID is going to be asked to add.

        It replaces one of another client that has ended.
        """
        values = {"link_id": link_id, "section": section.value, "client_id": client_id}
        self.engine.execute("insert_affiliation_item", **values, now=rows.format_timestamp(now))

    def set_item(  # noqa: PLR0913, PLR0917 - whose item, and what became of it
        self,
        organisation_id: str,
        person_key: str,
        item: AffiliationItem,
        state: AffiliationItemState,
        now: datetime,
        put_code: str | None = None,
    ) -> None:
        """Store what became of an item, with an audit event.

        Args:
            organisation_id: The organisation's id.
            person_key: The person's key.
            item: The item as it was before.
            state: Its state now.
            now: The time.
            put_code: ORCID's number of the item; None where it stays the same.
        """
        code = put_code or item.put_code
        with self.organisation_transaction(organisation_id, now) as transaction:
            _set_item(transaction, item, state, now, code)
            _insert_event(transaction, f"affiliation-{state.value}", person_key, item, {"put_code": code or ""})

    def open_item(self, organisation_id: str, item: AffiliationItem, now: datetime) -> None:
        """Store that a record may say again that an affiliation lasts."""
        state = AffiliationItemState.PENDING if item.put_code is None else AffiliationItemState.WRITTEN
        with self.organisation_transaction(organisation_id, now) as transaction:
            _set_item(transaction, item, state, now, item.put_code)

    def delete_item(self, organisation_id: str, person_key: str, item: AffiliationItem, now: datetime) -> None:
        """Delete an item that is not on the record any more; log it."""
        values = {"link_id": item.link_id, "section": item.section.value}
        with self.organisation_transaction(organisation_id, now) as transaction:
            transaction.session.execute("delete_affiliation_item", **values)
            _insert_event(transaction, "affiliation-removed", person_key, item, {"put_code": item.put_code or ""})

    def reserve_request(self, client_id: str, now: datetime, interval: timedelta, longest: timedelta) -> float | None:
        """Reserve the next request of an ORCID client; return the wait in seconds.

        All processes share the slots of a client.

        Args:
            client_id: The ORCID client.
            now: The time.
            interval: Between two requests.
            longest: The longest wait.

        Returns:
            None, having reserved nothing, if the wait would be longer.
        """
        milliseconds = int(now.timestamp() * _MILLISECONDS)
        steps = {"interval": interval, "longest": longest}
        values = {name: int(each.total_seconds() * _MILLISECONDS) for name, each in steps.items()}
        row = self.engine.fetch_one("reserve_request_slot", client_id=client_id, now=milliseconds, **values)
        return None if row is None else float(row["next_at"] - values["interval"] - milliseconds) / _MILLISECONDS


def _set_item(
    transaction: OrganisationTransaction,
    item: AffiliationItem,
    state: AffiliationItemState,
    now: datetime,
    put_code: str | None,
) -> None:
    transaction.session.execute(
        "set_affiliation_item",
        link_id=item.link_id,
        section=item.section.value,
        state=state.value,
        put_code=put_code,
        now=rows.format_timestamp(now),
    )


def _insert_event(
    transaction: OrganisationTransaction, kind: str, person_key: str, item: AffiliationItem, facts: Mapping[str, str]
) -> None:
    known = {"orcid": item.orcid_id.uri, "link": item.link_id, "section": item.section.value, **facts}
    transaction.insert_event(kind, "service", person_key, {name: value for name, value in known.items() if value})


def withdraw_permission(
    transaction: OrganisationTransaction,
    link: Link | LinkSummary,
    transfer: str,
    actor: str,
    *,
    is_current: bool = True,
) -> bool:
    """Delete a permission, and queue a delivery that ends what was written.

    Returns:
        False, having written nothing, when there is no permission.
    """
    if transaction.session.execute("delete_affiliation_permission", link_id=link.id) != 1:
        return False
    queue_delivery(transaction, link, transfer, is_current=is_current)
    facts = {"orcid": link.orcid_id.uri, "account": link.account, "link": link.id}
    transaction.insert_event("affiliation-withdrawn", actor, link.person_key, facts)
    return True


def queue_delivery(
    transaction: OrganisationTransaction, link: Link | LinkSummary, transfer: str, *, is_current: bool = True
) -> None:
    """Make the person's newest delivery wait again; insert one if there is none."""
    session, organisation = transaction.session, transaction.organisation
    person = {"organisation": organisation, "person_key": link.person_key}
    (row,) = session.fetch_all("get_newest_delivery_of_person", **person, transfer=transfer)
    values = {"organisation": organisation, "transfer": transfer, "now": rows.format_timestamp(transaction.now)}
    if row["delivered_number"] is not None:
        session.execute("requeue_delivery", **values, change_number=row["delivered_number"])
        return
    # As in a backfill: the transfer is newer than the person's newest change, or that change is not kept any more
    if row["number"] is None:
        if is_current:
            transaction.insert_change(ChangeKind.LINKED, link, link.orcid_id, None, (transfer,))
        else:
            transaction.insert_change(ChangeKind.REMOVED, link, None, link.orcid_id, (transfer,))
        transaction.write_numbers()
        return
    session.execute("insert_circuit_breaker", organisation=organisation, transfer=transfer)
    kind = {"change_number": row["number"], "kind": row["kind"]}
    session.execute("insert_delivery", **values, **kind, person_key=link.person_key)
