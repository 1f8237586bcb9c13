"""A person who links and removes an ORCID iD over HTTP."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from time import perf_counter
from urllib.parse import urlsplit

import requests

from demo.orcid.client import SimulatorClient
from demo.orcid.simulator import OrcidSimulator
from tests.support.system.client import TIMEOUT, HttpBrowser, form_of
from tests.support.system.people import SAIMAA, IdentityProvider
from tests.support.system.stack import Stack

_FORM = re.compile(r'<form [^>]*action="([^"]*)"[^>]*>(.*?)</form>', re.DOTALL)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
DISCOVERY = "ds.test"
MAX_SIGN_INS = 3


class FailedPage(Exception):
    """A person got another page than the one that should follow."""

    def __init__(self, step: str, answer: requests.Response) -> None:
        super().__init__(f"{step}: {answer.status_code}")
        self.result = f"{step}: {answer.status_code} {_heading(answer.text)}"


def _heading(text: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", text, re.DOTALL)
    return html.unescape(found[1]).strip() if found else ""


class Visitor:
    """A person with a browser, signed in through the Service Provider.

    `report` is called with the kind, result and duration of each page; `attributes` are laid over the account's.
    """

    def __init__(
        self,
        stack: Stack,
        simulator: OrcidSimulator,
        account: str,
        orcid: str,
        *,
        report: Callable[[str, str, float], None],
        at: IdentityProvider = SAIMAA,
        attributes: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.browser = HttpBrowser(stack)
        self.base_url = stack.base_url
        self.simulator, self.account, self.orcid, self.at = simulator, account, orcid, at
        self.report, self.attributes = report, dict(attributes or {})

    def open(self, path: str) -> requests.Response:
        """Get a page of the service; sign in where that is asked for."""
        return self._timed("page", lambda: self.browser.visit(path))

    def submit(self, page: requests.Response, action: str, **fields: str) -> requests.Response:
        """Send the form with this action on a page."""
        forms = [content for found, content in _FORM.findall(page.text) if found == action]
        if not forms:
            raise FailedPage(f"a page with the form {action}", page)
        data = {name: html.unescape(value) for name, value in _HIDDEN.findall(forms[0])} | fields
        address = f"{self.base_url}{action}"
        return self._timed(
            "form", lambda: self.browser.post(address, data=data, timeout=TIMEOUT, allow_redirects=False)
        )

    def _timed(self, kind: str, send: Callable[[], requests.Response]) -> requests.Response:
        begun = perf_counter()
        answer = send()
        location = urlsplit(answer.headers.get("Location", answer.url))
        if location.hostname == DISCOVERY:
            return self._sign_in(
                answer if answer.status_code == 200 else self.browser.visit(answer.headers["Location"])
            )
        self.report(kind, "ok" if answer.status_code < 400 else _named(answer), perf_counter() - begun)
        return answer

    def sign_in(self) -> None:
        """Sign in, in a browser without cookies."""
        self.browser.cookies.clear()
        self._sign_in(self.browser.visit("/me"))

    def _sign_in(self, asking: requests.Response) -> requests.Response:
        for _ in range(MAX_SIGN_INS):
            begun = perf_counter()
            answer = self.browser.sign_in(self.account, self.at, asking=asking, **self.attributes)
            self.report("sign-in", "ok" if answer.status_code < 400 else _named(answer), perf_counter() - begun)
            if urlsplit(answer.url).hostname != DISCOVERY:
                break
            asking = answer  # the balancer has sent the person to another node meanwhile
        # The Service Provider has kept a form that was sent without a session, and has the browser send it again
        form = form_of(answer)
        if f'action="{html.escape(self.base_url)}' in html.unescape(answer.text):
            return self.browser.post(form.action, data=form.fields, timeout=TIMEOUT, allow_redirects=False)
        return answer

    def link(self) -> None:
        """Link the iD, from the own page to the result.

        Raises:
            FailedPage: If another page came than the one that should.
        """
        started = self.submit(self.open("/me"), "/me/start")
        to_orcid = started.headers.get("Location", "")
        if not to_orcid.startswith(self.simulator.base_url):
            raise FailedPage("on the way to ORCID", started)
        back = SimulatorClient(self.simulator).authorise(to_orcid, self.orcid)
        confirm = self.open(urlsplit(back)._replace(scheme="", netloc="").geturl())
        action = urlsplit(confirm.url).path
        if action.startswith("/me/result/"):
            return  # it was linked already
        confirmed = self.submit(confirm, action, agree="yes")
        result = self.open(urlsplit(confirmed.headers.get("Location", "/me")).path)
        if "result" not in result.url or result.status_code != 200:
            raise FailedPage("the result", result)

    def remove(self) -> None:
        """Remove the link.

        Raises:
            FailedPage: If another page came than the one that should.
        """
        removed = self.submit(self.open("/me/remove"), "/me/remove")
        page = self.open(urlsplit(removed.headers.get("Location", "/me")).path)
        if not page.url.endswith("/me/removed"):
            raise FailedPage("the removal", page)


def _named(answer: requests.Response) -> str:
    return f"{answer.status_code} {_heading(answer.text)}".strip()
