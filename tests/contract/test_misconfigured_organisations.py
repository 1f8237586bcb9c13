"""An organisation whose file is invalid is left out, and affects no other one."""

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner
from freezegun import freeze_time

from sql.records import DeliveryState
from sql.store import open_store
from tests.support.certificates import certificate
from tests.support.configuration import IDM_TOKEN, PROOF, TOKEN, write_configuration
from tests.support.database import make_sqlite
from tests.support.factories import NOON, make_link, make_orcid_id
from tests.support.service import Clock, ask
from webapp.cli.main import main
from webapp.config.errors import Misconfigured
from webapp.config.loader import load
from webapp.wiring.connector import make_connector
from webapp.wiring.pages import make_web
from webapp.wiring.worker import make_worker

BROKEN, OTHER = "yliopisto", "amk"
OTHER_TOKEN = "token-of-amk-" + "a" * 32
MAIJA, AINO = "maija@yliopisto.example", "aino@amk.example"
SPOOL = {"name": "idm", "kind": "file", "directory": "spool"}


def configure(directory, **changes):
    """Write two organisations, with changes of the file of the first one."""
    credential = {"name": "idp", "rights": ["read", "feed"], "token": "file:secrets/amk.token"}
    files = {
        BROKEN: {"transfer": [SPOOL], **changes},
        OTHER: {
            "entity_ids": "https://idp.amk.example/idp/shibboleth",
            "scopes": ["amk.example"],
            "credential": [credential],
            "transfer": [SPOOL],
        },
    }
    (directory / "spool").mkdir(exist_ok=True)
    metrics = {"token": "file:secrets/metrics"}
    secrets = {"amk.token": OTHER_TOKEN, "metrics": "m" * 32}
    return write_configuration(directory, organisations=files, secrets=secrets, metrics=metrics)


def organisation_file(path):
    return path.parent / "organisations" / f"{BROKEN}.toml"


def not_toml(path):
    organisation_file(path).write_text("entity_ids = [")


def nested(path):
    organisation_file(path).write_text("entity_ids = " + "[" * 5000)


def long_number(path):
    organisation_file(path).write_text("scopes = " + "9" * 5000)


def not_text(path):
    organisation_file(path).write_bytes(b"\xff\xfe")


def unreadable(path):
    # A directory in its place: root may read every file
    organisation_file(path).unlink()
    organisation_file(path).mkdir()


def missing_secret(path):
    (path.parent / "secrets" / "yliopisto.token").unlink()


def unknown_setting(path):
    text = organisation_file(path).read_text()
    organisation_file(path).write_text(f"colour = 1\n{text}")


def invalid_transfer(path):
    configure(path.parent, transfer=[{**SPOOL, "kind": "pigeon"}])


def client_certificate(path, content):
    (path.parent / "client.pem").write_bytes(content)
    rest = {"name": "idm", "kind": "rest", "url": "https://idm.yliopisto.example/", "certificate": "client.pem"}
    configure(path.parent, transfer=[{**rest, "certificate_key": "client.pem"}])


def expired_certificate(path):
    client_certificate(path, certificate(days=-1))


def cut_off_certificate(path):
    client_certificate(path, certificate(days=1)[:100])


def missing_certificate(path):
    client_certificate(path, b"")
    (path.parent / "client.pem").unlink()


def no_scope(path):
    configure(path.parent, scopes=None)


MISTAKES = [
    not_toml,
    nested,
    long_number,
    not_text,
    unreadable,
    missing_secret,
    unknown_setting,
    invalid_transfer,
    expired_certificate,
    cut_off_certificate,
    missing_certificate,
    no_scope,
]


@pytest.fixture
def path(tmp_path):
    path = configure(tmp_path)
    make_sqlite(tmp_path)
    return path


@pytest.fixture
def store(path):
    store = open_store(f"sqlite://{path.parent}/links.db")
    yield store
    store.close()


def sign_in(app, organisation, account):
    session = {
        "HTTP_SHIB_IDENTITY_PROVIDER": f"https://idp.{organisation}.example/idp/shibboleth",
        "HTTP_EPPN": account,
    }
    encoded = {
        name: value.replace(":", "%3A").replace("/", "%2F").replace("@", "%40") for name, value in session.items()
    }
    return ask(app, "/me", HTTP_X_FRONT_PROOF=PROOF, **encoded)


def look_up(connector, token, account, path="/v1/people/"):
    reply = ask(connector, path + account, HTTP_AUTHORIZATION=f"Bearer {token}")
    return reply.status, json.loads(reply.body), reply.header("Retry-After")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_others_work_and_its_people_and_systems_are_told(path, store, mistake):
    make_link(store, MAIJA, make_orcid_id(1), BROKEN)
    make_link(store, AINO, make_orcid_id(2), OTHER)
    store.organisations.record_sign_in(BROKEN, "https://idp.yliopisto.example/idp/shibboleth", NOON)
    mistake(path)

    config = load(path, {})

    assert [one.id for one in config.organisations] == [OTHER]
    assert set(config.misconfigured) == {BROKEN}
    web, connector = make_web(config, store, Clock()), make_connector(config, store, Clock())
    page = sign_in(web, BROKEN, MAIJA)
    assert (page.status, page.title) == (503, "Your organisation cannot use this service right now")
    assert sign_in(web, OTHER, AINO).status == 200
    for token in (TOKEN, IDM_TOKEN):
        status, answer, retry_after = look_up(connector, token, MAIJA)
        assert (status, answer["code"], retry_after) == (503, "organisation-misconfigured", "300")
    assert look_up(connector, OTHER_TOKEN, AINO)[0] == 200
    assert ask(connector, "/v1/people/x").status == 401
    assert "private" not in page.text


def test_a_wrong_credential_is_refused_while_all_credentials_are_known(path, store):
    no_scope(path)
    connector = make_connector(load(path, {}), store, Clock())

    assert look_up(connector, "w" * 40, MAIJA)[0] == 401


def test_an_unverifiable_credential_is_neither_limited_nor_logged_as_refused(path, store, caplog):
    missing_secret(path)
    connector = make_connector(load(path, {}), store, Clock())

    answers = {look_up(connector, TOKEN, MAIJA)[0] for _ in range(30)}

    assert answers == {503}
    assert {record.getMessage() for record in caplog.records} == {"credential-unverifiable", "connector"}


def test_an_unknown_organisation_is_still_unknown(path, store):
    not_toml(path)
    web = make_web(load(path, {}), store, Clock())

    page = sign_in(web, "elsewhere", "maija@elsewhere.example")

    assert page.title == "Your organisation is not connected yet"


@pytest.mark.parametrize("newcomer", ["aaa", "zzz"])
@pytest.mark.parametrize("shared", ["entity_ids", "credential"])
def test_what_two_claim_belongs_to_neither_and_a_third_works(path, newcomer, shared):
    own = {"entity_ids": "https://idp.new.example/", "credential": None}
    if shared == "credential":
        own["credential"] = [{"name": "idp", "rights": ["read"], "token": "file:secrets/yliopisto.token"}]
    else:
        own["entity_ids"] = "https://idp.yliopisto.example/idp/shibboleth"
    write_configuration(path.parent, organisations={newcomer: own})

    config = load(path, {})

    assert [one.id for one in config.organisations] == [OTHER]
    assert set(config.misconfigured) == {BROKEN, newcomer}
    key = "credential.token" if shared == "credential" else "entity_ids"
    assert all(key in one.problems[0].key for one in config.misconfigured.values())


def test_an_invalid_file_takes_nothing_from_a_valid_one(path):
    draft = {"entity_ids": "https://idp.yliopisto.example/idp/shibboleth", "credential": None, "scopes": None}
    write_configuration(path.parent, organisations={"aaa": draft})

    config = load(path, {})

    assert [one.id for one in config.organisations] == [OTHER, BROKEN]
    assert {problem.key for problem in config.misconfigured["aaa"].problems} == {"scopes", "entity_ids (value 1)"}


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (expired_certificate, "has expired on"),
        (cut_off_certificate, "not a certificate in PEM"),
        (missing_certificate, "does not exist"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(path, mistake, text):
    mistake(path)

    (problem,) = load(path, {}).misconfigured[BROKEN].problems

    assert problem.key == "transfer.idm.certificate"
    assert text in problem.text


def test_a_certificate_that_has_not_expired_is_valid(path):
    client_certificate(path, certificate(days=1))

    assert not load(path, {}).misconfigured


def test_two_may_have_the_same_scope(path):
    configure(path.parent, scopes=["amk.example"])

    assert not load(path, {}).misconfigured


def test_what_concerns_all_is_refused_with_the_errors_of_all_files(path):
    no_scope(path)
    path.write_text(path.read_text().replace('registry = "sandbox"', 'registry = "sandpit"'))

    with pytest.raises(Misconfigured) as refused:
        load(path, {})

    assert {problem.key for problem in refused.value.problems} == {"service.registry", "scopes"}


def test_without_any_valid_organisation_nothing_starts(path):
    no_scope(path)
    (path.parent / "organisations" / f"{OTHER}.toml").write_text("")

    with pytest.raises(Misconfigured):
        load(path, {})


def test_an_operator_of_a_misconfigured_organisation_affects_no_other(path):
    operator = {"organisation": BROKEN, "people": [MAIJA]}
    path.write_text(
        path.read_text() + f'\n[[operator]]\norganisation = "{BROKEN}"\npeople = ["{operator["people"][0]}"]\n'
    )
    not_toml(path)

    assert set(load(path, {}).misconfigured) == {BROKEN}


def test_nothing_of_it_is_sent_given_up_or_deleted(path, store):
    hour, clock = timedelta(hours=1), Clock()
    for organisation, account, number in ((BROKEN, MAIJA, 1), (OTHER, AINO, 2)):
        make_link(store, account, make_orcid_id(number), organisation, transfers=["idm"])
        gone = account.replace("@", ".gone@")
        make_link(store, gone, make_orcid_id(number + 2), organisation)
        store.erasures.erase(organisation, gone, "person", "asked", NOON, transfers=["idm"])
        store.removals.schedule(organisation, [], NOON + hour, "organisation", NOON + hour, max_percent=100)
    before, pending = store.links.get(BROKEN, MAIJA), store.removals.pending(BROKEN)
    no_scope(path)
    clock.passes(days=40)

    make_worker(load(path, {}), store, clock).run_once()

    assert store.links.get(OTHER, AINO) is None
    assert store.erasures.get(OTHER, "aino.gone@amk.example") is None
    assert store.links.get(BROKEN, MAIJA) == before
    assert store.erasures.get(BROKEN, "maija.gone@yliopisto.example") is not None
    assert store.removals.pending(BROKEN) == pending
    states = [(each.state, each.tries) for each in store.deliveries.list_waiting(BROKEN)]
    assert states == [(DeliveryState.WAITING, 0)] * 2

    make_worker(load(configure(path.parent), {}), store, clock).run_once()

    assert store.links.get(BROKEN, MAIJA) is None
    assert store.erasures.get(BROKEN, "maija.gone@yliopisto.example") is None


def run(path, *arguments):
    with freeze_time(NOON):
        return CliRunner().invoke(main, ["--config", str(path), *arguments])


def test_check_shows_each_error_and_all_other_checks(path, store):
    make_link(store, MAIJA, make_orcid_id(1), BROKEN)
    no_scope(path)

    told = run(path, "check")

    assert told.exit_code == 2
    assert f"error    organisation   {BROKEN} is left out: {organisation_file(path)}: scopes: is missing" in told.output
    assert f"{OTHER}, the chain is intact" in told.output
    assert f"{BROKEN}, the chain is intact" in told.output
    assert "no file yliopisto.toml" not in told.output
    answer = json.loads(run(path, "check", "--json").output)
    assert (answer["ok"], [each["key"] for each in answer["configuration_errors"]]) == (False, ["scopes"])


@pytest.mark.parametrize(
    "command",
    [
        ("link", "show", BROKEN, MAIJA),
        ("link", "show", "https://idp.yliopisto.example/idp/shibboleth", MAIJA),
        ("history", BROKEN),
        ("deliver", "--retry", BROKEN),
        ("transfer", "test", BROKEN),
        ("organisation", "merge", BROKEN, OTHER),
    ],
)
def test_a_command_about_it_says_what_is_wrong(path, command):
    no_scope(path)

    told = run(path, *command)

    assert told.exit_code == 2
    assert "scopes: is missing" in told.output


def test_commands_about_all_say_that_it_is_left_out(path, store):
    make_link(store, MAIJA, make_orcid_id(1), BROKEN, transfers=["idm"])
    no_scope(path)

    waiting, once = run(path, "deliver", "--dry-run"), run(path, "deliver", "--once")

    assert f"{BROKEN} idm: 1" in waiting.output
    assert f"{BROKEN} is left out until its file is valid" in waiting.output
    assert once.output.splitlines()[-1] == "nothing is due"


def test_metrics_say_it_and_still_count_what_waits(path, store):
    make_link(store, MAIJA, make_orcid_id(1), BROKEN, transfers=["idm"])
    no_scope(path)
    web = make_web(load(path, {}), store, Clock())

    text = ask(web, "/metrics", HTTP_AUTHORIZATION=f"Bearer {'m' * 32}").body.decode()

    assert 'orcid_connect_organisation_misconfigured{organisation="yliopisto"} 1.0' in text
    assert 'orcid_connect_organisation_misconfigured{organisation="amk"} 0.0' in text
    assert 'orcid_connect_deliveries_waiting{organisation="yliopisto",transfer="idm"} 1.0' in text
