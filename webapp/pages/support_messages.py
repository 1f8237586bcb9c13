"""Messages that a user can send to a help desk.

This service neither sends nor stores them: the user copies the text or opens it in a mail program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from urllib.parse import quote

from sql.records import Change, ChangeKind
from webapp.i18n.language import Language, gettext_noop
from webapp.pages.problems import ORGANISATION_HELP, SERVICE_HELP

_HELLO = gettext_noop("Hello,")
_NUMBER = gettext_noop("Time: %(when)s. Incident number: %(incident)s.")
_RELEASE = gettext_noop("Please release the correct value of this attribute to the service from our Identity Provider.")
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


_HELP = gettext_noop("Message to your organisation's support")

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
                        "I could sign in, but %(organisation)s did not send the service the attribute "
                        "%(name)s (%(formal)s), which it needs to identify its users."
                    ),
                    gettext_noop("Please release this attribute to the service from our Identity Provider."),
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
                gettext_noop("Message to your organisation"),
                gettext_noop("Connecting to %(service)s"),
                (
                    _HELLO,
                    _TRIED,
                    gettext_noop(
                        "Our organisation does not use it yet. If it did, everyone here could connect their ORCID iD "
                        "once, and services would get it at sign-in."
                    ),
                    gettext_noop("Our organisation: %(name)s"),
                    gettext_noop("Could we join? Contact: %(contact)s"),
                ),
            ),
            SupportMessage(
                SERVICE_HELP,
                gettext_noop("Ask to be told when your organisation joins"),
                gettext_noop("Tell me when my organisation is connected"),
                (
                    _HELLO,
                    gettext_noop("I would like to connect my ORCID iD at %(service)s. My organisation: %(name)s"),
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
                    gettext_noop(
                        "The service says that my ORCID iD is connected to another account at our organisation.",
                    ),
                    gettext_noop("Please help me find out which account that is, and whether it is mine."),
                    _NUMBER,
                ),
            ),
        ),
    }
)
"""The messages for a problem, by its code."""

_NOT_DELIVERED = SupportMessage(
    ORGANISATION_HELP,
    _HELP,
    gettext_noop("My ORCID iD could not be delivered to %(system)s"),
    (
        _HELLO,
        gettext_noop("The service %(service)s (%(url)s) could not deliver my ORCID iD to the system %(system)s."),
    ),
)
_REMOVAL_NOT_DELIVERED = SupportMessage(
    ORGANISATION_HELP,
    _HELP,
    gettext_noop("The removal of my ORCID iD could not be delivered to %(system)s"),
    (
        _HELLO,
        gettext_noop(
            "The service %(service)s (%(url)s) could not tell the system %(system)s that the connection of my "
            "ORCID iD has been removed."
        ),
    ),
)


def support_messages(
    word: str, language: Language, facts: Mapping[str, str], addresses: Mapping[str, str]
) -> list[RenderedMessage]:
    """Return the messages for a problem.

    Args:
        addresses: The e-mail address of each kind of help; empty where it is not known.
    """
    return list(_written(SUPPORT_MESSAGES.get(word, ()), language, facts, addresses))


def delivery_message(
    language: Language, change: Change | None, facts: Mapping[str, str], address: str, answer: str = ""
) -> RenderedMessage:
    """Return the message about a failed delivery, with account and iD.

    Args:
        change: None if it has been deleted.
        facts: `service`, `url`, `system` and `when`.
        answer: What the receiver answered.
    """
    removal = change is not None and change.kind is ChangeKind.REMOVED
    known = _REMOVAL_NOT_DELIVERED if removal else _NOT_DELIVERED
    (message,) = _written((known,), language, facts, {ORGANISATION_HELP: address})
    gettext = language.gettext
    time = gettext("Time")
    lines = [f"{time}: {facts['when']}"]
    if change is not None:
        orcid_id = change.orcid_id or change.previous
        lines += [
            f"{gettext('Account')}: {change.account}",
            f"{gettext('ORCID iD')}: {orcid_id.uri if orcid_id else ''}",
        ]
    if answer:
        lines.append(f"{gettext('Response:')} {answer}")
    return replace(message, body="\n".join([message.body, "", *lines]))


def _written(
    known: tuple[SupportMessage, ...], language: Language, facts: Mapping[str, str], addresses: Mapping[str, str]
) -> Iterator[RenderedMessage]:
    for letter in known:
        body = "\n\n".join(language.gettext(each, **facts) for each in letter.body)
        to = addresses.get(letter.to, "")
        address = to if "@" in to and "://" not in to else ""
        yield RenderedMessage(language.gettext(letter.title), language.gettext(letter.subject, **facts), body, address)
