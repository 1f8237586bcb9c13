"""The configuration: one file for the service and one for each organisation, read whole or refused whole.

`load` gives a `Config` in which nothing is left to check, or raises `Misconfigured` with every problem at once.
The models are also the source of the reference page: each setting says what it is, and shows an example.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from shibboleth.attributes import KEYS
from shibboleth.orcid_id import Registry
from shibboleth.organisation import Organisation, Organisations, Stage
from shibboleth.person import Encoding, Front, Proxy, Variables
from webapp import config_values as values
from webapp.config_authority import Askers, AuthoritySettings
from webapp.config_errors import Misconfigured, Problem, Wrong
from webapp.config_look import LookFile
from webapp.config_mail import MailServer
from webapp.config_names import A_LANGUAGE, LANGUAGES, ORGANISATION_NAMES
from webapp.config_notices import Accessibility, Notices, PrivacyNotices, Retention
from webapp.config_operator import Administrators, Metrics, Operator, unknown
from webapp.config_tables import (
    REFERENCE,
    REFERRED,
    Kinds,
    Reading,
    Table,
    checked,
    holding,
    reading_of,
    section,
    setting,
)
from webapp.config_transfers import Transfer, different, labels_of, transfers_in
from webapp.notices import Texts
from webapp.secret import Secret

DEFAULT_PATH = "/etc/orcid-connect/orcid-connect.toml"
PATH_VARIABLE = "ORCID_CONNECT_CONFIG"

_ROOTS = {registry: f"https://{registry.host}" for registry in Registry}
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_SECONDS = "a number of seconds, more than 0 and at most 60"


class FrontKind(StrEnum):
    """How the Service Provider's attributes reach the app."""

    VARIABLES = "variables"
    PROXY = "proxy"


class LogForm(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


class Keep(StrEnum):
    """What is kept of a link once it has been handed on."""

    LINKS = "links"
    NOTHING = "nothing"


class Scope(StrEnum):
    """What ORCID is asked for: who somebody is, and nothing more."""

    AUTHENTICATE = "/authenticate"
    OPENID = "openid"


# --- Checks that look further than the value ----------------------------------------------------------------------


def _own(what: str) -> AfterValidator:
    """Refuse a value that another file has too."""

    def claimed(value: Any, info: ValidationInfo) -> Any:
        reading = reading_of(info)
        reading.claim(what, value.reveal() if isinstance(value, Secret) else value, reading.file.name)
        return value

    return AfterValidator(claimed)


def _proof_if_proxy(proof: Secret | None, info: ValidationInfo) -> Secret | None:
    front = info.data.get("front")
    if front is FrontKind.PROXY and proof is None:
        raise Wrong(
            'is missing, and front = "proxy" needs it: it proves that a request came through Apache',
            'make one (openssl rand -hex 32) and add to [service]: front_proof = "file:secrets/front-proof"',
        )
    if front is FrontKind.VARIABLES and proof is not None:
        raise Wrong(
            'has no use with front = "variables"',
            'remove it, or write front = "proxy" if Apache passes requests on to orcid-connect serve',
        )
    return proof


def _reachable_from_orcid(url: str, info: ValidationInfo) -> str:
    if reading_of(info).registry is Registry.PRODUCTION and not url.startswith("https:"):
        raise Wrong("is plain http, to which ORCID's production registry sends nobody back", "write https://")
    return url


def _root_of_registry(url: str, info: ValidationInfo) -> str:
    url = values.base_url(url) if url else url
    registry = reading_of(info).registry
    if registry is None:
        return url
    own = _ROOTS[registry]
    if registry is Registry.PRODUCTION and url not in {"", own}:
        raise Wrong(
            'is not https://orcid.org, while registry = "production"', "remove it: https://orcid.org is the default"
        )
    if registry is Registry.SANDBOX and url not in {"", own} and values.within(url, "orcid.org"):
        raise Wrong(
            'is an address of ORCID that is not the sandbox, while registry = "sandbox"',
            "remove it: https://sandbox.orcid.org is the default",
        )
    return url or own


def _client_of_root(client: str, info: ValidationInfo) -> str:
    # A simulator may call its clients as it likes
    simulated = info.data.get("base_url") not in _ROOTS.values()
    return values.line(client) if simulated else values.client_id(client)


def _password_of_server(password: Secret | None, info: ValidationInfo) -> Secret | None:
    url = info.data.get("url", "")
    if password is not None and url.startswith("sqlite:"):
        raise Wrong("has no use with SQLite", "remove it")
    if password is not None and url and "@" not in url:
        raise Wrong("has no user to go with", 'name the user: url = "postgresql://orcid@localhost/orcid"')
    return password


def _one_place(unix: str, info: ValidationInfo) -> str:
    if info.data.get("host") is not None or info.data.get("port") is not None:
        raise Wrong("is a second place to listen on beside host or port", "keep either unix, or host and port")
    return unix


def _of_registry(stage: Stage, info: ValidationInfo) -> Stage:
    """Hold the rule of two keys: service and organisation must both say that an iD is a real one."""
    registry = reading_of(info).registry
    if registry is Registry.SANDBOX and stage is not Stage.TEST:
        raise Wrong(
            'is "production" while the service has registry = "sandbox", whose iDs must reach no real directory',
            'write stage = "test"',
        )
    if registry is Registry.PRODUCTION and stage is not Stage.PRODUCTION:
        raise Wrong(
            'is "test" while the service has registry = "production"',
            'write stage = "production", or connect the organisation to a service with registry = "sandbox"',
        )
    return stage


def _at_least_one(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if not scopes:
        raise Wrong("is empty, so nobody could be let in", 'write for example: scopes = ["example.org"]')
    return scopes


def _with_user(password: Secret | None, info: ValidationInfo) -> Secret | None:
    user = info.data.get("user")
    if password is None and user is not None:
        raise Wrong("is missing beside user", 'add to [connector]: password = "file:secrets/example.password"')
    if password is not None and "user" in info.data and user is None:
        raise Wrong("has no user to go with", 'add to [connector]: user = "example"')
    return password


def _to_somebody(keep: Keep, info: ValidationInfo) -> Keep:
    if keep is Keep.NOTHING and info.data.get("transfer") == ():
        raise Wrong(
            'is "nothing" and there is no transfer, so what people link would reach nobody',
            'add a [[transfer]], or write keep = "links"',
        )
    if keep is Keep.NOTHING and info.data.get("connector"):
        raise Wrong(
            'is "nothing", so there is nothing that the connector could give to whoever asks',
            'remove [connector], or write keep = "links"',
        )
    return keep


# --- The file of the service --------------------------------------------------------------------------------------


class Service(Table):
    """Who we are to the people who come, and how Apache tells who they are."""

    public_url: Annotated[str, AfterValidator(values.public_url), AfterValidator(_reachable_from_orcid)] = setting(
        "The address people see. The redirect URI to register at ORCID is this and `/me/callback`.",
        "an https address in quotes",
        "https://orcid-connect.example.org",
    )
    registry: Annotated[Registry, Field(strict=False)] = setting(
        "Which of ORCID's registries is asked; said always, so that nobody tries out on real records by oversight.",
        '"production" or "sandbox"',
        "sandbox",
    )
    contact: Annotated[str, AfterValidator(values.contact)] = setting(
        "Whom people ask for help with the service.",
        "an e-mail address or an https address in quotes",
        "orcid-help@example.org",
    )
    front: Annotated[FrontKind, Field(strict=False)] = setting(
        "How Apache tells who is signed in: `variables` under mod_wsgi, `proxy` when it passes requests on to `serve`.",
        '"variables" or "proxy"',
        "variables",
    )
    front_proof: Annotated[
        Annotated[Secret, holding(values.strong), REFERRED] | None, AfterValidator(_proof_if_proxy)
    ] = setting(
        "What Apache sends to prove that a request came through it, 32 characters or more; only with `proxy`.",
        REFERENCE,
        "file:secrets/front-proof",
        default=None,
        shown="none; required with `proxy`",
        validate_default=True,
    )
    encoding: Annotated[Encoding, Field(strict=False)] = setting(
        "How attribute values are written: `url` where Apache says `ShibRequestSetting encoding URL`, as our files do.",
        '"url" or "utf-8"',
        "url",
        default=Encoding.URL,
    )
    name: Annotated[str, AfterValidator(values.line)] = setting(
        "What the service calls itself on its pages.",
        "one line of text in quotes",
        "ORCID connect",
        default="ORCID connect",
    )
    language: Annotated[str, AfterValidator(lambda text: values.one_of(text, LANGUAGES))] = setting(
        "The language of the pages for a browser that asks for none of ours, at an organisation that says none.",
        A_LANGUAGE,
        "en",
        default="en",
    )
    privacy_url: Annotated[str, AfterValidator(values.web_page)] | None = setting(
        "The page that tells what happens to personal data.",
        "an https address in quotes",
        "https://example.org/privacy",
        default=None,
    )
    log: Annotated[LogForm, Field(strict=False)] = setting(
        "How a line of the log is written.",
        '"text" or "json"',
        "json",
        default=LogForm.TEXT,
    )
    organisations: str = setting(
        "The directory of the organisations' files; a relative path starts at the directory of this file.",
        "a path in quotes",
        "organisations",
        default="organisations",
        min_length=1,
    )


class Orcid(Table):
    """The client as which ORCID knows us."""

    base_url: Annotated[str, AfterValidator(_root_of_registry)] = setting(
        "The root of ORCID. Another than the registry's own goes only with `sandbox`, for a simulator.",
        "an https address in quotes",
        "https://sandbox.orcid.org",
        default="",
        shown="the registry's own: `https://orcid.org` or `https://sandbox.orcid.org`",
        validate_default=True,
    )
    client_id: Annotated[str, AfterValidator(_client_of_root)] = setting(
        "The client id that ORCID gave.",
        "a client id in quotes",
        "APP-0A1B2C3D4E5F6G7H",
    )
    client_secret: Annotated[Secret, REFERRED] = setting(
        "The client secret that ORCID gave.",
        REFERENCE,
        "file:secrets/orcid-client-secret",
    )
    scope: Annotated[Scope, Field(strict=False)] = setting(
        "What ORCID is asked for.",
        '"/authenticate" or "openid"',
        "/authenticate",
        default=Scope.AUTHENTICATE,
    )
    connect_timeout: float = setting(
        "How long to wait, in seconds, until ORCID picks up.", _SECONDS, 5.0, default=5.0, gt=0, le=60
    )
    read_timeout: float = setting(
        "How long to wait, in seconds, for a piece of ORCID's answer.", _SECONDS, 20.0, default=20.0, gt=0, le=60
    )
    pkce: bool = setting(
        "Whether to send a PKCE challenge (RFC 7636); off, since ORCID has been seen to drop the verifier.",
        "true or false, without quotes",
        example=False,
        default=False,
    )


class Store(Table):
    """Where links rest."""

    url: Annotated[str, AfterValidator(values.store_url)] = setting(
        "An SQLite file, its absolute path after `sqlite://`, or a PostgreSQL database, without its password.",
        "an address in quotes",
        "sqlite:///var/lib/orcid-connect/links.db",
    )
    password: Annotated[Annotated[Secret, REFERRED] | None, AfterValidator(_password_of_server)] = setting(
        "The password of the PostgreSQL user, where it needs one.",
        REFERENCE,
        "file:secrets/store-password",
        default=None,
    )
    busy_timeout: float = setting(
        "How long to wait, in seconds, for another writer or for the server.", _SECONDS, 5.0, default=5.0, gt=0, le=60
    )

    keep_changes: int = setting(
        "How many days a change is kept for organisations that fetch; who comes later begins with a snapshot.",
        "a whole number of days from 30 to 3650",
        730,
        default=730,
        ge=30,
        le=3650,
    )

    def reveal(self) -> str:
        """Give the URL with the password in it, for whoever opens the store."""
        return self.url if self.password is None else values.with_password(self.url, self.password.reveal())


class Listener(Table):
    """A server of ours: at a loopback address or a unix socket, for whoever reaches it is believed."""

    default_port: ClassVar[int]
    section: ClassVar[str]

    host: Annotated[str, AfterValidator(values.host)] | None = setting(
        "The loopback address to listen on.",
        "a loopback address in quotes",
        "127.0.0.1",
        default=None,
        shown='`"127.0.0.1"`',
    )
    port: int | None = setting(
        "The port; 0 takes a free one, which the line `listening on` names.",
        "a whole number from 0 to 65535",
        8080,
        default=None,
        shown="`8080` in `[listen]`, `8081` in `[connector]`, `8082` in `[authority]`",
        ge=0,
        le=65535,
    )
    unix: Annotated[str, AfterValidator(values.socket_path), AfterValidator(_one_place)] | None = setting(
        "A unix socket in place of host and port; it gets mode 0660.",
        "an absolute path in quotes",
        "/run/orcid-connect/web.sock",
        default=None,
    )
    threads: int = setting(
        "How many requests are answered at once; of pages that take long, as many again.",
        "a whole number from 1 to 256",
        8,
        default=8,
        ge=1,
        le=256,
    )

    @property
    def place(self) -> tuple[str, int] | str:
        """Where to listen: host and port, or the path of a socket."""
        port = self.default_port if self.port is None else self.port
        return self.unix or (self.host or "127.0.0.1", port)

    @model_validator(mode="after")
    def _nobody_elses(self, info: ValidationInfo) -> Self:
        if self.port != 0:
            reading_of(info).claim("address", str(self.place), f"[{self.section}]")
        return self


class WebListener(Listener):
    """Where `orcid-connect serve` answers Apache."""

    default_port = 8080
    section = "listen"


class ConnectorListener(Listener):
    """Where `orcid-connect connector` answers Apache, which passes on what Identity Providers ask."""

    default_port = 8081
    section = "connector"


class Authority(Listener, AuthoritySettings):
    """The attribute authority, which services of the federation ask by SAML; an option, off without an entity_id."""

    default_port = 8082
    section = "authority"


class ServiceFile(Table):
    """The file of the service."""

    service: Service = section()
    orcid: Orcid = section()
    store: Store = section()
    listen: WebListener = section()
    connector: ConnectorListener = section()
    metrics: Metrics = section()
    operator: Annotated[tuple[Operator, ...], Field(strict=False)] = ()
    authority: Authority = section()
    look: LookFile = section()
    mail: MailServer = section()
    notices: Notices = section()
    accessibility: Accessibility = section()
    retention: Retention = section()


# --- The file of an organisation ----------------------------------------------------------------------------------


if TYPE_CHECKING:
    Names = Table
else:
    Names = ORGANISATION_NAMES


class Credentials(Table):
    """By what the connector knows the organisation: a bearer token, or a user with a password, or both."""

    tokens: Annotated[
        tuple[Annotated[Secret, holding(values.token), _own("token"), REFERRED], ...], Field(strict=False)
    ] = setting(
        "Bearer tokens, 32 characters or more each; two while one replaces the other.",
        'a list of references, each "file:/path" or "env:NAME"',
        ["file:secrets/example.token"],
        default=(),
    )
    user: Annotated[str, AfterValidator(values.user), _own("user")] | None = setting(
        "The user of HTTP Basic, for an Identity Provider that cannot send a token.",
        "a user name in quotes",
        "example",
        default=None,
    )
    password: Annotated[
        Annotated[Secret, holding(values.strong), _own("password"), REFERRED] | None, AfterValidator(_with_user)
    ] = setting(
        "The password of that user, 32 characters or more.",
        REFERENCE,
        "file:secrets/example.password",
        default=None,
        shown="none; required with `user`",
        validate_default=True,
    )

    def __bool__(self) -> bool:
        """Whether the organisation can ask at all."""
        return bool(self.tokens) or self.user is not None


class OrganisationFile(Table):
    """The file of an organisation; its name without `.toml` is the organisation's id."""

    entity_id: Annotated[str, AfterValidator(values.entity_id), _own("entity_id")] = setting(
        "The entityID of its Identity Provider, exactly as its metadata has it.",
        "an entityID in quotes",
        "https://idp.example.org/idp/shibboleth",
    )
    scopes: Annotated[
        tuple[Annotated[str, AfterValidator(values.scope)], ...], Field(strict=False), AfterValidator(_at_least_one)
    ] = setting(
        "What may stand after the @ in its people's identifiers; nobody with another scope is let in.",
        "a list of one or more domain names in quotes",
        ["example.org"],
    )
    stage: Annotated[Stage, Field(strict=False), AfterValidator(_of_registry)] = setting(
        "Whether its links are for real: `test` with the sandbox, `production` with the production registry.",
        '"test" or "production"',
        "test",
    )
    key: Annotated[str, AfterValidator(lambda text: values.one_of(text, KEYS))] = setting(
        "The attribute that tells its people apart.",
        "the name of an attribute in quotes: " + ", ".join(KEYS),
        "eppn",
        default="eppn",
    )
    help: Annotated[str, AfterValidator(values.contact)] | None = setting(
        "Whom its people ask about their account.",
        "an e-mail address or an https address in quotes",
        "idm@example.org",
        default=None,
    )
    language: Annotated[str, AfterValidator(lambda text: values.one_of(text, LANGUAGES))] | None = setting(
        "The language of the pages for those of its people whose browser asks for none of ours.",
        A_LANGUAGE,
        "fi",
        default=None,
        shown="the service's",
    )
    name: Names = section()
    connector: Credentials = section()
    administrators: Administrators = section()
    authority: Askers = section()
    notices: PrivacyNotices = section()
    retention: Retention = section()
    transfer: Annotated[tuple[Transfer, ...], Field(strict=False), AfterValidator(different)] = ()
    # After those that its rule looks at
    keep: Annotated[Keep, Field(strict=False), AfterValidator(_to_somebody)] = setting(
        "What is kept: `links`, or `nothing` once a link has been handed on (or given up), for who is only sent to.",
        '"links" or "nothing"',
        "nothing",
        default=Keep.LINKS,
    )

    def organisation(self, name: str) -> Organisation:
        """Give the organisation of this id."""
        names = MappingProxyType(self.name.model_dump(exclude_none=True))
        scopes, whom = frozenset(self.scopes), self.help or ""
        return Organisation(name, self.entity_id, names, scopes, self.key, self.stage, whom, self.language or "")


# --- The whole ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; whoever has one has nothing left to check."""

    path: Path
    service: Service
    orcid: Orcid
    store: Store
    listen: WebListener
    connector: ConnectorListener
    authority: Authority
    look: LookFile
    organisations: Organisations
    credentials: Mapping[str, Credentials]
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
    mail: MailServer
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
    def front(self) -> Front:
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

    `kinds` gives the kinds of transfers by name: dataclasses, for whoever wires knows them and we do not.
    """
    path = Path(path)
    problems: list[Problem] = []
    content = _content(path, problems)
    reading = Reading(path, path.parent, environ, _registry(content), kinds)
    main = None if content is None else checked(ServiceFile, content, reading, problems)
    connected = _connected(path.parent / _directory(content), reading, problems, sure=content is not None)
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


def _connected(directory: Path, reading: Reading, problems: list[Problem], *, sure: bool) -> dict[str, _Connected]:
    """Read the organisations by id; `sure` when the directory is the one the service's file says."""
    found = {}
    paths = _organisation_paths(directory)
    if sure and not paths:
        mend = f"add {directory}/<id>.toml for each organisation; docs/settings.md shows one"
        problems.append(Problem(str(directory), "", "no organisation is connected", mend))
    for path in paths:
        content = _content(path, problems)
        one = None if content is None else _organisation(content, reading.of(path), problems)
        if not _ID.fullmatch(path.stem) or path.suffix != ".toml":
            mend = "rename it: a-z, 0-9 and - before .toml, as in example-org.toml"
            problems.append(Problem(str(path), "", "its name is the organisation's id, and cannot be one", mend))
        elif one is not None:
            found[path.stem] = one
    return found


def _organisation(content: dict[str, Any], reading: Reading, problems: list[Problem]) -> _Connected | None:
    file = checked(OrganisationFile, content, reading, problems)
    transfers = transfers_in(content, reading, problems)
    return None if file is None else _Connected(file, transfers)


def _organisation_paths(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(
        path for path in directory.iterdir() if path.suffix.lower() == ".toml" and not path.name.startswith(".")
    )


def _content(path: Path, problems: list[Problem]) -> dict[str, Any] | None:
    try:
        return _parsed(path)
    except Wrong as wrong:
        problems.append(Problem(str(path), "", wrong.text, wrong.mend))
        return None


def _parsed(path: Path) -> dict[str, Any]:
    data = b""
    try:
        data = path.read_bytes()
        return tomllib.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        raise Wrong("there is no such file", f"write it, or say where it is: --config, or {PATH_VARIABLE}") from None
    except OSError as error:
        raise Wrong(f"cannot be read: {error.strerror}", "make it a file that this user may read") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Wrong(f"is not text in UTF-8 (line {line})", "save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        mend = 'mend it there: text stands in quotes, as in name = "value", a section in brackets, as in [service]'
        raise Wrong(f"is not TOML: {error}", mend) from None


def _registry(content: dict[str, Any] | None) -> Registry | None:
    try:
        return Registry(_said(content, "registry"))
    except ValueError:
        return None


def _directory(content: dict[str, Any] | None) -> str:
    said = _said(content, "organisations")
    return said if isinstance(said, str) and said else "organisations"


def _said(content: dict[str, Any] | None, name: str) -> Any:
    service = (content or {}).get("service")
    return service.get(name) if isinstance(service, dict) else None
