"""The files of a balancer before several nodes, and of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from shibboleth.handout.render import UNQUOTED, RenderedFile, substitute


def balancer_files(hostname: str, https_port: int, http_port: int, nodes: Sequence[str]) -> tuple[RenderedFile, ...]:
    """Render the files for the balancer and for each node.

    Args:
        hostname: The public host name.
        https_port: The port of the balancer and of the nodes.
        http_port: The port on which the balancer redirects to https.
        nodes: The IP address or host name of each node.

    Raises:
        TemplateError: If a value is not allowed in a file.
    """
    templates = files("shibboleth") / "handout/templates/balancer"
    lines = []
    for line in (templates / "haproxy.cfg").read_text("utf-8").splitlines(keepends=True):
        # A line with the address of a node stands for one line for each node
        of_nodes = [
            line.replace("@NODE@", f"node{number}").replace("@ADDRESS@", f"@ADDRESS_{number}@")
            for number in range(1, len(nodes) + 1)
        ]
        lines += of_nodes if "@ADDRESS@" in line else [line]
    values = {"HOSTNAME": hostname, "HTTPS_PORT": str(https_port), "HTTP_PORT": str(http_port)}
    values |= {f"ADDRESS_{number}": f"[{each}]" if ":" in each else each for number, each in enumerate(nodes, 1)}
    return (
        RenderedFile("balancer/etc/haproxy/haproxy.cfg", substitute("".join(lines), values, UNQUOTED)),
        RenderedFile(
            "node/etc/apache2/conf-available/orcid-connect-balancer.conf",
            (templates / "apache-balancer.conf").read_text("utf-8"),
        ),
    )
