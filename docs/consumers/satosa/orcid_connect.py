"""A SATOSA micro service that requests the person's ORCID iD from the connector of ORCID connect at each sign-in.

If the request fails, the sign-in continues with all other attributes, and the log has the reason.
"""

import json
import logging
import re
import time
import unicodedata
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from satosa.micro_services.base import ResponseMicroService

PATTERN = re.compile(r"https://(sandbox\.)?orcid\.org/([0-9]{4}-){3}[0-9]{3}[0-9X]", re.ASCII)
MAX_BYTES = 65536
MAX_THREADS = 32
log = logging.getLogger(__name__)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        """Follow no redirect: the connector never sends one."""


class OrcidConnect(ResponseMicroService):
    """Adds the person's ORCID iD to the attributes of a sign-in."""

    def __init__(self, config: Mapping[str, Any] | None, *args: Any, **kwargs: Any) -> None:
        """Keep `url`, `token_file`, and the optional `person`, `target` (internal names) and `timeout`."""
        super().__init__(*args, **kwargs)
        # Options are checked where they are used: an exception here would keep SATOSA from starting
        self._config = config or {}
        # Ignores proxies of the environment, so that the token is sent to the connector only
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)
        # A time-out of a socket applies to each packet; a thread can be given up at any time
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="orcid-connect")

    def process(self, context: Any, data: Any) -> Any:
        """Add the iD to the attributes."""
        try:
            self._add_orcid_id(data.attributes)
        except Exception as error:  # noqa: BLE001 - no error may stop a sign-in
            # The class alone, because the message may contain the account
            log.warning("orcid-connect: the request failed: %s", _reason(error))
        return super().process(context, data)

    def _add_orcid_id(self, attributes: MutableMapping[str, Any]) -> None:
        # Equal values are one; different values identify no account
        values = [each for each in attributes.get(self._config.get("person", "eppn")) or [] if isinstance(each, str)]
        accounts = {_folded(each): each for each in reversed(values)}
        if len(accounts) == 1 and "" not in accounts:
            timeout = float(self._config.get("timeout", 3))
            (account,) = accounts.values()
            found = self._threads.submit(self._request, account, timeout).result(timeout)
            if found:
                attributes[self._config.get("target", "orcid")] = found

    def _request(self, account: str, timeout: float) -> list[str]:
        """Return the person's iDs as https://orcid.org/... URIs."""
        token, end, body = Path(self._config["token_file"]).read_text().strip(), time.monotonic() + timeout, b""
        request = urllib.request.Request(  # noqa: S310 - a configured URL
            f"{self._config['url'].rstrip('/')}/v1/people/{urllib.parse.quote(account, safe='')}",
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
        )
        with self._opener.open(request, timeout=timeout) as answer:
            while len(body) < MAX_BYTES and (part := answer.read1(MAX_BYTES)):
                body += part
                if time.monotonic() > end:
                    raise TimeoutError
        found = json.loads(body)["eduPersonOrcid"]
        return [each for each in dict.fromkeys(found) if isinstance(each, str) and PATTERN.fullmatch(each)]


def _folded(account: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", account.strip(" \t\r\n")).casefold())


def _reason(error: Exception) -> str:
    status = f" {error.code}" if isinstance(error, urllib.error.HTTPError) else ""
    return type(error).__name__ + status
