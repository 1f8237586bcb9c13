"""The simulator of ORCID in a process, and a person who consents there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import requests

from tests.support.docs import ROOT
from tests.support.ports import free_port
from tests.support.system.machine import DidNotStart

TIMEOUT = 30


@contextmanager
def running_orcid(client: tuple[str, str], redirect_uri: str, people: int = 0) -> Iterator[str]:
    """Run the simulator, and yield its base URL.

    Args:
        client: Client id and secret.
        redirect_uri: Where the client has people return to.
        people: How many people it knows beside its own: `made_up_id(1)` and so on.
    """
    words = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "demo.orcid", "--port", str(free_port())]
    words += ["--client-id", client[0], "--client-secret", client[1], "--redirect-uri", redirect_uri]
    words += ["--people", str(people)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            if not (ready := process.stdout.readline()):
                raise DidNotStart(f"the simulator of ORCID: exit {process.wait()}")
            yield ready.strip().rstrip("/")
        finally:
            process.terminate()


def authorize(url: str, orcid: str) -> str:
    """Sign in at ORCID and consent.

    Args:
        url: Where the service has sent the person.
        orcid: The person's iD.

    Returns:
        The address to which ORCID sends the person back.
    """
    with requests.Session() as browser:
        browser.trust_env = False
        browser.post(urljoin(url, "/signin"), {"orcid": orcid}, timeout=TIMEOUT, allow_redirects=False)
        form = {"request": urlsplit(url).query}
        answer = browser.post(urljoin(url, "/oauth/authorize"), form, timeout=TIMEOUT, allow_redirects=False)
    answer.raise_for_status()
    return answer.headers["Location"]
