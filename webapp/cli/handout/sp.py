"""`orcid-connect handout sp`: files for the service's SP and Apache."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import click

from shibboleth.handout.machine import machine_files
from shibboleth.handout.render import RenderedFile
from shibboleth.handout.sp import Front, sp_files
from webapp.cli.context import load_service_file
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.handout.output import federation_of, handle_template_errors, output_option, sp_entity_id, write_files
from webapp.config.service import ServiceFile

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", re.ASCII)


@click.command()
@click.option("--hostname", metavar="NAME", help="The host name of the virtual host; default: that of public_url.")
@click.option(
    "--keys",
    metavar="DIR",
    default="/etc/shibboleth",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The directory of the Service Provider's certificates, for sp-metadata.xml.",
)
@click.option("--connector-only", is_flag=True, help="For a machine that runs only the connector.")
@output_option
@click.pass_obj
@handle_errors
@handle_template_errors
def sp(path: Path, /, output: Path | None, keys: Path, *, connector_only: bool, hostname: str | None) -> None:
    """Generate the files of the service's own SP and Apache.

    The text of the SP's registration, units of systemd, and files for monitoring are among them.

    The values are those of the configuration, see [service_provider]. The paths below DIR are those on the machine.
    With front = "proxy" the files include the front_proof.
    """
    file = load_service_file(path)
    front = Front.CONNECTOR if connector_only else Front(file.service.front.value)
    certificates = read_certificates(keys)
    values = {**_proof(file, shown=output is None), **certificates}
    write_files(all_files(file, path, front, hostname, values), output)
    if not certificates and front is not Front.CONNECTOR:
        click.echo(
            f"no certificates in {keys}: run shib-keygen, then repeat the command to get sp-metadata.xml", err=True
        )


def all_files(
    config: ServiceFile, path: Path, front: Front, hostname: str | None, more: Mapping[str, str]
) -> tuple[RenderedFile, ...]:
    """Render the files of the SP, of Apache, and of the machine.

    Args:
        config: The service's file.
        path: Where it is on the machine.
        front: How Apache runs the service.
        hostname: The host name of the virtual host; None means that of `public_url`.
        more: `FRONT_PROOF`, if `front` is `proxy`, and the SP's certificates, if they exist.

    Raises:
        CommandError: If the SP has no e-mail address of a contact.
        TemplateError: If a value is not allowed in a file.
    """
    conditions, backends = _backends(config)
    values = {**_values(config, path, hostname), **backends, **more}
    engine = "sqlite" if config.store.url.startswith("sqlite:") else "postgresql"
    return (
        *sp_files(front, values, conditions, with_keys="SIGNING_CERTIFICATE" in more),
        *(() if front is Front.CONNECTOR else machine_files(values, {front, engine})),
    )


def _values(config: ServiceFile, path: Path, hostname: str | None) -> dict[str, str]:
    url, settings = urlsplit(config.service.public_url), config.service_provider
    federation = federation_of(config)
    contact = settings.support_contact or config.service.contact
    if contact.startswith("https:"):
        raise CommandError(
            "contact is a web page, but the Service Provider needs an e-mail address: "
            "add support_contact to [service_provider]"
        )
    return {
        "NAME": config.service.name,
        "HOSTNAME": hostname or url.hostname or "",
        "BASE_URL": config.service.public_url,
        "HTTPS_PORT": str(url.port or 443),
        "HTTP_PORT": str(settings.http_port),
        "TLS_CERTIFICATE": settings.tls_certificate,
        "TLS_KEY": settings.tls_key,
        "ENTITY_ID": sp_entity_id(config),
        "DISCOVERY_URL": federation.discovery,
        "METADATA_URL": federation.metadata,
        "METADATA_CERTIFICATE": settings.metadata_certificate,
        "SUPPORT_CONTACT": contact,
        "PRIVACY_URL": config.service.privacy_url or f"{config.service.public_url}/privacy",
        "SYSTEM_USER": settings.system_user,
        "WEB_THREADS": str(config.listen.threads),
        "CONNECTOR_THREADS": str(config.connector.threads),
        "CONFIG": str(path.absolute()),
        "ETC": str(path.absolute().parent),
        "VENV": sys.prefix,
        "VAR": "/var/lib/orcid-connect",
    }


def _backends(config: ServiceFile) -> tuple[set[str], dict[str, str]]:
    # Where Apache finds the two servers with front = "proxy": each on a unix socket or on a loopback port
    conditions, values = set(), {}
    for name, listener in (("web", config.listen), ("connector", config.connector)):
        if listener.unix:
            conditions.add(f"{name}-socket")
            values[f"{name.upper()}_SOCKET"] = listener.unix
        else:
            host = listener.host or "127.0.0.1"
            port = listener.default_port if listener.port is None else listener.port
            conditions.add(f"{name}-port")
            values[f"{name.upper()}_ADDRESS"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return conditions, values


def _proof(config: ServiceFile, *, shown: bool) -> dict[str, str]:
    # The secret goes to a file that only its owner may read, never to the terminal
    proof = config.service.front_proof
    if proof is None:
        return {}
    return {"FRONT_PROOF": f"PUT-THE-PROOF-HERE-({proof.source})" if shown else proof.reveal()}


def read_certificates(directory: Path) -> dict[str, str]:
    """Return the certificates of the SP; none if one does not exist.

    They are base64 without the lines around them.
    """
    names = {"SIGNING_CERTIFICATE": "sp-signing-cert.pem", "ENCRYPTION_CERTIFICATE": "sp-encrypt-cert.pem"}
    try:
        return {name: _certificate(directory / file) for name, file in names.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None


def _certificate(path: Path) -> str:
    # Text around it is allowed, as `openssl x509 -text` and editors write it (RFC 7468, section 5.2)
    found = _PEM.findall(path.read_text("ascii", "replace"))
    if len(found) != 1:
        raise CommandError(f"{path} does not hold exactly one certificate (PEM)")
    return re.sub(r"\s", "", found[0])
