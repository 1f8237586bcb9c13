"""The web application and the connector in this process.

ORCID is simulated; an HTTP client is here too.
"""

from __future__ import annotations

import io
import re
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import quote, urlencode
from wsgiref.validate import validator

import waitress

from demo.orcid.app import make_simulator_app
from demo.orcid.client import SimulatorClient
from demo.orcid.people import PEOPLE
from demo.orcid.simulator import Client, OrcidSimulator
from resolver_connector.app import Connector
from resolver_connector.credentials import Right
from resolver_connector.orcid.clients import OrcidClients
from resolver_connector.orcid.revocation import RevocationQueue, Revoker
from resolver_connector.orcid.scopes import PERMISSIONS, Scope
from resolver_connector.orcid.sealing import TokenSealer
from resolver_connector.orcid.tokens import TokenService
from shibboleth.orcid_id import OrcidId, Registry
from shibboleth.organisation import Organisations, Stage
from shibboleth.person import Encoding, VariableSource
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, UNIVERSITY_IDP, make_organisation
from tests.support.openapi import must_be_documented
from webapp.app import ServiceInfo, WebApp, security_headers, template_globals
from webapp.auth.authenticator import Authenticator
from webapp.config.access import CredentialSettings
from webapp.config.orcid_client import OrganisationOrcidClient
from webapp.config.organisation import OrganisationSettings
from webapp.i18n.language import languages
from webapp.linking.orcid_client import OrcidClient
from webapp.linking.service import LinkingService
from webapp.log import log
from webapp.operator.access import AdminAccess
from webapp.pages.context import AppContext, no_delivery
from webapp.rendering.static import StaticFiles
from webapp.rendering.templating import environment, templates

PUBLIC_URL = "https://connect.example"
CALLBACK = f"{PUBLIC_URL}/me/callback"
CLIENT_ID = "APP-0A1B2C3D4E5F6G7H"
OWN_CLIENT_ID = "APP-1B2C3D4E5F6G7H8J"
TOKEN_KEY = "k" * 43 + "="
ORGANISATIONS = Organisations.of(
    [
        make_organisation(stage=Stage.TEST, help="help@yliopisto.example"),
        make_organisation(POLYTECHNIC, stage=Stage.TEST),
    ]
)
CREDENTIALS = (CredentialSettings.model_construct(name="all", rights=(Right.READ, Right.FEED), user="all"),)
"""With these an organisation can ask the connector."""
MAIJA = PEOPLE[0].orcid
AKE = PEOPLE[1].orcid


def orcid_id(bare):
    return OrcidId.parse(bare, bare_means=Registry.SANDBOX)


@dataclass
class Clock:
    """A clock that stands still until it is advanced."""

    now: object = NOON

    def __call__(self):
        return self.now

    def passes(self, **some):
        self.now += timedelta(**some)


@contextmanager
def serve_app(app):
    """Serve an application on loopback, and yield its address."""
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        end_serving(server, thread)


def end_serving(server, thread):
    """End a server of waitress that runs in a thread, from within.

    Nothing is closed that it looks at just then.
    """
    # It may have stopped already, and have closed its trigger
    with suppress(OSError):
        server.trigger.pull_trigger(lambda: waitress.wasyncore.close_all(server._map))
    thread.join(60)
    server.task_dispatcher.shutdown()


@contextmanager
def run_orcid_simulator():
    """Yield a running simulator, and an ORCID client that is registered there."""
    client = Client(CLIENT_ID, "a-secret-of-the-client", "ORCID connect", (CALLBACK,))
    simulator = OrcidSimulator("http://127.0.0.1:1", clients=[client])
    with serve_app(make_simulator_app(simulator)) as address:
        simulator.base_url = address
        yield simulator, make_orcid_client(address)


def make_orcid_client(address, **other):
    """Build the product's ORCID client for an address."""
    words = {
        "client_id": CLIENT_ID,
        "client_secret": "a-secret-of-the-client",
        "redirect_uri": CALLBACK,
        "connect_timeout": 2,
        "read_timeout": 2,
    }
    return OrcidClient(address, Registry.SANDBOX, **{**words, **other})


def make_token_service(store, client, token_keys=(), *, organisations=None, report=None):
    """Build what keeps ORCID's tokens; without keys it keeps none.

    `organisations` are the clients of organisations, by their ids.
    """
    clients = OrcidClients(client.credentials, organisations or {})
    sealer = TokenSealer(token_keys) if token_keys else None
    return TokenService(store, clients, sealer, Revoker(), report or log)


def make_revocation_queue(store, client, token_keys, clock, **other):
    """Build the worker's queue of revocations, without random waits."""
    sealer = TokenSealer(token_keys) if token_keys else None
    words = {"revoker": Revoker(), "clients": OrcidClients(client.credentials), "report": log, "random": lambda: 0.5}
    return RevocationQueue(store=store, sealer=sealer, clock=clock, **words | other)


def make_web_app(
    store,
    client,
    clock,
    organisations=ORGANISATIONS,
    *,
    transfers=(),
    deliver_now=no_delivery,
    admin_access=None,
    labels=None,
    token_keys=(),
):
    """Build the web application's parts as behind mod_wsgi.

    All organisations have these transfers.
    """
    settings = settings_of(organisations, transfers, labels)
    service_info = ServiceInfo(PUBLIC_URL, "ORCID connect", "help@connect.example", "en", sandbox=True)
    known = languages()
    tokens = make_token_service(store, client, token_keys)
    linking = LinkingService(store, client, tokens, {name: each.transfers for name, each in settings.items()})
    context = AppContext(
        linking,
        store,
        organisations,
        settings,
        StaticFiles.read(),
        client.base_url,
        PUBLIC_URL,
        deliver_now,
        admin_access=admin_access or AdminAccess(),
    )
    return WebApp(
        service_info=service_info,
        authenticator=Authenticator(VariableSource(), organisations, Encoding.URL),
        context=context,
        languages=known,
        templates={code: templates(one, template_globals(service_info, context, known)) for code, one in known.items()},
        headers=security_headers(client.base_url, secure=True),
        clock=clock,
    )


def compile_templates():
    """Compile all templates, once for all processes that this one forks."""
    known = environment(languages()["en"], {})
    for name in known.list_templates(extensions=["html"]):
        known.get_template(name)


def settings_of(organisations, transfers=(), labels=None):
    """Return settings of organisations with these transfers and labels."""
    words = {"transfers": dict.fromkeys(transfers), "transfer_labels": labels or {}}
    return {each.id: OrganisationSettings(organisation=each, **words) for each in organisations}


def with_settings(front, organisation_id=UNIVERSITY, **changes):
    """Return a web application with other settings of an organisation."""
    old = front.context.organisation_settings
    settings = {**old, organisation_id: replace(old[organisation_id], **changes)}
    transfers = {name: each.transfers for name, each in settings.items()}
    linking = replace(front.context.linking, transfers=transfers)
    return replace(front, context=replace(front.context, organisation_settings=settings, linking=linking))


def with_own_client(front, simulator, scopes=(Scope.AUTHENTICATE, *PERMISSIONS), organisation_id=UNIVERSITY):
    """Return a web application in which an organisation has its own client.

    The simulator knows it as a member's.
    """
    client = Client(OWN_CLIENT_ID, "a-secret-of-the-organisation", "Yliopisto", (CALLBACK,), kind="member")
    simulator.add_client(client)
    own = OrganisationOrcidClient.model_construct(client_id=client.client_id, scopes=scopes)
    front = with_settings(front, organisation_id, orcid=own)
    linking = front.context.linking
    clients = {organisation_id: linking.orcid.for_client(client.client_id, client.secret)}
    credentials = {name: each.credentials for name, each in clients.items()}
    tokens = make_token_service(front.context.store, linking.orcid, [TOKEN_KEY], organisations=credentials)
    linking = replace(linking, organisation_clients=clients, tokens=tokens)
    return replace(front, context=replace(front.context, linking=linking))


@dataclass
class WebResponse:
    """A response as a person or program receives it."""

    status: int
    headers: list
    body: bytes

    def header(self, name):
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return values[0] if values else None

    @property
    def text(self):
        # An iD is in two parts, so that a line ends between them
        return re.sub(r'<wbr><span class="digits">([^<]*)</span>', r"\1", self.body.decode())

    @property
    def title(self):
        return re.search(r"<h1>(.*?)</h1>", self.text)[1].replace("&#39;", "'")

    @property
    def location(self):
        """The redirect target, as a path of the service."""
        return self.header("Location").removeprefix(PUBLIC_URL)

    def field(self, name):
        """The value of a hidden form field."""
        return re.search(rf'name="{name}" value="([^"]*)"', self.text)[1]


def ask(app, path, method="GET", form=None, **environ):
    """Send a request to a WSGI application through `wsgiref.validate`."""
    body = urlencode(form or {}).encode()
    raw, _, query = path.partition("?")
    asked = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": raw.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "wrong.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "wrong.example",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if method == "POST":
        asked |= {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/x-www-form-urlencoded"}
    answer = {}

    def start_response(status, headers, exc_info=None):
        answer.update(status=int(status[:3]), headers=headers)
        return lambda data: None

    parts = validator(app)(asked | environ, start_response)
    try:
        content = b"".join(parts)
    finally:
        parts.close()
    reply = WebResponse(answer["status"], answer["headers"], content)
    if isinstance(app, Connector):
        asked |= environ
        must_be_documented(method, asked["SCRIPT_NAME"] + asked["PATH_INFO"], reply)
    return reply


@dataclass
class WebClient:
    """A person with a browser of their own, signed in at an organisation."""

    app: object
    account: str = "maija@yliopisto.example"
    entity_id: str = UNIVERSITY_IDP
    said: dict = field(default_factory=dict)
    cookies: dict = field(default_factory=dict)

    def get(self, path, **environ):
        return self._ask(path, "GET", None, environ)

    def post(self, path, form, **environ):
        return self._ask(path, "POST", form, environ)

    def upload(self, path, form, **files):
        """Send a form with files, by the name of their field."""
        parts = [(f'name="{name}"', value.encode()) for name, value in form.items()]
        parts += [(f'name="{name}"; filename="list.csv"', content) for name, content in files.items()]
        body = b"".join(
            b"--boundary\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (name.encode(), content)
            for name, content in parts
        )
        return self.post_body(path, "multipart/form-data; boundary=boundary", body + b"--boundary--\r\n")

    def post_body(self, path, content_type, body):
        """Send a body of any type."""
        framing = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        return self.post(path, {}, **framing)

    def same_browser(self, account, entity_id=UNIVERSITY_IDP):
        """Return another person who is now signed in in this browser."""
        return WebClient(self.app, account, entity_id, cookies=self.cookies)

    def other_browser(self):
        """Return the same person in another browser."""
        return WebClient(self.app, self.account, self.entity_id, self.said)

    def token(self):
        return self.get("/me").field("token")

    def start(self):
        """Start a linking, and return the address at ORCID."""
        reply = self.post("/me/start", {"token": self.token()})
        assert reply.status == 303, reply.title
        return reply.header("Location")

    def callback_path(self, simulator, bare=MAIJA):
        """Authorise at ORCID as a person and return the callback's path."""
        return authorize_at_orcid(simulator, self.start(), bare)

    def return_from_orcid(self, simulator, bare=MAIJA):
        """Return from ORCID, and return the address of the redirect."""
        return self.get(self.callback_path(simulator, bare)).location

    def agree(self, place, **changes):
        """Tick the checkbox of the confirm page and submit it."""
        page = self.get(place)
        form = {"token": page.field("token"), "replacing": page.field("replacing"), "agree": "yes"}
        return self.post(place, {name: value for name, value in (form | changes).items() if value is not None})

    def link(self, simulator, bare=MAIJA):
        """Complete a linking, and return the result page."""
        return self.get(self.agree(self.return_from_orcid(simulator, bare)).location)

    def _ask(self, path, method, form, environ):
        session = {"Shib-Identity-Provider": self.entity_id, "eppn": self.account, **self.said}
        signed_in = {name: quote(value, safe="") for name, value in session.items() if value}
        if self.cookies:
            signed_in["HTTP_COOKIE"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = ask(self.app, path, method, form, **signed_in, **environ)
        for name, value in reply.headers:
            if name == "Set-Cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
        return reply


def authorize_at_orcid(simulator, address, bare=MAIJA):
    """Return the callback's path after the person with an iD has authorised."""
    return SimulatorClient(simulator).authorise(address, bare).removeprefix(PUBLIC_URL)
