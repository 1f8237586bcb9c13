"""The beans and queries that an Identity Provider is handed, in Spring and through JDBC, against what we write."""

from __future__ import annotations

import re
import shlex
import signal
import unicodedata
from xml.sax.saxutils import unescape

import pytest
from click.testing import CliRunner
from defusedxml.ElementTree import fromstring

from shibboleth.attributes import fold
from shibboleth.handout.idp import ldap_filter
from shibboleth.handout.render import TemplateError
from shibboleth.orcid_id import Registry
from tests.support.configuration import store_section, write_configuration
from tests.support.database_roles import MAIJA, SECRET, RoleDatabase, link
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.support.idp import engines
from tests.support.idp.handout import LDAP, RESOLVER, RESOLVER_FILE, SCOPE, hand_out
from webapp.cli.main import main

BEANS = "conf/orcid-connect/beans.xml"
ODD = (
    *("o'brien", "a;b", "x' or '1'='1", "back\\slash", "100%", 'say "x"', "a?b", "?", "ä", "STRAẞE", "weiß", "aſa"),
    *("IIRIS", "İpek", "ıvan", "ΟΔΥΣΣΕΥΣ", "ŽIŽKA", "ÌÍĨĮJ"),
)
"""Users whose names are not plain, each with an account of ours; those in capitals are made small by languages."""
COMPOSED = ("ällä", "ÅSA")
"""Users whose names an Identity Provider may know in decomposed form, as a letter and its accent (NFD)."""


def queries(files, people, locale="tr"):
    """Give the query for each person, as the template makes it of the principal; by itself in a Turkish machine."""
    template = engines.template_of(files[RESOLVER_FILE], "QueryTemplate")
    templates = [(template, {"principal": each}) for each in people]
    return engines.run(templates=templates, kind="sql", locale=locale).rendered


def asked(files, people, beans=None, **properties):
    """Ask for each person, as the Identity Provider does; gives rows or an error for each."""
    ran = engines.run(beans=beans or files[BEANS], properties=properties, queries=queries(files, people))
    return [{name: value for name, value in each.items() if name != "seconds"} for each in ran.queried]


def url_of(files):
    """Give where the database is."""
    (url,) = re.findall(r'p:url="([^"]*)"', files[BEANS])
    return unescape(url)


def test_the_credential_is_sent_as_a_header(tmp_path):
    files = hand_out(write_configuration(tmp_path), tmp_path / "out", "--version", "4", "--source", "http")
    secret = engines.properties(files["credentials/orcid-connect.properties"])

    given = engines.run(beans=files[BEANS], properties=secret, headers=True).headers

    assert given == {"Authorization": "Bearer PUT-THE-TOKEN-HERE", "Accept": "application/json"}


# --- SQL ----------------------------------------------------------------------------------------------------------


def make_odd_links(store):
    for number, user in enumerate((*ODD, *COMPOSED), 10):
        make_link(store, fold(f"{user}@{SCOPE}"), make_orcid_id(number, Registry.SANDBOX))


THEIRS = [make_orcid_id(number, Registry.SANDBOX).uri for number, _ in enumerate((*ODD, *COMPOSED), 10)]
NOBODY = {"rows": []}


def decomposed(text):
    return unicodedata.normalize("NFD", text)


def without_tls(files):
    """Give the beans for a server without TLS, on which the files insist."""
    return files[BEANS].replace("sslmode=verify-full", "sslmode=disable")


ALIKE = [chr(code) for code in range(0x20, 0x530)]
"""Letters of Europe; and those that are written as another one, or as several."""
UNLIKE = [chr(code) for block in ((0x1E00, 0x2130), (0xFB00, 0xFB18), (0x13A0, 0x13B0)) for code in range(*block)]
TWO_IN_ONE = set(
    "\u00b5\u0149\u0340\u0341\u0343\u0344\u0345\u0374\u037e\u0387\u03d0\u03d1\u03d5\u03d6\u03f0\u03f1\u03f5"
)
"""What SQL takes for no account: letters that stand for another one or for several, and accents that do."""


@pytest.mark.parametrize("locale", ["tr", "lt"])
def test_an_account_is_folded_as_in_the_service_or_unknown(tmp_path, locale):
    files = hand_out(write_configuration(tmp_path), tmp_path / "out", "--version", "4", "--source", "sql")
    accounts = [f"{each}a@x.example" for each in (*ALIKE, *UNLIKE)] + [f"a{each}@x.example" for each in ALIKE]
    accounts += [f"{letter}{accent}@x.example" for letter in "IJĮij" for accent in "\u0300\u0301\u0303\u0307"]

    found = [each.partition(" account = '")[2][:-1].replace("''", "'") for each in queries(files, accounts, locale)]

    folded = dict(zip(accounts, found, strict=True))
    unlike = {each for each in ALIKE for account in (f"{each}a@x.example",) if folded[account] != fold(account)}
    assert unlike == TWO_IN_ONE
    # What is folded otherwise is no account of anybody's: ours are all folded
    assert [(each, come) for each, come in folded.items() if come != fold(each) and come == fold(come)] == []


def write_replica(path, file):
    done = CliRunner().invoke(main, ["--config", str(path), "replica", "yliopisto", str(file)], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_a_replica_is_read_and_so_is_the_one_that_replaces_it(tmp_path, store, store_url):
    path = write_configuration(tmp_path / "etc", store=store_section(tmp_path / "etc", store_url))
    file = tmp_path / "replica.db"
    words = ("--version", "5", "--source", "sql", "--database", file)
    files = hand_out(path, tmp_path / "out", *words)
    make_link(store, MAIJA, make_orcid_id(1, Registry.SANDBOX))
    make_odd_links(store)
    people = ["maija", "MAIJA", MAIJA, "nobody", "", *ODD, *COMPOSED, *map(decomposed, COMPOSED)]

    write_replica(path, file)
    found = asked(files, people)
    store.links.remove(UNIVERSITY, MAIJA, "person", "asked to", NOON)
    write_replica(path, file)
    after = asked(files, people[:1])

    name, uri = "eduPersonOrcid", make_orcid_id(1, Registry.SANDBOX).uri
    mine = {"rows": [[name, uri]]}
    odd = [{"rows": [[name, uri]]} for uri in THEIRS]
    # SQLite cannot compose a letter of its parts
    assert found == [mine, mine, mine, NOBODY, NOBODY, *odd, NOBODY, NOBODY]
    assert after == [NOBODY]


@pytest.mark.parametrize(
    ("missing", "expected"), [("release", [1, 1, 0, 1, 1, 0, 1]), ("withhold", [1, 1, 0, 0, 0, 0, 1])]
)
def test_a_replica_is_asked_for_the_id_of_the_present_holder(tmp_path, store, store_url, missing, expected):
    organisation = {"stable_id": "subject-id", "stable_id_missing": missing}
    path = write_configuration(
        tmp_path / "etc", organisations={"yliopisto": organisation}, store=store_section(tmp_path / "etc", store_url)
    )
    file = tmp_path / "replica.db"
    words = ("--version", "4", "--source", "sql", "--database", file, "--stable-id", "attribute:sid")
    files = hand_out(path, tmp_path / "out", *words)
    make_link(store, MAIJA, make_orcid_id(1, Registry.SANDBOX), stable_id=f"subject-id:iii@{SCOPE}")
    make_link(store, f"other@{SCOPE}", make_orcid_id(2, Registry.SANDBOX), stable_id=f"eduPersonUniqueId:a@{SCOPE}")
    write_replica(path, file)
    template = engines.template_of(files[RESOLVER_FILE], "QueryTemplate")
    people = [
        *[(MAIJA, each) for each in ([("III", SCOPE)], [f"iii@{SCOPE}"], [("iij", SCOPE)], [], ["iii", "iij"])],
        (MAIJA, ["x' or '1'='1"]),
        (f"other@{SCOPE}", [("iii", SCOPE)]),
    ]

    texts = engines.run(
        templates=[(template, {"principal": account, "sid": ids}) for account, ids in people], kind="sql", locale="tr"
    ).rendered
    found = engines.run(beans=files[BEANS], properties={}, queries=texts).queried

    assert [len(each["rows"]) for each in found] == expected


def test_a_replica_that_is_not_there_is_an_error_and_is_not_made(tmp_path):
    file = tmp_path / "nowhere.db"
    path = write_configuration(tmp_path / "etc")
    files = hand_out(path, tmp_path / "out", "--version", "4", "--source", "sql", "--database", file)

    (found,) = asked(files, ["maija"])

    assert "error" in found
    assert not file.exists()


@pytest.fixture
def place(postgres, tmp_path):
    place = RoleDatabase(postgres, tmp_path)
    yield place
    place.remove()


def test_postgresql_is_read_by_the_organisations_role_and_the_column_keeps_its_capitals(place, tmp_path):
    place.make()
    link(place.store)
    make_odd_links(place.store)
    words = ("--version", "4", "--source", "sql", f"--database=127.0.0.1:{place.server.port}/{place.database}")
    files = hand_out(place.config, tmp_path / "out", *words)
    people = ["maija", "real", "gone", "liisa@amk.example", *ODD, *COMPOSED, *map(decomposed, COMPOSED)]
    # This server shares two processors with other tests
    plain = re.sub(r"Timeout=\d", "Timeout=60", without_tls(files))

    refused = asked(files, people[:1], **{"orcidconnect.jdbcPassword": SECRET})
    found = asked(files, people, plain, **{"orcidconnect.jdbcPassword": SECRET})
    unknown = asked(files, people[:1], plain)

    odd = [{"rows": [["eduPersonOrcid", uri]]} for uri in THEIRS]
    mine = {"rows": [["eduPersonOrcid", make_orcid_id(1, Registry.SANDBOX).uri]]}
    assert found == [mine, NOBODY, NOBODY, NOBODY, *odd, *odd[-2:]]
    assert "error" in refused[0]
    assert "error" in unknown[0]


def test_a_hanging_database_delays_a_login_no_longer_than_a_hanging_service(place, tmp_path):
    place.make()
    link(place.store)
    words = ("--version", "4", "--source", "sql", f"--database=127.0.0.1:{place.server.port}/{place.database}")
    files = hand_out(place.config, tmp_path / "out", *words)
    (query,) = queries(files, ["maija"])
    (connector,) = fromstring(files[RESOLVER_FILE]).iter(f"{RESOLVER}DataConnector")
    timeout = int(connector.get("queryTimeout").strip("PTS"))
    waits = f"select pg_sleep(20), ({query.removesuffix(';')})::text"

    ran = engines.run(
        beans=without_tls(files),
        properties={"orcidconnect.jdbcPassword": SECRET},
        queries=[*[query] * 4, waits, *[query] * 4, None, query, None, *[query] * 4],
        timeout=timeout,
        between=[lambda: place.server.signal(signal.SIGSTOP), lambda: place.server.signal(signal.SIGCONT)],
    ).queried

    before, (slow,), between, (_stopped, hung, _goes_on), after = ran[:4], ran[4:5], ran[5:9], ran[9:12], ran[12:]
    # Java itself begins slowly: the first ones may come too late
    assert [any(each.get("rows") for each in some) for some in (before, between, after)] == [True] * 3, ran
    assert [("error" in each, each["seconds"] < 5.5) for each in (slow, hung)] == [(True, True)] * 2, ran


JAVAS = "sslfactory=org.postgresql.ssl.DefaultJavaSSLFactory"
SOON = "loginTimeout=2&connectTimeout=2&socketTimeout=3"


@pytest.mark.parametrize(
    ("store", "words", "url"),
    [
        ({}, [], "jdbc:sqlite:file:/var/lib/orcid-replica/yliopisto.db?mode=ro&immutable=1"),
        (
            {"url": "postgresql://orcid@db.example.org:5433/orcid"},
            [],
            f"jdbc:postgresql://db.example.org:5433/orcid?sslmode=verify-full&{JAVAS}&{SOON}",
        ),
        (
            {"url": "postgresql://orcid@/orcid?host=/run/postgresql"},
            ["--database", "db.example.org/orcid", "--ca", "/etc/ca.pem"],
            f"jdbc:postgresql://db.example.org/orcid?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&{SOON}",
        ),
    ],
)
def test_the_database_address_comes_from_the_configuration(tmp_path, store, words, url):
    path = write_configuration(tmp_path / "etc", store=store)

    files = hand_out(path, tmp_path / "out", "--version", "4", "--source", "sql", *words)

    assert url_of(files) == url
    used = [line for line in files["README.txt"].splitlines() if line.startswith(("    psql ", "    sqlite3 "))]
    program, *rest = shlex.split(used[0])
    if program == "psql":
        told = dict(each.split("=", 1) for each in rest[0].split())
        assert (told["host"], told["dbname"], told["user"]) == ("db.example.org", "orcid", "idp_yliopisto")
        assert told["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    ("change", "store", "words", "said"),
    [
        ({}, {"url": "postgresql://orcid@localhost/orcid"}, [], "--database db.example.org/orcid"),
        (
            {},
            {"url": "postgresql://orcid@/orcid?host=/run/postgresql"},
            [],
            "name its address for the Identity Provider",
        ),
        ({}, {}, ["--database", "a b/c"], "--database is HOST[:PORT]/NAME"),
        ({}, {}, ["--database", "db.example.org"], "--database is HOST[:PORT]/NAME"),
        ({}, {}, ["--database", "/a?b.db"], "--database is HOST[:PORT]/NAME"),
        ({}, {}, ["--database", "db.example.org/orcid", "--ca", "ca.pem"], "--ca is an absolute path"),
        ({}, {}, ["--database", "db.example.org/orcid", "--ca", "/a'b.pem"], "--ca is an absolute path"),
        ({"credential": None, "keep": "nothing", "transfer": [LDAP]}, {}, [], 'keep = "nothing"'),
    ],
)
def test_an_unsuitable_database_is_reported(tmp_path, change, store, words, said):
    path = write_configuration(
        tmp_path, store=store, organisations={"yliopisto": change}, secrets={"directory.password": "d" * 40}
    )

    asked_ = ["--config", str(path), "handout", "idp", "yliopisto", "--version", "4", "--source", "sql", *words]
    done = CliRunner().invoke(main, asked_, catch_exceptions=False)

    assert (done.exit_code, said in done.output) == (1, True), done.output


# --- LDAP ---------------------------------------------------------------------------------------------------------


def with_ldap(tmp_path, **other):
    return write_configuration(
        tmp_path / "etc",
        organisations={"yliopisto": {"transfer": [{**LDAP, **other}]}},
        secrets={"directory.password": "d" * 40},
    )


@pytest.mark.parametrize(
    ("change", "words", "lines"),
    [
        ({}, [], ['useStartTLS="false"']),
        ({"url": "ldap://ldap.example.org"}, [], ['useStartTLS="true"']),
        ({"ca_file": "/etc/ca.pem"}, [], ["trustFile=\"#{new java.io.File('%{idp.home}/credentials/ldap-server.crt')"]),
        ({}, ["--ca", "/x.pem"], ["trustFile=\"#{new java.io.File('/x.pem')"]),
        (
            {"attribute": "extensionAttribute7", "object_class": ""},
            [],
            [
                "<ReturnAttributes>extensionAttribute7</ReturnAttributes>",
                '<Column columnName="extensionAttribute7" attributeID="eduPersonOrcid"/>',
            ],
        ),
    ],
)
def test_the_directory_is_read_as_the_transfer_writes_it(tmp_path, change, words, lines):
    files = hand_out(with_ldap(tmp_path, **change), tmp_path / "out", "--version", "4", "--source", "ldap", *words)

    assert all(line in files[RESOLVER_FILE] for line in lines)
    # Exported under a name of its own, it would be another attribute
    assert ("If your resolver already has a DataConnector for this directory" in files["README.txt"]) is (
        "attribute" not in change
    )
    assert ("trustFile" in files[RESOLVER_FILE]) == any("trustFile" in line for line in lines)
    assert not [path for path in files if path.startswith("credentials/") or path.endswith("beans.xml")]


@pytest.mark.parametrize(
    ("text", "person", "filled"),
    [
        ("(eduPersonPrincipalName={account})", "maija", f"(eduPersonPrincipalName=maija@{SCOPE})"),
        ("(&(objectClass=person)(uid={user}))", f"maija@{SCOPE}", "(&(objectClass=person)(uid=maija))"),
        ("(&(o={scope})(uid={user}))", "a@b", "(&(o=b)(uid=a))"),
        ("(uid={user})", "a)(uid=*", r"(uid=a\29\28uid=\2a)"),
        ("(uid={user})", r"back\slash", r"(uid=back\5cslash)"),
        ("(&(ou=Tietojenkäsittely)(uid={user}))", "äiti", r"(&(ou=Tietojenk\c3\a4sittely)(uid=äiti))"),
    ],
)
def test_a_filter_means_the_same_in_the_identity_provider(tmp_path, text, person, filled):
    files = hand_out(with_ldap(tmp_path, filter=text), tmp_path / "out", "--version", "5", "--source", "ldap")
    template = engines.template_of(files[RESOLVER_FILE], "FilterTemplate")

    assert engines.run(templates=[(template, {"principal": person})], kind="ldap").rendered == [filled]


def test_a_filter_that_a_template_would_take_for_its_own_is_refused():
    with pytest.raises(TemplateError):
        ldap_filter("(description=$x{account})")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"transfer": []}, "no transfer of kind ldap"), ({"transfer": [{**LDAP, "value_form": "bare"}]}, 'only "https"')],
)
def test_unsupported_directory_options_are_reported(tmp_path, change, said):
    path = write_configuration(tmp_path, organisations={"yliopisto": change}, secrets={"directory.password": "d" * 40})

    done = CliRunner().invoke(
        main, ["--config", str(path), "handout", "idp", "yliopisto", "--version", "4", "--source", "ldap"]
    )

    assert (done.exit_code, said in done.output) == (1, True), done.output
