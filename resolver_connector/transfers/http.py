"""How every kind that speaks HTTP does so: one place for credentials, TLS, time, size, and what a status means.

A `Receiver` is the other side.  Its subclasses say what is sent and what an answer's body means; here is what they
share.  Redirects are not followed, since credentials would go along; nothing is taken from the environment, since a
`.netrc` or a proxy there would change whom we tell what; nothing is written to a log.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import socket
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError
from urllib3.exceptions import SSLError as SSLError_
from urllib3.exceptions import TimeoutError as TimeoutError_

from resolver_connector.transfers.transfer import Answer, News, Outcome, about, plain

LARGEST_ANSWER = 64 * 1024
LONGEST_WAIT = timedelta(days=1)
"""No `Retry-After` is believed beyond this, lest one slip of theirs silence us for good."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)
_HTML = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)

_STATUSES = {
    401: Outcome.MISCONFIGURED,
    403: Outcome.MISCONFIGURED,
    404: Outcome.UNKNOWN_PERSON,
    405: Outcome.MISCONFIGURED,
    407: Outcome.MISCONFIGURED,
    408: Outcome.TEMPORARY,
    409: Outcome.CONFLICT,
    415: Outcome.MISCONFIGURED,
    425: Outcome.TEMPORARY,
    429: Outcome.TEMPORARY,
}
"""What single statuses mean; for the others their class says it (`_CLASSES`)."""
_CLASSES = {1: Outcome.MISCONFIGURED, 3: Outcome.MISCONFIGURED, 4: Outcome.REFUSED, 5: Outcome.TEMPORARY}

_TROUBLES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Outcome, str], ...] = (
    (ssl.SSLCertVerificationError, Outcome.MISCONFIGURED, "its certificate is not accepted"),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError), Outcome.TEMPORARY, "the connection broke"),
    ((ssl.SSLError, SSLError_), Outcome.MISCONFIGURED, "no TLS connection with it"),
    (NameResolutionError, Outcome.TEMPORARY, "the name of its host is not known"),
    ((requests.Timeout, TimeoutError_, TimeoutError), Outcome.TEMPORARY, "no answer in time"),
    ((requests.ConnectionError, HTTPError), Outcome.TEMPORARY, "the connection broke"),
    (requests.RequestException, Outcome.MISCONFIGURED, "it cannot be asked"),
    (Exception, Outcome.MISCONFIGURED, "it cannot be asked"),
)
"""What each failure of a connection means; the first row counts that fits any of the failure's causes."""


class NoReply(Exception):
    """Nothing came that could be read; `answer` says why, in our words."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.message)
        self.answer = answer


class Deadline:
    """The time that a whole delivery may take, however many requests it needs and however slowly answers drip.

    The time-out of a socket counts from each packet anew; so the connection itself is cut when the time is over.  The
    one thing that cannot be cut is the system's look-up of a host name: after it nothing is sent any more.
    """

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self._timers: list[threading.Timer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()

    @property
    def left(self) -> float:
        """Seconds, never quite none, so that they can be a time-out."""
        return max(self._at - time.monotonic(), 0.001)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._at

    def cuts(self, connection: socket.socket) -> None:
        """Let a new connection end with the time. Raises TimeoutError where that has come already."""
        if self.over:
            raise TimeoutError
        timer = threading.Timer(self.left, _cut, (connection,))
        timer.daemon = True
        timer.start()
        self._timers.append(timer)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, up to LARGEST_ANSWER bytes of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True

    @property
    def ok(self) -> bool:
        """Whether its status says that it went well."""
        return self.status // 100 == 2  # noqa: PLR2004 - RFC 9110 section 15.3

    @property
    def kind(self) -> str:
        """The media type, without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip(" \t").lower()

    @property
    def is_page(self) -> bool:
        """Whether it is a web page: of a portal, a proxy or a web server, and never of an interface."""
        return self.kind in {"text/html", "application/xhtml+xml"} or bool(_HTML.match(self.body))

    @property
    def text(self) -> str:
        """The body as text, whatever it holds."""
        return self.body.decode("utf-8", "replace")

    def object(self) -> dict[str, Any] | None:
        """Give the JSON object it holds, if it holds one."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def words(self, *members: str) -> str:
        """Give what it says in words: the first of these members of its JSON, or else its plain text."""
        said = self.object()
        if said is not None:
            return next((said[name] for name in members if isinstance(said.get(name), str)), "")
        return self.text if self.kind == "text/plain" else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver(ABC):
    """The other side, as the kinds that speak HTTP reach it."""

    url: str = field(metadata=about("The address of the interface.", "https://idm.example.org/orcid"))
    user: str = field(default="", metadata=about("The user of HTTP Basic, sent at once.", "orcid-connect"))
    password: str = field(
        default="", repr=False, metadata=about("The password of that user.", "file:secrets/idm.password", secret=True)
    )
    token: str = field(default="", repr=False, metadata=about("A bearer token.", "file:secrets/idm.token", secret=True))
    ca_file: Path | None = field(
        default=None,
        metadata=about(
            "The certificates (PEM) of whoever issued the receiver's, where it is none of the public ones.", "ca.pem"
        ),
    )
    certificate: Path | None = field(
        default=None, metadata=about("Our certificate (PEM) with its chain, for mutual TLS.", "client.pem")
    )
    certificate_key: Path | None = field(
        default=None, metadata=about("The key of that certificate (PEM, without a password).", "client.key")
    )

    def __post_init__(self) -> None:
        """Hold the settings against each other. Raises ValueError with a sentence."""
        _must_be_guarded(self.url)
        if bool(self.user) != bool(self.password):
            raise ValueError("user and password belong together: give both, or neither")
        if self.user and self.token:
            raise ValueError("there are two ways to sign in, user and token: choose one")
        if ":" in self.user or not self.user.isprintable():
            raise ValueError("user cannot be sent by HTTP Basic: it holds a colon or an unseen character")
        if self.token and not _VISIBLE.fullmatch(self.token):
            raise ValueError("token cannot be sent: it holds something else than letters, digits and signs of ASCII")
        if bool(self.certificate) != bool(self.certificate_key):
            raise ValueError("certificate and certificate_key belong together: give both, or neither")
        if not self._signs_in():
            raise ValueError(f"nothing proves to the receiver that it is us: give {self._proofs()}")

    def deliver(self, news: News, *, now: datetime, seconds: float) -> Answer:
        """Send one piece of news, taking no longer than so many seconds; sending twice is the same as once."""
        with Deadline(seconds) as deadline:
            try:
                answer = self._told(news, now, deadline)
            except NoReply as nothing:
                answer = nothing.answer
        return Answer(answer.outcome, plain(self._without_secrets(answer.message)), answer.retry_after)

    @abstractmethod
    def _told(self, news: News, now: datetime, deadline: Deadline) -> Answer:
        """Send it in this kind's own way. May raise NoReply; the answer's message may be anything."""

    def _signs_in(self) -> bool:
        return bool(self.user or self.token or self.certificate)

    def _proofs(self) -> str:
        return "user and password, token, or certificate"

    def _send(
        self,
        method: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: Deadline,
        url: str = "",
    ) -> Reply:
        """Send one request and read its answer, whatever its status. Raises NoReply."""
        try:
            with _session(deadline) as session:
                session.verify = str(self.ca_file) if self.ca_file else True
                if self.certificate and self.certificate_key:
                    session.cert = (str(self.certificate), str(self.certificate_key))
                with session.request(
                    method,
                    url or self.url,
                    data=body,
                    headers={"Accept-Encoding": "identity", **self._credential(), **headers},
                    timeout=(deadline.left, deadline.left),
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    return _read(response, deadline)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise NoReply(_trouble(error, deadline)) from None

    def _credential(self) -> dict[str, str]:
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        return {"Authorization": f"Basic {self._basic}"} if self.user else {}

    @property
    def _basic(self) -> str:
        # RFC 7617 section 2.1, in UTF-8; requests would write Latin-1
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def _without_secrets(self, text: str) -> str:
        """Take out of their words what was ours: some receivers repeat what they were sent."""
        secrets = [self._basic] if self.user else []
        for each in fields(self):
            if each.metadata["secret"]:
                value = getattr(self, each.name)
                secrets += [value] if isinstance(value, str) else value
        for secret in filter(None, secrets):
            text = text.replace(secret, "…")
        return text


def refusal(reply: Reply, words: str, now: datetime) -> Answer:
    """Give the answer of a status that is not success, with the receiver's words where it has any."""
    outcome = _STATUSES.get(reply.status) or _CLASSES.get(reply.status // 100, Outcome.MISCONFIGURED)
    words = words or f"status {reply.status}"
    if reply.status // 100 == 3:  # noqa: PLR2004 - RFC 9110 section 15.4
        words = f"it sends on ({reply.status}) to {_address(reply)}, and no redirect is followed"
    if outcome is Outcome.UNKNOWN_PERSON and reply.is_page:
        # The web server's own page: there is no interface at this address that could know anybody
        return Answer(Outcome.MISCONFIGURED, f"a web page with status {reply.status}; there is no interface there")
    return Answer(outcome, words, _retry_after(reply, now) if outcome is Outcome.TEMPORARY else None)


def nonsense(reply: Reply, expected: str) -> Answer:
    """Give the answer of a success that cannot be believed, since whoever spoke was not the interface."""
    if not reply.whole:
        return Answer(Outcome.MISCONFIGURED, f"status {reply.status} with more than {LARGEST_ANSWER} bytes")
    found = "a web page" if reply.is_page else "something else"
    return Answer(Outcome.MISCONFIGURED, f"status {reply.status} with {found} instead of {expected}")


def _must_be_guarded(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("url is not an address") from None
    if not host or not _VISIBLE.fullmatch(url) or "#" in url:
        raise ValueError("url is not an address: write https://, the host and the path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url holds a user or a password: write them as user and password")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ValueError("url is not https: people's identifiers go over the network only under TLS")


def _session(deadline: Deadline) -> requests.Session:
    for name in ("urllib3.connection", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(_unheard)
    session = _Session()
    session.trust_env = False
    session.headers.clear()
    session.headers.update({"User-Agent": "orcid-connect", "Accept": "*/*"})
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(deadline))
    return session


def _unheard(_record: logging.LogRecord) -> bool:
    """Drop what urllib3 has to tell: it names addresses, and SCIM's question for a person names the person."""
    return False


class _Session(requests.Session):
    """Sees no redirect: else requests would read the whole body of one, however long, also when it does not follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - what requests passes
        return None


class _Adapter(HTTPAdapter):
    """Lets every connection end with the time."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        pools = {
            "http": _ending(HTTPConnectionPool, HTTPConnection, self._deadline),
            "https": _ending(HTTPSConnectionPool, HTTPSConnection, self._deadline),
        }
        self.poolmanager.pool_classes_by_scheme = pools


def _ending(pool_class: Any, connection_class: Any, deadline: Deadline) -> Any:
    class Connection(connection_class):  # type: ignore[misc]  # a class that is an argument
        def connect(self) -> None:
            super().connect()
            deadline.cuts(self.sock)

    return type(pool_class.__name__, (pool_class,), {"ConnectionCls": Connection})


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        # Not the method of TLS sockets, which first takes apart what another thread is reading from
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _read(response: requests.Response, deadline: Deadline) -> Reply:
    body = b""
    headers = response.headers
    # As it came, not unpacked: we asked for nothing packed, and a small packet may hold a mountain
    while piece := response.raw.read1(8192, decode_content=False):
        body += piece
        if len(body) > LARGEST_ANSWER:
            return Reply(response.status_code, headers, body[:LARGEST_ANSWER], whole=False)
    ends = response.status_code == requests.codes.no_content or _says_where_it_ends(headers)
    if deadline.over or not (body or ends):
        # A connection that breaks among the headers looks to http.client like an answer that has no more of them
        raise requests.ConnectionError
    return Reply(response.status_code, headers, body)


def _says_where_it_ends(headers: Mapping[str, str]) -> bool:
    return "Content-Length" in headers or "Transfer-Encoding" in headers


def _trouble(error: Exception, deadline: Deadline) -> Answer:
    if deadline.over:
        return Answer(Outcome.TEMPORARY, "no answer in time")
    causes = list(_causes(error))
    fitting = ((each, row) for row in _TROUBLES for each in causes if isinstance(each, row[0]))
    cause, (_, outcome, words) = next(fitting)
    return Answer(outcome, f"{words}{_detail(cause)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an error and what led to it; the libraries wrap errors in each other in three ways."""
    waiting, seen = [error], set()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting += [each for each in inner if isinstance(each, BaseException)]


def _detail(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f": {cause.verify_message.rstrip('.')}"
    if isinstance(cause, ssl.SSLError):
        return f": {(cause.reason or '').replace('_', ' ').lower()}".removesuffix(": ")
    if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
        return f": {cause.strerror.lower()}"
    return ""


def _address(reply: Reply) -> str:
    """Give where it sends on to, without what may be secret in it."""
    try:
        parts = urlsplit(reply.headers.get("Location", ""))
    except ValueError:
        return "somewhere"
    return (
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path or "nowhere"
    )


def _retry_after(reply: Reply, now: datetime) -> timedelta | None:
    """Give how long they ask us to wait: seconds or a date (RFC 9110 section 10.2.3)."""
    said = reply.headers.get("Retry-After", "").strip(" \t")
    if said.isascii() and said.isdecimal():
        return min(timedelta(seconds=int(said[:9])), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(said)
        return min(max(until - now, timedelta()), LONGEST_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None
