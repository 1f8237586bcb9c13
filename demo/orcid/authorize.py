"""The browser's half: from the authorise request to the way back.

Most mistakes never reach the client: ORCID shows a page of its own (option `authorize_error_style`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from . import oidc, pages
from .scopes import InvalidScope, asked_of_person, lines
from .tokens import answer_for
from .wire import Answer, Call, firsts, see_other

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .world import Client, OrcidWorld, Session

Pairs = list[tuple[str, str]]
IMPLICIT: Final = ("token", "id_token", "id_token token")
IMPLICIT_SCOPES: Final = {"openid", "/authenticate"}
IMPLICIT_SECONDS: Final = 599
LANGUAGES: Final = ("ar", "cs", "de", "en", "es", "fr", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh_CN", "zh_TW")


@dataclass(frozen=True, slots=True)
class Request:
    """An authorise request that makes sense; `text` is its query string."""

    client: Client
    redirect_uri: str
    scopes: tuple[str, ...]
    response_type: str
    query: Mapping[str, str]
    text: str


class Incorrect(Exception):
    """A request that ORCID refuses: error word, description, and where old servers sent the browser, if they did."""

    def __init__(self, error: str, description: str, back_to: str | None = None) -> None:
        self.error = error
        self.description = description
        self.back_to = back_to


def understood(world: OrcidWorld, text: str) -> Request:
    """Give the request that a query string holds, checked in ORCID's order."""
    query = firsts(text)
    client = _client(world, query)
    redirect_uri = _redirect_uri(client, query)
    for name in ("response_type", "scope"):
        if not query.get(name):
            raise Incorrect("invalid_request", f"Incorrect OAuth link, missing {name}")
    if query["response_type"] not in ("code", *IMPLICIT):
        raise Incorrect("unsupported_response_type", "Unsupported response type", redirect_uri)
    try:
        scopes = asked_of_person(query["scope"], public_client=client.public)
    except InvalidScope as invalid:
        raise Incorrect("invalid_scope", f"Invalid scope: {str(invalid)[:100]}", redirect_uri) from None
    if query["response_type"] != "code" and not IMPLICIT_SCOPES.issuperset(scopes):
        raise Incorrect("invalid_scope", "The implicit flow gives an iD only", redirect_uri)
    return Request(client, redirect_uri, scopes, query["response_type"], query, text)


def _client(world: OrcidWorld, query: Mapping[str, str]) -> Client:
    client_id = query.get("client_id")
    if not client_id:
        raise Incorrect("invalid_request", "Missing parameter: client_id is missing")
    client = world.clients.get(client_id)
    if client is None:
        raise Incorrect("invalid_client", f"The provided client id {client_id[:100]} is invalid")
    if client.state != "ok":
        raise Incorrect(f"client_{client.state}", f"{client.name} ({client_id}) is {client.state}")
    return client


def _redirect_uri(client: Client, query: Mapping[str, str]) -> str:
    asked = query.get("redirect_uri")
    if not asked:
        raise Incorrect("invalid_request", "Incorrect OAuth link, missing redirect_uri")
    if not any(redirect_allowed(registered, asked) for registered in client.redirect_uris):
        raise Incorrect("invalid_grant", "Redirect URI doesn't match your registered redirect URIs.")
    return asked


def redirect_allowed(registered: str, asked: str) -> bool:
    """Whether a redirect URI is the registered one or below it: same server exactly, path a continuation."""
    try:
        known, wanted = urlsplit(registered.strip()), urlsplit(asked)
    except ValueError:
        return False
    same_server = (known.scheme, known.netloc) == (wanted.scheme, wanted.netloc)
    return same_server and _clean(wanted.path).startswith(_clean(known.path))


def _clean(path: str) -> str:
    cleaned = posixpath.normpath("/" + unquote(path).lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


# What the browser meets


def ask(world: OrcidWorld, call: Call) -> Answer:
    """`GET /oauth/authorize`."""
    session = world.session(call.session)
    asks_nothing = call.query.get("prompt") == "none" and not session.orcid
    try:
        request = understood(world, call.query_string)
    except Incorrect as incorrect:
        if asks_nothing and incorrect.error == "invalid_grant":
            return pages.message(world, 404, "Page not found", "There is nothing here.")
        return _refused(world, incorrect)
    if asks_nothing:
        return see_other(request.redirect_uri.partition("#")[0] + "#login_required")
    answer = _next_page(world, session, request)
    return pages.with_session(world, answer, session, _language(request))


def _next_page(world: OrcidWorld, session: Session, request: Request) -> Answer:
    """Decide what comes next: the first row that fits."""
    if world.options.auto_authorize:
        return back_with_answer(world, request, world.options.auto_authorize)
    world.remember(session, _later(request))
    if not session.orcid:
        page = pages.register if request.query.get("show_login") == "false" else pages.sign_in
        return page(world, request.query)
    if world.users[session.orcid].state == "locked":
        return see_other(f"{world.base_url}/my-orcid")
    if request.query.get("prompt") == "login" and "openid" in request.scopes:
        return pages.sign_in(world, request.query)
    record = session.record or session.orcid
    if world.options.skip_consent and world.has_grant(request.client.client_id, record, request.scopes):
        return back_with_answer(world, request, record)
    return _authorise_page(world, session, request)


def _later(request: Request) -> str:
    """Keep of a request what counts after signing in: whatever asked for a form has been served by then."""
    kept = [part for part in request.text.split("&") if part.partition("=")[0] not in ("prompt", "show_login")]
    return "&".join(kept)


def _language(request: Request) -> str | None:
    lang = request.query.get("lang")
    return lang if lang in LANGUAGES else None


def _authorise_page(world: OrcidWorld, session: Session, request: Request, notice: str = "") -> Answer:
    user = world.users[session.record or ""]
    mine = world.users[session.orcid or ""]
    return pages.page(
        world,
        "authorize.html",
        title="Authorize access",
        client=request.client,
        lines=lines(request.scopes),
        user=user,
        uri=world.uri(user.orcid),
        records=[mine, *(world.users[orcid] for orcid in mine.acts_for)],
        request=request.text,
        notice=notice,
    )


def consent(world: OrcidWorld, call: Call) -> Answer:
    """`POST /oauth/authorize`: the person pressed Authorize access."""
    text = call.form.get("request", "")
    session = world.session(call.session)
    try:
        request = understood(world, text)
    except Incorrect as incorrect:
        return _refused(world, incorrect)
    if not session.record:
        return see_other(f"{world.base_url}/oauth/authorize?{text}")
    if world.faults.take("consent", request.client.client_id):
        return _authorise_page(world, session, request, "That did not work. Please try again.")
    answer = back_with_answer(world, request, session.record)
    session.remembered = ""
    if world.options.interstitial:
        session.after_interstitial = dict(answer.headers)["Location"]
        return see_other(f"{world.base_url}/interstitial")
    return answer


def deny(world: OrcidWorld, call: Call) -> Answer:
    """`GET /oauth/authorize/deny`: the person followed Deny access."""
    try:
        request = understood(world, call.query_string)
    except Incorrect as incorrect:
        return _refused(world, incorrect)
    pairs = [("error", "access_denied")]
    if world.options.deny_description is not None:
        pairs.append(("error_description", world.options.deny_description))
    return _back(world, request, pairs)


def switch(world: OrcidWorld, call: Call) -> Answer:
    """`POST /oauth/switch`: act for another record, as its trusted individual, or for one's own again."""
    session = world.session(call.session)
    wanted = call.form.get("record", "")
    if session.orcid and wanted in (session.orcid, *world.users[session.orcid].acts_for):
        session.acting_for = None if wanted == session.orcid else wanted
    return see_other(f"{world.base_url}/oauth/authorize?{call.form.get('request', '')}")


# The way back


def back_with_answer(world: OrcidWorld, request: Request, orcid: str) -> Answer:
    """Send the browser back with a new code, or in the implicit flow with the token itself."""
    if request.response_type != "code":
        return _back_with_token(world, request, orcid)
    fault = world.faults.take("callback", request.client.client_id)
    if fault and fault.name == "other_id":
        orcid = world.someone_else(orcid).orcid
    code = world.grant_code(
        request.client.client_id,
        orcid,
        request.scopes,
        request.redirect_uri,
        nonce=request.query.get("nonce"),
        challenged="code_challenge" in request.query,
    )
    pairs = _with_state(request, [("code", code.value)])
    return see_other(joined(request.redirect_uri, _spoilt(fault.name if fault else "", pairs)))


def _back_with_token(world: OrcidWorld, request: Request, orcid: str) -> Answer:
    pair = world.grant_pair(request.client.client_id, orcid, request.scopes, IMPLICIT_SECONDS)
    body = answer_for(world, pair)
    fields = [(key, str(body[key])) for key in ("access_token", "token_type", "expires_in")]
    fields += [("tokenVersion", "1"), ("persistent", "false")]
    if "id_token" in request.response_type.split():
        nonce = request.query.get("nonce")
        fields.append(("id_token", oidc.id_token(world, pair, nonce, request.client, None)))
    fields = _with_state(request, fields)
    return see_other(f"{request.redirect_uri.partition('#')[0]}#{encoded(fields)}")


def _back(world: OrcidWorld, request: Request, pairs: Pairs) -> Answer:
    fault = world.faults.take("callback", request.client.client_id)
    return see_other(joined(request.redirect_uri, _spoilt(fault.name if fault else "", _with_state(request, pairs))))


def _with_state(request: Request, pairs: Pairs) -> Pairs:
    state = request.query.get("state")
    return pairs if state is None else [*pairs, ("state", state)]


def joined(uri: str, pairs: Pairs) -> str:
    """Give the URI with parameters added, its own query kept, its fragment gone."""
    uri = uri.partition("#")[0]
    if not pairs:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{encoded(pairs)}"


def encoded(pairs: Pairs) -> str:
    """Give the parameters, spaces as %20."""
    return urlencode(pairs, quote_via=quote, safe="")


def _spoilt(fault: str, pairs: Pairs) -> Pairs:
    spoil = CALLBACK_FAULTS.get(fault)
    return spoil(pairs) if spoil else pairs


def _state_changed(pairs: Pairs) -> Pairs:
    return [(key, _altered(value) if key == "state" else value) for key, value in pairs]


def _altered(value: str) -> str:
    """Another value of the same length."""
    return value[:-1] + ("A" if value[-1:] != "A" else "B")


CALLBACK_FAULTS: Final[dict[str, Callable[[Pairs], Pairs]]] = {
    "state_changed": _state_changed,
    "state_dropped": lambda pairs: [(key, value) for key, value in pairs if key != "state"],
    "repeated_parameters": lambda pairs: pairs + [(key, _altered(value)) for key, value in pairs],
    "empty_answer": lambda _pairs: [],
}


def _refused(world: OrcidWorld, incorrect: Incorrect) -> Answer:
    """Show a page at ORCID; or, for what old servers sent back, the fragment or the query they used (never a state)."""
    style = world.options.authorize_error_style
    if incorrect.back_to and style == "fragment":
        return see_other(f"{incorrect.back_to.partition('#')[0]}#error={incorrect.error}")
    if incorrect.back_to and style == "query":
        pairs = [("error", incorrect.error), ("error_description", incorrect.description)]
        return see_other(joined(incorrect.back_to, pairs))
    return pages.message(world, 200, "Something is wrong with this link", f"{incorrect.error}: {incorrect.description}")
