"""Runs what is handed to an Identity Provider in the engines of one: the script in Rhino, the template in Velocity.

Both are Debian's; the classes of the Identity Provider that they meet are stand-ins (`idp_stand.js`).
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

PACKAGES = ("rhino", "velocity", "libguava-java", "default-jre-headless")
JARS = tuple(
    Path("/usr/share/java") / f"{name}.jar"
    for name in ("js", "velocity", "commons-collections3", "commons-lang", "guava")
)
STAND = Path(__file__).parent / "idp_stand.js"
RESOLVER = "{urn:mace:shibboleth:2.0:resolver}"
_SETTING = re.compile(r"%\{[a-z.A-Z]+:([^}]*)\}")


@dataclass(frozen=True)
class Ran:
    """What came of each body and of each template."""

    mapped: list
    rendered: list


def run(*, script="", bodies=(), templates=()):
    """Let a script read each body (bytes; None: no entity), and fill each template with its names."""
    if missing := [jar for jar in JARS if not jar.exists()]:
        raise RuntimeError(f"no {missing[0]}; these tests need: apt-get install {' '.join(PACKAGES)}")
    asked = {
        "script": script,
        "bodies": [None if body is None else base64.b64encode(body).decode() for body in bodies],
        "templates": [[template, names] for template, names in templates],
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "asked.json"
        path.write_text(json.dumps(asked), "utf-8")
        # Language version 180 is ECMAScript 5, as far as Rhino goes
        command = ["java", "-Dfile.encoding=UTF-8", "-cp", ":".join(map(str, JARS))]
        shell = ["org.mozilla.javascript.tools.shell.Main", "-version", "180", "-opt", "-1", STAND, path]
        done = subprocess.run([*command, *shell], capture_output=True, timeout=120, check=False)
    if done.returncode or done.stderr:
        raise RuntimeError(done.stderr.decode(errors="replace") or done.stdout.decode(errors="replace"))
    return Ran(**json.loads(done.stdout))


def with_settings(text):
    """Give a text as Spring would, where no property is set: each setting has the value that stands in the file."""
    return _SETTING.sub(r"\1", text)


def template_of(resolver, name="URLTemplate"):
    """Give the template of the one connector in a resolver's file, trimmed, as the Identity Provider takes it."""
    (found,) = fromstring(resolver).iter(f"{RESOLVER}{name}")
    return with_settings(found.text.strip())
