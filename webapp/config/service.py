"""The file of the service: [service], [orcid], [store], and other sections."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from shibboleth.orcid_id import Registry
from shibboleth.person import Encoding
from webapp.config import validators
from webapp.config.access import MetricsSettings, OperatorSettings, StatisticsSettings
from webapp.config.base import (
    SealingKey,
    SecretReference,
    StrongSecret,
    Table,
    context_of,
    resolve_sealing_key,
    section,
    setting,
)
from webapp.config.branding import BodySettings, BrandingSettings
from webapp.config.errors import InvalidSetting
from webapp.config.listen import AuthorityListener, ConnectorListener, WebListener, WorkerListener
from webapp.config.mail import MailSettings
from webapp.config.orcid_client import FormerOrcidClient
from webapp.config.secret import REFERENCE, Secret
from webapp.config.service_provider import ServiceProviderSettings
from webapp.config.texts import A_LANGUAGE, LANGUAGES, SERVICE_NAMES, AccessibilitySettings, Notices, RetentionSettings
from webapp.linking.return_address import ReturnNotAllowed, parse_address

_REGISTRY_URLS = {registry: f"https://{registry.host}" for registry in Registry}
_SECONDS = "a number of seconds, more than 0 and at most 60"


class FrontKind(StrEnum):
    """How the Service Provider's attributes reach the web application."""

    VARIABLES = "variables"
    PROXY = "proxy"


class LogFormat(StrEnum):
    """Format of the log."""

    TEXT = "text"
    JSON = "json"


class OrcidScope(StrEnum):
    """OAuth scope; both scopes authenticate a person and permit nothing else."""

    AUTHENTICATE = "/authenticate"
    OPENID = "openid"


def _require_proof_with_proxy(proof: Secret | None, info: ValidationInfo) -> Secret | None:
    front = info.data.get("front")
    if front is FrontKind.PROXY and proof is None:
        raise InvalidSetting(
            'is missing, and front = "proxy" needs it: it proves that a request came through Apache',
            'make one (openssl rand -hex 32) and add to [service]: front_proof = "file:secrets/front-proof"',
        )
    if front is FrontKind.VARIABLES and proof is not None:
        raise InvalidSetting(
            'has no use with front = "variables"',
            'remove it, or write front = "proxy" if Apache passes requests on to orcid-connect serve',
        )
    return proof


def _require_https_in_production(url: str, info: ValidationInfo) -> str:
    if context_of(info).registry is Registry.PRODUCTION and not url.startswith("https:"):
        raise InvalidSetting("is plain http, to which ORCID's production registry does not redirect", "write https://")
    return url


def _require_registry_url(url: str, info: ValidationInfo) -> str:
    url = validators.base_url(url) if url else url
    registry = context_of(info).registry
    if registry is None:
        return url
    own = _REGISTRY_URLS[registry]
    if registry is Registry.PRODUCTION and url not in {"", own}:
        raise InvalidSetting(
            'is not https://orcid.org, while registry = "production"', "remove it: https://orcid.org is the default"
        )
    if registry is Registry.SANDBOX and url not in {"", own} and validators.is_within_domain(url, "orcid.org"):
        raise InvalidSetting(
            'is an address of ORCID that is not the sandbox, while registry = "sandbox"',
            "remove it: https://sandbox.orcid.org is the default",
        )
    return url or own


def _validate_client_id(client: str, info: ValidationInfo) -> str:
    # A simulator may have client ids of any form
    simulated = info.data.get("base_url") not in _REGISTRY_URLS.values()
    return validators.single_line(client) if simulated else validators.client_id(client)


def _require_user(password: Secret | None, info: ValidationInfo) -> Secret | None:
    url = info.data.get("url", "")
    if password is not None and url.startswith("sqlite:"):
        raise InvalidSetting("has no use with SQLite", "remove it")
    if password is not None and url and not validators.has_user(url):
        raise InvalidSetting("has no user to go with", 'name the user: url = "postgresql://orcid@localhost/orcid"')
    return password


def _require_postgresql(value: bool, info: ValidationInfo) -> bool:
    if value and info.data.get("url", "").startswith("sqlite:"):
        raise InvalidSetting("has no use with SQLite", "remove it")
    return value


_PublicUrl = Annotated[str, AfterValidator(validators.public_url)]


class ServiceSettings(Table):
    """The service, and how Apache passes on who is signed in."""

    public_url: Annotated[str, AfterValidator(validators.public_url), AfterValidator(_require_https_in_production)] = (
        setting(
            "The address of the service. The redirect URI to register at ORCID is this and `/me/callback`.",
            "an https address in quotes",
            "https://orcid-connect.example.org",
        )
    )
    registry: Annotated[Registry, Field(strict=False)] = setting(
        "Which of ORCID's registries is used; always required, so that nothing is tried on real records by mistake.",
        '"production" or "sandbox"',
        "sandbox",
    )
    contact: Annotated[str, AfterValidator(validators.contact)] = setting(
        "The contact for questions about the service.",
        "an e-mail address or an https address in quotes",
        "orcid-help@example.org",
    )
    front: Annotated[FrontKind, Field(strict=False)] = setting(
        "How Apache passes on the signed-in person: `variables` under mod_wsgi, `proxy` if it forwards to `serve`.",
        '"variables" or "proxy"',
        "variables",
    )
    front_proof: Annotated[
        StrongSecret | None,
        AfterValidator(_require_proof_with_proxy),
    ] = setting(
        "The secret by which Apache proves that a request came through it, 32 characters or more; only with `proxy`.",
        REFERENCE,
        "file:secrets/front-proof",
        default=None,
        shown="none; required with `proxy`",
        validate_default=True,
    )
    encoding: Annotated[Encoding, Field(strict=False)] = setting(
        "How attribute values are encoded: `url` with `ShibRequestSetting encoding URL`, as in the generated files.",
        '"url" or "utf-8"',
        "url",
        default=Encoding.URL,
    )
    name: Annotated[str, AfterValidator(validators.single_line)] = setting(
        "The name of the service on its pages.",
        "one line of text in quotes",
        "ORCID connect",
        default="ORCID connect",
    )
    language: Annotated[str, AfterValidator(lambda text: validators.one_of(text, LANGUAGES))] = setting(
        "The language of the pages if neither the browser nor the organisation chooses one.",
        A_LANGUAGE,
        "en",
        default="en",
    )
    privacy_url: Annotated[str, AfterValidator(validators.web_page)] | None = setting(
        "Your own page about personal data.",
        "an https address in quotes",
        "https://example.org/privacy",
        default=None,
    )
    log: Annotated[LogFormat, Field(strict=False)] = setting(
        "How a line of the log is written.",
        '"text" or "json"',
        "json",
        default=LogFormat.TEXT,
    )
    organisations: str = setting(
        "The directory of the organisations' files; a relative path starts at the directory of this file.",
        "a path in quotes",
        "organisations",
        default="organisations",
        min_length=1,
    )


class OrcidSettings(Table):
    """The OAuth client at ORCID."""

    base_url: Annotated[str, AfterValidator(_require_registry_url)] = setting(
        "The root URL of ORCID. One that is not the registry's own is valid only with `sandbox`, for a simulator.",
        "an https address in quotes",
        "https://sandbox.orcid.org",
        default="",
        shown="the registry's own: `https://orcid.org` or `https://sandbox.orcid.org`",
        validate_default=True,
    )
    client_id: Annotated[str, AfterValidator(_validate_client_id)] = setting(
        "The client id that ORCID gave.",
        "a client id in quotes",
        "APP-0A1B2C3D4E5F6G7H",
    )
    client_secret: SecretReference = setting(
        "The client secret that ORCID gave.",
        REFERENCE,
        "file:secrets/orcid-client-secret",
    )
    scope: Annotated[OrcidScope, Field(strict=False)] = setting(
        "The OAuth scope.",
        '"/authenticate" or "openid"',
        "/authenticate",
        default=OrcidScope.AUTHENTICATE,
    )
    connect_timeout: float = setting(
        "Seconds to wait for a connection to ORCID.", _SECONDS, 5.0, default=5.0, gt=0, le=60
    )
    read_timeout: float = setting(
        "Seconds to wait for each part of ORCID's response.", _SECONDS, 20.0, default=20.0, gt=0, le=60
    )
    proxy: Annotated[str, AfterValidator(validators.proxy)] | None = setting(
        "The HTTP proxy through which ORCID is reached. Variables such as `HTTPS_PROXY` are ignored.",
        "an address in quotes",
        "http://proxy.example.org:3128",
        default=None,
    )
    pkce: bool = setting(
        "Whether to send a PKCE challenge (RFC 7636); off, since ORCID has been seen to drop the verifier.",
        "true or false, without quotes",
        example=False,
        default=False,
    )
    token_keys: Annotated[
        tuple[Annotated[SealingKey, BeforeValidator(resolve_sealing_key)], ...], Field(strict=False)
    ] = setting(
        "The keys that seal ORCID's tokens in the database; the first seals, the others open what they sealed. Without "
        "one, no token is stored, and each is revoked right after the exchange of the code.",
        'a list of references in quotes, "file:/path" or "env:NAME"',
        ["file:secrets/orcid-token-key"],
        default=(),
    )
    status_check_days: int = setting(
        "How many days after a look-up of a linked iD's record at ORCID the worker looks it up again; 0: never.",
        "a whole number of days from 0 to 365",
        30,
        default=30,
        ge=0,
        le=365,
    )

    @property
    def simulated(self) -> bool:
        """Whether `base_url` is a simulator of ORCID."""
        return self.base_url not in _REGISTRY_URLS.values()

    @property
    def member_api_url(self) -> str:
        """The root of ORCID's member API; a simulator has it below its own root."""
        for registry, url in _REGISTRY_URLS.items():
            if self.base_url == url:
                return f"https://api.{registry.host}/v3.0"
        return f"{self.base_url}/api/v3.0"

    @property
    def public_api_url(self) -> str:
        """The root of ORCID's public API; a simulator has it below its own root."""
        for registry, url in _REGISTRY_URLS.items():
            if self.base_url == url:
                return f"https://pub.{registry.host}/v3.0"
        return f"{self.base_url}/pub/v3.0"


class StoreSettings(Table):
    """Section [store]: the database, and how long changes are kept."""

    url: Annotated[str, AfterValidator(validators.store_url)] = setting(
        "An SQLite file, its absolute path after `sqlite://`, or a PostgreSQL database, without its password.",
        "an address in quotes",
        "sqlite:///var/lib/orcid-connect/links.db",
    )
    password: Annotated[SecretReference | None, AfterValidator(_require_user)] = setting(
        "The password of the PostgreSQL user, where it needs one.",
        REFERENCE,
        "file:secrets/store-password",
        default=None,
    )
    busy_timeout: float | None = setting(
        "How long to wait, in seconds, for another writer (SQLite), or for all statements of one step (PostgreSQL), "
        "before people are asked to try again.",
        _SECONDS,
        1.25,
        default=None,
        shown="`5.0` for SQLite, `1.25` for PostgreSQL",
        gt=0,
        le=60,
    )
    standby_lookups: Annotated[bool, AfterValidator(_require_postgresql)] = setting(
        "Whether the connector reads look-ups of single people from a standby, if `url` names one.",
        "true or false, without quotes",
        example=True,
        default=False,
    )
    keep_changes: int = setting(
        "How many days a change is kept for organisations that fetch; one that fetches later begins with a snapshot.",
        "a whole number of days from 30 to 3650",
        730,
        default=730,
        ge=30,
        le=3650,
    )

    def reveal(self) -> str:
        """Return the URL with the password in it."""
        return self.url if self.password is None else validators.with_password(self.url, self.password.reveal())


def _validate_return_prefix(text: str) -> str:
    example = "write for example: https://research.example.org/app"
    if not text.startswith("https://"):
        raise InvalidSetting("does not begin with https://", example)
    try:
        parse_address(text)
    except ReturnNotAllowed:
        raise InvalidSetting("is no address, or has a part that may be read in two ways", example) from None
    if "?" in text:
        raise InvalidSetting("has a query", "leave out the question mark and what follows it")
    return text


class ReturnSettings(Table):
    """A service that may send people here and get them back.

    There may be several such tables.
    """

    prefix: Annotated[str, AfterValidator(_validate_return_prefix)] = setting(
        "What its return addresses begin with: an origin, with or without the first segments of the path.",
        "an https address in quotes",
        "https://research.example.org/app",
    )
    name: Annotated[str, AfterValidator(validators.single_line)] = setting(
        "The name of the service on the pages.",
        "one line of text in quotes",
        "Research portal",
        default="",
        shown="its host",
    )


def _require_other_client(
    clients: tuple[FormerOrcidClient, ...], info: ValidationInfo
) -> tuple[FormerOrcidClient, ...]:
    orcid = info.data.get("orcid")
    if orcid is not None and orcid.client_id in {each.client_id for each in clients}:
        raise InvalidSetting("has the client id of [orcid], which is used", "remove it, or write the earlier client id")
    return clients


if TYPE_CHECKING:
    ServiceNames = Table
else:
    ServiceNames = SERVICE_NAMES


class ServiceFile(Table):
    """The file of the service."""

    service: ServiceSettings = section()
    name: ServiceNames = section()
    orcid: OrcidSettings = section()
    former_orcid_client: Annotated[
        tuple[FormerOrcidClient, ...], Field(strict=False), AfterValidator(_require_other_client)
    ] = ()
    store: StoreSettings = section()
    listen: WebListener = section()
    connector: ConnectorListener = section()
    worker: WorkerListener = section()
    metrics: MetricsSettings = section()
    statistics: StatisticsSettings = section()
    operator: Annotated[tuple[OperatorSettings, ...], Field(strict=False)] = ()
    # `return` in the file
    returns: Annotated[tuple[ReturnSettings, ...], Field(strict=False, alias="return")] = ()
    authority: AuthorityListener = section()
    branding: BrandingSettings = section()
    owner: BodySettings = section()
    commissioner: BodySettings = section()
    mail: MailSettings = section()
    notices: Notices = section()
    accessibility: AccessibilitySettings = section()
    retention: RetentionSettings = section()
    service_provider: ServiceProviderSettings = section()
