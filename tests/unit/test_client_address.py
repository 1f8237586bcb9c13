"""From where a client comes, and how often an address may send a credential that is not valid."""

import pytest

from resolver_connector import client_address
from resolver_connector.client_address import MAX_FAILURES, SECONDS_PER_FAILURE, FailureLimit, TrustedProxies

PROXIES = TrustedProxies.parse(["127.0.0.1", "10.0.0.0/8", "::1", "unix"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "192.0.2.1, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "192.0.2.1, 198.51.100.1,10.1.2.3", "198.51.100.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1, unknown", "127.0.0.1"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", "198.51.100.1"),
        ("localhost", "198.51.100.1", "198.51.100.1"),
    ],
)
def test_the_address_comes_from_trusted_proxies_alone(peer, forwarded, expected):
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}

    assert PROXIES.client_address(environ) == expected
    assert TrustedProxies().client_address(environ) == (peer or "unix")


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


def test_an_address_may_fail_so_often_and_then_once_in_a_while(clock):
    limit = FailureLimit(clock)

    assert [limit.add("192.0.2.1") for _ in range(MAX_FAILURES)] == [0] * MAX_FAILURES
    assert limit.add("192.0.2.1") > 0
    assert limit.add("192.0.2.2") == 0
    clock.now += SECONDS_PER_FAILURE
    assert limit.add("192.0.2.1") == 0
    assert limit.add("192.0.2.1") > 0


def test_addresses_of_one_network_of_ipv6_are_one(clock):
    limit = FailureLimit(clock)
    for number in range(MAX_FAILURES):
        limit.add(f"2001:db8::{number:x}")

    assert limit.add("2001:db8::ffff") > 0
    assert limit.add("2001:db8:0:1::1") == 0


def test_an_address_of_ipv4_is_one_however_the_socket_writes_it(clock):
    limit = FailureLimit(clock)
    for _ in range(MAX_FAILURES):
        limit.add("::ffff:198.51.100.7")

    assert limit.add("198.51.100.7") > 0
    assert limit.add("::ffff:c633:6407") > 0
    assert limit.add("::ffff:198.51.100.8") == 0


def test_memory_is_bounded(clock, monkeypatch):
    monkeypatch.setattr(client_address, "MAX_ADDRESSES", 3)
    limit = FailureLimit(clock)
    for number in range(10):
        limit.add(f"192.0.2.{number}")

    assert len(limit) == 3
