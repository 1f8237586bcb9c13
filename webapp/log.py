"""Logging to standard error, one line for each event.

A line has the id of the request that it belongs to. No token, code, state or account may be logged. Of an exception,
the class and the place are logged and not the message, because a message may quote personal data.
"""

from __future__ import annotations

import json
import logging
import random
import re
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
MAX_FACT_LENGTH = 1000
_MAX_CHAIN = 10
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+", re.ASCII)

_logger = logging.getLogger(NAME)
request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this thread processes; empty outside a request."""


class Log:
    """The log of the product."""

    def __call__(self, event: str, /, **facts: object) -> None:
        """Log an event.

        Args:
            event: Its name, as in docs/problems.md.
            facts: What is known about it; each value is written as text on the same line.
        """
        _logger.info(event, extra={"facts": facts})

    def warning(self, event: str, /, **facts: object) -> None:
        """Log an event that the operator should act on."""
        _logger.warning(event, extra={"facts": facts})

    def exception(self, error: BaseException) -> None:
        """Log an unexpected exception: its class and where it was raised."""
        _logger.error("bug", extra={"facts": _describe(error)})


log = Log()


def configure_logging(log_format: str, *, once: bool = False) -> None:
    """Log to standard error, at level `info`; libraries at level `warning`.

    A later call replaces an earlier one.

    Args:
        log_format: A key of `FORMATS`.
        once: Whether to write equal lines once; for commands, during which a library may repeat itself.
    """
    root = logging.getLogger()
    for old in [each for each in root.handlers if each.get_name() == NAME]:
        root.removeHandler(old)
    handler = logging.StreamHandler()
    handler.set_name(NAME)
    handler.setFormatter(FORMATS[log_format]())
    handler.addFilter(_RequestIdFilter())
    if once:
        handler.addFilter(_OnceFilter())
    root.addHandler(handler)
    _logger.setLevel(logging.INFO)


def with_request_id(application: WSGIApplication) -> WSGIApplication:
    """Return the application with a random request id in its log lines.

    An id that a client sends is ignored. The id stays set until the thread's next request, because a streamed response
    is produced after the call.
    """

    def with_id(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_id.set(f"{random.getrandbits(64):016x}")
        return application(environ, start_response)

    return with_id


def format_line(event: str, facts: dict[str, Any]) -> str:
    """Return an event as `event key=value key="two words"`."""
    return " ".join([quote_value(event), *(f"{quote_value(key)}={quote_value(value)}" for key, value in facts.items())])


def quote_value(value: object) -> str:
    """Return a value as one word of a log line.

    It is a JSON string if it has spaces, quotation marks, `=` or control characters.
    """
    text = _short(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


class TextFormatter(logging.Formatter):
    """Formats records as `event key=value request_id=…`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line."""
        event, facts = _event_and_facts(record)
        return format_line(event, facts | _request_of(record))


class JsonLineFormatter(JsonFormatter):
    """Formats records as JSON objects: time, level, event, facts and request id."""

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Add the members of the object, in place of those of the base class."""
        del message_dict  # a traceback, whose last line is the exception's message
        event, facts = _event_and_facts(record)
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname.lower()
        log_data["event"] = event
        log_data["facts"] = {
            key: value if isinstance(value, bool | int | float | None) else _short(value)
            for key, value in facts.items()
        }
        log_data.update(_request_of(record))


FORMATS: dict[str, Callable[[], logging.Formatter]] = {"text": TextFormatter, "json": JsonLineFormatter}


class _RequestIdFilter(logging.Filter):
    """Adds the id of the request to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id; every record passes."""
        record.request_id = request_id.get()
        return True


class _OnceFilter(logging.Filter):
    """Drops lines that were written before."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is new."""
        text = format_line(*_event_and_facts(record))
        new = text not in self._seen
        self._seen.add(text)
        return new


def _request_of(record: logging.LogRecord) -> dict[str, str]:
    found = getattr(record, "request_id", "")
    return {"request_id": found} if found else {}


def _event_and_facts(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    facts: dict[str, Any] | None = getattr(record, "facts", None)
    if facts is not None:
        return record.getMessage(), facts
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and record.name == NAME:
        return record.getMessage(), _describe(error)
    # A record of a library
    return record.name, {"message": record.getMessage()} if error is None else _describe(error)


def _describe(error: BaseException) -> dict[str, str]:
    places = [
        f"{Path(frame.filename).parent.name}/{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    return {"error": " from ".join(_classes(error)), "at": " > ".join(places[-_MAX_CHAIN:])}


def _classes(error: BaseException | None) -> list[str]:
    names: list[str] = []
    while error is not None and len(names) < _MAX_CHAIN:
        names.append(type(error).__name__)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return names


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= MAX_FACT_LENGTH else text[:MAX_FACT_LENGTH] + "…"
