"""Start, watch and stop the demonstration's processes."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import IO, Final

START_TIMEOUT: Final = 30.0
"""Seconds within which a process has to listen, or a command to end."""
STOP_TIMEOUT: Final = 5.0
"""Seconds between SIGTERM and SIGKILL."""
LISTENING: Final = re.compile(r"listening on \S*?((?:127\.0\.0\.1|localhost|\[::1\]):\d+)")
PR_SET_PDEATHSIG: Final = 1  # prctl(2)


class ProcessFailed(RuntimeError):
    """A process did not do what it should; `output` is what it wrote."""

    def __init__(self, name: str, what: str, output: str) -> None:
        super().__init__(f"{name} {what}")
        self.output = output


@dataclass(slots=True)
class Child:
    """A process in a process group of its own, which Ctrl-C does not reach."""

    name: str
    process: subprocess.Popen[str]
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=500))
    """The last lines it wrote; shown if it fails."""
    addresses: Queue[str] = field(default_factory=Queue)

    @property
    def output(self) -> str:
        """The last lines it wrote, as text."""
        return "".join(self.lines)

    def address(self) -> str:
        """Return host:port once the process says that it listens.

        Raises:
            ProcessFailed: If it ends or does not listen in time.
        """
        try:
            found = self.addresses.get(timeout=START_TIMEOUT)
        except Empty:
            raise ProcessFailed(self.name, f"did not answer within {START_TIMEOUT:.0f} seconds", self.output) from None
        if not found:
            raise ProcessFailed(self.name, "ended at once", self.output)
        return found

    def end(self) -> None:
        """Stop the process: SIGTERM, then SIGKILL after `STOP_TIMEOUT`."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                os.killpg(self.process.pid, how)
            try:
                self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                continue
            return


def start(name: str, *arguments: str, on_exit: Callable[[Child], object]) -> Child:
    """Start `python -m webapp` with arguments.

    Args:
        on_exit: Called in another thread when the process ends, for whatever reason.
    """
    child = Child(name, _popen(arguments))
    threading.Thread(target=_listen, args=(child, on_exit), daemon=True).start()
    return child


def run(name: str, *arguments: str) -> None:
    """Run `python -m webapp` with arguments to its end.

    Raises:
        ProcessFailed: If it fails or does not end in time.
    """
    process = _popen(arguments)
    try:
        output, _ = process.communicate(timeout=START_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise ProcessFailed(name, "did not end", "") from None
    if process.returncode:
        raise ProcessFailed(name, f"ended with {process.returncode}", output)


def _popen(arguments: tuple[str, ...]) -> subprocess.Popen[str]:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def with_us() -> None:
        # If this process is killed, the kernel kills the child
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return subprocess.Popen(  # noqa: S603 - own interpreter, fixed arguments
        [sys.executable, "-m", "webapp", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,
        preexec_fn=with_us,  # noqa: PLW1509 - one system call, which takes no lock
    )


def _listen(child: Child, on_exit: Callable[[Child], object]) -> None:
    output: IO[str] | None = child.process.stdout
    assert output is not None
    for line in output:
        child.lines.append(line)
        found = LISTENING.search(line)
        if found:
            child.addresses.put(found[1])
    child.addresses.put("")
    on_exit(child)
