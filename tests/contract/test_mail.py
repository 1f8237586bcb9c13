"""E-mail that people asked for: taken by a real mail server on loopback, or by one that is away, hangs or refuses."""

import email
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from email import policy
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from sql.records import Mail, MailKind
from sql.store import open_store
from tests.support.configuration import write_configuration
from tests.support.database import make_sqlite
from tests.support.delivery import AWAY, Idm, make_worker
from tests.support.factories import NOON, UNIVERSITY, make_link, make_orcid_id
from tests.support.ports import free_port
from tests.support.service import (
    ORGANISATIONS,
    PUBLIC_URL,
    Clock,
    WebClient,
    make_orcid_client,
    make_web_app,
    settings_of,
    with_settings,
)
from tests.support.transfers.private_ca import PrivateCa
from webapp.app import make_app
from webapp.config.errors import InvalidSetting, Misconfigured
from webapp.config.loader import load
from webapp.config.organisation import Keep
from webapp.config.validators import mailbox
from webapp.i18n.language import languages
from webapp.mail import mailer as mailing
from webapp.mail.mailer import ANSWERED, LEASE, MAX_RETRY_DELAY, MAX_TRIES, RECEIPT, MailComposer, Mailer, Server
from webapp.wiring import worker as wiring

MAIJA = "maija@yliopisto.example"
HOME = "maija@home.example"
FIRST = make_orcid_id(1)
LANGUAGES = languages()


@dataclass
class Inbox:
    """What a mail server has taken."""

    answer: str = "250 OK"
    got: list = field(default_factory=list)

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):  # noqa: N802 - aiosmtpd's word
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - as above
        self.got.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 OK"

    @property
    def messages(self):
        return [email.message_from_bytes(content, policy=policy.default) for _, _, content in self.got]


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def server(inbox):
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield Server("127.0.0.1", controller.port, "none")
    controller.stop()


@pytest.fixture
def composer(store):
    settings = settings_of(ORGANISATIONS)
    return MailComposer(store, settings, LANGUAGES, "ORCID connect", PUBLIC_URL, "noreply@connect.example", UTC)


@pytest.fixture
def clock():
    return Clock(NOON)


@pytest.fixture
def mailer(store, composer, server, clock):
    return Mailer(store, composer, server.send, clock)


def asks(store, kind=MailKind.RECEIPT, language="en", number=1):
    store.mail.add(Mail(UNIVERSITY, MAIJA, kind, number, HOME, language, NOON))


def waiting(store):
    return [(each.kind, each.address, each.tries) for each in store.mail.list_for_person(UNIVERSITY, MAIJA, 9)]


# Sending


def test_mail_of_an_organisation_that_is_left_out_waits_without_an_attempt(store, composer, server, inbox, clock):
    make_link(store, MAIJA, FIRST)
    asks(store)

    Mailer(store, composer, server.send, clock, {UNIVERSITY}).batch()
    assert (inbox.got, waiting(store)) == ([], [(MailKind.RECEIPT, HOME, 0)])
    clock.passes(hours=2)
    Mailer(store, composer, server.send, clock).batch()

    assert len(inbox.got) == 1


NAMES = {
    "plain": "ORCID connect",
    "letters": "Tutkijatunnistepalvelu Åbo–Örö",
    "another script": "研究者識別子サービス",
    "very long": "Palvelu " * 60,
    "one long word": "Å" * 400,
    "one long plain word": "x" * 1200,
    "beyond the first plane": "😀" * 90,
    "like an address": '"Help" <help@example.org>, x',
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("code", LANGUAGES)
def test_a_mail_is_seven_bits_in_short_lines(store, composer, server, inbox, name, code, clock):  # noqa: PLR0917 - fixtures
    """RFC 5321 section 4.5.3.1.6 allows lines of 998 octets; RFC 5322 section 2.1.1 asks for 78."""
    make_link(store, MAIJA, FIRST)
    asks(store, language=code)

    Mailer(store, replace(composer, name=name), server.send, clock).batch()

    ((_, recipients, content),) = inbox.got
    assert recipients == [HOME]
    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) <= 78
    (message,) = inbox.messages
    assert message["Subject"].startswith(name.strip()[:20])
    assert message["Content-Transfer-Encoding"] in {"7bit", "quoted-printable", "base64"}
    assert name in message.get_content()
    assert FIRST.uri in message.get_content()


def test_a_long_address_and_long_words_of_an_interface_fit(store, composer, server, inbox, clock):
    address = f"{'m' * 64}@{'x' * 60}.{'y' * 60}.{'z' * 60}.fi"
    change = make_link(store, MAIJA, FIRST, transfers=("idm",))
    (delivery,) = store.deliveries.claim("worker", NOON, LEASE, 1)
    store.deliveries.dead_letter(delivery, "worker", "refused", "virhe ä " * 100 + "x" * 990, NOON)
    store.mail.add(Mail(UNIVERSITY, MAIJA, MailKind.DELIVERY_REPORT, change.number, address, "fi", NOON))

    Mailer(store, composer, server.send, clock).batch()

    ((_, recipients, content),) = inbox.got
    assert recipients == [address]
    assert content.isascii()
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert "x" * 100 in inbox.messages[0].get_content()


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_receipt_comes_in_the_persons_language_and_the_address_is_forgotten(store, mailer, inbox, code, clock):
    make_link(store, MAIJA, FIRST)
    asks(store, language=code)

    mailer.batch()
    clock.now = NOON + LEASE
    mailer.batch()

    (message,) = inbox.messages
    text = message.get_content()
    assert (message["To"], message["From"]) == (HOME, "noreply@connect.example")
    assert message["Subject"] == f"ORCID connect: {LANGUAGES[code].gettext(RECEIPT)}"
    assert (message.get_content_type(), message.get_content_charset()) == ("text/plain", "utf-8")
    assert message["Auto-Submitted"] == "auto-generated"
    assert FIRST.uri in text
    assert "I agree that my ORCID iD is sent to my organisation." in text
    assert f"{PUBLIC_URL}/me/remove" in text
    assert waiting(store) == [("receipt", None, 1)]


@pytest.mark.parametrize("answer", [None, AWAY], ids=["delivery-report", "waits"])
def test_a_delivery_report_is_sent_when_no_delivery_waits(store, mailer, inbox, answer, clock):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    asks(store, MailKind.DELIVERY_REPORT, "fi")
    mailer.batch()
    assert inbox.got == []

    make_worker(store, {"idm": Idm(answer) if answer else Idm()}, Clock(NOON)).run_once()
    clock.now = NOON + timedelta(minutes=1)
    mailer.batch()

    assert [each["Subject"] for each in inbox.messages] == (
        [] if answer else [f"ORCID connect: {LANGUAGES['fi'].gettext(ANSWERED)}"]
    )
    assert not answer or waiting(store) == [("delivery-report", HOME, 0)]


@pytest.mark.parametrize(
    "told", [("fi", "Henkilöstörekisteri"), ("sv", "Register of staff")], ids=["its own", "in English"]
)
def test_a_transfer_is_named_by_its_label(store, composer, server, inbox, told, clock):  # noqa: PLR0917 - fixtures
    code, name = told
    labels = {"idm": {"en": "Register of staff", "fi": "Henkilöstörekisteri"}}
    settings = settings_of(ORGANISATIONS, labels=labels)
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    make_worker(store, {"idm": Idm()}, Clock(NOON)).run_once()
    asks(store, MailKind.DELIVERY_REPORT, code)

    clock.now = NOON + timedelta(minutes=1)
    Mailer(store, replace(composer, organisation_settings=settings), server.send, clock).batch()

    (message,) = inbox.messages
    assert f"{name}: {LANGUAGES[code].gettext('Received.')}" in message.get_content()


def test_a_dead_letter_is_reported_with_the_receivers_message_on_one_line(store, mailer, inbox):
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    (delivery,) = store.deliveries.claim("worker", NOON, LEASE, 1)
    store.deliveries.dead_letter(delivery, "worker", "refused", "no\r\nSubject: won", NOON)
    asks(store, MailKind.DELIVERY_REPORT)

    mailer.batch()

    (message,) = inbox.messages
    assert "This system rejected the update." in message.get_content()
    assert "Response: no  Subject: won" in message.get_content()
    assert message.get_all("Subject") == [f"ORCID connect: {ANSWERED}"]


def test_mail_about_deleted_data_is_not_sent(store, mailer, inbox):
    asks(store)
    asks(store, MailKind.DELIVERY_REPORT)

    mailer.batch()

    assert inbox.got == []
    assert {address for _, address, _ in waiting(store)} == {None}


def test_a_link_made_after_the_request_is_not_mailed(store, mailer, inbox, clock):
    asks(store)
    make_link(store, MAIJA, FIRST, now=NOON + timedelta(minutes=1))

    clock.now = NOON + timedelta(minutes=2)
    mailer.batch()

    assert inbox.got == []
    assert waiting(store) == [("receipt", None, 1)]


def test_each_mail_is_sent_once(store, mailer, inbox, clock):
    make_link(store, MAIJA, FIRST)
    asks(store)
    asks(store)
    mailer.batch()
    asks(store)
    clock.now = NOON + LEASE
    mailer.batch()

    assert len(inbox.got) == 1


def test_mail_of_a_long_batch_is_claimed_at_its_own_time(store, composer, clock, inbox):
    """Of two workers with five minutes a mail, the second sends none that the first one is sending."""
    people = [f"person{number}@yliopisto.example" for number in range(3)]
    for number, person in enumerate(people):
        make_link(store, person, make_orcid_id(number + 1))
        store.mail.add(Mail(UNIVERSITY, person, MailKind.RECEIPT, 1, f"{number}@example.org", "en", NOON))
    sent = []

    def send(message):
        sent.append(message["To"])
        if len(sent) < len(people):
            clock.passes(minutes=4)
            return
        Mailer(store, composer, lambda message: sent.append(message["To"]), clock).batch()

    Mailer(store, composer, send, clock).batch()

    assert sorted(sent) == ["0@example.org", "1@example.org", "2@example.org"]
    assert [store.mail.list_for_person(UNIVERSITY, each, 9)[0].finished_at for each in people] == [
        NOON + timedelta(minutes=minutes) for minutes in (4, 8, 8)
    ]


# A server that fails


def test_an_unavailable_mail_server_is_retried_and_finally_given_up(store, composer, clock):
    make_link(store, MAIJA, FIRST)
    asks(store)
    mailer, now = Mailer(store, composer, Server("127.0.0.1", free_port(), "none").send, clock), NOON

    for tried in range(1, MAX_TRIES + 1):
        assert waiting(store) == [("receipt", HOME, tried - 1)]
        clock.now = now
        mailer.batch()
        clock.now = now
        mailer.batch()
        now += timedelta(hours=2)

    assert waiting(store) == [("receipt", None, MAX_TRIES)]


def test_an_undeliverable_mail_blocks_no_other_and_its_address_is_deleted(  # noqa: PLR0917 - fixtures
    store, composer, server, inbox, caplog, clock
):
    make_link(store, MAIJA, FIRST)
    asks(store)
    gone = Mailer(store, replace(composer, organisation_settings={}), server.send, clock)
    now = NOON
    for _ in range(MAX_TRIES):
        clock.now = now
        gone.batch()
        now += MAX_RETRY_DELAY

    assert inbox.got == []
    assert waiting(store) == [("receipt", None, MAX_TRIES)]
    assert {record.levelname for record in caplog.records} >= {"ERROR"}


def test_a_permanent_refusal_is_not_retried(store, mailer, inbox):
    make_link(store, MAIJA, FIRST)
    asks(store)
    inbox.answer = "550 no such mailbox"

    mailer.batch()

    assert waiting(store) == [("receipt", None, 1)]


def test_a_temporary_refusal_is_retried(store, mailer, inbox, clock):
    make_link(store, MAIJA, FIRST)
    asks(store)
    inbox.answer = "450 greylisted, try again"
    mailer.batch()
    inbox.answer = "250 OK"

    clock.now = NOON + timedelta(minutes=5)
    mailer.batch()

    assert len(inbox.got) == 1
    assert waiting(store) == [("receipt", None, 2)]


def test_a_hanging_mail_server_delays_no_delivery(store, composer, monkeypatch, clock):
    monkeypatch.setattr(mailing, "SMTP_TIMEOUT", 0.5)
    make_link(store, MAIJA, FIRST, transfers=["idm"])
    asks(store)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mailer, idm = Mailer(store, composer, Server("127.0.0.1", mute.getsockname()[1], "none").send, clock), Idm()
        began = time.monotonic()
        mailer.start_batch_if_due(NOON)
        mailer.start_batch_if_due(NOON + timedelta(hours=1))
        took = time.monotonic() - began

        make_worker(store, {"idm": idm}, Clock(NOON)).run_once()
        mailer._thread.join(60)

    assert took < 0.4
    assert idm.kinds() == ["linked"]
    assert waiting(store) == [("receipt", HOME, 1)]


# The way to the server


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return PrivateCa(tmp_path_factory.mktemp("ca"))


@contextmanager
def guarded(inbox, ca, security, how="sound"):
    """Serve mail to whoever comes by TLS and signs in."""
    known = {"authenticator": lambda *given: AuthResult(success=given[-1].password == b"secret")}
    words = {
        "starttls": {"tls_context": ca.context(how), "require_starttls": True, "auth_required": True},
        "tls": {"ssl_context": ca.context(how), "auth_require_tls": False},
    }[security]
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), **words, **known)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def message():
    written = EmailMessage()
    written["From"], written["To"], written["Subject"] = "noreply@connect.example", HOME, "Ääkköset"
    written.set_content("Hei")
    return written


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_by_tls_and_signs_in(inbox, ca, monkeypatch, security):
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.certificate))

    with guarded(inbox, ca, security) as port:
        Server("127.0.0.1", port, security, "connect", "secret").send(message())

    assert [each["Subject"] for each in inbox.messages] == ["Ääkköset"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("how", ["expired", "wrong-name", "stranger"])
def test_a_server_with_a_wrong_certificate_gets_nothing(inbox, ca, monkeypatch, security, how):
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.certificate))

    with guarded(inbox, ca, security, how) as port, pytest.raises(ssl.SSLCertVerificationError):
        Server("127.0.0.1", port, security, "connect", "secret").send(message())

    assert inbox.got == []


def test_a_password_is_not_shown():
    assert "secret" not in repr(Server("127.0.0.1", 25, "none", "connect", "secret"))


# The configuration


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ({"host": "smtp.example.org"}, "mail.sender"),
        ({"host": "smtp.example.org", "sender": "Us <us@example.org>"}, "mail.sender"),
        ({"host": "smtp.example.org", "sender": "us@example.org", "security": "none"}, "mail.security"),
        ({"host": "smtp.example.org", "sender": "us@example.org", "user": "us"}, "mail.password"),
        ({"host": "smtp.example.org", "sender": "us@example.org", "port": 0}, "mail.port"),
        ({"host": "smtp.example.org", "sender": "us@example.org", "password": "secret"}, "mail.password"),
    ],
)
def test_a_mail_server_that_cannot_be_one_is_refused(tmp_path, said, key):
    with pytest.raises(Misconfigured) as raised:
        load(write_configuration(tmp_path, mail=said), {})

    assert [problem.key for problem in raised.value.problems] == [key]


def test_a_worker_sends_by_the_configuration_and_one_without_a_host_sends_nothing(tmp_path, inbox, server):
    said = {"host": "127.0.0.1", "port": server.port, "security": "none", "sender": "noreply@connect.example"}
    store = open_store(make_sqlite(tmp_path))
    make_link(store, MAIJA, FIRST)
    asks(store)

    wiring.make_worker(load(write_configuration(tmp_path), {}), store, Clock(NOON)).run_once()
    before = list(inbox.got)
    wiring.make_worker(load(write_configuration(tmp_path, mail=said), {}), store, Clock(NOON)).run_once()
    deadline = time.monotonic() + 10
    while not inbox.got and time.monotonic() < deadline:
        time.sleep(0.05)
    for thread in threading.enumerate():
        if thread.name == mailing.THREAD:
            thread.join(60)
    store.close()

    assert before == []
    assert [recipients for _, recipients, _ in inbox.got] == [[HOME]]


# Asking


@pytest.fixture
def web_app(store):
    web_app = make_web_app(store, make_orcid_client("https://sandbox.orcid.org"), Clock())
    return replace(web_app, context=replace(web_app.context, mail_enabled=True))


@pytest.fixture
def maija(web_app):
    return WebClient(make_app(web_app))


def send(web_client, **form):
    return web_client.post("/me/mail", {"token": web_client.get("/me/mail").field("token"), **form})


def test_a_person_asks_for_both(store, maija):
    make_link(store, MAIJA, FIRST)

    place = send(maija, address=f" {HOME} ", receipt="yes", **{"delivery-report": "yes"}).location

    assert maija.get(place).title == "You will get an email"
    assert waiting(store) == [("delivery-report", HOME, 0), ("receipt", HOME, 0)]


@pytest.mark.parametrize(
    "form",
    [
        {"address": HOME},
        {"address": "", "receipt": "yes"},
        {"address": "maija", "receipt": "yes"},
        {"address": f"{HOME}\r\nBcc: all@example.org", "receipt": "yes"},
        {"address": f"{HOME},all@example.org", "receipt": "yes"},
        {"address": f"<{HOME}>", "receipt": "yes"},
        {"address": "mäijä@home.example", "receipt": "yes"},
        {"address": f"{'a' * 250}@home.example", "receipt": "yes"},
    ],
)
def test_an_invalid_or_empty_request_is_refused(store, maija, form):
    make_link(store, MAIJA, FIRST)

    answer = send(maija, **form)

    assert answer.status == 422
    assert 'aria-invalid="true"' in answer.text
    assert waiting(store) == []


def test_without_a_form_of_ours_nothing_is_sent(store, maija):
    make_link(store, MAIJA, FIRST)

    assert maija.post("/me/mail", {"address": HOME, "receipt": "yes"}).status == 403


def test_without_a_connection_there_is_nothing_to_send(maija):
    assert maija.get("/me/mail").location == "/me"
    token = maija.get("/me/erase").field("token")
    assert maija.post("/me/mail", {"token": token, "address": HOME, "receipt": "yes"}).location == "/me"


def test_removing_the_link_deletes_the_address(store, maija):
    make_link(store, MAIJA, FIRST)
    token = maija.get("/me/mail").field("token")
    store.links.remove(UNIVERSITY, MAIJA, "person", "removed", NOON)

    assert maija.post("/me/mail", {"token": token, "address": HOME, "receipt": "yes"}).location == "/me"
    assert waiting(store) == []


def test_a_receipt_is_had_for_a_connection_whose_change_is_kept_no_longer(store, maija, mailer, inbox, clock):
    make_link(store, MAIJA, FIRST)
    store.changes.delete_before(NOON + timedelta(days=400))

    send(maija, address=HOME, receipt="yes")
    clock.now = NOON + timedelta(days=400)
    mailer.batch()

    (message,) = inbox.messages
    assert FIRST.uri in message.get_content()


@pytest.mark.parametrize(("mail_enabled", "keep"), [(False, Keep.LINKS), (True, Keep.NOTHING)])
def test_where_it_is_not_offered_there_is_no_such_page(store, web_app, mail_enabled, keep):
    make_link(store, MAIJA, FIRST)
    web_app = with_settings(replace(web_app, context=replace(web_app.context, mail_enabled=mail_enabled)), keep=keep)
    maija = WebClient(make_app(web_app))

    assert maija.get("/me/mail").status == 404
    assert maija.get("/me/mailed").status == 404
    assert "/me/mail" not in maija.get("/me/receipt").text


def test_the_receipt_leads_to_it(store, maija):
    make_link(store, MAIJA, FIRST)

    assert 'href="/me/mail"' in maija.get("/me/receipt").text


def test_an_erased_person_is_sent_nothing(store, mailer, inbox):
    make_link(store, MAIJA, FIRST)
    asks(store)

    store.erasures.erase(UNIVERSITY, MAIJA, "person", "erased", NOON)
    mailer.batch()

    assert inbox.got == []
    assert waiting(store) == []


@pytest.mark.parametrize("text", ["a@b", "@b.example", "a b@c.example", "a@b..example", "a@b.example\n"])
def test_an_address_is_one_mailbox_and_nothing_more(text):
    with pytest.raises(InvalidSetting):
        mailbox(text)
