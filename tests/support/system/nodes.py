"""Two nodes of the service behind the operator's balancer.

Their database is a PostgreSQL primary with a synchronous standby.

Each node is an Apache with mod_shib and shibd, the pages, a connector and a worker.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shibboleth.handout.balancer import balancer_files
from tests.support.configuration import store_section
from tests.support.ports import free_port
from tests.support.processes import balancer
from tests.support.processes.orcid import running_orcid
from tests.support.processes.standby import Cluster, running_cluster
from tests.support.system.machine import DidNotStart, fresh_directory, make_directory
from tests.support.system.people import PROVIDERS, IdentityProvider
from tests.support.system.service import CLIENT, command, configure
from tests.support.system.stack import HOST, Stack

ADDRESSES = ("127.0.0.11", "127.0.0.12")
READY = {"serve": "listening on", "connector": "listening on", "deliver": "delivering for"}
"""What each process of the service prints when it is ready."""
PATIENCE = 60.0
"""Seconds until the balancer must have found the nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One of the nodes, with its own ports for what is not behind the balancer."""

    stack: Stack
    configuration: Path
    worker_url: str
    """The health pages of the worker."""

    def start(self, *names: str) -> None:
        """Start processes of the service, and wait until they are ready."""
        self.begin(*names)
        self.wait(*names)

    def begin(self, *names: str) -> None:
        """Start processes of the service."""
        for name in names:
            self.stack.start_ours(name, "-m", "webapp", "--config", str(self.configuration), name)

    def wait(self, *names: str) -> None:
        """Wait until processes are ready."""
        for name in names:
            self.stack.wait_for(name, lambda name=name: READY[name] in self.stack.log(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """All that runs.

    An HttpBrowser with `stack` goes through the balancer.
    """

    nodes: tuple[Node, ...]
    cluster: Cluster
    database: str
    """The name of the database."""
    orcid_url: str
    """The base URL of the simulated ORCID."""
    balancer: Path
    """The directory of the balancer, for `tests.support.processes.balancer`."""

    @property
    def stack(self) -> Stack:
        return self.nodes[0].stack

    def wait_for_states(self, expected: Callable[[Mapping[str, str]], bool]) -> None:
        """Wait until the balancer's servers are in the expected states."""
        end = time.monotonic() + PATIENCE
        while not expected(states := balancer.states(self.balancer)):
            if time.monotonic() > end:
                raise DidNotStart(f"the balancer: {states}\n{(self.balancer / 'log').read_text()[-4000:]}")
            time.sleep(0.05)


@contextmanager
def running_nodes(
    venv: Path,
    stores: tuple[Mapping[str, Any], ...] = ({}, {}),
    organisation: Mapping[str, Any] | None = None,
    *,
    providers: tuple[IdentityProvider, ...] = PROVIDERS,
    people: int = 1000,
    **sections: Mapping[str, Any],
) -> Iterator[Nodes]:
    """Start everything; it is tried twice, since a port may be taken.

    Args:
        venv: The Python environment of the service.
        stores: Laid over the section `[store]` of each node.
        organisation: As for `configure`.
        providers: The federation's Identity Providers.
        people: How many people ORCID knows, as for `running_orcid`.
        sections: As for `configure`.
    """
    with ExitStack() as life:
        for last in (False, True):
            with ExitStack() as attempt:
                try:
                    nodes = _start(
                        attempt, venv, stores, organisation, providers=providers, people=people, sections=sections
                    )
                except DidNotStart:
                    if last:
                        raise
                    continue
                life.push(attempt.pop_all())
                break
        yield nodes


def _start(life: ExitStack, venv: Path, stores, organisation, *, providers, people, sections) -> Nodes:
    cluster = life.enter_context(running_cluster())
    database = cluster.primary.make_database()
    stacks = [_install(life, venv, ADDRESSES[0], providers=providers)]
    stacks += [_install(life, venv, address, stacks[0]) for address in ADDRESSES[1:]]
    stacks[0].start_federation()
    orcid_url = life.enter_context(running_orcid(CLIENT, f"{stacks[0].base_url}/me/callback", people))
    nodes = []
    for stack, store in zip(stacks, stores, strict=True):
        section = store_section(stack.etc, cluster.url(database)) | store
        worker_port = free_port()
        written = configure(stack, orcid_url, section, organisation, worker={"port": worker_port}, **sections)
        if not nodes:
            command(stack, written, "migrate")
        nodes.append(Node(stack=stack, configuration=written, worker_url=f"http://127.0.0.1:{worker_port}"))
        nodes[-1].begin(*READY)
    for each in nodes:
        each.stack.start_shibd()
        each.wait(*READY)
        each.stack.start_apache()
    directory = _start_balancer(life, stacks)
    # Before anything is waited for, so that all end at the same time
    for stack in stacks:
        life.callback(stack.terminate)
    started = Nodes(nodes=tuple(nodes), cluster=cluster, database=database, orcid_url=orcid_url, balancer=directory)
    started.wait_for_states(lambda states: set(states.values()) == {"UP"})
    return started


def _install(life: ExitStack, venv: Path, address: str, first: Stack | None = None, **more: Any) -> Stack:
    shared = ("https_port", "idp_port", "neighbours_port", "proof")
    same = {name: getattr(first, name) for name in shared} if first else more
    stack = Stack(front="proxy", host=HOST, address=address, directory=fresh_directory(), venv=venv, **same)
    life.callback(shutil.rmtree, stack.directory, ignore_errors=True)
    life.callback(stack.stop)
    if first:
        stack.install_as(first)
    else:
        stack.install()
    # As the operator's page has it
    of_node = balancer_files(stack.host, stack.https_port, stack.http_port, ADDRESSES)[1]
    (stack.directory / "apache2/conf-available/orcid-connect-balancer.conf").write_text(of_node.text)
    stack.do("a2enmod", "-q", "remoteip")
    stack.do("a2enconf", "-q", "orcid-connect-balancer")
    return stack


def _start_balancer(life: ExitStack, stacks: list[Stack]) -> Path:
    first = stacks[0]
    directory = make_directory(first.directory / "balancer")
    keys = first.directory / "keys"
    written = balancer.write_configuration(
        directory,
        host=first.host,
        https_port=first.https_port,
        nodes=tuple(each.address for each in stacks),
        certificate={"certificate": str(keys / "connect.pem"), "key": str(keys / "connect.key")},
        trusted=first.trusted,
    )
    process = balancer.start(written, directory / "log")
    life.callback(process.wait)
    life.callback(process.terminate)
    end = time.monotonic() + PATIENCE
    while not balancer.control_socket(directory).exists():
        if process.poll() is not None or time.monotonic() > end:
            raise DidNotStart(f"haproxy: {(directory / 'log').read_text()}")
        time.sleep(0.05)
    return directory
