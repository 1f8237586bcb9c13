"""The connector records when rights of credentials were used, and `check` names those that were not."""

import threading
from datetime import date, timedelta

import pytest

from resolver_connector.app import Connector
from resolver_connector.credential_uses import INTERVAL, RETRY_INTERVAL, CredentialUses
from resolver_connector.credentials import Bearer, Credentials, Right
from shibboleth.orcid_id import Registry
from sql.errors import StoreUnavailable
from sql.records import CredentialRight
from tests.support.database import contents
from tests.support.factories import NOON, UNIVERSITY, make_client, make_organisation
from tests.support.service import Clock, ask
from webapp.checks.credentials import check_credentials
from webapp.config.access import CredentialSettings
from webapp.config.organisation import OrganisationSettings

IDM = make_client(make_organisation(), Right.FEED, Right.DEPROVISION, credential="idm")
SECRET = "s" * 40
TODAY = NOON.date()


class Timer:
    """Seconds that pass only when told."""

    now = 0.0

    def __call__(self):
        return self.now


def days(store):
    """Give since when each right has been known, and when it was used last."""
    return {each.right: (each.since, each.last_used_on) for each in store.statistics.credential_rights(UNIVERSITY)}


def use(uses, *rights):
    """Use rights, and wait until that is recorded."""
    for right in rights:
        uses.add(IDM, right)
    uses.wait()


def test_the_day_of_a_use_is_recorded_and_the_secret_is_not(store, store_url, caplog):
    uses = CredentialUses(store, [IDM], lambda: NOON)
    credentials = Credentials([(Bearer(SECRET), IDM)])
    connector = Connector(store, credentials, Registry.PRODUCTION, lambda: NOON, credential_uses=uses)

    answer = ask(connector, "/v1/changes", HTTP_AUTHORIZATION=f"Bearer {SECRET}")
    refused = ask(connector, "/v1/people/x", HTTP_AUTHORIZATION=f"Bearer {SECRET}")
    uses.wait()

    assert (answer.status, refused.status) == (200, 403)
    assert days(store) == {"feed": (TODAY, TODAY), "deprovision": (TODAY, None)}
    assert SECRET not in repr(contents(store_url)) + caplog.text


def test_a_use_is_written_once_a_day(store):
    clock, timer, writes = Clock(), Timer(), []
    uses = CredentialUses(store, [IDM], clock, timer)
    record = store.statistics.record_credential_use
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.statistics, "record_credential_use", lambda *use: (writes.append(use), record(*use)))
        for _ in range(3):
            use(uses, Right.FEED, Right.DEPROVISION)
        assert len(writes) == 2

        clock.passes(days=1)
        timer.now += INTERVAL
        use(uses, Right.FEED)

    assert len(writes) == 3
    assert days(store) == {"feed": (TODAY, TODAY + timedelta(days=1)), "deprovision": (TODAY, TODAY)}


def test_after_a_failed_write_the_recorder_pauses_for_an_hour(store, caplog):
    def fail(*_):
        calls.append(1)
        raise StoreUnavailable("the disk is full")

    timer, calls = Timer(), []
    uses = CredentialUses(store, [IDM], lambda: NOON, timer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.statistics, "record_credential_use", fail)
        use(uses, Right.FEED)
        use(uses, Right.FEED)

    assert len(calls) == 1
    assert [each.message for each in caplog.records] == ["credential-use-not-recorded"]
    timer.now += RETRY_INTERVAL
    use(uses, Right.FEED)
    assert days(store)["feed"] == (TODAY, TODAY)


def test_requests_do_not_wait_for_the_recording(store):
    entered, free = threading.Event(), threading.Event()

    def wait(*_):
        entered.set()
        assert free.wait(10)

    uses = CredentialUses(store, [IDM], lambda: NOON)
    credentials = Credentials([(Bearer(SECRET), IDM)])
    connector = Connector(store, credentials, Registry.PRODUCTION, lambda: NOON, credential_uses=uses)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.statistics, "record_credential_use", wait)
        answers = [ask(connector, "/v1/changes", HTTP_AUTHORIZATION=f"Bearer {SECRET}") for _ in range(2)]
        assert entered.wait(10)
        free.set()
        uses.wait()

    assert [each.status for each in answers] == [200, 200]


def test_a_bug_is_logged_and_does_not_end_the_recording(store, caplog):
    uses = CredentialUses(store, [IDM], lambda: NOON)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.statistics, "record_credential_use", lambda *_: 1 / 0)
        use(uses, Right.FEED)
    use(uses, Right.DEPROVISION)

    assert [each.message for each in caplog.records] == ["bug"]
    assert days(store)["deprovision"] == (TODAY, TODAY)


def test_a_removed_right_loses_its_day_and_others_keep_theirs(store):
    store.statistics.register_credential_rights([CredentialRight("other", "idm", "feed")], TODAY)
    store.statistics.register_credential_rights(
        [CredentialRight(UNIVERSITY, "idm", each) for each in ("feed", "move")], TODAY
    )
    store.statistics.record_credential_use(CredentialRight(UNIVERSITY, "idm", "feed"), TODAY)

    store.statistics.register_credential_rights(
        [CredentialRight(UNIVERSITY, "idm", each) for each in ("feed", "attest")], TODAY + timedelta(days=5)
    )

    assert days(store) == {"feed": (TODAY, TODAY), "attest": (TODAY + timedelta(days=5), None)}
    assert len(store.statistics.credential_rights("other")) == 1


@pytest.mark.parametrize(
    ("since", "used", "named"),
    [
        (90, None, ""),
        (91, None, "feed"),
        (400, 90, ""),
        (400, 91, "feed"),
        (1, None, ""),
        (None, None, ""),
    ],
)
def test_check_names_a_right_unused_for_90_days(store, since, used, named):
    def ago(number):
        return TODAY - timedelta(days=number)

    credential = CredentialSettings.model_construct(name="idm", rights=(Right.READ, Right.FEED))
    settings = OrganisationSettings(organisation=make_organisation(), credentials=(credential,))
    read, feed = (CredentialRight(UNIVERSITY, "idm", each) for each in ("read", "feed"))
    store.statistics.register_credential_rights([read], ago(400))
    store.statistics.record_credential_use(read, TODAY)
    if since is not None:
        store.statistics.register_credential_rights([read, feed], ago(since))
    if used is not None:
        store.statistics.record_credential_use(feed, ago(used))

    found = [each.text for each in check_credentials(settings, store, NOON)]

    assert found == ([f"yliopisto, idm has not used in 90 days: {named}"] if named else [])


def test_an_earlier_day_never_replaces_a_later_one(store):
    right = CredentialRight(UNIVERSITY, "idm", "feed")
    store.statistics.register_credential_rights([right], TODAY)
    store.statistics.record_credential_use(right, TODAY)

    store.statistics.record_credential_use(right, date(2020, 1, 1))

    assert days(store) == {"feed": (TODAY, TODAY)}
