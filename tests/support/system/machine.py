"""A directory that acts as a machine.

Programs with their files, logs and sockets, started and stopped here.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 60.0
"""Seconds until a program that has not come up is given up."""

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
"""What Debian's apache2 enables at installation."""


class DidNotStart(RuntimeError):
    """A program ended, or was silent too long, before it was ready.

    Holds the end of its log.
    """


@dataclass(frozen=True, slots=True)
class Account:
    """As whom the programs run."""

    user: str
    group: str

    @classmethod
    def unprivileged(cls) -> Account:
        """Return www-data if this process runs as root, else its own user."""
        if os.geteuid() == 0:
            return cls("www-data", "www-data")
        return cls(pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name)

    def becoming(self) -> list[str]:
        """Return the command prefix that runs a program as this account.

        The program ends when this process ends.
        """
        ends_with_us = ["setpriv", "--pdeathsig", "TERM"]
        if os.geteuid() != 0:
            return ends_with_us
        return [*ends_with_us, "--reuid", self.user, "--regid", self.group, "--init-groups"]

    def owns(self, path: Path) -> Path:
        """Hand a directory that we made to this account."""
        if os.geteuid() == 0:
            shutil.chown(path, self.user, self.group)
        return path


@dataclass(slots=True, kw_only=True)
class Machine:
    """One directory with the programs that run in it.

    Shibd and Apache, and ours beside them.
    """

    directory: Path
    venv: Path
    """The virtual environment of Debian's Python that our own programs run in (`stack.installed_python`)."""
    account: Account = field(default_factory=Account.unprivileged)
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    """What was started, by name."""

    @property
    def run(self) -> Path:
        """Where sockets and process ids are."""
        return self.directory / "run"

    @property
    def var(self) -> Path:
        """Where the programs are at home."""
        return self.directory / "var"

    @property
    def logs(self) -> Path:
        return self.directory / "log"

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

    def install_apache(self, *modules: str) -> Path:
        """Put Debian's configuration of Apache in place, without sites.

        Gives its directory.
        """
        to = self.directory / "apache2"
        shutil.copytree("/etc/apache2", to, symlinks=True, ignore=shutil.ignore_patterns("*-enabled"))
        for name in ("mods-enabled", "conf-enabled", "sites-enabled"):
            (to / name).mkdir()
        self.do("a2enmod", "-q", *DEBIANS_MODULES, *modules)
        self.do("a2enconf", "-q", "charset", "security", "other-vhosts-access-log", "shib")
        return to

    def install_shibboleth(self) -> Path:
        """Install the files of Debian's SP package that stay unchanged.

        Gives their directory.
        """
        to = self.directory / "shibboleth"
        for name in ("protocols.xml", "security-policy.xml", "shibd.logger", "native.logger", "console.logger"):
            shutil.copy(Path("/etc/shibboleth") / name, to)
        for each in Path("/etc/shibboleth").glob("*.html"):
            shutil.copy(each, to)
        self.log_here(to / "shibd.logger")
        return to

    def log_here(self, logger: Path) -> None:
        """Have shibd write its logs where this machine's are."""
        logger.write_text(logger.read_text().replace("/var/log/shibboleth", str(self.logs)))

    def make_directories(self) -> None:
        """Make what both programs need."""
        for name in ("apache2-state", "shibboleth"):
            (self.directory / name).mkdir()
        for name in ("run", "run/shibboleth", "var", "log", "cache", "cache/shibboleth"):
            self.account.owns(make_directory(self.directory / name))

    def check_files(self) -> None:
        """Have both programs read their files and say whether they understand them.

        Raises:
            DidNotStart: If one of them does not accept its files.
        """
        self.do("shibd", "-t", "-c", self.environment["SHIBSP_CONFIG"])
        self.do("apache2", "-d", self.environment["APACHE_CONFDIR"], "-t")

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

    def start_apache(self) -> None:
        configuration = self.environment["APACHE_CONFDIR"]
        self.start("apache", "apache2", "-d", configuration, "-DFOREGROUND", as_us=True)
        error_log = self.logs / "error.log"
        self.wait_for("apache", lambda: error_log.exists() and "resuming normal operations" in error_log.read_text())

    def start_ours(self, name: str, *words: str) -> None:
        """Start one of our own Python programs."""
        self.start(name, str(self.python), *words)

    def start(self, name: str, *command: str, as_us: bool = False) -> None:
        """Start a program in a process group of its own.

        It runs as the account; Apache runs as this user.
        """
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
        self.processes[name] = process

    def log(self, name: str) -> str:
        """What a program has printed so far."""
        return (self.logs / f"{name}.out").read_text("utf-8", "replace")

    def _last_words(self) -> str:
        logs = sorted(self.logs.glob("*.*"))
        return "\n".join(f"{each.name}: {each.read_text('utf-8', 'replace')[-1000:]}" for each in logs)

    def wait_for(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until a program that was started is ready.

        Raises:
            DidNotStart: If it ended, or is not ready in time.
        """
        process = self.processes[name]
        end = time.monotonic() + PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                raise DidNotStart(f"{name}: exit {process.poll()}\n{self._last_words()}")
            time.sleep(0.02)

    def terminate(self) -> None:
        """Tell every process that was started to end."""
        for process in self.processes.values():
            process.terminate()

    def stop(self) -> None:
        """End every process that was started, the last one first."""
        for name in reversed(list(self.processes)):
            self.end(name)

    def end(self, name: str) -> None:
        """End one process."""
        process = self.processes.pop(name)
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def do(self, *command: object) -> None:
        """Run a command to its end.

        Raises:
            DidNotStart: If it fails.
        """
        done = subprocess.run(
            [str(each) for each in command], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise DidNotStart(f"{command[0]}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")


def fresh_directory() -> Path:
    """Give a new directory, which others may look into."""
    directory = Path(tempfile.mkdtemp(prefix="connect-", dir="/tmp"))
    directory.chmod(0o755)
    return directory


def make_directory(directory: Path) -> Path:
    """Make a directory, and give it."""
    directory.mkdir()
    return directory
