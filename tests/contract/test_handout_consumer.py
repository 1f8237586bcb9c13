"""What another service is handed to read the iD works in the software that it is for."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import time
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import satosa.internal
import yaml
from click.testing import CliRunner
from defusedxml.ElementTree import fromstring, tostring
from satosa.micro_services.attribute_modifications import FilterAttributeValues

from shibboleth.attributes import ATTRIBUTES
from shibboleth.handout.consumer import FILES, Consumer, consumer_files
from shibboleth.orcid_id import Registry
from tests.support import docs
from tests.support.configuration import write_configuration
from tests.support.http_server import drips, drips_headers, hangs, head, serving
from tests.support.service import serve_app
from webapp.cli.main import main

SAMLS = "/usr/share/simplesamlphp/lib/_autoload.php"
URI = "https://orcid.org/0000-0002-1825-0097"
ENDS_IN_X = "https://orcid.org/0000-0002-1694-233X"
GOOD = [URI, ENDS_IN_X]
BAD = [
    *("", "0000-0002-1825-0097", URI.replace("https", "http"), URI.upper(), f" {URI}", f"{URI} ", f"{URI}\n"),
    *(f"x\n{URI}", f"{URI}/", f"{URI}?x", URI.replace("orcid.org", "orcidXorg"), "javascript:alert(1)"),
    *(URI.replace("https://", "https://sandbox."), URI[:-1], f"{URI}1", f"{URI};{ENDS_IN_X}", "<b>", f"{URI}\n{URI}"),
    ENDS_IN_X.replace("X", "x"),
]


def handed(consumer, registry=Registry.PRODUCTION):
    return {each.path: each.text for each in consumer_files(consumer, registry)}


@pytest.mark.parametrize("consumer", Consumer)
def test_the_command_writes_the_files_named_in_its_readme(tmp_path, consumer):
    path = write_configuration(tmp_path / "etc")
    words = [
        "--config",
        str(path),
        "handout",
        "consumer",
        "--software",
        str(consumer),
        "--output",
        str(tmp_path / "out"),
    ]

    done = CliRunner().invoke(main, words, catch_exceptions=False)

    written = {each.name: each.read_text("utf-8") for each in (tmp_path / "out").iterdir()}
    assert done.exit_code == 0
    assert written == handed(consumer, Registry.SANDBOX)
    assert all(name in written["README.txt"] for name in written.keys() - {"README.txt"})
    assert "https://sandbox.orcid.org/" in written["README.txt"]
    assert len(re.findall(r"^    (?:fi|sv|en)  \S", written["README.txt"], re.MULTILINE)) == 3


def test_every_template_is_in_a_handout():
    folder = docs.ROOT / "shibboleth/handout/templates/consumer"

    assert {each.name for each in folder.iterdir()} == {file.template for file in FILES}


def test_a_shibboleth_sp_reads_the_attribute_like_our_own():
    ours = fromstring((docs.ROOT / "shibboleth/handout/templates/sp/attribute-map.xml").read_text("utf-8"))
    theirs = fromstring(handed(Consumer.SHIBBOLETH)["attribute-map.xml"])

    def lines(tree):
        return [tostring(each, encoding="unicode").split() for each in tree if each.get("id") == "eduPersonOrcid"]

    assert lines(theirs) == lines(ours)
    assert len(lines(theirs)) == 2


def test_the_metadata_asks_for_it_by_its_name():
    asked = fromstring(handed(Consumer.SHIBBOLETH)["requested-attribute.xml"])

    assert asked.get("Name") == ATTRIBUTES["eduPersonOrcid"].saml2_name
    assert asked.get("isRequired") is None


def test_the_rule_of_a_shibboleth_sp_knows_an_id():
    (pattern,) = re.findall(r'regex="([^"]+)"', handed(Consumer.SHIBBOLETH)["attribute-policy.xml"])

    # mod_shib reads it as a schema does, whose $ is the very end
    assert [each for each in [*GOOD, *BAD] if re.search(pattern.replace("$", r"\Z"), each)] == GOOD


def test_simplesamlphp_drops_invalid_ids(tmp_path):
    text = handed(Consumer.SIMPLESAMLPHP)["authproc.php"]
    (tmp_path / "authproc.php").write_text(text, "utf-8")
    program = f"""
        require "{SAMLS}";
        $filters = require "{tmp_path}/authproc.php";
        $request = ["Attributes" => json_decode(stream_get_contents(STDIN), true)];
        foreach ([20 => "AttributeAlter", 30 => "PHP"] as $number => $name) {{
            $config = $filters[$number];
            unset($config["class"]);
            $class = "\\SimpleSAML\\Module\\core\\Auth\\Process\\\\" . $name;
            (new $class($config, null))->process($request);
        }}
        echo json_encode($request["Attributes"]);
    """
    said = {"eduPersonOrcid": [*GOOD, *BAD, *GOOD], "mail": ["x", "x"]}

    done = subprocess.run(
        ["php", "-r", program], input=json.dumps(said), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads(done.stdout)
    assert kept == {"eduPersonOrcid": GOOD, "mail": ["x", "x"]}


def test_satosa_drops_invalid_ids_and_offers_an_openid_claim():
    files = handed(Consumer.SATOSA)
    service = yaml.safe_load(files["orcid_filter.yaml"])
    names = yaml.safe_load(files["internal_attributes.yaml"])["attributes"]["edupersonorcid"]
    data = satosa.internal.InternalData(
        auth_info=satosa.internal.AuthenticationInformation(issuer="https://idp.example"),
        requester="https://sp.example",
        attributes={"edupersonorcid": [*GOOD, *BAD], "mail": ["x"]},
    )
    filter_ = FilterAttributeValues(config=service["config"], name=service["name"], base_url="https://proxy.example")
    filter_.next = lambda _context, result: result

    result = filter_.process(SimpleNamespace(), data)

    assert service["module"] == f"{FilterAttributeValues.__module__}.{FilterAttributeValues.__name__}"
    assert result.attributes == {"edupersonorcid": GOOD, "mail": ["x"]}
    assert names == {"saml": ["eduPersonOrcid"], "openid": ["eduperson_orcid"]}


def test_a_claim_is_asked_for_as_openid_connect_says():
    asked = json.loads(handed(Consumer.OIDC)["oidc-claims.json"])

    assert set(asked) == {"userinfo", "id_token"}
    assert all(set(names) == {"eduperson_orcid", "orcid"} for names in asked.values())


PAGE = (docs.DOCS / "service-provider.md").read_text("utf-8")


def shown():
    """Give what the page shows of each file."""
    for kind, content in docs.kinds(PAGE):
        _, _, name = kind.partition(" ")
        if name:
            yield pytest.param(name, content, id=name)


@pytest.mark.parametrize(("name", "content"), [*shown()])
def test_the_page_shows_the_lines_that_are_handed_out(name, content):
    files = {path: text for consumer in Consumer for path, text in handed(consumer).items()}

    def plain(text):
        return [line.strip() for line in text.splitlines() if line.strip()]

    lines = plain(files[name])
    first = lines.index(plain(content)[0])
    assert lines[first : first + len(plain(content))] == plain(content)


def test_the_page_shows_every_file_and_gives_the_same_reasons():
    names = {path for consumer in Consumer for path in handed(consumer)}
    reasons = re.findall(r"^    (fi|sv|en)  (.+)$", handed(Consumer.OIDC)["README.txt"], re.MULTILINE)

    assert {each.values[0] for each in shown()} == names - {"README.txt"}
    assert all(f"| {language} | {words} |" in PAGE for language, words in reasons)


EQUAL = [
    *("Maija@yliopisto.example", "maija@yliopisto.example"),
    *("\xc4yr\xe4s@yliopisto.example", "a\u0308yra\u0308s@yliopisto.example"),
]


@pytest.mark.parametrize("values", [EQUAL[:1], EQUAL[:2], EQUAL[2:], EQUAL[1:3], [], [7], [""]], ids=ascii)
def test_a_filter_asks_once_for_equal_values_and_never_for_different_ones(tmp_path, values):
    expected = [f"/v1/people/{quote(values[0], safe='')}"] if values in (EQUAL[:1], EQUAL[:2], EQUAL[2:]) else []
    (tmp_path / "token").write_text("t" * 40)

    for asks in (ask_in_php, ask_in_satosa):
        with requests_to_a_connector() as (url, paths):
            asks(url, tmp_path / "token", values)
        assert paths == expected, asks


@contextmanager
def requests_to_a_connector():
    """Give the address of a connector, and the paths that are asked of it."""
    paths = []

    def answer(environ, start_response):
        paths.append(quote(environ["PATH_INFO"].encode("latin-1"), safe="/"))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "22")])
        return [b'{"eduPersonOrcid": []}']

    with serve_app(answer) as url:
        yield url, paths


def ask_in_php(url, token, values, /, **options):
    """Sign in at SimpleSAMLphp with these options of the filter; gives the attributes, seconds and the log."""
    php = docs.DOCS / "consumers" / "simplesamlphp" / "OrcidConnect.php"
    program = f"""
        require "{SAMLS}";
        require "{php}";
        [$config, $attributes] = json_decode(stream_get_contents(STDIN), true);
        $request = ["Attributes" => $attributes];
        $began = microtime(true);
        (new \\SimpleSAML\\Module\\orcidconnect\\Auth\\Process\\OrcidConnect($config, null))->process($request);
        echo json_encode([$request["Attributes"], microtime(true) - $began]);
    """
    config = {"url": url, "tokenFile": str(token), **options}
    said = [{name: each for name, each in config.items() if each is not None}, {"eduPersonPrincipalName": values}]
    done = subprocess.run(
        ["php", "-r", program], input=json.dumps(said), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    attributes, seconds = json.loads(done.stdout)
    return attributes.get("eduPersonOrcid"), seconds


def ask_in_satosa(url, token, values, /, **options):
    """Sign in through SATOSA, likewise."""
    module = runpy.run_path(str(docs.DOCS / "consumers" / "satosa" / "orcid_connect.py"))
    config = {"url": url, "token_file": str(token), **options}
    config["token_file"] = config.pop("tokenFile", config["token_file"])
    config = {name: each for name, each in config.items() if each is not None}
    service = module["OrcidConnect"](config, name="OrcidConnect", base_url="https://proxy.example")
    service.next = lambda _context, result: result
    attributes, began = {"eppn": values}, time.monotonic()
    service.process(SimpleNamespace(), SimpleNamespace(attributes=attributes))
    return attributes.get("orcid"), time.monotonic() - began


def answers(request):
    content = json.dumps({"eduPersonOrcid": [URI]}).encode()
    head(request, length=len(content))
    request.wfile.write(content)


@pytest.mark.parametrize("asks", [ask_in_php, ask_in_satosa])
def test_a_filter_gives_up_a_slow_connector(tmp_path, asks):
    (tmp_path / "token").write_text("t" * 40)

    came = {}
    for behave in (answers, drips, hangs):
        with serving(behave) as (url, _asked):
            came[behave.__name__] = asks(url, tmp_path / "token", EQUAL[:1], timeout=1)

    assert {name: found for name, (found, _) in came.items()} == {"answers": [URI], "drips": None, "hangs": None}
    assert {name for name, (_, seconds) in came.items() if seconds > 3} == set(), came


def test_satosa_waits_no_longer_for_headers_than_for_a_body(tmp_path):
    (tmp_path / "token").write_text("t" * 40)

    with serving(drips_headers) as (url, _asked):
        found, seconds = ask_in_satosa(url, tmp_path / "token", EQUAL[:1], timeout=1)

    assert (found, seconds < 3) == (None, True)


BROKEN = (
    *({"url": None}, {"url": ""}, {"url": 7}, {"url": "no address"}, {"tokenFile": None}, {"tokenFile": ""}),
    *({"tokenFile": "/nowhere"}, {"tokenFile": "/"}, {"timeout": "x"}, {"timeout": 0}, {"timeout": []}),
    *({"person": ""}, {"person": []}, {"target": []}),
)
"""Options of a filter that are missing, empty or of another kind."""


def test_a_missing_or_invalid_option_fails_no_sign_in(tmp_path):
    (tmp_path / "token").write_text("t" * 40)

    with serving(answers) as (url, _asked):
        for asks in (ask_in_php, ask_in_satosa):
            came = [asks(url, tmp_path / "token", EQUAL[:1], **options)[0] for options in BROKEN]
            assert came == [None] * len(BROKEN)
