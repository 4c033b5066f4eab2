"""Prints the daemon's JSON answers as a person would like to read them. Reads standard input; used by ops/run."""

import json
import sys


def table(rows, heads, right=()):
    """Rows of strings under their heads, aligned; `right`: indexes of columns of numbers."""
    cells = [heads] + [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    for index, row in enumerate(cells):
        parts = [
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ]
        print("  " + "  ".join(parts).rstrip())
        if index == 0:
            print("  " + "  ".join("-" * width for width in widths))


def receipt(answer):
    if "code" in answer:
        print(f"{answer.get('status')} {answer['code']}: {answer.get('detail', '')}")
        return 1
    parts = [f"{answer.get(name, 0)} {name}" for name in ("accepted", "duplicates", "rejected")]
    for name in ("parked", "dropped", "skipped"):
        if answer.get(name):
            parts.append(f"{answer[name]} {name}")
    print(", ".join(parts))
    for error in answer.get("errors", []):
        print(f"    item {error.get('index')}: {error.get('code')} {error.get('field', '')}: {error.get('detail', '')}")
    return 1 if answer.get("rejected") or answer.get("parked") or answer.get("dropped") else 0


def credits(answer, owner):
    print(f"Credits of {owner} (1 credit = $0.001)")
    names = ("granted", "spent", "expired", "held", "overage", "balance", "available")
    width = max(len(answer.get(f"{name}_credits", "0")) for name in names)
    for name in names:
        print(f"  {name:<10}{answer.get(f'{name}_credits', '-'):>{width}}")
    lots = answer.get("lots", [])
    if lots:
        table(
            [[lot.get("lot") or lot.get("id"), lot.get("category"), lot.get("granted_credits"),
              lot.get("available_credits"), lot.get("expires_at") or "never"] for lot in lots],
            ["lot", "category", "granted", "available", "expires"], right=(2, 3))
    return 0


def calls(answer, owner):
    print(f"Calls of {owner} in the period: plan {answer.get('plan')}, {answer.get('used')} used")
    limits = answer.get("limits", [])
    if limits:
        table(
            [[limit.get("per"), limit.get("limit"), limit.get("used"), limit.get("remaining"),
              limit.get("resets_at") or "never"] for limit in limits],
            ["per", "limit", "used", "remaining", "resets at"], right=(1, 2, 3))
    for name in ("by_status", "by_key_source"):
        counts = answer.get(name) or {}
        print(f"  {name}: " + (", ".join(f"{key} {count}" for key, count in counts.items()) or "none"))
    return 0


def tokens(answer, owner):
    print(f"Tokens of {owner}")
    rows = answer.get("rows", [])
    numbers = ["calls", "input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens", "credits", "cost_usd"]
    groups = [name for name in (rows[0] if rows else {})
              if name in ("day", "org", "model", "provider", "user", "service", "key_source")]
    heads = groups + [name.replace("_tokens", "") for name in numbers]
    body = [[row.get(name) for name in groups + numbers] for row in rows]
    totals = answer.get("totals", {})
    if groups:
        body.append(["total"] + [""] * (len(groups) - 1) + [totals.get(name) for name in numbers])
    else:
        body = [[totals.get(name) for name in numbers]]
    table(body, heads, right=range(len(groups), len(heads)))
    return 0


def statement(answer, owner):
    print(f"Statement of {owner}, newest first")
    lines = (answer.get("lines") or answer.get("rows") or [])[:12]
    table(
        [[line.get("position"), line.get("time"), line.get("what"), line.get("amount_credits"),
          line.get("balance_credits")] for line in lines],
        ["position", "time", "what", "credits", "balance after"], right=(0, 3, 4))
    return 0


def batches(answer):
    print("Lago batches")
    rows = answer.get("batches", [])
    table(
        [[batch.get("id"), (batch.get("window") or {}).get("start"), (batch.get("window") or {}).get("end"),
          count(batch.get("lines")), batch.get("state")] for batch in rows],
        ["id", "window from", "to", "lines", "state"], right=(3,))
    return 0


def count(lines):
    return len(lines) if isinstance(lines, list) else lines


def lago(answer, batch):
    print(f"Batch {batch}, as Lago's POST /api/v1/events/batch takes it")
    rows = []
    for event in answer.get("events", []):
        properties = event.get("properties", {})
        rows.append([
            event.get("external_subscription_id"), event.get("code"), properties.get("model"),
            properties.get("operation"), properties.get("calls"), properties.get("input_tokens"),
            properties.get("output_tokens"), properties.get("credits"), event.get("precise_total_amount_cents"),
        ])
    table(rows, ["subscription", "code", "model", "operation", "calls", "input", "output", "credits", "cents"],
          right=(4, 5, 6, 7, 8))
    return 0


def high_water(answer):
    """The end of the log as `/v1/projections` tells it."""
    position = answer.get("high_water")
    if position is None:
        position = max([item.get("progress", 0) + item.get("lag", 0) for item in answer.get("projections", [])] or [0])
    print(position)
    return 0


def first_batch(answer):
    rows = answer.get("batches", [])
    print(rows[0]["id"] if rows else "")
    return 0


if __name__ == "__main__":
    views = {
        "receipt": receipt, "credits": credits, "calls": calls, "tokens": tokens, "statement": statement,
        "batches": batches, "lago": lago, "high-water": high_water, "first-batch": first_batch,
    }
    sys.exit(views[sys.argv[1]](json.load(sys.stdin), *sys.argv[2:]))
