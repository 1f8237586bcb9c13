"""A delivery that failed is tried again later and later, and for three days."""

from datetime import timedelta

import pytest

from resolver_connector.delivery.backoff import BACKOFF, MAX_AGE, next_try_at
from tests.support.factories import NOON

MINUTE = timedelta(minutes=1)


def after(tries, now=NOON, *, slow=False, asked=None, chance=0.5):
    """Tell when the next try is, of a delivery that waits since noon."""
    return next_try_at(tries, NOON, now, misconfigured=slow, retry_after=asked, random=chance)


def test_each_wait_is_longer_than_the_one_before():
    waits = [after(tries) - NOON for tries in range(1, 10)]

    assert waits[:3] == [timedelta(seconds=5), 5 * MINUTE, 30 * MINUTE]
    assert waits == list(BACKOFF) == sorted(BACKOFF)


def test_the_longest_wait_is_never_outgrown():
    assert after(10) == after(1000) == NOON + timedelta(days=1)


def test_waits_that_begin_together_do_not_end_together():
    assert after(2, chance=0.0) == NOON + 4 * MINUTE
    assert after(2, chance=1.0) == NOON + 6 * MINUTE


def test_misconfigured_deliveries_are_tried_less_often():
    assert after(1, slow=True) == NOON + 30 * MINUTE
    assert after(9, slow=True) == NOON + timedelta(days=1)


def test_a_requested_wait_is_respected():
    assert after(1, asked=7 * MINUTE) == NOON + 7 * MINUTE


def test_a_requested_wait_may_be_shorter_than_the_back_off():
    assert after(3, asked=MINUTE) == NOON + 30 * MINUTE


def test_the_last_try_is_when_patience_ends():
    assert after(9, NOON + MAX_AGE - MINUTE) == NOON + MAX_AGE


@pytest.mark.parametrize("late", [timedelta(), timedelta(days=30)])
def test_after_three_days_there_is_no_next_try(late):
    assert after(9, NOON + MAX_AGE + late) is None


def test_what_has_waited_untried_for_longer_has_four_tries():
    late = NOON + 10 * MAX_AGE

    assert [after(tries, late) - late for tries in (1, 2, 3)] == [timedelta(seconds=5), 5 * MINUTE, 30 * MINUTE]
    assert after(4, late) is None


def test_a_wish_to_be_left_alone_outlasts_patience():
    assert after(9, NOON + MAX_AGE - MINUTE, asked=60 * MINUTE) == NOON + MAX_AGE + 59 * MINUTE
