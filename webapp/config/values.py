"""The values a configuration is made of: a function per kind, which gives the value or raises InvalidSetting."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from shibboleth.characters import is_visible
from shibboleth.person import MAX_ACCOUNT_LENGTH
from webapp.config.errors import InvalidSetting, nearest

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""The hosts that only this machine can reach."""

CALLBACK = "/me/callback"
"""Where ORCID sends the person back to, below the public URL."""

LONGEST_REDIRECT = 355
"""ORCID keeps redirect URIs in a column of this many characters."""

_NOT_IN_A_URL = re.compile(r"[^!-~]|[\"<>\\^`{|}]")
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{2,63}", re.ASCII)
_LONGEST_MAILBOX = 254
_EMAIL = re.compile(r"[^@\s<>\"',;:]+@([a-z0-9-]+\.)+[a-z0-9-]+", re.ASCII | re.IGNORECASE)
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]+", re.ASCII | re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_CLIENT_ID = re.compile(r"APP-[0-9A-Z]{16}|(\d{4}-){3}\d{3}[\dX]", re.ASCII)
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}
_LONGEST_ENTITY_ID = 1024
_LONGEST_SOCKET = 107
_LONGEST_LINE = 200
_SHORTEST_SECRET = 32

_SQLITE = 'url = "sqlite:///var/lib/orcid-connect/links.db"'
_POSTGRESQL = 'url = "postgresql://orcid@localhost/orcid"'
_RENEW = "make a new one: openssl rand -hex 32"


def base_url(text: str) -> str:
    """Read an address that others are built upon: https (http on loopback alone), no query, no last slash."""
    parts = _split(text)
    _must_be_guarded(parts)
    if "?" in text or "#" in text:
        raise InvalidSetting("has a query or a fragment", "leave out everything from ? or # on")
    if "%" in text:
        raise InvalidSetting("has an escaped character in its path", "choose a path of plain letters")
    if any(part in {"", ".", ".."} for part in parts.path.strip("/").split("/")) and parts.path.strip("/"):
        raise InvalidSetting('has an empty part, "." or ".." in its path', "write the plain path")
    host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def public_url(text: str) -> str:
    """Read the address of the service, which must leave room for the redirect URI."""
    url = base_url(text)
    if len(url + CALLBACK) > LONGEST_REDIRECT:
        raise InvalidSetting(
            f"makes a redirect URI longer than ORCID's {LONGEST_REDIRECT} characters", "choose a shorter one"
        )
    return url


def proxy(text: str) -> str:
    """Read the address of an HTTP proxy: scheme, host and port, without a password."""
    if not re.fullmatch(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", text):
        raise InvalidSetting(
            "must be the address of a proxy, with its port", "write for example http://proxy.example.org:3128"
        )
    return text


def web_page(text: str) -> str:
    """Read the address of a page."""
    _must_be_guarded(_split(text))
    return text


def contact(text: str) -> str:
    """Read where people may ask: an e-mail address or a page."""
    if _EMAIL.fullmatch(text):
        return text
    if text.startswith("https:"):
        return web_page(text)
    raise InvalidSetting("must be an e-mail address or an https address", "write for example help@example.org")


def mailbox(text: str) -> str:
    """Read an e-mail address: plain ASCII, one @, and nothing that could begin another header or another recipient."""
    if len(text) > _LONGEST_MAILBOX or not _MAILBOX.fullmatch(text):
        raise InvalidSetting("is not an e-mail address", "write for example help@example.org")
    return text


def loopback(host: str) -> bool:
    """Tell whether only this machine can reach the host."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def within(url: str, domain: str) -> bool:
    """Tell whether the address is one of the domain's."""
    return f".{urlsplit(url).hostname}".endswith(f".{domain}")


def host(text: str) -> str:
    """Read a host to listen on; what listens believes its front, so nothing else may reach it."""
    if not loopback(text):
        raise InvalidSetting(
            "must be a loopback address: whoever gets here past Apache may claim to be anyone",
            "write 127.0.0.1 and let Apache answer the world",
        )
    return text


def socket_path(text: str) -> str:
    """Read the path of a unix socket."""
    if not text.startswith("/") or "\0" in text:
        raise InvalidSetting("must be an absolute path", 'write for example: unix = "/run/orcid-connect/web.sock"')
    if len(text.encode()) > _LONGEST_SOCKET:
        raise InvalidSetting(
            f"is longer than the {_LONGEST_SOCKET} bytes a socket's path may have", "choose a shorter path"
        )
    return text


def client_id(text: str) -> str:
    """Read a client id as ORCID gives them: `APP-` and sixteen characters, or, very old, sixteen digits."""
    if not _CLIENT_ID.fullmatch(text):
        raise InvalidSetting(
            "is not a client id of ORCID",
            "copy it from ORCID's developer tools; it looks like APP-0A1B2C3D4E5F6G7H",
        )
    return text


def entity_id(text: str) -> str:
    """Read an entityID, which is compared character by character and so is not changed at all."""
    if not _URI.fullmatch(text) or len(text) > _LONGEST_ENTITY_ID:
        raise InvalidSetting(
            "is not an entityID (a URI of at most 1024 characters, without spaces)",
            "copy it from the Identity Provider's metadata: EntityDescriptor entityID=",
        )
    return text


def key(text: str) -> str:
    """Read what tells one person apart from the others of an organisation, as the key attribute has it."""
    text = text.strip()
    if not text or len(text) > MAX_ACCOUNT_LENGTH or not is_visible(text):
        raise InvalidSetting(
            f"must be 1 to {MAX_ACCOUNT_LENGTH} characters that can be seen",
            'write what the key attribute says, as in "maija@example.org"',
        )
    return text


ISSUED = " issued "
"""Stands between an account and the date on which it was issued."""


def account_and_issued(text: str) -> tuple[str, str]:
    """Give an account and when it was issued; nothing where that is not said."""
    account, _, issued = f"{text} ".partition(ISSUED)
    return account.strip(), issued.strip()


def named_person(text: str) -> str:
    """Read an account, with the date on which it was issued or without one."""
    account, issued = account_and_issued(text)
    if ISSUED not in f"{text} ":
        return key(account)
    if not issued or " " in issued:
        raise InvalidSetting(
            "has no date after issued",
            'write it as funetEduPersonEPPNTimeStamp has it, as in "maija@example.org issued 20240826"',
        )
    return f"{key(account)}{ISSUED}{issued}"


def entitlement(text: str) -> str:
    """Read a value of eduPersonEntitlement: a URI (eduPerson 202208, section 2.2.4), compared as it is."""
    if not _URI.fullmatch(text) or len(text) > MAX_ACCOUNT_LENGTH:
        raise InvalidSetting("is not a URI", 'write for example: "urn:mace:example.org:orcid-connect:operator"')
    return text


def scope(text: str) -> str:
    """Read one scope: what stands after the @ in the identifiers of an organisation's people."""
    if text.startswith("."):
        raise InvalidSetting("begins with a dot", f"write {text.lstrip('.')[:_LONGEST_LINE] or 'the domain'}")
    if "@" in text:
        raise InvalidSetting("holds an @", "write only what stands after it")
    if text != text.lower():
        raise InvalidSetting("is not in lower case", f"write {text.lower()[:_LONGEST_LINE]}")
    if not _DOMAIN.fullmatch(text):
        raise InvalidSetting(
            "is not a domain name; patterns are not understood", "write each scope out, as in example.org"
        )
    return text


def one_of(text: str, known: tuple[str, ...]) -> str:
    """Read a word from a list."""
    if text not in known:
        meant = nearest(text, known)
        raise InvalidSetting(
            f"must be one of: {', '.join(known)}", f"did you mean {meant}?" if meant else f"write {known[0]}"
        )
    return text


def line(text: str) -> str:
    """Read a name that people will see: one line, not empty."""
    text = text.strip()
    if not text or len(text) > _LONGEST_LINE or any(unicodedata.category(each) in {"Cc", "Zl", "Zp"} for each in text):
        raise InvalidSetting(f"must be one line of 1 to {_LONGEST_LINE} characters", "write the name as people know it")
    return text


def paragraphs(text: str, longest: int) -> str:
    """Read a text for people: paragraphs with an empty line between them; it is shown as it is, never as markup."""
    text = re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+(?=\n)", "", text.replace("\r\n", "\n")).strip())
    if not text or len(text) > longest or any(unicodedata.category(each) == "Cc" for each in text.replace("\n", "")):
        raise InvalidSetting(f"must be a text of 1 to {longest} characters", "write it as people shall read it")
    return text


def user(text: str) -> str:
    """Read a user name for HTTP Basic (RFC 7617 section 2: no colon; ours: no white space, ASCII)."""
    if not re.fullmatch(r"[!-9;-~]{1,100}", text):
        raise InvalidSetting(
            "must be 1 to 100 ASCII characters, no space and no colon", 'write for example: user = "example"'
        )
    return text


def strong(secret: str) -> str:
    """Read a secret between machines: long enough not to be guessed, and fit for a header."""
    if len(secret) < _SHORTEST_SECRET:
        raise InvalidSetting(f"refers to a secret of fewer than {_SHORTEST_SECRET} characters", _RENEW)
    if not re.fullmatch(r"[!-~]+", secret):
        raise InvalidSetting("refers to a secret with characters that are not plain ASCII", _RENEW)
    return secret


def token(secret: str) -> str:
    """Read a bearer token (RFC 6750 section 2.1)."""
    if not _TOKEN.fullmatch(strong(secret)):
        raise InvalidSetting("refers to a token with characters that a bearer token cannot have", _RENEW)
    return secret


def store_url(text: str) -> str:
    """Read where the store is: an SQLite file, or a PostgreSQL database without its password."""
    if text.startswith("sqlite:"):
        return _sqlite(text)
    if text.startswith("postgresql://"):
        return _postgresql(text)
    raise InvalidSetting(
        "must begin with sqlite:/// or postgresql://", f"write for example: {_SQLITE}, or {_POSTGRESQL}"
    )


def with_password(url: str, password: str) -> str:
    """Put the password into a PostgreSQL URL."""
    scheme, _, rest = url.partition("://")
    name, _, place = rest.rpartition("@")
    return f"{scheme}://{name}:{quote(password, safe='')}@{place}"


def _sqlite(text: str) -> str:
    parts = urlsplit(text)
    if not text.startswith("sqlite:///") or parts.query or parts.fragment or parts.path.endswith("/"):
        raise InvalidSetting("must be sqlite:/// and the absolute path of a file", f"write for example: {_SQLITE}")
    return text


def _postgresql(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise InvalidSetting("is not an address", f"write for example: {_POSTGRESQL}") from None
    if parts.password is not None or "password" in parse_qs(parts.query, keep_blank_values=True):
        raise InvalidSetting(
            "holds the password", 'take it out of the address and refer to it: password = "file:secrets/store-password"'
        )
    if not parts.path.strip("/"):
        raise InvalidSetting("does not name a database", f"write for example: {_POSTGRESQL}")
    return text


def _split(text: str) -> SplitResult:
    mend = "write for example https://orcid-connect.example.org"
    if _NOT_IN_A_URL.search(text):
        raise InvalidSetting("holds a space or another character that has no place in an address", mend)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise InvalidSetting("is not an address", mend) from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise InvalidSetting("is not a whole address", mend)
    if "@" in parts.netloc:
        raise InvalidSetting("holds a user name or a password", "leave out everything before the @")
    return parts


def _must_be_guarded(parts: SplitResult) -> None:
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise InvalidSetting(
            "must begin with https://", "write https:// (http is only for 127.0.0.1, localhost and [::1])"
        )
