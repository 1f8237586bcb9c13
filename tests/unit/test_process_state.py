"""A process knows how many requests it is answering."""

import pytest

from shibboleth.process_state import ProcessState
from shibboleth.version import VERSION


class Body(list):
    """A body that is told when it has been sent."""

    closed = False

    def close(self):
        self.closed = True


@pytest.mark.parametrize("body", [[b"done"], Body([b"done"])])
def test_a_request_counts_until_its_response_was_sent(body):
    process = ProcessState()

    sent = process.counting(lambda _environ, _start: body)({}, None)

    assert process.requests == 1
    assert list(sent) == [b"done"]
    assert process.requests == 1
    sent.close()
    assert process.requests == 0
    assert getattr(body, "closed", True)


def test_a_request_that_fails_counts_no_more():
    process = ProcessState()

    with pytest.raises(ZeroDivisionError):
        process.counting(lambda _environ, _start: 1 / 0)({}, None)

    assert process.requests == 0


def test_health_pages_name_the_version_and_the_configuration_where_it_is_known():
    with_version = [("Service-Version", VERSION)]

    assert ProcessState("0123456789abcdef").headers == [*with_version, ("Configuration-Digest", "0123456789abcdef")]
    assert ProcessState().headers == with_version
