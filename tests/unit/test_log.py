"""A line of the log is one line, and nobody can write into it what was not said."""

import json
import logging
import re
import threading
from datetime import UTC, datetime, timedelta

import pytest

from webapp.log import MAX_FACT_LENGTH, configure_logging, format_line, log, request_id, with_request_id


@pytest.fixture(autouse=True)
def as_it_was():
    """Leave the logging of other tests alone."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    request_id.set("")
    yield
    root.handlers[:] = handlers
    request_id.set("")


def test_an_event_is_a_word_and_facts(capsys):
    configure_logging("text")

    log("linked", organisation="yliopisto", request="7f3a")

    assert capsys.readouterr().err == "linked organisation=yliopisto request=7f3a\n"


def test_a_fact_may_be_called_word(capsys):
    configure_logging("text")

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
    assert format_line("word", {"fact": value}) == f"word fact={written}"


def test_a_value_is_cut_where_it_grows_too_long():
    assert len(format_line("word", {"fact": "x" * 10_000})) < MAX_FACT_LENGTH + 30


def test_a_machine_reads_one_object_a_line(capsys):
    configure_logging("json")
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
        "event": "linked",
        "facts": {"organisation": "x\ny", "number": 7, "done": True},
    }


def test_a_bug_is_reported_by_its_place_and_not_by_its_message(capsys):
    configure_logging("text")

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
    configure_logging("text")

    try:
        try:
            trouble(1)
        except KeyError:
            raise RuntimeError from None
    except RuntimeError as error:
        log.exception(error)

    assert capsys.readouterr().err.startswith("bug error=RuntimeError at=")


def test_a_librarys_warning_is_one_line_too(capsys):
    configure_logging("text")

    logging.getLogger("waitress.queue").warning("Task queue depth is %d", 3)
    logging.getLogger("waitress.queue").info("nobody asked")

    assert capsys.readouterr().err == 'waitress.queue message="Task queue depth is 3"\n'


def test_a_traceback_of_a_library_is_reported_like_a_bug(capsys):
    configure_logging("text")

    try:
        trouble("maija@yliopisto.example")
    except KeyError:
        logging.getLogger("waitress").exception("Exception while serving %s", "/me")

    written = capsys.readouterr().err
    assert written.startswith('waitress error=KeyError at="unit/test_log.py:')
    assert "maija" not in written


def test_setting_up_twice_writes_once(capsys):
    configure_logging("json")
    configure_logging("text")

    log("linked")

    assert capsys.readouterr().err == "linked\n"


def test_a_library_that_repeats_itself_may_be_heard_once(capsys):
    configure_logging("text", once=True)

    for number in (1, 1, 2):
        logging.getLogger("psycopg.pool").warning("attempt %d failed", number)

    assert capsys.readouterr().err == (
        'psycopg.pool message="attempt 1 failed"\npsycopg.pool message="attempt 2 failed"\n'
    )


def test_an_unwritable_log_fails_no_request(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    configure_logging("text")

    log("linked")


def test_json_tells_a_librarys_line_and_its_traceback_by_the_same_rules(capsys):
    configure_logging("json")

    logging.getLogger("waitress.queue").warning("Task queue depth is %d\n", 3)
    try:
        trouble("maija@yliopisto.example")
    except KeyError:
        logging.getLogger("waitress").exception("Exception while serving %s", "/me")

    first, second = capsys.readouterr().err.splitlines()
    assert json.loads(first)["event"] == "waitress.queue"
    assert json.loads(first)["facts"] == {"message": "Task queue depth is 3\n"}
    assert json.loads(second)["facts"]["error"] == "KeyError"
    assert "maija" not in second


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_line_of_a_request_carries_its_id_and_none_that_a_client_chose(form, capsys):
    def application(environ, start_response):
        log("begun")
        logging.getLogger("a.library").warning("slow")
        start_response("200 OK", [])
        return (log("streamed") or b"" for _ in range(1))

    configure_logging(form)
    served = with_request_id(application)
    for _ in range(2):
        chosen = {"HTTP_X_REQUEST_ID": "chosen", "HTTP_REQUEST_ID": "chosen", "UNIQUE_ID": "chosen"}
        list(served(chosen, lambda *_: None))

    written = capsys.readouterr().err
    ids = re.findall(r'request_id(?:=|": ")([0-9a-f]{16})\b', written)
    assert len(written.splitlines()) == len(ids) == 6
    assert ids[:3] == [ids[0]] * 3
    assert ids[3:] == [ids[3]] * 3
    assert ids[0] != ids[3]


def test_requests_in_other_threads_keep_their_own_ids(capsys):
    both = threading.Barrier(2)

    def application(environ, _start_response):
        log("begun", number=environ["number"])
        both.wait(timeout=10)
        log("ended", number=environ["number"])
        return []

    configure_logging("text")
    served = with_request_id(application)
    threads = [threading.Thread(target=served, args=({"number": number}, None)) for number in (1, 2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    told = {tuple(line.split()[1:]) for line in capsys.readouterr().err.splitlines()}
    assert {number for number, _ in told} == {"number=1", "number=2"}
    assert len(told) == 2
