"""What our LDAP transfer writes into a real directory, an Identity Provider finds by the connector it is handed."""

from __future__ import annotations

import re
import subprocess
import unicodedata

import pytest
from click.testing import CliRunner
from defusedxml.ElementTree import fromstring

from resolver_connector.transfers.base import ChangeKind, ChangeMessage, Outcome
from tests.support.configuration import write_configuration
from tests.support.factories import NOON, UNIVERSITY, UNIVERSITY_IDP, make_orcid_id
from tests.support.idp import engines
from tests.support.transfers.ldap import settings
from tests.support.transfers.slapd import READER, Slapd
from webapp.cli.main import main

MAIJA = "maija@yliopisto.example"
OURS = make_orcid_id(7)
RESOLVER = "{urn:mace:shibboleth:2.0:resolver}"
FILTERS = ("(eduPersonPrincipalName={account})", "(&(objectClass=person)(uid={user}))")
PERSONS = ("principal", "principal@yliopisto.example", "attribute:eduPersonPrincipalName", "attribute:myLDAP/uid")


@pytest.fixture(scope="module")
def directory():
    directory = Slapd()
    yield directory
    directory.remove()


def handed(place, directory, branch, written_filter, *words):
    """Hand out for this directory, and give the connector of the resolver's file."""
    transfer = {
        "kind": "ldap", "name": "directory", "url": directory.tls_url, "base": branch, "filter": written_filter,
        "ca_file": str(directory.ca.certificate), "bind_dn": READER, "password": "file:secrets/directory.password",
    }  # fmt: skip
    path = write_configuration(
        place, organisations={"yliopisto": {"transfer": [transfer]}}, secrets={"directory.password": "d" * 40}
    )
    asked = ["handout", "idp", "yliopisto", "--source", "ldap", *words, "--output", str(place / "out")]
    done = CliRunner().invoke(main, ["--config", str(path), *asked])
    assert done.exit_code == 0, done.output
    text = (place / "out/conf/orcid-connect/attribute-resolver.xml").read_text("utf-8")
    (connector,) = fromstring(text).iter(f"{RESOLVER}DataConnector")
    return connector, engines.template_of(text, "FilterTemplate")


def search(directory, connector, query):
    """Search as an LDAPDirectory connector does: its server, its base, its attributes, one entry at the most.

    Names are as the server spells them: the Identity Provider makes its attributes of them, letter by letter.
    """
    said = {name: engines.with_settings(value) for name, value in connector.attrib.items()}
    (asked,) = connector.iter(f"{RESOLVER}ReturnAttributes")
    words = ["-x", "-LLL", "-o", "ldif-wrap=no", "-H", said["ldapURL"], "-D", READER, "-w", directory.password]
    words += ["-b", said["baseDN"], "-z", said["maxResultSize"], query, *asked.text.split()]
    # The authority's file lies elsewhere on the Identity Provider's machine
    environ = {"PATH": "/usr/bin", "LC_ALL": "C.UTF-8", "LDAPTLS_CACERT": str(directory.ca.certificate)}
    done = subprocess.run(["ldapsearch", *words], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    entries = [
        re.findall(r"^(\w+): (.*)$", entry, re.MULTILINE) for entry in done.stdout.split("\n\n") if entry.strip()
    ]
    return [[pair for pair in entry if pair[0] != "dn"] for entry in entries]


def names_of(person, user):
    account = user if user in {"", "*"} else f"{user}@yliopisto.example"
    return {
        "principal": {"principal": account},
        "principal@yliopisto.example": {"principal": user},
        # A scoped attribute comes without its scope
        "attribute:eduPersonPrincipalName": {"principal": "x", "eduPersonPrincipalName": [user] if user else []},
        "attribute:myLDAP/uid": {"principal": "x", "uid": [user] if user else []},
    }[person]


@pytest.mark.parametrize("person", PERSONS)
@pytest.mark.parametrize("written_filter", FILTERS)
@pytest.mark.parametrize("version", ["3.4", "5"])
def test_what_the_transfer_writes_the_connector_finds(tmp_path, directory, version, written_filter, person):
    branch = directory.make_branch()
    directory.add_person(branch, MAIJA)
    directory.add_person(branch, "pekka@yliopisto.example", classes=())
    transfer = settings(directory, base=branch, filter=written_filter)
    words = ("--version", version, "--person", person)
    connector, template = handed(tmp_path, directory, branch, written_filter, *words)
    queries = engines.run(
        templates=[(template, names_of(person, user)) for user in ("maija", "MAIJA", "pekka", "nobody", "*", "")],
        kind="ldap",
    ).rendered

    linked = transfer.deliver(
        ChangeMessage("1", ChangeKind.LINKED, UNIVERSITY, "eppn", MAIJA, OURS, None, NOON, UNIVERSITY_IDP, 1),
        now=NOON,
        timeout=20,
    )
    found = [search(directory, connector, query) for query in queries]
    removed = transfer.deliver(
        ChangeMessage("2", ChangeKind.REMOVED, UNIVERSITY, "eppn", MAIJA, None, OURS, NOON, UNIVERSITY_IDP, 2),
        now=NOON,
        timeout=20,
    )
    after = search(directory, connector, queries[0])

    assert (linked.outcome, removed.outcome) == (Outcome.STORED, Outcome.STORED)
    mine = [[("eduPersonOrcid", OURS.uri)]]
    assert found[:2] == [mine, mine]
    # Whoever has no iD has an entry without the attribute, or none that the filter finds
    assert found[2] in ([], [[]])
    assert found[3:] == [[], [], []]
    assert after == [[]]


USERS = ("maija", "o'brien", "weiß", "ällä", "IIRIS", "Žižka", "a(b)c", "a?b", "file", "100%")
SPELLINGS = (
    str,
    str.upper,
    str.lower,
    lambda user: unicodedata.normalize("NFD", user),
    lambda user: user.replace("fi", "ﬁ"),
)


def test_however_an_account_is_spelt_it_finds_its_own_id_or_none(tmp_path, directory):
    branch = directory.make_branch()
    theirs = {user: make_orcid_id(number).uri for number, user in enumerate(USERS)}
    for user, uri in theirs.items():
        directory.add_person(branch, f"{user}@yliopisto.example", [uri])
    connector, template = handed(tmp_path, directory, branch, FILTERS[0], "--version", "5", "--person", PERSONS[1])
    asked = {spell(user): user for spell in reversed(SPELLINGS) for user in USERS}
    queries = engines.run(templates=[(template, {"principal": each}) for each in asked], kind="ldap").rendered

    found = {each: search(directory, connector, query) for each, query in zip(asked, queries, strict=True)}

    assert {each: found[each] for each in USERS} == {user: [[("eduPersonOrcid", theirs[user])]] for user in USERS}
    # The directory compares spellings as it does when people sign in: whom it does not find has no iD
    assert [each for each, come in found.items() if come not in ([], [[("eduPersonOrcid", theirs[asked[each]])]])] == []
