"""Comparison of the times at which an account was issued.

The times are values of funetEduPersonEPPNTimeStamp, which directories write in several forms.

Two texts name the same time if the intervals of their precision overlap: a date is a whole day, `12:00` a whole minute.
A text without a zone, or with the name of one, may be local time anywhere. A text that cannot be parsed, that can be
read in two ways, or that names a time at which no account was issued, proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta, timezone

from shibboleth.characters import XML_WHITE_SPACE

_FIRST_YEAR = 1990
"""No account was issued before."""
# GeneralizedTime (RFC 4517 section 3.3.13) and ISO 8601, basic and extended, with a date alone or a time too
_CALENDAR = re.compile(
    r"(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})"
    r"(?:[Tt ]?(?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2}))?)?(?:[.,](?P<fraction>\d+))?)?"
    r" ?(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?)?(?P<zone_name> ?[A-Z]{3,5})?",
    re.ASCII,
)
# UTCTime (RFC 4517 section 3.3.34): the century is left out
_UTC_TIME = re.compile(r"\d{10}(?:\d{2})?(?:[Zz]|[+-]\d{4})", re.ASCII)
# Finnish and German: 15.1.2024, 15.1.2024 klo 10.30, 15.01.2024, 10:30:00 Uhr
_DOTTED = re.compile(
    r"(?P<day>\d{1,2})\. ?(?P<month>\d{1,2})\. ?(?P<year>\d{4})"
    r"(?:,? (?:klo )?(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2}))?(?: Uhr| ?[A-Z]{3,5})?)?",
    re.ASCII,
)
_YEAR = re.compile(r"\d{4}", re.ASCII)
_DIGITS = re.compile(r"\d{9,18}", re.ASCII)
# yyyyMMddHHmmssSSS
_CALENDAR_DIGITS = re.compile(r"(\d{14})(\d{1,3})", re.ASCII)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOWS_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Interval:
    start: datetime
    """Without a zone where the text has none."""
    length: timedelta

    def overlaps(self, other: _Interval) -> bool:
        start, length = self.start, self.length
        if start.tzinfo is None and other.start.tzinfo is not None:
            # Local time of an unknown zone, from UTC+14 to UTC-12
            start, length = start.replace(tzinfo=timezone(timedelta(hours=14))), length + timedelta(hours=26)
        elif start.tzinfo is not None and other.start.tzinfo is None:
            return other.overlaps(self)
        return start < other.start + other.length and other.start < start + length


def same_issue_time(one: str, other: str) -> bool:
    """Return whether two texts name the same time.

    A text that cannot be parsed only equals the identical text.
    """
    first, second = _parse(one), _parse(other)
    if first is None or second is None:
        return one == other
    return first.overlaps(second)


def different_issue_times(one: str, other: str) -> bool:
    """Return whether two texts name different times, so the account was reissued.

    False if a text is empty or cannot be parsed.
    """
    first, second = _parse(one), _parse(other)
    return first is not None and second is not None and not first.overlaps(second)


def issued_after(text: str, day: date) -> bool:
    """Return whether an account was issued after a day.

    False if the text cannot be parsed.
    """
    issued = _parse(text)
    return issued is not None and issued.start.date() > day


def is_readable(text: str) -> bool:
    """Return whether a text names one time, which can be compared with others.

    False for an unknown form, and for a text that can be read as two times.
    """
    return _parse(text) is not None


def _parse(text: str) -> _Interval | None:
    years = range(_FIRST_YEAR, datetime.now(UTC).year + 2)
    found = _readings(text.strip(XML_WHITE_SPACE))
    readings = {each for each in found if each is not None and each.start.year in years}
    return readings.pop() if len(readings) == 1 else None


def _readings(text: str) -> Iterator[_Interval | None]:
    yield _parse_calendar(text)
    if _UTC_TIME.fullmatch(text):
        yield _parse_calendar(("20" if text[:2] < "70" else "19") + text)
    if found := _CALENDAR_DIGITS.fullmatch(text):
        yield _parse_calendar(f"{found[1]}.{found[2]}")
    if found := _DOTTED.fullmatch(text):
        time = "".join(f"{found[unit]:0>2}" for unit in ("hour", "minute", "second") if found[unit])
        yield _parse_calendar(f"{found['year']}{found['month']:0>2}{found['day']:0>2}{time}")
    if _YEAR.fullmatch(text) and int(text) in range(_FIRST_YEAR, MAXYEAR):
        start = datetime(int(text), 1, 1)  # noqa: DTZ001 - of an unknown zone
        yield _Interval(start, start.replace(year=start.year + 1) - start)
    if _DIGITS.fullmatch(text):
        yield _parse_epoch(text)


def _parse_calendar(text: str) -> _Interval | None:
    found = _CALENDAR.fullmatch(text)
    if found is None:
        return None
    length = timedelta(days=1)
    for unit in ("hour", "minute", "second"):
        if found[unit] is not None:
            length = timedelta(**{f"{unit}s": 1})
    try:
        start = datetime(int(found["year"]), int(found["month"]), int(found["day"]), tzinfo=_zone(found["zone"]))
        hour, minute, second = (int(found[unit] or 0) for unit in ("hour", "minute", "second"))
        if hour > 24 or minute > 59 or second > 60:  # noqa: PLR2004 - 24:00 is midnight, and :60 a leap second
            return None
        start += timedelta(hours=hour, minutes=minute, seconds=second)
        if found["fraction"]:
            digits = found["fraction"][:6]
            start += length * int(digits) / 10 ** len(digits)
            length /= 10 ** len(digits)
    except (ValueError, OverflowError):
        return None
    return _Interval(start, max(length, timedelta.resolution))


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text in "Zz":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _parse_epoch(digits: str) -> _Interval | None:
    # Seconds, milliseconds or microseconds since 1970, or Windows' 100 nanoseconds since 1601
    number = int(digits)
    match len(digits):
        case 9 | 10:
            return _Interval(_UNIX_EPOCH + timedelta(seconds=number), timedelta(seconds=1))
        case 12 | 13:
            return _Interval(_UNIX_EPOCH + timedelta(milliseconds=number), timedelta(milliseconds=1))
        case 15 | 16:
            return _Interval(_UNIX_EPOCH + timedelta(microseconds=number), timedelta(microseconds=1))
        case 18:
            return _Interval(_WINDOWS_EPOCH + timedelta(microseconds=number // 10), timedelta(microseconds=1))
        case _:
            return None
