"""What every kind of transfer does, and what each says on the wire."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from demo.idm.app import Idm
from demo.idm.server import served
from resolver_connector.transfers import TRANSFERS
from resolver_connector.transfers.base import MAX_MESSAGE_LENGTH, Outcome
from tests.support.factories import NOON
from tests.support.transfers.harness import (
    AKE,
    FIRST,
    LINKED,
    MAIJA,
    NOBODY,
    REMOVED,
    REPLACED,
    SECOND,
    STANDS,
    World,
    news,
)
from tests.support.transfers.private_ca import PrivateCa
from tests.support.transfers.slapd import Slapd

PLENTY = 20
"""Seconds; more than any answer takes that comes at all."""
LITTLE = 0.4
"""Seconds, for another side that does not answer in any time."""
WAITING = {"hang", "drip", "slow"}
FAULTS = [(name, how) for name, stand in STANDS.items() for how in stand.faults]
ANSWERING = [name for name, stand in STANDS.items() if stand.answers]


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return PrivateCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(ca):
    with served(Idm((MAIJA, AKE), now=NOON.timestamp), context=ca.context()) as server:
        yield server


@pytest.fixture(scope="module")
def slapd():
    slapd = Slapd()
    yield slapd
    slapd.remove()


@pytest.fixture
def world(tmp_path, server, ca, slapd):
    server.idm.reset()
    return World(tmp_path, server.idm, server, ca, slapd)


@pytest.fixture
def name(request):
    """The stand of a test that says which."""
    return request.param


@pytest.fixture
def stand(name, world):
    with STANDS[name].open(world) as stand:
        yield stand


def every_kind(names=tuple(STANDS)):
    return pytest.mark.parametrize("name", names, indirect=True)


def deliver(stand, what, now=NOON, how=None):
    seconds = LITTLE if how in WAITING else PLENTY
    answer = stand.transfer.deliver(what, now=now, timeout=seconds)
    assert len(answer.message) <= MAX_MESSAGE_LENGTH
    assert answer.message.isprintable()
    return answer


def test_every_kind_has_a_stand_and_every_stand_a_kind():
    assert {name.partition(" ")[0] for name in STANDS} == set(TRANSFERS)


def test_every_kind_knows_its_name():
    assert {name: kind.kind for name, kind in TRANSFERS.items()} == {name: name for name in TRANSFERS}


# --- Link, replace, remove ----------------------------------------------------------------------------------------


@every_kind()
def test_a_link_arrives(stand):
    answer = deliver(stand, LINKED)

    assert answer.outcome is Outcome.STORED
    assert stand.has(MAIJA) == {FIRST.bare}
    assert not stand.has(AKE)


@every_kind()
def test_a_replacement_leaves_the_new_id_alone(stand):
    deliver(stand, LINKED)

    answer = deliver(stand, REPLACED)

    assert answer.outcome is Outcome.STORED
    assert stand.has(MAIJA) == {SECOND.bare}


@every_kind()
def test_a_removal_takes_the_id_away(stand):
    deliver(stand, LINKED)
    deliver(stand, REPLACED)

    answer = deliver(stand, REMOVED)

    assert answer.outcome is Outcome.STORED
    assert stand.has(MAIJA) == set()


@every_kind()
def test_a_removal_is_harmless_where_there_is_nothing(stand):
    answer = deliver(stand, REMOVED)

    assert answer.delivered
    assert not stand.has(MAIJA)


@every_kind()
@pytest.mark.parametrize("what", [LINKED, REPLACED, REMOVED], ids=lambda what: what.kind.value)
def test_sending_twice_is_the_same_as_once(stand, what):
    story = [LINKED, REPLACED, REMOVED]
    for each in story[: story.index(what) + 1]:
        deliver(stand, each)
    before = stand.has(MAIJA)

    answer = deliver(stand, what, now=NOON + timedelta(minutes=2))

    assert answer.delivered
    assert stand.has(MAIJA) == before == ({what.orcid_id.bare} if what.orcid_id else set())


@every_kind()
def test_a_link_after_a_removal_is_a_link_again(stand):
    deliver(stand, LINKED)
    deliver(stand, replace(REMOVED, previous=FIRST))

    answer = deliver(stand, replace(LINKED, id="news-4"))

    assert answer.outcome is Outcome.STORED
    assert stand.has(MAIJA) == {FIRST.bare}


@every_kind()
def test_each_person_has_their_own(stand):
    deliver(stand, LINKED)
    deliver(stand, news(orcid_id=SECOND, account=AKE, name="news-5"))

    assert stand.has(MAIJA) == {FIRST.bare}
    assert stand.has(AKE) == {SECOND.bare}


# --- What the other side may say ----------------------------------------------------------------------------------


@every_kind(ANSWERING)
def test_a_person_who_is_not_known_there_is_named_so(stand):
    answer = deliver(stand, news(account=NOBODY))

    assert answer.outcome is Outcome.UNKNOWN_PERSON
    assert stand.has(NOBODY) is None


@every_kind(ANSWERING)
def test_an_id_that_somebody_else_has_there_is_a_conflict(stand):
    deliver(stand, news(account=AKE, name="news-6"))

    answer = deliver(stand, LINKED)

    assert answer.outcome is Outcome.CONFLICT
    assert not stand.has(MAIJA)


@pytest.mark.parametrize(("name", "how"), FAULTS, indirect=["name"])
def test_every_failure_has_its_name_shows_no_secret_and_passes(stand, how, caplog):
    caplog.set_level(logging.DEBUG)
    stand.breaks(how)

    answer = deliver(stand, LINKED, how=how)

    assert answer.outcome is stand.faults[how]
    assert answer.message
    assert "<" not in answer.message
    seen = " ".join([repr(stand.transfer), str(stand.transfer), repr(answer), caplog.text])
    assert not [secret for secret in stand.secrets if secret in seen]

    # Once the other side works again, what failed arrives
    stand.mends()
    again = deliver(stand, LINKED)

    assert again.delivered
    assert stand.has(MAIJA) == {FIRST.bare}
    assert MAIJA not in caplog.text


SOME_RETRY = [pair for pair in FAULTS if pair[1] in {"429", "503"}]


@pytest.mark.parametrize(("name", "how"), SOME_RETRY, indirect=["name"])
def test_who_asks_to_be_asked_later_is_heard(stand, how):
    stand.breaks(how)

    answer = deliver(stand, LINKED)

    assert answer.retry_after == {"429": timedelta(seconds=120), "503": timedelta(minutes=5)}[how]
