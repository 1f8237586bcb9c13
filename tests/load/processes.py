"""Memory and processor time of groups of processes, from /proc."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

INTERVAL = 5.0
"""Seconds between two looks."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Usage:
    """What the processes of each group have used."""

    memory: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """The largest sum of proportional set sizes, in MB, by group."""
    processor: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    """Seconds by group and process."""

    def look(self, groups: Mapping[str, int]) -> None:
        """Measure the trees of processes below one process for each group."""
        children = defaultdict(list)
        seconds = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                words = path.read_text().rpartition(")")[2].split()
                children[int(words[1])].append(int(path.parent.name))
                seconds[int(path.parent.name)] = (int(words[11]) + int(words[12])) / TICKS
        for group, first in groups.items():
            total, left = 0.0, [first]
            while left:
                process = left.pop()
                left += children[process]
                with suppress(OSError, StopIteration, KeyError):
                    rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
                    total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1e3
                    self.processor[group][process] = seconds[process]
            self.memory[group] = max(self.memory[group], total)

    @contextmanager
    def measured(self, groups: Callable[[], Mapping[str, int]]) -> Iterator[None]:
        """Measure during the block.

        Args:
            groups: Returns the first process of each group, which may change.
        """
        over, before = threading.Event(), Usage()
        before.look(groups())

        def look() -> None:
            while not over.wait(INTERVAL):
                self.look(groups())

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.look(groups())
            for group, processes in before.processor.items():
                for process, seconds in processes.items():
                    if process in self.processor[group]:
                        self.processor[group][process] -= seconds
