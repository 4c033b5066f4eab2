"""The daemon's answers against an oracle that has read the same log."""

import urllib.parse

from oracle import TOKEN_FIELDS
from values import (
    CREDIT, DAY, USD, Decimal, credits, day_window, half_even, instant, midnight, month_window, number, plain, text_of,
    window)

GROUPINGS = ("day,org,model,provider,user,service,key_source", "org", "day", "user,key_source", "")
MOST_LINES = 1000
# Of one answer of /v1/tokens.
ROWS_MAX = 50_000


def quote(name):
    return urllib.parse.quote(name, safe="")


# Amounts by name of the member: how many decimals are kept. All others are texts, counts or yes and no.
RATE_DECIMALS = 12
RATES = {"cost_usd", "price_usd", "paid_usd", "markup", "any_token", "input", "output", "cache_read", "cache_write",
         "reasoning", "per_call", "per_image", "per_audio_second", "per_search", "reported_cost", "cache_hit"}
TIMES = {"time", "effective_at", "expires_at"}


def meaning(name, value):
    """A member's value without the way it was written."""
    if isinstance(value, dict):
        if name == "values":
            return {one: rounded(factor, RATE_DECIMALS) for one, factor in value.items()}
        return {one: meaning(one, member) for one, member in value.items()}
    if isinstance(value, list):
        return [meaning(name, one) for one in value]
    if isinstance(value, bool) or value is None:
        return value
    if name in TIMES:
        return instant(value)
    if name in ("credits", "limit_credits"):
        return credits(value)
    if name == "audio_seconds":
        return rounded(value, 6)
    if name in RATES:
        return rounded(value, RATE_DECIMALS)
    return int(value) if isinstance(value, Decimal) else value


def rounded(value, decimals):
    return half_even(number(value).scaleb(decimals))


def missing(stated, stored, path=""):
    """The first member of `stated` that `stored` does not say just so; None when all is there."""
    if isinstance(stated, dict) and isinstance(stored, dict):
        for name, value in stated.items():
            found = missing(value, stored.get(name), f"{path}.{name}")
            if found:
                return found
        return None
    if isinstance(stated, list) and isinstance(stored, list) and len(stated) == len(stored):
        return next(filter(None, (missing(*pair, f"{path}.{n}") for n, pair in enumerate(zip(stated, stored)))), None)
    # What is false may be left out.
    same = stated == stored or (stated is False and stored is None)
    return None if same else f"{path[1:]}: stated {stated}, stored {stored}"


class Comparison:
    """`ask(path, position, lines)` gives the position seen and the JSON, None when nothing is known; for `lines` instead
    of the JSON (many of them, the position to go on after)."""

    def __init__(self, oracle, ask, now):
        self.oracle, self.ask_daemon, self.now = oracle, ask, now
        self.differences, self.positions = [], set()

    def ask(self, path, lines=False):
        seen, answer = self.ask_daemon(path, self.oracle.position, lines)
        self.positions.add(seen)
        return answer

    def same(self, where, daemon, oracle):
        if daemon != oracle:
            self.differences.append(f"{where}: the daemon says {daemon!r}, the oracle {oracle!r}")

    def all(self):
        names = self.names()
        for owner in names:
            self.credits(owner)
            self.calls(owner)
            if owner[0] == "org":
                self.statement(owner)
                self.denials(owner[1])
        self.org_users()
        self.tokens()
        self.unpriced()
        self.lago()
        self.differences += self.oracle.disagreements

    def names(self):
        oracle = self.oracle
        known = set(oracle.accounts) | set(oracle.counts) | set(oracle.assignments)
        known |= {("org", org) for org in oracle.allocations}
        return sorted(known)

    # Credits

    def credits(self, owner):
        path = f"/v1/{owner[0]}s/{quote(owner[1])}/credits"
        answer = self.ask(path)
        self.account(path, answer, owner)
        if answer is None:
            return
        self.same(f"{path} held_credits", answer["held_credits"], plain(self.oracle.held_by(owner), CREDIT))
        self.same(f"{path} available_credits", answer["available_credits"],
                  plain(self.oracle.available(owner, self.now), CREDIT))
        if owner[0] == "org":
            expected = {user: self.allocation(user, one)
                        for user, one in self.oracle.allocations.get(owner[1], {}).items()}
            self.same(f"{path} allocations", {one["user"]: one for one in answer["allocations"]}, expected)

    def as_of(self, end):
        """Accounts and lots as they were where the oracle has come to in a log of `end` records. What is available is
        left out: that is a matter of the clock."""
        for owner in sorted(self.oracle.accounts):
            path = f"/v1/{owner[0]}s/{quote(owner[1])}/credits?as_of={self.oracle.position}"
            _, answer = self.ask_daemon(path, end, False)
            self.account(path, answer, owner)

    def account(self, path, answer, owner):
        account = self.oracle.account(owner)
        if answer is None:
            held = account.lots or account.spent or account.adjusted
            self.same(path, "404", "something" if held else "404")
            return
        for name in ("granted", "adjusted", "spent", "expired", "voided", "overage", "invoiced", "balance"):
            self.same(f"{path} {name}_credits", answer.get(name + "_credits"), plain(getattr(account, name), CREDIT))
        listed = {lot["lot"]: lot for lot in answer["lots"]}
        self.same(f"{path} lots", sorted(listed), sorted(lot.id for lot in account.lots))
        self.same(f"{path} lots are listed once", len(answer["lots"]), len(listed))
        for lot in account.lots:
            if lot.id in listed:
                self.same(f"{path} lot {lot.id}", listed[lot.id], {
                    "lot": lot.id, "category": lot.category, "priority": lot.priority,
                    "granted_credits": plain(lot.granted, CREDIT), "available_credits": plain(lot.left, CREDIT),
                    "spent_credits": plain(lot.spent, CREDIT), "expired_credits": plain(lot.expired, CREDIT),
                    "voided_credits": plain(lot.voided, CREDIT), "effective_at": text_of(lot.effective),
                    "expires_at": None if lot.expires is None else text_of(lot.expires), "position": lot.position})

    def allocation(self, user, one):
        drawn = one.drawn(self.now)
        return {"user": user, "mode": one.mode, "credits": plain(one.limit, CREDIT), "period": one.period,
                "drawn_credits": plain(drawn, CREDIT), "remaining_credits": plain(max(0, one.limit - drawn), CREDIT),
                "resets_at": None if one.period == "never" else text_of(window(one.period, self.now)[1])}

    def org_users(self):
        for org, users in sorted(self.oracle.allocations.items()):
            for user, one in sorted(users.items()):
                path = f"/v1/orgs/{quote(org)}/users/{quote(user)}/credits"
                answer = self.ask(path)
                if answer is None:
                    self.same(path, "404", "something")
                    continue
                self.same(f"{path} allocations", answer["allocations"], [self.allocation(user, one)])
                available = self.oracle.user_available(org, user, self.now)
                self.same(f"{path} available_credits", answer["available_credits"], plain(available, CREDIT))

    def statement(self, owner):
        path = f"/v1/orgs/{quote(owner[1])}/statement"
        answer = self.ask(f"{path}?limit={MOST_LINES}")
        account = self.oracle.accounts.get(owner)
        expected = [
            {"position": position, "time": text_of(t), "amount_credits": plain(amount, CREDIT),
             "balance_credits": plain(balance, CREDIT), "what": what, "invoiced_credits": plain(invoiced, CREDIT),
             "settled": settled and (settled[0], plain(settled[1], CREDIT), settled[2])}
            for position, t, what, amount, invoiced, balance, settled in reversed(
                account.movements if account else [])]
        daemon = [{
            **{name: line[name] for name in ("position", "time", "amount_credits", "balance_credits", "what")},
            "invoiced_credits": line.get("invoiced_credits", "0"),
            "settled": (line["authorization"], line["held_credits"], line["settlement"])
            if "authorization" in line else None} for line in answer["lines"]] if answer else []
        if answer and answer.get("next"):
            expected = expected[:len(daemon)]
        # The oldest that differs is the cause.
        for ours, theirs in zip(expected[::-1], daemon[::-1]):
            if ours != theirs:
                self.same(path, theirs, ours)
                break
        self.same(f"{path} lines", len(daemon), len(expected))

    def denials(self, org):
        """As they are in the log, each one found there by its org."""
        found, after = [], 0
        # An answer looks at so many records and no further: it may be short, or empty, before the end.
        while after < self.oracle.position:
            lines, reached = self.ask(f"/v1/orgs/{quote(org)}/denials?limit={MOST_LINES}&after={after}", lines=True)
            found += [(line["position"], line["event"]["data"]["id"]) for line in lines]
            if reached <= after:
                break
            after = reached
        ours = [(position, id) for (owner, id), position in self.oracle.decided_at.items()
                if owner == ("org", org) and self.oracle.decisions[position].refused]
        self.same(f"denials of {org}: how many", len(found), len(ours))
        # The first that differs is the cause.
        for theirs, own in zip(found, sorted(ours)):
            if theirs != own:
                self.same(f"denials of {org}", theirs, own)
                break

    def unpriced(self):
        found, after = {}, 0
        while after is not None:
            answer = self.ask(f"/v1/unpriced?limit={MOST_LINES}&after={after}")
            found.update((one["position"], (one["org"] if "org" in one else None, one["reason"]))
                         for one in answer["unpriced"])
            after = answer.get("next")
        ours = self.oracle.unpriced
        for position in sorted(set(found) | set(ours)):
            self.same(f"/v1/unpriced {position}", found.get(position), ours.get(position))

    # Calls

    def calls(self, owner):
        base = f"/v1/{owner[0]}s/{quote(owner[1])}/calls"
        days = sorted({key[0] for key in self.oracle.counts.get(owner, {})})
        months = {text_of(day * DAY)[:7] for day in days} | {"2024-12"}
        periods = sorted(months) + [text_of(day * DAY)[:10] for day in days[::7]] + [None]
        for period in periods:
            path = base + (f"?period={period}" if period else "")
            answer = self.ask(path)
            if answer is None:
                self.same(path, "404", "calls" if days else "404")
                continue
            self.calls_of(path, owner, period, answer)

    def calls_of(self, path, owner, period, answer):
        start, end = self.period(owner, period)
        self.same(f"{path} period", answer["period"], {"start": text_of(start), "end": text_of(end)})
        start, end = instant(answer["period"]["start"]), instant(answer["period"]["end"])
        at = self.last_moment(start, end)
        assignment = self.oracle.assignment(owner, at)
        byok_counts = self.oracle.plan(assignment, at).byok_counts
        expected = self.oracle.calls(owner, start, end, byok_counts)
        for name in ("used", "by_status", "by_key_source"):
            self.same(f"{path} {name}", answer[name], expected[name])
        self.same(f"{path} plan", answer["plan"], assignment.plan if assignment else None)
        limits = []
        for limit in self.oracle.plan(assignment, at).calls if assignment else []:
            a, b = {"day": day_window(at), "month": month_window(at, assignment.anchor),
                    "ever": (-(1 << 62), 1 << 62)}[limit["per"]]
            used = self.oracle.calls(owner, a, b, byok_counts)["used"]
            limits.append({**limit, "used": used, "remaining": max(0, limit["limit"] - used),
                           "resets_at": None if limit["per"] == "ever" else text_of(b)})
        self.same(f"{path} limits", answer["limits"], limits)

    def last_moment(self, start, end):
        """The moment of a period whose plan and day the answer tells: now, or the one that is nearest to it."""
        return min(max(self.now, start), end - 1)

    def period(self, owner, period):
        """[start, end) of what was asked for; a month starts on the anchor day of the plan at its end."""
        if period is not None and len(period) == 10:
            return day_window(instant(period + "T00:00:00Z"))
        if period is None:
            assignment = self.oracle.assignment(owner, self.now)
            return month_window(self.now, assignment.anchor if assignment else 1)
        year, month = int(period[:4]), int(period[5:])
        first = midnight(year, month, 1)
        last = month_window(first)[1] - 1
        assignment = self.oracle.assignment(owner, last)
        anchor = assignment.anchor if assignment else 1
        return month_window(midnight(year, month, anchor), anchor)

    # Tokens

    def tokens(self):
        for org in [None, *sorted(name for kind, name in self.names() if kind == "org")]:
            for columns in GROUPINGS if org is None else GROUPINGS[:1]:
                self.tokens_of(org, columns)
        self.tokens_of(None, "model", ("2025-02-03", "2025-03-01"))

    def tokens_of(self, org, columns, span=None):
        """`span`: days of the calendar, the last one not among them. More rows than one answer holds are asked for by
        parts of the time."""
        names = columns.split(",") if columns else []
        start, end = ([instant(day + "T00:00:00Z") for day in span] if span else (None, None))
        expected = self.oracle.token_rows(names, org, start, end)
        days = sorted({group[0] for group in self.oracle.tokens if not span or start <= group[0] * DAY < end})
        if len(expected) <= ROWS_MAX or len(days) < 2:
            self.tokens_expected(org, columns, span, expected)
            return
        middle = days[len(days) // 2]
        for part in ((days[0], middle), (middle, days[-1] + 1)):
            self.tokens_of(org, columns, tuple(text_of(day * DAY)[:10] for day in part))

    def tokens_expected(self, org, columns, span, expected):
        path = "/v1/tokens" if org is None else f"/v1/orgs/{quote(org)}/tokens"
        path += f"?group_by={columns}" if columns else "?"
        if span:
            path += f"&from={span[0]}&to={span[1]}"
        names = columns.split(",") if columns else []
        answer = self.ask(path)
        if answer is None:
            self.same(path, "404", "rows" if expected else "404")
            return
        found = {}
        for row in answer["rows"]:
            group = tuple(instant(row[name] + "T00:00:00Z") // DAY if name == "day" else row[name] for name in names)
            self.same(f"{path} {group} once", group in found, False)
            found[group] = self.totals(row)
        nothing = dict.fromkeys(found[next(iter(found))] if found else (), 0)
        for group in sorted(set(found) | set(expected), key=repr) if names else ():
            ours = self.written(expected[group]) if group in expected else None
            if ours is None or group not in found:
                # A group in which nothing was used may be left out.
                empty = not any(expected[group].values()) if group in expected else found[group] == nothing
                if empty:
                    continue
            self.same(f"{path} {group}", found.get(group), ours)
        sums = {name: sum(row[name] for row in expected.values()) for name in TOKEN_FIELDS}
        self.same(f"{path} totals", self.totals(answer["totals"]), self.written(sums))

    @staticmethod
    def totals(row):
        return {name: row[name] for name in (
            "calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
            "images", "audio_seconds", "credits", "cost_usd", "unpriced_calls")}

    @staticmethod
    def written(row):
        row = dict(row)
        row["audio_seconds"] = plain(row.pop("audio_micros"), 1_000_000)
        row["credits"], row["cost_usd"] = plain(row["credits"], CREDIT), plain(row["cost_usd"], USD)
        return row

    # Lago

    def lago(self):
        found, after = {}, ""
        while True:
            answer = self.ask(f"/v1/lago/batches?limit=1000{after}")
            for batch in answer["batches"]:
                self.batch(batch, found)
            if not answer.get("next"):
                break
            after = f"&after={quote(str(answer['next']))}"
        expected = {}
        for position, lines in self.oracle.sealed.items():
            for (subscription, start, seconds, *rest), row in lines.items():
                expected[(position, subscription, start * 1_000_000, (start + seconds) * 1_000_000, *rest)] = {
                    **dict(zip(("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
                                "reasoning_tokens"), row)),
                    "credits": plain(row[6], CREDIT), "due_usd": plain(row[7], USD)}
        for key in sorted(set(found) | set(expected), key=repr):
            # A line in which nothing was used or due (of images, say, or unwound) may be there or not.
            nothing = {name: 0 if isinstance(value, int) else "0" for name, value in (
                found.get(key) or expected[key]).items()}
            self.same(f"lago line {key}", found.get(key, nothing), expected.get(key, nothing))

    def batch(self, batch, found):
        full = self.ask(f"/v1/lago/batches/{quote(batch['id'])}")
        position = int(batch["id"].split("-")[1])
        start, end = instant(batch["window"]["start"]), instant(batch["window"]["end"])
        self.same(f"lago batch {batch['id']} lines", len(full["content"]), batch["lines"])
        for line in full["content"]:
            key = (position, line["external_subscription_id"], start, end, line["provider"], line["model"],
                   line["operation"])
            self.same(f"lago line {key} once", key in found, False)
            found[key] = {name: line[name] for name in (
                "calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
                "reasoning_tokens", "credits")}
            # Below zero it has a name of its own.
            back = line.get("credit_due_usd", "0")
            found[key]["due_usd"] = line.get("due_usd", "0") if back == "0" else "-" + back
