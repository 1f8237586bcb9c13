"""`python -m tests.bench`: measure, print and write down. A missed goal is said aloud and is no failure."""

from __future__ import annotations

import signal
import sys
from time import perf_counter

from tests.bench import figures
from tests.bench.run import measure
from tests.bench.telling import tell


def main() -> None:
    """Run all of it."""
    # Whoever ends it ends the servers it has started, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    begun = perf_counter()
    found = measure(tell)
    figures.write(found)
    tell("")
    tell(figures.table(found))
    tell(f"\n{figures.OUTPUT} written, after {perf_counter() - begun:.0f} seconds.")


if __name__ == "__main__":
    main()
