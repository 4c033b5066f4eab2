"""The daemon behind nginx with ops/nginx.conf as it stands, but for ports and paths. Skipped where there is no nginx;
`ops/test --long` installs it."""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from harness import ROOT, Answer, DaemonCase, call, captures, free_port

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


@unittest.skipUnless(NGINX and shutil.which("openssl"), "nginx or openssl is not installed")
class Proxy(DaemonCase):
    flags = ("--trusted-proxy", "127.0.0.1")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp(prefix="tallystick-proxy-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", f"{cls.folder}/key.pem",
             "-out", f"{cls.folder}/cert.pem"], check=True, capture_output=True)
        cls.port = free_port()
        with open(os.path.join(ROOT, "ops/nginx.conf")) as file:
            text = file.read()
        for old, new in (("listen 443 ssl", f"listen 127.0.0.1:{cls.port} ssl"),
                         ("server 127.0.0.1:8787", f"server 127.0.0.1:{cls.daemon.port}"),
                         ("/etc/tallystick/tls", cls.folder)):
            assert old in text, old
            text = text.replace(old, new)
        paths = "".join(f"    {kind}_temp_path {cls.folder}/{kind};\n"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(f"{cls.folder}/nginx.conf", "w") as file:
            file.write(f"worker_processes 1;\npid {cls.folder}/pid;\nerror_log {cls.folder}/error.log warn;\n"
                       f"events {{ worker_connections 256; }}\nhttp {{\n    access_log {cls.folder}/access.log;\n"
                       f"{paths}{text}}}\n")
        command = [NGINX, "-p", cls.folder, "-c", f"{cls.folder}/nginx.conf", "-g", "daemon off;"]
        tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert tested.returncode == 0, tested.stderr
        cls.nginx = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(cls.nginx.wait)
        cls.addClassCleanup(cls.nginx.terminate)
        cls.tls = ssl.create_default_context(cafile=f"{cls.folder}/cert.pem")
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", cls.port), timeout=10).close()
                break
            except OSError:
                assert time.monotonic() < end and cls.nginx.poll() is None, "nginx does not start"
                time.sleep(0.05)

    @classmethod
    def connect(cls, source=None):
        return http.client.HTTPSConnection("localhost", cls.port, timeout=120, context=cls.tls,
                                           source_address=source and (source, 0))

    def ask(self, method, path, body=None, connection=None, **headers):
        if connection is None:
            with contextlib.closing(self.connect()) as connection:
                return self.ask(method, path, body, connection, **headers)
        headers = {"Authorization": f"Bearer {self.daemon.keys['all']}", "Content-Type": "application/json", **headers}
        connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body), headers)
        response = connection.getresponse()
        return Answer(response.status, {n.lower(): v for n, v in response.getheaders()}, response.read())

    def raw(self):
        return self.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=60),
                                    server_hostname="localhost")

    def accepted_by_the_daemon(self):
        text = self.daemon.get("/metrics", key=None).body.decode()
        return int(re.search(r"^tallystick_http_connections_total (\d+)$", text, re.M).group(1))

    def test_events_and_questions(self):
        connection = self.connect()
        self.addCleanup(connection.close)
        stored = self.ask("POST", "/v1/events", [call("proxy-1", org="org_proxy")], connection)
        self.assertEqual((stored.status, stored.json["accepted"]), (200, 1), stored)
        position = str(stored.json["last_position"])
        tokens = self.ask("GET", "/v1/orgs/org_proxy/tokens", connection=connection, **{"X-Min-Position": position})
        self.assertEqual((tokens.status, tokens.json["totals"]["calls"]), (200, 1), tokens)
        self.assertEqual(tokens.headers["x-position"], position)
        # What the daemon refuses comes through as it said it.
        answer = self.ask("POST", "/v1/events", b"{", connection)
        self.assertProblem(answer, 400, "invalid_json")
        self.assertProblem(self.ask("GET", "/v1/events/999", connection=connection), 404, "not_found")
        self.assertEqual(self.ask("HEAD", "/healthz", connection=connection).body, b"")
        answer = self.ask("POST", "/v1/events", call("proxy-1", org="org_other"), connection)
        self.assertProblem(answer, 409, "conflict")

    def test_connections_to_the_daemon_are_kept(self):
        self.ask("GET", "/healthz")
        before = self.accepted_by_the_daemon()
        for _ in range(50):
            self.assertEqual(self.ask("GET", "/healthz").status, 200)
        # One is the question of how many there were.
        self.assertLess(self.accepted_by_the_daemon() - before, 10)

    def test_a_large_callback_streams_through(self):
        item = next(item for _, body in captures() for item in json.loads(body) if item)
        item["messages"] = "m" * 1_000_000
        count = 24

        def pieces():
            yield b"["
            for index in range(count):
                item.update(id=f"large-{index}", litellm_call_id=f"large-{index}")
                yield (b"," if index else b"") + json.dumps(item).encode()
            yield b"]"

        connection = self.connect()
        self.addCleanup(connection.close)
        head = {"Authorization": f"Bearer {self.daemon.keys['all']}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/ingest/litellm", pieces(), head, encode_chunked=True)
        response = connection.getresponse()
        answer = json.loads(response.read())
        self.assertEqual((response.status, answer["accepted"]), (200, count), answer)
        # Nothing of it was written by nginx on its way.
        self.assertEqual(os.listdir(f"{self.folder}/client_body"), [])

    def test_a_slow_body_reaches_the_daemon_before_it_has_ended(self):
        body = json.dumps(call("slow-1", org="org_slow")).encode()
        with self.raw() as client:
            client.sendall(f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
                           f"{self.daemon.keys['all']}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            for index in range(0, len(body), 40):
                client.sendall(body[index:index + 40])
                time.sleep(0.05)
            self.assertIn(b" 200 ", client.recv(65536))
        # Refused by the daemon while the body is still to come: nginx does not wait for all of it.
        with self.raw() as client:
            client.sendall(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n[")
            self.assertIn(b" 401 ", client.recv(65536))

    def test_the_log_names_the_client_and_not_who_it_says_it_is(self):
        """As seen by nginx; what the client itself had put before it is no address of anybody."""
        for source, claimed in (("127.0.0.7", {}), ("127.0.0.8", {"X-Forwarded-For": "6.6.6.6, 127.0.0.1"})):
            # At most one line a second tells of refusals.
            end = time.monotonic() + 20
            while f"address={source} " not in self.daemon.log():
                self.assertLess(time.monotonic(), end, self.daemon.log())
                with contextlib.closing(self.connect(source)) as connection:
                    answer = self.ask("GET", "/v1/tokens", connection=connection, Authorization="Bearer no", **claimed)
                self.assertEqual(answer.status, 401)
                time.sleep(0.1)
        self.assertNotIn("6.6.6.6", self.daemon.log())
        # From an address that is no proxy's nothing is believed.
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=60,
                                                source_address=("127.0.0.9", 0))
        self.addCleanup(connection.close)
        end = time.monotonic() + 20
        while "address=127.0.0.9 " not in self.daemon.log():
            self.assertLess(time.monotonic(), end, self.daemon.log())
            connection.request("GET", "/v1/tokens", headers={"X-Forwarded-For": "6.6.6.7"})
            self.assertEqual(connection.getresponse().read()[:1], b"{")
            time.sleep(0.1)
        self.assertNotIn("6.6.6.7", self.daemon.log())

    def test_limits_of_heads_agree(self):
        for path, headers, statuses in (
            ("/healthz?" + "q" * 7900, {}, (200,)),
            ("/healthz?" + "q" * 8300, {}, (414,)),
            ("/healthz", {"X-Long": "v" * 7900}, (200,)),
            ("/healthz", {"X-Long": "v" * 8300}, (400, 431)),
            ("/healthz", {f"X-Long-{n}": "v" * 5000 for n in range(4)}, (400, 431)),
            ("/healthz", {f"X-{n}": "v" for n in range(120)}, (400, 431)),
        ):
            answer = self.ask("GET", path, **headers)
            with self.subTest(path=path[:30], headers=len(headers)):
                self.assertIn(answer.status, statuses, answer)

    def test_two_requests_in_one_are_refused(self):
        for head in ("Content-Length: 4\r\nTransfer-Encoding: chunked", "Content-Length: 4\r\nContent-Length: 5",
                     "Transfer-Encoding: gzip, chunked", "Transfer-Encoding : chunked"):
            with self.raw() as client:
                client.sendall(f"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
                               f"{self.daemon.keys['all']}\r\n{head}\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n".encode())
                answer = client.recv(65536)
            with self.subTest(head=head):
                self.assertIn(answer.split(b" ")[1], (b"400", b"501"), answer)


if __name__ == "__main__":
    unittest.main()
