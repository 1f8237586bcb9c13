"""LDAP: the person's entry in the directory is found, and one modify puts the iD on it, or takes it off.

Two values of the attribute can name one iD (`http://…`, `https://…`, bare), and the directory keeps both: its rule
`caseIgnoreMatch` does not know that they are the same.  So what is there is read, compared as iDs, and the old form
is deleted in the same modify that adds the new.  A value is deleted by its exact text; if somebody changed it in
between, the directory refuses the whole modify, and the entry is read again, once.

What differs between OpenLDAP, 389 Directory Server and Active Directory is told by result codes (RFC 4511, A.1) and
handled by settings: `object_class = ""` where the class belongs to every user, `filter` for the name of the key.

TLS is our own part, not ldap3's: Python checks certificate and host name while it shakes hands, by every version of
Python the same.  This is the only file that imports ldap3.
"""

from __future__ import annotations

import re
import socket
import ssl
import string
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar
from unicodedata import normalize
from urllib.parse import SplitResult, urlsplit

import ldap3
from ldap3.core.exceptions import LDAPCommunicationError, LDAPException
from ldap3.operation.search import parse_filter

from resolver_connector.transfers.transfer import Answer, News, Outcome, Policy, ValueForm, about, plain
from shibboleth.orcid_id import InvalidOrcidId, OrcidId

START_TLS = "1.3.6.1.4.1.1466.20037"
"""RFC 4511, 4.14.1."""
LONGEST_TALK = 1_000_000
"""So many octets of a server's are read, and no more: the entry of a person is a few thousand."""
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
PORTS = {"ldap": 389, "ldaps": 636}
PLACEHOLDERS = {"account", "user", "scope"}
PLACEHOLDER = re.compile(r"\{(account|user|scope)\}")
ANY_PLACEHOLDER = re.compile(r"\{(.*?)\}")
PLAIN_IN_FILTERS = string.ascii_letters + string.digits

SUCCESS, SIZE_LIMIT, NO_SUCH_ATTRIBUTE, UNDEFINED_TYPE, VALUE_EXISTS, NO_SUCH_OBJECT = 0, 4, 16, 17, 20, 32
RACES = {NO_SUCH_ATTRIBUTE, VALUE_EXISTS}
"""What a modify is answered when the entry is not any more as it was read."""

OUTCOMES = {
    SUCCESS: Outcome.STORED,
    NO_SUCH_ATTRIBUTE: Outcome.TEMPORARY,  # still, after the entry was read again
    VALUE_EXISTS: Outcome.CONFLICT,  # still: the attribute holds one value only, or the two are equal there
    NO_SUCH_OBJECT: Outcome.UNKNOWN_PERSON,
    19: Outcome.CONFLICT,  # constraintViolation
    **dict.fromkeys(
        # timeLimitExceeded adminLimitExceeded busy unavailable other
        (3, 11, 51, 52, 80),
        Outcome.TEMPORARY,
    ),
    **dict.fromkeys(
        # operationsError protocolError authMethodNotSupported strongerAuthRequired referral
        # unavailableCriticalExtension confidentialityRequired undefinedAttributeType inappropriateMatching
        # invalidAttributeSyntax invalidDNSyntax inappropriateAuthentication invalidCredentials
        # insufficientAccessRights unwillingToPerform objectClassViolation objectClassModsProhibited
        (1, 2, 7, 8, 10, 12, 13, 17, 18, 21, 34, 48, 49, 50, 53, 65, 69),
        Outcome.MISCONFIGURED,
    ),
}
"""What each result code (RFC 4511, 4.1.9) comes to; a code that is not here is a refusal."""

_TLS_ASKED = "The directory wants TLS: ldaps://, or start_tls = true."
_COPY = "This server is a copy that cannot be written to: url has to name one that can."
_RIGHTS = (
    "The service's account needs the right to write {attribute}, and to add {object_class} to objectClass wherever "
    "an entry lacks it."
)
HELP = {
    7: "The directory does not take this kind of bind.",
    8: _TLS_ASKED,
    10: _COPY,
    13: _TLS_ASKED,
    17: "The directory does not know {attribute}: its schema has to be loaded, or attribute has to be another.",
    21: "The directory takes no such value of {attribute}: value_form has to be another.",
    49: "The directory did not let the service in: bind_dn and password, or the certificate, are not as it has them.",
    50: _RIGHTS,
    53: _COPY,
    65: "Entries may not hold {attribute} without an object class that allows it: object_class has to name it.",
}
"""What is to be done, for the codes where that is known."""


_Changes = dict[str, list[tuple[str, list[bytes]]]]
"""A modify, as ldap3 takes it: what to do with which values, by attribute."""


class Bind(StrEnum):
    """How the service shows the directory who it is."""

    SIMPLE = "simple"
    """By `bind_dn` and `password`."""
    EXTERNAL = "external"
    """By its TLS certificate: SASL EXTERNAL."""


class _Ended(Exception):
    """There is nothing more to do: this is what came of it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.outcome)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class _Result:
    """What the directory said to one request."""

    code: int
    words: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A person's entry as it was read."""

    dn: str
    classes: frozenset[str]
    """In lower case."""
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """One address of one server."""

    url: SplitResult
    address: str

    @property
    def port(self) -> int:
        return self.url.port or PORTS[self.url.scheme]


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
        yield "filter cannot be read: see RFC 4515", not _is_filter(self.filter)
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
        except _Ended as ended:
            return ended.answer

    def _tell(self, line: _Line, news: News) -> Answer:
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

    def _find(self, line: _Line, account: str) -> _Entry:
        """Read the one entry of a person; two are none."""
        if not _is_unmistakable(account):
            raise _Ended(Answer(Outcome.UNKNOWN_PERSON, "the directory would take this account for another"))
        result, found = line.search(self.base, _filled(self.filter, account), ["objectClass", self.attribute])
        if len(found) > 1 or result.code == SIZE_LIMIT:
            raise _Ended(Answer(Outcome.CONFLICT, "more than one entry of the directory fits this account"))
        if result.code == NO_SUCH_OBJECT:
            message = "the directory has no such base, or does not show it to the service's account"
            raise _Ended(Answer(Outcome.MISCONFIGURED, message))
        if result.code != SUCCESS:
            raise _Ended(self._answer(result))
        if not found:
            raise _Ended(Answer(Outcome.UNKNOWN_PERSON, "no entry of the directory fits this account"))
        return _entry(found[0], self.attribute)

    def _changes(self, entry: _Entry, news: News) -> _Changes:
        """Give what has to change on the entry; nothing where all is as it should be."""
        wanted = self.value_form.write(news.orcid_id).encode() if news.orcid_id else None
        ours = {each for each in (news.orcid_id, news.previous) if each}
        others = [each for each in entry.values if _read(each, ours) not in ours]
        if wanted and self.policy is Policy.SINGLE and any(_read(each, ours) for each in others):
            raise _Ended(Answer(Outcome.CONFLICT, "the entry in the directory holds another ORCID iD"))
        kept = [] if wanted and self.policy is Policy.REPLACE else others
        gone = [each for each in entry.values if each != wanted and each not in kept]
        fresh = [wanted] if wanted and wanted not in entry.values else []
        return self._modification(entry, gone, fresh)

    def _modification(self, entry: _Entry, gone: list[bytes], fresh: list[bytes]) -> _Changes:
        # An empty list to delete would mean all values; what is deleted comes first, for the new value can be equal
        # to it by the directory's rule
        values = [(ldap3.MODIFY_DELETE, gone)] if gone else []
        values += [(ldap3.MODIFY_ADD, fresh)] if fresh else []
        if not values:
            return {}
        lacking = fresh and self.object_class and self.object_class.lower() not in entry.classes
        classes = {"objectClass": [(ldap3.MODIFY_ADD, [self.object_class.encode()])]} if lacking else {}
        return {**classes, self.attribute: values}

    def _enter(self, deadline: float) -> _Line:
        """Give a line to the first server that is in order; each has its share of the time."""
        places, failure = self._places()
        for tried, place in enumerate(places):
            start = time.monotonic()
            line = _Line(self, place, start + (deadline - start) / (len(places) - tried))
            try:
                self._sign_in(line, place)
            except _Ended as ended:
                line.close()
                failure = ended
                if ended.answer.outcome is not Outcome.TEMPORARY:
                    break
            else:
                line.wait_until(deadline)
                return line
        assert failure is not None
        raise failure

    def _places(self) -> tuple[list[_Place], _Ended | None]:
        """Give the addresses of the servers, and why one has none."""
        places, failure = [], None
        for url in map(urlsplit, self.url.split()):
            try:
                found = socket.getaddrinfo(url.hostname, url.port or PORTS[url.scheme], type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                failure = _Ended(Answer(Outcome.TEMPORARY, plain(f"no address of the directory's server: {error}")))
                continue
            places += [_Place(url, address) for address in dict.fromkeys(str(each[4][0]) for each in found)]
        return places, failure

    def _sign_in(self, line: _Line, place: _Place) -> None:
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
            raise _Ended(Answer(Outcome.MISCONFIGURED, message)) from error
        return context

    def _must(self, result: _Result) -> None:
        if result.code != SUCCESS:
            raise _Ended(self._answer(result))

    def _answer(self, result: _Result, entry: _Entry | None = None) -> Answer:
        """Give what a result comes to, with the directory's words and what is to be done, but without DNs."""
        outcome = OUTCOMES.get(result.code, Outcome.REFUSED)
        if outcome is Outcome.STORED:
            return Answer(outcome)
        words = _without(result.words, entry.dn if entry else "", "the entry")
        words = _without(words, self.bind_dn, "the service's account")
        needed = HELP.get(result.code, "").format(attribute=self.attribute, object_class=self.object_class or "a class")
        return Answer(outcome, plain(f"{words}. {needed}" if needed else words))


class _Line:
    """A connection to one server of the directory; every way in which it can break ends as `_Ended`."""

    def __init__(self, settings: Ldap, place: _Place, deadline: float) -> None:
        self._deadline = deadline
        self._socket: _TimedSocket | None = None
        server = ldap3.Server(
            place.address,
            port=place.port,
            get_info=ldap3.NONE,  # with the schema, ldap3 would refuse an attribute by itself, by an exception
            connect_timeout=max(deadline - time.monotonic(), 0.001),
        )
        self._connection = ldap3.Connection(
            server, **_credentials(settings), auto_referrals=False, auto_range=False, check_names=False
        )

    def open(self) -> None:
        """Connect, without a word."""
        self._do(lambda: self._connection.open(read_server_info=False))
        self._socket = self._connection.socket = _TimedSocket(self._connection.socket, self._deadline)

    def start_tls(self) -> _Result:
        """Ask for TLS; on success the next that is sent has to be its handshake."""
        return self._ask(lambda: self._connection.extended(START_TLS))

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Shake hands, and check that the certificate is this host's."""
        assert self._socket is not None
        try:
            self._socket.encrypt(context, host)
        except ssl.SSLCertVerificationError as error:
            message = plain(f"the certificate of the directory's server is not accepted: {error.verify_message}")
            raise _Ended(Answer(Outcome.MISCONFIGURED, message)) from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise _Ended(_broken(error)) from error
        except ssl.SSLError as error:
            message = plain(f"no TLS with the directory: {error.reason}")
            raise _Ended(Answer(Outcome.MISCONFIGURED, message)) from error
        except OSError as error:
            raise _Ended(_broken(error)) from error

    def sign_in(self) -> _Result:
        """Say who we are."""
        return self._ask(lambda: self._connection.bind(read_server_info=False))

    def wait_until(self, deadline: float) -> None:
        """Have patience until then, from now on."""
        assert self._socket is not None
        self._socket.deadline = deadline

    def search(self, base: str, wanted: str, attributes: list[str]) -> tuple[_Result, list[dict[str, Any]]]:
        """Give two entries at most that the filter fits, below the base; what only refers elsewhere is left out."""
        never = ldap3.DEREF_NEVER
        search = self._connection.search
        result = self._ask(lambda: search(base, wanted, dereference_aliases=never, attributes=attributes, size_limit=2))
        return result, [each for each in self._connection.response or () if each["type"] == "searchResEntry"]

    def modify(self, dn: str, changes: _Changes) -> _Result:
        """Change one entry, all of it or nothing."""
        return self._ask(lambda: self._connection.modify(dn, changes))

    def close(self) -> None:
        """Take leave, if there is somebody to take it of."""
        with suppress(OSError, LDAPException):
            self._connection.unbind()
        if self._connection.socket:
            self._connection.socket.close()

    def _ask(self, act: Callable[[], object]) -> _Result:
        self._do(act)
        result = self._connection.result
        said = (result["description"], result["message"])
        return _Result(result["result"], ": ".join(each for each in said if each))

    def _do(self, act: Callable[[], object]) -> None:
        try:
            act()
        except (OSError, LDAPCommunicationError) as error:
            raise _Ended(_broken(error)) from error
        except Exception as error:  # what is not LDAP makes ldap3 stumble in every possible way
            message = "what answers there does not speak LDAP, or cannot be asked what the settings say"
            raise _Ended(Answer(Outcome.MISCONFIGURED, message)) from error


class _TimedSocket:
    """A socket on which nothing outlasts the deadline, however slowly the other side talks, or however much."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        # Otherwise the last of our packets waits for the other side to confirm the one before, 40 ms each time
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._heard = 0
        self.deadline = deadline

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        self._socket.settimeout(self._left())
        self._socket = context.wrap_socket(self._socket, server_hostname=host)

    def recv(self, size: int) -> bytes:
        self._socket.settimeout(self._left())
        heard = self._socket.recv(size)
        self._heard += len(heard)
        if self._heard > LONGEST_TALK:
            raise OSError("it does not stop talking")
        return heard

    def sendall(self, message: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(message)

    def shutdown(self, how: int) -> None:
        self._socket.shutdown(how)

    def close(self) -> None:
        self._socket.close()

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


def _broken(error: Exception) -> Answer:
    """Give what a broken connection comes to."""
    if isinstance(error, TimeoutError):
        return Answer(Outcome.TEMPORARY, "no answer from the directory in time")
    return Answer(Outcome.TEMPORARY, plain(f"no connection with the directory: {error}"))


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


def _is_filter(text: str) -> bool:
    try:
        parse_filter(_filled(text, "user@scope"), None, True, True, None, False)
    except LDAPException:
        return False
    return True


def _is_unmistakable(account: str) -> bool:
    """Tell whether an account can be asked for by a directory's rules, which look away from much (RFC 4518, 2).

    `𝓂aija` is `maija` there, and blanks at the ends are nothing; for us these are other people.
    """
    return plain(account) == account and normalize("NFKC", account) == normalize("NFC", account)


def _filled(template: str, account: str) -> str:
    """Put an account into a filter."""
    user, at, scope = account.rpartition("@")
    said = {"account": account, "user": user if at else account, "scope": scope if at else ""}
    return PLACEHOLDER.sub(lambda found: _escaped(said[found[1]]), template)


def _escaped(text: str) -> str:
    """Write text so that it means nothing but itself in a filter: each octet as RFC 4515 (3) allows it for any.

    More is escaped than has to be, for ldap3 takes blanks off and looks for `~=` and `:=` on its own.
    """
    return "".join(chr(each) if chr(each) in PLAIN_IN_FILTERS else f"\\{each:02x}" for each in text.encode())


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


def _deletes(changes: _Changes) -> bool:
    return any(action == ldap3.MODIFY_DELETE for actions in changes.values() for action, _ in actions)


def _without(words: str, dn: str, instead: str) -> str:
    """Put something else in place of a DN, wherever the words say it."""
    return re.sub(re.escape(dn), instead, words, flags=re.IGNORECASE) if dn else words
