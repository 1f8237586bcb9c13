"""When an account was issued, compared however directories write it."""

from itertools import combinations

import pytest

from shibboleth.account_time import different_issue_times, same_issue_time

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
]
"""Noon of one day, in UTC, with the precision that each form has."""
UNREADABLE = ["", "x", "2004", "20041326", "20040832", "20040826256000Z", "26.8.2004", "12345", "9" * 30, "\u0662" * 8]


def test_forms_of_one_time_are_the_same():
    for one, other in combinations(NOON, 2):
        assert same_issue_time(one, other), (one, other)
        assert not different_issue_times(one, other), (one, other)


@pytest.mark.parametrize("other", ["20040901", "20240826", "2024-08-26T12:00:00Z", "1724673600", "240826120000Z"])
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


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_cannot_be_read_proves_nothing(text):
    for other in (*NOON, *UNREADABLE):
        assert not different_issue_times(text, other)
        assert same_issue_time(text, other) == (text == other)
