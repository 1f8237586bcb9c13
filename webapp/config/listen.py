"""The servers: the sections [listen], [connector], [worker] and [authority]."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from webapp.config import validators
from webapp.config.base import Table, context_of, setting
from webapp.config.errors import InvalidSetting


def _require_no_host(unix: str, info: ValidationInfo) -> str:
    if info.data.get("host") is not None or info.data.get("port") is not None:
        raise InvalidSetting("is a second address beside host or port", "keep either unix, or host and port")
    return unix


class Listener(Table):
    """A server at a loopback address or a Unix socket.

    It trusts all its clients, so no other machine may reach it.
    """

    default_port: ClassVar[int]
    section: ClassVar[str]

    host: Annotated[str, AfterValidator(validators.listen_host)] | None = setting(
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
        shown="`8080` in `[listen]`, `8081` in `[connector]`, `8082` in `[authority]`, `8083` in `[worker]`",
        ge=0,
        le=65535,
    )
    unix: Annotated[str, AfterValidator(validators.socket_path), AfterValidator(_require_no_host)] | None = setting(
        "A unix socket instead of host and port; its mode is 0660.",
        "an absolute path in quotes",
        "/run/orcid-connect/web.sock",
        default=None,
    )
    threads: int = setting(
        "How many requests a process answers at once.", "a whole number from 1 to 256", 8, default=8, ge=1, le=256
    )

    drain_seconds: float = setting(
        "How long the process takes requests after SIGTERM while `/readyz` says 503, so that a balancer sends none any "
        "more. Then it ends as soon as no request is being answered.",
        "a number of seconds from 0 to 300, without quotes",
        10.0,
        default=0.0,
        ge=0,
        le=300,
    )

    @property
    def address(self) -> tuple[str, int] | str:
        """(host, port), or the path of the Unix socket."""
        port = self.default_port if self.port is None else self.port
        return self.unix or (self.host or "127.0.0.1", port)

    @model_validator(mode="after")
    def _require_unique(self, info: ValidationInfo) -> Self:
        if self.port != 0:
            context_of(info).require_unique("address", str(self.address), f"[{self.section}]")
        return self


class WebListener(Listener):
    """Where `orcid-connect serve` listens."""

    default_port = 8080
    section = "listen"

    threads: int = setting(
        "How many requests a process answers at once. "
        "Under mod_wsgi write the `threads=` of its `WSGIDaemonProcess` here: the limits of waiting threads are "
        "shares of it.",
        "a whole number from 1 to 256",
        64,
        default=64,
        ge=1,
        le=256,
    )


class WorkerListener(Listener):
    """Where the health pages of `orcid-connect deliver` are.

    Without host, port or unix there are none.
    """

    default_port = 8083
    section = "worker"

    threads: int = setting(
        "How many requests a process answers at once.", "a whole number from 1 to 256", 2, default=2, ge=1, le=256
    )

    @property
    def enabled(self) -> bool:
        """Whether an address is configured."""
        return (self.host, self.port, self.unix) != (None, None, None)


class ConnectorListener(Listener):
    """Where `orcid-connect connector` listens."""

    default_port = 8081
    section = "connector"

    trusted_proxies: Annotated[
        tuple[Annotated[str, AfterValidator(validators.trusted_proxy)], ...], Field(strict=False)
    ] = setting(
        "Proxies whose `X-Forwarded-For` gives the client's address, for the log and the limit of failed credentials; "
        "`unix` is the peer of a unix socket.",
        "a list of addresses and networks in quotes",
        ["127.0.0.1"],
        default=(),
    )


_PATH = "a path in quotes"


def _require_with_entity_id(path: str | None, info: ValidationInfo) -> str | None:
    if path is None and info.data.get("entity_id") is not None:
        fix = "docs/attribute-authority.md says what it is"
        raise InvalidSetting("is missing, and an attribute authority with an entity_id needs it", fix)
    return path


def _require_readable(path: str | None, info: ValidationInfo) -> str | None:
    if path is None:
        return None
    whole = context_of(info).directory / path
    try:
        with whole.open("rb"):
            return str(whole)
    except (OSError, ValueError) as error:
        # Not the path: the key itself may be written there
        why = error.strerror if isinstance(error, OSError) else "not a path"
        raise InvalidSetting(
            f"refers to a file that cannot be read ({why})", "write the path of a file that this user may read"
        ) from None


_OptionalFile = Annotated[str | None, AfterValidator(_require_readable)]
_File = Annotated[_OptionalFile, AfterValidator(_require_with_entity_id)]


_EntityId = Annotated[str, AfterValidator(validators.entity_id)]


class AuthoritySettings(Table):
    """Identity of the attribute authority, and the federation's metadata."""

    entity_id: _EntityId | None = setting(
        "The authority's own entityID in the federation; without one there is no authority.",
        "an entityID in quotes",
        "https://orcid-connect.example.org/aa",
        default=None,
    )
    key: _File = setting(
        "The file of the private key, in PEM, with which responses are signed.",
        _PATH,
        "secrets/authority.key",
        default=None,
        shown="none; required with `entity_id`",
        validate_default=True,
    )
    certificate: _File = setting(
        "The file of that key's certificate, in PEM, as the federation's metadata contains it.",
        _PATH,
        "authority.pem",
        default=None,
        shown="none; required with `entity_id`",
        validate_default=True,
    )
    metadata: _File = setting(
        "The file of the federation's metadata, which has the keys of all services; read again when it changes.",
        _PATH,
        "/var/cache/shibboleth/federation.xml",
        default=None,
        shown="none; required with `entity_id`",
        validate_default=True,
    )
    metadata_certificate: _OptionalFile = setting(
        "The file of the certificate with which the metadata must be signed; none if shibd has verified it already.",
        _PATH,
        "federation.pem",
        default=None,
    )

    def paths(self) -> tuple[Path, Path, Path]:
        """Return the paths of key, certificate and metadata.

        Call it only for an authority that has an entityID, which requires the three.
        """
        assert self.key is not None
        assert self.certificate is not None
        assert self.metadata is not None
        return Path(self.key), Path(self.certificate), Path(self.metadata)


class AuthorityListener(Listener, AuthoritySettings):
    """The attribute authority, which services of the federation query by SAML.

    It is off without an entity_id.
    """

    default_port = 8082
    section = "authority"
