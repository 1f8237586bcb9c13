"""Loads the configuration: the service's file and one for each organisation.

`load` returns a `Config` that is valid as a whole, or raises `Misconfigured` with every problem. The models of the
sections are also the source of the reference page: each setting has a description and an example.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resolver_connector.attested.receivers import Receivers
from resolver_connector.transfers import TRANSFERS
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisations
from shibboleth.person import AttributeSource, HeaderSource, VariableSource
from webapp.config.access import MetricsSettings, OperatorSettings, unconnected_operators
from webapp.config.base import ConfigContext, Table, validate
from webapp.config.branding import BrandingSettings
from webapp.config.errors import InvalidSetting, Misconfigured, SettingProblem
from webapp.config.listen import AuthorityListener, ConnectorListener, WebListener
from webapp.config.mail import MailSettings
from webapp.config.organisation import OrganisationFile, OrganisationSettings
from webapp.config.secret import Secret
from webapp.config.service import OrcidSettings, ServiceFile, ServiceSettings, StoreSettings
from webapp.config.service_provider import ServiceProviderSettings
from webapp.config.texts import AccessibilitySettings, Texts
from webapp.config.transfers import transfer_labels, validate_transfers
from webapp.config.validators import CALLBACK, invisible_character

DEFAULT_PATH = "/etc/orcid-connect/orcid-connect.toml"
PATH_VARIABLE = "ORCID_CONNECT_CONFIG"

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_POSITION = re.compile(r"\(at line (\d+), column \d+\)")
_QUOTES = re.compile(r"[\u00ab\u00bb\u2018-\u201f]")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, validated."""

    path: Path
    service: ServiceSettings
    orcid: OrcidSettings
    store: StoreSettings
    listen: WebListener
    connector: ConnectorListener
    authority: AuthorityListener
    branding: BrandingSettings
    organisations: Organisations
    organisation_settings: Mapping[str, OrganisationSettings]
    """By the organisation's id, one for each of `organisations`."""
    metrics: MetricsSettings
    operators: tuple[OperatorSettings, ...]
    mail: MailSettings
    service_provider: ServiceProviderSettings
    texts: Texts
    """The operator's texts of the privacy notice and the accessibility statement."""
    accessibility: AccessibilitySettings
    secrets: tuple[Secret, ...]
    """Every secret that was resolved, in the order of the files."""

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


def load(path: Path | str, environ: Mapping[str, str], kinds: Mapping[str, type[Any]] = TRANSFERS) -> Config:
    """Read and validate the service's file and all organisations' files.

    Args:
        path: The service's file; relative paths in all files start at its directory.
        environ: The variables to which `env:` references refer.
        kinds: The kinds of transfers by name; their fields are the settings of a transfer.

    Raises:
        Misconfigured: If anything is wrong; it has every problem of all files.
    """
    path = Path(path)
    problems: list[SettingProblem] = []
    content = _read_toml(path, problems)
    service_section = (content or {}).get("service")
    # Read before validation: the organisations' files depend on them
    stated = service_section if isinstance(service_section, dict) else {}
    registry = next((each for each in Registry if each.value == stated.get("registry")), None)
    directory = stated.get("organisations")
    directory = path.parent / (directory if isinstance(directory, str) and directory else "organisations")
    context = ConfigContext(path, path.parent, environ, registry, kinds)
    file = None if content is None else validate(ServiceFile, content, context, problems)
    organisations = _read_organisations(directory, context, problems)
    if content is not None and not _organisation_paths(directory):
        text = "names a directory without files of organisations"
        fix = "add <id>.toml there for each organisation; docs/settings.md shows one"
        problems.append(SettingProblem(str(path), "service.organisations", text, fix))
    if file is not None and not problems:
        problems.extend(unconnected_operators(file.operator, [name for name, _, _ in organisations], context))
    if file is None or problems:
        raise Misconfigured(problems)
    settings = [_organisation_settings(*each, file.retention.ended_days) for each in organisations]
    return Config(
        path=path,
        service=file.service,
        orcid=file.orcid,
        store=file.store,
        listen=file.listen,
        connector=file.connector,
        authority=file.authority,
        branding=file.branding,
        organisations=Organisations.of(one.organisation for one in settings),
        organisation_settings=MappingProxyType({one.organisation.id: one for one in settings}),
        metrics=file.metrics,
        operators=file.operator,
        mail=file.mail,
        service_provider=file.service_provider,
        texts=_texts(file.notices),
        accessibility=file.accessibility,
        secrets=tuple(context.secrets),
    )


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
        texts=_texts(file.notices),
        retention_days=file.retention.ended_days or default_retention_days,
        authority_clients=frozenset(file.authority.services),
    )


def _texts(notices: Table) -> Texts:
    written = {
        code: {name: text for name, text in texts.items() if text} for code, texts in notices.model_dump().items()
    }
    return MappingProxyType({code: MappingProxyType(texts) for code, texts in written.items() if texts})


def _organisation_paths(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(
        path for path in directory.iterdir() if path.suffix.lower() == ".toml" and not path.name.startswith(".")
    )


def _read_organisations(
    directory: Path, context: ConfigContext, problems: list[SettingProblem]
) -> list[tuple[str, OrganisationFile, Mapping[str, Any]]]:
    """Return the id, the file and the transfers of each valid organisation."""
    found = []
    for path in _organisation_paths(directory):
        content = _read_toml(path, problems)
        if content is not None:
            of_file = context.for_file(path)
            file = validate(OrganisationFile, content, of_file, problems)
            transfers = validate_transfers(content, of_file, problems)
            if file is not None:
                found.append((path.stem, file, transfers))
        if not _ID.fullmatch(path.stem) or path.suffix != ".toml":
            fix = "rename it: a-z, 0-9 and - before .toml, as in example-org.toml"
            problems.append(SettingProblem(str(path), "", "its name is the organisation's id, and cannot be one", fix))
    return found


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
