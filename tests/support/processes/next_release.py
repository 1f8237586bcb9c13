"""The next release of the program, as a test plays it.

It is this one with an additive migration more."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from sql.migrate import MIGRATIONS
from tests.support.docs import ROOT
from tests.support.system.nodes import Node, Nodes

PACKAGES = ("shibboleth", "sql", "resolver_connector", "webapp")
NAME = "9999_next.sql"
ADDED = """\
-- Additive since {since}
alter table links add column remark text;
create table remarks (link text not null primary key, text text not null);
"""


def install(directory: Path) -> Path:
    """Install the next release below a directory, for PYTHONPATH; return that."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    latest = max(path.name for path in MIGRATIONS.glob("*.sql"))
    (directory / "sql" / "migrations" / NAME).write_text(ADDED.format(since=latest), "utf-8")
    subprocess.run(["/usr/bin/python3", "-m", "compileall", "-q", directory], check=True)
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


PROCESSES = ("serve", "connector", "deliver")


def migrate(node: Node, directory: Path) -> None:
    """Migrate the database to the next release on a node."""
    stack = node.stack
    program = ["env", f"--chdir={stack.var}", f"PYTHONPATH={directory}", stack.python, "-m", "webapp", "--config"]
    stack.do(*stack.account.becoming(), *program, node.configuration, "migrate")


def restart(nodes: Nodes, number: int, directory: Path | None = None) -> None:
    """Restart a node as the operator's page says.

    Waits until the balancer uses it again.

    Args:
        nodes: All nodes.
        number: Which one.
        directory: Where the next release is, which is started then; None: the one that is installed.
    """
    node = nodes.nodes[number]
    for name in PROCESSES:
        node.stack.processes[name].terminate()
    for name in PROCESSES:
        assert node.stack.processes.pop(name).wait(60) == 0
    program = ["env", *([f"PYTHONPATH={directory}"] if directory else []), str(node.stack.python), "-m", "webapp"]
    for name in PROCESSES:
        node.stack.start(name, *program, "--config", str(node.configuration), name)
    node.wait(*PROCESSES)
    nodes.wait_for_states(lambda states: set(states.values()) == {"UP"})
