"""Search filters with the account of a person."""

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
    """Return whether a template makes a valid filter; ldap3 parses it, in a search of an empty mock directory."""
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
    """Return the filter for an account, which is escaped."""
    user, at, scope = account.rpartition("@")
    said = {"account": account, "user": user if at else account, "scope": scope if at else ""}
    return PLACEHOLDER.sub(lambda found: _escaped(said[found[1]]), template)


def _escaped(text: str) -> str:
    """Escape text for a filter (RFC 4515 section 3).

    Everything but letters and digits, because ldap3 strips spaces and looks for `~=` and `:=` by itself.
    """
    return "".join(chr(each) if chr(each) in PLAIN_IN_FILTERS else f"\\{each:02x}" for each in text.encode())
