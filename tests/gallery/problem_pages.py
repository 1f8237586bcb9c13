"""Scenes of what goes wrong, reached as a person would, or by a door that raises what only a broken world raises."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from shibboleth.organisation import UnknownOrganisation
from shibboleth.person import (
    BrokenAttribute,
    ForeignScope,
    MissingAttribute,
    NotSignedIn,
    ProxyNotAuthenticated,
    SeveralValues,
)
from sql.errors import LinkChanged, OrcidIdInUse, SchemaAhead, SchemaBehind, StoreUnavailable
from tests.gallery.page_states import scene
from tests.gallery.rendering import NEW, OLD
from tests.support.factories import make_link
from tests.support.service import ask, client_of, orcid_id
from webapp.auth.cookies import RepeatedCookie
from webapp.auth.csrf import CsrfError
from webapp.linking.orcid_client import OrcidBusy, OrcidMisconfigured, OrcidRefused, OrcidUnavailable
from webapp.linking.service import (
    AnotherBrowsersAttempt,
    AttemptExpired,
    NoSuchAttempt,
    NothingCameBack,
    SomeoneElsesAttempt,
)
from webapp.pages.problems import Bug, FormTooLarge, NotAllowed, NotFound
from webapp.pages.request import RepeatedParameter

# Who cannot be let in


@scene("GET /me", NotSignedIn)
def not_signed_in(on):
    return ask(on.app(), "/me")


@scene("GET /me", ProxyNotAuthenticated)
def front_not_proven(on):
    return on.maija(_raising(on.front(), ProxyNotAuthenticated())).get("/me")


@scene("GET /me", UnknownOrganisation)
def unknown_organisation(on):
    return on.maija(organisation="https://idp.not-connected-yet.example/idp/shibboleth").get("/me")


@scene("GET /me", MissingAttribute)
def missing_attribute(on):
    return on.maija(account="").get("/me")


@scene("GET /me", SeveralValues)
def several_values(on):
    return on.maija(account="").get("/me", eppn="maija%40yliopisto.example;mm%40yliopisto.example")


@scene("GET /me", ForeignScope)
def foreign_scope(on):
    return on.maija(account="maija@elsewhere.example").get("/me")


@scene("GET /me", BrokenAttribute)
def broken_attribute(on):
    return on.maija(account="maija").get("/me")


# On the way


@scene("POST /me/start", CsrfError)
def bad_form(on):
    return on.maija().post("/me/start", {"token": "x"})


@scene("GET /me", RepeatedCookie)
def repeated_cookie(on):
    cookies = [f"{on.base.authenticator.cookie_name}={each * 43}" for each in "ab"]
    return on.maija().get("/me", HTTP_COOKIE="; ".join(cookies))


@scene("GET /me/callback", RepeatedParameter)
def repeated_parameter(on):
    return on.maija().get("/me/callback?code=Ab1&state=made-up&state=made-up")


@scene("GET /me/callback", NoSuchAttempt)
def no_such_attempt(on):
    return on.maija().get("/me/callback?code=Ab1&state=made-up")


@scene("GET /me/callback", AttemptExpired)
def attempt_expired(on):
    maija = on.maija()
    back = maija.back(on.world)
    on.clock.passes(hours=2)
    return maija.get(back)


@scene("GET /me/callback", SomeoneElsesAttempt)
def someone_elses_attempt(on):
    maija = on.maija()
    return maija.same_browser("pekka@yliopisto.example").get(maija.back(on.world))


@scene("GET /me/callback", AnotherBrowsersAttempt)
def another_browsers_attempt(on):
    maija = on.maija()
    return maija.other_browser().get(maija.back(on.world))


@scene("GET /me/callback", NothingCameBack)
def nothing_came_back(on):
    return on.maija().get("/me/callback")


@scene("GET /me/result/<attempt>", OrcidIdInUse)
def held_by_someone_else(on):
    make_link(on.store, "pekka@yliopisto.example", orcid_id(OLD))
    maija = on.maija()
    return maija.get(maija.returned(on.world))


@scene("GET /me/callback", OrcidBusy)
def orcid_busy(on):
    maija = on.maija()
    back = maija.back(on.world)
    with ExitStack() as others:
        for _ in range(on.client.max_waiting):
            others.enter_context(on.client.place())
        return maija.get(back)


@scene("GET /me/result/<attempt>", OrcidUnavailable)
def orcid_unavailable(on):
    on.world.faults.next("token", "5xx")
    maija = on.maija()
    return maija.get(maija.returned(on.world))


@scene("GET /me/result/<attempt>", OrcidRefused)
def orcid_refused(on):
    on.world.faults.next("token", "scope_reduced")
    maija = on.maija()
    return maija.get(maija.returned(on.world))


@scene("GET /me/result/<attempt>", OrcidMisconfigured)
def orcid_misconfigured(on):
    on.client = client_of(on.client.base_url, client_secret="another-secret")
    maija = on.maija()
    return maija.get(maija.returned(on.world))


@scene("POST /me/remove", LinkChanged)
def link_changed(on):
    on.link()
    maija = on.maija()
    form = {name: maija.get("/me/remove").field(name) for name in ("token", "shown")}
    on.link(NEW)
    return maija.post("/me/remove", form)


# What is no person's doing


@scene("GET /me", StoreUnavailable)
def store_unavailable(on):
    return on.maija(_raising(on.front(), StoreUnavailable("locked"))).get("/me")


@scene("GET /me", SchemaBehind)
def schema_behind(on):
    return on.maija(_raising(on.front(), SchemaBehind(("0001_x.sql",)))).get("/me")


@scene("GET /me", SchemaAhead)
def schema_ahead(on):
    return on.maija(_raising(on.front(), SchemaAhead(("9999_x.sql",)))).get("/me")


@scene("GET /me", Bug)
def bug(on):
    return on.maija(_raising(on.front(), Bug())).get("/me")


@scene("POST /me/start", FormTooLarge)
def too_large(on):
    return on.maija().post("/me/start", {"token": "x" * 20_000})


@scene("GET /nowhere", NotFound)
def not_found(on):
    return ask(on.app(), "/nowhere")


@scene("POST /help", NotAllowed)
def not_allowed(on):
    return ask(on.app(), "/help", "POST", {"a": "b"})


def _raising(front, error):
    """Let the door or the store be as bad as this; which of the two it was, no page tells."""

    class Closed:
        def __getattr__(self, name):
            return getattr(front.authenticator, name)

        def person(self, _environ):
            raise error

    return replace(front, authenticator=Closed())
