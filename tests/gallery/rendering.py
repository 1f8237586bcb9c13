"""Render a page state: the real application, a store, a clock and a signed-in person."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from shibboleth.organisation import Organisations, Stage
from sql.store import open_store
from tests.support.database import make_sqlite
from tests.support.factories import POLYTECHNIC, UNIVERSITY, make_link, make_organisation
from tests.support.service import (
    Clock,
    WebClient,
    WebResponse,
    make_token_service,
    make_web_app,
    orcid_id,
    run_orcid_simulator,
    settings_of,
    with_settings,
)
from webapp.app import WebApp, make_app, template_globals
from webapp.linking.service import LinkingService

ACCOUNT = "maija.makela-virtanen@yliopisto.example"
"""A long account."""
OLD, NEW = "0009-0000-0001-1111", "0009-0000-0003-3337"
INTERFACES = ("idm", "register-of-persons-and-their-identifiers")
LABELS = {"idm": {"en": "Staff register", "fi": "Henkilöstörekisteri", "sv": "Personalregister"}}
NAMES = {
    UNIVERSITY: {"en": "University of the North", "fi": "Pohjoinen yliopisto", "sv": "Norra universitetet"},
    POLYTECHNIC: {
        "en": "University of Applied Sciences of the Archipelago and the Coast",
        "fi": "Saariston ja rannikon ammattikorkeakoulu",
        "sv": "Skärgårdens och kustens yrkeshögskola",
    },
}
ORGANISATIONS = Organisations.of(
    [
        make_organisation(name, stage=Stage.TEST, names=names, help=f"help@{name}.example")
        for name, names in NAMES.items()
    ]
)
DAY = timedelta(days=1)


@dataclass
class StateContext:
    """What a page state is built from."""

    base: WebApp
    store: object
    simulator: object
    client: object
    code: str
    clock: Clock = field(default_factory=Clock)
    requests: list = field(default_factory=list)
    """Each method and path that was asked for."""
    organisations: object = ORGANISATIONS
    token_keys: tuple = ()

    def web_app(self, *, transfers=(), settings=None, **context):
        """Give the application's parts, with what this scene has otherwise: in the context, in the settings."""
        # Templates are compiled once for all scenes
        known = settings_of(self.organisations, transfers, LABELS)
        tokens = make_token_service(self.store, self.client, self.token_keys)
        linking = LinkingService(self.store, self.client, tokens, {each: known[each].transfers for each in known})
        words = {
            "linking": linking,
            "store": self.store,
            "organisations": self.organisations,
            "organisation_settings": known,
        }
        authenticator = replace(self.base.authenticator, organisations=self.organisations)
        context = replace(self.base.context, **words | context)
        web_app = replace(self.base, authenticator=authenticator, clock=self.clock, context=context)
        return with_settings(web_app, **settings) if settings else web_app

    def app(self, web_app=None):
        """Return the application as a browser in this language calls it."""
        inner = make_app(web_app or self.web_app())

        def requests(environ, start_response):
            self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            return inner({**environ, "HTTP_ACCEPT_LANGUAGE": self.code}, start_response)

        return requests

    def maija(self, web_app=None, **other):
        """Return Maija's client, signed in."""
        words = {"account": ACCOUNT, "said": {"displayName": "Maija Mäkelä-Virtanen"}, **other}
        return WebClient(self.app(web_app), **words)

    def link(self, bare=OLD, **other):
        """Link Maija, and return the change."""
        return make_link(self.store, ACCOUNT, orcid_id(bare), now=self.clock.now, **other)


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page state in one language, as the application answered it."""

    name: str
    code: str
    reply: WebResponse
    last: tuple[str, str]
    """Method and path of the request that returned the page."""
    template: str
    """Name of its template."""

    @property
    def address(self):
        """Path in the gallery."""
        return f"/{self.code}/{self.name}"


class StateRenderer:
    """Renders page states, each with a store of its own."""

    def __init__(self, directory, simulator, client):
        self.directory, self.simulator, self.client = Path(directory), simulator, client
        store = open_store(make_sqlite(self.directory, "empty.db"))
        self.used = []
        web_app = make_web_app(store, client, Clock(), ORGANISATIONS, labels=LABELS)
        self.base = replace(
            web_app, templates={code: self._recording(each) for code, each in web_app.templates.items()}
        )
        self.known = template_globals(web_app.service_info, web_app.context, web_app.languages).keys() | {"language"}

    def render(self, page_state, code):
        """Render a page state in one language."""
        store = open_store(make_sqlite(self.directory, "state.db"))
        self.simulator.reset()
        context = StateContext(self.base, store, self.simulator, self.client, code)
        self.simulator.clock = context.clock
        try:
            reply = page_state.render(context)
        finally:
            store.close()
            for left in self.directory.glob("state.db*"):
                # A thread that ends closes its connection, and SQLite then removes the log itself
                left.unlink(missing_ok=True)
        return RenderedPage(page_state.name, code, reply, context.requests[-1], self.used[-1])

    def _recording(self, templates):
        def render(name, facts):
            # What all templates know stands in them already: a fact of that name would not be seen
            assert not self.known & facts.keys()
            self.used.append(name)
            return templates(name, facts)

        return render


@contextmanager
def state_renderer():
    """Yield a renderer, with an ORCID simulator that all states share."""
    with tempfile.TemporaryDirectory(prefix="gallery-") as directory, run_orcid_simulator() as (simulator, client):
        yield StateRenderer(directory, simulator, client)


def matches_route(route, method, path):
    """Return whether a request matches a route such as `GET /me/result/<attempt>`."""
    pattern = re.sub(r"<\w+>", "[^/]+", route)
    return re.fullmatch(pattern, f"{method} {path}") is not None
