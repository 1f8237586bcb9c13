"""Scenes of the operator's pages."""

from __future__ import annotations

import re

from sql.records import ReleaseState
from tests.gallery.page_states import scene
from tests.gallery.rendering import ACCOUNT, DAY, INTERFACES, NEW, OLD
from tests.support.factories import NOON, UNIVERSITY, answered, make_link, make_orcid_id
from tests.support.service import orcid_id
from webapp.operator.access import AdminAccess, AdminGrant

STAFF = AdminAccess(operators=(AdminGrant.parse(UNIVERSITY, (ACCOUNT,)),))
PIIA = "piia@yliopisto.example"


@scene("GET /operator")
def operator(on):
    _happened(on)
    return _operator(on).get("/operator")


@scene("GET /operator/organisations/<name>")
def operator_organisation(on):
    _happened(on)
    return _operator(on).get("/operator/organisations/yliopisto?days=90")


@scene("GET /operator/organisations/<name>")
def operator_organisation_retried(on):
    _happened(on)
    who = _operator(on)
    form = {"token": who.token(), "transfer": INTERFACES[1]}
    return who.get(who.post("/operator/organisations/yliopisto/retry", form).place)


@scene("GET /operator/organisations/<name>")
def operator_organisation_without_anything(on):
    return _operator(on).get("/operator/organisations/amk")


@scene("GET /operator/incidents")
def operator_incidents(on):
    return _operator(on).get("/operator/incidents")


@scene("GET /operator/incidents")
def operator_incident(on):
    front = on.front(admin_access=STAFF)
    told = on.maija(front, account="maija@elsewhere.example").get("/me").text
    number = re.search(r"<code>([0-9a-f]{8})</code>", told)[1]
    return on.maija(front).get(f"/operator/incidents?number={number}")


@scene("GET /operator/incidents")
def operator_incident_unknown(on):
    return _operator(on).get("/operator/incidents?number=00000000")


@scene("GET /operator/people")
def operator_people(on):
    return _operator(on).get("/operator/people")


@scene("POST /operator/people")
def operator_person(on):
    _happened(on)
    return _looked_for(on, reason="The person asks why the iD has not arrived.")


@scene("POST /operator/people")
def operator_person_without_a_reason(on):
    return _looked_for(on, reason="")


def _operator(on):
    return on.maija(on.front(admin_access=STAFF))


def _looked_for(on, reason):
    who = _operator(on)
    form = {"token": who.token(), "organisation": "yliopisto", "whom": ACCOUNT, "reason": reason}
    return who.post("/operator/people", form)


def _happened(on):
    """Let something of everything have happened, on several days."""
    on.store.attempts.close(answered(on.store, PIIA, now=NOON - 9 * DAY).id, "declined", NOON - 9 * DAY)
    for number in range(1, 9):
        account = f"person{number}@yliopisto.example"
        make_link(on.store, account, make_orcid_id(number), now=NOON - number * 3 * DAY)
    on.link(OLD, transfers=INTERFACES)
    make_link(on.store, PIIA, orcid_id(NEW), now=NOON, transfers=INTERFACES)
    on.store.releases.record(on.store.links.get(UNIVERSITY, ACCOUNT), ReleaseState.SEEN, NOON)
    first, *others = on.store.deliveries.claim("worker", NOON, DAY, 4)
    on.store.deliveries.complete(first, "worker", "stored", "", NOON)
    for each in others:
        on.store.deliveries.dead_letter(
            each, "worker", "unknown-person", f"no entry: uid={ACCOUNT},ou=people,dc=yliopisto", NOON
        )
    on.store.deliveries.record_failure(UNIVERSITY, INTERFACES[1], NOON, 1, DAY)
    on.store.changes.acknowledge(UNIVERSITY, 5, NOON)
