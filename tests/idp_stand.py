"""Runs what is handed to an Identity Provider in the engines of one.

The script runs in Rhino, templates in Velocity, beans in Spring, queries through the JDBC drivers; all are Debian's.
The classes of the Identity Provider itself that they meet are stand-ins (`idp_stand.js`).
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from defusedxml.ElementTree import fromstring

PACKAGES = (
    *("rhino", "velocity", "libguava-java", "libspring-context-java", "libcommons-dbcp2-java"),
    *("libpostgresql-jdbc-java", "libxerial-sqlite-jdbc-java", "default-jre-headless"),
)
JARS = tuple(
    Path("/usr/share/java") / f"{name}.jar"
    for name in (
        *("js", "velocity", "commons-collections3", "commons-lang", "guava", "commons-logging"),
        *("spring3-core", "spring3-beans", "spring3-context", "spring3-expression", "spring3-aop"),
        *("commons-dbcp2", "commons-pool2", "postgresql", "sqlite-jdbc"),
    )
)
STAND = Path(__file__).parent / "idp_stand.js"
RESOLVER = "{urn:mace:shibboleth:2.0:resolver}"
_SETTING = re.compile(r"%\{([a-z.A-Z]+):((?:[^{}]|%\{[^{}]*\})*)\}")


@dataclass(frozen=True)
class Ran:
    """What came of each body, of each template, of the headers and of each query."""

    mapped: list
    rendered: list
    headers: dict | None
    queried: list


def run(*, script="", bodies=(), templates=(), kind="url", beans="", properties=None, headers=False, queries=()):
    """Let a script read each body (bytes; None: no entity), fill each template with its names, and so on.

    `kind` tells how what is put into a template is escaped: not at all in a url, by itself in sql and ldap.
    """
    if missing := [jar for jar in JARS if not jar.exists()]:
        raise RuntimeError(f"no {missing[0]}; these tests need: apt-get install {' '.join(PACKAGES)}")
    asked = {
        "script": script,
        "bodies": [None if body is None else base64.b64encode(body).decode() for body in bodies],
        "templates": [[template, names] for template, names in templates],
        "kind": kind,
        "beans": beans,
        "properties": properties or {},
        "headers": headers,
        "queries": list(queries),
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "asked.json"
        path.write_text(json.dumps(asked), "utf-8")
        # Language version 180 is ECMAScript 5, as far as Rhino goes
        command = ["java", "-Dfile.encoding=UTF-8", "-Djava.util.logging.config.file=/dev/null"]
        shell = ["org.mozilla.javascript.tools.shell.Main", "-version", "180", "-opt", "-1", STAND, path]
        done = subprocess.run(
            [*command, "-cp", ":".join(map(str, JARS)), *shell], capture_output=True, timeout=120, check=False
        )
    if done.returncode or not done.stdout:
        raise RuntimeError(done.stderr.decode(errors="replace") or done.stdout.decode(errors="replace"))
    return Ran(**json.loads(done.stdout.splitlines()[-1]))


def properties(*texts):
    """Read properties as Spring does, as far as ours go."""
    found = dict(re.findall(r"^(\S+) = (.*)$", "\n".join(texts), re.MULTILINE))
    return {name: value.encode("latin-1").decode("unicode_escape") for name, value in found.items()}


def settings(text):
    """Give each setting of ours in a text, with the value that it falls back to."""
    return {found[1]: found[2] for found in _SETTING.finditer(text) if found[1].startswith("orcidconnect.")}


def with_settings(text):
    """Give a text as Spring would, where no property is set: each setting has the value that stands in the file."""
    return _SETTING.sub(r"\2", text)


def template_of(resolver, name="URLTemplate"):
    """Give the template of the one connector in a resolver's file, trimmed, as the Identity Provider takes it."""
    (found,) = fromstring(resolver).iter(f"{RESOLVER}{name}")
    return with_settings(found.text.strip())
