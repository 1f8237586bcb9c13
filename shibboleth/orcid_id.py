"""The ORCID iD as a value that is always valid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from operator import mul
from typing import Self

_WEIGHTS = tuple(2 ** (15 - place) for place in range(15))
_BARE = re.compile(r"(\d{4})-?(\d{4})-?(\d{4})-?(\d{3}[\dXx])", re.ASCII)
_WHOLE = re.compile(r"(\d{4}-){3}\d{3}[\dX]", re.ASCII)
_URI = re.compile(r"(?:https?://)?(?P<host>[a-z.]+)/(?P<rest>[^/]+)/?", re.ASCII | re.IGNORECASE)


class Registry(StrEnum):
    """Which of ORCID's two registries issued an iD.

    Their numbers look alike and only the host tells them apart.
    """

    PRODUCTION = "production"
    SANDBOX = "sandbox"

    @property
    def host(self) -> str:
        """The host under which this registry's iDs are written."""
        return {"production": "orcid.org", "sandbox": "sandbox.orcid.org"}[self.value]


_REGISTRY_OF_HOST = {
    "orcid.org": Registry.PRODUCTION,
    "www.orcid.org": Registry.PRODUCTION,
    "sandbox.orcid.org": Registry.SANDBOX,
    "www.sandbox.orcid.org": Registry.SANDBOX,
}


class InvalidOrcidId(ValueError):
    """The text is not an ORCID iD."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text[:80]!r} is not an ORCID iD: {reason}")
        self.text = text
        self.reason = reason


def check_digit(first_fifteen: str) -> str:
    """Return the check character (0-9 or X) of fifteen digits: ISO 7064 MOD 11-2."""
    total = sum(map(mul, map(int, first_fifteen), _WEIGHTS))
    result = (12 - total % 11) % 11
    return "X" if result == 10 else str(result)  # noqa: PLR2004 - the standard's own ten


@dataclass(frozen=True, slots=True, order=True)
class OrcidId:
    """An ORCID iD and the registry that issued it; made by `parse` alone."""

    bare: str
    registry: Registry

    def __post_init__(self) -> None:
        """Refuse what `parse` would not have made."""
        if not _WHOLE.fullmatch(self.bare):
            raise InvalidOrcidId(self.bare, "it is not sixteen characters in four groups")
        digits = self.bare.replace("-", "")
        if check_digit(digits[:15]) != digits[15]:
            raise InvalidOrcidId(self.bare, "its check character does not fit")

    @classmethod
    def parse(cls, text: str, *, bare_means: Registry | None = None) -> Self:
        """Parse any published form of an iD.

        The forms are an https or http URI, with or without `www.` and a final slash, and the bare iD.

        Args:
            bare_means: The registry that issued a bare iD; if None, a bare iD is refused.

        Raises:
            InvalidOrcidId: If the text has another form, or a wrong check digit.
        """
        registry, number = _take_apart(text.strip(" \t\r\n"), bare_means)
        groups = _BARE.fullmatch(number)
        if groups is None:
            raise InvalidOrcidId(text, "it is not sixteen characters in four groups")
        return cls("-".join(groups.groups()).upper(), registry)

    @property
    def uri(self) -> str:
        """The canonical form, `https://orcid.org/0000-0002-1825-0097`.

        This is the value of eduPersonOrcid.
        """
        return f"https://{self.registry.host}/{self.bare}"

    def __str__(self) -> str:
        return self.uri


def _take_apart(text: str, bare_means: Registry | None) -> tuple[Registry, str]:
    uri = _URI.fullmatch(text)
    if uri is None:
        if bare_means is None:
            raise InvalidOrcidId(text, "a bare iD does not say which registry issued it")
        return bare_means, text
    registry = _REGISTRY_OF_HOST.get(uri["host"].lower())
    if registry is None:
        raise InvalidOrcidId(text, "its host is not one of ORCID's")
    return registry, uri["rest"]
