"""LDAP: the person's entry in the directory is found, and one modify puts the iD on it, or takes it off.

Two values of the attribute can name one iD (`http://…`, `https://…`, bare), and the directory keeps both: its rule
`caseIgnoreMatch` does not know that they are the same.  So what is there is read, compared as iDs, and the old form
is deleted in the same modify that adds the new.  A value is deleted by its exact text; if somebody changed it in
between, the directory refuses the whole modify, and the entry is read again, once.

What differs between OpenLDAP, 389 Directory Server and Active Directory is told by result codes (RFC 4511, A.1) and
handled by settings: `object_class = ""` where the class belongs to every user, `filter` for the name of the key.

How it is talked to is `ldap_line.py`; how a person is asked for is `ldap_filter.py`.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import SplitResult, urlsplit

import ldap3

from resolver_connector.transfers.ldap_answers import (
    HELP,
    NO_SUCH_ATTRIBUTE,
    NO_SUCH_OBJECT,
    OUTCOMES,
    RACES,
    SIZE_LIMIT,
    SUCCESS,
    UNDEFINED_TYPE,
)
from resolver_connector.transfers.ldap_filter import ANY_PLACEHOLDER, PLACEHOLDERS, filled, is_filter, is_unmistakable
from resolver_connector.transfers.ldap_line import PORTS, Changes, Ended, Line, Place, Result
from resolver_connector.transfers.transfer import Answer, News, Outcome, Policy, ValueForm, about, plain
from shibboleth.orcid_id import InvalidOrcidId, OrcidId

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Bind(StrEnum):
    """How the service shows the directory who it is."""

    SIMPLE = "simple"
    """By `bind_dn` and `password`."""
    EXTERNAL = "external"
    """By its TLS certificate: SASL EXTERNAL."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A person's entry as it was read."""

    dn: str
    classes: frozenset[str]
    """In lower case."""
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ldap:
    """Writes iDs into the organisation's directory by LDAP."""

    kind: ClassVar[str] = "ldap"

    url: str = field(
        metadata=about(
            "The directory's server; several, with a space between, are tried in turn while one is out of order. "
            "`ldap://` without TLS goes to this machine only.",
            "ldaps://ldap1.example.org ldaps://ldap2.example.org",
        )
    )
    base: str = field(metadata=about("Under which entry the people are.", "ou=people,dc=example,dc=org"))
    filter: str = field(
        default="(eduPersonPrincipalName={account})",
        metadata=about(
            "How a person's entry is found. `{account}` is the account, `{user}` what stands before its last `@`, "
            "`{scope}` what stands behind; they are escaped.",
            "(&(objectClass=person)(uid={user}))",
        ),
    )
    start_tls: bool = field(
        default=True,
        metadata=about("Whether `ldap://` is encrypted by StartTLS before anything is said.", example=True),
    )
    ca_file: Path | None = field(
        default=None,
        metadata=about("Which authorities (PEM) may vouch for the server; without it those of the system.", "ca.pem"),
    )
    bind: Bind = field(
        default=Bind.SIMPLE,
        metadata=about("How to sign in: `simple` by DN and password, `external` by client certificate.", "external"),
    )
    bind_dn: str = field(
        default="", metadata=about("The service's account there.", "cn=orcid-connect,ou=services,dc=example,dc=org")
    )
    password: str = field(
        default="", repr=False, metadata=about("Its password.", "file:/etc/orcid-connect/ldap.password", secret=True)
    )
    certificate: Path | None = field(
        default=None, metadata=about("The client certificate (PEM), with its chain.", "client.pem")
    )
    certificate_key: Path | None = field(
        default=None, metadata=about("The key of the client certificate (PEM, without a password).", "client.key")
    )
    attribute: str = field(
        default="eduPersonOrcid", metadata=about("The attribute that holds the iD.", "extensionAttribute7")
    )
    object_class: str = field(
        default="eduPerson",
        metadata=about(
            "The auxiliary class that allows the attribute, added to an entry that lacks it. Empty where nothing has "
            "to be added, as in Active Directory.",
            "",
        ),
    )
    value_form: ValueForm = field(
        default=ValueForm.HTTPS,
        metadata=about("How the iD is written: `https` or `http` for the address, `bare` for the number.", "https"),
    )
    policy: Policy = field(
        default=Policy.OWN,
        metadata=about(
            "What becomes of another iD that the entry already holds: `own` leaves it, `single` leaves it and reports "
            "a conflict, `replace` removes it.",
            "single",
        ),
    )

    def __post_init__(self) -> None:
        """Refuse settings that cannot work, all at once.  Raises ValueError."""
        wrong = [sentence for sentence, is_wrong in self._doubts() if is_wrong]
        if wrong:
            raise ValueError("; ".join(wrong))

    def _doubts(self) -> Iterable[tuple[str, bool]]:
        urls = [urlsplit(each) for each in self.url.split()]
        simple = self.bind is Bind.SIMPLE
        encrypted = all(each.scheme == "ldaps" or self.start_tls for each in urls)
        fields = set(ANY_PLACEHOLDER.findall(self.filter))
        yield "url is not ldap://HOST or ldaps://HOST", not all(_is_server(each) for each in urls) or not urls
        yield (
            "start_tls = false is for a server on this machine only",
            not all(each.scheme == "ldaps" or self.start_tls or each.hostname in LOOPBACK for each in urls),
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

    def deliver(self, news: News, *, now: datetime, seconds: float) -> Answer:  # noqa: ARG002 - what all transfers take
        """Put the news on the person's entry, taking no longer than so many seconds."""
        try:
            with closing(self._enter(time.monotonic() + seconds)) as line:
                return self._tell(line, news)
        except Ended as ended:
            return ended.answer

    def _tell(self, line: Line, news: News) -> Answer:
        """Read and write, and both once more if somebody else wrote in between."""
        for _ in range(2):
            entry = self._find(line, news.account)
            changes = self._changes(entry, news)
            if not changes:
                return Answer(Outcome.ALREADY_THERE)
            result = line.modify(entry.dn, changes)
            if result.code not in RACES:
                break
        if result.code == NO_SUCH_ATTRIBUTE and not _deletes(changes):
            # Active Directory's word for an attribute that it does not know
            result = replace(result, code=UNDEFINED_TYPE)
        return self._answer(result, entry)

    def _find(self, line: Line, account: str) -> _Entry:
        """Read the one entry of a person; two are none."""
        if not is_unmistakable(account):
            raise Ended(Answer(Outcome.UNKNOWN_PERSON, "the directory would take this account for another"))
        result, found = line.search(self.base, filled(self.filter, account), ["objectClass", self.attribute])
        if len(found) > 1 or result.code == SIZE_LIMIT:
            raise Ended(Answer(Outcome.CONFLICT, "more than one entry of the directory fits this account"))
        if result.code == NO_SUCH_OBJECT:
            message = "the directory has no such base, or does not show it to the service's account"
            raise Ended(Answer(Outcome.MISCONFIGURED, message))
        if result.code != SUCCESS:
            raise Ended(self._answer(result))
        if not found:
            raise Ended(Answer(Outcome.UNKNOWN_PERSON, "no entry of the directory fits this account"))
        return _entry(found[0], self.attribute)

    def _changes(self, entry: _Entry, news: News) -> Changes:
        """Give what has to change on the entry; nothing where all is as it should be."""
        wanted = self.value_form.write(news.orcid_id).encode() if news.orcid_id else None
        ours = {each for each in (news.orcid_id, news.previous) if each}
        others = [each for each in entry.values if _read(each, ours) not in ours]
        if wanted and self.policy is Policy.SINGLE and any(_read(each, ours) for each in others):
            raise Ended(Answer(Outcome.CONFLICT, "the entry in the directory holds another ORCID iD"))
        kept = [] if wanted and self.policy is Policy.REPLACE else others
        gone = [each for each in entry.values if each != wanted and each not in kept]
        fresh = [wanted] if wanted and wanted not in entry.values else []
        return self._modification(entry, gone, fresh)

    def _modification(self, entry: _Entry, gone: list[bytes], fresh: list[bytes]) -> Changes:
        # An empty list to delete would mean all values; what is deleted comes first, for the new value can be equal
        # to it by the directory's rule
        values = [(ldap3.MODIFY_DELETE, gone)] if gone else []
        values += [(ldap3.MODIFY_ADD, fresh)] if fresh else []
        if not values:
            return {}
        lacking = fresh and self.object_class and self.object_class.lower() not in entry.classes
        classes = {"objectClass": [(ldap3.MODIFY_ADD, [self.object_class.encode()])]} if lacking else {}
        return {**classes, self.attribute: values}

    def _enter(self, deadline: float) -> Line:
        """Give a line to the first server that is in order; each has its share of the time."""
        places, failure = self._places()
        for tried, place in enumerate(places):
            start = time.monotonic()
            line = Line(_credentials(self), place, start + (deadline - start) / (len(places) - tried))
            try:
                self._sign_in(line, place)
            except Ended as ended:
                line.close()
                failure = ended
                if ended.answer.outcome is not Outcome.TEMPORARY:
                    break
            else:
                line.wait_until(deadline)
                return line
        assert failure is not None
        raise failure

    def _places(self) -> tuple[list[Place], Ended | None]:
        """Give the addresses of the servers, and why one has none."""
        places, failure = [], None
        for url in map(urlsplit, self.url.split()):
            try:
                found = socket.getaddrinfo(url.hostname, url.port or PORTS[url.scheme], type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                failure = Ended(Answer(Outcome.TEMPORARY, plain(f"no address of the directory's server: {error}")))
                continue
            places += [Place(url, address) for address in dict.fromkeys(str(each[4][0]) for each in found)]
        return places, failure

    def _sign_in(self, line: Line, place: Place) -> None:
        line.open()
        if place.url.scheme == "ldap" and self.start_tls:
            self._must(line.start_tls())
        if place.url.scheme == "ldaps" or self.start_tls:
            line.encrypt(self._trust(), place.url.hostname or "")
        self._must(line.sign_in())

    def _trust(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate:
                # A key with a password would ask for it at the terminal
                context.load_cert_chain(self.certificate, self.certificate_key, password="")
        except OSError as error:
            message = plain(f"a certificate or key of the service cannot be read: {error.strerror}")
            raise Ended(Answer(Outcome.MISCONFIGURED, message)) from error
        return context

    def _must(self, result: Result) -> None:
        if result.code != SUCCESS:
            raise Ended(self._answer(result))

    def _answer(self, result: Result, entry: _Entry | None = None) -> Answer:
        """Give what a result comes to, with the directory's words and what is to be done, but without DNs."""
        outcome = OUTCOMES.get(result.code, Outcome.REFUSED)
        if outcome is Outcome.STORED:
            return Answer(outcome)
        words = _without(result.words, entry.dn if entry else "", "the entry")
        words = _without(words, self.bind_dn, "the service's account")
        needed = HELP.get(result.code, "").format(attribute=self.attribute, object_class=self.object_class or "a class")
        return Answer(outcome, plain(f"{words}. {needed}" if needed else words))


def _credentials(settings: Ldap) -> dict[str, Any]:
    """Give what ldap3's Connection has to know about who we are."""
    if settings.bind is Bind.EXTERNAL:
        return {"authentication": ldap3.SASL, "sasl_mechanism": ldap3.EXTERNAL, "sasl_credentials": ""}
    return {"authentication": ldap3.SIMPLE, "user": settings.bind_dn, "password": settings.password}


def _is_server(url: SplitResult) -> bool:
    """Tell whether it says a server and nothing else; only a part of what LDAP URLs (RFC 4516) can say."""
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
    """Read a value in whatever form; a bare iD is of the registry that our own iDs are of."""
    registry = next((each.registry for each in ours), None)
    try:
        return OrcidId.parse(value.decode(), bare_means=registry)
    except (UnicodeDecodeError, InvalidOrcidId):
        return None


def _deletes(changes: Changes) -> bool:
    return any(action == ldap3.MODIFY_DELETE for actions in changes.values() for action, _ in actions)


def _without(words: str, dn: str, instead: str) -> str:
    """Put something else in place of a DN, wherever the words say it."""
    return re.sub(re.escape(dn), instead, words, flags=re.IGNORECASE) if dn else words
