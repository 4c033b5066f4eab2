"""`tallystick keys` beside a running daemon: rotation, revocation at once, last use."""

import hashlib
import json
import os
import re
import stat
import subprocess
import time
import unittest

from harness import DaemonCase, binary, call

# What a secret scanner is given; README.md has the same.
SCANNER = re.compile(r"\btsk_[0-9a-f]{12}_[0-9a-f]{72}\b")


class Keys(DaemonCase):
    def keys(self, *words, code=0):
        done = subprocess.run([binary("tallystick"), "keys", *words, "--data", self.daemon.folder], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.strip() if code == 0 else done.stderr

    def listed(self):
        return {one["id"]: one for one in json.loads(self.keys("list", "--json"))}

    def opens(self, key, connection=None):
        status = self.daemon.get("/v1/projections", key=key, connection=connection).status
        self.assertIn(status, (200, 401))
        return status == 200

    def test_a_key_has_a_form_that_scanners_know(self):
        keys = {self.keys("add", "--name", f"form {index}", "--scopes", "read") for index in range(20)}
        self.assertEqual(len(keys), 20)
        for key in keys:
            self.assertEqual(SCANNER.findall(f'key="{key}";'), [key])
            self.assertEqual(hashlib.sha256(key[:-8].encode()).hexdigest()[:8], key[-8:])
        folder = self.daemon.folder
        for name in ("keys.json", "keys.lock"):
            self.assertEqual(stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode), 0o600, name)
        with open(os.path.join(folder, "keys.json")) as file:
            text = file.read()
        self.assertEqual(SCANNER.findall(text), [])
        for key in keys:
            self.assertIn(hashlib.sha256(key[17:81].encode()).hexdigest(), text)
            self.assertNotIn(key[17:81], text)

    def test_rotation_overlaps_and_keeps_the_name(self):
        old = self.keys("add", "--name", "gate", "--scopes", "ingest,read", "--default-org", "org_gate")
        self.assertTrue(self.opens(old))
        new = self.keys("rotate", "gate", "--overlap", "1h")
        self.assertTrue(self.opens(old) and self.opens(new))
        rows = self.listed()
        first, second = rows[old[4:16]], rows[new[4:16]]
        self.assertEqual({**second, "id": 0, "created_at": 0, "expires_at": 0, "last_used_at": 0},
                         {**first, "id": 0, "created_at": 0, "expires_at": 0, "last_used_at": 0})
        self.assertIsNone(second["expires_at"])
        self.assertTrue(first["expires_at"])
        # The same sender, so its events have the same key: sent again with the new key it is a duplicate.
        item = [{"id": "r", "litellm_call_id": "r", "call_type": "acompletion", "status": "success", "startTime": 1.0,
                 "endTime": 2.0, "model": "m", "custom_llm_provider": "p", "metadata": {}}]
        self.assertEqual(self.daemon.post("/v1/ingest/litellm", item, key=old).json["accepted"], 1)
        self.assertEqual(self.daemon.post("/v1/ingest/litellm", item, key=new).json["duplicates"], 1)
        # Without overlap the old one is refused at once, on a connection that is open too.
        connection = self.daemon.connect()
        self.addCleanup(connection.close)
        self.assertTrue(self.opens(new, connection))
        newest = self.keys("rotate", "gate", "--overlap", "0")
        self.assertFalse(self.opens(new, connection) or self.opens(old, connection))
        self.assertTrue(self.opens(newest, connection))
        self.assertEqual(self.listed()[new[4:16]]["state"], "expired")

    def test_revocation_is_at_once(self):
        old = self.keys("add", "--name", "leaky", "--scopes", "read")
        new = self.keys("rotate", "leaky")
        connection = self.daemon.connect()
        self.addCleanup(connection.close)
        self.assertTrue(self.opens(old, connection))
        self.keys("revoke", "--id", old[4:16])
        self.assertFalse(self.opens(old, connection))
        self.assertTrue(self.opens(new, connection))
        self.keys("revoke", "leaky")
        self.assertFalse(self.opens(new, connection))
        self.assertEqual(self.listed()[new[4:16]]["state"], "revoked")

    def test_a_key_revoked_while_its_body_comes_stores_nothing(self):
        key = self.keys("add", "--name", "midway", "--scopes", "ingest")
        body = json.dumps(call("midway")).encode()
        connection = self.daemon.connect()
        self.addCleanup(connection.close)
        connection.putrequest("POST", "/v1/events")
        connection.putheader("Authorization", f"Bearer {key}")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:20])
        self.keys("revoke", "midway")
        connection.send(body[20:])
        self.assertEqual(connection.getresponse().status, 401)

    def test_last_use_is_kept_in_a_file_of_its_own(self):
        used = self.keys("add", "--name", "used", "--scopes", "lago")
        idle = self.keys("add", "--name", "idle", "--scopes", "lago")
        # Without the scope it was used all the same: somebody has it.
        self.assertEqual(self.daemon.get("/v1/tokens", key=used).status, 403)
        # A first use is written at once; later ones once a minute and at the end.
        end = time.monotonic() + 20
        while self.listed()[used[4:16]]["last_used_at"] is None:
            self.assertLess(time.monotonic(), end)
        self.assertEqual(self.daemon.stop(), 0)
        with open(os.path.join(self.daemon.folder, "keys.json"), "rb") as file:
            before = file.read()
        rows = self.listed()
        self.assertRegex(rows[used[4:16]]["last_used_at"], r"^\d{4}-\d\d-\d\dT.*Z$")
        self.assertIsNone(rows[idle[4:16]]["last_used_at"])
        self.assertIn("LAST USED", self.keys("list"))
        self.assertIn("never", self.keys("list"))
        self.daemon.start()
        self.assertEqual(self.daemon.get("/v1/tokens", key=idle).status, 403)
        self.assertEqual(self.daemon.stop(), 0)
        self.assertEqual(self.listed()[used[4:16]]["last_used_at"], rows[used[4:16]]["last_used_at"])
        self.assertTrue(self.listed()[idle[4:16]]["last_used_at"])
        with open(os.path.join(self.daemon.folder, "keys.json"), "rb") as file:
            self.assertEqual(file.read(), before)
        self.daemon.start()

    def test_what_cannot_be_done_is_said(self):
        for words, code in (
            (("rotate", "nobody"), 74), (("rotate",), 64), (("rotate", "all", "--overlap", "soon"), 64),
            (("rotate", "all", "--overlap", "-1h"), 64), (("rotate", "all", "--overlap", "1h30"), 64),
            (("rotate", "all", "--overlap", "9223372036854775807d"), 64), (("rotate", "all", "--expires", "soon"), 64),
            (("revoke", "nobody"), 74), (("revoke", "--id", "000000000000"), 74), (("revoke",), 64),
            (("revoke", "all", "--id", "0"), 64), (("list", "--xml"), 64), (("list", "--json=1"), 64),
            (("rename",), 64),
        ):
            with self.subTest(words=words):
                self.assertTrue(self.keys(*words, code=code).startswith("tallystick: "))
        self.assertTrue(self.opens("all"))


if __name__ == "__main__":
    unittest.main()
