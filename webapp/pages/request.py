"""Requests that handlers receive, and responses that they return."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import IO, Any
from urllib.parse import parse_qs

import bottle

from shibboleth.person import Person
from sql.records import PersonStatus
from webapp.auth.browser import Browser
from webapp.auth.cookies import OWS
from webapp.auth.display import DisplayedPerson
from webapp.i18n.language import ChosenBy, Language, LanguageChoice
from webapp.linking.return_address import ReturnAddress

MAX_UPLOAD_BYTES = 8 * 1024 * 1024
"""Largest body of a form with a file."""
_MAX_FORM_BYTES = 16 * 1024
_MAX_FIELDS = 50


class RepeatedParameter(ValueError):
    """A query parameter or form field came more than once."""


class FormTooLarge(ValueError):
    """The request is larger than any form of this service."""


class UploadTooLarge(FormTooLarge):
    """The form with its file has more than MAX_UPLOAD_BYTES."""


class IncompleteForm(ValueError):
    """The body did not arrive whole, or is not framed as HTTP/1.1 requires."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request, as handlers receive it."""

    language_choice: LanguageChoice
    now: datetime
    browser: Browser
    query: Mapping[str, list[str]] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """The files of a form, by the name of the field; of routes with `uploads` only."""
    path_params: Mapping[str, str] = field(default_factory=dict)
    optional_person: Person | None = None
    person_status: PersonStatus = PersonStatus(None)  # noqa: RUF009 - a frozen value
    """The person's link and its deliveries, after a link of the account's earlier holder was ended."""
    path: str = "/"
    displayed_person: DisplayedPerson | None = None
    """Who is signed in; on public pages according to the display cookie, so that nothing may depend on it."""
    open_attempt_id: str = ""
    """From the attempt cookie: an attempt that the user may still confirm."""
    return_address: ReturnAddress | None = None
    """The address of the service that sent the person here, from the query or the form."""
    authorization: str = field(default="", repr=False)
    """The Authorization header."""

    def parameter(self, name: str) -> str:
        """Return a query parameter, or an empty string without it.

        Raises:
            RepeatedParameter: If it came more than once.
        """
        values = self.query.get(name, [""])
        if len(values) > 1:
            raise RepeatedParameter
        return values[0]

    def carry_return(self, path: str) -> str:
        """Return a path of this service with the return address in its query."""
        return path + (self.return_address.query if self.return_address else "")

    @property
    def language(self) -> Language:
        """The language of the response."""
        return self.language_choice.language

    @property
    def language_query(self) -> str:
        """The query string that carries a chosen language before the sign-in."""
        return f"?lang={self.language.code}" if self.language_choice.by is ChosenBy.ADDRESS else ""

    @property
    def person(self) -> Person:
        """The authenticated person; every route with `Access.PERSON` has one."""
        if self.optional_person is None:
            raise AssertionError("a handler of a public route asked for the person")
        return self.optional_person


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML page."""

    template: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect by GET (303)."""

    to: str
    """A path of this service, or a whole URL."""
    open_attempt_id: str = ""
    """The attempt to keep in the attempt cookie; none where empty."""
    signs_out: bool = False
    """Whether the display cookie is deleted."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response that is not a page: a static file, a download, a health check."""

    body: bytes | IO[bytes]
    """A file is read to its end and closed by the server."""
    content_type: str
    status: int = 200
    immutable: bool = False
    """Whether browsers and proxies may keep it for ever."""
    filename: str = ""
    """The name under which browsers save it; they show it where empty."""
    headers: Mapping[str, str] = field(default_factory=dict)


def parse_fields(text: str) -> dict[str, list[str]]:
    """Parse a query string or a form body.

    Raises:
        FormTooLarge: If it has more than 50 fields.
    """
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise FormTooLarge from None


def read_form(environ: Mapping[str, Any], query: Container[str] = ()) -> dict[str, str]:
    """Read the form of a POST request; empty for other methods.

    Args:
        environ: The request.
        query: The parameters of its query.

    Raises:
        FormTooLarge: If it has more than 16 KiB or 50 fields.
        IncompleteForm: If the body did not arrive whole.
        RepeatedParameter: If a field came more than once, or in the query too; no form of this service has such a
            field.
    """
    if environ.get("REQUEST_METHOD") != "POST":
        return {}
    fields = parse_fields(_read_body(environ).decode("utf-8", "replace"))
    if any(len(values) > 1 or name in query for name, values in fields.items()):
        raise RepeatedParameter
    return {name: values[0] for name, values in fields.items()}


class _UploadRequest(bottle.BaseRequest):  # type: ignore[misc]  # Bottle has no types
    # So that Bottle keeps the body and the files in memory, and writes none to a temporary file
    MEMFILE_MAX = MAX_UPLOAD_BYTES


def read_upload(environ: Mapping[str, Any], query: Container[str] = ()) -> tuple[dict[str, str], dict[str, bytes]]:
    """Read a form that may have files (`multipart/form-data`).

    Other forms are read as by `read_form`. Nothing is written to the disk.

    Returns:
        The fields, and the content of the files, by the name of their field. A field for a file that has none is empty.

    Raises:
        UploadTooLarge: If it has more than MAX_UPLOAD_BYTES.
        FormTooLarge: If it has more than 50 fields.
        IncompleteForm: If the body did not arrive whole, or is not valid.
        RepeatedParameter: As `read_form`.
    """
    content_type = environ.get("CONTENT_TYPE", "")
    if environ.get("REQUEST_METHOD") != "POST" or not content_type.lower().startswith("multipart/form-data"):
        return read_form(environ, query), {}
    try:
        body = _read_body(environ, MAX_UPLOAD_BYTES)
    except FormTooLarge:
        raise UploadTooLarge from None
    whole = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}
    try:
        found = _UploadRequest({"REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type, **whole}).POST
        values = [(name, found.getall(name)) for name in found]
    except (bottle.HTTPError, ValueError, LookupError):
        raise IncompleteForm from None
    if len(values) > _MAX_FIELDS:
        raise FormTooLarge
    if any(len(of_name) > 1 or name in query for name, of_name in values):
        raise RepeatedParameter
    fields, files = {}, {}
    for name, (value,) in values:
        if isinstance(value, bottle.FileUpload):
            files[name] = value.file.read()
        else:
            fields[name] = value
    return fields, files


def _read_body(environ: Mapping[str, Any], max_bytes: int = _MAX_FORM_BYTES) -> bytes:
    # The same under every server: mod_wsgi and granian hand on chunks with Transfer-Encoding, waitress with a length.
    # Without either there is no body (RFC 9112, section 6.3)
    length, encoding = environ.get("CONTENT_LENGTH") or "0", environ.get("HTTP_TRANSFER_ENCODING", "")
    if encoding.strip(OWS).lower() not in {"", "chunked"} or not (length.isascii() and length.isdecimal()):
        raise IncompleteForm
    # Python refuses to convert thousands of digits
    length = length.lstrip("0")
    if not encoding and (len(length) > len(str(max_bytes)) or int(length or 0) > max_bytes):
        raise FormTooLarge
    size = max_bytes + 1 if encoding else int(length or 0)
    body = bytearray()
    try:
        while len(body) < size and (chunk := environ["wsgi.input"].read(size - len(body))):
            body += chunk
    except OSError:
        # mod_wsgi: the client closed the connection, or was too slow
        raise IncompleteForm from None
    if len(body) > max_bytes:
        raise FormTooLarge
    if not encoding and len(body) < size:
        raise IncompleteForm
    return bytes(body)
