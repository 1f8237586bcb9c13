"""Texts that are ready to send: where only somebody else can help, the page says what to tell them.

Nothing is sent or stored by us; the person copies the text, or has their own mail program open with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from webapp.language import Language, mark

HOME = "organisation"
"""To the help of the person's own organisation."""
US = "service"
"""To the help of this service."""

_HELLO = mark("Hello,")
_NUMBER = mark("Time: %(when)s. Incident number: %(incident)s.")
_RELEASE = mark(
    "Please see to it that your Identity Provider releases the right value of this attribute to the service."
)
_TRIED = mark("I tried to connect my ORCID iD to my account at the service %(service)s (%(url)s).")


@dataclass(frozen=True, slots=True)
class Letter:
    """A text for somebody who can help; every sentence is one of the catalogues and may name facts."""

    to: str
    title: str
    """What stands above it on the page."""
    subject: str
    body: tuple[str, ...]
    """Its paragraphs."""


@dataclass(frozen=True, slots=True)
class Written:
    """A letter in a reader's language, with the facts in it."""

    title: str
    subject: str
    body: str
    address: str
    """An e-mail address, or empty where the person has to know whom to write to."""

    @property
    def mailto(self) -> str:
        """Give the address that opens the person's own mail program (RFC 6068)."""
        body = self.body.replace("\n", "\r\n")
        return (
            f"mailto:{quote(self.address, safe='@')}?subject={quote(self.subject, safe='')}&body={quote(body, safe='')}"
        )


_HELP = mark("What to tell your organisation's help")

LETTERS: Mapping[str, tuple[Letter, ...]] = MappingProxyType(
    {
        "missing-attribute": (
            Letter(
                HOME,
                _HELP,
                mark("%(service)s does not get the attribute %(name)s"),
                (
                    _HELLO,
                    _TRIED,
                    mark(
                        "I could sign in, but %(organisation)s did not send the service the attribute %(name)s "
                        "(%(formal)s), by which it knows its users."
                    ),
                    mark("Please see to it that your Identity Provider releases this attribute to the service."),
                    _NUMBER,
                ),
            ),
        ),
        "several-values": (
            Letter(
                HOME,
                _HELP,
                mark("%(service)s gets several values of %(name)s"),
                (
                    _HELLO,
                    _TRIED,
                    mark(
                        "I could sign in, but %(organisation)s sent the service more than one value of the attribute "
                        "%(name)s (%(formal)s)."
                    ),
                    _RELEASE,
                    _NUMBER,
                ),
            ),
        ),
        "foreign-scope": (
            Letter(
                HOME,
                _HELP,
                mark("%(service)s gets a value of %(name)s from another domain"),
                (
                    _HELLO,
                    _TRIED,
                    mark(
                        "I could sign in, but %(organisation)s sent the service a value of the attribute %(name)s "
                        "(%(formal)s) that does not end in one of the domains agreed on."
                    ),
                    _RELEASE,
                    _NUMBER,
                ),
            ),
        ),
        "unknown-organisation": (
            Letter(
                HOME,
                mark("What to tell your organisation"),
                mark("Connecting to %(service)s"),
                (
                    _HELLO,
                    _TRIED,
                    mark(
                        "Our organisation (%(name)s) does not use it yet. With it, everybody here could connect their "
                        "ORCID iD once, and services would learn it at sign-in."
                    ),
                    mark("Could we be connected? Whom to ask: %(contact)s"),
                ),
            ),
            Letter(
                US,
                mark("To be told when your organisation is connected"),
                mark("Tell me when %(name)s is connected"),
                (
                    _HELLO,
                    mark("I would like to connect my ORCID iD at %(service)s. My organisation is %(name)s."),
                    mark("Please tell me when it is connected."),
                ),
            ),
        ),
        "held-by-someone-else": (
            Letter(
                HOME,
                _HELP,
                mark("My ORCID iD is connected to another account"),
                (
                    _HELLO,
                    _TRIED,
                    mark("It says that my ORCID iD is connected to another account of our organisation."),
                    mark("Please help me to find out which account that is, and whether it is mine."),
                    _NUMBER,
                ),
            ),
        ),
    }
)
"""By the word of the problem."""


def letters(word: str, language: Language, facts: Mapping[str, str], addresses: Mapping[str, str]) -> list[Written]:
    """Give the letters that go with a problem; `addresses` says where the help of each kind is."""
    return list(_written(LETTERS.get(word, ()), language, facts, addresses))


def _written(
    known: tuple[Letter, ...], language: Language, facts: Mapping[str, str], addresses: Mapping[str, str]
) -> Iterator[Written]:
    for letter in known:
        body = "\n\n".join(language.say(each, **facts) for each in letter.body)
        to = addresses.get(letter.to, "")
        address = to if "@" in to and "://" not in to else ""
        yield Written(language.say(letter.title), language.say(letter.subject, **facts), body, address)
