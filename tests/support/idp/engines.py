"""Run files of a handout in the engines that an IdP uses.

Rhino runs the scripts, Velocity with Guava the templates, Spring the beans, and JDBC the queries.
"""

from __future__ import annotations

import atexit
import base64
import json
import re
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from defusedxml.ElementTree import fromstring

PACKAGES = (
    *("rhino", "velocity", "libguava-java", "libspring-context-java", "libcommons-dbcp2-java"),
    *("libpostgresql-jdbc-java", "libxerial-sqlite-jdbc-java", "default-jdk-headless"),
)
JARS = tuple(
    Path("/usr/share/java") / f"{name}.jar"
    for name in (
        *("js", "velocity", "commons-collections3", "commons-lang", "guava", "commons-logging"),
        *("spring3-core", "spring3-beans", "spring3-context", "spring3-expression", "spring3-aop"),
        *("commons-dbcp2", "commons-pool2", "postgresql", "sqlite-jdbc"),
    )
)
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xlog:disable")
"""Options of a Java machine that runs for a few seconds: little is optimised, and garbage needs no threads."""
NOTHING = {
    "script": "", "bodies": [], "templates": [], "kind": "url", "beans": "", "properties": {}, "headers": False,
    "client": False, "values": [], "queries": [], "timeout": 5, "urls": [], "authority": "", "accepts": {},
    "version": "4",
}  # fmt: skip
"""What is asked for unless a test asks for more."""
STAND = Path(__file__).parent / "idp.js"
PAIR = Path(__file__).parent / "Pair.java"
RESOLVER = "{urn:mace:shibboleth:2.0:resolver}"
_SETTING = re.compile(r"%\{([a-z.A-Z]+):((?:[^{}]|%\{[^{}]*\})*)\}")
AT_HOME = {"idp.home": "/opt/shibboleth-idp"}


@dataclass(frozen=True)
class Ran:
    """What came of each body, template, header, value, query and request."""

    mapped: list
    rendered: list
    headers: dict | None
    client: dict | None
    evaluated: list
    queried: list
    looked_up: list


def run(*, between=(), locale="en", **asked):
    """Let a script read each body, fill each template with its names, and so on.

    One Java machine runs it all, one after the other; another one is started after an error.

    Args:
        between: What is done, one after the other, where a query is None.
        locale: The language of the Java machine.
        asked: `script` and `bodies` (bytes or None for no entity, with a status before it where that is not 200);
            `templates` with their names, and the `kind` that tells how what is put into one is escaped: not at all in a
            url, by itself in sql and ldap; `beans`, `properties` and `version`, of which `headers`, `client`, `values`
            and `queries` (each with `timeout` seconds) are made; `urls`, asked by the client with the script.

    Raises:
        RuntimeError: If anything fails but what is reported for each body, query and request.
    """
    said = {
        **NOTHING,
        **asked,
        "locale": locale,
        "bodies": [_response(body, asked.get("version")) for body in asked.get("bodies", ())],
        "properties": AT_HOME | dict(asked.get("properties") or {}),
    }
    machine, errors = _machine()
    acts = iter(between)
    limit = threading.Timer(120, machine.kill)
    limit.start()
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:
            json.dump(said, file)
            file.flush()
            answer = _answer(machine, file.name)
            while answer == "paused":
                next(acts)()
                answer = _answer(machine, "")
    finally:
        limit.cancel()
    if not answer.startswith("{"):
        _machine.cache_clear()
        machine.kill()
        machine.communicate()
        errors.seek(0)
        raise RuntimeError(answer + errors.read()[:4000])
    return Ran(**json.loads(answer))


def _answer(machine, line):
    machine.stdin.write(f"{line}\n")
    machine.stdin.flush()
    return machine.stdout.readline().strip()


@cache
def _machine():
    """Start the Java machine; return its process and its error file."""
    if missing := [jar for jar in JARS if not jar.exists()]:
        raise RuntimeError(f"no {missing[0]}; these tests need: apt-get install {' '.join(PACKAGES)}")
    classes = tempfile.mkdtemp(prefix="orcid-connect-idp-stand-")
    atexit.register(shutil.rmtree, classes, ignore_errors=True)
    command = ["javac", *(f"-J{option}" for option in QUICK_START), "-d", classes, PAIR]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - open as long as the process
    settings = {"file.encoding": "UTF-8", "java.util.logging.config.file": "/dev/null"}
    command = ["java", *QUICK_START, *(f"-D{name}={value}" for name, value in settings.items())]
    # Language version 180 is ECMAScript 5, as far as Rhino goes
    shell = ["org.mozilla.javascript.tools.shell.Main", "-version", "180", "-opt", "-1", STAND]
    process = subprocess.Popen(
        [*command, "-cp", ":".join(map(str, (*JARS, classes))), *shell],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
    )
    atexit.register(errors.close)
    # The end of its input ends it
    atexit.register(process.communicate)
    return process, errors


def _response(body, version):
    status, content = body if isinstance(body, tuple) else (200, body)
    return [status, None if content is None else base64.b64encode(content).decode(), version == "5"]


def look_up(files, urls, *, version="4", authority="", properties=None):
    """Request each address with the files of a handout.

    One client sends the requests, one after the other.
    """
    resolver = files["conf/orcid-connect/attribute-resolver.xml"]
    (connector,) = fromstring(resolver).iter(f"{RESOLVER}DataConnector")
    accepts = {
        "statuses": connector.get("acceptStatuses").split(),
        "types": connector.get("acceptTypes").split(),
        "length": int(connector.get("maxLength")),
    }
    return run(
        script=script_of(resolver),
        beans=files["conf/orcid-connect/beans.xml"],
        urls=urls,
        accepts=accepts,
        version=version,
        authority=str(authority),
        properties=properties,
    ).looked_up


def properties(*texts):
    """Read properties as Spring does, as far as ours go."""
    found = dict(re.findall(r"^(\S+) = (.*)$", "\n".join(texts), re.MULTILINE))
    return {name: value.encode("latin-1").decode("unicode_escape") for name, value in found.items()}


def settings(text):
    """Give each setting of ours in a text, with the value that it falls back to."""
    return {found[1]: found[2] for found in _SETTING.finditer(text) if found[1].startswith("orcidconnect.")}


def with_settings(text):
    """Give a text as Spring would, where no property is set.

    Each setting has the value that stands in the file.
    """
    return _SETTING.sub(r"\2", text)


def script_of(resolver):
    """Give the script of the one connector in a resolver's file."""
    (found,) = fromstring(resolver).iter(f"{RESOLVER}Script")
    return found.text


def template_of(resolver, name="URLTemplate"):
    """Return the template of the only connector in a resolver's file.

    It is trimmed, as the Identity Provider does.
    """
    (found,) = fromstring(resolver).iter(f"{RESOLVER}{name}")
    return with_settings(found.text.strip())
