"""What an Identity Provider is handed is whole, asks our connector rightly, and makes an attribute of its answer."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
from itertools import product
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote_plus, urlsplit

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials
from shibboleth.handout.idp import (
    Account,
    AccountForm,
    IdpOptions,
    Release,
    SourceKind,
    Version,
    idp_files,
    idp_templates,
    parse_account,
)
from shibboleth.handout.render import TemplateError, placeholders
from shibboleth.orcid_id import Registry
from sql.errors import StoreUnavailable
from tests.support import docs
from tests.support.configuration import ORGANISATION, write, write_configuration, write_secret
from tests.support.factories import NOON, UNIVERSITY, make_client, make_link, make_orcid_id
from tests.support.idp import engines, schemas
from tests.support.idp.handout import (
    LDAP,
    PERSONS,
    RESOLVER,
    RESOLVER_FILE,
    SCOPE,
    SOURCES,
    TOKEN,
    run,
)
from tests.support.init import add_example, run_init
from tests.support.service import ORGANISATIONS, ask, serve_app

BEANS = "{http://www.springframework.org/schema/beans}"
P = "{http://www.springframework.org/schema/p}"
WAYS = [pytest.param(*way, id=" ".join(way)) for way in product(Version, SOURCES, PERSONS)]


# --- Each of them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "source", "person"), WAYS)
def test_every_file_is_well_formed_and_valid(handout_files, version, source, person):
    files = handout_files(version, source, person)

    for path, text in files.items():
        name = path.rpartition("/")[2]
        assert not placeholders(text), path
        assert "@if" not in text
        assert "@end@" not in text
        if path.endswith(".xml"):
            fromstring(text)
        if name in schemas.FILES:
            assert schemas.complaints(version, name, text) == []


@pytest.mark.parametrize(("version", "source", "person"), WAYS)
def test_a_failure_of_the_connector_costs_the_id_alone(handout_files, version, source, person):
    resolver = fromstring(handout_files(version, source, person)[RESOLVER_FILE])

    (connector,) = resolver.iter(f"{RESOLVER}DataConnector")
    assert connector.get("propagateResolutionExceptions") == "false"
    assert not list(resolver.iter(f"{RESOLVER}FailoverDataConnector"))
    # A directory of one's own that is down costs more than an iD; two entries for one person are no reason to rest
    assert connector.get("noRetryDelay") == ("PT0S" if source == "ldap" else "PT5S")
    (cache,) = connector.iter(f"{RESOLVER}ResultCache")
    assert cache.get("expireAfterWrite") == "PT2M"


@pytest.mark.parametrize("version", Version)
def test_connections_to_the_directory_are_kept_and_no_login_waits_long_for_one(handout_files, version):
    (connector,) = fromstring(handout_files(version, "ldap")[RESOLVER_FILE]).iter(f"{RESOLVER}DataConnector")

    (pool,) = connector.iter(f"{RESOLVER}ConnectionPool")

    # Without a pool each login connects and binds; with a minimum, a directory that is away would keep it from loading
    assert (pool.get("minPoolSize"), int(pool.get("maxPoolSize")) > 1) == ("0", True)
    assert pool.get("blockWaitTime") == connector.get("connectTimeout") == "PT2S"
    # A firewall ends a connection that nobody uses, which would cost the next login its iD
    assert (pool.get("validatePeriodically"), pool.get("validateTimerPeriod")) == ("true", "PT5M")


@pytest.mark.parametrize(("version", "source", "person"), WAYS)
def test_no_value_is_released_twice(handout_files, version, source, person):
    files = handout_files(version, source, person)
    resolver = fromstring(files[RESOLVER_FILE])

    definitions = list(resolver.iter(f"{RESOLVER}AttributeDefinition"))
    exported = [each.get("exportAttributes") for each in resolver.iter(f"{RESOLVER}DataConnector")]
    old = version == Version.V3_4
    assert [each.get("id") for each in definitions] == (["eduPersonOrcid"] if old else [])
    assert exported == ([None] if old else ["eduPersonOrcid"])
    assert len(list(resolver.iter(f"{RESOLVER}AttributeEncoder"))) == (2 if old else 0)
    assert any(path.startswith("only-if-missing/") for path in files) is not old


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("release", Release)
def test_only_a_well_formed_id_of_our_registry_is_released(handout_files, version, release):
    text = handout_files(version, release=release)["conf/orcid-connect/attribute-filter.xml"]

    (pattern,) = re.findall(r'regex="([^"]*)"', text)
    assert re.search(pattern, make_orcid_id(1, Registry.SANDBOX).uri)
    assert not re.search(pattern, make_orcid_id(1).uri)
    assert not re.search(pattern, "https://sandboxXorcid.org/0000-0002-1825-0097")
    assert schemas.complaints(version, "attribute-filter.xml", text) == []
    assert ('xsi:type="AttributeInMetadata" onlyIfRequired="false"' in text) is (release is Release.ASKING)


IDP = {"name": "idp", "rights": ["read"]}
BASIC = {"user": "idp", "password": "file:secrets/front-proof"}


@pytest.mark.parametrize(
    ("credential", "line"),
    [
        ({"token": "file:secrets/yliopisto.token"}, "PUT-THE-TOKEN-HERE"),
        (
            {"user": "yliopisto", "password": "file:secrets/yliopisto.password"},
            "PUT-USER-AND-PASSWORD-IN-BASE64-HERE",
        ),
    ],
    ids=["a token", "a password"],
)
def test_the_credential_is_in_its_own_file_alone(tmp_path, handout_files, credential, line):
    secret = "s3cret" * 8
    path = write_configuration(
        tmp_path / "other",
        organisations={"yliopisto": {"credential": [{**IDP, **credential}]}},
        secrets={"yliopisto.token": secret, "yliopisto.password": secret},
    )

    files = handout_files(path=path)

    assert f"orcidconnect.credential = {line}\n" in files["credentials/orcid-connect.properties"]
    assert secret not in "".join(files.values())


# --- What it asks, and what it makes of the answer ----------------------------------------------------------------

ACCOUNTS = (
    *("maija", f"maija@{SCOPE}", "a b", "a+b", "o'brien", 'say "x"', "a/b", "../x", "a?b#c", "a&account=ok", "a=b"),
    *("é", "äiti", "李", "😀", "a%2Fb", "100%", "$account", "${account}", "#set($x=1)", "#end", "a;b", "a\\b", "<x>"),
)


def asked(url):
    """Give the account of a request, as the web understands it."""
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://orcid-connect.example/v1/people"
    return parse_qs(parts.query, keep_blank_values=True, strict_parsing=True)


def names_of(form, account):
    """Give what a template of the Identity Provider finds, where this is what it knows of a person."""
    return {
        AccountForm.PRINCIPAL: {"principal": account},
        AccountForm.PRINCIPAL_AT: {"principal": account},
        AccountForm.DEFINITION: {"principal": "other", "eduPersonPrincipalName": [account]},
        AccountForm.EXPORTED: {"principal": "other", "uid": [account, "second"]},
    }[form]


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize(("person", "form"), PERSONS.items())
def test_the_connector_is_asked_for_exactly_this_account(handout_files, version, person, form):
    template = engines.template_of(handout_files(version, "http", person)[RESOLVER_FILE])

    urls = engines.run(templates=[(template, names_of(form, each)) for each in ACCOUNTS]).rendered

    full = [each if form is AccountForm.PRINCIPAL or "@" in each else f"{each}@{SCOPE}" for each in ACCOUNTS]
    assert [asked(url) for url in urls] == [{"account": [each]} for each in full]


@pytest.mark.parametrize("person", PERSONS)
def test_an_account_too_long_for_a_url_is_no_failure(handout_files, connector, person):
    files = handout_files("4", "http", person)
    template, form = engines.template_of(files[RESOLVER_FILE]), PERSONS[person]
    accounts = [f"{each}@{SCOPE}" for each in ("x" * 512, "x" * 10_000, "\u674e" * 512, "%" * 5000)]

    urls = engines.run(templates=[(template, names_of(form, each)) for each in accounts]).rendered

    assert [asked(url) for url in urls] == [{"account": [accounts[0]]}, *[{"account": [""]}] * 3]
    # Apache takes 4,094 octets of a request line; a refusal of it (414) would be a failure for everybody
    assert max(map(len, urls)) < 4000
    assert {str(get(connector, url).status) for url in urls} <= accepted(files)


OF_ATTRIBUTES = [each for each, form in PERSONS.items() if form in {AccountForm.DEFINITION, AccountForm.EXPORTED}]
KNOWN = {
    "maija": f"maija@{SCOPE}",
    f"maija@{SCOPE}": f"maija@{SCOPE}",
    ("maija", SCOPE): f"maija@{SCOPE}",
    ("maija", "of.another.example"): "maija@of.another.example",
    ("o'br?en ß&$x", SCOPE): f"o'br?en ß&$x@{SCOPE}",
}
"""The account that each value of an attribute is: with its scope where it has one, which is a pair since version 4."""


WRITTEN = {
    "http": ("url", "URLTemplate", lambda account: f"https://orcid-connect.example/v1/people?account={account}"),
    "ldap": ("ldap", "FilterTemplate", lambda account: LDAP["filter"].replace("{account}", account)),
    "sqlite": ("sql", "QueryTemplate", lambda account: f"{SELECT} = '{_in_sql(account)}'"),
    "postgresql": ("sql", "QueryTemplate", lambda account: f"{SELECT} = normalize('{_in_sql(account)}', NFC)"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_scoped_attribute_is_asked_for_with_its_scope(handout_files, source):
    kind, element, write = WRITTEN[source]
    ways = list(product(Version, OF_ATTRIBUTES, KNOWN))
    templates = [
        (
            engines.template_of(handout_files(version, source, person)[RESOLVER_FILE], element),
            {person.removeprefix("attribute:").rpartition("/")[2]: [known]},
        )
        for version, person, known in ways
    ]

    filled = engines.run(templates=templates, kind=kind).rendered

    said = dict(zip(ways, (unquote_plus(each) if kind == "url" else each for each in filled), strict=True))
    assert said == {way: write(KNOWN[way[2]]) for way in ways}


SELECT = 'select "eduPersonOrcid" from idp_release where account'


def _in_sql(account):
    return account.replace("'", "''").replace("ß", "ss")


@pytest.mark.parametrize("person", OF_ATTRIBUTES)
def test_a_person_without_the_attribute_is_no_failure(handout_files, connector, person):
    files = handout_files("4", "http", person)
    template = engines.template_of(files[RESOLVER_FILE])
    nothing = [{"principal": "x"}, {"principal": "x", "eduPersonPrincipalName": [], "uid": []}]
    urls = engines.run(templates=[(template, names) for names in nothing]).rendered

    answers = [get(connector, url) for url in urls]
    ran = engines.run(script=script(files), bodies=[(each.status, each.body) for each in answers])

    assert {str(each.status) for each in answers} <= accepted(files)
    assert [each["attributes"] for each in ran.mapped] == [[], []]
    assert all("the account is missing" in each["warnings"][0] for each in ran.mapped)


STABLE = "ab1"
STABLE_VALUES = {
    (STABLE, SCOPE): f"{STABLE}@{SCOPE}",
    f"{STABLE}@{SCOPE}": f"{STABLE}@{SCOPE}",
    STABLE: f"{STABLE}@{SCOPE}",
    ("o'b", SCOPE): f"o'b@{SCOPE}",
}


def with_stable_id(handout_files, directory, version, source, form):
    path = write_configuration(directory, organisations={"yliopisto": {"stable_id": "subject-id"}})
    return handout_files(
        version, source, "attribute:myLDAP/uid", "asking", "--stable-id", f"attribute:{form}", path=path
    )


@pytest.mark.parametrize("source", ["http", "sqlite", "postgresql"])
def test_the_stable_id_is_named_beside_the_account_and_is_a_pair_since_version_4(handout_files, tmp_path, source):
    kind, element, _ = WRITTEN[source]
    ways = [(version, form) for version in Version for form in ("samlSubjectID", "myLDAP/samlSubjectID", "own/sid")]
    known = [[value] for value in STABLE_VALUES] + [[], ["a", "b"]]
    written = [*STABLE_VALUES.values(), "", ""]
    templates = []
    for number, (version, form) in enumerate(ways):
        files = with_stable_id(handout_files, tmp_path / str(number), version, source, form)
        assert schemas.complaints(version, "attribute-resolver.xml", files[RESOLVER_FILE]) == []
        template = engines.template_of(files[RESOLVER_FILE], element)
        templates += [(template, {"uid": ["maija"], form.rpartition("/")[2]: each}) for each in known]

    filled = engines.run(templates=templates, kind=kind).rendered

    if source == "http":
        expected = [{"account": [f"maija@{SCOPE}"], "stable_id": [value]} for value in written]
        assert [asked(url) for url in filled] == expected * len(ways)
    else:
        expected = [f"stable_id = 'subject-id:{value.replace(chr(39), chr(39) * 2)}'" for value in written]
        assert [re.search("stable_id = '(?:[^']|'')*'", each)[0] for each in filled] == expected * len(ways)


def test_one_connector_with_both_attributes_is_named_once(handout_files, tmp_path):
    resolver = with_stable_id(handout_files, tmp_path, "5", "http", "myLDAP/samlSubjectID")[RESOLVER_FILE]

    found = [dict(each.items()) for each in fromstring(resolver).iter(f"{RESOLVER}InputDataConnector")]
    assert found == [{"ref": "myLDAP", "attributeNames": "uid samlSubjectID"}]


@pytest.fixture
def connector(store):
    return make_connector(store)


def get(connector, url, token=TOKEN):
    parts = urlsplit(url)
    return ask(connector, parts.path, QUERY_STRING=parts.query, HTTP_AUTHORIZATION=f"Bearer {token}")


def script(files):
    return engines.script_of(files[RESOLVER_FILE])


def accepted(files):
    """Give the statuses whose answers the script reads."""
    (connector,) = fromstring(files[RESOLVER_FILE]).iter(f"{RESOLVER}DataConnector")
    return set(connector.get("acceptStatuses").split())


def test_the_connectors_response_becomes_the_attribute(handout_files, connector, store):
    files = handout_files()
    orcid_id = make_orcid_id(7, Registry.SANDBOX)
    make_link(store, f"maija@{SCOPE}", orcid_id=orcid_id)
    template = engines.template_of(files[RESOLVER_FILE])
    people = ("maija", f"MAIJA@{SCOPE}", "nobody", "", "$account")
    urls = engines.run(templates=[(template, {"principal": each}) for each in people]).rendered

    answers = [get(connector, url) for url in urls]
    ran = engines.run(script=script(files), bodies=[(each.status, each.body) for each in answers]).mapped

    assert {str(each.status) for each in answers} <= accepted(files)
    theirs = [["eduPersonOrcid", [orcid_id.uri]]]
    assert [each["attributes"] for each in ran] == [theirs, theirs, [], [], []]
    assert [len(each["warnings"]) for each in ran] == [0, 0, 0, 0, 1]
    assert "begins with $" in ran[-1]["warnings"][0]


class Away:
    """A store whose database is away."""

    def get_current_orcid_id(self, *_asked):
        raise StoreUnavailable("away")

    check_schema = merged_organisations = get_current_orcid_id

    def lookup(self):
        return self


def make_connector(store):
    credentials = Credentials([(Bearer(TOKEN), make_client(ORGANISATIONS.by_id(UNIVERSITY)))])
    return Connector(store, credentials, Registry.SANDBOX, lambda: NOON)


STATUSES = {200: None, 400: None, 404: None, 401: "status 401, ", 503: "status 503, "}
"""Each status of the connector: nothing where it is no failure, or how the failure is told."""


@pytest.mark.parametrize("version", Version)
def test_each_response_is_handled_and_failures_are_logged_with_their_status(handout_files, connector, version):
    files = handout_files(version)
    (settings_,) = fromstring(files[RESOLVER_FILE]).iter(f"{RESOLVER}DataConnector")

    answers = [
        get(connector, "https://x/v1/people?account=maija"),
        get(connector, "https://x/v1/people?account="),
        get(connector, "https://x/v1/persons?account=maija"),
        get(connector, "https://x/v1/people?account=maija", token="x" * 40),
        get(make_connector(Away()), "https://x/v1/people?account=maija"),
    ]
    bodies = [(each.status, each.body) for each in answers]
    ran = engines.run(script=script(files), bodies=bodies, version=version).mapped

    assert [each.status for each in answers] == list(STATUSES)
    assert {str(status) for status in STATUSES} <= accepted(files)
    for answer, came, told in zip(answers, ran, STATUSES.values(), strict=True):
        assert dict(answer.headers)["Content-Type"].partition(";")[0] == settings_.get("acceptTypes")
        assert int(dict(answer.headers)["Content-Length"]) < int(settings_.get("maxLength"))
        assert ("error" in came) is bool(told)
        if told:
            said = f"orcidConnect: {told}the connector says: {json.loads(answer.body)['error']}"
            assert (came["error"], came["warnings"]) == (said, [said[:214]])


URI = "https://sandbox.orcid.org/0000-0002-1825-0097"
ENDS_IN_X = "https://sandbox.orcid.org/0000-0002-1694-233X"
HOSTILE = {
    "null": (b"null", None),
    "no object": (b'"text"', None),
    "a number": (b"7", None),
    "a list": (b'["%s"]' % URI.encode(), None),
    "nothing": (b"", None),
    "no body": (None, None),
    "a page": (b"<!doctype html><title>Portal</title>", None),
    "cut short": (b'{"eduPersonOrcid": ["https://sandbox.orc', None),
    "no list": (b'{"eduPersonOrcid": "%s"}' % URI.encode(), None),
    "null for a list": (b'{"eduPersonOrcid": null}', None),
    "an object for a list": (b'{"eduPersonOrcid": {"length": 3, "0": "x"}}', None),
    "another name": (b'{"orcid": []}', None),
    "a byte order mark": (b"\xef\xbb\xbf" + b'{"eduPersonOrcid": []}', None),
    "huge": (b'{"eduPersonOrcid": ["' + b"x" * 70_000 + b'"]}', None),
    "spaces without end": (b" " * 10_000_000, None),
    "code": (b'{"eduPersonOrcid": [java.lang.System.exit(1)]}', None),
    "deep": (b"[" * 20_000, None),
    "deep within": (b'{"eduPersonOrcid": [], "x": ' + b'{"y": ' * 10_000 + b"1" + b"}" * 10_001, None),
    "nobody": (b'{"eduPersonOrcid": []}', []),
    "one": (json.dumps({"eduPersonOrcid": [URI]}).encode(), [URI]),
    "twice": (json.dumps({"eduPersonOrcid": [URI, URI]}).encode(), [URI]),
    "a name twice": (b'{"eduPersonOrcid": ["x"], "eduPersonOrcid": ["%s"]}' % URI.encode(), [URI]),
    "ends in X": (
        b'{"eduPersonOrcid": ["https://sandbox.orcid.org/0000-0002-1694-233X"]}',
        [f"{URI[:26]}0000-0002-1694-233X"],
    ),
    "null among them": (json.dumps({"eduPersonOrcid": [None, URI]}).encode(), [URI]),
    "empty among them": (json.dumps({"eduPersonOrcid": ["", " ", URI]}).encode(), [URI]),
    "numbers and lists": (json.dumps({"eduPersonOrcid": [1, True, [URI], {"uri": URI}]}).encode(), []),
    "http": (json.dumps({"eduPersonOrcid": [URI.replace("https", "http")]}).encode(), []),
    "bare": (b'{"eduPersonOrcid": ["0000-0002-1825-0097"]}', []),
    "of the other registry": (json.dumps({"eduPersonOrcid": [URI.replace("sandbox.", "")]}).encode(), []),
    "of another host": (json.dumps({"eduPersonOrcid": [URI.replace("orcid.org", "orcid.org.example")]}).encode(), []),
    "a line behind": (json.dumps({"eduPersonOrcid": [URI + "\n", URI + "\nx"]}).encode(), []),
    "markup": (json.dumps({"eduPersonOrcid": [URI + "<script>"]}).encode(), []),
    "a hundred": (
        json.dumps({"eduPersonOrcid": [make_orcid_id(n, Registry.SANDBOX).uri for n in range(100)]}).encode(),
        [make_orcid_id(n, Registry.SANDBOX).uri for n in range(10)],
    ),
    "not UTF-8": (b'{"eduPersonOrcid": ["\xff\xfe", "%s"], "x": "\xc3"}' % URI.encode(), [URI]),
    "__proto__": (b'{"__proto__": {"eduPersonOrcid": ["%s"]}, "eduPersonOrcid": []}' % URI.encode(), []),
}


def test_only_valid_ids_result_from_any_response(handout_files):
    ran = engines.run(script=script(handout_files()), bodies=[body for body, _ in HOSTILE.values()]).mapped

    came = {
        name: None if "error" in each else [uri for _, uris in each["attributes"] for uri in uris]
        for name, each in zip(HOSTILE, ran, strict=True)
    }
    assert came == {name: wanted for name, (_, wanted) in HOSTILE.items()}


def test_an_error_of_the_connector_is_one_short_log_line(handout_files):
    said = {"error": "é\r\nERROR forged line " + "x" * 1000}

    (ran,) = engines.run(script=script(handout_files()), bodies=[(400, json.dumps(said).encode())]).mapped

    (line,) = ran["warnings"]
    assert line.startswith("orcidConnect: status 400, the connector says: ???ERROR forged line x")
    assert len(line) < 250
    assert ran["attributes"] == []


def test_the_script_is_the_same_for_every_version_and_is_plain_ecmascript_5(handout_files):
    (text,) = {script(handout_files(version)) for version in Version}

    assert text.isascii()
    code = re.sub(r"//.*", "", text)
    later = r"\b(?:let|const|class|async|await|import|export|yield)\b|=>|`|\.\.\."
    assert not re.findall(later, code)
    # Only in Nashorn, only in Rhino's shell
    assert not re.findall(r"\b(?:Java|load|print)\b", code)
    # No class of the Identity Provider that changed its name from 4 to 5
    assert set(re.findall(r"Packages\.([a-z.]+)", code)) == {"java", "net.shibboleth.idp.attribute", "org.slf"}


# --- What may stand in a configuration -----------------------------------------------------------------------------

OF_LDAP = ("LDAP_URL", "BASE", "FILTER_OF_MAIJA", "LDAP_ATTRIBUTE")
NAMES = ("NAME", "SERVICE", "ENTITY_ID", "URL", "CA", *OF_LDAP)
LINES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=40)
EDGES = st.sampled_from(
    ["'", '"', "$x", "#set", "&amp;", "<x>", "--", "]]>", "@SCOPE@", "\\", "%{x}", "`id`", "@if all@"]
)


def _usual(version, source):
    usual = {
        "NAME": "University", "SERVICE": "ORCID connect", "ENTITY_ID": "https://idp.example/idp", "CA": "/etc/ca.pem",
        "URL": "https://connect.example", "SP_ENTITY_ID": "https://connect.example/shibboleth", "KEY": "eppn",
        "SCOPES": SCOPE, "FIRST_SCOPE": SCOPE, "FIRST_SCOPE_AT": f"@{SCOPE}", "TRY_PRINCIPAL": "maija",
        "ORCID_HOST": "orcid.org", "ORCID_HOST_PATTERN": "orcid[.]org", "JDBC_URL": "jdbc:x", "ROLE": "idp_x",
        "PSQL": "host=x", "DATABASE": "/x.db", "START_TLS": "true", "FILTER": "(uid=$account)", "LDAP_SERVER": "ldap://x",
        "CREDENTIAL": "idp", **dict.fromkeys(OF_LDAP, "x"),
    }  # fmt: skip
    also = {"http": {"bearer", "secret"}, "sqlite": {"sqlite", "open"}, "postgresql": {"postgresql", "secret"}}
    words = frozenset({"ca", *also.get(source, {"open", "renamed"})})
    wanted = IdpOptions(
        version, SourceKind(SOURCES[source][0]), Account(AccountForm.PRINCIPAL_AT, SCOPE), Release.ALL, words
    )
    return wanted, usual


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(Version),
    st.sampled_from(sorted(SOURCES)),
    st.dictionaries(
        st.sampled_from(["NAME", "SERVICE", "ENTITY_ID", "URL", "CA", *OF_LDAP]), LINES | EDGES, min_size=1
    ),
)
def test_no_value_can_break_a_file(version, source, values):
    wanted, usual = _usual(version, source)
    plain = {each.path: each.text for each in idp_files(wanted, usual)}
    try:
        files = {each.path: each.text for each in idp_files(wanted, {**usual, **values})}
    except TemplateError as refused:
        assert set(refused.names) <= values.keys()
        return

    for path, text in files.items():
        assert text.count("\n") == plain[path].count("\n")
        if path.endswith(".xml"):
            shapes = [[each.tag for each in fromstring(one).iter()] for one in (text, plain[path])]
            assert shapes[0] == shapes[1]
    commands = [line for line in files["README.txt"].splitlines() if line.startswith("    curl ")]
    url = values.get("URL", usual["URL"])
    assert [shlex.split(line)[-1] for line in commands] == [f"{url}/v1/people?account=nobody%40{SCOPE}"] * len(commands)


@pytest.mark.parametrize("version", Version)
def test_a_quotation_mark_cannot_end_the_expression_that_names_a_certificate(version):
    wanted, usual = _usual(version, "http")

    with pytest.raises(TemplateError) as refused:
        idp_files(wanted, {**usual, "CA": "/etc/pki/o'brien.pem"})

    assert refused.value.names == ("CA",)


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({}, ["--person", "principal@amk.example"], "the organisation's scopes are yliopisto.example"),
        ({}, ["--person", "uid"], "use principal, principal@SCOPE, attribute:ID or attribute:CONNECTOR/ID"),
        ({}, ["--person", "attribute:subject-id"], "letters, digits and _"),
        ({}, ["--person", "attribute:a b/uid"], "the id of a DataConnector"),
        ({"scopes": ["a.example", "b.example"]}, [], "--person: principal@a.example, principal@b.example, principal"),
        ({"scopes": ["a.example", "b.example"]}, ["--person", "attribute:uid"], "attribute:uid@SCOPE"),
        ({"credential": []}, [], 'add a [[credential]] with rights = ["read"]'),
        ({}, ["--credential", "idm"], "the credential idm has the rights feed deprovision; an Identity Provider needs"),
        ({}, ["--credential", "ipd"], "yliopisto has no credential ipd; its are: idp, idm"),
        (
            {"credential": [{**IDP, **BASIC, "rights": ["read", "feed"]}]},
            [],
            "yliopisto has no credential with the right read alone",
        ),
        ({}, ["--ca", "/etc/pki/o'brien.pem"], "without quotes and backslashes"),
        ({}, ["--stable-id", "attribute:samlSubjectID"], 'add stable_id = "subject-id"'),
        ({"stable_id": "subject-id"}, ["--stable-id", "principal"], "use attribute:ID or attribute:CONNECTOR/ID"),
        ({"stable_id": "subject-id"}, ["--stable-id", "attribute:subject-id"], "letters, digits and _"),
        ({"stable_id": "subject-id", "stable_id_missing": "withhold"}, [], "add --stable-id attribute:ID"),
    ],
)
def test_invalid_options_are_reported(tmp_path, change, words, said):
    path = write_configuration(tmp_path, organisations={"yliopisto": change})

    done = run(path, "idp", "yliopisto", "--version", "4", "--source", "http", *words)

    assert done.exit_code == 1
    assert said in done.output


def test_a_url_that_a_template_would_take_for_its_own_is_refused(tmp_path):
    path = write_configuration(tmp_path, service={"public_url": "https://connect.example/$x"})

    done = run(path, "idp", "yliopisto", "--version", "4", "--source", "http")

    assert (done.exit_code, "URL: $, # and non-ASCII" in done.output) == (1, True)


def test_the_scope_that_is_added_is_the_one_that_was_said():
    both = frozenset({"a.example", "b.example"})

    assert parse_account("attribute:uid@b.example", both) == Account(AccountForm.DEFINITION, "b.example", "uid")
    assert parse_account("attribute:my-LDAP/uid@a.example", both) == Account(
        AccountForm.EXPORTED, "a.example", "uid", "my-LDAP"
    )
    assert parse_account("principal", both) == Account(AccountForm.PRINCIPAL)


# --- Where it goes ------------------------------------------------------------------------------------------------

ASKED = ("idp", "yliopisto", "--version", "5", "--source", "http")


def test_the_secret_is_readable_by_its_owner_alone(handout_configuration, tmp_path):
    directory = tmp_path / "out"
    run(handout_configuration, *ASKED, "--output", directory)

    modes = {each.name: each.stat().st_mode & 0o777 for each in directory.rglob("*") if each.is_file()}

    assert {name: oct(mode) for name, mode in modes.items() if mode != 0o644} == {"orcid-connect.properties": "0o600"}


def test_existing_files_are_not_overwritten(handout_configuration, tmp_path):
    directory = tmp_path / "out"
    first = run(handout_configuration, *ASKED, "--output", directory)
    second = run(handout_configuration, *ASKED, "--output", directory)
    secret = directory / "credentials/orcid-connect.properties"
    secret.write_text("orcidconnect.authorization = Bearer the-real-one\n")
    (directory / "README.txt").unlink()

    third = run(handout_configuration, *ASKED, "--output", directory)

    assert (first.exit_code, second.exit_code, third.exit_code) == (0, 0, 1)
    assert first.output == second.output
    assert str(secret) in third.output
    assert "the-real-one" in secret.read_text()
    assert not (directory / "README.txt").exists()


@pytest.mark.parametrize("way", ["a link", "a directory"])
def test_nothing_is_written_through_links_or_special_files(handout_configuration, tmp_path, way):
    directory, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    directory.mkdir()
    (directory / "README.txt").symlink_to(elsewhere) if way == "a link" else (directory / "README.txt").mkdir()

    done = run(handout_configuration, *ASKED, "--output", directory)

    assert done.exit_code == 1
    assert not elsewhere.exists()
    assert [each.name for each in directory.iterdir()] == ["README.txt"]


def test_a_directory_that_cannot_be_made_is_reported(handout_configuration, tmp_path):
    (tmp_path / "file").write_text("")

    done = run(handout_configuration, *ASKED, "--output", tmp_path / "file" / "out")

    assert done.exit_code == 1
    assert "Not a directory" in done.output or "File exists" in done.output


def test_without_a_directory_the_files_are_printed(handout_configuration, handout_files):
    shown = run(handout_configuration, *ASKED).output

    for path, text in handout_files("5").items():
        assert f"===== {path} ====" in shown
        assert text in shown


def test_every_template_is_in_the_table():
    from importlib.resources import files  # noqa: PLC0415 - only here

    named = {file.template for source in SourceKind for file in idp_templates(source)}
    used = {each for each in named if (files("shibboleth") / "handout/templates/idp" / each).is_file()}
    assert {each.name for each in (files("shibboleth") / "handout/templates/idp").iterdir()} == used


# --- The page that comes with it ------------------------------------------------------------------------------------

IDP_HOME = {
    "conf/services.xml": """<beans xmlns="http://www.springframework.org/schema/beans"
    xmlns:util="http://www.springframework.org/schema/util">
    <util:list id ="shibboleth.AttributeResolverResources">
        <value>%{idp.home}/conf/attribute-resolver.xml</value>
    </util:list>
    <util:list id ="shibboleth.AttributeFilterResources">
        <value>%{idp.home}/conf/attribute-filter.xml</value>
    </util:list>
</beans>
""",
    "conf/idp.properties": "idp.searchForProperties=true\nidp.additionalProperties=/credentials/secrets.properties\n",
    "conf/attribute-resolver.xml": """<AttributeResolver xmlns="urn:mace:shibboleth:2.0:resolver"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
    <AttributeDefinition xsi:type="Prescoped" id="eduPersonPrincipalName"/>
    <DataConnector id="myLDAP" xsi:type="LDAPDirectory"/>
</AttributeResolver>
""",
    "conf/attribute-filter.xml": "<AttributeFilterPolicyGroup/>\n",
    "conf/attributes/eduPerson.xml": "<beans>eduPersonOrcid</beans>\n",
    "credentials/secrets.properties": "idp.sealer.keyPassword = x\n",
    "credentials/idp-signing.key": "-\n",
    "edit-webapp/WEB-INF/lib/postgresql-42.jar": "",
    "edit-webapp/WEB-INF/lib/sqlite-jdbc-3.jar": "",
    "logs/idp-audit.log": "20260115T120000Z||||||||maija|||||\n",
    "logs/idp-process.log": "2026-01-15 12:00:00,000 - INFO - all is well\n",
}
TOOLS = {
    "plugin.sh": "net.shibboleth.idp.plugin.nashorn",
    "aacli.sh": "{}",
    "reload-service.sh": "ok",
    "build.sh": "ok",
}


@pytest.fixture
def idp_home(tmp_path):
    """What an Identity Provider's directory holds, as far as the page touches it."""
    home = tmp_path / "shibboleth-idp"
    for path, text in IDP_HOME.items():
        write(home / path, text)
    for name, says in TOOLS.items():
        tool = write(home / "bin" / name, f'#!/bin/sh\necho "{name} $*" >> "$(dirname "$0")/said"\necho "{says}"\n')
        tool.chmod(0o755)
    return home


def steps(page):
    """Give the commands of each part of a page, one text for each part, by the number of the part."""
    parts = re.split(r"^(\d)\. .*\n-+\n", page, flags=re.MULTILINE)
    texts = dict(zip(["0", *parts[1::2]], [parts[0], *parts[2::2]], strict=True))
    commands = {}
    for number, text in texts.items():
        joined = text.replace("\\\n", " ")
        commands[number] = "\n".join(line.strip() for line in joined.splitlines() if re.match(r" {4}\S", line))
    return commands


def shell(commands, home, directory, *, optional=()):
    """Type commands as the administrator does, one after the other; gives what each line says."""
    said = []
    for line in commands.splitlines():
        setting = f"export HOME={home.parent} IDP_HOME={shlex.quote(str(home))} HANDED={directory} EDITOR=true; "
        done = subprocess.run(
            ["/bin/bash", "-c", setting + line],
            input=f"{TOKEN}\n",
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 or line.startswith("grep") or line.split()[0] in optional, (line, done.stderr)
        said.append((line, done.stdout))
    return said


def added(page):
    """Give the lines that the page has its reader add: those for the resolver, for the filter, and for properties."""
    part = page[page.index("4. The lines to add") : page.index("5. Restart")]
    values = re.findall(r"^ {8}(<value>.*</value>)$", part, re.MULTILINE)
    return values[:-1], values[-1:], re.findall(r"^ {8}(/\S.*)$", part, re.MULTILINE)


def edit(home, page):
    """Add the lines of the page, as its reader does with an editor."""
    resolver, filters, properties = added(page)
    services = home / "conf/services.xml"
    text = services.read_text()
    for value, after in ((resolver, "conf/attribute-resolver.xml"), (filters, "conf/attribute-filter.xml")):
        known = f"<value>%{{idp.home}}/{after}</value>"
        text = text.replace(known, "\n        ".join([known, *value]))
    services.write_text(text)
    known = home / "conf/idp.properties"
    known.write_text(", ".join([known.read_text().rstrip("\n"), *properties]) + "\n")


def tree(home):
    return {
        each.relative_to(home).as_posix(): each.read_bytes()
        for each in home.rglob("*")
        if each.is_file() and each.name != "said"
    }


PATHS = [
    *product(Version, SOURCES, [f"principal@{SCOPE}"]),
    *product([Version.V4], ["http"], PERSONS),
]
ELSEWHERE = ("psql", "sqlite3", "ldapsearch")
"""What asks a server that these tests do not have here; `test_handout_idp_sources.py` has them."""


@pytest.mark.parametrize("way", dict.fromkeys(PATHS), ids=" ".join)
def test_the_administrators_steps_work_and_can_be_undone(tmp_path, idp_home, connector, way):
    version, source, person = way
    before = tree(idp_home)
    with serve_app(connector) as address:
        path = write_configuration(
            tmp_path / "etc",
            service={"public_url": address},
            organisations={"yliopisto": {"transfer": [LDAP]}},
            secrets={"directory.password": "d" * 40},
        )
        directory = tmp_path / "handed"
        name, *further = SOURCES[source]
        words = ("--version", version, "--source", name, *further, "--person", person)
        assert run(path, "idp", "yliopisto", *words, "--output", directory).exit_code == 0
        page = (directory / "README.txt").read_text()
        commands = steps(page)

        looked = shell(commands["1"], idp_home, directory)
        tried = shell(commands["2"], idp_home, directory, optional=ELSEWHERE)
    copied = shell(commands["3"], idp_home, directory)
    edit(idp_home, page)
    checked = shell(commands["4"], idp_home, directory)
    asked_ = shell(commands["5"], idp_home, directory)
    (stopped, *_rest) = [line for line in commands["7"].splitlines() if line.startswith("sed ")]
    shell(stopped, idp_home, directory)
    closed = (idp_home / "conf/orcid-connect/attribute-filter.xml").read_text()

    answers = {line.split()[0]: said for line, said in tried if said}
    assert answers.get("curl") == ('{"eduPersonOrcid": []}' if source == "http" else None)
    assert all(said for line, said in looked if line.startswith("grep"))
    (_xml, said), (_there, listed) = checked
    assert (said, listed.count("OK ")) == ("", {"http": 4, "sqlite": 3, "postgresql": 4, "ldap": 2}[source])
    assert all(not said for line, said in asked_ if line.startswith("grep"))
    assert copied
    if source in {"http", "postgresql"}:
        assert (idp_home / "credentials/orcid-connect.properties").stat().st_mode & 0o777 == 0o640
    services = fromstring((idp_home / "conf/services.xml").read_text())
    named = [each.text.replace("%{idp.home}", str(idp_home)) for each in services.iter(f"{BEANS}value")]
    assert len(named) == (4 if source == "ldap" else 5)
    assert all(Path(each).is_file() for each in named)
    assert schemas.complaints(version, "attribute-filter.xml", closed) == []
    assert closed.count('<PolicyRequirementRule xsi:type="NOT">') == 1

    # The way back: the lines out again, and what the page says
    for name in ("conf/services.xml", "conf/idp.properties"):
        (idp_home / name).write_text(IDP_HOME[name])
    shell("\n".join(line for line in commands["7"].splitlines() if line.startswith("rm ")), idp_home, directory)
    assert {path for path in tree(idp_home) if tree(idp_home)[path] != before.get(path)} == (
        {"conf/attributes/custom/eduPersonOrcid.properties"} & tree(idp_home).keys()
    )
    assert tree(idp_home).keys() == before.keys()


def test_user_and_password_are_sent_unchanged(tmp_path, handout_files):
    path = write_configuration(
        tmp_path / "etc",
        organisations={"yliopisto": {"credential": [{**IDP, **BASIC}]}},
        secrets={"yliopisto.password": "p" * 40},
    )
    (line,) = [each for each in steps(handout_files(path=path)["README.txt"])["2"].splitlines() if "Basic" in each]
    typed = r"""idp:a"b\c$d'e f:%s"""

    asked_ = {"input": typed + "\n", "env": {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}}
    subprocess.run(["/bin/bash", "-c", line], text=True, check=True, timeout=60, **asked_)

    written = tmp_path / ".orcid-connect.curl"
    encoded = base64.b64encode(typed.encode()).decode()
    assert written.read_text() == f'header = "Authorization: Basic {encoded}"\n'
    assert written.stat().st_mode & 0o777 == 0o600


def test_the_organisation_stands_at_the_top_of_the_page(handout_files):
    page = handout_files()["README.txt"]

    assert page.startswith(f"ORCID iDs for {ORGANISATION['name']['en']}\n")
    assert "These are iDs of ORCID's sandbox" in page
    assert ORGANISATION["entity_ids"] in page
    assert f"principal={quote('maija')}" in page


# --- The page about it, whose commands are those of the page that comes with the files -------------------------------

FILTER = "(eduPersonPrincipalName={account})"
PAGE = (docs.DOCS / "identity-provider.md").read_text("utf-8")


@pytest.fixture(scope="module")
def of_the_examples(handout_directory):
    """Hand out for the organisation of the operator's page, and give README.txt."""
    etc = run_init(handout_directory / "operator") / "etc/orcid-connect"
    file = add_example(etc)
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**LDAP, "filter": FILTER}.items()]
    file.write_text(file.read_text() + "\n[[transfer]]\n" + "\n".join(lines) + "\n")
    write_secret(etc / "secrets/directory.password", "d" * 40)

    def readme(version="4", source="http", *more):
        directory = handout_directory / "-".join((version, source, *(re.sub(r"\W", "", each) for each in more)))
        words = ("--version", version, "--source", source, *more, "--output", directory)
        done = run(etc / "orcid-connect.toml", "idp", "example-org", *words)
        assert done.exit_code == 0, done.output
        return (directory / "README.txt").read_text("utf-8")

    return readme


def commands_of(blocks):
    """Give the commands of blocks, each in one line."""
    return [re.sub(r"\s+", " ", line) for block in blocks for line in block.replace("\\\n", " ").splitlines() if line]


def test_every_command_of_the_page_is_tested(of_the_examples):
    authority = "--ca=/opt/shibboleth-idp/credentials/orcid-connect-ca.pem"
    postgresql = ["4", "sql", "--database=db.example.org/orcid_connect"]
    ways = (["3.4"], ["4"], ["4", "http", authority], ["5", "sql"], postgresql, ["4", "ldap"])
    walked = [line for way in ways for part in steps(of_the_examples(*way)).values() for line in commands_of([part])]
    shown = [content for kind, content in docs.kinds(PAGE) if kind.startswith("sh")]

    assert set(commands_of(shown)) == set(walked)
    in_4 = [line for part in steps(of_the_examples()).values() for line in commands_of([part])]
    assert [line for line in commands_of(shown) if line in in_4] == in_4


def test_the_lines_to_add_are_the_same_on_both_pages(of_the_examples):
    resolver, filters, properties = added(of_the_examples())
    shown = "".join(docs.blocks(docs.under(PAGE, "4. The lines to add")))

    assert re.findall(r"^<value>.*</value>$", shown, re.MULTILINE) == [*resolver, *filters]
    assert set(properties) <= set(shown.splitlines())


def test_the_page_says_what_the_files_say(handout_files):
    files = "".join(
        handout_files(version)[path] for version in Version for path in handout_files(version) if "conf/" in path
    )
    claims = part_rows(docs.under(PAGE, "What is in the files, and why"))

    assert claims
    for claim in claims:
        for word in re.findall(r"`([^`…]+)`", claim)[:1]:
            assert re.split(r"[ =]", word)[0] in files + "services.xml AttributeDefinition", word


def part_rows(text):
    return [row for row in text.splitlines() if row.startswith("| `")]
