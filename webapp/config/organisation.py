"""The file of an organisation, and the settings that it results in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from resolver_connector.credentials import Right
from resolver_connector.transfers.orcid import OrcidTransfer
from shibboleth.account_holder import STABLE_IDS
from shibboleth.attributes import KEYS
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisation, Stage, State
from webapp.config import validators
from webapp.config.access import (
    AdministratorSettings,
    CredentialSettings,
    People,
    PilotSettings,
    require_unique_credential_names,
)
from webapp.config.base import Table, context_of, section, setting
from webapp.config.errors import InvalidSetting, SettingProblem
from webapp.config.orcid_client import OrganisationOrcidClient
from webapp.config.texts import A_LANGUAGE, LANGUAGES, ORGANISATION_NAMES, PrivacyNotices, RetentionSettings, Texts
from webapp.config.transfers import TransferTable, require_unique_names
from webapp.i18n.catalogues import SOURCE

AffiliationSettings = OrcidTransfer
"""The settings of the transfer that writes to people's ORCID records, for pages."""


class Keep(StrEnum):
    """What of a link stays in the store after it was delivered."""

    LINKS = "links"
    NOTHING = "nothing"


class SameId(StrEnum):
    """What happens if a second account of the organisation claims an iD."""

    ASK = "ask"
    REFUSE = "refuse"


class MissingStableId(StrEnum):
    """What the connector answers to a look-up without a stable id."""

    RELEASE = "release"
    WITHHOLD = "withhold"


class Deprecated(StrEnum):
    """What happens to a linked iD that ORCID merged into another one."""

    ASK = "ask"
    REPLACE = "replace"


class Inactive(StrEnum):
    """What happens to a linked iD that ORCID deactivated or locked."""

    RELEASE = "release"
    SUSPEND = "suspend"


def _unique(what: str) -> AfterValidator:
    def require_unique(value: Any, info: ValidationInfo) -> Any:
        context = context_of(info)
        context.require_unique(what, value, context.file.name)
        return value

    return AfterValidator(require_unique)


def _require_registry(stage: Stage, info: ValidationInfo) -> Stage:
    # The service and the organisation must both say whether iDs are real
    registry = context_of(info).registry
    if registry is Registry.SANDBOX and stage is not Stage.TEST:
        raise InvalidSetting(
            'is "production" while the service has registry = "sandbox", whose iDs are only for tests',
            'write stage = "test"',
        )
    if registry is Registry.PRODUCTION and stage is not Stage.PRODUCTION:
        raise InvalidSetting(
            'is "test" while the service has registry = "production"',
            'write stage = "production", or connect the organisation to a service with registry = "sandbox"',
        )
    return stage


def _list_of_one(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _require_entity_id(entity_ids: tuple[str, ...]) -> tuple[str, ...]:
    if not entity_ids:
        example = 'write for example: entity_ids = ["https://idp.example.org/idp/shibboleth"]'
        raise InvalidSetting("is empty, so all sign-ins would be refused", example)
    return _require_different(entity_ids)


def _require_different(entity_ids: tuple[str, ...]) -> tuple[str, ...]:
    if len({*entity_ids}) != len(entity_ids):
        raise InvalidSetting("has the same entityID twice", "write each once")
    return entity_ids


def _require_other_entity_ids(former: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if not {*former}.isdisjoint(info.data.get("entity_ids", ())):
        raise InvalidSetting("has an entityID that is in entity_ids too", "remove it from one of the two")
    return _require_different(former)


def _require_scope(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if not scopes:
        raise InvalidSetting(
            "is empty, so all sign-ins would be refused", 'write for example: scopes = ["example.org"]'
        )
    return scopes


def _require_other_attribute(name: str | None, info: ValidationInfo) -> str | None:
    if name is not None and name == info.data.get("key"):
        raise InvalidSetting("is the key as well, which then identifies people alone", "remove stable_id")
    return name


def _require_stable_id(missing: MissingStableId, info: ValidationInfo) -> MissingStableId:
    if missing is MissingStableId.WITHHOLD and info.data.get("stable_id") is None:
        raise InvalidSetting(
            'is "withhold" and there is no stable_id, so no iD would be released', 'add stable_id = "subject-id"'
        )
    return missing


def _require_receiver(keep: Keep, info: ValidationInfo) -> Keep:
    kinds = [each.kind for each in info.data.get("transfer", ())]
    if keep is Keep.NOTHING and OrcidTransfer.kind in kinds:
        raise InvalidSetting(
            'is "nothing" and there is a transfer of kind "orcid", which has to know later what it wrote to records',
            'remove that [[transfer]], or write keep = "links"',
        )
    if keep is Keep.NOTHING and info.data.get("transfer") == ():
        raise InvalidSetting(
            'is "nothing" and there is no transfer, so links would not reach the organisation',
            'add a [[transfer]], or write keep = "links"',
        )
    if keep is Keep.NOTHING and info.data.get("credential"):
        raise InvalidSetting(
            'is "nothing", so the connector has nothing to answer with',
            'remove each [[credential]], or write keep = "links"',
        )
    client = info.data.get("orcid")
    if keep is Keep.NOTHING and client is not None and client.permissions:
        raise InvalidSetting(
            'is "nothing", so nothing can be kept that people permit at ORCID',
            'write scopes = ["/authenticate"] in [orcid], or keep = "links"',
        )
    return keep


_Chosen = TypeVar("_Chosen", Deprecated, Inactive)


def _require_links(chosen: _Chosen, info: ValidationInfo) -> _Chosen:
    if chosen in {Deprecated.REPLACE, Inactive.SUSPEND} and info.data.get("keep") is Keep.NOTHING:
        raise InvalidSetting(f'is "{chosen}" while keep = "nothing", so there is no link to apply it to', "remove it")
    return chosen


if TYPE_CHECKING:
    Names = Table
else:
    Names = ORGANISATION_NAMES


def _require_known_credentials(transfers: tuple[TransferTable, ...], info: ValidationInfo) -> tuple[TransferTable, ...]:
    names = [each.name for each in info.data.get("credential", ())]
    for transfer in transfers:
        # Those of an invalid [[credential]] are not known
        if transfer.credential is not None and "credential" in info.data and transfer.credential not in names:
            raise InvalidSetting(
                f"has one, {transfer.name}, whose credential names no [[credential]] of the file",
                "name one of them, or remove the setting",
            )
    return transfers


def _require_participants(state: State, info: ValidationInfo) -> State:
    pilot = info.data.get("pilot")
    if state is State.PILOT and pilot is not None and not (pilot.people or pilot.entitlements):
        raise InvalidSetting(
            'is "pilot" and [pilot] names neither people nor entitlements',
            'add [pilot] with people = ["maija@example.org"] or entitlements',
        )
    return state


class AuthorityClients(Table):
    """Services that may query the authority about the organisation's people."""

    services: Annotated[tuple[Annotated[str, AfterValidator(validators.entity_id)], ...], Field(strict=False)] = (
        setting(
            "The entityIDs of the services that may query the attribute authority about its people.",
            "a list of entityIDs in quotes",
            ["https://sp.example.net/shibboleth"],
            default=(),
        )
    )


class OrganisationFile(Table):
    """The file of an organisation.

    Its name without `.toml` is the organisation's id.
    """

    entity_ids: Annotated[
        tuple[Annotated[str, AfterValidator(validators.entity_id), _unique("entityID")], ...],
        Field(strict=False),
        BeforeValidator(_list_of_one),
        AfterValidator(_require_entity_id),
    ] = setting(
        "The entityIDs of its Identity Providers, exactly as their metadata has them. The first one is also its name "
        'for receivers with `profile = "csc"`.',
        "an entityID in quotes, or a list of them",
        ["https://idp.example.org/idp/shibboleth"],
    )
    former_entity_ids: Annotated[
        tuple[Annotated[str, AfterValidator(validators.entity_id), _unique("entityID")], ...],
        Field(strict=False),
        BeforeValidator(_list_of_one),
        AfterValidator(_require_other_entity_ids),
    ] = setting(
        "EntityIDs that its Identity Providers had. Sign-ins through them are refused, and `check` does not report "
        "them as missing.",
        "an entityID in quotes, or a list of them",
        ["https://idp.old.example.org/idp/shibboleth"],
        default=(),
    )
    scopes: Annotated[
        tuple[Annotated[str, AfterValidator(validators.scope)], ...],
        Field(strict=False),
        AfterValidator(_require_scope),
    ] = setting(
        "The scopes of its people's identifiers, after the @; people with another scope are refused.",
        "a list of one or more domain names in quotes",
        ["example.org"],
    )
    stage: Annotated[Stage, Field(strict=False), AfterValidator(_require_registry)] = setting(
        "The stage of the organisation: `test` with the sandbox, `production` with the production registry.",
        '"test" or "production"',
        "test",
    )
    key: Annotated[str, AfterValidator(lambda text: validators.one_of(text, KEYS))] = setting(
        "The attribute that identifies its people.",
        "the name of an attribute in quotes: " + ", ".join(KEYS),
        "eppn",
        default="eppn",
    )
    stable_id: Annotated[
        Annotated[str, AfterValidator(lambda text: validators.one_of(text, STABLE_IDS))] | None,
        AfterValidator(_require_other_attribute),
    ] = setting(
        "The attribute by which a reassigned account and a renamed account are recognised.",
        "the name of an attribute in quotes: " + ", ".join(STABLE_IDS),
        "subject-id",
        default=None,
    )
    stable_id_missing: Annotated[MissingStableId, Field(strict=False), AfterValidator(_require_stable_id)] = setting(
        "What a look-up without a stable id gets: `release` the iD, or `withhold` it.",
        '"release" or "withhold"',
        "withhold",
        default=MissingStableId.RELEASE,
    )
    same_id: Annotated[SameId, Field(strict=False)] = setting(
        "If a second account claims an iD: `ask` its holder to confirm that, or `refuse`.",
        '"ask" or "refuse"',
        "refuse",
        default=SameId.ASK,
    )
    test_accounts: People = setting(
        "Accounts that may link an iD in the states `hidden` and `pilot` too, by the key attribute.",
        "a list of values of the key attribute in quotes",
        ["test@example.org"],
        default=(),
    )
    help: Annotated[str, AfterValidator(validators.contact)] | None = setting(
        "The contact for its people's questions about their account.",
        "an e-mail address or an https address in quotes",
        "idm@example.org",
        default=None,
    )
    language: Annotated[str, AfterValidator(lambda text: validators.one_of(text, LANGUAGES))] | None = setting(
        "The language of the pages for its people, if their browser asks for none of the available ones.",
        A_LANGUAGE,
        "fi",
        default=None,
        shown="the service's",
    )
    researchers: int | None = setting(
        "How many researchers it has, for the share of them that has connected an iD.",
        "a whole number from 1 to 1000000",
        3200,
        default=None,
        ge=1,
        le=1_000_000,
    )
    name: Names = section()
    administrators: AdministratorSettings = section()
    pilot: PilotSettings = section()
    authority: AuthorityClients = section()
    orcid: OrganisationOrcidClient | None = None
    notices: PrivacyNotices = section()
    retention: RetentionSettings = section()
    credential: Annotated[
        tuple[CredentialSettings, ...], Field(strict=False), AfterValidator(require_unique_credential_names)
    ] = ()
    transfer: Annotated[
        tuple[TransferTable, ...],
        Field(strict=False),
        AfterValidator(require_unique_names),
        AfterValidator(_require_known_credentials),
    ] = ()
    # After the fields that their validators read
    state: Annotated[State, Field(strict=False), AfterValidator(_require_participants)] = setting(
        "Who may link an iD: with `hidden` the `test_accounts`, and the organisation is not on the start page; with "
        "`pilot` also the people of `[pilot]`; with `open` all its people; with `closed` none, while links stay, are "
        "released and can be removed.",
        '"hidden", "pilot", "open" or "closed"',
        "pilot",
        default=State.OPEN,
    )
    keep: Annotated[Keep, Field(strict=False), AfterValidator(_require_receiver)] = setting(
        "What is kept: `links`, or `nothing` after a link was delivered or given up, for organisations that only have "
        "transfers.",
        '"links" or "nothing"',
        "nothing",
        default=Keep.LINKS,
    )

    deprecated: Annotated[Deprecated, Field(strict=False), AfterValidator(_require_links)] = setting(
        "What happens to an iD that ORCID merged into another: `ask` the person, or `replace` it by the other one.",
        '"ask" or "replace"',
        "replace",
        default=Deprecated.ASK,
    )
    inactive: Annotated[Inactive, Field(strict=False), AfterValidator(_require_links)] = setting(
        "What happens to an iD that ORCID deactivated or locked: `release` it still, or `suspend` the release until "
        "the record is in use again.",
        '"release" or "suspend"',
        "suspend",
        default=Inactive.RELEASE,
    )

    def organisation(self, name: str) -> Organisation:
        """Return the organisation with this id."""
        names = MappingProxyType(self.name.model_dump(exclude_none=True))
        return Organisation(
            name,
            self.entity_ids,
            names,
            frozenset(self.scopes),
            self.key,
            self.stage,
            self.help or "",
            self.language or "",
            self.former_entity_ids,
            self.stable_id or "",
            self.same_id is SameId.ASK,
            self.stable_id_missing is MissingStableId.WITHHOLD,
            self.state,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MisconfiguredOrganisation:
    """An organisation whose file is invalid, and what could be read of it.

    Its people and its systems are told that it is left out until the file is fixed.
    """

    id: str
    problems: tuple[SettingProblem, ...]
    entity_ids: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    credentials: tuple[CredentialSettings, ...] = ()
    """Those that are valid by themselves."""
    credentials_known: bool = False
    """Whether these are all credentials of the organisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationSettings:
    """Everything that the configuration says about one organisation."""

    organisation: Organisation
    credentials: tuple[CredentialSettings, ...] = ()
    """The credentials with which its systems authenticate to the connector."""
    transfers: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """By name; each is a model of its kind (`TRANSFERS`)."""
    transfer_labels: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """What people are told that a transfer is, by the transfer's name and by language."""
    transfer_credentials: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The credential of the system behind a transfer, by the transfer's name, where it has one."""
    keep: Keep = Keep.LINKS
    deprecated: Deprecated = Deprecated.ASK
    inactive: Inactive = Inactive.RELEASE
    administrators: AdministratorSettings = field(default_factory=AdministratorSettings)
    test_accounts: tuple[str, ...] = ()
    """Accounts that may link in the states `hidden` and `pilot`."""
    pilot: PilotSettings = field(default_factory=PilotSettings)
    texts: Texts = field(default_factory=lambda: MappingProxyType({}))
    """Texts of the privacy notice that replace the service's for its people."""
    retention_days: int | None = None
    """Days after which the data of a person without a link is deleted; None where it is kept until they erase it."""
    orcid: OrganisationOrcidClient | None = None
    """Its own client at ORCID; None if its people link with the service's."""
    authority_clients: frozenset[str] = frozenset()
    """The entityIDs of the services that may query the attribute authority about its people."""
    researchers: int | None = None
    """How many researchers it has; None if that is not known."""

    @property
    def affiliation_transfer(self) -> tuple[str, AffiliationSettings] | None:
        """Name and settings of the transfer that writes to ORCID records."""
        found = [(name, each) for name, each in self.transfers.items() if isinstance(each, OrcidTransfer)]
        return found[0] if found else None

    @property
    def idm_transfers(self) -> tuple[str, ...]:
        """The names of the transfers to the organisation's own systems."""
        return tuple(name for name, each in self.transfers.items() if not isinstance(each, OrcidTransfer))

    @property
    def keeps_links(self) -> bool:
        """Whether links stay in the store once they have been delivered."""
        return self.keep is Keep.LINKS

    def may(self, right: Right) -> bool:
        """Return whether any credential of the organisation has a right."""
        return any(right in each.rights for each in self.credentials)

    @property
    def looks_up(self) -> bool:
        """Whether the organisation's IdP can query the connector."""
        return self.keeps_links and self.may(Right.READ)

    @property
    def uses_feed(self) -> bool:
        """Whether the organisation can fetch its changes from the connector."""
        return self.keeps_links and self.may(Right.FEED)

    @property
    def fetches_tokens(self) -> bool:
        """Whether a system of the organisation may fetch access tokens."""
        return self.may(Right.TOKENS)

    def transfer_label(self, transfer: str, language: str) -> str:
        """Return the label of a transfer in a language, else in English.

        Returns:
            Empty where it has none.
        """
        label = self.transfer_labels.get(transfer, {})
        return label.get(language) or label.get(SOURCE, "")
