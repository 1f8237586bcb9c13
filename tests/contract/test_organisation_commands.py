"""The commands that connect, list, show, disable and enable organisations."""

import json
import ssl
import stat
import tarfile
import tomllib
from contextlib import suppress

import pytest
from click.testing import CliRunner

from tests.support.configuration import write, write_configuration
from tests.support.factories import UNIVERSITY
from tests.support.federation_metadata import EARLIER, IDP, NAMES, federation, idp, key_pair, sign
from tests.support.http_server import drips, drips_headers, hangs, head, serving
from tests.support.system.federation import make_key
from webapp.cli.main import main
from webapp.cli.organisation import source
from webapp.config.loader import load

NEW = "esimerkki"


@pytest.fixture
def etc(tmp_path, monkeypatch):
    """A configuration, and a directory to work in."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return write_configuration(tmp_path / "etc").parent


@pytest.fixture
def invoke(etc):
    def invoke(*words):
        return CliRunner().invoke(main, ["--config", str(etc / "orcid-connect.toml"), "organisation", *map(str, words)])

    return invoke


@pytest.fixture
def metadata(tmp_path):
    """Write signed metadata with these entries, and return the options that name it."""

    def metadata(*entities, **other):
        certificate = write(tmp_path / "federation.pem", key_pair("federation")[1])
        (tmp_path / "metadata.xml").write_bytes(sign(federation(*(entities or (idp(),)), **other)))
        return ["--metadata", tmp_path / "metadata.xml", "--certificate", certificate, "--entity-id", IDP]

    return metadata


def everything(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_an_organisation_is_added_with_one_command(etc, invoke, metadata):
    done = invoke(
        "add", NEW, *metadata(), "--credential", "cris=attest,feed", "--test-account", "test@esimerkki.example"
    )

    assert done.exit_code == 0, done.output
    file = tomllib.loads((etc / "organisations" / f"{NEW}.toml").read_text("utf-8"))
    assert file == {
        "entity_ids": [IDP],
        "scopes": ["esimerkki.example"],
        "stage": "test",
        "state": "hidden",
        "test_accounts": ["test@esimerkki.example"],
        "help": "help@esimerkki.example",
        "name": NAMES,
        "credential": [
            {"name": "idp", "rights": ["read"], "token": f"file:secrets/{NEW}-idp"},
            {"name": "cris", "rights": ["attest", "feed"], "token": f"file:secrets/{NEW}-cris"},
        ],
    }
    config = load(etc / "orcid-connect.toml", {})
    assert {one.id for one in config.organisations} == {UNIVERSITY, NEW}
    written = [
        etc / "secrets" / f"{NEW}-idp",
        etc / "secrets" / f"{NEW}-cris",
        etc.parent / "work" / f"{NEW}-idp.tar.gz",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    tokens = [path.read_text().strip() for path in written[:2]]
    assert len({*tokens}) == 2
    with tarfile.open(written[2]) as archive:
        names = archive.getnames()
        content = b"".join(archive.extractfile(name).read() for name in names)
    assert f"{NEW}/README.txt" in names
    assert not any(token.encode() in content for token in tokens)
    service_file = (etc / "orcid-connect.toml").stat()
    own = (etc / "organisations" / f"{NEW}.toml").stat()
    assert (own.st_mode, own.st_gid) == (service_file.st_mode & ~0o113, service_file.st_gid)
    assert "\n\nFrom the signed metadata, valid until 2099-01-01T00:00:00Z:\n" in done.output
    # What is printed has no secret, and the contacts as text
    assert "technical: Maija Mäkelä, idm@esimerkki.example" in done.output
    assert not any(token in done.output for token in tokens)


def test_the_first_organisation_of_a_new_service_can_be_added(etc, invoke, metadata):
    (etc / "organisations" / f"{UNIVERSITY}.toml").unlink()

    done = invoke("add", NEW, *metadata())

    assert done.exit_code == 0, done.output
    assert [one.id for one in load(etc / "orcid-connect.toml", {}).organisations] == [NEW]


def test_an_organisation_without_metadata_is_added_by_scope_and_name(etc, invoke):
    names = ["--name", "fi=Esimerkki", "--name", 'sv="Exempel"']

    done = invoke("add", NEW, "--entity-id", IDP, "--scope", "Esimerkki.example", *names)

    assert done.exit_code == 0, done.output
    (one,) = (one for one in load(etc / "orcid-connect.toml", {}).organisations if one.id == NEW)
    assert (one.entity_ids, one.scopes, one.state) == ((IDP,), {"esimerkki.example"}, "hidden")
    assert dict(one.names) == {"en": "Esimerkki", "fi": "Esimerkki", "sv": '"Exempel"'}
    assert "metadata" not in done.output.partition("Now:")[0]


@pytest.mark.parametrize(
    ("service", "reload_line"),
    [
        ({}, "systemctl try-reload-or-restart orcid-connect-web orcid-connect-connector orcid-connect-deliver"),
        (
            {"front": "variables", "front_proof": None},
            "touch -c {0}/connect.wsgi {0}/connector.wsgi; systemctl try-reload-or-restart orcid-connect-deliver",
        ),
    ],
)
def test_the_steps_have_commands_that_can_be_pasted(etc, invoke, service, reload_line):
    write_configuration(etc, service=service)

    done = invoke("add", NEW, "--entity-id", IDP, "--scope", "esimerkki.example", "--name", "en=Example")
    disabled = invoke("disable", NEW)

    own = f"runuser -u orcid-connect -- orcid-connect --config {etc}/orcid-connect.toml check"
    commands = [line.strip() for line in done.output.splitlines() if line.startswith("       ")]
    assert commands == [own, reload_line.format(etc), f"{own} --organisation {NEW}"]
    assert disabled.output.splitlines()[-2:] == [f"  {reload_line.format(etc)}", f"  {own} --running"]


HOSTILE = "&quot;]&#10;[[credential]]&#10;name = &quot;x&quot; \\u0022 \x7f &apos;&apos;&apos; \U0001f393 " + "\\" * 3


def test_names_from_outside_are_text_in_the_file_and_on_the_terminal(etc, invoke, metadata):
    contacts = [("technical", "\x9b31m&lt;a&gt;&#10;", "&quot;", "mailto:a@b.example&#10;Bcc: x")]
    names = {"en": HOSTILE, "fi": "\u202eevil"}
    done = invoke(
        "add",
        NEW,
        *metadata(idp(names=names, contacts=contacts, patterns=(".*",), scopes=("Esimerkki.Example", "com"))),
    )

    assert done.exit_code == 0, done.output
    file = tomllib.loads((etc / "organisations" / f"{NEW}.toml").read_text("utf-8"))
    assert file["name"] == {"en": "\"] [[credential]] name = \"x\" \\u0022 ''' \U0001f393 \\\\\\", "fi": "evil"}
    assert [each["name"] for each in file["credential"]] == ["idp"]
    assert file["scopes"] == ["esimerkki.example"]
    assert "left out  com, .*" in done.output
    assert "help" not in file
    assert done.output.replace("\n", "").isprintable()


def test_several_identity_providers_are_one_organisation(etc, invoke, metadata):
    second = "https://idp2.esimerkki.example/idp"
    options = metadata(idp(), idp(second, scopes=("esimerkki.example", "hospital.example")))

    done = invoke("add", NEW, *options, "--entity-id", second, "--person", "attribute:eppn@esimerkki.example")

    assert done.exit_code == 0, done.output
    (one,) = (one for one in load(etc / "orcid-connect.toml", {}).organisations if one.id == NEW)
    assert (one.entity_ids, one.scopes) == ((IDP, second), {"esimerkki.example", "hospital.example"})
    with tarfile.open(f"{NEW}-idp.tar.gz") as archive:
        assert {name.split("/")[1] for name in archive.getnames()} == {"idp-1", "idp-2"}


def other_key(options):
    options[3].write_text(key_pair("other")[1])
    return options


REFUSED = {
    "another key": lambda metadata: [NEW, *other_key(metadata())],
    "expired": lambda metadata: [NEW, *metadata(valid_until=EARLIER)],
    "no such file": lambda metadata: [NEW, *metadata(), "--metadata", "nowhere.xml"],
    "no such certificate": lambda metadata: [NEW, *metadata(), "--certificate", "nowhere.pem"],
    "plain http": lambda metadata: [NEW, *metadata(), "--metadata", "http://127.0.0.1:9/m.xml"],
    "another scheme": lambda metadata: [NEW, *metadata(), "--metadata", "file:///etc/passwd"],
    "a server that is not there": lambda metadata: [NEW, *metadata(), "--metadata", "https://127.0.0.1:9/m.xml"],
    "no scope": lambda metadata: [NEW, *metadata(idp(scopes=()))],
    "no name": lambda metadata: [NEW, *metadata(idp(names={"de": "Beispiel"}))],
    "a test account of another organisation": lambda metadata: [NEW, *metadata(), "--test-account", "x@y.example"],
    "metadata and a scope": lambda metadata: [NEW, *metadata(), "--scope", "a.example", "--name", "en=A"],
    "a scope without a name": lambda _metadata: [NEW, "--entity-id", IDP, "--scope", "a.example"],
    "a scope that is none": lambda _metadata: [NEW, "--entity-id", IDP, "--scope", "a b", "--name", "en=A"],
    "a name in no language": lambda _metadata: [NEW, "--entity-id", IDP, "--scope", "a.example", "--name", "A"],
    "an id that is a path": lambda metadata: ["../esimerkki", *metadata()],
    "an unknown right": lambda metadata: [NEW, *metadata(), "--credential", "cris=everything"],
    "a credential of the same name": lambda metadata: [NEW, *metadata(), "--credential", "idp=feed"],
    "several scopes without --person": lambda metadata: [NEW, *metadata(idp(scopes=("a.example", "b.example")))],
    "a scope that the handout cannot have": lambda metadata: [NEW, *metadata(), "--person", "nothing"],
    "the entityID of another organisation": lambda metadata: [
        NEW,
        *metadata(idp(f"https://idp.{UNIVERSITY}.example/idp/shibboleth"))[:-1],
        f"https://idp.{UNIVERSITY}.example/idp/shibboleth",
    ],
    "an id that exists": lambda metadata: [UNIVERSITY, *metadata()],
    "an archive that exists": lambda metadata: [NEW, *metadata(), "--output", metadata()[1]],
    "an archive in no directory": lambda metadata: [NEW, *metadata(), "--output", "no/such/archive.tar.gz"],
}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_nothing_is_written_if_anything_fails(etc, invoke, metadata, words):
    words = words(metadata)
    before, around = everything(etc), everything(etc.parent / "work")

    done = invoke("add", *words)

    assert done.exit_code in {1, 2}
    assert not isinstance(done.exception, AssertionError)
    assert "Traceback" not in done.output
    assert (everything(etc), everything(etc.parent / "work")) == (before, around)


@pytest.mark.parametrize("name", [f"secrets/{NEW}-idp", f"organisations/{NEW}.toml.disabled"])
def test_no_file_is_overwritten(etc, invoke, metadata, name):
    write(etc / name, "kept")
    before = everything(etc)

    done = invoke("add", NEW, *metadata())

    assert done.exit_code == 1
    assert everything(etc) == before


def test_organisations_are_listed_and_shown_without_secrets(etc, invoke, metadata):
    invoke("add", NEW, *metadata())
    write(etc / "organisations" / "broken.toml", "scopes = 1")
    write(etc / "organisations" / "off.toml.disabled", "")
    write(etc / "organisations" / f"{UNIVERSITY}.toml.disabled", "an old file of one that is connected")

    listed, shown = invoke("list"), invoke("show", NEW)
    as_json = json.loads(invoke("show", NEW, "--json").output)

    assert [line.split()[:3] for line in listed.output.splitlines()] == [
        ["ID", "STATE", "STAGE"],
        ["broken", "misconfigured"],
        [NEW, "hidden", "test"],
        ["off", "disabled"],
        [UNIVERSITY, "open", "test"],
    ]
    assert [one["state"] for one in json.loads(invoke("list", "--json").output)["organisations"]] == [
        "misconfigured",
        "hidden",
        "disabled",
        "open",
    ]
    token = (etc / "secrets" / f"{NEW}-idp").read_text().strip()
    assert token not in shown.output + json.dumps(as_json)
    assert as_json["credentials"] == [{"name": "idp", "rights": "read"}]
    assert IDP in shown.output
    assert invoke("show", "nobody").exit_code == 1


def test_a_disabled_organisation_is_left_out_until_it_is_enabled(etc, invoke, metadata):
    invoke("add", NEW, *metadata())
    path = etc / "orcid-connect.toml"

    assert invoke("disable", NEW).exit_code == 0
    assert [one.id for one in load(path, {}).organisations] == [UNIVERSITY]
    checked = CliRunner().invoke(main, ["--config", str(path), "check", "--configuration"])
    assert f"info     state          {NEW} is disabled" in checked.output
    assert invoke("disable", NEW).exit_code == 1
    assert "is disabled" in invoke("show", NEW).output

    assert invoke("enable", NEW).exit_code == 0
    assert {one.id for one in load(path, {}).organisations} == {UNIVERSITY, NEW}
    assert invoke("enable", NEW).exit_code == 1


def test_what_would_leave_no_valid_configuration_is_undone(etc, invoke):
    write(etc / "organisations" / "broken.toml.disabled", "scopes = 1")
    before = everything(etc)

    last, broken, path = (
        invoke("disable", UNIVERSITY),
        invoke("enable", "broken"),
        invoke("disable", "../orcid-connect"),
    )

    assert [one.exit_code for one in (last, broken, path)] == [2, 2, 1]
    assert "nothing was changed" in last.output
    assert everything(etc) == before


# --- Metadata from an address -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A key and a certificate for a server on loopback."""
    return make_key(tmp_path_factory.mktemp("tls"), "server", "127.0.0.1")


@pytest.fixture
def serve_metadata(tls, monkeypatch):
    """Serve at an https address whose certificate the environment trusts."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls["certificate"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls["certificate"], tls["key"])
    return lambda behave: serving(behave, context)


def test_metadata_is_fetched_by_https_from_the_address_in_the_configuration(etc, invoke, metadata, serve_metadata):
    _, path, *options = metadata()
    data = path.read_bytes()

    def behave(request):
        head(request, length=len(data), kind="application/samlmetadata+xml")
        request.wfile.write(data)

    with serve_metadata(behave) as (address, _), (etc / "orcid-connect.toml").open("a") as file:
        file.write(f'\n[service_provider]\nmetadata_url = "{address}/metadata.xml"\n')
        file.flush()
        done = invoke("add", NEW, *options)

    assert done.exit_code == 0, done.output
    assert f"check --organisation {NEW} --metadata {address}/metadata.xml\n" in done.output


@pytest.fixture
def short_timeout(monkeypatch):
    monkeypatch.setattr(source, "TIMEOUT", 1.0)


def redirects(request):
    request.send_response(302)
    request.send_header("Location", "/elsewhere.xml")
    request.send_header("Content-Length", "0")
    request.end_headers()


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (redirects, "answered 302"),
        (lambda request: head(request, status=404), "answered 404"),
        (drips, "did not arrive in"),
        (drips_headers, "did not arrive in"),
        (hangs, "did not arrive in"),
    ],
)
@pytest.mark.usefixtures("short_timeout")
def test_a_server_of_metadata_cannot_hold_the_command(invoke, metadata, serve_metadata, behave, reason):
    with serve_metadata(behave) as (address, asked):
        done = invoke("add", NEW, *metadata(), "--metadata", f"{address}/metadata.xml")

    assert done.exit_code == 1
    assert reason in done.output
    assert len(asked) <= 1


def test_metadata_that_is_too_large_is_refused(invoke, metadata, serve_metadata, monkeypatch):
    monkeypatch.setattr(source, "MAX_METADATA", 2**20)

    def behave(request):
        head(request, length=2**21)
        with suppress(OSError):
            request.wfile.write(b" " * 2**21)

    with serve_metadata(behave) as (address, _):
        done = invoke("add", NEW, *metadata(), "--metadata", f"{address}/metadata.xml")

    assert "larger than 1 MiB" in done.output
