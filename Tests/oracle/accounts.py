"""Accounts, lots, allocations and holds."""
import bisect

from values import DAY, NEVER, SECOND, window

MINUTE = 60 * SECOND
LOTS_SUMMED = 16        # for one event, on the average: sums of more lots are not made anew after each
BURN_CATEGORY = {"promo": 0, "plan": 1, "refund": 2, "adjustment": 3, "paid": 4}


class Lot:
    def __init__(self, id, account, position, amount, category, priority, effective, expires):
        self.id, self.account, self.position = id, account, position
        self.category, self.priority, self.effective, self.expires = category, priority, effective, expires
        self.granted, self.left = amount, 0
        self.spent = self.expired = self.voided = 0
        self.closed = None      # "expired" or "voided" once that is recorded
        self.order = (priority, NEVER if expires is None else expires, BURN_CATEGORY[category], effective,
                      id.encode())

    def usable(self, t):
        return self.left if self.effective <= t and (self.expires is None or t < self.expires) else 0


class Steps:
    """Amounts by the moment from which on they count; how much counts at a time, without a look at each."""

    def __init__(self):
        self.days, self.minutes, self.moments = {}, {}, {}     # {day: n$}, {day: {minute: n$}}, {minute: {t: n$}}

    def add(self, t, amount):
        day, minute = t // DAY, t // MINUTE
        for table, key in ((self.days, day), (self.minutes.setdefault(day, {}), minute),
                           (self.moments.setdefault(minute, {}), t)):
            after = table.get(key, 0) + amount
            if after:
                table[key] = after
            else:
                table.pop(key, None)

    def up_to(self, t):
        day, minute = t // DAY, t // MINUTE
        return (sum(amount for one, amount in self.days.items() if one < day)
                + sum(amount for one, amount in self.minutes.get(day, {}).items() if one < minute)
                + sum(amount for one, amount in self.moments.get(minute, {}).items() if one <= t))


class Account:
    """An org's pool or a user's wallet."""

    def __init__(self):
        self.granted = self.adjusted = self.spent = self.expired = self.voided = self.overage = self.invoiced = 0
        self.lots = []
        self.open = []          # those with something left, in burn order
        self.left = 0           # in all of them
        self.starts, self.ends = Steps(), Steps()   # what is left, by when its lots begin and when they end
        self.changed = []       # lots that are to be checked
        self.unsummed = 0       # events since the sums were made anew
        self.movements = []     # (position, time, what, amount, of it invoiced, balance after, settled)

    @property
    def balance(self):
        return self.granted + self.adjusted - (self.spent - self.invoiced) - self.expired - self.voided

    def usable(self, t):
        return self.starts.up_to(t) - self.ends.up_to(t)

    def change(self, lot, amount):
        """So much more is left in a lot, or less."""
        if not amount:
            return
        was, lot.left = lot.left, lot.left + amount
        self.left += amount
        self.changed.append(lot)
        # One that ends before it begins is never usable.
        if lot.expires is None or lot.effective < lot.expires:
            self.starts.add(lot.effective, amount)
            if lot.expires is not None:
                self.ends.add(lot.expires, amount)
        if not was or not lot.left:
            index = bisect.bisect_left(self.open, lot.order, key=lambda one: one.order)
            if not was:
                self.open.insert(index, lot)
            else:
                assert self.open.pop(index) is lot

    def burn(self, amount, t):
        """[(lot, n$)] taken in burn order: at most `amount`."""
        slices = []
        for lot in self.open:
            if not amount:
                break
            part = min(lot.usable(t), amount)
            if part:
                amount -= part
                slices.append((lot, part))
        for lot, part in slices:
            lot.spent += part
            self.change(lot, -part)
        return slices

    def check(self, where, t):
        """Nothing is made and nothing is lost."""
        for lot in self.changed:
            parts = (lot.left, lot.spent, lot.expired, lot.voided)
            assert lot.granted == sum(parts) and min(parts) >= 0, (where, lot.id, lot.granted, parts)
        self.changed.clear()
        held = self.left - self.overage
        assert self.balance == held, (where, self.balance, held)
        self.unsummed += 1
        if self.unsummed * LOTS_SUMMED < len(self.open):
            return
        self.unsummed = 0
        assert all(lot.left for lot in self.open), where
        assert self.left == sum(lot.left for lot in self.open), where
        assert self.usable(t) == sum(lot.usable(t) for lot in self.open), where


class Allocation:
    """What a user may draw from an org's pool. It holds from its record on, whatever its time."""

    def __init__(self):
        self.mode, self.limit, self.period, self.draws = None, 0, "never", {}     # draws: {day: n$}

    def draw(self, t, amount):
        self.draws[t // DAY] = self.draws.get(t // DAY, 0) + amount

    def drawn(self, t):
        start, end = window(self.period, t)
        return sum(amount for day, amount in self.draws.items() if start <= day * DAY < end)

    def left(self, t):
        return max(0, self.limit - self.drawn(t))


class Hold:
    """Credits set aside for a call that is still running."""

    def __init__(self, position, subject, first, wallet, parts, counts_against, ends):
        self.position, self.subject, self.ends = position, subject, ends
        self.amount = first + wallet
        self.first = first                      # on who pays first
        self.parts = parts                      # [(owner, n$)]
        self.counts_against = counts_against    # (org, user) of an allocation, or None
