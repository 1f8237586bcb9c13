"""The authorisation endpoint, up to the redirect to the client.

Most errors are shown on a page of ORCID and never reach the client (option `authorize_error_style`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from . import oidc, pages
from .http import Request, Response, parse_params, see_other
from .scopes import InvalidScope, lines, person_scopes
from .tokens import token_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .simulator import Client, OrcidSimulator, Session

Params = list[tuple[str, str]]
IMPLICIT: Final = ("token", "id_token", "id_token token")
IMPLICIT_SCOPES: Final = {"openid", "/authenticate"}
IMPLICIT_SECONDS: Final = 599
LANGUAGES: Final = ("ar", "cs", "de", "en", "es", "fr", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh_CN", "zh_TW")


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A valid authorisation request; `text` is its query string."""

    client: Client
    redirect_uri: str
    scopes: tuple[str, ...]
    response_type: str
    query: Mapping[str, str]
    text: str


class AuthorizationError(Exception):
    """An invalid authorisation request.

    Args:
        redirect_uri: Where older servers redirected the browser with the error; None if they showed a page.
    """

    def __init__(self, error: str, description: str, redirect_uri: str | None = None) -> None:
        self.error = error
        self.description = description
        self.redirect_uri = redirect_uri


def parse_authorization(simulator: OrcidSimulator, text: str) -> AuthorizationRequest:
    """Parse and check an authorisation request, in ORCID's order.

    Raises:
        AuthorizationError: If ORCID refuses the request.
    """
    query = parse_params(text)
    client = _client(simulator, query)
    redirect_uri = _redirect_uri(client, query)
    for name in ("response_type", "scope"):
        if not query.get(name):
            raise AuthorizationError("invalid_request", f"Incorrect OAuth link, missing {name}")
    if query["response_type"] not in ("code", *IMPLICIT):
        raise AuthorizationError("unsupported_response_type", "Unsupported response type", redirect_uri)
    try:
        scopes = person_scopes(query["scope"], public_client=client.public)
    except InvalidScope as invalid:
        raise AuthorizationError("invalid_scope", f"Invalid scope: {str(invalid)[:100]}", redirect_uri) from None
    if query["response_type"] != "code" and not IMPLICIT_SCOPES.issuperset(scopes):
        raise AuthorizationError("invalid_scope", "The implicit flow gives an iD only", redirect_uri)
    return AuthorizationRequest(client, redirect_uri, scopes, query["response_type"], query, text)


def _client(simulator: OrcidSimulator, query: Mapping[str, str]) -> Client:
    client_id = query.get("client_id")
    if not client_id:
        raise AuthorizationError("invalid_request", "Missing parameter: client_id is missing")
    client = simulator.clients.get(client_id)
    if client is None:
        raise AuthorizationError("invalid_client", f"The provided client id {client_id[:100]} is invalid")
    if client.state != "ok":
        raise AuthorizationError(f"client_{client.state}", f"{client.name} ({client_id}) is {client.state}")
    return client


def _redirect_uri(client: Client, query: Mapping[str, str]) -> str:
    asked = query.get("redirect_uri")
    if not asked:
        raise AuthorizationError("invalid_request", "Incorrect OAuth link, missing redirect_uri")
    if not any(redirect_allowed(registered, asked) for registered in client.redirect_uris):
        raise AuthorizationError("invalid_grant", "Redirect URI doesn't match your registered redirect URIs.")
    return asked


def redirect_allowed(registered: str, asked: str) -> bool:
    """Return whether a redirect URI matches the registered one.

    Scheme, host and port must be equal, and the registered path a prefix of the path.
    """
    try:
        known, wanted = urlsplit(registered.strip()), urlsplit(asked)
    except ValueError:
        return False
    same_server = (known.scheme, known.netloc) == (wanted.scheme, wanted.netloc)
    return same_server and _normalize(wanted.path).startswith(_normalize(known.path))


def _normalize(path: str) -> str:
    cleaned = posixpath.normpath("/" + unquote(path).lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


# Pages


def show_page(simulator: OrcidSimulator, request: Request) -> Response:
    """`GET /oauth/authorize`."""
    session = simulator.session(request.session)
    asks_nothing = request.query.get("prompt") == "none" and not session.orcid
    try:
        authorization = parse_authorization(simulator, request.query_string)
    except AuthorizationError as error:
        if asks_nothing and error.error == "invalid_grant":
            return pages.message(simulator, 404, "Page not found", "There is nothing here.")
        return _error_page(simulator, error)
    if asks_nothing:
        return see_other(authorization.redirect_uri.partition("#")[0] + "#login_required")
    response = _next_page(simulator, session, authorization)
    return pages.with_session(simulator, response, session, _language(authorization))


def _next_page(simulator: OrcidSimulator, session: Session, authorization: AuthorizationRequest) -> Response:
    if simulator.options.auto_authorize:
        return redirect_with_code(simulator, authorization, simulator.options.auto_authorize)
    simulator.save_request(session, _to_save(authorization))
    if not session.orcid:
        page = pages.register if authorization.query.get("show_login") == "false" else pages.sign_in
        return page(simulator, authorization.query)
    if simulator.users[session.orcid].state == "locked":
        return see_other(f"{simulator.base_url}/my-orcid")
    if authorization.query.get("prompt") == "login" and "openid" in authorization.scopes:
        return pages.sign_in(simulator, authorization.query)
    record = session.record or session.orcid
    if simulator.options.skip_consent and simulator.has_grant(
        authorization.client.client_id, record, authorization.scopes
    ):
        return redirect_with_code(simulator, authorization, record)
    return _authorise_page(simulator, session, authorization)


# After sign-in, `prompt` and `show_login` must not ask for the sign-in page again
def _to_save(authorization: AuthorizationRequest) -> str:
    kept = [part for part in authorization.text.split("&") if part.partition("=")[0] not in ("prompt", "show_login")]
    return "&".join(kept)


def _language(authorization: AuthorizationRequest) -> str | None:
    lang = authorization.query.get("lang")
    return lang if lang in LANGUAGES else None


def _authorise_page(
    simulator: OrcidSimulator, session: Session, authorization: AuthorizationRequest, notice: str = ""
) -> Response:
    user = simulator.users[session.record or ""]
    mine = simulator.users[session.orcid or ""]
    return pages.page(
        simulator,
        "authorize.html",
        title="Authorize access",
        client=authorization.client,
        lines=lines(authorization.scopes),
        user=user,
        uri=simulator.uri(user.orcid),
        records=[mine, *(simulator.users[orcid] for orcid in mine.acts_for)],
        authorization=authorization.text,
        notice=notice,
    )


def consent(simulator: OrcidSimulator, request: Request) -> Response:
    """`POST /oauth/authorize`: the person pressed "Authorize access"."""
    text = request.form.get("request", "")
    session = simulator.session(request.session)
    try:
        authorization = parse_authorization(simulator, text)
    except AuthorizationError as error:
        return _error_page(simulator, error)
    if not session.record:
        return see_other(f"{simulator.base_url}/oauth/authorize?{text}")
    if simulator.faults.take("consent", authorization.client.client_id):
        return _authorise_page(simulator, session, authorization, "That did not work. Please try again.")
    response = redirect_with_code(simulator, authorization, session.record)
    session.saved_request = ""
    if simulator.options.interstitials:
        session.interstitials = list(simulator.options.interstitials)
        session.after_interstitials = dict(response.headers)["Location"]
        return see_other(f"{simulator.base_url}/interstitial")
    return response


def deny(simulator: OrcidSimulator, request: Request) -> Response:
    """`GET /oauth/authorize/deny`: the person followed "Deny access"."""
    try:
        authorization = parse_authorization(simulator, request.query_string)
    except AuthorizationError as error:
        return _error_page(simulator, error)
    params = [("error", "access_denied")]
    if simulator.options.deny_description is not None:
        params.append(("error_description", simulator.options.deny_description))
    return _redirect_back(simulator, authorization, params)


def switch(simulator: OrcidSimulator, request: Request) -> Response:
    """`POST /oauth/switch`: choose the record for which the person acts.

    It is that of a person whose trusted individual they are, or their own.
    """
    session = simulator.session(request.session)
    wanted = request.form.get("record", "")
    if session.orcid and wanted in (session.orcid, *simulator.users[session.orcid].acts_for):
        session.acting_for = None if wanted == session.orcid else wanted
    return see_other(f"{simulator.base_url}/oauth/authorize?{request.form.get('request', '')}")


# Redirects to the client


def redirect_with_code(simulator: OrcidSimulator, authorization: AuthorizationRequest, orcid: str) -> Response:
    """Redirect to the client with a new code; in the implicit flow, with a token."""
    if authorization.response_type != "code":
        return _redirect_with_token(simulator, authorization, orcid)
    fault = simulator.faults.take("callback", authorization.client.client_id)
    if fault and fault.name == "other_id":
        orcid = simulator.other_user(orcid).orcid
    code = simulator.issue_code(
        authorization.client.client_id,
        orcid,
        authorization.scopes,
        authorization.redirect_uri,
        nonce=authorization.query.get("nonce"),
        challenged="code_challenge" in authorization.query,
    )
    params = _with_state(authorization, [("code", code.value)])
    return see_other(add_params(authorization.redirect_uri, _apply_fault(fault.name if fault else "", params)))


def _redirect_with_token(simulator: OrcidSimulator, authorization: AuthorizationRequest, orcid: str) -> Response:
    tokens = simulator.issue_tokens(authorization.client.client_id, orcid, authorization.scopes, IMPLICIT_SECONDS)
    body = token_response(simulator, tokens)
    fields = [(key, str(body[key])) for key in ("access_token", "token_type", "expires_in")]
    fields += [("tokenVersion", "1"), ("persistent", "false")]
    if "id_token" in authorization.response_type.split():
        nonce = authorization.query.get("nonce")
        fields.append(("id_token", oidc.id_token(simulator, tokens, nonce, authorization.client, None)))
    fields = _with_state(authorization, fields)
    return see_other(f"{authorization.redirect_uri.partition('#')[0]}#{encode_params(fields)}")


def _redirect_back(simulator: OrcidSimulator, authorization: AuthorizationRequest, params: Params) -> Response:
    fault = simulator.faults.take("callback", authorization.client.client_id)
    return see_other(
        add_params(
            authorization.redirect_uri, _apply_fault(fault.name if fault else "", _with_state(authorization, params))
        )
    )


def _with_state(authorization: AuthorizationRequest, params: Params) -> Params:
    state = authorization.query.get("state")
    return params if state is None else [*params, ("state", state)]


def add_params(uri: str, params: Params) -> str:
    """Return a URI with parameters added to its query, without its fragment."""
    uri = uri.partition("#")[0]
    if not params:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{encode_params(params)}"


def encode_params(params: Params) -> str:
    """Encode parameters, with spaces as %20."""
    return urlencode(params, quote_via=quote, safe="")


def _apply_fault(fault: str, params: Params) -> Params:
    spoil = CALLBACK_FAULTS.get(fault)
    return spoil(params) if spoil else params


def _state_changed(params: Params) -> Params:
    return [(key, _alter(value) if key == "state" else value) for key, value in params]


def _alter(value: str) -> str:
    return value[:-1] + ("A" if value[-1:] != "A" else "B")


CALLBACK_FAULTS: Final[dict[str, Callable[[Params], Params]]] = {
    "state_changed": _state_changed,
    "state_dropped": lambda params: [(key, value) for key, value in params if key != "state"],
    "repeated_parameters": lambda params: params + [(key, _alter(value)) for key, value in params],
    "empty_answer": lambda _pairs: [],
}


# A page at ORCID; or, for errors that older servers returned, a redirect with fragment or query (never a state)
def _error_page(simulator: OrcidSimulator, error: AuthorizationError) -> Response:
    style = simulator.options.authorize_error_style
    if error.redirect_uri and style == "fragment":
        return see_other(f"{error.redirect_uri.partition('#')[0]}#error={error.error}")
    if error.redirect_uri and style == "query":
        params = [("error", error.error), ("error_description", error.description)]
        return see_other(add_params(error.redirect_uri, params))
    return pages.message(simulator, 200, "Something is wrong with this link", f"{error.error}: {error.description}")
