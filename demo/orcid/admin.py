"""Control of the simulator by HTTP.

JSON below `/admin`, for programs on this machine; `docs/simulators.md` shows a request of each kind.

    GET  /admin/users      POST {"orcid": ..., "given": ...} adds one; {"orcid": ..., "state": "locked"} changes one
    GET  /admin/clients    POST {"client_id": ..., "secret": ..., "name": ..., "redirect_uris": [...]}; changes likewise
    GET  /admin/tokens     ?orcid=...&client_id=...&live=true; DELETE revokes, as the person does at ORCID
    GET  /admin/items      ?orcid=...; DELETE ?orcid=...&put_code=... deletes one, as the person does
                           POST {"orcid": ..., "kind": "employment", "body": {...}} adds one, as the person or a client
                           POST {"orcid": ..., "put_code": 1001, "visibility": "private"} changes who sees it
    GET  /admin/options    POST {"interstitials": ["domains", "affiliation"]}
    GET  /admin/clock      POST {"minutes": 11} advances it
    GET  /admin/faults     POST {"place": "token", "fault": "html"}, with "always": true or "times": 3; DELETE disarms
                           POST {"release": true} sends every delayed response
    GET  /admin/journal    requests received, ?path=/oauth/token for one path; DELETE clears
    POST /admin/reset      return to the initial state

Requests must come from a loopback address and not through a proxy. A body must be declared as JSON, which a form on a
web page cannot do. No answer contains a secret or a token. `OrcidSimulator(admin=False)` turns it off.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from . import affiliations
from .errors import ApiError
from .http import Request, Response, json_response
from .people import User
from .simulator import Client

if TYPE_CHECKING:
    from .simulator import OrcidSimulator

Body = dict[str, Any]


def handle(simulator: OrcidSimulator, request: Request, what: str) -> Response:
    """`/admin/...`."""
    if not simulator.admin or request.forwarded or not _is_loopback(request.peer):
        return json_response(404, {"error": "not found"})
    act = ACTIONS.get((request.method, what))
    if act is None:
        return json_response(404, {"error": "no such action"})
    if request.method == "POST" and request.content_type.partition(";")[0] != "application/json":
        return json_response(415, {"error": "Content-Type must be application/json"})
    try:
        body = json.loads(request.body or b"{}")
        return json_response(200, act(simulator, request, body))
    except (ApiError, AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        return json_response(400, {"error": f"{type(error).__name__}: {error}"})


def _is_loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False


def _users(simulator: OrcidSimulator, _call: Request, _body: Body) -> Any:
    return [dataclasses.asdict(user) for user in simulator.users.values()]


def _save_user(simulator: OrcidSimulator, _call: Request, body: Body) -> Any:
    fields: Body = {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}
    if fields["orcid"] in simulator.users:
        return dataclasses.asdict(simulator.change_user(fields.pop("orcid"), **fields))
    user = User(**fields)
    simulator.add_user(user)
    return dataclasses.asdict(user)


def _clients(simulator: OrcidSimulator, _call: Request, _body: Body) -> Any:
    return [_render_client(client) for client in simulator.clients.values()]


def _save_client(simulator: OrcidSimulator, _call: Request, body: Body) -> Any:
    fields: Body = {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}
    known = simulator.clients.get(fields["client_id"])
    client = dataclasses.replace(known, **fields) if known else Client(**fields)
    simulator.add_client(client)
    return _render_client(client)


def _render_client(client: Client) -> Body:
    return {**dataclasses.asdict(client), "secret": "***"}


def _tokens(simulator: OrcidSimulator, request: Request, _body: Body) -> Any:
    query, now = request.query, simulator.now()
    rows = [
        {
            "orcid": each.orcid,
            "client_id": each.client_id,
            "scope": " ".join(each.scopes),
            "issued": each.issued.isoformat(),
            "live": each.live(now),
            "revoked": each.revoked,
        }
        for each in simulator.tokens(query["orcid"], query.get("client_id"))
    ]
    return [row for row in rows if row["live"] or query.get("live") != "true"]


def _revoke(simulator: OrcidSimulator, request: Request, body: Body) -> Any:
    simulator.revoke_grants(request.query["orcid"], request.query.get("client_id"))
    return _tokens(simulator, request, body)


def _items(simulator: OrcidSimulator, request: Request, _body: Body) -> Any:
    orcid = request.query["orcid"]
    return [affiliations.render_item(simulator, orcid, item) for item in simulator.items(orcid)]


def _save_item(simulator: OrcidSimulator, _call: Request, body: Body) -> Any:
    orcid = simulator.users[body["orcid"]].orcid
    if "put_code" in body:
        simulator.set_item_visibility(orcid, body["put_code"], body["visibility"])
    else:
        if body["kind"] not in affiliations.SECTIONS:
            raise ValueError(f"kind is one of {', '.join(sorted(affiliations.SECTIONS))}")
        affiliations.check(simulator, body["body"], body["kind"])
        client = simulator.clients[body["client_id"]].client_id if body.get("client_id") else None
        simulator.add_item(orcid, body["kind"], client, body["body"])
    return [affiliations.render_item(simulator, orcid, item) for item in simulator.items(orcid)]


def _delete_item(simulator: OrcidSimulator, request: Request, body: Body) -> Any:
    simulator.remove_item(request.query["orcid"], int(request.query["put_code"]))
    return _items(simulator, request, body)


def _options(simulator: OrcidSimulator, _call: Request, body: Body) -> Any:
    simulator.set_options(**body)
    return dataclasses.asdict(simulator.options)


def _clock(simulator: OrcidSimulator, _call: Request, body: Body) -> Any:
    simulator.advance(**body)
    return {"now": simulator.now().isoformat(), "offset_seconds": simulator.offset.total_seconds()}


def _faults(simulator: OrcidSimulator, _call: Request, _body: Body) -> Any:
    return simulator.faults.armed()


def _arm(simulator: OrcidSimulator, _call: Request, body: Body) -> Any:
    if body.pop("release", False):
        simulator.faults.release()
        return simulator.faults.armed()
    place, name, always = body.pop("place"), body.pop("fault"), body.pop("always", False)
    arm = simulator.faults.arm_always if always else simulator.faults.arm
    arm(place, name, **body)
    return simulator.faults.armed()


def _disarm(simulator: OrcidSimulator, _call: Request, _body: Body) -> Any:
    simulator.faults.clear()
    return []


def _journal(simulator: OrcidSimulator, request: Request, _body: Body) -> Any:
    return simulator.call_log.list_requests(request.query.get("path"))


def _forget(simulator: OrcidSimulator, _call: Request, _body: Body) -> Any:
    simulator.call_log.clear()
    return []


def _reset(simulator: OrcidSimulator, _call: Request, _body: Body) -> Any:
    simulator.reset()
    return {}


ACTIONS: Final[dict[tuple[str, str], Callable[[OrcidSimulator, Request, Body], Any]]] = {
    ("GET", "users"): _users,
    ("POST", "users"): _save_user,
    ("GET", "clients"): _clients,
    ("POST", "clients"): _save_client,
    ("GET", "tokens"): _tokens,
    ("DELETE", "tokens"): _revoke,
    ("GET", "items"): _items,
    ("POST", "items"): _save_item,
    ("DELETE", "items"): _delete_item,
    ("GET", "options"): _options,
    ("POST", "options"): _options,
    ("GET", "clock"): _clock,
    ("POST", "clock"): _clock,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _arm,
    ("DELETE", "faults"): _disarm,
    ("GET", "journal"): _journal,
    ("DELETE", "journal"): _forget,
    ("POST", "reset"): _reset,
}
