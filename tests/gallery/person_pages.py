"""Page states of the public pages and of a person's own pages."""

from __future__ import annotations

from datetime import date, timedelta

from demo.notices import NOTICES
from shibboleth.organisation import Organisations, Stage, State
from sql.errors import LinkChanged
from sql.records import RecordState, ReleaseState
from tests.gallery.page_states import page_state
from tests.gallery.rendering import ACCOUNT, DAY, INTERFACES, NEW, OLD
from tests.support.factories import NOON, UNIVERSITY, make_attested_link, make_link, make_organisation
from tests.support.service import CREDENTIALS, ask, authorize_at_orcid, orcid_id
from webapp.config.organisation import Keep
from webapp.limits import DailyLimit, Limits
from webapp.linking.return_address import AllowedReturn
from webapp.linking.service import NotAgreed
from webapp.linking.unread_events import REFUSED_ATTESTATION
from webapp.pages.operator_texts import AccessibilityStatement, OperatorTexts
from webapp.pages.problems import BadAddress, ErasureNotConfirmed, TooManyMails

TEXTS = OperatorTexts(
    {code: {**texts, "not_accessible": "1 < 2 & 3"} for code, texts in NOTICES.items()},
    AccessibilityStatement("partially", date(2026, 1, 15), "outside"),
    "https://www.example/privacy",
)
TOKEN_KEYS = ("k" * 43 + "=",)
SENT = "return=https%3A%2F%2Fportal.example%2Forcid"
RETURNS = (AllowedReturn("https://portal.example/orcid", "Portal of the researchers"),)
OWN_TEXTS = {"texts": {"fi": {"legal_basis": "Suostumuksesi."}}}


# For everybody


@page_state("GET /")
def landing(context):
    return ask(context.app(), "/")


@page_state("GET /")
def landing_with_many(context):
    """Twenty organisations, one without a name in this language, and ORCID away."""
    context.organisations = Organisations.of(
        make_organisation(
            f"school{number}",
            stage=Stage.TEST,
            names={"en": f"University of Applied Sciences number {number} of the Archipelago"},
        )
        for number in range(1, 21)
    )
    web_app = context.web_app()
    web_app.context.linking.orcid_status.failed(NOON)
    return ask(context.app(web_app), "/")


@page_state("GET /connect")
def sent_by_a_service(context):
    return ask(context.app(context.web_app(returns=RETURNS)), f"/connect?{SENT}")


@page_state("GET /o/<organisation>")
def organisation_with_two_sign_ins(context):
    entity_ids = ("https://idp.yliopisto.example/idp", "https://students.yliopisto.example/idp")
    context.organisations = Organisations.of([make_organisation(stage=Stage.TEST, entity_ids=entity_ids)])
    return ask(context.app(), "/o/yliopisto")


@page_state("GET /")
def landing_searched(context):
    context.organisations = Organisations.of(
        make_organisation(f"school{number}", stage=Stage.TEST, names={"en": f"School {number}"})
        for number in range(1, 21)
    )
    return ask(context.app(), "/?find=12")


@page_state("GET /help")
def help_page(context):
    return ask(context.app(), "/help")


@page_state("GET /")
def landing_signed_in(context):
    return _signed_in(context).get("/")


@page_state("GET /help")
def help_page_signed_in(context):
    return _signed_in(context).get("/help")


@page_state("GET /privacy")
def privacy_signed_in(context):
    return _signed_in(context).get("/privacy")


@page_state("GET /accessibility")
def accessibility_signed_in(context):
    return _signed_in(context).get("/accessibility")


@page_state("GET /signed-out")
def signed_out(context):
    return ask(context.app(), "/signed-out")


@page_state("GET /privacy")
def privacy(context):
    return ask(context.app(context.web_app(operator_texts=TEXTS, settings=OWN_TEXTS)), "/privacy")


@page_state("GET /privacy")
def privacy_unwritten(context):
    return ask(context.app(), "/privacy")


@page_state("GET /privacy")
def privacy_where_tokens_are_kept(context):
    context.token_keys = TOKEN_KEYS
    return ask(context.app(context.web_app(operator_texts=TEXTS)), "/privacy")


@page_state("GET /privacy/<organisation>")
def privacy_of_an_organisation(context):
    return ask(context.app(context.web_app(operator_texts=TEXTS, settings=OWN_TEXTS)), "/privacy/yliopisto")


@page_state("GET /accessibility")
def accessibility(context):
    return ask(context.app(context.web_app(operator_texts=TEXTS)), "/accessibility")


@page_state("GET /accessibility")
def accessibility_unwritten(context):
    return ask(context.app(), "/accessibility")


# One's own page


@page_state("GET /me")
def me_without_id(context):
    return context.maija().get("/me")


@page_state("GET /me")
def me_sent_by_a_service(context):
    return context.maija(context.web_app(returns=RETURNS)).get(f"/me?{SENT}")


@page_state("GET /me")
def me_while_orcid_is_away(context):
    web_app = context.web_app()
    web_app.context.linking.orcid_status.failed(NOON)
    return context.maija(web_app).get("/me")


@page_state("GET /me")
def me_where_nothing_is_kept(context):
    return context.maija(context.web_app(settings={"keep": Keep.NOTHING})).get("/me")


@page_state("GET /me")
def me_with_an_id(context):
    context.link()
    return context.maija().get("/me")


@page_state("GET /me")
def me_after_others_did_something(context):
    """Removed by the organisation and by the operator; then connected from another system."""
    for actor, reason in (("organisation", "left the organisation"), ("operator", "the 'wrong' <account>")):
        context.link()
        context.store.links.remove(UNIVERSITY, ACCOUNT, actor, reason, NOON)
    make_attested_link(context.store, ACCOUNT, orcid_id(OLD), "the library's register")
    return context.maija().get("/me")


@page_state("GET /me")
def me_asked_about_another_id(context):
    """The organisation attests another iD than the one that the person connected."""
    context.link()
    facts = {
        "orcid": orcid_id(NEW).uri,
        "link": context.store.links.get(UNIVERSITY, ACCOUNT).id,
        "source": "the library's register",
        "authenticated_at": "2025-12-16T12:00:00.000000Z",
    }
    context.store.audit.add(UNIVERSITY, REFUSED_ATTESTATION, "organisation", ACCOUNT, facts, NOON)
    return context.maija().get("/me")


@page_state("GET /me/confirm/<attempt>")
def confirm_an_attested_id(context):
    make_attested_link(context.store, ACCOUNT, orcid_id(OLD), "the library's register")
    maija = context.maija()
    return maija.get(maija.return_from_orcid(context.simulator, OLD))


@page_state("GET /me/remove")
def remove_an_attested_id(context):
    make_attested_link(context.store, ACCOUNT, orcid_id(OLD), "the library's register")
    return context.maija().get("/me/remove")


def _renamed(context):
    """Give a person whose earlier account has a link of the day before."""
    make_link(context.store, "mm@yliopisto.example", orcid_id(OLD), now=NOON - timedelta(days=1))
    said = {"eduPersonPrincipalNamePrior": "mm@yliopisto.example", "funetEduPersonEPPNTimeStamp": "20260115"}
    return context.maija(context.web_app(), said=said)


@page_state("GET /me")
def me_with_a_renamed_account(context):
    return _renamed(context).get("/me")


def _claimed(context):
    """Give the holder of an iD that another account claims in the same browser, and the page's address."""
    organisation = make_organisation(stage=Stage.TEST, help="help@yliopisto.example", asks_holder=True)
    context.organisations = Organisations.of([organisation])
    make_link(context.store, "mm@yliopisto.example", orcid_id(OLD))
    maija = context.maija(context.web_app())
    return maija, maija.return_from_orcid(context.simulator, OLD)


@page_state("GET /me/claim/<attempt>")
def claim_of_an_id(context):
    maija, place = _claimed(context)
    return maija.get(place)


@page_state("GET /me/claim/<attempt>")
def claim_of_the_holders_id(context):
    maija, place = _claimed(context)
    return maija.same_browser("mm@yliopisto.example").get(place)


@page_state("GET /me")
def me_after_the_id_was_given_away(context):
    organisation = make_organisation(stage=Stage.TEST, stable_id="subject-id", help="help@yliopisto.example")
    context.organisations = Organisations.of([organisation])
    make_link(context.store, ACCOUNT, orcid_id(OLD), stable_id="subject-id:a@yliopisto.example")
    context.store.links.move(UNIVERSITY, ACCOUNT, "mm@yliopisto.example", "person", "given by the holder", NOON)
    return context.maija(context.web_app(), said={"subject-id": "a@yliopisto.example"}).get("/me")


@page_state("GET /me")
def me_with_a_permission_taken_back(context):
    context.token_keys = TOKEN_KEYS
    maija = context.maija()
    maija.link(context.simulator)
    (token,) = context.store.orcid_tokens.list_for_person(UNIVERSITY, ACCOUNT)
    context.store.orcid_tokens.record_withdrawn(token.id, NOON)
    return maija.get("/me")


@page_state("GET /me/move")
def move(context):
    return _renamed(context).get("/me/move")


@page_state("GET /me/remove")
def remove_after_others_did_something(context):
    context.token_keys = TOKEN_KEYS
    context.link()
    context.store.links.remove(UNIVERSITY, ACCOUNT, "operator", "the wrong account", NOON)
    context.link()
    return context.maija().get("/me/remove")


@page_state("GET /me")
def me_with_news_of_each_kind(context):
    """One interface has stored the iD, another has refused it and said why; the organisation has fetched it."""
    _delivered(context)
    return context.maija(context.web_app(transfers=INTERFACES)).get("/me")


@page_state("GET /me")
def me_release_seen(context):
    context.link()
    context.store.releases.record(context.store.links.get(UNIVERSITY, ACCOUNT), ReleaseState.SEEN, NOON)
    return _releasing(context, OLD).get("/me")


@page_state("GET /me")
def me_release_missing(context):
    context.link()
    context.clock.passes(days=2)
    return context.maija().get("/me")


@page_state("GET /me")
def me_release_of_another_id(context):
    context.link()
    context.clock.passes(days=2)
    return _releasing(context, NEW).get("/me")


@page_state("GET /me")
def me_merged_at_orcid(context):
    context.link(OLD)
    context.store.record_statuses.save(orcid_id(OLD), RecordState.DEPRECATED, orcid_id(NEW), NOON)
    return context.maija().get("/me")


@page_state("GET /me")
def me_locked_at_orcid_and_suspended(context):
    context.link(OLD)
    (link,) = context.store.record_statuses.save(orcid_id(OLD), RecordState.LOCKED, None, NOON)
    context.store.record_statuses.suspend(link, NOON)
    return context.maija().get("/me")


@page_state("GET /me")
def me_known_by_the_organisation_itself(context):
    return _releasing(context, NEW).get("/me")


@page_state("GET /me")
def me_removed_and_still_released(context):
    context.link(transfers=INTERFACES)
    context.store.links.remove(UNIVERSITY, ACCOUNT, "person", "wanted", NOON, transfers=INTERFACES)
    return _releasing(context, OLD).get("/me")


# Linking


@page_state("GET /me/another-account")
def another_account(context):
    return context.maija().get("/me/another-account")


@page_state("GET /me/confirm/<attempt>")
def confirm(context):
    maija = context.maija(context.web_app(transfers=INTERFACES))
    return maija.get(maija.return_from_orcid(context.simulator))


@page_state("GET /me/confirm/<attempt>")
def confirm_where_nothing_is_kept(context):
    maija = context.maija(context.web_app(transfers=INTERFACES, settings={"keep": Keep.NOTHING}))
    return maija.get(maija.return_from_orcid(context.simulator))


@page_state("GET /me/confirm/<attempt>")
def confirm_replacing(context):
    context.link()
    maija = context.maija()
    return maija.get(maija.return_from_orcid(context.simulator, NEW))


@page_state("POST /me/confirm/<attempt>", NotAgreed)
def confirm_without_a_tick(context):
    maija = context.maija()
    return maija.agree(maija.return_from_orcid(context.simulator), agree=None)


@page_state("POST /me/confirm/<attempt>", LinkChanged)
def confirm_what_has_changed(context):
    maija = context.maija()
    place = maija.return_from_orcid(context.simulator, NEW)
    context.link()
    return maija.agree(place, replacing="")


@page_state("GET /me/result/<attempt>")
def result_linked(context):
    return context.maija().link(context.simulator)


@page_state("GET /me/result/<attempt>")
def result_linked_and_being_sent(context):
    return context.maija(context.web_app(transfers=INTERFACES)).link(context.simulator)


@page_state("GET /me/result/<attempt>")
def result_that_was_refused(context):
    _delivered(context)
    maija = context.maija(context.web_app(transfers=INTERFACES))
    return maija.get(maija.return_from_orcid(context.simulator, OLD))


@page_state("GET /me/result/<attempt>")
def result_where_nothing_is_kept(context):
    web_app = context.web_app(transfers=INTERFACES, settings={"keep": Keep.NOTHING})
    return context.maija(web_app).link(context.simulator)


@page_state("GET /me/result/<attempt>")
def result_forgotten(context):
    """A quarter of an hour after everything has been answered."""
    maija = context.maija(context.web_app(settings={"keep": Keep.NOTHING}))
    result_path = maija.agree(maija.return_from_orcid(context.simulator)).location
    context.store.retention.delete_change(UNIVERSITY, 1, NOON)
    return maija.get(result_path)


@page_state("GET /me/result/<attempt>")
def result_replaced(context):
    context.link()
    return context.maija().link(context.simulator, NEW)


@page_state("GET /me/result/<attempt>")
def result_unchanged(context):
    context.link()
    maija = context.maija()
    return maija.get(maija.return_from_orcid(context.simulator, OLD))


@page_state("GET /me/result/<attempt>")
def result_removed_since(context):
    maija = context.maija()
    place = maija.agree(maija.return_from_orcid(context.simulator)).location
    context.store.links.remove(UNIVERSITY, ACCOUNT, "person", "wanted", NOON)
    return maija.get(place)


@page_state("GET /me/result/<attempt>")
def result_for_a_service(context):
    maija = context.maija(context.web_app(returns=RETURNS))
    address = maija.post("/me/start", {"token": maija.token(), "return": RETURNS[0].prefix}).header("Location")
    place = maija.get(authorize_at_orcid(context.simulator, address)).location
    return maija.get(maija.agree(place).location)


@page_state("GET /me/result/<attempt>")
def result_declined(context):
    maija = context.maija()
    return maija.get(maija.get(f"/me/callback?error=access_denied&state={_state(maija)}").location)


@page_state("GET /me/result/<attempt>")
def result_cancelled(context):
    context.link()
    maija = context.maija()
    place = maija.return_from_orcid(context.simulator, NEW)
    return maija.get(maija.agree(place, cancel="yes").location)


# In control


@page_state("GET /me/data")
def data_of_nobody(context):
    return context.maija().get("/me/data")


@page_state("GET /me/data")
def data(context):
    context.token_keys = TOKEN_KEYS
    _delivered(context)
    maija = context.maija(context.web_app(transfers=INTERFACES))
    maija.link(context.simulator, NEW)
    return maija.get("/me/data")


@page_state("GET /me/receipt")
def receipt(context):
    maija = context.maija(context.web_app(operator_texts=TEXTS))
    maija.link(context.simulator)
    return maija.get("/me/receipt")


@page_state("GET /me/receipt")
def receipt_in_the_language_of_then(context):
    """What was agreed to in English, read by somebody in any language."""
    context.link()
    return context.maija().get("/me/receipt")


@page_state("GET /me/receipt")
def receipt_where_mail_is_sent(context):
    context.link()
    return context.maija(context.web_app(mail_enabled=True)).get("/me/receipt")


@page_state("GET /me/result/<attempt>")
def result_where_mail_is_sent(context):
    return context.maija(context.web_app(mail_enabled=True)).link(context.simulator)


@page_state("GET /me/mail")
def mail(context):
    context.link()
    return context.maija(context.web_app(mail_enabled=True)).get("/me/mail")


@page_state("POST /me/mail", BadAddress)
def mail_to_nowhere(context):
    context.link()
    return _mailing(context.maija(context.web_app(mail_enabled=True)), address="maija", receipt="yes")


@page_state("POST /me/mail", BadAddress)
def mail_without_anything(context):
    context.link()
    return _mailing(context.maija(context.web_app(mail_enabled=True)), address="")


@page_state("POST /me/mail", TooManyMails)
def mail_too_often(context):
    context.link()
    maija = context.maija(context.web_app(mail_enabled=True, limits=Limits(mails_of_person=DailyLimit(0))))
    return _mailing(maija, address="maija@yliopisto.example", receipt="yes")


@page_state("GET /me/mailed")
def mailed(context):
    context.link()
    maija = context.maija(context.web_app(mail_enabled=True))
    return maija.get(
        _mailing(maija, address="maija@home.example", receipt="yes", **{"delivery-report": "yes"}).location
    )


@page_state("GET /me/remove")
def remove(context):
    context.link()
    return context.maija(context.web_app(transfers=INTERFACES, settings={"credentials": CREDENTIALS})).get("/me/remove")


@page_state("GET /me/removed")
def removed(context):
    context.link()
    context.store.links.remove(UNIVERSITY, ACCOUNT, "person", "wanted", NOON, transfers=INTERFACES)
    return context.maija(context.web_app(transfers=INTERFACES)).get("/me/removed")


@page_state("GET /me/removed")
def removed_and_delivered(context):
    context.link()
    context.store.links.remove(UNIVERSITY, ACCOUNT, "person", "wanted", NOON, transfers=INTERFACES[:1])
    (delivery,) = context.store.deliveries.claim("worker", NOON, DAY, 1)
    context.store.deliveries.complete(delivery, "worker", "stored", "", NOON)
    return context.maija(context.web_app(transfers=INTERFACES)).get("/me/removed")


@page_state("GET /me/removed")
def removed_and_refused(context):
    context.token_keys = TOKEN_KEYS
    context.link()
    context.store.links.remove(UNIVERSITY, ACCOUNT, "person", "wanted", NOON, transfers=INTERFACES[:1])
    (delivery,) = context.store.deliveries.claim("worker", NOON, DAY, 1)
    context.store.deliveries.dead_letter(delivery, "worker", "refused", "insufficient access", NOON)
    return context.maija(context.web_app(transfers=INTERFACES)).get("/me/removed")


@page_state("GET /me/erase")
def erase(context):
    context.link()
    return context.maija(context.web_app(transfers=INTERFACES, settings={"credentials": CREDENTIALS})).get("/me/erase")


@page_state("GET /me/erase")
def erase_without_an_id(context):
    return context.maija(context.web_app(transfers=INTERFACES, settings={"credentials": CREDENTIALS})).get("/me/erase")


@page_state("POST /me/erase", ErasureNotConfirmed)
def erase_without_a_tick(context):
    context.link()
    return _erasing(context.maija())


@page_state("GET /me/erased")
def erased(context):
    maija = context.maija()
    return maija.get(_erasing(maija, confirmed="yes").location)


@page_state("GET /me/erased")
def erased_once_everybody_knows(context):
    context.link(transfers=INTERFACES)
    maija = context.maija(context.web_app(transfers=INTERFACES, settings={"credentials": CREDENTIALS}))
    return maija.get(_erasing(maija, confirmed="yes").location)


# What scenes have in common


def _delivered(context):
    """Link Maija; one interface has stored the iD, another has refused it, and the organisation has fetched it."""
    change = context.link(transfers=INTERFACES)
    first, second = context.store.deliveries.claim("worker", NOON, DAY, 2)
    context.store.deliveries.complete(first, "worker", "stored", "", NOON)
    context.store.deliveries.dead_letter(
        second, "worker", "unknown-person", f"no entry: uid={ACCOUNT},ou=people,dc=yliopisto", NOON
    )
    context.store.changes.acknowledge(UNIVERSITY, change.number, NOON + timedelta(hours=3))


def _signed_in(context):
    """Give Maija, who has seen her own page, so that public pages show her name."""
    maija = context.maija(context.web_app(operator_texts=TEXTS))
    maija.get("/me")
    return maija


def _releasing(context, bare):
    """Give Maija, whose organisation says that this is her iD."""
    maija = context.maija()
    maija.said["eduPersonOrcid"] = orcid_id(bare).uri
    return maija


def _erasing(maija, **form):
    page = maija.get("/me/erase")
    return maija.post("/me/erase", {"token": page.field("token"), **form})


def _mailing(maija, **form):
    page = maija.get("/me/mail")
    return maija.post("/me/mail", {"token": page.field("token"), **form})


def _state(maija):
    return maija.start().partition("state=")[2].partition("&")[0]


# An organisation that takes no new links


@page_state("GET /me")
def closed_and_connected(context):
    context.organisations = Organisations.of([make_organisation(stage=Stage.TEST, state=State.CLOSED)])
    context.link()
    return context.maija().get("/me")


@page_state("GET /me")
def closed_and_not_connected(context):
    context.organisations = Organisations.of([make_organisation(stage=Stage.TEST, state=State.CLOSED)])
    return context.maija().get("/me")
