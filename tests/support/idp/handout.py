"""Write the files of an Identity Provider's handout for tests."""

from __future__ import annotations

from click.testing import CliRunner

from shibboleth.handout.idp import (
    AccountForm,
)
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


def run(path, *words):
    return CliRunner().invoke(main, ["--config", str(path), "handout", *map(str, words)], catch_exceptions=False)


def hand_out(path, directory, *words):
    """Run `handout idp`, and return each file's text by its path."""
    asked = ["--config", str(path), "handout", "idp", "yliopisto", *map(str, words), "--output", str(directory)]
    done = CliRunner().invoke(main, asked, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return {
        each.relative_to(directory).as_posix(): each.read_text("utf-8")
        for each in directory.rglob("*")
        if each.is_file()
    }
