"""The result of one check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class Level(StrEnum):
    """Severity of a check result."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    """The service works, but something should be fixed."""
    ERROR = "error"
    """Something does not work; `orcid-connect check` exits with 1."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    level: Level
    subject: str
    text: str
    fix: str = ""
    """What to do about it."""
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """The values in the text, for JSON output."""
