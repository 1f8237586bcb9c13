"""placeholder"""

from __future__ import annotations
from .wire import Answer, Call
from .world import OrcidWorld


def answer(world: OrcidWorld, call: Call, host: str, path: str) -> Answer:
    """Placeholder."""
    return Answer(404)
