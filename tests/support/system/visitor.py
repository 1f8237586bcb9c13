"""A person who links and removes an ORCID iD over HTTP."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from time import perf_counter
from urllib.parse import urlsplit

import requests

from tests.support.processes.orcid import authorize
from tests.support.system.client import TIMEOUT, HttpBrowser, form_of
from tests.support.system.people import SAIMAA, IdentityProvider
from tests.support.system.stack import Stack

_FORM = re.compile(r'<form [^>]*action="([^"]*)"[^>]*>(.*?)</form>', re.DOTALL)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
_HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)
DISCOVERY = "ds.test"
MAX_SIGN_INS = 3


class FailedPage(Exception):
    """A person got another page than the one that should follow.

    `result` is its status and heading.
    """

    def __init__(self, step: str, answer: requests.Response) -> None:
        found = _HEADING.search(answer.text)
        heading = html.unescape(found[1]).strip() if found else "without a heading"
        self.step, self.result = step, f"{answer.status_code} {heading}"
        super().__init__(f"{step}: {self.result}")


class LostForm(Exception):
    """A form was lost, because the sign-in ended on another node."""


class Visitor:
    """A person with a browser, who signs in through the Service Provider.

    `report` is called with the kind and duration of each page; `attributes` are laid over the account's.
    """

    def __init__(
        self,
        stack: Stack,
        account: str,
        orcid: str,
        *,
        report: Callable[[str, float], None],
        at: IdentityProvider = SAIMAA,
        attributes: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.browser = HttpBrowser(stack)
        self.base_url = stack.base_url
        self.account, self.orcid, self.at = account, orcid, at
        self.report, self.attributes = report, dict(attributes or {})

    def open(self, path: str, kind: str = "page") -> requests.Response:
        """Get a page of the service; sign in where that is asked for."""
        return self._timed(kind, lambda: self.browser.visit(path))

    def submit(self, page: requests.Response, action: str, kind: str = "form", **fields: str) -> requests.Response:
        """Send the form with this action on a page."""
        forms = [content for found, content in _FORM.findall(page.text) if found == action]
        if not forms:
            raise FailedPage(f"page with {action}", page)
        data = {name: html.unescape(value) for name, value in _HIDDEN.findall(forms[0])} | fields
        answer = self._timed(kind, lambda: self._post(f"{self.base_url}{action}", data))
        if answer.status_code == 200 and urlsplit(answer.url).path == "/me":
            raise LostForm
        return answer

    def _post(self, url: str, data: Mapping[str, str]) -> requests.Response:
        return self.browser.post(url, data=data, timeout=TIMEOUT, allow_redirects=False)

    def _timed(self, kind: str, send: Callable[[], requests.Response]) -> requests.Response:
        begun = perf_counter()
        answer = send()
        location = urlsplit(answer.headers.get("Location", answer.url))
        signed_in = location.hostname != DISCOVERY
        if not signed_in:
            answer = self._sign_in(answer if answer.status_code == 200 else self.browser.visit(location.geturl()))
        if answer.status_code >= 400:
            raise FailedPage(kind, answer)
        if signed_in:
            self.report(kind, perf_counter() - begun)
        return answer

    def _sign_in(self, asking: requests.Response) -> requests.Response:
        for _ in range(MAX_SIGN_INS):
            begun = perf_counter()
            answer = self.browser.sign_in(self.account, self.at, asking=asking, **self.attributes)
            if answer.status_code >= 400:
                raise FailedPage("sign-in", answer)
            self.report("sign-in", perf_counter() - begun)
            if urlsplit(answer.url).hostname != DISCOVERY:
                break
            asking = answer  # the balancer has sent the person to another node meanwhile
        # The Service Provider has kept a form that was sent without a session, and has the browser send it again
        form = form_of(answer)
        if f'action="{html.escape(self.base_url)}' in html.unescape(answer.text):
            return self._post(form.action, form.fields)
        return answer

    def _until_sent(self, act: Callable[[], None]) -> None:
        # Whose form is lost begins again from the own page, as docs/operator/nodes.md says
        while True:
            begun = perf_counter()
            try:
                return act()
            except LostForm:
                self.report("form that was lost with its node", perf_counter() - begun)

    def link(self) -> None:
        """Link the iD, from the own page to the result.

        Raises:
            FailedPage: If another page came than the one that should.
        """
        self._until_sent(self._link)

    def remove(self) -> None:
        """Remove the link.

        Raises:
            FailedPage: If another page came than the one that should.
        """
        self._until_sent(self._remove)

    def _link(self) -> None:
        started = self.submit(self.open("/me"), "/me/start", "form to ORCID")
        to_orcid = started.headers.get("Location", "")
        if "/oauth/authorize?" not in to_orcid:
            raise FailedPage("form to ORCID", started)
        back = urlsplit(authorize(to_orcid, self.orcid))
        confirm = self.open(f"{back.path}?{back.query}", "return from ORCID")
        action = urlsplit(confirm.url).path
        if action.startswith("/me/result/"):
            return  # it was linked already
        confirmed = self.submit(confirm, action, "confirmation", agree="yes")
        result = self.open(urlsplit(confirmed.headers.get("Location", "/me")).path)
        if "result" not in result.url:
            raise FailedPage("page after the confirmation", result)

    def _remove(self) -> None:
        removed = self.submit(self.open("/me/remove"), "/me/remove", "removal")
        page = self.open(urlsplit(removed.headers.get("Location", "/me")).path)
        if not page.url.endswith("/me/removed"):
            raise FailedPage("page after the removal", page)
