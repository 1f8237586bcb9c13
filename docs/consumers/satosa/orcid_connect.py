"""A micro service of SATOSA: asks the connector of ORCID connect for the person's ORCID iD at each sign-in.

Whatever goes wrong, the sign-in goes on with all other attributes, and the log says what it was.
"""

import json
import logging
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from satosa.micro_services.base import ResponseMicroService

PATTERN = re.compile(r"https://(sandbox\.)?orcid\.org/([0-9]{4}-){3}[0-9]{3}[0-9X]", re.ASCII)
LARGEST = 65536
log = logging.getLogger(__name__)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        """Follow none: the connector never sends one, so it would come from somebody else."""


class OrcidConnect(ResponseMicroService):
    """Adds the person's ORCID iD to the attributes of a sign-in."""

    def __init__(self, config: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        """Take `url`, `token_file`, and if they are others, `person`, `target` (internal names) and `timeout`."""
        super().__init__(*args, **kwargs)
        self._url = config["url"].rstrip("/")
        self._token = Path(config["token_file"])
        self._person = config.get("person", "eppn")
        self._target = config.get("target", "orcid")
        self._timeout = float(config.get("timeout", 3))
        # Without proxies of the environment: the token goes to the connector and to nobody else
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)

    def process(self, context: Any, data: Any) -> Any:
        """Ask, and pass the sign-in on."""
        accounts = data.attributes.get(self._person) or []
        if len(accounts) == 1:
            try:
                found = self._ask(accounts[0])
            except Exception as error:  # noqa: BLE001 - a sign-in never fails for want of an iD
                # By its class: its words may hold the address, and with it the account
                log.warning("orcid-connect: no ORCID iD this time: %s", _said(error))
            else:
                if found:
                    data.attributes[self._target] = found
        return super().process(context, data)

    def _ask(self, account: str) -> list[str]:
        """Give the person's iDs, as https://orcid.org/... addresses."""
        asked = urllib.request.Request(  # noqa: S310 - the operator's own address
            f"{self._url}/v1/people/{urllib.parse.quote(account, safe='')}",
            headers={"Authorization": f"Bearer {self._token.read_text().strip()}", "Accept": "application/json"},
        )
        with self._opener.open(asked, timeout=self._timeout) as answer:
            found = json.loads(answer.read(LARGEST))["eduPersonOrcid"]
        return [each for each in found if isinstance(each, str) and PATTERN.fullmatch(each)]


def _said(error: Exception) -> str:
    status = f" {error.code}" if isinstance(error, urllib.error.HTTPError) else ""
    return type(error).__name__ + status
