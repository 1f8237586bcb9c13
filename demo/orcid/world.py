"""What the simulator knows: clients, people, codes, tokens, sessions, the clock and the options."""

from __future__ import annotations

import random
import secrets
import string
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from .faults import Faults
from .journal import Journal
from .limits import Meter
from .people import PEOPLE, User, made_up_id

PRODUCTION: Final = "https://orcid.org"
SANDBOX: Final = "https://sandbox.orcid.org"
CODE_LETTERS: Final = string.ascii_letters + string.digits
TOKEN_SECONDS: Final = 631138518
REMEMBERED: Final = timedelta(minutes=30)
FIRST_REGISTERED: Final = 7_000_000
OPTION_VALUES: Final = {"authorize_error_style": ("page", "fragment", "query"), "pkce": ("ignore", "reject")}


@dataclass(frozen=True, slots=True)
class Client:
    """A program that may ask for iDs; `kind` is public or member, `state` ok, locked or deactivated."""

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
        """Where its own pages are, by the address that people come back to; empty where it has none."""
        there = urlsplit(self.redirect_uris[0] if self.redirect_uris else "")
        return f"{there.scheme}://{there.netloc}/" if there.scheme in {"http", "https"} else ""

    @property
    def public(self) -> bool:
        """Whether it has public credentials only."""
        return self.kind == "public"


@dataclass(frozen=True, slots=True)
class Options:
    """Where ORCID's behaviour is a choice, has changed, or is not known for certain.

    `auto_authorize` holds an iD in whose name every authorise request is granted at once, for load tests.
    `burst` calls may come at once and `per_second` after that, as long as `limits` is on; `per_day` for the anonymous.
    """

    authorize_error_style: str = "page"
    pkce: str = "ignore"
    deny_description: str | None = "User denied access"
    code_seconds: float = 600
    skip_consent: bool = True
    interstitial: bool = False
    reuse_revokes: bool = True
    refresh_revokes_old: bool = True
    xml: bool = True
    limits: bool = False
    burst: int = 40
    per_second: float = 12
    per_day: int = 100_000
    auto_authorize: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in OPTION_VALUES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is one of {', '.join(allowed)}")


@dataclass(slots=True)
class Pair:
    """An access token and its refresh token; `orcid` is None when no person is behind it."""

    access: str
    refresh: str
    client_id: str
    orcid: str | None
    scopes: tuple[str, ...]
    issued: datetime
    seconds: int = TOKEN_SECONDS
    revoked: str | None = None

    def live(self, now: datetime) -> bool:
        """Whether it opens anything."""
        return self.revoked is None and now < self.issued + timedelta(seconds=self.seconds)


@dataclass(slots=True)
class Code:
    """An authorisation code and what was asked with it; `pair` is set once it has been used."""

    value: str
    client_id: str
    orcid: str
    scopes: tuple[str, ...]
    redirect_uri: str
    issued: datetime
    nonce: str | None = None
    challenged: bool = False
    pair: Pair | None = None


@dataclass(slots=True)
class Item:
    """An affiliation on a record, written by a client; times are epoch milliseconds."""

    put_code: int
    kind: str
    client_id: str
    body: dict[str, Any]
    visibility: str
    created: int
    changed: int


@dataclass(slots=True)
class Session:
    """One browser: who is signed in, for whom they act, and the authorise request it still has in mind."""

    key: str
    orcid: str | None = None
    acting_for: str | None = None
    remembered: str = ""
    remembered_at: datetime | None = None
    after_interstitial: str | None = None

    @property
    def record(self) -> str | None:
        """The record that would be connected."""
        return self.acting_for or self.orcid


def utc_now() -> datetime:
    """Give the real time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a reset goes back to."""

    clients: tuple[Client, ...]
    users: tuple[User, ...]
    options: Options


@dataclass(slots=True)
class Memory:
    """What came up while running, and is gone after a reset."""

    codes: dict[str, Code] = field(default_factory=dict)
    by_access: dict[str, Pair] = field(default_factory=dict)
    by_refresh: dict[str, Pair] = field(default_factory=dict)
    by_person: dict[str, list[Pair]] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    items: dict[str, list[Item]] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    last_put_code: int = 1000
    registered: int = FIRST_REGISTERED


class OrcidWorld:
    """One made-up ORCID. Its methods may be called from several threads.

    `base_url` is where browsers and programs find it, path included, without a slash at the end; every link is built
    from it. `registry_prefix` is what iDs begin with. `admin` says whether /admin answers at all.
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
            raise ValueError("a simulator does not speak in the name of https://orcid.org unless told to")
        self.base_url = base_url.rstrip("/")
        self.registry_prefix = registry_prefix.rstrip("/")
        self.clock = clock
        self.admin = admin
        self.faults = Faults()
        self.journal = Journal()
        self.lock = threading.RLock()
        self._beginning = Beginning(tuple(clients), tuple(users), options or Options())
        self.reset()

    def reset(self) -> None:
        """Back to the beginning: its clients, people and options, and nothing else."""
        with self.lock:
            self.clients = {client.client_id: client for client in self._beginning.clients}
            self.users = {user.orcid: user for user in self._beginning.users}
            self.options = self._beginning.options
            self.offset = timedelta()
            self.memory = Memory()
        self.faults.clear()
        self.journal.clear()

    # Clock and settings

    def now(self) -> datetime:
        """Give the time in this world."""
        return self.clock() + self.offset

    def advance(self, **amount: float) -> None:
        """Move the clock on: `world.advance(minutes=11)`."""
        self.offset += timedelta(**amount)

    def set_options(self, **changes: Any) -> None:
        """Change some options."""
        with self.lock:
            self.options = replace(self.options, **changes)

    @property
    def path(self) -> str:
        """The path part of the base URL; cookies belong to it."""
        return urlsplit(self.base_url).path or "/"

    def uri(self, orcid: str) -> str:
        """Give the iD as a URI of this registry."""
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
        """Change a person: `world.change_user(orcid, state="locked")`. Deactivation ends all their tokens."""
        with self.lock:
            user = replace(self.users[orcid], **changes)
            self.users[orcid] = user
        if user.state == "deactivated":
            self.revoke_grants(orcid, reason="RECORD_DEACTIVATED")
        return user

    def register(self, given: str, family: str | None, visibility: str) -> User:
        """Give a new person with a new iD."""
        with self.lock:
            self.memory.registered += 1
            user = User(made_up_id(self.memory.registered), given, family, visibility=visibility)
            self.users[user.orcid] = user
        return user

    def someone_else(self, orcid: str) -> User:
        """Another person who is there and well."""
        return next(user for user in self.users.values() if user.orcid != orcid and user.state == "ok")

    # Codes and tokens

    def grant_code(  # noqa: PLR0913 - what a code stands for
        self,
        client_id: str,
        orcid: str,
        scopes: tuple[str, ...],
        redirect_uri: str,
        *,
        nonce: str | None = None,
        challenged: bool = False,
    ) -> Code:
        """Give a fresh code, as if the person had just authorised."""
        value = "".join(random.choices(CODE_LETTERS, k=6))  # noqa: S311 - short and quick, as a simulator may
        code = Code(value, client_id, orcid, scopes, redirect_uri, self.now(), nonce, challenged)
        with self.lock:
            self.memory.codes[value] = code
        return code

    def use_code(self, code: Code) -> Pair | None:
        """Take the tokens for a code, once; the second time there are none, and those of the first time end."""
        with self.lock:
            if code.pair is None:
                code.pair = self.grant_pair(code.client_id, code.orcid, code.scopes)
                return code.pair
            if self.options.reuse_revokes:
                code.pair.revoked = code.pair.revoked or "AUTH_CODE_REUSED"
            return None

    def grant_pair(
        self,
        client_id: str,
        orcid: str | None,
        scopes: tuple[str, ...],
        seconds: int = TOKEN_SECONDS,
    ) -> Pair:
        """Give a fresh pair of tokens; earlier ones live on."""
        pair = Pair(str(uuid4()), str(uuid4()), client_id, orcid, scopes, self.now(), seconds)
        with self.lock:
            self.memory.by_access[pair.access] = pair
            self.memory.by_refresh[pair.refresh] = pair
            if orcid:
                self.memory.by_person.setdefault(orcid, []).append(pair)
        return pair

    def pair_of(self, token: str) -> Pair | None:
        """Give the pair that an access or a refresh token belongs to."""
        return self.memory.by_access.get(token) or self.memory.by_refresh.get(token)

    def grants(self, orcid: str) -> list[Pair]:
        """Give the live pairs of a person."""
        now = self.now()
        with self.lock:
            return [pair for pair in self.memory.by_person.get(orcid, ()) if pair.live(now)]

    def has_grant(self, client_id: str, orcid: str, scopes: tuple[str, ...]) -> bool:
        """Whether a live pair of this client and person covers these scopes."""
        now = self.now()
        with self.lock:
            return any(
                pair.client_id == client_id and set(pair.scopes) >= set(scopes) and pair.live(now)
                for pair in reversed(self.memory.by_person.get(orcid, ()))
            )

    def revoke_grants(self, orcid: str, client_id: str | None = None, *, reason: str = "USER_REVOKED") -> None:
        """End what a person gave to one client, or to all."""
        for pair in self.grants(orcid):
            if client_id in (None, pair.client_id):
                pair.revoked = reason

    # Items

    def items(self, orcid: str, kind: str) -> list[Item]:
        """Give the affiliations of one kind on a record."""
        with self.lock:
            return [item for item in self.memory.items.get(orcid, ()) if item.kind == kind]

    def add_item(self, orcid: str, kind: str, client_id: str, body: dict[str, Any]) -> Item:
        """Write an affiliation; it is as visible as the person's name, whatever the client asked for."""
        with self.lock:
            self.memory.last_put_code += 1
            now = self.milliseconds()
            item = Item(self.memory.last_put_code, kind, client_id, body, self.users[orcid].visibility, now, now)
            self.memory.items.setdefault(orcid, []).append(item)
        return item

    def milliseconds(self) -> int:
        """Give the time in this world as the record API writes it."""
        return int(self.now().timestamp() * 1000)

    # Browsers

    def session(self, key: str) -> Session:
        """Give the session of a browser; a new one for an unknown key."""
        with self.lock:
            if key not in self.memory.sessions:
                key = secrets.token_urlsafe(16)
                self.memory.sessions[key] = Session(key)
            return self.memory.sessions[key]

    def remember(self, session: Session, request: str) -> None:
        """Keep an authorise request in mind while the person signs in or registers."""
        session.remembered, session.remembered_at = request, self.now()

    def remembered(self, session: Session) -> str:
        """Give the authorise request in mind, unless half an hour has passed."""
        at = session.remembered_at
        return session.remembered if at and self.now() - at < REMEMBERED else ""
