"""What an exported log means, worked out a second time: from the contract, in another language, with exact decimals.

    tallystick-replay export --data DIR | python3 Tests/oracle/oracle.py [--now TIME]     # prints the accounts

Nothing here is taken from the Swift sources; README.md lists what was decided where the contract leaves a choice.
"""
import json
import sys

from accounts import Account, Allocation, Lot
from authorizations import Authorizations
from prices import PriceList, used
from values import CREDIT, DAY, NEVER, SECOND, USD, Box, Decimal, Timeline, credits, half_even, instant, number, plain

TOKEN_FIELDS = ("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
                "reasoning_tokens", "images", "audio_micros", "credits", "cost_usd", "unpriced_calls")
LINE_FIELDS = ("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
               "reasoning_tokens", "credits", "due")
DEFAULT_WINDOW_SECONDS = 3600
NO_PLAN = {"markup": Decimal(0), "policy": "allow", "limit": None, "byok_counts": True, "calls": []}


class Oracle(Authorizations):
    def __init__(self, keeps_calls=True):
        """`keeps_calls`: remember what each call did, for corrections."""
        super().__init__()
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
        self.unpriced = {}          # position: (org, reason) of what stands and was charged 0 for want of a price

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
                account.check(f"after {position}", t)
        for asked in self.asked.get(position, ()):
            asked.check(self)

    touched = ()

    def read(self, records):
        for record in records:
            self.take(record)
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
            limit=credits(data["overage"]["limit_credits"]) if "limit_credits" in data["overage"] else None,
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

    @staticmethod
    def overage_policy(assignment, plan):
        """An invoice needs a subscription to be sent to; without a plan nothing may be held beyond the credits."""
        if assignment is None:
            return "block"
        return "allow" if plan.policy == "invoice" and assignment.subscription is None else plan.policy

    def governing(self, call, t):
        own = self.assignment(("user", call["user"]), t) if "user" in call else None
        return own or (self.assignment(("org", call["org"]), t) if "org" in call else None)

    # Credits

    def add_lot(self, account, position, id, amount, category, priority, effective, expires):
        lot = Lot(id, account, position, amount, category, priority, effective, expires)
        assert id not in self.lots, f"position {position}: a second lot {id}"
        self.lots[id] = lot
        account.lots.append(lot)
        account.change(lot, amount)

    def moved(self, account, what, before, invoiced=0, settled=None):
        """Notes what became of the balance; what goes on an invoice is an amount that leaves the balance alone."""
        self.touched = (account,)
        amount = account.balance - before - invoiced
        if amount:
            account.movements.append((self.position, self.time, what, amount, invoiced, account.balance, settled))

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
        account.change(lot, -amount)
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
        """(charge in n$, why it has no price or None)"""
        cost = number(call["cost_usd"]) if "cost_usd" in call else None
        if call.get("key_source", "platform") == "byok" or (call["status"] == "failure" and not used(call)):
            return 0, None
        box = self.prices.at(t)
        amount = box.list.charge(call, cost, plan.markup, counts_call) if box else "no_list"
        return (0, amount) if isinstance(amount, str) else (half_even(amount), None)

    def pay(self, call, charge, t, assignment, plan, settled):
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
            self.moved(self.account(owner), "charge", before[owner], invoiced if owner == debtor else 0, settled)
        self.touched = tuple(self.account(owner) for owner in sources)
        return Box(slices=slices, draw=draw, debtor=debtor, overage=rest - invoiced, invoiced=invoiced)

    def on_llm_call(self, position, t, event, data):
        done = self.book(t, data, event["type"] == "llm.call", settles=True)
        if self.keeps_calls:
            self.standing[(event["source"], event["id"])] = done

    on_llm_usage = on_llm_call

    def book(self, t, call, counts_call, settles=False):
        """Rates, settles, charges, counts and adds up one call. A correction settles nothing."""
        assignment = self.governing(call, t)
        plan = self.plan(assignment, t)
        charge, unpriced = self.rate(call, t, counts_call, plan)
        settled = self.settle(call, charge) if settles else None
        payment = self.pay(call, charge, t, assignment, plan, settled)
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
        row = [int(uses_quota), *kinds, usage.get("images", 0), audio, charge, cost, int(unpriced is not None)]
        group = (t // DAY, call.get("org"), call.get("user"), call.get("service"), call["model"], call["provider"],
                 key_source)
        line = None
        if assignment and assignment.subscription is not None:
            line = (assignment.subscription, call["provider"], call["model"], call["operation"])
        if unpriced:
            self.unpriced[self.position] = (call.get("org"), unpriced)
        done = Box(t=t, position=self.position, counts_call=counts_call, charge=charge, payment=payment,
                   counted=counted, row=row,
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
        self.unpriced.pop(done.position, None)
        accounts = {id(lot.account): lot.account for lot, _ in reversed(payment.slices)}
        debtor = self.account(payment.debtor)
        accounts[id(debtor)] = debtor
        before = {key: account.balance for key, account in accounts.items()}
        debtor.spent -= payment.overage + payment.invoiced
        debtor.overage -= payment.overage
        debtor.invoiced -= payment.invoiced
        for lot, part in reversed(payment.slices):
            lot.spent -= part
            lot.account.spent -= part
            lot.account.change(lot, part)
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
        return max(0, self.free(owner, now) - (self.kept(owner[1], now) if owner[0] == "org" else 0))

    def user_available(self, org, user, now):
        """What he may draw of the pool: whatever his plan, as if it paid alone."""
        _, first, allocation, _ = self.pool(org, user, now)
        return min(max(0, first), allocation)

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


def records_of(lines):
    """Of an export: digits stay as they are written."""
    return (json.loads(line, parse_float=Decimal) for line in lines)


def main():
    oracle = Oracle().read(records_of(sys.stdin))
    now = instant(sys.argv[sys.argv.index("--now") + 1]) if "--now" in sys.argv else NEVER - 1
    for owner, account in sorted(oracle.accounts.items()):
        print(json.dumps({
            owner[0]: owner[1], "balance_credits": plain(account.balance, CREDIT),
            "available_credits": plain(oracle.available(owner, now), CREDIT) if "--now" in sys.argv else None,
            **{name + "_credits": plain(getattr(account, name), CREDIT) for name in (
                "granted", "adjusted", "spent", "expired", "voided", "overage", "invoiced")}}))


if __name__ == "__main__":
    main()
