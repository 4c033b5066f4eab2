

# Money

def plain(value, unit=CREDIT):
    """n$ as a decimal string, without an exponent or zeros at the end."""
    sign, (whole, rest) = "-" if value < 0 else "", divmod(abs(value), unit)
    tail = str(rest).zfill(len(str(unit)) - 1).rstrip("0")
    return f"{sign}{whole}{'.' + tail if tail else ''}"


def moment(micros):
    return EPOCH + datetime.timedelta(microseconds=micros)


def text(micros):
    at = moment(micros)
    return at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{at.microsecond:06d}".rstrip("0") if at.microsecond else "") + "Z"


def micros(string):
    head, _, tail = string.rstrip("Z").partition(".")
    return (datetime.datetime.fromisoformat(head + "+00:00") - EPOCH) // datetime.timedelta(
        seconds=1) * SECOND + int((tail + "000000")[:6])


def bounds(period, t):
    """[start, end) of an allocation's period: UTC days, weeks from Monday, calendar months."""
    day = t // DAY
    if period == "day":
        return day * DAY, (day + 1) * DAY
    if period == "week":
        start = (day + 3) // 7 * 7 - 3                  # 1970-01-01 was a Thursday
        return start * DAY, (start + 7) * DAY
    if period == "month":
        first = moment(t).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        after = (first + datetime.timedelta(days=32)).replace(day=1)
        return tuple((one - EPOCH) // datetime.timedelta(microseconds=1) for one in (first, after))
    return -FOREVER, FOREVER


def matches(pattern, name):
    """`*` stands for any run of bytes."""
    first, *rest = pattern.encode().split(b"*")
    name = name.encode()
    if not rest:
        return first == name
    if not name.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(name) - at >= len(rest[-1]) and name.endswith(rest[-1])


def used(call):
    return any(call.get("usage", {}).values())


def price(rule, call, counts_call):
    """In the list's unit (dollars for reported_cost), or None where the call does not say what is needed."""
    if "reported_cost" in rule:
        return rule["reported_cost"] * call["cost_usd"] if "cost_usd" in call else None
    usage, units = call.get("usage", {}), {"per_image": "images", "per_audio_second": "audio_seconds",
                                           "per_search": "searches"}
    rates = None
    if "any_token" in rule:
        rates = [rule["any_token"]] * 5
    elif any(kind in rule for kind in ("input", "output", "cache_read", "cache_write", "reasoning")):
        into, out = rule.get("input", 0), rule.get("output", 0)
        rates = [into, out, rule.get("cache_read", into), rule.get("cache_write", into), rule.get("reasoning", out)]
    asked = [unit for name, unit in units.items() if rule.get(name)]
    asked += ["input_tokens", "output_tokens"] if rates and any(rates) else []
    if asked and not any(name in usage for name in asked):
        return None
    total = Fraction(0)
    if rates:
        into, out, read, write, reasoning = (usage.get(name, 0) for name in USAGE[:5])
        counts = into - read - write, out - reasoning, read, write, reasoning
        total += sum(Fraction(rate) * count for rate, count in zip(rates, counts)) / rule["per"]
    total += sum(rule.get(name, 0) * Fraction(usage.get(unit, 0)) for name, unit in units.items())
    return total + (rule.get("per_call", 0) if counts_call else 0)


class Timeline:
    """What holds from a time on: of those of one time, the one that was stated last."""

    def __init__(self):
        self.rows = []

    def add(self, effective, position, value):
        bisect.insort(self.rows, (effective, position, value), key=lambda row: row[:2])

    def at(self, t, or_first=False):
        index = bisect.bisect_right(self.rows, t, key=lambda row: row[0])
        return self.rows[index - 1][2] if index else self.rows[0][2] if or_first and self.rows else None


class Lot:
    BURN = {"promo": 0, "plan": 1, "refund": 2, "adjustment": 3, "paid": 4}

    def __init__(self, id, account, amount, category, priority, effective, expires):
        self.id, self.account, self.left, self.closed = id, account, amount, None
        self.effective, self.expires = effective, expires
        self.order = priority, FOREVER if expires is None else expires, Lot.BURN[category], effective, id.encode()

    def usable(self, t):
        return self.left if self.effective <= t and (self.expires is None or t < self.expires) else 0


class Account:
    def __init__(self, outside=False):
        self.outside, self.balance, self.open = outside, 0, []

    def usable(self, t):
        return sum(lot.usable(t) for lot in self.open)

    def put(self, lot):
        if lot.left and lot not in self.open:
            bisect.insort(self.open, lot, key=lambda one: one.order)

    def burn(self, amount, t):
        slices = []
        for lot in self.open:
            part = min(lot.usable(t), amount)
            if part:
                lot.left, amount = lot.left - part, amount - part
                slices.append((lot, part))
        self.open = [lot for lot in self.open if lot.left]
        return slices


class Allocation:
    mode, limit, period = None, 0, "never"

    def __init__(self):
        self.draws = {}

    def left(self, t):
        start, end = bounds(self.period, t)
        return max(0, self.limit - sum(part for day, part in self.draws.items() if start <= day * DAY < end))


class Box:
    def __init__(self, **members):
        self.__dict__.update(members)


class Books:
    """All records folded, in order, by the rules of the contract: exact fractions, each charge rounded once."""

    def __init__(self, org, start, end, claims):
        self.org, self.start, self.end = org, start, end
        self.wallets = {one["position"]: one["nanos"] for one in claims["wallets"]}
        self.outside = set(claims["shared_users"])
        self.accounts, self.lots, self.allocations, self.plans, self.assignments = {}, {}, {}, {}, {}
        self.prices, self.versions, self.standing = Timeline(), {}, {}
        self.window, self.open, self.sealed, self.subscriptions = 3600, {}, {}, set()
        self.charges, self.movements, self.totals = [], [], dict.fromkeys(
            ("calls", *USAGE[:5], "charged_credits", "unpriced_calls"), 0)

    def account(self, owner):
        if owner not in self.accounts:
            self.accounts[owner] = Account(owner[0] == "user" and owner[1] in self.outside)
        return self.accounts[owner]

    def take(self, record):
        self.position, self.time = record["position"], record["time"]
        kind = record["type"].replace(".", "_")
        if not kind.startswith(("authorization", "alert")):
            getattr(self, kind)(record, record["data"])

    def moved(self, account, what, amount, invoiced=0):
        """An amount that goes on an invoice leaves the balance alone."""
        account.balance += amount + invoiced
        if amount and account is self.accounts.get(("org", self.org)):
            self.movements.append((self.time, self.position, what, amount, invoiced))

    # Plans, prices, credits

    def plan_defined(self, record, d):
        self.plans.setdefault(d["plan"], Timeline()).add(self.time, self.position, d)

    def plan_assigned(self, record, d):
        self.assignments.setdefault(d["owner"], Timeline()).add(d.get("effective_at", self.time), self.position, d)
        if d["owner"] == ("org", self.org) and "subscription" in d:
            self.subscriptions.add(d["subscription"])

    def prices_published(self, record, d):
        self.prices.add(d.get("effective_at", self.time), self.position, dict(d, position=self.position))

    def credits_granted(self, record, d):
        account = self.account(d["owner"])
        self.lots[record["id"]] = lot = Lot(record["id"], account, d["credits"], d["category"], d["priority"],
                                            d.get("effective_at", self.time), d.get("expires_at"))
        account.put(lot)
        self.moved(account, "grant", d["credits"])

    def credits_adjusted(self, record, d):
        account, amount = self.account(d["owner"]), d["credits"]
        if amount > 0:
            self.lots[record["id"]] = lot = Lot(record["id"], account, amount, "adjustment", 100, self.time, None)
            account.put(lot)
        else:
            account.burn(-amount, self.time)
        self.moved(account, "adjustment", amount)

    def close(self, lot, how, most=None):
        amount = lot.left if most is None else min(most, lot.left)
        lot.left -= amount
        lot.account.open = [one for one in lot.account.open if one.left]
        lot.closed = lot.closed if lot.closed == "void" else how
        self.moved(lot.account, how, -amount)

    def credits_expired(self, record, d):
        self.close(self.lots[d["lot"]], "expiry")

    def credits_voided(self, record, d):
        self.close(self.lots[d["lot"]], "void")

    def credits_allocated(self, record, d):
        one = self.allocations.setdefault(d["user"], Allocation())
        one.mode, one.limit, one.period = d["mode"], d["credits"], d["period"]

    def room(self, user, t):
        """What of the pool's lots a call of this user may take."""
        usable, own = self.account(("org", self.org)).usable(t), self.allocations.get(user)
        def reserved(but):
            return sum(one.left(t) for name, one in self.allocations.items()
                       if one.mode == "carve_out" and name != but)
        if own and own.limit == 0:
            return 0
        if own is None or own.mode == "cap":
            most = max(0, usable - reserved(None))
            return most if own is None else min(own.left(t), most)
        mine = min(own.left(t), usable)
        return mine + max(0, usable - mine - reserved(user))

    # Calls

    def rate(self, call, t, counts_call, plan):
        """(n$, unpriced, price list and rule)"""
        if call["key_source"] == "byok" or call["status"] == "failure" and not used(call):
            return 0, False, None
        prices = self.prices.at(t)
        for index, rule in enumerate(prices["rules"] if prices else ()):
            if (matches(rule.get("provider", "*"), call["provider"]) and matches(rule.get("model", "*"), call["model"])
                    and rule.get("operation", call["operation"]) == call["operation"]
                    and call.get("usage", {}).get("input_tokens", -1) > rule.get("above_input_tokens", -2)):
                amount = price(rule, call, counts_call)
                if amount is None:
                    break
                amount *= USD if "reported_cost" in rule or prices["unit"] == "usd" else CREDIT
                for name, values in prices["multipliers"]:
                    if name in call["attributes"] and not name.startswith("client."):
                        amount *= values.get(call["attributes"][name], 1)
                amount *= (1 + plan["markup"]) * (prices["cache_hit"] if call["cache_hit"] else 1)
                return round(amount), False, [prices["position"], index]    # half to even, once
        return 0, True, None

    def book(self, call, t, counts_call):
        assigned = None
        for kind in ("user", "org"):
            timeline = self.assignments.get((kind, call.get(kind)))
            assigned = assigned or timeline and timeline.at(t)
        timeline = assigned and self.plans.get(assigned["plan"])
        plan = timeline and timeline.at(t, or_first=True) or {"markup": 0, "overage": "allow"}
        subscription = assigned.get("subscription") if assigned else None
        charge, unpriced, by = self.rate(call, t, counts_call, plan)
        done = Box(call=call, t=t, counts_call=counts_call, subscription=subscription, charge=charge,
                   unpriced=unpriced, parts=[], draw=0, position=self.position)
        funding = assigned["funding"] if assigned else "org"
        user = call.get("user")
        wallet = [("user", user)] if user is not None else []
        if "org" not in call or funding == "user" and wallet:
            sources = wallet
        else:
            sources = [("org", call["org"])] + (wallet if funding == "org_then_user" else [])
        rest = charge
        for owner in sources:
            account = self.account(owner)
            if account.outside:
                taken = min(rest, self.wallets.get(self.position, 0))
                slices = [(Lot("", account, 0, "paid", 0, 0, None), taken)] if taken else []
            else:
                slices = account.burn(min(rest, self.room(user, t)) if owner[0] == "org" else rest, t)
                taken = sum(part for _, part in slices)
            rest -= taken
            done.parts.append(Box(owner=owner, account=account, slices=slices, taken=taken, overage=0, invoiced=0))
            if owner[0] == "org" and taken and user in self.allocations:
                draws, done.draw = self.allocations[user].draws, taken
                draws[t // DAY] = draws.get(t // DAY, 0) + taken
        done.parts[0].overage = rest
        done.parts[0].invoiced = rest if plan["overage"] == "invoice" and subscription else 0
        for part in done.parts:
            self.moved(part.account, "charge", -part.taken - part.overage, part.invoiced)
        self.add(done, 1)
        self.versions[self.position] = done
        if call.get("org") == self.org and self.start <= t < self.end:
            self.charges.append({
                "position": self.position, "credits": plain(charge), "unpriced": unpriced,
                "price": by if charge else None, "parts": [self.part(part) for part in done.parts
                                                           if part.taken + part.overage]})
        return done

    @staticmethod
    def part(part):
        told = {"owner": part.owner[0]}
        if part.account.outside:
            told["outside_credits"] = plain(part.taken)
        else:
            told["slices"] = [[lot.id, plain(amount)] for lot, amount in part.slices]
        return dict(told, overage_credits=plain(part.overage), invoiced_credits=plain(part.invoiced))

    def add(self, done, sign):
        """To the period's totals and to the open line of the call's window."""
        call, uses = done.call, done.counts_call and (done.call["status"] == "success" or used(done.call))
        usage = call.get("usage", {})
        if call.get("org") != self.org:
            return
        counts = {"calls": int(uses), **{name: usage.get(name, 0) for name in USAGE[:6]},
                  "characters": usage.get("characters", 0), "searches": usage.get("searches", 0),
                  "audio": int(Fraction(usage.get("audio_seconds", 0)) * 1_000_000), "charge": done.charge,
                  "invoiced": sum(part.invoiced for part in done.parts)}
        if self.start <= done.t < self.end:
            for name, amount in (*((name, counts[name]) for name in ("calls", *USAGE[:5])),
                                 ("charged_credits", done.charge), ("unpriced_calls", int(done.unpriced))):
                self.totals[name] += sign * amount
        if done.subscription not in self.subscriptions or not (done.charge or used(call) or uses):
            return
        start = done.t // SECOND // self.window * self.window
        key = start, self.window, done.subscription, call["provider"], call["model"], call["operation"]
        line = self.open.setdefault(key, Box(sums=dict.fromkeys(counts, 0), records=[]))
        for name, amount in counts.items():
            line.sums[name] += sign * amount
        line.records.append([self.position, sign])
        if sign < 0 and not any(line.sums.values()):
            del self.open[key]

    def llm_call(self, record, d):
        self.book(d, self.time, record["type"] == "llm.call")

    llm_usage = llm_call

    def unwind(self, standing, call=None):
        """Overage first, then back along the slices; `call`: what is charged instead, at the call's own time."""
        old, t = self.versions.pop(standing["position"], None), self.time
        if old is None:
            raise Difference(f"record {self.position} corrects record {standing['position']}, which is not there")
        told = [{"owner": part.owner[0], "slices": [[lot.id, amount] for lot, amount in part.slices],
                 "overage": part.overage, "invoiced": part.invoiced} for part in old.parts if part.taken + part.overage]
        if "parts" in standing and not any(part.account.outside for part in old.parts):
            expect(standing["parts"], told, f"record {self.position}: what it unwinds")
        for part in reversed(old.parts):
            for lot, amount in reversed(part.slices):
                lot.left += amount
                part.account.put(lot)
            self.moved(part.account, "refund", part.taken + part.overage, -part.invoiced)
        if old.draw:
            self.allocations[old.call["user"]].draws[old.t // DAY] -= old.draw
        self.add(old, -1)
        new = self.book(call, old.t, old.counts_call) if call is not None else None
        net = {}
        for sign, done in ((1, old), (-1, new)):
            for part in reversed(done.parts if done else ()):
                for lot, amount in reversed(part.slices):
                    if not part.account.outside and (sign > 0 or lot in net):
                        net[lot] = net.get(lot, 0) + sign * amount
        for lot, amount in net.items():
            if amount > 0 and (lot.closed or lot.expires is not None and lot.expires <= t):
                self.close(lot, lot.closed or "expiry", amount)

    def llm_call_voided(self, record, d):
        self.unwind(record["standing"])

    def llm_call_amended(self, record, d):
        self.unwind(record["standing"], d["call"])

    def withheld(self, one):
        """An amendment that makes a call another's, or another's call this org's: the record names both."""
        self.position, self.time = one["position"], micros(one["time"])
        if "unwinds" in one:
            self.unwind({"position": one["unwinds"]})
        if "joins" in one:
            call = one["joins"]["event"]["data"]
            call = {"cache_hit": False, "attributes": {}, **call, "usage": dict(call.get("usage", {}))}
            for place, name in ((call, "cost_usd"), (call["usage"], "audio_seconds")):
                if name in place:
                    place[name] = Fraction(str(place[name]))
            self.book(call, micros(one["joins"]["time"]), one["joins"]["counts_call"])

    # Lines and statement

    def lago_window_closed(self, record, d):
        self.window = d["window_seconds"]
        for key in [key for key in self.open if (key[0] + key[1]) * SECOND <= d["through"]]:
            self.sealed[self.position, key] = self.open.pop(key)

    def lines(self):
        found = {}
        for (sealed, key), line in [*self.sealed.items(), *(((None, key), line) for key, line in self.open.items())]:
            if self.start <= key[0] * SECOND < self.end:
                names = dict(zip(("subscription", "provider", "model", "operation"), key[2:]))
                sums = dict(line.sums)
                audio, charge, invoiced = sums.pop("audio"), sums.pop("charge"), sums.pop("invoiced")
                found[sealed, key] = dict(
                    names, sealed_at=sealed, window_start=key[0], window_seconds=key[1], **sums,
                    audio_seconds=plain(audio, SECOND), credits=plain(charge),
                    precise_total_amount_cents=plain(invoiced, 10_000_000), records=line.records)
        return found

    def statement(self):
        rows = sorted(self.movements, key=lambda row: row[:2])
        balance = opening = sum(row[3] + row[4] for row in rows if row[0] < self.start)
        lines = []
        for t, position, what, amount, invoiced in rows:
            if self.start <= t < self.end:
                balance += amount + invoiced
                lines.append({"position": position, "time": text(t), "what": what, "amount_credits": plain(amount),
                              "invoiced_credits": plain(invoiced), "balance_credits": plain(balance)})
        totals = dict(self.totals, charged_credits=plain(self.totals["charged_credits"]))
        return {"opening_credits": plain(opening), "closing_credits": plain(balance), "totals": totals, "lines": lines}
