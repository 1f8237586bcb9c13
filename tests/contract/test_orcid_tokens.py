"""ORCID's tokens: kept sealed while they are needed, and revoked at ORCID after that, whatever ORCID does."""

from __future__ import annotations

import logging
import socket
import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from time import monotonic

import pytest
from cryptography.fernet import Fernet

from demo.orcid.simulator import Client
from resolver_connector.orcid.clients import OrcidClients, OrcidCredentials
from resolver_connector.orcid.revocation import THREAD, RevocationOutcome, Revoker
from resolver_connector.orcid.sealing import CannotOpen, InvalidKey, TokenPair, TokenSealer
from resolver_connector.orcid.tokens import GrantedTokens
from shibboleth.orcid_id import Registry
from sql.errors import StoreUnavailable
from sql.records import AffiliationSection
from tests.support.delivery import LogRecorder
from tests.support.factories import CLIENT_ID, NOON, UNIVERSITY, answered, make_consent, make_orcid_id
from tests.support.service import (
    AKE,
    CALLBACK,
    MAIJA,
    Clock,
    WebClient,
    make_orcid_client,
    make_revocation_queue,
    make_token_service,
    make_web_app,
    run_orcid_simulator,
)
from tests.support.store_faults import make_failing_store, make_store_with_hook
from webapp.app import make_app

KEYS = tuple(Fernet.generate_key().decode() for _ in range(2))
PERSON = "maija@yliopisto.example"
PAIR = TokenPair("an-access-token", "a-refresh-token")
OWN = Client("APP-0B0B0B0B0B0B0B0B", "the-organisations-secret", "University", (CALLBACK,))
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def running():
    with run_orcid_simulator() as both:
        yield both


@pytest.fixture
def orcid(running):
    running[0].reset()
    return running


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def maija(store, orcid, clock):
    return WebClient(make_app(make_web_app(store, orcid[1], clock, token_keys=KEYS)))


@pytest.fixture
def without_key(store, orcid, clock):
    return WebClient(make_app(make_web_app(store, orcid[1], clock)))


@pytest.fixture
def log():
    return LogRecorder()


@dataclass
class Removed:
    """A person who linked and removed an iD, so that a pair is due, and the worker's queue."""

    store: object
    orcid: object
    maija: object
    clock: object
    log: object

    def revoke_due(self, **other):
        """Let a worker of its own revoke what is due."""
        revoke_due(self.store, self.orcid, self.clock, **{"report": self.log} | other)

    @property
    def token(self):
        (found,) = stored(self.store)
        return found


@pytest.fixture
def removed(store, orcid, maija, clock, log):
    maija.link(orcid[0])
    remove(maija)
    return Removed(store, orcid, maija, clock, log)


@pytest.fixture
def impatient(monkeypatch):
    """Wait for ORCID half a second only."""
    monkeypatch.setattr("resolver_connector.orcid.tokens.REVOKE_TIMEOUT", 0.5)
    monkeypatch.setattr("resolver_connector.orcid.revocation.TRY_TIMEOUT", 0.5)


def revoke_due(store, orcid, clock, **other):
    """Let a worker of its own revoke what is due."""
    make_revocation_queue(store, other.pop("client", orcid[1]), other.pop("keys", KEYS), clock, **other).run()


def unavailable():
    raise StoreUnavailable("the disk is full")


def join_queue():
    """Wait for the threads of queues that were started."""
    for each in threading.enumerate():
        if each.name == THREAD:
            each.join(60)


def live(simulator, bare=MAIJA):
    """Count the live pairs of a person at ORCID."""
    return len(simulator.live_tokens(bare))


def remove(person):
    page = person.get("/me/remove")
    return person.post("/me/remove", {"token": page.field("token"), "shown": page.field("shown")})


def stored(store):
    return store.orcid_tokens.list_for_person(UNIVERSITY, PERSON)


# With a key


def test_a_pair_is_kept_sealed_as_long_as_the_link_and_then_revoked(store, orcid, maija, clock):
    simulator, _ = orcid
    maija.link(simulator)
    revoke_due(store, orcid, clock)

    (token,) = stored(store)
    (pair,) = simulator.live_tokens(MAIJA)
    assert (token.client_id, token.scope, token.obtained_at) == (CLIENT_ID, "/authenticate", NOON)
    assert timedelta(days=19 * 365) < token.expires_at - NOON < timedelta(days=21 * 365)
    assert token.link == store.links.get(UNIVERSITY, PERSON).id
    assert TokenSealer(KEYS).open(token.id, token.sealed) == TokenPair(pair.access, pair.refresh)
    assert "usually within a minute" in maija.get("/me/remove").text
    removed = maija.get(remove(maija).location).text
    assert "usually within a minute" in removed
    assert live(simulator) == 1
    revoke_due(store, orcid, clock)
    assert live(simulator) == 0
    (token,) = stored(store)
    assert (token.sealed, token.revoked_at) == (None, NOON)


def test_every_attempt_without_a_link_gives_its_pair_back(store, orcid, maija, clock):
    """Cancelled; refused, as another iD came; held by somebody else; never confirmed."""
    simulator, _ = orcid
    ake = WebClient(maija.app, "ake@yliopisto.example")
    ake.link(simulator, AKE)
    revoke_due(store, orcid, clock)
    assert live(simulator, AKE) == 1

    place = maija.return_from_orcid(simulator)
    maija.post(f"{place}/cancel", {"token": maija.get(place).field("token")})
    maija.return_from_orcid(simulator, AKE)
    maija.return_from_orcid(simulator)
    simulator.faults.arm("token", "scope_reduced")
    maija.return_from_orcid(simulator)
    assert live(simulator) + live(simulator, AKE) == 5
    clock.passes(hours=2)
    store.orcid_tokens.make_due(clock.now)
    revoke_due(store, orcid, clock)

    assert (live(simulator), live(simulator, AKE)) == (0, 1)


def test_linking_the_same_id_again_leaves_one_pair(store, orcid, maija, clock):
    simulator, _ = orcid
    maija.link(simulator)
    maija.return_from_orcid(simulator)
    assert live(simulator) == 2

    revoke_due(store, orcid, clock)

    assert live(simulator) == 1
    remove(maija)
    revoke_due(store, orcid, clock)
    assert live(simulator) == 0


def test_an_answer_whose_id_token_is_wrong_leaves_no_live_pair(store, orcid, clock):
    simulator, client = orcid
    openid = make_orcid_client(client.base_url, scope="openid")
    maija = WebClient(make_app(make_web_app(store, openid, clock, token_keys=KEYS)))
    simulator.faults.arm("token", "other_id")

    maija.return_from_orcid(simulator)

    assert live(simulator) == 1
    revoke_due(store, orcid, clock)
    assert live(simulator) == 0


def test_a_store_that_fails_at_the_pair_costs_neither_the_link_nor_the_revocation(store, orcid, clock):
    simulator, client = orcid
    web_app = make_web_app(store, client, clock, token_keys=KEYS)
    tokens = replace(web_app.context.linking.tokens, store=make_failing_store(store, 1, unavailable))
    linking = replace(web_app.context.linking, tokens=tokens)
    maija = WebClient(make_app(replace(web_app, context=replace(web_app.context, linking=linking))))

    place = maija.return_from_orcid(simulator)

    assert live(simulator) == 0
    assert "Maija" in maija.get(place).text
    assert stored(store) == []


# Without a key


def test_without_a_key_the_pair_is_revoked_at_once_and_not_stored(store, orcid, without_key):
    simulator, _ = orcid

    without_key.link(simulator)

    assert store.links.get(UNIVERSITY, PERSON) is not None
    assert (live(simulator), len(simulator.call_log.list_requests("/oauth/revoke"))) == (0, 1)
    assert stored(store) == []
    assert "was revoked right after" in without_key.get("/me/remove").text


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", ["revoke_500", "html", "server_error_401", "invalid_client", "slow"])
def test_without_a_key_a_failed_revocation_is_logged_and_counted_and_costs_nothing(
    store, orcid, without_key, caplog, fault
):
    simulator, _ = orcid
    caplog.set_level(logging.INFO, "orcid-connect")
    simulator.faults.arm("revoke", fault)
    began = monotonic()

    without_key.link(simulator)

    assert monotonic() - began < 20
    simulator.faults.clear()
    assert store.links.get(UNIVERSITY, PERSON) is not None
    (line,) = [each for each in caplog.records if each.msg == "orcid-token-not-revoked"]
    assert line.facts["client"] == CLIENT_ID
    assert store.statistics.totals(UNIVERSITY)["revocation", "lost"] == 1


def test_without_a_key_a_refused_answer_leaves_no_live_pair(orcid, without_key):
    simulator, _ = orcid
    simulator.faults.arm("token", "scope_reduced")

    without_key.return_from_orcid(simulator)

    assert live(simulator) == 0


def test_a_pair_that_comes_after_the_exchange_was_given_up_is_revoked(store, orcid, log):
    simulator, client = orcid
    tokens = make_token_service(store, client, report=log)
    pair = simulator.issue_tokens(CLIENT_ID, MAIJA, ("/authenticate",))
    granted = GrantedTokens(TokenPair(pair.access, pair.refresh), frozenset())

    with tokens.receive(answered(store), client.credentials, NOON) as received:
        pass
    received.take(granted)

    assert live(simulator) == 0


def test_a_count_that_cannot_be_written_is_logged(store, log):
    failing = make_failing_store(store, 1, unavailable)
    tokens = make_token_service(failing, make_orcid_client("http://127.0.0.1:9"), report=log)

    tokens.revoke_now(PAIR, UNIVERSITY, tokens.clients.service, NOON)

    assert log.words() == ["orcid-token-not-revoked", "store-unavailable"]


# Revocation by the worker

FAILURES = {
    "500": ("revoke_500", {}, 1),
    "503": ("5xx", {}, 1),
    "a web page": ("html", {}, 1),
    "a web page that says 200": ("html", {"status": 200}, 1),
    "401 of the proxy": ("server_error_401", {}, 1),
    "an answer that breaks off": ("cut", {}, 0),
    "the client is not accepted": ("invalid_client", {}, 1),
}


@pytest.mark.parametrize(("fault", "words", "left"), FAILURES.values(), ids=FAILURES)
def test_a_revocation_is_retried_until_orcid_confirms_it(removed, fault, words, left):
    simulator, clock, log = removed.orcid[0], removed.clock, removed.log
    simulator.faults.arm("revoke", fault, **words)

    removed.revoke_due()

    assert live(simulator) == left
    outcome = "misconfigured" if fault == "invalid_client" else "temporary"
    token = removed.token
    assert (token.outcome, token.tries, token.revoked_at, token.leased_by) == (outcome, 1, None, None)
    assert log.words() == ["orcid-token-revocation-failed"]
    assert removed.store.statistics.totals(UNIVERSITY)["revocation", "failed"] == 1
    removed.revoke_due()
    assert removed.token.tries == 1
    clock.passes(hours=1)
    removed.revoke_due()
    assert live(simulator) == 0
    assert removed.token.revoked_at == clock.now
    assert log.words()[1:] == ["orcid-token-revoked"]


def test_a_revocation_is_never_given_up(removed):
    simulator = removed.orcid[0]
    simulator.faults.arm_always("revoke", "revoke_500")
    for _ in range(12):
        removed.revoke_due()
        removed.clock.passes(days=2)
    assert removed.token.tries == 12

    simulator.faults.clear()
    removed.revoke_due()

    assert live(simulator) == 0


@pytest.mark.usefixtures("impatient")
def test_orcid_that_is_stopped_holds_up_nothing(removed):
    """As by SIGSTOP: the system takes the connection, and no process answers."""
    store, maija = removed.store, removed.maija
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stopped = make_orcid_client(f"http://127.0.0.1:{silent.getsockname()[1]}")
        queue = make_revocation_queue(store, stopped, KEYS, removed.clock, report=removed.log)
        began = monotonic()
        queue.start(NOON)
        queue.start(NOON)
        assert maija.link(removed.orcid[0]).status == 200
        assert monotonic() - began < 20
        join_queue()

    (failed,) = [facts for word, facts in removed.log.lines if word == "orcid-token-revocation-failed"]
    assert (failed["outcome"], failed["reason"]) == ("temporary", "no answer in time")
    assert store.links.get(UNIVERSITY, PERSON) is not None


def test_after_a_failure_the_client_is_left_alone_for_a_while(store, orcid, clock, log):
    simulator, client = orcid
    app = make_app(make_web_app(store, client, clock, token_keys=KEYS))
    for number, bare in enumerate((MAIJA, AKE)):
        person = WebClient(app, f"person{number}@yliopisto.example")
        person.link(simulator, bare)
        remove(person)
    simulator.faults.arm("revoke", "revoke_500")
    queue = make_revocation_queue(store, client, KEYS, clock, report=log)

    queue.run()
    queue.run()

    assert log.words() == ["orcid-token-revocation-failed"]
    assert live(simulator) + live(simulator, AKE) == 2


def test_a_queue_that_is_stopped_takes_no_further_pair(removed):
    queue = make_revocation_queue(removed.store, removed.orcid[1], KEYS, removed.clock, report=removed.log)

    queue.stop()
    queue.run()

    assert (live(removed.orcid[0]), removed.log.lines) == (1, [])


def test_the_pairs_of_an_organisations_client_wait_until_its_items_are_ended(store, orcid, clock, log):
    simulator, client = orcid
    simulator.add_client(OWN)
    own = replace(client.credentials, client_id=OWN.client_id, client_secret=OWN.secret)
    tokens = make_token_service(store, client, KEYS, organisations={UNIVERSITY: own}, report=log)
    pair = simulator.issue_tokens(OWN.client_id, MAIJA, ("/activities/update",))
    attempt = answered(store, PERSON, IDS[0])
    granted = GrantedTokens(TokenPair(pair.access, pair.refresh), frozenset(["/activities/update"]))
    assert tokens.store_sealed(granted, attempt, own, NOON)
    store.links.add(attempt, "", make_consent(), None, NOON, "link", ("records",))
    store.affiliations.add_item("link", AffiliationSection.EMPLOYMENT, OWN.client_id, NOON)
    store.links.remove(UNIVERSITY, PERSON, "person", "asked to", NOON, None, ("records",))
    queue = make_revocation_queue(store, client, KEYS, clock, report=log, clients=tokens.clients)

    queue.run()
    assert (live(simulator), log.lines) == (1, [])
    (item,) = store.affiliations.list_items(UNIVERSITY, PERSON)
    store.affiliations.delete_item(UNIVERSITY, PERSON, item, NOON)
    queue.run()

    assert live(simulator) == 0
    assert [facts["tries"] for _, facts in log.lines] == [1]


def test_a_client_that_is_configured_no_more_cannot_revoke(removed):
    another = make_orcid_client(removed.orcid[1].base_url, client_id="APP-ANOTHER")

    removed.revoke_due(client=another)

    assert (live(removed.orcid[0]), removed.token.outcome) == (1, "misconfigured")
    assert removed.log.lines[0][1]["reason"] == "the configuration has no ORCID client with this id"


def test_a_revocation_in_a_thread_logs_what_went_wrong(store, orcid, clock, log):
    failing = make_store_with_hook(store, "list_clients_with_due_revocations", unavailable)
    make_revocation_queue(failing, orcid[1], KEYS, clock, report=log).start(NOON)
    join_queue()
    make_revocation_queue(None, orcid[1], KEYS, clock, report=log).start(NOON)
    join_queue()

    assert log.words() == ["store-unavailable"]
    assert [type(each) for each in log.bugs] == [AttributeError]


def test_as_many_calls_as_may_wait_for_orcid_do_not_become_more():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = make_orcid_client(f"http://127.0.0.1:{silent.getsockname()[1]}").credentials
        revoker = Revoker(max_threads=1)
        first = revoker.revoke(client, PAIR, 0.1, NOON)
        second = revoker.revoke(client, PAIR, 0.1, NOON)

    assert (first.outcome, first.reason) == (RevocationOutcome.TEMPORARY, "no answer in time")
    assert (second.outcome, second.reason) == (
        RevocationOutcome.TEMPORARY,
        "1 earlier calls still wait for its answer",
    )


# Sealing


def test_what_is_sealed_opens_in_its_own_row_with_any_of_the_keys():
    old, new = TokenSealer(KEYS[1:]), TokenSealer(KEYS)
    sealed = old.seal("one", PAIR)

    assert new.open("one", sealed) == old.open("one", sealed) == PAIR
    assert new.opens("one", sealed)
    for sealer, row, text in (
        (TokenSealer(KEYS[:1]), "one", sealed),
        (new, "another", sealed),
        (new, "one", sealed[:-4] + "AAAA"),
        (new, "one", "not sealed at all, ä"),
        (new, "one", ""),
    ):
        assert not sealer.opens(row, text)
        with pytest.raises(CannotOpen):
            sealer.open(row, text)
    assert "token" not in sealed


def test_a_pair_is_sealed_anew_with_the_first_key():
    old, new = TokenSealer(KEYS[1:]), TokenSealer(KEYS)
    anew = new.reseal("one", old.seal("one", PAIR))

    assert TokenSealer(KEYS[:1]).open("one", anew) == PAIR
    assert new.reseal("one", anew) is None


@pytest.mark.parametrize("keys", [(), ("",), ("short",), (KEYS[0], "no key")])
def test_what_is_no_key_is_refused_without_being_quoted(keys):
    with pytest.raises(InvalidKey) as refused:
        TokenSealer(keys)

    assert not [each for each in keys if each and each in str(refused.value)]


@pytest.mark.parametrize("keys", [(Fernet.generate_key().decode(),), ()], ids=["wrong", "lost"])
def test_without_the_key_the_link_goes_on_and_the_pair_waits(removed, keys):
    simulator, maija = removed.orcid[0], removed.maija

    removed.revoke_due(keys=keys)

    assert (live(simulator), removed.token.outcome) == (1, "unreadable")
    assert maija.link(simulator).status == 200
    removed.clock.passes(days=2)
    removed.revoke_due()
    assert live(simulator) == 1
    assert removed.store.links.get(UNIVERSITY, PERSON) is not None


def test_no_token_is_in_a_log_a_page_a_repr_or_an_exception(store, orcid, maija, clock, caplog):
    simulator, _ = orcid
    with caplog.at_level(logging.DEBUG):
        pages = [maija.link(simulator)]
        remove(maija)
        simulator.faults.arm("revoke", "revoke_500")
        revoke_due(store, orcid, clock)
        pages += [maija.get("/me/data"), maija.get("/me/data.json"), maija.get("/me")]
    tokens = list(simulator.data.by_access_token) + list(simulator.data.by_refresh_token)
    (token,) = stored(store)
    pair = TokenPair(tokens[0], tokens[-1])
    said = [
        caplog.text,
        str([vars(line) for line in caplog.records]),
        *(page.text + str(page.headers) for page in pages),
        *map(repr, (token, pair, GrantedTokens(pair, frozenset()), orcid[1].credentials, orcid[1])),
    ]

    assert len(tokens) == 2
    secrets = [*tokens, token.sealed, orcid[1].client_secret]
    assert [each for each in secrets if any(each in text for text in said)] == []
    assert '"scope": "/authenticate"' in pages[2].text


# Access tokens of an organisation's own client

OWN_CLIENT = OrcidCredentials(OWN.client_id, OWN.secret, "http://127.0.0.1:9", Registry.SANDBOX)
IDS = tuple(make_orcid_id(number, Registry.SANDBOX) for number in (1, 2))


@pytest.fixture
def tokens(store, orcid, log):
    return make_token_service(store, orcid[1], KEYS, organisations={UNIVERSITY: OWN_CLIENT}, report=log)


def grant(tokens, pair, scopes=("/activities/update", "/authenticate"), *, orcid_id=IDS[0], at=NOON, **other):
    """Let ORCID give a pair, and the person confirm."""
    attempt = answered(tokens.store, PERSON, orcid_id)
    current = tokens.store.links.get(UNIVERSITY, PERSON)
    granted = GrantedTokens(TokenPair(pair, ""), frozenset(scopes), other.get("expires_at"))
    assert tokens.store_sealed(granted, attempt, other.get("client", OWN_CLIENT), at)
    tokens.store.links.add(attempt, "", make_consent(), current and current.orcid_id, NOON, f"link {pair}")


def test_the_newest_pair_that_has_the_scope_gives_the_access_token(tokens):
    assert tokens.get_access_token(UNIVERSITY, PERSON, "/activities/update", NOON) is None
    grant(tokens, "older")
    grant(tokens, "newer", ("/read-limited",), at=NOON + DAY)

    update = tokens.get_access_token(UNIVERSITY, PERSON, "/activities/update", NOON)
    read = tokens.get_access_token(UNIVERSITY, PERSON, "/read-limited", NOON, orcid_id=IDS[0])

    assert (update.value, update.client_id, update.orcid_id) == ("older", OWN.client_id, IDS[0])
    assert read.value == "newer"
    assert "newer" not in repr(read)
    assert tokens.get_access_token(UNIVERSITY, PERSON, "/person/update", NOON) is None
    assert tokens.get_access_token(UNIVERSITY, PERSON, "/read-limited", NOON, orcid_id=IDS[1]) is None
    assert tokens.get_access_token("amk", PERSON, "/read-limited", NOON) is None


def test_the_services_own_client_an_expired_pair_and_an_open_attempt_give_none(tokens):
    grant(tokens, "national", client=tokens.clients.service)
    grant(tokens, "expired", expires_at=NOON + DAY)
    attempt = answered(tokens.store, PERSON, IDS[0])
    tokens.store_sealed(GrantedTokens(TokenPair("open"), frozenset({"/read-limited"})), attempt, OWN_CLIENT, NOON)

    assert tokens.get_access_token(UNIVERSITY, PERSON, "/activities/update", NOON).value == "expired"
    assert tokens.get_access_token(UNIVERSITY, PERSON, "/activities/update", NOON + DAY) is None
    assert tokens.get_access_token(UNIVERSITY, PERSON, "/read-limited", NOON) is None


def test_after_the_link_the_pair_is_only_for_what_is_left_to_do(tokens):
    grant(tokens, "old")
    grant(tokens, "new", orcid_id=IDS[1])

    assert tokens.get_access_token(UNIVERSITY, PERSON, "/activities/update", NOON).value == "new"
    ended = tokens.get_access_token(
        UNIVERSITY, PERSON, "/activities/update", NOON, orcid_id=IDS[0], ended_client_id=OWN.client_id
    )
    assert ended.value == "old"


def test_a_pair_that_no_key_opens_is_logged_and_left_out(tokens, caplog):
    grant(tokens, "sealed")
    wrong = replace(tokens, sealer=TokenSealer([Fernet.generate_key().decode()]))

    assert wrong.get_access_token(UNIVERSITY, PERSON, "/activities/update", NOON) is None
    assert replace(tokens, sealer=None).get_access_token(UNIVERSITY, PERSON, "/activities/update", NOON) is None
    assert [each.message for each in caplog.records] == ["orcid-token-unreadable"]


def test_a_permission_taken_back_at_orcid_is_told_to_the_person_and_ends_nothing(store, orcid, tokens, log, clock):
    grant(tokens, "pair", orcid_id=IDS[0])
    token = tokens.get_access_token(UNIVERSITY, PERSON, "/activities/update", NOON)

    tokens.record_withdrawn(token.token_id, NOON)
    tokens.record_withdrawn(token.token_id, NOON)

    assert tokens.get_access_token(UNIVERSITY, PERSON, "/activities/update", NOON) is None
    ended = tokens.get_access_token(UNIVERSITY, PERSON, "/activities/update", NOON, ended_client_id=OWN.client_id)
    assert ended.value == "pair"
    assert log.words() == ["orcid-permission-withdrawn"]
    maija = WebClient(make_app(make_web_app(store, orcid[1], clock)))
    page = maija.get("/me").text
    assert "ORCID no longer accepts the permission that you gave there" in page
    assert IDS[0].bare in page


def test_a_client_is_found_by_its_id():
    service = replace(OWN_CLIENT, client_id=CLIENT_ID)
    clients = OrcidClients(service, {UNIVERSITY: OWN_CLIENT})

    assert [clients.find(each) for each in (CLIENT_ID, OWN.client_id, "APP-1")] == [service, OWN_CLIENT, None]
    assert clients.ids_for(UNIVERSITY) == (CLIENT_ID, OWN.client_id)
    assert clients.ids_for("amk") == (CLIENT_ID,)


def test_a_pair_is_not_stored_when_the_program_has_a_bug(store, orcid, log):
    tokens = replace(make_token_service(store, orcid[1], KEYS, report=log), store=None)

    assert not tokens.store_sealed(GrantedTokens(PAIR, frozenset()), answered(store), OWN_CLIENT, NOON)
    assert [type(each) for each in log.bugs] == [AttributeError]
