"""The people of the benchmark, and what their browsers and the proxy in front of the service send."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from shibboleth.organisation import Organisation, Stage
from shibboleth.person import PROOF_HEADER, Encoding, Person, Proxy
from tests.bench.client import Answer, Unexpected
from tests.configuration import ORGANISATION, PROOF
from webapp.door import Browser, Door, form_token

HOST = "orcid-connect.example"
ENTITY_ID = ORGANISATION["entity_id"]
SCOPE = ORGANISATION["scopes"][0]

_ORGANISATION = Organisation("yliopisto", ENTITY_ID, ORGANISATION["name"], frozenset([SCOPE]), "eppn", Stage.TEST, "")
_COOKIE = Door(Proxy(PROOF), (), Encoding.URL).cookie_name
_STATE = re.compile(r"[?&]state=([^&]+)")

# What any browser sends beside what matters here
_BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.7,fi;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
)


def account_of(number: int) -> str:
    """Give the eppn of a person."""
    return f"person-{number:07d}@{SCOPE}"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in person at a browser that has been here before."""

    number: int
    headers: str
    token: str

    @classmethod
    def of(cls, number: int) -> Visitor:
        """Give the visitor of this number, always the same one."""
        browser = Browser(f"{number:043d}")
        person = Person(_ORGANISATION, account_of(number))
        said = {
            "Host": HOST,
            PROOF_HEADER: PROOF,
            "Shib-Identity-Provider": quote(ENTITY_ID, safe=""),
            "eppn": quote(person.account, safe=""),
            "displayName": quote("Maija Mäkelä", safe=""),
            "schacHomeOrganization": SCOPE,
            "funetEduPersonEPPNTimeStamp": "20040826",
            "Cookie": f"{_COOKIE}={browser.secret}",
        }
        headers = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        return cls(number, headers + _BROWSER, form_token(browser, person))

    def get(self, path: str) -> bytes:
        """Write a request for a page."""
        return f"GET {path} HTTP/1.1\r\n{self.headers}\r\n".encode()

    def post(self, path: str, **fields: str) -> bytes:
        """Write a request that sends a form."""
        form = urlencode({"token": self.token, **fields})
        kind = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n"
        return f"POST {path} HTTP/1.1\r\n{self.headers}{kind}\r\n{form}".encode()


def link(ask, visitor: Visitor) -> list[Answer]:
    """Link a person by four requests: start, callback, confirm and result; the code at ORCID is their number."""
    start = _expect(303, ask(visitor.post("/me/start")))
    state = _STATE.search(start.location)
    callback = _expect(303, ask(visitor.get(f"/me/callback?state={state[1]}&code={visitor.number}")))
    attempt = callback.location.removeprefix(f"https://{HOST}/me/confirm/")
    confirmed = _expect(303, ask(visitor.post(f"/me/confirm/{attempt}", agree="yes", replacing="")))
    result = _expect(200, ask(visitor.get(confirmed.location.removeprefix(f"https://{HOST}"))))
    return [start, callback, confirmed, result]


def look(ask, visitor: Visitor) -> Answer:
    """Look at one's own page."""
    return _expect(200, ask(visitor.get("/me")))


def _expect(status: int, answer: Answer) -> Answer:
    # What a page of an error costs is not what is measured here
    if answer.status != status:
        raise Unexpected(f"{answer.status} in place of {status}: {answer.location} {answer.body[:2000]!r}")
    return answer
