#!/usr/bin/env python3
"""Checks an audit pack of Tallystick: that its records are in the log that the checkpoint names, and that every charge,
every invoice line and the statement follow from them, to the digit. Python 3.10 or newer, nothing else; written from
the format's description (RECORD.md, PACK.md), not from the program that made the pack.

    python3 verify.py PACK                        a folder or a tar file; without it, the folder this file is in
    python3 verify.py PACK --checkpoint FILE      and that it is the log of a checkpoint that you kept
    python3 verify.py PACK --proof POSITION       prints the inclusion proof of one record (RFC 6962), as JSON
    python3 verify.py PACK --events               prints the records as JSON, one a line

Ends with PASS (exit code 0) or the first difference (1); 2: it could not run. Somebody who can write a whole pack anew,
checkpoint and all, can make one that passes: what shows that is a checkpoint that you got earlier, or from elsewhere,
and a copy of this file from elsewhere.
"""
import base64
import bisect
import datetime
import hashlib
import json
import os
import sys
from fractions import Fraction

CREDIT, USD = 1_000_000, 1_000_000_000          # in nano-dollars
SECOND, DAY = 1_000_000, 86_400_000_000         # in microseconds
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
FOREVER = 1 << 62


class Difference(Exception):
    pass


def expect(found, wanted, what):
    if found != wanted:
        raise Difference(f"{what}: {json.dumps(found)} is written, {json.dumps(wanted)} follows from the records")


# Files

def tar_header(name, size):
    block = bytearray(512)
    def put(offset, text):
        block[offset:offset + len(text)] = text.encode()
    put(0, name)
    for offset, text in ((100, "0000600"), (108, "0000000"), (116, "0000000"), (124, f"{size:011o}"),
                         (136, "00000000000"), (148, " " * 8), (156, "0"), (257, "ustar\x0000"), (329, "0000000"),
                         (337, "0000000")):
        put(offset, text)
    put(148, f"{sum(block):06o}\x00 ")
    return bytes(block)


def read_tar(path):
    with open(path, "rb") as file:
        data = file.read()
    files, at = {}, 0
    while data[at:at + 512] != bytes(512):
        block = data[at:at + 512]
        try:
            name, size = block[:100].rstrip(b"\0").decode(), int(block[124:135], 8)
        except ValueError:
            raise Difference(f"there is no file at byte {at} of {path}")
        if "/" in name or name.startswith(".") or name in files or block != tar_header(name, size):
            raise Difference(f"what is at byte {at} of {path} is no file of a pack")
        files[name] = data[at + 512:at + 512 + size]
        end = at + 512 + size
        at = end + -size % 512
        if len(data) < at + 1024 or any(data[end:at]):
            raise Difference(f"{path} is cut off, or has something after {name}")
    if data[at:] != bytes(1024) or list(files) != sorted(files):
        raise Difference(f"{path} does not end after its last file, or its files are not in order")
    return files


def read_folder(path):
    files = {}
    for entry in os.scandir(path):
        if not entry.is_file(follow_symlinks=False):
            raise Difference(f"{entry.name} is no plain file")
        with open(entry.path, "rb") as file:
            files[entry.name] = file.read()
    return files


def check_files(files):
    for name in ("manifest.json", "manifest.sha256"):
        if name not in files:
            raise Difference(f"there is no {name}")
    manifest_hash = hashlib.sha256(files["manifest.json"]).hexdigest()
    if files["manifest.sha256"] != f"{manifest_hash}  manifest.json\n".encode():
        raise Difference("manifest.json: its SHA-256 is not that of manifest.sha256")
    manifest = json.loads(files["manifest.json"])
    if manifest.get("format") != 1 or manifest.get("kind") != "pack":
        raise Difference("manifest.json: not a pack of format 1")
    known = {one["name"]: one for one in manifest["files"]}
    for name in sorted(set(files) | set(known)):
        if name in ("manifest.json", "manifest.sha256"):
            continue
        if name not in known or name not in files:
            raise Difference(f"{name}: {'it is missing' if name in known else 'the manifest does not know it'}")
        found = {"name": name, "bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
        if found != known[name]:
            raise Difference(f"{name}: its bytes are not those of its SHA-256 in the manifest")
    return manifest, manifest_hash


# Records: RECORD.md, version 1

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Difference("a record is cut off")
        self.at += count
        return self.data[self.at - count:self.at]

    def fixed(self, count, signed=False):
        return int.from_bytes(self.take(count), "little", signed=signed)

    def byte(self):
        return self.fixed(1)

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def signed(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def name(self):
        return self.take(self.byte() + 1).decode()

    def text(self):
        return self.take(self.fixed(2)).decode()

    def decimal(self):
        scale = self.byte()
        return Fraction(self.signed(), 10 ** scale)

    def money(self):
        return self.signed()

    def time(self):
        return self.fixed(8, signed=True)

    def owner(self):
        kind = ("org", "user")[self.byte()]
        return kind, self.name()


PERIODS = ("never", "day", "week", "month")
OPERATIONS = ("chat", "responses", "embedding", "image", "audio", "rerank", "other")
USAGE = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "images",
         "audio_seconds", "characters", "searches", "requests")
PRICES = ("any_token", "input", "output", "cache_read", "cache_write", "reasoning", "per_call", "per_image",
          "per_audio_second", "per_search", "reported_cost")
KINDS = (None, "llm.call", "llm.usage", "llm.call.voided", "llm.call.amended", "credits.granted", "credits.voided",
         "credits.allocated", "credits.adjusted", "credits.expired", "plan.defined", "plan.assigned",
         "prices.published", "lago.window.closed", "lago.batch.delivered", "lago.batch.failed",
         "authorization.granted", "authorization.denied", "authorization.released", "authorization.expired",
         "alert.defined")


def read_call(r):
    call = {"operation": OPERATIONS[r.byte()], "key_source": ("platform", "byok")[r.byte()],
            "status": ("success", "failure", "aborted")[r.byte()]}
    bits = r.fixed(4)
    call["provider"], call["model"] = r.name(), r.name()
    for bit, name in enumerate(("org", "user", "subscription", "service", "team", "api_key", "end_user",
                                "requested_model")):
        if bits >> bit & 1:
            call[name] = r.name()
    if bits >> 8 & 1:
        call["usage"] = {}
        for bit, name in enumerate(USAGE, 16):
            if bits >> bit & 1:
                call["usage"][name] = r.decimal() if name == "audio_seconds" else r.varint()
    if bits >> 9 & 1:
        call["cost_usd"] = r.decimal()
    if bits >> 10 & 1:
        call["latency_ms"] = r.varint()
    call["cache_hit"] = bool(bits >> 11 & 1)
    if bits >> 12 & 1:
        call["authorization"] = r.name()
    call["attributes"] = {}
    if bits >> 13 & 1:
        for _ in range(r.byte()):
            name = r.name()
            call["attributes"][name] = r.text()
    return call


def read_prices(r):
    prices = {"unit": ("credits", "usd")[r.byte()]}
    bits = r.byte()
    if bits & 1:
        prices["effective_at"] = r.time()
    prices["cache_hit"] = r.decimal() if bits & 2 else Fraction(0)
    prices["rules"] = []
    for _ in range(r.varint()):
        bits, rule = r.fixed(2), {}
        for bit, name in enumerate(("provider", "model")):
            if bits >> bit & 1:
                rule[name] = r.name()
        if bits & 4:
            rule["operation"] = OPERATIONS[r.byte()]
        rule["per"] = 1_000_000 if bits & 8 else 1_000
        for bit, name in enumerate(PRICES, 4):
            if bits >> bit & 1:
                rule[name] = r.decimal()
        if bits >> 15 & 1:
            rule["above_input_tokens"] = r.varint()
        prices["rules"].append(rule)
    prices["multipliers"] = []
    for _ in range(r.varint()):
        name, values = r.name(), {}
        for _ in range(r.varint()):
            value = r.text()
            values[value] = r.decimal()
        prices["multipliers"].append((name, values))
    return prices


def read_content(kind, r):
    d = {}
    if kind in ("llm.call", "llm.usage"):
        return read_call(r)
    if kind in ("llm.call.voided", "llm.call.amended"):
        d["source"], d["id"], d["reason"] = r.name(), r.name(), r.text()
        if kind == "llm.call.amended":
            d["call"] = read_call(r)
        if r.at < len(r.data):
            d["key_org"] = r.name()
    elif kind == "credits.granted":
        d["owner"], d["credits"] = r.owner(), r.money()
        d["category"], d["priority"] = ("paid", "promo", "plan", "refund")[r.byte()], r.byte()
        bits = r.byte()
        for bit, name, read in ((1, "effective_at", r.time), (2, "expires_at", r.time), (4, "paid", r.money),
                                (8, "reference", r.text)):
            if bits & bit:
                d[name] = read()
    elif kind == "credits.voided":
        d["lot"], d["reason"] = r.name(), r.text()
    elif kind == "credits.allocated":
        d["org"], d["user"] = r.name(), r.name()
        d["mode"], d["credits"], d["period"] = ("cap", "carve_out")[r.byte()], r.money(), PERIODS[r.byte()]
    elif kind == "credits.adjusted":
        d["owner"], d["credits"], d["reason"] = r.owner(), r.money(), r.text()
        if r.byte() & 1:
            d["reference"] = r.text()
    elif kind == "credits.expired":
        d["lot"], d["credits"] = r.name(), r.money()
    elif kind == "plan.defined":
        d["plan"], d["calls"] = r.name(), []
        for _ in range(r.byte()):
            d["calls"].append([r.varint(), ("day", "month", "ever")[r.byte()], ("hard", "soft")[r.byte()]])
        d["markup"], d["overage"] = r.decimal(), ("block", "allow", "invoice")[r.byte()]
        bits = r.byte()
        d["byok_counts_calls"] = bool(bits & 4)
        for bit, name, read in ((1, "price", r.money), (2, "interval", r.byte), (8, "overage_limit", r.money),
                                (16, "lago_plan_code", r.name)):
            if bits & bit:
                d[name] = read()
    elif kind == "plan.assigned":
        d["owner"], d["plan"], d["anchor_day"] = r.owner(), r.name(), r.byte()
        d["funding"] = ("org", "user", "org_then_user")[r.byte()]
        bits = r.byte()
        if bits & 1:
            d["effective_at"] = r.time()
        if bits & 2:
            d["customer"], d["subscription"] = r.name(), r.name()
    elif kind == "prices.published":
        return read_prices(r)
    elif kind == "lago.window.closed":
        d["window_seconds"], d["through"] = r.varint(), r.time()
    elif kind in ("authorization.granted", "authorization.denied", "authorization.released", "authorization.expired"):
        # Holds move no balance: only whose they are is looked at.
        d["authorization"], bits = r.name(), r.byte()
        for bit, name in ((1, "org"), (2, "user")):
            if bits & bit:
                d[name] = r.name()
        r.at = len(r.data)
    elif kind == "alert.defined":
        d["alert"], d["owner"] = r.name(), r.owner()
        r.at = len(r.data)
    else:
        raise Difference(f"a {kind} does not belong into a pack")
    return d


def read_record(data):
    r = Reader(data)
    if r.byte() != 1:
        raise Difference("a record of another version than 1")
    kind, door, flags = r.byte(), r.byte(), r.byte()
    if not 0 < kind < len(KINDS) or door > 4 or flags > 63 or r.fixed(4) != len(data):
        raise Difference("a record that does not begin as one does")
    position, recorded_at, stated, length = r.fixed(8), r.time(), r.time(), r.fixed(4)
    record = {"position": position, "type": KINDS[kind], "recorded_at": recorded_at,
              "time": stated if flags & 1 else recorded_at, "source": r.name(), "id": r.name()}
    if flags & 2:
        r.name()
    # The space of the idempotency key, and an id longer than a name: they move no balance.
    if flags & 16:
        r.name()
    if flags & 32:
        record["whole_id"] = r.text()
    content = Reader(r.take(length))
    record["data"] = read_content(KINDS[kind], content)
    if flags & 4:
        bits = r.byte()
        call = record["data"].get("call", record["data"])
        for bit, name in ((1, "org"), (2, "user")):
            if bits & bit:
                call[name] = r.name()
        if bits & 4:
            standing = {"original": r.varint()}
            standing["position"] = standing["original"] + r.varint()
            standing["time"], bits = r.time(), r.byte()
            for bit, name in ((2, "org"), (4, "user")):
                if bits & bit:
                    standing[name] = r.name()
            standing["parts"] = []
            for _ in range(r.byte()):
                owner = ("org", "user")[r.byte()]
                slices = [[r.name(), r.varint()] for _ in range(r.varint())]
                standing["parts"].append({"owner": owner, "slices": slices, "overage": r.varint(),
                                          "invoiced": r.varint()})
            r.varint()
            record["standing"] = standing
    if r.at != len(data) or content.at != length:
        raise Difference(f"record {position} has bytes left over")
    return record


# The Merkle tree: RFC 6962 section 2.1

def leaf(data):
    return hashlib.sha256(b"\0" + data).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def split(size):
    return 1 << (size - 1).bit_length() - 1


class Tree:
    """The tree over all records of the log: the pack knows its own leaves, and the hash of every largest subtree that
    has none of them (`others`, left to right)."""

    def __init__(self, size, leaves, others):
        self.leaves, self.positions = leaves, sorted(leaves)
        self.others, self.known = iter(others), {}
        self.root = self.hash(0, size) if size else hashlib.sha256(b"").digest()
        if next(self.others, None) is not None:
            raise Difference("proof.json: there are hashes left over")

    def hash(self, start, size):
        first = bisect.bisect_right(self.positions, start)
        if first == len(self.positions) or self.positions[first] > start + size:
            found = next(self.others, None)
            if found is None:
                raise Difference("proof.json: a hash is missing")
        elif size == 1:
            found = self.leaves[start + 1]
        else:
            half = split(size)
            left = self.hash(start, half)
            found = node(left, self.hash(start + half, size - half))
        self.known[start, size] = found
        return found

    def proof(self, index, start, size):
        """The audit path of a leaf, from the leaf up."""
        if size == 1:
            return []
        half = split(size)
        if index < start + half:
            return self.proof(index, start, half) + [self.known[start + half, size - half]]
        return self.proof(index, start + half, size - half) + [self.known[start, half]]


def consistent(first, first_root, second, second_root, path):
    """RFC 9162 section 2.1.4.2."""
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path and first_root == hashlib.sha256(b"").digest()
    if not path:
        return False
    path = ([first_root] if first & first - 1 == 0 else []) + path
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first_root and sr == second_root


def read_checkpoint(data, where):
    lines = data.decode("utf-8", "replace").split("\n")
    if len(lines) < 4 or lines[3] or not lines[1].isdigit():
        raise Difference(f"{where}: not a checkpoint")
    return lines[0], int(lines[1]), base64.b64decode(lines[2])
