"""The connector: a small WSGI application that organisations' Identity Providers ask.

It answers in JSON and nothing else: never a redirect, never HTML, always with Content-Length and never compressed,
because an Identity Provider takes anything else for a failure of the whole resolution.  Bottle is not used here: its
own answers to what is wrong are HTML, and each sign-in of each organisation passes through this function.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote
from wsgiref.types import StartResponse

from resolver_connector.credentials import Credentials
from resolver_connector.resolve import resolve
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisation
from sql.errors import SchemaAhead, SchemaBehind, StoreUnavailable
from sql.store import Store


class Report(Protocol):
    """Where a line about what went wrong goes."""

    def __call__(self, word: str, /, **facts: object) -> None:
        """Tell of something that may well happen."""

    def exception(self, error: BaseException) -> None:
        """Tell of a bug."""


_LONGEST_ACCOUNT = 1024

_STATUS = {
    200: "200 OK",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}
_HEADERS = [
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
]
# Basic first: an Identity Provider of version 4 sends its password only after this challenge
_CHALLENGE = [("WWW-Authenticate", 'Basic realm="orcid-connect", charset="UTF-8"'), ("WWW-Authenticate", "Bearer")]
_METHODS = ("GET", "HEAD")


class BadRequest(ValueError):
    """The request cannot be understood; its text says why."""


class NotAuthorised(PermissionError):
    """No credential, or one that is nobody's."""


class NoSuchPlace(LookupError):
    """The address leads nowhere."""


class WrongMethod(LookupError):
    """The address is only for reading."""


@dataclass(frozen=True, slots=True)
class Connector:
    """What the connector works with."""

    store: Store
    credentials: Credentials
    registry: Registry
    report: Report

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        status, body, extra = self._answer(environ)
        start_response(_STATUS[status], [*_HEADERS, ("Content-Length", str(len(body))), *extra])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, environ: Mapping[str, Any]) -> tuple[int, bytes, list[tuple[str, str]]]:
        try:
            return 200, self._found(environ), []
        except tuple(_ANSWERS) as error:
            status, text, extra = _ANSWERS[type(error)]
            if status >= 500:  # noqa: PLR2004 - the class of answers that are ours to mend
                self.report("connector", error=type(error).__name__, reason=str(error))
            return status, _json({"error": text or str(error)}), extra
        except Exception as error:  # noqa: BLE001 - whatever happens, the answer is JSON
            self.report.exception(error)
            return 500, _json({"error": "internal error"}), []

    def _found(self, environ: Mapping[str, Any]) -> bytes:
        if environ["REQUEST_METHOD"] not in _METHODS:
            raise WrongMethod
        path = _path(environ)
        if path == "/v1/health":
            self.store.must_be_ready()
            return _json({"status": "ok"})
        if path != "/v1/people" and not path.startswith("/v1/people/"):
            raise NoSuchPlace
        organisation = self._asking(environ)
        found = resolve(self.store, organisation, _account(environ, path), self.registry)
        return _json({"eduPersonOrcid": [orcid_id.uri for orcid_id in found]})

    def _asking(self, environ: Mapping[str, Any]) -> Organisation:
        organisation = self.credentials.organisation(environ.get("HTTP_AUTHORIZATION", ""))
        if organisation is None:
            raise NotAuthorised
        return organisation


_ANSWERS: dict[type[Exception], tuple[int, str, list[tuple[str, str]]]] = {
    BadRequest: (400, "", []),
    NotAuthorised: (401, "a credential of your organisation is needed", _CHALLENGE),
    NoSuchPlace: (404, "no such address", []),
    WrongMethod: (405, "only GET and HEAD are answered here", [("Allow", ", ".join(_METHODS))]),
    StoreUnavailable: (503, "the database does not answer; try again", [("Retry-After", "5")]),
    SchemaBehind: (503, "the service is being updated; try again", [("Retry-After", "30")]),
    SchemaAhead: (503, "the service is being updated; try again", [("Retry-After", "30")]),
}
"""Each thing that may be wrong: status, text (the error's own where empty), and headers."""


def _path(environ: Mapping[str, Any]) -> str:
    """Give the path in WSGI's Latin-1, decoded once, and %2F like any other character.

    PATH_INFO cannot be trusted with that: behind Apache it holds %2F undecoded (`AllowEncodedSlashes NoDecode`) beside
    decoded characters, so that the accounts `a/b` and `a%2Fb` look the same there.
    """
    sent: str = environ.get("REQUEST_URI", "")
    if sent.startswith("/v1/"):
        return unquote(sent.partition("?")[0], "latin-1")
    return str(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))


def _account(environ: Mapping[str, Any], path: str) -> str:
    if path.startswith("/v1/people/"):
        account = _text(path.removeprefix("/v1/people/"))
    else:
        account = _asked(environ.get("QUERY_STRING", ""))
    if not account:
        raise BadRequest("the account is missing: ask /v1/people/{account}")
    if account.startswith("$"):
        raise BadRequest("the account begins with $: a template variable that was not filled in?")
    if "\0" in account or len(account) > _LONGEST_ACCOUNT:
        raise BadRequest("no account is like this")
    return account


def _asked(query: str) -> str:
    try:
        fields = parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=9)
    except ValueError:
        raise BadRequest("the query cannot be read") from None
    values = fields.get("account", [""])
    if len(values) > 1:
        raise BadRequest("one account at a time")
    return values[0]


def _text(path: str) -> str:
    try:
        return path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise BadRequest("the account is not UTF-8") from None


def _json(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer).encode()
