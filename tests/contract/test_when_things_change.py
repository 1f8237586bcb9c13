"""The page about what changes with time: its settings and commands, tried as they stand there; on each engine."""

import re
import shlex

import pytest
from click.testing import CliRunner

from shibboleth.orcid_id import Registry
from shibboleth.organisation import UnknownOrganisation
from tests.support import docs
from tests.support.configuration import store_section, write_configuration
from tests.support.factories import NOON, make_link, make_orcid_id
from webapp.cli.main import main
from webapp.config.loader import load

PAGE = (docs.DOCS / "when-things-change.md").read_text("utf-8")
FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
HOST = "https://idp.example.org/idp/shibboleth"
NEW_HOST = "https://login.example.org/idp"
MAIJA, VILLE = "maija@example.org", "ville@example.org"

SECTIONS = {
    "The Identity Provider gets another entityID": ({MAIJA: MAIJA}, {HOST: False, NEW_HOST: True}),
    "The organisation gets a second Identity Provider": ({MAIJA: MAIJA}, {HOST: True, NEW_HOST: True}),
    "The scope changes": ({MAIJA: "maija@uni.example", VILLE: "ville@uni.example"}, {HOST: True}),
    "The key attribute changes": ({MAIJA: "m4i7a@example.org", VILLE: "v1l7e@example.org"}, {HOST: True}),
    "An account gets another name": (
        {MAIJA: "maija.new@example.org", VILLE: "ville.new@example.org"},
        {HOST: True},
    ),
    "Two organisations become one": (
        {MAIJA: MAIJA, "anna@example.net": "anna@example.net"},
        {HOST: True, "https://idp.example.net/idp/shibboleth": True},
    ),
}
"""By heading: each account before and after, and whether people sign in through an entityID at the end."""


@pytest.fixture
def path(tmp_path, store_url):
    """An installation with the two organisations of the page."""
    net = {"entity_ids": "https://idp.example.net/idp/shibboleth", "scopes": ["example.net"], "credential": None}
    token = [{"name": "idp", "rights": ["read"], "token": "file:secrets/yliopisto.token"}]
    org = {"entity_ids": HOST, "scopes": ["example.org"], "credential": token}
    return write_configuration(
        tmp_path, store=store_section(tmp_path, store_url), organisations={"example-org": org, "example-net": net}
    )


def run(path, command):
    """Run a command of the page, and give what it printed."""
    program, *words = shlex.split(command)
    assert program == "orcid-connect"
    result = CliRunner().invoke(main, ["--config", str(path), *words], catch_exceptions=False)
    assert result.exit_code == 0, (command, result.output)
    return result.output


def edit(path, organisation, lines):
    """Write settings into the file of an organisation, in place of what it says."""
    file = path.parent / "organisations" / f"{organisation}.toml"
    text = file.read_text("utf-8")
    for line in filter(None, map(str.strip, lines.splitlines())):
        text = re.sub(rf"^{line.partition(' ')[0]} = .*\n", "", text, flags=re.MULTILINE)
        text = f"{line}\n{text}"
    file.write_text(text, "utf-8")


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_section_does_what_it_says(store, path, heading, monkeypatch):
    monkeypatch.chdir(path.parent)
    accounts, entity_ids = SECTIONS[heading]
    for number, account in enumerate(accounts, 1):
        home = "example-net" if account.endswith(".net") else "example-org"
        make_link(store, account, make_orcid_id(number, Registry.SANDBOX), home)
    under = docs.under(PAGE, heading)
    store.organisations.record_sign_in("example-org", HOST, NOON)

    for _, kind, content in FENCE.findall(under):
        name, _, organisation = kind.partition(" ")
        if name == "toml":
            if "example.net" in content and "entity_ids" in content:  # the step before says to delete the file
                (path.parent / "organisations/example-net.toml").unlink()
            edit(path, organisation, content)
        elif name == "csv":
            (path.parent / "accounts.csv").write_text(content, "utf-8")
        else:
            for command in filter(None, map(str.strip, content.splitlines())):
                run(path, command)

    config = load(path, {})
    assert {link.account: link.orcid_id for link in store.links.list_current("example-org")} == {
        account: make_orcid_id(number, Registry.SANDBOX) for number, account in enumerate(accounts.values(), 1)
    }
    for entity_id, signs_in in entity_ids.items():
        if signs_in:
            assert config.organisations.by_entity_id(entity_id).id == "example-org"
        else:
            with pytest.raises(UnknownOrganisation):
                config.organisations.by_entity_id(entity_id)
    assert " organisation   example-org, " in run(path, "orcid-connect check")
