"""Return addresses: only those below an allowed prefix are accepted, in whatever way they are written."""

import pytest

from webapp.linking.return_address import AllowedReturn, ReturnNotAllowed, find_return

ALLOWED = (
    AllowedReturn("https://research.example.org/app"),
    AllowedReturn("https://research.example.org/app/profile/", "Profiles"),
    AllowedReturn("https://whole.example.org"),
    AllowedReturn("https://port.example.org:8443/x"),
)
APP = "https://research.example.org/app"

ACCEPTED = [
    (APP, "research.example.org"),
    (f"{APP}/", "research.example.org"),
    (f"{APP}/done?x=1&y=%C3%A4", "research.example.org"),
    (f"{APP}?back=/home", "research.example.org"),
    ("https://RESEARCH.example.org:443/app/x", "research.example.org"),
    (f"{APP}/profile/5", "Profiles"),
    (f"{APP}/profile", "Profiles"),
    (f"{APP}/a..b/...", "research.example.org"),
    (f"{APP}/k%C3%A4ytt%C3%A4j%C3%A4", "research.example.org"),
    ("https://whole.example.org", "whole.example.org"),
    ("https://whole.example.org?x=https://evil.example", "whole.example.org"),
    ("https://port.example.org:8443/x/y", "port.example.org"),
]

REFUSED = [
    "",
    "/",
    "/me",
    "//evil.example/app",
    "///evil.example",
    "https:research.example.org/app",
    "https:/research.example.org/app",
    "https:///research.example.org/app",
    "http://research.example.org/app",
    "ftp://research.example.org/app",
    "javascript:alert(1)//https://research.example.org/app",
    "data:text/html,https://research.example.org/app",
    # Another host
    "https://evil.example/app",
    "https://evil.example/https://research.example.org/app",
    "https://research.example.org.evil.example/app",
    "https://evilresearch.example.org/app",
    "https://sub.research.example.org/app",
    "https://research.example.org./app",
    "https://research。example.org/app",
    "https://rеsearch.example.org/app",
    "https://xn--rsearch-3nf.example.org/app",
    # User, port
    "https://research.example.org@evil.example/app",
    "https://user@research.example.org/app",
    "https://user:password@research.example.org/app",
    "https://research.example.org%40evil.example/app",
    "https://research.example.org:444/app",
    "https://research.example.org:0443/app",
    "https://research.example.org:/app",
    "https://research.example.org:443@evil.example/app",
    "https://port.example.org/x",
    "https://[::1]/app",
    # Characters that readers take for other ones
    "https://evil.example\\@research.example.org/app",
    "https://research.example.org\\evil/app",
    "https://research.example.org/app\\..\\admin",
    "https://research.example.org/app%5C..%5Cadmin",
    " https://research.example.org/app",
    "https://research.example.org/app ",
    "https://research.example.org/app\r\nSet-Cookie: x=y",
    "https://research.example.org/app%0d%0aSet-Cookie:x",
    "https://research.example.org/app?x=%0d%0aSet-Cookie:x",
    "https://research.example.org/app\tx",
    "https://research.example.org/app%00",
    "https://research.example.org/app/%7f",
    'https://research.example.org/app"><script>',
    "https://research.example.org/app/<b>",
    "https://research.example.org/app/ä",
    "https://research.example.org/app/%",
    "https://research.example.org/app/%zz",
    "https://research.example.org/app/%c0%af..%c0%afadmin",
    # Fragment
    "https://research.example.org/app#x",
    "https://research.example.org/app#@evil.example",
    "https://evil.example#https://research.example.org/app",
    # Another path
    "https://research.example.org",
    "https://research.example.org/",
    "https://research.example.org/application",
    "https://research.example.org/app-evil",
    "https://research.example.org/APP",
    "https://research.example.org/app;x",
    "https://research.example.org/other/app",
    "https://research.example.org/app/../admin",
    "https://research.example.org/app/..",
    "https://research.example.org/app/.",
    "https://research.example.org/./app",
    "https://research.example.org/app/%2e%2e/admin",
    "https://research.example.org/app/.%2E/admin",
    "https://research.example.org/app/%252e%252e/admin",
    "https://research.example.org/app/..;/admin",
    "https://research.example.org/app/%2e%2e%3b/admin",
    "https://research.example.org/app%2f..%2fadmin",
    "https://research.example.org/app%252fadmin",
    "https://research.example.org/app/%EF%BC%8E%EF%BC%8E/admin",
    "https://research.example.org/app/%E2%80%A5/admin",
    "https://research.example.org/app%EF%BC%8Fadmin",
    f"https://research.example.org/app/{'x' * 2000}",
]


@pytest.mark.parametrize(("address", "name"), ACCEPTED)
def test_an_address_below_a_prefix_is_accepted_as_it_is_written(address, name):
    found = find_return(address, ALLOWED)

    assert (found.url, found.name) == (address, name)


@pytest.mark.parametrize("address", REFUSED)
def test_any_other_address_is_refused(address):
    with pytest.raises(ReturnNotAllowed):
        find_return(address, ALLOWED)


def test_without_prefixes_every_address_is_refused():
    with pytest.raises(ReturnNotAllowed):
        find_return(APP, ())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (APP, f"{APP}?orcid_connect=linked"),
        (f"{APP}?a=1&b=%20&a=", f"{APP}?a=1&b=%20&a=&orcid_connect=linked"),
        (f"{APP}?orcid_connect=failed&a=1&orcid%5Fconnect=x", f"{APP}?a=1&orcid_connect=linked"),
        ("https://whole.example.org", "https://whole.example.org?orcid_connect=linked"),
    ],
)
def test_the_result_is_added_once_and_the_rest_of_the_query_stays(address, expected):
    assert find_return(address, ALLOWED).with_result("linked") == expected


def test_a_result_that_is_none_is_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="'who'"):
        find_return(APP, ALLOWED).with_result("who")
