"""What the operator is handed for the service's own front is what the configuration says."""

from __future__ import annotations

import re
import sys

import pytest
from click.testing import CliRunner
from defusedxml.ElementTree import fromstring

from shibboleth.attributes import ATTRIBUTES
from shibboleth.handout.machine import FILES as FILES_OF_THE_MACHINE
from shibboleth.handout.render import placeholders
from shibboleth.handout.sp import FEDERATIONS, FILES
from tests.support import docs
from tests.support.configuration import PROOF, write_configuration
from webapp.auth.authenticator import Access
from webapp.cli.main import main
from webapp.routes import ROUTES

SOCKETS = {
    "listen": {"unix": "/run/orcid-connect/web.sock"},
    "connector": {"unix": "/run/orcid-connect/connector.sock"},
}
VARIABLES = {"front": "variables", "front_proof": None}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBszCC\nAVmgAw==\n-----END CERTIFICATE-----\n"
OF_THE_PAGES = {
    "shibboleth2.xml",
    "attribute-map.xml",
    "attribute-policy.xml",
    "registration.txt",
    "orcid-connect.conf",
    "shibd.logger",
    "page.html",
    "sign-in.html",
    "sign-out.html",
    *(each.path.rpartition("/")[2] for each in FILES_OF_THE_MACHINE if not each.conditions),
}
UNITS = {each.path.rpartition("/")[2] for each in FILES_OF_THE_MACHINE if each.conditions}


@pytest.fixture
def hand_out(tmp_path):
    """Hand out, and give each file by its name, with its mode."""

    def run(path, *words, code=0):
        asked = ["--config", str(path), "handout", "sp", "--keys", str(tmp_path / "keys"), *map(str, words)]
        done = CliRunner().invoke(main, [*asked, "--output", str(tmp_path / "out")], catch_exceptions=False)
        assert done.exit_code == code, done.output
        if code:
            return done.output
        return {each.name: each for each in (tmp_path / "out").rglob("*") if each.is_file()}

    return run


def make_keys(tmp_path, text=CERTIFICATE):
    for name in ("sp-signing-cert.pem", "sp-encrypt-cert.pem"):
        (tmp_path / "keys").mkdir(exist_ok=True)
        (tmp_path / "keys" / name).write_text(text)


@pytest.mark.parametrize(
    ("service", "words", "names"),
    [
        (VARIABLES, [], OF_THE_PAGES | {"connect.wsgi", "connector.wsgi"}),
        ({}, [], OF_THE_PAGES | UNITS | {"front-proof.conf"}),
        ({}, ["--connector-only"], {"orcid-connect.conf", "connector.wsgi"}),
    ],
    ids=["variables", "proxy", "the connector alone"],
)
def test_each_front_gets_its_own_files_and_every_value(tmp_path, hand_out, service, words, names):
    path = write_configuration(tmp_path / "etc", service=service, **SOCKETS)

    files = hand_out(path, *words)

    assert files.keys() == names
    for name, file in files.items():
        text = file.read_text("utf-8")
        assert not placeholders(text), name
        if name.endswith(".xml"):
            fromstring(text)


def test_only_the_proof_is_secret_and_it_is_shown_to_no_terminal(tmp_path, hand_out):
    path = write_configuration(tmp_path / "etc", **SOCKETS)
    shown = CliRunner().invoke(main, ["--config", str(path), "handout", "sp", "--keys", str(tmp_path)]).output

    files = hand_out(path)

    assert f"Define FRONT_PROOF {PROOF}\n" in files["front-proof.conf"].read_text()
    assert {
        name: oct(each.stat().st_mode & 0o777) for name, each in files.items() if each.stat().st_mode & 0o77 == 0
    } == {"front-proof.conf": "0o600"}
    assert PROOF not in shown
    assert "PUT-THE-PROOF-HERE-(file:secrets/front-proof)" in shown
    assert not [name for name, each in files.items() if PROOF in each.read_text() and name != "front-proof.conf"]


@pytest.mark.parametrize(
    ("registry", "settings", "federation"),
    [
        ("sandbox", {}, "haka-test"),
        ("production", {}, "haka"),
        ("sandbox", {"federation": "haka"}, "haka"),
    ],
)
def test_the_federation_is_that_of_the_registry_unless_it_is_configured(
    tmp_path, hand_out, registry, settings, federation
):
    organisations = {"yliopisto": {"stage": "production" if registry == "production" else "test"}}
    service = {**VARIABLES, "registry": registry}
    path = write_configuration(
        tmp_path / "etc", service=service, organisations=organisations, service_provider=settings
    )

    text = hand_out(path)["shibboleth2.xml"].read_text()

    assert f'url="{FEDERATIONS[federation].metadata}"' in text
    assert f'discoveryURL="{FEDERATIONS[federation].discovery}"' in text
    assert 'entityID="https://orcid-connect.example/shibboleth"' in text


def test_every_address_may_be_another(tmp_path, hand_out):
    settings = {
        "entity_id": "https://x.example/sp?a=1&b=2",
        "metadata_url": "https://md.example/v11.xml",
        "discovery_url": "https://ds.example/?x",
        "metadata_certificate": "/etc/shibboleth/v11.pem",
        "tls_certificate": "/etc/tls/cert.pem",
        "tls_key": "/etc/tls/key.pem",
        "system_user": "connect",
        "http_port": 8080,
        "support_contact": "roles@x.example",
    }
    path = write_configuration(tmp_path / "etc", service=VARIABLES, service_provider=settings)

    files = {name: each.read_text() for name, each in hand_out(path).items()}

    sp = fromstring(files["shibboleth2.xml"])
    (defaults,) = sp.iter("{urn:mace:shibboleth:3.0:native:sp:config}ApplicationDefaults")
    assert defaults.get("entityID") == "https://x.example/sp?a=1&b=2"
    for text in ("https://md.example/v11.xml", "https://ds.example/?x", "/etc/shibboleth/v11.pem", "roles@x.example"):
        assert text in files["shibboleth2.xml"]
    for line in (
        "SSLCertificateFile /etc/tls/cert.pem",
        "SSLCertificateKeyFile /etc/tls/key.pem",
        "*:8080>",
        "user=connect",
    ):
        assert line in files["orcid-connect.conf"]


def test_apache_runs_the_program_that_hands_out(tmp_path, hand_out):
    path = write_configuration(tmp_path / "etc", service={**VARIABLES, "public_url": "https://connect.example:8443"})

    files = {name: each.read_text() for name, each in hand_out(path).items()}

    assert f"python-home={sys.prefix} " in files["orcid-connect.conf"]
    assert "ServerName https://connect.example:8443\n" in files["orcid-connect.conf"]
    assert f'web_application("{path}")' in files["connect.wsgi"]
    assert f"WSGIScriptAlias / {path.parent}/connect.wsgi\n" in files["orcid-connect.conf"]


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        ("https://connect.example", "https://connect.example"),
        ("https://connect.example:8443", "https://connect.example:8443"),
    ],
)
def test_addresses_that_browsers_see_have_a_port_only_where_it_is_unusual(tmp_path, hand_out, public_url, origin):
    path = write_configuration(tmp_path / "etc", service={**VARIABLES, "public_url": public_url})

    files = {name: each.read_text() for name, each in hand_out(path).items()}

    assert f"    Redirect permanent / {origin}/\n" in files["orcid-connect.conf"]
    assert f' handlerURL="{origin}/Shibboleth.sso" ' in files["shibboleth2.xml"]
    assert ":443/" not in "".join(files.values())


def test_every_route_of_a_person_and_no_other_is_told_who_is_signed_in():
    for name in ("apache-mod_wsgi.conf", "apache-proxy.conf"):
        text = (docs.ROOT / "shibboleth/handout/templates/sp" / name).read_text("utf-8")
        (told,) = re.findall(r'<LocationMatch "(.*)">\n        ShibDisable Off\n        AuthType shibboleth\n', text)

        assert {one.path for one in ROUTES if re.search(told, one.path)} == {
            one.path for one in ROUTES if one.access is Access.PERSON
        }


def test_the_metadata_comes_when_the_keys_are_there(tmp_path, hand_out):
    path = write_configuration(tmp_path / "etc", service=VARIABLES)
    before = hand_out(path)
    make_keys(tmp_path)

    after = hand_out(path)

    assert "sp-metadata.xml" not in before
    assert after["sp-metadata.xml"].read_text().count(">MIIBszCCAVmgAw==<") == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"service": {**VARIABLES, "contact": "https://help.example"}}, "add support_contact to [service_provider]"),
        ({"service": VARIABLES, "service_provider": {"tls_key": "/a b"}}, "TLS_KEY: the value has characters"),
    ],
)
def test_invalid_options_are_reported(tmp_path, hand_out, change, said):
    path = write_configuration(tmp_path / "etc", **change)

    assert said in hand_out(path, code=1)


@pytest.mark.parametrize(
    ("listeners", "backends"),
    [
        ({}, ["http://127.0.0.1:8081/v1/", "http://127.0.0.1:8080/"]),
        (SOCKETS, ["unix:/run/orcid-connect/connector.sock|http://localhost/v1/", "unix:/run/orcid-connect/web.sock|"]),
        (
            {"listen": {"host": "::1", "port": 9000}, "connector": {"unix": "/run/other/c.sock"}},
            ["unix:/run/other/c.sock|http://localhost/v1/", "http://[::1]:9000/"],
        ),
    ],
    ids=["the defaults", "sockets", "one of each"],
)
def test_apache_finds_the_servers_wherever_they_listen(tmp_path, hand_out, listeners, backends):
    path = write_configuration(tmp_path / "etc", **{"listen": {}, "connector": {}, **listeners})

    lines = hand_out(path)["orcid-connect.conf"].read_text().splitlines()

    passed = [line.split()[2] for line in lines if line.split()[:2] in (["ProxyPass", "/v1/"], ["ProxyPass", "/"])]
    assert [each.startswith(backend) for each, backend in zip(passed, backends, strict=True)] == [True, True]


def test_the_files_of_an_upgrade_are_those_that_were_installed(tmp_path, hand_out):
    settings = {"federation": "haka", "entity_id": "https://x.example/sp", "support_contact": "roles@x.example"}
    path = write_configuration(tmp_path / "etc", service=VARIABLES, service_provider=settings)
    installed = {name: each.read_text() for name, each in hand_out(path).items()}

    again = {name: each.read_text() for name, each in hand_out(path).items()}

    assert again == installed
    options = {name for each in main.commands["handout"].commands["sp"].params for name in each.opts}
    assert options == {"--hostname", "--keys", "--connector-only", "--output"}


def test_the_registration_names_the_privacy_page_that_the_service_has(tmp_path, hand_out):
    path = write_configuration(tmp_path / "etc", service=VARIABLES)

    assert "https://orcid-connect.example/privacy (in Finnish" in hand_out(path)["registration.txt"].read_text()


def test_a_certificate_may_have_text_around_it_as_openssl_writes_it(tmp_path, hand_out):
    make_keys(tmp_path, f"\ufeffCertificate:\r\n    Version: 3 (0x2)\r\n{CERTIFICATE}\r\n")

    files = hand_out(write_configuration(tmp_path / "etc", service=VARIABLES))

    assert files["sp-metadata.xml"].read_text().count(">MIIBszCCAVmgAw==<") == 2


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", CERTIFICATE * 2]
)
def test_an_invalid_certificate_is_reported(tmp_path, hand_out, text):
    make_keys(tmp_path, text)

    output = hand_out(write_configuration(tmp_path / "etc", service=VARIABLES), code=1)

    assert "does not hold exactly one certificate (PEM)" in output


def test_unreadable_keys_are_reported(tmp_path, hand_out):
    make_keys(tmp_path)
    (tmp_path / "keys" / "sp-encrypt-cert.pem").unlink()
    (tmp_path / "keys" / "sp-encrypt-cert.pem").mkdir()

    assert "Is a directory" in hand_out(write_configuration(tmp_path / "etc", service=VARIABLES), code=1)


def test_the_metadata_has_a_reason_for_each_attribute_in_three_languages():
    text = (docs.ROOT / "shibboleth/handout/templates/sp/registration.txt").read_text("utf-8")
    reasons = re.findall(r"^\S+ +(urn:\S+).*\n  fi  (.+)\n  sv  (.+)\n  en  (.+)$", text, re.MULTILINE)

    asked = {each.saml2_name for each in ATTRIBUTES.values() if each.in_metadata}
    assert {name for name, *_ in reasons} == asked
    assert len({words for _, *three in reasons for words in three}) == 3 * len(asked)
    assert re.findall(r"^\S+ +(urn:\S+) +required$", text, re.MULTILINE) == [ATTRIBUTES["eppn"].saml2_name]


def test_every_template_is_in_a_handout():
    assert {each.name for each in (docs.ROOT / "shibboleth/handout/templates/sp").iterdir()} == {
        file.template for file in FILES
    }
