"""Run the demonstration on loopback: `python -m demo --port 8000`.

It contacts no other machine.
"""

from __future__ import annotations

import argparse
import errno
import http.client
import logging
import signal
import socket
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Final
from urllib.parse import quote

import waitress

from demo import consumer, identity_provider, mailbox, processes
from demo.configuration import Configuration, LocalServices, write
from demo.idm import server as idm_server
from demo.idm.app import Idm
from demo.orcid.app import make_simulator_app
from demo.orcid.simulator import OrcidSimulator
from demo.people import NORTH, PEOPLE
from demo.proxy import REGISTER, Backends, Proxy

HOST: Final = "127.0.0.1"
THREADS: Final = 24
"""Threads of the proxy. A sign-in occupies two at once and a callback three, because the service calls back into it."""
CHECKED_PATHS: Final = (
    "/",
    "/healthz",
    "/v1/health",
    "/orcid/",
    identity_provider.PATH,
    consumer.PATH,
    f"{REGISTER}/",
    mailbox.PATH,
)
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

READY: Final = """\
The demonstration is ready: {base_url}/

What to try:
  1. Open that address, sign in as one of seven made-up people (for example {name}) and connect an ORCID iD.
     ORCID is simulated: choose any iD, there is no password. Deny access once and return. Connect another iD:
     the old and the new one are shown. Remove the link.
     Sign out and in again: your page says that your university releases the iD to services.
     Request the receipt by e-mail; messages arrive at {base_url}{mail}
  2. See the attributes another service receives at sign-in: {base_url}{consumer}
  3. See what the university's identity management receives, and make it fail: {base_url}{register}/
     Connect an iD meanwhile, ask for an e-mail about the delivery, and clear the fault.
  4. Look up the iD as {name}'s university does at each sign-in:
     curl -H 'Authorization: {authorization}' {base_url}{address}
  5. Sign in as {permitting}, whose organisation has an ORCID client of its own: choose what it may do at ORCID,
     look at {base_url}/orcid/trusted-parties and at your own page, and take it back.
     Fetch an access token, as a system of the organisation does, and find that on your own page:
     curl -X POST -H 'Authorization: {token_authorization}' {base_url}{token_address}
  6. Hand in iDs as a research information system of {name}'s university does, by docs/research-information-system.md:
     export CONNECT={base_url} TOKEN={attesting}
     Its accounts end in {scope}; in place of the token's file, these are the address and the token.

Press Ctrl-C to stop. {kept}
"""


class CannotListen(OSError):
    """The port is in use or not permitted; the message names it."""


def main(arguments: list[str] | None = None) -> int:
    """Run until a stop signal arrives.

    Returns:
        0 after a stop signal, 1 if a part failed to start or ended by itself.
    """
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    for each in STOP_SIGNALS:
        signal.signal(each, _interrupt)
    try:
        with ExitStack() as stack:
            try:
                _serve(options, stack)
            finally:
                _ignore_stop_signals()  # a second signal must not interrupt the clean-up
    except KeyboardInterrupt:
        return 0
    except CannotListen as problem:
        sys.stderr.write(f"{problem}; choose another one: make demo PORT=9000\n")
    except processes.ProcessFailed as failure:
        sys.stderr.write(f"{failure.output}\nThe demonstration stopped because {failure}; its output is above.\n")
    return 1


def parser() -> argparse.ArgumentParser:
    """Build the command line parser."""
    found = argparse.ArgumentParser(
        prog="python -m demo", description="The whole service with simulated surroundings, on this machine."
    )
    found.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1; 0 chooses a free one")
    found.add_argument(
        "--keep", type=Path, metavar="DIR", help="write configuration and database into DIR and keep them"
    )
    found.add_argument(
        "--database",
        metavar="URL",
        help="an empty PostgreSQL database in place of an SQLite file; libpq reads the password from PGPASSWORD",
    )
    return found


def _serve(options: argparse.Namespace, stack: ExitStack) -> None:
    listener = stack.enter_context(_listen(options.port))
    base_url = f"http://{HOST}:{listener.getsockname()[1]}"
    stand_ins = _start_stand_ins(stack)
    configuration = write(_directory(options, stack), base_url, stand_ins.local, options.database)
    on_exit: SimpleQueue[processes.Child] = SimpleQueue()
    backends = _start_processes(configuration, stand_ins, on_exit, stack)
    server = waitress.create_server(
        Proxy(configuration, backends),
        sockets=[listener],
        threads=THREADS,
        ident=None,
        clear_untrusted_proxy_headers=False,  # the simulator's admin interface refuses requests that have them
    )
    threading.Thread(target=server.run, daemon=True).start()
    _check_paths(base_url)
    sys.stdout.write(_ready_text(configuration, options))
    sys.stdout.flush()
    child = on_exit.get()
    raise processes.ProcessFailed(child.name, "ended", child.output)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise CannotListen(f"Port {port} is {'in use' if in_use else 'not permitted'}") from None
    return listener


def _directory(options: argparse.Namespace, stack: ExitStack) -> Path:
    if options.keep is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orcid-connect-demo-")))
    options.keep.mkdir(parents=True, exist_ok=True)
    return Path(options.keep).resolve()


@dataclass(frozen=True, slots=True)
class _StandIns:
    register: Idm
    mailbox: mailbox.Mailbox
    local: LocalServices


def _start_stand_ins(stack: ExitStack) -> _StandIns:
    register = Idm([each.eppn for each in PEOPLE.values() if each.organisation is NORTH and each.eppn], nav=True)
    received = mailbox.Mailbox()
    there = stack.enter_context(idm_server.serve(register))
    port = stack.enter_context(mailbox.run_mail_server(received))
    return _StandIns(register, received, LocalServices(port, there.address))


def _start_processes(
    configuration: Configuration, stand_ins: _StandIns, on_exit: SimpleQueue[processes.Child], stack: ExitStack
) -> Backends:
    where = ("--config", str(configuration.path))
    processes.run("orcid-connect migrate", *where, "migrate")
    children = []
    for command in ("serve", "connector", "deliver"):
        children.append(processes.start(f"orcid-connect {command}", *where, command, on_exit=on_exit.put))
        stack.callback(children[-1].end)
    web, connector = (child.address() for child in children[:2])
    simulator = OrcidSimulator(
        f"{configuration.base_url}/orcid", clients=[configuration.client, configuration.own_client]
    )
    return Backends(web, connector, make_simulator_app(simulator), stand_ins.register, stand_ins.mailbox)


def _check_paths(base_url: str) -> None:
    for path in CHECKED_PATHS:
        connection = http.client.HTTPConnection(base_url.removeprefix("http://"), timeout=processes.START_TIMEOUT)
        connection.request("GET", path)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise processes.ProcessFailed(
                path, f"answers {response.status}", response.read().decode("utf-8", "replace")
            )
        connection.close()


def _ready_text(configuration: Configuration, options: argparse.Namespace) -> str:
    maija, ake = PEOPLE["maija"], PEOPLE["ake"]
    kept = f"Configuration and database are in {options.keep}." if options.keep else "All data is deleted then."
    return READY.format(
        base_url=configuration.base_url,
        name=maija.name,
        consumer=consumer.PATH,
        mail=mailbox.PATH,
        register=REGISTER,
        authorization=configuration.credentials[maija.organisation.id].header,
        address=identity_provider.lookup_path(maija),
        permitting=ake.name,
        token_authorization=configuration.research_credentials[ake.organisation.id].header,
        attesting=configuration.research_credentials[maija.organisation.id].secret,
        token_address=f"/v1/people/{quote(ake.eppn, safe='')}/orcid-token",
        scope=f"@{maija.eppn.rpartition('@')[2]}",
        kept=kept,
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ignore_stop_signals() -> None:
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
