"""Stands in for the Identity Providers of all organisations: whoever comes says who they are, without a password.

At each sign-in it asks the connector for the person's ORCID iD, as the attribute resolver of a real one would: over
HTTP, with the credential of the organisation, and going on without an answer when there is none.
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
"""Seconds to wait for the connector; a sign-in must not hang on it."""

Attributes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """The Identity Providers and what they need to ask the connector."""

    configuration: Configuration

    def release_attributes(self, person: Person) -> Attributes:
        """Give what a service is told at sign-in, values by attribute: the directory's own, and what we resolve."""
        orcid = self.look_up_orcid(person)
        return {**person.attributes, **({"eduPersonOrcid": orcid} if orcid else {})}

    def look_up_orcid(self, person: Person) -> tuple[str, ...]:
        """Ask the connector for the person's iD; none where the organisation or its answer is missing."""
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
    """Give the connector's path for a person."""
    return "/v1/people/" + quote(person.eppn, safe="")


def sign_in_url(service: str, target: str = "") -> str:
    """Give where to send a browser that is to sign in for a service, and then go to the target."""
    return f"{PATH}?{urlencode({'service': service, 'target': target})}"


def sign_in_page(service: str, target: str, notice: str = "") -> Response:
    """Ask who has come."""
    groups = [(each, [one for one in PEOPLE.values() if one.organisation is each]) for each in ORGANISATIONS]
    return page("sign_in.html", service=service, target=target, groups=groups, notice=notice)


def _parse_orcid(body: bytes) -> tuple[str, ...]:
    try:
        values = json.loads(body)["eduPersonOrcid"]
    except (ValueError, KeyError, TypeError):
        return ()
    return tuple(each for each in values if isinstance(each, str)) if isinstance(values, list) else ()
