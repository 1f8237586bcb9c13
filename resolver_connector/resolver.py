"""Look-up of one person's iD, by an Identity Provider at each sign-in.

Only iDs of the service's own registry are released, because a sandbox iD is written like a production iD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from resolver_connector.http import BadRequest, Environ, Header, Response, json_response, parse_query, single_value
from resolver_connector.replica_cache import ReplicaCache
from shibboleth.account_holder import KnownHolder, different_holders, parse_stable_id
from shibboleth.attributes import fold
from shibboleth.characters import XML_WHITE_SPACE
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisation
from sql.engines.base import Row
from sql.errors import StoreUnavailable
from sql.store import Store

MAX_ACCOUNT_LENGTH = 1024
"""In characters."""
PEOPLE_PATH = "/v1/people/"


class Lookup(Protocol):
    """Reads current iDs (`sql.lookup.Lookup`).

    Each method raises StoreUnavailable within a second.
    """

    def get_current_orcid_id(self, organisation_id: str, person_key: str) -> Row | None:
        """Return a person's current iD, and what is known of the account's holder."""

    def merged_organisations(self) -> frozenset[str]:
        """Return the ids of the organisations that were merged into others."""

    def ping(self) -> None:
        """Check that the database answers.

        Raises:
            StoreUnavailable: If it does not.
        """

    def check_schema(self) -> None:
        """Check that the database can be used.

        Raises:
            StoreUnavailable: If it does not answer.
            SchemaBehind: If a migration is missing.
            SchemaAhead: If the database has an unknown one.
        """


@dataclass(frozen=True, slots=True)
class RequestedPerson:
    """The account that a look-up names, and what it says about the holder."""

    organisation: Organisation
    account: str
    """A value of the organisation's key attribute, in any letter case."""
    account_issued_at: str = ""
    stable_id: str = ""
    """With the name of its attribute; empty where the request has none, or one that is not valid."""

    @classmethod
    def parse(cls, organisation: Organisation, environ: Environ, path: str) -> RequestedPerson:
        """Parse `account`, `stable_id` and `issued`.

        Raises:
            BadRequest: If the account is missing, a parameter is given twice, or a value is not valid.
        """
        if not environ.get("QUERY_STRING"):
            return cls(organisation, _account({}, path))
        parameters = parse_query(environ)
        stable_id = _attribute_value(parameters, "stable_id")
        return cls(
            organisation,
            _account(parameters, path),
            _attribute_value(parameters, "issued"),
            parse_stable_id(organisation, [stable_id]) if stable_id else "",
        )


def requested_account(environ: Environ, path: str) -> str:
    """Return the account named in the path or in the query parameter `account`.

    Raises:
        BadRequest: If the account is missing, is given twice, or cannot be an account.
    """
    return _account(parse_query(environ), path)


def _account(parameters: Mapping[str, list[str]], path: str) -> str:
    account = single_value(parameters, "account")
    if path.startswith(PEOPLE_PATH):
        if account is not None:
            raise BadRequest("the account is given in the path and in the query")
        try:
            account = path.removeprefix(PEOPLE_PATH).encode("latin-1").decode("utf-8")
        except UnicodeError:
            raise BadRequest("the account is not UTF-8") from None
    if not account:
        raise BadRequest("the account is missing: request /v1/people/{account}")
    if account.startswith("$"):
        raise BadRequest("the account begins with $: a template variable that was not replaced?")
    if "\0" in account or len(account) > MAX_ACCOUNT_LENGTH:
        raise BadRequest(f"the account holds a NUL character or more than {MAX_ACCOUNT_LENGTH} characters")
    return account


def _attribute_value(parameters: Mapping[str, list[str]], name: str) -> str:
    value = (single_value(parameters, name) or "").strip(XML_WHITE_SPACE)
    if value.startswith("$"):
        raise BadRequest(f"{name} begins with $: a template variable that was not replaced?")
    return value


def current_orcid_ids(store: Store, organisation: Organisation, account: str, registry: Registry) -> list[OrcidId]:
    """Return the iDs to release for an account, without the circuit breaker.

    Args:
        store: The store.
        organisation: The organisation of the account.
        account: A value of the organisation's key attribute, in any letter case.
        registry: The only registry whose iDs are returned.

    Returns:
        Empty for an unknown account, and where the organisation releases nothing without a stable id.

    Raises:
        StoreUnavailable: If the database does not answer.
    """
    if organisation.needs_stable_id:
        return []
    orcid_ids = store.links.orcid_ids(organisation.id, fold(account))
    return [orcid_id for orcid_id in orcid_ids if orcid_id.registry is registry]


class Resolver:
    """Looks up the iDs that an Identity Provider may release for an account."""

    def __init__(self, lookup: Lookup, registry: Registry, replicas: ReplicaCache | None = None) -> None:
        self._lookup = lookup
        self._registry = registry.value
        self._uri_prefix = f"https://{registry.host}/"
        self._replicas = replicas

    def released(self, person: RequestedPerson) -> Response:
        """Return the iDs to release as one object with a list.

        The list is empty for an unknown account, if an earlier holder of the account linked the iD, and if the
        organisation releases nothing without a stable id and the request has none.

        Raises:
            StoreUnavailable: If neither the database nor a replica can answer.
        """
        uris, headers = self._look_up(person)
        return json_response({"eduPersonOrcid": uris}, extra_headers=headers)

    def records(self, person: RequestedPerson) -> Response:
        """Return the iDs to release as a list of objects with one value each.

        Some clients cannot map a list of values.
        """
        uris, headers = self._look_up(person)
        return json_response([{"eduPersonOrcid": uri} for uri in uris], extra_headers=headers)

    def _look_up(self, person: RequestedPerson) -> tuple[list[str], list[Header]]:
        # Returns the URIs, and the headers Age and Warning if they come from a replica
        organisation, person_key = person.organisation, fold(person.account)
        headers: list[Header] = []
        if organisation.needs_stable_id and not person.stable_id:
            return [], headers
        try:
            row = self._lookup.get_current_orcid_id(organisation.id, person_key)
            bare = row["orcid"] if row is not None and row["registry"] == self._registry else None
            if row is not None:
                known = KnownHolder(row["account_issued_at"], row["stable_id"], row["held_on"])
                bare = None if different_holders(known, person) else bare
        except StoreUnavailable:
            if self._replicas is None:
                raise
            bare, age = self._replicas.orcid_of(organisation.id, person_key, person)
            headers = [("Age", str(age)), ("Warning", '110 orcid-connect "Response is Stale"')]
        return ([] if bare is None else [self._uri_prefix + bare]), headers
