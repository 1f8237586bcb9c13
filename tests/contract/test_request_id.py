"""What belongs to one request is found in the log by one id: pages, connector, and what is delivered at once."""

import json

import pytest

from sql.store import open_store
from tests.support.configuration import PROOF, TOKEN, write_configuration
from tests.support.database import make_sqlite
from tests.support.factories import make_link
from tests.support.service import ask
from webapp.config.loader import load
from webapp.log import configure_logging, log, request_id, with_request_id
from webapp.wiring.connector import connector_application
from webapp.wiring.dispatcher import make_dispatcher
from webapp.wiring.pages import web_application

CHOSEN = {"HTTP_X_REQUEST_ID": "chosen-by-a-client", "HTTP_X_CORRELATION_ID": "chosen-by-a-client"}


@pytest.fixture
def configuration(tmp_path):
    """Give the path of a configuration whose store is ready, with a log in JSON."""
    path = write_configuration(tmp_path, service={"log": "json"})
    make_sqlite(tmp_path)
    yield path
    request_id.set("")


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_problem_is_logged_with_its_incident_and_the_requests_id(configuration, capsys):
    app = web_application(configuration)

    pages = [ask(app, "/nowhere", HTTP_X_FRONT_PROOF=PROOF, **CHOSEN) for _ in range(2)]

    told = lines(capsys)
    assert [each["event"] for each in told] == ["problem", "problem"]
    for page, each in zip(pages, told, strict=True):
        assert page.status == 404
        assert each["facts"]["incident"] in page.text
        assert len(each["request_id"]) == 16
    assert told[0]["request_id"] != told[1]["request_id"]
    assert "chosen" not in str(told)


def test_a_request_to_the_connector_has_an_id_too(configuration, capsys, tmp_path):
    app = connector_application(configuration)
    for file in tmp_path.glob("links.db*"):
        file.unlink()

    answers = [
        ask(app, "/v1/people/maija@yliopisto.example", HTTP_AUTHORIZATION=f"Bearer {TOKEN}", **CHOSEN) for _ in range(2)
    ]

    told = lines(capsys)
    assert [each.status for each in answers] == [503, 503]
    assert [each["facts"]["error"] for each in told] == ["StoreUnavailable", "StoreUnavailable"]
    assert len({each["request_id"] for each in told} - {""}) == 2
    assert "chosen" not in str(told)


def test_a_delivery_tried_at_once_is_told_with_the_request_it_belongs_to(tmp_path, capsys):
    to_a_folder = {"transfer": [{"name": "idm", "kind": "file", "directory": str(tmp_path / "out")}]}
    (tmp_path / "out").mkdir()
    config = load(write_configuration(tmp_path, organisations={"yliopisto": to_a_folder}), {})
    store = open_store(make_sqlite(tmp_path))
    dispatcher = make_dispatcher(config, store)
    configure_logging("json")

    def application(_environ, _start_response):
        dispatcher.deliver_now(make_link(store, transfers=("idm",)))
        log("linked")
        return []

    with_request_id(application)({}, None)

    told = lines(capsys)
    assert [each["event"] for each in told] == ["delivered", "linked"]
    assert told[0]["request_id"] == told[1]["request_id"]
    store.close()
