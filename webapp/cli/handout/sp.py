"""`orcid-connect handout sp`: the files of our own Service Provider and of Apache."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import click

from shibboleth.handout.sp import FEDERATIONS, Front, sp_files
from shibboleth.orcid_id import Registry
from webapp.cli.common import CommandError, configuration, in_words
from webapp.cli.handout.output import filled, hand_out, output_option, sp_entity_id
from webapp.config.loader import Config
from webapp.config.service import FrontKind

_PEM = re.compile(r"\s*-+BEGIN CERTIFICATE-+\s([A-Za-z0-9+/=\s]+)-+END CERTIFICATE-+\s*", re.ASCII)


@click.command()
@click.option(
    "--federation",
    metavar="NAME",
    type=click.Choice([*FEDERATIONS]),
    help="haka or haka-test; by itself, haka-test with the sandbox and haka with the production registry.",
)
@click.option("--hostname", metavar="NAME", help="Our public name on this machine; by itself, that of public_url.")
@click.option("--entity-id", metavar="URI", help="Our entityID; by itself, public_url and /shibboleth.")
@click.option("--metadata", metavar="URL", help="The federation's metadata, where it is elsewhere by now.")
@click.option("--discovery", metavar="URL", help="Its discovery service, where it is elsewhere by now.")
@click.option(
    "--metadata-certificate",
    metavar="FILE",
    default="/etc/shibboleth/federation.pem",
    show_default=True,
    help="The certificate that signs the metadata.",
)
@click.option(
    "--tls-certificate",
    metavar="FILE",
    default="/etc/ssl/certs/orcid-connect.pem",
    show_default=True,
    help="The certificate of our name, with its chain.",
)
@click.option(
    "--tls-key",
    metavar="FILE",
    default="/etc/ssl/private/orcid-connect.key",
    show_default=True,
    help="Its key.",
)
@click.option("--http-port", metavar="PORT", default="80", show_default=True, help="Where Apache answers without TLS.")
@click.option("--support-contact", metavar="ADDRESS", help="An e-mail address, where contact is a page.")
@click.option(
    "--user", metavar="NAME", default="orcid-connect", show_default=True, help="The system account that runs it."
)
@click.option(
    "--keys",
    metavar="DIR",
    default="/etc/shibboleth",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the Service Provider's certificates are; with them, sp-metadata.xml comes too.",
)
@click.option("--connector-only", is_flag=True, help="For a machine with the connector alone.")
@output_option
@click.pass_obj
@in_words
@filled
def sp(path: Path, /, output: Path | None, keys: Path, *, connector_only: bool, **said: str) -> None:
    """Give out the files of our own Service Provider and of Apache, and what the federation's registry asks.

    The paths below DIR are those on the machine. With front = "proxy" the proof of the front is among them.
    """
    config = configuration(path)
    front = Front.CONNECTOR if connector_only else Front(config.service.front.value)
    certificates = _certificates(keys)
    values = {**_of_sp(config, said), **_proof(config, shown=output is None), **certificates}
    hand_out(sp_files(front, values, with_keys=bool(certificates)), output)
    if not certificates and front is not Front.CONNECTOR:
        click.echo(f"no certificates in {keys} yet: sp-metadata.xml comes when shib-keygen has made them", err=True)


def _of_sp(config: Config, said: Mapping[str, str]) -> dict[str, str]:
    url = urlsplit(config.service.public_url)
    usual = "haka" if config.service.registry is Registry.PRODUCTION else "haka-test"
    federation = FEDERATIONS[said["federation"] or usual]
    return {
        "NAME": config.service.name,
        "HOSTNAME": said["hostname"] or url.hostname or "",
        "BASE_URL": config.service.public_url,
        "HTTPS_PORT": str(url.port or 443),
        "HTTP_PORT": said["http_port"],
        "TLS_CERTIFICATE": said["tls_certificate"],
        "TLS_KEY": said["tls_key"],
        "ENTITY_ID": said["entity_id"] or sp_entity_id(config),
        "DISCOVERY_URL": said["discovery"] or federation.discovery,
        "METADATA_URL": said["metadata"] or federation.metadata,
        "METADATA_CERTIFICATE": said["metadata_certificate"],
        "SUPPORT_CONTACT": _mail(said["support_contact"] or config.service.contact),
        "PRIVACY_URL": config.service.privacy_url or "none yet: privacy_url in the configuration",
        "SYSTEM_USER": said["user"],
        "WEB_THREADS": str(config.listen.threads),
        "CONNECTOR_THREADS": str(config.connector.threads),
        **_places(config),
    }


def _mail(contact: str) -> str:
    if contact.startswith("https:"):
        raise CommandError(
            "contact is a page, and the Service Provider shows an e-mail address: say it by --support-contact"
        )
    return contact


def _places(config: Config) -> dict[str, str]:
    """Give where things are on this machine."""
    places = {
        "CONFIG": str(config.path.absolute()),
        "ETC": str(config.path.absolute().parent),
        "VENV": sys.prefix,
        "VAR": "/var/lib/orcid-connect",
    }
    if config.service.front is FrontKind.PROXY:
        places["RUN"] = _directory_of_sockets(config)
    return places


def _directory_of_sockets(config: Config) -> str:
    web, connector = Path(config.listen.unix or ""), Path(config.connector.unix or "")
    if (web.name, connector.name) != ("web.sock", "connector.sock") or web.parent != connector.parent:
        mend = 'for example unix = "/run/orcid-connect/web.sock", and /run/orcid-connect/connector.sock for the other'
        raise CommandError(f"[listen] and [connector] are to be web.sock and connector.sock of one directory: {mend}")
    return str(web.parent)


def _proof(config: Config, *, shown: bool) -> dict[str, str]:
    """Give the proof of the front to a file that only its owner may read, and to no terminal."""
    proof = config.service.front_proof
    if proof is None:
        return {}
    return {"FRONT_PROOF": f"PUT-THE-PROOF-HERE-({proof.source})" if shown else proof.reveal()}


def _certificates(directory: Path) -> dict[str, str]:
    """Give the Service Provider's certificates, each in one line; none where one of them is missing."""
    names = {"SIGNING_CERTIFICATE": "sp-signing-cert.pem", "ENCRYPTION_CERTIFICATE": "sp-encrypt-cert.pem"}
    try:
        return {name: _certificate(directory / file) for name, file in names.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None


def _certificate(path: Path) -> str:
    found = _PEM.fullmatch(path.read_text("ascii", "replace"))
    if found is None:
        raise CommandError(f"{path} is not one certificate (PEM)")
    return re.sub(r"\s", "", found[1])
