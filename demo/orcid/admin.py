"""To steer the simulator from outside: JSON under /admin, for programs on this machine only.

    GET  /admin/users      POST {"orcid": …, "given": …} adds one; {"orcid": …, "state": "locked"} changes one
    GET  /admin/clients    POST {"client_id": …, "secret": …, "name": …, "redirect_uris": […]}
    GET  /admin/options    POST {"interstitial": true}
    GET  /admin/clock      POST {"minutes": 11} moves it on
    GET  /admin/faults     POST {"place": "token", "fault": "html"}, with "always": true or "times": 3; DELETE disarms
                           POST {"release": true} lets go every answer that is held
    GET  /admin/journal    ?path=/oauth/token for one path; DELETE forgets
    POST /admin/reset      back to the beginning

It answers calls from the loopback address whose body, if any, is declared as JSON, so that no page in a browser
can send one by a form. `OrcidWorld(admin=False)` takes it away.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from .people import User
from .wire import Answer, Call, json_answer
from .world import Client

if TYPE_CHECKING:
    from .world import OrcidWorld

Body = dict[str, Any]


def answer(world: OrcidWorld, call: Call, what: str) -> Answer:
    """`/admin/…`."""
    if not world.admin or not _is_here(call.peer):
        return json_answer(404, {"error": "there is nothing here"})
    act = ACTIONS.get((call.method, what))
    if act is None:
        return json_answer(404, {"error": "no such action"})
    if call.method == "POST" and call.content_type.partition(";")[0] != "application/json":
        return json_answer(415, {"error": "the body is to be application/json"})
    try:
        body = json.loads(call.body or b"{}")
        return json_answer(200, act(world, call, body))
    except (ValueError, TypeError, KeyError) as error:
        return json_answer(400, {"error": str(error)})


def _is_here(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False


def _users(world: OrcidWorld, _call: Call, _body: Body) -> Any:
    return [dataclasses.asdict(user) for user in world.users.values()]


def _put_user(world: OrcidWorld, _call: Call, body: Body) -> Any:
    fields: Body = {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}
    if fields["orcid"] in world.users:
        return dataclasses.asdict(world.change_user(fields.pop("orcid"), **fields))
    user = User(**fields)
    world.add_user(user)
    return dataclasses.asdict(user)


def _clients(world: OrcidWorld, _call: Call, _body: Body) -> Any:
    return [_shown(client) for client in world.clients.values()]


def _put_client(world: OrcidWorld, _call: Call, body: Body) -> Any:
    client = Client(**{**body, "redirect_uris": tuple(body["redirect_uris"])})
    world.add_client(client)
    return _shown(client)


def _shown(client: Client) -> Body:
    return {**dataclasses.asdict(client), "secret": "***"}


def _options(world: OrcidWorld, _call: Call, body: Body) -> Any:
    world.set_options(**body)
    return dataclasses.asdict(world.options)


def _clock(world: OrcidWorld, _call: Call, body: Body) -> Any:
    world.advance(**body)
    return {"now": world.now().isoformat(), "offset_seconds": world.offset.total_seconds()}


def _faults(world: OrcidWorld, _call: Call, _body: Body) -> Any:
    return world.faults.armed()


def _arm(world: OrcidWorld, _call: Call, body: Body) -> Any:
    if body.pop("release", False):
        world.faults.release()
        return world.faults.armed()
    place, name, always = body.pop("place"), body.pop("fault"), body.pop("always", False)
    arm = world.faults.always if always else world.faults.next
    arm(place, name, **body)
    return world.faults.armed()


def _disarm(world: OrcidWorld, _call: Call, _body: Body) -> Any:
    world.faults.clear()
    return []


def _journal(world: OrcidWorld, call: Call, _body: Body) -> Any:
    return world.journal.calls(call.query.get("path"))


def _forget(world: OrcidWorld, _call: Call, _body: Body) -> Any:
    world.journal.clear()
    return []


def _reset(world: OrcidWorld, _call: Call, _body: Body) -> Any:
    world.reset()
    return {}


ACTIONS: Final[dict[tuple[str, str], Callable[[OrcidWorld, Call, Body], Any]]] = {
    ("GET", "users"): _users,
    ("POST", "users"): _put_user,
    ("GET", "clients"): _clients,
    ("POST", "clients"): _put_client,
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
