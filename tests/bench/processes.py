"""The processes of a run: each started, heard to say where it listens, and ended."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MEGABYTE = 1_000_000


class Failed(RuntimeError):
    """A process did not start."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process that listens."""

    pid: int
    port: int

    def rss(self) -> float:
        """How much of its memory is resident, in MB (a million bytes)."""
        return self._kilobytes("status", "VmRSS") * 1024 / _MEGABYTE

    def pss(self) -> float:
        """The same, where what is shared with other processes counts by its share, in MB."""
        return self._kilobytes("smaps_rollup", "Pss") * 1024 / _MEGABYTE

    def worked(self) -> float:
        """How long processors have worked in it, in seconds."""
        # The name, in brackets, may hold anything; utime and stime are fields 14 and 15 (man 5 proc)
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _kilobytes(self, file: str, name: str) -> int:
        text = Path(f"/proc/{self.pid}/{file}").read_text(encoding="ascii")
        return int(re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)[1])


@contextmanager
def running(log: Path, module: str, *arguments: str | Path) -> Iterator[Running]:
    """Run a Python module that says `listening on` as its first line; what it says on standard error goes to a file."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with (
        log.open("ab") as errors,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True) as child,
    ):
        try:
            said = re.match(r"listening on http://127\.0\.0\.1:(\d+)$", child.stdout.readline().strip())
            if said is None:
                raise Failed(f"{module} did not start:\n{_end_of(log)}")
            yield Running(child.pid, int(said[1]))
        finally:
            child.terminate()


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
