"""A link that moves to another account of the same person: what is stored, told to receivers, and shown."""

import io
import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from resolver_connector.app import Connector
from resolver_connector.credentials import Bearer, Credentials, Right
from resolver_connector.transfers.base import DeliveryResult, Outcome
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisations, Stage
from sql.errors import AccountLinked, AttemptClosed, LinkChanged
from sql.records import DeliveryState
from tests.support.configuration import store_section, write_configuration
from tests.support.delivery import Idm, UniqueRegister, make_dispatcher, make_worker
from tests.support.factories import (
    NOON,
    POLYTECHNIC,
    UNIVERSITY,
    make_attempt,
    make_client,
    make_link,
    make_orcid_id,
    make_organisation,
    make_person,
)
from tests.support.openapi import must_be_documented
from tests.support.service import AKE, MAIJA, Clock, WebClient, ask, make_orcid_client, make_web_app, orcid_id
from webapp.app import make_app
from webapp.checks.links.renamed import check_renamed
from webapp.checks.result import Level
from webapp.cli.main import main
from webapp.pages.my_data import data_sections

OLD, NEW = "maija@yliopisto.example", "maija.uusi@yliopisto.example"
FIRST, SECOND = make_orcid_id(1), make_orcid_id(2)
LATER = NOON + timedelta(hours=1)
MINUTE = timedelta(minutes=1)
STABLE = "subject-id:a@yliopisto.example"


def move(store, old=OLD, new=NEW, now=LATER, **other):
    return store.links.move(UNIVERSITY, old, new, "operator", "renamed", now, transfers=("idm",), **other)


@pytest.fixture
def clock():
    return Clock(LATER + timedelta(hours=1))


def test_the_link_has_the_new_account_and_one_change_names_both(store):
    make_link(store, OLD, FIRST, stable_id=STABLE)

    change = move(store)

    link = store.links.get(UNIVERSITY, "maija.uusi@yliopisto.example")
    assert (link.orcid_id, link.account, link.stable_id, link.current) == (FIRST, NEW, STABLE, True)
    assert store.links.get(UNIVERSITY, OLD) is None
    assert (change.kind, change.account, change.previous_account) == ("moved", NEW, OLD)
    assert (change.orcid_id, change.previous) == (FIRST, None)
    assert store.changes.list_after(UNIVERSITY, 1, 10) == [change]
    events = [(each.kind, each.person_key) for each in store.audit.list_events(UNIVERSITY)]
    assert events == [("linked", OLD), ("moved", NEW), ("moved-away", OLD)]
    assert store.audit.compare_with_links(UNIVERSITY) == []
    assert move(store) is None
    assert store.links.get(UNIVERSITY, NEW) == link


def test_a_link_moves_to_no_account_that_has_one_and_not_if_it_is_another(store):
    make_link(store, OLD, FIRST)
    make_link(store, NEW, SECOND)

    with pytest.raises(AccountLinked):
        move(store)
    with pytest.raises(AccountLinked):
        move(store, new=OLD.upper())
    with pytest.raises(LinkChanged):
        move(store, new="third@yliopisto.example", expected=SECOND)
    assert [each.orcid_id for each in store.links.list_current(UNIVERSITY)] == [SECOND, FIRST]


def test_a_claim_that_is_closed_moves_nothing(store):
    make_link(store, OLD, FIRST)

    with pytest.raises(AttemptClosed):
        move(store, claim="closed-and-deleted")

    assert store.links.get(UNIVERSITY, OLD).orcid_id == FIRST
    assert store.links.get(UNIVERSITY, NEW) is None


def test_a_stable_id_finds_its_link_and_nothing_finds_one_without(store):
    make_link(store, OLD, FIRST, stable_id=STABLE)
    make_link(store, NEW, SECOND)

    assert [each.account for each in store.links.list_by_stable_id(UNIVERSITY, STABLE)] == [OLD]
    assert store.links.list_by_stable_id(UNIVERSITY, "") == []


@pytest.mark.parametrize("removal", list(Outcome))
def test_a_receiver_without_moves_gets_a_removal_and_a_new_id(store, clock, removal):
    make_link(store, OLD, FIRST)
    move(store)
    idm = Idm()
    idm.deliver_to = {OLD: DeliveryResult(removal, "Said so"), NEW: DeliveryResult(Outcome.STORED, "Good")}
    send = idm.deliver
    idm.deliver = lambda message, **how: (send(message, **how), idm.deliver_to[message.account])[1]

    make_worker(store, {"idm": idm}, clock).run_once()

    (delivery,) = store.deliveries.list_for_change(UNIVERSITY, 2)
    told = [(each.kind, each.account, each.orcid_id, each.previous, each.reason) for each in idm.got]
    first = ("removed", OLD, None, FIRST, "moved")
    if removal in {Outcome.TEMPORARY, Outcome.MISCONFIGURED}:
        assert (told, delivery.state) == ([first], DeliveryState.WAITING)
        return
    assert told == [first, ("linked", NEW, FIRST, None, "moved")]
    assert (delivery.state, delivery.outcome) == (DeliveryState.DONE, "stored")
    assert ("not removed" in delivery.message) is (removal not in {Outcome.STORED, Outcome.ALREADY_THERE})


def test_a_receiver_that_knows_moves_gets_one_message(store, clock):
    make_link(store, OLD, FIRST)
    move(store)
    idm = Idm()
    idm.writes_moves = True

    make_worker(store, {"idm": idm}, clock).run_once()

    assert [(each.kind, each.account, each.previous_account) for each in idm.got] == [("moved", NEW, OLD)]


def test_a_bug_of_a_receiver_is_retried(store, clock):
    make_link(store, OLD, FIRST)
    move(store)
    idm = Idm()
    idm.deliver = lambda *_, **__: 1 / 0

    make_worker(store, {"idm": idm}, clock).run_once()

    (delivery,) = store.deliveries.list_for_change(UNIVERSITY, 2)
    assert (delivery.waiting, delivery.outcome) == (True, "temporary")


def test_changes_of_both_accounts_reach_a_receiver_in_their_order(store, clock):
    register = UniqueRegister()
    register.away = True
    make_link(store, OLD, FIRST, transfers=("idm",))
    move(store)
    make_link(store, OLD, SECOND, now=LATER, transfers=("idm",))
    make_link(store, NEW, make_orcid_id(3), now=LATER, transfers=("idm",))
    claimed = store.deliveries.claim("w", clock.now, timedelta(minutes=1), 10)
    assert [each.change_number for each in claimed] == [1]
    assert store.deliveries.has_earlier_waiting(store.deliveries.list_for_change(UNIVERSITY, 2)[0])
    assert store.deliveries.has_earlier_waiting(store.deliveries.list_for_change(UNIVERSITY, 3)[0])
    dispatcher = make_dispatcher(store, {"idm": register}, clock)
    for number in (4, 3, 2):
        dispatcher.deliver_now(store.changes.list_after(UNIVERSITY, number - 1, 1)[0])
        assert store.deliveries.list_for_change(UNIVERSITY, number)[0].tries == 0

    clock.passes(days=1)
    register.away = False
    for _ in range(6):
        make_worker(store, {"idm": register}, clock).run_once()

    assert register.holds == {OLD: SECOND, NEW: make_orcid_id(3)}


def test_an_undelivered_change_of_the_earlier_account_is_made_up_for(store, clock):
    make_link(store, OLD, FIRST)
    make_link(store, OLD, SECOND, now=LATER, transfers=("idm",))
    (replaced,) = store.deliveries.claim("w", clock.now, timedelta(minutes=1), 10)
    store.deliveries.dead_letter(replaced, "w", "refused", "", clock.now)
    move(store)
    idm = Idm()

    make_worker(store, {"idm": idm}, clock).run_once()

    _, missed, moved = store.changes.list_after(UNIVERSITY, 0, 10)
    assert [(each.kind, each.account, each.previous, each.id, each.number, each.reason) for each in idm.got] == [
        ("removed", OLD, FIRST, missed.id, 2, None),
        ("removed", OLD, SECOND, moved.id, 3, "moved"),
        ("linked", NEW, None, moved.id, 3, "moved"),
    ]
    assert store.deliveries.list_for_change(UNIVERSITY, 2)[0].outcome == "superseded"


def sections(store, account):
    return {each.section.name: each.records for each in data_sections(store, make_person(account), 50)}


def test_the_person_sees_both_accounts_data_and_a_new_holder_of_the_old_one_none(store):
    make_link(store, OLD, SECOND, issued="20040101")
    store.links.end_earlier_holder(UNIVERSITY, OLD, make_person(OLD, account_issued_at="20240101"), NOON)
    make_link(store, OLD, FIRST, now=NOON + timedelta(minutes=1))
    move(store)
    move(store, NEW, "third@yliopisto.example", LATER + timedelta(hours=1))

    mine, theirs = sections(store, "third@yliopisto.example"), sections(store, OLD)

    assert [each.kind for each in mine["changes"]] == ["moved", "moved", "linked"]
    assert [each.kind for each in mine["events"]] == ["moved", "moved-away", "moved", "moved-away", "linked"]
    assert SECOND not in {each.orcid_id for each in (*mine["links"], *mine["changes"])}
    assert {name: [*records] for name, records in theirs.items() if records and name not in {"you", "feed"}} == {}


def test_an_erasure_erases_what_is_stored_under_the_earlier_account_too(store):
    make_link(store, OLD, FIRST)
    store.links.move(UNIVERSITY, OLD, NEW, "person", "moved by the person", LATER)

    erased = store.erasures.erase(UNIVERSITY, NEW, "person", "asked to", LATER + timedelta(hours=1))

    assert erased.finished
    assert {each.person_key for each in store.audit.list_events(UNIVERSITY)} == {None}
    assert store.changes.list_for_person(UNIVERSITY, OLD) == []
    assert json.dumps([dict(each.facts) for each in store.audit.list_events(UNIVERSITY)]).count("@") == 0


def test_an_erasure_does_not_overtake_a_move(store, clock):
    make_link(store, OLD, FIRST)
    move(store)
    store.erasures.erase(UNIVERSITY, NEW, "person", "asked to", LATER, transfers=("idm",))
    idm = Idm()

    for _ in range(2):
        make_worker(store, {"idm": idm}, clock).run_once()

    assert [(each.kind, each.account) for each in idm.got] == [("removed", OLD), ("linked", NEW), ("removed", NEW)]


# --- By the organisation, and by command --------------------------------------------------------------------------

TOKEN = "t" * 40


def test_an_erasure_leaves_a_later_holder_of_the_earlier_account_alone(store):
    make_link(store, OLD, FIRST)
    move(store)
    make_link(store, OLD, SECOND, now=LATER + MINUTE)
    store.links.remove(UNIVERSITY, OLD, "person", "wanted", LATER + 2 * MINUTE, transfers=("idm",))
    store.erasures.erase(UNIVERSITY, OLD, "person", "wanted", LATER + 3 * MINUTE, transfers=("idm",))
    asked = store.erasures.get(UNIVERSITY, OLD)

    store.erasures.erase(UNIVERSITY, NEW, "person", "wanted", LATER + 4 * MINUTE)

    assert store.erasures.get(UNIVERSITY, OLD) == asked
    assert [each.orcid_id for each in store.links.list_for_person(UNIVERSITY, OLD)] == [SECOND]


def test_a_sign_in_that_began_before_a_move_records_nothing_with_the_moved_link(store):
    make_link(store, OLD, FIRST)
    read_before = store.links.get(UNIVERSITY, OLD)
    move(store)

    store.links.record_sign_in(read_before, make_person(OLD, stable_id=STABLE), LATER + timedelta(days=1))

    assert store.links.get(UNIVERSITY, NEW).stable_id == ""


def test_a_move_that_a_receiver_refused_is_made_up_for_by_the_next_change(store, clock):
    make_link(store, OLD, FIRST, transfers=("idm",))
    register = UniqueRegister()
    worker = make_worker(store, {"idm": register}, clock)
    worker.run_once()
    move(store)
    make_worker(store, {"idm": Idm(answer=DeliveryResult(Outcome.REFUSED, "no"))}, clock).run_once()
    assert register.holds == {OLD: FIRST}

    store.links.remove(UNIVERSITY, NEW, "person", "wanted", LATER, None, ("idm",))
    worker.run_once()

    assert register.holds == {}


def test_a_retried_change_waits_for_the_move_that_is_on_its_way(store, clock):
    make_link(store, OLD, FIRST, transfers=("idm",))
    (first,) = store.deliveries.claim("one", clock.now, MINUTE, 10)
    store.deliveries.dead_letter(first, "one", "refused", "", clock.now)
    move(store)
    assert len(store.deliveries.claim("two", clock.now, MINUTE, 10)) == 1

    store.deliveries.retry(UNIVERSITY, None, clock.now)

    assert store.deliveries.claim("three", clock.now, MINUTE, 10) == []


def test_a_new_holder_of_the_earlier_account_is_told_of_no_delivery(app, store, clock):
    make_link(store, OLD, FIRST, transfers=("idm",))
    make_worker(store, {"idm": Idm()}, clock).run_once()
    move(store)

    assert "has been told" not in WebClient(app, OLD).get("/me").text


def post(store, path, content, *rights):
    clients = Credentials([(Bearer(TOKEN), make_client(None, *rights))])
    connector = Connector(store, clients, Registry.PRODUCTION, lambda: LATER, {UNIVERSITY: ("idm",)})
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    words = {"HTTP_AUTHORIZATION": f"Bearer {TOKEN}", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
    answer = ask(connector, path, "POST", **words)
    must_be_documented("POST", path.replace(OLD, "x"), answer)
    return answer.status, json.loads(answer.body)


def released(store, query):
    organisation = make_organisation(stable_id="subject-id", needs_stable_id=True)
    clients = Credentials([(Bearer(TOKEN), make_client(organisation))])
    connector = Connector(store, clients, Registry.PRODUCTION, lambda: LATER)
    answer = ask(connector, f"/v1/people/{NEW}?{query}", HTTP_AUTHORIZATION=f"Bearer {TOKEN}")
    return json.loads(answer.body)["eduPersonOrcid"]


@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("by", ["organisation", "operator"])
def test_a_moved_link_keeps_the_stable_id_but_not_the_time_of_issue(tmp_path, store, store_url, by, forget):
    make_link(store, OLD, FIRST, stable_id=STABLE, issued="20240115")
    if by == "organisation":
        content = {"account": NEW} | ({"forget_stable_id": True} if forget else {})
        assert post(store, f"/v1/people/{OLD}/move", content, Right.MOVE) == (200, {"moved": True})
    else:
        path = write_configuration(tmp_path / "etc", store=store_section(tmp_path / "etc", store_url))
        words = ["--forget-stable-id"] if forget else []
        assert run(path, OLD, NEW, "--reason", "renamed", "--yes", *words).exit_code == 0

    asked = ("stable_id=a@yliopisto.example&issued=20250115", "stable_id=b@yliopisto.example")
    assert [released(store, query) for query in asked] == [[FIRST.uri], [FIRST.uri] if forget else []]


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        (f"/v1/people/{OLD}/move", {"account": NEW}, (200, {"moved": True})),
        (f"/v1/people/{OLD.upper()}/move", {"account": NEW}, (200, {"moved": True})),
        ("/v1/people/nobody@yliopisto.example/move", {"account": NEW}, (200, {"moved": False})),
        (f"/v1/people/{OLD}/move", {"account": "liisa@yliopisto.example"}, 409),
        (f"/v1/people/{OLD}/move", {"account": OLD}, 409),
        (f"/v1/people/{OLD}/move", {"account": "maija@amk.example"}, 400),
        (f"/v1/people/{OLD}/move", {"account": "maija"}, 400),
        (f"/v1/people/{OLD}/move", {"account": "ma\u200bija@yliopisto.example"}, 400),
        (f"/v1/people/{OLD}/move", {"account": "x" * 600}, 400),
        (f"/v1/people/{OLD}/move", {"account": ""}, 400),
        (f"/v1/people/{OLD}/move", {"account": 1}, 400),
        (f"/v1/people/{OLD}/move", {"account": NEW, "dry_run": True}, 400),
        (f"/v1/people/{OLD}/move", {"account": NEW, "forget_stable_id": "yes"}, 400),
        (f"/v1/people/{OLD}/move", {}, 400),
        (f"/v1/people/{OLD}/move", b"x", 400),
        ("/v1/people//move", {"account": NEW}, 400),
        (f"/v1/people/{OLD}", {"account": NEW}, 405),
    ],
)
def test_an_organisation_moves_a_link_with_the_right_to(store, path, content, expected):
    make_link(store, OLD, FIRST)
    make_link(store, "liisa@yliopisto.example", SECOND)

    status, answer = post(store, path, content, Right.MOVE)

    assert (status, answer) == expected if isinstance(expected, tuple) else status == expected
    moved = answer.get("moved") is True
    assert (store.links.get(UNIVERSITY, NEW) is not None) is moved
    assert (store.links.get(UNIVERSITY, OLD) is None) is moved
    assert [each.kind for each in store.deliveries.list_for_person(UNIVERSITY, NEW)] == ["moved"] * moved


def test_without_the_right_no_link_moves(store):
    make_link(store, OLD, FIRST)

    assert post(store, f"/v1/people/{OLD}/move", {"account": NEW}, *({*Right} - {Right.MOVE}))[0] == 403
    assert store.links.get(UNIVERSITY, OLD) is not None


def run(path, *words):
    return CliRunner().invoke(main, ["--config", str(path), "link", "move", "yliopisto", *map(str, words)])


def test_the_operator_moves_links_one_by_one_and_by_file(tmp_path, store, store_url):
    path = write_configuration(tmp_path / "etc", store=store_section(tmp_path / "etc", store_url))
    for number, account in enumerate((OLD, "liisa@yliopisto.example", "ville@yliopisto.example"), 1):
        make_link(store, account, make_orcid_id(number, Registry.SANDBOX))
    reason = ("--reason", "renamed")

    asked = run(path, OLD, NEW, *reason)
    moved = run(path, OLD, NEW, *reason, "--yes")
    again = run(path, OLD, NEW, *reason, "--yes", "--json")
    file = tmp_path / "renamed.csv"
    file.write_text(
        "old,new\nliisa@yliopisto.example,lm@yliopisto.example\nville@yliopisto.example,ville@amk.example\n"
        f"ville@yliopisto.example,{NEW}\nno\x00body,vv@yliopisto.example\n"
    )
    by_file = run(path, "--file", file, *reason, "--yes", "--json")

    assert (asked.exit_code, moved.exit_code, again.exit_code, by_file.exit_code) == (1, 0, 1, 1)
    assert f"{OLD} -> {NEW}" in asked.output
    assert f"{OLD} -> {NEW}: moved" in moved.output
    assert json.loads(again.output)["links"][0]["problem"] == "there is no link"
    assert [(each["moved"], each["problem"]) for each in json.loads(by_file.output)["links"]] == [
        (True, None),
        (False, "the new account cannot be one: it does not end in one of the organisation's domains"),
        (False, "the new account has a link of its own"),
        (False, "there is no link"),
    ]
    assert {each.account for each in store.links.list_current(UNIVERSITY)} == {
        NEW,
        "lm@yliopisto.example",
        "ville@yliopisto.example",
    }


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (None, [], "name OLD and NEW"),
        ("old,new\na,b\n", [OLD, NEW], "name OLD and NEW"),
        ("before,after\n", [], "old, new"),
        ('old,new\n"a,b\n', [], "line 2"),
    ],
)
def test_moves_that_are_impossible_are_reported(  # noqa: PLR0917 - fixtures
    tmp_path, store, store_url, content, words, said
):
    path = write_configuration(tmp_path / "etc", store=store_section(tmp_path / "etc", store_url))
    if content is not None:
        (tmp_path / "file.csv").write_text(content)
        words = [*words, "--file", tmp_path / "file.csv"]

    done = run(path, *words, "--reason", "renamed", "--yes")

    assert done.exit_code != 0
    assert said in done.output


# --- By the person, at the sign-in --------------------------------------------------------------------------------

SUBJECT = {"subject-id": "a@yliopisto.example"}
PRIOR = {"eduPersonPrincipalNamePrior": OLD.upper()}
ISSUED = {"funetEduPersonEPPNTimeStamp": "20260116"}


@pytest.fixture
def app(store, clock):
    organisations = Organisations.of([make_organisation(stage=Stage.TEST, stable_id="subject-id")])
    return make_app(
        make_web_app(store, make_orcid_client("http://127.0.0.1:1"), clock, organisations, transfers=("idm",))
    )


def confirm(client, page, **changes):
    form = {name: page.field(name) for name in ("token", "link", "shown")}
    return client.post("/me/move", {**form, **changes})


@pytest.mark.parametrize(
    ("said", "known"),
    [(SUBJECT, STABLE), (SUBJECT | PRIOR, STABLE), (PRIOR | ISSUED, ""), (SUBJECT | PRIOR | ISSUED, "")],
)
def test_a_person_sees_both_accounts_and_moves_the_link(app, store, clock, said, known):
    make_link(store, OLD, orcid_id(MAIJA), stable_id=known)
    clock.passes(days=1)
    maija = WebClient(app, NEW, said=said)

    notice, page = maija.get("/me").text, maija.get("/me/move")
    assert 'href="/me/move"' in notice
    assert all(each in page.text for each in (OLD, NEW, MAIJA))
    assert store.links.get(UNIVERSITY, NEW) is None
    assert confirm(maija, page).location == "/me"
    assert confirm(maija, page).location == "/me"

    assert store.links.get(UNIVERSITY, NEW).orcid_id.bare == MAIJA
    assert [each.kind for each in store.changes.list_after(UNIVERSITY, 1, 10)] == ["moved"]
    moved = [each for each in store.audit.list_events(UNIVERSITY, NEW) if each.kind == "moved"]
    assert [(each.actor, each.facts["reason"]) for each in moved] == [("person", "moved by the person")]
    me = maija.get("/me").text
    assert MAIJA in me
    assert "/me/move" not in me
    assert maija.get("/me/move").location == "/me"
    other = WebClient(app, OLD, said={"subject-id": "b@yliopisto.example"})
    assert all(MAIJA not in other.get(path).text for path in ("/me", "/me/data", "/me/data.json"))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, ""),
        ({"subject-id": ""}, ""),
        ({"subject-id": "a@amk.example"}, ""),
        ({"subject-id": "b@yliopisto.example"}, ""),
        ({"subject-id": "b@yliopisto.example"} | PRIOR, "another stable id"),
        (PRIOR, "the earlier account may have another holder"),
        (PRIOR | ISSUED, "the earlier account may have another holder"),
        ({"eduPersonPrincipalNamePrior": NEW}, ""),
        ({"eduPersonPrincipalNamePrior": "nobody@yliopisto.example"}, ""),
        ({"funetEduPersonEPPNTimeStamp": "20240115"}, ""),
        ("today", "the earlier account was used today"),
        ("twice", "several links"),
    ],
)
def test_insufficient_evidence_of_a_rename_moves_nothing(  # noqa: PLR0917 - fixtures
    app, store, clock, caplog, said, reason
):
    caplog.set_level("WARNING", "orcid-connect")
    make_link(store, OLD, orcid_id(MAIJA), stable_id=STABLE, issued="20240115")
    if said != "today":
        clock.passes(days=1)
    if said == "twice":
        make_link(store, "third@yliopisto.example", orcid_id(AKE), stable_id=STABLE)
    maija = WebClient(app, NEW, said=said if isinstance(said, dict) else SUBJECT)

    page = maija.get("/me")
    answer = maija.post("/me/move", {"token": page.field("token"), "link": "x", "shown": orcid_id(MAIJA).uri})

    assert MAIJA not in page.text
    assert maija.get("/me/move").location == answer.location == "/me"
    assert store.links.get(UNIVERSITY, NEW) is None
    logged = {each.facts["reason"] for each in caplog.records if each.message == "account-rename-conflict"}
    assert logged == ({reason} if reason else set())


def test_accounts_whose_link_a_sign_in_cannot_move_are_reported(store, clock):
    third, fourth, organisation = "third@yliopisto.example", "fourth@yliopisto.example", make_organisation()
    make_link(store, "one@yliopisto.example", make_orcid_id(3), stable_id="subject-id:one@yliopisto.example")
    make_link(store, "two@yliopisto.example", make_orcid_id(4))
    make_link(store, "x@amk.example", make_orcid_id(5), POLYTECHNIC, stable_id=STABLE)
    make_link(store, OLD, orcid_id(MAIJA), stable_id=STABLE)
    assert list(check_renamed(store, organisation)) == []

    # With a link of its own, seen later
    make_link(store, "a@yliopisto.example", orcid_id(AKE), stable_id=STABLE, now=clock.now + timedelta(days=1))
    # Came to link an iD: on the day on which the other was used, on a later day, and with another stable id
    for account, days, stable_id in ((third, 0, STABLE), (fourth, 2, STABLE), ("fifth@x", 0, "subject-id:5@x")):
        attempt = make_attempt(account, started_at=clock.now + timedelta(days=days), stable_id=stable_id)
        store.attempts.add(attempt, f"hash of {account}")

    assert store.links.list_rename_conflicts(POLYTECHNIC) == []
    found = store.links.list_rename_conflicts(UNIVERSITY)
    assert found == [("a@yliopisto.example", third), (OLD, "a@yliopisto.example"), (OLD, third)]
    assert store.links.list_rename_conflicts(UNIVERSITY, 1) == found[:1]
    (result,) = check_renamed(store, organisation)
    assert (result.level, f"{OLD} and a@yliopisto.example" in result.text) == (Level.WARNING, True)
    assert UNIVERSITY in result.fix


def test_only_what_the_page_showed_is_moved(app, store, clock):
    make_link(store, OLD, orcid_id(MAIJA), stable_id=STABLE)
    clock.passes(days=1)
    maija = WebClient(app, NEW, said=SUBJECT)
    page = maija.get("/me/move")

    assert confirm(maija, page, token="x").status == 403
    assert confirm(maija, page, link="x").status == 409
    assert confirm(maija, page, shown=orcid_id(AKE).uri).status == 409
    assert store.links.get(UNIVERSITY, OLD).orcid_id.bare == MAIJA


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda store, now: store.links.record_sign_in(store.links.get(UNIVERSITY, OLD), make_person(OLD), now),
        lambda store, _: make_link(store, "liisa@yliopisto.example", orcid_id(AKE), stable_id=STABLE),
        lambda store, _: make_link(store, OLD, orcid_id(MAIJA), stable_id="subject-id:b@yliopisto.example"),
    ],
    ids=["the earlier account was used", "another link has the stable id", "the link is another holder's"],
)
def test_evidence_that_changes_after_it_was_checked_moves_nothing(app, store, clock, monkeypatch, meanwhile):
    make_link(store, OLD, orcid_id(MAIJA), stable_id=STABLE)
    clock.passes(days=1)
    maija = WebClient(app, NEW, said=SUBJECT)
    page = maija.get("/me/move")
    move_link = store.links.move

    def change_first(*asked, **words):
        meanwhile(store, clock.now)
        return move_link(*asked, **words)

    monkeypatch.setattr(store.links, "move", change_first)

    assert confirm(maija, page).status == 409
    assert store.links.get(UNIVERSITY, OLD).orcid_id.bare == MAIJA
    assert store.links.get(UNIVERSITY, NEW) is None


def test_a_link_that_was_made_meanwhile_is_kept(app, store, clock, monkeypatch):
    make_link(store, OLD, orcid_id(MAIJA), stable_id=STABLE)
    clock.passes(days=1)
    maija = WebClient(app, NEW, said=SUBJECT)
    page = maija.get("/me/move")
    move_link = store.links.move

    def link_first(*asked, **words):
        make_link(store, NEW, orcid_id(AKE))
        return move_link(*asked, **words)

    monkeypatch.setattr(store.links, "move", link_first)

    assert confirm(maija, page).location == "/me"
    assert store.links.get(UNIVERSITY, NEW).orcid_id.bare == AKE
