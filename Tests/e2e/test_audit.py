"""Receipts, proofs, checkpoints: what a sender or an auditor can check without trusting the daemon."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from harness import ROOT, Daemon, DaemonCase, binary, call, event, post_starter
from merkle import Checkpoint, grew, includes, signed_by

REPRESENTATION = {"Prefer": "return=representation"}


def checkpoint(daemon, query=""):
    answer = daemon.get(f"/v1/log/checkpoint{query}")
    assert answer.status == 200 and answer.kind == "text/plain", answer
    return Checkpoint(answer.body.decode())


class Receipts(DaemonCase):
    def test_a_receipt_for_each_item_in_every_form(self):
        def results(answer):
            self.assertEqual(answer.status, 200, answer)
            return answer.json["results"]

        one = results(self.daemon.post("/v1/events", call("r1"), headers=REPRESENTATION))
        self.assertEqual([(r["index"], r["id"], r["status"]) for r in one], [(0, "r1", "accepted")])
        again = results(self.daemon.post("/v1/events", call("r1"), headers=REPRESENTATION))
        self.assertEqual(again, [{**one[0], "status": "duplicate"}])
        items = [call("r2"), call("r1"), call("r1", model="other"), call("r3", usage={"input_tokens": -1}), call("r2")]
        many = results(self.daemon.post("/v1/events", items, headers=REPRESENTATION))
        self.assertEqual([r["status"] for r in many], ["accepted", "duplicate", "conflict", "rejected", "duplicate"])
        self.assertEqual((many[1]["position"], many[1]["record_hash"]), (one[0]["position"], one[0]["record_hash"]))
        self.assertEqual((many[4]["position"], many[4]["record_hash"]), (many[0]["position"], many[0]["record_hash"]))
        self.assertEqual(many[2]["position"], one[0]["position"])
        self.assertNotIn("record_hash", many[2])
        self.assertEqual(set(many[3]), {"index", "id", "status"})
        lines = b"\n".join(json.dumps(item).encode() for item in [call("r4"), call("r2")])
        ndjson = results(self.daemon.post(
            "/v1/events", lines, kind="application/x-ndjson", headers=REPRESENTATION))
        self.assertEqual([r["status"] for r in ndjson], ["accepted", "duplicate"])
        self.assertEqual(ndjson[1]["record_hash"], many[0]["record_hash"])
        for receipt in [*one, many[0], ndjson[0]]:
            stored = self.daemon.get(f"/v1/events/{receipt['position']}").json
            self.assertEqual(stored["record_hash"], receipt["record_hash"])
            self.assertEqual(stored["event"]["id"], receipt["id"])
        # A single one that is refused is a problem, receipt or not; and without the wish there are none.
        self.assertProblem(
            self.daemon.post("/v1/events", call("r1", model="other"), headers=REPRESENTATION), 409, "conflict")
        self.assertNotIn("results", self.daemon.post("/v1/events", call("r5")).json)

    def test_a_sender_proves_that_his_event_is_in_the_log(self):
        receipt = self.daemon.post("/v1/events", call("mine"), headers=REPRESENTATION).json["results"][0]
        early = checkpoint(self.daemon, f"?min_position={receipt['position']}")
        self.assertGreaterEqual(early.size, receipt["position"])
        path = f"/v1/log/proofs/inclusion?position={receipt['position']}&size={early.size}"
        proof = self.daemon.get(path).json
        self.assertEqual(base64.b64decode(proof["record_hash"]).hex(), receipt["record_hash"])
        self.assertTrue(includes(early, proof))
        # Nothing else is proved by it.
        self.assertFalse(includes(early, {**proof, "position": proof["position"] + 1}))
        self.assertFalse(includes(early, {**proof, "record_hash": base64.b64encode(bytes(32)).decode()}))
        for start in range(0, 900, 300):
            answer = self.daemon.post("/v1/events", [call(f"later {start + n}") for n in range(300)])
            self.assertEqual(answer.json["accepted"], 300)
        late = checkpoint(self.daemon, f"?min_position={self.daemon.high_water()}")
        consistency = self.daemon.get(f"/v1/log/proofs/consistency?first={early.size}&second={late.size}").json
        self.assertTrue(grew(early, late, consistency))
        self.assertFalse(grew(Checkpoint(early.text.replace("\n", "\n", 1)), early, consistency))
        # Still the same checkpoint for that size, and the same proof.
        self.assertEqual(checkpoint(self.daemon, f"?size={early.size}").text, early.text)
        self.assertEqual(self.daemon.get(path).json, proof)
        newer = self.daemon.get(f"/v1/log/proofs/inclusion?position={receipt['position']}").json
        self.assertTrue(includes(checkpoint(self.daemon, f"?size={newer['size']}"), newer))
        self.prove_says_the_same(early, late, receipt["position"], proof, consistency)

    def prove_says_the_same(self, early, late, position, proof, consistency):
        def prove(*arguments):
            done = self.daemon.replay("prove", "--json", *arguments)
            self.assertEqual(done.returncode, 0, done)
            return json.loads(done.stdout)

        self.assertEqual(prove("--size", str(early.size))["checkpoint"], early.text)
        offline = prove("--position", str(position), "--size", str(early.size))
        self.assertEqual({name: offline[name] for name in proof}, proof)
        offline = prove("--first", str(early.size), "--second", str(late.size))
        self.assertEqual({name: offline[name] for name in consistency}, consistency)
        text = self.daemon.replay("prove", "--size", str(late.size))
        self.assertEqual(text.stdout.decode(), late.text)

    def test_every_small_size(self):
        while self.daemon.high_water() < 20:
            self.daemon.post("/v1/events", call(f"small {self.daemon.high_water()}"))
        points = [checkpoint(self.daemon, f"?size={size}&min_position=20") for size in range(21)]
        for second in points:
            for first in points[:second.size + 1]:
                proof = self.daemon.get(
                    f"/v1/log/proofs/consistency?first={first.size}&second={second.size}").json
                self.assertTrue(grew(first, second, proof), (first.size, second.size))
            for position in range(1, second.size + 1):
                proof = self.daemon.get(f"/v1/log/proofs/inclusion?position={position}&size={second.size}").json
                self.assertTrue(includes(second, proof), (position, second.size))

    def test_questions_that_make_no_sense(self):
        self.daemon.post("/v1/events", [call("q1"), call("q2")])
        end = self.daemon.high_water()
        beyond = end + 1000
        for path, field in [
            ("inclusion", "position"), ("inclusion?position=0", "position"), ("inclusion?position=x", "position"),
            (f"inclusion?position=1&size={beyond}", "size"), ("inclusion?position=2&size=1", "size"),
            ("inclusion?position=1&first=1", "first"), ("consistency", "first"), ("consistency?first=2&second=1", "first"),
            (f"consistency?first=1&second={beyond}", "second"), (f"consistency?first={beyond}", "first"),
            ("consistency?first=-1", "first"), ("inclusion?position=1&position=2", "position"),
        ]:
            with self.subTest(path):
                self.assertProblem(self.daemon.get(f"/v1/log/proofs/{path}"), 400, field=field)
        self.assertProblem(self.daemon.get(f"/v1/log/proofs/inclusion?position={beyond}"), 404, "not_found")
        self.assertProblem(self.daemon.get(f"/v1/log/checkpoint?size={beyond}"), 400, field="size")
        self.assertProblem(self.daemon.get("/v1/log/checkpoint", key=None), 401)
        self.daemon.key("poster", "ingest")
        self.assertProblem(self.daemon.get("/v1/log/checkpoint", key="poster"), 403)

    def test_a_confined_key_gets_proofs_of_its_own_records_only(self):
        answer = self.daemon.post("/v1/events", [call("c1", org="org_a"), call("c2", org="org_b")]).json
        own, other = answer["first_position"], answer["last_position"]
        self.daemon.key("confined", "read", "--org", "org_a")
        path = "/v1/log/proofs/inclusion?position={}"
        proof = self.daemon.get(path.format(own), key="confined").json
        point = self.daemon.get(f"/v1/log/checkpoint?size={proof['size']}", key="confined")
        self.assertTrue(includes(Checkpoint(point.body.decode()), proof))
        hidden = self.assertProblem(self.daemon.get(path.format(other), key="confined"), 404, "not_found")
        unknown = self.assertProblem(self.daemon.get(path.format(10 ** 9), key="confined"), 404, "not_found")
        self.assertEqual(hidden["detail"].replace(str(other), "N"), unknown["detail"].replace(str(10 ** 9), "N"))

    def test_the_tree_is_among_the_projections_and_figures(self):
        self.daemon.post("/v1/events", call("t1"))
        end = self.daemon.high_water()
        tree = self.daemon.read("/v1/projections", end)["tree"]
        self.assertEqual(tree, {"progress": end, "lag": 0, "state": "running"})
        self.assertIn(f"tallystick_tree_size {end}\n", self.daemon.get("/metrics", key=None).body.decode())


class SignedCheckpoints(DaemonCase):
    def sign(self, *arguments, text=b""):
        return subprocess.run(
            [os.path.join(ROOT, "ops/sign-checkpoint"), *arguments], input=text, capture_output=True, timeout=60)

    def test_a_checkpoint_is_signed_outside_and_checked_by_others(self):
        self.daemon.post("/v1/events", call("s1"))
        text = self.daemon.get("/v1/log/checkpoint?min_position=1").body
        folder = tempfile.mkdtemp(prefix="tallystick-sign-")
        self.addCleanup(shutil.rmtree, folder)
        key = os.path.join(folder, "key")
        made = self.sign("new-key", "--key", key, "--name", "meter.example.com/prod")
        self.assertEqual(made.returncode, 0, made)
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        vkey = made.stdout.decode().strip()
        self.assertNotEqual(self.sign("new-key", "--key", key, "--name", "x").returncode, 0)
        signed = self.sign("sign", "--key", key, "--name", "meter.example.com/prod", text=text)
        self.assertEqual(signed.returncode, 0, signed)
        note = signed.stdout.decode()
        self.assertEqual(signed_by(vkey, note), text.decode())
        checked = self.sign("verify", "--vkey", vkey, text=signed.stdout)
        self.assertEqual((checked.returncode, checked.stdout), (0, text))
        # The tools take it as it is.
        path = os.path.join(folder, "note")
        with open(path, "w") as file:
            file.write(note)
        for verb in ("prove", "verify"):
            self.assertEqual(self.daemon.replay(verb, "--checkpoint", path).returncode, 0)
        # A changed text, a signature of somebody else, no signature.
        size = text.split(b"\n")[1]
        other = self.sign("new-key", "--key", key + "2", "--name", "meter.example.com/prod").stdout.decode().strip()
        for vk, changed in [
            (vkey, note.replace(f"\n{size.decode()}\n", f"\n{int(size) + 1}\n", 1)), (other, note), (vkey, text.decode()),
            (vkey, note[:-6] + ("AAAA=\n" if note[-6:-2] != "AAAA" else "BBBB=\n")),
        ]:
            self.assertIsNone(signed_by(vk, changed))
            self.assertEqual(self.sign("verify", "--vkey", vk, text=changed.encode()).returncode, 1)
        for nonsense in (b"", b"a\nb\nc\n", text + b"more\n", text[:-1]):
            self.assertNotEqual(
                self.sign("sign", "--key", key, "--name", "n", text=nonsense).returncode, 0, nonsense)


class Detection(unittest.TestCase):
    """What `verify` and a saved checkpoint say when somebody was at the files."""

    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.kept = tempfile.mkdtemp(prefix="tallystick-kept-")
        self.addCleanup(shutil.rmtree, self.kept)

    def path(self, *parts):
        return os.path.join(self.daemon.folder, *parts)

    def save(self, name="checkpoint"):
        path = os.path.join(self.kept, name)
        with open(path, "wb") as file:
            file.write(self.daemon.replay("prove").stdout)
        return path

    def parts(self, *arguments, code=1):
        done = self.daemon.replay("verify", "--json", *arguments)
        self.assertEqual(done.returncode, code, done)
        return {part["part"]: part for part in json.loads(done.stdout)["parts"]}

    def fill(self, count, prefix="e"):
        answer = self.daemon.post("/v1/events", [call(f"{prefix}{n}") for n in range(count)])
        self.assertEqual(answer.json["accepted"], count, answer)

    def test_a_lost_tail_and_an_older_copy(self):
        self.daemon.start()
        post_starter(self.daemon)
        self.fill(300)
        self.daemon.read("/v1/projections")
        self.daemon.stop()
        older = self.daemon.replay("verify", "--json")
        self.assertEqual(older.returncode, 0, older)
        at = json.loads(older.stdout)["high_water"]
        shutil.copytree(self.path("log"), os.path.join(self.kept, "log"))
        self.daemon.start()
        self.fill(400, "later")
        end = self.daemon.high_water()
        self.daemon.read("/v1/projections", end)
        self.daemon.stop()
        saved = self.save()
        whole = self.parts("--checkpoint", saved, code=0)
        self.assertEqual(whole["checkpoint"]["state"], "holds")
        self.assertEqual(whole["tiles"]["state"], "holds")
        self.assertIn("through position", whole["index"]["detail"])
        shutil.rmtree(self.path("log"))
        shutil.copytree(os.path.join(self.kept, "log"), self.path("log"))
        parts = self.parts("--checkpoint", saved)
        for name in ("checkpoint", "tiles", "index", "credits"):
            self.assertEqual(parts[name]["state"], "differs", parts[name])
        self.assertIn(f"positions {at + 1} to {end} are missing", parts["checkpoint"]["detail"])
        self.assertEqual(parts["tiles"]["position"], at + 1)
        done = self.daemon.replay("prove", "--checkpoint", saved)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"the log ends at position {at}", done.stdout.decode())
        # With everything beside the log gone, only what was kept elsewhere tells.
        for name in ("readmodels", "index", "tiles"):
            shutil.rmtree(self.path(name))
        self.assertEqual(self.parts(code=0)["log"]["state"], "holds")
        self.assertEqual(self.parts("--checkpoint", saved)["checkpoint"]["state"], "differs")

    def test_a_history_that_was_written_anew(self):
        self.daemon.start()
        self.fill(600)
        self.daemon.read("/v1/projections")
        self.daemon.stop()
        saved = self.save()
        # The same log but for one call, every hash and link of it in order: as an import makes it.
        other = Daemon()
        self.addCleanup(other.close)
        other.start()
        answer = other.post("/v1/events", [call(f"e{n}", model="gpt-4o" if n != 417 else "gpt-4o-mini") for n in range(600)])
        self.assertEqual(answer.json["accepted"], 600)
        other.stop()
        shutil.rmtree(self.path("log"))
        shutil.copytree(os.path.join(other.folder, "log"), self.path("log"))
        parts = self.parts("--checkpoint", saved)
        self.assertEqual(parts["log"]["state"], "holds")
        self.assertIn("positions 1 to 600 holds another record", parts["checkpoint"]["detail"])
        self.assertIn("another log", parts["tiles"]["detail"])
        self.assertEqual(parts["index"]["state"], "differs")
        self.assertEqual(self.daemon.replay("prove", "--checkpoint", saved).returncode, 1)

    def test_deleted_tiles_come_back_the_same(self):
        self.daemon.start()
        self.fill(2000)
        points = [self.daemon.get("/v1/log/checkpoint?size=1999&min_position=2000").body]
        proofs = [self.daemon.get("/v1/log/proofs/inclusion?position=777&size=1999").json]
        self.daemon.stop()
        with open(self.path("tiles", "0"), "rb") as file:
            tiles = [file.read()]
        shutil.rmtree(self.path("tiles"))
        self.daemon.start()
        points.append(self.daemon.get("/v1/log/checkpoint?size=1999&min_position=2000").body)
        proofs.append(self.daemon.get("/v1/log/proofs/inclusion?position=777&size=1999").json)
        self.daemon.stop()
        with open(self.path("tiles", "0"), "rb") as file:
            tiles.append(file.read())
        for pair in (points, proofs, tiles):
            self.assertEqual(pair[0], pair[1])
        self.assertEqual(len(tiles[0]), 2000 // 256 * 8192)

    def test_a_damaged_tile_gives_no_proof(self):
        self.daemon.start()
        self.fill(2000)
        self.daemon.read("/v1/projections")
        with open(self.path("tiles", "0"), "r+b") as file:
            file.seek(8192 + 5)
            byte = file.read(1)
            file.seek(8192 + 5)
            file.write(bytes([byte[0] ^ 1]))
        answer = self.daemon.get("/v1/log/proofs/inclusion?position=300")
        self.assertEqual((answer.status, answer.json["code"]), (500, "tiles_damaged"), answer)
        self.assertIn("positions 257 to 512", answer.json["detail"])
        self.assertEqual(self.daemon.get("/v1/log/proofs/inclusion?position=1").status, 200)
        self.daemon.stop()
        self.assertEqual(self.parts()["tiles"]["position"], 257)

    def test_an_origin_of_ones_own(self):
        os.environ["TALLYSTICK_LOG_ORIGIN"] = "meter.example.com/prod"
        self.addCleanup(os.environ.pop, "TALLYSTICK_LOG_ORIGIN")
        self.daemon.start()
        self.fill(1)
        point = checkpoint(self.daemon, "?min_position=1")
        self.assertEqual((point.origin, point.size), ("meter.example.com/prod", 1))
        done = self.daemon.replay("prove", "--log-origin", "meter.example.com/prod")
        self.assertEqual(done.stdout.decode(), point.text)
        self.daemon.stop()
        os.environ["TALLYSTICK_LOG_ORIGIN"] = "two words"
        done = subprocess.run(
            [binary("tallystick"), "serve", "--data", self.daemon.folder], capture_output=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"log-origin", done.stderr)


if __name__ == "__main__":
    unittest.main()
