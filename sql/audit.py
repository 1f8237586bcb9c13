"""The hash chain of the audit log.

Each event's hash covers the hash of the event before it.

    digest = SHA-256 of the facts' text (the person, the facts, and 16 random bytes)
    hash   = SHA-256 of [previous hash, organisation, number, time, kind, actor, digest]

The facts can be erased: digest and hash stay, so that the chain is still valid, and the random bytes prevent guessing
the facts from the digest. A chain that was rewritten from one event to the end, with the rights of the service, is
detected only by comparing a hash that another party has kept.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

SALT_BYTES = 16


def facts_text(person_key: str | None, facts: Mapping[str, str]) -> str:
    """Return the text of an event's facts, of which the digest is computed."""
    salt = secrets.token_hex(SALT_BYTES)
    return _canonical({"facts": dict(facts), "person_key": person_key, "salt": salt})


def facts_of(text: str | None) -> Mapping[str, str]:
    """Return the facts of a text; empty when they were erased."""
    return dict(json.loads(text)["facts"]) if text is not None else {}


def person_of(text: str) -> str | None:
    """Return the person of a facts' text."""
    person_key: str | None = json.loads(text)["person_key"]
    return person_key


def digest(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal."""
    return sha256(text.encode()).hexdigest()


def event_hash(previous: str, event: Mapping[str, Any]) -> str:
    """Return the hash of an event's row.

    Args:
        previous: The hash of the event before it; empty before the first.
        event: The row.
    """
    covered = [event[column] for column in ("organisation", "number", "at", "kind", "actor", "digest")]
    return digest(_canonical([previous, *covered]))


def verify_event(previous: str, expected: int, row: Any) -> list[str]:
    """Verify an event's row, and return a sentence for each fault.

    Args:
        previous: The hash of the event before it.
        expected: The number that the event should have.
        row: The row of the event.
    """
    number = row["number"]
    found = [_missing(expected, number - 1)] if expected < number else []
    covered = {name: row[name] for name in ("organisation", "number", "at", "kind", "actor", "digest")}
    if not found and event_hash(previous, covered) != row["hash"]:
        found.append(f"event {number} was changed, or the event before it was")
    if not _facts_hold(row):
        found.append(f"the facts of event {number} were changed")
    return found


def _missing(first: int, last: int) -> str:
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def _facts_hold(row: Any) -> bool:
    text, person_key = row["facts"], row["person_key"]
    if text is None:
        return person_key is None
    return bool(digest(text) == row["digest"] and person_of(text) == person_key)


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
