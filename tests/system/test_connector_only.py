"""The connector alone in a real Apache, from the operator's file for a machine that serves no pages."""

from __future__ import annotations

import json
import re
import resource
import shutil
import socket
import ssl
from contextlib import ExitStack, contextmanager

import pytest

from shibboleth.handout.render import fill, placeholders
from shibboleth.orcid_id import Registry
from sql.migrate import migrate
from sql.store import open_store
from tests.support.configuration import TOKEN, write_configuration
from tests.support.factories import NOON, make_link, make_orcid_id
from tests.support.system.federation import make_key
from tests.support.system.machine import Machine, fresh_directory, made
from tests.support.ports import free_port
from tests.support.system.stack import SP

HOST = "connector.test"
SLOW = 1000


@contextmanager
def connector_machine(venv, furnish=lambda _machine: None):
    """Give the port of an Apache with nothing but the connector in it, and its machine.

    `furnish` changes the machine before Apache starts.
    """
    machine = Machine(directory=fresh_directory(), venv=venv)
    port = free_port()
    try:
        machine.make_directories()
        etc, key = made(machine.directory / "etc"), make_key(made(machine.directory / "keys"), "connector", HOST)
        configuration = _configured(machine, etc)
        values = {
            "HOSTNAME": HOST,
            "HTTPS_PORT": str(port),
            "TLS_CERTIFICATE": key["certificate"],
            "TLS_KEY": key["key"],
            "ETC": str(etc),
            "VENV": str(venv),
            "VAR": str(machine.var),
            "SYSTEM_USER": machine.account.user,
            "CONNECTOR_THREADS": "8",
            "CONFIG": str(configuration),
        }
        (modules,) = re.findall(r"^# Modules: a2enmod (.*)$", (SP / "apache-connector.conf").read_text(), re.MULTILINE)
        to = machine.install_apache(*modules.split())
        (to / "conf-enabled" / "shib.conf").unlink()  # comes with mod_shib, which such a machine has not
        (to / "ports.conf").write_text(f"Listen 127.0.0.1:{port}\nWSGISocketPrefix {machine.run}/wsgi\n")
        _put("apache-connector.conf", to / "sites-available" / "orcid-connect.conf", values)
        _put("connector.wsgi", etc / "connector.wsgi", values)
        machine.do("a2ensite", "-q", "orcid-connect")
        furnish(machine)
        machine.start_apache()
        yield port, machine
    finally:
        machine.stop()
        shutil.rmtree(machine.directory, ignore_errors=True)


def _put(name, to, values):
    template = (SP / name).read_text("utf-8")
    to.write_text(fill(template, {each: values[each] for each in placeholders(template)}), "utf-8")


def _configured(machine, etc):
    url = f"sqlite://{machine.var}/links.db"
    store = open_store(url)
    migrate(store.engine, NOON)
    for number, account in enumerate(("maija@yliopisto.example", "a/b@yliopisto.example"), 7):
        make_link(store, account, make_orcid_id(number, Registry.SANDBOX))
    store.disconnect()
    for each in machine.var.iterdir():
        machine.account.owns(each)
    written = write_configuration(etc, store={"url": url}, service={"front": "variables", "front_proof": None})
    for each in (etc / "secrets").iterdir():
        machine.account.owns(each)
    return written


@pytest.fixture(scope="module")
def port(venv):
    with connector_machine(venv) as (port, _):
        yield port


def ask(port, target, *, method="GET", headers=f"Authorization: Bearer {TOKEN}\r\n", host=HOST, source="127.0.0.1"):
    """Send one request through TLS, its target as it stands; gives status, headers and body."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0)) as plain,
        context.wrap_socket(plain, server_hostname=host) as wire,
    ):
        wire.sendall(
            f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n".encode("latin-1")
        )
        head, _, body = b"".join(iter(lambda: wire.recv(65536), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), body


def test_an_identity_provider_gets_the_id(port):
    status, head, body = ask(port, "/v1/people/maija%40yliopisto.example")

    assert (status, json.loads(body)) == (200, {"eduPersonOrcid": [make_orcid_id(7, Registry.SANDBOX).uri]})
    assert f"\r\nContent-Length: {len(body)}\r\n" in head
    assert "\r\nContent-Type: application/json" in head


def test_a_slash_in_an_account_arrives_as_it_was_sent(port):
    _, _, body = ask(port, "/v1/people/a%2Fb%40yliopisto.example")

    assert json.loads(body) == {"eduPersonOrcid": [make_orcid_id(8, Registry.SANDBOX).uri]}


@pytest.mark.parametrize(
    ("target", "words", "expected"),
    [
        ("/v1/people/x", {"headers": ""}, 401),
        ("/v1/people/x", {"method": "HEAD"}, 200),
        ("/v1/people/x", {"method": "OPTIONS"}, 405),
        ("/v1/people/" + "x" * 10_240, {}, 414),
        ("/v1/people/a\0b", {}, 400),
        ("/v1/people/a%00b", {}, 404),
        ("/v1/people/%FF%FE", {}, 400),
        ("/v1/people/%zz", {}, 400),
        ("/v1/people/../health", {}, 200),
        ("/v1/health", {}, 200),
        ("/", {}, 403),
        ("/v1/people/x", {"host": "another.test"}, 403),
    ],
)
def test_what_is_strange_gets_what_is_documented(port, target, words, expected):
    assert ask(port, target, **words)[0] == expected


def test_a_thousand_slow_clients_keep_nobody_else_out(port):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, SLOW + 500), hard), hard))
    with ExitStack() as stack:
        for _ in range(SLOW):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)).sendall(b"\x16")

        assert [ask(port, "/v1/people/x")[0] for _ in range(10)] == [200] * 10
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
