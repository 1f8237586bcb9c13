"""A person removes the connection, or has everything erased, knowing what happens where; in each language."""

import json

import pytest
from click.testing import CliRunner

from sql.store import open_store
from tests.support.configuration import write_configuration
from tests.support.database import driver_of, make_sqlite
from tests.support.delivery import AWAY, Idm, make_dispatcher
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.support.service import CREDENTIALS, Clock, WebClient, make_orcid_client, make_web_app, with_settings
from webapp.app import make_app
from webapp.cli.main import main
from webapp.i18n.language import languages

MAIJA = "maija@yliopisto.example"
FIRST = make_orcid_id(1)
LANGUAGES = languages()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def idm():
    return Idm()


@pytest.fixture
def web_app(store, clock, idm):
    """A service that delivers at once to `idm`, and whose organisation asks the connector too."""
    now = make_dispatcher(store, {"idm": idm}, clock).deliver_now
    web_app = make_web_app(
        store, make_orcid_client("https://sandbox.orcid.org"), clock, transfers=("idm",), deliver_now=now
    )
    return with_settings(web_app, credentials=CREDENTIALS)


@pytest.fixture
def quiet(web_app):
    """The same, to an organisation that is told of everything and asks nothing."""
    return with_settings(web_app, credentials=())


@pytest.fixture
def maija(web_app):
    return WebClient(make_app(web_app))


def linked(store, idm, clock):
    """Link Maija, and have it delivered."""
    change = make_link(store, MAIJA, FIRST, transfers=("idm",))
    make_dispatcher(store, {"idm": idm}, clock).deliver_now(change)


def erase(web_client, **form):
    """Send the form of the page where everything is erased."""
    page = web_client.get("/me/erase")
    return web_client.post("/me/erase", {"token": page.field("token"), **form})


# Removing


def test_the_page_before_a_removal_says_what_happens_where(store, maija, idm, clock):
    linked(store, idm, clock)

    page = maija.get("/me/remove")

    assert page.title == "Remove the connection"
    assert FIRST.uri in page.text
    assert "<bdi>idm</bdi>" in page.text
    assert "Your organisation&#39;s sign-in" in page.text.replace("organisation's", "organisation&#39;s")
    assert "the next time they fetch" in page.text


def test_organisations_without_transfers_and_feed_are_not_named(store, quiet):
    make_link(store, MAIJA, FIRST)

    page = WebClient(make_app(with_settings(quiet, transfers={}))).get("/me/remove").text

    assert "<bdi>idm</bdi>" not in page
    assert "the next time they fetch" not in page
    assert "Services may keep an iD" in page


def test_the_button_removes_the_link(store, maija, idm, clock):
    linked(store, idm, clock)
    page = maija.get("/me/remove")

    answer = maija.post("/me/remove", {"token": page.field("token"), "shown": page.field("shown")})

    assert maija.get(answer.location).title == "The connection has been removed"
    assert idm.kinds() == ["linked", "removed"]


def test_without_a_connection_there_is_nothing_to_remove(maija):
    assert maija.get("/me/remove").location == "/me"


def test_ones_own_page_leads_to_each_of_these(store, maija, idm, clock):
    before = maija.get("/me").text
    linked(store, idm, clock)
    after = maija.get("/me").text

    assert 'href="/me/remove"' not in before
    for place in ("/me/data", "/me/erase"):
        assert f'href="{place}"' in before
    for place in ("/me/data", "/me/erase", "/me/remove"):
        assert f'href="{place}"' in after


# Erasing


def test_without_the_checkbox_nothing_is_erased(store, maija, idm, clock):
    linked(store, idm, clock)

    answer = erase(maija)

    assert (answer.status, answer.title) == (422, "Erase everything about you")
    assert "Nothing was erased." in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]


@pytest.mark.parametrize("form", [{}, {"token": "x" * 43, "confirmed": "yes"}])
def test_without_a_csrf_token_nothing_is_erased(store, maija, idm, clock, form):
    linked(store, idm, clock)

    assert maija.post("/me/erase", form).status == 403
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]


def test_an_immediately_delivered_removal_is_erased_at_once(store, quiet, idm, clock):
    linked(store, idm, clock)
    maija = WebClient(make_app(quiet))

    page = maija.get(erase(maija, confirmed="yes").location)

    assert idm.kinds() == ["linked", "removed"]
    assert page.title == "Nothing is stored about you"
    file = json.loads(maija.get("/me/data.json").body)
    kinds = ("links", "attempts", "changes", "deliveries", "events")
    assert {name: file[name] for name in kinds} == {name: [] for name in kinds}
    assert (file["feed"], file["erasure"]) == (None, None)


def test_a_pending_erasure_is_shown(store, maija, idm, clock):
    linked(store, idm, clock)
    idm.answer = AWAY

    page = maija.get(erase(maija, confirmed="yes").location)

    assert page.title == "Everything is being erased"
    assert "This system is not responding right now." in page.text
    assert json.loads(maija.get("/me/data.json").body)["erasure"]["change_number"] == 2
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == []


def test_an_organisation_that_fetches_is_waited_for(store, maija, idm, clock):
    linked(store, idm, clock)

    erase(maija, confirmed="yes")
    waiting = maija.get("/me/erased").title
    store.changes.acknowledge(UNIVERSITY, 2, NOON)
    store.erasures.finish_due(NOON)

    assert waiting == "Everything is being erased"
    assert maija.get("/me/erased").title == "Nothing is stored about you"


def test_erasing_is_idempotent(store, maija, idm, clock):
    linked(store, idm, clock)
    token = maija.get("/me/erase").field("token")

    places = [maija.post("/me/erase", {"token": token, "confirmed": "yes"}).location for _ in range(2)]

    assert places == ["/me/erased", "/me/erased"]
    assert idm.kinds() == ["linked", "removed"]


def test_a_person_without_data_can_request_an_erasure(maija):
    assert maija.get(erase(maija, confirmed="yes").location).title == "Nothing is stored about you"


def test_after_erasing_one_can_link_again(store, maija, idm, clock):
    linked(store, idm, clock)
    erase(maija, confirmed="yes")
    make_link(store, MAIJA, FIRST)

    assert maija.get("/me/erased").location == "/me"
    assert FIRST.uri in maija.get("/me").text


def test_a_new_holder_sees_nothing_of_the_earlier_holder(store, maija, idm, clock):
    maija.said["funetEduPersonEPPNTimeStamp"] = "20260101"
    make_link(store, MAIJA, FIRST, transfers=("idm",))
    store.changes.acknowledge(UNIVERSITY, 1, NOON)
    set_issued(store, "20040826")
    clock.passes(minutes=1)

    texts = [maija.get(place).text for place in ("/me/data", "/me/data.json", "/me/remove", "/me/erase")]

    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == []
    assert not [text for text in texts if FIRST.bare in text]
    file = json.loads(texts[1])
    assert (file["links"], file["changes"], file["events"], file["attempts"]) == ([], [], [], [])


def test_a_new_holder_sees_nothing_of_an_earlier_removal(store, maija):
    maija.said["funetEduPersonEPPNTimeStamp"] = "20260101"
    make_link(store, MAIJA, FIRST)
    set_issued(store, "20040826")
    store.links.remove(UNIVERSITY, MAIJA, "person", "removed", NOON)

    file = json.loads(maija.get("/me/data.json").text)

    assert (file["links"], file["changes"], file["events"]) == ([], [], [])


def set_issued(store, issued):
    """Let the link be that of somebody who had the account before."""
    text = f"update links set account_issued_at = '{issued}'"
    if type(store.engine).__name__ == "Sqlite":
        driver_of(store).execute(text)
    else:
        with store.engine.connection() as connection:
            connection.execute(text.encode())


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/me/data", "What is stored about you"),
        ("/me/remove", "Remove the connection"),
        ("/me/erase", "Erase everything about you"),
        ("/me/erased", "Nothing is stored about you"),
    ],
)
def test_each_page_is_there_in_each_language(  # noqa: PLR0917 - a world, and what is looked at in it
    store, maija, idm, clock, code, path, title
):
    if path != "/me/erased":
        linked(store, idm, clock)

    page = maija.get(path, HTTP_ACCEPT_LANGUAGE=code)

    assert page.title == LANGUAGES[code].gettext(title)
    assert page.header("Content-Language") == code


# The operator's command


@pytest.fixture
def written(tmp_path):
    """A configuration with an organisation that asks nothing, and its store."""
    path = write_configuration(tmp_path, organisations={"yliopisto": {"credential": None}})
    store = open_store(make_sqlite(tmp_path))
    yield path, store
    store.close()


def run(path, *words, **other):
    return CliRunner().invoke(main, ["--config", str(path), "link", "erase", "yliopisto", *words], **other)


def test_the_operator_erases_a_person(written):
    path, store = written
    make_link(store, MAIJA, FIRST)

    result = run(path, MAIJA.upper(), "--reason", "wrote to us", "--yes")

    assert (result.exit_code, result.output) == (0, f"erased the data of {MAIJA.upper()}\n")
    assert store.links.list_for_person(UNIVERSITY, MAIJA) == []
    assert list(store.audit.list_events(UNIVERSITY, MAIJA)) == []


def test_the_operator_is_asked_first(written):
    path, store = written
    make_link(store, MAIJA, FIRST)

    result = run(path, MAIJA, "--reason", "wrote to us", input="n\n")

    assert result.exit_code == 1
    assert store.links.orcid_ids(UNIVERSITY, MAIJA) == [FIRST]


def test_the_command_says_what_has_to_happen_first(tmp_path):
    path = write_configuration(tmp_path)
    store = open_store(make_sqlite(tmp_path))
    make_link(store, MAIJA, FIRST)

    told = run(path, MAIJA, "--reason", "wrote to us", "--yes")
    machine = run(path, MAIJA, "--reason", "wrote to us", "--yes", "--json")
    store.close()

    assert "as soon as the organisation has received the removal" in told.output
    assert json.loads(machine.output) == {"found": True, "removed": False, "done": False}


def test_an_erasure_without_data_deletes_nothing(written):
    path, _ = written

    result = run(path, MAIJA, "--reason", "wrote to us", "--yes")
    asked = run(path, MAIJA, "--reason", "wrote to us", "--json")

    assert result.exit_code == 1
    assert f"no data is stored about {MAIJA} at yliopisto" in result.output
    assert asked.exit_code == 2
