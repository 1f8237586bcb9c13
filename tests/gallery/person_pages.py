"""Scenes of what everybody may read, and of a person's own way."""

from __future__ import annotations

from datetime import date, timedelta

from demo.notices import NOTICES
from shibboleth.organisation import Organisations, Stage
from sql.errors import LinkChanged
from sql.records import ReleaseState
from tests.gallery.page_states import scene
from tests.gallery.rendering import ACCOUNT, DAY, INTERFACES, NEW, OLD
from tests.support.factories import NOON, UNIVERSITY, make_organisation
from tests.support.service import CREDENTIALS, ask, orcid_id
from webapp.config.organisation import Keep
from webapp.linking.service import NotAgreed
from webapp.pages.operator_texts import AccessibilityStatement, OperatorTexts
from webapp.pages.problems import BadAddress, NotSure

TEXTS = OperatorTexts(
    {code: {**texts, "not_accessible": "1 < 2 & 3"} for code, texts in NOTICES.items()},
    AccessibilityStatement("partially", date(2026, 1, 15), "outside"),
    "https://www.example/privacy",
)
OWN_TEXTS = {"texts": {"fi": {"legal_basis": "Suostumuksesi."}}}


# For everybody


@scene("GET /")
def landing(on):
    return ask(on.app(), "/")


@scene("GET /")
def landing_with_many(on):
    """Twenty organisations, one without a name in this language, and ORCID away."""
    on.organisations = Organisations.of(
        make_organisation(
            f"https://idp.school{number}.example/idp/shibboleth",
            stage=Stage.TEST,
            names={"en": f"University of Applied Sciences number {number} of the Archipelago"},
        )
        for number in range(1, 21)
    )
    front = on.front()
    front.context.linking.orcid_status.failed(NOON)
    return ask(on.app(front), "/")


@scene("GET /help")
def help_page(on):
    return ask(on.app(), "/help")


@scene("GET /signed-out")
def signed_out(on):
    return ask(on.app(), "/signed-out")


@scene("GET /privacy")
def privacy(on):
    return ask(on.app(on.front(operator_texts=TEXTS, settings=OWN_TEXTS)), "/privacy")


@scene("GET /privacy")
def privacy_unwritten(on):
    return ask(on.app(), "/privacy")


@scene("GET /privacy/<organisation>")
def privacy_of_an_organisation(on):
    return ask(on.app(on.front(operator_texts=TEXTS, settings=OWN_TEXTS)), "/privacy/yliopisto")


@scene("GET /accessibility")
def accessibility(on):
    return ask(on.app(on.front(operator_texts=TEXTS)), "/accessibility")


@scene("GET /accessibility")
def accessibility_unwritten(on):
    return ask(on.app(), "/accessibility")


# One's own page


@scene("GET /me")
def me_without_id(on):
    return on.maija().get("/me")


@scene("GET /me")
def me_while_orcid_is_away(on):
    front = on.front()
    front.context.linking.orcid_status.failed(NOON)
    return on.maija(front).get("/me")


@scene("GET /me")
def me_where_nothing_is_kept(on):
    return on.maija(on.front(settings={"keep": Keep.NOTHING})).get("/me")


@scene("GET /me")
def me_with_an_id(on):
    on.link()
    return on.maija().get("/me")


@scene("GET /me")
def me_with_news_of_each_kind(on):
    """One interface has stored the iD, another has refused it and said why; the organisation has fetched it."""
    _delivered(on)
    return on.maija(on.front(transfers=INTERFACES)).get("/me")


@scene("GET /me")
def me_release_seen(on):
    on.link()
    on.store.releases.record(on.store.links.get(UNIVERSITY, ACCOUNT), ReleaseState.SEEN, NOON)
    return _releasing(on, OLD).get("/me")


@scene("GET /me")
def me_release_missing(on):
    on.link()
    on.clock.passes(days=2)
    return on.maija().get("/me")


@scene("GET /me")
def me_release_of_another_id(on):
    on.link()
    on.clock.passes(days=2)
    return _releasing(on, NEW).get("/me")


@scene("GET /me")
def me_known_by_the_organisation_itself(on):
    return _releasing(on, NEW).get("/me")


@scene("GET /me")
def me_removed_and_still_released(on):
    on.link(transfers=INTERFACES)
    on.store.links.remove(UNIVERSITY, ACCOUNT, "person", "wanted", NOON, transfers=INTERFACES)
    return _releasing(on, OLD).get("/me")


# Linking


@scene("GET /me/another-account")
def another_account(on):
    return on.maija().get("/me/another-account")


@scene("GET /me/confirm/<attempt>")
def confirm(on):
    maija = on.maija(on.front(transfers=INTERFACES))
    return maija.get(maija.returned(on.world))


@scene("GET /me/confirm/<attempt>")
def confirm_replacing(on):
    on.link()
    maija = on.maija()
    return maija.get(maija.returned(on.world, NEW))


@scene("POST /me/confirm/<attempt>", NotAgreed)
def confirm_without_a_tick(on):
    maija = on.maija()
    return maija.agree(maija.returned(on.world), agree=None)


@scene("POST /me/confirm/<attempt>", LinkChanged)
def confirm_what_has_changed(on):
    maija = on.maija()
    place = maija.returned(on.world, NEW)
    on.link()
    return maija.agree(place, replacing="")


@scene("GET /me/result/<attempt>")
def result_linked(on):
    return on.maija().link(on.world)


@scene("GET /me/result/<attempt>")
def result_linked_and_being_sent(on):
    return on.maija(on.front(transfers=INTERFACES)).link(on.world)


@scene("GET /me/result/<attempt>")
def result_replaced(on):
    on.link()
    return on.maija().link(on.world, NEW)


@scene("GET /me/result/<attempt>")
def result_unchanged(on):
    on.link()
    maija = on.maija()
    return maija.get(maija.returned(on.world, OLD))


@scene("GET /me/result/<attempt>")
def result_removed_since(on):
    maija = on.maija()
    place = maija.agree(maija.returned(on.world)).place
    on.store.links.remove(UNIVERSITY, ACCOUNT, "person", "wanted", NOON)
    return maija.get(place)


@scene("GET /me/result/<attempt>")
def result_declined(on):
    maija = on.maija()
    return maija.get(maija.get(f"/me/callback?error=access_denied&state={_state(maija)}").place)


@scene("GET /me/result/<attempt>")
def result_cancelled(on):
    on.link()
    maija = on.maija()
    place = maija.returned(on.world, NEW)
    return maija.get(maija.agree(place, cancel="yes").place)


# In control


@scene("GET /me/data")
def data_of_nobody(on):
    return on.maija().get("/me/data")


@scene("GET /me/data")
def data(on):
    _delivered(on)
    maija = on.maija(on.front(transfers=INTERFACES))
    maija.link(on.world, NEW)
    return maija.get("/me/data")


@scene("GET /me/receipt")
def receipt(on):
    maija = on.maija(on.front(operator_texts=TEXTS))
    maija.link(on.world)
    return maija.get("/me/receipt")


@scene("GET /me/receipt")
def receipt_in_the_language_of_then(on):
    """What was agreed to in English, read by somebody in any language."""
    on.link()
    return on.maija().get("/me/receipt")


@scene("GET /me/receipt")
def receipt_where_mail_is_sent(on):
    on.link()
    return on.maija(on.front(mail_enabled=True)).get("/me/receipt")


@scene("GET /me/result/<attempt>")
def result_where_mail_is_sent(on):
    return on.maija(on.front(mail_enabled=True)).link(on.world)


@scene("GET /me/mail")
def mail(on):
    on.link()
    return on.maija(on.front(mail_enabled=True)).get("/me/mail")


@scene("POST /me/mail", BadAddress)
def mail_to_nowhere(on):
    on.link()
    return _mailing(on.maija(on.front(mail_enabled=True)), address="maija", receipt="yes")


@scene("GET /me/mailed")
def mailed(on):
    on.link()
    maija = on.maija(on.front(mail_enabled=True))
    return maija.get(_mailing(maija, address="maija@home.example", receipt="yes", arrived="yes").place)


@scene("GET /me/remove")
def remove(on):
    on.link()
    return on.maija(on.front(transfers=INTERFACES, settings={"credentials": CREDENTIALS})).get("/me/remove")


@scene("GET /me/removed")
def removed(on):
    on.link()
    on.store.links.remove(UNIVERSITY, ACCOUNT, "person", "wanted", NOON, transfers=INTERFACES)
    return on.maija(on.front(transfers=INTERFACES)).get("/me/removed")


@scene("GET /me/erase")
def erase(on):
    on.link()
    return on.maija(on.front(transfers=INTERFACES, settings={"credentials": CREDENTIALS})).get("/me/erase")


@scene("POST /me/erase", NotSure)
def erase_without_a_tick(on):
    on.link()
    return _erasing(on.maija())


@scene("GET /me/erased")
def erased(on):
    maija = on.maija()
    return maija.get(_erasing(maija, sure="yes").place)


@scene("GET /me/erased")
def erased_once_everybody_knows(on):
    on.link(transfers=INTERFACES)
    maija = on.maija(on.front(transfers=INTERFACES, settings={"credentials": CREDENTIALS}))
    return maija.get(_erasing(maija, sure="yes").place)


# What scenes have in common


def _delivered(on):
    """Link Maija; one interface has stored the iD, another has refused it, and the organisation has fetched it."""
    change = on.link(transfers=INTERFACES)
    first, second = on.store.deliveries.claim("worker", NOON, DAY, 2)
    on.store.deliveries.complete(first, "worker", "stored", "", NOON)
    on.store.deliveries.dead_letter(
        second, "worker", "unknown-person", f"no entry: uid={ACCOUNT},ou=people,dc=yliopisto", NOON
    )
    on.store.changes.acknowledge(UNIVERSITY, change.number, NOON + timedelta(hours=3))


def _releasing(on, bare):
    """Give Maija, whose organisation says that this is her iD."""
    maija = on.maija()
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
