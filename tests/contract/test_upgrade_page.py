"""The commands of docs/operator/upgrade.md are run as they stand, from this release to the next and back.

The next release is this one with an additive migration more; `pip` and `venv` are stood in for.
"""

from __future__ import annotations

import sys

import pytest

from tests.support.configuration import write
from tests.support.docs import DOCS, ROOT, blocks, under
from tests.support.operator_machine import Machine
from tests.support.processes import next_release

PAGE = (DOCS / "operator" / "upgrade.md").read_text("utf-8")
PIP = """\
#!/bin/sh
[ "$*" = "install --require-hashes -r requirements.txt" ] && cp requirements.txt "$0.release"
"""
PROGRAM = f"""\
#!/bin/sh
PYTHONPATH=$(cat "${{0%/*}}/pip.release") exec {sys.executable} -P -m webapp "$@"
"""
VENV = """\
#!/bin/sh
[ "$1 $2 $3" = "-m venv --clear" ] && mkdir -p "$4/bin" && cp {bin}/* "$4/bin"
"""


@pytest.fixture
def machine(tmp_path):
    """A machine with this release, in the directory of the next one's files: `requirements.txt` names the release."""
    machine = Machine(tmp_path)
    machine.configure()
    parts, venv = tmp_path / "parts", tmp_path / "opt/orcid-connect/venv/bin"
    for directory in (parts, venv):
        directory.mkdir(parents=True)
        for name, script in {"pip": PIP, "orcid-connect": PROGRAM}.items():
            write(directory / name, script).chmod(0o755)
    write(venv / "pip.release", str(ROOT))
    write(tmp_path / "bin/python3", VENV.format(bin=parts)).chmod(0o755)
    write(tmp_path / "bin/orcid-connect", f'#!/bin/sh\nexec {venv}/orcid-connect "$@"\n')
    machine.working_directory = tmp_path / "release"
    next_release.install(machine.working_directory)
    write(machine.working_directory / "requirements.txt", str(machine.working_directory))
    return machine


def go_back(machine):
    """Install the previous release."""
    write(machine.directory / "opt/orcid-connect/venv/bin/pip.release", str(ROOT))


def test_an_additive_release_is_installed_while_the_service_runs_and_is_undone(machine):
    (shown,) = blocks(under(PAGE, "Upgrade"), "")

    planned = machine.follow("Upgrade")
    said = machine.follow("Upgrade without stopping")
    go_back(machine)
    previous = machine.run("orcid-connect check")

    assert planned == shown.replace("0007_more.sql", next_release.NAME)
    assert "All checks passed" in said
    assert not machine.notes.exists(), "nothing is stopped"
    assert next_release.NAME in previous, "the previous release names what was added"


def test_any_other_release_is_installed_while_the_service_is_stopped_and_is_undone(machine):
    migration = machine.working_directory / "sql/migrations" / next_release.NAME
    migration.write_text("alter table request_slots add column remark text;")
    before = machine.kept()
    machine.follow("Back up SQLite")

    planned = machine.follow("Upgrade")
    said = machine.follow("Stop, upgrade, start")
    notes = machine.notes.read_text()
    go_back(machine)
    refused = machine.run("orcid-connect check", fails=1)
    machine.follow("Restore SQLite")

    assert "not additive: stop the services" in planned
    assert "All checks passed" in said
    assert notes == "stop apache2\nstart apache2\n"
    assert next_release.NAME in refused
    assert machine.kept() == before


def test_the_files_of_the_service_provider_are_compared(machine):
    etc = machine.directory / "etc"
    machine.run(f'orcid-connect handout sp --output "$PWD"/first; cp -r first/etc/. {etc}')
    write(changed := etc / "shibboleth/attribute-map.xml", changed.read_text() + "<!-- edited -->\n")

    said = machine.follow("The files of the SP and of Apache")

    assert [line for line in said.splitlines() if line.startswith(("<", ">"))] == ["> <!-- edited -->"]
    assert said.count("are identical") > 5
