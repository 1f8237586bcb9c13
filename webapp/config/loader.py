"""The configuration: one file for the service and one for each organisation, read whole or refused whole.

`load` gives a `Config` in which nothing is left to check, or raises `Misconfigured` with every problem at once.
The models, one file of `config_….py` for each story, are also the source of the reference page: each setting says what
it is, and shows an example.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resolver_connector.transfers import TRANSFERS
from shibboleth.organisation import Organisations
from shibboleth.person import AttributeSource, HeaderSource, VariableSource
from webapp.config import values
from webapp.config.branding import BrandingSettings
from webapp.config.errors import Misconfigured, SettingProblem
from webapp.config.files import content_of, directory_in, organisation_paths, registry_in
from webapp.config.listen import AuthorityListener, ConnectorListener, WebListener
from webapp.config.mail import MailSettings
from webapp.config.notices import Accessibility, Texts
from webapp.config.operator import Metrics, Operator, unknown
from webapp.config.organisation import OrganisationFile, OrganisationSettings
from webapp.config.secret import Secret
from webapp.config.service import OrcidSettings, ServiceFile, ServiceSettings, StoreSettings
from webapp.config.service_provider import ServiceProviderSettings
from webapp.config.tables import ConfigContext, Table, checked
from webapp.config.transfers import labels_of, transfers_in

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; whoever has one has nothing left to check."""

    path: Path
    service: ServiceSettings
    orcid: OrcidSettings
    store: StoreSettings
    listen: WebListener
    connector: ConnectorListener
    authority: AuthorityListener
    look: BrandingSettings
    organisations: Organisations
    organisation_settings: Mapping[str, OrganisationSettings]
    """By entityID, one for each of `organisations`."""
    metrics: Metrics
    operators: tuple[Operator, ...]
    mail: MailSettings
    service_provider: ServiceProviderSettings
    notices: Texts
    accessibility: Accessibility
    secrets: tuple[Secret, ...]
    """Every secret that was resolved, in the order of the files."""

    @property
    def front(self) -> AttributeSource:
        """The one place where it is read who is signed in."""
        proof = self.service.front_proof
        return VariableSource() if proof is None else HeaderSource(proof.reveal())

    @property
    def transfers(self) -> Mapping[str, Mapping[str, Any]]:
        """The transfers of each organisation, by entityID and name."""
        return {entity_id: one.transfers for entity_id, one in self.organisation_settings.items()}

    @property
    def redirect_uri(self) -> str:
        """Where ORCID sends people back to: to be registered there, character by character."""
        return self.service.public_url + values.CALLBACK


def load(path: Path | str, environ: Mapping[str, str], kinds: Mapping[str, type[Any]] = TRANSFERS) -> Config:
    """Read and validate the service's file and all organisations' files.

    Args:
        path: The service's file; relative paths in all files start at its directory.
        environ: The variables to which `env:` references refer.
        kinds: The kinds of transfers by name; their fields are the settings of a transfer.

    Raises:
        Misconfigured: If anything is wrong; it holds every problem of all files.
    """
    path = Path(path)
    problems: list[SettingProblem] = []
    content = content_of(path, problems)
    reading = ConfigContext(path, path.parent, environ, registry_in(content), kinds)
    main = None if content is None else checked(ServiceFile, content, reading, problems)
    connected = _connected(path.parent / directory_in(content), reading, problems, sure=content is not None)
    if main is not None and not problems:
        problems.extend(unknown(main.operator, [one.file.entity_id for one in connected.values()], reading))
    if main is None or problems:
        raise Misconfigured(problems)
    settings = [_settings(name, one, main) for name, one in connected.items()]
    return Config(
        path=path,
        service=main.service,
        orcid=main.orcid,
        store=main.store,
        listen=main.listen,
        connector=main.connector,
        authority=main.authority,
        look=main.look,
        organisations=Organisations.of(one.organisation for one in settings),
        organisation_settings=MappingProxyType({one.organisation.entity_id: one for one in settings}),
        metrics=main.metrics,
        operators=main.operator,
        mail=main.mail,
        service_provider=main.service_provider,
        notices=_texts(main.notices),
        accessibility=main.accessibility,
        secrets=tuple(reading.secrets),
    )


def _texts(notices: Table) -> Texts:
    written = {
        code: {name: text for name, text in texts.items() if text} for code, texts in notices.model_dump().items()
    }
    return MappingProxyType({code: MappingProxyType(texts) for code, texts in written.items() if texts})


def _settings(name: str, connected: _Connected, main: ServiceFile) -> OrganisationSettings:
    file = connected.file
    return OrganisationSettings(
        organisation=file.organisation(name),
        credentials=file.connector,
        transfers=connected.transfers,
        transfer_labels=labels_of(file.transfer),
        keep=file.keep,
        administrators=file.administrators,
        texts=_texts(file.notices),
        retention_days=file.retention.ended_days or main.retention.ended_days,
        authority_clients=frozenset(file.authority.services),
    )


@dataclass(frozen=True, slots=True)
class _Connected:
    """An organisation as it was read."""

    file: OrganisationFile
    transfers: Mapping[str, Any]


def _connected(
    directory: Path, reading: ConfigContext, problems: list[SettingProblem], *, sure: bool
) -> dict[str, _Connected]:
    """Read the organisations by id; `sure` when the directory is the one the service's file says."""
    found = {}
    paths = organisation_paths(directory)
    if sure and not paths:
        mend = f"add {directory}/<id>.toml for each organisation; docs/settings.md shows one"
        problems.append(SettingProblem(str(directory), "", "no organisation is connected", mend))
    for path in paths:
        content = content_of(path, problems)
        one = None if content is None else _organisation(content, reading.of(path), problems)
        if not _ID.fullmatch(path.stem) or path.suffix != ".toml":
            mend = "rename it: a-z, 0-9 and - before .toml, as in example-org.toml"
            problems.append(SettingProblem(str(path), "", "its name is the organisation's id, and cannot be one", mend))
        elif one is not None:
            found[path.stem] = one
    return found


def _organisation(content: dict[str, Any], reading: ConfigContext, problems: list[SettingProblem]) -> _Connected | None:
    file = checked(OrganisationFile, content, reading, problems)
    transfers = transfers_in(content, reading, problems)
    return None if file is None else _Connected(file, transfers)
