"""What every kind of transfer does, and what each says on the wire."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from demo.idm.app import Idm
from demo.idm.server import serve
from resolver_connector.delivery.transfer_test import run_transfer_test
from resolver_connector.transfers import TRANSFERS
from resolver_connector.transfers.base import MAX_MESSAGE_LENGTH, Outcome
from resolver_connector.transfers.rest import Removal
from sql.records import ChangeKind
from tests.support.factories import NOON, make_organisation
from tests.support.transfers.harness import (
    AKE,
    FIRST,
    HARNESSES,
    LINKED,
    MAIJA,
    NOBODY,
    REMOVED,
    REPLACED,
    SECOND,
    HarnessEnvironment,
    make_change,
    with_settings,
)
from tests.support.transfers.private_ca import PrivateCa
from tests.support.transfers.slapd import Slapd

PLENTY = 20
"""Seconds; more than any answer takes that comes at all."""
LITTLE = 0.4
"""Seconds, for another side that does not answer in any time."""
WAITING = {"hang", "drip", "slow"}
FAULTS = [(name, how) for name, harness in HARNESSES.items() for how in harness.faults]
ANSWERING = [name for name, harness in HARNESSES.items() if harness.answers]


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return PrivateCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(ca):
    with serve(Idm((MAIJA, AKE), now=NOON.timestamp), context=ca.context()) as server:
        yield server


@pytest.fixture(scope="module")
def slapd():
    slapd = Slapd()
    yield slapd
    slapd.remove()


@pytest.fixture
def environment(tmp_path, server, ca, slapd):
    server.idm.reset()
    return HarnessEnvironment(tmp_path, server.idm, server, ca, slapd)


@pytest.fixture
def name(request):
    """The stand of a test that says which."""
    return request.param


@pytest.fixture
def harness(name, environment):
    with HARNESSES[name].open(environment) as harness:
        yield harness


def every_kind(names=tuple(HARNESSES)):
    return pytest.mark.parametrize("name", names, indirect=True)


def deliver(harness, what, now=NOON, how=None):
    seconds = LITTLE if how in WAITING else PLENTY
    answer = harness.transfer.deliver(what, now=now, timeout=seconds)
    assert len(answer.message) <= MAX_MESSAGE_LENGTH
    assert answer.message.isprintable()
    return answer


def test_every_kind_has_a_test_receiver():
    assert {name.partition(" ")[0] for name in HARNESSES} == set(TRANSFERS) - {"orcid"}


def test_every_kind_knows_its_name():
    assert {name: kind.kind for name, kind in TRANSFERS.items()} == {name: name for name in TRANSFERS}


# --- Link, replace, remove ----------------------------------------------------------------------------------------


@every_kind()
def test_a_link_arrives(harness):
    answer = deliver(harness, LINKED)

    assert answer.outcome is Outcome.STORED
    assert harness.get_ids(MAIJA) == {FIRST.bare}
    assert not harness.get_ids(AKE)


@every_kind()
def test_a_replacement_leaves_the_new_id_alone(harness):
    deliver(harness, LINKED)

    answer = deliver(harness, REPLACED)

    assert answer.outcome is Outcome.STORED
    assert harness.get_ids(MAIJA) == {SECOND.bare}


@every_kind()
def test_a_removal_removes_the_id(harness):
    deliver(harness, LINKED)
    deliver(harness, REPLACED)

    answer = deliver(harness, REMOVED)

    assert answer.outcome is Outcome.STORED
    assert harness.get_ids(MAIJA) == set()


@every_kind()
def test_a_removal_without_an_id_succeeds(harness):
    answer = deliver(harness, REMOVED)

    assert answer.delivered
    assert not harness.get_ids(MAIJA)


@every_kind()
@pytest.mark.parametrize("what", [LINKED, REPLACED, REMOVED], ids=lambda what: what.kind.value)
def test_sending_is_idempotent(harness, what):
    story = [LINKED, REPLACED, REMOVED]
    for each in story[: story.index(what) + 1]:
        deliver(harness, each)
    before = harness.get_ids(MAIJA)

    answer = deliver(harness, what, now=NOON + timedelta(minutes=2))

    assert answer.delivered
    assert harness.get_ids(MAIJA) == before == ({what.orcid_id.bare} if what.orcid_id else set())


@every_kind()
def test_a_link_after_a_removal_is_a_link_again(harness):
    deliver(harness, LINKED)
    deliver(harness, replace(REMOVED, previous=FIRST))

    answer = deliver(harness, replace(LINKED, id="news-4"))

    assert answer.outcome is Outcome.STORED
    assert harness.get_ids(MAIJA) == {FIRST.bare}


@every_kind()
def test_each_person_has_their_own(harness):
    deliver(harness, LINKED)
    deliver(harness, make_change(orcid_id=SECOND, account=AKE, name="news-5"))

    assert harness.get_ids(MAIJA) == {FIRST.bare}
    assert harness.get_ids(AKE) == {SECOND.bare}


AMBIGUOUS = [
    "ｍaija@yliopisto.example",
    "𝓂aija@yliopisto.example",
    "maija@yliopisto.example ",
    "\u00a0maija@yliopisto.example",
    "mai\u00adja@yliopisto.example",
    "mai\u200dja@yliopisto.example",
    "mai\ufe0fja@yliopisto.example",
    "mai\u034fja@yliopisto.example",
    "mai\u3164ja@yliopisto.example",
    "maija\n@yliopisto.example",
    "ma\u0133a@yliopisto.example",
    "",
]
"""Accounts that directories take for Maija's, or for nobody's."""


@every_kind()
def test_ambiguous_accounts_are_not_sent(harness):
    answers = {deliver(harness, make_change(account=account)).outcome for account in AMBIGUOUS}

    assert answers == {Outcome.UNKNOWN_PERSON}
    assert not harness.get_ids(MAIJA)


@every_kind(["file ldif", "ldap"])
def test_the_part_of_an_account_that_names_an_entry_is_not_ambiguous_either(harness):
    template = {"ldap": {"filter": "(uid={user})"}, "file": {}}[harness.transfer.kind]
    transfer = with_settings(harness.transfer, **template)

    answer = transfer.deliver(make_change(account="maija @yliopisto.example"), now=NOON, timeout=PLENTY)

    assert answer.outcome is Outcome.UNKNOWN_PERSON
    assert not harness.get_ids(MAIJA)


# --- What the other side may say ----------------------------------------------------------------------------------


@every_kind(ANSWERING)
def test_an_unknown_person_is_reported_as_unknown(harness):
    answer = deliver(harness, make_change(account=NOBODY))

    assert answer.outcome is Outcome.UNKNOWN_PERSON
    assert harness.get_ids(NOBODY) is None


@every_kind(ANSWERING)
def test_an_id_of_another_account_at_the_receiver_is_a_conflict(harness):
    deliver(harness, make_change(account=AKE, name="news-6"))

    answer = deliver(harness, LINKED)

    assert answer.outcome is Outcome.CONFLICT
    assert not harness.get_ids(MAIJA)


@pytest.mark.parametrize(("name", "how"), FAULTS, indirect=["name"])
def test_every_failure_has_its_outcome_and_shows_no_secret(harness, how, caplog):
    caplog.set_level(logging.DEBUG)
    harness.set_fault(how)

    answer = deliver(harness, LINKED, how=how)

    assert answer.outcome is harness.faults[how]
    assert answer.message
    assert "<" not in answer.message
    seen = " ".join([repr(harness.transfer), str(harness.transfer), repr(answer), caplog.text])
    assert not [secret for secret in harness.secrets if secret in seen]

    # Once the other side works again, what failed arrives
    harness.clear_fault()
    again = deliver(harness, LINKED)

    assert again.delivered
    assert harness.get_ids(MAIJA) == {FIRST.bare}
    assert MAIJA not in caplog.text


# --- Testing a transfer -------------------------------------------------------------------------------------------


def run_test(transfer):
    return [*run_transfer_test(transfer, make_organisation(), MAIJA, lambda: NOON)]


@every_kind()
def test_testing_a_transfer_succeeds_and_leaves_nothing(harness):
    steps = run_test(harness.transfer)

    assert [(step.name, step.ok) for step in steps] == [
        (name, True) for name in ("link", "link again", "replace", "remove")
    ]
    assert not harness.get_ids(MAIJA)


@every_kind(["rest csc"])
@pytest.mark.parametrize("fault", ["", "400", "422"])
def test_testing_an_interface_of_2016_without_removals_succeeds_and_leaves_nothing(harness, fault):
    if fault:
        harness.set_fault(fault)

    steps = run_test(with_settings(harness.transfer, removal=Removal.REFUSE))

    assert [(step.name, step.ok, step.failed) for step in steps] == [
        *((name, False, False) for name in ("link", "link again", "replace")),
        ("remove", True, False),
    ]
    harness.clear_fault()
    assert not harness.get_ids(MAIJA)


@every_kind(["rest csc"])
@pytest.mark.parametrize("fault", ["401", "404", "500", "html", "reset"])
def test_testing_an_interface_of_2016_without_removals_finds_what_is_wrong(harness, fault):
    harness.set_fault(fault)

    *_, step = run_test(with_settings(harness.transfer, removal=Removal.REFUSE))

    assert step.failed
    assert step.fix


@every_kind(["rest v1", "soap own", "scim path"])
def test_a_transfer_test_cleans_up_after_a_lost_response(harness, monkeypatch):
    deliver_change = type(harness.transfer).deliver

    def losing(transfer, message, *, now, timeout):
        result = deliver_change(transfer, message, now=now, timeout=timeout)
        return replace(result, outcome=Outcome.TEMPORARY) if message.kind is lost else result

    monkeypatch.setattr(type(harness.transfer), "deliver", losing)

    for lost in (ChangeKind.LINKED, ChangeKind.REPLACED):
        steps = run_test(harness.transfer)

        assert [step.name for step in steps if step.failed] == ["link" if lost is ChangeKind.LINKED else "replace"]
        assert not harness.get_ids(MAIJA)


SOME_RETRY = [pair for pair in FAULTS if pair[1] in {"429", "503"}]


@pytest.mark.parametrize(("name", "how"), SOME_RETRY, indirect=["name"])
def test_a_requested_wait_is_respected(harness, how):
    harness.set_fault(how)

    answer = deliver(harness, LINKED)

    assert answer.retry_after == {"429": timedelta(seconds=120), "503": timedelta(minutes=5)}[how]
