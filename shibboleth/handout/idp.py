"""The files for an organisation's Identity Provider.

Each file is complete, and its path is the one that the Identity Provider reads.

Differences between versions of the Identity Provider, sources of iDs and forms of accounts are conditions in the
templates of `idp/`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from shibboleth.handout.render import RenderedFile, TemplateError, TemplateFile, render_files


class Version(StrEnum):
    """Version of the Shibboleth Identity Provider."""

    V3_4 = "3.4"
    V4 = "4"
    V5 = "5"


class SourceKind(StrEnum):
    """Where the Identity Provider reads iDs from."""

    HTTP = "http"
    SQL = "sql"
    LDAP = "ldap"


class Release(StrEnum):
    """To which services the Identity Provider releases iDs."""

    ASKING = "asking"
    ALL = "all"


class AccountForm(StrEnum):
    """What the Identity Provider makes the account from."""

    PRINCIPAL = "principal"
    """The principal name is the account, including its scope."""
    PRINCIPAL_AT = "principal-at"
    """The principal name is the account without its scope."""
    DEFINITION = "definition"
    """An attribute of an AttributeDefinition."""
    EXPORTED = "exported"
    """An attribute of a DataConnector."""


@dataclass(frozen=True, slots=True)
class Account:
    """How the Identity Provider makes a person's account."""

    form: AccountForm
    scope: str = ""
    """Added to values without a scope."""
    attribute: str = ""
    connector: str = ""
    """The DataConnector of the attribute; empty for an AttributeDefinition."""


WITH_SECRET = "secret"  # noqa: S105 - the name of a condition
"""Condition: the source needs a secret."""

_CONF = "conf/orcid-connect"
_REGISTRY = frozenset({Version.V4, Version.V5})


def idp_templates(source: SourceKind) -> tuple[TemplateFile, ...]:
    """Return the templates for a source and the paths of the rendered files."""
    return (
        TemplateFile("README.txt", "README.txt"),
        TemplateFile(f"resolver-{source}.xml", f"{_CONF}/attribute-resolver.xml"),
        TemplateFile("beans.xml", f"{_CONF}/beans.xml", frozenset({SourceKind.HTTP, SourceKind.SQL})),
        TemplateFile("attribute-filter.xml", f"{_CONF}/attribute-filter.xml"),
        TemplateFile(
            f"secret-{source}.properties", "credentials/orcid-connect.properties", frozenset({WITH_SECRET}), secret=True
        ),
        TemplateFile("rule.properties", "only-if-missing/eduPersonOrcid.properties", _REGISTRY),
    )


_VARIABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_CONNECTOR = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_VELOCITY_ERROR = "$, # and non-ASCII characters are not possible in a Velocity template of the Identity Provider"
_VELOCITY_PLACEHOLDERS = ("URL", "SCOPE", "STABLE_SCOPE")
_VELOCITY_FIELDS = {
    "{account}": "$account",
    "{user}": "$account.replaceAll('@[^@]*$', '')",
    "{scope}": "$account.replaceAll('^.*@', '')",
}


@dataclass(frozen=True, slots=True)
class IdpOptions:
    """What the files are rendered for."""

    version: Version
    source: SourceKind
    account: Account
    release: Release
    extra_conditions: frozenset[str] = frozenset()
    """Further conditions of the templates: the kind of credential, the kind of database."""
    stable_id: Account | None = None
    """The attribute with the stable id that a look-up names; None where it names none."""

    @property
    def conditions(self) -> frozenset[str]:
        """All conditions that hold."""
        stable = {"account-only"} if self.stable_id is None else {"stable"}
        if self.stable_id is not None and not self.same_connector:
            stable.add(f"stable-{self.stable_id.form}")
        return self.extra_conditions | {self.version, self.source, self.account.form, self.release} | stable

    @property
    def same_connector(self) -> bool:
        """Whether one DataConnector exports the account and the stable id."""
        return (
            self.stable_id is not None
            and bool(self.account.connector)
            and (self.account.connector == self.stable_id.connector)
        )


def parse_account(text: str, scopes: frozenset[str]) -> Account:
    """Parse the option that names an account's attribute.

    Forms: `principal`, `principal@SCOPE`, `attribute:ID`, `attribute:CONNECTOR/ID`.

    An attribute can have `@SCOPE` too, and must have it where the organisation has several scopes.

    Raises:
        TemplateError: If the text has none of these forms, or the scope is not one of `scopes`.
    """
    kind, at, scope = text.partition("@")
    if at and scope not in scopes:
        raise TemplateError(("SCOPE",), f"the organisation's scopes are {', '.join(sorted(scopes))}")
    if kind == "principal":
        return Account(AccountForm.PRINCIPAL_AT, scope) if at else Account(AccountForm.PRINCIPAL)
    prefix, _, source = kind.partition(":")
    if prefix != "attribute":
        raise TemplateError(("person",), "use principal, principal@SCOPE, attribute:ID or attribute:CONNECTOR/ID")
    if not at and len(scopes) > 1:
        raise TemplateError(("SCOPE",), f"name the scope that is added to values without one: {text}@SCOPE")
    connector, slash, attribute = source.rpartition("/")
    if not _VARIABLE.fullmatch(attribute):
        raise TemplateError(("ID",), "a Velocity template can only name ids of letters, digits and _")
    if slash and not _CONNECTOR.fullmatch(connector):
        raise TemplateError(("CONNECTOR",), "the id of a DataConnector has letters, digits, . _ and -")
    return Account(
        AccountForm.EXPORTED if slash else AccountForm.DEFINITION, scope or min(scopes), attribute, connector
    )


def parse_stable_id_attribute(text: str, scopes: frozenset[str]) -> Account:
    """Parse `attribute:ID` or `attribute:CONNECTOR/ID`.

    The text must also end in `@SCOPE` if the organisation has several scopes.

    Raises:
        TemplateError: If the text has neither form, or the scope is not one of `scopes`.
    """
    if not text.startswith("attribute:"):
        raise TemplateError(("stable-id",), "use attribute:ID or attribute:CONNECTOR/ID")
    return parse_account(text, scopes)


def ldap_filter(text: str) -> str:
    """Translate an LDAP filter into a Velocity template.

    The filter may have the placeholders `{account}`, `{user}` and `{scope}`; the Identity Provider reads the template.

    Such templates are read as US-ASCII: other characters are escaped (RFC 4515, section 3).

    Raises:
        TemplateError: If the filter has $ or #.
    """
    if re.search(r"[$#]", text):
        raise TemplateError(("filter",), _VELOCITY_ERROR)
    text = re.sub(r"[^\x00-\x7f]", lambda match: "".join(f"\\{octet:02x}" for octet in match[0].encode()), text)
    return re.sub(r"\{(?:account|user|scope)\}", lambda match: _VELOCITY_FIELDS[match[0]], text)


def idp_files(options: IdpOptions, values: Mapping[str, str]) -> tuple[RenderedFile, ...]:
    """Render the files for one organisation's Identity Provider.

    Args:
        options: What the files are rendered for.
        values: The values of placeholders that do not follow from the options.

    Raises:
        TemplateError: If a value is missing, or is not allowed in a file.
    """
    account, stable_id = options.account, options.stable_id or Account(AccountForm.PRINCIPAL)
    names = [account.attribute, *([stable_id.attribute] if options.same_connector else [])]
    derived = {
        "VERSION": str(options.version),
        "SCOPE": account.scope,
        "ATTRIBUTE": account.attribute,
        "CONNECTOR": account.connector,
        "ATTRIBUTE_NAMES": " ".join(dict.fromkeys(names)),
        "STABLE_ATTRIBUTE": stable_id.attribute,
        "STABLE_CONNECTOR": stable_id.connector,
        "STABLE_SCOPE": stable_id.scope,
    }
    known = {**values, **{name: value for name, value in derived.items() if value}}
    wrong = [name for name in _VELOCITY_PLACEHOLDERS if re.search(r"[$#]|[^\x00-\x7f]", known.get(name, ""))]
    if wrong:
        raise TemplateError(tuple(wrong), _VELOCITY_ERROR)
    if "'" in known.get("CA", ""):
        raise TemplateError(("CA",), "a quotation mark would end the expression that names the file")
    in_shell = {f"{name}_IN_SHELL": shlex.quote(value) for name, value in known.items()}
    in_url = {f"{name}_IN_URL": quote(value, safe="") for name, value in known.items()}
    return render_files("idp", idp_templates(options.source), options.conditions, known | in_shell | in_url)
