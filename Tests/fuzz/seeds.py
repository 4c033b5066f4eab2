"""Writes seeds for the fuzzer, one folder a target, from the captures, the starter set and the golden records.
Usage: seeds.py FOLDER"""

import base64
import glob
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEED_BYTES_MAX = 16384
OUT = sys.argv[1]
count = {}


def seed(target, data):
    if len(data) > SEED_BYTES_MAX:
        return
    folder = os.path.join(OUT, target)
    os.makedirs(folder, exist_ok=True)
    count[target] = count.get(target, 0) + 1
    with open(os.path.join(folder, f"seed-{count[target]:03}"), "wb") as file:
        file.write(data)


def files(pattern):
    for path in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True)):
        with open(path, "rb") as file:
            yield path, file.read()


for _, body in files("Tests/Fixtures/captures/litellm_generic/*.body.*"):
    seed("litellm", body)
for _, body in files("Tests/Fixtures/captures/litellm_lago/*.body.*"):
    seed("lago", body)
for _, body in files("Tests/Fixtures/captures/lago_agent_sdk/*.body.*"):
    seed("lago", body)
for _, body in files("Tests/Fixtures/captures/litellm_openmeter/*.body.*"):
    seed("openmeter", body)
for _, body in files("ops/starter/*.json"):
    for flags in (b"\0", b"\1", b"\2"):
        seed("native", flags + body)
    seed("json", body)
    for event in json.loads(body):
        seed("native", b"\0" + json.dumps(event).encode())

# Prices: one model at a time, and a few together.
with open(os.path.join(ROOT, "Tests/Fixtures/captures/litellm_cost_map_sample.json")) as file:
    models = list(json.load(file).items())
for start in range(0, len(models), 4):
    seed("costmap", json.dumps(dict(models[start:start + 4])).encode())

# Requests: the captured heads before small bodies, framed both ways, alone and one after the other.
requests = []
for path, head in files("Tests/Fixtures/captures/*/*.headers.txt"):
    lines = [line for line in head.decode("latin-1").splitlines() if ":" in line][:12]
    keep = [line for line in lines if line.split(":")[0].lower() not in ("content-length", "transfer-encoding", "host")]
    head = "\r\n".join(["POST /v1/ingest/litellm?a=%41&b HTTP/1.1", "Host: h", *keep, ""])
    requests.append((head + "Content-Length: 4\r\n\r\n[{}]").encode())
    requests.append((head + "Transfer-Encoding: chunked\r\n\r\n4;x=y\r\n[{}]\r\n0\r\nT: v\r\n\r\n").encode())
    if len(requests) > 16:
        break
requests.append(b"GET /healthz HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n")
requests.append(b"HEAD http://h/v1/orgs/a%2Fb HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n")
requests.append(b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n")
for one in requests:
    seed("http", b"\x02\x40\x80" + one)
seed("http", b"\x01\x80" + requests[0] + requests[1] + requests[-3])

# Records: the golden ones, hex below a line of comment.
for _, text in files("Tests/RecordsTests/Fixtures/*/*.hex"):
    seed("record", bytes.fromhex("".join(line for line in text.decode().splitlines() if not line.startswith("#"))))

for text in ('{"a":[1,-0.5e+10,true,null,"\\u00e9\\ud83d\\ude00"],"b":{}}', "[[[[[]]]]]", '"\\n\\/"', '{"a":1,"a":2}', "1e5"):
    seed("json", text.encode())
