"""The settings of kind `orcid`: the affiliation on ORCID records.

`resolver_connector.orcid.affiliation` writes it; it needs the store and people's access tokens.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, model_validator

from resolver_connector.transfers.base import TransferSettings, transfer_setting
from shibboleth.attributes import AFFILIATION_DETAILS
from shibboleth.characters import displayed
from shibboleth.person import Person
from sql.records import Affiliation, AffiliationSection

AFFILIATIONS: Final = ("faculty", "student", "staff", "alum", "member", "affiliate", "employee", "library-walk-in")
"""The values of eduPersonAffiliation (eduPerson 202208, section 2.2.1)."""
_CODES: Final = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA
    CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA
    GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
    KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS
    MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS
    RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW
    TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
COUNTRIES: Final = frozenset(_CODES.split())
"""The country codes of ISO 3166-1 alpha-2."""
_ROR: Final = re.compile(r"https://ror\.org/0([0-9a-hjkmnp-tv-z]{6})([0-9]{2})", re.ASCII)
_ROR_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_MAX_TEXT: Final = 200


class End(StrEnum):
    """What happens to an item in the end."""

    DATE = "date"
    """It gets an end date."""
    DELETE = "delete"


def _is_ror_id(text: str) -> bool:
    found = _ROR.fullmatch(text)
    if found is None:
        return False
    number = 0
    for letter in found[1]:
        number = number * len(_ROR_DIGITS) + _ROR_DIGITS.index(letter)
    # ISO/IEC 7064, MOD 97-10
    return 98 - number * 100 % 97 == int(found[2])


def _is_line(text: str) -> bool:
    return bool(text.strip()) and displayed(text) == text and len(text) <= _MAX_TEXT


Affiliations = Annotated[tuple[str, ...], Field(strict=False)]


class OrcidTransfer(TransferSettings):
    """Writes affiliations to ORCID records with the organisation's client."""

    kind: ClassVar[str] = "orcid"

    organisation: str = transfer_setting(
        "The organisation's name, as it is written to the records.", "Example University"
    )
    city: str = transfer_setting("The organisation's city.", "Helsinki")
    country: str = transfer_setting("The organisation's country, by its code of ISO 3166-1.", "FI")
    ror: str = transfer_setting(
        "The organisation's ROR id, as ORCID knows the organisation.", "https://ror.org/05dxps055"
    )
    employment: Affiliations = transfer_setting(
        "The values of eduPersonScopedAffiliation that are written as an employment.",
        ["faculty", "staff", "employee"],
        default=("faculty", "staff", "employee"),
    )
    education: Affiliations = transfer_setting(
        "The values that are written as an education.", ["student"], default=("student",)
    )
    department: str = transfer_setting(
        "The attribute with the department of an employment; empty: none is written.", "ou", default=""
    )
    title: str = transfer_setting(
        "The attribute with the title of an employment; empty: none is written.", "title", default=""
    )
    end: Annotated[End, Field(strict=False)] = transfer_setting(
        "What happens to an item when the affiliation, the permission or the connection ends: it gets an end date "
        '("date"), or is deleted ("delete").',
        "date",
        default=End.DATE,
    )

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if not _is_line(self.organisation) or not _is_line(self.city):
            raise ValueError(f"organisation and city are one line of 1 to {_MAX_TEXT} visible characters each")
        if self.country not in COUNTRIES:
            raise ValueError("country is no code of ISO 3166-1 in capital letters, such as FI")
        if not _is_ror_id(self.ror):
            raise ValueError("ror is no ROR id: it is the whole address in lower case, as https://ror.org/05dxps055")
        if not self.employment and not self.education:
            raise ValueError("employment and education are both empty, so nothing would be written")
        if not {*self.employment, *self.education} <= {*AFFILIATIONS}:
            raise ValueError("employment and education list values of eduPersonAffiliation: " + ", ".join(AFFILIATIONS))
        if {*self.employment} & {*self.education}:
            raise ValueError("employment and education have a value in common: write it in one of them")
        if not {self.department, self.title} <= {"", *AFFILIATION_DETAILS}:
            raise ValueError("department and title are attributes of the sign-in: " + ", ".join(AFFILIATION_DETAILS))
        return self

    def affiliation_of(self, person: Person, known: Affiliation | None = None) -> Affiliation:
        """Return what is written about a person, from the attributes of a sign-in.

        Args:
            person: The person who signed in.
            known: What was known before; its department and title stay where the attribute is absent now.
        """
        employment, education = AffiliationSection.EMPLOYMENT, AffiliationSection.EDUCATION
        sections = dict.fromkeys(self.employment, employment) | dict.fromkeys(self.education, education)
        found = frozenset(sections[each] for each in person.affiliations if each in sections)
        if employment not in found:
            return Affiliation(found)
        known = known or Affiliation()
        department = person.affiliation_details.get(self.department, known.department) if self.department else ""
        title = person.affiliation_details.get(self.title, known.title) if self.title else ""
        return Affiliation(found, department, title)
