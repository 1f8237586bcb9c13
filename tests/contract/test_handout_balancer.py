"""The balancer's configuration is valid HAProxy, for any number of nodes."""

from __future__ import annotations

import re
import subprocess

from click.testing import CliRunner

from shibboleth.handout.render import placeholders
from tests.support.configuration import write_configuration
from tests.support.system.federation import make_key
from webapp.cli.main import main

HAPROXY = "etc/haproxy/haproxy.cfg"
OF_NODES = "etc/apache2/conf-available/orcid-connect-balancer.conf"


def hand_out(tmp_path, *nodes):
    path = write_configuration(tmp_path / "etc", service={"public_url": "https://orcid.example.org:8443"})
    words = [word for each in nodes for word in ("--node", each)]
    command = ["--config", str(path), "handout", "balancer", *words, "--output", str(tmp_path / "out")]
    return CliRunner().invoke(main, command, catch_exceptions=False)


def test_each_node_is_a_server_of_each_backend_and_haproxy_accepts_the_file(tmp_path):
    done = hand_out(tmp_path, "192.0.2.11", "2001:db8::12", "localhost")

    assert done.exit_code == 0, done.output
    written = (tmp_path / "out/balancer" / HAPROXY).read_text("utf-8")
    assert not placeholders(written + (tmp_path / "out/node" / OF_NODES).read_text("utf-8"))
    servers = re.findall(r"^    server (\S+) (\S+)(?: cookie (\S+))?$", written, re.MULTILINE)
    backends = len(re.findall(r"^backend ", written, re.MULTILINE))
    addresses = [("node1", "192.0.2.11:8443"), ("node2", "[2001:db8::12]:8443"), ("node3", "localhost:8443")]
    assert [each[:2] for each in servers] == addresses * backends
    assert {cookie for name, _, cookie in servers if cookie} == {"node1", "node2", "node3"}
    key = make_key(tmp_path, "balancer")
    both = tmp_path / "both.pem"
    both.write_text("".join((tmp_path / f"balancer.{each}").read_text() for each in ("pem", "key")))
    here = written.replace("/etc/haproxy/orcid-connect.pem", str(both))
    (tmp_path / "haproxy.cfg").write_text(here.replace("/etc/ssl/certs/ca-certificates.crt", key["certificate"]))
    checked = subprocess.run(
        ["haproxy", "-c", "-f", tmp_path / "haproxy.cfg"], check=False, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_an_address_that_would_be_another_directive_is_refused(tmp_path):
    done = hand_out(tmp_path, "192.0.2.11 backup\n    server x")

    assert (done.exit_code, (tmp_path / "out").exists()) == (1, False)
