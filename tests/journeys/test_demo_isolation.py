"""The demonstration is no part of the product, and the service trusts no other proxy."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import requests
from setuptools import find_packages
from setuptools.config.setupcfg import read_configuration

from tests.support.processes.demo import running_server
from webapp.config.base import describe_settings
from webapp.config.organisation import OrganisationFile
from webapp.config.service import ServiceFile

ROOT = Path(__file__).parents[2]
PACKAGES = ("shibboleth", "sql", "resolver_connector", "webapp")


def test_the_distribution_has_only_the_product_packages():
    include = read_configuration(ROOT / "setup.cfg", find_others=True)["options"]["packages"]

    assert {each.partition(".")[0] for each in include} == set(PACKAGES)
    assert "demo" in {each.partition(".")[0] for each in find_packages(str(ROOT), include=["demo", "demo.*"])}


def test_no_product_package_imports_the_demonstration():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            named = {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
            named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            assert not {each for each in named if each.partition(".")[0] in {"demo", "tests"}}, path


@pytest.mark.parametrize("model", [ServiceFile, OrganisationFile])
def test_no_setting_is_about_the_demonstration(model):
    def walk(setting):
        yield setting.key
        for each in setting.settings.values():
            yield from walk(each)

    assert not [
        key
        for key in walk(describe_settings(model))
        if any(word in key for word in ("demo", "fake", "simulat", "stand_in"))
    ]


@pytest.fixture
def service_address(demo):
    """The address of a service without a proxy in front."""
    with running_server(demo.directory / "orcid-connect.toml") as address:
        yield address


def test_the_service_rejects_proxies_without_the_proof(service_address, demo):
    forged = {
        "Shib-Identity-Provider": "https%3A//idp.pohjoinen.example/idp/shibboleth",
        "eppn": "maija%40pohjoinen.example",
    }
    proof = (demo.directory / "secrets" / "front-proof").read_text().strip()

    def status(**headers):
        return requests.get(f"{service_address}/me", headers=headers, timeout=60).status_code

    assert status(**forged) == 403
    assert status(**forged, **{"X-Front-Proof": "x" * len(proof)}) == 403
    assert status(**forged, **{"X-Front-Proof": proof}) == 200


@pytest.mark.parametrize("name", ["eppn", "EPPN", "HTTP_EPPN", "Shib-Identity-Provider", "Shib_Identity_Provider"])
def test_the_demo_proxy_drops_attributes_sent_by_clients(demo, name):
    with requests.Session() as client:
        client.post(f"{demo.base_url}/identity-provider", {"person": "piia", "target": "/me"}, timeout=60)
        page = client.get(f"{demo.base_url}/me", headers={name: "maija%40pohjoinen.example"}, timeout=60)

    assert page.status_code == 200
    assert "piia@saaristo.example" in page.text
    assert "maija@pohjoinen.example" not in page.text


def test_the_demo_identity_provider_redirects_only_to_local_paths(demo):
    for target in ("https://elsewhere.example/", "//elsewhere.example/", "/\\elsewhere.example", "http:elsewhere"):
        form = {"person": "piia", "target": target}
        answer = requests.post(f"{demo.base_url}/identity-provider", form, allow_redirects=False, timeout=60)

        assert answer.headers["Location"] == "/me"
