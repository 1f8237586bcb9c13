"""Run the simulator alone: `python -m demo.orcid`.

`docs/simulators.md` explains it.
"""

from __future__ import annotations

import argparse
import ipaddress
import sys

import waitress

from .app import make_simulator_app
from .simulator import SANDBOX, Client, OrcidSimulator

CLIENT_ID = "APP-MADEUP0000000001"
SECRET = "00000000-0000-4000-8000-000000000001"  # public knowledge
THREADS = 24  # a delayed response holds one


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; print the base URL once ready."""
    options = parser().parse_args(arguments)
    if not ipaddress.ip_address(options.host).is_loopback:
        sys.stderr.write(f"{options.host} is not a loopback address: use 127.0.0.1 or ::1\n")
        return 2
    base_url = options.base_url or f"http://{options.host}:{options.port}"
    server = waitress.create_server(
        make_simulator_app(make_simulator(options, base_url)),
        host=options.host,
        port=options.port,
        threads=THREADS,
        clear_untrusted_proxy_headers=False,  # the admin interface refuses requests that have them
    )
    sys.stdout.write(f"{base_url}/\n")
    sys.stdout.flush()
    try:
        server.run()
    except KeyboardInterrupt:
        server.close()
    return 0


def parser() -> argparse.ArgumentParser:
    """Build the command line parser."""
    found = argparse.ArgumentParser(prog="python -m demo.orcid", description="A simulator of ORCID on this machine.")
    found.add_argument("--host", default="127.0.0.1", help="127.0.0.1 or ::1")
    found.add_argument("--port", type=int, default=8100)
    found.add_argument("--base-url", help="public URL, if it is not http://HOST:PORT")
    found.add_argument("--registry-prefix", default=SANDBOX, help="prefix of iD URIs")
    found.add_argument("--client-id", default=CLIENT_ID)
    found.add_argument("--client-secret", default=SECRET)
    found.add_argument("--client-name", default="Example service")
    found.add_argument("--member", action="store_true", help="the client has member credentials")
    found.add_argument("--redirect-uri", action="append", default=[], help="can be repeated")
    found.add_argument("--no-admin", action="store_true", help="turn off /admin")
    return found


def make_simulator(options: argparse.Namespace, base_url: str) -> OrcidSimulator:
    """Build the simulator that the options describe."""
    kind = "member" if options.member else "public"
    uris = tuple(options.redirect_uri)
    client = Client(options.client_id, options.client_secret, options.client_name, uris, kind)
    prefix = options.registry_prefix
    return OrcidSimulator(base_url, registry_prefix=prefix, clients=[client], admin=not options.no_admin)


if __name__ == "__main__":
    sys.exit(main())
