"""The daemon's log, and where it listens."""

import json
import re
import subprocess
import unittest

from harness import Daemon, binary


class Log(unittest.TestCase):
    def started(self, *flags):
        daemon = Daemon()
        self.addCleanup(daemon.close)
        daemon.start(flags=flags)
        self.assertEqual(daemon.stop(), 0)
        with open(daemon.log_path) as file:
            return daemon, file.read().splitlines()

    def test_lines_of_text_or_json(self):
        daemon, lines = self.started()
        for line in lines:
            self.assertRegex(line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warning|error) .+$")
        self.assertTrue(any(" ready " in line and f"listen=127.0.0.1:{daemon.port}" in line for line in lines), lines)
        daemon, lines = self.started("--log-format", "json")
        lines = [json.loads(line) for line in lines]
        for line in lines:
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(line["level"], ("info", "warning", "error"))
            self.assertTrue(all(isinstance(value, str) for value in line.values()))
        ready = next(line for line in lines if line["text"] == "ready")
        self.assertEqual((ready["listen"], ready["data"]), (f"127.0.0.1:{daemon.port}", daemon.folder))
        wrong = subprocess.run([binary("tallystick"), "serve", "--data", daemon.folder, "--log-format", "xml"],
                               capture_output=True, text=True, timeout=60)
        self.assertEqual(wrong.returncode, 64)
        self.assertIn("text or json", wrong.stderr)

    def test_whoever_listens_beyond_the_machine_is_told(self):
        _, lines = self.started()
        self.assertFalse([line for line in lines if "without TLS" in line])
        # Every address of 127.0.0.0/8 is this machine's; 0.0.0.0 is all there are.
        for host, warned in (("127.0.0.5", False), ("0.0.0.0", True)):
            daemon = Daemon()
            self.addCleanup(daemon.close)
            daemon.start(listen=f"{host}:{daemon.port}", wait=False)
            while not re.search(r" ready ", daemon.log()):
                self.assertIsNone(daemon.process.poll(), daemon.log())
            daemon.stop()
            with self.subTest(host=host):
                self.assertEqual("without TLS" in daemon.log(), warned, daemon.log())


if __name__ == "__main__":
    unittest.main()
