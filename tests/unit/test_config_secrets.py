"""No message about a configuration quotes what is written in it, and each says how to correct the mistake made."""

import logging
from contextlib import closing

import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict

from resolver_connector.transfers import TRANSFERS
from sql.engines.postgres import Postgres
from sql.errors import StoreUnavailable
from tests.support.configuration import write_configuration
from webapp.cli.main import main
from webapp.config.base import describe_settings
from webapp.config.errors import Misconfigured
from webapp.config.loader import load
from webapp.config.organisation import OrganisationFile
from webapp.config.service import ServiceFile
from webapp.config.transfers import describe_kind

SECRET = "Zk5_f63d1c5-3f00/4fa5+b096~fd985ffd0df7"
"""With something in it that no setting allows: underscore, slash, plus, tilde, upper case."""
WRITTEN = [
    SECRET,
    f"file:{SECRET}",
    f"file:secrets/{SECRET}",
    f"env:{SECRET.replace('-', '_').replace('/', '_').replace('+', '_').replace('~', '_')}",
    f"https://orcid:{SECRET.replace('/', '')}@idm.example.org/",
    f"postgresql://orcid@localhost/orcid?pasword={SECRET}",
]


def nested(key, value):
    """Give the tables in which a value has this key."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return value


def configurations(value):
    """Give each setting's key with a configuration in which this value is written there."""
    for setting in describe_settings(ServiceFile).walk():
        if not setting.key.startswith("operator."):
            yield setting.key, nested(setting.key, value)
    for setting in describe_settings(OrganisationFile).walk():
        if not setting.key.startswith("transfer."):
            yield setting.key, {"organisations": {"yliopisto": nested(setting.key, value)}}
    for kind, model in TRANSFERS.items():
        for setting in describe_kind(model).walk():
            transfer = {"name": "idm", "kind": kind, setting.name: value}
            yield f"{kind}.{setting.name}", {"organisations": {"yliopisto": {"transfer": [transfer]}}}


def told(path, environ=None):
    """Give what is said of a configuration; nothing where it is accepted."""
    try:
        load(path, environ or {})
    except Misconfigured as error:
        return str(error)
    return ""


@pytest.mark.parametrize("written", [*WRITTEN, WRITTEN], ids=lambda written: str(written)[:12])
def test_no_message_quotes_a_secret_that_is_written_in_the_wrong_place(tmp_path, written):
    hidden = {SECRET, SECRET.replace("/", ""), *(each.removeprefix("env:") for each in WRITTEN)}
    for number, (key, configuration) in enumerate(configurations(written)):
        directory = tmp_path / str(number)
        directory.mkdir()

        message = told(write_configuration(directory, **configuration))

        assert not [each for each in hidden if each in message], key


@pytest.mark.parametrize(
    "content",
    [
        f"[orcid]\nclient_secret = {SECRET}\n",
        f'[orcid]\nclient_secret = "{SECRET}\n',
        f'[orcid]\nclient_secret = "x" {SECRET}\n',
        f"[orcid]\n{SECRET}\n",
        f'[orcid]\nclient_secret = "x"\n"{SECRET}" = 1\n"{SECRET}" = 1\n',
        f'["{SECRET}"]\n["{SECRET}"]\n',
        f'[orcid]\n"{SECRET}" = "x"\n',
        f'["{SECRET}"]\nx = 1\n',
        f'[orcid]\nclient_secret = {{"{SECRET}" = 1}}\n',
        f"[orcid]\nclient_secret.{'0' * 64} = 1\n",
        f"[orcid]\n{'0123456789abcdef' * 4} = 1\n",
    ],
)
def test_no_message_about_the_syntax_or_a_key_quotes_a_secret(tmp_path, content, caplog):
    path = write_configuration(tmp_path)
    path.write_text(content)

    result = CliRunner().invoke(main, ["--config", str(path), "check"])

    assert result.exit_code == 2
    assert not [each for each in (SECRET, "0" * 64, "0123456789abcdef" * 4) if each in result.output + caplog.text]


PASSWORDS = [
    "postgresql://orcid:{}@localhost/orcid",
    "postgresql://orcid%3A{}@localhost/orcid",
    "postgresql://orcid@localhost/orcid?password={}",
    "postgresql://orcid@localhost/orcid?sslmode=require&password={}",
    "postgresql://orcid@localhost/orcid?%70assword={}",
    "postgresql://orcid@localhost/orcid?PASSWORD={}",
    "postgresql://orcid@localhost/orcid?passwd={}",
    "postgresql://orcid@localhost/orcid?pasword={}",
    "postgresql://orcid@localhost/orcid?sslpassword={}",
    "postgresql://orcid@localhost/orcid?oauth_client_secret={}",
    "postgresql://orcid@localhost/orcid?pwd={}",
    "postgresql://orcid@localhost/orcid#password={}",
    "postgresql://orcid:{}/2@localhost/orcid",
    "postgresql://orcid:{}?2@localhost/orcid",
    "postgresql://orcid/{}@localhost/orcid",
    "postgresql://orcid@{}@localhost/orcid",
    "postgresql://localhost:{}/orcid",
    "postgresql://first:5432,localhost:{}/orcid",
    "postgres://orcid:{}@localhost/orcid",
    "sqlite:///var/lib/links.db?key={}",
]


@pytest.mark.parametrize("url", PASSWORDS)
@pytest.mark.parametrize("command", [["check"], ["check", "--json"], ["serve"], ["connector"], ["deliver", "--once"]])
def test_a_password_in_the_address_of_the_store_is_refused_and_not_shown(tmp_path, url, command, caplog):
    caplog.set_level(logging.DEBUG)
    path = write_configuration(tmp_path, store={"url": url.format("hunter2")})

    result = CliRunner().invoke(main, ["--config", str(path), *command])

    assert result.exit_code == 2
    assert "store.url" in result.output
    assert "hunter2" not in result.output + caplog.text


@pytest.mark.parametrize(
    "options",
    [
        "",
        "?host=/run/pg@node1",
        "?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
        "?host=/run/postgresql",
        "?passfile=/etc/pgpass",
    ],
)
def test_the_options_of_postgresql_are_allowed(tmp_path, options):
    url = f"postgresql://orcid@localhost/orcid{options}"

    assert load(write_configuration(tmp_path, store={"url": url}), {}).store.url == url


@pytest.mark.parametrize("hosts", ["", "db:", "db:5432", "[::1]", "[::1]:5432", "a:5432,b:5433", "a,b"])
def test_the_hosts_of_postgresql_are_allowed(tmp_path, hosts):
    url = f"postgresql://orcid@{hosts}/orcid"

    assert load(write_configuration(tmp_path, store={"url": url}), {}).store.url == url


SECRET_OF_STORE = "hunter2@/?:#&"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://orcid@localhost/orcid?host=/run/pg@node1",
        "postgresql://orcid@/orcid?host=/run/pg@node1&port=1",
        "postgresql://localhost:1/orcid?user=orcid",
        "postgresql://orc%40id@127.0.0.1:1/orcid",
    ],
)
def test_the_password_of_the_store_is_the_password_alone_and_never_logged(tmp_path, url, caplog):
    caplog.set_level(logging.DEBUG)
    path = write_configuration(tmp_path, store={"url": url, "password": "env:PASSWORD"})
    store = load(path, {"PASSWORD": SECRET_OF_STORE}).store

    assert conninfo_to_dict(store.reveal()) == {**conninfo_to_dict(url), "password": SECRET_OF_STORE}

    postgres = Postgres(store.reveal(), 0.3)
    with closing(postgres), pytest.raises(StoreUnavailable) as caught:
        postgres.fetch_one("get_current_orcid_id", organisation="", person_key="")

    assert "psycopg.pool" in {each.name for each in caplog.records}
    assert "hunter2" not in caplog.text + str(caught.value)


def test_a_password_of_the_store_needs_a_user(tmp_path):
    url = "postgresql://localhost/orcid?host=/run/pg@node1"

    with pytest.raises(Misconfigured, match="has no user to go with"):
        load(write_configuration(tmp_path, store={"url": url, "password": "env:PASSWORD"}), {"PASSWORD": "x"})


@pytest.mark.parametrize(
    ("reference", "fix"),
    [
        ("File:secrets/x", 'write "file:" in lower case'),
        ("file :secrets/x", 'write "file:" in lower case'),
        ("fiel:secrets/x", 'write "file:" in lower case'),
        ("file:", 'write "file:" in lower case, without a space, and the path after it'),
        ("file: secrets/orcid-client-secret", "remove the space before or after the path"),
        ("file:~/secret", "write the path without ~"),
        ("file://secrets/orcid-client-secret", "with one slash"),
        ("ENV:ORCID_SECRET", 'write "env:" and the name of the variable alone'),
        ("env:$ORCID_SECRET", 'write "env:" and the name of the variable alone'),
        ("env: ORCID_SECRET", 'write "env:" and the name of the variable alone'),
        ("$ORCID_SECRET", 'write "env:" and the name of the variable alone'),
        ("${ORCID_SECRET}", 'write "env:" and the name of the variable alone'),
        ("env:ORCID_SECRTE", "did you mean env:ORCID_SECRET?"),
        ("\ufefffile:secrets/orcid-client-secret", "remove the invisible character U+FEFF"),
        ("file:secrets/orcid-client-secret\u200b", "remove the invisible character U+200B"),
        ("file:\u00a0secrets/orcid-client-secret", "remove the invisible character U+00A0"),
        (SECRET, "put the secret alone into a file"),
    ],
)
def test_the_fix_fits_the_mistake_in_a_reference(tmp_path, reference, fix):
    path = write_configuration(tmp_path, orcid={"client_secret": reference})

    assert fix in told(path, {"ORCID_SECRET": "x" * 40})


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"\xef\xbb\xbfhunter2\r\n", "hunter2"),
        (b"  hunter2\n\n", "hunter2"),
        ("pässwörd with spaces".encode(), "pässwörd with spaces"),
    ],
)
def test_what_an_editor_adds_to_a_file_is_not_part_of_the_secret(tmp_path, content, secret):
    path = write_configuration(tmp_path)
    (tmp_path / "secrets/orcid-client-secret").write_bytes(content)

    assert load(path, {}).orcid.client_secret.reveal() == secret


INVISIBLE = "\ufeff\u200b\u2060\u00ad\u00a0\u202e\u3164\u2800\ufe0f\u115f\x00\x7f"


@pytest.mark.parametrize("character", INVISIBLE, ids=lambda each: f"U+{ord(each):04X}")
def test_a_secret_with_an_invisible_character_is_refused_wherever_it_is(tmp_path, character):
    for text in (f"hunter2{character}", f"hun{character}ter2", f"{character}{character}hunter2"):
        path = write_configuration(tmp_path, secrets={"orcid-client-secret": text})
        by_variable = write_configuration(tmp_path / "env", orcid={"client_secret": "env:ORCID_SECRET"})

        for message in (told(path), told(by_variable, {"ORCID_SECRET": text})):
            assert f"U+{ord(character):04X}" in message
            assert "hun" not in message


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hunter2".encode("utf-16"), "not text in UTF-8"),
        ("hunter2".encode("utf-16-le"), "invisible character, U+0000"),
        (b"one\ntwo", "more than one line"),
        (b"x" * 70_000, "more than 65536 bytes"),
        (b"\xef\xbb\xbf\n", "is empty"),
    ],
)
def test_a_file_that_cannot_be_a_secret_is_refused_with_the_reason(tmp_path, content, text):
    path = write_configuration(tmp_path)
    (tmp_path / "secrets/orcid-client-secret").write_bytes(content)

    assert text in told(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("name = \u201cORCID\u201d", "typographic quotation marks"),
        ('name\u00a0= "ORCID"', "an invisible character, U+00A0 (NO-BREAK SPACE)"),
        ('\u200bname = "ORCID"', "an invisible character, U+200B (ZERO WIDTH SPACE)"),
        ('\ufeff\ufeffname = "ORCID"', "an invisible character, U+FEFF (ZERO WIDTH NO-BREAK SPACE)"),
        ('name = "a"\nname = "b"', "a key or a section is written twice"),
        ("name = ORCID", "text is in quotes"),
    ],
)
def test_the_fix_fits_the_mistake_in_the_syntax(tmp_path, content, text):
    path = write_configuration(tmp_path)
    path.write_text(f"[service]\n{content}\n", "utf-8")

    assert text in told(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_skipped_and_utf_16_is_named(tmp_path, encoding):
    path = write_configuration(tmp_path)
    path.write_bytes(path.read_text("utf-8").encode(encoding))

    assert told(path) == ("" if encoding == "utf-8-sig" else f"{path}: is UTF-16; save it as UTF-8")


@pytest.mark.parametrize(
    ("section", "setting", "fix"),
    [
        ("service", {"registry": "prodution"}, 'did you mean registry = "production"?'),
        ("service", {"registry": "Sandbox"}, 'did you mean registry = "sandbox"?'),
        ("mail", {"security": "starttsl"}, 'did you mean security = "starttls"?'),
        ("listen", {"threads": "8"}, "write it without quotes"),
        ("service", {"name": 7}, "write it in quotes"),
        ("service", {"Public_URL": "https://x.example"}, "did you mean public_url?"),
        ("orcid", {"proxi": "http://p.example:3128"}, "did you mean proxy?"),
        ("service", {"client_secret": "file:x"}, "it belongs to [orcid]"),
        ("mail", {"host": "smtp://user:hunter2@smtp.example.org"}, "write the name alone, as in smtp.example.org"),
        ("service", {"name": "ORCID\u200b"}, "remove it"),
        ("store", {"url": "postgresql://orcid@localhost/orcid?sslmod=require"}, "did you mean sslmode=?"),
    ],
)
def test_the_fix_fits_the_mistake_in_a_setting(tmp_path, section, setting, fix):
    message = told(write_configuration(tmp_path, **{section: setting}))

    assert fix in message
    assert "hunter2" not in message
