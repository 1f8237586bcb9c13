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
SHORT_RUN = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xlog:disable")
"""Options of a Java machine that runs for a second or two: nothing is optimised, and garbage needs no threads."""
NOTHING = {
    "script": "", "bodies": [], "templates": [], "kind": "url", "beans": "", "properties": {}, "headers": False,
    "client": False, "values": [], "queries": [], "timeout": 5, "urls": [], "authority": "", "accepts": {},
    "version": "4",
}  # fmt: skip
"""What is asked for unless a test asks for more."""
ALL_LIBRARIES = {
    "script": "1", "bodies": [[200, "e30=", False]],
    "templates": [["$resolutionContext.principal", {"principal": "x"}]],
    "beans": '<beans xmlns="http://www.springframework.org/schema/beans"/>', "properties": {"idp.home": "x"},
}  # fmt: skip
"""What loads most classes that any test needs."""
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

    Args:
        between: What is done, one after the other, where a query is None.
        locale: The language of the Java machine.
        asked: `script` and `bodies` (bytes or None for no entity, with a status before it where that is not 200);
            `templates` with their names, and the `kind` that tells how what is put into one is escaped: not at all in a
            url, by itself in sql and ldap; `beans`, `properties` and `version`, of which `headers`, `client`, `values`
            and `queries` (each with `timeout` seconds) are made; `urls`, asked by the client with the script.
    """
    if missing := [jar for jar in JARS if not jar.exists()]:
        raise RuntimeError(f"no {missing[0]}; these tests need: apt-get install {' '.join(PACKAGES)}")
    said = {
        **NOTHING,
        **asked,
        "bodies": [_response(body, asked.get("version")) for body in asked.get("bodies", ())],
        "properties": AT_HOME | dict(asked.get("properties") or {}),
    }
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "asked.json"
        path.write_text(json.dumps(said), "utf-8")
        classes, archive = _compiled()
        done = _java(_command(path, locale, f"-XX:SharedArchiveFile={archive}", classes), between)
    if not done.startswith("{"):
        raise RuntimeError(done[:4000])
    return Ran(**json.loads(done))


def _command(path, locale, option, *classes):
    # Language version 180 is ECMAScript 5, as far as Rhino goes
    settings = {"file.encoding": "UTF-8", "user.language": locale, "java.util.logging.config.file": "/dev/null"}
    command = ["java", *SHORT_RUN, option, *(f"-D{name}={value}" for name, value in settings.items())]
    shell = ["org.mozilla.javascript.tools.shell.Main", "-version", "180", "-opt", "-1", STAND, path]
    return [*command, "-cp", ":".join(map(str, (*JARS, *classes))), *shell]


@cache
def _compiled():
    """Compile the class of scoped attributes, and archive the libraries' classes.

    A Java machine maps the archive instead of loading them, which is half of a run.

    Returns:
        The directory of the class, and the path of the archive.
    """
    directory = tempfile.mkdtemp(prefix="orcid-connect-idp-stand-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    command = ["javac", *(f"-J{option}" for option in SHORT_RUN), "-d", directory, PAIR]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    archive, asked = Path(directory, "libraries.jsa"), Path(directory, "asked.json")
    asked.write_text(json.dumps(NOTHING | ALL_LIBRARIES), "utf-8")
    command = _command(asked, "en", f"-XX:ArchiveClassesAtExit={archive}")
    done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert json.loads(done.stdout)["rendered"] == ["x"], done.stdout
    return directory, archive


def _response(body, version):
    status, content = body if isinstance(body, tuple) else (200, body)
    return [status, None if content is None else base64.b64encode(content).decode(), version == "5"]


def _java(command, between):
    """Run to the end, and give the last line, or what was wrong.

    Where it pauses, do what comes next in between.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        last = ""
        for act in between:
            while last != "paused":
                last = process.stdout.readline().strip()
                if not last:
                    return process.stderr.read()
            act()
            last = ""
            process.stdin.write("\n")
            process.stdin.flush()
        output, wrong = process.communicate(timeout=120)
        return output.rstrip("\n").rpartition("\n")[2] if output and not process.returncode else wrong or output


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
