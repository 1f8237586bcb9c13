"""A line of the log is one line, and nobody can write into it what was not said."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from webapp.log import LONGEST_FACT, line, log, set_up


@pytest.fixture(autouse=True)
def as_it_was():
    """Leave the logging of other tests alone."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    yield
    root.handlers[:] = handlers


def test_an_event_is_a_word_and_facts(capsys):
    set_up("text")

    log("linked", organisation="yliopisto", request="7f3a")

    assert capsys.readouterr().err == "linked organisation=yliopisto request=7f3a\n"


def test_a_fact_may_be_called_word(capsys):
    set_up("text")

    log("problem", word="not-signed-in")

    assert capsys.readouterr().err == "problem word=not-signed-in\n"


def trouble(message):
    """Be a bug."""
    raise KeyError(message)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("https://idp.example/idp?x", "https://idp.example/idp?x"),
        (7, "7"),
        (None, "None"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', r'"say \"x\""'),
        ("back\\slash", r'"back\\slash"'),
        ("x\nlinked organisation=evil", r'"x\nlinked organisation=evil"'),
        ("\r\x1b[31m\x00", r'"\r\u001b[31m\u0000"'),
        ("\u2028\u0085\u202e", r'"\u2028\u0085\u202e"'),
        ("Mäkelä", r'"M\u00e4kel\u00e4"'),
    ],
)
def test_a_value_stays_one_value_whatever_it_holds(value, written):
    assert line("word", {"fact": value}) == f"word fact={written}"


def test_a_value_is_cut_where_it_grows_too_long():
    assert len(line("word", {"fact": "x" * 10_000})) < LONGEST_FACT + 30


def test_a_machine_reads_one_object_a_line(capsys):
    set_up("json")
    before = datetime.now(UTC) - timedelta(milliseconds=1)

    log("linked", organisation="x\ny", number=7, done=True)

    written = capsys.readouterr().err
    said = json.loads(written)
    assert written.count("\n") == 1
    time = said.pop("time")
    assert time.endswith("+00:00")
    assert before <= datetime.fromisoformat(time) <= datetime.now(UTC)
    assert said == {
        "level": "info",
        "word": "linked",
        "facts": {"organisation": "x\ny", "number": 7, "done": True},
    }


def test_whoever_else_writes_the_log_is_told_all_that_is_known_of_a_line(caplog):
    caplog.set_level(logging.INFO, "orcid-connect")
    before = logging.LogRecord("another", logging.INFO, "", 0, "", (), None)

    log("linked", organisation="x")

    after = logging.LogRecord("another", logging.INFO, "", 0, "", (), None)
    (record,) = caplog.records
    assert {"facts", *vars(before)} <= vars(record).keys() | {"taskName"}
    assert before.created <= record.created <= after.created
    assert before.relativeCreated <= record.relativeCreated <= after.relativeCreated
    assert record.msecs == pytest.approx(record.created % 1 * 1000, abs=1.1)
    assert (record.thread, record.process, record.levelname) == (None, None, "INFO")


def test_a_bug_is_told_by_where_it_happened_and_never_by_its_message(capsys):
    set_up("text")

    try:
        try:
            trouble("maija@yliopisto.example")
        except KeyError as error:
            raise RuntimeError("of maija@yliopisto.example") from error
    except RuntimeError as error:
        log.exception(error)

    written = capsys.readouterr().err
    assert written.startswith('bug error="RuntimeError from KeyError" at="unit/test_log.py:')
    assert "maija" not in written


def test_a_context_that_was_put_aside_is_not_told(capsys):
    set_up("text")

    try:
        try:
            trouble(1)
        except KeyError:
            raise RuntimeError from None
    except RuntimeError as error:
        log.exception(error)

    assert capsys.readouterr().err.startswith("bug error=RuntimeError at=")


def test_a_librarys_warning_is_one_line_too(capsys):
    set_up("text")

    logging.getLogger("waitress.queue").warning("Task queue depth is %d", 3)
    logging.getLogger("waitress.queue").info("nobody asked")

    assert capsys.readouterr().err == 'waitress.queue says="Task queue depth is 3"\n'


def test_a_librarys_traceback_is_told_as_a_bug_is(capsys):
    set_up("text")

    try:
        trouble("maija@yliopisto.example")
    except KeyError:
        logging.getLogger("waitress").exception("Exception while serving %s", "/me")

    written = capsys.readouterr().err
    assert written.startswith('waitress error=KeyError at="unit/test_log.py:')
    assert "maija" not in written


def test_setting_up_twice_writes_once(capsys):
    set_up("json")
    set_up("text")

    log("linked")

    assert capsys.readouterr().err == "linked\n"


def test_a_library_that_repeats_itself_may_be_heard_once(capsys):
    set_up("text", once=True)

    for number in (1, 1, 2):
        logging.getLogger("psycopg.pool").warning("attempt %d failed", number)

    assert capsys.readouterr().err == ('psycopg.pool says="attempt 1 failed"\npsycopg.pool says="attempt 2 failed"\n')


def test_a_log_that_cannot_be_written_stops_nobody(monkeypatch):
    set_up("text")
    monkeypatch.setattr("sys.stderr", None)

    log("linked")
