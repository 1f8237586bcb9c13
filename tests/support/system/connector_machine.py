"""An Apache that serves only the connector.

It is installed from the operator's files.
"""

from __future__ import annotations

import re
import shutil
import socket
import ssl
from contextlib import contextmanager

from shibboleth.handout.render import placeholders, substitute
from shibboleth.orcid_id import Registry
from sql.migrate import migrate
from sql.store import open_store
from tests.support.configuration import ALL_RIGHTS, TOKEN, write_configuration
from tests.support.factories import NOON, make_link, make_orcid_id
from tests.support.ports import free_port
from tests.support.system.federation import make_key
from tests.support.system.machine import Machine, fresh_directory, make_directory
from tests.support.system.stack import SP

HOST = "connector.test"
ASKING = f"Authorization: Bearer {TOKEN}\r\n"


@contextmanager
def connector_machine(venv, install_apps=lambda _machine: None):
    """Run such an Apache and return its port and its machine.

    `install_apps` changes the machine before Apache starts.
    """
    machine = Machine(directory=fresh_directory(), venv=venv)
    port = free_port()
    try:
        machine.make_directories()
        etc, key = (
            make_directory(machine.directory / "etc"),
            make_key(make_directory(machine.directory / "keys"), "connector", HOST),
        )
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
        install_apps(machine)
        machine.start_apache()
        yield port, machine
    finally:
        machine.stop()
        shutil.rmtree(machine.directory, ignore_errors=True)


def _put(name, to, values):
    template = (SP / name).read_text("utf-8")
    to.write_text(substitute(template, {each: values[each] for each in placeholders(template)}), "utf-8")


def _configured(machine, etc):
    url = f"sqlite://{machine.var}/links.db"
    store = open_store(url)
    migrate(store.engine, NOON)
    for number, account in enumerate(("maija@yliopisto.example", "a/b@yliopisto.example"), 7):
        make_link(store, account, make_orcid_id(number, Registry.SANDBOX))
    store.close()
    for each in machine.var.iterdir():
        machine.account.owns(each)
    written = write_configuration(
        etc,
        organisations={"yliopisto": ALL_RIGHTS},
        store={"url": url},
        service={"front": "variables", "front_proof": None},
    )
    for each in (etc / "secrets").iterdir():
        machine.account.owns(each)
    return written


def ask(port, target, *, method="GET", headers=ASKING, after="", host=HOST, source="127.0.0.1"):
    """Send one request through TLS, its target as it stands.

    Gives status, headers and body of the final answer.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0)) as plain,
        context.wrap_socket(plain, server_hostname=host) as wire,
    ):
        wire.sendall(
            f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n{after}".encode("latin-1")
        )
        head, _, body = b"".join(iter(lambda: wire.recv(65536), b"")).partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), body
