"""Whether a call may run, and what is set aside for it (contract 5; RULES.md, Authorizations)."""
from accounts import Hold
from values import CREDIT, Box, credits, day_window, instant, month_window, plain, text_of

UNLIMITED = 1 << 70


class Authorizations:
    """A part of the oracle. Every grant and denial in the log is decided again from what was in it before."""

    def __init__(self):
        self.holds = {}             # (owner, id): Hold
        self.held = {}              # owner: n$
        self.held_of = {}           # (org, user): n$ held on the org's pool against his allocation
        self.running = {}           # owner: {key source: holds}
        self.decisions = {}         # position: what was decided there
        self.decided_at = {}        # (owner, id): that position
        self.released = {}          # (owner, id): position of the release
        self.asked = {}             # position: what was asked when the log ended there
        self.asks = {}              # (owner, id): the body of the first question with hold, where it is known
        self.disagreements = []     # what the log says that does not follow from it

    # What there is

    def held_by(self, owner):
        return self.held.get(owner, 0)

    def call_limits(self, ask, t):
        """Where every limit of the org's plan, then of the user's, stands before this call."""
        for owner in owners_of(ask):
            assignment = self.assignment(owner, t)
            plan = self.plan(assignment, t)
            if assignment is None or (ask["key_source"] == "byok" and not plan.byok_counts):
                continue
            for limit in plan.calls:
                start, end = {"day": day_window(t), "month": month_window(t, assignment.anchor),
                              "ever": (-(1 << 62), 1 << 62)}[limit["per"]]
                used = self.calls(owner, start, end, plan.byok_counts)["used"]
                running = self.running.get(owner, {})
                running = running.get("platform", 0) + (running.get("byok", 0) if plan.byok_counts else 0)
                yield owner, {
                    **limit, "used": used, "running": running, "remaining": max(0, limit["limit"] - used - running),
                    "resets_at": None if limit["per"] == "ever" else text_of(end)}

    def room(self, ask, t):
        """(who pays first, free there, what his allocation leaves the user, free in the wallet behind)"""
        org, user = ask.get("org"), ask.get("user")
        assignment = self.governing(ask, t)
        funding = assignment.funding if assignment else "org"
        if org is None or (user is not None and funding == "user"):
            return ("user", user), self.free(("user", user), t), UNLIMITED, 0
        wallet = max(0, self.free(("user", user), t)) if funding == "org_then_user" and user is not None else 0
        return self.pool(org, user, t, wallet)

    def pool(self, org, user, t, wallet=0):
        """The same of an org's pool, by his allocation."""
        pool = ("org", org)
        whole = self.free(pool, t)
        own = self.allocations.get(org, {}).get(user) if user is not None else None
        if own is None:
            return pool, whole - self.kept(org, t), UNLIMITED, wallet
        if own.limit == 0:
            return pool, whole - self.kept(org, t), 0, wallet
        mine = max(0, own.left(t) - self.held_of.get((org, user), 0))
        if own.mode == "cap":
            return pool, whole - self.kept(org, t), mine, wallet
        return pool, max(whole - self.kept(org, t, user), min(mine, whole)), UNLIMITED, wallet

    def free(self, owner, t):
        account = self.accounts.get(owner)
        return account.usable(t) - account.overage - self.held_by(owner) if account else 0

    def kept(self, org, t, but=None):
        """What carve-outs keep from others, `but` one's: not what is held of them already."""
        return sum(max(0, one.left(t) - self.held_of.get((org, user), 0))
                   for user, one in self.allocations.get(org, {}).items() if one.mode == "carve_out" and user != but)

    # Deciding

    def requested(self, body, t):
        """What a question comes to: what it says, else what a call of so many tokens would be charged now."""
        if body["key_source"] == "byok":
            return 0
        if body.get("credits") is not None:
            return credits(body["credits"])
        call = {**body, "status": "success", "usage": {
            name: body[asked] for name, asked in (("input_tokens", "input_tokens"), (
                "output_tokens", "max_output_tokens")) if body.get(asked) is not None}}
        return self.rate(call, t, True, self.plan(self.governing(call, t), t))[0]

    def decide(self, ask, requested, t):
        assignment = self.governing(ask, t)
        plan = self.plan(assignment, t)
        payer, first, allocation, wallet = self.room(ask, t)
        covered = min(max(0, first), allocation)
        policy = self.overage_policy(assignment, plan)
        if policy == "allow" and plan.limit is not None:
            overage = max(0, first + plan.limit) - max(0, first)
        else:
            overage = 0
        most = covered + wallet + min(overage, allocation - covered)
        unlimited = policy == "invoice" or (policy == "allow" and plan.limit is None)
        limits = list(self.call_limits(ask, t))
        refused = None
        for owner, limit in limits:
            if limit["enforce"] == "hard" and not limit["remaining"]:
                calls = {name: limit[name] for name in ("per", "limit", "used", "running", "resets_at")}
                if calls["resets_at"] is None:
                    del calls["resets_at"]
                refused = Box(rule="calls_exhausted", owner=owner, calls=calls)
                break
        if refused is None and requested:
            if requested - wallet > allocation:
                refused = Box(rule="allocation_exhausted", owner=payer, calls=None)
            elif requested > most and not unlimited:
                refused = Box(rule="credits_exhausted", owner=payer, calls=None)
        return Box(time=t, requested=requested, available=most, limits=limits, refused=refused)

    # The events

    def on_authorization_granted(self, position, t, event, data):
        held = credits(data["held_credits"])
        decision = self.decided(position, t, data, held)
        if decision.refused:
            self.disagree(position, "granted", f"{decision.refused.rule} of {data}")
        self.hold(position, t, data, held)

    def on_authorization_denied(self, position, t, event, data):
        decision = self.decided(position, t, data, credits(data["requested_credits"]))
        refused = decision.refused
        says = {name: data.get(name) for name in ("rule", "owner", "available_credits", "calls")}
        ours = refused and {"rule": refused.rule, "owner": dict([refused.owner]),
                            "available_credits": plain(decision.available, CREDIT), "calls": refused.calls}
        if says != ours:
            self.disagree(position, says, ours)

    def decided(self, position, t, data, requested):
        body = self.asks.get(key_of(data, data["id"]))
        if body is not None and self.requested(body, t) != requested:
            self.disagree(position, plain(requested, CREDIT), plain(self.requested(body, t), CREDIT))
        self.decided_at[key_of(data, data["id"])] = position
        decision = self.decisions[position] = self.decide(data, requested, t)
        return decision

    def disagree(self, position, log, ours):
        self.disagreements.append(f"authorization at {position}: the log says {log}, the oracle {ours}")

    def hold(self, position, t, subject, amount):
        payer, first, allocation, wallet = self.room(subject, t)
        covered = min(amount, max(0, first), allocation)
        behind = min(amount - covered, wallet)
        org, user = subject.get("org"), subject.get("user")
        counts_against = (org, user) if payer == ("org", org) and user in self.allocations.get(org, {}) else None
        parts = [(payer, amount - behind)] + ([(("user", user), behind)] if behind else [])
        key = key_of(subject, subject["id"])
        assert key not in self.holds, f"position {position}: {key} is running"
        hold = self.holds[key] = Hold(
            position, subject, amount - behind, behind, parts, counts_against, instant(subject["expires_at"]))
        self.move(hold, 1)

    def move(self, hold, sign):
        for owner, amount in hold.parts:
            if amount:
                self.account(owner)
                self.held[owner] = self.held_by(owner) + sign * amount
        if hold.counts_against:
            self.held_of[hold.counts_against] = (
                self.held_of.get(hold.counts_against, 0) + sign * hold.first)
        for owner in owners_of(hold.subject):
            running = self.running.setdefault(owner, {})
            source = hold.subject["key_source"]
            running[source] = running.get(source, 0) + sign

    def end(self, key):
        hold = self.holds.pop(key, None)
        if hold:
            self.move(hold, -1)
        return hold

    def on_authorization_released(self, position, t, event, data):
        self.released[key_of(data, data["id"])] = position
        hold = self.end(key_of(data, data["id"]))
        if hold is None or hold.amount != credits(data["credits"]):
            self.disagree(position, data, hold and plain(hold.amount, CREDIT))

    def on_authorization_expired(self, position, t, event, data):
        hold = self.end(key_of(data, data["id"]))
        if hold is None or hold.amount != credits(data["credits"]) or hold.ends != t:
            self.disagree(position, data, hold and (plain(hold.amount, CREDIT), text_of(hold.ends)))

    def settle(self, call, charge):
        """(id, what was held, covered, exceeded or late) of a call that names an authorization."""
        if "authorization" not in call:
            return None
        hold = self.end(key_of(call, call["authorization"]))
        if hold is None:
            return call["authorization"], 0, "late"
        return call["authorization"], hold.amount, "exceeded" if charge > hold.amount else "covered"


def owners_of(subject):
    return [(kind, subject[kind]) for kind in ("org", "user") if subject.get(kind) is not None]


def key_of(subject, id):
    """An authorization belongs to its org; to its user where there is none."""
    return owners_of(subject)[0], id
