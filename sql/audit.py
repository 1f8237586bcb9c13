"""The audit's chain: each event is covered by a hash that covers the hash of the event before it.

    digest = SHA-256 of the facts' text (whom it was about, what happened, and 16 random bytes)
    hash   = SHA-256 of [previous hash, organisation, number, time, kind, actor, digest]

The facts can be erased when a person asks: digest and hash stay, the chain still holds, and the random bytes keep
anybody from finding out by guessing what the facts were. What this cannot show is a chain that someone with the
rights of the service has written anew from one event to the very end; whoever fears that keeps the last hash
somewhere else.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

SALT_BYTES = 16


def facts_text(person_key: str | None, facts: Mapping[str, str]) -> str:
    """Write down what an event is about, in the one form that its digest is taken of."""
    salt = secrets.token_hex(SALT_BYTES)
    return _canonical({"facts": dict(facts), "person_key": person_key, "salt": salt})


def facts_of(text: str | None) -> Mapping[str, str]:
    """Read back what an event is about; nothing when it has been erased."""
    return dict(json.loads(text)["facts"]) if text is not None else {}


def person_of(text: str) -> str | None:
    """Read back whom an event is about."""
    person_key: str | None = json.loads(text)["person_key"]
    return person_key


def digest(text: str) -> str:
    """Give the SHA-256 of a text, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


def chained(previous: str, event: Mapping[str, Any]) -> str:
    """Give the hash of an event's row that follows the event with the hash `previous` (empty before the first)."""
    covered = [event[column] for column in ("organisation", "number", "at", "kind", "actor", "digest")]
    return digest(_canonical([previous, *covered]))


def problems(previous: str, expected: int, row: Any) -> list[str]:
    """Tell what is wrong with an event's row, which should be number `expected` and follow `previous`."""
    number = row["number"]
    found = [_missing(expected, number - 1)] if expected < number else []
    covered = {name: row[name] for name in ("organisation", "number", "at", "kind", "actor", "digest")}
    if not found and chained(previous, covered) != row["hash"]:
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
