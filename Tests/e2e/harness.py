"""Starts the real daemon on a free loopback port with a temporary folder, and talks to it.

The binaries are found in $TALLYSTICK_BIN (a folder); without it in .build/release, then .build/debug. Processes are
ended by their own id. Standard library only.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LONG = os.environ.get("TALLYSTICK_TEST_LONG") == "1"
READY_SECONDS = 60


def binary(name):
    builds = [os.path.join(ROOT, ".build", kind) for kind in ("release", "debug")]
    for folder in [os.environ.get("TALLYSTICK_BIN"), *builds]:
        if folder and os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise RuntimeError(f"{name} is not built: swift build -c release")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Answer:
    """Status, headers (lower-case names) and body of one response."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]

    @property
    def kind(self):
        return self.headers.get("content-type", "").split(";")[0].strip()

    def __repr__(self):
        return f"{self.status} {self.kind} {self.body[:600]!r}"


class Daemon:
    """One data folder and, between start and stop, one process on it."""

    def __init__(self, folder=None):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="tallystick-e2e-")
        self.port = free_port()
        self.process = None
        self.keys = {}
        self.log_path = os.path.join(tempfile.gettempdir(), f"{os.path.basename(self.folder)}.log")

    # Life

    def key(self, name="all", scopes="ingest,read,lago,admin", *more):
        """The secret of a key of this name, made when first asked for."""
        if name not in self.keys:
            made = subprocess.run(
                [binary("tallystick"), "keys", "add", "--data", self.folder, "--name", name, "--scopes", scopes, *more],
                capture_output=True, text=True, timeout=60)
            if made.returncode != 0:
                raise RuntimeError(f"keys add: {made.returncode} {made.stderr}")
            self.keys[name] = made.stdout.strip()
        return self.keys[name]

    def start(self, prefix=(), wait=True, flags=(), listen=None):
        """`prefix`: a command that runs the daemon, such as strace. `flags`: more of them."""
        self.key()
        while True:
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    [*prefix, binary("tallystick"), "serve", "--data", self.folder, "--listen",
                     listen or f"127.0.0.1:{self.port}", *flags],
                    stdout=log, stderr=log)
            if not wait:
                return self
            try:
                self.wait_ready()
                return self
            except RuntimeError:
                # The port was free when it was chosen; somebody else may have taken it since.
                if self.process.poll() is None or "Address already in use" not in self.log()[-300:]:
                    raise
                self.port = free_port()

    def wait_ready(self):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the daemon ended with {self.process.returncode}:\n{self.log()}")
            try:
                if self.get("/readyz", key=None).status == 200:
                    return
            except OSError:
                pass
            except http.client.HTTPException:
                pass
            time.sleep(0.02)
        raise RuntimeError(f"not ready after {READY_SECONDS} s:\n{self.log()}")

    def stop(self):
        """Asks it to end, as an operator does. Gives the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"SIGTERM did not end it in 60 s:\n{self.log()}")
        self.process = None
        return code

    def kill(self):
        # Under strace the daemon is a child, which would outlive its tracer.
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
                children = [int(child) for child in file.read().split()]
        except OSError:
            children = []
        self.process.kill()
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process = None

    def close(self):
        if self.process is not None:
            self.kill()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        if os.path.exists(self.log_path):
            os.unlink(self.log_path)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()[-4000:]

    # Requests

    def connect(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, key="all", headers=None, kind="application/json", connection=None):
        """`key`: the name of a key, None for none. `body`: bytes as they are, or anything for JSON."""
        own = connection is None
        connection = connection or self.connect()
        try:
            head = dict(headers or {})
            if key is not None:
                head.setdefault("Authorization", f"Bearer {self.keys.get(key, key)}")
            if body is not None:
                if not isinstance(body, (bytes, bytearray)):
                    body = json.dumps(body).encode()
                head.setdefault("Content-Type", kind)
            connection.request(method, path, body=body, headers=head)
            response = connection.getresponse()
            return Answer(response.status, {n.lower(): v for n, v in response.getheaders()}, response.read())
        finally:
            if own:
                connection.close()

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body, **more):
        return self.request("POST", path, body, **more)

    def read(self, path, position=None):
        """An answer that has seen `position`, default the log's end; it must be 200."""
        if position is None:
            position = self.high_water()
        answer = self.get(path, headers={"X-Min-Position": str(position)})
        if answer.status != 200:
            raise AssertionError(f"GET {path}: {answer}")
        return answer.json

    def high_water(self):
        answer = self.get("/v1/projections").json
        if "high_water" in answer:
            return answer["high_water"]
        return max([one["progress"] + one["lag"] for one in answer["projections"]] or [0])

    def settle(self, seconds=60):
        """Waits until every projection has folded all that is stored."""
        end = time.monotonic() + seconds
        while any(one["lag"] for one in self.get("/v1/projections").json["projections"]):
            if time.monotonic() > end:
                raise AssertionError(f"projections are behind after {seconds} s")
            time.sleep(0.05)

    def events(self, query=""):
        """Every stored event, by pages."""
        after, stored = 0, []
        while True:
            answer = self.get(f"/v1/events?after={after}&limit=1000{query}")
            if answer.status != 200:
                raise AssertionError(f"GET /v1/events: {answer}")
            stored += answer.lines
            reached = int(answer.headers["x-next-after"])
            if reached == after:
                return stored
            after = reached

    def digests(self):
        """{projection: digest}, all at the log's end."""
        end = self.high_water()
        answer = self.read("/v1/projections", end)
        return {one["name"]: one["digest"] for one in answer["projections"]}

    def replay(self, *arguments, folder=True, **more):
        words = [binary("tallystick-replay"), *arguments]
        if folder:
            words += ["--data", self.folder]
        return subprocess.run(words, capture_output=True, timeout=600, **more)


class DaemonCase(unittest.TestCase):
    """A test case with a running daemon of its own: one for all tests of the class."""

    starter = False
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)
        cls.daemon.start(flags=cls.flags)
        if cls.starter:
            post_starter(cls.daemon)

    def assertProblem(self, answer, status, code=None, field=None):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.kind, "application/problem+json", answer)
        problem = answer.json
        self.assertEqual(problem["status"], status, problem)
        for member in ("type", "title", "code"):
            self.assertIn(member, problem)
        if code is not None:
            self.assertIn(problem["code"], code if isinstance(code, tuple) else (code,), problem)
        if field is not None:
            self.assertEqual(problem.get("field"), field, problem)
        return problem


# Bodies

def starter(name):
    with open(os.path.join(ROOT, "ops/starter", name)) as file:
        return json.load(file)


def post_starter(daemon, names=("plans.json", "prices.json", "acme.json")):
    for name in names:
        answer = daemon.post("/v1/events", starter(name))
        if answer.status != 200 or answer.json["rejected"]:
            raise AssertionError(f"{name}: {answer}")


def event(id, type="llm.call", source="test", **data):
    time_ = data.pop("time", "2026-03-04T05:06:07Z")
    body = {"specversion": "1.0", "source": source, "id": id, "type": type, "data": data}
    if time_ is not None:
        body["time"] = time_
    return body


def call(id, **changes):
    """A good call; a member set to None is left out."""
    data = {
        "org": "org_test", "provider": "openai", "model": "gpt-4o", "operation": "chat", "status": "success",
        "usage": {"input_tokens": 1000, "output_tokens": 500},
    }
    data.update(changes)
    return event(id, **{name: value for name, value in data.items() if value is not None})


def captures(prefix=""):
    """[(label, bytes)] of the captured LiteLLM bodies that ship with the project, by name."""
    folder = os.path.join(ROOT, "ops/starter/requests")
    for name in sorted(os.listdir(folder)):
        if name.startswith(prefix):
            with open(os.path.join(folder, name), "rb") as file:
                yield name, file.read()
