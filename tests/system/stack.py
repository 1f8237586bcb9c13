"""The real front on loopback: Apache, mod_shib, shibd and a SAML federation, installed from the operator's own files.

A stack lies whole under one fresh directory of /tmp and needs neither systemd nor DNS. Run as root, everything but
Apache's first process runs as www-data; run by anybody else, everything runs as that account.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from shibboleth.handout import fill, placeholders
from tests.system.federation import make_key, one_line, write_attribute_maps, write_metadata
from tests.system.people import PROVIDERS
from tests.system.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SP = ROOT / "shibboleth" / "sp"
PACKAGES = ("shibboleth", "sql", "resolver_connector", "webapp", "demo", "tests")

FRONTS = {"variables": "apache-mod_wsgi.conf", "proxy": "apache-proxy.conf"}
"""The vhost of each front."""

DEBIANS_MODULES = [
    "mpm_event",
    "access_compat",
    "alias",
    "auth_basic",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_host",
    "authz_user",
    "autoindex",
    "deflate",
    "dir",
    "env",
    "filter",
    "mime",
    "negotiation",
    "reqtimeout",
    "setenvif",
    "status",
]
"""What Debian's apache2 has enabled before anybody touches it."""
OPERATORS_MODULES = {
    "variables": ("ssl", "headers", "shib", "wsgi"),
    "proxy": ("ssl", "headers", "shib", "proxy", "proxy_http"),
}
"""What docs/operator.md has the operator enable."""

PORTS = """\
Listen 127.0.0.1:{stack.https_port}
Listen 127.0.0.1:{stack.http_port}
<IfModule mod_wsgi.c>
    WSGISocketPrefix {stack.run}/wsgi
</IfModule>
"""
"""What is ports.conf; and mod_wsgi's own sockets away from /var/run/apache2, which is root's."""

HOST = "connect.test"
PATIENCE = 60.0
"""Seconds until a program that has not come up is given up."""

WORLD = {
    "federation": ("federation",),
    **{each.host: (each.host,) for each in PROVIDERS},
    "world": ("ds.test", *(each.host for each in PROVIDERS), "127.0.0.1"),
}
"""The keys of the world around the front, each with its names: who signs metadata and assertions, and TLS."""


class DidNotStart(RuntimeError):
    """A program ended, or was silent too long, before it was ready; holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Account:
    """As whom the programs run."""

    user: str
    group: str

    @classmethod
    def unprivileged(cls) -> Account:
        """www-data when we are root, else whoever we are."""
        if os.geteuid() == 0:
            return cls("www-data", "www-data")
        return cls(pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name)

    def becoming(self) -> list[str]:
        """The words before a command that make it run as this account and end with us."""
        ends_with_us = ["setpriv", "--pdeathsig", "TERM"]
        if os.geteuid() != 0:
            return ends_with_us
        return [*ends_with_us, "--reuid", self.user, "--regid", self.group, "--init-groups"]

    def owns(self, path: Path) -> Path:
        """Hand a directory that we made to this account."""
        if os.geteuid() == 0:
            shutil.chown(path, self.user, self.group)
        return path


@dataclass(slots=True)
class Stack:
    """One front with all that is behind and beside it; started by `running`."""

    front: str
    directory: Path
    venv: Path
    """The virtual environment of Debian's Python that mod_wsgi and our own programs run in (`installed_python`)."""
    account: Account = field(default_factory=Account.unprivileged)
    https_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    idp_port: int = field(default_factory=free_port)
    proof: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    processes: list[subprocess.Popen] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"https://{HOST}:{self.https_port}"

    @property
    def entity_id(self) -> str:
        return f"https://{HOST}/shibboleth"

    @property
    def etc(self) -> Path:
        """What is /etc/orcid-connect on a real machine."""
        return self.directory / "etc"

    @property
    def run(self) -> Path:
        """What is /run/orcid-connect: the sockets of the proxy front."""
        return self.directory / "run"

    @property
    def var(self) -> Path:
        """What is /var/lib/orcid-connect."""
        return self.directory / "var"

    @property
    def logs(self) -> Path:
        return self.directory / "log"

    @property
    def world_key(self) -> dict[str, str]:
        """The key of all other hosts that a browser visits, ORCID among them."""
        return key_of(self.venv, "world")

    @property
    def trusted(self) -> Path:
        """The certificates of all that a browser visits."""
        return self.directory / "keys" / "trusted.pem"

    @property
    def python(self) -> Path:
        """The interpreter of our own programs."""
        return self.venv / "bin" / "python"

    @property
    def environment(self) -> dict[str, str]:
        """What Debian's own start scripts would set, pointed to this directory."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "APACHE_CONFDIR": str(self.directory / "apache2"),
            "APACHE_STATE_DIRECTORY": str(self.directory / "apache2-state"),
            "APACHE_RUN_USER": self.account.user,
            "APACHE_RUN_GROUP": self.account.group,
            "APACHE_RUN_DIR": str(self.run),
            "APACHE_PID_FILE": str(self.run / "apache2.pid"),
            "APACHE_LOCK_DIR": str(self.run),
            "APACHE_LOG_DIR": str(self.logs),
            # Each of these stands for a directory above one that is called shibboleth
            "SHIBSP_CFGDIR": str(self.directory),
            "SHIBSP_CONFIG": str(self.directory / "shibboleth" / "shibboleth2.xml"),
            "SHIBSP_LOGDIR": str(self.logs),
            "SHIBSP_RUNDIR": str(self.run),
            "SHIBSP_CACHEDIR": str(self.directory / "cache"),
        }

    # Installing

    def install(self) -> None:
        """Put everything in its place, as docs/operator.md tells the operator to."""
        for name in ("etc", "keys", "apache2-state", "shibboleth"):
            (self.directory / name).mkdir()
        for name in ("run", "run/shibboleth", "var", "log", "cache", "cache/shibboleth"):
            self.account.owns(_made(self.directory / name))
        keys = self._make_keys()
        self._install_service_provider(keys)
        self._install_apache(keys)
        self._install_federation(keys)

    def put(self, name: str, to: Path, **values: str) -> None:
        """Fill in one of the operator's files and put it where it goes."""
        template = (SP / name).read_text("utf-8")
        everything = self._values() | values
        wanted = {each: everything[each] for each in placeholders(template)}
        to.write_text(fill(template, wanted), "utf-8")

    def put_script(self, name: str, application: str) -> None:
        """Put another script in the place of connect.wsgi or connector.wsgi, for example the probe's."""
        (self.etc / name).write_text(f"from {application} import application\n\n__all__ = ['application']\n", "utf-8")

    def _values(self) -> dict[str, str]:
        keys = self.directory / "keys"
        return {
            "HOSTNAME": HOST,
            "HTTPS_PORT": str(self.https_port),
            "HTTP_PORT": str(self.http_port),
            "BASE_URL": self.base_url,
            "TLS_CERTIFICATE": str(keys / "connect.pem"),
            "TLS_KEY": str(keys / "connect.key"),
            "ETC": str(self.etc),
            "VENV": str(self.venv),
            "VAR": str(self.var),
            "RUN": str(self.run),
            "SYSTEM_USER": self.account.user,
            "CONFIG": str(self.etc / "orcid-connect.toml"),
            "FRONT_PROOF": self.proof,
            "ENTITY_ID": self.entity_id,
            "DISCOVERY_URL": f"https://ds.test:{self.idp_port}/",
            "METADATA_URL": f"https://127.0.0.1:{self.idp_port}/",
            "METADATA_CERTIFICATE": key_of(self.venv, "federation")["certificate"],
            "SUPPORT_CONTACT": "help@connect.test",
        }

    def _make_keys(self) -> dict[str, dict[str, str]]:
        directory = self.directory / "keys"
        # Its key stays ours: Apache reads it before it becomes www-data
        keys = {name: key_of(self.venv, name) for name in WORLD} | {"connect": make_key(directory, "connect", HOST)}
        certificates = (keys["connect"]["certificate"], self.world_key["certificate"])
        self.trusted.write_text("".join(Path(each).read_text("ascii") for each in certificates))
        return keys

    def _install_service_provider(self, keys: Mapping[str, Mapping[str, str]]) -> None:
        to = self.directory / "shibboleth"
        for name in ("protocols.xml", "security-policy.xml", "shibd.logger", "native.logger", "console.logger"):
            shutil.copy(Path("/etc/shibboleth") / name, to)
        for each in Path("/etc/shibboleth").glob("*.html"):
            shutil.copy(each, to)
        logger = to / "shibd.logger"
        logger.write_text(logger.read_text().replace("/var/log/shibboleth", str(self.logs)))
        for name in ("shibboleth2.xml", "attribute-map.xml", "attribute-policy.xml"):
            self.put(name, to / name)
        for name in ("sp-signing", "sp-encrypt"):
            self._run("shib-keygen", "-o", to, "-u", self.account.user, "-g", self.account.group, "-h", HOST,
                      "-e", self.entity_id, "-n", name)  # fmt: skip

    def _install_apache(self, keys: Mapping[str, Mapping[str, str]]) -> None:
        to = self.directory / "apache2"
        shutil.copytree("/etc/apache2", to, symlinks=True, ignore=shutil.ignore_patterns("*-enabled"))
        for name in ("mods-enabled", "conf-enabled", "sites-enabled"):
            (to / name).mkdir()
        (to / "ports.conf").write_text(PORTS.format(stack=self))
        self.put(FRONTS[self.front], to / "sites-available" / "orcid-connect.conf")
        if self.front == "variables":
            for script in ("connect.wsgi", "connector.wsgi"):
                self.put(script, self.etc / script)
        else:
            self.put("front-proof.conf", self.etc / "front-proof.conf")
            (self.etc / "front-proof.conf").chmod(0o600)
        self._run("a2enmod", "-q", *DEBIANS_MODULES, *OPERATORS_MODULES[self.front])
        self._run("a2enconf", "-q", "charset", "security", "other-vhosts-access-log", "shib")
        self._run("a2ensite", "-q", "orcid-connect")

    def _install_federation(self, keys: Mapping[str, Mapping[str, str]]) -> None:
        directory = _made(self.directory / "federation")
        shibboleth = self.directory / "shibboleth"
        self.put(
            "sp-metadata.xml",
            directory / "sp.xml",
            SIGNING_CERTIFICATE=one_line(shibboleth / "sp-signing-cert.pem"),
            ENCRYPTION_CERTIFICATE=one_line(shibboleth / "sp-encrypt-cert.pem"),
        )
        settings = {
            "port": self.idp_port,
            "keys": keys,
            "attribute_maps": str(write_attribute_maps(directory / "attributes")),
            "sp_metadata": str(directory / "sp.xml"),
            "sp_entity_id": self.entity_id,
            "tls": self.world_key,
            "acs": f"{self.base_url}/Shibboleth.sso/SAML2/POST",
            "metadata": str(write_metadata(directory, dict(keys), self.idp_port)),
        }
        (directory / "settings.json").write_text(json.dumps(settings), "utf-8")

    # Starting and ending

    def check_files(self) -> None:
        """Have both programs read their files and say whether they understand them. Raises CalledProcessError."""
        self._run("shibd", "-t", "-c", self.environment["SHIBSP_CONFIG"])
        self._run("apache2", "-d", self.environment["APACHE_CONFDIR"], "-t")

    def start_federation(self) -> None:
        settings = self.directory / "federation" / "settings.json"
        self.start_ours("idp", "-m", "tests.system.idp", str(settings))
        self.wait_for("idp", lambda: "ready" in self.log("idp"))

    def start_shibd(self) -> None:
        # Its log is read and its socket left alone: a probe by connect-and-close has been seen to end shibd
        log = self.logs / "shibd.log"
        log.unlink(missing_ok=True)
        self.start(
            "shibd", "shibd", "-f", "-F", "-c", self.environment["SHIBSP_CONFIG"], "-p", str(self.run / "shibd.pid")
        )
        self.wait_for(
            "shibd", lambda: log.exists() and "listener service starting" in log.read_text("utf-8", "replace")
        )

    def start_backend(self, script: str, socket: str) -> None:
        """Start a process behind the proxy front, with a WSGI script of `etc`."""
        self.start_ours(socket, "-m", "tests.system.backend", str(self.etc / script), str(self.run / socket))
        self.wait_for(socket, lambda: "ready" in self.log(socket))

    def start_apache(self) -> None:
        configuration = self.environment["APACHE_CONFDIR"]
        self.start("apache", "apache2", "-d", configuration, "-DFOREGROUND", as_us=True)
        error_log = self.logs / "error.log"
        self.wait_for("apache", lambda: error_log.exists() and "resuming normal operations" in error_log.read_text())

    def start_ours(self, name: str, *words: str) -> None:
        """Start one of our own Python programs from the stack's virtual environment."""
        self.start(name, str(self.python), *words)

    def start(self, name: str, *command: str, as_us: bool = False) -> None:
        """Start a program as the stack's account (or, for Apache, as ourselves) in a process group of its own."""
        becoming = ["setpriv", "--pdeathsig", "TERM"] if as_us else self.account.becoming()
        with (self.logs / f"{name}.out").open("wb") as out:
            process = subprocess.Popen(
                [*becoming, *command],
                cwd=self.var,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)

    def log(self, name: str) -> str:
        """What a program has printed so far."""
        return (self.logs / f"{name}.out").read_text("utf-8", "replace")

    def _last_words(self) -> str:
        logs = sorted(self.logs.glob("*.*"))
        return "\n".join(f"{each.name}: {each.read_text('utf-8', 'replace')[-1000:]}" for each in logs)

    def wait_for(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until the program just started is ready. Raises DidNotStart."""
        process = self.processes[-1]
        end = time.monotonic() + PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                raise DidNotStart(f"{name}: exit {process.poll()}\n{self._last_words()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End every process that was started, the last one first."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()

    def _run(self, *command: object) -> None:
        done = subprocess.run(
            [str(each) for each in command], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise DidNotStart(f"{command[0]}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")


@contextmanager
def running(front: str, venv: Path, furnish: Callable[[Stack], None]) -> Iterator[Stack]:
    """A stack at work. `furnish` puts the applications into it before Apache starts.

    Starting is tried twice, since a port may be taken and shibd has been seen to abort; no test is.
    """
    stack = _started(front, venv, furnish, tries=2)
    try:
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(stack.directory, ignore_errors=True)


def _started(front: str, venv: Path, furnish: Callable[[Stack], None], tries: int) -> Stack:
    stack = Stack(front, _fresh_directory(), venv)
    try:
        stack.install()
        stack.start_federation()
        stack.start_shibd()
        furnish(stack)
        stack.start_apache()
    except BaseException as failed:
        stack.stop()
        shutil.rmtree(stack.directory, ignore_errors=True)
        if tries == 1 or not isinstance(failed, DidNotStart):
            raise
        return _started(front, venv, furnish, tries - 1)
    return stack


def with_the_probe(stack: Stack) -> None:
    """Furnish a stack with the application that tells what reaches it, for pages and connector alike."""
    for script, socket in (("connect.wsgi", "web.sock"), ("connector.wsgi", "connector.sock")):
        stack.put_script(script, "tests.system.probe")
        if stack.front == "proxy":
            stack.start_backend(script, socket)


@contextmanager
def installed_python() -> Iterator[Path]:
    """A virtual environment of Debian's Python, as mod_wsgi runs it, with all that ours holds; stacks may share it.

    The checkout and our own environment may lie in a directory that is closed to others, so it is a copy (of links,
    where the file system allows).
    """
    venv = _fresh_directory()
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
    subprocess.run(["chmod", "-R", "a+rX", *(to / package for package in PACKAGES)], check=True)


def key_of(venv: Path, name: str) -> dict[str, str]:
    """Give the files of one of the world's keys."""
    return {"key": str(venv / "world" / f"{name}.key"), "certificate": str(venv / "world" / f"{name}.pem")}


def _make_world_keys(venv: Path) -> None:
    directory = _made(venv / "world")
    for name, hosts in WORLD.items():
        make_key(directory, name, *hosts)
        Account.unprivileged().owns(directory / f"{name}.key")


def _trust(packages: Path, certificate: Path) -> None:
    """Add a certificate to the authorities that Python programs of this environment know."""
    known = packages / "certifi" / "cacert.pem"
    text = known.read_text("utf-8") + certificate.read_text("ascii")
    known.unlink()  # it may be one file with that of our own environment
    known.write_text(text, "utf-8")


def _fresh_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="connect-", dir="/tmp"))
    directory.chmod(0o755)
    return directory


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
