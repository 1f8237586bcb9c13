"""Client of ORCID's OAuth 2.0 server: authorisation and code exchange.

ORCID's server of 2026 shows most errors on its own pages, accepts a code once, may leave `name` empty, null or absent,
and may answer HTML during an outage.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from threading import BoundedSemaphore
from typing import Any, TypeVar
from urllib.parse import urlencode

from joserfc.jwk import KeySet

from resolver_connector.orcid.clients import OrcidCredentials
from resolver_connector.orcid.http import OrcidUnavailable, send
from resolver_connector.orcid.scopes import Scope, authenticates
from resolver_connector.orcid.sealing import TokenPair
from resolver_connector.orcid.strict_json import parse_object
from resolver_connector.orcid.tokens import GrantedTokens
from shibboleth.characters import displayed
from shibboleth.deadline import BoundedThreads, Deadline, Saturated
from shibboleth.orcid_id import InvalidOrcidId, OrcidId, Registry
from webapp.concurrency import try_acquire
from webapp.linking.id_token import InvalidIdToken, UnknownKey, WrongSignature, check_id_token, import_keys

Result = TypeVar("Result")

_OK = 200
_LONGEST_NAME = 200
# ORCID's pages are in these languages; for any other the person reads English (authorise parameter `lang`)
_LANGUAGES = frozenset(["ar", "cs", "de", "en", "es", "fr", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh_CN", "zh_TW"])


class OrcidBusy(ConnectionError):
    """`max_waiting` threads already wait for ORCID; no request was sent."""


class OrcidRefused(ValueError):
    """ORCID refused the code, or its answer is not for this user and this client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OrcidMisconfigured(ValueError):
    """ORCID does not know this client: client id, secret or scope is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The user who signed in at ORCID and gave permission."""

    orcid_id: OrcidId
    name: str
    """The record's public name; empty without one."""
    tokens: GrantedTokens | None = None
    """None where the response holds none."""


def discard(_tokens: GrantedTokens) -> None:
    """Do nothing with the tokens of a response."""


@dataclass(frozen=True, slots=True)
class OrcidClient:
    """Client of ORCID for one registered client id."""

    base_url: str
    registry: Registry
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    scope: str = "/authenticate"
    """The scope that authenticates a person, `/authenticate` or `openid`."""
    pkce: bool = False
    connect_timeout: float = 5.0
    read_timeout: float = 20.0
    proxy: str | None = None
    """URL of the HTTP proxy through which ORCID is reached."""
    max_waiting: int = 32
    """How many threads may wait for ORCID at once."""
    _slots: BoundedSemaphore = field(init=False, repr=False, compare=False)
    _threads: BoundedThreads = field(init=False, repr=False, compare=False)
    _keys: list[KeySet] = field(init=False, repr=False, compare=False, default_factory=list)
    """ORCID's keys, fetched with the first id_token; at most one key set."""

    def __post_init__(self) -> None:
        """Create the limits of threads.

        One is for threads that wait, the other for threads that ORCID keeps beyond the deadline.
        """
        object.__setattr__(self, "_slots", BoundedSemaphore(self.max_waiting))
        object.__setattr__(self, "_threads", BoundedThreads(self.max_waiting))

    def for_client(self, client_id: str, client_secret: str) -> OrcidClient:
        """Return a client with another client id.

        It shares the limits of threads, and ORCID's keys.
        """
        other = replace(self, client_id=client_id, client_secret=client_secret)
        for shared in ("_slots", "_threads", "_keys"):
            object.__setattr__(other, shared, getattr(self, shared))
        return other

    def scope_with(self, permissions: Sequence[Scope]) -> str:
        """Return the scope that authenticates a person and asks for permissions.

        Each permission authenticates the person as well. `openid` stays, because `prompt=login` works only with it.
        """
        return " ".join(permissions if permissions and not self.asks_to_sign_in else (self.scope, *permissions))

    @property
    def credentials(self) -> OrcidCredentials:
        """The registered client, by which its tokens are revoked."""
        return OrcidCredentials(
            client_id=self.client_id,
            client_secret=self.client_secret,
            base_url=self.base_url,
            registry=self.registry,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            proxy=self.proxy,
        )

    @property
    def timeout(self) -> float:
        """Seconds after which each method has returned, whatever ORCID does."""
        return self.connect_timeout + self.read_timeout

    def authorize_url(self, state: str, language: str, secret: str, scope: str | None = None) -> str:
        """Return the authorisation URL (RFC 6749, section 4.1.1).

        Args:
            secret: A secret of this attempt and browser, from which the nonce and the code verifier are derived.
            scope: What `scope_with` returned; None means without permissions.
        """
        scope = scope or self.scope
        asked = {
            "client_id": self.client_id,
            "response_type": "code",
            "scope": scope,
            "redirect_uri": self.redirect_uri,
            "state": state,
            "lang": language if language in _LANGUAGES else "en",
        }
        if _has_openid(scope):
            # ORCID honours `prompt` only with openid: a user who is signed in on a shared machine is asked again
            asked |= {"prompt": "login", "nonce": _derive("nonce", secret)}
        if self.pkce:
            challenge = hashlib.sha256(_derive("verifier", secret).encode()).digest()
            asked |= {"code_challenge": _base64(challenge), "code_challenge_method": "S256"}
        return f"{self.base_url}/oauth/authorize?{urlencode(asked)}"

    @contextmanager
    def acquire_slot(self) -> Iterator[None]:
        """Hold one of the `max_waiting` slots while the block runs.

        Raises:
            OrcidBusy: If all are taken.
        """
        with try_acquire(self._slots) as taken:
            if not taken:
                raise OrcidBusy
            yield

    def exchange(
        self,
        code: str,
        secret: str,
        now: datetime,
        take: Callable[[GrantedTokens], object] = discard,
        scope: str | None = None,
    ) -> Authenticated:
        """Exchange a code, once, for the user's iD (RFC 6749, section 4.1.3).

        Returns within `timeout`, including the fetch of the keys for the id_token. The user may have granted less or
        more than was requested.

        Args:
            code: The code.
            secret: As in `authorize_url`.
            now: The time.
            take: Called with the tokens of the response before anything else of it is looked at, in another thread,
                and even if the response comes after `timeout`. It must not raise.
            scope: The requested scope; None means without permissions.

        Raises:
            OrcidUnavailable: If ORCID does not answer properly.
            OrcidRefused: If ORCID refuses the code, or its answer is not for this user and this client.
            OrcidMisconfigured: If ORCID does not know this client.
        """
        return self._by_deadline(partial(self._exchange, code, secret, now, take, scope or self.scope))

    def check_discovery(self) -> None:
        """Fetch and check the discovery document (OpenID Connect Discovery 1.0, 4).

        Returns within `timeout`.

        Raises:
            OrcidUnavailable: If it cannot be fetched, or names another issuer.
        """
        status, answer = self._by_deadline(partial(self._send, "GET", "/.well-known/openid-configuration"))
        if status != _OK:
            raise OrcidUnavailable(f"status {status}")
        if answer.get("issuer") != self.base_url:
            raise OrcidUnavailable("its discovery document names another issuer")

    @property
    def asks_to_sign_in(self) -> bool:
        """Whether ORCID asks users to sign in again who are already signed in there."""
        return _has_openid(self.scope)

    def _by_deadline(self, call: Callable[[Deadline], Result]) -> Result:
        deadline = Deadline(self.timeout)
        try:
            return self._threads.run(partial(call, deadline), deadline)
        except TimeoutError:
            raise OrcidUnavailable("no answer in time") from None
        except Saturated as error:
            raise OrcidUnavailable(f"{error.running} earlier calls still wait for its answer") from None

    def _exchange(  # noqa: PLR0913, PLR0917 - as `exchange`
        self,
        code: str,
        secret: str,
        now: datetime,
        take: Callable[[GrantedTokens], object],
        requested: str,
        deadline: Deadline,
    ) -> Authenticated:
        form = {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "grant_type": "authorization_code",
            "redirect_uri": self.redirect_uri,
            "code": code,
        }
        if self.pkce:
            form["code_verifier"] = _derive("verifier", secret)
        status, answer = self._send("POST", "/oauth/token", deadline, form)
        if status != _OK:
            raise _refusal(status, answer)
        tokens = _granted_tokens(answer, now)
        if tokens is not None:
            take(tokens)
        return replace(self._authenticated(answer, secret, now, requested, deadline), tokens=tokens)

    def _send(
        self, method: str, path: str, deadline: Deadline, form: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        timeouts = self.connect_timeout, self.read_timeout
        response = send(method, self.base_url + path, deadline, timeouts=timeouts, proxy=self.proxy, form=form)
        try:
            return response.status, parse_object(response.body)
        except ValueError:
            raise OrcidUnavailable(f"status {response.status} without JSON") from None

    def _authenticated(
        self, answer: dict[str, Any], secret: str, now: datetime, requested: str, deadline: Deadline
    ) -> Authenticated:
        token_type, scope, bare, name = (_text(answer, member) for member in ("token_type", "scope", "orcid", "name"))
        if token_type.lower() != "bearer":
            raise OrcidUnavailable("the answer is no bearer token")
        if not isinstance(answer.get("scope", ""), str):
            raise OrcidUnavailable("its scope is no text")
        if not authenticates(scope):
            raise OrcidRefused("scope")
        try:
            orcid_id = OrcidId.parse(bare, bare_means=self.registry)
        except InvalidOrcidId:
            raise OrcidUnavailable("the answer holds no ORCID iD") from None
        if orcid_id.registry is not self.registry:
            raise OrcidMisconfigured("the iD is of the other registry")
        if _has_openid(requested):
            self._check_id_token(answer.get("id_token"), orcid_id, secret, now, deadline)
        return Authenticated(orcid_id, displayed(name)[:_LONGEST_NAME])

    def _check_id_token(
        self, id_token: object, orcid_id: OrcidId, secret: str, now: datetime, deadline: Deadline
    ) -> None:
        nonce = _derive("nonce", secret)
        for keys in (*self._keys, None):
            try:
                check_id_token(
                    id_token,
                    keys or self._fetch_keys(deadline),
                    issuer=self.base_url,
                    client_id=self.client_id,
                    subject=orcid_id.bare,
                    nonce=nonce,
                    now=now,
                )
            except UnknownKey:
                # Keys that were fetched earlier may be out of date; those of this moment are not
                continue
            except InvalidIdToken as error:
                if keys is not None and isinstance(error, WrongSignature):
                    # Without a key id, the only key is tried, which may be out of date as well
                    continue
                raise OrcidRefused(f"id_token: {error}") from None
            return
        raise OrcidUnavailable("its keys lack the key of the id_token")

    def _fetch_keys(self, deadline: Deadline) -> KeySet:
        status, document = self._send("GET", "/oauth/jwks", deadline)
        if status != _OK:
            raise OrcidUnavailable(f"status {status} for its keys")
        try:
            keys = import_keys(document)
        except ValueError as error:
            raise OrcidUnavailable(str(error)) from None
        self._keys[:] = [keys]
        return keys


def _granted_tokens(answer: dict[str, Any], now: datetime) -> GrantedTokens | None:
    access_token, refresh_token = _text(answer, "access_token"), _text(answer, "refresh_token")
    if not access_token and not refresh_token:
        return None
    expires_at, seconds = None, answer.get("expires_in")
    # ORCID has been seen to send numbers as text; a lifetime that cannot be read is not known
    with suppress(ValueError, TypeError, OverflowError):
        expires_at = now + timedelta(seconds=int(seconds))  # type: ignore[arg-type]
    return GrantedTokens(TokenPair(access_token, refresh_token), frozenset(_text(answer, "scope").split()), expires_at)


def _has_openid(scope: str) -> bool:
    return Scope.OPENID in scope.split()


def _text(answer: dict[str, Any], member: str) -> str:
    found = answer.get(member)
    return found if isinstance(found, str) else ""


def _refusal(status: int, answer: dict[str, Any]) -> Exception:
    # Only `error` counts: descriptions may repeat the code, and the status does not say whose fault it is
    error = _text(answer, "error")
    if error == "invalid_grant":
        return OrcidRefused("invalid_grant")
    if error in {"invalid_client", "unauthorized_client", "invalid_scope"}:
        return OrcidMisconfigured(error)
    return OrcidUnavailable(f"status {status}")


def _derive(purpose: str, secret: str) -> str:
    return _base64(hashlib.sha256(f"{purpose}\0{secret}".encode()).digest())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
