"""The settings of the attribute authority: an option, off as long as it has no entityID."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from webapp.config import values
from webapp.config.errors import InvalidSetting
from webapp.config.tables import Table, reading_of, setting

_PATH = "a path in quotes"


def _file(path: str | None, info: ValidationInfo) -> str | None:
    """Read the path of a file of the authority, which is needed once the authority has an entityID."""
    needed = info.data.get("entity_id") is not None
    if path is None:
        if needed:
            mend = "docs/attribute-authority.md tells what it is"
            raise InvalidSetting("is missing, and an attribute authority with an entity_id needs it", mend)
        return None
    return _readable(path, info)


def _readable(path: str | None, info: ValidationInfo) -> str | None:
    if path is None:
        return None
    whole = reading_of(info).directory / path
    try:
        with whole.open("rb"):
            return str(whole)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise InvalidSetting(
            f"refers to {whole}, which cannot be read ({why})", "make it a file that we may read"
        ) from None


_Needed = Annotated[str | None, AfterValidator(_file)]
_Wanted = Annotated[str | None, AfterValidator(_readable)]


class AuthoritySettings(Table):
    """As whom the attribute authority speaks, and whom it listens to."""

    entity_id: Annotated[str, AfterValidator(values.entity_id)] | None = setting(
        "The authority's own entityID in the federation; without one there is no authority.",
        "an entityID in quotes",
        "https://orcid-connect.example.org/aa",
        default=None,
    )
    key: _Needed = setting(
        "The file of the private key, in PEM, with which answers are signed.",
        _PATH,
        "secrets/authority.key",
        default=None,
        shown="none; required with `entity_id`",
        validate_default=True,
    )
    certificate: _Needed = setting(
        "The file of that key's certificate, in PEM, as the federation's metadata carries it.",
        _PATH,
        "authority.pem",
        default=None,
        shown="none; required with `entity_id`",
        validate_default=True,
    )
    metadata: _Needed = setting(
        "The file of the federation's metadata, which says whose signature is whose; read again when it changes.",
        _PATH,
        "/var/cache/shibboleth/federation.xml",
        default=None,
        shown="none; required with `entity_id`",
        validate_default=True,
    )
    metadata_certificate: _Wanted = setting(
        "The file of the certificate with which the metadata must be signed; none where shibd has checked it already.",
        _PATH,
        "federation.pem",
        default=None,
    )

    def paths(self) -> tuple[Path, Path, Path]:
        """Give key, certificate and metadata of an authority that there is."""
        assert self.key is not None
        assert self.certificate is not None
        assert self.metadata is not None
        return Path(self.key), Path(self.certificate), Path(self.metadata)


class Askers(Table):
    """Which services may ask the attribute authority about the organisation's people."""

    services: Annotated[tuple[Annotated[str, AfterValidator(values.entity_id)], ...], Field(strict=False)] = setting(
        "The entityIDs of services that may ask the attribute authority about its people; nobody else may.",
        "a list of entityIDs in quotes",
        ["https://sp.example.net/shibboleth"],
        default=(),
    )
