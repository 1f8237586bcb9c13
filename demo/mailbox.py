"""The demonstration's mail server.

It accepts every message, forwards none, and shows them on a page.
"""

from __future__ import annotations

import email
import email.policy
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from demo.orcid.http import Response
from demo.pages import page

PATH: Final = "/mail"
HOST: Final = "127.0.0.1"
MAX_SESSIONS: Final = 50
MAX_MESSAGE_BYTES: Final = 100_000
"""The service's own messages have about 2,000 bytes."""


@dataclass(frozen=True, slots=True)
class MailMessage:
    """One e-mail message as its reader sees it."""

    sender: str
    to: str
    subject: str
    date: str
    language: str
    text: str


@dataclass
class Mailbox:
    """Received messages, newest first.

    The class has no `__slots__`, because aiosmtpd inspects the attributes of its handler.
    """

    messages: deque[MailMessage] = field(default_factory=lambda: deque(maxlen=MAX_SESSIONS))

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Accept a message for any recipient (aiosmtpd's handler hook)."""
        self.messages.appendleft(parse_message(cast("bytes", envelope.content)))
        return "250 OK"

    def render(self) -> Response:
        """Return the page with all messages."""
        return page("mail.html", messages=tuple(self.messages))


def parse_message(content: bytes) -> MailMessage:
    """Parse a message as received over SMTP.

    Of a multipart message only the plain text part is kept.
    """
    message = email.message_from_bytes(content, policy=email.policy.default)
    said = {name: str(message.get(name, "")) for name in ("From", "To", "Subject", "Date", "Content-Language")}
    body = message.get_body(("plain",))
    text = body.get_content() if body is not None else ""
    return MailMessage(said["From"], said["To"], said["Subject"], said["Date"], said["Content-Language"], text)


@contextmanager
def run_mail_server(mailbox: Mailbox) -> Iterator[int]:
    """Run the mail server in a thread and yield its port."""
    with socket.create_server((HOST, 0)) as found:
        port: int = found.getsockname()[1]
    controller = Controller(mailbox, hostname=HOST, port=port, data_size_limit=MAX_MESSAGE_BYTES)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()
