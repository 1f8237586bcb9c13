"""An account may be anything: each command takes it as it is, from a shell too."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from shibboleth.attributes import fold
from sql.store import open_store
from tests.support.configuration import write_configuration
from tests.support.database import make_sqlite
from tests.support.factories import make_link, make_orcid_id
from webapp.cli.main import main

ODD = [
    "-maija@yliopisto.example",
    "--maija@yliopisto.example",
    "-hanna@yliopisto.example",
    "-h",
    "-",
    "---",
    "--reasonable=x@yliopisto.example",
    "--jsonb",
    "-y -j",
    " maija@yliopisto.example ",
    "100%@yliopisto.example",
    "%s%(x)s{0}",
    'o\'brien "x"@yliopisto.example',
    "$(id);*?[a]\\n@yliopisto.example",
    "ÄYRÄS 山田@yliopisto.example",
    "-ñandú@yliopisto.example",
]
OPTIONS = ["--json", "--yes", "--help", "--reason=x", "--"]
"""Accounts that are options as well: these need `--` before them."""


def leaves(command, words=()):
    """Give each command with the words by which it is called."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from leaves(each, (*words, name))
    else:
        yield words, command


TAKING = [
    (words, command, each)
    for words, command in leaves(main)
    for each in command.params
    if isinstance(each, click.Argument) and each.name != "name"
]
OPTIONAL = [
    (words, command, each) for words, command in leaves(main) for each in command.params if each.metavar == "ACCOUNT"
]
OPTIONAL = [each for each in OPTIONAL if isinstance(each[2], click.Option)]


@pytest.fixture
def store(tmp_path):
    store = open_store(make_sqlite(tmp_path))
    yield store
    store.close()


@pytest.fixture
def path(tmp_path, store):
    return write_configuration(tmp_path)


def run(path, *words):
    result = CliRunner().invoke(main, ["--config", str(path), *words], catch_exceptions=False)
    return result.exit_code, result.output


def required_options(command):
    required = [each for each in command.params if isinstance(each, click.Option) and each.required]
    return [text for each in required for text in (each.opts[0], "1")]


def test_these_commands_take_an_account_a_file_or_a_transfer():
    assert {" ".join(words) for words, _, _ in TAKING} >= {
        *("link show", "link remove", "link erase", "history", "import", "replica", "transfer backfill"),
    }
    assert {" ".join(words) for words, _, _ in OPTIONAL} == {"transfer test", "organisation add"}


@pytest.mark.parametrize(("words", "command", "argument"), TAKING, ids=[" ".join(each[0]) for each in TAKING])
def test_a_value_is_taken_as_it_is(words, command, argument):
    needed = required_options(command)
    arguments = [each.name for each in command.params if isinstance(each, click.Argument)]
    before = ["yliopisto", *["x"] * len(arguments)][: arguments.index(argument.name)]
    for value in [*ODD, *OPTIONS]:
        orders = [] if value in OPTIONS else [[*before, value, *needed], [*needed, *before, value]]
        for given in [*orders, [*needed, "--", *before, value], [*needed, *before, "--", value]]:
            with command.make_context(words[-1], list(given)) as context:
                assert str(context.params[argument.name]) == value, given


@pytest.mark.parametrize(("words", "command", "option"), OPTIONAL, ids=[" ".join(each[0]) for each in OPTIONAL])
def test_a_value_of_an_option_is_taken_as_it_is(words, command, option):
    for value in [*ODD, *OPTIONS]:
        for given in ([option.opts[0], value], [f"{option.opts[0]}={value}"]):
            with command.make_context(words[-1], ["yliopisto", *required_options(command), *given]) as context:
                assert context.params[option.name] == ((value,) if option.multiple else value)


def test_an_option_that_is_unknown_is_still_refused(path):
    assert "No such option" in run(path, "check", "--jsn")[1]
    assert "No such option" in run(path, "link", "list", "yliopisto", "--jsn")[1]
    assert run(path, "link", "show", "yliopisto", "maija@yliopisto.example", "--jsn")[0] == 2


@pytest.mark.parametrize("account", ODD)
def test_a_link_is_shown_and_removed_whatever_its_account(path, store, account):
    make_link(store, fold(account), make_orcid_id(1))

    shown = run(path, "link", "show", "yliopisto", account)
    history = run(path, "history", "yliopisto", account, "--limit", "5")
    removed = run(path, "link", "remove", "yliopisto", account, "--reason", "left", "--yes")

    assert (shown[0], history[0], removed[0]) == (0, 0, 0)
    assert make_orcid_id(1).uri in shown[1]
    assert " linked " in history[1]
    assert store.links.get("yliopisto", fold(account)) is None
    assert run(path, "link", "erase", "yliopisto", account, "--reason", "asked", "--yes")[0] == 0


def test_a_shell_removes_all_that_it_is_told(path, store):
    odd = ["-maija@yliopisto.example", "--yes", " maija@yliopisto.example ", "$(id);*?[a]\\n@yliopisto.example"]
    accounts = [fold(each) for each in odd]
    for number, account in enumerate(accounts):
        make_link(store, account, make_orcid_id(number))
    script = """
        orcid-connect link list yliopisto --accounts | while IFS= read -r account; do
            orcid-connect link remove --reason "closed" --yes -- yliopisto "$account"
        done
    """
    environ = {
        **os.environ,
        "ORCID_CONNECT_CONFIG": str(path),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }

    done = subprocess.run(["/bin/sh", "-ec", script], env=environ, capture_output=True, text=True, check=True)

    assert done.stdout.count("removed ") == len(accounts)
    assert list(store.links.list_current("yliopisto")) == []
