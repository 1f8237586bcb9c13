"""The section [orcid] of an organisation's file: its own client at ORCID."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from resolver_connector.orcid.scopes import PERMISSIONS, Scope, permissions_in
from webapp.config import validators
from webapp.config.base import SecretReference, Table, context_of, setting
from webapp.config.errors import InvalidSetting, SettingProblem
from webapp.config.secret import REFERENCE

CLIENT_ID = "ORCID client id"
"""What the client id is called where another file has the same one."""
_SCOPES = (Scope.AUTHENTICATE, *PERMISSIONS)


def _require_unique(client_id: str, info: ValidationInfo) -> str:
    # Otherwise tokens of one organisation's people would be another's as well
    context = context_of(info)
    context.require_unique(CLIENT_ID, client_id, context.file.name)
    return client_id


def _parse_scope(name: Any) -> Any:
    return Scope(validators.one_of(name, _SCOPES)) if isinstance(name, str) else name


def _require_scope(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    if not scopes:
        raise InvalidSetting("is empty", f'write scopes = ["{Scope.AUTHENTICATE}"] to ask for the iD alone')
    if len({*scopes}) < len(scopes):
        raise InvalidSetting("has the same scope twice", "write each once")
    return scopes


class OrganisationOrcidClient(Table):
    """The organisation's own OAuth client at ORCID.

    Its people link with this client instead of the service's.
    """

    client_id: Annotated[str, AfterValidator(validators.single_line), AfterValidator(_require_unique)] = setting(
        "The client id that ORCID gave the organisation; no other organisation has the same.",
        "a client id in quotes",
        "APP-1B2C3D4E5F6G7H8J",
    )
    client_secret: SecretReference = setting(
        "The client secret that ORCID gave the organisation.", REFERENCE, "file:secrets/example-org-orcid"
    )
    scopes: Annotated[
        tuple[Annotated[Scope, BeforeValidator(_parse_scope)], ...],
        Field(strict=False),
        AfterValidator(_require_scope),
    ] = setting(
        "What people are asked to permit. `/authenticate` is the iD alone, and always enough to link; people choose "
        "each of the others, which need a member client and the service's `token_keys`.",
        "a list of scopes in quotes: " + ", ".join(_SCOPES),
        ["/authenticate", "/read-limited", "/activities/update"],
        default=(Scope.AUTHENTICATE,),
        shown='`["/authenticate"]`',
    )

    @property
    def permissions(self) -> tuple[Scope, ...]:
        """The scopes that people may leave out, in a fixed order."""
        return permissions_in(" ".join(self.scopes))


class FormerOrcidClient(Table):
    """A client at ORCID that is used no more, whose tokens are to be revoked.

    It was the service's, or an organisation's. Remove it when `orcid-connect check` says that nothing waits.
    """

    client_id: Annotated[str, AfterValidator(validators.single_line), AfterValidator(_require_unique)] = setting(
        "Its client id. All its tokens are revoked, also those of current links, whose people may permit again.",
        "a client id in quotes",
        "APP-2C3D4E5F6G7H8J9K",
    )
    client_secret: SecretReference = setting(
        "Its client secret: only the client that got a token can revoke it.",
        REFERENCE,
        "file:secrets/former-orcid-client",
    )


def client_problems(
    file: Path, client: OrganisationOrcidClient, service_client_id: str, *, simulated: bool, tokens_kept: bool
) -> Iterable[SettingProblem]:
    """Yield what is wrong with a client, given the service's settings.

    Args:
        file: The organisation's file.
        client: The organisation's client.
        service_client_id: The client id of the service's own client.
        simulated: Whether the service uses a simulator, whose client ids have any form.
        tokens_kept: Whether the service has keys for the tokens of this client.
    """
    if client.client_id == service_client_id:
        fix = "write the one that ORCID gave the organisation, or remove [orcid]"
        yield SettingProblem(str(file), "orcid.client_id", "is the client id of the service", fix)
    try:
        if not simulated:
            validators.client_id(client.client_id)
    except InvalidSetting as error:
        yield SettingProblem(str(file), "orcid.client_id", error.text, error.fix)
    if client.permissions and not tokens_kept:
        text = f"go beyond {Scope.AUTHENTICATE}, and the service has no key for the tokens of such scopes"
        fix = "add token_keys to [orcid] of the service's file, or leave them out"
        yield SettingProblem(str(file), "orcid.scopes", text, fix)


def affiliation_problems(file: Path, client: OrganisationOrcidClient | None) -> Iterable[SettingProblem]:
    """Yield what a transfer of kind `orcid` lacks to write with."""
    if client is None:
        text = 'has one of kind "orcid", and there is no [orcid] with the client that writes'
        yield SettingProblem(str(file), "transfer", text, f'add [orcid] with scopes = ["{Scope.ACTIVITIES_UPDATE}"]')
    elif Scope.ACTIVITIES_UPDATE not in client.scopes:
        text = f'lack {Scope.ACTIVITIES_UPDATE}, which the transfer of kind "orcid" needs'
        yield SettingProblem(str(file), "orcid.scopes", text, f'add "{Scope.ACTIVITIES_UPDATE}"')
