"""When an account was issued, compared however directories write it."""

from itertools import combinations

import pytest

from shibboleth.account_time import different_issue_times, is_readable, same_issue_time

NOON = [
    "20040826120000Z",
    "20040826120000.0Z",
    "20040826120000,000Z",
    "200408261200Z",
    "2004082612Z",
    "20040826150000+0300",
    "2004082615+03",
    "2004-08-26T12:00:00Z",
    "2004-08-26T12:00:00.000+00:00",
    "2004-08-26T15:00+03:00",
    "2004-08-26 12:00:00z",
    "20040826T120000Z",
    "20040826T070000-0500",
    "040826120000Z",
    "1093521600",
    "1093521600000",
    "127379952000000000",
    "20040826",
    "2004-08-26",
    " 20040826 ",
    "20040826120000000",
    "200408261200000",
    "26.8.2004",
    "26.08.2004",
    "26. 8. 2004",
    "26.8.2004 12:00",
    "26.8.2004 klo 12.00.00",
    "26.08.2004, 12:00:00 Uhr",
    "26.08.2004 12:00:00 EEST",
    "2004-08-26 12:00:00 EEST",
    "2004-08-26 12:00:00 UTC",
    "2004-08-26T12:00:00.000EET",
]
"""Noon of one day, in UTC, with the precision that each form has."""
UNREADABLE = [
    *(
        "",
        "x",
        "20041326",
        "20040832",
        "20040826256000Z",
        "12345",
        "9" * 30,
        "\u0662" * 8,
        "\xa020040826",
        "20040826\u3000",
    ),
    *("8/26/2004", "26/08/2004", "2004/08/26", "26-08-2004", "26.8.04", "26.13.2004", "8.26.2004", "Aug 26 2004"),
    *("0001", "1904", "9999", "1899-12-30", "19700101000000Z", "9999-12-31", "0", "0000000000", "100000000000000000"),
]
AMBIGUOUS = ["2012011000Z", "2012011000+0200", "201201101200Z"]
"""Two times each, as UTCTime and as GeneralizedTime."""


def test_forms_of_one_time_are_the_same():
    for one, other in combinations(NOON, 2):
        assert same_issue_time(one, other), (one, other)
        assert not different_issue_times(one, other), (one, other)


@pytest.mark.parametrize(
    "other",
    [
        "20040901",
        "20240826",
        "2024",
        "1.9.2005",
        "2024-08-26 12:00:00 EET",
        "20240115100000000",
        "2024-08-26T12:00:00Z",
        "1724673600",
        "240826120000Z",
    ],
)
def test_another_time_proves_another_person(other):
    for noon in NOON:
        assert different_issue_times(noon, other), noon
        assert different_issue_times(other, noon), noon
        assert not same_issue_time(noon, other), noon


def test_a_second_makes_a_difference_where_both_tell_it():
    assert different_issue_times("20040826120000Z", "20040826120001Z")
    assert different_issue_times("20040826120000.1Z", "20040826120000.2Z")
    assert different_issue_times("20040826120000Z", "20040826120000+0300")
    assert different_issue_times("20040826", "20040827")


def test_a_date_without_zone_is_a_day_anywhere():
    assert not different_issue_times("20040826", "20040825210000Z")
    assert different_issue_times("20040826", "20040828000000Z")


def test_a_named_zone_may_be_any():
    assert not different_issue_times("2004-08-26 12:00:00 EEST", "20040826090000Z")
    assert not different_issue_times("2004-08-26 12:00:00 EST", "20040826170000Z")
    assert different_issue_times("2004-08-26 12:00:00 EEST", "20040828000000Z")


def test_a_date_with_dots_has_the_day_first():
    assert same_issue_time("1.2.2024", "20240201")
    assert different_issue_times("1.2.2024", "20240102")


def test_a_year_is_every_day_of_it():
    for same in ("2024", "20240101", "20241231235959Z", "31.12.2024"):
        assert same_issue_time("2024", same)
    for other in ("20231230", "20250102", "2023"):
        assert different_issue_times("2024", other)


@pytest.mark.parametrize("digits", ["20240115100000000", "2024011510000000", "202401151000000"])
def test_digits_that_begin_with_a_date_are_no_count_of_ticks(digits):
    assert same_issue_time(digits, "2024-01-15 10:00:00")
    assert different_issue_times(digits, "20250115100000Z")


@pytest.mark.parametrize("text", [*UNREADABLE, *AMBIGUOUS])
def test_what_cannot_be_read_proves_nothing(text):
    assert not is_readable(text)
    for other in (*NOON, *UNREADABLE):
        assert not different_issue_times(text, other)
        assert same_issue_time(text, other) == (text == other)
