"""What a call costs by a price list, before it is rounded."""
from values import CREDIT, USD, Decimal, matches, number

ZERO = Decimal(0)
KINDS = ("input", "output", "cache_read", "cache_write", "reasoning")
UNITS = {"per_image": "images", "per_audio_second": "audio_seconds", "per_search": "searches"}


def used(call):
    """Whether anything was used at all: zeros are said of a failure that never reached a provider."""
    return any(number(value) for value in (call.get("usage") or {}).values())


class Rule:
    def __init__(self, data):
        self.provider, self.model, self.operation = data.get("provider"), data.get("model"), data.get("operation")
        self.above = data.get("above_input_tokens")
        price = {name: number(data[name]) for name in (
            "any_token", *KINDS, "per_call", *UNITS, "reported_cost") if name in data}
        self.reported, self.per_call = price.get("reported_cost"), price.get("per_call")
        self.units = {name: price[name] for name in UNITS if name in price}
        tokens = None
        if "any_token" in price:
            tokens = dict.fromkeys(KINDS, price["any_token"])
        elif any(kind in price for kind in KINDS):
            into, out = price.get("input", ZERO), price.get("output", ZERO)
            tokens = {
                "input": into, "output": out, "cache_read": price.get("cache_read", into),
                "cache_write": price.get("cache_write", into), "reasoning": price.get("reasoning", out)}
        # What a call must say, one of it at least, to be priced. A price of 0 asks for nothing.
        self.asked = [UNITS[name] for name, value in self.units.items() if value]
        if tokens and any(tokens.values()):
            self.asked += ["input_tokens", "output_tokens"]
        # By one token.
        digits = {1000: -3, 1_000_000: -6}[int(data.get("per", 1000))]
        self.tokens = tokens and {kind: value.scaleb(digits) for kind, value in tokens.items()}

    def takes(self, call):
        return ((self.provider is None or matches(self.provider, call["provider"]))
                and (self.model is None or matches(self.model, call["model"]))
                and (self.operation is None or self.operation == call["operation"])
                and (self.above is None or (call.get("usage") or {}).get("input_tokens", -1) > self.above))

    def amount(self, call, cost, counts_call):
        """In the list's unit (dollars for reported_cost), or the reason why the call cannot be priced."""
        if self.reported is not None:
            return "no_cost" if cost is None else self.reported * cost
        usage = call.get("usage") or {}
        if self.asked and not any(name in usage for name in self.asked):
            return "no_usage"
        total = ZERO
        if self.tokens:
            read, write = usage.get("cache_read_tokens", 0), usage.get("cache_write_tokens", 0)
            reasoning = usage.get("reasoning_tokens", 0)
            kinds = (usage.get("input_tokens", 0) - read - write, usage.get("output_tokens", 0) - reasoning,
                     read, write, reasoning)
            for kind, count in zip(KINDS, kinds):
                if count:
                    total += self.tokens[kind] * count
        for name, price in self.units.items():
            total += price * number(usage.get(UNITS[name], 0))
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
        """n$, exact; or the reason why the call cannot be priced."""
        rule = next((rule for rule in self.rules if rule.takes(call)), None)
        amount = rule.amount(call, cost, counts_call) if rule else "no_rule"
        if isinstance(amount, str):
            return amount
        amount *= USD if rule.reported is not None else self.unit
        attributes = call.get("attributes", {})
        for name, values in self.multipliers:
            if name in attributes:
                amount *= values.get(attributes[name], 1)
        amount *= 1 + markup
        return amount * self.cache_hit if call.get("cache_hit") else amount
