"""The log: one line for each event, a word and facts, on standard error.

A fact is text: whatever it holds, it stays one fact on one line. No token, code, state or account belongs here, and
a bug is told by where it happened and never by its message, since a message may quote a person.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

NAME = "orcid-connect"
LONGEST_FACT = 1000
_LONGEST_CHAIN = 10
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+", re.ASCII)

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Log:
    """Writes lines; call it with a word and facts."""

    __slots__ = ("_logger",)

    def __init__(self, name: str = NAME) -> None:
        self._logger = logging.getLogger(name)

    def __call__(self, word: str, /, **facts: object) -> None:
        """Write a line about something that happened."""
        if self._logger.isEnabledFor(logging.INFO):
            self._logger.handle(_Line(self._logger.name, word, facts))

    def exception(self, error: BaseException) -> None:
        """Write a line about a bug: its class and where it happened."""
        self._logger.error("bug", extra={"facts": _where(error)})


log = Log()


def set_up(form: str, *, once: bool = False) -> None:
    """Send the log to standard error in this form (`FORMATS`): ours from `info` on, others' from `warning` on.

    With `once`, what a library says again and again is written once: for a command that somebody waits for. The last
    call counts.
    """
    # No line tells them, and asking costs as much as the line (the logging HOWTO's "Optimization")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _StandardError)]:
        root.removeHandler(handler)
    handler = _StandardError()
    handler.setFormatter(FORMATS[form]())
    if once:
        handler.addFilter(_Once())
    root.addHandler(handler)
    logging.getLogger(NAME).setLevel(logging.INFO)


def line(word: str, facts: dict[str, Any]) -> str:
    """Write a word and facts as `word key=value key="two words"`."""
    return " ".join([quoted(word), *(f"{quoted(key)}={quoted(value)}" for key, value in facts.items())])


def quoted(value: object) -> str:
    """Write a value so that no space, quote, equals sign, line feed or terminal sequence in it means anything."""
    text = _short(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


class Text(logging.Formatter):
    """`word key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        word, facts = _told(record)
        return line(word, facts)


class Json(logging.Formatter):
    """One JSON object a line: time, level, word and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        word, facts = _told(record)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said = {
            key: value if isinstance(value, bool | int | float | None) else _short(value)
            for key, value in facts.items()
        }
        return json.dumps({"time": at, "level": record.levelname.lower(), "word": word, "facts": said})


FORMATS: dict[str, type[logging.Formatter]] = {"text": Text, "json": Json}


class _Line(logging.LogRecord):
    """A record of what happened. It does not ask who called, in which thread: no line of ours tells it."""

    def __init__(self, name: str, word: str, facts: dict[str, Any]) -> None:
        now = time.time()
        self.__dict__.update(
            _UNASKED,
            name=name,
            msg=word,
            facts=facts,
            created=now,
            msecs=float(int(now % 1 * 1000)),
            relativeCreated=1000 * now - _BEGUN,
        )


_UNASKED = {
    **vars(logging.LogRecord(NAME, logging.INFO, "", 0, "", (), None)),
    "thread": None,
    "threadName": None,
    "process": None,
    "processName": None,
}
"""What a record holds when none of it was asked for (the logging HOWTO's "Optimization")."""
_BEGUN = 1000 * _UNASKED["created"] - _UNASKED["relativeCreated"]


class _Once(logging.Filter):
    """Lets each line through once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether this is the first time."""
        text = Text().format(record)
        new = text not in self._seen
        self._seen.add(text)
        return new


class _StandardError(logging.Handler):
    """Writes to whatever standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - the logging module's own way: a broken log stops no request
            self.handleError(record)


def _told(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    facts: dict[str, Any] | None = getattr(record, "facts", None)
    if facts is not None:
        return record.msg, facts
    error = record.exc_info[1] if record.exc_info else None
    # A library's line: whose it is, and what it says
    if error is None:
        return record.name, {"says": record.getMessage()}
    return record.name, _where(error)


def _where(error: BaseException) -> dict[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    places = [
        f"{Path(frame.filename).parent.name}/{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in frames
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
