"""Links of accounts that a list lacks are removed after an hour, and a wrong list removes nobody; on both engines."""

import io
import json
import os
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner
from freezegun import freeze_time

from resolver_connector.app import Connector
from resolver_connector.attested.receivers import Receivers
from resolver_connector.credentials import Bearer, Credentials, Right
from resolver_connector.delivery.maintenance import execute_due_removals
from resolver_connector.deprovision import MAX_LIST_BYTES
from shibboleth.orcid_id import Registry
from tests.support.configuration import store_section, write_configuration
from tests.support.database import contents
from tests.support.factories import (
    NOON,
    POLYTECHNIC,
    UNIVERSITY,
    make_attempt,
    make_client,
    make_link,
    make_orcid_id,
)
from tests.support.service import ORGANISATIONS, Clock, WebClient, ask, make_orcid_client, make_web_app
from webapp.app import make_app
from webapp.cli.main import main

TOKEN, OTHER = "t" * 40, "o" * 40
HOUR = timedelta(hours=1)
MADE_AT = NOON + timedelta(minutes=1)
NOW = NOON + timedelta(minutes=2)
TRANSFERS = {UNIVERSITY: ("idm",)}


def account(number):
    return f"person-{number}@yliopisto.example"


@pytest.fixture
def clock():
    return Clock(NOW)


@pytest.fixture
def connector(store, clock):
    pairs = [
        (Bearer(TOKEN), make_client(ORGANISATIONS.by_id(UNIVERSITY), Right.DEPROVISION)),
        (Bearer(OTHER), make_client(ORGANISATIONS.by_id(POLYTECHNIC), Right.DEPROVISION)),
    ]
    return Connector(store, Credentials(pairs), Registry.PRODUCTION, clock, TRANSFERS)


@pytest.fixture
def people(store):
    """Link twenty people, one of whom is 5 %."""
    for number in range(20):
        make_link(store, account(number), make_orcid_id(number))


def send(connector, accounts, token=TOKEN, body=None, **stated):
    """Send a list of accounts."""
    body = body if body is not None else "".join(f"{each}\n" for each in ("account", *accounts)).encode()
    stated = {"rows": len(accounts), "made_at": MADE_AT.isoformat()} | stated
    query = urlencode({name: value for name, value in stated.items() if value is not None})
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "text/csv"}
    path, authorization = f"/v1/reconciliation?{query}", f"Bearer {token}"
    return ask(connector, path, "POST", **environ, HTTP_AUTHORIZATION=authorization)


def other(connector, method, token=TOKEN):
    """Ask for the pending removals, or cancel them."""
    return json.loads(ask(connector, "/v1/reconciliation", method, HTTP_AUTHORIZATION=f"Bearer {token}").body)


def execute(store, now=NOW + HOUR):
    """Let the worker do what is due, and give what it reports."""
    reported = []
    execute_due_removals(store, Receivers(TRANSFERS), lambda word, **facts: reported.append((word, facts)), now)
    return reported


def linked(store):
    """Give who is linked."""
    return {each.person_key for each in store.links.list_current(UNIVERSITY)}


STAY = [account(number) for number in range(1, 20)]


def test_a_link_whose_account_is_missing_is_removed_after_an_hour(store, connector, people):
    store.attempts.add(make_attempt(account(0)), state_hash="state")

    answer = send(connector, STAY)

    assert json.loads(answer.body) == {
        "dry_run": False,
        "rows": 19,
        "links": 20,
        "removals": 1,
        "requested_at": "2026-01-15T12:02:00Z",
        "due_at": "2026-01-15T13:02:00Z",
        "source": None,
        "credential": "all-rights",
        "accounts": [account(0)],
    }
    assert execute(store, NOW + HOUR - timedelta(seconds=1)) == []
    assert len(linked(store)) == 20
    assert execute(store) == [("removals-executed", {"links": 1})]
    assert linked(store) == {*STAY}
    assert execute(store) == []
    assert store.attempts.get_by_state("state") is None
    change = store.changes.newest_for_person(UNIVERSITY, account(0))
    assert change.kind == "removed"
    assert [each.transfer for each in store.deliveries.list_for_change(UNIVERSITY, change.number)] == ["idm"]
    scheduled, removed = list(store.audit.list_events(UNIVERSITY))[-2:]
    assert (scheduled.kind, scheduled.actor, scheduled.facts["removals"]) == ("removals-scheduled", "organisation", "1")
    assert (removed.kind, removed.actor) == ("removed", "organisation")
    assert removed.facts["reason"] == "left the organisation"
    assert store.audit.verify(UNIVERSITY) == []


def test_others_can_write_between_two_removals(store, connector, people, monkeypatch):
    monkeypatch.setattr("sql.repositories.deletion.removals.MAX_BUSY", 0)
    left = []
    monkeypatch.setattr("sql.repositories.deletion.removals.sleep", lambda _seconds: left.append(len(linked(store))))
    send(connector, STAY[2:], max_percent=20)

    assert execute(store) == [("removals-executed", {"links": 3})]
    assert left == [19, 18, 17]


def test_a_dry_run_lists_the_accounts_and_changes_nothing(store, store_url, connector, people):
    before = contents(store_url)

    answer = json.loads(send(connector, STAY, dry_run="true").body)

    assert (answer["dry_run"], answer["removals"], answer["accounts"]) == (True, 1, [account(0)])
    assert contents(store_url) == before


@pytest.mark.parametrize(
    ("missing", "stated", "status"),
    [(1, {}, 200), (2, {}, 409), (2, {"max_percent": 10}, 200), (3, {"max_percent": 10}, 409)],
)
def test_the_removable_share_is_limited_exactly(store, store_url, connector, people, missing, stated, status):  # noqa: PLR0917
    before = contents(store_url)

    answer = send(connector, [account(number) for number in range(missing, 20)], **stated)

    assert answer.status == status
    if status == 409:
        percent = stated.get("max_percent", 5)
        assert f"{missing} of 20 links, and at most {percent} % may be removed" in json.loads(answer.body)["error"]
        assert contents(store_url) == before


def test_of_nineteen_links_one_is_more_than_five_percent(store, connector):
    for number in range(19):
        make_link(store, account(number), make_orcid_id(number))

    assert send(connector, [account(number) for number in range(1, 19)]).status == 409


LISTS = {
    "no list": (b"", {}, "first line must name the columns: account; there are no others"),
    "only a header": (b"account\n", {"rows": 1}, "it has 0 rows, and 1 were stated"),
    "a row too few": (None, {"rows": 20}, "it has 19 rows, and 20 were stated"),
    "a row too many": (None, {"rows": 18}, "it has 19 rows, and 18 were stated"),
    "no number of rows": (None, {"rows": None}, "rows must be a whole number"),
    "rows: nought": (None, {"rows": 0}, "rows must be a whole number from 1"),
    "rows: a word": (None, {"rows": "all"}, "rows must be a whole number"),
    "rows in other digits": (None, {"rows": "١٩"}, "rows must be a whole number"),
    "101 percent": (None, {"max_percent": 101}, "max_percent must be a whole number from 1 to 100"),
    "nought percent": (None, {"max_percent": 0}, "max_percent must be a whole number from 1 to 100"),
    "a misspelt parameter": (None, {"dryrun": "true"}, "unknown parameter dryrun"),
    "a dry run that is none": (None, {"dry_run": "yes"}, "dry_run must be true or false"),
    "no time": (None, {"made_at": None}, "made_at must be when it was made"),
    "a time without a zone": (None, {"made_at": "2026-01-15T12:00:00"}, "made_at must be when it was made"),
    "of the future": (None, {"made_at": "2026-01-15T12:10:00Z"}, "made in the future"),
    "of the day before": (None, {"made_at": "2026-01-14T12:00:00Z"}, "more than a day ago"),
    "an account twice": (
        "\n".join(["account", *STAY, STAY[0]]).encode(),
        {"rows": 20},
        "line 21: the account is that of line 2",
    ),
    "an account in capitals as well": (
        "\n".join(["account", *STAY, STAY[0].upper()]).encode(),
        {"rows": 20},
        "line 21: the account is that of line 2",
    ),
    "an account of another organisation": (
        "\n".join(["account", *STAY, "ake@amk.example"]).encode(),
        {"rows": 20},
        "line 21: it is no account of this organisation, whose accounts end in @yliopisto.example",
    ),
    "an account without a scope": ("\n".join(["account", *STAY, "ake"]).encode(), {"rows": 20}, "line 21: it is no"),
    "another column": (b"account,name\nx@yliopisto.example,X\n", {"rows": 1}, "first line must name the columns"),
    "two values in a row": (b"account\nx@yliopisto.example,y@yliopisto.example\n", {"rows": 1}, "without a name"),
    "an open quotation mark": (b'account\n"x@yliopisto.example\n', {"rows": 1}, "is not closed"),
    "a spreadsheet": (b"PK\x03\x04", {"rows": 1}, "not CSV"),
    "Latin-1": ("account\nää@yliopisto.example\n".encode("latin-1"), {"rows": 1}, "not in UTF-8"),
}


@pytest.mark.parametrize(("body", "stated", "words"), LISTS.values(), ids=LISTS)
def test_a_wrong_list_is_refused_and_removes_no_link(store, store_url, connector, people, body, stated, words):  # noqa: PLR0917
    before = contents(store_url)

    answer = send(connector, STAY, body=body, **stated)

    assert answer.status == 400
    assert words in json.loads(answer.body)["error"]
    assert contents(store_url) == before


def test_a_list_that_is_too_large_is_refused(connector):
    assert send(connector, STAY, body=b"x" * (MAX_LIST_BYTES + 1)).status == 413


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_as_spreadsheets_write_it_is_read(store, connector, people, encoding):
    body = "\r\n".join(["Account", *(each.upper() for each in STAY), ""]).encode(encoding)

    assert json.loads(send(connector, STAY, body=body).body)["accounts"] == [account(0)]


def test_a_complete_list_schedules_no_removal(store, store_url, connector, people):
    before = contents(store_url)

    answer = json.loads(send(connector, [account(number) for number in range(25)]).body)

    assert (answer["removals"], answer["due_at"], answer["accounts"]) == (0, None, [])
    assert contents(store_url) == before


def test_a_second_list_is_refused_until_the_first_is_done_or_cancelled(store, connector, people):
    send(connector, STAY)

    again = send(connector, STAY)

    assert again.status == 409
    assert "1 removals of an earlier list are due at 13:02 UTC" in json.loads(again.body)["error"]
    assert other(connector, "DELETE")["cancelled"] == 1
    assert send(connector, STAY).status == 200
    execute(store)
    assert json.loads(send(connector, STAY).body)["removals"] == 0


def test_cancelled_removals_are_not_executed(store, connector, people):
    send(connector, STAY)
    no_list, idm = {"source": None, "credential": None}, {"source": None, "credential": "all-rights"}
    nothing = {"removals": 0, "requested_at": None, "due_at": None, **no_list}
    due = {"removals": 1, "requested_at": "2026-01-15T12:02:00Z", "due_at": "2026-01-15T13:02:00Z", **idm}

    # Another organisation sees and cancels its own
    assert [other(connector, method, OTHER) for method in ("GET", "DELETE")] == [nothing, {"cancelled": 0, **no_list}]
    assert other(connector, "GET") == due
    assert other(connector, "DELETE") == {"cancelled": 1, **idm}
    assert other(connector, "DELETE") == {"cancelled": 0, **no_list}
    assert other(connector, "GET") == nothing
    assert execute(store) == []
    assert len(linked(store)) == 20
    *_, scheduled, cancelled = store.audit.list_events(UNIVERSITY)
    assert (scheduled.kind, cancelled.kind) == ("removals-scheduled", "removals-cancelled")
    assert dict(cancelled.facts) == {"removals": "1", "credential": "all-rights"}


def test_links_made_after_the_list_are_kept(store, connector, people):
    make_link(store, account(99), make_orcid_id(99), now=MADE_AT + timedelta(seconds=1))

    answer = json.loads(send(connector, STAY).body)

    assert answer["accounts"] == [account(0)]


def test_people_who_signed_in_on_a_later_day_are_kept(store, connector, clock, people):
    link = store.links.get(UNIVERSITY, account(0))
    store.links.record_sign_in(link, link, NOON + timedelta(days=1))
    clock.now = MADE_AT + timedelta(days=1)

    assert json.loads(send(connector, STAY).body)["removals"] == 0


def test_another_link_that_was_made_within_the_hour_stays(store, connector, people):
    send(connector, STAY)
    make_link(store, account(0), make_orcid_id(50), now=NOW)

    assert execute(store) == []
    assert account(0) in linked(store)


def test_a_link_that_is_gone_by_then_is_not_removed_again(store, connector, people):
    send(connector, STAY)
    store.links.remove(UNIVERSITY, account(0), "person", "mine", NOW)

    assert execute(store) == []
    assert store.changes.last_number(UNIVERSITY) == 21


def test_a_person_who_signs_in_within_the_hour_keeps_the_link_and_is_told(store, connector, clock, people):
    send(connector, STAY)
    web_app = make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), clock)
    person = WebClient(make_app(web_app), account(0))

    page = person.get("/me")

    assert "You have signed in, so it stays." in page.text
    assert "By this service, 15 January 2026, 12:02 UTC. Reason: you signed in." in " ".join(
        page.text.replace("</p>", "").split()
    )
    assert other(connector, "GET")["removals"] == 0
    assert execute(store) == []
    assert account(0) in linked(store)
    event = list(store.audit.list_events(UNIVERSITY, account(0)))[-1]
    assert (event.kind, event.actor, event.facts) == ("removal-cancelled", "service", {"reason": "signed in"})
    assert store.removals.cancel_for_person(UNIVERSITY, account(0), NOW) is False


def test_a_person_who_signs_in_after_the_hour_is_told_of_the_removal(store, connector, clock, people):
    send(connector, STAY)
    execute(store)
    web_app = make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), clock)

    page = WebClient(make_app(web_app), account(0)).get("/me")

    assert "The connection of your ORCID iD was removed." in page.text
    assert "you left the organisation" in page.text


def test_an_erasure_ends_the_pending_removal(store, store_url, connector, people):
    send(connector, STAY)

    store.erasures.erase(UNIVERSITY, account(0), "person", "erased by the person", NOW)

    assert contents(store_url)["pending_removals"] == []


def test_a_removal_that_was_cancelled_while_the_worker_runs_is_not_done(store, connector, people):
    send(connector, STAY)
    listed = store.engine.fetch_all

    def cancel_after(query, **values):
        found = listed(query, **values)
        if query == "list_due_removals" and found:
            store.removals.cancel(UNIVERSITY, "organisation", NOW)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.engine, "fetch_all", cancel_after)
        assert execute(store) == []
    assert account(0) in linked(store)


# The command


@pytest.fixture
def run(tmp_path, store_url, people):
    path = write_configuration(tmp_path, store=store_section(tmp_path, store_url))

    def runs(*words):
        with freeze_time(NOW):
            return CliRunner().invoke(main, ["--config", str(path), "link", *map(str, words)], catch_exceptions=False)

    return runs


@pytest.fixture
def staff(tmp_path):
    """A list that lacks one of twenty people."""
    file = tmp_path / "staff.csv"
    file.write_text("".join(f"{each}\n" for each in ("account", *STAY)))
    os.utime(file, (MADE_AT.timestamp(), MADE_AT.timestamp()))
    return file


def test_the_command_lists_the_accounts_and_how_to_cancel(store, run, staff):
    dry = run("reconcile", "yliopisto", staff, "--rows", 19, "--dry-run")
    done = run("reconcile", "yliopisto", staff, "--rows", 19)

    assert (dry.exit_code, dry.output) == (0, f"{account(0)}\n1 of 20 links would be removed\n")
    cancel = "to cancel: orcid-connect link cancel-removals yliopisto"
    assert done.output == f"{account(0)}\n1 of 20 links will be removed at 2026-01-15 13:02:00 UTC; {cancel}\n"
    again = run("reconcile", "yliopisto", staff, "--rows", 19)
    assert (again.exit_code, "orcid-connect link cancel-removals yliopisto" in again.output) == (1, True)
    assert run("cancel-removals", "yliopisto").output == (
        "cancelled 1 removal by a list, which came from the command line\n"
    )
    assert run("cancel-removals", "yliopisto").exit_code == 1
    assert execute(store) == []


def test_the_command_prints_json(run, staff):
    done = run("reconcile", "yliopisto", staff, "--rows", 19, "--json")

    assert json.loads(done.output)["accounts"] == [account(0)]
    assert json.loads(run("cancel-removals", "yliopisto", "--json").output) == {
        "cancelled": 1,
        "source": None,
        "credential": None,
    }


def test_the_operator_is_named_in_the_audit_log(store, run, staff):
    run("reconcile", "yliopisto", staff, "--rows", 19)
    execute(store)

    assert [each.actor for each in store.audit.list_events(UNIVERSITY)][-2:] == ["operator", "operator"]


def test_the_command_refuses_what_the_connector_refuses(store, store_url, run, staff, tmp_path):
    before = contents(store_url)
    few = tmp_path / "few.csv"
    few.write_text(f"account\n{account(0)}\n")
    os.utime(few, (MADE_AT.timestamp(), MADE_AT.timestamp()))
    old = tmp_path / "old.csv"
    old.write_text(staff.read_text())
    os.utime(old, (0, 0))

    for words, said in (
        ((staff, "--rows", 18), "it has 19 rows, and 18 were stated"),
        ((few, "--rows", 1), "state a larger --max-percent"),
        ((old, "--rows", 19), "more than a day ago"),
        ((tmp_path / "none.csv", "--rows", 19), "cannot be read: No such file or directory"),
    ):
        done = run("reconcile", "yliopisto", *words)
        assert (done.exit_code, said in done.output) == (1, True), done.output
    assert contents(store_url) == before


def test_a_complete_list_is_reported(run, staff):
    staff.write_text("".join(f"{each}\n" for each in ("account", account(0), *STAY)))
    os.utime(staff, (MADE_AT.timestamp(), MADE_AT.timestamp()))

    done = run("reconcile", "yliopisto", staff, "--rows", 20)

    assert done.output == "0 of 20 links: nothing is removed\n"
