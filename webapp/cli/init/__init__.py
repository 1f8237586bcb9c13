"""`orcid-connect init`: the files of a new service."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from shibboleth.handout.machine import configuration_file
from shibboleth.handout.render import RenderedFile, TemplateError
from shibboleth.handout.sp import Front
from shibboleth.orcid_id import Registry
from webapp.cli.errors import CommandError
from webapp.cli.handout.output import PUBLIC_MODE, SECRET_MODE, sp_entity_id
from webapp.cli.handout.sp import all_files, read_certificates
from webapp.cli.init.keys import make_key_pair
from webapp.cli.output import pluralize
from webapp.config.errors import Misconfigured
from webapp.config.loader import DEFAULT_PATH, load_service

_ETC = "etc/orcid-connect"
_SQLITE = "sqlite:///var/lib/orcid-connect/links.db"
_POSTGRESQL = "postgresql://orcid-connect@/orcid_connect?host=/run/postgresql"
_OPTIONS = {
    "service.public_url": "--public-url",
    "service.name": "--name",
    "service.contact": "--contact",
    "orcid.client_id": "--client-id",
    "orcid.client_secret": "--client-secret-file",
    "store.url": "--database",
    "store.password": "--database-password-file",
    "service_provider.support_contact": "--support-contact",
    "service_provider.metadata_url": "--metadata-url",
    "service_provider.discovery_url": "--discovery-url",
}
"""The option that sets each setting."""


@dataclass(frozen=True, slots=True)
class _Answers:
    # Values of placeholders, conditions of templates, and secrets by the name of their file
    values: Mapping[str, str]
    front: Front
    conditions: frozenset[str]
    secrets: Mapping[str, str]


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--public-url", metavar="URL", help="The address of the service, https and a host name.")
@click.option("--contact", metavar="ADDRESS", help="Contact for people's questions: an e-mail address or a web page.")
@click.option("--support-contact", metavar="ADDRESS", help="An e-mail address, if --contact is a web page.")
@click.option("--name", metavar="TEXT", help="The name of the service on its pages; default: ORCID connect.")
@click.option(
    "--registry",
    metavar="NAME",
    type=click.Choice([each.value for each in Registry]),
    help="ORCID's registry: sandbox or production.",
)
@click.option("--client-id", metavar="ID", help="The id of the ORCID client, APP-...")
@click.option(
    "--client-secret-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A file with the secret of the ORCID client; - is standard input.",
)
@click.option(
    "--front",
    metavar="NAME",
    type=click.Choice([Front.VARIABLES.value, Front.PROXY.value]),
    help="How Apache runs the service: variables (with mod_wsgi) or proxy (before two servers).",
)
@click.option("--database", metavar="URL", help="sqlite, postgresql (on this machine), or a URL.")
@click.option(
    "--database-password-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A file with the password of the database's role.",
)
@click.option("--metadata-url", metavar="URL", help="The federation's signed metadata; default: Haka's.")
@click.option("--discovery-url", metavar="URL", help="The federation's discovery service; default: Haka's.")
def init(directory: Path, **given: str | Path | None) -> None:
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
        with _all_or_nothing(directory) as staging:
            written = _write_all(staging, answers)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise CommandError("a value is not text in UTF-8") from None
    except TemplateError as error:
        options = ", ".join(
            "--" + name.replace("STORE_URL", "DATABASE").lower().replace("_", "-") for name in error.names
        )
        raise click.UsageError(f"{options}: {error.reason}.") from None
    for each in written:
        click.echo(f"{'secret' if each.secret else 'file':<8}{directory / each.path}")
    click.echo(f"\n{pluralize(len(written), 'file', 'files')}. docs/operator/install.md says how to install them.")


@contextmanager
def _all_or_nothing(directory: Path) -> Iterator[Path]:
    # Files are written to a hidden directory and renamed into place at the end
    created = not directory.exists()
    if created:
        directory.mkdir(mode=0o700)
    staging = Path(tempfile.mkdtemp(prefix=".init-", dir=directory))
    moved: list[Path] = []
    try:
        yield staging
        for each in sorted(staging.iterdir()):
            each.rename(directory / each.name)
            moved.append(directory / each.name)
        staging.rmdir()
    except BaseException:
        for each in (staging, *moved):
            shutil.rmtree(each, ignore_errors=True)
            each.unlink(missing_ok=True)
        if created:
            directory.rmdir()
        raise


def _ask(given: Mapping[str, str | Path | None]) -> _Answers:
    # Ask for what has no option
    asked: dict[str, str] = {name: value for name, value in given.items() if isinstance(value, str)}

    def ask(option: str, question: str, default: str | None = None, choices: Iterable[str] = ()) -> str:
        if option not in asked:
            asked[option] = _prompt(option, question, default, click.Choice(list(choices)) if choices else click.STRING)
        return asked[option]

    url = ask("public_url", "Address of the service, https://").rstrip("/")
    contact = ask("contact", "Contact for people's questions (e-mail address)")
    registry = ask("registry", "ORCID's registry", "sandbox", [each.value for each in Registry])
    client_id = ask("client_id", "Id of the ORCID client, APP-...")
    client_secret = _secret("--client-secret-file", given["client_secret_file"])
    if client_secret is None:
        client_secret = _prompt("client_secret_file", "Secret of the ORCID client", hidden=True)
    front = Front(ask("front", "Front", "variables", [Front.VARIABLES.value, Front.PROXY.value]))
    database = ask("database", "Database (sqlite, postgresql or a URL)", "sqlite")
    password = _secret("--database-password-file", given["database_password_file"])
    if contact.startswith("https:") and "support_contact" not in asked:
        raise click.UsageError("--contact is a web page: --support-contact must name an e-mail address.")
    optional = {
        "name": asked.get("name"),
        "support-contact": asked.get("support_contact"),
        "metadata-url": asked.get("metadata_url"),
        "discovery-url": asked.get("discovery_url"),
    }
    present = {name: value for name, value in optional.items() if value is not None}
    values = {name.upper().replace("-", "_"): value for name, value in present.items()} | {
        "PUBLIC_URL": url,
        "CONTACT": contact,
        "REGISTRY": registry,
        "CLIENT_ID": client_id,
        "STORE_URL": {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}.get(database, database),
    }
    conditions = {front.value, *present}
    if present.keys() - {"name"}:
        conditions.add("service-provider")
    files = {
        "orcid-client-secret": client_secret,
        "orcid-token-key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "metrics.token": secrets.token_hex(32),
    }
    if front is Front.PROXY:
        files["front-proof"] = secrets.token_hex(32)
    if password is not None:
        conditions.add("store-password")
        files["store-password"] = password
    return _Answers(values, front, frozenset(conditions), files)


def _prompt(
    option: str,
    question: str,
    default: str | None = None,
    kind: click.ParamType[str] = click.STRING,
    *,
    hidden: bool = False,
) -> str:
    try:
        return str(click.prompt(question, default, hide_input=hidden, type=kind))
    except click.Abort:
        if sys.stdin.isatty():
            raise
        name = f"--{option.replace('_', '-')}"
        raise click.UsageError(f"{name} is missing, and standard input has no answer.") from None


def _secret(option: str, file: str | Path | None) -> str | None:
    if file is None:
        return None
    try:
        text = sys.stdin.read() if str(file) == "-" else Path(file).read_text("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(f"{option}: the file is not text in UTF-8.") from None
    return text.strip("\r\n")


def _write_all(staging: Path, answers: _Answers) -> list[RenderedFile]:
    # The configuration first: what the other files say is read from it
    configuration = configuration_file(answers.values, answers.conditions)
    stored = [
        RenderedFile(f"{_ETC}/secrets/{name}", f"{text}\n", secret=True) for name, text in answers.secrets.items()
    ]
    _write(staging, [configuration, *stored])
    (staging / _ETC / "organisations").mkdir()
    try:
        file = load_service(staging / configuration.path, {})
    except Misconfigured as error:
        raise click.UsageError("\n".join(_problem_lines(error, staging))) from None
    hostname = urlsplit(file.service.public_url).hostname or ""
    keys = []
    for name in ("signing", "encrypt"):
        key, certificate = make_key_pair(hostname, sp_entity_id(file))
        keys.append(RenderedFile(f"etc/shibboleth/sp-{name}-key.pem", key, secret=True))
        keys.append(RenderedFile(f"etc/shibboleth/sp-{name}-cert.pem", certificate))
    _write(staging, keys)
    proof = {"FRONT_PROOF": answers.secrets["front-proof"]} if answers.front is Front.PROXY else {}
    more = {**proof, **read_certificates(staging / "etc/shibboleth")}
    files = all_files(file, Path(DEFAULT_PATH), answers.front, None, more)
    _write(staging, files)
    for each in staging.rglob("*"):
        # Whatever the umask is: `cp --preserve=mode` gives these modes to the directories of the machine
        if each.is_dir():
            each.chmod(0o700 if each.name == "secrets" else 0o755)
    return [configuration, *stored, *keys, *files]


def _write(staging: Path, files: Iterable[RenderedFile]) -> None:
    for each in files:
        target = staging / each.path
        target.parent.mkdir(parents=True, exist_ok=True)
        # With its mode from the start: a secret is never readable by others
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(each.text)
        target.chmod(SECRET_MODE if each.secret else PUBLIC_MODE)


def _problem_lines(error: Misconfigured, staging: Path) -> list[str]:
    lines = []
    for each in error.problems:
        subject = _OPTIONS.get(each.key, each.key)
        lines.append(f"{subject}: {each.text}".replace(f"{staging}/", "") + f"\n  → {each.fix}")
    return lines
