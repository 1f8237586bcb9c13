"""The operator's branding: colours with sufficient contrast, and a logo.

Contrast is computed as in WCAG 2.2 (relative luminance). The backgrounds are those of `static/style.css`; a test
compares the two files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MIN_CONTRAST = 4.5
"""What WCAG 2.2 level AA asks of text (success criterion 1.4.3)."""

LIGHT_BACKGROUNDS = ("#fbfaf7", "#ffffff")
DARK_BACKGROUNDS = ("#14191a", "#1b2223")
"""Backgrounds of text in each colour scheme: the page, and tables and boxes."""

_WHITE, _BLACK = "#ffffff", "#0e1b1c"
_SRGB_LINEAR_LIMIT = 0.03928
"""Up to this value a component of sRGB is linear (WCAG 2.2, relative luminance)."""
_STEPS = 40


@dataclass(frozen=True, slots=True)
class Logo:
    """An image beside the name of the service."""

    name: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Branding:
    """The operator's colours and logo; empty values stand for the defaults."""

    accent: str = ""
    accent_dark: str = ""
    head: str = ""
    head_dark: str = ""
    logo: Logo | None = None
    bodies: tuple[Logo, ...] = ()
    """The logos of the footer."""

    @property
    def style(self) -> str:
        """The CSS that is appended to the style sheet, for each colour scheme."""
        light, dark = "".join(_lines(self.accent, self.head)), "".join(_lines(self.accent_dark, self.head_dark))
        schemes = (("light", light), ("dark", dark))
        return "".join(_in_scheme(scheme, lines) for scheme, lines in schemes if lines)


PLAIN = Branding()
"""The default colours and no logo."""


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def lowest_contrast(colour: str, backgrounds: tuple[str, ...]) -> tuple[float, str]:
    """Return the lowest contrast of a colour, and the background with it."""
    return min((contrast(colour, background), background) for background in backgrounds)


def readable(colour: str, backgrounds: tuple[str, ...]) -> str:
    """Return the nearest colour with sufficient contrast on all backgrounds."""
    towards = _BLACK if contrast(_BLACK, backgrounds[0]) > contrast(_WHITE, backgrounds[0]) else _WHITE
    steps = (_mixed(colour, towards, step / _STEPS) for step in range(_STEPS + 1))
    return next(each for each in steps if lowest_contrast(each, backgrounds)[0] >= MIN_CONTRAST)


def text_colour_for(colour: str) -> str:
    """Return the text colour for a background: white or nearly black."""
    return max((_WHITE, _BLACK), key=lambda ink: contrast(ink, colour))


def _in_scheme(scheme: str, lines: str) -> str:
    # Print uses the style sheet's black on white
    return f"@media screen and (prefers-color-scheme: {scheme}) {{ :root {{ {lines}}} }}\n"


def _lines(accent: str, head: str) -> Iterator[str]:
    if accent:
        yield f"--link: {accent}; --act: {accent}; --on-act: {text_colour_for(accent)}; "
    if head:
        yield f"--head: {head}; --head-ink: {text_colour_for(head)}; "


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= _SRGB_LINEAR_LIMIT else ((part + 0.055) / 1.055) ** 2.4


def _parts(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


def _mixed(colour: str, other: str, share: float) -> str:
    both = zip(_parts(colour), _parts(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * share):02x}" for one, two in both)
