"""Real Apache, mod_shib, shibd and SAML federation on loopback.

They are installed from the operator's files.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shibboleth.handout.render import apply_conditions, placeholders, substitute, syntax_of
from tests.support.ports import free_port
from tests.support.system import other_services as neighbours
from tests.support.system.federation import certificate_text, make_key, write_attribute_maps, write_metadata
from tests.support.system.machine import Account, DidNotStart, Machine, fresh_directory, make_directory
from tests.support.system.people import PROVIDERS, IdentityProvider

ROOT = Path(__file__).resolve().parents[3]
SP = ROOT / "shibboleth/handout/templates/sp"
PACKAGES = ("shibboleth", "sql", "resolver_connector", "webapp", "demo", "tests")

FRONTS = {"variables": "apache-mod_wsgi.conf", "proxy": "apache-proxy.conf"}
"""The vhost of each front."""

OPERATORS_MODULES = {
    "variables": ("ssl", "headers", "shib", "wsgi"),
    "proxy": ("ssl", "headers", "shib", "proxy", "proxy_http"),
}
"""What docs/operator/install.md has the operator enable."""

PORTS = """\
Listen {stack.address}:{stack.https_port}
Listen {stack.address}:{stack.http_port}
<IfModule mod_wsgi.c>
    WSGISocketPrefix {stack.run}/wsgi
</IfModule>
"""
"""What is ports.conf; and mod_wsgi's own sockets away from /var/run/apache2, which is root's."""

HOST = "connect.test"

HOST_KEYS = {
    "federation": ("federation",),
    **{each.host: (each.host,) for each in PROVIDERS},
    neighbours.KEY: (neighbours.KEY,),
    "world": ("ds.test", "*.nation.test", *(each.host for each in (*PROVIDERS, *neighbours.SERVICES)), "127.0.0.1"),
}
"""The keys of the world around the front, each with its names: who signs metadata and assertions, and TLS."""


@dataclass(slots=True, kw_only=True)
class Stack(Machine):
    """One front with all that is behind and beside it; started by `running`."""

    front: str
    host: str = HOST
    """Its public name."""
    address: str = "127.0.0.1"
    """Where Apache listens."""
    https_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    idp_port: int = field(default_factory=free_port)
    neighbours_port: int = field(default_factory=free_port)
    """Where other services would be, which the federation knows."""
    providers: tuple[IdentityProvider, ...] = PROVIDERS
    """The federation's Identity Providers."""
    proof: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    @property
    def base_url(self) -> str:
        return f"https://{self.host}:{self.https_port}"

    @property
    def entity_id(self) -> str:
        return f"https://{self.host}/shibboleth"

    @property
    def etc(self) -> Path:
        """What is /etc/orcid-connect on a real machine."""
        return self.directory / "etc"

    @property
    def world_key(self) -> dict[str, str]:
        """The key of all other hosts that a browser visits, ORCID among them."""
        return self.key("world")

    def key(self, name: str) -> dict[str, str]:
        """One of the world's keys."""
        return key_of(self.venv, name)

    @property
    def trusted(self) -> Path:
        """The certificates of all that a browser visits."""
        return self.directory / "keys" / "trusted.pem"

    # Installing

    def install(self) -> None:
        """Install everything as docs/operator/install.md describes."""
        self.make_directories()
        for name in ("etc", "keys"):
            (self.directory / name).mkdir()
        keys = self._make_keys()
        self._install_service_provider()
        self._install_apache()
        self._install_federation(keys)

    def install_as(self, other: Stack) -> None:
        """Install another node of a service, with the same keys."""
        self.make_directories()
        (self.directory / "etc").mkdir()
        shutil.copytree(other.directory / "keys", self.directory / "keys")
        self._install_service_provider(other.directory / "shibboleth")
        self._install_apache()

    def put(self, name: str, to: Path, **values: str) -> None:
        """Fill in one of the operator's files and put it where it goes."""
        template = apply_conditions((SP / name).read_text("utf-8"), {"web-socket", "connector-socket"})
        everything = self._values() | values
        wanted = {each: everything[each] for each in placeholders(template)}
        to.write_text(substitute(template, wanted, syntax_of(name)), "utf-8")

    def put_script(self, name: str, application: str) -> None:
        """Replace connect.wsgi or connector.wsgi by another script."""
        (self.etc / name).write_text(f"from {application} import application\n\n__all__ = ['application']\n", "utf-8")

    def _values(self) -> dict[str, str]:
        keys = self.directory / "keys"
        return {
            "HOSTNAME": self.host,
            "HTTPS_PORT": str(self.https_port),
            "HTTP_PORT": str(self.http_port),
            "BASE_URL": self.base_url,
            "TLS_CERTIFICATE": str(keys / "connect.pem"),
            "TLS_KEY": str(keys / "connect.key"),
            "ETC": str(self.etc),
            "VENV": str(self.venv),
            "VAR": str(self.var),
            "WEB_SOCKET": str(self.run / "web.sock"),
            "CONNECTOR_SOCKET": str(self.run / "connector.sock"),
            "SYSTEM_USER": self.account.user,
            "WEB_THREADS": "64",
            "CONNECTOR_THREADS": "8",
            "CONFIG": str(self.etc / "orcid-connect.toml"),
            "FRONT_PROOF": self.proof,
            "ENTITY_ID": self.entity_id,
            "DISCOVERY_URL": f"https://ds.test:{self.idp_port}/",
            "METADATA_URL": f"https://127.0.0.1:{self.idp_port}/",
            "METADATA_CERTIFICATE": key_of(self.venv, "federation")["certificate"],
            "SUPPORT_CONTACT": "help@connect.test",
            "NAME": "ORCID connect",
        }

    def _make_keys(self) -> dict[str, dict[str, str]]:
        directory = self.directory / "keys"
        # Its key stays ours: Apache reads it before it becomes www-data
        keys = {name: key_of(self.venv, name) for name in HOST_KEYS}
        keys["connect"] = make_key(directory, "connect", self.host)
        certificates = (keys["connect"]["certificate"], self.world_key["certificate"])
        self.trusted.write_text("".join(Path(each).read_text("ascii") for each in certificates))
        return keys

    def _install_service_provider(self, keys: Path | None = None) -> None:
        to = self.install_shibboleth()
        for name in ("shibboleth2.xml", "attribute-map.xml", "attribute-policy.xml", "shibd.logger"):
            self.put(name, to / name)
        self.log_here(to / "shibd.logger")
        for each in (keys or self._service_provider_keys()).glob("sp-*.pem"):
            self.account.owns(shutil.copy(each, to))

    def _service_provider_keys(self) -> Path:
        # Made once for all stacks of this name, since each takes a second of processor time
        directory = self.venv / "world" / self.host
        if not directory.exists():
            directory.mkdir()
            for name in ("sp-signing", "sp-encrypt"):
                self.do("shib-keygen", "-o", directory, "-u", self.account.user, "-g", self.account.group,
                          "-h", self.host, "-e", self.entity_id, "-n", name)  # fmt: skip
        return directory

    def _install_apache(self) -> None:
        to = self.install_apache(*OPERATORS_MODULES[self.front])
        (to / "ports.conf").write_text(PORTS.format(stack=self))
        self.put(FRONTS[self.front], to / "sites-available" / "orcid-connect.conf")
        errors = make_directory(self.etc / "errors")
        for each in SP.glob("error-*.html"):
            self.put(each.name, errors / each.name.removeprefix("error-"))
        if self.front == "variables":
            for script in ("connect.wsgi", "connector.wsgi"):
                self.put(script, self.etc / script)
        else:
            self.put("front-proof.conf", self.etc / "front-proof.conf")
            (self.etc / "front-proof.conf").chmod(0o600)
        self.do("a2ensite", "-q", "orcid-connect")

    def _install_federation(self, keys: Mapping[str, Mapping[str, str]]) -> None:
        directory = make_directory(self.directory / "federation")
        shibboleth = self.directory / "shibboleth"
        self.put(
            "sp-metadata.xml",
            directory / "sp.xml",
            SIGNING_CERTIFICATE=certificate_text(shibboleth / "sp-signing-cert.pem"),
            ENCRYPTION_CERTIFICATE=certificate_text(shibboleth / "sp-encrypt-cert.pem"),
        )
        settings = {
            "port": self.idp_port,
            "providers": [asdict(each) for each in self.providers],
            "keys": keys,
            "attribute_maps": str(write_attribute_maps(directory / "attributes")),
            "sp_metadata": [str(directory / "sp.xml"), *self._metadata_of_neighbours(directory)],
            "sp_entity_id": self.entity_id,
            "tls": self.world_key,
            "acs": f"{self.base_url}/Shibboleth.sso/SAML2/POST",
            "metadata": str(write_metadata(directory, self.providers, keys, self.idp_port)),
            "connector": {"url": self.base_url, "trusted": str(self.trusted)},
        }
        (directory / "settings.json").write_text(json.dumps(settings), "utf-8")

    def _metadata_of_neighbours(self, directory: Path) -> list[str]:
        certificate = Path(key_of(self.venv, neighbours.KEY)["certificate"])
        files = []
        for each in neighbours.SERVICES:
            files.append(directory / f"{each.host}.xml")
            files[-1].write_text(
                neighbours.metadata_of(each, self.neighbours_port, certificate_text(certificate)), "utf-8"
            )
        return [str(each) for each in files]

    # Starting and ending

    def start_federation(self) -> None:
        settings = self.directory / "federation" / "settings.json"
        self.start_ours("idp", "-m", "tests.support.system.identity_providers", str(settings))
        self.wait_for("idp", lambda: "ready" in self.log("idp"))

    def start_backend(self, script: str, socket: str) -> None:
        """Start a process behind the proxy front, with a WSGI script of `etc`."""
        module = "tests.support.system.wsgi_server"
        self.start_ours(socket, "-m", module, str(self.etc / script), str(self.run / socket))
        self.wait_for(socket, lambda: "ready" in self.log(socket))


@contextmanager
def running(front: str, venv: Path, install_apps: Callable[[Stack], None], host: str = HOST) -> Iterator[Stack]:
    """A stack at work, under a public name.

    `install_apps` puts the applications into it before Apache starts.

    Starting is tried twice, since a port may be taken and shibd has been seen to abort; no test is.
    """
    stack = _started(front, venv, install_apps, host, tries=2)
    try:
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(stack.directory, ignore_errors=True)


def _started(front: str, venv: Path, install_apps: Callable[[Stack], None], host: str, tries: int) -> Stack:
    stack = Stack(front=front, host=host, directory=fresh_directory(), venv=venv)
    try:
        stack.install()
        stack.start_federation()
        stack.start_shibd()
        install_apps(stack)
        stack.start_apache()
    except BaseException as failed:
        stack.stop()
        shutil.rmtree(stack.directory, ignore_errors=True)
        if tries == 1 or not isinstance(failed, DidNotStart):
            raise
        return _started(front, venv, install_apps, host, tries - 1)
    return stack


def install_probe(stack: Stack) -> None:
    """Install the probe in a stack instead of both applications."""
    for script, socket in (("connect.wsgi", "web.sock"), ("connector.wsgi", "connector.sock")):
        stack.put_script(script, "tests.support.system.probe")
        if stack.front == "proxy":
            stack.start_backend(script, socket)


@contextmanager
def installed_python() -> Iterator[Path]:
    """Return a virtual environment of Debian's Python, as for mod_wsgi.

    It has this project's packages; stacks may share it.

    The checkout and our own environment may lie in a directory that is closed to others, so it is a copy (of links,
    where the file system allows).
    """
    venv = fresh_directory()
    try:
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", venv], check=True)
        (to,) = venv.glob("lib/python3*/site-packages")
        _copy_packages(to)
        _make_world_keys(venv)
        _trust(to, Path(key_of(venv, "world")["certificate"]))
        yield venv
    finally:
        shutil.rmtree(venv, ignore_errors=True)


def _copy_packages(to: Path) -> None:
    ours = Path(next(each for each in sys.path if each.endswith("site-packages")))
    if ours.parent.name != to.parent.name:
        raise DidNotStart(f"the tests run on {ours.parent.name}, mod_wsgi on {to.parent.name}: use Debian's version")
    unwanted = ("__editable__", "orcid_connect", "__pycache__")
    wanted = [each for each in ours.iterdir() if not each.name.startswith(unwanted)]
    linked = subprocess.run(["cp", "-al", *wanted, to], check=False, capture_output=True)
    if linked.returncode != 0:
        subprocess.run(["cp", "-a", *wanted, to], check=True)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, to / package, ignore=shutil.ignore_patterns("__pycache__"))
    # The stacks' account may not write here: each program would compile what it imports
    compiled = [to / package for package in (*PACKAGES[:-1], "tests/support")]
    subprocess.run(["/usr/bin/python3", "-m", "compileall", "-q", *compiled], check=True)
    subprocess.run(["chmod", "-R", "a+rX", *(to / package for package in PACKAGES)], check=True)


def key_of(venv: Path, name: str) -> dict[str, str]:
    """Give the files of one of the world's keys."""
    return {"key": str(venv / "world" / f"{name}.key"), "certificate": str(venv / "world" / f"{name}.pem")}


def _make_world_keys(venv: Path) -> None:
    directory = make_directory(venv / "world")
    for name, hosts in HOST_KEYS.items():
        make_key(directory, name, *hosts)
        Account.unprivileged().owns(directory / f"{name}.key")


def _trust(packages: Path, certificate: Path) -> None:
    """Add a certificate to those that the environment's Python trusts."""
    known = packages / "certifi" / "cacert.pem"
    text = known.read_text("utf-8") + certificate.read_text("ascii")
    known.unlink()  # it may be one file with that of our own environment
    known.write_text(text, "utf-8")
