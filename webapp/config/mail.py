"""Settings of e-mail, which is off without a host."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from webapp.config import validators
from webapp.config.base import SecretReference, Table, setting
from webapp.config.errors import InvalidSetting
from webapp.config.secret import REFERENCE, Secret


class MailSecurity(StrEnum):
    """TLS of the connection to the mail server."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


def _require_tls(security: MailSecurity, info: ValidationInfo) -> MailSecurity:
    host = info.data.get("host")
    if security is MailSecurity.NONE and host is not None and not validators.is_loopback(host):
        raise InvalidSetting(
            'is "none" while the mail server is another machine', 'write security = "starttls" or "tls"'
        )
    return security


def _require_with_host(sender: str | None, info: ValidationInfo) -> str | None:
    if sender is None and info.data.get("host") is not None:
        raise InvalidSetting("is missing beside host", 'write for example: sender = "orcid-connect@example.org"')
    return sender


def _require_user_and_password(password: Secret | None, info: ValidationInfo) -> Secret | None:
    if (password is None) != (info.data.get("user") is None):
        raise InvalidSetting("must be set together with user", "write both, or neither")
    return password


_Mailbox = Annotated[str, AfterValidator(validators.mailbox)]


class MailSettings(Table):
    """How the e-mail that people ask for is sent.

    Without a host there is no e-mail, and the pages do not offer it.
    """

    host: Annotated[str, AfterValidator(validators.host_name)] | None = setting(
        "The mail server.", "a host in quotes", "smtp.example.org", default=None
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
    security: Annotated[MailSecurity, Field(strict=False), AfterValidator(_require_tls)] = setting(
        "TLS of the connection; `none` only if the server is this machine.",
        '"starttls", "tls" or "none"',
        "starttls",
        default=MailSecurity.STARTTLS,
    )
    sender: Annotated[_Mailbox | None, AfterValidator(_require_with_host)] = setting(
        "The sender's address.",
        "an e-mail address in quotes",
        "orcid-connect@example.org",
        default=None,
        shown="none; required with `host`",
        validate_default=True,
    )
    user: Annotated[str, AfterValidator(validators.single_line)] | None = setting(
        "The user to authenticate as, if the server requires it.",
        "a user name in quotes",
        "orcid-connect",
        default=None,
    )
    password: Annotated[SecretReference | None, AfterValidator(_require_user_and_password)] = setting(
        "The password of that user.",
        REFERENCE,
        "file:secrets/mail-password",
        default=None,
        shown="none; required with `user`",
        validate_default=True,
    )
