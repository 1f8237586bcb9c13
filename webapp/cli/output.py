"""Output of the commands: times, counts, tables, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

_MAX_LENGTH = 200


def format_time(at: datetime) -> str:
    """Format a time in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def format_table(rows: Iterable[Sequence[str]]) -> str:
    """Format rows as a table with aligned columns."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def pluralize(count: int, singular: str, plural: str) -> str:
    """Format a count with the right form of its noun."""
    return f"{count} {singular if count == 1 else plural}"


def printable(text: str) -> str:
    """Replace unprintable characters, and cut the text to 200 characters.

    Text from outside could otherwise send control sequences to the terminal.
    """
    return "".join(each if each.isprintable() else "?" for each in text)[:_MAX_LENGTH]


def print_json(value: Mapping[str, Any]) -> None:
    """Print an indented JSON object."""
    click.echo(json.dumps(value, indent=2))
