"""The one table from what is wrong to status, page and log word.

A page says what happened, what to do, and whom to ask, with an incident number that also stands in the log.
`tests/unit/test_docs.py` keeps each word explained to the operator.
"""

from __future__ import annotations

from dataclasses import dataclass

from shibboleth.attributes import ATTRIBUTES
from shibboleth.organisation import UnknownOrganisation
from shibboleth.person import (
    BrokenAttribute,
    Flaw,
    ForeignScope,
    FrontNotProven,
    MissingAttribute,
    NotSignedIn,
    SeveralValues,
)
from sql.errors import HeldBySomeoneElse, LinkChanged, SchemaAhead, SchemaBehind, StoreUnavailable
from webapp.door import BadForm, RepeatedCookie
from webapp.language import Language, mark
from webapp.linking import (
    AnotherBrowsersAttempt,
    AttemptExpired,
    AttemptUsed,
    NoSuchAttempt,
    NotAgreed,
    NothingCameBack,
    SomeoneElsesAttempt,
)
from webapp.orcid_client import OrcidBusy, OrcidMisconfigured, OrcidRefused, OrcidUnavailable
from webapp.visit import RepeatedParameter

FLAWS = {
    Flaw.NOT_UTF8: mark("it is not UTF-8"),
    Flaw.TOO_LONG: mark("it is longer than 512 characters"),
    Flaw.UNSEEN: mark("it holds characters that cannot be seen"),
    Flaw.NOT_SCOPED: mark("it has not exactly one @"),
}
"""What may be wrong with an attribute, as sentences of the catalogues."""

HOME_HELP = "organisation"
OUR_HELP = "service"


class NotFound(LookupError):
    """There is no such page."""


class NotAllowed(LookupError):
    """The page is there, but not for this method; `allowed` are those that it is for."""

    def __init__(self, allowed: str) -> None:
        super().__init__(allowed)
        self.allowed = allowed


class NotSure(ValueError):
    """The box beside what cannot be undone came unticked."""


class BadAddress(ValueError):
    """Where an e-mail is to be sent is no address, or what is to be sent was not ticked."""


class TooLarge(ValueError):
    """The request is larger than any form of ours."""


class Bug(Exception):
    """Something happened that nobody thought of."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a person is told when something is wrong; `%(name)s` in a sentence is a fact of the error."""

    word: str
    """In the log, and in the documentation."""
    status: int
    title: str
    what: str
    do: str
    ask: str = OUR_HELP
    """Whose help the page names."""
    again: bool = True
    """Whether the page offers the way back to one's own page."""
    leave: bool = False
    """Whether the page offers to sign out, since another account may be the way on."""


PROBLEMS: dict[type[Exception], Problem] = {
    NotSignedIn: Problem(
        "not-signed-in",
        401,
        mark("You are not signed in"),
        mark("This page is for people who have signed in at their home organisation."),
        mark("Sign in, and you will come to your own page."),
    ),
    FrontNotProven: Problem(
        "front-not-proven",
        403,
        mark("This request did not come through the front door"),
        mark("The service only believes requests that its own web server has passed on."),
        mark("Open the service at its public address."),
        again=False,
    ),
    UnknownOrganisation: Problem(
        "unknown-organisation",
        403,
        mark("Your organisation is not connected yet"),
        mark("You signed in at %(name)s, which does not use this service yet. Nothing was stored about you."),
        mark(
            "If you would like to connect your ORCID iD here, tell the people who look after research services "
            "at your organisation."
        ),
        again=False,
        leave=True,
    ),
    MissingAttribute: Problem(
        "missing-attribute",
        403,
        mark("Your organisation did not tell us who you are"),
        mark(
            "You are signed in, but %(organisation)s did not send the attribute %(name)s, by which we would know "
            "your account. Nothing was stored."
        ),
        mark("Send your organisation's help the name of the missing attribute and the incident number below."),
        ask=HOME_HELP,
        again=False,
        leave=True,
    ),
    SeveralValues: Problem(
        "several-values",
        403,
        mark("Your organisation named more than one account"),
        mark("%(organisation)s sent several values of %(name)s, and we do not guess which of them is you."),
        mark("Send your organisation's help the name of the attribute and the incident number below."),
        ask=HOME_HELP,
        again=False,
        leave=True,
    ),
    ForeignScope: Problem(
        "foreign-scope",
        403,
        mark("Your account seems to belong to another organisation"),
        mark("%(organisation)s sent a value of %(name)s that does not end in one of its own domains."),
        mark("Send your organisation's help the name of the attribute and the incident number below."),
        ask=HOME_HELP,
        again=False,
        leave=True,
    ),
    BrokenAttribute: Problem(
        "broken-attribute",
        403,
        mark("We cannot read what your organisation sent"),
        mark("The attribute %(name)s is not in order: %(reason)s."),
        mark("Send the service's help the incident number below."),
        again=False,
        leave=True,
    ),
    BadForm: Problem(
        "bad-form",
        403,
        mark("This form is out of date"),
        mark("It was not given to you in this browser, or it has grown old. Nothing was changed."),
        mark("Go back to your own page and try once more. If your browser refuses cookies, allow them for this site."),
    ),
    RepeatedCookie: Problem(
        "repeated-cookie",
        400,
        mark("Your browser sent our cookie twice"),
        mark(
            "The service recognises your browser by a cookie. It came twice, so another website may have set one of "
            "them. Nothing was changed."
        ),
        mark(
            "Delete the cookies of this site and of its domain in your browser's settings, and open your own page "
            "again. If the page still appears, tell the service's help."
        ),
    ),
    RepeatedParameter: Problem(
        "repeated-parameter",
        400,
        mark("Something was sent twice"),
        mark(
            "The address or the form contains the same value twice, and we do not guess which one is meant. "
            "Nothing was changed."
        ),
        mark("Go to your own page and start again from there."),
    ),
    NoSuchAttempt: Problem(
        "no-such-attempt",
        403,
        mark("We did not start this"),
        mark("The address you came back by belongs to nothing that was started here. Nothing was connected."),
        mark("Start again from your own page."),
    ),
    AttemptExpired: Problem(
        "attempt-expired",
        410,
        mark("This took too long"),
        mark("More than an hour has passed since you started. Nothing was connected."),
        mark("Start again from your own page."),
    ),
    AttemptUsed: Problem(
        "attempt-used",
        409,
        mark("This answer from ORCID has been used already"),
        mark("Each answer works once. This happens when a page is loaded again, or after the back button."),
        mark("Your own page shows how things stand; if you were about to confirm, you can go on there."),
    ),
    SomeoneElsesAttempt: Problem(
        "someone-elses-attempt",
        403,
        mark("This was started by somebody else"),
        mark("You are signed in as another person than the one who went to ORCID. Nothing was connected."),
        mark("If you share this computer, sign out first. Then sign in and start again from your own page."),
        leave=True,
    ),
    AnotherBrowsersAttempt: Problem(
        "another-browsers-attempt",
        403,
        mark("This was started in another browser"),
        mark("What is started in one browser has to be finished there. Nothing was connected."),
        mark("Go on in the other browser, or start again from your own page."),
    ),
    NothingCameBack: Problem(
        "nothing-came-back",
        400,
        mark("ORCID did not finish"),
        mark("You came back from ORCID without an answer. Nothing was connected."),
        mark("Try again from your own page. If it happens once more, tell the service's help."),
    ),
    NotAgreed: Problem(
        "not-agreed",
        422,
        mark("The box was not ticked"),
        mark("We may connect your ORCID iD only if you agree to what is written beside the box."),
        mark("Read it, tick the box if you agree, and confirm again."),
    ),
    NotSure: Problem(
        "not-sure",
        422,
        mark("The box was not ticked"),
        mark("Nothing was erased, for you did not say that you want it."),
        mark("Tick the box if you are sure, and press the button again."),
    ),
    BadAddress: Problem(
        "bad-address",
        422,
        mark("The e-mail cannot be sent like this"),
        mark("Either the address is not one, or nothing was ticked."),
        mark("Write one e-mail address, and tick what you want to have."),
    ),
    LinkChanged: Problem(
        "link-changed",
        409,
        mark("Things have changed in the meantime"),
        mark("The ORCID iD of your account is not the one that the page showed. Nothing was changed now."),
        mark("Your own page shows how things stand. Look at it, and decide again."),
    ),
    HeldBySomeoneElse: Problem(
        "held-by-someone-else",
        409,
        mark("This ORCID iD is connected to another account"),
        mark(
            "Somebody else at your organisation has connected the ORCID iD with which you signed in at ORCID. "
            "Nothing was changed for them or for you."
        ),
        mark(
            "If it is your iD and you have two accounts, remove it from the other one first. If you signed in at "
            "ORCID with somebody else's account, sign out there and try again. Otherwise ask your organisation's help."
        ),
        ask=HOME_HELP,
    ),
    OrcidUnavailable: Problem(
        "orcid-unavailable",
        503,
        mark("ORCID is not answering"),
        mark("We could not learn from ORCID who you are there. Nothing was connected, and nothing was lost."),
        mark(
            "Try again in a few minutes. Your sign-in here stays, and as a rule ORCID does not ask you a second time."
        ),
    ),
    OrcidBusy: Problem(
        "orcid-busy",
        503,
        mark("Many people are waiting for ORCID"),
        mark("ORCID answers slowly at the moment, and we let only so many people wait. Nothing was lost."),
        mark("Wait a minute, and load this page again: you will go on where you were."),
    ),
    OrcidRefused: Problem(
        "orcid-refused",
        502,
        mark("ORCID did not accept the answer"),
        mark("The answer you brought from ORCID was not valid any more. Nothing was connected."),
        mark("Start again from your own page; it takes one click."),
    ),
    OrcidMisconfigured: Problem(
        "orcid-misconfigured",
        503,
        mark("This service cannot talk to ORCID"),
        mark("ORCID does not know this service by the name it uses. It is not your fault. Nothing was connected."),
        mark("Tell the service's help the incident number below; they have to mend it."),
    ),
    StoreUnavailable: Problem(
        "store-unavailable",
        503,
        mark("We cannot store anything just now"),
        mark("The service's database does not answer. Nothing was changed; what was connected is still connected."),
        mark("Try again in a few minutes."),
    ),
    SchemaBehind: Problem(
        "schema-behind",
        503,
        mark("The service is being updated"),
        mark("Its database has not been brought up to date yet. Nothing was changed."),
        mark("Try again in a few minutes."),
    ),
    SchemaAhead: Problem(
        "schema-ahead",
        503,
        mark("The service is being updated"),
        mark("Its database is newer than the program. Nothing was changed."),
        mark("Try again in a few minutes."),
    ),
    TooLarge: Problem(
        "too-large",
        413,
        mark("This is too much"),
        mark("The request was larger than any of our forms."),
        mark("Go back to your own page and try once more."),
    ),
    NotFound: Problem(
        "not-found",
        404,
        mark("There is no such page"),
        mark("The address leads nowhere here."),
        mark("Go to the start page."),
        again=False,
    ),
    NotAllowed: Problem(
        "not-allowed",
        405,
        mark("This address does not work that way"),
        mark("The page exists, but cannot be asked for like this."),
        mark("Go to the start page."),
        again=False,
    ),
    Bug: Problem(
        "bug",
        500,
        mark("Something went wrong here"),
        mark("It is our mistake, not yours. What was connected stays connected."),
        mark("Try again. If it happens once more, tell the service's help the incident number below."),
    ),
}

BY_WORD = {problem.word: problem for problem in PROBLEMS.values()}


def problem_of(error: Exception) -> Problem:
    """Give the row of an error; anything that has none is a bug."""
    for kind in type(error).__mro__:
        if kind in PROBLEMS:
            return PROBLEMS[kind]
    return PROBLEMS[Bug]


def facts_of(error: Exception, language: Language) -> dict[str, str]:
    """Give the facts of an error that its sentences may name: plain text, to be escaped like any other."""
    facts = {"name": str(error.name)[:200]} if hasattr(error, "name") else {}
    if facts.get("name") in ATTRIBUTES:
        facts["formal"] = ATTRIBUTES[facts["name"]].saml2_name
    if isinstance(error, BrokenAttribute):
        facts["reason"] = language.say(FLAWS[error.reason])
    organisation = getattr(error, "organisation", None)
    if organisation is not None:
        facts["organisation"] = organisation.name(language.code)
    return facts
