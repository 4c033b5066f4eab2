"""What the programs say of themselves."""

import subprocess
import unittest

from harness import binary


class Help(unittest.TestCase):
    def output(self, *command):
        done = subprocess.run([binary(command[0]), *command[1:]], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""), command)
        return done.stdout

    def test_each_program_and_command_has_its_help(self):
        whole = {
            name: self.output(name, "--help") for name in ("tallystick", "tallystick-replay", "tallystick-alerts")
        }
        for name, text in whole.items():
            self.assertTrue(text.startswith(f"{name}: "), text)
        for command in (["serve", "--help"], ["keys", "add", "-h"], ["import-prices", "--help"], ["help"]):
            self.assertEqual(self.output("tallystick", *command), whole["tallystick"])
        verbs = {line.split()[1] for line in whole["tallystick-replay"].splitlines() if
                 line.startswith("  tallystick-replay ")}
        self.assertGreaterEqual(
            verbs, {"verify", "rebuild", "export", "import", "diff", "prove", "explain", "as-of", "statement", "what-if",
                    "reconcile", "snapshot", "restore", "pack"})
        for verb in verbs:
            text = self.output("tallystick-replay", verb, "--help")
            self.assertTrue(text.startswith(f"  tallystick-replay {verb} "), text)
            self.assertEqual({line.split()[1] for line in text.splitlines() if "tallystick-replay " in line}, {verb})
        self.assertEqual(self.output("tallystick-replay", "unheard", "--help"), whole["tallystick-replay"])


if __name__ == "__main__":
    unittest.main()
