"""The real service behind Apache.

Configured, migrated and started as an operator does, with a simulated ORCID.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.orcid.app import make_simulator_app
from demo.orcid.simulator import Client, OrcidSimulator
from tests.support.configuration import write_configuration
from tests.support.ports import free_port
from tests.support.system.people import PROVIDERS, IdentityProvider, idm_token_of, name_of, token_of
from tests.support.system.stack import Stack, running
from tests.support.tls import serve_tls

CLIENT = ("APP-0A1B2C3D4E5F6G7H", "5f63d1c5-3f00-4fa5-b096-fd985ffd0df7")
RIGHTS_OF_IDM = ["feed", "deprovision", "attest"]
METRICS_TOKEN = "token-of-the-monitoring-" + "t" * 32


@dataclass(frozen=True, slots=True)
class Service:
    """A front with the service behind it, and the ORCID to which it sends people."""

    stack: Stack
    simulator: OrcidSimulator

    @property
    def configuration(self) -> Path:
        return self.stack.etc / "orcid-connect.toml"


@contextmanager
def running_service(front: str, venv: Path) -> Iterator[Service]:
    """The whole at work behind one front."""
    simulator = OrcidSimulator(f"https://127.0.0.1:{free_port()}")

    def install_apps(stack: Stack) -> None:
        simulator.clients[CLIENT[0]] = Client(*CLIENT, "ORCID connect", (f"{stack.base_url}/me/callback",))
        configuration = configure(stack, simulator.base_url, {"url": f"sqlite://{stack.var}/links.db"})
        command(stack, configuration, "migrate")
        command(stack, configuration, "check")
        if front == "proxy":
            for name in ("serve", "connector"):
                start(stack, configuration, name)

    with (
        running(front, venv, install_apps) as stack,
        serve_tls(make_simulator_app(simulator), _port(simulator), stack.world_key),
    ):
        yield Service(stack, simulator)


def start(stack: Stack, configuration: Path, name: str) -> None:
    """Start one of the servers behind the proxy front."""
    stack.start_ours(name, "-m", "webapp", "--config", str(configuration), name)
    stack.wait_for(name, lambda: "unix:" in stack.log(name))


def command(stack: Stack, configuration: Path, *words: str) -> str:
    """Type a command of the service on the machine, as its system account.

    Gives what it prints.
    """
    program = [str(stack.python), "-m", "webapp", "--config", str(configuration), *words]
    done = subprocess.run(
        [*stack.account.becoming(), *program],
        cwd=stack.var, env=stack.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def configure(
    stack: Stack,
    orcid_url: str,
    store: Mapping[str, Any],
    organisation: Mapping[str, Any] | None = None,
    *,
    more: Mapping[str, Mapping[str, Any]] | None = None,
    secrets: Mapping[str, str] | None = None,
    **sections: Mapping[str, Any],
) -> Path:
    """Write the service's configuration on the machine.

    Args:
        stack: The machine.
        orcid_url: The base URL of ORCID.
        store: The section `[store]`.
        organisation: Laid over the settings of each organisation of the federation.
        more: Further organisations, by id.
        secrets: Further secrets, by name.
        sections: Further sections, and settings of sections that are here.
    """
    proxy = stack.front == "proxy"
    own = {
        "service": {
            "public_url": stack.base_url,
            "front": stack.front,
            "front_proof": "file:secrets/front-proof" if proxy else None,
        },
        "orcid": {"base_url": orcid_url, "client_id": CLIENT[0]},
        "store": store,
        "metrics": {"token": "file:secrets/metrics.token"},
        "listen": {"unix": str(stack.run / "web.sock") if proxy else None},
        "connector": {"unix": str(stack.run / "connector.sock"), "trusted_proxies": ["unix"]} if proxy else {},
    }
    written = write_configuration(
        stack.etc,
        organisations={name_of(each): _organisation(each) | dict(organisation or {}) for each in PROVIDERS}
        | dict(more or {}),
        secrets={
            "front-proof": stack.proof,
            "metrics.token": METRICS_TOKEN,
            **{f"{name_of(each)}.token": token_of(each) for each in PROVIDERS},
            **{f"{name_of(each)}-idm.token": idm_token_of(each) for each in PROVIDERS},
            **(secrets or {}),
        },
        **{name: {**own.get(name, {}), **sections.get(name, {})} for name in own | sections},
    )
    if os.geteuid() == 0:
        for secret in (stack.etc / "secrets").iterdir():
            shutil.chown(secret, stack.account.user, stack.account.group)
    return written


def _organisation(provider: IdentityProvider) -> dict[str, object]:
    return {
        "entity_ids": provider.entity_id,
        "scopes": [provider.scope],
        "name": {"en": provider.name, "fi": provider.name},
        "credential": [
            {"name": "idp", "rights": ["read"], "token": f"file:secrets/{name_of(provider)}.token"},
            {"name": "idm", "rights": RIGHTS_OF_IDM, "token": f"file:secrets/{name_of(provider)}-idm.token"},
        ],
    }


def _port(simulator: OrcidSimulator) -> int:
    return int(simulator.base_url.rpartition(":")[2])
