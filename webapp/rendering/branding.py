"""The operator's branding: colours with sufficient contrast, and a logo.

Contrast is that of WCAG 2.2 (relative luminance). `static/style.css` holds the grounds that colours are held against;
a test holds this file to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LEAST = 4.5
"""What WCAG 2.2 level AA asks of text (success criterion 1.4.3)."""

LIGHT_GROUNDS = ("#fbfaf7", "#ffffff")
DARK_GROUNDS = ("#14191a", "#1b2223")
"""What text stands on, in each scheme: the page, and the paper of tables and boxes."""

_WHITE, _BLACK = "#ffffff", "#0e1b1c"
_BENDING = 0.03928
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

    @property
    def style(self) -> str:
        """The CSS that is appended to the style sheet, for each colour scheme."""
        light, dark = "".join(_lines(self.accent, self.head)), "".join(_lines(self.accent_dark, self.head_dark))
        schemes = (("light", light), ("dark", dark))
        return "".join(_in_scheme(scheme, lines) for scheme, lines in schemes if lines)


PLAIN = Branding()
"""As the pages come."""


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def worst(colour: str, grounds: tuple[str, ...]) -> tuple[float, str]:
    """Return the lowest contrast of a colour, and the background that has it."""
    return min((contrast(colour, ground), ground) for ground in grounds)


def readable(colour: str, grounds: tuple[str, ...]) -> str:
    """Return the nearest colour with sufficient contrast on all backgrounds."""
    towards = _BLACK if contrast(_BLACK, grounds[0]) > contrast(_WHITE, grounds[0]) else _WHITE
    steps = (_mixed(colour, towards, step / _STEPS) for step in range(_STEPS + 1))
    return next(each for each in steps if worst(each, grounds)[0] >= LEAST)


def ink_on(colour: str) -> str:
    """Return the text colour for a background: white or nearly black."""
    return max((_WHITE, _BLACK), key=lambda ink: contrast(ink, colour))


def _in_scheme(scheme: str, lines: str) -> str:
    # On paper the sheet's own black on white holds
    return f"@media screen and (prefers-color-scheme: {scheme}) {{ :root {{ {lines}}} }}\n"


def _lines(accent: str, head: str) -> Iterator[str]:
    if accent:
        yield f"--link: {accent}; --act: {accent}; --on-act: {ink_on(accent)}; "
    if head:
        yield f"--head: {head}; --head-ink: {ink_on(head)}; "


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= _BENDING else ((part + 0.055) / 1.055) ** 2.4


def _parts(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


def _mixed(colour: str, other: str, share: float) -> str:
    both = zip(_parts(colour), _parts(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * share):02x}" for one, two in both)
