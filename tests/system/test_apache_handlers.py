"""What other modules and packages add to Apache answers nobody through our virtual hosts, wherever they come from."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import requests

from tests.support import docs
from tests.support.ports import free_port
from tests.support.system.client import RawClient
from tests.support.system.connector_machine import HOST, connector_machine
from tests.support.system.connector_machine import ask as ask_connector
from tests.support.system.machine import Machine
from tests.support.system.stack import FRONTS, Stack, install_probe, running

MODULES = ("status", "info", "ldap", "userdir", "cgid", "proxy", "proxy_balancer", "lbmethod_byrequests", "autoindex")
"""Debian's, each with the configuration that it brings."""
CONFIGURATIONS = ("serve-cgi-bin", "localized-error-pages")
MARK = "this belongs to another package"

ANOTHER_PACKAGE = f"""
Alias /javascript {{files}}
Alias /.well-known {{files}}
Alias /help/more {{files}}
ScriptAlias /cgi-bin/ {{files}}/
<Directory {{files}}>
    Options +Indexes +ExecCGI
    Require all granted
</Directory>
<Location /balancer-manager>
    SetHandler balancer-manager
    Require all granted
</Location>
<FilesMatch "[.](php|html|cgi)$">
    SetHandler server-status
</FilesMatch>
# {MARK}
"""
"""What a package may put into conf-enabled, with things that are open by themselves."""

PATHS = (
    *("/server-status", "/server-status?auto", "/server-info", "/ldap-status", "/balancer-manager", "/SERVER-STATUS"),
    *("//server-status", "/errors/../server-status", "/v1/../server-status", "/server-status/x", "/%73erver-status"),
    *("/icons/", "/icons/a.gif", "/javascript/", "/javascript/file.txt", "/cgi-bin/", "/cgi-bin/file.py"),
    *("/.well-known/file.txt", "/help/more/file.txt", "/file.php", "/index.html", "/~root/", "/~www-data/file.txt"),
    *("/shibboleth-sp/main.css", "/shibboleth-sp/server-status", "/Shibboleth.sso/server-status", "/errors/"),
    *("/errors/nothing", "/manual/", "/doc/"),
)

ANSWERING = ("/server-status", "/server-info", "/ldap-status", "/balancer-manager", "/.well-known/file.txt",
             "/javascript/", "/icons/a.gif")  # fmt: skip
"""Where they answer in a virtual host that closes nothing."""

SIGNS = (MARK, "Apache Server Status", "Scoreboard", "Apache Server Information", "LDAP Cache", "Load Balancer",
         "Index of", "GIF89a", "font-family: verdana")  # fmt: skip
"""Words of each of them: the last two are of /icons/a.gif and of the style sheet that mod_shib brings."""


def elsewhere() -> str:
    """Give an address of this machine that is not on loopback: from there Apache takes nobody for local."""
    said = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    address = next((each for each in said if "." in each), "")
    assert address, "this machine has no address but loopback"
    return address


def add_another_package(machine: Machine) -> None:
    """Enable what Debian brings and what another package might."""
    files = machine.directory / "other"
    files.mkdir()
    (files / "file.txt").write_text(MARK)
    (files / "file.py").write_text(f"#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n{MARK}'\n")
    (files / "file.py").chmod(0o755)
    machine.do("a2enmod", "-q", *MODULES)
    # Which turns TRACE off in the whole server
    machine.do("a2disconf", "-q", "security")
    machine.do("a2enconf", "-q", *CONFIGURATIONS)
    enabled = machine.directory / "apache2" / "conf-enabled" / "another-package.conf"
    enabled.write_text(ANOTHER_PACKAGE.format(files=files))


def add_authority(stack: Stack) -> None:
    """Put the attribute authority beside the connector, as its page says."""
    page = (docs.DOCS / "attribute-authority.md").read_text("utf-8")
    proxied, location = re.findall("^   ```apache\n(.*?)^   ```", page, re.MULTILINE | re.DOTALL)
    stack.put_script("authority.wsgi", "tests.support.system.probe")
    stack.start_backend("authority.wsgi", "authority.sock")
    stack.do("a2enmod", "-q", "proxy", "proxy_http")
    site = stack.directory / "apache2" / "sites-available" / "orcid-connect.conf"
    before, mark, after = re.split(r"(?m)^(    (?:ProxyPass|WSGIScriptAlias) /v1)", site.read_text("utf-8"))
    after, closing, _ = after.rpartition("</VirtualHost>")
    site.write_text(before + proxied.replace("/run/orcid-connect", str(stack.run)) + mark + after + location + closing)


@pytest.fixture(scope="module", params=[*FRONTS, "connector"])
def ask(request, venv):
    """Ask each front beside another package; gives status and text."""
    if request.param == "connector":
        with connector_machine(venv, add_another_package) as (port, _):

            def ask(path, source="127.0.0.1", host=HOST, **how):
                status, _, body = ask_connector(port, path, source=source, host=host, **how)
                return status, body.decode("utf-8", "replace")

            yield ask
        return

    def install_apps(stack):
        install_probe(stack)
        add_another_package(stack)
        add_authority(stack)

    with running(request.param, venv, install_apps) as stack:

        def ask(path, source="127.0.0.1", host="", **how):
            named = {"greeting": host} if host else {}
            answer = RawClient(stack).ask(path, [("Host", host)] if host else [], source=source, **named, **how)
            return answer.status, answer.text

        yield ask


@pytest.mark.parametrize("near", [True, False], ids=["from the machine itself", "from elsewhere"])
def test_what_other_packages_add_answers_nobody(ask, near):
    source = "127.0.0.1" if near else elsewhere()

    answers = {path: ask(path, source) for path in PATHS}
    answers |= {f"{path} of another host": ask(path, source, host="evil.example") for path in PATHS}

    assert {path: text for path, (_, text) in answers.items() if any(sign in text for sign in SIGNS)} == {}
    ours = {path: status for path, (status, text) in answers.items() if not text.startswith('{"environ"')}
    assert {path: status for path, status in ours.items() if status not in {403, 404, 500}} == {}


@pytest.mark.parametrize("host", ["", "evil.example"])
def test_no_virtual_host_sends_a_request_back(ask, host):
    status, text = ask("/", method="TRACE", **({"host": host} if host else {}))

    assert status in {403, 405}
    assert "TRACE / HTTP" not in text


def test_the_authority_is_reached_beside_the_connector_and_is_not_told_the_proof(ask):
    status, text = ask("/aa")

    if text.startswith('{"environ"'):
        environ = json.loads(text)["environ"]
        assert environ["SERVER_PORT"].endswith("authority.sock")
        assert "HTTP_X_FRONT_PROOF" not in environ
    else:
        assert status == 403  # of the connector's own machine


def test_the_signs_are_those_of_what_is_enabled(venv):
    """Without our virtual hosts these files do answer, so that the test above would see them."""
    port = free_port()
    with connector_machine(venv, lambda machine: _with_an_open_site(machine, port)):
        said = {path: requests.get(f"http://127.0.0.1:{port}{path}", timeout=20).text for path in ANSWERING}

    assert {path for path, text in said.items() if not [sign for sign in SIGNS if sign in text]} == set()


def _with_an_open_site(machine: Machine, port: int) -> None:
    add_another_package(machine)
    site = machine.directory / "apache2" / "conf-enabled" / "open.conf"
    site.write_text(f"Listen 127.0.0.1:{port}\n<VirtualHost *:{port}>\n</VirtualHost>\n")
