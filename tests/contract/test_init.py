"""`orcid-connect init` writes all files of a new service, or none."""

from __future__ import annotations

import os
import stat
import subprocess

import pytest
from click.testing import CliRunner
from cryptography import x509
from defusedxml.ElementTree import fromstring

import webapp.cli.init as init_command
from shibboleth.handout.render import placeholders
from tests.support.init import arguments, run_init
from webapp.cli.main import main
from webapp.config.loader import load_service

SECRET = "the-secret-of-the-client-0123456789"
ALWAYS = {"orcid-client-secret", "orcid-token-key", "metrics.token"}


def run(directory, secret=SECRET, **options):
    return CliRunner().invoke(main, arguments(directory, **options), input=secret, catch_exceptions=False)


def files_in(directory):
    return {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("front", "its_own", "secrets"),
    [
        ("variables", {"connect.wsgi", "connector.wsgi"}, ALWAYS),
        (
            "proxy",
            {
                "front-proof.conf",
                *(f"orcid-connect-{name}.{kind}" for name in ("web", "connector") for kind in ("service", "socket")),
            },
            ALWAYS | {"front-proof"},
        ),
    ],
)
def test_each_front_and_database_gets_a_valid_configuration_and_its_files(tmp_path, front, its_own, secrets, database):
    written = files_in(run_init(tmp_path / "new", front=front, database=database))

    file = load_service(tmp_path / "new/etc/orcid-connect/orcid-connect.toml", {})
    assert (file.service.front.value, file.store.url.partition(":")[0]) == (front, database)
    assert {path.name for path in written.values() if path.parent.name == "secrets"} == secrets
    names = {path.name for path in written.values()}
    assert its_own <= names
    other = {"connect.wsgi", "front-proof.conf", "orcid-connect-web.socket"} - its_own
    assert not other & names
    assert {"registration.txt", "sp-metadata.xml", "shibboleth2.xml", "orcid-connect-deliver.service"} <= names
    for name, path in written.items():
        assert not placeholders(path.read_text("utf-8")), name
    (unit,) = (path.read_text() for path in written.values() if path.name == "orcid-connect-deliver.service")
    assert ("postgresql.service" in unit) == (database == "postgresql")


def test_secrets_are_for_their_owner_alone_whatever_the_umask_is(tmp_path):
    before = os.umask(0o077)
    try:
        closed = files_in(run_init(tmp_path / "closed", front="proxy"))
        os.umask(0)
        opened = files_in(run_init(tmp_path / "open", front="proxy"))
    finally:
        os.umask(before)

    for written in (closed, opened):
        modes = {name: stat.S_IMODE(path.stat().st_mode) for name, path in written.items()}
        secret = {name for name in modes if "/secrets/" in name or name.endswith(("-key.pem", "front-proof.conf"))}
        assert {name for name, mode in modes.items() if mode == 0o600} == secret
        assert {modes[name] for name in modes.keys() - secret} == {0o644}
        assert not [name for name, path in written.items() if SECRET in path.read_text() and name not in secret]
    # These modes are copied to /etc itself
    for directory in (tmp_path / "closed/etc", tmp_path / "closed/etc/systemd", tmp_path / "open/etc"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o755


def test_the_metadata_has_the_certificates_of_the_keys(tmp_path):
    etc = run_init(tmp_path / "new") / "etc/shibboleth"

    shown = [
        "".join((each.text or "").split())
        for each in fromstring((tmp_path / "new/sp-metadata.xml").read_text()).iter()
        if each.tag.endswith("}X509Certificate")
    ]
    for name in ("signing", "encrypt"):
        certificate = (etc / f"sp-{name}-cert.pem").read_text()
        assert "".join(certificate.splitlines()[1:-1]) in shown
        (alternatives,) = (
            each.value
            for each in x509.load_pem_x509_certificate(certificate.encode()).extensions
            if isinstance(each.value, x509.SubjectAlternativeName)
        )
        assert [each.value for each in alternatives] == [
            "orcid-connect.example.org",
            "https://orcid-connect.example.org/shibboleth",
        ]
        key, public = etc / f"sp-{name}-key.pem", ["openssl", "pkey", "-pubout", "-in"]
        of_certificate = ["openssl", "x509", "-noout", "-pubkey", "-in", etc / f"sp-{name}-cert.pem"]
        assert subprocess.check_output([*public, key]) == subprocess.check_output(of_certificate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"public_url": "http://example.org/x"}, "--public-url: "),
        ({"public_url": ""}, "--public-url: "),
        ({"contact": "nobody"}, "--contact: "),
        ({"contact": 'a"b\n[orcid]'}, "--contact: "),
        ({"contact": "https://help.example.org"}, "--support-contact"),
        ({"contact": "https://help.example.org", "support_contact": "x"}, "--support-contact: "),
        ({"client_id": "APP"}, "--client-id: "),
        ({"registry": "other"}, "'--registry'"),
        ({"front": "nginx"}, "'--front'"),
        ({"database": "mysql://x"}, "--database: "),
        ({"metadata_url": "ftp://x"}, "--metadata-url: "),
        ({"discovery_url": "x y"}, "--discovery-url: "),
        ({"client_secret_file": "/nowhere/secret"}, "/nowhere/secret"),
        ({"secret": ""}, "--client-secret-file: "),
        ({"secret": "s\udcffx" * 20}, "--client-secret-file: "),
        ({"public_url": None, "secret": ""}, "--public-url is missing"),
        ({"client_secret_file": None, "secret": ""}, "--client-secret-file is missing"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_named_by_its_option_and_nothing_is_written(tmp_path, options, message):
    secret = options.pop("secret", SECRET).encode("utf-8", "surrogateescape")

    done = run(tmp_path / "new", secret, **options)

    assert done.exit_code in {1, 2}
    assert message in done.output
    assert SECRET not in done.output
    assert list(tmp_path.iterdir()) == []


def test_what_no_option_says_is_asked(tmp_path):
    unsaid = dict.fromkeys(
        ("public_url", "contact", "registry", "client_id", "client_secret_file", "front", "database")
    )
    answers = ["https://id.example.org/", "help@example.org", "", "APP-0A1B2C3D4E5F6G7H", SECRET, "proxy", ""]

    done = run(tmp_path / "new", "\n".join(answers) + "\n", **unsaid)

    assert done.exit_code == 0, done.output
    assert SECRET not in done.output
    file = load_service(tmp_path / "new/etc/orcid-connect/orcid-connect.toml", {})
    assert (file.service.public_url, file.service.registry.value) == ("https://id.example.org", "sandbox")
    assert file.orcid.client_secret.reveal() == SECRET


@pytest.mark.parametrize("existing", ["etc", "notes.txt", ".hidden"])
def test_a_directory_that_has_anything_is_left_as_it_is(tmp_path, existing):
    (tmp_path / existing).write_text("mine")

    done = run(tmp_path)

    assert (done.exit_code, str(tmp_path / existing) in done.output) == (1, True)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "mine")]


@pytest.mark.parametrize("exists", [True, False])
def test_a_run_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch, exists):
    directory = tmp_path / "new"
    if exists:
        directory.mkdir()

    def fails(*_):
        # The configuration and secrets are written by then
        raise OSError(28, "No space left on device", "random")

    monkeypatch.setattr(init_command, "make_key_pair", fails)
    done = run(directory)

    assert (done.exit_code, "No space left on device" in done.output) == (1, True)
    assert [*tmp_path.rglob("*")] == ([directory] if exists else [])


def test_an_empty_directory_is_filled_and_stays_the_same(tmp_path):
    before = tmp_path.stat().st_ino

    done = run(tmp_path)

    assert (done.exit_code, tmp_path.stat().st_ino) == (0, before)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "etc",
        "monitoring",
        "registration.txt",
        "sp-metadata.xml",
    ]


def test_the_files_are_generated_again_from_the_configuration(tmp_path):
    """After an upgrade their differences are those of the program."""
    machine = run_init(tmp_path / "new", front="proxy")
    etc = machine / "etc/orcid-connect"
    words = ["--config", str(etc / "orcid-connect.toml"), "handout", "sp", "--keys", str(machine / "etc/shibboleth")]

    done = CliRunner().invoke(main, [*words, "--output", str(tmp_path / "again")], catch_exceptions=False)

    assert done.exit_code == 0, done.output
    for name, path in files_in(tmp_path / "again").items():
        assert path.read_text("utf-8").replace(str(etc), "/etc/orcid-connect") == (machine / name).read_text("utf-8")
