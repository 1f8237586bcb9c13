"""Simulate the Identity Providers of all organisations.

Users choose who they are, without a password. At each sign-in the person's ORCID iD is looked up in the connector as a
real attribute resolver does: over HTTP with the organisation's credential, and the sign-in continues if the look-up
fails.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from demo.configuration import Configuration
from demo.orcid.http import Response
from demo.pages import page
from demo.people import ORGANISATIONS, PEOPLE, Person

PATH: Final = "/identity-provider"
TIMEOUT: Final = 2.0
"""Seconds to wait for the connector."""

Attributes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """Releases attributes of people, with the iD that the connector returns."""

    configuration: Configuration

    def release_attributes(self, person: Person) -> Attributes:
        """Return what a service receives at sign-in: directory attributes and the iD."""
        orcid = self.look_up_orcid(person)
        return {**person.attributes, **({"eduPersonOrcid": orcid} if orcid else {})}

    def look_up_orcid(self, person: Person) -> tuple[str, ...]:
        """Look up a person's iD in the connector.

        Returns:
            Empty if there is none or the look-up fails.
        """
        credential = self.configuration.credentials.get(person.organisation.id)
        if credential is None or not person.eppn:
            return ()
        place = urlsplit(self.configuration.base_url)
        connection = http.client.HTTPConnection(place.netloc, timeout=TIMEOUT)
        try:
            connection.request("GET", lookup_path(person), headers={"Authorization": credential.header})
            response = connection.getresponse()
            return _parse_orcid(response.read()) if response.status == http.client.OK else ()
        except (OSError, http.client.HTTPException):
            return ()
        finally:
            connection.close()


def lookup_path(person: Person) -> str:
    """Return the connector's path for a person."""
    query = urlencode({"stable_id": person.subject_id}) if person.subject_id else ""
    return "/v1/people/" + quote(person.eppn, safe="") + (query and f"?{query}")


def sign_in_url(service: str, target: str = "") -> str:
    """Return the sign-in page's URL for a service and the path to return to."""
    return f"{PATH}?{urlencode({'service': service, 'target': target})}"


def sign_in_page(service: str, target: str, notice: str = "") -> Response:
    """Return the page on which people choose who they are."""
    groups = [(each, [one for one in PEOPLE.values() if one.organisation is each]) for each in ORGANISATIONS]
    return page("sign_in.html", service=service, target=target, groups=groups, notice=notice)


def _parse_orcid(body: bytes) -> tuple[str, ...]:
    try:
        values = json.loads(body)["eduPersonOrcid"]
    except (ValueError, KeyError, TypeError):
        return ()
    return tuple(each for each in values if isinstance(each, str)) if isinstance(values, list) else ()
