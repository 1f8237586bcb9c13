"""Names in several languages, as sections of a configuration file: one more catalogue is one more name, and no code."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, create_model

from webapp.config import values
from webapp.config.tables import Table, setting
from webapp.i18n.catalogues import SOURCE, catalogues

LANGUAGES = tuple(catalogues())
_QUOTED = [f'"{code}"' for code in LANGUAGES]
A_LANGUAGE = f"{', '.join(_QUOTED[:-1])} or {_QUOTED[-1]}"
"""What a language is, in words that fit after "must be"."""

_CALLED = {"en": "English", "fi": "Finnish", "sv": "Swedish"}
_ORGANISATION = {"en": "University of Example", "fi": "Esimerkin yliopisto", "sv": "Exempels universitet"}
_INTERFACE = {"en": "Staff register", "fi": "Henkilörekisteri", "sv": "Personalregistret"}


def _table(name: str, meaning: str, examples: dict[str, str], *, english: bool) -> type[Table]:
    """Make a section with a name in each language; `english` when there must be one to stand in for the others."""
    line, fields = Annotated[str, AfterValidator(values.line)], dict[str, Any]()
    for code in LANGUAGES:
        example = examples.get(code, examples[SOURCE])
        said = f"Its name in {_CALLED.get(code, f'the language `{code}`')}"
        if code == SOURCE and english:
            said += ", which also stands in where another language is missing"
            fields[code] = (line, setting(f"{said}.", "one line of text in quotes", example))
        else:
            fields[code] = (line | None, setting(f"{said}.", "one line of text in quotes", example, default=None))
    return create_model(name, __base__=Table, __doc__=meaning, **fields)


ORGANISATION_NAMES = _table("Names", "The organisation's name in each language.", _ORGANISATION, english=True)
INTERFACE_NAMES = _table("Label", "What people are told that an interface is.", _INTERFACE, english=False)
