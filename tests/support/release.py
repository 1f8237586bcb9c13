"""Builds the archives of a release: `python -m tests.support.release DIR`.

The archives are those of the last commit. Built again, they are the same, byte for byte.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.docs import ROOT

BUILD = "import sys; from setuptools import build_meta as m; to = sys.argv[1]; m.build_sdist(to); m.build_wheel(to)"
PLATFORMS = ("x86_64", "aarch64")
EXTRAS = ("authority", "native")
"""Of setup.cfg: what an operator may install besides."""


def version():
    """Return the version, after a comparison with the changelog."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", "utf-8")
    found = parser["metadata"]["version"]
    heading = re.search(r"^## (\S+) \((.*)\)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    if heading is None or heading[1] != found:
        raise SystemExit(f"setup.cfg has version {found}; CHANGELOG.md does not begin with it")
    if heading[2].startswith("not"):
        sys.stderr.write(f"CHANGELOG.md has no date for {found}: these archives are for a trial\n")
    return found


def build(to):
    """Build source archive and wheel of the last commit; return the paths."""
    to.mkdir(parents=True, exist_ok=True)
    epoch = subprocess.check_output(["git", "log", "-1", "--format=%ct"], cwd=ROOT, text=True).strip()
    with tempfile.TemporaryDirectory() as tree:
        archive = subprocess.check_output(["git", "archive", "HEAD"], cwd=ROOT)
        subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
        subprocess.run(["chmod", "-R", "u=rwX,go=rX", tree], check=True)
        environ = {**os.environ, "SOURCE_DATE_EPOCH": epoch, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", BUILD, str(to.absolute())]
        subprocess.run(command, cwd=tree, env=environ, umask=0o022, check=True, stdout=subprocess.DEVNULL)
    (sdist,), (wheel,) = to.glob("*.tar.gz"), to.glob("*.whl")
    _normalise(sdist, int(epoch))
    return sdist, wheel


def _normalise(sdist, epoch):
    # setuptools writes the time of the build, and who built it
    packed = io.BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            content = old.extractfile(member) if member.isfile() else None
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.pax_headers = {}
            new.addfile(member, content)
    with sdist.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as compressed:
        compressed.write(packed.getvalue())


def write_requirements(wheel):
    """Write the files with the hashes of the wheel and of all libraries.

    A file for each of `EXTRAS` has the libraries that it needs besides.
    """
    libraries = _resolve(wheel)
    base = _needed(libraries, "postgres")
    first = f"./{wheel.name}[postgres] --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    _write_hashes(wheel.parent / "requirements.txt", "requirements.txt", [libraries[each] for each in base], [first])
    for extra in EXTRAS:
        more = [libraries[each] for each in _needed(libraries, "postgres", extra) - base]
        name = f"requirements-{extra}.txt"
        _write_hashes(wheel.parent / name, f"requirements.txt -r {name}", more)


@dataclass
class _Library:
    name: str
    requires: list[Requirement]
    hashes: set[str]
    """Those of its wheels for all platforms."""


def _resolve(wheel):
    # The wheel and all libraries that it may need, by their normalised names
    found = {}
    for platform in PLATFORMS:
        tags = [f"--platform={each}_{platform}" for each in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")]
        command = [sys.executable, "-m", "pip", "-q", "install", "--dry-run", "--ignore-installed", "--report=-"]
        command += ["--only-binary=:all:", "--python-version=3.11", "--target=unused", *tags]
        report = json.loads(subprocess.check_output([*command, f"{wheel}[postgres,{','.join(EXTRAS)}]"]))
        for each in report["install"]:
            metadata = each["metadata"]
            name, requires = f"{metadata['name']}=={metadata['version']}", metadata.get("requires_dist", [])
            new = _Library(name, [Requirement(text) for text in requires], set())
            library = found.setdefault(canonicalize_name(metadata["name"]), new)
            if library.name != name:
                raise SystemExit(f"{name} for {platform}, but {library.name} for others")
            if each["download_info"]["url"] != wheel.absolute().as_uri():
                library.hashes.add(each["download_info"]["archive_info"]["hashes"]["sha256"])
    return found


def _needed(libraries, *extras):
    # The names of the libraries that the wheel needs with these extras
    seen, queue = set(), [("orcid-connect", frozenset(extras))]
    while queue:
        name, wanted = queue.pop()
        for each in libraries[name].requires:
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                one = (canonicalize_name(each.name), frozenset(each.extras))
                queue += {one} - seen
                seen.add(one)
    return {name for name, _ in seen}


def _write_hashes(to, names, libraries, lines=()):
    lines = [f"# pip install --require-hashes -r {names}: Python 3.11 on Linux, amd64 and arm64", *lines]
    for each in sorted(libraries, key=lambda one: one.name):
        lines.append(" ".join([each.name, *(f"--hash=sha256:{one}" for one in sorted(each.hashes))]))
    to.write_text("\n".join(lines) + "\n")


def main(directory):
    """Build twice, compare, and write the requirements."""
    version()
    archives = build(Path(directory))
    with tempfile.TemporaryDirectory() as again:
        different = [
            one.name
            for one, other in zip(archives, build(Path(again)), strict=True)
            if one.read_bytes() != other.read_bytes()
        ]
    if different:
        raise SystemExit(f"not the same when built again: {', '.join(different)}")
    write_requirements(archives[1])
    for each in (*archives, *sorted(Path(directory).glob("requirements*.txt"))):
        sys.stdout.write(f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
