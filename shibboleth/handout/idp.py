"""What an organisation's Identity Provider is handed: files of its own, complete, in the places where they go.

The templates are those of `idp/`.  Which of them make up a handout says one table, and what differs between versions
of the Identity Provider, sources and people's accounts stands in the templates themselves (`handout.choose`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from shibboleth.handout.render import RenderedFile, TemplateError, TemplateFile, hand_out


class Version(StrEnum):
    """Of the Shibboleth Identity Provider."""

    V3_4 = "3.4"
    V4 = "4"
    V5 = "5"


class SourceKind(StrEnum):
    """Where the Identity Provider gets iDs from."""

    HTTP = "http"
    SQL = "sql"
    LDAP = "ldap"


class Release(StrEnum):
    """To whom the Identity Provider releases them."""

    ASKING = "asking"
    ALL = "all"


class Form(StrEnum):
    """From what the Identity Provider knows the account that we know a person by."""

    PRINCIPAL = "principal"
    """The principal is the account, scope and all."""
    PRINCIPAL_AT = "principal-at"
    """The principal is the account without its scope."""
    DEFINITION = "definition"
    """An attribute that an AttributeDefinition makes."""
    EXPORTED = "exported"
    """An attribute of a DataConnector."""


@dataclass(frozen=True, slots=True)
class Account:
    """How the Identity Provider comes by a person's account."""

    form: Form
    scope: str = ""
    """What is added to what has no scope."""
    attribute: str = ""
    connector: str = ""
    """The DataConnector that the attribute comes from, where no AttributeDefinition makes it."""


GUARDED = "secret"
"""The word of those who need a secret of ours."""

_CONF = "conf/orcid-connect"
_REGISTRY = frozenset({Version.V4, Version.V5})


def files_from(source: SourceKind) -> tuple[TemplateFile, ...]:
    """Tell what a handout is made of: each template, and where it goes."""
    return (
        TemplateFile("README.txt", "README.txt"),
        TemplateFile(f"resolver-{source}.xml", f"{_CONF}/attribute-resolver.xml"),
        TemplateFile("beans.xml", f"{_CONF}/beans.xml", frozenset({SourceKind.HTTP, SourceKind.SQL})),
        TemplateFile("attribute-filter.xml", f"{_CONF}/attribute-filter.xml"),
        TemplateFile(
            f"secret-{source}.properties", "credentials/orcid-connect.properties", frozenset({GUARDED}), secret=True
        ),
        TemplateFile("rule.properties", "only-if-missing/eduPersonOrcid.properties", _REGISTRY),
    )


_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_CONNECTOR = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_MEANS_ELSE = "$ and # mean something else in a template of the Identity Provider, which is read as US-ASCII"
_OF_VELOCITY = re.compile(r"[$#]")
_NOT_IN_VELOCITY = re.compile(r"[$#]|[^\x00-\x7f]")
_IN_VELOCITY = ("URL", "SCOPE")
_FIELDS = {
    "{account}": "$account",
    "{user}": "$account.replaceAll('@[^@]*$', '')",
    "{scope}": "$account.replaceAll('^.*@', '')",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an organisation asks for."""

    version: Version
    source: SourceKind
    account: Account
    release: Release
    also: frozenset[str] = frozenset()
    """More words that the templates ask about: the kind of credential, the kind of database."""

    @property
    def words(self) -> frozenset[str]:
        """All words whose parts of a template are wanted."""
        return self.also | {self.version, self.source, self.account.form, self.release}


def account_of(text: str, scopes: frozenset[str]) -> Account:
    """Read `principal`, `principal@SCOPE`, `attribute:ID` or `attribute:CONNECTOR/ID`. Raises TemplateError.

    A scope may stand behind an attribute as well, and has to where there are several.
    """
    kind, at, scope = text.partition("@")
    if at and scope not in scopes:
        raise TemplateError(("SCOPE",), f"the organisation's scopes are {', '.join(sorted(scopes))}")
    if kind == "principal":
        return Account(Form.PRINCIPAL_AT, scope) if at else Account(Form.PRINCIPAL)
    word, _, attribute = kind.partition(":")
    if word != "attribute":
        raise TemplateError(("person",), "it is principal, principal@SCOPE, attribute:ID or attribute:CONNECTOR/ID")
    if not at and len(scopes) > 1:
        raise TemplateError(("SCOPE",), f"say which one is added to a value without: {text}@SCOPE")
    return _attribute(attribute, scope or min(scopes))


def ldap_filter(text: str) -> str:
    """Write a filter of ours, with `{account}`, `{user}` and `{scope}`, as a template of the Identity Provider.

    Templates are read as US-ASCII: other characters are written as filters escape them (RFC 4515, section 3).
    Raises TemplateError.
    """
    if _OF_VELOCITY.search(text):
        raise TemplateError(("filter",), _MEANS_ELSE)
    text = re.sub(r"[^\x00-\x7f]", lambda found: "".join(f"\\{octet:02x}" for octet in found[0].encode()), text)
    return re.sub(r"\{(?:account|user|scope)\}", lambda found: _FIELDS[found[0]], text)


def _attribute(text: str, scope: str) -> Account:
    connector, slash, attribute = text.rpartition("/")
    if not _VARIABLE.fullmatch(attribute):
        raise TemplateError(
            ("ID",), "letters, digits and _ make an id that a template of the Identity Provider can name"
        )
    if slash and not _CONNECTOR.fullmatch(connector):
        raise TemplateError(("CONNECTOR",), "it is the id of a DataConnector: letters, digits, . _ and -")
    return Account(Form.EXPORTED if slash else Form.DEFINITION, scope, attribute, connector)


def idp_files(wanted: Wanted, values: Mapping[str, str]) -> tuple[RenderedFile, ...]:
    """Give the files for one organisation's Identity Provider.

    `values` holds what the templates ask for beside what `wanted` tells.  Raises TemplateError.
    """
    known = {**values, **_told_by(wanted)}
    wrong = [name for name in _IN_VELOCITY if _NOT_IN_VELOCITY.search(known.get(name, ""))]
    if wrong:
        raise TemplateError(tuple(wrong), _MEANS_ELSE)
    if "'" in known.get("CA", ""):
        raise TemplateError(("CA",), "a quotation mark would end the expression in which the file is named")
    known |= _quoted(known)
    return hand_out("idp", files_from(wanted.source), wanted.words, known)


def _told_by(wanted: Wanted) -> dict[str, str]:
    account = wanted.account
    told = {
        "VERSION": wanted.version,
        "SCOPE": account.scope,
        "ATTRIBUTE": account.attribute,
        "CONNECTOR": account.connector,
    }
    return {name: str(value) for name, value in told.items() if value}


def _quoted(values: Mapping[str, str]) -> dict[str, str]:
    """Give each value as a shell and as a query takes it."""
    in_shell = {f"{name}_IN_SHELL": shlex.quote(value) for name, value in values.items()}
    return in_shell | {f"{name}_IN_URL": quote(value, safe="") for name, value in values.items()}
