"""What `check` has to say of one thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    """Better mended, though everything works."""
    WRONG = "wrong"
    """Does not work."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at."""

    level: Level
    about: str
    text: str
    mend: str = ""
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """The same for a machine."""
