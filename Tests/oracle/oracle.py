"""What an exported log means, worked out a second time: from the contract, in another language, with exact fractions.

    tallystick-replay export --data DIR | python3 Tests/oracle/oracle.py [--now TIME]     # prints the accounts

Money is an int of nano-dollars (n$), times are ints of microseconds since 1970, rates are fractions. No floating point.
Nothing here is taken from the Swift sources; README.md lists what was decided where the contract leaves a choice.
"""
import bisect
import datetime
import json
import sys
from decimal import Decimal
from fractions import Fraction

CREDIT = 1_000_000          # n$
USD = 1_000_000_000         # n$
SECOND = 1_000_000          # microseconds
DAY = 86_400 * SECOND
NEVER_EXPIRES = 1 << 62
BURN_CATEGORY = {"promo": 0, "plan": 1, "refund": 2, "adjustment": 3, "paid": 4}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


# Numbers and times

def half_even(value):
    """A fraction to the nearest integer, ties to the even one: what round() does for fractions."""
    return round(value)


def number(text):
    return Fraction(Decimal(str(text)))


def credits(text):
    return half_even(number(text) * CREDIT)


def plain(value, unit):
    """n$ as the decimal string the API writes."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    tail = str(rest).zfill(digits).rstrip("0")
    return sign + str(whole) + ("." + tail if tail else "")


def instant(text):
    """RFC 3339 to microseconds."""
    text = text.strip().replace("z", "Z").replace("t", "T")
    body, zone = (text[:-1], "+00:00") if text.endswith("Z") else (text[:-6], text[-6:])
    head, _, tail = body.partition(".")
    moment = datetime.datetime.fromisoformat(head + zone)
    seconds = (moment - EPOCH) // datetime.timedelta(seconds=1)
    return seconds * SECOND + int((tail + "000000")[:6])


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


# Accounts

class Lot:
    def __init__(self, id, account, position, amount, category, priority, effective, expires):
        self.id, self.account, self.position = id, account, position
        self.category, self.priority, self.effective, self.expires = category, priority, effective, expires
        self.granted = self.left = amount
        self.spent = self.expired = self.voided = 0
        self.closed = None      # "expired" or "voided" once that is recorded
        self.order = (priority, NEVER_EXPIRES if expires is None else expires, BURN_CATEGORY[category], effective,
                      id.encode())

    def usable(self, t):
        return self.left if self.effective <= t and (self.expires is None or t < self.expires) else 0


class Account:
    """An org's pool or a user's wallet."""

    def __init__(self):
        self.granted = self.adjusted = self.spent = self.expired = self.voided = self.overage = self.invoiced = 0
        self.lots = []
        self.open = []          # those with something left, in burn order
        self.movements = []     # (position, time, what, amount, of it invoiced, balance after)

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


# Prices

def used(call):
    """Whether anything was used at all: zeros are said of a failure that never reached a provider."""
    return any(number(value) for value in (call.get("usage") or {}).values())


class Rule:
    KINDS = ("input", "output", "cache_read", "cache_write", "reasoning")
    UNITS = {"per_image": "images", "per_audio_second": "audio_seconds", "per_search": "searches"}

    def __init__(self, data):
        self.provider, self.model, self.operation = data.get("provider"), data.get("model"), data.get("operation")
        self.above = data.get("above_input_tokens")
        self.per = int(data.get("per", 1))
        price = {name: number(data[name]) for name in (
            "any_token", *self.KINDS, "per_call", *self.UNITS, "reported_cost") if name in data}
        self.reported, self.per_call = price.get("reported_cost"), price.get("per_call")
        self.units = {name: price[name] for name in self.UNITS if name in price}
        self.tokens = None
        if "any_token" in price:
            self.tokens = dict.fromkeys(self.KINDS, price["any_token"])
        elif any(kind in price for kind in self.KINDS):
            into, out = price.get("input", Fraction(0)), price.get("output", Fraction(0))
            self.tokens = {
                "input": into, "output": out, "cache_read": price.get("cache_read", into),
                "cache_write": price.get("cache_write", into), "reasoning": price.get("reasoning", out)}
        # What a call must say, one of it at least, to be priced. A price of 0 asks for nothing.
        self.asked = [self.UNITS[name] for name, value in self.units.items() if value]
        if self.tokens and any(self.tokens.values()):
            self.asked += ["input_tokens", "output_tokens"]

    def takes(self, call):
        return ((self.provider is None or matches(self.provider, call["provider"]))
                and (self.model is None or matches(self.model, call["model"]))
                and (self.operation is None or self.operation == call["operation"])
                and (self.above is None or (call.get("usage") or {}).get("input_tokens", -1) > self.above))

    def amount(self, call, cost, counts_call):
        """In the list's unit (dollars for reported_cost), or None when the call does not say what is needed."""
        if self.reported is not None:
            return None if cost is None else self.reported * cost
        usage = call.get("usage") or {}
        if self.asked and not any(name in usage for name in self.asked):
            return None
        total = Fraction(0)
        if self.tokens:
            read, write = usage.get("cache_read_tokens", 0), usage.get("cache_write_tokens", 0)
            reasoning = usage.get("reasoning_tokens", 0)
            kinds = {
                "input": usage.get("input_tokens", 0) - read - write,
                "output": usage.get("output_tokens", 0) - reasoning,
                "cache_read": read, "cache_write": write, "reasoning": reasoning}
            total += sum(self.tokens[kind] * kinds[kind] for kind in self.KINDS) / self.per
        for name, price in self.units.items():
            total += price * number(usage.get(self.UNITS[name], 0))
        if self.per_call is not None and counts_call:
            total += self.per_call
        return total


class PriceList:
    def __init__(self, data):
        self.unit = CREDIT if data["unit"] == "credits" else USD
        self.rules = [Rule(rule) for rule in data["rules"]]
        self.multipliers = [
            (one["attribute"], {value: number(factor) for value, factor in one["values"].items()})
            for one in data.get("multipliers", []) if not one["attribute"].startswith("client.")]
        self.cache_hit = number(data.get("cache_hit", 0))

    def charge(self, call, cost, markup, counts_call):
        """n$ as a fraction, or None: unpriced."""
        rule = next((rule for rule in self.rules if rule.takes(call)), None)
        amount = rule and rule.amount(call, cost, counts_call)
        if amount is None:
            return None
        amount *= USD if rule.reported is not None else self.unit
        attributes = call.get("attributes", {})
        for name, values in self.multipliers:
            if name in attributes:
                amount *= values.get(attributes[name], 1)
        amount *= 1 + markup
        return amount * self.cache_hit if call.get("cache_hit") else amount


# The whole

TOKEN_FIELDS = ("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
                "reasoning_tokens", "images", "audio_micros", "credits", "cost_usd", "unpriced_calls")
LINE_FIELDS = ("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
               "reasoning_tokens", "credits", "due")
DEFAULT_WINDOW_SECONDS = 3600
NO_PLAN = {"markup": Fraction(0), "policy": "allow", "byok_counts": True, "calls": []}


class Oracle:
    def __init__(self, keeps_calls=True):
        """`keeps_calls`: remember what each call did, for corrections."""
        self.keeps_calls = keeps_calls
        self.position = self.time = 0       # of the record that is being taken
        self.accounts = {}          # ("org" | "user", name): Account
        self.lots = {}              # id: Lot
        self.allocations = {}       # org: {user: Allocation}
        self.plans = {}             # name: Timeline of definitions
        self.assignments = {}       # owner: Timeline
        self.prices = Timeline()
        self.counts = {}            # owner: {(day, status, key source, uses quota): calls}
        self.tokens = {}            # (day, org, user, service, model, provider, key source): [TOKEN_FIELDS]
        self.window_seconds = DEFAULT_WINDOW_SECONDS
        self.open_lines = {}        # (subscription, window start, seconds, provider, model, operation): [LINE_FIELDS]
        self.sealed = {}            # position of the closing: {the same key: [LINE_FIELDS]}
        self.standing = {}          # (source, id) of a call: what of it stands, None once voided

    # Reading

    def take(self, record):
        event = record["event"]
        data, position, t = event["data"], record["position"], instant(record["occurred_at"])
        assert position == self.position + 1, f"position {position} after {self.position}"
        self.position, self.time = position, t
        handler = getattr(self, "on_" + event["type"].replace(".", "_"), None)
        if handler is None:
            raise ValueError(f"position {position}: what is a {event['type']}?")
        handler(position, t, event, data)
        if event["type"].startswith(("llm", "credits")):
            for account in self.touched:
                account.check(f"after {position}")

    touched = ()

    def read(self, lines):
        for line in lines:
            if line.strip():
                self.take(json.loads(line, parse_float=Decimal))
        return self

    def account(self, owner):
        if owner not in self.accounts:
            self.accounts[owner] = Account()
        return self.accounts[owner]

    @staticmethod
    def owner(data):
        return ("org", data["org"]) if "org" in data else ("user", data["user"])

    # Plans and prices

    def on_plan_defined(self, position, t, event, data):
        self.plans.setdefault(data["plan"], Timeline()).add(t, position, Box(
            markup=number(data["markup"]), policy=data["overage"]["policy"],
            byok_counts=data.get("byok_counts_calls", True), calls=data["calls"]))

    def on_plan_assigned(self, position, t, event, data):
        effective = instant(data["effective_at"]) if "effective_at" in data else t
        self.assignments.setdefault(self.owner(data), Timeline()).add(effective, position, Box(
            plan=data["plan"], funding=data.get("funding", "org"), anchor=data.get("anchor_day", 1),
            subscription=data["lago"]["external_subscription_id"] if "lago" in data else None))

    def on_prices_published(self, position, t, event, data):
        effective = instant(data["effective_at"]) if "effective_at" in data else t
        self.prices.add(effective, position, Box(list=PriceList(data)))

    def assignment(self, owner, t):
        timeline = self.assignments.get(owner)
        return timeline and timeline.at(t)

    def plan(self, assignment, t):
        timeline = assignment and self.plans.get(assignment.plan)
        return (timeline and timeline.at(t, or_first=True)) or Box(**NO_PLAN)

    def governing(self, call, t):
        own = self.assignment(("user", call["user"]), t) if "user" in call else None
        return own or (self.assignment(("org", call["org"]), t) if "org" in call else None)

    # Credits

    def add_lot(self, account, position, id, amount, category, priority, effective, expires):
        lot = Lot(id, account, position, amount, category, priority, effective, expires)
        assert id not in self.lots, f"position {position}: a second lot {id}"
        self.lots[id] = lot
        account.lots.append(lot)
        account.reopen(lot)

    def moved(self, account, what, before, invoiced=0):
        """Notes what became of the balance; what goes on an invoice is an amount that leaves the balance alone."""
        self.touched = (account,)
        amount = account.balance - before - invoiced
        if amount:
            account.movements.append((self.position, self.time, what, amount, invoiced, account.balance))

    def on_credits_granted(self, position, t, event, data):
        account, amount = self.account(self.owner(data)), credits(data["credits"])
        before = account.balance
        effective = instant(data["effective_at"]) if "effective_at" in data else t
        expires = instant(data["expires_at"]) if "expires_at" in data else None
        self.add_lot(account, position, event["id"], amount, data["category"], data.get("priority", 100), effective,
                     expires)
        account.granted += amount
        self.moved(account, "grant", before)

    def on_credits_adjusted(self, position, t, event, data):
        account, amount = self.account(self.owner(data)), credits(data["credits"])
        before = account.balance
        account.adjusted += amount
        if amount > 0:
            self.add_lot(account, position, event["id"], amount, "adjustment", 100, t, None)
        else:
            taken = sum(part for _, part in account.burn(-amount, t))
            account.overage += -amount - taken
        self.moved(account, "adjustment", before)

    def close_lot(self, id, how, most=None):
        """What is left, or `most` of it, is not any more: from then on the lot counts as over."""
        lot = self.lots[id]
        account, before = lot.account, lot.account.balance
        amount = lot.left if most is None else min(most, lot.left)
        if how == "expired":
            lot.expired += amount
            account.expired += amount
        else:
            lot.voided += amount
            account.voided += amount
        if lot.left and lot.left == amount:
            account.open.remove(lot)
        lot.left -= amount
        # A void by hand stands above an end.
        lot.closed = lot.closed if lot.closed == "voided" else how
        self.moved(account, {"expired": "expiry", "voided": "void"}[how], before)

    def on_credits_expired(self, position, t, event, data):
        self.close_lot(data["lot"], "expired")

    def on_credits_voided(self, position, t, event, data):
        self.close_lot(data["lot"], "voided")

    def on_credits_allocated(self, position, t, event, data):
        one = self.allocations.setdefault(data["org"], {}).setdefault(data["user"], Allocation())
        one.mode, one.limit, one.period = data["mode"], credits(data["credits"]), data["period"]

    def reserved(self, org, t, but=None):
        """What is set aside for users with a carve-out, `but` one."""
        return sum(one.left(t) for user, one in self.allocations.get(org, {}).items()
                   if one.mode == "carve_out" and user != but)

    def pool_room(self, org, user, t, owed=0):
        """What of the pool's usable lots a call may take."""
        usable = max(0, self.account(("org", org)).usable(t) - owed)
        own = self.allocations.get(org, {}).get(user) if user is not None else None
        if own is None:
            return max(0, usable - self.reserved(org, t))
        if own.limit == 0:
            return 0
        if own.mode == "cap":
            return max(0, min(own.left(t), usable - self.reserved(org, t)))
        mine = min(own.left(t), usable)
        return mine + max(0, usable - mine - self.reserved(org, t, user))

    # Calls

    def rate(self, call, t, counts_call, plan):
        """(charge in n$, unpriced)"""
        cost = number(call["cost_usd"]) if "cost_usd" in call else None
        if call.get("key_source", "platform") == "byok" or (call["status"] == "failure" and not used(call)):
            return 0, False
        box = self.prices.at(t)
        amount = box and box.list.charge(call, cost, plan.markup, counts_call)
        return (0, True) if amount is None else (half_even(amount), False)

    def pay(self, call, charge, t, assignment, plan):
        """Takes the charge. Gives (slices, draw, overage owner, overage, invoiced)."""
        org, user = call.get("org"), call.get("user")
        funding = assignment.funding if assignment else "org"
        pool, wallet = ("org", org) if org is not None else None, ("user", user) if user is not None else None
        if pool is None or (funding == "user" and wallet is not None):
            sources, debtor = [wallet], wallet
        elif funding == "org_then_user" and wallet is not None:
            sources, debtor = [pool, wallet], pool
        else:
            sources, debtor = [pool], pool
        before = {owner: self.account(owner).balance for owner in sources}
        slices, draw, rest = [], None, charge
        for owner in sources:
            account = self.account(owner)
            most = min(rest, self.pool_room(org, user, t)) if owner == pool else rest
            taken = account.burn(most, t)
            total = sum(part for _, part in taken)
            account.spent += total
            rest -= total
            slices += taken
            if owner == pool and total and user in self.allocations.get(org, {}):
                draw = (org, user, t, total)
                self.allocations[org][user].draw(t, total)
        account = self.account(debtor)
        account.spent += rest
        invoiced = rest if plan.policy == "invoice" and assignment.subscription else 0
        account.invoiced += invoiced
        account.overage += rest - invoiced
        for owner in sources:
            self.moved(self.account(owner), "charge", before[owner], invoiced if owner == debtor else 0)
        self.touched = tuple(self.account(owner) for owner in sources)
        return Box(slices=slices, draw=draw, debtor=debtor, overage=rest - invoiced, invoiced=invoiced)

    def on_llm_call(self, position, t, event, data):
        done = self.book(t, data, event["type"] == "llm.call")
        if self.keeps_calls:
            self.standing[(event["source"], event["id"])] = done

    on_llm_usage = on_llm_call

    def book(self, t, call, counts_call):
        """Rates, charges, counts and adds up one call."""
        assignment = self.governing(call, t)
        plan = self.plan(assignment, t)
        charge, unpriced = self.rate(call, t, counts_call, plan)
        payment = self.pay(call, charge, t, assignment, plan)
        usage = call.get("usage") or {}
        uses_quota = counts_call and (call["status"] == "success" or used(call))
        key_source = call.get("key_source", "platform")
        counted = []
        if counts_call:
            for owner in (("org", call.get("org")), ("user", call.get("user"))):
                if owner[1] is not None:
                    counted.append((owner, (t // DAY, call["status"], key_source, uses_quota)))
        cost = half_even(number(call["cost_usd"]) * USD) if "cost_usd" in call else 0
        kinds = [usage.get(name, 0) for name in (
            "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")]
        audio = half_even(number(usage.get("audio_seconds", 0)) * 1_000_000)
        row = [int(uses_quota), *kinds, usage.get("images", 0), audio, charge, cost, int(unpriced)]
        group = (t // DAY, call.get("org"), call.get("user"), call.get("service"), call["model"], call["provider"],
                 key_source)
        line = None
        if assignment and assignment.subscription is not None:
            line = (assignment.subscription, call["provider"], call["model"], call["operation"])
        done = Box(t=t, counts_call=counts_call, charge=charge, payment=payment, counted=counted, row=row,
                   group=group, line=line,
                   line_row=[int(uses_quota), *kinds, charge, payment.invoiced])
        self.add_up(done, 1)
        return done

    def add_up(self, done, sign):
        for owner, key in done.counted:
            counts = self.counts.setdefault(owner, {})
            counts[key] = counts.get(key, 0) + sign
        add(self.tokens, done.group, done.row, sign)
        if done.line:
            subscription, *rest = done.line
            start = done.t // SECOND // self.window_seconds * self.window_seconds
            add(self.open_lines, (subscription, start, self.window_seconds, *rest), done.line_row, sign)

    # Corrections

    def unwind(self, done):
        """Overage first, then back along the slices, the last one first; counts, tokens and draws at the call's day."""
        payment = done.payment
        accounts = {id(lot.account): lot.account for lot, _ in reversed(payment.slices)}
        debtor = self.account(payment.debtor)
        accounts[id(debtor)] = debtor
        before = {key: account.balance for key, account in accounts.items()}
        debtor.spent -= payment.overage + payment.invoiced
        debtor.overage -= payment.overage
        debtor.invoiced -= payment.invoiced
        for lot, part in reversed(payment.slices):
            lot.spent -= part
            lot.left += part
            lot.account.spent -= part
            lot.account.reopen(lot)
        if payment.draw:
            org, user, t, amount = payment.draw
            self.allocations[org][user].draw(t, -amount)
        self.add_up(done, -1)
        for key, account in accounts.items():
            back = -payment.invoiced if account is debtor else 0
            self.moved(account, "refund", before[key], back)
        self.touched = tuple(accounts.values())

    def close_again(self, t, done, again=None):
        """What a correction of time `t` gave back to lots that are over, and did not take again, goes at once."""
        net = {}
        for lot, part in reversed(done.payment.slices):
            net[lot.id] = net.get(lot.id, 0) + part
        for lot, part in again.payment.slices if again else ():
            if lot.id in net:
                net[lot.id] -= part
        for id, part in net.items():
            lot = self.lots[id]
            if part > 0 and (lot.closed or (lot.expires is not None and lot.expires <= t)):
                self.close_lot(id, lot.closed or "expired", part)

    def correct(self, position, data):
        """What stands of the call that a correction names."""
        done = self.standing.get((data["source"], data["id"]))
        if done is None:
            raise ValueError(f"position {position}: there is no such call, or it is voided: {data}")
        self.unwind(done)
        return done

    def on_llm_call_voided(self, position, t, event, data):
        done = self.correct(position, data)
        self.close_again(t, done)
        self.standing[(data["source"], data["id"])] = None

    def on_llm_call_amended(self, position, t, event, data):
        done = self.correct(position, data)
        again = self.book(done.t, data["call"], done.counts_call)
        self.standing[(data["source"], data["id"])] = again
        self.close_again(t, done, again)

    # Lago

    def on_lago_window_closed(self, position, t, event, data):
        through = instant(data["through"]) // SECOND
        sealed = {}
        for key in [key for key in self.open_lines if key[1] + key[2] <= through]:
            sealed[key] = self.open_lines.pop(key)
        self.sealed[position] = sealed
        self.window_seconds = int(data["window_seconds"])

    def on_lago_batch_delivered(self, position, t, event, data):
        pass

    on_lago_batch_failed = on_alert_defined = on_lago_batch_delivered

    # Answers

    def available(self, owner, now):
        account = self.account(owner)
        room = account.usable(now)
        if owner[0] == "org":
            room -= self.reserved(owner[1], now)
        return max(0, room - account.overage)

    def user_available(self, org, user, now):
        return self.pool_room(org, user, now, self.account(("org", org)).overage)

    def calls(self, owner, start, end, byok_counts):
        """{"used", "by_status", "by_key_source"} of whole days [start, end); the plan says whether byok counts."""
        by_status = dict.fromkeys(("success", "failure", "aborted"), 0)
        by_key_source = dict.fromkeys(("platform", "byok"), 0)
        used = 0
        for (day, status, key_source, uses_quota), calls in self.counts.get(owner, {}).items():
            if start <= day * DAY < end:
                by_status[status] += calls
                by_key_source[key_source] += calls if uses_quota else 0
                used += calls if uses_quota and (byok_counts or key_source == "platform") else 0
        return {"used": used, "by_status": by_status, "by_key_source": by_key_source}

    def token_rows(self, columns, org=None, start=None, end=None):
        """{group: {field: value}} with money in n$; `columns` of the API's names."""
        places = {"day": 0, "org": 1, "user": 2, "service": 3, "model": 4, "provider": 5, "key_source": 6}
        rows = {}
        for group, row in self.tokens.items():
            if (org is None or group[1] == org) and (start is None or start <= group[0] * DAY < end):
                add(rows, tuple(group[places[column]] for column in columns), row, 1)
        return {group: dict(zip(TOKEN_FIELDS, row)) for group, row in rows.items()}


def add(table, key, row, sign):
    into = table.get(key)
    if into is None:
        table[key] = [sign * value for value in row]
    else:
        for index, value in enumerate(row):
            into[index] += sign * value


def main():
    oracle = Oracle().read(sys.stdin)
    now = instant(sys.argv[sys.argv.index("--now") + 1]) if "--now" in sys.argv else NEVER_EXPIRES - 1
    for owner, account in sorted(oracle.accounts.items()):
        print(json.dumps({
            owner[0]: owner[1], "balance_credits": plain(account.balance, CREDIT),
            "available_credits": plain(oracle.available(owner, now), CREDIT) if "--now" in sys.argv else None,
            **{name + "_credits": plain(getattr(account, name), CREDIT) for name in (
                "granted", "adjusted", "spent", "expired", "voided", "overage", "invoiced")}}))


if __name__ == "__main__":
    main()
