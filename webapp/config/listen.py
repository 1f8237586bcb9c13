"""Where our servers listen: the settings of [listen], [connector] and [authority]."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, ValidationInfo, model_validator

from webapp.config import values
from webapp.config.authority import AuthoritySettings
from webapp.config.errors import InvalidSetting
from webapp.config.tables import Table, reading_of, setting


def _one_place(unix: str, info: ValidationInfo) -> str:
    if info.data.get("host") is not None or info.data.get("port") is not None:
        raise InvalidSetting("is a second place to listen on beside host or port", "keep either unix, or host and port")
    return unix


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
        "How many requests a process answers at once.", "a whole number from 1 to 256", 8, default=8, ge=1, le=256
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

    threads: int = setting(
        "How many requests a process answers at once. "
        "Under mod_wsgi write the `threads=` of its `WSGIDaemonProcess` here: shares are parts of this number.",
        "a whole number from 1 to 256",
        64,
        default=64,
        ge=1,
        le=256,
    )


class ConnectorListener(Listener):
    """Where `orcid-connect connector` answers Apache, which passes on what Identity Providers ask."""

    default_port = 8081
    section = "connector"


class AuthorityListener(Listener, AuthoritySettings):
    """The attribute authority, which services of the federation ask by SAML; an option, off without an entity_id."""

    default_port = 8082
    section = "authority"
