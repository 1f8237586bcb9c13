"""The receivers alone: `python -m demo.idm --port 8200`."""

from __future__ import annotations

import argparse
import sys

from demo.idm.app import ACCOUNTS, PASSWORD, SECRET, TOKEN, USER, Idm
from demo.idm.server import Server

READY = """\
{address}/
What arrives there, and how to make it fail, is on that page. Receivers: {receivers}
Sign in by Basic ({user} and {password}), by bearer ({token}), or sign with {secret}
"""


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; say where once ready."""
    options = parser().parse_args(arguments)
    idm = Idm(options.account or ACCOUNTS)
    server = Server(idm, options.port)
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
    """Give what can be said on the command line."""
    words = "An organisation's identity management on this machine, made up."
    found = argparse.ArgumentParser(prog="python -m demo.idm", description=words)
    found.add_argument("--port", type=int, default=8200)
    found.add_argument("--account", action="append", default=[], help="somebody it knows; may be given several times")
    return found


if __name__ == "__main__":
    sys.exit(main())
