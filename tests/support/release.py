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
from pathlib import Path

from tests.support.docs import ROOT

BUILD = "import sys; from setuptools import build_meta as m; to = sys.argv[1]; m.build_sdist(to); m.build_wheel(to)"
PLATFORMS = ("x86_64", "aarch64")


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
    """Write the file with the hashes of the wheel and of all libraries."""
    hashes = {}
    for platform in PLATFORMS:
        tags = [f"--platform={each}_{platform}" for each in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")]
        command = [sys.executable, "-m", "pip", "-q", "install", "--dry-run", "--ignore-installed", "--report=-"]
        command += ["--only-binary=:all:", "--python-version=3.11", "--target=unused", *tags, f"{wheel}[postgres]"]
        report = json.loads(subprocess.check_output(command))
        for each in report["install"]:
            name = f"{each['metadata']['name']}=={each['metadata']['version']}"
            if not each["metadata"]["name"].startswith("orcid"):
                hashes.setdefault(name, set()).add(each["download_info"]["archive_info"]["hashes"]["sha256"])
    lines = ["# pip install --require-hashes -r requirements.txt: Python 3.11 on Linux, amd64 and arm64"]
    lines.append(f"./{wheel.name}[postgres] --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}")
    for name, found in sorted(hashes.items()):
        lines.append(" ".join([name, *(f"--hash=sha256:{each}" for each in sorted(found))]))
    (wheel.parent / "requirements.txt").write_text("\n".join(lines) + "\n")


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
    for each in (*archives, Path(directory) / "requirements.txt"):
        sys.stdout.write(f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
