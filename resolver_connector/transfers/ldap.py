"""The kind `ldap`: adds or removes the iD in the person's directory entry.

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
from collections.abc import Iterable, Mapping, Sequence
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
    ClientCertificate,
    DeliveryFailed,
    DeliveryResult,
    FilePath,
    Outcome,
    Policy,
    Secret,
    TransferModel,
    ValueForm,
    plain_text,
    transfer_setting,
)
from resolver_connector.transfers.ldap_connection import PORTS, Changes, Directory, Result, Undecodable
from resolver_connector.transfers.ldap_filter import ANY_PLACEHOLDER, PLACEHOLDERS, asserted_values, fill, is_filter
from resolver_connector.transfers.ldap_results import (
    HINTS,
    NO_SUCH_ATTRIBUTE,
    NO_SUCH_OBJECT,
    OUTCOMES,
    RACES,
    SIZE_LIMIT,
    START_TLS_HINT,
    SUCCESS,
    UNDEFINED_TYPE,
)
from shibboleth.attributes import fold
from shibboleth.deadline import Deadline
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
    all: Mapping[str, Sequence[bytes]]
    """The values of all attributes that were read, by their names in lower case."""
    values: Mapping[str, Sequence[bytes]]
    """The values of the attribute for the iD, by attribute description: the setting, or a subtype with more options."""


class LdapTransfer(TransferModel):
    """A directory to which iDs are written."""

    kind = "ldap"
    ends_in_time = True

    url: str = transfer_setting(
        "The directory's server; several, separated by spaces, are tried one after another until one answers. "
        "`ldap://` without TLS is allowed on this machine only.",
        "ldaps://ldap1.example.org ldaps://ldap2.example.org",
    )
    base: str = transfer_setting("The entry below which people are searched.", "ou=people,dc=example,dc=org")
    filter: str = transfer_setting(
        "How a person's entry is found. `{account}` is the account, `{user}` the part before its last `@`, "
        "`{scope}` the part after it; they are escaped.",
        "(&(objectClass=person)(uid={user}))",
        default="(eduPersonPrincipalName={account})",
    )
    start_tls: StrictBool = transfer_setting(
        "Whether `ldap://` is encrypted by StartTLS before anything else is sent.", example=True, default=True
    )
    ca_file: FilePath | None = transfer_setting(
        "The certificates (PEM) of the authorities that may issue the server's; those of the system if not set.",
        "ca.pem",
        default=None,
    )
    bind: Bind = transfer_setting(
        "How to authenticate: `simple` by DN and password, `external` by client certificate.",
        "external",
        default=Bind.SIMPLE,
    )
    bind_dn: str = transfer_setting(
        "The service's account there.", "cn=orcid-connect,ou=services,dc=example,dc=org", default=""
    )
    password: Secret = transfer_setting("Its password.", "file:/etc/orcid-connect/ldap.password", default=NO_SECRET)
    certificate: ClientCertificate | None = transfer_setting(
        "The client certificate (PEM), with its chain.", "client.pem", default=None
    )
    certificate_key: FilePath | None = transfer_setting(
        "The key of the client certificate (PEM, without a password).", "client.key", default=None
    )
    attribute: str = transfer_setting(
        "The attribute that holds the iD.", "extensionAttribute7", default="eduPersonOrcid"
    )
    object_class: str = transfer_setting(
        "The auxiliary class that allows the attribute, added to an entry that lacks it. Empty if none is "
        "needed, as in Active Directory.",
        "",
        default="eduPerson",
    )
    value_form: ValueForm = transfer_setting(
        "How the iD is written: `https` or `http` for the address, `bare` for the number.",
        "https",
        default=ValueForm.HTTPS,
    )
    policy: Policy = transfer_setting(
        "What happens to another iD that the entry has: `own` leaves it, `single` leaves it and reports "
        "a conflict, `replace` removes it.",
        "single",
        default=Policy.KEEP_OTHERS,
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

    @property
    def account_template(self) -> str:
        """The template of the search filter."""
        return self.filter

    def send(self, message: ChangeMessage, now: datetime, deadline: Deadline) -> DeliveryResult:  # noqa: ARG002 - the interface of all kinds
        """Change the person's entry.

        The servers are tried one after another until one answers; the remaining time is divided among them.
        """
        urls = self.url.split()
        for tried, url in enumerate(urls):
            share = Deadline(deadline.left / (len(urls) - tried))
            result = self.run_try(partial(self._try_server, urlsplit(url), message), share)
            if result.outcome is not Outcome.TEMPORARY:
                break
        return result

    def _try_server(self, url: SplitResult, message: ChangeMessage, deadline: Deadline) -> DeliveryResult:
        try:
            return self._try_with(Directory(url, self._tls(), self._credentials(), deadline), url, message)
        except Undecodable:
            # ldap3's other decoder supports fewer result codes
            options = {**self._credentials(), "fast_decoder": True}
            return self._try_with(Directory(url, self._tls(), options, deadline), url, message)

    def _try_with(self, connected: Directory, url: SplitResult, message: ChangeMessage) -> DeliveryResult:
        with closing(connected) as directory:
            directory.open()
            if url.scheme == "ldap" and self.start_tls:
                self._require_success(directory.start_tls(), START_TLS_HINT)
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
        asserted = asserted_values(self.filter, account)
        attributes = list({each.lower(): each for each in ("objectClass", *asserted, self.attribute)}.values())
        result, found = directory.search(self.base, fill(self.filter, account), attributes)
        if len(found) > 1 or result.code == SIZE_LIMIT:
            raise DeliveryFailed(
                DeliveryResult(Outcome.CONFLICT, "more than one entry of the directory matches this account")
            )
        if result.code == NO_SUCH_OBJECT:
            message = "the directory has no such base, or does not show it to the service's account"
            raise DeliveryFailed(DeliveryResult(Outcome.MISCONFIGURED, message))
        self._require_success(result)
        if not found:
            raise DeliveryFailed(
                DeliveryResult(Outcome.UNKNOWN_PERSON, "no entry of the directory matches this account")
            )
        entry = _entry(found[0], self.attribute)
        held = [
            (fold(asserted[name]), fold(value.decode(errors="replace")))
            for name in asserted
            for value in entry.all.get(name, ())
        ]
        if held and not any(ours == theirs for ours, theirs in held):
            # Active Directory, for example, compares without accents
            raise DeliveryFailed(DeliveryResult(Outcome.UNKNOWN_PERSON, "the directory returned another account"))
        return entry

    def _changes(self, entry: _Entry, message: ChangeMessage) -> Changes:
        """Return the changes of the entry; empty if it is up to date already."""
        wanted = self.value_form.write(message.orcid_id).encode() if message.orcid_id else None
        ours = {each for each in (message.orcid_id, message.previous) if each}
        others = [each for values in entry.values.values() for each in values if _read(each, ours) not in ours]
        if wanted and self.policy is Policy.SINGLE and any(_read(each, ours) for each in others):
            raise DeliveryFailed(DeliveryResult(Outcome.CONFLICT, "the entry in the directory holds another ORCID iD"))
        kept = [] if wanted and self.policy is Policy.REPLACE else others
        changes: Changes = {}
        for description, values in {self.attribute: (), **entry.values}.items():
            right = wanted if description == self.attribute else None
            # Deleting an empty list would delete all values. Deletions come first, because the new value may be equal
            # to an old one by the directory's rule
            if gone := [each for each in values if each != right and each not in kept]:
                changes[description] = [(ldap3.MODIFY_DELETE, gone)]
            if right and right not in values:
                changes.setdefault(description, []).append((ldap3.MODIFY_ADD, [right]))
        adds = any(action == ldap3.MODIFY_ADD for actions in changes.values() for action, _ in actions)
        if adds and self.object_class and self.object_class.lower() not in entry.classes:
            return {"objectClass": [(ldap3.MODIFY_ADD, [self.object_class.encode()])], **changes}
        return changes

    def _tls(self) -> dict[str, Any]:
        """Return the arguments of ldap3's Tls."""
        return {
            "ca_certs_file": self.ca_file and str(self.ca_file),
            "local_certificate_file": self.certificate and str(self.certificate),
            "local_private_key_file": self.certificate_key and str(self.certificate_key),
            # With None OpenSSL would prompt for the password of an encrypted key on the terminal
            "local_private_key_password": "none",
        }

    def _credentials(self) -> dict[str, Any]:
        """Return the arguments of ldap3's Connection that authenticate the service."""
        if self.bind is Bind.EXTERNAL:
            return {"authentication": ldap3.SASL, "sasl_mechanism": ldap3.EXTERNAL, "sasl_credentials": ""}
        password = self.password.get_secret_value()
        return {"authentication": ldap3.SIMPLE, "user": self.bind_dn, "password": password}

    def _require_success(self, result: Result, hint: str = "") -> None:
        """Check the result of an operation that is not about the entry.

        Raises:
            DeliveryFailed: If it is not a success.
        """
        if result.code == SUCCESS:
            return
        failed = self._delivery_result(result, hint=hint)
        if failed.outcome is not Outcome.TEMPORARY:
            failed = replace(failed, outcome=Outcome.MISCONFIGURED)
        raise DeliveryFailed(failed)

    def _delivery_result(self, result: Result, entry: _Entry | None = None, hint: str = "") -> DeliveryResult:
        """Return the delivery's result for an LDAP result.

        Its message is the directory's, without DNs, and a hint.
        """
        outcome = OUTCOMES.get(result.code, Outcome.REFUSED)
        if outcome is Outcome.STORED:
            return DeliveryResult(outcome)
        words = _without(result.message, entry.dn if entry else "", "the entry")
        words = _without(words, self.bind_dn, "the service's account")
        hint = (hint or HINTS.get(result.code, "")).format(
            attribute=self.attribute, object_class=self.object_class or "a class"
        )
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
    held = {name.lower(): values or [] for name, values in found["raw_attributes"].items()}
    classes = (each.decode(errors="replace").lower() for each in held.get("objectclass", ()))
    base, *options = attribute.lower().split(";")
    values = {}
    for name, each in found["raw_attributes"].items():
        # A directory returns subtypes with options too, in any order (RFC 4512 section 2.5)
        its_base, *its_options = name.lower().split(";")
        if its_base == base and set(its_options) >= set(options):
            values[attribute if set(its_options) == set(options) else name] = each or []
    return _Entry(found["dn"], frozenset(classes), held, values)


def _read(value: bytes, ours: set[OrcidId]) -> OrcidId | None:
    """Return the iD of a value in any form.

    A bare iD is taken for one of the registry of the change's iDs.
    """
    registry = next((each.registry for each in ours), None)
    try:
        return OrcidId.parse(value.decode(), bare_means=registry)
    except (UnicodeDecodeError, InvalidOrcidId):
        return None


def _without(words: str, dn: str, instead: str) -> str:
    """Return the text with a DN replaced by a placeholder."""
    return re.sub(re.escape(dn), instead, words, flags=re.IGNORECASE) if dn else words
