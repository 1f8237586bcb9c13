"""The configuration: one file for the service and one for each organisation, read whole or refused whole.

`load` gives a `Config` in which nothing is left to check, or raises `Misconfigured` with every problem at once.
The models, one file of `config_….py` for each story, are also the source of the reference page: each setting says what
it is, and shows an example.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shibboleth.organisation import Organisations
from shibboleth.person import AttributeSource, Proxy, Variables
from webapp.config import values
from webapp.config.branding import BrandingSettings
from webapp.config.errors import Misconfigured, SettingProblem
from webapp.config.files import content_of, directory_in, organisation_paths, registry_in
from webapp.config.listen import AuthorityListener, ConnectorListener, WebListener
from webapp.config.mail import MailSettings
from webapp.config.notices import Accessibility
from webapp.config.operator import Administrators, Metrics, Operator, unknown
from webapp.config.organisation import CredentialSettings, Keep, OrganisationFile
from webapp.config.secret import Secret
from webapp.config.service import OrcidSettings, ServiceFile, ServiceSettings, StoreSettings
from webapp.config.tables import ConfigContext, Kinds, Table, checked
from webapp.config.transfers import labels_of, transfers_in
from webapp.pages.operator_texts import Texts

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
    credentials: Mapping[str, CredentialSettings]
    """By entityID, for each organisation."""
    transfers: Mapping[str, Mapping[str, Any]]
    """By entityID and name; each is of a kind that `load` was given."""
    labels: Mapping[str, Mapping[str, Mapping[str, str]]]
    """What people are told that a transfer is: by entityID, name and language."""
    keep: Mapping[str, Keep]
    """By entityID."""
    metrics: Metrics
    operators: tuple[Operator, ...]
    administrators: Mapping[str, Administrators]
    """By entityID."""
    mail: MailSettings
    notices: Texts
    own_notices: Mapping[str, Texts]
    """By entityID, for each organisation."""
    accessibility: Accessibility
    retention: Mapping[str, int]
    """After how many days what has ended is forgotten, by entityID, for the organisations where it is."""
    askers: Mapping[str, frozenset[str]]
    """Who may ask the attribute authority about an organisation's people: entityIDs, by entityID."""
    secrets: tuple[Secret, ...]
    """Every secret that was resolved, in the order of the files."""

    @property
    def front(self) -> AttributeSource:
        """The one place where it is read who is signed in."""
        proof = self.service.front_proof
        return Variables() if proof is None else Proxy(proof.reveal())

    @property
    def asking(self) -> frozenset[str]:
        """The entityIDs of the organisations that may ask the connector, and fetch changes there."""
        keep = {entity_id for entity_id, keep in self.keep.items() if keep is Keep.LINKS}
        return frozenset(entity_id for entity_id in keep if self.credentials[entity_id])

    @property
    def redirect_uri(self) -> str:
        """Where ORCID sends people back to: to be registered there, character by character."""
        return self.service.public_url + values.CALLBACK


def load(path: Path | str, environ: Mapping[str, str], kinds: Callable[[], Kinds] = dict) -> Config:
    """Read the service's file and all organisations' files. Raises Misconfigured with every problem in them.

    `kinds` gives the kinds of transfers by name: pydantic models, which this package does not import.
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
    return Config(
        path=path,
        service=main.service,
        orcid=main.orcid,
        store=main.store,
        listen=main.listen,
        connector=main.connector,
        authority=main.authority,
        look=main.look,
        organisations=Organisations.of(one.file.organisation(name) for name, one in connected.items()),
        credentials=MappingProxyType({one.file.entity_id: one.file.connector for one in connected.values()}),
        transfers=MappingProxyType({one.file.entity_id: one.transfers for one in connected.values()}),
        labels=MappingProxyType({one.file.entity_id: labels_of(one.file.transfer) for one in connected.values()}),
        keep=MappingProxyType({one.file.entity_id: one.file.keep for one in connected.values()}),
        metrics=main.metrics,
        operators=main.operator,
        administrators=MappingProxyType({one.file.entity_id: one.file.administrators for one in connected.values()}),
        mail=main.mail,
        notices=_texts(main.notices),
        own_notices=MappingProxyType({one.file.entity_id: _texts(one.file.notices) for one in connected.values()}),
        accessibility=main.accessibility,
        retention=_retention(main, connected),
        askers=MappingProxyType(
            {one.file.entity_id: frozenset(one.file.authority.services) for one in connected.values()}
        ),
        secrets=tuple(reading.secrets),
    )


def _texts(notices: Table) -> Texts:
    written = {
        code: {name: text for name, text in texts.items() if text} for code, texts in notices.model_dump().items()
    }
    return MappingProxyType({code: MappingProxyType(texts) for code, texts in written.items() if texts})


def _retention(main: ServiceFile, connected: Mapping[str, _Connected]) -> Mapping[str, int]:
    said = {
        one.file.entity_id: one.file.retention.ended_days or main.retention.ended_days for one in connected.values()
    }
    return MappingProxyType({entity_id: days for entity_id, days in said.items() if days is not None})


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
