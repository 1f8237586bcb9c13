"""Run the simulator alone: `python -m demo.orcid`.

`docs/simulators.md` explains it.
"""

from __future__ import annotations

import argparse
import ipaddress
import sys

import waitress

from .app import make_simulator_app
from .people import PEOPLE, User, made_up_id
from .simulator import PRODUCTION, SANDBOX, Client, OrcidSimulator

CLIENT_ID = "APP-MADEUP0000000001"
SECRET = "00000000-0000-4000-8000-000000000001"  # public knowledge
THREADS = 24  # a delayed response holds one


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; print the base URL once ready."""
    options = parser().parse_args(arguments)
    host = f"[{options.host}]" if ":" in options.host else options.host
    base_url = options.base_url or f"http://{host}:{options.port}"
    try:
        server = waitress.create_server(
            make_simulator_app(make_simulator(options, base_url)),
            listen=f"{host}:{options.port}",
            threads=THREADS,
            clear_untrusted_proxy_headers=False,  # the admin interface refuses requests that have them
        )
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"The simulator cannot start: {problem}\n")
        return 2
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
    found.add_argument("--host", type=loopback, default="127.0.0.1", help="127.0.0.1 or ::1")
    found.add_argument("--port", type=port, default=8100)
    found.add_argument("--base-url", help="public URL, if it is not http://HOST:PORT")
    found.add_argument("--registry-prefix", default=SANDBOX, help="prefix of iD URIs")
    found.add_argument("--allow-production-prefix", action="store_true", help=f"accept {PRODUCTION} as the prefix")
    found.add_argument("--client-id", default=CLIENT_ID)
    found.add_argument("--client-secret", default=SECRET)
    found.add_argument("--client-name", default="Example service")
    found.add_argument("--member", action="store_true", help="the client has member credentials")
    found.add_argument("--redirect-uri", action="append", default=[], help="can be repeated")
    found.add_argument("--people", type=int, default=0, help="how many further people exist, for load tests")
    found.add_argument("--no-admin", action="store_true", help="turn off /admin")
    return found


def loopback(text: str) -> str:
    """Parse the address to listen on."""
    if not ipaddress.ip_address(text).is_loopback:
        raise argparse.ArgumentTypeError(f"{text} is not a loopback address: use 127.0.0.1 or ::1")
    return text


def port(text: str) -> int:
    """Parse the port to listen on."""
    if not 0 < int(text) < 65536:  # noqa: PLR2004 - 16 bits
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return int(text)


def make_simulator(options: argparse.Namespace, base_url: str) -> OrcidSimulator:
    """Build the simulator that the options describe."""
    kind = "member" if options.member else "public"
    uris = tuple(options.redirect_uri)
    client = Client(options.client_id, options.client_secret, options.client_name, uris, kind)
    return OrcidSimulator(
        base_url,
        registry_prefix=options.registry_prefix,
        clients=[client],
        users=[*PEOPLE, *(User(made_up_id(number), "Person", str(number)) for number in range(1, options.people + 1))],
        admin=not options.no_admin,
        production_prefix_allowed=options.allow_production_prefix,
    )


if __name__ == "__main__":
    sys.exit(main())
