"""Reads the federation's metadata from a file or from an https address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import requests

from shibboleth.deadline import BoundedThreads, Deadline
from webapp.cli.errors import CommandError
from webapp.cli.output import printable

MAX_METADATA = 200 * 1024 * 1024
"""Bytes; the metadata of all federations together (eduGAIN) has about 100 MB."""
TIMEOUT = 120.0
"""Seconds for the whole download."""
_PART_TIMEOUT = 20.0
_CHUNK = 256 * 1024


def read_source(place: str) -> bytes:
    """Return the metadata at a path or an https address.

    Raises:
        CommandError: If it cannot be read, is too large, or does not arrive in time.
    """
    if "://" not in place:
        try:
            with Path(place).open("rb") as file:
                data = file.read(MAX_METADATA + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            raise CommandError(printable(f"{place}: {reason}")) from None
        _require_size(data, place)
        return data
    if urlsplit(place).scheme != "https":
        raise CommandError("--metadata is a file, or an address that begins with https://")
    deadline = Deadline(TIMEOUT)
    try:
        # In a thread, because time-outs of sockets begin again with each packet
        return BoundedThreads(1).run(lambda: _download(place, deadline), deadline)
    except TimeoutError:
        raise CommandError(printable(f"{place}: it did not arrive in {TIMEOUT:.0f} seconds")) from None
    except (requests.RequestException, ValueError) as error:
        raise CommandError(printable(f"{place}: cannot be fetched ({type(error).__name__})")) from None


def read_certificate(path: Path) -> str:
    """Return the text of the file of the federation's certificate.

    Raises:
        CommandError: If the file cannot be read, or is not text.
    """
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a certificate in PEM"
        raise CommandError(f"the federation's certificate {path}: {reason}") from None


def _download(url: str, deadline: Deadline) -> bytes:
    with requests.Session() as session:
        # Unlike elsewhere the environment counts: the operator runs this, with their proxy and authorities
        response = session.get(url, timeout=_PART_TIMEOUT, stream=True, allow_redirects=False)
        with response:
            if response.status_code != requests.codes.ok:
                raise CommandError(printable(f"{url}: the server answered {response.status_code}"))
            data = bytearray()
            for chunk in response.iter_content(_CHUNK):
                data += chunk
                _require_size(data, url)
                deadline.check()
    return bytes(data)


def _require_size(data: bytes | bytearray, place: str) -> None:
    if len(data) > MAX_METADATA:
        raise CommandError(printable(f"{place}: it is larger than {MAX_METADATA // 1024 // 1024} MiB"))
