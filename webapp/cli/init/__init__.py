"""`orcid-connect init`: the files of a new service."""

from __future__ import annotations

import base64
import secrets
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from shibboleth.handout.machine import configuration_file
from shibboleth.handout.render import RenderedFile, TemplateError
from shibboleth.handout.sp import Front
from shibboleth.orcid_id import Registry
from webapp.cli.errors import CommandError
from webapp.cli.handout.output import PUBLIC_MODE, SECRET_MODE, NewFiles, sp_entity_id
from webapp.cli.handout.sp import all_files, read_certificates
from webapp.cli.init.keys import make_key_pair
from webapp.cli.output import pluralize
from webapp.config.errors import Misconfigured
from webapp.config.loader import DEFAULT_PATH, load_service

_ETC = "etc/orcid-connect"
_DATABASES = {
    "sqlite": "sqlite:///var/lib/orcid-connect/links.db",
    "postgresql": "postgresql://orcid-connect@/orcid_connect?host=/run/postgresql",
}
"""The URL of each database on this machine."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the operator says with an option, or is asked."""

    name: str
    """The placeholder, and the condition, in the template of the configuration."""
    option: str
    setting: str
    metavar: str
    help: str
    question: str = ""
    """Asked if the option is missing; empty: it may be missing."""
    default: str | None = None
    choices: tuple[str, ...] = ()
    stored_as: str = ""
    """The name of a secret; the option then names a file that has the value."""


_ANSWERS = (
    _Answer(
        "PUBLIC_URL", "--public-url", "service.public_url", "URL", "The address of the service, https and a host name.",
        question="Address of the service, as in https://orcid-connect.example.org",
    ),
    _Answer(
        "CONTACT", "--contact", "service.contact", "ADDRESS",
        "Contact for people's questions: an e-mail address or a web page.",
        question="Contact for people's questions (e-mail address)",
    ),
    _Answer(
        "SUPPORT_CONTACT", "--support-contact", "service_provider.support_contact", "ADDRESS",
        "An e-mail address, if --contact is a web page.",
    ),
    _Answer(
        "NAME", "--name", "service.name", "TEXT", "The name of the service on its pages; default: ORCID connect.",
    ),
    _Answer(
        "REGISTRY", "--registry", "service.registry", "NAME", "ORCID's registry: sandbox or production.",
        question="ORCID's registry", default=Registry.SANDBOX.value, choices=tuple(each.value for each in Registry),
    ),
    _Answer(
        "CLIENT_ID", "--client-id", "orcid.client_id", "ID", "The id of the ORCID client, APP-...",
        question="Id of the ORCID client, APP-...",
    ),
    _Answer(
        "CLIENT_SECRET", "--client-secret-file", "orcid.client_secret", "FILE",
        "A file with the secret of the ORCID client; - is standard input.",
        question="Secret of the ORCID client", stored_as="orcid-client-secret",
    ),
    _Answer(
        "FRONT", "--front", "service.front", "NAME",
        "How Apache runs the service: variables (with mod_wsgi) or proxy (before two servers).",
        question="Front", default=Front.VARIABLES.value, choices=(Front.VARIABLES.value, Front.PROXY.value),
    ),
    _Answer(
        "STORE_URL", "--database", "store.url", "URL", "sqlite, postgresql (on this machine), or a URL.",
        question="Database (sqlite, postgresql or a URL)", default="sqlite",
    ),
    _Answer(
        "STORE_PASSWORD", "--database-password-file", "store.password", "FILE",
        "A file with the password of the database's role.", stored_as="store-password",
    ),
    _Answer(
        "METADATA_URL", "--metadata-url", "service_provider.metadata_url", "URL",
        "The federation's signed metadata; default: Haka's.",
    ),
    _Answer(
        "DISCOVERY_URL", "--discovery-url", "service_provider.discovery_url", "URL",
        "The federation's discovery service; default: Haka's.",
    ),
)  # fmt: skip
_INSTALL = """
{count}, for this machine. As root, install them and create the system account:

  cp -r --preserve=mode --backup --suffix=.before {etc} /
  systemd-sysusers orcid-connect.conf
  systemd-tmpfiles --create orcid-connect.conf shibboleth-sp-utils.conf
  systemctl daemon-reload

docs/operator/install.md says how it goes on."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for each in reversed(_ANSWERS):
        kind: click.ParamType[str] | None = click.Choice(each.choices) if each.choices else None
        command = click.option(each.option, each.name, metavar=each.metavar, type=kind, help=each.help)(command)
    return command


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@_options
def init(directory: Path, **given: str | None) -> None:
    """Write the files of a new service below DIRECTORY.

    They are the configuration, secrets, keys of the Service Provider, units of systemd, and the files of Apache and
    the Service Provider. Their paths below DIRECTORY/etc are those on the machine. What no option says is asked.

    DIRECTORY must not exist, or be empty: no file is overwritten. If the command fails, it leaves no file.
    """
    try:
        existing = sorted(map(str, directory.iterdir())) if directory.exists() else []
        if existing:
            raise CommandError(f"nothing was written, because these exist: {', '.join(existing)}")
        answers = _ask(given)
        with NewFiles() as files:
            files.make_directory(directory, mode=0o700)
            written = _write_all(files, directory, answers)
            files.keep()
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise CommandError("a value is not text in UTF-8") from None
    except TemplateError as error:
        options = {each.name: each.option for each in _ANSWERS}
        named = ", ".join(options.get(name, name) for name in error.names)
        raise click.UsageError(f"{named}: {error.reason}.") from None
    for each in written:
        click.echo(f"{'secret' if each.secret else 'file':<8}{directory / each.path}")
    count = pluralize(len(written), "file", "files")
    click.echo(_INSTALL.format(count=count, etc=shlex.quote(str(directory / "etc"))))


def _ask(given: Mapping[str, str | None]) -> dict[str, str]:
    # The answers by name; those that are missing, and may be, have none
    answers: dict[str, str] = {}
    for each in _ANSWERS:
        value = given[each.name]
        if value is not None and each.stored_as:
            value = _read_secret(each.option, value)
        elif value is None and each.question:
            value = _prompt(each)
        if value is not None:
            answers[each.name] = value
    if answers["CONTACT"].startswith("https:") and "SUPPORT_CONTACT" not in answers:
        raise click.UsageError("--contact is a web page: --support-contact must name an e-mail address.")
    answers["PUBLIC_URL"] = answers["PUBLIC_URL"].rstrip("/")
    answers["STORE_URL"] = _DATABASES.get(answers["STORE_URL"], answers["STORE_URL"])
    return answers


def _prompt(answer: _Answer) -> str:
    kind: click.ParamType[str] = click.Choice(answer.choices) if answer.choices else click.STRING
    try:
        return str(click.prompt(answer.question, answer.default, hide_input=bool(answer.stored_as), type=kind))
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo()
        raise click.UsageError(f"{answer.option} is missing, and standard input has no answer.") from None


def _read_secret(option: str, file: str) -> str:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(f"{option}: the file is not text in UTF-8.") from None
    return text.strip("\r\n")


def _write_all(files: NewFiles, directory: Path, answers: Mapping[str, str]) -> list[RenderedFile]:
    # The configuration first: what the other files say is read from it
    front = Front(answers["FRONT"])
    configuration = configuration_file(answers, {front.value, *answers})
    texts = {each.stored_as: answers[each.name] for each in _ANSWERS if each.stored_as and each.name in answers}
    texts["orcid-token-key"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    texts["metrics.token"] = secrets.token_hex(32)
    if front is Front.PROXY:
        texts["front-proof"] = secrets.token_hex(32)
    stored = [RenderedFile(f"{_ETC}/secrets/{name}", f"{text}\n", secret=True) for name, text in texts.items()]
    _write(files, directory, [configuration, *stored])
    files.make_directory(directory / _ETC / "organisations")
    try:
        file = load_service(directory / configuration.path, {})
    except Misconfigured as error:
        raise click.UsageError("\n".join(_problem_lines(error, directory))) from None
    hostname = urlsplit(file.service.public_url).hostname or ""
    keys = []
    for name in ("signing", "encrypt"):
        key, certificate = make_key_pair(hostname, sp_entity_id(file))
        keys.append(RenderedFile(f"etc/shibboleth/sp-{name}-key.pem", key, secret=True))
        keys.append(RenderedFile(f"etc/shibboleth/sp-{name}-cert.pem", certificate))
    _write(files, directory, keys)
    proof = {"FRONT_PROOF": texts["front-proof"]} if front is Front.PROXY else {}
    more = {**proof, **read_certificates(directory / "etc/shibboleth")}
    others = all_files(file, Path(DEFAULT_PATH), front, None, more)
    _write(files, directory, others)
    for each in directory.rglob("*"):
        # Whatever the umask is: `cp --preserve=mode` gives these modes to the directories of the machine
        if each.is_dir():
            each.chmod(0o700 if each.name == "secrets" else 0o755)
    return [configuration, *stored, *keys, *others]


def _write(files: NewFiles, directory: Path, rendered: Iterable[RenderedFile]) -> None:
    for each in rendered:
        files.make_directory((directory / each.path).parent, parents=True)
        files.write(directory / each.path, each.text.encode(), mode=SECRET_MODE if each.secret else PUBLIC_MODE)


def _problem_lines(error: Misconfigured, directory: Path) -> list[str]:
    options = {each.setting: each.option for each in _ANSWERS}
    return [
        f"{options.get(each.key, each.key)}: {each.text}".replace(f"{directory}/", "") + f"\n  → {each.fix}"
        for each in error.problems
    ]
