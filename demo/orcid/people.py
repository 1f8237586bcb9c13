"""The simulator's made-up people, and the check of iDs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

BLOCK: Final = "0009-"
FORM: Final = re.compile(r"0009-\d{4}-\d{4}-\d{3}[\dX]")
STATES: Final = ("ok", "locked", "deactivated", "deprecated", "unclaimed")
VISIBILITIES: Final = ("public", "limited", "private")
NAME_FORMS: Final = ("plain", "null", "absent", "trailing space")


def check_character(digits: str) -> str:
    """Return the check character of the first fifteen digits (ISO 7064 MOD 11-2)."""
    total = 0
    for digit in digits:
        total = (total + int(digit)) * 2
    value = (12 - total % 11) % 11
    return "X" if value == 10 else str(value)  # noqa: PLR2004 - the tenth value is written X, by the standard


def made_up_id(number: int) -> str:
    """Return an iD of the 0009 block for a number below 100,000,000."""
    digits = f"0009000{number:08d}"
    whole = digits + check_character(digits)
    return "-".join(whole[at : at + 4] for at in range(0, 16, 4))


@dataclass(frozen=True, slots=True)
class User:
    """A person with a record.

    `primary` is set for a deprecated record. `acts_for` lists records whose trusted individual the person is.
    `email_domains` are verified domains that the person shares.
    `name_form` is the form of the name in the token response: null, a missing key and a trailing space exist at ORCID.
    """

    orcid: str
    given: str
    family: str | None = None
    credit: str | None = None
    visibility: str = "public"
    state: str = "ok"
    primary: str | None = None
    name_form: str = "plain"
    acts_for: tuple[str, ...] = ()
    email_domains: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not FORM.fullmatch(self.orcid) or check_character(self.orcid.replace("-", "")[:-1]) != self.orcid[-1]:
            raise ValueError(f"{self.orcid!r} is not a valid iD of the {BLOCK} block; the simulator uses no other")
        for value, allowed in (
            (self.state, STATES),
            (self.visibility, VISIBILITIES),
            (self.name_form, NAME_FORMS),
        ):
            if value not in allowed:
                raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
        if (self.state == "deprecated") != (self.primary is not None):
            raise ValueError("a deprecated record needs a primary iD, and no other record has one")

    @property
    def full_name(self) -> str:
        """The name as the person sees it."""
        return self.credit or " ".join(part for part in (self.given, self.family) if part)

    @property
    def public_name(self) -> str:
        """The name as anyone sees it; empty if it is not public."""
        return self.full_name if self.visibility == "public" else ""

    @property
    def name_fields(self) -> dict[str, str | None]:
        """The name part of a token response; empty if the key is missing."""
        return {
            "plain": {"name": self.public_name},
            "null": {"name": None},
            "absent": {},
            "trailing space": {"name": f"{self.public_name} "},
        }[self.name_form]  # type: ignore[return-value]  # the four rows differ in type


PEOPLE: Final = (
    User("0009-0000-0001-1111", "Maija", "Meikäläinen", email_domains=("pohjoinen.example",)),
    User("0009-0000-0002-2224", "Åke", "Öström"),
    User("0009-0000-0003-3337", "Иван", "Тестов"),
    User("0009-0000-0004-444X", "Katri", "Esimerkki", credit="K. M. Esimerkki"),
    User("0009-0000-0005-5552", "Aurora"),
    User("0009-0000-0006-6665", "Piia", "Piilonen", visibility="private"),
    User("0009-0000-0007-7778", "Nuutti", "Nimetön", name_form="null"),
    User("0009-0000-0008-8880", "Anna", "Avaimeton", name_form="absent"),
    User("0009-0000-0009-9993", "Väinö", "Välilyönti", name_form="trailing space"),
    User("0009-0000-0011-1104", "花子", "試験"),
    User("0009-0000-0012-2217", "Aino", "Avustaja", acts_for=("0009-0000-0001-1111",)),
    User("0009-0000-0013-332X", "Lasse", "Lukittu", state="locked"),
    User("0009-0000-0014-4432", "Salli", "Suljettu", state="deactivated"),
    User("0009-0000-0015-5545", "Maija", "Mallikas", state="deprecated", primary="0009-0000-0001-1111"),
    User("0009-0000-0016-6658", "Otto", "Ottamaton", state="unclaimed"),
)
