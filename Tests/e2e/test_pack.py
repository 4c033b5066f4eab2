"""Audit packs: recomputed by verify.py to the digit, without anybody else's data, and failing on every change."""

import base64
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

from harness import LONG, ROOT, Daemon, binary, call, captures, event, starter

PERIOD = "2026-03"


def generated(seed, events):
    """A stream of the oracle's generator, as events."""
    done = subprocess.run([sys.executable, os.path.join(ROOT, "Tests/oracle/generate.py"), "--seed", str(seed), "--events",
                           str(events), "--corrections"], capture_output=True, check=True)
    return [line for line in done.stdout.splitlines() if line.strip()]


def correction(id, corrects, time, call=None):
    data = {"source": "test", "id": corrects, "reason": "test", **({"call": call["data"]} if call else {})}
    return {"specversion": "1.0", "source": "test", "id": id, "time": time, "data": data,
            "type": "llm.call.amended" if call else "llm.call.voided"}


class Packs(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.root = tempfile.mkdtemp(prefix="tallystick-e2e-")
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.daemon.start()

    def path(self, name):
        return os.path.join(self.root, name)

    def post(self, events):
        answer = self.daemon.post("/v1/events", events)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json["rejected"], 0, answer)
        return answer.json["first_position"]

    def pack(self, org, name, period=PERIOD, *more, code=0):
        done = subprocess.run(
            [binary("tallystick-replay"), "pack", "--data", self.daemon.folder, "--org", org, "--period", period, "--to",
             self.path(name), "--json", *more], capture_output=True, timeout=600)
        self.assertEqual(done.returncode, code, (done.stdout[-1000:], done.stderr[-1000:]))
        return json.loads(done.stdout) if code == 0 else None

    def verify(self, name, *more, code=0, program=None):
        # Not the pack's own copy when the pack was changed: it is one of the things that change.
        program = program or self.path("verify.py")
        if not os.path.exists(program):
            shutil.copy(self.path(name) + "/verify.py", program)
        done = subprocess.run([sys.executable, program, self.path(name), *more], capture_output=True, timeout=600)
        self.assertEqual(done.returncode, code, (done.stdout[-3000:], done.stderr[-3000:]))
        if code == 0 and not more:
            self.assertTrue(done.stdout.startswith(b"PASS"), done.stdout)
        return done.stdout

    def assertNothingOf(self, name, pack):
        for file_name in sorted(os.listdir(self.path(pack))):
            with open(self.path(f"{pack}/{file_name}"), "rb") as file:
                content = file.read()
            if file_name == "records.ndjson":
                content = b"".join(base64.b64decode(line) for line in content.splitlines())
            self.assertNotIn(name.encode(), content, file_name)

    def history(self):
        """Two orgs, one of them with everything that a period can hold, and names that must not be in the other's."""
        def at(day, hour=0):
            return f"2026-03-{day:02}T{hour:02}:00:00Z"
        self.post(starter("plans.json") + starter("prices.json"))
        plans = [event(f"plan-{one}", "plan.defined", time="2026-01-01T00:00:00Z", plan=f"{one}-plan", calls=[], markup="0.6",
                       overage={"policy": "invoice"}) for one in ("acme", "canary")]
        self.post(plans + [
            event("price", "prices.published", time="2026-01-01T00:00:00Z", unit="credits", rules=[
                {"model": "gpt-*", "per": 1000, "input": "0.015", "output": "0.0451", "cache_read": "0.0007"},
                {"model": "image*", "per": 1000, "per_image": "3.3333331"}],
                multipliers=[{"attribute": "power_level", "values": {"balanced": "0.25", "max": "1.75"}}],
                cache_hit="0.1")])
        for org in ("acme", "canary"):
            self.post([
                event(f"{org}-assigned", "plan.assigned", time="2026-01-01T00:00:00Z", org=org, plan=f"{org}-plan",
                      lago={"external_customer_id": f"{org}-customer", "external_subscription_id": f"{org}-subscription"}),
                event(f"{org}-early", "credits.granted", time="2026-02-01T00:00:00Z", org=org, credits="3.5",
                      category="paid"),
                event(f"{org}-promo", "credits.granted", time=at(2), org=org, credits="0.75", category="promo",
                      expires_at=at(9)),
                event(f"{org}-allocation", "credits.allocated", time=at(1), org=org, user=f"{org}-user-1", mode="carve_out",
                      credits="0.5", period="week"),
                event(f"{org}-adjusted", "credits.adjusted", time=at(3), org=org, credits="-0.25", reason="test"),
                event(f"{org}-alert", "alert.defined", time=at(3), alert=f"{org}-alert", org=org,
                      balance_below_credits="1")])
        seeded = random.Random(5)
        for number in range(120):
            for org in ("acme", "canary"):
                usage = {"input_tokens": seeded.randrange(3000), "output_tokens": seeded.randrange(3000)}
                if number % 7 == 0:
                    usage = {"images": seeded.randrange(4)}
                self.post([call(
                    f"{org}-{number}", org=org, user=f"{org}-user-{number % 3}", usage=usage, service=f"{org}-service",
                    model="image-1" if number % 7 == 0 else f"gpt-{number % 2}", team=f"{org}-team",
                    attributes={"power_level": seeded.choice(("balanced", "max", "other")), f"{org}-note": "x"},
                    key_source="byok" if number % 11 == 0 else "platform", cache_hit=number % 13 == 0,
                    time=f"2026-0{2 + number % 3}-{1 + number % 28:02}T{number % 24:02}:30:00.125Z")])
        self.daemon.post("/v1/lago/windows/close", None)
        for org in ("acme", "canary"):
            self.post([
                correction(f"{org}-void", f"{org}-13", at(20)),
                correction(f"{org}-amend", f"{org}-16", at(21), call(
                    "x", org=org, user=f"{org}-user-1", model="gpt-0", usage={"input_tokens": 77777})),
                call(f"{org}-late", org=org, model="gpt-1", time=at(22))])
        self.daemon.post("/v1/lago/windows/close", None)
        self.daemon.digests()


class Recomputed(Packs):
    def test_everything_follows_from_the_records(self):
        self.history()
        made = self.pack("acme", "acme")
        out = self.verify("acme").decode()
        self.assertIn("PASS acme, 2026-03-01T00:00:00Z to 2026-04-01T00:00:00Z", out)
        self.assertIn(made["manifest_sha256"], out)
        self.assertNotIn("on trust", out)
        statement = json.load(open(self.path("acme/statement.json")))
        lines = json.load(open(self.path("acme/lines.json")))
        self.assertGreater(len(statement["lines"]), 30)
        self.assertGreater(len(lines), 20)
        self.assertTrue(any(line["precise_total_amount_cents"] not in ("0", "") for line in lines))
        # The lines are those that Lago is told.
        told = {}
        for batch in self.daemon.get("/v1/lago/batches?limit=1000").json["batches"]:
            for one in self.daemon.get(f"/v1/lago/batches/{batch['id']}/events").json["events"]:
                told.setdefault(one["properties"]["line_id"], {})[one["code"]] = one
        for line in lines:
            self.assertIsNotNone(line["line"])
            usage = told[line["line"]]["llm_usage"]["properties"]
            self.assertEqual({name: usage[name] for name in ("calls", "input_tokens", "credits", "model", "batch_id")},
                             dict(calls=line["calls"], input_tokens=line["input_tokens"], credits=line["credits"],
                                  model=line["model"], batch_id=line["batch"]))
            overage = told[line["line"]].get("llm_overage")
            if overage:
                self.assertEqual(overage["precise_total_amount_cents"], line["precise_total_amount_cents"])
        # The balance is the daemon's, where the period is all there is after it.
        self.pack("acme", "whole", "2026-01-01T00:00:00Z/2027-01-01T00:00:00Z")
        self.verify("whole")
        whole = json.load(open(self.path("whole/statement.json")))
        self.assertEqual(whole["closing_credits"],
                         self.daemon.read("/v1/orgs/acme/credits")["balance_credits"])

    def test_nothing_of_others_is_in_it(self):
        self.history()
        self.pack("acme", "acme")
        self.pack("acme", "acme.tar")
        self.assertNothingOf("canary", "acme")
        # The same look finds what is there.
        with self.assertRaises(AssertionError):
            self.assertNothingOf("acme-user-1", "acme")
        # A tar file is the folder, and any tar reads it.
        self.verify("acme")
        self.verify("acme.tar")
        with tarfile.open(self.path("acme.tar")) as tar:
            for name in tar.getnames():
                with open(self.path(f"acme/{name}"), "rb") as file:
                    self.assertEqual(tar.extractfile(name).read(), file.read(), name)
        # The same log, the same pack.
        self.pack("acme", "again.tar")
        with open(self.path("acme.tar"), "rb") as one, open(self.path("again.tar"), "rb") as other:
            self.assertEqual(one.read(), other.read())

    def test_a_call_that_becomes_anothers_names_neither(self):
        self.history()
        self.post([
            correction("leaves", "acme-19", "2026-03-25T00:00:00Z", call(
                "x", org="canary", model="gpt-0", usage={"input_tokens": 100_000})),
            correction("joins", "canary-22", "2026-03-25T00:00:00Z", call(
                "x", org="acme", model="gpt-0", usage={"input_tokens": 200_000}, cost_usd="0.25"))])
        self.daemon.digests()
        made = self.pack("acme", "acme")
        self.assertEqual(made["withheld"], 2)
        self.assertIn(b"on trust: 2 records", self.verify("acme"))
        self.assertNothingOf("canary", "acme")

    def test_wallets_that_others_draw_on_are_taken_on_trust_and_named(self):
        self.history()
        self.post([
            event("ann", "plan.assigned", time="2026-01-02T00:00:00Z", user="acme-user-2", plan="acme-plan",
                  funding="org_then_user"),
            event("ann-grant", "credits.granted", time="2026-01-02T00:00:00Z", user="acme-user-2", credits="1",
                  category="paid"),
            call("drawn", org="acme", user="acme-user-2", model="gpt-1", usage={"input_tokens": 90_000},
                 time="2026-03-28T00:00:00Z")])
        self.daemon.digests()
        self.pack("acme", "own")
        self.assertNotIn(b"on trust", self.verify("own"))
        self.post([call("elsewhere", org="canary", user="acme-user-2", time="2026-03-28T00:00:00Z")])
        self.daemon.digests()
        self.pack("acme", "shared")
        self.assertIn(b"on trust: 1 users", self.verify("shared"))

    def test_checkpoints_and_single_proofs(self):
        self.history()
        kept = self.pack("acme", "early")["checkpoint"]
        with open(self.path("kept"), "w") as file:
            file.write(kept)
        self.verify("early", "--checkpoint", self.path("kept"))
        self.post([call("one more", org="acme")])
        self.daemon.digests()
        self.pack("acme", "late", PERIOD, "--checkpoint", self.path("kept"))
        self.verify("late", "--checkpoint", self.path("kept"))
        # A pack that was not made for this checkpoint cannot be compared with it, and says so.
        self.pack("acme", "other")
        self.assertIn(b"made with --checkpoint", self.verify("other", "--checkpoint", self.path("kept"), code=1))
        origin, size, _ = kept.splitlines()
        with open(self.path("forged"), "w") as file:
            file.write(f"{origin}\n{size}\n{base64.b64encode(bytes(32)).decode()}\n")
        self.verify("late", "--checkpoint", self.path("forged"), code=1)
        self.pack("acme", "none", PERIOD, "--checkpoint", self.path("forged"), code=1)
        self.assertFalse(os.path.exists(self.path("none")))
        # One record's proof, checked here by itself.
        size = self.daemon.high_water()
        proof = json.loads(self.verify("late", "--proof", str(size)))
        self.assertEqual((proof["position"], proof["size"]), (size, size))
        self.assertEqual(base64.b64decode(proof["record_hash"]).hex(),
                         self.daemon.get(f"/v1/events/{size}").json["record_hash"])
        fn = sn = size - 1
        digest = base64.b64decode(proof["record_hash"])
        for step in map(base64.b64decode, proof["hashes"]):
            if fn & 1 or fn == sn:
                digest = hashlib.sha256(b"\1" + step + digest).digest()
                while not fn & 1 and fn:
                    fn, sn = fn >> 1, sn >> 1
            else:
                digest = hashlib.sha256(b"\1" + digest + step).digest()
            fn, sn = fn >> 1, sn >> 1
        with open(self.path("late/checkpoint")) as file:
            self.assertEqual(base64.b64encode(digest).decode(), file.read().splitlines()[2])

    def test_nonsense_is_refused(self):
        self.history()
        for words in (["--org", "acme"], ["--org", "acme", "--period", "2026-13"], ["--org", "acme", "--period", "x/y"],
                      ["--period", PERIOD], ["--org", "", "--period", PERIOD]):
            done = subprocess.run([binary("tallystick-replay"), "pack", "--data", self.daemon.folder, "--to",
                                   self.path("x"), *words], capture_output=True)
            self.assertEqual(done.returncode, 2, (words, done))
        self.assertFalse(os.path.exists(self.path("x")))
        # Nobody of that name: a pack with nothing in it, which holds.
        self.pack("nobody", "nobody")
        self.verify("nobody")

    def test_random_streams(self):
        """What the oracle's generator makes of everything, with corrections: every org's pack passes."""
        for seed in range(1, 40 if LONG else 4):
            daemon, self.daemon = self.daemon, Daemon()
            daemon.close()
            self.addCleanup(self.daemon.close)
            self.daemon.start()
            stream = generated(seed, 1500)
            for start in range(0, len(stream), 300):
                self.daemon.post("/v1/events", b"[" + b",".join(stream[start:start + 300]) + b"]")
                self.daemon.post("/v1/lago/windows/close", None)
            self.daemon.digests()
            events = self.daemon.events()
            orgs = sorted({one["event"]["data"]["org"] for one in events if "org" in one["event"]["data"]})
            months = sorted({one["occurred_at"][:7] for one in events})
            seeded = random.Random(seed)
            for number, org in enumerate(seeded.sample(orgs, min(4, len(orgs)))):
                period = seeded.choice((seeded.choice(months), "2000-01-01T00:00:00Z/2100-01-01T00:00:00Z"))
                with self.subTest(seed=seed, org=org, period=period):
                    self.pack(org, f"{seed}-{number}", period)
                    self.verify(f"{seed}-{number}")


class Changed(Packs):
    def setUp(self):
        super().setUp()
        self.history()
        self.pack("acme", "acme")
        self.pack("acme", "acme.tar")
        self.verify("acme")

    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)

    def sealed_again(self):
        """As somebody would who changes the pack: all hashes fit."""
        manifest = json.loads(self.content("acme/manifest.json"))
        for file in manifest["files"]:
            content = self.content(f"acme/{file['name']}")
            file.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        written = json.dumps(manifest, separators=(",", ":")).encode() + b"\n"
        self.write("acme/manifest.json", written)
        self.write("acme/manifest.sha256", f"{hashlib.sha256(written).hexdigest()}  manifest.json\n".encode())

    def test_any_byte_of_any_file(self):
        seeded = random.Random(20261125)
        for name in sorted(os.listdir(self.path("acme"))):
            before = self.content(f"acme/{name}")
            for _ in range(12 if LONG else 4):
                changed = bytearray(before)
                changed[seeded.randrange(len(changed))] ^= 1 << seeded.randrange(8)
                self.write(f"acme/{name}", changed)
                self.assertIn(b"FAIL", self.verify("acme", code=1), name)
            self.write(f"acme/{name}", before)
        before = self.content("acme.tar")
        for _ in range(120 if LONG else 30):
            changed = bytearray(before)
            changed[seeded.randrange(len(changed))] ^= 1 << seeded.randrange(8)
            self.write("acme.tar", changed)
            self.verify("acme.tar", code=1)
        for cut in (0, 512, len(before) // 2, len(before) - 512, len(before) - 1):
            self.write("acme.tar", before[:cut])
            self.verify("acme.tar", code=1)
        self.verify("acme")

    def test_a_file_more_or_less(self):
        for name in sorted(os.listdir(self.path("acme"))):
            before = self.content(f"acme/{name}")
            os.unlink(self.path(f"acme/{name}"))
            self.verify("acme", code=1)
            self.write(f"acme/{name}", before)
        self.write("acme/extra", b"x")
        self.verify("acme", code=1)
        os.unlink(self.path("acme/extra"))
        self.verify("acme")

    def test_each_kind_of_lie_though_all_hashes_fit(self):
        """What only the records and the roots can tell."""
        def lines(name):
            return self.content(f"acme/{name}").splitlines(keepends=True)

        def records(change):
            return lambda: self.write("acme/records.ndjson", b"".join(change(lines("records.ndjson"))))

        def edited(name, change):
            def edit():
                value = json.loads(self.content(f"acme/{name}"))
                change(value)
                self.write(f"acme/{name}", json.dumps(value).encode())
            return edit

        def charge(change):
            def edit():
                rows = [json.loads(line) for line in lines("charges.ndjson")]
                change(rows)
                self.write("acme/charges.ndjson", b"".join(json.dumps(row).encode() + b"\n" for row in rows))
            return edit

        def flipped(rows):
            record = bytearray(base64.b64decode(rows[40]))
            record[-1] ^= 1
            return rows[:40] + [base64.b64encode(record) + b"\n"] + rows[41:]

        def checkpoint():
            origin, size, root = self.content("acme/checkpoint").decode().splitlines()
            self.write("acme/checkpoint", f"{origin}\n{size}\n{base64.b64encode(bytes(32)).decode()}\n".encode())

        lies = {
            "a record is dropped": records(lambda rows: rows[:30] + rows[31:]),
            "a record is there twice": records(lambda rows: rows[:30] + [rows[30]] + rows[30:]),
            "two records are swapped": records(lambda rows: rows[:30] + [rows[31], rows[30]] + rows[32:]),
            "a record is another": records(flipped),
            "a charge is another": charge(lambda rows: rows[5].update(credits="0.000001")),
            "a charge is left out": charge(lambda rows: rows.pop(3)),
            "two charges are swapped": charge(lambda rows: rows.insert(0, rows.pop(1))),
            "a slice is of another lot": charge(lambda rows: next(
                part for row in rows for part in row["parts"] if part["slices"])["slices"][0].__setitem__(0, "x")),
            "a line is another": edited("lines.json", lambda value: value[2].update(calls=value[2]["calls"] + 1)),
            "a line is due more": edited("lines.json", lambda value: value[2].update(precise_total_amount_cents="1")),
            "a line lists another record": edited("lines.json", lambda value: value[2]["records"].append([5, 1])),
            "a line is left out": edited("lines.json", lambda value: value.pop()),
            "two lines share their lists": edited("lines.json", lambda value: value[0].update(
                records=value[1]["records"])),
            "the opening balance is another": edited("statement.json", lambda value: value.update(opening_credits="9")),
            "a movement is left out": edited("statement.json", lambda value: value["lines"].pop(4)),
            "the totals are others": edited("statement.json", lambda value: value["totals"].update(calls=1)),
            "a hash of the proof is missing": edited("proof.json", lambda value: value["others"].pop()),
            "a hash of the proof is another": edited("proof.json", lambda value: value["others"].reverse()),
            "the period's root is another": edited("proof.json", lambda value: [
                one.update(root=base64.b64encode(bytes(32)).decode()) for one in value["consistency"]]),
            "the checkpoint is another": checkpoint,
            "the pack is of another org": edited("manifest.json", lambda value: value.update(org="canary")),
            "the period is another": edited("manifest.json", lambda value: value.update(end="2026-03-15T00:00:00Z")),
        }
        shutil.copytree(self.path("acme"), self.path("whole"))
        for name, lie in lies.items():
            with self.subTest(name):
                lie()
                self.sealed_again()
                self.assertIn(b"FAIL", self.verify("acme", code=1))
                shutil.rmtree(self.path("acme"))
                shutil.copytree(self.path("whole"), self.path("acme"))
        self.sealed_again()
        self.verify("acme")


if __name__ == "__main__":
    unittest.main()
