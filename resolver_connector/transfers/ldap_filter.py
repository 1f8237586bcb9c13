"""How a person is asked for in a directory: a filter with the account in it, which means nothing but itself there."""

from __future__ import annotations

import re
import string
from unicodedata import normalize

import ldap3
from ldap3.core.exceptions import LDAPException

from resolver_connector.transfers.base import plain_text

PLACEHOLDERS = {"account", "user", "scope"}
PLACEHOLDER = re.compile(r"\{(account|user|scope)\}")
ANY_PLACEHOLDER = re.compile(r"\{(.*?)\}")
PLAIN_IN_FILTERS = string.ascii_letters + string.digits


def is_filter(text: str) -> bool:
    """Tell whether a template makes a filter, by asking ldap3 to search in a directory of its own, which is empty."""
    directory = ldap3.Connection(ldap3.Server("empty", get_info=ldap3.NONE), client_strategy=ldap3.MOCK_SYNC)
    try:
        directory.open()
        directory.search("dc=example", fill(text, "user@scope"))
    except LDAPException:
        return False
    return True


def is_unambiguous(account: str) -> bool:
    """Tell whether an account can be asked for by a directory's rules, which look away from much (RFC 4518, 2).

    `𝓂aija` is `maija` there, and blanks at the ends are nothing; for us these are other people.
    """
    return plain_text(account) == account and normalize("NFKC", account) == normalize("NFC", account)


def fill(template: str, account: str) -> str:
    """Put an account into a filter."""
    user, at, scope = account.rpartition("@")
    said = {"account": account, "user": user if at else account, "scope": scope if at else ""}
    return PLACEHOLDER.sub(lambda found: _escaped(said[found[1]]), template)


def _escaped(text: str) -> str:
    """Write text so that it means nothing but itself in a filter: each octet as RFC 4515 (3) allows it for any.

    More is escaped than has to be, for ldap3 takes blanks off and looks for `~=` and `:=` on its own.
    """
    return "".join(chr(each) if chr(each) in PLAIN_IN_FILTERS else f"\\{each:02x}" for each in text.encode())
