"""What the daemon answered when it was asked whether a call may run, against an oracle at the same place in the log."""
from authorizations import key_of
from values import CREDIT, instant, plain

SHORT_TTL = 1       # seconds: such a hold may end at any moment
SECONDS = 30        # by which Retry-After may be off: answered then, judged by the time of the question
SUBJECT = ("org", "user", "provider", "model", "operation", "key_source")
STATUS = {"calls_exhausted": 429, "credits_exhausted": 402, "allocation_exhausted": 402}


class Asked:
    """One question and its answer, told to the oracle once it has read the log up to `position`: that of the event
    that was written, else the last one before the question."""

    def __init__(self, verdict, body, time, answer, seen):
        self.verdict, self.body, self.time, self.answer = verdict, body, time, answer
        self.wrote = verdict == "asked" and body["hold"]
        self.position = int(answer.headers.get("x-position", seen))

    def check(self, oracle):
        name = f"authorization {self.body['id']} ({self.verdict})"
        for what, daemon, ours in self.differences(oracle):
            if daemon != ours:
                oracle.disagreements.append(f"{name} {what}: the daemon says {daemon}, the oracle {ours}")

    def differences(self, oracle):
        running = oracle.holds.get(key_of(self.body, self.body["id"]))
        if self.verdict == "release":
            released = oracle.released.get(key_of(self.body, self.body["id"]))
            if running is None or self.body["ttl_seconds"] > SHORT_TTL:
                yield "status", self.answer.status, 200 if running or released else 404
            if released:
                yield "position", self.answer.json["position"], released
        elif self.verdict == "again":
            yield from self.again(oracle, running)
        else:
            yield from self.decided(oracle)

    def again(self, oracle, running):
        """What was decided stands, while it runs; but not for another question."""
        key = key_of(self.body, self.body["id"])
        first, asked = oracle.decided_at[key], oracle.asks[key]
        decision = oracle.decisions[first]
        same = (all(self.body.get(name) == asked.get(name) for name in SUBJECT)
                and oracle.requested(self.body, decision.time) == decision.requested
                and (decision.refused or self.body["ttl_seconds"] == asked["ttl_seconds"]))
        if not same:
            yield "code", (self.answer.status, self.answer.json.get("code")), (409, "conflict")
        elif decision.refused is None and running is None:
            yield "code", (self.answer.status, self.answer.json.get("code")), (409, "authorization_ended")
        elif self.answer.status == 409 and self.body["ttl_seconds"] == SHORT_TTL:
            yield "code", self.answer.json["code"], "authorization_ended"
        else:
            refused = decision.refused
            yield "status", self.answer.status, STATUS[refused.rule] if refused else 200
            yield "position", self.answer.json["position"], first

    def decided(self, oracle):
        t = oracle.time if self.wrote else self.time
        if self.wrote:
            decision = oracle.decisions.get(self.position)
            if decision is None:
                yield "position", self.position, "no authorization"
                return
            # What is told of a hold is what is left now that it runs.
            left = decision if decision.refused else oracle.decide(self.body, decision.requested, t)
        else:
            decision = left = oracle.decide(self.body, oracle.requested(self.body, t), t)
        json, refused = self.answer.json, decision.refused
        yield "status", self.answer.status, STATUS[refused.rule] if refused else 200
        yield "allowed", json["allowed"], refused is None
        yield "code", json.get("code"), refused.rule if refused else None
        if refused:
            yield refused.owner[0], json.get(refused.owner[0]), refused.owner[1]
        amount = json.get("requested_credits" if refused else "held_credits")
        yield "amount", amount, plain(decision.requested, CREDIT)
        yield "available_credits", json["available_credits"], plain(left.available, CREDIT)
        yield "limits", json["calls"]["limits"], [{owner[0]: owner[1], **limit} for owner, limit in left.limits]
        yield from self.headers(decision, left.limits, t)

    def headers(self, decision, limits, t):
        says = self.answer.headers
        limits = [limit for _, limit in limits]
        refusing = [limit for limit in limits if limit["enforce"] == "hard" and not limit["remaining"]]
        if decision.refused is None:
            # A hold may have taken the last call: then nothing was refused yet, but the next would be.
            hard = [limit for limit in limits if limit["enforce"] == "hard"] or limits
            tightest = min((limit["remaining"] for limit in hard), default=None)
        else:
            tightest = 0 if refusing else min((limit["remaining"] for limit in [
                one for one in limits if one["enforce"] == "hard"] or limits), default=None)
        yield "X-RateLimit-Remaining", says.get("x-ratelimit-remaining"), None if tightest is None else str(tightest)
        if decision.refused and decision.refused.rule == "calls_exhausted":
            never = any(limit["resets_at"] is None for limit in refusing)
            due = None if never else max(instant(limit["resets_at"]) for limit in refusing)
            waits = says.get("retry-after")
            if due is None or waits is None:
                yield "Retry-After", waits, due
            else:
                off = abs(int(waits) - (due - t) // 1_000_000)
                yield "Retry-After is right", off <= SECONDS, True
        elif decision.refused is None or decision.refused.rule == "credits_exhausted":
            yield "Retry-After", says.get("retry-after"), None
