"""The characters that an account may contain, and a name on a page."""

from __future__ import annotations

import re
import unicodedata

XML_WHITE_SPACE = " \t\r\n"
"""White space of XML (section 2.3), which may surround a value; every other character is part of the value."""

# Default_Ignorable_Code_Point of Unicode (joiners, variation selectors, Hangul fillers, ...), blank symbols, and the
# object replacement character, which directories ignore (RFC 4518 section 2.2)
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u303f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\U00013441\U00013442\U00016fe4\U0001bca0-\U0001bca3\U0001d159"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_LINE_BREAKING = {"Cc", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"


def is_visible(text: str) -> bool:
    """Return whether an account consists of visible characters and U+0020 only.

    Invisible characters, fillers, variation selectors, joiners and unassigned characters would make accounts that look
    the same on every page and in every log.
    """
    return text.isprintable() and not INVISIBLE.search(text)


def displayed(text: str) -> str:
    """Return a name as one line, without characters that affect other text.

    Joiners and variation selectors remain, since some scripts need them. The result is empty if no visible character is
    left.
    """
    if not text.isascii() or not text.isprintable():
        text = "".join(map(_displayed_character, text))
    text = text.strip(XML_WHITE_SPACE)
    visible = any(unicodedata.category(each)[0] not in "CMZ" and not INVISIBLE.match(each) for each in text)
    return text if visible else ""


def _displayed_character(character: str) -> str:
    category = unicodedata.category(character)
    if category in _LINE_BREAKING:
        return " "
    # Bidirectional controls, tags and lone surrogates
    return "" if category in {"Cf", "Cs"} and character not in _JOINERS else character
