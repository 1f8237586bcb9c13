"""SimpleSAMLphp from Debian as an organisation's IdP.

Our filter is set up as the docs say.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.system.federation import make_key

ROOT = Path(__file__).resolve().parents[3]
DEBIANS = Path("/usr/share/simplesamlphp")
FILTER = ROOT / "docs" / "consumers" / "simplesamlphp" / "OrcidConnect.php"
ENTITY_ID = "https://idp.simplesaml.test/idp"
NAMES = {
    "eduPersonPrincipalName": "urn:oid:1.3.6.1.4.1.5923.1.1.1.6",
    "displayName": "urn:oid:2.16.840.1.113730.3.1.241",
    "eduPersonOrcid": "urn:oid:1.3.6.1.4.1.5923.1.1.1.16",
}


def php(value):
    """Write a value as PHP reads it."""
    return f"json_decode({json.dumps(json.dumps(value)).replace('$', chr(92) + '$')}, true)"


class SimpleSaml:
    """An Identity Provider at which one person is always signed in."""

    def __init__(self, person, services, trusted):
        self.directory = Path(tempfile.mkdtemp(prefix="connect-simplesaml-", dir="/tmp"))
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.metadata = self.directory / "idp.xml"
        self.trusted = trusted
        self._install(person, services)
        self._process = None

    def _install(self, person, services):
        home = self.directory / "simplesamlphp"
        shutil.copytree(DEBIANS, home, ignore=shutil.ignore_patterns("config", "docs"), symlinks=True)
        place = home / "modules" / "orcidconnect" / "lib" / "Auth" / "Process"
        place.mkdir(parents=True)
        shutil.copy(FILTER, place)
        for name in ("config", "metadata", "log", "cert"):
            (self.directory / name).mkdir()
        key = make_key(self.directory / "cert", "idp")
        self._write("config/config.php", "config", self._settings())
        self._write("config/authsources.php", "config", {"someone": {"0": "exampleauth:StaticSource", **person}})
        hosted = {
            "host": "__DEFAULT__",
            "auth": "someone",
            "privatekey": key["key"],
            "certificate": key["certificate"],
            "attributes.NameFormat": "urn:oasis:names:tc:SAML:2.0:attrname-format:uri",
            "authproc": {"90": {"class": "core:AttributeMap", **NAMES}},
        }
        self._write("metadata/saml20-idp-hosted.php", "metadata", {ENTITY_ID: hosted})
        self._write("metadata/saml20-sp-remote.php", "metadata", services)

    def _settings(self):
        return {
            "baseurlpath": f"{self.address}/",
            "loggingdir": f"{self.directory}/log/",
            "logging.handler": "file",
            "logging.level": 7,
            "metadatadir": f"{self.directory}/metadata",
            "tempdir": f"{self.directory}/tmp",
            "secretsalt": os.urandom(16).hex(),
            "auth.adminpassword": os.urandom(16).hex(),
            "technicalcontact_email": "help@simplesaml.test",
            "admin.checkforupdates": False,
            "enable.saml20-idp": True,
            "module.enable": {"exampleauth": True, "orcidconnect": True},
            "session.cookie.secure": False,
            "session.cookie.samesite": None,
            "language.cookie.secure": False,
            "language.cookie.samesite": None,
            "session.phpsession.savepath": f"{self.directory}",
            "store.type": "phpsession",
            "timezone": "UTC",
        }

    def _write(self, name, variable, content):
        (self.directory / name).write_text(f"<?php\n${variable} = {php(content)};\n", "utf-8")

    def start(self):
        """Start it, and write what its metadata says."""
        with (self.directory / "log" / "php.out").open("wb") as out:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "php", "-d", f"openssl.cafile={self.trusted}",
                 "-S", f"127.0.0.1:{self.port}",
                 "-t", str(self.directory / "simplesamlphp" / "www")],
                env={"PATH": "/usr/bin:/bin", "SIMPLESAMLPHP_CONFIG_DIR": str(self.directory / "config")},
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._wait()

    def _wait(self):
        end = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"{self.address}/saml2/idp/metadata.php") as answer:
                    self.metadata.write_bytes(answer.read())
                    return
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError(f"SimpleSAMLphp does not start:\n{self.log()}") from None
                time.sleep(0.05)

    def log(self):
        """Give what it has written."""
        return "\n".join(path.read_text("utf-8", "replace") for path in sorted((self.directory / "log").iterdir()))

    def remove(self):
        """End it, and leave nothing."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
        shutil.rmtree(self.directory)


@contextmanager
def simplesaml(person, services, trusted):
    """Run an IdP that trusts the certificates of one file."""
    one = SimpleSaml(person, services, trusted)
    try:
        one.start()
        yield one
    finally:
        one.remove()
