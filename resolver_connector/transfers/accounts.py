"""Accounts as receivers compare them."""

from __future__ import annotations

import re
from unicodedata import category, normalize

from shibboleth.attributes import fold

PLACEHOLDER = re.compile(r"\{(account|user|scope)\}")
"""What a template of a filter or DN may contain: a member of `account_parts`."""

# Default_Ignorable_Code_Point of Unicode, and the object replacement character (RFC 4518 section 2.2)
_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def account_parts(account: str) -> dict[str, str]:
    """Return the account, and its parts before and after the last `@`.

    Without one, all of it is the user.
    """
    user, at, scope = account.rpartition("@")
    return {"account": account, "user": user if at else account, "scope": scope}


def is_unambiguous(account: str, template: str) -> bool:
    """Return whether receivers can identify the account without confusion.

    The parts of the account that the template contains are checked in the same way.

    Directories and databases ignore some characters and regard others as equal (RFC 4518): mathematical or wide
    letters, soft hyphens and spaces around a name make no difference there, and another person here. True means that
    the account is equal to its directory form, so two accounts that are different here are different there.
    """
    parts = account_parts(account)
    used = [account, *(parts[name] for name in PLACEHOLDER.findall(template))]
    return all(used) and all(_directory_form(part) == normalize("NFC", fold(part)) for part in used)


def _directory_form(text: str) -> str:
    visible = "".join(each for each in _IGNORED.sub("", text) if not category(each).startswith("C"))
    return " ".join(normalize("NFKC", normalize("NFKC", visible).casefold()).split())
