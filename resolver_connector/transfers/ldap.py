"""The kind `ldap`: finds the person's entry in a directory, and adds or removes the iD with one modify.

Two values of the attribute can be one iD (`http://…`, `https://…`, bare), which `caseIgnoreMatch` does not compare as
equal. So the values are read and compared as iDs, and the old form is deleted in the modify that adds the new. A value
is deleted by its exact text; if another client changed it in between, the modify fails, and the entry is read again,
once.

OpenLDAP, 389 Directory Server and Active Directory differ in their result codes (RFC 4511 appendix A.1) and by
settings: `object_class = ""` if every entry has the class, `filter` for the name of the key.

The connection is in `ldap_connection.py`, the filter in `ldap_filter.py`, the result codes in `ldap_results.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

import ldap3
from pydantic import StrictBool, model_validator

from resolver_connector.transfers.base import (
    NO_SECRET,
    ChangeMessage,
    DeliveryFailed,
    DeliveryResult,
    FilePath,
    Outcome,
    Policy,
    Secret,
    TransferModel,
    ValueForm,
    plain_text,
    setting,
)
from resolver_connector.transfers.deadline import Deadline
from resolver_connector.transfers.ldap_connection import PORTS, Changes, Directory, Result
from resolver_connector.transfers.ldap_filter import ANY_PLACEHOLDER, PLACEHOLDERS, fill, is_filter, is_unambiguous
from resolver_connector.transfers.ldap_results import (
    HINTS,
    NO_SUCH_ATTRIBUTE,
    NO_SUCH_OBJECT,
    OUTCOMES,
    RACES,
    SIZE_LIMIT,
    SUCCESS,
    UNDEFINED_TYPE,
)
from shibboleth.orcid_id import InvalidOrcidId, OrcidId

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Bind(StrEnum):
    """How the service authenticates."""

    SIMPLE = "simple"
    """With `bind_dn` and `password`."""
    EXTERNAL = "external"
    """With its TLS certificate: SASL EXTERNAL."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A person's entry, as it was read."""

    dn: str
    classes: frozenset[str]
    """In lower case."""
    values: tuple[bytes, ...]


class LdapTransfer(TransferModel):
    """A directory that iDs are written into."""

    kind = "ldap"

    url: str = setting(
        "The directory's server; several, with a space between, are tried in turn while one is out of order. "
        "`ldap://` without TLS goes to this machine only.",
        "ldaps://ldap1.example.org ldaps://ldap2.example.org",
    )
    base: str = setting("Under which entry the people are.", "ou=people,dc=example,dc=org")
    filter: str = setting(
        "How a person's entry is found. `{account}` is the account, `{user}` what stands before its last `@`, "
        "`{scope}` what stands behind; they are escaped.",
        "(&(objectClass=person)(uid={user}))",
        default="(eduPersonPrincipalName={account})",
    )
    start_tls: StrictBool = setting(
        "Whether `ldap://` is encrypted by StartTLS before anything is said.", example=True, default=True
    )
    ca_file: FilePath | None = setting(
        "Which authorities (PEM) may vouch for the server; without it those of the system.", "ca.pem", default=None
    )
    bind: Bind = setting(
        "How to sign in: `simple` by DN and password, `external` by client certificate.",
        "external",
        default=Bind.SIMPLE,
    )
    bind_dn: str = setting("The service's account there.", "cn=orcid-connect,ou=services,dc=example,dc=org", default="")
    password: Secret = setting("Its password.", "file:/etc/orcid-connect/ldap.password", default=NO_SECRET)
    certificate: FilePath | None = setting("The client certificate (PEM), with its chain.", "client.pem", default=None)
    certificate_key: FilePath | None = setting(
        "The key of the client certificate (PEM, without a password).", "client.key", default=None
    )
    attribute: str = setting("The attribute that holds the iD.", "extensionAttribute7", default="eduPersonOrcid")
    object_class: str = setting(
        "The auxiliary class that allows the attribute, added to an entry that lacks it. Empty where nothing has "
        "to be added, as in Active Directory.",
        "",
        default="eduPerson",
    )
    value_form: ValueForm = setting(
        "How the iD is written: `https` or `http` for the address, `bare` for the number.",
        "https",
        default=ValueForm.HTTPS,
    )
    policy: Policy = setting(
        "What becomes of another iD that the entry already holds: `own` leaves it, `single` leaves it and reports "
        "a conflict, `replace` removes it.",
        "single",
        default=Policy.OWN,
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = [sentence for sentence, is_wrong in self._problems() if is_wrong]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _problems(self) -> Iterable[tuple[str, bool]]:
        urls = [urlsplit(each) for each in self.url.split()]
        simple = self.bind is Bind.SIMPLE
        encrypted = all(each.scheme == "ldaps" or self.start_tls for each in urls)
        fields = set(ANY_PLACEHOLDER.findall(self.filter))
        yield "url is not ldap://HOST or ldaps://HOST", not all(_is_server(each) for each in urls) or not urls
        yield (
            "start_tls = false is for a server on this machine only",
            not all(each.scheme == "ldaps" or self.start_tls or each.hostname in _LOOPBACK for each in urls),
        )
        yield "base is empty", not self.base.strip()
        yield "filter cannot be read: see RFC 4515", not is_filter(self.filter)
        yield "filter has other placeholders than {account}, {user}, {scope}", not fields <= PLACEHOLDERS
        yield "filter names neither {account} nor {user}", not fields & {"account", "user"}
        yield "bind_dn and password are needed", simple and not (self.bind_dn and self.password)
        yield (
            "bind = external needs certificate and certificate_key",
            not simple and not (self.certificate and self.certificate_key),
        )
        yield "bind = external needs TLS", not simple and not encrypted
        yield "attribute is empty", not self.attribute.strip()

    def send(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:  # noqa: ARG002 - the interface of all kinds
        """Change the person's entry.

        The servers are tried one after the other until one answers; each has its share of the time that is left.
        """
        urls = self.url.split()
        for tried, url in enumerate(urls):
            share = Deadline(deadline.left / (len(urls) - tried))
            result = self.run_attempt(partial(self._attempt_at, urlsplit(url), message), share)
            if result.outcome is not Outcome.TEMPORARY:
                break
        return result

    def _attempt_at(self, url: SplitResult, message: ChangeMessage, deadline: Deadline) -> DeliveryResult:
        with closing(Directory(url, self._tls(), self._credentials(), deadline)) as directory:
            directory.open()
            if url.scheme == "ldap" and self.start_tls:
                self._require_success(directory.start_tls())
            self._require_success(directory.bind())
            for _ in range(2):  # a second time if another client changed the entry in between
                entry = self._find(directory, message.account)
                changes = self._changes(entry, message)
                if not changes:
                    return DeliveryResult(Outcome.ALREADY_THERE)
                result = directory.modify(entry.dn, changes)
                if result.code not in RACES:
                    break
        deletes = any(action == ldap3.MODIFY_DELETE for actions in changes.values() for action, _ in actions)
        if result.code == NO_SUCH_ATTRIBUTE and not deletes:
            # The code of Active Directory for an attribute that is not in its schema
            result = replace(result, code=UNDEFINED_TYPE)
        return self._delivery_result(result, entry)

    def _find(self, directory: Directory, account: str) -> _Entry:
        """Return the entry of a person.

        Raises:
            DeliveryFailed: If there is none, or more than one.

        """
        if not is_unambiguous(account):
            raise DeliveryFailed(
                DeliveryResult(Outcome.UNKNOWN_PERSON, "the directory may take this account for another one")
            )
        result, found = directory.search(self.base, fill(self.filter, account), ["objectClass", self.attribute])
        if len(found) > 1 or result.code == SIZE_LIMIT:
            raise DeliveryFailed(
                DeliveryResult(Outcome.CONFLICT, "more than one entry of the directory matches this account")
            )
        if result.code == NO_SUCH_OBJECT:
            message = "the directory has no such base, or does not show it to the service's account"
            raise DeliveryFailed(DeliveryResult(Outcome.MISCONFIGURED, message))
        if result.code != SUCCESS:
            raise DeliveryFailed(self._delivery_result(result))
        if not found:
            raise DeliveryFailed(
                DeliveryResult(Outcome.UNKNOWN_PERSON, "no entry of the directory matches this account")
            )
        return _entry(found[0], self.attribute)

    def _changes(self, entry: _Entry, message: ChangeMessage) -> Changes:
        """Return the changes of the entry; empty if it is up to date already."""
        wanted = self.value_form.write(message.orcid_id).encode() if message.orcid_id else None
        ours = {each for each in (message.orcid_id, message.previous) if each}
        others = [each for each in entry.values if _read(each, ours) not in ours]
        if wanted and self.policy is Policy.SINGLE and any(_read(each, ours) for each in others):
            raise DeliveryFailed(DeliveryResult(Outcome.CONFLICT, "the entry in the directory holds another ORCID iD"))
        kept = [] if wanted and self.policy is Policy.REPLACE else others
        gone = [each for each in entry.values if each != wanted and each not in kept]
        fresh = [wanted] if wanted and wanted not in entry.values else []
        return self._modification(entry, gone, fresh)

    def _modification(self, entry: _Entry, gone: list[bytes], fresh: list[bytes]) -> Changes:
        # To delete an empty list would mean all values. Deletions come first, because the new value may be equal to an
        # old one by the directory's rule
        values = [(ldap3.MODIFY_DELETE, gone)] if gone else []
        values += [(ldap3.MODIFY_ADD, fresh)] if fresh else []
        if not values:
            return {}
        lacking = fresh and self.object_class and self.object_class.lower() not in entry.classes
        classes = {"objectClass": [(ldap3.MODIFY_ADD, [self.object_class.encode()])]} if lacking else {}
        return {**classes, self.attribute: values}

    def _tls(self) -> dict[str, Any]:
        """Return the arguments of ldap3's Tls."""
        return {
            "ca_certs_file": self.ca_file and str(self.ca_file),
            "local_certificate_file": self.certificate and str(self.certificate),
            "local_private_key_file": self.certificate_key and str(self.certificate_key),
            # With None, OpenSSL asks at the terminal for the password of an encrypted key
            "local_private_key_password": "none",
        }

    def _credentials(self) -> dict[str, Any]:
        """Return the arguments of ldap3's Connection that authenticate the service."""
        if self.bind is Bind.EXTERNAL:
            return {"authentication": ldap3.SASL, "sasl_mechanism": ldap3.EXTERNAL, "sasl_credentials": ""}
        password = self.password.get_secret_value()
        return {"authentication": ldap3.SIMPLE, "user": self.bind_dn, "password": password}

    def _require_success(self, result: Result) -> None:
        if result.code != SUCCESS:
            raise DeliveryFailed(self._delivery_result(result))

    def _delivery_result(self, result: Result, entry: _Entry | None = None) -> DeliveryResult:
        """Return the outcome of a result, with the directory's words and a hint, and without DNs."""
        outcome = OUTCOMES.get(result.code, Outcome.REFUSED)
        if outcome is Outcome.STORED:
            return DeliveryResult(outcome)
        words = _without(result.words, entry.dn if entry else "", "the entry")
        words = _without(words, self.bind_dn, "the service's account")
        hint = HINTS.get(result.code, "").format(attribute=self.attribute, object_class=self.object_class or "a class")
        return DeliveryResult(outcome, plain_text(f"{words}. {hint}" if hint else words))


def _is_server(url: SplitResult) -> bool:
    """Return whether an LDAP URL (RFC 4516) names a server and nothing else."""
    try:
        port = url.port
    except ValueError:
        return False
    only_a_server = url.path in {"", "/"} and not (url.username or url.query or url.fragment)
    return url.scheme in PORTS and bool(url.hostname) and port != 0 and only_a_server


def _entry(found: dict[str, Any], attribute: str) -> _Entry:
    values = {name.lower(): held for name, held in found["raw_attributes"].items()}
    classes = (each.decode(errors="replace").lower() for each in values.get("objectclass", ()))
    return _Entry(found["dn"], frozenset(classes), tuple(values.get(attribute.lower(), ())))


def _read(value: bytes, ours: set[OrcidId]) -> OrcidId | None:
    """Return the iD of a value in any form; a bare one is of the registry of the change's iDs."""
    registry = next((each.registry for each in ours), None)
    try:
        return OrcidId.parse(value.decode(), bare_means=registry)
    except (UnicodeDecodeError, InvalidOrcidId):
        return None


def _without(words: str, dn: str, instead: str) -> str:
    """Return the text with a DN replaced."""
    return re.sub(re.escape(dn), instead, words, flags=re.IGNORECASE) if dn else words
