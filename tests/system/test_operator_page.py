"""The commands of the operator's pages, typed as they stand: who may read and write what they make.

They run on a layer over this machine (overlayfs, in a mount namespace), so that nothing here changes.
What needs systemd or the net does nothing; the program and the checkout are those of the tests.
"""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from dataclasses import dataclass

import pytest

from tests.support import docs, federation_metadata
from tests.support.system.machine import fresh_directory

FIRST = (
    "The files", "The first organisation", "Make the tables, and look", "The Service Provider", "`variables`: mod_wsgi",
)  # fmt: skip
THEN = (
    "`proxy`: two servers behind Apache", "Register at the federation", "ORCID's tokens", "Connect an organisation",
    "Metrics", "Back up the configuration", "Back up SQLite", "If the audit does not hold", "Watch",
)  # fmt: skip
"""The headings under which commands make files, in the order in which they are typed; `front` is changed in between."""

NOT_HERE = "systemctl apache2ctl git curl python3 shibd diff"
TO_PROXY = """
rm -r /root/orcid-connect
(umask 077; echo the-client-secret > /root/client-secret)
"""
MACHINE = """
set -e
mount -t tmpfs none {layer}
mkdir {layer}/upper {layer}/work {layer}/machine
mount -t overlay none -o lowerdir=/,upperdir={layer}/upper,workdir={layer}/work {layer}/machine
for each in /dev /proc; do mount --rbind $each {layer}/machine$each; done
for each in /run /tmp; do mount -t tmpfs -o mode=1777 none {layer}/machine$each; done
for each in {seed} {venv}; do mkdir {layer}/machine$each; mount --bind $each {layer}/machine$each; done
chmod 755 {layer}/machine/run
chroot {layer}/machine bash {seed}/typed > {seed}/said 2>&1
"""
BEFORE = """
set -euo pipefail
umask 022
touch {seed}/began
for each in {not_here}; do eval "$each() {{ :; }}"; done
# Reads what is sent to it: a command before a pipe must not fail
curl() {{ case "$*" in *@-*) cat > /dev/null ;; esac; }}
mkdir -p /usr/local/src/orcid-connect /opt/orcid-connect
cp -r {seed}/docs /usr/local/src/orcid-connect/
cp -a {venv} /opt/orcid-connect/venv
install -m 755 {seed}/program /opt/orcid-connect/venv/bin/orcid-connect
ln -s /opt/orcid-connect/venv/bin/orcid-connect /usr/local/bin/
cp {seed}/federation.pem /etc/shibboleth/
(umask 077; echo the-client-secret > /root/client-secret)
"""
AFTER = """
cd /
shopt -s dotglob
for account in nobody www-data; do
    for may in readable writable; do
        runuser -u $account -- find /etc /var /opt/orcid-connect /root /run /tmp /usr/local \\
            \\( -path {seed} -o -path {venv} \\) -prune -o -type f -newer {seed}/began -$may -print \\
            2> /dev/null > {seed}/$account-$may || true
    done
done
find /etc /var /root /run /tmp \\( -path {seed} -o -path {venv} \\) -prune -o -not -type l -newer {seed}/began \\
    -printf '%m %u %g %p\\n' > {seed}/made
stat -c '%a %U %G %n' /var/log/shibboleth /var/log/apache2 /run/shibboleth > {seed}/directories
"""
PUBLIC = re.compile(
    r"/etc/(?:apache2|sysusers\.d|tmpfiles\.d|systemd|cron\.d|prometheus|fail2ban)/.*|/etc/(?:passwd|group|subuid|subgid)-?"
    r"|/etc/shibboleth/(?:[^/]*\.xml|shibd\.logger|sp-(?:signing|encrypt)-cert\.pem|federation\.pem)(?:\.before)?"
    r"|/etc/orcid-connect/(?:errors/[^/]*\.html|[^/]*\.wsgi)|/usr/local/src/.*|/opt/.*|/var/lib/(?:apache2|systemd)/.*"
)
"""What the commands make for every account of the machine to read."""


@dataclass(frozen=True)
class Typed:
    """What there is after all commands have been typed."""

    may: dict[tuple[str, str], set[str]]
    """The files among them that an account may read or write."""
    make_directory: dict[str, tuple[int, str, str]]
    """Mode, owner and group of each file and directory."""
    directories: list[str]


@pytest.fixture(scope="module")
def typed(venv):
    """Type the page."""
    seed = fresh_directory()
    layer = seed / "layer"
    layer.mkdir()
    shutil.copytree(docs.DOCS, seed / "docs")
    (seed / "federation.pem").write_text(federation_metadata.key_pair("federation")[1])
    idp = federation_metadata.idp("https://idp.example.org/idp/shibboleth", scopes=["example.org"])
    (seed / "metadata.xml").write_bytes(federation_metadata.sign(federation_metadata.federation(idp)))
    (seed / "program").write_text('#!/bin/sh\nexec /opt/orcid-connect/venv/bin/python -m webapp "$@"\n')
    words = {"seed": seed, "layer": layer, "venv": venv, "not_here": NOT_HERE}
    to_proxy = [TO_PROXY, *(block.replace("--front variables", "--front proxy") for block in _under(["The files"]))]
    script = [BEFORE.format(**words), *_under(FIRST), *to_proxy, *_under(THEN), AFTER.format(**words)]
    by_metadata = r"(organisation add example-org)"
    typed_script, replaced = re.subn(by_metadata, rf"\1 --metadata {seed}/metadata.xml", "\n".join(script))
    assert replaced == 1
    (seed / "typed").write_text(typed_script)
    try:
        subprocess.run(["unshare", "--mount", "sh", "-c", MACHINE.format(**words)], check=False, capture_output=True)
        assert (seed / "directories").exists(), (seed / "said").read_text("utf-8")[-3000:]
        may = {
            (account, way): set((seed / f"{account}-{way}").read_text("utf-8").split("\n")) - {""}
            for account in ("nobody", "www-data")
            for way in ("readable", "writable")
        }
        lines = [line.split(" ", 3) for line in (seed / "made").read_text("utf-8").splitlines()]
        make_directory = {path: (int(mode, 8), owner, group) for mode, owner, group, path in lines}
        yield Typed(may, make_directory, (seed / "directories").read_text("utf-8").splitlines())
    finally:
        shutil.rmtree(seed, ignore_errors=True)


def _under(headings):
    for heading in headings:
        yield from (
            block for kind, block in docs.kinds(docs.under(docs.OPERATOR_PAGES, heading)) if kind in {"sh", "sh proxy"}
        )


def test_the_commands_make_what_the_page_is_about(typed):
    for path in (
        "/etc/orcid-connect/secrets/example-org-idp",
        "/etc/orcid-connect/secrets/metrics.token",
        "/etc/orcid-connect/secrets/orcid-token-key",
        "/etc/orcid-connect/front-proof.conf",
        "/etc/systemd/system/orcid-connect-web.socket",
        "/etc/shibboleth/sp-signing-key.pem",
        "/var/lib/orcid-connect/links.db",
        "/root/orcid-connect-etc.tar.gz",
        "/root/then",
    ):
        assert path in typed.make_directory


def test_other_accounts_may_read_only_what_is_for_everybody(typed):
    for account in ("nobody", "www-data"):
        assert {path for path in typed.may[account, "readable"] if not PUBLIC.fullmatch(path)} == set()


def test_other_accounts_may_write_nothing(typed):
    assert typed.may["nobody", "writable"] == typed.may["www-data", "writable"] == set()


def test_what_holds_a_secret_is_closed_whatever_directory_it_is_in(typed):
    secret = re.compile(r"/secrets/|key\.pem$|front-proof|/root/(?:orcid-connect-etc|then|now)|/links-[^/]*\.db$")

    lasting = {path: mode for path, (mode, *_) in typed.make_directory.items() if not path.startswith("/tmp/")}
    found = {path: mode for path, mode in lasting.items() if secret.search(path)}

    assert len(found) > 8
    assert {path: oct(mode) for path, mode in found.items() if stat.S_IMODE(mode) & 0o007} == {}


def test_no_file_that_everybody_may_change_is_left(typed):
    assert {path for path, (mode, *_) in typed.make_directory.items() if mode & 0o002} <= {"/tmp", "/var/tmp"}


def test_logs_and_sockets_of_apache_and_shibd_are_closed_to_others(typed):
    assert typed.directories == [
        "750 _shibd adm /var/log/shibboleth",
        "750 root adm /var/log/apache2",
        "750 _shibd www-data /run/shibboleth",
    ]
