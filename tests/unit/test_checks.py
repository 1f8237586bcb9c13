"""`orcid-connect check` says how to fix each mistake."""

import json
import threading
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from freezegun import freeze_time

from resolver_connector.credentials import Right
from sql.repositories.links import LinkRepository
from sql.repositories.releases import ReleaseRepository
from sql.store import open_store
from tests.support.configuration import ORGANISATION, TOKEN, service_file, toml, write, write_configuration
from tests.support.database import make_sqlite
from tests.support.factories import NOON, make_link, make_orcid_id
from webapp.cli.main import main
from webapp.config.service import ServiceFile
from webapp.config.texts import LANGUAGES

HOME = "yliopisto"
BASIC = {"user": "yliopisto", "password": "file:secrets/front-proof"}
TRANSFER = {"name": "idm", "kind": "file", "directory": "spool"}
CREDENTIAL = {"name": "idp", "rights": ["read"]}
OLD = {"entity_ids": "https://idp.old.example/idp", "credential": None}
SECTIONS = sorted(one.alias or name for name, one in ServiceFile.model_fields.items())


def service(**settings):
    """Break a setting of [service]."""
    return lambda directory: write_configuration(directory, service=settings)


def orcid(**settings):
    """Break a setting of [orcid]."""
    return lambda directory: write_configuration(directory, orcid=settings)


def store(**settings):
    """Break a setting of [store]."""
    return lambda directory: write_configuration(directory, store=settings)


def listen(**settings):
    """Break a setting of [listen]."""
    return lambda directory: write_configuration(directory, listen=settings)


def organisation(**settings):
    """Break a setting of an organisation."""
    return lambda directory: write_configuration(directory, organisations={"yliopisto": settings})


def organisations(**files):
    """Write these organisations."""
    return lambda directory: write_configuration(directory, organisations=files)


def raw(content):
    """Write these bytes as the service's file."""

    def broken(directory):
        path = write_configuration(directory)
        path.write_bytes(content)
        return path

    return broken


def section(name, **settings):
    """Add a whole section."""
    return lambda directory: write_configuration(directory, **{name: settings})


def flat(directory):
    """Write a value where a section belongs."""
    path = write_configuration(directory)
    content = {**service_file(directory), "orcid": "APP-0A1B2C3D4E5F6G7H"}
    return write(path, toml(content))


def no_file(directory):
    """Write nothing at all."""
    return directory / "orcid-connect.toml"


def no_secret_file(directory):
    """Forget to write the secret."""
    path = write_configuration(directory)
    (directory / "secrets/orcid-client-secret").unlink()
    return path


def no_organisation(directory):
    """Connect nobody."""
    path = write_configuration(directory)
    (directory / "organisations/yliopisto.toml").unlink()
    return path


def weak_proof(directory):
    """Choose a proof that can be guessed."""
    return write_configuration(directory, secrets={"front-proof": "hunter2"})


SERVICE = "orcid-connect.toml"
SQLITE = 'url = "sqlite:///var/lib/orcid-connect/links.db"'
POSTGRESQL = 'url = "postgresql://orcid@localhost/orcid"'
UNIVERSITY = "organisations/yliopisto.toml"

BROKEN = {
    "no file": (
        no_file,
        SERVICE,
        "there is no such file",
        "write it, or say where it is: --config, or ORCID_CONNECT_CONFIG",
    ),
    "a directory in its place": (
        lambda directory: directory,
        "",
        "cannot be read: Is a directory",
        "make it a file that this user may read",
    ),
    "not TOML": (
        raw(b'[service]\nname = "ORCID connect\n'),
        SERVICE,
        "is not TOML at line 2, column 22",
        'fix it there: text is in quotes, as in name = "value", a section in brackets, as in [service]',
    ),
    "not UTF-8": (
        raw('[service]\nname = "Länk"\n'.encode("latin-1")),
        SERVICE,
        "is not text in UTF-8 (line 2)",
        "save it as UTF-8",
    ),
    "a setting is missing": (
        service(registry=None),
        SERVICE,
        "service.registry: is missing",
        'add to [service], for example: registry = "sandbox"',
    ),
    "a setting is misspelt": (
        service(publik_url="https://orcid-connect.example"),
        SERVICE,
        "service.publik_url: is not a setting",
        "did you mean public_url?",
    ),
    "a section is misspelt": (
        section("sotre", busy_timeout=3),
        SERVICE,
        "sotre: is not a setting",
        "did you mean [store]?",
    ),
    "a setting stands in another section": (
        service(client_id="APP-0A1B2C3D4E5F6G7H"),
        SERVICE,
        "service.client_id: is not a setting of [service]",
        "it belongs to [orcid]",
    ),
    "a setting that never was": (
        store(zzz=1),
        SERVICE,
        "store.zzz: is not a setting",
        "remove it; the settings of [store] are: busy_timeout, keep_changes, password, standby_lookups, url",
    ),
    "a section that never was": (
        section("zzz", yyy=1),
        SERVICE,
        "zzz: is not a setting",
        f"remove it; the settings of the top of the file are: {', '.join(SECTIONS)}",
    ),
    "a value for a section": (
        flat,
        SERVICE,
        "orcid: is a section and not a value",
        "write [orcid] on a line of its own, and its settings below it",
    ),
    "a value of another kind": (
        orcid(connect_timeout="5 s"),
        SERVICE,
        "orcid.connect_timeout: must be a number of seconds, more than 0 and at most 60",
        "write it without quotes, for example: connect_timeout = 5.0",
    ),
    "a number out of bounds": (
        listen(threads=0),
        SERVICE,
        "listen.threads: must be a whole number from 1 to 256",
        "write for example: threads = 64",
    ),
    "a word that is none of ours": (
        service(registry="prod"),
        SERVICE,
        'service.registry: must be "production" or "sandbox"',
        'write for example: registry = "sandbox"',
    ),
    "a language we do not speak": (
        service(language="de"),
        SERVICE,
        f"service.language: must be one of: {', '.join(LANGUAGES)}",
        "write en",
    ),
    "plain http": (
        service(public_url="http://orcid-connect.example"),
        SERVICE,
        "service.public_url: must begin with https://",
        "write https:// (http is only for 127.0.0.1, localhost and [::1])",
    ),
    "a path that climbs": (
        service(public_url="https://orcid-connect.example/x/../y"),
        SERVICE,
        'service.public_url: has an empty part, "." or ".." in its path',
        "write the plain path",
    ),
    "no help": (
        service(contact="the helpdesk"),
        SERVICE,
        "service.contact: must be an e-mail address or an https address",
        "write for example help@example.org",
    ),
    "a name of two lines": (
        service(name="ORCID\nconnect"),
        SERVICE,
        "service.name: must be one line of 1 to 200 characters",
        "write the name as people know it",
    ),
    "a proxy without a proof": (
        service(front_proof=None),
        SERVICE,
        'service.front_proof: is missing, and front = "proxy" needs it: it proves that a request came through Apache',
        'make one (openssl rand -hex 32) and add to [service]: front_proof = "file:secrets/front-proof"',
    ),
    "a proof without a proxy": (
        service(front="variables"),
        SERVICE,
        'service.front_proof: has no use with front = "variables"',
        'remove it, or write front = "proxy" if Apache passes requests on to orcid-connect serve',
    ),
    "a proof that can be guessed": (
        weak_proof,
        SERVICE,
        "service.front_proof: refers to a secret of fewer than 32 characters",
        "make a new one: openssl rand -hex 32",
    ),
    "the secret itself": (
        orcid(client_secret="5f63d1c5-3f00-4fa5-b096-fd985ffd0df7"),
        SERVICE,
        'orcid.client_secret: must be a reference, "file:/path" or "env:NAME", and never the secret itself',
        'put the secret alone into a file that only the service may read, and write "file:" and its path here',
    ),
    "a number for a secret": (
        orcid(client_secret=12345),
        SERVICE,
        'orcid.client_secret: must be a reference, "file:/path" or "env:NAME"',
        'put the secret alone into a file that only the service may read, and write "file:" and its path here',
    ),
    "a secret that is not there": (
        no_secret_file,
        SERVICE,
        "orcid.client_secret: refers to a file that does not exist",
        "create it, with the secret as its one line; a relative path starts at the directory of the service's file",
    ),
    "a variable that is not set": (
        orcid(client_secret="env:NO_SUCH_ORCID_SECRET"),
        SERVICE,
        "orcid.client_secret: refers to an environment variable that is not set",
        "set it for this process",
    ),
    "the sandbox at orcid.org": (
        orcid(base_url="https://orcid.org"),
        SERVICE,
        'orcid.base_url: is an address of ORCID that is not the sandbox, while registry = "sandbox"',
        "remove it: https://sandbox.orcid.org is the default",
    ),
    "somebody else's client id": (
        orcid(client_id="my-client"),
        SERVICE,
        "orcid.client_id: is not a client id of ORCID",
        "copy it from ORCID's developer tools; it looks like APP-0A1B2C3D4E5F6G7H",
    ),
    "a password in an address": (
        store(url="postgresql://orcid:hunter2@localhost/orcid"),
        SERVICE,
        "store.url: holds the password",
        'take it out of the address and refer to it: password = "file:secrets/store-password"',
    ),
    "another database": (
        store(url="mysql://localhost/orcid"),
        SERVICE,
        "store.url: must begin with sqlite:/// or postgresql://",
        f"write for example: {SQLITE}, or {POSTGRESQL}",
    ),
    "an SQLite file on another machine": (
        store(url="sqlite://var/lib/orcid-connect/links.db"),
        SERVICE,
        "store.url: must be sqlite:/// and the absolute path of a file",
        f"write for example: {SQLITE}",
    ),
    "a server without a database": (
        store(url="postgresql://orcid@localhost"),
        SERVICE,
        "store.url: does not name a database",
        f"write for example: {POSTGRESQL}",
    ),
    "an address that is none": (
        store(url="postgresql://[localhost/orcid"),
        SERVICE,
        "store.url: is not an address",
        f"write for example: {POSTGRESQL}",
    ),
    "a password for a file": (
        store(password="file:secrets/front-proof"),
        SERVICE,
        "store.password: has no use with SQLite",
        "remove it",
    ),
    "look-ups from a standby of a file": (
        store(standby_lookups=True),
        SERVICE,
        "store.standby_lookups: has no use with SQLite",
        "remove it",
    ),
    "a password for nobody": (
        store(url="postgresql://localhost/orcid", password="file:secrets/front-proof"),
        SERVICE,
        "store.password: has no user to go with",
        'name the user: url = "postgresql://orcid@localhost/orcid"',
    ),
    "an address for all the world": (
        listen(host="0.0.0.0"),
        SERVICE,
        "listen.host: must be a loopback address: a client that bypasses Apache could claim to be anyone",
        "write 127.0.0.1; Apache listens on the public addresses",
    ),
    "a socket and an address": (
        listen(unix="/run/orcid-connect/web.sock", host="127.0.0.1"),
        SERVICE,
        "listen.unix: is a second address beside host or port",
        "keep either unix, or host and port",
    ),
    "one address for two": (
        section("connector", port=8080),
        SERVICE,
        "connector: is the same address as in [listen]",
        "give each its own address",
    ),
    "nobody": (
        no_organisation,
        SERVICE,
        "service.organisations: names a directory without files of organisations",
        "add an organisation: orcid-connect organisation add; docs/operator/install.md shows how",
    ),
    "a name that is no id": (
        organisations(**{"Yli Opisto": None}),
        "organisations/Yli Opisto.toml",
        "its name is the organisation's id, and cannot be one",
        "rename it: a-z, 0-9 and - before .toml, as in example-org.toml",
    ),
    "a scope with a dot before it": (
        organisation(scopes=[".yliopisto.example"]),
        UNIVERSITY,
        "scopes (value 1): begins with a dot",
        "write the domain without it",
    ),
    "a scope in capitals": (
        organisation(scopes=["yliopisto.example", "Helsinki.example"]),
        UNIVERSITY,
        "scopes (value 2): is not in lower case",
        "write it in lower case",
    ),
    "a scope with an @": (
        organisation(scopes=["@yliopisto.example"]),
        UNIVERSITY,
        "scopes (value 1): holds an @",
        "write only what follows it",
    ),
    "a pattern for a scope": (
        organisation(scopes=["*.yliopisto.example"]),
        UNIVERSITY,
        "scopes (value 1): is not a domain name; patterns are not supported",
        "write each scope out, as in example.org",
    ),
    "no scope": (
        organisation(scopes=[]),
        UNIVERSITY,
        "scopes: is empty, so all sign-ins would be refused",
        'write for example: scopes = ["example.org"]',
    ),
    "one scope without brackets": (
        organisation(scopes="yliopisto.example"),
        UNIVERSITY,
        "scopes: must be a list of one or more domain names in quotes",
        'write it in brackets, for example: scopes = ["example.org"]',
    ),
    "a key that tells nobody apart": (
        organisation(key="epnn"),
        UNIVERSITY,
        "key: must be one of: eppn, subject-id, eduPersonUniqueId",
        "did you mean eppn?",
    ),
    "no entityID": (
        organisation(entity_ids="idp yliopisto"),
        UNIVERSITY,
        "entity_ids (value 1): is not an entityID (a URI of at most 1024 characters, without spaces)",
        "copy it from the Identity Provider's metadata: EntityDescriptor entityID=",
    ),
    "production with the sandbox": (
        organisation(stage="production"),
        UNIVERSITY,
        'stage: is "production" while the service has registry = "sandbox", whose iDs are only for tests',
        'write stage = "test"',
    ),
    "no name in English": (
        organisation(name={"fi": "Esimerkin yliopisto"}),
        UNIVERSITY,
        "name.en: is missing",
        'add to [name], for example: en = "University of Example"',
    ),
    "nothing at the top": (
        organisation(entity_ids=None),
        UNIVERSITY,
        "entity_ids: is missing",
        'add at the top of the file, for example: entity_ids = ["https://idp.example.org/idp/shibboleth"]',
    ),
    "a token no header carries": (
        lambda directory: write_configuration(directory, secrets={"yliopisto.token": f'"{TOKEN}"'}),
        UNIVERSITY,
        "credential.token (value 1): refers to a token with characters that a bearer token cannot have",
        "make a new one: openssl rand -hex 32",
    ),
    "a user without a password": (
        organisation(credential=[{**CREDENTIAL, "user": "yliopisto"}]),
        UNIVERSITY,
        "credential.password (value 1): is missing beside user",
        'add to it: password = "file:secrets/example.password"',
    ),
    "a password without a user": (
        organisation(credential=[{**CREDENTIAL, "password": "file:secrets/front-proof"}]),
        UNIVERSITY,
        "credential.password (value 1): has no user to go with",
        'add to it: user = "example"',
    ),
    "a token and a password": (
        organisation(
            credential=[{**CREDENTIAL, "token": "file:secrets/yliopisto.token", **BASIC}],
        ),
        UNIVERSITY,
        "credential.password (value 1): is set together with a token",
        "write a [[credential]] for each",
    ),
    "neither a token nor a password": (
        organisation(credential=[CREDENTIAL]),
        UNIVERSITY,
        "credential.password (value 1): is missing, and there is no token",
        'add to it: token = "file:secrets/example.token"',
    ),
    "a source without the right to attest": (
        organisation(credential=[{**CREDENTIAL, **BASIC, "rights": ["read"], "source": "Pure"}]),
        UNIVERSITY,
        "credential.source (value 1): is for credentials that attest iDs",
        'add "attest" to rights, or remove source',
    ),
    "a source of two lines": (
        organisation(credential=[{**CREDENTIAL, **BASIC, "rights": ["attest"], "source": "Pure\n2"}]),
        UNIVERSITY,
        "credential.source (value 1): is no name of a system: it must be one line of at most 200 characters",
        'write for example: source = "Pure"',
    ),
    "no right": (
        organisation(credential=[{**CREDENTIAL, **BASIC, "rights": []}]),
        UNIVERSITY,
        "credential.rights (value 1): is empty, so the credential could do nothing",
        'write for example: rights = ["read"]',
    ),
    "a right that is none": (
        organisation(credential=[{**CREDENTIAL, **BASIC, "rights": ["read", "fed"]}]),
        UNIVERSITY,
        "credential.rights (value 1) (value 2): must be one of: read, feed, deprovision, move, attest, tokens, reverse",
        "did you mean feed?",
    ),
    "a right that is no text": (
        organisation(credential=[{**CREDENTIAL, **BASIC, "rights": [1]}]),
        UNIVERSITY,
        f"credential.rights (value 1) (value 1): must be a list of rights in quotes: {', '.join(Right)}",
        'write for example: rights = ["read"]',
    ),
    "a credential with a strange name": (
        organisation(credential=[{**CREDENTIAL, **BASIC, "name": "The IdP"}]),
        UNIVERSITY,
        "credential.name (value 1): must be 1 to 63 of a-z, 0-9 and -",
        'write for example: name = "idp"',
    ),
    "two credentials of one name": (
        organisation(credential=[{**CREDENTIAL, **BASIC}, *ORGANISATION["credential"][:1]]),
        UNIVERSITY,
        "credential: has two with the same name",
        "give each its own name",
    ),
    "two credentials with one token": (
        organisation(credential=[*ORGANISATION["credential"][:1], {**ORGANISATION["credential"][0], "name": "other"}]),
        UNIVERSITY,
        "credential.token (value 2): is the same token as in yliopisto.toml, credential idp",
        "give each its own token",
    ),
    "a user with a colon": (
        organisation(credential=[{**CREDENTIAL, "user": "yli:opisto", "password": "file:secrets/front-proof"}]),
        UNIVERSITY,
        "credential.user (value 1): must be 1 to 100 ASCII characters, no space and no colon",
        'write for example: user = "example"',
    ),
}


def run(*words):
    """Run a command and give its exit code and what it printed."""
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.mark.parametrize("name", BROKEN)
def test_check_says_how_to_fix_it(name, tmp_path):
    break_it, file, text, fix = BROKEN[name]
    path = break_it(tmp_path)

    code, output = run("--config", path, "check")

    assert code == 2
    assert output.splitlines() == [
        "The configuration has 1 error.",
        "",
        str(tmp_path / file),
        f"  {text.format(directory=tmp_path)}",
        f"    → {fix.format(directory=tmp_path)}",
    ]


def test_check_tells_a_machine_the_same(tmp_path):
    path = write_configuration(tmp_path, service={"registry": "prod", "front": None})

    code, output = run("--config", path, "check", "--json")

    said = json.loads(output)
    assert code == 2
    assert said["ok"] is False
    assert [(one["file"], one["key"]) for one in said["configuration_errors"]] == [
        (str(path), "service.registry"),
        (str(path), "service.front"),
    ]


def test_problems_are_reported_by_file(tmp_path):
    path = write_configuration(
        tmp_path, service={"front": None}, organisations={"yliopisto": {"stage": None, "key": 1}}
    )

    _, output = run("--config", path, "check")

    assert output.splitlines()[0] == "The configuration has 3 errors."
    assert output.count(str(path)) == 1
    assert output.count("yliopisto.toml") == 1


# Beyond the configuration


@pytest.fixture
def ready(tmp_path):
    """A configuration with a migrated store in which one person has a link."""
    path = write_configuration(tmp_path)
    kept = open_store(make_sqlite(tmp_path))
    make_link(kept, "maija@yliopisto.example", make_orcid_id(1))
    kept.close()
    return path


def levels(output):
    """Give the level of each result by its subject."""
    return {one["subject"]: one["level"] for one in json.loads(output)["results"]}


def test_all_is_well(ready):
    code, output = run("--config", ready, "check")

    assert code == 0
    assert "https://orcid-connect.example/me/callback  (register exactly this at ORCID)" in output
    assert "1 link\n" in output
    assert "yliopisto, the chain is intact" in output
    assert output.endswith("All checks passed.\n")


def test_check_writes_nothing(tmp_path):
    path = write_configuration(tmp_path)

    run("--config", path, "check")

    assert not (tmp_path / "links.db").exists()


def test_a_database_that_is_behind_is_wrong(tmp_path):
    code, output = run("--config", write_configuration(tmp_path), "check")

    assert code == 1
    assert "database is behind: 0001_" in output
    assert "→ run: orcid-connect migrate" in output
    assert output.endswith("1 check failed.\n")


def test_a_file_that_is_no_database_is_wrong(tmp_path):
    path = write_configuration(tmp_path)
    write(tmp_path / "links.db", "not a database" * 100)

    code, output = run("--config", path, "check")

    assert code == 1
    assert "the file is not an SQLite database" in output


def test_a_secret_that_others_may_read_is_a_warning(ready):
    secret = ready.parent / "secrets/yliopisto.token"
    secret.chmod(0o644)

    code, output = run("--config", ready, "check")

    assert code == 0
    assert f"warning  secret         {secret} is accessible to every user of this machine" in output
    assert f"→ run: chmod o= {secret}" in output


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"credential": None}, True),
        ({"credential": None, "transfer": [TRANSFER]}, False),
        ({"credential": None, "transfer": [TRANSFER], "keep": "nothing"}, False),
        ({"transfer": [TRANSFER]}, False),
        ({}, False),
    ],
    ids=["neither", "push only", "push only and nothing kept", "both", "connector only"],
)
def test_an_organisation_that_gets_no_ids_is_a_warning_and_one_with_push_only_is_not(ready, settings, warned):
    ready.parent.joinpath("spool").mkdir()
    write_configuration(ready.parent, organisations={"yliopisto": settings})

    code, output = run("--config", ready, "check", "--json")

    warnings = {one["subject"]: one["text"] for one in json.loads(output)["results"] if one["level"] == "warning"}
    missing = {"credential": "yliopisto has no credential and no transfer, so it cannot get its people's iDs"}
    assert code == 0
    assert {subject: text for subject, text in warnings.items() if subject != "transfer"} == (missing if warned else {})


def test_an_audit_that_was_changed_is_wrong(ready):
    kept = open_store(f"sqlite://{ready.parent}/links.db")
    with kept.engine.transaction() as session:
        session.script("update events set kind = 'removed';")
    kept.close()

    code, output = run("--config", ready, "check", "--json")

    assert code == 1
    assert levels(output)["audit"] == "error"


def test_secrets_are_printed_by_no_check(ready):
    for words in (["check"], ["check", "--json"]):
        assert TOKEN not in run("--config", ready, *words)[1]


# ORCID


@pytest.fixture
def orcid_root(ready):
    """A stand-in for ORCID's root, and a configuration that points to it; `answer` is what it says."""

    class Root(BaseHTTPRequestHandler):
        answers: typing.ClassVar = {}

        def do_GET(self):
            status, body = self.answers.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Root)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    Root.url = f"http://127.0.0.1:{server.server_port}"
    Root.answers["/.well-known/openid-configuration"] = (200, json.dumps({"issuer": Root.url}).encode())
    Root.answers["/pub/v3.0/apiStatus"] = (200, b'{"overallOk": true}')
    Root.answers["/oauth/revoke"] = (200, b"")
    write_configuration(ready.parent, orcid={"base_url": Root.url, "read_timeout": 0.2})
    yield Root
    server.shutdown()
    server.server_close()


def test_check_does_not_ask_orcid_unless_told(ready, orcid_root):
    orcid_root.answers.clear()

    assert "ORCID" not in levels(run("--config", ready, "check", "--json")[1])


def test_an_orcid_that_answers_is_well(ready, orcid_root):
    code, output = run("--config", ready, "check", "--orcid")

    assert code == 0
    assert f"{orcid_root.url} answers" in output
    assert f"{orcid_root.url}/pub/v3.0 answers" in output


def test_a_public_api_that_does_not_work_is_a_warning(ready, orcid_root):
    orcid_root.answers["/pub/v3.0/apiStatus"] = (200, b'{"overallOk": false}')

    code, output = run("--config", ready, "check", "--orcid")

    assert code == 0
    assert "ORCID says that its API does not work" in output


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, b"<html>"), "status 200 without JSON"),
        ((200, b"[]"), "status 200 without JSON"),
        ((200, b'{"issuer": "https://orcid.org"}'), "names another issuer"),
        ((503, b"{}"), "status 503"),
    ],
)
def test_an_orcid_that_answers_otherwise_is_wrong(ready, orcid_root, answer, words):
    orcid_root.answers["/.well-known/openid-configuration"] = answer

    code, output = run("--config", ready, "check", "--orcid")

    assert code == 1
    assert words in output


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ((200, b""), 0, "ok       ORCID client   APP-0A1B2C3D4E5F6G7H and its secret are accepted"),
        ((401, b'{"error": "invalid_client"}'), 1, "APP-0A1B2C3D4E5F6G7H or its secret is not accepted"),
        ((503, b"<html>"), 0, "APP-0A1B2C3D4E5F6G7H could not be checked: status 503"),
    ],
)
def test_each_client_is_checked_at_orcid(ready, orcid_root, answer, code, words):
    orcid_root.answers["/oauth/revoke"] = answer

    done, output = run("--config", ready, "check", "--orcid")

    assert done == code
    assert words in output


def test_an_orcid_that_is_silent_is_wrong(ready, orcid_root):
    silence = threading.Event()
    orcid_root.do_GET = lambda _: silence.wait(5)

    code, output = run("--config", ready, "check", "--orcid")

    silence.set()
    assert code == 1
    assert "no answer in time" in output


# --- The operator's texts -----------------------------------------------------------------------------------------


def findings_about(word, path):
    """Give what check says about something, as a machine is told."""
    _, output = run("--config", path, "check", "--json")
    return [(each["level"], each["text"]) for each in json.loads(output)["results"] if each["subject"] == word]


def test_texts_that_are_complete_are_well(tmp_path):
    path = write_configuration(tmp_path)

    assert findings_about("notices", path) == [("ok", f"complete in {', '.join(LANGUAGES)}")]


def test_each_text_that_is_missing_is_named_with_its_language(tmp_path):
    path = write_configuration(tmp_path, notices={"fi": {"controller": "Yliopisto"}, "sv": None})

    levels, texts = zip(*findings_about("notices", path), strict=True)

    assert set(levels) == {"warning"}
    assert "lack in fi: data_protection_officer, legal_basis" in texts[0]
    assert "lack in sv: controller, data_protection_officer" in texts[1]
    assert len(texts) == 2


def test_where_the_pages_are_not_fully_accessible_it_has_to_be_said_what_is_not(tmp_path):
    path = write_configuration(tmp_path, accessibility={"status": "partially"})

    assert [text.rpartition(" ")[2] for _, text in findings_about("notices", path)] == ["not_accessible"] * len(
        LANGUAGES
    )


def test_a_statement_that_says_nothing_is_named(tmp_path):
    path = write_configuration(tmp_path, accessibility={"assessed": None})

    assert "date of its assessment" in findings_about("notices", path)[0][1]


def test_what_an_organisation_says_in_one_language_it_has_to_say_in_each(tmp_path):
    own = {"notices": {"fi": {"controller": "Yliopisto", "legal_basis": "Laki"}, "en": {"controller": "University"}}}
    path = write_configuration(tmp_path, organisations={"yliopisto": own})

    texts = [text for _, text in findings_about("notices", path)]

    assert texts == [
        "the own texts of yliopisto lack in en: legal_basis",
        *(
            f"the own texts of yliopisto lack in {code}: controller, legal_basis"
            for code in LANGUAGES[1:]
            if code != "fi"
        ),
    ]


def test_in_production_missing_texts_are_an_error(tmp_path):
    path = write_configuration(
        tmp_path,
        service={"registry": "production"},
        organisations={"yliopisto": {"stage": "production"}},
        notices={"sv": None},
    )

    assert [level for level, _ in findings_about("notices", path)] == ["error"]
    assert run("--config", path, "check")[0] == 1


# --- The federation's metadata ------------------------------------------------------------------------------------

SERVICE = "https://sp.example.net/shibboleth"
NEXT_YEAR = "2027-01-15T12:00:00Z"
A_DAY_AHEAD = "2026-01-16T12:00:01Z"
IN_A_DAY = "2026-01-16T12:00:00Z"
A_SECOND_AGO = "2026-01-15T11:59:59Z"


def told_of_metadata(directory, whole=NEXT_YEAR, service=NEXT_YEAR, named=SERVICE, text=None):
    """Give what check says where the attribute authority has metadata that ends then."""
    saml = 'xmlns="urn:oasis:names:tc:SAML:2.0:metadata"'
    entity = f'<EntityDescriptor entityID="{SERVICE}" validUntil="{service}"/>'
    until = f'validUntil="{whole}"' if whole else ""
    for name in ("authority.key", "authority.pem"):
        write(directory / name, "in PEM")
    write(directory / "federation.xml", text or f"<EntitiesDescriptor {saml} {until}>{entity}</EntitiesDescriptor>")
    files = {"key": "authority.key", "certificate": "authority.pem", "metadata": "federation.xml"}
    path = write_configuration(
        directory,
        authority={"entity_id": "https://connect.example/aa", **files},
        organisations={"yliopisto": {"authority": {"services": [named]}}},
    )
    with freeze_time(NOON):
        return [(level, text.replace(f"{directory}/", "")) for level, text in findings_about("metadata", path)]


def test_metadata_that_is_valid_is_well(tmp_path):
    assert told_of_metadata(tmp_path) == [("ok", f"federation.xml, valid until {NEXT_YEAR}")]
    assert told_of_metadata(tmp_path, A_DAY_AHEAD) == [("ok", f"federation.xml, valid until {A_DAY_AHEAD}")]
    assert told_of_metadata(tmp_path, whole=None) == [("ok", "federation.xml, does not expire")]


def test_metadata_that_has_expired_is_wrong_and_that_which_will_within_a_day_is_named(tmp_path):
    assert told_of_metadata(tmp_path, A_SECOND_AGO) == [("error", f"federation.xml expired at {A_SECOND_AGO}")]
    assert told_of_metadata(tmp_path, IN_A_DAY) == [("warning", f"federation.xml expires at {IN_A_DAY}")]


def test_a_service_that_the_metadata_does_not_have_or_no_longer_is_named(tmp_path):
    (_, expired) = told_of_metadata(tmp_path, service=A_SECOND_AGO)
    (_, unknown) = told_of_metadata(tmp_path, named="https://other.example")

    assert expired[0] == unknown[0] == "warning"
    assert f"the entry for {SERVICE} in federation.xml expired at {A_SECOND_AGO}" in expired[1]
    assert "has no entry for https://other.example" in unknown[1]


def test_a_file_that_is_no_metadata_is_wrong(tmp_path):
    ((level, text),) = told_of_metadata(tmp_path, text="in PEM")

    assert (level, "federation.xml cannot be used" in text) == ("error", True)


def test_without_an_authority_there_is_nothing_to_say_of_metadata(tmp_path):
    assert findings_about("metadata", write_configuration(tmp_path)) == []


# --- The people whom it names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "advised"),
    [
        ("Maija@yliopisto.example", True),
        ("maija@yliopisto.example issued 20200101", False),
        ("ville@yliopisto.example", False),
        ("anna@yliopisto.example", False),
    ],
    ids=["without a date that is known", "with a date", "without a date, and none is known", "without a link"],
)
def test_a_date_is_advised_where_the_organisation_has_told_it(tmp_path, named, advised):
    path = write_configuration(tmp_path, organisations={"yliopisto": {"administrators": {"people": [named]}}})
    write(path, path.read_text("utf-8") + f'\n[[operator]]\norganisation = "{HOME}"\npeople = ["{named}"]\n')
    store = open_store(make_sqlite(tmp_path))
    make_link(store, "maija@yliopisto.example", make_orcid_id(1), HOME, issued="20240826")
    make_link(store, "ville@yliopisto.example", make_orcid_id(2), HOME)
    store.close()

    _, output = run("--config", path, "check", "--json")

    told = [each for each in json.loads(output)["results"] if each["subject"] == "operator"]
    assert len(told) == (2 if advised else 0)
    assert all(each["level"] == "info" and f'"{named} issued 20240826"' in each["fix"] for each in told)


# --- What it costs ------------------------------------------------------------------------------------------------


def test_an_organisations_links_are_counted_once(tmp_path, monkeypatch):
    path = write_configuration(tmp_path)
    store = open_store(make_sqlite(tmp_path))
    make_link(store, "maija@yliopisto.example", make_orcid_id(1), HOME)
    store.close()
    counted = []
    for repository, name in ((LinkRepository, "count"), (ReleaseRepository, "counts")):
        count = getattr(repository, name)
        monkeypatch.setattr(
            repository, name, lambda *words, count=count, name=name: counted.append(name) or count(*words)
        )

    _, output = run("--config", path, "check")

    assert "1 link\n" in output
    assert "linked 1, release seen 0" in output
    assert counted == ["counts"]
