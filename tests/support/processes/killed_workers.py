"""Web servers and workers that kill themselves, one after the other."""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import suppress

from tests.support.processes.killer import KilledServer

LONGEST_WORKER = 30
"""After how many steps a worker is dead at the latest."""
WORKERS = 2


class KilledProcess(KilledServer):
    """Web servers or workers, one at a time."""

    def __init__(self, kind, *urls):
        self.kind = kind
        super().__init__(*urls)

    def command(self, *urls):
        return ["tests.support.processes.killed_worker", self.kind, *urls]

    def start_until(self, last, word="now"):
        """Start one that dies at its n-th step; 0 for never."""
        self.start(f"{last} {word}")


class Workers:
    """So many workers at once, each of them followed by another when it dies."""

    def __init__(self, kind, urls, rng):
        self._lives = [random.Random(rng.random()) for _ in range(WORKERS)]
        self._parents = [KilledProcess(kind, *urls) for _ in range(WORKERS)]
        self._threads = []
        self._ended = False
        self.deaths = 0

    def __enter__(self):
        pairs = zip(self._parents, self._lives, strict=True)
        self._threads = [threading.Thread(target=self._follow, args=pair) for pair in pairs]
        for each in self._threads:
            each.start()
        return self

    def _follow(self, server, rng):
        while not self._ended:
            server.start_until(rng.randint(1, LONGEST_WORKER))
            assert server.process.stdout.readline() == "dead\n"
            self.deaths += 1

    def survive(self):
        """Kill them once more, and start as many that live until the block ends."""
        self._kill()
        for server in self._parents:
            server.start_until(0)

    def _kill(self):
        self._ended = True
        for server, thread in zip(self._parents, self._threads, strict=True):
            while thread.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(server.pid, signal.SIGKILL)
                thread.join(0.1)

    def __exit__(self, *_):
        self._kill()
        for server in self._parents:
            server.close()
