"""Numbers, times and names as the contract takes them.

Money is an int of nano-dollars (n$), times are ints of microseconds since 1970, rates are exact decimals: the context
refuses any result that would have to be rounded, and every rounding is asked for by name. No floating point.
"""
import bisect
import datetime
import decimal
import functools
from decimal import ROUND_HALF_EVEN, Decimal

CREDIT = 1_000_000          # n$
USD = 1_000_000_000         # n$
SECOND = 1_000_000          # microseconds
DAY = 86_400 * SECOND
NEVER = 1 << 62             # after all times
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

decimal.setcontext(decimal.Context(prec=400, Emax=999_999, Emin=-999_999, traps=[
    decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow]))


def half_even(value):
    """A decimal to the nearest integer, ties to the even one."""
    return int(value.to_integral_value(ROUND_HALF_EVEN))


def number(value):
    return value if isinstance(value, Decimal) else Decimal(str(value))


def credits(value):
    return half_even(number(value) * CREDIT)


def plain(value, unit):
    """n$ as the decimal string the API writes."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    tail = str(rest).zfill(digits).rstrip("0")
    return sign + str(whole) + ("." + tail if tail else "")


def instant(text):
    """RFC 3339 to microseconds."""
    clock, zone = (text[11:-1], 0) if text[-1] in "Zz" else (text[11:-6], minutes(text[-6:]))
    seconds = int(clock[:2]) * 3600 + int(clock[3:5]) * 60 + int(clock[6:8]) - zone * 60
    return midnight_of(text[:10]) + seconds * SECOND + (int((clock[9:] + "000000")[:6]) if len(clock) > 8 else 0)


def minutes(zone):
    """"+05:30" east of Greenwich."""
    return (-1 if zone[0] == "-" else 1) * (int(zone[1:3]) * 60 + int(zone[4:6]))


@functools.lru_cache(maxsize=10_000)
def midnight_of(date):
    return midnight(int(date[:4]), int(date[5:7]), int(date[8:10]))


def moment_of(micros):
    return EPOCH + datetime.timedelta(microseconds=micros)


def text_of(micros):
    """As the API writes it: a fraction only when there is one."""
    moment = moment_of(micros)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else "") + "Z"


def midnight(year, month, day):
    return (datetime.datetime(year, month, day, tzinfo=datetime.timezone.utc) - EPOCH) // datetime.timedelta(
        microseconds=1)


def day_window(t):
    start = t // DAY * DAY
    return start, start + DAY


def month_window(t, anchor=1):
    moment = moment_of(t)
    year, month = moment.year, moment.month
    if moment.day < anchor:
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    after = (year, month + 1) if month < 12 else (year + 1, 1)
    return midnight(year, month, anchor), midnight(*after, anchor)


def window(period, t):
    """[start, end) of an allocation's period: UTC days, weeks from Monday, calendar months."""
    if period == "day":
        return day_window(t)
    if period == "week":
        # 1970-01-01 was a Thursday.
        start = ((t // DAY + 3) // 7 * 7 - 3) * DAY
        return start, start + 7 * DAY
    if period == "month":
        return month_window(t)
    return -(1 << 62), 1 << 62


def matches(pattern, text):
    """`*` stands for any run of bytes, nothing else is special."""
    pattern, text = pattern.encode(), text.encode()
    first, *rest = pattern.split(b"*")
    if not rest:
        return pattern == text
    if not text.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - at >= len(rest[-1]) and text.endswith(rest[-1])


class Timeline:
    """Things that hold from a time on, in the order they were stated: of those at one time the last stated holds."""

    def __init__(self):
        self.rows = []      # (effective, position, value), sorted

    def add(self, effective, position, value):
        bisect.insort(self.rows, (effective, position, value))

    def at(self, t, or_first=False):
        index = bisect.bisect_right(self.rows, t, key=lambda row: row[0])
        if index:
            return self.rows[index - 1][2]
        return self.rows[0][2] if or_first and self.rows else None


class Box:
    """A value that does not take part in comparisons."""

    def __init__(self, **members):
        self.__dict__.update(members)

    def __lt__(self, other):
        return False
