"""Run the receivers alone: `python -m demo.idm --port 8200`."""

from __future__ import annotations

import argparse
import sys

from demo.idm.app import ACCOUNTS, PASSWORD, SECRET, TOKEN, USER, Idm
from demo.idm.server import Server

READY = """\
{address}/
That page shows the requests received, and sets faults. Receivers: {receivers}
Credentials: Basic ({user}, {password}), bearer token ({token}), or signing secret {secret}
"""


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; print the address once ready."""
    options = parser().parse_args(arguments)
    idm = Idm(options.account or ACCOUNTS)
    try:
        server = Server(idm, options.port)
    except (OSError, OverflowError) as problem:
        sys.stderr.write(f"The simulator cannot start: {problem}\n")
        return 2
    receivers = ", ".join(idm.receivers)
    words = {"address": server.address, "receivers": receivers, "user": USER, "password": PASSWORD, "token": TOKEN}
    sys.stdout.write(READY.format(**words, secret=SECRET))
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
    return 0


def parser() -> argparse.ArgumentParser:
    """Build the command line parser."""
    words = "A simulated identity management, on this machine."
    found = argparse.ArgumentParser(prog="python -m demo.idm", description=words)
    found.add_argument("--port", type=int, default=8200)
    found.add_argument("--account", action="append", default=[], help="account it knows; can be repeated")
    return found


if __name__ == "__main__":
    sys.exit(main())
