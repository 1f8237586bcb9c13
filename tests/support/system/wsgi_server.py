"""Run a WSGI script behind a Unix socket.

Usage: `python -m tests.support.system.wsgi_server SCRIPT SOCKET`.
"""

from __future__ import annotations

import runpy
import sys

import waitress


def main() -> None:
    script, address = sys.argv[1:]
    application = runpy.run_path(script)["application"]
    server = waitress.create_server(application, unix_socket=address, unix_socket_perms="660", threads=4)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.run()


if __name__ == "__main__":
    main()
