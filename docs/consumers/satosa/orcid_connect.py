"""A SATOSA micro service that requests the person's ORCID iD from the connector of ORCID connect at each sign-in.

If the request fails, the sign-in continues with all other attributes, and the log has the reason.
"""

import json
import logging
import re
import unicodedata
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from satosa.micro_services.base import ResponseMicroService

PATTERN = re.compile(r"https://(sandbox\.)?orcid\.org/([0-9]{4}-){3}[0-9]{3}[0-9X]", re.ASCII)
MAX_BYTES = 65536
log = logging.getLogger(__name__)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        """Follow no redirect: the connector never sends one."""


class OrcidConnect(ResponseMicroService):
    """Adds the person's ORCID iD to the attributes of a sign-in."""

    def __init__(self, config: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        """Read `url`, `token_file`, and the optional `person`, `target` (internal names) and `timeout`."""
        super().__init__(*args, **kwargs)
        self._url = config["url"].rstrip("/")
        self._token = Path(config["token_file"])
        self._person = config.get("person", "eppn")
        self._target = config.get("target", "orcid")
        self._timeout = float(config.get("timeout", 3))
        # Ignores proxies of the environment, so that the token is sent to the connector only
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)

    def process(self, context: Any, data: Any) -> Any:
        """Add the iD to the attributes."""
        # Equal values are one; different values identify no account
        values = [each for each in data.attributes.get(self._person) or [] if isinstance(each, str)]
        accounts = {_folded(each): each for each in reversed(values)}
        if len(accounts) == 1 and "" not in accounts:
            try:
                found = self._request(*accounts.values())
            except Exception as error:  # noqa: BLE001 - no error may stop a sign-in
                # The class alone, because the message may contain the account
                log.warning("orcid-connect: the request failed: %s", _reason(error))
            else:
                if found:
                    data.attributes[self._target] = found
        return super().process(context, data)

    def _request(self, account: str) -> list[str]:
        """Return the person's iDs as https://orcid.org/... URIs."""
        request = urllib.request.Request(  # noqa: S310 - a configured URL
            f"{self._url}/v1/people/{urllib.parse.quote(account, safe='')}",
            headers={"Authorization": f"Bearer {self._token.read_text().strip()}", "Accept": "application/json"},
        )
        with self._opener.open(request, timeout=self._timeout) as answer:
            found = json.loads(answer.read(MAX_BYTES))["eduPersonOrcid"]
        return [each for each in dict.fromkeys(found) if isinstance(each, str) and PATTERN.fullmatch(each)]


def _folded(account: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", account.strip(" \t\r\n")).casefold())


def _reason(error: Exception) -> str:
    status = f" {error.code}" if isinstance(error, urllib.error.HTTPError) else ""
    return type(error).__name__ + status
