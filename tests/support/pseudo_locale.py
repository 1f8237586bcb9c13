"""A pseudo-locale for layout tests.

Accented letters, and sentences that are 40 % longer.
"""

from __future__ import annotations

import re

from babel.support import NullTranslations

from webapp.i18n.language import Language

_ACCENTED = str.maketrans(
    "abcdefghijklmnoprstuvwyzABCDEFGHIJKLMNOPRSTUVWYZ", "åƀçđéƒĝĥîĵķļɱñöþŕšţûṽŵýžÅƁÇĐÉƑĜĤÎĴĶĻṀÑÖÞŔŠŢÛṼŴÝŽ"
)
_KEPT = re.compile(r"(%\(\w+\)[a-z]|%%|ORCID(?: iD)?|https?://\S+)")
_LONGER = 0.4
_FILLING = "~ölkö "


class _Pseudo(NullTranslations):
    def gettext(self, message):
        return _strange(message)

    def ngettext(self, one, many, number):
        return _strange(one if number == 1 else many)


def pseudo() -> Language:
    """Return the pseudo-language.

    Its code is that of English, so that dates can be formatted.
    """
    return Language("en", _Pseudo())


def _strange(sentence):
    parts = _KEPT.split(sentence)
    accented = "".join(each if place % 2 else each.translate(_ACCENTED) for place, each in enumerate(parts))
    more = max(1, round(len(sentence) * _LONGER))
    filling = (_FILLING * (more // len(_FILLING) + 1))[:more].strip()
    return f"⟦{accented} {filling}⟧"
