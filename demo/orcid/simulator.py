"""State of the simulator.

It has clients, people, codes, tokens, browser sessions, a clock and options.
"""

from __future__ import annotations

import random
import secrets
import string
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from .call_log import CallLog
from .faults import Faults
from .people import PEOPLE, VISIBILITIES, User, made_up_id
from .rate_limits import Usage

PRODUCTION: Final = "https://orcid.org"
SANDBOX: Final = "https://sandbox.orcid.org"
CODE_LETTERS: Final = string.ascii_letters + string.digits
TOKEN_SECONDS: Final = 631138518
SAVED_REQUEST_LIFETIME: Final = timedelta(minutes=30)
FIRST_REGISTERED: Final = 7_000_000
INTERSTITIALS: Final = {
    "domains": "Your e-mail domains may be shown on your record. Who may see them?",
    "affiliation": "Your e-mail domain belongs to an organisation. Add an affiliation to your record?",
    "backup-email": "Add another e-mail address, so that you keep access to your record.",
}
"""Pages that ORCID can show between consent and redirect, each behind a switch of its own."""
OPTION_VALUES: Final = {"authorize_error_style": ("page", "fragment", "query"), "pkce": ("ignore", "reject")}


@dataclass(frozen=True, slots=True)
class Client:
    """A registered OAuth client.

    `kind` is public or member, `state` is ok, locked or deactivated.
    """

    client_id: str
    secret: str
    name: str
    redirect_uris: tuple[str, ...]
    kind: str = "public"
    description: str = ""
    premium: bool = False
    state: str = "ok"

    def __post_init__(self) -> None:
        if self.kind not in ("public", "member") or self.state not in ("ok", "locked", "deactivated"):
            raise ValueError(f"a client is public or member, and ok, locked or deactivated: {self.client_id}")

    @property
    def website(self) -> str:
        """Start page of the client: the root of its first redirect URI, or empty."""
        there = urlsplit(self.redirect_uris[0] if self.redirect_uris else "")
        return f"{there.scheme}://{there.netloc}/" if there.scheme in {"http", "https"} else ""

    @property
    def public(self) -> bool:
        """Whether it has public API credentials only."""
        return self.kind == "public"


@dataclass(frozen=True, slots=True)
class Options:
    """Behaviour of ORCID that is configurable, has changed, or is unknown.

    `auto_authorize` is an iD for which every authorisation request is granted at once, for load tests. With `limits` a
    client may send `burst` requests at once and `per_second` afterwards; `per_day` limits anonymous requests.
    `interstitials` are the pages between consent and redirect, in order. `api_ok` is what `/v3.0/apiStatus` reports.
    `unknown_organisations` are identifiers, for example ROR ids, that ORCID's list of organisations does not have.
    """

    authorize_error_style: str = "page"
    pkce: str = "ignore"
    deny_description: str | None = "User denied access"
    code_seconds: float = 600
    skip_consent: bool = True
    interstitials: tuple[str, ...] = ()
    reuse_revokes: bool = True
    refresh_revokes_old: bool = True
    xml: bool = True
    api_ok: bool = True
    limits: bool = False
    burst: int = 40
    per_second: float = 12
    per_day: int = 100_000
    auto_authorize: str | None = None
    unknown_organisations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in OPTION_VALUES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is one of {', '.join(allowed)}")
        for each in fields(self):
            value, number = getattr(self, each.name), isinstance(each.default, int | float)
            if isinstance(value, bool) != isinstance(each.default, bool) or (
                number and not isinstance(value, int | float)
            ):
                raise ValueError(f"{each.name} cannot be {value!r}")
        for name in ("interstitials", "unknown_organisations"):  # the admin interface sends lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not set(self.interstitials) <= INTERSTITIALS.keys():
            raise ValueError(f"interstitials are of {', '.join(INTERSTITIALS)}")


@dataclass(slots=True)
class TokenPair:
    """An access token and its refresh token.

    `orcid` is None for a client credentials token.
    """

    access: str
    refresh: str
    client_id: str
    orcid: str | None
    scopes: tuple[str, ...]
    issued: datetime
    seconds: int = TOKEN_SECONDS
    revoked: str | None = None

    def live(self, now: datetime) -> bool:
        """Return whether the tokens are neither expired nor revoked."""
        return self.revoked is None and now < self.issued + timedelta(seconds=self.seconds)


@dataclass(slots=True)
class AuthorizationCode:
    """An authorisation code and its request.

    `tokens` is set once the code has been redeemed.
    """

    value: str
    client_id: str
    orcid: str
    scopes: tuple[str, ...]
    redirect_uri: str
    issued: datetime
    nonce: str | None = None
    challenged: bool = False
    tokens: TokenPair | None = None


@dataclass(slots=True)
class Affiliation:
    """An affiliation of a record.

    `client_id` is None for an item that the person added. Times are in milliseconds since the epoch.
    """

    put_code: int
    kind: str
    client_id: str | None
    body: dict[str, Any]
    visibility: str
    created: int
    changed: int


@dataclass(slots=True)
class Session:
    """A browser session.

    It has the signed-in person, the person for whom they act, and the saved authorisation request.
    """

    key: str
    orcid: str | None = None
    acting_for: str | None = None
    saved_request: str = ""
    saved_at: datetime | None = None
    after_interstitials: str | None = None
    interstitials: list[str] = field(default_factory=list)

    @property
    def record(self) -> str | None:
        """The iD that would be connected."""
        return self.acting_for or self.orcid


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class InitialState:
    """The state to which `reset` returns."""

    clients: tuple[Client, ...]
    users: tuple[User, ...]
    options: Options


@dataclass(slots=True)
class RuntimeData:
    """Data created at run time; `reset` discards it."""

    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    by_access_token: dict[str, TokenPair] = field(default_factory=dict)
    by_refresh_token: dict[str, TokenPair] = field(default_factory=dict)
    by_person: dict[str, list[TokenPair]] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    items: dict[str, list[Affiliation]] = field(default_factory=dict)
    usage_by_caller: dict[str, Usage] = field(default_factory=dict)
    last_put_code: int = 1000
    registered: int = FIRST_REGISTERED


class OrcidSimulator:
    """A simulated ORCID registry. Methods may be called from several threads.

    Args:
        base_url: Public URL of the simulator, with its path, without a trailing slash; all links are built from it.
        registry_prefix: Prefix of iD URIs.
        admin: Whether `/admin` answers.

    Raises:
        ValueError: If the prefix is https://orcid.org and `production_prefix_allowed` is not set.
    """

    def __init__(  # noqa: PLR0913 - settings, all but one with a usual value
        self,
        base_url: str,
        *,
        registry_prefix: str = SANDBOX,
        clients: Iterable[Client] = (),
        users: Iterable[User] = PEOPLE,
        options: Options | None = None,
        clock: Callable[[], datetime] = utc_now,
        admin: bool = True,
        production_prefix_allowed: bool = False,
    ) -> None:
        if registry_prefix.rstrip("/") == PRODUCTION and not production_prefix_allowed:
            raise ValueError(
                "the simulator must not use the prefix https://orcid.org unless allowed: --allow-production-prefix"
            )
        self.base_url = base_url.rstrip("/")
        self.registry_prefix = registry_prefix.rstrip("/")
        self.clock = clock
        self.admin = admin
        self.faults = Faults()
        self.call_log = CallLog()
        self.lock = threading.RLock()
        self._initial = InitialState(tuple(clients), tuple(users), options or Options())
        self.reset()

    def reset(self) -> None:
        """Return to the initial clients, people and options; discard all else."""
        with self.lock:
            self.clients = {client.client_id: client for client in self._initial.clients}
            self.users = {user.orcid: user for user in self._initial.users}
            self.options = self._initial.options
            self.offset = timedelta()
            self.data = RuntimeData()
        self.faults.clear()
        self.call_log.clear()

    # Clock and settings

    def now(self) -> datetime:
        """Return the simulator's time."""
        return self.clock() + self.offset

    def advance(self, **amount: float) -> None:
        """Advance the clock: `simulator.advance(minutes=11)`."""
        offset = self.offset + timedelta(**amount)
        _ = self.clock() + offset  # raises OverflowError beyond the calendar
        self.offset = offset

    def set_options(self, **changes: Any) -> None:
        """Change options."""
        with self.lock:
            self.options = replace(self.options, **changes)

    @property
    def path(self) -> str:
        """Path of the base URL, for cookies."""
        return urlsplit(self.base_url).path or "/"

    def uri(self, orcid: str) -> str:
        """Return an iD as a URI of this registry."""
        return f"{self.registry_prefix}/{orcid}"

    # Clients and people

    def add_client(self, client: Client) -> None:
        """Register a client, or replace it."""
        with self.lock:
            self.clients[client.client_id] = client

    def add_user(self, user: User) -> None:
        """Add a person, or replace them."""
        with self.lock:
            self.users[user.orcid] = user

    def change_user(self, orcid: str, **changes: Any) -> User:
        """Change a person: `simulator.change_user(orcid, state="locked")`.

        Deactivation revokes their tokens and deletes their affiliations.
        """
        with self.lock:
            user = replace(self.users[orcid], **changes)
            self.users[orcid] = user
        if user.state == "deactivated":
            self.revoke_grants(orcid, reason="RECORD_DEACTIVATED")
            self.data.items.pop(orcid, None)
        return user

    def register(self, given: str, family: str | None, visibility: str) -> User:
        """Create a person with a new iD."""
        with self.lock:
            self.data.registered += 1
            user = User(made_up_id(self.data.registered), given, family, visibility=visibility)
            self.users[user.orcid] = user
        return user

    def other_user(self, orcid: str) -> User:
        """Return some other person whose record is in order."""
        return next(user for user in self.users.values() if user.orcid != orcid and user.state == "ok")

    # Codes and tokens

    def issue_code(  # noqa: PLR0913 - what a code stands for
        self,
        client_id: str,
        orcid: str,
        scopes: tuple[str, ...],
        redirect_uri: str,
        *,
        nonce: str | None = None,
        challenged: bool = False,
    ) -> AuthorizationCode:
        """Issue an authorisation code, as after consent."""
        value = "".join(random.choices(CODE_LETTERS, k=6))  # noqa: S311 - short and quick, as a simulator may
        code = AuthorizationCode(value, client_id, orcid, scopes, redirect_uri, self.now(), nonce, challenged)
        with self.lock:
            self.data.codes[value] = code
        return code

    def redeem_code(self, code: AuthorizationCode) -> TokenPair | None:
        """Issue the tokens of a code once.

        Returns:
            None if the code was redeemed before; with the option `reuse_revokes` its tokens are then revoked.
        """
        with self.lock:
            if code.tokens is None:
                code.tokens = self.issue_tokens(code.client_id, code.orcid, code.scopes)
                return code.tokens
            if self.options.reuse_revokes:
                code.tokens.revoked = code.tokens.revoked or "AUTH_CODE_REUSED"
            return None

    def issue_tokens(
        self,
        client_id: str,
        orcid: str | None,
        scopes: tuple[str, ...],
        seconds: int = TOKEN_SECONDS,
    ) -> TokenPair:
        """Issue a token pair; earlier ones stay valid."""
        tokens = TokenPair(str(uuid4()), str(uuid4()), client_id, orcid, scopes, self.now(), seconds)
        with self.lock:
            self.data.by_access_token[tokens.access] = tokens
            self.data.by_refresh_token[tokens.refresh] = tokens
            if orcid:
                self.data.by_person.setdefault(orcid, []).append(tokens)
        return tokens

    def find_tokens(self, token: str) -> TokenPair | None:
        """Return the pair that an access or refresh token belongs to."""
        return self.data.by_access_token.get(token) or self.data.by_refresh_token.get(token)

    def client_of(self, access_token: str) -> str:
        """Return the client id of an access token; empty for an unknown one."""
        tokens = self.data.by_access_token.get(access_token)
        return tokens.client_id if tokens else ""

    def tokens(self, orcid: str, client_id: str | None = None) -> list[TokenPair]:
        """Return a person's token pairs, revoked and expired ones included.

        Args:
            client_id: Only those of this client; None means of all.
        """
        with self.lock:
            return [each for each in self.data.by_person.get(orcid, ()) if client_id in (None, each.client_id)]

    def live_tokens(self, orcid: str, client_id: str | None = None) -> list[TokenPair]:
        """Return a person's token pairs that are valid, as `tokens` does."""
        now = self.now()
        return [each for each in self.tokens(orcid, client_id) if each.live(now)]

    def has_grant(self, client_id: str, orcid: str, scopes: tuple[str, ...]) -> bool:
        """Return whether a client has a person's valid token for these scopes."""
        return any(set(each.scopes) >= set(scopes) for each in self.live_tokens(orcid, client_id))

    def revoke_grants(self, orcid: str, client_id: str | None = None, *, reason: str = "USER_REVOKED") -> None:
        """Revoke a person's tokens of one client, or of all."""
        for tokens in self.live_tokens(orcid, client_id):
            tokens.revoked = reason

    # Items

    def items(self, orcid: str, kind: str | None = None) -> list[Affiliation]:
        """Return the affiliations on a record, of one kind or of all."""
        with self.lock:
            return [item for item in self.data.items.get(orcid, ()) if kind in (None, item.kind)]

    def add_item(self, orcid: str, kind: str, client_id: str | None, body: dict[str, Any]) -> Affiliation:
        """Add an affiliation, with the visibility of the person's name.

        The visibility that the client asked for is ignored. Without a client the person added the item.
        """
        with self.lock:
            self.data.last_put_code += 1
            now = self.milliseconds()
            item = Affiliation(self.data.last_put_code, kind, client_id, body, self.users[orcid].visibility, now, now)
            self.data.items.setdefault(orcid, []).append(item)
        return item

    def remove_item(self, orcid: str, put_code: int) -> None:
        """Delete an affiliation, as the person or its client does.

        An unknown one is ignored.
        """
        with self.lock:
            kept = [item for item in self.data.items.get(orcid, ()) if item.put_code != put_code]
            self.data.items[orcid] = kept

    def set_item_visibility(self, orcid: str, put_code: int, visibility: str) -> None:
        """Change who sees an affiliation, as the person does.

        An unknown one is ignored.
        """
        if visibility not in VISIBILITIES:
            raise ValueError(f"visibility is one of {', '.join(VISIBILITIES)}")
        with self.lock:
            for item in self.data.items.get(orcid, ()):
                if item.put_code == put_code:
                    item.visibility, item.changed = visibility, self.milliseconds()

    def milliseconds(self) -> int:
        """Return the simulator's time in the record API's form."""
        return int(self.now().timestamp() * 1000)

    # Browsers

    def session(self, key: str) -> Session:
        """Return the session of a cookie, or a new one if the cookie is unknown."""
        with self.lock:
            if key not in self.data.sessions:
                key = secrets.token_urlsafe(16)
                self.data.sessions[key] = Session(key)
            return self.data.sessions[key]

    def save_request(self, session: Session, request: str) -> None:
        """Save an authorisation request while the person signs in or registers."""
        session.saved_request, session.saved_at = request, self.now()

    def saved_request(self, session: Session) -> str:
        """Return the saved authorisation request; empty after half an hour."""
        at = session.saved_at
        return session.saved_request if at and self.now() - at < SAVED_REQUEST_LIFETIME else ""
