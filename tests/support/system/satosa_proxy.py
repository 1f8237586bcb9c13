"""SATOSA, a SAML proxy from PyPI, with our micro service.

It is set up as its page in the docs says.

Started as `python -m tests.support.system.satosa_proxy SETTINGS.json`: SATOSA's own settings, and the port.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import waitress

from tests.support.system.federation import make_key

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ROOT / "docs" / "consumers" / "satosa"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
LOGGING = {
    "version": 1,
    "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["out"]},
}
READY = "SATOSA takes connections"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"


def _before(base, saml, downstream):
    """Its side towards the services, where it is an Identity Provider."""
    return {
        "module": "satosa.frontends.saml2.SAMLFrontend",
        "name": "Front",
        "config": {
            "idp_config": {
                **saml,
                "entityid": f"{base}/Front/idp",
                "metadata": {"local": [str(downstream)]},
                "service": {
                    "idp": {
                        "endpoints": {"single_sign_on_service": []},
                        "name_id_format": [TRANSIENT],
                        "policy": {"default": {"fail_on_missing_requested": False}},
                    }
                },
            },
            "endpoints": {"single_sign_on_service": {REDIRECT: "sso/redirect"}},
        },
    }


def _behind(base, saml, upstream):
    """Its side towards the Identity Provider, where it is a service."""
    return {
        "module": "satosa.backends.saml2.SAMLBackend",
        "name": "Back",
        "config": {
            "sp_config": {
                **saml,
                "entityid": f"{base}/Back/sp",
                "metadata": {"local": [str(upstream)]},
                "service": {
                    "sp": {
                        "endpoints": {"assertion_consumer_service": [[f"{base}/Back/acs/post", POST]]},
                        "allow_unsolicited": False,
                        "want_response_signed": False,
                        "want_assertions_or_response_signed": True,
                    }
                },
            }
        },
    }


def settings_of(directory, port, upstream, downstream, service):
    """Return SATOSA's settings with our micro service."""
    base, key = f"http://127.0.0.1:{port}", make_key(directory, "satosa")
    saml = {"key_file": key["key"], "cert_file": key["certificate"], "xmlsec_binary": "/usr/bin/xmlsec1"}
    return {
        "port": port,
        "satosa": {
            "BASE": base,
            "COOKIE_STATE_NAME": "satosa",
            "STATE_ENCRYPTION_KEY": "k" * 32,
            "CUSTOM_PLUGIN_MODULE_PATHS": [str(SERVICES)],
            "INTERNAL_ATTRIBUTES": {
                "attributes": {
                    "eppn": {"saml": ["eduPersonPrincipalName"]},
                    "displayname": {"saml": ["displayName"]},
                    "orcid": {"saml": ["eduPersonOrcid"]},
                },
                "user_id_from_attrs": ["eppn"],
            },
            "FRONTEND_MODULES": [_before(base, saml, downstream)],
            "BACKEND_MODULES": [_behind(base, saml, upstream)],
            "MICRO_SERVICES": [service],
            "LOGGING": LOGGING,
        },
    }


@contextmanager
def satosa(upstream, downstream, service, port, trusted):
    """Give a proxy's certificate and log while it works.

    `upstream` and `downstream` are files of metadata.

    It trusts the certificates of one file, `trusted`.
    """
    with tempfile.TemporaryDirectory(prefix="connect-satosa-", dir="/tmp") as name:
        directory = Path(name)
        settings = directory / "settings.json"
        settings.write_text(json.dumps(settings_of(directory, port, upstream, downstream, service)), "utf-8")
        with (directory / "out").open("wb") as out:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", sys.executable, "-W", "ignore", "-m", __name__, str(settings)],
                cwd=ROOT, env=os.environ | {"SSL_CERT_FILE": str(trusted)},
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            _wait(process, port, directory / "out")
            yield directory / "satosa.pem", directory / "out"
        finally:
            process.terminate()
            process.wait(60)


def _wait(process, port, out):
    end = time.monotonic() + 60
    while READY not in out.read_text("utf-8", "replace").split("\n"):
        if time.monotonic() > end or process.poll() is not None:
            raise RuntimeError(f"SATOSA does not start:\n{out.read_text('utf-8', 'replace')}")
        time.sleep(0.05)
    with suppress(OSError):
        urlopen(f"http://127.0.0.1:{port}/").close()


def main(path):
    """Serve until the process is ended."""
    from satosa.proxy_server import make_app  # noqa: PLC0415 - the tests themselves need not load it
    from satosa.satosa_config import SATOSAConfig  # noqa: PLC0415

    settings = json.loads(Path(path).read_text("utf-8"))
    server = waitress.create_server(make_app(SATOSAConfig(settings["satosa"])), host="127.0.0.1", port=settings["port"])
    print(READY, flush=True)  # noqa: T201 - for who started it
    server.run()


if __name__ == "__main__":
    main(sys.argv[1])
