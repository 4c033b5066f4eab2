"""A seeded stream of events meant to hurt: late, duplicate, conflicting, simultaneous, re-planned, expiring, unpriced.

    python3 Tests/oracle/generate.py --seed 7 --events 2000 [--corrections] > stream.ndjson

One seed and size always give one stream. Every event's time is long past, or absent, so any clock will do.
"""

import argparse
import datetime
import json
import random
import re

START = datetime.datetime(2025, 1, 20, tzinfo=datetime.timezone.utc)
DAYS = 50
BURSTS = 300            # of questions whether calls may run, about, in one stream at most
REMEMBERED = 5000       # events that may be sent again, calls that may be contradicted or corrected
FAR_FUTURE = ("2098-01-01T00:00:00Z", "2099-06-01T00:00:00Z")
SOURCES = ("gateway-1", "gateway-2")
PROVIDERS = ("openai", "anthropic", "groq", "local")
MODELS = ("gpt-4o", "gpt-4o-mini", "openai/gpt-4o", "claude-3.5-sonnet", "llama3-70b", "*", "modèle")
PATTERNS = ("gpt-4o", "gpt-4o*", "*gpt-4o", "*llama*", "*/*", "*", "claude-*-sonnet", "*4*mini", "modèle")
OPERATIONS = ("chat", "responses", "embedding", "image", "audio", "rerank", "other")
CATEGORIES = ("paid", "promo", "plan", "refund")
NO_PRICE = ("per", "provider", "model", "operation", "above_input_tokens", "reported_cost")
PERIODS = ("never", "day", "week", "month")


class Generator:
    def __init__(self, seed, corrections=False):
        self.random = random.Random(seed)
        self.seed, self.corrections = seed, corrections
        self.made = 0
        self.calls = []         # (source, id, data) that can be corrected
        self.asks = []          # authorizations that can be settled, released and asked for again
        self.voids = []         # (what a void is known by, what its call is)
        self.lots = []          # ids that can be voided
        self.voided = set()
        self.plans = []
        r = self.random
        self.orgs = [f"org-{n}" for n in range(r.randint(2, 4))]
        self.users = [f"user-{n}" for n in range(r.randint(3, 6))]
        self.services = ["finder", "search"]
        # A few hours in which nearly everything happens, so that times meet and windows have lines.
        self.hours = [START + datetime.timedelta(hours=r.randrange(DAYS * 24)) for _ in range(r.randint(10, 30))]
        self.edges = [datetime.datetime(2025, 2, day, tzinfo=datetime.timezone.utc) for day in (1, 3, 10, 15, 28)]
        self.edges.append(datetime.datetime(2025, 3, 1, tzinfo=datetime.timezone.utc))
        self.instants = [self.moment() for _ in range(12)]

    # Small things

    def moment(self):
        r, roll = self.random, self.random.random()
        if roll < 0.08:
            return r.choice(self.edges) + datetime.timedelta(microseconds=r.choice((-1, 0, 1)))
        if roll < 0.3 and hasattr(self, "instants"):
            return r.choice(self.instants)
        if roll < 0.35:
            return START + datetime.timedelta(seconds=r.randrange(DAYS * 86400))
        return r.choice(self.hours) + datetime.timedelta(microseconds=r.randrange(3_600_000_000))

    def write(self, moment):
        r = self.random
        if r.random() < 0.1:
            zone = datetime.timezone(datetime.timedelta(hours=r.choice((-11, -5, 2, 14)), minutes=r.choice((0, 30))))
            return moment.astimezone(zone).isoformat(timespec="microseconds")
        text = moment.strftime("%Y-%m-%dT%H:%M:%S")
        return text + (f".{moment.microsecond:06d}" if moment.microsecond else "") + "Z"

    def time(self):
        return self.write(self.moment())

    def amount(self, low, high, decimals=6):
        """Now a string, now a number, now with an exponent: the digits count."""
        r = self.random
        scaled = r.randint(int(low * 10 ** decimals), int(high * 10 ** decimals))
        digits = f"{scaled / 10 ** decimals:.{decimals}f}" if r.random() < 0.5 else f"{scaled}e-{decimals}"
        if r.random() < 0.3:
            return verbatim(digits)
        return digits

    def owner(self, wallet=0.25):
        r = self.random
        return {"user": r.choice(self.users)} if r.random() < wallet else {"org": r.choice(self.orgs)}

    def event(self, type, data, id=None, source=None):
        self.made += 1
        one = {"specversion": "1.0", "source": source or self.random.choice(SOURCES),
               "id": id or f"{type}-{self.made}", "type": type}
        if self.random.random() > 0.01:
            one["time"] = self.time()
        one["data"] = data
        return one

    # Events

    def plan(self):
        r = self.random
        name = r.choice(("trial", "starter", "pro", "byok"))
        if name not in self.plans:
            self.plans.append(name)
        limits = [{"limit": r.choice((0, 5, 20, 1000)), "per": per, "enforce": r.choice(("hard", "soft"))}
                  for per in r.sample(("day", "month", "ever"), r.randint(0, 3))]
        data = {"plan": name, "calls": limits,
                "markup": r.choice(("0", "0.4", "0.6", 0.8, "-0.25", "0.333333", "1e-6", "2")),
                "overage": {"policy": r.choice(("block", "allow", "invoice"))}}
        if r.random() < 0.3:
            data["overage"]["limit_credits"] = "5"
        if r.random() < 0.5:
            data["byok_counts_calls"] = r.random() < 0.4
        return self.event("plan.defined", data)

    def assigned(self):
        r = self.random
        if not self.plans:
            return self.plan()
        owner = self.owner(0.35)
        data = {**owner, "plan": r.choice(self.plans)}
        if r.random() < 0.6:
            data["effective_at"] = self.time()
        if r.random() < 0.4:
            data["anchor_day"] = r.choice((1, 2, 10, 15, 28))
        if r.random() < 0.7:
            data["funding"] = r.choice(("org", "user", "org_then_user", "org_then_user"))
        if r.random() < 0.6:
            name = next(iter(owner.values()))
            data["lago"] = {"external_customer_id": name, "external_subscription_id": f"sub-{name}-{r.randint(0, 1)}"}
        return self.event("plan.assigned", data)

    def price(self):
        r = self.random
        roll = r.random()
        if roll < 0.3:
            return r.choice(("0", "0.015", "0.01", "0.002", 1, "2.5"))
        return self.amount(0, 3, r.choice((3, 6, 12)))

    def rule(self):
        r = self.random
        rule = {}
        if r.random() < 0.4:
            rule["provider"] = r.choice(PROVIDERS)
        if r.random() < 0.7:
            rule["model"] = r.choice(PATTERNS)
        if r.random() < 0.25:
            rule["operation"] = r.choice(OPERATIONS)
        if r.random() < 0.1:
            rule["above_input_tokens"] = r.choice((0, 999, 1000, 4000))
        roll = r.random()
        if roll < 0.12:
            rule["reported_cost"] = r.choice(("1", "1.2", "0", self.amount(0, 2, 12)))
            return rule
        if roll < 0.45:
            rule.update(per=r.choice((1000, 1000000)), any_token=self.price())
        elif roll < 0.85:
            rule["per"] = r.choice((1000, 1000, 1000000))
            kinds = r.sample(("input", "output", "cache_read", "cache_write", "reasoning"), r.randint(1, 5))
            rule.update({kind: self.price() for kind in kinds})
        units = ("per_call", "per_image", "per_audio_second", "per_search")
        for name in r.sample(units, r.choice((0, 0, 1, 1, 2, 4)) if "per" in rule else r.randint(1, 3)):
            rule[name] = self.price()
        return rule

    def prices(self):
        r = self.random
        data = {"unit": r.choice(("credits", "credits", "usd"))}
        data["rules"] = [self.rule() for _ in range(r.randint(1, 8))]
        if r.random() < 0.75:
            data["rules"].append({"per": 1000, "any_token": r.choice(("0.01", "0.4", self.price()))})
        if data["unit"] == "usd":
            # So that dollars do not drown the credits: a thousandth of the price.
            for rule in data["rules"]:
                for name, value in rule.items():
                    if name not in NO_PRICE:
                        rule[name] = "0.000015" if r.random() < 0.3 else self.amount(0, 0.002, 12)
        if r.random() < 0.7:
            names = r.sample(("power_level", "tier", "client.tier"), r.randint(1, 3))
            data["multipliers"] = [
                {"attribute": name, "values": {"eco": "0.1", "balanced": "0.25", "precision": 1, "turbo": "1.333"}}
                for name in names]
        if r.random() < 0.4:
            data["cache_hit"] = r.choice(("0", "0.1", "0.333333", 1))
        if r.random() < 0.6:
            data["effective_at"] = self.time()
        return self.event("prices.published", data)

    def granted(self):
        r = self.random
        self.made += 1
        id = f"lot-{self.made}"
        data = {**self.owner(), "category": r.choice(CATEGORIES)}
        data["credits"] = r.choice((self.amount(0.000001, 2), self.amount(1, 20), self.amount(1, 120), "10", 50,
                                    self.amount(0.1, 3, 9)))
        if r.random() < 0.4:
            data["priority"] = r.choice((0, 50, 100, 100, 255))
        one = self.event("credits.granted", data, id=id)
        effective = None
        roll = r.random()
        if roll < 0.05:
            data["effective_at"], data["expires_at"] = FAR_FUTURE
        elif roll < 0.6:
            effective = self.moment() if r.random() < 0.7 else START
            data["effective_at"] = self.write(effective)
        if roll >= 0.05 and r.random() < 0.5:
            # An end needs a known start that is before it.
            effective = effective or START
            data["effective_at"] = self.write(effective)
            # The instants at which calls come too: a lot that ends at one takes no part in them.
            ends = [effective + datetime.timedelta(microseconds=1), effective + datetime.timedelta(days=1),
                    effective + datetime.timedelta(days=r.randint(2, 40)), self.moment(), r.choice(self.instants),
                    max(self.instants)]
            end = r.choice(ends)
            data["expires_at"] = self.write(end) if end > effective else FAR_FUTURE[1]
        self.lots.append(id)
        return one

    def adjusted(self):
        r = self.random
        value = self.amount(0.000001, 15)
        if r.random() < 0.6:
            value = verbatim("-" + value[1:]) if value[0] == MARK else "-" + value
        return self.event("credits.adjusted", {**self.owner(), "credits": value, "reason": "by hand"})

    def allocated(self):
        r = self.random
        return self.event("credits.allocated", {
            "org": r.choice(self.orgs), "user": r.choice(self.users), "mode": r.choice(("cap", "carve_out")),
            "credits": r.choice(("0", "1", "5", self.amount(0, 30), 100)), "period": r.choice(PERIODS)})

    def usage(self):
        r = self.random
        if r.random() < 0.02:
            return {}
        usage = {}
        if r.random() < 0.93:
            usage["input_tokens"] = r.choice((0, 1, 1000, 1500, r.randint(0, 9000), r.randint(0, 9000)))
            if r.random() < 0.3:
                usage["cache_read_tokens"] = r.randint(0, usage["input_tokens"])
            if r.random() < 0.2:
                usage["cache_write_tokens"] = r.randint(0, usage["input_tokens"] - usage.get("cache_read_tokens", 0))
        if r.random() < 0.9:
            usage["output_tokens"] = r.choice((0, 1, 500, r.randint(0, 3000)))
            if r.random() < 0.25:
                usage["reasoning_tokens"] = r.randint(0, usage["output_tokens"])
        for name, share in (("images", 0.1), ("searches", 0.08), ("requests", 0.05), ("characters", 0.05)):
            if r.random() < share:
                usage[name] = r.randint(0, 4)
        if r.random() < 0.1:
            usage["audio_seconds"] = r.choice((1, "12.5", verbatim("0.000001"), self.amount(0, 60)))
        return usage

    def call_data(self):
        r = self.random
        roll = r.random()
        if roll < 0.72:
            data = {"org": r.choice(self.orgs), "user": r.choice(self.users)}
        elif roll < 0.87:
            data = {"org": r.choice(self.orgs)}
        else:
            data = {"user": r.choice(self.users)}
        if r.random() < 0.2:
            data["service"] = r.choice(self.services)
        data.update(provider=r.choice(PROVIDERS), model=r.choice(MODELS), operation=r.choice(OPERATIONS[:2])
                    if r.random() < 0.7 else r.choice(OPERATIONS))
        roll = r.random()
        data["status"] = "success" if roll < 0.85 else "failure" if roll < 0.94 else "aborted"
        if r.random() < 0.12:
            data["key_source"] = r.choice(("byok", "byok", "platform"))
        if r.random() < (0.96 if data["status"] == "success" else 0.4):
            data["usage"] = self.usage()
        if r.random() < 0.35:
            data["cost_usd"] = r.choice(("0", self.amount(0, 0.02, 9), self.amount(0, 0.002, 12),
                                         self.amount(0, 0.000001, 15)))
        if r.random() < 0.08:
            data["cache_hit"] = r.random() < 0.8
        if r.random() < 0.5:
            names = r.sample(("power_level", "tier", "client.tier", "note"), r.randint(1, 3))
            levels = ("eco", "balanced", "precision", "turbo", "unheard")
            data["attributes"] = {name: r.choice(levels) for name in names}
        return data

    def call(self, type="llm.call"):
        one = self.event(type, self.call_data())
        if self.asks and self.random.random() < 0.05:
            self.settle(one)
        remember(self.random, self.calls, one)
        return one

    def settle(self, one):
        """Names an authorization: a running one, one that ended, another's, or none that ever was."""
        r, data = self.random, one["data"]
        asked = r.choice(self.asks[-25:])
        data["authorization"] = asked["id"] if r.random() < 0.95 else "never asked"
        if r.random() < 0.9:
            for name in ("org", "user"):
                data.pop(name, None)
                if name in asked:
                    data[name] = asked[name]
        # Most happen now, where the limits of today count them.
        if r.random() < 0.7:
            one.pop("time", None)

    # Questions

    def asked(self):
        """(what is asked, what the answer must be)"""
        r, roll = self.random, self.random.random()
        if roll < 0.2 and self.asks:
            one = r.choice(self.asks[-40:])
            if roll < 0.1:
                return {"type": "ask", "body": one}, "release"
            other = {} if roll < 0.15 else r.choice((
                {"credits": "77.7"}, {"ttl_seconds": 77}, {"model": one["model"] + "-other"}))
            return {"type": "ask", "body": {**one, **other}}, "again"
        self.made += 1
        call = self.call_data()
        names = ("org", "user", "provider", "model", "operation", "key_source", "attributes")
        body = {"id": f"ask-{self.made}", "operation": "chat", "key_source": "platform", **{
            name: call[name] for name in names if name in call}}
        if r.random() < 0.6:
            body["credits"] = r.choice(("0", "0.5", self.amount(0, 5), self.amount(0, 60), "1000000"))
        else:
            body["input_tokens"] = r.choice((0, 1000, r.randint(0, 9000)))
            if r.random() < 0.8:
                body["max_output_tokens"] = r.randint(0, 4000)
        body["hold"] = r.random() < 0.7
        body["ttl_seconds"] = r.choice((1, 600, 86400, 86400))
        if body["hold"]:
            self.asks.append(body)
        return {"type": "ask", "body": body}, "asked"

    # What must be refused

    def refused(self):
        """(event, why it must be refused)"""
        r = self.random
        kinds = [
            ("unknown_plan", lambda: self.event("plan.assigned", {**self.owner(), "plan": "no such plan"})),
            ("lot_unknown", lambda: self.event("credits.voided", {"lot": "no such lot", "reason": "none"})),
            ("unknown_call", lambda: self.event("llm.call.voided", {
                "source": SOURCES[0], "id": "no such call", "reason": "none"}))]
        if self.lots:
            kinds.append(("lot_exists", lambda: self.event(
                "credits.granted", {**self.owner(), "credits": 5, "category": "promo"}, id=r.choice(self.lots),
                source="another")))
        if self.voids:
            # The call is void already, and its void is no call.
            void, call = r.choice(self.voids)
            kinds += [
                ("already_voided", lambda: self.event("llm.call.voided", {**call, "reason": "again"})),
                ("already_voided", lambda: self.event(
                    "llm.call.amended", {**call, "reason": "again", "call": self.call_data()})),
                ("unknown_call", lambda: self.event("llm.call.voided", {**void, "reason": "undo"}))]
        code, make = r.choice(kinds)
        one = make()
        if one["type"] == "credits.granted":
            one["data"].pop("expires_at", None)
        return one, "refused " + code

    def voided_lot(self):
        r = self.random
        if not self.lots:
            return self.granted()
        lot = self.lots.pop(r.randrange(len(self.lots)))
        return self.event("credits.voided", {"lot": lot, "reason": "given by mistake"})

    def correction(self):
        r = self.random
        roll = r.random()
        open_ = [one for one in r.sample(self.calls, min(8, len(self.calls)))
                 if (one["source"], one["id"]) not in self.voided]
        if not open_:
            return self.call()
        one = open_[0]
        data = {"source": one["source"], "id": one["id"], "reason": "by order"}
        if roll < 0.5:
            self.voided.add((one["source"], one["id"]))
            void = self.event("llm.call.voided", data)
            remember(r, self.voids, tuple({"source": one["source"], "id": one["id"]} for one in (void, data)))
            return void
        fresh = self.call_data()
        roll = r.random()
        if roll < 0.4:
            fresh = dict(one["data"])
        if roll < 0.3 and "usage" in fresh:
            fresh["usage"] = self.usage()
        elif roll < 0.8:
            for name in ("org", "user"):
                fresh.pop(name, None)
                if name in one["data"]:
                    fresh[name] = one["data"][name]
        return self.event("llm.call.amended", {**data, "call": fresh})

    def stream(self, events):
        """(event, verdict), one after another: the verdict is what the daemon must say of it, accepted, duplicate,
        conflict, or "refused" and a code; "perhaps" where that depends on what it wrote by itself meanwhile. Between
        them questions of the type "ask", in bursts."""
        r = self.random
        opening = [self.plan() for _ in range(r.randint(1, 4))] + [self.prices() for _ in range(r.randint(0, 2))]
        if r.random() < 0.9:
            first = self.prices()
            first["data"]["effective_at"] = self.write(START)
            opening.append(first)
        opening += [self.granted() for _ in range(r.randint(0, 5))] + [self.assigned() for _ in range(r.randint(0, 5))]
        r.shuffle(opening)
        # A plan may be assigned only once it is defined.
        opening.sort(key=lambda one: one["type"] == "plan.assigned")
        kinds = [(self.call, 0.78), (lambda: self.call("llm.usage"), 0.04), (self.granted, 0.08), (self.adjusted, 0.02),
                 (self.allocated, 0.03), (self.assigned, 0.025), (self.plan, 0.01), (self.prices, 0.012),
                 (self.voided_lot, 0.006)]
        if self.corrections:
            kinds.append((self.correction, 0.08))
        makers, weights = zip(*kinds)
        sent = []       # with the verdict of the next time
        for number in range(events):
            roll = r.random()
            if number < len(opening):
                one, verdict = opening[number], "accepted"
            elif roll < 0.02 and sent:
                yield r.choice(sent)
                continue
            elif roll < 0.03 and self.calls:
                one, verdict = json.loads(dumps(r.choice(self.calls)), parse_float=verbatim), "conflict"
                one["data"]["model"] += "-other"
            elif roll < 0.035:
                one, verdict = self.refused()
            else:
                one = r.choices(makers, weights)[0]()
                verdict = "perhaps" if one["type"] == "credits.voided" else "accepted"
            remember(r, sent, (one, "duplicate" if verdict == "accepted" else verdict))
            yield one, verdict
            if r.random() < min(0.003, BURSTS / events):
                for _ in range(r.randint(4, 16)):
                    yield self.asked()


def remember(random_, items, item):
    """Keeps old and new ones alike, and not too many."""
    if len(items) < REMEMBERED:
        items.append(item)
    else:
        items[random_.randrange(REMEMBERED)] = item


MARK = "\x01"
MARKED = re.compile(r'"\\u0001([^"]*)"')


def verbatim(digits):
    """Digits to be written as a JSON number, just so."""
    return MARK + digits


def dumps(value):
    return MARKED.sub(r"\1", json.dumps(value, separators=(",", ":")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--corrections", action="store_true", help="voids and amendments too")
    options = parser.parse_args()
    for one, _ in Generator(options.seed, options.corrections).stream(options.events):
        print(dumps(one))


if __name__ == "__main__":
    main()
