"""A certificate authority made with openssl.

It issues valid and invalid certificates.
"""

from __future__ import annotations

import ssl
import subprocess
from functools import cached_property
from pathlib import Path


class PrivateCa:
    """Makes certificates in a directory; each is made when it is first asked for."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._issuer("ca")
        self._made = {}

    @property
    def certificate(self):
        """Whom a client has to trust."""
        return self.directory / "ca.pem"

    @cached_property
    def client(self):
        """A client's certificate and key."""
        return self._issue("client", "DNS:connect.example")

    def context(self, how="sound", *, asks_clients=False):
        """Return a server's TLS context with a chosen certificate.

        It is `sound`, `expired`, of the `wrong-name`, or of a `stranger`.
        """
        if how not in self._made:
            names = "DNS:elsewhere.example" if how == "wrong-name" else "IP:127.0.0.1,DNS:localhost"
            if how == "stranger":
                self._issuer("stranger-ca")
            issuer = "stranger-ca" if how == "stranger" else "ca"
            days = "-1" if how == "expired" else "3650"
            self._made[how] = self._issue(how, names, issuer=issuer, days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._made[how])
        if asks_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.certificate)
        return context

    def _issuer(self, name):
        self._key(name)
        self._run(
            "req",
            "-x509",
            "-new",
            "-key",
            f"{name}.key",
            "-out",
            f"{name}.pem",
            "-days",
            "3650",
            "-subj",
            f"/CN={name} of the tests",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        )

    def _issue(self, name, names, issuer="ca", days="3650"):
        self._key(name)
        self._run("req", "-new", "-key", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (self.directory / f"{name}.ext").write_text(f"subjectAltName={names}\nbasicConstraints=CA:false\n")
        self._run(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            f"{issuer}.pem",
            "-CAkey",
            f"{issuer}.key",
            "-CAcreateserial",
            "-days",
            days,
            "-extfile",
            f"{name}.ext",
            "-out",
            f"{name}.pem",
        )
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"

    def _key(self, name):
        self._run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")

    def _run(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)
