"""The table of all data that is stored about a person.

My data, its file and the privacy notice are made from it. A test compares it with the schema of the database: every
stored column is explained to the person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from webapp.i18n.language import gettext_noop


class DataSource(StrEnum):
    """The source of a value."""

    ORGANISATION = "organisation"
    ORCID = "orcid"
    PERSON = "person"
    SERVICE = "service"
    INTERFACE = "interface"


FROM_ORGANISATION, FROM_ORCID, FROM_PERSON, FROM_SERVICE, FROM_INTERFACE = DataSource

SOURCES: Mapping[DataSource, str] = MappingProxyType(
    {
        DataSource.ORGANISATION: gettext_noop("From your organisation's sign-in"),
        DataSource.ORCID: gettext_noop("From ORCID"),
        DataSource.PERSON: gettext_noop("From you"),
        DataSource.SERVICE: gettext_noop("From this service"),
        DataSource.INTERFACE: gettext_noop("From your organisation's system"),
    }
)
"""The sources, as pages name them."""

KEEP_CHANGES = 730
"""For how many days changes are kept by default."""
Gettext = Callable[..., str]
"""Translates a message and fills in its values."""
Labels = Mapping[str, str]
"""Sentences for codes of the program."""


@dataclass(frozen=True, slots=True)
class Field:
    """A stored value."""

    name: str
    """The field's name in the JSON file."""
    label: str
    """The field's name on pages."""
    source: DataSource
    columns: tuple[str, ...]
    """Where it is stored, as `table.column`; empty if it is only shown."""
    path: str
    """The attribute of the record, with dots between nested ones."""
    values: Labels | None = None

    def value_in(self, record: Any) -> Any:
        """Return its value in a record; None if it is empty."""
        found = record
        for name in self.path.split("."):
            found = None if found is None else getattr(found, name)
        return None if found == "" else found


@dataclass(frozen=True, slots=True)
class Section:
    """Stored records of one kind."""

    name: str
    """The section's name in the JSON file."""
    title: str
    purpose: str
    retention: str
    """How long they are kept where links are kept."""
    fields: tuple[Field, ...]
    retention_if_not_kept: str = ""
    """How long they are kept with `keep = "nothing"`; empty means the same as `retention`."""
    erased_when_inactive: bool = False
    """Whether they are erased some days after the person's last link ended, if the organisation's settings say so."""

    @property
    def on_page(self) -> tuple[Field, ...]:
        """The fields on the page."""
        return tuple(each for each in self.fields if each.name not in FILE_ONLY_FIELDS)

    @property
    def in_file(self) -> tuple[Field, ...]:
        """The fields that are only in the file."""
        return tuple(each for each in self.fields if each.name in FILE_ONLY_FIELDS)

    @property
    def sources(self) -> Mapping[DataSource, tuple[Field, ...]]:
        """The fields by their source."""
        known = dict.fromkeys(each.source for each in self.fields)
        return {source: tuple(each for each in self.fields if each.source is source) for source in known}

    def kept(self, gettext: Gettext, *, forgetful: bool, days: int | None, changes: int = KEEP_CHANGES) -> str:
        """Return the sentence that says how long the records are kept.

        Args:
            days: Days after which the data of a person without a link is deleted; None without such a limit.
            changes: Days for which changes are kept.
        """
        if forgetful and self.retention_if_not_kept:
            return gettext(self.retention_if_not_kept)
        kept = gettext(self.retention, **({"changes": changes} if "%(changes)s" in self.retention else {}))
        return f"{kept} {gettext(INACTIVE_RETENTION_TEXT, days=days)}" if days and self.erased_when_inactive else kept


INACTIVE_RETENTION_TEXT = gettext_noop(
    "When nothing is connected any more, it is deleted automatically %(days)s days after the last event."
)

FILE_ONLY_FIELDS = frozenset({"id", "person_key", "digest", "hash"})
"""Fields that are in the JSON file and not on the page."""
LANGUAGES = frozenset({"consent_language", "language"})
"""Fields that hold the code of a language; the page shows the language's name."""


def _fields(table: str, *given: tuple[Any, ...]) -> tuple[Field, ...]:
    """Return the fields of a table.

    Each row has name, label, source, columns (of this table if no other is named), path and values.
    """
    return tuple(
        Field(name, label, source, tuple(_column(table, each) for each in columns.split()), *path)
        for name, label, source, columns, *path in given
    )


def _column(table: str, name: str) -> str:
    return name if "." in name else f"{table}.{name}"


ACTORS: Labels = MappingProxyType(
    {
        "person": gettext_noop("you"),
        "operator": gettext_noop("the operator of this service"),
        "organisation": gettext_noop("your organisation"),
        "attester": gettext_noop("your organisation"),
        "service": gettext_noop("this service"),
    }
)
KINDS: Labels = MappingProxyType(
    {
        "linked": gettext_noop("connected"),
        "replaced": gettext_noop("replaced by another iD"),
        "removed": gettext_noop("removed"),
        "moved": gettext_noop("moved to this account"),
    }
)
REASONS: Labels = MappingProxyType(
    {
        "deprecated": gettext_noop("ORCID has merged the iD into another one"),
        "suspended": gettext_noop("ORCID has deactivated or locked the iD"),
        "resumed": gettext_noop("the iD is in use at ORCID again"),
        "merged": gettext_noop("your organisation became part of another one"),
        "moved": gettext_noop("your account has a new name"),
        "attested": gettext_noop("reported by another system of your organisation"),
    }
)
"""Why a change was made that the person did not make."""
STATES: Labels = MappingProxyType(
    {"waiting": gettext_noop("waiting"), "done": gettext_noop("done"), "dead-letter": gettext_noop("failed")}
)
OUTCOMES: Labels = MappingProxyType(
    {
        **KINDS,
        "unchanged": gettext_noop("it was connected already"),
        "declined": gettext_noop("you did not give permission at ORCID"),
        "cancelled": gettext_noop("you chose not to connect the iD"),
        "held-by-someone-else": gettext_noop("the iD is connected to another account"),
        "orcid-refused": gettext_noop("ORCID did not accept the answer"),
        "orcid-unavailable": gettext_noop("ORCID did not answer"),
        "orcid-misconfigured": gettext_noop("this service could not connect to ORCID"),
        "orcid-client-changed": gettext_noop("the settings had changed in the meantime"),
        "empty-callback": gettext_noop("ORCID sent no answer"),
    }
)
"""How an attempt ended."""
ANSWERS: Labels = MappingProxyType(
    {
        "stored": gettext_noop("delivered"),
        "already-there": gettext_noop("already up to date"),
        "superseded": gettext_noop("replaced by a later change"),
        "unknown-person": gettext_noop("the account is not known there"),
        "conflict": gettext_noop("a different record exists there"),
        "refused": gettext_noop("it was rejected"),
        "temporary": gettext_noop("no response yet"),
        "misconfigured": gettext_noop("it could not be received"),
    }
)
"""What an interface answered."""
EVENTS: Labels = MappingProxyType(
    {
        **OUTCOMES,
        "delivered": gettext_noop("a system of your organisation received a change"),
        "dead-letter": gettext_noop(
            "a change could not be delivered to a system of your organisation, and we stopped trying"
        ),
        "permission-withdrawn": gettext_noop("ORCID no longer accepted the permission you gave there"),
        "deprovisioned": gettext_noop("your organisation said that you have left"),
        "suspended": gettext_noop("ORCID has deactivated or locked the iD, and it is not shared"),
        "resumed": gettext_noop("the iD is in use at ORCID again, and it is shared"),
        "removal-cancelled": gettext_noop("your connection was due to be removed, but stays"),
        "attested-again": gettext_noop("your connection was due to be removed, but stays"),
        "authenticated": gettext_noop("you connected the iD yourself, after your organisation had connected it"),
        "attested-updated": gettext_noop("your organisation updated how and when the iD was verified"),
        "attestation-refused": gettext_noop("your organisation reported a different iD for you; nothing was changed"),
        "release-seen": gettext_noop("we noticed that your organisation shares the iD"),
        "moved-away": gettext_noop("moved to another account of yours"),
        "given-away": gettext_noop("moved to another account"),
        "reassigned": gettext_noop("the account was given to someone else"),
        "erasure-requested": gettext_noop("everything stored about you will be erased"),
        "affiliation-permitted": gettext_noop("you agreed that your organisation writes to your ORCID record"),
        "affiliation-withdrawn": gettext_noop("your organisation stopped writing to your ORCID record"),
        "affiliation-written": gettext_noop("your organisation wrote an entry to your ORCID record"),
        "affiliation-closed": gettext_noop("an end date was added to the entry on your ORCID record"),
        "affiliation-removed": gettext_noop("the entry is not on your ORCID record any more"),
        "affiliation-left": gettext_noop(
            "your organisation already has an entry on your ORCID record, so none was added"
        ),
        "affiliation-deleted": gettext_noop("you had deleted the entry at ORCID, so it is not written again"),
        "person-looked-up": gettext_noop("a system of your organisation asked which account has the iD"),
        "orcid-token-read": gettext_noop("a system of your organisation fetched the permission that you gave at ORCID"),
        "permitted": gettext_noop("at ORCID you permitted more than reading your iD"),
        "permissions-removed": gettext_noop("you withdrew the permission that you gave at ORCID"),
        "person-searched": gettext_noop("an operator of this service viewed your connection"),
    }
)
"""What happened, by the kind of the audit event."""
FACTS: Labels = MappingProxyType(
    {
        "orcid": gettext_noop("ORCID iD"),
        "previous": gettext_noop("Previous ORCID iD"),
        "account": gettext_noop("Account"),
        "previous_account": gettext_noop("Previous account"),
        "link": gettext_noop("Connection number"),
        "source": gettext_noop("How the iD was verified"),
        "previous_source": gettext_noop("How it was previously verified"),
        "authenticated_at": gettext_noop("When it was verified"),
        "consent": gettext_noop("Version and language of what you agreed to"),
        "reason": gettext_noop("Reason"),
        "record": gettext_noop("Status of the iD at ORCID"),
        "transfer": gettext_noop("System"),
        "change": gettext_noop("Change number"),
        "outcome": gettext_noop("Result"),
        "message": gettext_noop("What the system answered"),
        "attempt": gettext_noop("Visit number"),
        "scope": gettext_noop("What it allows, in ORCID's words"),
        "account_issued_at": gettext_noop("When your account was issued"),
        "stable_id": gettext_noop("Your permanent identifier"),
        "credential": gettext_noop("Credential of your organisation's system"),
        "by": gettext_noop("Who asked"),
        "by_organisation": gettext_noop("Where they signed in"),
        "from": gettext_noop("Previous organisation"),
        "into": gettext_noop("New organisation"),
        "section": gettext_noop("Section of your ORCID record"),
        "put_code": gettext_noop("Entry number at ORCID"),
        "client": gettext_noop("Whose ORCID client was used"),
    }
)
"""The meaning of a fact of an audit event, by its name."""
RECORD_STATES: Labels = MappingProxyType(
    {
        "ok": gettext_noop("in use"),
        "deprecated": gettext_noop("merged into another iD"),
        "deactivated": gettext_noop("deactivated"),
        "locked": gettext_noop("locked by ORCID"),
        "not-found": gettext_noop("not found"),
    }
)
"""The state of an iD's record at ORCID."""
AFFILIATION_SECTIONS: Labels = MappingProxyType(
    {
        "employment": gettext_noop("Employment"),
        "education": gettext_noop("Education"),
    }
)
"""The sections of an ORCID record to which organisations write."""
ITEM_STATES: Labels = MappingProxyType(
    {
        "pending": gettext_noop("being written"),
        "written": gettext_noop("written"),
        "closed": gettext_noop("it has an end date"),
        "deleted": gettext_noop("deleted by you at ORCID"),
    }
)
"""The state of an entry on an ORCID record."""
FACT_VALUES: Labels = MappingProxyType(
    {
        **ANSWERS,
        **AFFILIATION_SECTIONS,
        **REASONS,
        **RECORD_STATES,
        "removed by the person": gettext_noop("you removed it"),
        "erased by the person": gettext_noop("you had everything erased"),
        "moved by the organisation": gettext_noop("your organisation moved it"),
        "given by the holder": gettext_noop("the account that had the iD handed it over"),
        "moved by the person": gettext_noop("you moved it"),
        "account reassigned": gettext_noop("the account was given to someone else"),
        "kept for long enough": gettext_noop("its retention period ended"),
        "signed in": gettext_noop("you signed in"),
        "left the organisation": gettext_noop("you left the organisation"),
        "no longer attested by the organisation": gettext_noop("it is no longer in your organisation's system"),
    }
)
"""Texts for facts of audit events whose values are codes of the program."""
MAIL_KINDS: Labels = MappingProxyType(
    {
        "receipt": gettext_noop("what you agreed to"),
        "delivery-report": gettext_noop("whether your organisation's systems received it"),
    }
)
RELEASES: Labels = MappingProxyType(
    {
        "missing": gettext_noop("no iD came with your sign-in"),
        "other": gettext_noop("another iD came with your sign-in"),
        "seen": gettext_noop("it came with your sign-in"),
    }
)
AUTHENTICATED: Labels = MappingProxyType({"orcid": gettext_noop("at ORCID, where you signed in")})

NEVER_SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "attempts.state_hash": gettext_noop("the fingerprint of a secret that went to ORCID and back"),
        "attempts.browser_hash": gettext_noop("the fingerprint of a secret in your browser's cookie"),
        "deliveries.lease_expires_at": gettext_noop("which of our servers is processing a delivery, and until when"),
        "orcid_tokens.sealed": gettext_noop("the permission at ORCID itself, encrypted"),
        "orcid_tokens.lease_expires_at": gettext_noop(
            "which of our servers is revoking a permission at ORCID, and until when"
        ),
        "orcid_tokens.leased_by": gettext_noop(
            "which of our servers is revoking a permission at ORCID, and until when"
        ),
        "deliveries.leased_by": gettext_noop("which of our servers is processing a delivery, and until when"),
        "links.next_check_at": gettext_noop("when the status of the iD is next checked at ORCID"),
        "links.consent_digest": gettext_noop("the number of the text you agreed to"),
        "consent_texts.digest": gettext_noop("the number of the text you agreed to"),
        "affiliation_permissions.consent_digest": gettext_noop("the number of the text you agreed to"),
        "erasures.id": gettext_noop("the number of your erasure request"),
        "erasures.uses_feed": gettext_noop("whether your organisation fetches removals by itself"),
        **dict.fromkeys(
            (
                f"pending_removals.{column}"
                for column in ("link_id", "actor", "source", "credential", "requested_at", "due_at")
            ),
            gettext_noop(
                "that your connection is due to be removed, because it is missing from a list of your organisation"
            ),
        ),
        "erasures.finished_at": gettext_noop("when an erasure was completed; the entry is anonymous from then on"),
    }
)
"""Columns about a person that are neither on the page nor in the file, and what they hold."""

TABLES_WITHOUT_PERSON: Mapping[str, str] = MappingProxyType(
    {
        "organisations": "numbers of an organisation",
        "request_slots": "when the next request may be sent to ORCID's member API",
        "status_rounds": "how many requests were sent to ORCID's public API",
        "identity_providers": "through which Identity Providers people came, and on which day last",
        "circuit_breakers": "how an organisation's interfaces work",
        "period_counts": "how often something happened on a day, in a month, and at all",
        "counted_events": "how far the audit has been counted",
        "credential_rights": "when the rights of an organisation's credentials were used",
        "incidents": "what went wrong, by the number on the page; not for whom",
        "schema_migrations": "what was done to the database",
    }
)
"""Tables without personal data, and what they hold."""

TABLES = (
    "attempts",
    "links",
    "changes",
    "deliveries",
    "events",
    "read_events",
    "erasures",
    "pending_removals",
    "mails",
)
"""Tables of which each row is about one person."""

_EACH_ORGANISATION = " ".join(f"{table}.organisation" for table in TABLES)
_EACH_KEY = " ".join(f"{table}.person_key" for table in TABLES)

_WITH_LINKS = gettext_noop("As long as the connection exists, and after that until you have everything erased.")
_FOR_THE_FEED = gettext_noop(
    "%(changes)s days, so that your organisation can fetch it; until you have everything erased at the latest."
)
_NOTHING_KEPT = gettext_noop("Until 15 minutes after your organisation's systems have answered.")

PERSON = Section(
    "you",
    gettext_noop("Your account details"),
    gettext_noop("To know whose ORCID iD it is, and to address you by name."),
    gettext_noop(
        "Your organisation and account are stored with each record below, for as long as that record. The rest is "
        "read each time you open a page, and is not stored."
    ),
    _fields(
        "",
        ("organisation", gettext_noop("Your organisation"), FROM_ORGANISATION, _EACH_ORGANISATION, "organisation.id"),
        ("account", gettext_noop("Your account"), FROM_ORGANISATION, "", "account"),
        (
            "person_key",
            gettext_noop("Your account in its normalised form"),
            FROM_ORGANISATION,
            _EACH_KEY,
            "key",
        ),
        ("name", gettext_noop("Your name"), FROM_ORGANISATION, "", "name"),
        ("account_issued", gettext_noop("When your account was issued"), FROM_ORGANISATION, "", "account_issued_at"),
        ("stable_id", gettext_noop("Your permanent identifier"), FROM_ORGANISATION, "", "stable_id"),
        ("prior_accounts", gettext_noop("Your earlier accounts"), FROM_ORGANISATION, "", "prior_accounts"),
        ("released", gettext_noop("ORCID iDs that your organisation shares"), FROM_ORGANISATION, "", "released"),
        ("affiliation", gettext_noop("Your role in your organisation"), FROM_ORGANISATION, "", "affiliation_text"),
    ),
)

LINKS = Section(
    "links",
    gettext_noop("Connected ORCID iDs"),
    gettext_noop("So that your organisation can store your iD and share it with the services you sign in to."),
    gettext_noop(
        "As long as the connection exists. A connection that has ended is kept, to show what you had "
        "agreed to, until you have everything erased."
    ),
    _fields(
        "links",
        ("orcid", gettext_noop("ORCID iD"), FROM_ORCID, "registry orcid", "orcid_id"),
        ("account", gettext_noop("Account"), FROM_ORGANISATION, "account", "account"),
        (
            "account_issued",
            gettext_noop("When your account was issued"),
            FROM_ORGANISATION,
            "account_issued_at",
            "account_issued_at",
        ),
        ("stable_id", gettext_noop("Your permanent identifier"), FROM_ORGANISATION, "stable_id", "stable_id"),
        ("last_seen_on", gettext_noop("Day of your last visit"), FROM_SERVICE, "last_seen_on", "last_seen_on"),
        ("linked_at", gettext_noop("Connected"), FROM_SERVICE, "linked_at", "linked_at"),
        ("source", gettext_noop("How the iD was verified"), FROM_SERVICE, "source", "source", AUTHENTICATED),
        (
            "authenticated_at",
            gettext_noop("When it was verified"),
            FROM_INTERFACE,
            "authenticated_at",
            "authenticated_at",
        ),
        ("consent_text", gettext_noop("What you agreed to"), FROM_PERSON, "consent_texts.text", "agreement.text"),
        ("consent_at", gettext_noop("When you agreed"), FROM_PERSON, "consent_at", "agreement.at"),
        (
            "consent_language",
            gettext_noop("Language of the text"),
            FROM_PERSON,
            "consent_texts.language",
            "agreement.language",
        ),
        (
            "consent_version",
            gettext_noop("Version of the text"),
            FROM_SERVICE,
            "consent_texts.version",
            "agreement.version",
        ),
        (
            "statement",
            gettext_noop("What your organisation stated"),
            FROM_INTERFACE,
            "consent_texts.text",
            "statement.text",
        ),
        (
            "stated_at",
            gettext_noop("When your organisation stated it"),
            FROM_INTERFACE,
            "consent_at",
            "statement.at",
        ),
        (
            "release",
            gettext_noop("Whether your organisation shares it"),
            FROM_ORGANISATION,
            "release_state",
            "release.state",
            RELEASES,
        ),
        ("release_at", gettext_noop("When that was noticed"), FROM_SERVICE, "release_at", "release.at"),
        (
            "record",
            gettext_noop("Status of the iD at ORCID"),
            FROM_ORCID,
            "record_state",
            "record.state",
            RECORD_STATES,
        ),
        ("record_since", gettext_noop("Known since"), FROM_SERVICE, "record_since", "record.since"),
        (
            "record_checked_at",
            gettext_noop("Last looked up at ORCID"),
            FROM_SERVICE,
            "record_checked_at",
            "record.checked_at",
        ),
        ("record_primary", gettext_noop("The iD it was merged into"), FROM_ORCID, "record_primary", "record.primary"),
        ("suspended_at", gettext_noop("Not shared since"), FROM_SERVICE, "suspended_at", "suspended_at"),
        ("ended_at", gettext_noop("Ended"), FROM_SERVICE, "ended_at", "ended_at"),
        ("ended_by", gettext_noop("Ended by"), FROM_SERVICE, "ended_by", "ended_by", ACTORS),
        ("id", gettext_noop("Record number"), FROM_SERVICE, "id", "id"),
    ),
    _NOTHING_KEPT,
    erased_when_inactive=True,
)

AFFILIATION_PERMISSIONS = Section(
    "affiliation_permissions",
    gettext_noop("What your organisation may write to your ORCID record"),
    gettext_noop("To write to your ORCID record that you work or study at your organisation, as you agreed."),
    gettext_noop("Until you stop it. If the connection has ended, until you have everything erased."),
    _fields(
        "affiliation_permissions",
        ("consent_text", gettext_noop("What you agreed to"), FROM_PERSON, "consent_texts.text", "consent.text"),
        ("consent_at", gettext_noop("When you agreed"), FROM_PERSON, "consent_at", "consent.at"),
        (
            "consent_language",
            gettext_noop("Language of the text"),
            FROM_PERSON,
            "consent_texts.language",
            "consent.language",
        ),
        (
            "consent_version",
            gettext_noop("Version of the text"),
            FROM_SERVICE,
            "consent_texts.version",
            "consent.version",
        ),
        ("sections", gettext_noop("What is written"), FROM_ORGANISATION, "sections", "said.section_names"),
        ("department", gettext_noop("Department"), FROM_ORGANISATION, "department", "said.department"),
        ("title", gettext_noop("Title"), FROM_ORGANISATION, "title", "said.title"),
        ("said_at", gettext_noop("Reported by your organisation since"), FROM_SERVICE, "said_at", "said_at"),
        ("refused_at", gettext_noop("No permission at ORCID since"), FROM_ORCID, "refused_at", "refused_at"),
        ("link", gettext_noop("Connection number"), FROM_SERVICE, "link_id", "link_id"),
    ),
    erased_when_inactive=True,
)

AFFILIATIONS = Section(
    "affiliations",
    gettext_noop("What your organisation wrote to your ORCID record"),
    gettext_noop("To keep the entry up to date, to add an end date or delete it, and to avoid duplicates."),
    _WITH_LINKS,
    _fields(
        "affiliation_items",
        (
            "section",
            gettext_noop("Section of your ORCID record"),
            FROM_ORGANISATION,
            "section",
            "section",
            AFFILIATION_SECTIONS,
        ),
        ("orcid", gettext_noop("ORCID iD"), FROM_ORCID, "links.registry links.orcid", "orcid_id"),
        ("state", gettext_noop("Status"), FROM_SERVICE, "state", "state", ITEM_STATES),
        ("changed_at", gettext_noop("Since"), FROM_SERVICE, "changed_at", "changed_at"),
        ("put_code", gettext_noop("Entry number at ORCID"), FROM_ORCID, "put_code", "put_code"),
        ("client_id", gettext_noop("Written by (number at ORCID)"), FROM_SERVICE, "client_id", "client_id"),
        ("link", gettext_noop("Connection number"), FROM_SERVICE, "link_id", "link_id"),
    ),
    erased_when_inactive=True,
)

ATTEMPTS = Section(
    "attempts",
    gettext_noop("Visits to ORCID that you started"),
    gettext_noop("To bring you back from ORCID safely, to the browser in which you started."),
    gettext_noop("About two days. The iD and the name from ORCID are deleted as soon as the visit has ended."),
    _fields(
        "attempts",
        ("started_at", gettext_noop("Begun"), FROM_SERVICE, "started_at", "started_at"),
        ("account", gettext_noop("Account"), FROM_ORGANISATION, "account", "account"),
        (
            "account_issued",
            gettext_noop("When your account was issued"),
            FROM_ORGANISATION,
            "account_issued_at",
            "account_issued_at",
        ),
        ("stable_id", gettext_noop("Your permanent identifier"), FROM_ORGANISATION, "stable_id", "stable_id"),
        ("orcid", gettext_noop("ORCID iD"), FROM_ORCID, "registry orcid", "orcid_id"),
        ("orcid_name", gettext_noop("Name at ORCID"), FROM_ORCID, "orcid_name", "orcid_name"),
        ("scope", gettext_noop("What ORCID was asked for"), FROM_PERSON, "scope", "scope"),
        ("client", gettext_noop("Whose ORCID client was used"), FROM_SERVICE, "client_id", "client_id"),
        ("return_to", gettext_noop("The service that sent you here"), FROM_PERSON, "return_to", "return_to"),
        ("answered_at", gettext_noop("Back from ORCID"), FROM_SERVICE, "consumed_at", "consumed_at"),
        ("expires_at", gettext_noop("Finish by"), FROM_SERVICE, "expires_at", "expires_at"),
        (
            "claim_expires_at",
            gettext_noop("Deadline for another account to move the iD to you"),
            FROM_SERVICE,
            "claim_expires_at",
            "claim_expires_at",
        ),
        ("ended_at", gettext_noop("Ended"), FROM_SERVICE, "closed_at", "closed_at"),
        ("outcome", gettext_noop("How it ended"), FROM_SERVICE, "outcome", "outcome", OUTCOMES),
        ("id", gettext_noop("Record number"), FROM_SERVICE, "id", "id"),
    ),
)

CHANGES = Section(
    "changes",
    gettext_noop("Changes that your organisation is told about"),
    gettext_noop("So that your organisation is told of each change once, and in the right order."),
    _FOR_THE_FEED,
    _fields(
        "changes",
        ("at", gettext_noop("When"), FROM_SERVICE, "at", "at"),
        ("kind", gettext_noop("What happened"), FROM_SERVICE, "kind", "kind", KINDS),
        ("account", gettext_noop("Account"), FROM_ORGANISATION, "account", "account"),
        (
            "previous_account",
            gettext_noop("Previous account"),
            FROM_ORGANISATION,
            "previous_account previous_person_key",
            "previous_account",
        ),
        ("orcid", gettext_noop("ORCID iD"), FROM_ORCID, "registry orcid", "orcid_id"),
        ("previous", gettext_noop("Previous ORCID iD"), FROM_ORCID, "previous_registry previous_orcid", "previous"),
        ("reason", gettext_noop("Reason"), FROM_SERVICE, "reason", "reason", REASONS),
        (
            "attested_by",
            gettext_noop("Credential of your organisation's system"),
            FROM_ORGANISATION,
            "attested_by",
            "attested_by",
        ),
        ("number", gettext_noop("Change number"), FROM_SERVICE, "number", "number"),
        ("id", gettext_noop("Record number"), FROM_SERVICE, "id", "id"),
    ),
    _NOTHING_KEPT,
    erased_when_inactive=True,
)

DELIVERIES = Section(
    "deliveries",
    gettext_noop("What was sent to your organisation's systems"),
    gettext_noop("To deliver each change reliably, and to show you the result."),
    _WITH_LINKS,
    _fields(
        "deliveries",
        ("created_at", gettext_noop("When"), FROM_SERVICE, "created_at", "created_at"),
        ("kind", gettext_noop("What happened"), FROM_SERVICE, "kind", "kind", KINDS),
        ("transfer", gettext_noop("System"), FROM_SERVICE, "transfer", "transfer"),
        ("state", gettext_noop("Status"), FROM_SERVICE, "state", "state", STATES),
        ("outcome", gettext_noop("Result"), FROM_INTERFACE, "outcome", "outcome", ANSWERS),
        ("message", gettext_noop("What the system answered"), FROM_INTERFACE, "message", "message"),
        ("tries", gettext_noop("Number of attempts"), FROM_SERVICE, "tries", "tries"),
        ("queued_at", gettext_noop("Waiting since"), FROM_SERVICE, "queued_at", "queued_at"),
        ("last_try_at", gettext_noop("Last tried"), FROM_SERVICE, "last_try_at", "last_try_at"),
        ("next_try_at", gettext_noop("Next attempt"), FROM_SERVICE, "next_try_at", "next_try_at"),
        ("finished_at", gettext_noop("Finished"), FROM_SERVICE, "finished_at", "finished_at"),
        ("change", gettext_noop("Change number"), FROM_SERVICE, "change_number", "change_number"),
    ),
    _NOTHING_KEPT,
    erased_when_inactive=True,
)

FEED = Section(
    "feed",
    gettext_noop("What your organisation has fetched"),
    gettext_noop("To know which changes your organisation has fetched, including yours."),
    gettext_noop("As long as your organisation is connected; it is one number for all its users."),
    _fields(
        "acknowledgements",
        ("number", gettext_noop("Fetched up to change number"), FROM_INTERFACE, "number", "number"),
        (
            "at",
            gettext_noop(
                "When your organisation confirmed it",
            ),
            FROM_INTERFACE,
            "at acknowledgements.organisation",
            "at",
        ),
    ),
)

EVENTS_SECTION = Section(
    "events",
    gettext_noop("Activity log"),
    gettext_noop("To be able to show later who did what. Each entry is protected against changes."),
    gettext_noop(
        "As long as the connection exists, and after that until you have everything erased. An anonymous "
        "entry then remains, so that the entries around it can still be verified."
    ),
    _fields(
        "events",
        ("at", gettext_noop("When"), FROM_SERVICE, "at", "at"),
        ("kind", gettext_noop("What happened"), FROM_SERVICE, "kind", "kind", EVENTS),
        ("actor", gettext_noop("Who did it"), FROM_SERVICE, "actor", "actor", ACTORS),
        ("facts", gettext_noop("Details"), FROM_SERVICE, "facts", "facts"),
        ("number", gettext_noop("Entry number"), FROM_SERVICE, "number", "number"),
        ("digest", gettext_noop("Fingerprint of the entry"), FROM_SERVICE, "digest", "digest"),
        ("hash", gettext_noop("Fingerprint of all entries up to this one"), FROM_SERVICE, "hash", "hash"),
    ),
    erased_when_inactive=True,
)

READ_EVENTS = Section(
    "read_events",
    gettext_noop("What you have confirmed as read"),
    gettext_noop("To show you the changes that others made to your connection, until you have read them."),
    _WITH_LINKS,
    _fields(
        "read_events",
        ("number", gettext_noop("Up to entry number"), FROM_PERSON, "event_number", "number"),
        ("at", gettext_noop("When"), FROM_SERVICE, "at", "at"),
    ),
    erased_when_inactive=True,
)

ERASURE = Section(
    "erasure",
    gettext_noop("Your erasure request"),
    gettext_noop("To complete it once your organisation has been told that the connection has ended."),
    gettext_noop("Until the erasure is complete."),
    _fields(
        "erasures",
        ("requested_at", gettext_noop("When you asked"), FROM_PERSON, "requested_at", "requested_at"),
        ("change_number", gettext_noop("Up to change number"), FROM_SERVICE, "change_number", "change_number"),
        ("event_number", gettext_noop("Up to log entry number"), FROM_SERVICE, "event_number", "event_number"),
    ),
)

MAILS = Section(
    "mails",
    gettext_noop("Emails that you asked for"),
    gettext_noop("To send it to you, once."),
    gettext_noop(
        "The address is deleted when the email is sent, or when we stop trying after a day. The fact that it was "
        "sent is kept as long as the connection exists, and after that until you have everything erased."
    ),
    _fields(
        "mails",
        ("requested_at", gettext_noop("When you asked"), FROM_PERSON, "requested_at", "requested_at"),
        ("kind", gettext_noop("Subject"), FROM_PERSON, "kind", "kind", MAIL_KINDS),
        ("address", gettext_noop("Email address"), FROM_PERSON, "address", "address"),
        ("language", gettext_noop("Language of the email"), FROM_PERSON, "language", "language"),
        ("tries", gettext_noop("Number of attempts"), FROM_SERVICE, "tries", "tries"),
        ("next_try_at", gettext_noop("Next attempt"), FROM_SERVICE, "next_try_at", "next_try_at"),
        ("finished_at", gettext_noop("Finished"), FROM_SERVICE, "finished_at", "finished_at"),
        ("change", gettext_noop("Change number"), FROM_SERVICE, "change_number", "change_number"),
    ),
    erased_when_inactive=True,
)

REVOCATIONS: Labels = MappingProxyType(
    {
        "temporary": gettext_noop("ORCID did not answer"),
        "misconfigured": gettext_noop("ORCID did not accept this service"),
        "unreadable": gettext_noop("this service could not open it"),
    }
)
"""What the last attempt to give a permission back came to."""

ORCID_TOKENS = Section(
    "orcid_tokens",
    gettext_noop("Permissions that you gave at ORCID"),
    gettext_noop(
        "To revoke them at ORCID when they are no longer needed. If you permitted more than reading your ORCID "
        "iD, they are also used for what you permitted."
    ),
    gettext_noop(
        "As long as the connection exists, and after that until they are revoked at ORCID. The fact that you gave "
        "a permission is kept for another 30 days."
    ),
    _fields(
        "orcid_tokens",
        ("obtained_at", gettext_noop("When you gave it"), FROM_SERVICE, "obtained_at", "obtained_at"),
        ("orcid", gettext_noop("ORCID iD"), FROM_ORCID, "", "orcid_id"),
        ("scope", gettext_noop("What it allows, in ORCID's words"), FROM_ORCID, "scope", "scope"),
        (
            "client_id",
            gettext_noop("To whom (number at ORCID)"),
            FROM_SERVICE,
            "client_id orcid_tokens.organisation",
            "client_id",
        ),
        ("expires_at", gettext_noop("When it expires"), FROM_ORCID, "expires_at", "expires_at"),
        (
            "withdrawn_at",
            gettext_noop("When ORCID stopped accepting it"),
            FROM_ORCID,
            "withdrawn_at",
            "withdrawn_at",
        ),
        (
            "revocation_due_at",
            gettext_noop("Waiting to be revoked since"),
            FROM_SERVICE,
            "revocation_due_at",
            "revocation_due_at",
        ),
        ("outcome", gettext_noop("Result"), FROM_ORCID, "outcome", "outcome", REVOCATIONS),
        ("tries", gettext_noop("Number of attempts"), FROM_SERVICE, "tries", "tries"),
        ("next_try_at", gettext_noop("Next attempt"), FROM_SERVICE, "next_try_at", "next_try_at"),
        ("revoked_at", gettext_noop("Revoked"), FROM_ORCID, "revoked_at", "revoked_at"),
        ("link", gettext_noop("Connection number"), FROM_SERVICE, "link", "link"),
        ("attempt", gettext_noop("Visit number"), FROM_SERVICE, "attempt", "attempt"),
        ("id", gettext_noop("Record number"), FROM_SERVICE, "id", "id"),
    ),
    gettext_noop(
        "Until 15 minutes after your organisation's systems have answered, and then until they are revoked at "
        "ORCID. The fact that a permission was given is kept anonymously for another 30 days."
    ),
)

SECTIONS = (
    PERSON,
    LINKS,
    ORCID_TOKENS,
    AFFILIATION_PERMISSIONS,
    AFFILIATIONS,
    ATTEMPTS,
    CHANGES,
    DELIVERIES,
    FEED,
    EVENTS_SECTION,
    READ_EVENTS,
    MAILS,
    ERASURE,
)
"""All sections, in the order in which they are shown."""
