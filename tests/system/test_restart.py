"""The way in which the operator's page has the configuration read again loses no request under mod_wsgi."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from tests.support import docs
from tests.support.system.client import RawClient

PATHS = ("/", "/healthz", "/readyz", "/v1/health")
AGAIN = 2


def on_the_page(front):
    """Give the command of the operator's page."""
    text = docs.under((docs.DOCS / "operator" / "run.md").read_text("utf-8"), "Restart")
    (command,) = re.findall(rf"^\| `{front}` \| `(.*)` \|$", text, re.MULTILINE)
    return command


def typed(stack, command):
    """Type a command of the page on this stack."""
    if command == "systemctl reload apache2":
        stack.do("apache2", "-d", stack.environment["APACHE_CONFDIR"], "-k", "graceful")
    else:
        stack.do(*command.replace("/etc/orcid-connect", str(stack.etc)).split())


@contextmanager
def light_load(stack):
    """Ask for each path again and again meanwhile; gives what was answered, by path and status."""
    answers, over = Counter(), threading.Event()

    def ask(path):
        while not over.is_set():
            answers[path, RawClient(stack).ask(path, []).status] += 1
            over.wait(0.05)

    threads = [threading.Thread(target=ask, args=(path,)) for path in PATHS]
    for each in threads:
        each.start()
    try:
        yield answers
    finally:
        over.set()
        for each in threads:
            each.join()


def wait_for_log(stack, text):
    end = time.monotonic() + 120
    while text not in RawClient(stack).ask("/", []).text:
        assert time.monotonic() < end, "the configuration is not read again"
        time.sleep(0.2)


def wait_for_more(answers, number):
    """Wait until each path was answered well some times more."""
    goals = {path: answers[path, 200] + number for path in PATHS}
    end = time.monotonic() + 120
    while any(answers[path, 200] < goal for path, goal in goals.items()):
        assert time.monotonic() < end, answers
        time.sleep(0.05)


@pytest.mark.parametrize("service", ["variables"], indirect=True)
def test_reading_the_configuration_again_loses_no_request(service):
    stack, written = service.stack, service.configuration.read_text("utf-8")
    for path in PATHS:
        RawClient(stack).ask(path, [])

    with light_load(stack) as answers:
        for number in range(AGAIN):
            name = f"Name number {number}"
            service.configuration.write_text(written.replace("[service]\n", f'[service]\nname = "{name}"\n'), "utf-8")
            typed(stack, on_the_page("variables"))
            wait_for_log(stack, name)
            wait_for_more(answers, 10)
        service.configuration.write_text(written, "utf-8")
        typed(stack, on_the_page("variables"))

    assert {status for _, status in answers} == {200}
    assert min(answers[path, 200] for path in PATHS) > AGAIN
