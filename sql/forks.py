"""Tells a process from the one it was forked from, without asking the kernel each time."""

from __future__ import annotations

import os

_number = 0


def forks() -> int:
    """Tell how many forks led to this process since the program began: what another number used is another's."""
    return _number


def _count() -> None:
    global _number  # noqa: PLW0603 - it is the process's
    _number += 1  # pragma: no cover - in the child process of a fork alone


os.register_at_fork(after_in_child=_count)
