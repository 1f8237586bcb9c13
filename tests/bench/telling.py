"""How a benchmark says what it found, and how a part of it is measured alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import figures
from tests.bench.figures import Figure
from tests.bench.sites import Ground, ground

Tell = Callable[[str], None]


def tell(line: str) -> None:
    """Say something on the screen at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def alone(measure: Callable[[Ground, Tell], list[Figure]], output: Path) -> None:
    """Measure one part, print it and write it down."""
    with TemporaryDirectory(prefix="orcid-connect-bench-") as directory, ground(Path(directory)) as here:
        found = measure(here, tell)
    tell("\n" + figures.table(found))
    figures.write(found, output)
