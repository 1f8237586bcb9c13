"""`PROBLEMS`: the table from exceptions to status, log code and error page.

A page says what happened, what to do and whom to ask, with an incident number that is also in the log.
`test_docs.py` fails if a code has no row in docs/problems.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from resolver_connector.orcid.http import OrcidUnavailable
from shibboleth.attributes import ATTRIBUTES
from shibboleth.organisation import Organisation, OrganisationMisconfigured, UnknownOrganisation
from shibboleth.person import (
    AttributeDefect,
    BrokenAttribute,
    ForeignScope,
    MissingAttribute,
    NotSignedIn,
    ProxyNotAuthenticated,
    SeveralValues,
)
from sql.errors import LinkChanged, OrcidIdInUse, SchemaAhead, SchemaBehind, StoreUnavailable
from webapp.auth.cookies import RepeatedCookie
from webapp.auth.csrf import CsrfError
from webapp.i18n.language import Language, gettext_noop
from webapp.linking.admission import LinkingClosed, NotAdmitted
from webapp.linking.orcid_client import OrcidBusy, OrcidMisconfigured, OrcidRefused
from webapp.linking.return_address import ReturnNotAllowed
from webapp.linking.service import (
    AnotherBrowsersAttempt,
    AttemptExpired,
    EmptyCallback,
    NoSuchAttempt,
    NotAgreed,
    OrcidClientChanged,
    SomeoneElsesAttempt,
    TooManyAttempts,
)
from webapp.pages.request import FormTooLarge, IncompleteForm, RepeatedParameter, UploadTooLarge

ATTRIBUTE_DEFECT_TEXTS = {
    AttributeDefect.NOT_UTF8: gettext_noop("it is not UTF-8"),
    AttributeDefect.NOT_URL_ENCODED: gettext_noop("it is not URL-encoded"),
    AttributeDefect.TOO_LONG: gettext_noop("it is longer than 512 characters"),
    AttributeDefect.INVISIBLE: gettext_noop("it contains invisible characters"),
    AttributeDefect.NOT_SCOPED: gettext_noop("it does not have exactly one @"),
    AttributeDefect.EMPTY: gettext_noop("it is empty"),
    AttributeDefect.FOREIGN_SCOPE: gettext_noop("it does not end in one of the organisation's domains"),
}
"""What may be wrong with an attribute, as sentences of the catalogues."""

ORGANISATION_HELP = "organisation"
SERVICE_HELP = "service"


class NotFound(LookupError):
    """No route has this path."""


class NoSuchOrganisation(LookupError):
    """An address names an organisation that is not connected."""


class NotAllowed(LookupError):
    """The path has no route for this method; `allowed` goes into Allow."""

    def __init__(self, allowed: str) -> None:
        super().__init__(allowed)
        self.allowed = allowed


class ErasureNotConfirmed(ValueError):
    """The box that confirms an erasure is not ticked."""


class BadAddress(ValueError):
    """The e-mail address is invalid, or no box is ticked."""


class TooManyMails(RuntimeError):
    """The person has reached the daily limit of e-mails."""


class Bug(Exception):
    """Represents in `PROBLEMS` every exception that the table does not name."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error page; `problem_values` fills the placeholders of its sentences."""

    code: str
    """In the log and in `docs/problems.md`."""
    status: int
    title: str
    explanation: str
    advice: str
    contact: str = SERVICE_HELP
    """`ORGANISATION_HELP` or `SERVICE_HELP`: whose help the page names."""
    own_page: bool = True
    """Whether the page links to the person's own page."""
    sign_out: bool = False
    """Whether the page offers to sign out, to use another account."""


PROBLEMS: dict[type[Exception], Problem] = {
    NotSignedIn: Problem(
        "not-signed-in",
        401,
        gettext_noop("You are not signed in"),
        gettext_noop("This page is for people who have signed in at their home organisation."),
        gettext_noop("Sign in to go to your page."),
    ),
    ProxyNotAuthenticated: Problem(
        "proxy-not-authenticated",
        403,
        gettext_noop("This request did not come through the service's web server"),
        gettext_noop("The service only accepts requests that its own web server has forwarded."),
        gettext_noop("Open the service at its public address."),
        own_page=False,
    ),
    UnknownOrganisation: Problem(
        "unknown-organisation",
        403,
        gettext_noop("Your organisation is not connected yet"),
        gettext_noop(
            "The organisation at which you signed in does not use this service yet. Nothing was stored about you."
        ),
        gettext_noop("If you would like to connect your ORCID iD here, contact your organisation's research services."),
        own_page=False,
        sign_out=True,
    ),
    OrganisationMisconfigured: Problem(
        "organisation-misconfigured",
        503,
        gettext_noop("Your organisation cannot use this service right now"),
        gettext_noop(
            "You are signed in, but there is an error in this service's settings for your organisation. This is "
            "our error, not yours. Nothing was changed: if an ORCID iD was connected, it still is."
        ),
        gettext_noop("Try again later. If the problem persists, contact support and quote the incident number below."),
        own_page=False,
    ),
    NotAdmitted: Problem(
        "not-admitted",
        403,
        gettext_noop("This service is not open to you yet"),
        gettext_noop(
            "%(organisation)s is trying out this service with a small group of people, and your account is not among "
            "them. Nothing was stored about you."
        ),
        gettext_noop("Your organisation will tell you when the service opens to everyone."),
        contact=ORGANISATION_HELP,
        own_page=False,
        sign_out=True,
    ),
    LinkingClosed: Problem(
        "linking-closed",
        403,
        gettext_noop("Your organisation is not accepting new connections"),
        gettext_noop(
            "%(organisation)s has stopped accepting new connections in this service. Nothing was changed: if an "
            "ORCID iD was connected, it still is."
        ),
        gettext_noop("On your page you can see whether an iD is connected, and remove the connection."),
        contact=ORGANISATION_HELP,
    ),
    MissingAttribute: Problem(
        "missing-attribute",
        403,
        gettext_noop("We could not identify your account"),
        gettext_noop(
            "You are signed in, but %(organisation)s did not send the attribute %(name)s, which we need to "
            "identify your account. Nothing was stored."
        ),
        gettext_noop(
            "Send the name of the missing attribute and the incident number below to your organisation's support."
        ),
        contact=ORGANISATION_HELP,
        own_page=False,
        sign_out=True,
    ),
    SeveralValues: Problem(
        "several-values",
        403,
        gettext_noop("Your organisation sent more than one account"),
        gettext_noop("%(organisation)s sent several values of %(name)s, so we cannot tell which one is yours."),
        gettext_noop("Send the name of the attribute and the incident number below to your organisation's support."),
        contact=ORGANISATION_HELP,
        own_page=False,
        sign_out=True,
    ),
    ForeignScope: Problem(
        "foreign-scope",
        403,
        gettext_noop("Your account seems to belong to another organisation"),
        gettext_noop("%(organisation)s sent a value of %(name)s that does not end in one of its own domains."),
        gettext_noop("Send the name of the attribute and the incident number below to your organisation's support."),
        contact=ORGANISATION_HELP,
        own_page=False,
        sign_out=True,
    ),
    BrokenAttribute: Problem(
        "broken-attribute",
        403,
        gettext_noop("We cannot read what your organisation sent"),
        gettext_noop("The attribute %(name)s is not valid: %(reason)s."),
        gettext_noop("Contact support and quote the incident number below."),
        own_page=False,
        sign_out=True,
    ),
    CsrfError: Problem(
        "csrf-failed",
        403,
        gettext_noop("This form is out of date"),
        gettext_noop("It was not issued to this browser, or it has expired. Nothing was changed."),
        gettext_noop("Go back to your page and try again. If your browser blocks cookies, allow them for this site."),
    ),
    RepeatedCookie: Problem(
        "repeated-cookie",
        400,
        gettext_noop("Your browser sent our cookie twice"),
        gettext_noop(
            "The service recognises your browser by a cookie. Two arrived, so another website may have set one of "
            "them. Nothing was changed."
        ),
        gettext_noop(
            "Delete the cookies of this site and of its domain in your browser's settings, and open your "
            "page again. If this page still appears, contact support."
        ),
    ),
    RepeatedParameter: Problem(
        "repeated-parameter",
        400,
        gettext_noop("The same field was sent twice"),
        gettext_noop(
            "The address or the form contains two values for one field, so we cannot tell which one is "
            "meant. Nothing was changed."
        ),
        gettext_noop("Go to your page and start again from there."),
    ),
    NoSuchAttempt: Problem(
        "no-such-attempt",
        403,
        gettext_noop("This was not started here"),
        gettext_noop(
            "The address that you came back to does not belong to anything that was started here. Nothing was "
            "connected."
        ),
        gettext_noop("Start again from your page."),
    ),
    AttemptExpired: Problem(
        "attempt-expired",
        410,
        gettext_noop("This took too long"),
        gettext_noop("More than an hour has passed since you started. Nothing was connected."),
        gettext_noop("Start again from your page."),
    ),
    TooManyAttempts: Problem(
        "too-many-attempts",
        429,
        gettext_noop("You have started too many times"),
        gettext_noop(
            "You have gone to ORCID many times within an hour without finishing. Nothing was started this time.",
        ),
        gettext_noop("Finish one of the visits, or wait an hour and start again from your page."),
    ),
    TooManyMails: Problem(
        "too-many-mails",
        429,
        gettext_noop("Too many emails for one day"),
        gettext_noop("You have reached the daily limit of emails. Nothing will be sent now."),
        gettext_noop("Your page shows the status. You can ask for emails again tomorrow."),
    ),
    SomeoneElsesAttempt: Problem(
        "someone-elses-attempt",
        403,
        gettext_noop("This was started by someone else"),
        gettext_noop("You are signed in as a different person from the one who went to ORCID. Nothing was connected."),
        gettext_noop("If you share this computer, sign out first. Then sign in and start again from your page."),
        sign_out=True,
    ),
    AnotherBrowsersAttempt: Problem(
        "another-browsers-attempt",
        403,
        gettext_noop("This was started in another browser"),
        gettext_noop("You have to finish in the browser in which you started. Nothing was connected."),
        gettext_noop("Continue in the other browser, or start again from your page."),
    ),
    EmptyCallback: Problem(
        "empty-callback",
        400,
        gettext_noop("ORCID sent no answer back"),
        gettext_noop("You came back from ORCID without an answer. Nothing was connected."),
        gettext_noop("Try again from your page. If it happens again, contact support."),
    ),
    NotAgreed: Problem(
        "not-agreed",
        422,
        gettext_noop("You did not tick the box"),
        gettext_noop("To connect your ORCID iD, you must agree to the statement next to the box."),
        gettext_noop("Read the statement, tick the box if you agree, and confirm again."),
    ),
    ErasureNotConfirmed: Problem(
        "erasure-not-confirmed",
        422,
        gettext_noop("You did not tick the box"),
        gettext_noop("Nothing was erased."),
        gettext_noop("Tick the box to confirm that you want to erase everything."),
    ),
    BadAddress: Problem(
        "bad-address",
        422,
        gettext_noop("There is a problem"),
        gettext_noop("No email was requested."),
        gettext_noop("Correct what is marked below."),
    ),
    LinkChanged: Problem(
        "link-changed",
        409,
        gettext_noop("Something has changed in the meantime"),
        gettext_noop(
            "The ORCID iD connected to your account is not the one that the page showed. Nothing was changed."
        ),
        gettext_noop("Your page shows the current status. Check it, and decide again."),
    ),
    OrcidIdInUse: Problem(
        "held-by-someone-else",
        409,
        gettext_noop("This ORCID iD is connected to another account"),
        gettext_noop(
            "Someone else at your organisation has connected the ORCID iD with which you signed in at "
            "ORCID. Nothing was changed for them or for you."
        ),
        gettext_noop(
            "If it is your iD and you have two accounts, remove it from the other one first. If you signed "
            "in at ORCID with someone else's account, sign out there and try again. Otherwise, contact "
            "your organisation's support."
        ),
        contact=ORGANISATION_HELP,
    ),
    OrcidUnavailable: Problem(
        "orcid-unavailable",
        503,
        gettext_noop("ORCID is not answering"),
        gettext_noop("We could not get your iD from ORCID. Nothing was connected, and nothing was lost."),
        gettext_noop(
            "Try again in a few minutes. You stay signed in here, and ORCID usually does not ask you a second time."
        ),
    ),
    OrcidBusy: Problem(
        "orcid-busy",
        503,
        gettext_noop("Many people are waiting for ORCID"),
        gettext_noop(
            "ORCID is slow at the moment, and only a limited number of people can wait at once. Nothing was lost."
        ),
        gettext_noop("Wait a minute and load this page again to continue where you were."),
    ),
    OrcidRefused: Problem(
        "orcid-refused",
        502,
        gettext_noop("ORCID did not accept the answer"),
        gettext_noop("ORCID's answer was no longer valid. Nothing was connected."),
        gettext_noop("Start again from your page; it takes one click."),
    ),
    OrcidMisconfigured: Problem(
        "orcid-misconfigured",
        503,
        gettext_noop("This service cannot connect to ORCID"),
        gettext_noop("ORCID did not recognise this service. This is our error, not yours. Nothing was connected."),
        gettext_noop("Contact support and quote the incident number below. Only they can fix this."),
    ),
    OrcidClientChanged: Problem(
        "orcid-client-changed",
        409,
        gettext_noop("The settings have changed in the meantime"),
        gettext_noop(
            "While you were at ORCID, your organisation's settings for ORCID were changed. Nothing was connected."
        ),
        gettext_noop("Start again from your page; it takes one click."),
    ),
    StoreUnavailable: Problem(
        "store-unavailable",
        503,
        gettext_noop("We cannot save anything right now"),
        gettext_noop("The service's database is not responding. Nothing was changed; existing connections remain."),
        gettext_noop("Try again in a few minutes."),
    ),
    SchemaBehind: Problem(
        "schema-behind",
        503,
        gettext_noop("The service is being updated"),
        gettext_noop("Its database has not been updated yet. Nothing was changed."),
        gettext_noop("Try again in a few minutes."),
    ),
    SchemaAhead: Problem(
        "schema-ahead",
        503,
        gettext_noop("The service is being updated"),
        gettext_noop("Its database is newer than the program. Nothing was changed."),
        gettext_noop("Try again in a few minutes."),
    ),
    FormTooLarge: Problem(
        "too-large",
        413,
        gettext_noop("The request was too large"),
        gettext_noop("It was larger than any of our forms."),
        gettext_noop("Go back to your page and try again."),
    ),
    UploadTooLarge: Problem(
        "upload-too-large",
        413,
        gettext_noop("The list is too large"),
        gettext_noop("It is larger than 8 MB. Nothing was compared, and nothing was stored."),
        gettext_noop("Leave out columns that are not needed, or split the list, and upload it again."),
    ),
    IncompleteForm: Problem(
        "incomplete-form",
        400,
        gettext_noop("The form did not arrive complete"),
        gettext_noop("Part of what you sent was lost on the way. Nothing was changed."),
        gettext_noop("Go back to your page and try again."),
    ),
    NotFound: Problem(
        "not-found",
        404,
        gettext_noop("There is no such page"),
        gettext_noop("Check that the address is correct."),
        gettext_noop("Go to the start page."),
        own_page=False,
    ),
    NoSuchOrganisation: Problem(
        "no-such-organisation",
        404,
        gettext_noop("This organisation is not connected"),
        gettext_noop("The address names an organisation that does not use this service."),
        gettext_noop("Choose your organisation on the start page."),
        own_page=False,
    ),
    ReturnNotAllowed: Problem(
        "return-not-allowed",
        400,
        gettext_noop("The return address is not registered"),
        gettext_noop(
            "The service that sent you here gave a return address that is not registered with this service. You were "
            "not redirected, and nothing was changed."
        ),
        gettext_noop(
            "You can still connect your ORCID iD here: go to the start page. Ask the service that sent you here to "
            "register its address with us."
        ),
        own_page=False,
    ),
    NotAllowed: Problem(
        "not-allowed",
        405,
        gettext_noop("This address cannot be used this way"),
        gettext_noop("The page exists, but not for this kind of request."),
        gettext_noop("Go to the start page."),
        own_page=False,
    ),
    Bug: Problem(
        "bug",
        500,
        gettext_noop("Something went wrong"),
        gettext_noop("This is our error, not yours. Existing connections are not affected."),
        gettext_noop("Try again. If it happens again, contact support and quote the incident number below."),
    ),
}

PROBLEMS_BY_CODE = {problem.code: problem for problem in PROBLEMS.values()}

REFUSED_SIGN_INS = (
    UnknownOrganisation,
    OrganisationMisconfigured,
    MissingAttribute,
    SeveralValues,
    ForeignScope,
    BrokenAttribute,
    NotAdmitted,
    LinkingClosed,
)
"""Why a person who has signed in at an Identity Provider is refused; the operator sees how often that happens."""


def refusing_organisation(error: Exception) -> str:
    """Return the id of the organisation at which a refused person has signed in.

    Returns:
        Empty where it is none that is known.
    """
    if isinstance(error, UnknownOrganisation):
        return error.likely_id
    if isinstance(error, OrganisationMisconfigured):
        return error.organisation_id
    organisation: Organisation | None = getattr(error, "organisation", None)
    return organisation.id if organisation else ""


def problem_of(error: Exception) -> Problem:
    """Return the problem of an exception by its class; `Bug` if there is none."""
    for kind in type(error).__mro__:
        if kind in PROBLEMS:
            return PROBLEMS[kind]
    return PROBLEMS[Bug]


def problem_values(error: Exception, language: Language) -> dict[str, str]:
    """Return the values for the placeholders of a problem, not escaped."""
    facts = {"name": str(error.name)[:200]} if hasattr(error, "name") else {}
    if facts.get("name") in ATTRIBUTES:
        facts["formal"] = ATTRIBUTES[facts["name"]].saml2_name
    if isinstance(error, BrokenAttribute):
        facts["reason"] = language.gettext(ATTRIBUTE_DEFECT_TEXTS[error.reason])
    organisation = getattr(error, "organisation", None)
    if organisation is not None:
        facts["organisation"] = organisation.name(language.code)
    return facts
