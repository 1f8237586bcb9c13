"""Two nodes behind the operator's balancer: people change nodes on the way, and the database fails over under load."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from contextlib import closing

import pytest

from demo.orcid.people import PEOPLE
from sql.store import open_store
from tests.support.docs import DOCS, blocks, under
from tests.support.ports import accepts_connections, free_port
from tests.support.processes.servers import UnixConnection
from tests.support.service import serve_app
from tests.support.system.client import HttpBrowser, form_of
from tests.support.system.failover import RESULT, TIMEOUT, Load, link_in, restarted
from tests.support.system.nodes import READY, running_nodes
from tests.support.system.people import SAIMAA, token_of

NODE_COOKIE = "orcid_connect_node"
CLAIMS = 60.0
"""Seconds within which everything must work again after the standby was promoted."""

received = Counter()
"""How often each account's change has reached the receiver."""


def receiver(environ, start_response):
    text = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
    received[re.search(rf"(\w+)@{SAIMAA.scope}", text)[1]] += 1
    start_response("204 No Content", [])
    return []


@pytest.fixture(scope="module")
def nodes(venv):
    """Both nodes; look-ups of the first one are read from the standby."""
    with serve_app(receiver) as url:
        transfer = {"name": "idm", "kind": "rest", "url": f"{url}/", "token": "file:secrets/metrics.token"}
        with running_nodes(venv, ({"standby_lookups": True}, {}), {"transfer": [transfer]}) as started:
            yield started


@pytest.fixture
def browser(nodes):
    with HttpBrowser(nodes.stack) as somebody:
        somebody.visit("/")
        yield somebody


def go_to(browser, node):
    """Have the balancer send this browser to another node, as when the first one fails."""
    browser.cookies.set(NODE_COOKIE, node, domain=browser.stack.host, path="/")


def test_the_cookie_of_the_balancer_is_set_with_the_sign_in_and_not_before(browser):
    before = dict(browser.cookies)
    browser.visit("/me")

    assert before == {}
    assert browser.cookies[NODE_COOKIE] in {"node1", "node2"}


def test_an_answer_of_an_identity_provider_may_reach_another_node(browser):
    go_to(browser, "node1")
    answer = browser.answer_for("maija", path="/me/data?lang=fi")

    go_to(browser, "node2")
    page = browser.submit(answer)

    assert (page.status_code, page.url) == (200, f"{browser.stack.base_url}/me/data?lang=fi")


def test_a_form_whose_sign_in_ends_on_another_node_leads_to_the_own_page(nodes, browser):
    go_to(browser, "node1")
    asked = browser.post(f"{nodes.stack.base_url}/me/start", data={"token": "of another session"}, timeout=TIMEOUT)
    answer = browser.answer_for("maija", asking=asked)

    go_to(browser, "node2")
    page = browser.submit(answer)

    assert (page.status_code, page.url) == (200, f"{browser.stack.base_url}/me")


def test_a_person_who_leaves_from_one_node_and_returns_to_the_other_is_linked(nodes, browser):
    go_to(browser, "node1")
    page = browser.sign_in("onni")

    def sign_in_again():
        go_to(browser, "node2")
        browser.sign_in("onni")

    result = link_in(browser, page, PEOPLE[0].orcid, on_the_way=sign_in_again)

    assert result.url.startswith(browser.stack.base_url + RESULT)
    assert browser.cookies[NODE_COOKIE] == "node2"


def test_an_address_of_a_client_is_that_of_the_client_and_not_of_the_balancer(nodes):
    with HttpBrowser(nodes.stack) as stranger:
        wrong = {"Authorization": f"Bearer {'x' * 40}"}
        assert stranger.visit("/v1/people/x", headers=wrong).status_code == 401

    logs = "".join(each.stack.log("connector") for each in nodes.nodes)
    assert "credential-refused address=127.0.0.1 " in logs


def test_while_the_pages_of_a_node_are_stopped_its_people_are_served_by_the_other(nodes, browser):
    go_to(browser, "node1")
    first = nodes.nodes[0]
    first.stack.end("serve")

    at_once = [browser.visit(path).status_code for path in ("/", "/help", "/me")]
    nodes.wait_for_states(lambda states: states["pages/node1"] == "DOWN")
    later = [browser.visit(path).status_code for path in ("/", "/help", "/me")]
    first.start("serve")
    nodes.wait_for_states(lambda states: states["pages/node1"] == "UP")

    assert at_once == later == [200] * 3


def test_when_a_node_is_gone_its_people_sign_in_on_the_other(nodes, browser):
    go_to(browser, "node1")
    browser.sign_in("onni")
    first = nodes.nodes[0].stack
    first.end("apache")

    public, own = browser.visit("/"), browser.visit("/me")
    page = browser.sign_in("onni", asking=own)
    first.start_apache()
    nodes.wait_for_states(lambda states: set(states.values()) == {"UP"})

    assert (public.status_code, page.status_code) == (200, 200)
    assert page.url == f"{browser.stack.base_url}/me"
    assert browser.cookies[NODE_COOKIE] == "node2"


def use_memcached(nodes, host):
    """Have the nodes share a session store, as the operator's page says."""
    page = (DOCS / "operator" / "nodes.md").read_text("utf-8")
    (block,) = blocks(under(page, "Sessions of the Service Provider"), "xml")
    for each in nodes.nodes:
        for name in ("apache", "shibd"):
            each.stack.end(name)
        (each.stack.logs / "error.log").unlink()
        file = each.stack.directory / "shibboleth" / "shibboleth2.xml"
        text = re.sub("<OutOfProcess .*/>", block.replace("192.0.2.31:11211", host), file.read_text("utf-8"))
        file.write_text(text.replace('postData="ss:mem"', 'postData="ss:shared"'), "utf-8")
        each.stack.start_shibd()
        each.stack.start_apache()
    nodes.wait_for_states(lambda states: set(states.values()) == {"UP"})


# The last two: afterwards the nodes share a store of sessions, and there is no standby


def test_a_session_and_a_form_of_one_node_are_known_to_the_other_through_memcached(nodes):
    port = free_port()
    nodes.stack.start("memcached", "memcached", "--listen=127.0.0.1", f"--port={port}")
    nodes.stack.wait_for("memcached", lambda: accepts_connections(port))
    use_memcached(nodes, f"127.0.0.1:{port}")

    with HttpBrowser(nodes.stack) as person:
        go_to(person, "node1")
        form = {"token": "of another session"}
        asked = person.post(f"{nodes.stack.base_url}/me/start", data=form, timeout=TIMEOUT)
        answer = person.answer_for("onni", asking=asked)
        go_to(person, "node2")
        kept = form_of(person.submit(answer))
        go_to(person, "node1")
        page = person.visit("/me", allow_redirects=False)

    assert (kept.action, kept.fields["token"]) == (f"{nodes.stack.base_url}/me/start", "of another session")
    assert page.status_code == 200
    assert person.cookies[NODE_COOKIE] == "node1"


def test_failover(nodes, browser):
    """The primary is killed while people link, and the standby promoted: no confirmed link is lost."""
    known = PEOPLE[1].orcid
    link_in(browser, browser.sign_in("veera"), known)
    load = Load(nodes)

    with load.running(f"veera@{SAIMAA.scope}", f"https://sandbox.orcid.org/{known}"):
        wait_until(load, lambda: all(each.succeeded_since(0) >= 3 for each in load.logs.values()))
        killed = time.monotonic()
        nodes.cluster.kill_primary()
        # Until the cluster manager notices: people and programs have noticed before
        wait_until(load, lambda: all(load.logs[each].failed() for each in ("page of a linking", "worker ready")))
        while_away = ask_new_connector(nodes.nodes[0], f"veera@{SAIMAA.scope}")
        nodes.cluster.promote_standby()
        promoted, before = time.monotonic(), set(received)
        wait_until(load, lambda: all(each.succeeded_since(promoted) >= 3 for each in load.logs.values()))
        wait_until(load, lambda: any(each.startswith("a") for each in set(received) - before))
        delivered = time.monotonic()

    store = open_store(nodes.cluster.url(nodes.database))
    lost = [
        account
        for account, orcid in load.confirmed.items()
        if [each.bare for each in store.links.orcid_ids("saimaa", account)] != [orcid]
    ]
    broken = store.audit.verify("saimaa")
    store.close()
    table = [f"{'':40}{'tries':>8}{'failed':>8}{'s after kill':>14}{'s after promotion':>19}{'longest s':>11}"]
    for name, log in load.logs.items():
        since = f"{log.working_since(killed):14.1f}{log.working_since(promoted):19.1f}{log.longest():11.1f}"
        table.append(f"{name:40}{len(log.tries):8}{log.failed():8}{since}")
    table.append(f"standby promoted {promoted - killed:.1f} s after the kill")
    table.append(f"worker delivered {delivered - promoted:.1f} s after the promotion")
    table.append(f"confirmed links {len(load.confirmed)}, lost {len(lost)}")
    sys.stdout.write("\n" + "\n".join(table) + "\n")

    assert lost == []
    assert broken == []
    assert json.loads(while_away["/v1/people"]) == {"eduPersonOrcid": [f"https://sandbox.orcid.org/{known}"]}
    assert json.loads(while_away["/readyz"])["error"].startswith("look-ups are answered, but nothing can be written: ")
    standby = load.logs["look-up, node with standby_lookups"]
    assert any(right and killed < begun and ended < promoted for begun, ended, right in standby.tries)
    # None fails; on a machine that is too slow, one may miss its deadline
    assert standby.failed() <= len(standby.tries) // 100
    # Of those that came to the other node first, some may have been retried there
    assert load.logs["look-up, through the balancer"].failed() <= 5
    assert max(each.longest() for each in load.logs.values()) < 15
    assert not any(restarted(node, name) for node in nodes.nodes for name in READY)


def ask_new_connector(node, account):
    """Start one more connector of a node, and return what it answers, by path."""
    path, sock = node.configuration.with_name("second.toml"), node.stack.run / "second.sock"
    path.write_text(node.configuration.read_text().replace(str(node.stack.run / "connector.sock"), str(sock)))
    path.chmod(0o644)
    node.stack.start_ours("second", "-m", "webapp", "--config", str(path), "connector")
    node.stack.wait_for("second", lambda: READY["connector"] in node.stack.log("second"))
    headers, found = {"Authorization": f"Bearer {token_of(SAIMAA)}"}, {}
    for place, query in (("/v1/people", f"?account={account}"), ("/readyz", "")):
        with closing(UnixConnection(str(sock))) as connection:
            connection.request("GET", place + query, headers=headers)
            found[place] = connection.getresponse().read()
    return found


def wait_until(load, true):
    end = time.monotonic() + CLAIMS
    while not true():
        assert not load.errors, load.errors
        assert time.monotonic() < end, "\n".join(
            f"{name}: {len(log.tries)}, failed {log.failed()}" for name, log in load.logs.items()
        )
        time.sleep(0.05)
