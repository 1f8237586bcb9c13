"""A wheel of the last commit runs the whole service without the checkout."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from demo.orcid.app import make_simulator_app
from demo.orcid.simulator import Client, OrcidSimulator
from tests.support import release
from tests.support.configuration import write
from tests.support.federation_metadata import IDP, federation, idp, key_pair, sign
from tests.support.init import arguments
from tests.support.service import CALLBACK, CLIENT_ID, MAIJA, PUBLIC_URL, WebClient, serve_app

ORGANISATION, ACCOUNT = "esimerkki", "maija@esimerkki.example"
SECRET = "s" * 36
HOP_BY_HOP = {"connection", "server", "date", "content-length"}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    return release.build(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def program(archives, tmp_path_factory):
    """Install the wheel alone; libraries are those of the tests."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    pip = [sys.executable, "-m", "pip", "-q", "--python", venv / "bin/python", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, archives[1]], check=True)
    (packages,) = venv.glob("lib/python3*/site-packages")
    # A path in a .pth file leads to libraries, and not to the checkout that the .pth files there name
    (packages / "libraries.pth").write_text(next(each for each in sys.path if each.endswith("site-packages")) + "\n")
    return venv / "bin/orcid-connect"


@pytest.fixture
def run(program, tmp_path):
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*words, text=None, code=0):
        done = subprocess.run(
            [program, *map(str, words)],
            check=False,
            cwd=tmp_path,
            env=environ,
            input=text,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return run


@contextmanager
def started(program, configuration, command):
    """Yield the address of a server."""
    words = [program, "--config", configuration, command]
    process = subprocess.Popen(
        words, cwd=configuration.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        said = process.stdout.readline()
        assert said.startswith("listening on "), process.stderr.read()
        yield urlsplit(said.removeprefix("listening on ").strip())
    finally:
        process.kill()
        process.communicate()


def as_apache(address, proof):
    """Return an application that sends requests to the pages as Apache does."""

    def app(environ, start_response):
        headers = {name: environ[name] for name in ("eppn", "Shib-Identity-Provider") if environ.get(name)}
        headers |= {"X-Front-Proof": proof, "Host": urlsplit(PUBLIC_URL).netloc}
        headers |= {"Cookie": environ["HTTP_COOKIE"]} if environ.get("HTTP_COOKIE") else {}
        headers |= {"Content-Type": environ["CONTENT_TYPE"]} if environ.get("CONTENT_TYPE") else {}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        place = environ["PATH_INFO"] + ("?" + environ["QUERY_STRING"] if environ.get("QUERY_STRING") else "")
        wire = http.client.HTTPConnection(address.netloc, timeout=60)
        wire.request(environ["REQUEST_METHOD"], place, body or None, headers)
        answer = wire.getresponse()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        start_response(f"{answer.status} {answer.reason}", kept)
        content = answer.read()
        wire.close()
        return [content]

    return app


def test_a_wheel_alone_leads_to_the_first_link(tmp_path, program, run):
    simulator = OrcidSimulator("http://127.0.0.1:1", clients=[Client(CLIENT_ID, SECRET, "ORCID connect", (CALLBACK,))])
    metadata = tmp_path / "metadata.xml"
    metadata.write_bytes(sign(federation(idp())))
    write(tmp_path / "federation.pem", key_pair("federation")[1])
    database = f"sqlite://{tmp_path}/links.db"
    options = {"public_url": PUBLIC_URL, "front": "proxy", "database": database}

    run(*arguments(tmp_path / "machine", **options), text=SECRET)
    file = tmp_path / "machine/etc/orcid-connect/orcid-connect.toml"
    with serve_app(make_simulator_app(simulator)) as orcid:
        listeners = file.read_text().replace('unix = "/run/orcid-connect/web.sock"', "port = 0")
        listeners = listeners.replace('unix = "/run/orcid-connect/connector.sock"', "port = 0")
        simulator.base_url = orcid
        file.write_text(listeners.replace("[orcid]\n", f'[orcid]\nbase_url = "{orcid}"\n'))
        config = ("--config", file)
        add = ("organisation", "add", ORGANISATION, "--metadata", metadata, "--entity-id", IDP, "--state", "open")
        run(*config, *add, "--certificate", tmp_path / "federation.pem")
        run(*config, "migrate")
        assert "All checks passed" in run(*config, "check")
        proof = (file.parent / "secrets/front-proof").read_text().strip()
        with started(program, file, "serve") as pages, started(program, file, "connector") as connector:
            maija = WebClient(as_apache(pages, proof), ACCOUNT, IDP)
            maija.link(simulator, MAIJA)
            token = (file.parent / f"secrets/{ORGANISATION}-idp").read_text().strip()
            wire = http.client.HTTPConnection(connector.netloc, timeout=60)
            wire.request("GET", f"/v1/people/{ACCOUNT}", headers={"Authorization": f"Bearer {token}"})
            released = json.loads(wire.getresponse().read())
            wire.close()
        run(*config, "deliver", "--once")

    assert [each.rpartition("/")[2] for each in released["eduPersonOrcid"]] == [MAIJA]
    version = run("--version")
    assert version == f"orcid-connect {release.version()}\n"


def test_the_archives_are_the_same_when_built_again(archives, tmp_path):
    again = release.build(tmp_path)

    assert [each.read_bytes() for each in again] == [each.read_bytes() for each in archives]


def test_the_source_archive_has_what_the_repository_has(archives):
    with tarfile.open(archives[0]) as sdist:
        packed = {name.partition("/")[2] for name in sdist.getnames()}
    listed = subprocess.check_output(["git", "ls-tree", "-r", "--name-only", "HEAD"], cwd=release.ROOT, text=True)

    missing = {each for each in listed.splitlines() if not Path(each).name.startswith(".")} - packed
    assert {each for each in missing if not each.startswith(".")} == set()
