"""The form with which a person asks for e-mail."""

from __future__ import annotations

from collections.abc import Mapping

from sql.records import Mail, MailKind
from webapp.auth.cookies import OWS
from webapp.auth.csrf import csrf_token
from webapp.config import validators
from webapp.config.errors import InvalidSetting
from webapp.i18n.language import gettext_noop
from webapp.pages.context import AppContext
from webapp.pages.problems import PROBLEMS, BadAddress, NotFound, TooManyMails
from webapp.pages.request import Page, PageRequest, Redirect

NO_ADDRESS = gettext_noop("Enter an email address, like name@example.org.")
NO_KIND = gettext_noop("Select at least one email.")


def mail(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Show the form."""
    _must_be_offered(context, request)
    if request.person_status.link is None or request.person_status.link.attested:
        return Redirect("/me")
    return _page(request)


def ask_mail(context: AppContext, request: PageRequest) -> Page | Redirect:
    """Queue the e-mails for the worker.

    Raises:
        TooManyMails: If the person has reached the daily limit.
    """
    _must_be_offered(context, request)
    if request.person_status.link is None or request.person_status.link.attested:
        return Redirect("/me")
    kinds = [kind for kind in MailKind if request.form.get(kind.value) == "yes"]
    address, errors = "", {}
    try:
        address = validators.mailbox(request.form.get("address", "").strip(OWS))
    except InvalidSetting:
        errors["address"] = NO_ADDRESS
    if not kinds:
        errors["receipt"] = NO_KIND
    if errors:
        return _page(request, errors)
    organisation_id, key = request.person.organisation.id, request.person.key
    if not context.limits.mails_of_person.allow((organisation_id, key), request.now, len(kinds)):
        raise TooManyMails
    change = context.store.changes.newest_for_person(organisation_id, key)
    # Changes are deleted after some time, while the link remains
    number = change.number if change else 0
    for kind in kinds:
        context.store.mail.add(Mail(organisation_id, key, kind, number, address, request.language.code, request.now))
    return Redirect("/me/mailed")


def mailed(context: AppContext, request: PageRequest) -> Page:
    """Confirm that the e-mails will be sent."""
    _must_be_offered(context, request)
    mails = context.store.mail.list_for_person(request.person.organisation.id, request.person.key, len(MailKind))
    # None once all are sent: the address is deleted then
    return Page("mailed.html", {"address": next((each.address for each in mails if each.address), None)})


def _must_be_offered(context: AppContext, request: PageRequest) -> None:
    if not context.mail_available(request.person):
        raise NotFound


def _page(request: PageRequest, errors: Mapping[str, str] | None = None) -> Page:
    variables = {
        "token": csrf_token(request.browser, request.person),
        "errors": errors or {},
        "problem": PROBLEMS[BadAddress],
        "address": request.form.get("address", "")[:254],
        "ticked": [kind.value for kind in MailKind if request.form.get(kind.value) == "yes"],
    }
    return Page("mail.html", variables, PROBLEMS[BadAddress].status if errors else 200)
