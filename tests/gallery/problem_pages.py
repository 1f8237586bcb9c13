"""Page states of problems, reached as a person would, or raised by a handler where no request leads there."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from resolver_connector.orcid.http import OrcidUnavailable
from shibboleth.organisation import OrganisationMisconfigured, UnknownOrganisation
from shibboleth.person import (
    BrokenAttribute,
    ForeignScope,
    MissingAttribute,
    NotSignedIn,
    ProxyNotAuthenticated,
    SeveralValues,
)
from sql.errors import LinkChanged, OrcidIdInUse, SchemaAhead, SchemaBehind, StoreUnavailable
from tests.gallery.page_states import page_state
from tests.gallery.rendering import ACCOUNT, NEW, OLD
from tests.support.factories import UNIVERSITY, make_link, make_organisation
from tests.support.service import ask, make_orcid_client, orcid_id
from webapp.auth.cookies import RepeatedCookie
from webapp.auth.csrf import CsrfError
from webapp.auth.named_people import NamedPeople
from webapp.linking.admission import LinkingClosed, NotAdmitted
from webapp.linking.orcid_client import OrcidBusy, OrcidMisconfigured, OrcidRefused
from webapp.linking.return_address import ReturnNotAllowed
from webapp.linking.service import (
    MAX_OPEN_ATTEMPTS,
    AnotherBrowsersAttempt,
    AttemptExpired,
    EmptyCallback,
    NoSuchAttempt,
    SomeoneElsesAttempt,
    TooManyAttempts,
)
from webapp.operator.access import AdminAccess
from webapp.pages.problems import Bug, FormTooLarge, NoSuchOrganisation, NotAllowed, NotFound
from webapp.pages.request import MAX_UPLOAD_BYTES, IncompleteForm, RepeatedParameter, UploadTooLarge

# Who cannot be let in


@page_state("GET /me", NotSignedIn)
def not_signed_in(context):
    return ask(context.app(), "/me")


@page_state("GET /me", ProxyNotAuthenticated)
def front_not_proven(context):
    return context.maija(_raising(context.web_app(), ProxyNotAuthenticated())).get("/me")


@page_state("GET /me", UnknownOrganisation)
def unknown_organisation(context):
    return context.maija(entity_id="https://idp.not-connected-yet.example/idp/shibboleth").get("/me")


@page_state("GET /me", OrganisationMisconfigured)
def organisation_misconfigured(context):
    return context.maija(_raising(context.web_app(), OrganisationMisconfigured("yliopisto"))).get("/me")


@page_state("GET /me", NotAdmitted)
def not_admitted(context):
    return context.maija(_raising(context.web_app(), NotAdmitted(make_organisation()))).get("/me")


@page_state("GET /me/callback", LinkingClosed)
def linking_closed(context):
    return context.maija(_raising(context.web_app(), LinkingClosed(make_organisation()))).get("/me/callback")


@page_state("GET /me", MissingAttribute)
def missing_attribute(context):
    return context.maija(account="").get("/me")


@page_state("GET /me", SeveralValues)
def several_values(context):
    return context.maija(account="").get("/me", eppn="maija%40yliopisto.example;mm%40yliopisto.example")


@page_state("GET /me", ForeignScope)
def foreign_scope(context):
    return context.maija(account="maija@elsewhere.example").get("/me")


@page_state("GET /me", BrokenAttribute)
def broken_attribute(context):
    return context.maija(account="maija").get("/me")


# On the way


@page_state("POST /me/start", CsrfError)
def bad_form(context):
    return context.maija().post("/me/start", {"token": "x"})


@page_state("GET /me", RepeatedCookie)
def repeated_cookie(context):
    cookies = [f"{context.base.authenticator.browser_cookie_name}={each * 43}" for each in "ab"]
    return context.maija().get("/me", HTTP_COOKIE="; ".join(cookies))


@page_state("GET /me/callback", RepeatedParameter)
def repeated_parameter(context):
    return context.maija().get("/me/callback?code=Ab1&state=made-up&state=made-up")


@page_state("GET /me/callback", NoSuchAttempt)
def no_such_attempt(context):
    return context.maija().get("/me/callback?code=Ab1&state=made-up")


@page_state("GET /me/callback", AttemptExpired)
def attempt_expired(context):
    maija = context.maija()
    callback_path = maija.callback_path(context.simulator)
    context.clock.passes(hours=2)
    return maija.get(callback_path)


@page_state("POST /me/start", TooManyAttempts)
def too_many_attempts(context):
    maija = context.maija()
    for _ in range(MAX_OPEN_ATTEMPTS):
        maija.start()
    return maija.post("/me/start", {"token": maija.token()})


@page_state("GET /me/callback", SomeoneElsesAttempt)
def someone_elses_attempt(context):
    maija = context.maija()
    return maija.same_browser("pekka@yliopisto.example").get(maija.callback_path(context.simulator))


@page_state("GET /me/callback", AnotherBrowsersAttempt)
def another_browsers_attempt(context):
    maija = context.maija()
    return maija.other_browser().get(maija.callback_path(context.simulator))


@page_state("GET /me/callback", EmptyCallback)
def nothing_came_back(context):
    return context.maija().get("/me/callback")


@page_state("GET /me/result/<attempt>", OrcidIdInUse)
def held_by_someone_else(context):
    make_link(context.store, "pekka@yliopisto.example", orcid_id(OLD))
    maija = context.maija()
    return maija.get(maija.return_from_orcid(context.simulator))


@page_state("GET /me/callback", OrcidBusy)
def orcid_busy(context):
    maija = context.maija()
    callback_path = maija.callback_path(context.simulator)
    with ExitStack() as others:
        for _ in range(context.client.max_waiting):
            others.enter_context(context.client.acquire_slot())
        return maija.get(callback_path)


@page_state("GET /me/result/<attempt>", OrcidUnavailable)
def orcid_unavailable(context):
    context.simulator.faults.arm("token", "5xx")
    maija = context.maija()
    return maija.get(maija.return_from_orcid(context.simulator))


@page_state("GET /me/result/<attempt>", OrcidRefused)
def orcid_refused(context):
    context.simulator.faults.arm("token", "scope_reduced")
    maija = context.maija()
    return maija.get(maija.return_from_orcid(context.simulator))


@page_state("GET /me/result/<attempt>", OrcidMisconfigured)
def orcid_misconfigured(context):
    context.client = make_orcid_client(context.client.base_url, client_secret="another-secret")
    maija = context.maija()
    return maija.get(maija.return_from_orcid(context.simulator))


@page_state("POST /me/remove", LinkChanged)
def link_changed(context):
    context.link()
    maija = context.maija()
    form = {name: maija.get("/me/remove").field(name) for name in ("token", "shown")}
    context.link(NEW)
    return maija.post("/me/remove", form)


# What is no person's doing


@page_state("GET /me", StoreUnavailable)
def store_unavailable(context):
    return context.maija(_raising(context.web_app(), StoreUnavailable("locked"))).get("/me")


@page_state("GET /me", SchemaBehind)
def schema_behind(context):
    return context.maija(_raising(context.web_app(), SchemaBehind(("0001_x.sql",)))).get("/me")


@page_state("GET /me", SchemaAhead)
def schema_ahead(context):
    return context.maija(_raising(context.web_app(), SchemaAhead(("9999_x.sql",)))).get("/me")


@page_state("GET /me", Bug)
def bug(context):
    return context.maija(_raising(context.web_app(), Bug())).get("/me")


@page_state("POST /me/start", FormTooLarge)
def too_large(context):
    return context.maija().post("/me/start", {"token": "x" * 20_000})


@page_state("POST /operator/accounts", UploadTooLarge)
def upload_too_large(context):
    staff = AdminAccess(administrators=(NamedPeople.parse(UNIVERSITY, (ACCOUNT,)),))
    administrator = context.maija(context.web_app(admin_access=staff))
    return administrator.upload("/operator/accounts", {"token": "x"}, file=b"x" * MAX_UPLOAD_BYTES)


@page_state("POST /me/start", IncompleteForm)
def incomplete_form(context):
    return context.maija().post("/me/start", {"token": "x"}, CONTENT_LENGTH="9999")


@page_state("GET /nowhere", NotFound)
def not_found(context):
    return ask(context.app(), "/nowhere")


@page_state("GET /o/<organisation>", NoSuchOrganisation)
def no_such_organisation(context):
    return ask(context.app(), "/o/nowhere")


@page_state("GET /connect", ReturnNotAllowed)
def return_not_allowed(context):
    return ask(context.app(), "/connect?return=https%3A%2F%2Felsewhere.example")


@page_state("POST /help", NotAllowed)
def not_allowed(context):
    return ask(context.app(), "/help", "POST", {"a": "b"})


def _raising(web_app, error):
    """Let the door or the store be as bad as this; which of the two it was, no page tells."""

    class Closed:
        def __getattr__(self, name):
            return getattr(web_app.authenticator, name)

        def person(self, _environ):
            raise error

    return replace(web_app, authenticator=Closed())
