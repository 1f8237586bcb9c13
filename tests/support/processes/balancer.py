"""HAProxy before nodes on loopback.

Its configuration is the one that `orcid-connect handout balancer` writes.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from shibboleth.handout.balancer import balancer_files
from tests.support.ports import free_port

SOURCE = "127.0.0.10"
"""From where the balancer asks: an address of its own, as on a machine of its own."""


def write_configuration(
    directory: Path,
    *,
    host: str,
    https_port: int,
    nodes: tuple[str, ...],
    certificate: Mapping[str, str],
    trusted: Path,
) -> Path:
    """Write the operator's file with this machine's values.

    Args:
        directory: Where it, the certificate and the control socket go.
        host: The public name.
        https_port: The port of the balancer, on 127.0.0.1, and of the nodes.
        nodes: The addresses of the nodes.
        certificate: Files of the public name, as `federation.make_key` returns them.
        trusted: The certificates of the nodes.
    """
    both = directory / "balancer.pem"
    both.touch(0o600)
    both.write_text(Path(certificate["certificate"]).read_text("ascii") + Path(certificate["key"]).read_text("ascii"))
    replacements = {
        "bind :": "bind 127.0.0.1:",
        "/etc/haproxy/orcid-connect.pem": str(both),
        "/etc/ssl/certs/ca-certificates.crt": str(trusted),
        "/run/haproxy/admin.sock": str(control_socket(directory)),
        "default-server ssl": f"default-server source {SOURCE} ssl",
        "log /dev/log local0": "log stdout format raw local0",
        "    user haproxy\n    group haproxy\n": "",
    }
    text = balancer_files(host, https_port, free_port(), nodes)[0].text
    for old, new in replacements.items():
        assert old in text, f"haproxy.cfg has no {old!r} any more"
        text = text.replace(old, new)
    path = directory / "haproxy.cfg"
    path.write_text(text, "utf-8")
    return path


def control_socket(directory: Path) -> Path:
    """Return the socket at which the balancer takes commands."""
    return directory / "haproxy.sock"


def command(directory: Path, text: str) -> str:
    """Give the balancer a command and return what it says."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(30)
        control.connect(str(control_socket(directory)))
        control.sendall(f"{text}\n".encode())
        return b"".join(iter(lambda: control.recv(65536), b"")).decode()


def states(directory: Path) -> dict[str, str]:
    """Return the state of each server, by section and name.

    States are `UP`, `DOWN`, `DRAIN` and others.
    """
    lines = command(directory, "show stat -1 4 -1").splitlines()
    columns = lines[0].removeprefix("# ").split(",")
    rows = [dict(zip(columns, line.split(","), strict=False)) for line in lines[1:] if line]
    return {f"{row['pxname']}/{row['svname']}": row["status"] for row in rows}


def start(configuration: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start HAProxy in the foreground; its log goes to `output`."""
    with output.open("wb") as out:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "haproxy", "-db", "-f", configuration],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
