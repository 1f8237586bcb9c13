"""The pages as they are served, beside the same templates as Jinja makes them when nothing is done beforehand."""

import pytest

from sql.migrate import migrate
from sql.store import open_store
from tests.make import NOON, make_link
from tests.service import Clock, Visitor, client_of, make_front
from webapp import templating
from webapp.app import make_app

PATHS = ("/", "/me", "/me/data", "/me/removed", "/me/remove", "/help", "/signed-out", "/nowhere", "/me/confirm/x")


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite://{tmp_path}/links.db")
    migrate(store.engine, NOON)
    yield store
    store.disconnect()


def visitor(store):
    return Visitor(make_app(make_front(store, client_of("https://sandbox.orcid.org"), Clock())))


@pytest.mark.parametrize("language", ["en", "fi", "sv"])
def test_the_pages_are_the_same_character_by_character(store, monkeypatch, language):
    served = visitor(store)
    monkeypatch.setattr(templating, "straight", lambda tree, *_known: tree)
    plain = visitor(store)
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    monkeypatch.setattr("secrets.token_urlsafe", lambda size: "A" * (4 * size // 3 + 1))

    for linked in (False, True):
        for path in PATHS:
            pages = [one.get(f"{path}?lang={language}").text for one in (served, plain)]
            assert pages[0] == pages[1]
        if not linked:
            make_link(store)
