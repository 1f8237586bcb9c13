"""Logging: one line for each event on standard error, with the id of the request that it belongs to.

A fact is text: whatever it holds, it stays one fact on one line. No token, code, state or account belongs in the log,
and an exception is told by its class and where it happened, never by its message, which may quote a person.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import traceback
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pythonjsonlogger.json import JsonFormatter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NAME = "orcid-connect"
LONGEST_FACT = 1000
_LONGEST_CHAIN = 10
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+", re.ASCII)

_logger = logging.getLogger(NAME)
request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this thread answers; empty outside a request."""


class Log:
    """The product's log; call it with the word of an event and facts about it."""

    def __call__(self, word: str, /, **facts: object) -> None:
        """Log an event."""
        _logger.info(word, extra={"facts": facts})

    def exception(self, error: BaseException) -> None:
        """Log a bug: the exception's class and where it happened."""
        _logger.error("bug", extra={"facts": _where(error)})


log = Log()


def configure_logging(form: str, *, once: bool = False) -> None:
    """Send the log to standard error, ours from `info` on and the libraries' from `warning` on; the last call counts.

    Args:
        form: One of `FORMATS`.
        once: Whether to write equal lines once: for commands, where a library may repeat itself while a user waits.

    """
    root = logging.getLogger()
    for old in [each for each in root.handlers if each.get_name() == NAME]:
        root.removeHandler(old)
    handler = logging.StreamHandler()
    handler.set_name(NAME)
    handler.setFormatter(FORMATS[form]())
    handler.addFilter(_RequestId())
    if once:
        handler.addFilter(_Once())
    root.addHandler(handler)
    _logger.setLevel(logging.INFO)


def with_request_id(application: WSGIApplication) -> WSGIApplication:
    """Give each request a random id, which each line of the log about it carries; one that a client sends is ignored.

    The id stays set after the call, since a streamed answer is made later, and until the thread's next request.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_id.set(secrets.token_hex(8))
        return application(environ, start_response)

    return answer


def line(word: str, facts: dict[str, Any]) -> str:
    """Write a word and facts as `word key=value key="two words"`."""
    return " ".join([quoted(word), *(f"{quoted(key)}={quoted(value)}" for key, value in facts.items())])


def quoted(value: object) -> str:
    """Write a value so that no space, quote, equals sign, line feed or terminal sequence in it means anything."""
    text = _short(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


class Text(logging.Formatter):
    """`word key=value request_id=…`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        word, facts = _told(record)
        return line(word, facts | _request_of(record))


class Json(JsonFormatter):
    """One JSON object a line: time, level, word, facts, and the request's id."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Fill the object, in place of what the base class would take from the record."""
        del message_dict  # a traceback, whose last line is the exception's message
        word, facts = _told(record)
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname.lower()
        log_data["word"] = word
        log_data["facts"] = {
            key: value if isinstance(value, bool | int | float | None) else _short(value)
            for key, value in facts.items()
        }
        log_data.update(_request_of(record))


FORMATS: dict[str, Callable[[], logging.Formatter]] = {"text": Text, "json": Json}


class _RequestId(logging.Filter):
    """Notes on each record which request it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        record.request_id = request_id.get()
        return True


class _Once(logging.Filter):
    """Lets each line through once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether this is the first time."""
        text = line(*_told(record))
        new = text not in self._seen
        self._seen.add(text)
        return new


def _request_of(record: logging.LogRecord) -> dict[str, str]:
    found = getattr(record, "request_id", "")
    return {"request_id": found} if found else {}


def _told(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    facts: dict[str, Any] | None = getattr(record, "facts", None)
    if facts is not None:
        return record.getMessage(), facts
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and record.name == NAME:
        return record.getMessage(), _where(error)
    # A library's line: whose it is, and what it says
    return record.name, {"says": record.getMessage()} if error is None else _where(error)


def _where(error: BaseException) -> dict[str, str]:
    places = [
        f"{Path(frame.filename).parent.name}/{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    return {"error": " from ".join(_classes(error)), "at": " > ".join(places[-_LONGEST_CHAIN:])}


def _classes(error: BaseException | None) -> list[str]:
    names: list[str] = []
    while error is not None and len(names) < _LONGEST_CHAIN:
        names.append(type(error).__name__)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return names


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_FACT else text[:LONGEST_FACT] + "…"
