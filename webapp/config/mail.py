"""The settings of e-mail: an option, off without a host."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from webapp.config import values
from webapp.config.errors import InvalidSetting
from webapp.config.secret import Secret
from webapp.config.tables import REFERENCE, REFERRED, Table, setting


class Security(StrEnum):
    """How the way to the mail server is guarded."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


def _guarded(security: Security, info: ValidationInfo) -> Security:
    host = info.data.get("host")
    if security is Security.NONE and host is not None and not values.loopback(host):
        raise InvalidSetting(
            'is "none" while the mail server is another machine', 'write security = "starttls" or "tls"'
        )
    return security


def _sender(sender: str | None, info: ValidationInfo) -> str | None:
    if sender is None and info.data.get("host") is not None:
        raise InvalidSetting("is missing beside host", 'write for example: sender = "orcid-connect@example.org"')
    return sender


def _with_user(password: Secret | None, info: ValidationInfo) -> Secret | None:
    if (password is None) != (info.data.get("user") is None):
        raise InvalidSetting("goes with user, and user with it", "write both, or neither")
    return password


class MailSettings(Table):
    """How e-mail that people ask for is sent; without a host nobody is offered any."""

    host: Annotated[str, AfterValidator(values.line)] | None = setting(
        "The mail server that takes our mail.", "a host in quotes", "smtp.example.org", default=None
    )
    port: int | None = setting(
        "Its port.",
        "a whole number from 1 to 65535",
        587,
        default=None,
        shown="587 with `starttls`, 465 with `tls`, 25 with `none`",
        ge=1,
        le=65535,
    )
    security: Annotated[Security, Field(strict=False), AfterValidator(_guarded)] = setting(
        "How the way there is guarded; `none` only where the server is this machine.",
        '"starttls", "tls" or "none"',
        "starttls",
        default=Security.STARTTLS,
    )
    sender: Annotated[Annotated[str, AfterValidator(values.mailbox)] | None, AfterValidator(_sender)] = setting(
        "From whom the mail is.",
        "an e-mail address in quotes",
        "orcid-connect@example.org",
        default=None,
        shown="none; required with `host`",
        validate_default=True,
    )
    user: Annotated[str, AfterValidator(values.line)] | None = setting(
        "As whom we sign in there, where it asks.", "a user name in quotes", "orcid-connect", default=None
    )
    password: Annotated[Annotated[Secret, REFERRED] | None, AfterValidator(_with_user)] = setting(
        "The password of that user.",
        REFERENCE,
        "file:secrets/mail-password",
        default=None,
        shown="none; required with `user`",
        validate_default=True,
    )
