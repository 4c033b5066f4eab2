"""keys.json: whose it is, what a damaged one opens, and that a running daemon keeps the keys it has."""

import json
import os
import random
import shutil
import stat
import subprocess
import tempfile
import time
import unittest

from harness import Daemon, binary, call

NOBODY, SOMEBODY = 65534, 65533
WARNING = "keys.json"


def keys(folder, *words, code=0, **more):
    done = subprocess.run([binary("tallystick"), "keys", *words, "--data", folder], capture_output=True, text=True,
                          timeout=60, **more)
    if done.returncode != code:
        raise AssertionError(f"keys {words}: {done.returncode} {done.stdout} {done.stderr}")
    return done.stdout.strip() if code == 0 else done.stderr


def path(daemon):
    return os.path.join(daemon.folder, "keys.json")


def read(daemon):
    with open(path(daemon), "rb") as file:
        return file.read()


def put(daemon, content, owner=None):
    """Replaces the file as a tool does that writes beside it and renames."""
    with open(path(daemon) + ".put", "wb") as file:
        file.write(content)
    if owner is not None:
        os.chown(path(daemon) + ".put", owner, owner)
    os.replace(path(daemon) + ".put", path(daemon))


def status(daemon, key):
    return daemon.get("/v1/projections", key=key).status


def told(daemon):
    """(warnings about the file, the metric)."""
    answer = daemon.get("/readyz", key=None)
    assert answer.status == 200, answer
    warnings = [one for one in answer.json["warnings"] if WARNING in one]
    lines = daemon.get("/metrics", key=None).body.decode().splitlines()
    return warnings, [line.split()[1] for line in lines if line.startswith("tallystick_keys_file_ok ")]


def version_1(content):
    """The file as earlier versions wrote it."""
    rows = json.loads(content)["keys"]
    for row in rows:
        row.pop("checksum", None)
    return json.dumps({"version": 1, "keys": rows}, separators=(",", ":")).encode() + b"\n"


class Case(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def assertTold(self, isFault):
        # The file is looked at once a millisecond: two answers may lie on both sides of a look.
        wanted, end = (1, ["0"]) if isFault else (0, ["1"]), time.monotonic() + 5
        while True:
            warnings, metric = told(self.daemon)
            if (len(warnings), metric) == wanted or time.monotonic() > end:
                break
        self.assertEqual((len(warnings), metric), wanted, warnings)
        return warnings


class Lines(Case):
    def setUp(self):
        super().setUp()
        self.folder = self.daemon.folder
        self.made = [
            keys(self.folder, "add", "--name", "a", "--scopes", "read", "--org", "org_a"),
            keys(self.folder, "add", "--name", "b", "--scopes", "read,ingest", "--org", "org_b", "--expires",
                 "2031-01-02T03:04:05Z"),
            keys(self.folder, "add", "--name", "gone", "--scopes", "admin"),
        ]
        keys(self.folder, "revoke", "gone")

    def damaged(self, line, byte=20):
        """The file with one bit of one line (from 1) turned."""
        lines = read(self.daemon).split(b"\n")
        content = bytearray(lines[line - 1])
        content[byte] ^= 1
        lines[line - 1] = bytes(content)
        return b"\n".join(lines)

    def test_one_key_a_line_each_with_a_checksum(self):
        content = read(self.daemon)
        lines = content.decode().split("\n")
        document = json.loads(content)
        self.assertEqual(document["version"], 2)
        self.assertEqual([row["name"] for row in document["keys"]], ["a", "b", "gone"])
        self.assertEqual([json.loads(line.rstrip(",")) for line in lines[1:4]], document["keys"])
        self.assertEqual({len(row["checksum"]) for row in document["keys"]}, {64})

    def test_a_file_of_version_1_opens_and_the_next_change_writes_version_2(self):
        put(self.daemon, version_1(read(self.daemon)))
        self.daemon.key()
        self.assertEqual(json.loads(read(self.daemon))["version"], 2)
        put(self.daemon, version_1(read(self.daemon)))
        self.daemon.start()
        self.assertEqual([status(self.daemon, key) for key in self.made], [200, 200, 401])
        self.assertTold(False)

    def test_a_start_opens_the_keys_of_whole_lines_alone_and_says_which_line_is_damaged(self):
        self.daemon.key()
        put(self.daemon, self.damaged(2))
        self.daemon.start()
        self.assertEqual([status(self.daemon, key) for key in self.made], [401, 200, 401])
        self.assertTold(True)
        self.assertIn("lines=2", self.daemon.log())
        before = read(self.daemon)
        for words in (("add", "--name", "c", "--scopes", "read"), ("rotate", "b"), ("revoke", "b")):
            said = keys(self.folder, *words, code=74)
            self.assertIn("line 2", said)
            self.assertIn("nothing was changed", said)
        self.assertEqual(read(self.daemon), before)
        # What is whole is listed all the same.
        done = subprocess.run([binary("tallystick"), "keys", "list", "--json", "--data", self.folder],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual([row["name"] for row in json.loads(done.stdout)], ["b", "gone", "all"])
        self.assertEqual(done.returncode, 74)
        self.assertIn("line 2", done.stderr)
        # The remedy that is said: the line is deleted by hand, here the last one with the comma before it left over.
        lines = before.split(b"\n")
        put(self.daemon, b"\n".join(lines[:1] + lines[2:4] + lines[5:]))
        keys(self.folder, "add", "--name", "c", "--scopes", "read")
        self.assertEqual([row["name"] for row in json.loads(read(self.daemon))["keys"]], ["b", "gone", "c"])

    def test_no_turned_bit_changes_what_a_key_is(self):
        content = read(self.daemon)
        whole = {row["id"]: row for row in json.loads(keys(self.folder, "list", "--json"))}
        chance = random.Random(10)
        for index in range(0, len(content), 9):
            turned = bytearray(content)
            turned[index] ^= 1 << chance.randrange(8)
            put(self.daemon, bytes(turned))
            done = subprocess.run([binary("tallystick"), "keys", "list", "--json", "--data", self.folder],
                                  capture_output=True, text=True, timeout=60)
            with self.subTest(byte=index, value=turned[index]):
                self.assertEqual(done.returncode, 74, done.stdout)
                rows = json.loads(done.stdout)
                self.assertGreaterEqual(len(rows), 1)
                for row in rows:
                    self.assertEqual(row, whole.get(row["id"]))


class Running(Case):
    def setUp(self):
        super().setUp()
        self.daemon.start()
        self.other = self.daemon.key("other", "read")
        self.daemon.key("revoked", "read")
        keys(self.daemon.folder, "revoke", "revoked")
        self.opening()
        self.assertTold(False)

    def opening(self):
        self.assertEqual([status(self.daemon, key) for key in ("all", "other", "revoked")], [200, 200, 401])

    def test_a_daemon_keeps_the_keys_it_has(self):
        good = read(self.daemon)
        lines = good.split(b"\n")
        lines[2] = lines[2].replace(b"other", b"othar")
        for name, content in (
            ("garbage", b"\0" * 100), ("empty", b""), ("a later version", b'{"version":9,"keys":[]}\n'),
            ("cut off", good[:len(good) // 2]), ("a damaged line", b"\n".join(lines)), ("none", None),
        ):
            with self.subTest(name):
                if content is None:
                    os.unlink(path(self.daemon))
                else:
                    put(self.daemon, content)
                self.opening()
                self.assertTold(True)
                self.assertIn(" error ", self.daemon.log())
                put(self.daemon, good)
                self.opening()
                self.assertTold(False)
                self.assertIn("keys.json is whole again", self.daemon.log())

    def test_no_command_begins_anew_where_the_file_is_gone(self):
        good = read(self.daemon)
        os.unlink(path(self.daemon))
        for words in (("add", "--name", "new", "--scopes", "read"), ("revoke", "other"), ("rotate", "other"),
                      ("list",)):
            self.assertIn("is gone", keys(self.daemon.folder, *words, code=74))
            self.opening()
        self.assertTold(True)
        put(self.daemon, good)
        keys(self.daemon.folder, "add", "--name", "new", "--scopes", "read")
        self.assertTold(False)

    def test_what_is_no_file_stops_nothing(self):
        good = read(self.daemon)
        os.unlink(path(self.daemon))
        for make in (os.mkfifo, os.mkdir):
            make(path(self.daemon))
            self.opening()
            self.assertTold(True)
            (os.rmdir if make is os.mkdir else os.unlink)(path(self.daemon))
        put(self.daemon, good)
        self.assertTold(False)

    def test_a_revocation_holds_though_another_line_is_damaged(self):
        keys(self.daemon.folder, "add", "--name", "spare", "--scopes", "read")
        lines = read(self.daemon).split(b"\n")
        self.opening()
        # As revoked by a program that saw the file whole; then another line is hit.
        keys(self.daemon.folder, "revoke", "other")
        damaged = read(self.daemon).replace(b'"name":"all"', b'"name":"alm"')
        self.assertNotEqual(lines, damaged.split(b"\n"))
        put(self.daemon, damaged)
        self.assertEqual([status(self.daemon, key) for key in ("all", "other", "revoked")], [200, 401, 401])
        self.assertTold(True)


@unittest.skipUnless(os.geteuid() == 0, "only root can be two users")
class TwoUsers(Case):
    """The daemon runs as one user, and somebody else gives commands beside it."""

    def setUp(self):
        super().setUp()
        try:
            subprocess.run([binary("tallystick"), "version"], user=NOBODY, group=NOBODY, extra_groups=[], check=True,
                           capture_output=True, timeout=60)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("another user cannot run the program where it is built")
        if not shutil.which("setpriv"):
            self.skipTest("there is no setpriv to start the daemon as another user")
        os.chown(self.daemon.folder, NOBODY, NOBODY)
        os.chmod(self.daemon.folder, 0o755)

    def start(self):
        self.daemon.start(prefix=("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"))

    def assertOwned(self, folder=None):
        for at, folders, files in os.walk(folder or self.daemon.folder):
            for name in (*folders, *files):
                found = os.lstat(os.path.join(at, name))
                self.assertEqual((found.st_uid, found.st_gid), (NOBODY, NOBODY), os.path.join(at, name))

    def test_what_root_makes_and_replaces_stays_the_daemons(self):
        first = self.daemon.key()
        self.assertOwned()
        self.assertEqual(stat.S_IMODE(os.stat(path(self.daemon)).st_mode), 0o600)
        self.start()
        self.assertEqual(status(self.daemon, first), 200)
        os.chmod(path(self.daemon), 0o640)
        second = self.daemon.key("second", "read")
        keys(self.daemon.folder, "rotate", "second")
        self.assertEqual([status(self.daemon, key) for key in (first, second)], [200, 200])
        self.assertEqual(stat.S_IMODE(os.stat(path(self.daemon)).st_mode), 0o640)
        self.assertTold(False)
        self.assertEqual(self.daemon.post("/v1/events", call("one")).status, 200)
        self.assertEqual(self.daemon.replay("verify").returncode, 0)
        self.assertOwned()
        # The daemon's own user may still change them.
        keys(self.daemon.folder, "revoke", "second", user=NOBODY, group=NOBODY, extra_groups=[])
        self.assertEqual(status(self.daemon, second), 401)
        # Without the daemon: what a reader makes beside the log, and read models made anew.
        self.assertEqual(self.daemon.stop(), 0)
        os.unlink(os.path.join(self.daemon.folder, "log", "lock.mdb"))
        for verb in ("verify", "rebuild"):
            self.assertEqual(self.daemon.replay(verb).returncode, 0)
        self.assertOwned()
        self.start()
        self.assertEqual(status(self.daemon, first), 200)

    def test_a_restored_folder_is_of_whoever_has_the_place(self):
        self.daemon.key()
        self.start()
        self.assertEqual(self.daemon.post("/v1/events", call("one")).status, 200)
        place = tempfile.mkdtemp(prefix="tallystick-e2e-")
        self.addCleanup(shutil.rmtree, place, True)
        os.chown(place, NOBODY, NOBODY)
        self.assertEqual(self.daemon.replay("snapshot", "--to", f"{place}/copy").returncode, 0)
        done = self.daemon.replay("restore", f"{place}/copy", "--data", f"{place}/data", folder=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertOwned(place)

    def test_who_may_not_keep_the_owner_is_refused_and_told_what_to_type(self):
        first = self.daemon.key()
        self.start()
        before = (read(self.daemon), os.stat(path(self.daemon)), sorted(os.listdir(self.daemon.folder)))
        for mode in (0o755, 0o777, 0o700):
            os.chmod(self.daemon.folder, mode)
            for words in (("add", "--name", "it's new", "--scopes", "read"), ("rotate", "all"), ("revoke", "all")):
                said = keys(self.daemon.folder, *words, code=74, user=SOMEBODY, group=SOMEBODY, extra_groups=[])
                with self.subTest(mode=oct(mode), words=words):
                    self.assertIn(f"sudo -u nobody {binary('tallystick')} keys {words[0]} ", said)
                    self.assertIn(f"--data {self.daemon.folder}", said)
                    if "--name" in words:
                        self.assertIn("--name 'it'\\''s new' --scopes read", said)
                    self.assertIn("nothing was changed", said)
        after = (read(self.daemon), os.stat(path(self.daemon)), sorted(os.listdir(self.daemon.folder)))
        self.assertEqual((before[0], before[1].st_ino, before[2]), (after[0], after[1].st_ino, after[2]))
        self.assertEqual(status(self.daemon, first), 200)

    def test_a_list_is_not_empty_for_who_may_not_look(self):
        self.daemon.key()
        os.chmod(self.daemon.folder, 0o700)
        said = keys(self.daemon.folder, "list", code=74, user=SOMEBODY, group=SOMEBODY, extra_groups=[])
        self.assertIn("sudo -u nobody ", said)

    def test_a_daemon_that_may_not_read_the_file_any_more_keeps_its_keys(self):
        first = self.daemon.key()
        self.start()
        self.assertEqual(status(self.daemon, first), 200)
        os.chown(path(self.daemon), 0, 0)
        self.assertEqual(status(self.daemon, first), 200)
        self.assertTold(True)
        self.assertIn("Permission denied", self.daemon.log())
        os.chown(path(self.daemon), NOBODY, NOBODY)
        self.assertEqual(status(self.daemon, first), 200)
        self.assertTold(False)
        os.chmod(path(self.daemon), 0)
        self.assertTold(True)
        self.assertEqual(status(self.daemon, first), 200)


if __name__ == "__main__":
    unittest.main()
