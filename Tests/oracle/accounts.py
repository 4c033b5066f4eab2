"""Accounts, lots, allocations and holds."""
import bisect

from values import DAY, NEVER, window

BURN_CATEGORY = {"promo": 0, "plan": 1, "refund": 2, "adjustment": 3, "paid": 4}


class Lot:
    def __init__(self, id, account, position, amount, category, priority, effective, expires):
        self.id, self.account, self.position = id, account, position
        self.category, self.priority, self.effective, self.expires = category, priority, effective, expires
        self.granted = self.left = amount
        self.spent = self.expired = self.voided = 0
        self.closed = None      # "expired" or "voided" once that is recorded
        self.order = (priority, NEVER if expires is None else expires, BURN_CATEGORY[category], effective,
                      id.encode())

    def usable(self, t):
        return self.left if self.effective <= t and (self.expires is None or t < self.expires) else 0


class Account:
    """An org's pool or a user's wallet."""

    def __init__(self):
        self.granted = self.adjusted = self.spent = self.expired = self.voided = self.overage = self.invoiced = 0
        self.lots = []
        self.open = []          # those with something left, in burn order
        self.movements = []     # (position, time, what, amount, of it invoiced, balance after, settled)

    @property
    def balance(self):
        return self.granted + self.adjusted - (self.spent - self.invoiced) - self.expired - self.voided

    def usable(self, t):
        return sum(lot.usable(t) for lot in self.open)

    def reopen(self, lot):
        if lot.left and lot not in self.open:
            bisect.insort(self.open, lot, key=lambda one: one.order)

    def burn(self, amount, t):
        """[(lot, n$)] taken in burn order: at most `amount`."""
        slices = []
        for lot in self.open:
            if not amount:
                break
            part = min(lot.usable(t), amount)
            if part:
                lot.left -= part
                lot.spent += part
                amount -= part
                slices.append((lot, part))
        if any(not lot.left for lot, _ in slices):
            self.open = [lot for lot in self.open if lot.left]
        return slices

    def check(self, where):
        """Nothing is made and nothing is lost."""
        for lot in self.open:
            parts = (lot.left, lot.spent, lot.expired, lot.voided)
            assert lot.granted == sum(parts) and min(parts) >= 0, (where, lot.id, lot.granted, parts)
        held = sum(lot.left for lot in self.open) - self.overage
        assert self.balance == held, (where, self.balance, held)


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
