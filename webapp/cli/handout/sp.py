"""`orcid-connect handout sp`: files for our own Service Provider and Apache."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import click

from shibboleth.handout.sp import FEDERATIONS, Front, sp_files
from shibboleth.orcid_id import Registry
from webapp.cli.context import load_config
from webapp.cli.errors import CommandError, handle_errors
from webapp.cli.handout.output import handle_template_errors, output_option, sp_entity_id, write_files
from webapp.config.loader import Config
from webapp.config.service import FrontKind

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", re.ASCII)


@click.command()
@click.option(
    "--federation",
    metavar="NAME",
    type=click.Choice([*FEDERATIONS]),
    help="haka or haka-test; default: haka-test with the sandbox registry, haka with the production registry.",
)
@click.option("--hostname", metavar="NAME", help="The host name of the virtual host; default: that of public_url.")
@click.option(
    "--entity-id", metavar="URI", help="The entityID of our Service Provider; default: public_url and /shibboleth."
)
@click.option("--metadata", metavar="URL", help="The URL of the federation's metadata, if it has changed.")
@click.option("--discovery", metavar="URL", help="The URL of its discovery service, if it has changed.")
@click.option(
    "--metadata-certificate",
    metavar="FILE",
    default="/etc/shibboleth/federation.pem",
    show_default=True,
    help="The certificate with which the metadata is signed.",
)
@click.option(
    "--tls-certificate",
    metavar="FILE",
    default="/etc/ssl/certs/orcid-connect.pem",
    show_default=True,
    help="The TLS certificate of the host name, with its chain.",
)
@click.option(
    "--tls-key",
    metavar="FILE",
    default="/etc/ssl/private/orcid-connect.key",
    show_default=True,
    help="The key of the TLS certificate.",
)
@click.option(
    "--http-port", metavar="PORT", default="80", show_default=True, help="The port on which Apache answers without TLS."
)
@click.option("--support-contact", metavar="ADDRESS", help="The e-mail address for support, if contact is a web page.")
@click.option(
    "--user", metavar="NAME", default="orcid-connect", show_default=True, help="The system account of the service."
)
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
def sp(path: Path, /, output: Path | None, keys: Path, *, connector_only: bool, **options: str) -> None:
    """Generate the files of our own Service Provider and Apache, and the text of its registration.

    The paths below DIR are those on the machine. With front = "proxy" the files include the front_proof.
    """
    config = load_config(path)
    front = Front.CONNECTOR if connector_only else Front(config.service.front.value)
    certificates = _certificates(keys)
    values = {**_values(config, options), **_proof(config, shown=output is None), **certificates}
    write_files(sp_files(front, values, with_keys=bool(certificates)), output)
    if not certificates and front is not Front.CONNECTOR:
        click.echo(
            f"no certificates in {keys}: run shib-keygen, then repeat the command to get sp-metadata.xml", err=True
        )


def _values(config: Config, options: Mapping[str, str]) -> dict[str, str]:
    url = urlsplit(config.service.public_url)
    default = "haka" if config.service.registry is Registry.PRODUCTION else "haka-test"
    federation = FEDERATIONS[options["federation"] or default]
    return {
        "NAME": config.service.name,
        "HOSTNAME": options["hostname"] or url.hostname or "",
        "BASE_URL": config.service.public_url,
        "HTTPS_PORT": str(url.port or 443),
        "HTTP_PORT": options["http_port"],
        "TLS_CERTIFICATE": options["tls_certificate"],
        "TLS_KEY": options["tls_key"],
        "ENTITY_ID": options["entity_id"] or sp_entity_id(config),
        "DISCOVERY_URL": options["discovery"] or federation.discovery,
        "METADATA_URL": options["metadata"] or federation.metadata,
        "METADATA_CERTIFICATE": options["metadata_certificate"],
        "SUPPORT_CONTACT": _mail(options["support_contact"] or config.service.contact),
        "PRIVACY_URL": config.service.privacy_url or "none yet: privacy_url in the configuration",
        "SYSTEM_USER": options["user"],
        "WEB_THREADS": str(config.listen.threads),
        "CONNECTOR_THREADS": str(config.connector.threads),
        **_paths(config),
    }


def _mail(contact: str) -> str:
    if contact.startswith("https:"):
        raise CommandError(
            "contact is a web page, but the Service Provider needs an e-mail address: add --support-contact"
        )
    return contact


def _paths(config: Config) -> dict[str, str]:
    paths = {
        "CONFIG": str(config.path.absolute()),
        "ETC": str(config.path.absolute().parent),
        "VENV": sys.prefix,
        "VAR": "/var/lib/orcid-connect",
    }
    if config.service.front is FrontKind.PROXY:
        paths["RUN"] = _directory_of_sockets(config)
    return paths


def _directory_of_sockets(config: Config) -> str:
    web, connector = Path(config.listen.unix or ""), Path(config.connector.unix or "")
    if (web.name, connector.name) != ("web.sock", "connector.sock") or web.parent != connector.parent:
        mend = 'for example unix = "/run/orcid-connect/web.sock", and /run/orcid-connect/connector.sock for the other'
        raise CommandError(f"[listen] and [connector] are to be web.sock and connector.sock of one directory: {mend}")
    return str(web.parent)


def _proof(config: Config, *, shown: bool) -> dict[str, str]:
    # The secret goes to a file that only its owner may read, never to the terminal
    proof = config.service.front_proof
    if proof is None:
        return {}
    return {"FRONT_PROOF": f"PUT-THE-PROOF-HERE-({proof.source})" if shown else proof.reveal()}


def _certificates(directory: Path) -> dict[str, str]:
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
