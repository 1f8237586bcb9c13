"""The demonstration's privacy notice and accessibility statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NOTICES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "controller": "University of the North (made up)\nSnow Street 1, 00014 North\nprivacy@pohjoinen.example",
        "data_protection_officer": "Tiina Tietosuoja, dpo@pohjoinen.example",
        "legal_basis": "Your consent (General Data Protection Regulation, Article 6(1)(a)). You may withdraw it here "
        "at any time; nothing else depends on it.",
        "recipients": "Nobody else: this demonstration runs on your own machine.",
        "retention": "Everything goes when you end the demonstration.",
        "supervisory_authority": "Office of the Data Protection Ombudsman\nPO Box 800, 00531 Helsinki\n"
        "tietosuoja@om.fi, tietosuoja.fi",
        "feedback": "Write to accessibility@pohjoinen.example.",
        "enforcement": "Finnish Transport and Communications Agency Traficom\nDigital Accessibility Supervision Unit\n"
        "www.webaccessibility.fi",
    },
    "fi": {
        "controller": "Pohjoinen yliopisto (keksitty)\nLumikatu 1, 00014 Pohjoinen\nprivacy@pohjoinen.example",
        "data_protection_officer": "Tiina Tietosuoja, dpo@pohjoinen.example",
        "legal_basis": "Suostumuksesi (yleinen tietosuoja-asetus, 6 artiklan 1 kohdan a alakohta). Voit perua sen "
        "täällä milloin tahansa; mikään muu ei riipu siitä.",
        "recipients": "Ei muita: tämä esittely toimii omalla koneellasi.",
        "retention": "Kaikki poistuu, kun lopetat esittelyn.",
        "supervisory_authority": "Tietosuojavaltuutetun toimisto\nPL 800, 00531 Helsinki\n"
        "tietosuoja@om.fi, tietosuoja.fi",
        "feedback": "Kirjoita osoitteeseen accessibility@pohjoinen.example.",
        "enforcement": "Liikenne- ja viestintävirasto Traficom\nDigitaalisen esteettömyyden ja saavutettavuuden "
        "valvontayksikkö\nwww.saavutettavuusvaatimukset.fi",
    },
    "sv": {
        "controller": "Norra universitetet (påhittat)\nSnögatan 1, 00014 Norr\nprivacy@pohjoinen.example",
        "data_protection_officer": "Tiina Tietosuoja, dpo@pohjoinen.example",
        "legal_basis": "Ditt samtycke (allmänna dataskyddsförordningen, artikel 6.1 a). Du kan återkalla det här "
        "när som helst; inget annat beror på det.",
        "recipients": "Ingen annan: den här demonstrationen körs på din egen dator.",
        "retention": "Allt försvinner när du avslutar demonstrationen.",
        "supervisory_authority": "Dataombudsmannens byrå\nPB 800, 00531 Helsingfors\ntietosuoja@om.fi, tietosuoja.fi",
        "feedback": "Skriv till accessibility@pohjoinen.example.",
        "enforcement": "Transport- och kommunikationsverket Traficom\nEnheten för tillsyn över digital tillgänglighet\n"
        "www.tillganglighetskrav.fi",
    },
}
"""By language and name of the setting."""
