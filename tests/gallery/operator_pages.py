"""Page states of the operator's pages."""

from __future__ import annotations

import re

from shibboleth.organisation import Organisations, Stage
from sql.records import ReleaseState
from tests.gallery.page_states import page_state
from tests.gallery.rendering import ACCOUNT, DAY, INTERFACES, NEW, OLD
from tests.support.factories import NOON, POLYTECHNIC, UNIVERSITY, answered, make_link, make_orcid_id, make_organisation
from tests.support.service import orcid_id
from webapp.auth.named_people import NamedPeople
from webapp.config.organisation import Keep
from webapp.operator.access import AdminAccess

STAFF = AdminAccess(operators=(NamedPeople.parse(UNIVERSITY, (ACCOUNT,)),))
PIIA = "piia@yliopisto.example"


@page_state("GET /operator")
def operator(context):
    _add_history(context)
    return _operator_client(context).get("/operator")


@page_state("GET /operator")
def operator_where_nothing_needs_attention(context):
    return _operator_client(context).get("/operator")


@page_state("GET /operator")
def operator_with_an_organisation_left_out(context):
    context.organisations = Organisations.of([make_organisation(stage=Stage.TEST)], {"amk": ()})
    return _operator_client(context).get("/operator")


@page_state("GET /operator/organisations/<name>")
def operator_organisation(context):
    _add_history(context)
    return _operator_client(context).get("/operator/organisations/yliopisto?days=90")


@page_state("GET /operator/organisations/<name>")
def operator_organisation_retried(context):
    _add_history(context)
    who = _operator_client(context)
    form = {"token": who.token(), "transfer": INTERFACES[1]}
    return who.get(who.post("/operator/organisations/yliopisto/retry", form).location)


@page_state("GET /operator/organisations/<name>")
def operator_organisation_without_anything(context):
    return _operator_client(context).get("/operator/organisations/amk")


@page_state("GET /operator/organisations/<name>")
def operator_organisation_with_renamed_accounts(context):
    for account, orcid in ((PIIA, NEW), ("p.uusi@yliopisto.example", OLD)):
        make_link(context.store, account, orcid_id(orcid), stable_id="subject-id:p@yliopisto.example")
    return _operator_client(context).get("/operator/organisations/yliopisto")


@page_state("GET /operator/organisations/<name>")
def administrator_organisation(context):
    """With the list that an administrator can download."""
    context.link()
    staff = AdminAccess(administrators=(NamedPeople.parse(UNIVERSITY, (ACCOUNT,)),))
    return context.maija(context.web_app(admin_access=staff)).get("/operator/organisations/yliopisto")


@page_state("GET /operator/accounts")
def administrator_accounts(context):
    return _administrator_client(context).get("/operator/accounts")


@page_state("GET /operator/accounts")
def administrator_accounts_where_nothing_is_kept(context):
    staff = AdminAccess(administrators=(NamedPeople.parse(UNIVERSITY, (ACCOUNT,)),))
    web_app = context.web_app(admin_access=staff, settings={"keep": Keep.NOTHING})
    return context.maija(web_app).get("/operator/accounts")


@page_state("POST /operator/accounts")
def administrator_accounts_compared(context):
    context.link()
    people = "".join(f"person{number}@yliopisto.example\n" for number in range(40))
    return _compare(context, f"{ACCOUNT}\n{people}maija@elsewhere.example\n\nmaija\n")


@page_state("POST /operator/accounts")
def administrator_accounts_that_all_have_an_id(context):
    context.link()
    return _compare(context, ACCOUNT)


@page_state("POST /operator/accounts")
def administrator_accounts_without_a_list(context):
    return _compare(context, "")


@page_state("POST /operator/accounts")
def administrator_accounts_that_cannot_be_read(context):
    return _compare(context, "uid;mail\nmaija;maija@elsewhere.example\nville;ville@elsewhere.example\n")


@page_state("GET /operator/statistics")
def operator_statistics(context):
    """Two years of two organisations, one with a number of researchers, and refused sign-ins."""
    _add_history(context)
    for number in range(30):
        there = UNIVERSITY if number % 3 else POLYTECHNIC
        make_link(context.store, f"{number}@x.example", make_orcid_id(500 + number), there, NOON - 21 * number * DAY)
    for organisation, code in ((UNIVERSITY, "missing-attribute"), ("", "unknown-organisation")):
        context.store.statistics.count_refused_sign_in(organisation, code, NOON.date())
    web_app = context.web_app(admin_access=STAFF, settings={"researchers": 3200})
    return context.maija(web_app).get("/operator/statistics")


@page_state("GET /operator/statistics")
def administrator_statistics(context):
    context.link()
    staff = AdminAccess(administrators=(NamedPeople.parse(UNIVERSITY, (ACCOUNT,)),))
    return context.maija(context.web_app(admin_access=staff)).get("/operator/statistics?by=day")


@page_state("GET /operator/incidents")
def operator_incidents(context):
    return _operator_client(context).get("/operator/incidents")


@page_state("GET /operator/incidents")
def operator_incident(context):
    web_app = context.web_app(admin_access=STAFF)
    tree = context.maija(web_app, account="maija@elsewhere.example").get("/me").text
    number = re.search(r"<code>([0-9a-f]{8})</code>", tree)[1]
    return context.maija(web_app).get(f"/operator/incidents?number={number}")


@page_state("GET /operator/incidents")
def operator_incident_unknown(context):
    return _operator_client(context).get("/operator/incidents?number=00000000")


@page_state("GET /operator/people")
def operator_people(context):
    return _operator_client(context).get("/operator/people")


@page_state("POST /operator/people")
def operator_person(context):
    _add_history(context)
    return _search(context, reason="The person asks why the iD has not arrived.")


@page_state("POST /operator/people")
def operator_person_without_a_reason(context):
    return _search(context, reason="")


@page_state("POST /operator/people/record")
def operator_person_whose_record_is_looked_up(context):
    context.link(OLD)
    return _search(context, reason="The person asks why the iD is not used.", path="/operator/people/record")


@page_state("POST /operator/people")
def operator_person_whose_id_another_account_claims(context):
    _claim(context)
    return _search(context, reason="Both accounts are said to be one person's.", whom="mm@yliopisto.example")


@page_state("POST /operator/people/claim")
def operator_person_whose_id_was_moved(context):
    claim = _claim(context)
    reason = "We called the person: both accounts are hers."
    return _search(context, reason, "/operator/people/claim", whom="mm@yliopisto.example", claim=claim)


@page_state("POST /operator/people/claim")
def operator_person_whose_claim_is_over(context):
    make_link(context.store, "mm@yliopisto.example", orcid_id(OLD))
    return _search(context, "Late.", "/operator/people/claim", whom="mm@yliopisto.example", claim="over")


@page_state("GET /operator/people/claim")
def operator_claim_without_a_form(context):
    return _operator_client(context).get("/operator/people/claim")


@page_state("GET /operator/people/record")
def operator_record_without_a_form(context):
    return _operator_client(context).get("/operator/people/record")


def _administrator_client(context):
    staff = AdminAccess(administrators=(NamedPeople.parse(UNIVERSITY, (ACCOUNT,)),))
    return context.maija(context.web_app(admin_access=staff))


def _compare(context, text):
    who = _administrator_client(context)
    return who.upload("/operator/accounts", {"token": who.token(), "accounts": text})


def _operator_client(context):
    return context.maija(context.web_app(admin_access=STAFF))


def _search(context, reason, path="/operator/people", whom=ACCOUNT, **fields):
    who = _operator_client(context)
    form = {"token": who.token(), "organisation": "yliopisto", "whom": whom, "reason": reason, **fields}
    return who.post(path, form)


def _claim(context):
    """Let an account claim the iD of another one, and return the claim."""
    context.organisations = Organisations.of([make_organisation(stage=Stage.TEST, asks_holder=True)])
    make_link(context.store, "mm@yliopisto.example", orcid_id(OLD))
    claimant = context.maija(context.web_app(), account=PIIA)
    return claimant.return_from_orcid(context.simulator, OLD).rpartition("/")[2]


def _add_history(context):
    """Let something of everything have happened, on several days."""
    context.store.attempts.close(answered(context.store, PIIA, now=NOON - 9 * DAY).id, "declined", NOON - 9 * DAY)
    for number in range(1, 9):
        account = f"person{number}@yliopisto.example"
        make_link(context.store, account, make_orcid_id(number), now=NOON - number * 3 * DAY)
    context.link(OLD, transfers=INTERFACES)
    make_link(context.store, PIIA, orcid_id(NEW), now=NOON, transfers=INTERFACES)
    context.store.releases.record(context.store.links.get(UNIVERSITY, ACCOUNT), ReleaseState.SEEN, NOON)
    first, *others = context.store.deliveries.claim("worker", NOON, DAY, 4)
    context.store.deliveries.complete(first, "worker", "stored", "", NOON)
    for each in others:
        context.store.deliveries.dead_letter(
            each, "worker", "unknown-person", f"no entry: uid={ACCOUNT},ou=people,dc=yliopisto", NOON
        )
    context.store.deliveries.record_failure(UNIVERSITY, INTERFACES[1], NOON, 1, DAY)
    context.store.changes.acknowledge(UNIVERSITY, 5, NOON)
