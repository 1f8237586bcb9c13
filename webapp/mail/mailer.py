"""Composes and sends the e-mail that people asked for.

Mail is sent by a thread of its own, so that a slow mail server delays no delivery. A mail is retried for about a day;
its address is deleted when it was sent or given up.
"""

from __future__ import annotations

import smtplib
import ssl
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from types import MappingProxyType

from sql.errors import StoreUnavailable
from sql.records import Delivery, DeliveryState, Mail, MailKind
from sql.store import Store
from webapp.config.organisation import OrganisationSettings
from webapp.i18n.language import Language, gettext_noop
from webapp.log import log
from webapp.pages.delivery_status import delivery_text
from webapp.pages.support_messages import delivery_message

THREAD = "mail"
"""Name of the sending thread."""
POLL_INTERVAL = timedelta(seconds=15)
LEASE = timedelta(minutes=5)
"""Longer than the sending of one mail takes."""
MAX_TRIES = 18
MAX_RETRY_DELAY = timedelta(hours=2)
SMTP_TIMEOUT = 10.0
"""Seconds for each step of the conversation with the mail server."""
_PERMANENT = 500

RECEIPT = gettext_noop("Receipt of what you agreed to")
ANSWERED = gettext_noop("Delivery of your ORCID iD")

Lines = list[str]


@dataclass(frozen=True, slots=True)
class Server:
    """The SMTP server that relays the mail."""

    host: str
    port: int
    security: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def send(self, message: EmailMessage) -> None:
        """Send a message.

        Raises:
            OSError, SMTPException: If the server cannot be reached or refuses the message.
        """
        with self._reached() as smtp:
            if self.security == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if self.user is not None:
                smtp.login(self.user, self.password or "")
            smtp.send_message(message)

    def _reached(self) -> smtplib.SMTP:
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=SMTP_TIMEOUT, context=ssl.create_default_context())
        return smtplib.SMTP(self.host, self.port, timeout=SMTP_TIMEOUT)


@dataclass(frozen=True, slots=True)
class MailComposer:
    """Composes messages in the recipient's language."""

    store: Store
    organisation_settings: Mapping[str, OrganisationSettings]
    """By the organisation's id."""
    languages: Mapping[str, Language]
    name: str
    public_url: str
    sender: str
    zone: tzinfo
    contact: str = ""
    """Whom to contact where an organisation has no help of its own."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The service's name by language, where it is not `name`."""

    def compose(self, mail: Mail, now: datetime) -> EmailMessage | None:
        """Compose the message of a mail.

        Returns:
            None if the link or the delivery that it reports no longer exists, or the address was deleted.
        """
        language = self.languages.get(mail.language) or next(iter(self.languages.values()))
        said = _KINDS[mail.kind](self, mail, language)
        if said is None or mail.address is None:
            return None
        subject, lines = said
        message = EmailMessage()
        name = self.names.get(language.code, self.name)
        message["Subject"] = f"{name}: {language.gettext(subject)}"
        message["From"] = self.sender
        message["To"] = mail.address
        message["Date"] = format_datetime(now)
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        message["Content-Language"] = language.code
        message["Auto-Submitted"] = "auto-generated"
        when = language.format_datetime(mail.requested_at, self.zone)
        asked = language.gettext("You asked for this email on %(when)s. We have now deleted your address.", when=when)
        message.set_content("\n".join([*lines, "", "-- ", name, self.public_url, asked]) + "\n", cte="quoted-printable")
        return message

    def receipt(self, mail: Mail, language: Language) -> tuple[str, Lines] | None:
        """Return subject and lines of the receipt."""
        link = self.store.links.get(mail.organisation, mail.person_key)
        # One that came after the wish is not what was asked about, and may be that of who has the account now
        if link is None or link.linked_at > mail.requested_at:
            return None
        gettext, consent = language.gettext, link.consent
        organisation = self.organisation_settings[mail.organisation].organisation
        return RECEIPT, [
            f"{gettext('Date')}: {language.format_datetime(consent.at, self.zone)}",
            f"{gettext('Your account')}: {link.account}",
            f"{gettext('Your organisation')}: {organisation.name(language.code)}",
            f"{gettext('ORCID iD')}: {link.orcid_id.uri}",
            "",
            f"{gettext('What you agreed to')}:",
            "",
            consent.text,
            "",
            f"{gettext('Version of the text')}: {consent.version}",
            f"{gettext('Language of the text')}: {language.language_name(consent.language)}",
            "",
            gettext("Remove the connection at any time, at this address:"),
            f"{self.public_url}/me/remove",
            gettext("How your data is used is described in the privacy notice:"),
            f"{self.public_url}/privacy",
        ]

    def answers(self, mail: Mail, language: Language) -> tuple[str, Lines] | None:
        """Return subject and lines about the results of the deliveries."""
        owed = self.store.deliveries.list_for_change(mail.organisation, mail.change_number)
        settings = self.organisation_settings.get(mail.organisation)
        hidden = settings.affiliation_transfer if settings else None
        own = [each for each in owed if each.person_key == mail.person_key and each.transfer != (hidden or ("",))[0]]
        if not own:
            return None
        lines = [line for each in own for line in (*self._answer(each, language), "")]
        return ANSWERED, [*lines, language.gettext("Check the status on your page:"), f"{self.public_url}/me"]

    def _answer(self, delivery: Delivery, language: Language) -> Lines:
        said = "".join(each if each.isprintable() else " " for each in delivery.message)
        settings = self.organisation_settings.get(delivery.organisation)
        label = settings.transfer_label(delivery.transfer, language.code) if settings else ""
        address = (settings.organisation.help if settings else "") or self.contact
        system = label or f"{language.gettext('System')} {delivery.transfer}"
        lines = [f"{system}: {language.gettext(delivery_text(delivery), help=address)}"]
        if delivery.state is not DeliveryState.DEAD_LETTER:
            return [*lines, f"  {language.gettext('Response:')} {said}"] if said else lines
        at = delivery.finished_at or delivery.created_at
        facts = {
            "service": self.names.get(language.code, self.name),
            "url": self.public_url,
            "system": label or delivery.transfer,
            "when": language.format_datetime(at, self.zone),
        }
        message = delivery_message(language, delivery.change, facts, address, said)
        return [*lines, "", *(f"  {line}".rstrip() for line in message.body.split("\n"))]


_KINDS: Mapping[MailKind, Callable[[MailComposer, Mail, Language], tuple[str, Lines] | None]] = MappingProxyType(
    {MailKind.RECEIPT: MailComposer.receipt, MailKind.DELIVERY_REPORT: MailComposer.answers}
)


class Mailer:
    """Sends due mail in a thread of its own, one batch at a time."""

    def __init__(
        self,
        store: Store,
        composer: MailComposer,
        send: Callable[[EmailMessage], object],
        clock: Callable[[], datetime],
        misconfigured: Collection[str] = (),
    ) -> None:
        """Initialise the mailer.

        Args:
            store: Has the mail.
            composer: Composes it.
            send: Sends a message; raises OSError or SMTPException.
            clock: Returns the time. It is read for each mail: a batch can last longer than a lease.
            misconfigured: The ids of organisations whose mail waits.
        """
        self._misconfigured = misconfigured
        self._store = store
        self._clock = clock
        self._composer = composer
        self._send = send
        self._looked_at: datetime | None = None
        self._thread: threading.Thread | None = None

    def start_batch_if_due(self, now: datetime) -> None:
        """Start a batch, unless one runs or was started less than POLL_INTERVAL ago."""
        busy = self._thread is not None and self._thread.is_alive()
        if busy or (self._looked_at is not None and abs(now - self._looked_at) < POLL_INTERVAL):
            return
        self._looked_at = now
        self._thread = threading.Thread(target=self.batch, name=THREAD)
        self._thread.start()

    def batch(self) -> None:
        """Send due mail until none is left or the mail server fails."""
        try:
            while found := self._store.mail.claim(self._clock(), LEASE, 1):
                if not self._sent(found[0]):
                    return
        except StoreUnavailable as error:
            log("store-unavailable", reason=str(error))
        except Exception as error:  # noqa: BLE001 - an exception in a thread is not logged otherwise
            log.exception(error)

    def _sent(self, mail: Mail) -> bool:
        """Send a mail; return False if the mail server failed, so the batch must end."""
        if mail.organisation in self._misconfigured:
            self._store.mail.postpone(mail, self._clock() + MAX_RETRY_DELAY)
            return True
        try:
            message = self._composer.compose(mail, self._clock())
            if message is not None:
                self._send(message)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one that cannot be written is given up in the end, like any other
            if not _is_permanent(error):
                if not isinstance(error, OSError | smtplib.SMTPException):
                    log.exception(error)
                self._reschedule_or_give_up(mail, error)
                return False
            log("mail-refused", kind=mail.kind.value)
        else:
            log("mail-sent" if message is not None else "mail-dropped", kind=mail.kind.value)
        self._store.mail.complete(mail, self._clock())
        return True

    def _reschedule_or_give_up(self, mail: Mail, error: Exception) -> None:
        now = self._clock()
        given_up = mail.tries >= MAX_TRIES
        word = "mail-given-up" if given_up else "mail-failed"
        log(word, kind=mail.kind.value, error=type(error).__name__, tries=mail.tries)
        if given_up:
            self._store.mail.complete(mail, now)
        else:
            self._store.mail.reschedule(mail, now + min(timedelta(minutes=2**mail.tries), MAX_RETRY_DELAY))


def _is_permanent(error: Exception) -> bool:
    """Return whether the address is refused permanently (RFC 5321, 4.2.1)."""
    codes = [code for code, _ in error.recipients.values()] if isinstance(error, smtplib.SMTPRecipientsRefused) else []
    return bool(codes) and min(codes) >= _PERMANENT
