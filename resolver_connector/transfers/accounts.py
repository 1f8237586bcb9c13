"""Accounts as receivers compare them."""

from __future__ import annotations

import re
from unicodedata import category, normalize

from shibboleth.attributes import fold
from shibboleth.characters import INVISIBLE

PLACEHOLDER = re.compile(r"\{(account|user|scope)\}")
"""What a template of a filter or DN may contain: a member of `account_parts`."""


def account_parts(account: str) -> dict[str, str]:
    """Return the account, and its parts before and after the last `@`.

    If it has no `@`, all of it is the user.
    """
    user, at, scope = account.rpartition("@")
    return {"account": account, "user": user if at else account, "scope": scope}


def is_unambiguous(account: str, template: str) -> bool:
    """Return whether every receiver tells the account from all other accounts.

    Directories and databases ignore some characters and regard others as equal (RFC 4518): mathematical or wide
    letters, soft hyphens and spaces around a name make no difference there, and another person here. True means that
    the account is equal to its directory form, so two accounts that are different here are different there. The parts
    of the account that the template contains are checked in the same way.
    """
    parts = account_parts(account)
    used = [account, *(parts[name] for name in PLACEHOLDER.findall(template))]
    return all(used) and all(_directory_form(part) == normalize("NFC", fold(part)) for part in used)


def _directory_form(text: str) -> str:
    visible = "".join(each for each in INVISIBLE.sub("", text) if not category(each).startswith("C"))
    return " ".join(normalize("NFKC", normalize("NFKC", visible).casefold()).split())
