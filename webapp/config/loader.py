"""Loads the configuration: the service's file and one for each organisation.

`load` returns a `Config`, or raises `Misconfigured` with every problem. An organisation whose file is invalid is left
out (`Config.misconfigured`); an invalid file of the service, or no valid organisation at all, is an error of the whole.
The models of the sections are also the source of the reference page: each setting has a description and an example.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resolver_connector.attested.receivers import Receivers
from resolver_connector.transfers.installed import all_kinds
from resolver_connector.transfers.orcid import OrcidTransfer
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisations
from shibboleth.person import AttributeSource, HeaderSource, VariableSource
from webapp.config.access import (
    MetricsSettings,
    OperatorSettings,
    StatisticsSettings,
    unconnected_operators,
    valid_credentials,
)
from webapp.config.base import ConfigContext, Table, validate
from webapp.config.branding import BodySettings, BrandingSettings
from webapp.config.errors import InvalidSetting, Misconfigured, SettingProblem
from webapp.config.listen import AuthorityListener, ConnectorListener, WebListener, WorkerListener
from webapp.config.mail import MailSettings
from webapp.config.orcid_client import FormerOrcidClient, affiliation_problems, client_problems
from webapp.config.organisation import MisconfiguredOrganisation, OrganisationFile, OrganisationSettings
from webapp.config.secret import Secret
from webapp.config.service import OrcidSettings, ServiceFile, ServiceSettings, StoreSettings
from webapp.config.service_provider import ServiceProviderSettings
from webapp.config.texts import AccessibilitySettings, Texts
from webapp.config.transfers import transfer_labels, validate_transfers
from webapp.config.validators import CALLBACK, invisible_character
from webapp.linking.return_address import AllowedReturn

DEFAULT_PATH = "/etc/orcid-connect/orcid-connect.toml"
PATH_VARIABLE = "ORCID_CONNECT_CONFIG"

ORGANISATION_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
DISABLED = ".disabled"
"""After the name of a file that is not read."""

_POSITION = re.compile(r"\(at line (\d+), column \d+\)")
_QUOTES = re.compile(r"[\u00ab\u00bb\u2018-\u201f]")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, validated."""

    path: Path
    service: ServiceSettings
    orcid: OrcidSettings
    former_orcid_clients: tuple[FormerOrcidClient, ...]
    store: StoreSettings
    listen: WebListener
    connector: ConnectorListener
    worker: WorkerListener
    authority: AuthorityListener
    branding: BrandingSettings
    bodies: Mapping[str, BodySettings]
    """Owner and commissioner of the service, those that the file names."""
    names: Mapping[str, str]
    """The service's name by language, where it is not that of `service`."""
    organisations: Organisations
    organisation_settings: Mapping[str, OrganisationSettings]
    """By the organisation's id, one for each of `organisations`."""
    misconfigured: Mapping[str, MisconfiguredOrganisation]
    """By the organisation's id: those that are left out because their file is invalid."""
    disabled: tuple[str, ...]
    """The ids of organisations whose file is disabled by its name."""
    metrics: MetricsSettings
    statistics: StatisticsSettings
    operators: tuple[OperatorSettings, ...]
    returns: tuple[AllowedReturn, ...]
    """Where people may go back to the service that sent them here."""
    mail: MailSettings
    service_provider: ServiceProviderSettings
    texts: Texts
    """The operator's texts of the privacy notice and the accessibility statement."""
    accessibility: AccessibilitySettings
    secrets: tuple[Secret, ...]
    """Every secret that was resolved, in the order of the files."""
    digest: str
    """The same for all processes that have loaded the same settings and secrets; layout and comments do not matter."""

    @property
    def front(self) -> AttributeSource:
        """Where the attributes of the signed-in person are read from."""
        proof = self.service.front_proof
        return VariableSource() if proof is None else HeaderSource(proof.reveal())

    @property
    def transfers(self) -> Mapping[str, Mapping[str, Any]]:
        """The transfers of each organisation, by the organisation's id and by name."""
        return {organisation_id: one.transfers for organisation_id, one in self.organisation_settings.items()}

    @property
    def receivers(self) -> Receivers:
        """The transfers to which changes of attested iDs are delivered."""
        credentials = {
            (organisation_id, name): credential
            for organisation_id, one in self.organisation_settings.items()
            for name, credential in one.transfer_credentials.items()
        }
        return Receivers(self.transfers, credentials)

    @property
    def redirect_uri(self) -> str:
        """The redirect URI to register at ORCID, character by character."""
        return self.service.public_url + CALLBACK


def load(path: Path | str, environ: Mapping[str, str], kinds: Mapping[str, Any] | None = None) -> Config:
    """Read and validate the service's file and all organisations' files.

    Two organisations with the same entityID, token, user, password or client id at ORCID are both invalid: the files do
    not say whose it is, and the people or the data of one must not be taken for those of the other.

    Args:
        path: The service's file; relative paths in all files start at its directory.
        environ: The variables to which `env:` references refer.
        kinds: The kinds of transfers by name, whose fields are the settings of a transfer; None means the built-in
            kinds and those of installed packages.

    Raises:
        Misconfigured: If the service's file is invalid or no organisation is valid; it has every problem of all files.
    """
    path = Path(path)
    problems: list[SettingProblem] = []
    content = _read_toml(path, problems)
    section = (content or {}).get("service")
    directory = organisations_directory(path, section.get("organisations") if isinstance(section, dict) else None)
    context = ConfigContext(path, path.parent, environ, _registry(content), all_kinds() if kinds is None else kinds)
    file = None if content is None else validate(ServiceFile, content, context, problems)
    found = _read_organisations(directory, context, problems)
    if content is not None and not found and not any(each.key == "service.organisations" for each in problems):
        text = "names a directory without files of organisations"
        fix = "add an organisation: orcid-connect organisation add; docs/operator/install.md shows how"
        problems.append(SettingProblem(str(path), "service.organisations", text, fix))
    if file is not None:
        problems.extend(unconnected_operators(file.operator, [each.id for each in found], context))
        for each in found:
            each.check_client(file.orcid)
    valid = [each for each in found if each.file is not None and not each.problems]
    if file is None or problems or not valid:
        raise Misconfigured([*problems, *(problem for each in found for problem in each.problems)])
    secrets = (*context.secrets, *(secret for each in valid for secret in each.context.secrets))
    return _assemble(
        file,
        valid,
        path=path,
        misconfigured={each.id: each.misconfigured() for each in found if each not in valid},
        disabled=tuple(sorted(_disabled(directory) - {each.id for each in found})),
        secrets=secrets,
        digest=_digest([content, *([each.path.name, each.content] for each in found)], secrets),
    )


def _assemble(  # noqa: PLR0913 - what is not in the files themselves
    file: ServiceFile,
    valid: Iterable[_FoundFile],
    *,
    path: Path,
    misconfigured: Mapping[str, MisconfiguredOrganisation],
    disabled: tuple[str, ...],
    secrets: tuple[Secret, ...],
    digest: str,
) -> Config:
    settings = [
        _organisation_settings(each.id, each.file, each.transfers, file.retention.ended_days)
        for each in valid
        if each.file is not None
    ]
    return Config(
        path=path,
        service=file.service,
        orcid=file.orcid,
        former_orcid_clients=file.former_orcid_client,
        store=file.store,
        listen=file.listen,
        connector=file.connector,
        worker=file.worker,
        authority=file.authority,
        branding=file.branding,
        bodies={k: one for k, one in (("owner", file.owner), ("commissioner", file.commissioner)) if one.name},
        names=MappingProxyType(file.name.model_dump(exclude_none=True)),
        organisations=Organisations.of(
            (one.organisation for one in settings),
            MappingProxyType({name: one.entity_ids for name, one in misconfigured.items()}),
        ),
        organisation_settings=MappingProxyType({one.organisation.id: one for one in settings}),
        misconfigured=MappingProxyType(misconfigured),
        disabled=disabled,
        metrics=file.metrics,
        statistics=file.statistics,
        operators=file.operator,
        returns=tuple(AllowedReturn(each.prefix, each.name) for each in file.returns),
        mail=file.mail,
        service_provider=file.service_provider,
        texts=_texts(file.notices),
        accessibility=file.accessibility,
        secrets=secrets,
        digest=digest,
    )


def organisations_directory(path: Path, setting: Any) -> Path:
    """Return the directory of the organisations' files.

    Args:
        path: The service's file.
        setting: The value of `organisations` in its section `[service]`; what is not text counts as absent.
    """
    return path.parent / (setting if isinstance(setting, str) and setting else "organisations")


def load_service(path: Path | str, environ: Mapping[str, str]) -> ServiceFile:
    """Read and validate the service's file alone.

    Args:
        path: The service's file; relative paths in it start at its directory.
        environ: The variables to which `env:` references refer.

    Raises:
        Misconfigured: If the file is invalid; it has every problem of the file.
    """
    path = Path(path)
    problems: list[SettingProblem] = []
    content = _read_toml(path, problems)
    context = ConfigContext(path, path.parent, environ, _registry(content), {})
    file = None if content is None else validate(ServiceFile, content, context, problems)
    if file is None:
        raise Misconfigured(problems)
    return file


def _registry(content: Mapping[str, Any] | None) -> Registry | None:
    # Read before validation: other settings depend on it
    section = (content or {}).get("service")
    return next(
        (each for each in Registry if isinstance(section, dict) and each.value == section.get("registry")), None
    )


def _digest(contents: list[Any], secrets: Iterable[Secret]) -> str:
    # Of 64 bits, and of secrets that cannot be guessed, so that it may be seen by anyone
    revealed = [[each.source, each.reveal()] for each in secrets]
    text = json.dumps([contents, revealed], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _organisation_settings(
    organisation_id: str, file: OrganisationFile, transfers: Mapping[str, Any], default_retention_days: int | None
) -> OrganisationSettings:
    return OrganisationSettings(
        organisation=file.organisation(organisation_id),
        credentials=file.credential,
        transfers=transfers,
        transfer_labels=transfer_labels(file.transfer),
        transfer_credentials={each.name: each.credential for each in file.transfer if each.credential},
        keep=file.keep,
        deprecated=file.deprecated,
        inactive=file.inactive,
        administrators=file.administrators,
        test_accounts=file.test_accounts,
        pilot=file.pilot,
        texts=_texts(file.notices),
        orcid=file.orcid,
        retention_days=file.retention.ended_days or default_retention_days,
        authority_clients=frozenset(file.authority.services),
        researchers=file.researchers,
    )


def _texts(notices: Table) -> Texts:
    written = {
        code: {name: text for name, text in texts.items() if text} for code, texts in notices.model_dump().items()
    }
    return MappingProxyType({code: MappingProxyType(texts) for code, texts in written.items() if texts})


@dataclass(eq=False)
class _FoundFile:
    # The file of an organisation while it is read. `file` is None where the content is not valid
    path: Path
    context: ConfigContext
    content: dict[str, Any] | None = None
    file: OrganisationFile | None = None
    transfers: Mapping[str, Any] = field(default_factory=dict)
    problems: list[SettingProblem] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.path.stem if self.path.suffix == ".toml" else self.path.name

    def read(self) -> None:
        self.content = _read_toml(self.path, self.problems)
        self.validate()
        if not ORGANISATION_ID.fullmatch(self.id):
            fix = "rename it: a-z, 0-9 and - before .toml, as in example-org.toml"
            text = "its name is the organisation's id, and cannot be one"
            self.problems.append(SettingProblem(str(self.path), "", text, fix))

    def validate(self) -> None:
        if self.content is None:
            return
        try:
            self.file = validate(OrganisationFile, self.content, self.context, self.problems)
            self.transfers = validate_transfers(self.content, self.context, self.problems)
        except (OSError, RecursionError) as error:
            # A path of a transfer below a directory that cannot be read
            reason = getattr(error, "strerror", None) or "it is nested too deeply"
            fix = "make the files that it names accessible to this user"
            self.problems.append(SettingProblem(str(self.path), "", f"cannot be validated: {reason}", fix))

    def check_client(self, service: OrcidSettings) -> None:
        if self.file is not None and OrcidTransfer.kind in [each.kind for each in self.file.transfer]:
            self.problems.extend(affiliation_problems(self.path, self.file.orcid))
        if self.file is not None and self.file.orcid is not None:
            simulated, kept = service.simulated, bool(service.token_keys)
            found = client_problems(
                self.path, self.file.orcid, service.client_id, simulated=simulated, tokens_kept=kept
            )
            self.problems.extend(found)

    def misconfigured(self) -> MisconfiguredOrganisation:
        # What is valid by itself, so that its people and its systems are recognised
        content = self.content or {}
        tables = content.get("credential", [])
        credentials = valid_credentials(tables, self.context.for_file(self.path)) if isinstance(tables, list) else []
        return MisconfiguredOrganisation(
            id=self.id,
            problems=tuple(self.problems),
            entity_ids=tuple(_texts_in(content.get("entity_ids"))),
            scopes=tuple(each.lower() for each in _texts_in(content.get("scopes"))),
            credentials=tuple(credentials),
            credentials_known=self.content is not None and len(credentials) == len(tables),
        )


def _texts_in(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [each for each in listed if isinstance(each, str)]


def _read_organisations(directory: Path, context: ConfigContext, problems: list[SettingProblem]) -> list[_FoundFile]:
    # An unreadable directory is an error of the service, everything else one of the organisation
    try:
        paths = sorted(directory.iterdir()) if directory.is_dir() else []
    except OSError as error:
        text, fix = f"cannot be read: {error.strerror}", "make it a directory that this user may read"
        problems.append(SettingProblem(str(context.file), "service.organisations", text, fix))
        return []
    found = [
        _FoundFile(path, context.for_file(path))
        for path in paths
        if path.suffix.lower() == ".toml" and not path.name.startswith(".")
    ]
    for each in found:
        each.read()
    # What several files claim is a problem of each, but an invalid file takes nothing from a valid one
    valid, claims = [each for each in found if not each.problems], [(each, dict(each.context.owners)) for each in found]
    for each in found:
        others = {
            value: owner
            for other, owned in claims
            if other is not each and (other in valid or each not in valid)
            for value, owner in owned.items()
        }
        if not others.keys().isdisjoint(each.context.owners):
            each.context, each.file, each.problems = each.context.for_file(each.path, others), None, []
            each.read()
    return found


def _disabled(directory: Path) -> set[str]:
    suffix = f".toml{DISABLED}"
    return {each.name.removesuffix(suffix) for each in directory.glob(f"*{suffix}")}


def _read_toml(path: Path, problems: list[SettingProblem]) -> dict[str, Any] | None:
    """Return the content of a file.

    Returns:
        None if it cannot be read; the reason is added to the problems.
    """
    data = b""
    try:
        data = path.read_bytes()
        return tomllib.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        wrong = InvalidSetting("there is no such file", f"write it, or say where it is: --config, or {PATH_VARIABLE}")
    except OSError as error:
        wrong = InvalidSetting(f"cannot be read: {error.strerror}", "make it a file that this user may read")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text = "is UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else f"is not text in UTF-8 (line {line})"
        wrong = InvalidSetting(text, "save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        wrong = _syntax_error(data.decode("utf-8-sig"), str(error))
    except (ValueError, RecursionError):
        # A number of thousands of digits, or brackets in brackets
        wrong = InvalidSetting("has a value that is too long or nested too deeply", "write the values that are meant")
    problems.append(SettingProblem(str(path), "", wrong.text, wrong.fix))
    return None


def _syntax_error(text: str, message: str) -> InvalidSetting:
    """Describe a syntax error without quoting the file.

    The file may have a secret in the wrong place.
    """
    at = _POSITION.search(message)
    line = text.split("\n")[int(at[1]) - 1] if at else ""
    where = at[0].strip("()") if at else "at its end"
    if hidden := invisible_character(line, allowed="\t\r"):
        return InvalidSetting(f"is not TOML {where}: an invisible character, {hidden}", "remove it from that line")
    if _QUOTES.search(line):
        return InvalidSetting(
            f"is not TOML {where}: typographic quotation marks", 'write straight ones, as in name = "value"'
        )
    if any(word in message for word in ("twice", "namespace", "Duplicate", "overwrite")):
        return InvalidSetting(
            f"is not TOML {where}: a key or a section is written twice",
            "write each section once, with all its settings below it",
        )
    reason = "" if "character" in message else f": {message.partition(' (at ')[0]}"
    return InvalidSetting(
        f"is not TOML {where}{reason}",
        'fix it there: text is in quotes, as in name = "value", a section in brackets, as in [service]',
    )
