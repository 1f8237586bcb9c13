"""Search filters with the account of a person."""

from __future__ import annotations

import re
import string

import ldap3
from ldap3.core.exceptions import LDAPException

from resolver_connector.transfers.accounts import PLACEHOLDER, account_parts

PLACEHOLDERS = {"account", "user", "scope"}
ANY_PLACEHOLDER = re.compile(r"\{(.*?)\}")
_EQUALITY = re.compile(r"\(\s*([A-Za-z0-9.;-]+)\s*=([^()*\\]*)\)")
PLAIN_IN_FILTERS = string.ascii_letters + string.digits


def is_filter(text: str) -> bool:
    """Return whether a template makes a valid filter.

    ldap3 parses it, for a search in an empty mock directory.
    """
    directory = ldap3.Connection(ldap3.Server("empty", get_info=ldap3.NONE), client_strategy=ldap3.MOCK_SYNC)
    try:
        directory.open()
        directory.search("dc=example", fill(text, "user@scope"))
    except LDAPException:
        return False
    return True


def fill(template: str, account: str) -> str:
    """Return the filter with the escaped account filled in."""
    parts = account_parts(account)
    return PLACEHOLDER.sub(lambda found: _escaped(parts[found[1]]), template)


def asserted_values(template: str, account: str) -> dict[str, str]:
    """Return the values that a filter compares for an account, by attribute.

    Only equality with an account or its parts is included.
    """
    parts = account_parts(account)
    return {
        attribute.lower(): PLACEHOLDER.sub(lambda found: parts[found[1]], value)
        for attribute, value in _EQUALITY.findall(template)
        if PLACEHOLDER.search(value)
    }


def _escaped(text: str) -> str:
    """Escape text for a filter (RFC 4515 section 3).

    All characters but letters and digits are escaped, because ldap3 strips spaces and looks for `~=` and `:=` by
    itself.
    """
    return "".join(chr(each) if chr(each) in PLAIN_IN_FILTERS else f"\\{each:02x}" for each in text.encode())
