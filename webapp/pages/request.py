"""One request, as the handlers see it: who asks, in which language, and what was filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shibboleth.person import Person
from sql.records import PersonStatus
from webapp.auth.browser import Browser
from webapp.i18n.language import ChosenBy, Language, LanguageChoice


class RepeatedParameter(ValueError):
    """A parameter or a field of a form came more than once; which value is meant is not guessed."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What a handler is given."""

    choice: LanguageChoice
    now: datetime
    browser: Browser
    query: Mapping[str, list[str]] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    path_params: Mapping[str, str] = field(default_factory=dict)
    """The variable parts of the address."""
    optional_person: Person | None = None
    person_status: PersonStatus = PersonStatus(None)  # noqa: RUF009 - a frozen value
    """How things stand with the person, once a link of the account's earlier holder has ended."""
    path: str = "/"
    attempt: str = ""
    """The id of an attempt that this browser may have to go on with."""
    authorization: str = field(default="", repr=False)
    """What a machine brings to be let in."""

    def parameter(self, name: str) -> str:
        """Give a parameter of the query; empty where it is not there. Raises RepeatedParameter."""
        values = self.query.get(name, [""])
        if len(values) > 1:
            raise RepeatedParameter
        return values[0]

    @property
    def language(self) -> Language:
        """The language of the answer."""
        return self.choice.language

    @property
    def language_query(self) -> str:
        """What stands after the addresses of our pages, so that a language just chosen goes along without a cookie."""
        return f"?lang={self.language.code}" if self.choice.by is ChosenBy.ADDRESS else ""

    @property
    def person(self) -> Person:
        """The authenticated person; on a route with `Access.PERSON` there always is one."""
        if self.optional_person is None:
            raise AssertionError("a handler for anyone asked for the person")
        return self.optional_person


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to look at."""

    template: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that sends the browser on, always by GET (303)."""

    to: str
    """A path of ours, or a whole address."""
    attempt: str = ""
    """The id of an attempt to which the browser shall find its way back."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """An answer that is no page: a style sheet, a picture, a word for a monitor."""

    body: bytes
    kind: str
    status: int = 200
    lasting: bool = False
    """Whether browsers may keep it."""
    save_as: str = ""
    """The file name under which browsers save it, in place of showing it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Others that it carries."""
