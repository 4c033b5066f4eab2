"""Signals: none ends a daemon without a word, SIGHUP takes over what can be, and systemd's unit fits the exit codes."""

import hashlib
import hmac
import http.server
import json
import os
import re
import signal
import subprocess
import threading
import time
import unittest

from harness import ROOT, Daemon, binary, call, event

# What ends a process by itself and is no fault of its own, without those that ask for an end.
IGNORED = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO,
           signal.SIGPWR, signal.SIGSTKFLT, signal.SIGRTMIN, signal.SIGRTMAX]


class Case(unittest.TestCase):
    def setUp(self):
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)

    def log(self):
        with open(self.daemon.log_path, errors="replace") as file:
            return file.read()

    def wait_for(self, text, read=None):
        end = time.monotonic() + 20
        while text not in (read or self.log)():
            self.assertLess(time.monotonic(), end, f"no {text!r} in {(read or self.log)()[-2000:]}")
            time.sleep(0.02)

    def send(self, number, text, read=None, process=None):
        """Sends it and waits for one more line that says `text`."""
        before = (read or self.log)().count(text)
        (process or self.daemon.process).send_signal(number)
        end = time.monotonic() + 20
        while (read or self.log)().count(text) == before:
            self.assertLess(time.monotonic(), end, f"no {text!r} in {(read or self.log)()[-2000:]}")
            time.sleep(0.02)


class Serving(Case):
    def serves(self, process):
        self.assertIsNone(process.poll())
        self.assertIs(process, self.daemon.process)
        answer = self.daemon.post("/v1/events", call(f"call {time.monotonic_ns()}"))
        self.assertEqual(answer.status, 200, answer)

    def test_hup_reads_the_keys_and_settings_again(self):
        config = os.path.join(self.daemon.folder, "settings.json")

        def write(**settings):
            with open(config, "w") as file:
                json.dump(settings, file)
        write(map_gib=1, log_format="text")
        self.daemon.start(flags=("--config", config, "--head-seconds", "9"))
        process = self.daemon.process
        self.serves(process)
        self.send(signal.SIGHUP, "read again")
        line = self.log().splitlines()[-1]
        self.assertIn("keys=1", line)
        self.assertIn("needs_restart=nothing", line)
        self.serves(process)
        # A limit of one request in a thousand seconds is not to be had; one a second with a burst of one is.
        write(map_gib=2, log_format="json", key_requests_per_second=1, key_requests_burst=1, drain_seconds=3)
        self.send(signal.SIGHUP, '"text":"read again')
        line = json.loads(self.log().splitlines()[-1])
        self.assertEqual(line["level"], "info")
        self.assertEqual(line["taken_over"],
                         "key_requests_per_second=1 key_requests_burst=1 drain_seconds=3 log_format=json")
        self.assertEqual(line["needs_restart"], "map_gib")
        key = self.daemon.key("fast", "read")
        answers = [self.daemon.get("/v1/projections", key=key).status for _ in range(4)]
        self.assertEqual((answers[0], set(answers)), (200, {200, 429}))
        # What cannot be read leaves everything as it was.
        for content, said in (("{", "cannot be read"), ('{"map_gib": 0}', "map-gib"), ('{"log_origin": "a b"}', "--log-origin"),
                              ('{"log_format": "xml"}', "--log-format"), ('{"colour": 1}', "colour"),
                              ('{"trusted_proxy": "x"}', "--trusted-proxy")):
            with self.subTest(content):
                with open(config, "w") as file:
                    file.write(content)
                self.send(signal.SIGHUP, "settings are as they were")
                line = json.loads(self.log().splitlines()[-1])
                self.assertEqual(line["level"], "error")
                self.assertIn(said, line["reason"])
        # And back, the limit gone.
        write(map_gib=1)
        self.send(signal.SIGHUP, " info read again")
        self.assertIn("log_format=text", self.log().splitlines()[-1])
        self.assertIn("needs_restart=nothing", self.log().splitlines()[-1])
        self.assertEqual({self.daemon.get("/v1/projections", key=key).status for _ in range(20)}, {200})
        self.serves(process)
        self.assertEqual(self.daemon.stop(), 0)

    def test_hup_says_that_the_keys_cannot_be_read(self):
        self.daemon.start()
        with open(os.path.join(self.daemon.folder, "keys.json"), "wb") as file:
            file.write(b"{")
        self.send(signal.SIGHUP, "keys.json cannot be read")
        self.serves(self.daemon.process)
        self.assertIn(" error ", self.log())

    def test_other_signals_change_nothing(self):
        self.daemon.start()
        for number in IGNORED:
            with self.subTest(number):
                self.send(number, "signal ignored")
                self.serves(self.daemon.process)
        self.assertEqual(self.daemon.stop(), 0)

    def test_what_asks_for_an_end_is_an_end_in_order(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGXCPU):
            with self.subTest(number):
                self.daemon.start()
                process = self.daemon.process
                process.send_signal(number)
                self.assertEqual(process.wait(timeout=60), 0)
                self.assertIn(f"stopping signal={number.name}", self.log())
                self.assertRegex(self.log().splitlines()[-1], " info stopped high_water=")

    def test_the_unit_starts_again_but_for_what_a_start_cannot_mend(self):
        with open(os.path.join(ROOT, "ops/systemd/tallystick.service")) as file:
            unit = dict(re.findall(r"^(\w+)=(.*)$", file.read(), re.M))
        self.assertEqual(unit["Restart"], "always")
        self.assertEqual(unit["ExecReload"], "/bin/kill -HUP $MAINPID")
        self.assertEqual(unit["StartLimitIntervalSec"], "0")
        prevented = [int(code) for code in unit["RestartPreventExitStatus"].split()]
        config = os.path.join(self.daemon.folder, "settings.json")
        with open(config, "w") as file:
            file.write('{"map_gib": "many"}')
        in_the_way = os.path.join(self.daemon.folder, "file")
        with open(in_the_way, "w"):
            pass
        codes = set()
        for flags in (("--config", config), ("--listen", "nowhere"), ("--colour", "1"), ("--log-format", "xml"),
                      ("--data", in_the_way), ("--trusted-proxy", "x"), ("--lago-window-seconds", "61")):
            words = ["--data", self.daemon.folder] if "--data" not in flags else []
            done = subprocess.run([binary("tallystick"), "serve", *words, *flags], capture_output=True, timeout=60)
            with self.subTest(flags):
                self.assertIn(done.returncode, prevented, done.stderr)
                codes.add(done.returncode)
        self.assertEqual(sorted(codes), sorted(prevented))


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Alerts(Case):
    def test_alerts_take_a_new_secret_and_are_ended_by_no_other_signal(self):
        self.daemon.start()
        hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        hook.got = []
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        self.addCleanup(hook.server_close)
        self.addCleanup(hook.shutdown)
        folder = self.daemon.folder
        secret, log = os.path.join(folder, "secret"), os.path.join(folder, "alerts.log")

        def write(text):
            with open(secret, "w") as file:
                file.write(text)

        def read():
            with open(log, errors="replace") as file:
                return file.read()
        write("one")
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [binary("tallystick-alerts"), "--url", f"http://127.0.0.1:{self.daemon.port}", "--webhook",
                 f"http://127.0.0.1:{hook.server_port}", "--state", os.path.join(folder, "state.json"), "--secret",
                 secret, "--poll-seconds", "1"],
                env={**os.environ, "TALLYSTICK_KEY": self.daemon.key()}, stdout=file, stderr=file)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
        self.addCleanup(end)

        def fire(number, word):
            answer = self.daemon.post("/v1/events", [
                event("credits", "credits.granted", time="2026-03-04T05:06:07Z", org="org_a", credits="10",
                      category="paid"),
                event(f"alert {number}", "alert.defined", time=None, alert=f"low {number}", org="org_a",
                      balance_below_credits="99")])
            self.assertEqual(answer.json["rejected"], 0, answer)
            until = time.monotonic() + 30
            while len(hook.got) < number:
                self.assertLess(time.monotonic(), until, read())
                time.sleep(0.02)
            headers, body = hook.got[number - 1]
            stamp, code = re.fullmatch(r"t=(\d+),v1=(\w+)", headers["X-Tallystick-Signature"]).groups()
            made = hmac.new(word.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
            self.assertEqual(code, made, word)
        fire(1, "one")
        write("two\n")
        self.send(signal.SIGHUP, "read again", read, process)
        fire(2, "two")
        # What cannot be taken over leaves what there is.
        write("\n")
        self.send(signal.SIGHUP, "secret is as it was", read, process)
        fire(3, "two")
        for number in IGNORED:
            with self.subTest(number):
                self.send(number, "signal ignored", read, process)
                self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=60), 0)
        self.wait_for("stopping signal=SIGTERM", read)


if __name__ == "__main__":
    unittest.main()
