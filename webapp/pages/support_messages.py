"""Messages that a user can send to a help desk.

This service neither sends nor stores them: the user copies the text or opens it in a mail program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from webapp.i18n.language import Language, gettext_noop
from webapp.pages.problems import ORGANISATION_HELP, SERVICE_HELP

_HELLO = gettext_noop("Hello,")
_NUMBER = gettext_noop("Time: %(when)s. Incident number: %(incident)s.")
_RELEASE = gettext_noop(
    "Please see to it that your Identity Provider releases the right value of this attribute to the service."
)
_TRIED = gettext_noop("I tried to connect my ORCID iD to my account at the service %(service)s (%(url)s).")


@dataclass(frozen=True, slots=True)
class SupportMessage:
    """A message to a help desk: translatable sentences with placeholders."""

    to: str
    title: str
    """The heading above it on the page."""
    subject: str
    body: tuple[str, ...]
    """Its paragraphs."""


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """A message in the user's language, with the values filled in."""

    title: str
    subject: str
    body: str
    address: str
    """An e-mail address, or empty where the person has to know whom to write to."""

    @property
    def mailto(self) -> str:
        """The `mailto:` URL of the message (RFC 6068)."""
        body = self.body.replace("\n", "\r\n")
        return (
            f"mailto:{quote(self.address, safe='@')}?subject={quote(self.subject, safe='')}&body={quote(body, safe='')}"
        )


_HELP = gettext_noop("What to tell your organisation's help")

SUPPORT_MESSAGES: Mapping[str, tuple[SupportMessage, ...]] = MappingProxyType(
    {
        "missing-attribute": (
            SupportMessage(
                ORGANISATION_HELP,
                _HELP,
                gettext_noop("%(service)s does not get the attribute %(name)s"),
                (
                    _HELLO,
                    _TRIED,
                    gettext_noop(
                        "I could sign in, but %(organisation)s did not send the service the attribute %(name)s "
                        "(%(formal)s), by which it knows its users."
                    ),
                    gettext_noop(
                        "Please see to it that your Identity Provider releases this attribute to the service."
                    ),
                    _NUMBER,
                ),
            ),
        ),
        "several-values": (
            SupportMessage(
                ORGANISATION_HELP,
                _HELP,
                gettext_noop("%(service)s gets several values of %(name)s"),
                (
                    _HELLO,
                    _TRIED,
                    gettext_noop(
                        "I could sign in, but %(organisation)s sent the service more than one value of the attribute "
                        "%(name)s (%(formal)s)."
                    ),
                    _RELEASE,
                    _NUMBER,
                ),
            ),
        ),
        "foreign-scope": (
            SupportMessage(
                ORGANISATION_HELP,
                _HELP,
                gettext_noop("%(service)s gets a value of %(name)s from another domain"),
                (
                    _HELLO,
                    _TRIED,
                    gettext_noop(
                        "I could sign in, but %(organisation)s sent the service a value of the attribute %(name)s "
                        "(%(formal)s) that does not end in one of the domains agreed on."
                    ),
                    _RELEASE,
                    _NUMBER,
                ),
            ),
        ),
        "unknown-organisation": (
            SupportMessage(
                ORGANISATION_HELP,
                gettext_noop("What to tell your organisation"),
                gettext_noop("Connecting to %(service)s"),
                (
                    _HELLO,
                    _TRIED,
                    gettext_noop(
                        "Our organisation (%(name)s) does not use it yet. With it, everybody here could connect their "
                        "ORCID iD once, and services would learn it at sign-in."
                    ),
                    gettext_noop("Could we be connected? Whom to ask: %(contact)s"),
                ),
            ),
            SupportMessage(
                SERVICE_HELP,
                gettext_noop("To be told when your organisation is connected"),
                gettext_noop("Tell me when %(name)s is connected"),
                (
                    _HELLO,
                    gettext_noop("I would like to connect my ORCID iD at %(service)s. My organisation is %(name)s."),
                    gettext_noop("Please tell me when it is connected."),
                ),
            ),
        ),
        "held-by-someone-else": (
            SupportMessage(
                ORGANISATION_HELP,
                _HELP,
                gettext_noop("My ORCID iD is connected to another account"),
                (
                    _HELLO,
                    _TRIED,
                    gettext_noop("It says that my ORCID iD is connected to another account of our organisation."),
                    gettext_noop("Please help me to find out which account that is, and whether it is mine."),
                    _NUMBER,
                ),
            ),
        ),
    }
)
"""The messages for a problem, by its code."""


def support_messages(
    word: str, language: Language, facts: Mapping[str, str], addresses: Mapping[str, str]
) -> list[RenderedMessage]:
    """Return the messages for a problem.

    Args:
        addresses: The e-mail address of each kind of help; empty where it is not known.
    """
    return list(_written(SUPPORT_MESSAGES.get(word, ()), language, facts, addresses))


def _written(
    known: tuple[SupportMessage, ...], language: Language, facts: Mapping[str, str], addresses: Mapping[str, str]
) -> Iterator[RenderedMessage]:
    for letter in known:
        body = "\n\n".join(language.gettext(each, **facts) for each in letter.body)
        to = addresses.get(letter.to, "")
        address = to if "@" in to and "://" not in to else ""
        yield RenderedMessage(language.gettext(letter.title), language.gettext(letter.subject, **facts), body, address)
