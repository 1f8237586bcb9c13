"""A real slapd for the tests.

Debian's, on loopback, in a temporary directory.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import ldap3

from tests.support.ports import free_port
from tests.support.transfers.private_ca import PrivateCa

PACKAGE = "slapd"
SLAPD = Path("/usr/sbin/slapd")
ROOT = Path(__file__).parents[3]
SCHEMA = Path(__file__).with_name("eduperson.schema")
RIGHTS = ROOT / "docs" / "idm-owner-ldap.md"

SUFFIX = "dc=example,dc=org"
PEOPLE = f"ou=people,{SUFFIX}"
CLOSED = f"ou=closed,{SUFFIX}"
"""A branch that only the directory's administrator can read."""
UNIQUE = "dc=unique,dc=example,dc=net"
"""A database in which no two entries have the same iD."""
COPY = "dc=copy,dc=example,dc=net"
"""A database that cannot be written to."""
ADMIN = f"cn=admin,{SUFFIX}"
SERVICE = f"cn=orcid-connect,ou=services,{SUFFIX}"
NARROW = f"cn=narrow,ou=services,{SUFFIX}"
"""An account that may write the attribute, but add no object class."""
READER = f"cn=reader,ou=services,{SUFFIX}"
"""An account that may write nothing."""

CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include {schema}
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload unique
pidfile {directory}/slapd.pid
TLSCACertificateFile {directory}/ca.pem
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSVerifyClient try
authz-regexp "^cn=client$" "{service}"

database mdb
suffix "{suffix}"
rootdn "{admin}"
rootpw {password}
directory {directory}/people
dbnosync
maxsize 16777216
{rights}
access to dn.subtree="{closed}" by * none
access to attrs=userPassword by anonymous auth
access to dn.subtree="{people}" attrs=eduPersonOrcid by dn.exact="{narrow}" write by * break
access to * by dn.children="ou=services,{suffix}" read

database mdb
suffix "{unique}"
rootdn "cn=admin,{unique}"
rootpw {password}
directory {directory}/unique
dbnosync
maxsize 16777216
overlay unique
unique_uri ldap:///?eduPersonOrcid?sub
access to * by dn.exact="{service}" write by * none

database mdb
suffix "{copy}"
directory {directory}/copy
maxsize 16777216
readonly on
access to * by dn.exact="{service}" write by * none
"""

CONTENT = """
dn: {suffix}
objectClass: domain
dc: example

dn: {people}
objectClass: organizationalUnit

dn: {closed}
objectClass: organizationalUnit

dn: ou=services,{suffix}
objectClass: organizationalUnit
"""
ACCOUNT = """
dn: {dn}
objectClass: applicationProcess
objectClass: simpleSecurityObject
userPassword: {password}
"""
COPIED = """
dn: {copy}
objectClass: domain
dc: copy

dn: uid=maija,{copy}
objectClass: inetOrgPerson
objectClass: eduPerson
uid: maija
cn: Maija
sn: Meri
eduPersonPrincipalName: maija@yliopisto.example
"""


def rights():
    """Return the access rules that the page for directory owners shows."""
    block = RIGHTS.read_text().split("\n## OpenLDAP\n")[1].split("```ldif\n")[1].split("```")[0]
    unfolded = re.sub(r"\n +", " ", block)
    return re.sub(r"(?m)^olcAccess: \{\d+\}", "access ", "\n".join(re.findall(r"(?m)^olcAccess: .*$", unfolded)))


class Slapd:
    """A slapd that can be stopped, started and inspected.

    `url` and `tls_url` are where it is, `ca` the authority that vouches for it, as the server of 127.0.0.1 and of no
    other name.  The authority's client is the service's account.
    """

    def __init__(self, schema=SCHEMA):
        if not SLAPD.exists():
            raise RuntimeError(f"these tests need an LDAP server; run: apt-get install {PACKAGE}")
        self.directory = Path(tempfile.mkdtemp(prefix="orcid-connect-slapd-"))
        self.password = secrets.token_hex(8) + "-ä€"
        self.process = None
        self.administrator = self.unique = None
        self._count = 0
        try:
            self._make(schema)
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def url(self):
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self):
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def _make(self, schema):
        self.ca = PrivateCa(self.directory)
        certificate, key = self.ca._issue("server", "IP:127.0.0.1")
        shutil.copy(schema, self.directory / "eduperson.schema")
        for database in ("people", "unique", "copy"):
            (self.directory / database).mkdir()
        names = {
            "suffix": SUFFIX, "people": PEOPLE, "closed": CLOSED, "unique": UNIQUE, "copy": COPY, "admin": ADMIN,
            "service": SERVICE, "narrow": NARROW, "password": self.password, "directory": self.directory,
            "certificate": certificate, "key": key, "schema": self.directory / "eduperson.schema", "rights": rights(),
        }  # fmt: skip
        (self.directory / "slapd.conf").write_text(CONFIGURATION.format(**names))
        accounts = [ACCOUNT.format(dn=each, password=self.password) for each in (SERVICE, NARROW, READER)]
        self._own()
        self._load(SUFFIX, CONTENT.format(**names) + "".join(accounts))
        self._load(UNIQUE, f"dn: {UNIQUE}\nobjectClass: domain\ndc: unique\n")
        self._load(COPY, COPIED.format(**names))

    def _own(self):
        # slapd needs nothing of root's; Debian's package brings the account
        if os.getuid() == 0:
            for each in (self.directory, *self.directory.rglob("*")):
                shutil.chown(each, "openldap", "openldap")

    def _as_somebody(self):
        return ["setpriv", "--reuid=openldap", "--regid=openldap", "--init-groups"] if os.getuid() == 0 else []

    def _load(self, suffix, ldif):
        done = subprocess.run(
            [*self._as_somebody(), "/usr/sbin/slapadd", "-q", "-f", self.directory / "slapd.conf", "-b", suffix],
            input=ldif.encode(), cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"slapadd failed:\n{done.stdout.decode(errors='replace')}")

    def start(self, port=None, tls_port=None):
        """Start it and wait until it answers; on free ports unless told which."""
        for _ in range(5):
            self.port, self.tls_port = port or free_port(), tls_port or free_port()
            with (self.directory / "log").open("wb") as log:
                self.process = subprocess.Popen(
                    [*self._as_somebody(), SLAPD, "-d", "0", "-f", self.directory / "slapd.conf",
                     "-h", f"{self.url} {self.tls_url}"],
                    cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
            if self._answers():
                self.administrator = self._sign_in(ADMIN)
                self.unique = self._sign_in(f"cn=admin,{UNIQUE}")
                return
        raise RuntimeError(f"slapd did not start:\n{(self.directory / 'log').read_text(errors='replace')}")

    def _answers(self):
        until = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.tls_port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
                continue
            return True
        return False

    def _sign_in(self, dn):
        server = ldap3.Server(self.url, get_info=ldap3.NONE)
        return ldap3.Connection(server, dn, self.password, auto_bind=True, check_names=False)

    def stop(self):
        """Stop it."""
        for each in (self.administrator, self.unique):
            if each:
                each.unbind()
        self.administrator = self.unique = None
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def remove(self):
        """Stop it and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.directory)

    def make_branch(self):
        """Make a place for people that no other test looks at, and give its DN."""
        self._count += 1
        dn = f"ou=branch-{self._count},{PEOPLE}"
        self.must(self.administrator.add(dn, "organizationalUnit"))
        return dn

    def add_person(self, base, account="maija@yliopisto.example", values=(), classes=("eduPerson",)):
        """Add a person's entry and give its DN.

        Without the class `eduPerson` it has no eppn.
        """
        user = account.partition("@")[0]
        dn = f"uid={user},{base}"
        facts = {"cn": user, "sn": user, **({"mail": account} if account.isascii() else {})}
        if "eduPerson" in classes:
            facts |= {"eduPersonPrincipalName": account, **({"eduPersonOrcid": list(values)} if values else {})}
        self.must(self.administrator.add(dn, ["inetOrgPerson", *classes], facts))
        return dn

    def add_unique(self, user):
        """Add a person's entry where no two have the same iD, and give its DN."""
        dn = f"uid={user},{UNIQUE}"
        facts = {"cn": user, "sn": user, "eduPersonPrincipalName": f"{user}@yliopisto.example"}
        self.must(self.unique.add(dn, ["inetOrgPerson", "eduPerson"], facts))
        return dn

    def remove_unique(self, user):
        """Remove such an entry."""
        self.must(self.unique.delete(f"uid={user},{UNIQUE}"))

    def values(self, dn, attribute="eduPersonOrcid"):
        """Give what an entry holds, as text; None where there is no entry."""
        administrator = self.unique if dn.endswith(UNIQUE) else self.administrator
        administrator.search(dn, "(objectClass=*)", ldap3.BASE, attributes=[attribute])
        found = [each["raw_attributes"].get(attribute, ()) for each in administrator.response]
        return {each.decode() for each in found[0]} if found else None

    def write(self, dn, changes):
        """Change an entry as another client."""
        self.must(self.administrator.modify(dn, changes))

    def must(self, went_well):
        if not went_well:
            raise RuntimeError(f"the directory's administrator was told: {self.administrator.result}")
