"""Bits that flip by themselves: none of those that mean something goes unnoticed by `verify`. 200 of them, 2,000 with
`ops/test --long`."""

import json
import os
import random
import time
import unittest

from harness import LONG, Daemon, call, post_starter
from lmdb_pages import File

FLIPS = 2000 if LONG else 200
SEED = 20261125


class Flips(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)
        cls.daemon.start()
        post_starter(cls.daemon)
        # Frames of one record, of many, and of some that need pages of their own.
        for n in range(40):
            cls.daemon.post("/v1/events", call(f"one {n}"))
        for n in range(12):
            items = [call(f"many {n} {m}", user=f"u{m % 7}") for m in range(10 + 9 * n)]
            assert cls.daemon.post("/v1/events", items).json["accepted"] == len(items)
        cls.daemon.read("/v1/projections")
        assert cls.daemon.stop() == 0

    def verify(self):
        done = self.daemon.replay("verify", "--json", env={**os.environ, "SWIFT_BACKTRACE": "enable=no"})
        return done

    def places(self):
        """{what: (path, [(offset, length)])}: every byte that something depends on."""
        places = {}
        for part, path in (("log", "log/data.mdb"), ("index", "index/data/data.mdb")):
            path = os.path.join(self.daemon.folder, path)
            with open(path, "rb") as file:
                data = file.read()
            for name, ranges in File(data).trees().items():
                ranges = [one for one in ranges if one[1]]
                # The moment of making is in no hash; the head of the tiles has it too, so that it is under one.
                if ranges:
                    what = f"{part}: {name[0]} {name[1]}" if isinstance(name, tuple) else f"{part}: pages of {name}"
                    places[what] = (path, ranges)
        for name in os.listdir(os.path.join(self.daemon.folder, "tiles")):
            path = os.path.join(self.daemon.folder, "tiles", name)
            places[f"tiles: {name}"] = (path, [(0, os.path.getsize(path))])
        return places

    def test_no_flipped_bit_goes_unnoticed(self):
        done = self.verify()
        self.assertEqual(done.returncode, 0, done)
        places = self.places()
        self.assertIn("log: frames values", places)
        self.assertIn("index: blocks values", places)
        self.assertIn("tiles: 0", places)
        choices = random.Random(SEED)
        unnoticed, crashed, counts, started = [], [], {}, time.monotonic()
        for _ in range(FLIPS):
            what = choices.choice(sorted(places))
            path, ranges = places[what]
            offset, length = choices.choices(ranges, weights=[one[1] for one in ranges])[0]
            at, bit = offset + choices.randrange(length), 1 << choices.randrange(8)
            self.flip(path, at, bit)
            done = self.verify()
            self.flip(path, at, bit)
            counts[what] = counts.get(what, 0) + 1
            if done.returncode == 0:
                unnoticed.append((what, at, bit))
            elif done.returncode not in (1, 2) or not (done.stdout or done.stderr):
                crashed.append((what, at, bit, done.returncode, done.stderr[-300:]))
        print(f"{FLIPS} flips in {time.monotonic() - started:.0f} s: {counts}")
        self.assertEqual((unnoticed, crashed), ([], []))
        self.assertEqual(self.verify().returncode, 0)

    def test_a_file_that_is_cut_short(self):
        path = os.path.join(self.daemon.folder, "log", "data.mdb")
        with open(path, "rb") as file:
            whole = file.read()
        for size in (0, 1, 4095, 4096, 8191, 8192, 12288, len(whole) // 2, len(whole) // 2 // 4096 * 4096):
            with self.subTest(size):
                os.truncate(path, size)
                done = self.verify()
                with open(path, "wb") as file:
                    file.write(whole)
                self.assertIn(done.returncode, (1, 2), done)
                self.assertTrue(done.stdout or done.stderr)
        self.assertEqual(self.verify().returncode, 0)

    @staticmethod
    def flip(path, at, bit):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ bit]))


if __name__ == "__main__":
    unittest.main()
