"""Validators of single values.

Each returns the value in its normal form, or raises InvalidSetting.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from shibboleth.account_time import is_readable
from shibboleth.characters import displayed, is_visible
from shibboleth.person import MAX_ACCOUNT_LENGTH
from webapp.config.errors import InvalidSetting, closest_match

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

CALLBACK = "/me/callback"
"""The path of the redirect URI, below the public URL."""

MAX_REDIRECT_URI = 355
"""Characters; the size of the column in which ORCID stores redirect URIs."""

ISSUED = " issued "
"""The word in a setting between an account and its date of issue."""

_NOT_IN_A_URL = re.compile(r"[^!-~]|[\"<>\\^`{|}]")
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{2,63}", re.ASCII)
_MAX_MAILBOX = 254
_EMAIL = re.compile(r"[^@\s<>\"',;:]+@([a-z0-9-]+\.)+[a-z0-9-]+", re.ASCII | re.IGNORECASE)
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
_HOST_NAME = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.?)+", re.ASCII)
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]+", re.ASCII | re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_CLIENT_ID = re.compile(r"APP-[0-9A-Z]{16}|(\d{4}-){3}\d{3}[\dX]", re.ASCII)
_HOST_AND_PORT = r"(?:\[[^\[\]@]*\]|[^\[\]:,@]*)(?::[0-9]*)?"
_HOSTS = re.compile(f"{_HOST_AND_PORT}(?:,{_HOST_AND_PORT})*")
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}
_MAX_ENTITY_ID = 1024
_MAX_SOCKET_PATH = 107
_MAX_LINE = 200
_MIN_SECRET = 32

_SQLITE = 'url = "sqlite:///var/lib/orcid-connect/links.db"'
_POSTGRESQL = 'url = "postgresql://orcid@localhost/orcid"'
_FIX_WEAK = "make a new one: openssl rand -hex 32"
_FIX_URL = 'take it out of the address and refer to it: password = "file:secrets/store-password"'
_CONFIDENTIAL = frozenset({"password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"})
_POSTGRESQL_OPTIONS = frozenset(
    {
        *("application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname", "gssdelegation"),
        *("fallback_application_name", "gssencmode", "gsslib", "host", "hostaddr", "keepalives", "keepalives_count"),
        *("keepalives_idle", "keepalives_interval", "krbsrvname", "load_balance_hosts", "max_protocol_version"),
        *("min_protocol_version", "options", "passfile", "port", "replication", "require_auth", "requirepeer"),
        *("requiressl", "service", "servicefile", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert"),
        *("sslcertmode", "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslmode", "sslnegotiation"),
        *("sslrootcert", "sslsni", "target_session_attrs", "tcp_user_timeout", "user"),
    }
)
"""The options of libpq that hold no secret (PostgreSQL 18, section 32.1.2)."""


def invisible_character(text: str, allowed: str = "") -> str:
    """Return the first invisible character as `U+FEFF` and its name.

    Args:
        text: The text; U+0020 is the only white space that counts as visible.
        allowed: Other characters that may occur.

    Returns:
        Empty if there is none.
    """
    for character in text:
        if character not in allowed and not is_visible(character):
            return f"U+{ord(character):04X} ({unicodedata.name(character, 'a control character')})"
    return ""


def base_url(text: str) -> str:
    """Validate a URL to which paths are appended.

    It must use https (or http on loopback), and have no query and no final slash.
    """
    parts = _split(text)
    _require_https(parts)
    if "?" in text or "#" in text:
        raise InvalidSetting("has a query or a fragment", "leave out everything from ? or # on")
    if "%" in text:
        raise InvalidSetting("has an escaped character in its path", "choose a path of plain letters")
    if any(part in {"", ".", ".."} for part in parts.path.strip("/").split("/")) and parts.path.strip("/"):
        raise InvalidSetting('has an empty part, "." or ".." in its path', "write the plain path")
    host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def public_url(text: str) -> str:
    """Validate the public URL, whose redirect URI must not be too long for ORCID."""
    url = base_url(text)
    if len(url + CALLBACK) > MAX_REDIRECT_URI:
        raise InvalidSetting(
            f"makes a redirect URI longer than ORCID's {MAX_REDIRECT_URI} characters", "choose a shorter one"
        )
    return url


def proxy(text: str) -> str:
    """Validate the URL of an HTTP proxy: scheme, host and port, no password."""
    if not re.fullmatch(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", text):
        raise InvalidSetting(
            "must be the address of a proxy with its port, without a user or password",
            "write for example http://proxy.example.org:3128",
        )
    return text


def web_page(text: str) -> str:
    """Validate the URL of a page."""
    _require_https(_split(text))
    return text


def contact(text: str) -> str:
    """Validate a contact for users: an e-mail address or a page."""
    if _EMAIL.fullmatch(text):
        return text
    if text.startswith("https:"):
        return web_page(text)
    raise InvalidSetting("must be an e-mail address or an https address", "write for example help@example.org")


def mailbox(text: str) -> str:
    """Validate an e-mail address.

    It must be ASCII with one @, and must not be able to start another header or recipient (RFC 5321).
    """
    if len(text) > _MAX_MAILBOX or not _MAILBOX.fullmatch(text):
        raise InvalidSetting("is not an e-mail address", "write for example help@example.org")
    return text


def host_name(text: str) -> str:
    """Validate a host name or an IP address, without port, user or password."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if not _HOST_NAME.fullmatch(text):
            raise InvalidSetting("is not a host name", "write the name alone, as in smtp.example.org") from None
    return text


def trusted_proxy(text: str) -> str:
    """Validate the address or network of a proxy, or `unix`."""
    try:
        if text != "unix":
            ipaddress.ip_network(text)
    except ValueError:
        raise InvalidSetting("is not an address, a network or unix", 'write for example: "127.0.0.1"') from None
    return text


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the host."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_within_domain(url: str, domain: str) -> bool:
    """Return whether the host of a URL is a domain or below it."""
    return f".{urlsplit(url).hostname}".endswith(f".{domain}")


def listen_host(text: str) -> str:
    """Validate a host to listen on, which must be loopback.

    The servers trust what Apache sends, so no other machine may connect.
    """
    if not is_loopback(text):
        raise InvalidSetting(
            "must be a loopback address: a client that bypasses Apache could claim to be anyone",
            "write 127.0.0.1; Apache listens on the public addresses",
        )
    return text


def socket_path(text: str) -> str:
    """Validate the path of a unix socket."""
    if not text.startswith("/") or "\0" in text:
        raise InvalidSetting("must be an absolute path", 'write for example: unix = "/run/orcid-connect/web.sock"')
    if len(text.encode()) > _MAX_SOCKET_PATH:
        raise InvalidSetting(
            f"is longer than the {_MAX_SOCKET_PATH} bytes that a socket's path may have", "choose a shorter path"
        )
    return text


def client_id(text: str) -> str:
    """Validate a client id of ORCID.

    It is `APP-` and sixteen characters, or sixteen digits as very old clients have.
    """
    if not _CLIENT_ID.fullmatch(text):
        raise InvalidSetting(
            "is not a client id of ORCID",
            "copy it from ORCID's developer tools; it looks like APP-0A1B2C3D4E5F6G7H",
        )
    return text


def entity_id(text: str) -> str:
    """Validate an entityID, which is compared character by character."""
    if not _URI.fullmatch(text) or len(text) > _MAX_ENTITY_ID:
        raise InvalidSetting(
            f"is not an entityID (a URI of at most {_MAX_ENTITY_ID} characters, without spaces)",
            "copy it from the Identity Provider's metadata: EntityDescriptor entityID=",
        )
    return text


def person_key(text: str) -> str:
    """Validate a value of an organisation's key attribute."""
    text = text.strip()
    if hidden := invisible_character(text):
        raise InvalidSetting(f"holds an invisible character, {hidden}", "remove it")
    if not text or len(text) > MAX_ACCOUNT_LENGTH:
        raise InvalidSetting(
            f"must be 1 to {MAX_ACCOUNT_LENGTH} characters",
            'write what the key attribute says, as in "maija@example.org"',
        )
    return text


def account_and_issued(text: str) -> tuple[str, str]:
    """Return an account and its date of issue, which is empty if not written."""
    account, _, issued = f"{text} ".partition(ISSUED)
    return account.strip(), issued.strip()


def named_person(text: str) -> str:
    """Validate an account, with or without its date of issue."""
    account, issued = account_and_issued(text)
    if ISSUED not in f"{text} ":
        return person_key(account)
    if not issued or (" " in issued and not is_readable(issued)):
        raise InvalidSetting(
            "has no date after issued",
            'write it as funetEduPersonEPPNTimeStamp has it, as in "maija@example.org issued 20240826"',
        )
    return f"{person_key(account)}{ISSUED}{issued}"


def entitlement(text: str) -> str:
    """Validate a value of eduPersonEntitlement.

    It is a URI, compared without normalisation (eduPerson 202208, section 2.2.4).
    """
    if not _URI.fullmatch(text) or len(text) > MAX_ACCOUNT_LENGTH:
        raise InvalidSetting("is not a URI", 'write for example: "urn:mace:example.org:orcid-connect:operator"')
    return text


def scope(text: str) -> str:
    """Validate a scope: the part after the @ in the identifiers of people."""
    if text.startswith("."):
        raise InvalidSetting("begins with a dot", "write the domain without it")
    if "@" in text:
        raise InvalidSetting("holds an @", "write only what follows it")
    if text != text.lower():
        raise InvalidSetting("is not in lower case", "write it in lower case")
    if not _DOMAIN.fullmatch(text):
        raise InvalidSetting(
            "is not a domain name; patterns are not supported", "write each scope out, as in example.org"
        )
    return text


def one_of(text: str, known: tuple[str, ...]) -> str:
    """Validate that a word is in a list."""
    if text not in known:
        meant = closest_match(text, known)
        raise InvalidSetting(
            f"must be one of: {', '.join(known)}", f"did you mean {meant}?" if meant else f"write {known[0]}"
        )
    return text


def single_line(text: str) -> str:
    """Validate a name that people see: one line without invisible characters."""
    text = text.strip()
    if not text or len(text) > _MAX_LINE or len(text.splitlines()) > 1:
        raise InvalidSetting(f"must be one line of 1 to {_MAX_LINE} characters", "write the name as people know it")
    if displayed(text) != text:
        hidden = invisible_character(text, allowed="\u00a0\u200c\u200d")
        raise InvalidSetting(f"holds an invisible character, {hidden}", "remove it")
    return text


def paragraphs(text: str, longest: int) -> str:
    """Validate a text for people: paragraphs, separated by an empty line.

    Pages show it as plain text, not as markup.
    """
    text = re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+(?=\n)", "", text.replace("\r\n", "\n")).strip())
    if not text or len(text) > longest or any(unicodedata.category(each) == "Cc" for each in text.replace("\n", "")):
        raise InvalidSetting(f"must be a text of 1 to {longest} characters", "write it as people shall read it")
    return text


def user(text: str) -> str:
    """Validate a user name for HTTP Basic.

    It must be ASCII without spaces and colons (RFC 7617 section 2).
    """
    if not re.fullmatch(r"[!-9;-~]{1,100}", text):
        raise InvalidSetting(
            "must be 1 to 100 ASCII characters, no space and no colon", 'write for example: user = "example"'
        )
    return text


def strong_secret(secret: str) -> str:
    """Validate a secret that machines use.

    It must be long enough not to be guessed, and must be a valid header value.
    """
    if len(secret) < _MIN_SECRET:
        raise InvalidSetting(f"refers to a secret of fewer than {_MIN_SECRET} characters", _FIX_WEAK)
    if not re.fullmatch(r"[!-~]+", secret):
        raise InvalidSetting("refers to a secret with characters that are not plain ASCII", _FIX_WEAK)
    return secret


def token(secret: str) -> str:
    """Validate a bearer token (RFC 6750 section 2.1)."""
    if not _TOKEN.fullmatch(strong_secret(secret)):
        raise InvalidSetting("refers to a token with characters that a bearer token cannot have", _FIX_WEAK)
    return secret


def store_url(text: str) -> str:
    """Validate the URL of the store.

    It is an SQLite file, or a PostgreSQL database without a password or other secret.
    """
    if text.startswith("sqlite:"):
        parts = urlsplit(text)
        if not text.startswith("sqlite:///") or parts.query or parts.fragment or parts.path.endswith("/"):
            raise InvalidSetting("must be sqlite:/// and the absolute path of a file", f"write for example: {_SQLITE}")
        return text
    if not text.startswith("postgresql://"):
        raise InvalidSetting(
            "must begin with sqlite:/// or postgresql://", f"write for example: {_SQLITE}, or {_POSTGRESQL}"
        )
    try:
        parts = urlsplit(text)
    except ValueError:
        raise InvalidSetting("is not an address", f"write for example: {_POSTGRESQL}") from None
    if parts.password is not None or ":" in unquote(parts.username or ""):
        raise InvalidSetting("holds the password", _FIX_URL)
    if "@" in parts.path or parts.netloc.count("@") > 1 or not _HOSTS.fullmatch(parts.netloc.rpartition("@")[2]):
        # What libpq would take for a host or a port may be a part of a password, and its error would quote it
        raise InvalidSetting(
            "has an @ or a port that is not one", f"write @ as %40 in a name; write for example: {_POSTGRESQL}"
        )
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        _check_postgresql_option(name)
    if parts.fragment:
        raise InvalidSetting("has a # in it", "write it as %23 in a name; a password does not belong here")
    if not parts.path.strip("/"):
        raise InvalidSetting("does not name a database", f"write for example: {_POSTGRESQL}")
    return text


def _check_postgresql_option(name: str) -> None:
    # An option that libpq does not have may be a misspelled password, and libpq's error would quote it
    if name.lower() in _CONFIDENTIAL or closest_match(name, _CONFIDENTIAL | _POSTGRESQL_OPTIONS) in _CONFIDENTIAL:
        raise InvalidSetting("holds the password", _FIX_URL)
    if name not in _POSTGRESQL_OPTIONS:
        meant = closest_match(name, _POSTGRESQL_OPTIONS)
        fix = f"did you mean {meant}=?" if meant else "remove it; PostgreSQL's manual lists the options in 32.1.2"
        raise InvalidSetting("has an option that PostgreSQL does not have", fix)


def has_user(url: str) -> bool:
    """Return whether a PostgreSQL URL names a user.

    The user may be written before the host or as an option.
    """
    parts = urlsplit(url)
    return bool(parts.username) or "user" in dict(parse_qsl(parts.query))


def with_password(url: str, password: str) -> str:
    """Return a PostgreSQL URL with a password in it.

    It is added as an option, where it cannot become a part of another value.
    """
    return f"{url}{'&' if urlsplit(url).query else '?'}password={quote(password, safe='')}"


def _split(text: str) -> SplitResult:
    example = "write for example https://orcid-connect.example.org"
    if hidden := invisible_character(text):
        raise InvalidSetting(f"holds an invisible character, {hidden}", "remove it")
    if _NOT_IN_A_URL.search(text):
        raise InvalidSetting("holds a space or another character that an address cannot have", example)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise InvalidSetting("is not an address", example) from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise InvalidSetting("is not a whole address", example)
    if "@" in parts.netloc:
        raise InvalidSetting("holds a user name or a password", "leave out everything before the @")
    return parts


def _require_https(parts: SplitResult) -> None:
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise InvalidSetting(
            "must begin with https://", "write https:// (http is only for 127.0.0.1, localhost and [::1])"
        )
