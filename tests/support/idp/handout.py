"""Write the files handed to an Identity Provider, for the tests of what is in them."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from shibboleth.handout.idp import (
    AccountForm,
)
from tests.support.configuration import write_configuration
from webapp.cli.main import main

RESOLVER = "{urn:mace:shibboleth:2.0:resolver}"


SCOPE = "yliopisto.example"


TOKEN = "t" * 40


PERSONS = {
    "principal": AccountForm.PRINCIPAL,
    f"principal@{SCOPE}": AccountForm.PRINCIPAL_AT,
    "attribute:eduPersonPrincipalName": AccountForm.DEFINITION,
    "attribute:myLDAP/uid": AccountForm.EXPORTED,
}


POSTGRESQL = "--database=db.example.org:5433/orcid_connect"


SOURCES = {"http": ("http",), "sqlite": ("sql",), "postgresql": ("sql", POSTGRESQL), "ldap": ("ldap",)}


LDAP = {
    "name": "directory",
    "kind": "ldap",
    "url": "ldaps://ldap1.example.org ldaps://ldap2.example.org",
    "base": "ou=people,dc=example,dc=org",
    "filter": "(&(objectClass=person)(eduPersonPrincipalName={account}))",
    "bind_dn": "cn=orcid-connect,dc=example,dc=org",
    "password": "file:secrets/directory.password",
}


RESOLVER_FILE = "conf/orcid-connect/attribute-resolver.xml"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory for all of these tests."""
    return tmp_path_factory.mktemp("handout")


@pytest.fixture(scope="module")
def configuration(place):
    return write_configuration(
        place / "etc",
        organisations={"yliopisto": {"transfer": [LDAP]}},
        secrets={"directory.password": "d" * 40},
    )


@pytest.fixture(scope="module")
def handed(configuration, place):
    """Hand out as the operator does, and give each file's text by its path."""
    known = {}

    def hand(version="4", source="http", person=f"principal@{SCOPE}", release="asking", *more, path=configuration):
        source, *further = SOURCES[source]
        words = ("--version", version, "--source", source, "--person", person, "--release-to", release)
        words = (*words, *further, *more)
        if (path, words) not in known:
            directory = place / f"handed-{len(known)}"
            done = run(path, "idp", "yliopisto", *words, "--output", directory)
            assert done.exit_code == 0, done.output
            known[path, words] = {
                each.relative_to(directory).as_posix(): each.read_text("utf-8")
                for each in directory.rglob("*")
                if each.is_file()
            }
        return known[path, words]

    return hand


def run(path, *words):
    return CliRunner().invoke(main, ["--config", str(path), "handout", *map(str, words)], catch_exceptions=False)


def hand_out(path, directory, *words):
    """Hand out, and give each file by its path."""
    asked = ["--config", str(path), "handout", "idp", "yliopisto", *map(str, words), "--output", str(directory)]
    done = CliRunner().invoke(main, asked, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return {
        each.relative_to(directory).as_posix(): each.read_text("utf-8")
        for each in directory.rglob("*")
        if each.is_file()
    }
