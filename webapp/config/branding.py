"""The section `[branding]`: logo, colours and time zone of the pages."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring
from pydantic import AfterValidator, ValidationInfo

from webapp.config import validators
from webapp.config.base import Table, context_of, setting
from webapp.config.errors import InvalidSetting
from webapp.rendering.branding import (
    DARK_BACKGROUNDS,
    LIGHT_BACKGROUNDS,
    MIN_CONTRAST,
    Branding,
    Logo,
    lowest_contrast,
    readable,
)

MAX_LOGO_BYTES = 20 * 1024
"""The logo is part of the first page, which has to stay small."""

_COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)
_PNG = b"\x89PNG\r\n\x1a\n"
_SVG = "{http://www.w3.org/2000/svg}"
_FORBIDDEN_ELEMENTS = frozenset({f"{_SVG}script", f"{_SVG}foreignObject", f"{_SVG}use", f"{_SVG}image"})
_FIX_LOGO = "remove the line, or name a PNG or SVG file of at most 20 kB"


def _validate_colour(text: str) -> str:
    if not _COLOUR.fullmatch(text.lower()):
        raise InvalidSetting("is not a colour", 'write # and six hexadecimal digits, as in "#0b5c63"')
    return text.lower()


def _readable_on(backgrounds: tuple[str, ...], scheme: str) -> AfterValidator:
    # Contrast of text, which links and buttons are

    def validate_contrast(colour: str) -> str:
        ratio, background = lowest_contrast(colour, backgrounds)
        if ratio < MIN_CONTRAST:
            raise InvalidSetting(
                f"has a contrast of {ratio:.1f} to 1 with {background}, the background of the {scheme} scheme; "
                f"WCAG 2.2 AA asks for {MIN_CONTRAST}",
                f"take a colour that can be read, for example {readable(colour, backgrounds)}",
            )
        return colour

    return AfterValidator(validate_contrast)


def _validate_logo(path: str, info: ValidationInfo) -> str:
    read_logo(context_of(info).directory / path)
    return path


def read_logo(path: Path) -> Logo:
    """Read a logo.

    Raises:
        InvalidSetting: If it is not a small PNG or SVG picture, or has a script or another file in it.
    """
    try:
        body = path.read_bytes()
    except OSError as error:
        raise InvalidSetting(f"cannot be read: {error.strerror}", _FIX_LOGO) from None
    if len(body) > MAX_LOGO_BYTES:
        raise InvalidSetting(
            f"has {len(body)} bytes, more than {MAX_LOGO_BYTES}", "make it smaller: it comes with every page"
        )
    if body.startswith(_PNG):
        return Logo("logo.png", body)
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        raise InvalidSetting("is neither a PNG nor an SVG picture", _FIX_LOGO) from None
    if root.tag != f"{_SVG}svg":
        raise InvalidSetting("is XML, and not an SVG picture", _FIX_LOGO)
    names = {each.tag for each in root.iter()} | {name for each in root.iter() for name in each.attrib}
    if names & _FORBIDDEN_ELEMENTS or any(str(name).startswith("on") for name in names):
        raise InvalidSetting("has a script in it, or refers to another file", "save it as a plain SVG")
    return Logo("logo.svg", body)


def _time_zone(name: str) -> tzinfo:
    # Works without the tz database
    return UTC if name == "UTC" else zoneinfo.ZoneInfo(name)


def _validate_zone(name: str) -> str:
    try:
        _time_zone(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidSetting(
            "is not a time zone of the tz database", 'write for example: time_zone = "Europe/Helsinki"'
        ) from None
    return name


_Colour = Annotated[str, AfterValidator(_validate_colour)]


class BodySettings(Table):
    """A body that the footer of each page names."""

    name: Annotated[str, AfterValidator(validators.single_line)] | None = setting(
        "Its name; without one the footer does not show it.",
        "one line of text in quotes",
        "Example Ltd.",
        default=None,
    )
    url: Annotated[str, AfterValidator(validators.web_page)] | None = setting(
        "Its page.", "an https address in quotes", "https://example.org", default=None
    )
    logo: Annotated[str, AfterValidator(_validate_logo)] | None = setting(
        "Its logo beside the name: PNG or SVG, at most 20 kB; shown 2 rem (about 32 pixels) high.",
        "a path in quotes",
        "owner.svg",
        default=None,
    )


class BrandingSettings(Table):
    """How the pages look, and in which time zone they show times."""

    logo: Annotated[str, AfterValidator(_validate_logo)] | None = setting(
        "A picture beside the service's name: PNG or SVG, at most 20 kB; shown 2 rem (about 32 pixels) high.",
        "a path in quotes",
        "logo.svg",
        default=None,
    )
    accent: Annotated[_Colour, _readable_on(LIGHT_BACKGROUNDS, "light")] | None = setting(
        "The colour of links and buttons in the light scheme; it must be readable there.",
        "a colour in quotes, # and six hexadecimal digits",
        "#0b5c63",
        default=None,
    )
    accent_dark: Annotated[_Colour, _readable_on(DARK_BACKGROUNDS, "dark")] | None = setting(
        "The colour of links and buttons in the dark scheme; it must be readable there.",
        "a colour in quotes, # and six hexadecimal digits",
        "#86d3d8",
        default=None,
    )
    header: _Colour | None = setting(
        "The background of each page's header in the light scheme; the text on it is made white or black.",
        "a colour in quotes, # and six hexadecimal digits",
        "#123456",
        default=None,
    )
    header_dark: _Colour | None = setting(
        "The same in the dark scheme.",
        "a colour in quotes, # and six hexadecimal digits",
        "#0a1a2a",
        default=None,
    )
    time_zone: Annotated[str, AfterValidator(_validate_zone)] = setting(
        "The time zone in which the pages show times: a name of the tz database.",
        "a time zone in quotes",
        "Europe/Helsinki",
        default="UTC",
    )

    @property
    def zone(self) -> tzinfo:
        """The time zone."""
        return _time_zone(self.time_zone)

    def branding(self, directory: Path, bodies: Mapping[str, BodySettings] = MappingProxyType({})) -> Branding:
        """Return the branding; relative paths start at `directory`.

        Args:
            bodies: Those of the footer, by the name that their logo's file begins with.
        """
        logo = read_logo(directory / self.logo) if self.logo else None
        light, dark = self.accent or "", self.accent_dark or ""
        found = {name: read_logo(directory / one.logo) for name, one in bodies.items() if one.logo}
        more = tuple(Logo(f"{name}-{each.name}", each.body) for name, each in found.items())
        return Branding(light, dark, self.header or "", self.header_dark or "", logo, more)
