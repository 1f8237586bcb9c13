"""The section `[look]`: what the operator may change of how the pages look, without touching a template."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring
from pydantic import AfterValidator, ValidationInfo

from webapp.config.errors import InvalidSetting
from webapp.config.tables import Table, reading_of, setting
from webapp.rendering.branding import DARK_GROUNDS, LEAST, LIGHT_GROUNDS, Branding, Logo, readable, worst

LARGEST_LOGO = 20 * 1024
"""So that the first page stays small: it is the heaviest thing on it."""

_COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)
_PNG = b"\x89PNG\r\n\x1a\n"
_SVG = "{http://www.w3.org/2000/svg}"
_NOT_IN_A_PICTURE = frozenset({f"{_SVG}script", f"{_SVG}foreignObject", f"{_SVG}use", f"{_SVG}image"})
_NO_LOGO = "remove the line, or name a PNG or SVG file of at most 20 kB"


def _colour(text: str) -> str:
    if not _COLOUR.fullmatch(text.lower()):
        raise InvalidSetting("is not a colour", 'write # and six hexadecimal digits, as in "#0b5c63"')
    return text.lower()


def _read_on(grounds: tuple[str, ...], scheme: str) -> AfterValidator:
    """Hold a colour of links and buttons to what can be read."""

    def held(colour: str) -> str:
        ratio, ground = worst(colour, grounds)
        if ratio < LEAST:
            raise InvalidSetting(
                f"has a contrast of {ratio:.1f} to 1 with {ground}, the ground of the pages in the {scheme} scheme; "
                f"WCAG 2.2 AA asks for {LEAST}",
                f"take a colour that can be read, for example {readable(colour, grounds)}",
            )
        return colour

    return AfterValidator(held)


def _logo(path: str, info: ValidationInfo) -> str:
    read_logo(reading_of(info).directory / path)
    return path


def read_logo(path: Path) -> Logo:
    """Read a logo. raises InvalidSetting where it is none that we may show."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise InvalidSetting(f"cannot be read: {error.strerror}", _NO_LOGO) from None
    if len(body) > LARGEST_LOGO:
        raise InvalidSetting(
            f"has {len(body)} bytes, more than {LARGEST_LOGO}", "make it smaller: it comes with every page"
        )
    if body.startswith(_PNG):
        return Logo("logo.png", body)
    _must_be_a_drawing(body)
    return Logo("logo.svg", body)


def _must_be_a_drawing(body: bytes) -> None:
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        raise InvalidSetting("is neither a PNG nor an SVG picture", _NO_LOGO) from None
    if root.tag != f"{_SVG}svg":
        raise InvalidSetting("is XML, and not an SVG picture", _NO_LOGO)
    names = {each.tag for each in root.iter()} | {name for each in root.iter() for name in each.attrib}
    if names & _NOT_IN_A_PICTURE or any(str(name).startswith("on") for name in names):
        raise InvalidSetting("holds a script, or refers to another file", "save it as a plain SVG")


def _clock(name: str) -> tzinfo:
    # A machine without the tz database knows this one all the same
    return UTC if name == "UTC" else zoneinfo.ZoneInfo(name)


def _zone(name: str) -> str:
    try:
        _clock(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidSetting(
            "is not a time zone of the tz database", 'write for example: time_zone = "Europe/Helsinki"'
        ) from None
    return name


_Colour = Annotated[str, AfterValidator(_colour)]


class BrandingSettings(Table):
    """How the pages look, and by which clock they tell the time."""

    logo: Annotated[str, AfterValidator(_logo)] | None = setting(
        "A picture beside the service's name: PNG or SVG, at most 20 kB; shown 2 rem (about 32 pixels) high.",
        "a path in quotes",
        "logo.svg",
        default=None,
    )
    accent: Annotated[_Colour, _read_on(LIGHT_GROUNDS, "light")] | None = setting(
        "The colour of links and buttons in the light scheme; it must be readable there.",
        "a colour in quotes, # and six hexadecimal digits",
        "#0b5c63",
        default=None,
    )
    accent_dark: Annotated[_Colour, _read_on(DARK_GROUNDS, "dark")] | None = setting(
        "The colour of links and buttons in the dark scheme; it must be readable there.",
        "a colour in quotes, # and six hexadecimal digits",
        "#86d3d8",
        default=None,
    )
    head: _Colour | None = setting(
        "The ground of the head of each page in the light scheme; what stands on it is made white or black.",
        "a colour in quotes, # and six hexadecimal digits",
        "#123456",
        default=None,
    )
    head_dark: _Colour | None = setting(
        "The same in the dark scheme.",
        "a colour in quotes, # and six hexadecimal digits",
        "#0a1a2a",
        default=None,
    )
    time_zone: Annotated[str, AfterValidator(_zone)] = setting(
        "By which clock the pages tell when something happened: a name of the tz database.",
        "a time zone in quotes",
        "Europe/Helsinki",
        default="UTC",
    )

    @property
    def zone(self) -> tzinfo:
        """The clock itself."""
        return _clock(self.time_zone)

    def look(self, directory: Path) -> Branding:
        """Give the look; `directory` is where relative paths start."""
        logo = read_logo(directory / self.logo) if self.logo else None
        light, dark = self.accent or "", self.accent_dark or ""
        return Branding(light, dark, self.head or "", self.head_dark or "", logo)
