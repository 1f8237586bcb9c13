"""A federation in one small process.

SAML Identity Providers (pysaml2), their signed metadata, and where people choose.

Started as `python -m tests.support.system.identity_providers SETTINGS.json`; it listens on loopback and has one
virtual host per name:

    ds.test        GET  /           the discovery service: choose an organisation
    metadata.test  GET  /           the federation's signed metadata
    idp-*.test     GET  /sso        a sign-in form: choose the person (the SAML request in the query)
                   POST /sso        the answer for that person, as a form that takes itself to the Service Provider
                   GET  /unsolicited?person=  the same form without any request before it
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bottle
import requests
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT
from saml2.config import IdPConfig
from saml2.saml import NAMEID_FORMAT_TRANSIENT
from saml2.server import Server

from tests.support.system.federation import FRIENDLY_NAMES
from tests.support.system.loopback import OnLoopback
from tests.support.system.people import IdentityProvider, token_of
from tests.support.tls import make_server

SHORT = 2.0
"""Seconds to wait for another source: a login must not hang on it."""

Attributes = dict[str, list[str]]
AttributeSource = Callable[[IdentityProvider, Attributes], Attributes]
"""Given the provider and what is known of the person so far: what this source adds. A source may look elsewhere at
each login, as an Identity Provider's attribute resolver does; what it raises leaves the login as it was."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A sign-in as the Service Provider asked for it.

    Without a request it is unsolicited.
    """

    service: str
    """The entityID of who asked."""
    in_response_to: str
    destination: str
    relay_state: str


def settings_of(provider: IdentityProvider, settings: Mapping[str, Any]) -> dict[str, Any]:
    """pysaml2's settings for one provider.

    Requests must be signed, and released is what the metadata requests.
    """
    sso = f"https://{provider.host}:{settings['port']}/sso"
    key = settings["keys"][provider.key or provider.host]
    return {
        "entityid": provider.entity_id,
        "key_file": key["key"],
        "cert_file": key["certificate"],
        "xmlsec_binary": "/usr/bin/xmlsec1",
        "attribute_map_dir": settings["attribute_maps"],
        "metadata": {"local": settings["sp_metadata"]},
        "service": {
            "idp": {
                "endpoints": {"single_sign_on_service": [(sso, BINDING_HTTP_REDIRECT)]},
                "name_id_format": [NAMEID_FORMAT_TRANSIENT],
                "want_authn_requests_signed": True,
                "policy": {"default": {"lifetime": {"minutes": 5}, "fail_on_missing_requested": False}},
            }
        },
    }


class Provider:
    """One Identity Provider at work."""

    def __init__(self, provider: IdentityProvider, settings: Mapping[str, Any], sources: Iterable[AttributeSource]):
        self.provider = provider
        self._sp = settings["sp_entity_id"]
        self._acs = settings["acs"]
        self._sources = tuple(sources)
        self._server = Server(config=IdPConfig().load(settings_of(provider, settings)))

    def asked(self, query: Mapping[str, str]) -> Asked:
        """Read the request, whose signature must be the Service Provider's."""
        request = self._server.parse_authn_request(
            query["SAMLRequest"],
            BINDING_HTTP_REDIRECT,
            relay_state=query.get("RelayState"),
            sigalg=query["SigAlg"],
            signature=query["Signature"],
        ).message
        back = request.assertion_consumer_service_url
        return Asked(request.issuer.text, request.id, back, query.get("RelayState", ""))

    def unsolicited(self) -> Asked:
        return Asked(self._sp, "", self._acs, "")

    def attributes(self, person: str, override: str) -> Attributes:
        """What is said of the person.

        The directory, then each further source, then what the test wants said.
        """
        said = dict(self.provider.people[person])
        for source in self._sources:
            try:
                said |= source(self.provider, said)
            except Exception as failed:  # noqa: BLE001 - a dead source stops no login
                sys.stderr.write(f"attribute source: {type(failed).__name__}\n")
        said |= json.loads(override or "{}")
        return {FRIENDLY_NAMES.get(name, name): values for name, values in said.items() if values}

    def answer(self, asked: Asked, said: Attributes) -> str:
        """Return the form with the SAML response for the SP.

        Its assertion is signed and encrypted.
        """
        response = self._server.create_authn_response(
            said,
            asked.in_response_to or None,
            asked.destination,
            asked.service,
            userid=said.get("eduPersonPrincipalName", ["nobody"])[0],
            authn={"class_ref": PASSWORDPROTECTEDTRANSPORT, "authn_auth": self.provider.entity_id},
            sign_assertion=True,
            sign_response=True,
            encrypt_assertion=True,
        )
        form = self._server.apply_binding(
            BINDING_HTTP_POST, str(response), asked.destination, asked.relay_state, response=True
        )
        return form["data"]


PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>{body}</html>'


def page(title: str, body: str) -> str:
    return PAGE.format(title=escape(title), body=body)


def sign_in_form(provider: IdentityProvider, query: str) -> str:
    buttons = "".join(
        f'<p><button name="person" value="{escape(each)}">{escape(each)}</button></p>' for each in provider.people
    )
    return page(
        f"Sign in: {provider.name}",
        f'<form method="post" action="/sso?{escape(query)}">'
        f'<input type="hidden" name="override" value="">{buttons}</form>',
    )


def choose_form(providers: Iterable[IdentityProvider], back: str, parameter: str) -> str:
    links = "".join(
        f'<p><a href="{escape(back)}&amp;{parameter}={escape(each.entity_id)}">{escape(each.name)}</a></p>'
        for each in providers
    )
    return page("Choose your organisation", links)


def application(settings: Mapping[str, Any], sources: Iterable[AttributeSource] = ()) -> bottle.Bottle:
    """The whole federation as one WSGI application.

    `sources` add attributes at each login.
    """
    sources = tuple(sources)
    known = [IdentityProvider(**each) for each in settings["providers"]]
    providers = {each.host: Provider(each, settings, sources) for each in known}
    app = bottle.Bottle()

    def here() -> Provider:
        return providers[bottle.request.get_header("Host").partition(":")[0]]

    @app.get("/")
    def choose_or_metadata():
        if bottle.request.get_header("Host").startswith("ds.test"):
            query = bottle.request.query
            return choose_form(known, query.getunicode("return"), query.getunicode("returnIDParam") or "entityID")
        bottle.response.content_type = "application/samlmetadata+xml"
        return Path(settings["metadata"]).read_bytes()

    @app.get("/sso")
    def ask_who():
        here().asked(bottle.request.query.decode())
        return sign_in_form(here().provider, bottle.request.query_string)

    @app.post("/sso")
    def answer():
        asked = here().asked(bottle.request.query.decode())
        form = bottle.request.forms.decode()
        return here().answer(asked, here().attributes(form["person"], form.get("override", "")))

    @app.get("/unsolicited")
    def answer_unasked():
        return here().answer(here().unsolicited(), here().attributes(bottle.request.query.decode()["person"], ""))

    return app


@dataclass(frozen=True, slots=True)
class Connector:
    """Our own connector, queried for the iD at each login.

    It is queried with the organisation's credential.
    """

    url: str
    trusted: str
    """The file of the certificates that are believed."""

    def __call__(self, provider: IdentityProvider, said: Attributes) -> Attributes:
        """Return the iD of a person with one account and one iD.

        Raises what goes wrong, and waits for nothing long.
        """
        if len(said.get("eppn", ())) != 1:
            return {}
        with requests.Session() as session:
            session.mount("https://", OnLoopback())
            session.trust_env = False
            answer = session.get(
                f"{self.url}/v1/people/{quote(said['eppn'][0], safe='')}",
                headers={"Authorization": f"Bearer {token_of(provider)}"},
                timeout=SHORT,
                verify=self.trusted,
                allow_redirects=False,
            )
        answer.raise_for_status()
        values = answer.json()["eduPersonOrcid"]
        return {"eduPersonOrcid": values} if values else {}


def sources_of(settings: Mapping[str, Any]) -> list[AttributeSource]:
    """The sources beside the directory."""
    return [Connector(**settings["connector"])]


def main() -> None:
    settings = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    app = application(settings, sources_of(settings))
    server = make_server(app, settings["port"], settings["tls"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
