"""Whose idempotency keys are whose: no door lets a sender take a key that the daemon or another org will need.

The formulas of the daemon's own ids are public, and written out here again, as somebody who means harm would."""

import hashlib
import json
import os
import subprocess
import sys
import time
import unittest

from harness import Daemon, DaemonCase, call, event

RESERVED = ("tallystick", "litellm/", "litellm/gateway", "lago/", "lago/sub_victim")


def own_id(what, org, id):
    return f"authorization/{what}/" + hashlib.sha256(f"org\0{org}\0{id}".encode()).hexdigest()


def cloud(source, id, subject="org_evil"):
    return {"specversion": "1.0", "type": "litellm_tokens", "source": source, "id": id, "subject": subject,
            "time": "2026-03-04T05:06:07Z", "data": {"model": "m", "cost": "0.1", "prompt_tokens": 1}}


class Doors(DaemonCase):
    """Every door that lets a sender say a source, every reserved source, every kind of sender."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.key("everybody", "ingest")
        cls.daemon.key("evil", "ingest", "--org", "org_evil")
        cls.daemon.key("evil admin", "ingest,admin", "--org", "org_evil")

    def bodies(self, source, id):
        one = call(id, org="org_evil")
        one["source"] = source
        line = json.dumps(one).encode()
        cloud_one = cloud(source, id)
        single, batch = "application/cloudevents+json", "application/cloudevents-batch+json"
        yield "/v1/events", one, "application/json"
        yield "/v1/events", [one], "application/json"
        yield "/v1/events", line + b"\n" + line, "application/x-ndjson"
        yield "/api/v1/events", cloud_one, single
        yield "/api/v1/events", [cloud_one], batch
        yield "/api/v1/events", cloud_one, "application/json"
        yield "/api/v1/events/batch", [cloud_one], batch

    def test_no_door_takes_a_source_of_another(self):
        before = self.daemon.high_water()
        count = 0
        for key in ("everybody", "evil", "evil admin", "all"):
            for source in RESERVED:
                for path, body, kind in self.bodies(source, f"id-{count}"):
                    answer = self.daemon.post(path, body, key=key, kind=kind)
                    told = answer.body + json.dumps(
                        self.daemon.get("/v1/parked?limit=1000").json["parked"][-3:]).encode()
                    self.assertIn(b"reserved_source", told, (key, source, path, kind, answer))
                    count += 1
        self.assertEqual(self.daemon.high_water(), before)

    def test_lots_named_like_the_daemons_own_are_refused(self):
        for type, data in (("credits.granted", {"category": "promo"}), ("credits.adjusted", {"reason": "r"})):
            for key in ("all", "evil admin"):
                one = event("tallystick/lot", type, org="org_evil", credits="5", **data)
                self.assertProblem(self.daemon.post("/v1/events", one, key=key), 422, "reserved_id", "id")

    def test_what_would_have_taken_the_daemons_keys_does_nothing(self):
        """A hold is granted, released and ends, a lot ends, whatever was posted under the ids of these events."""
        daemon = self.daemon
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
        self.assertEqual(daemon.post("/v1/events", event(
            "lot-v", "credits.granted", org="org_victim", credits="1000", category="paid")).status, 200)
        self.assertEqual(daemon.post("/v1/events", event(
            "lot-end", "credits.granted", org="org_victim", credits="7", category="promo", expires_at=soon)).status, 200)
        ids = [own_id(what, "org_victim", id) for what in ("asked", "released", "expired") for id in ("a", "b")]
        ids.append("expired/" + hashlib.sha256(b"lot-end").hexdigest())
        for id in ids:
            answer = daemon.post("/api/v1/events", cloud("tallystick", id), key="evil",
                                 kind="application/cloudevents+json")
            self.assertEqual(answer.status, 204, answer)
        def ask(id, **more):
            return daemon.post("/v1/authorizations", {
                "id": id, "org": "org_victim", "provider": "p", "model": "m", "credits": "100", "hold": True, **more})
        self.assertEqual(ask("a").status, 200)
        self.assertEqual(ask("b", ttl_seconds=1).status, 200)
        answer = daemon.request("DELETE", "/v1/authorizations/a?org=org_victim")
        self.assertEqual((answer.status, answer.json["released"]), (200, True), answer)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            credits = daemon.read("/v1/orgs/org_victim/credits")
            if credits["held_credits"] == "0" and credits["expired_credits"] == "7":
                break
            time.sleep(0.1)
        self.assertEqual((credits["held_credits"], credits["expired_credits"]), ("0", "7"), credits)
        for stored in daemon.events("&org=org_victim"):
            if stored["event"]["source"] == "tallystick":
                self.assertEqual(stored["space"], "daemon", stored)


class Orgs(DaemonCase):
    """Keys confined to an org have their org's space; whoever means a call by (source, id) finds the right one."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for org in ("a", "b"):
            cls.daemon.key(org, "ingest,read", "--org", f"org_{org}")

    def position(self, body, key, status=200):
        answer = self.daemon.post("/v1/events", [body], key=key)
        self.assertEqual(answer.status, status, answer)
        return answer.json["first_position"]

    def test_nobody_is_in_anothers_way(self):
        daemon = self.daemon
        a, b, common = call("taken", org="org_a"), call("taken", org="org_b"), call("taken", org="org_c")
        first = self.position(a, "a")
        self.assertEqual([self.position(b, "b"), self.position(common, "all")], [first + 1, first + 2])
        stored = daemon.get(f"/v1/events/{first}").json
        self.assertEqual((stored["space"], stored["space_org"]), ("org", "org_a"))
        # A sender changes its key, both ways.
        one = self.position(call("mover", org="org_a"), "a")
        self.assertEqual(self.position(call("mover", org="org_a"), "all"), one)
        one = self.position(call("moved", org="org_a"), "all")
        self.assertEqual(self.position(call("moved", org="org_a"), "a"), one)
        # Whose call a correction means.
        def correct(id, key="all", **more):
            body = event(f"v-{id}-{key}-{len(more)}", "llm.call.voided", source="finance")
            body["data"] = {"source": "test", "id": id, "reason": "r", **more}
            return daemon.post("/v1/events", body, key=key)
        self.position(call("two", org="org_a"), "a")
        self.position(call("two", org="org_b"), "b")
        self.assertProblem(correct("two"), 409, "ambiguous_call", "data.id")
        self.assertProblem(correct("two", org="org_c"), 422, "unknown_call")
        self.assertEqual(correct("two", org="org_b").status, 200)
        self.assertEqual(correct("two", key="a").status, 200)
        self.assertProblem(correct("two", key="b"), 422, "already_voided")
        self.assertProblem(correct("two", key="b", org="org_a"), 403, "org_forbidden")
        self.position(call("only", org="org_b"), "b")
        self.assertEqual(correct("only").status, 200)
        self.assertEqual(self.daemon.replay("verify").returncode, 0)

    def test_long_ids_are_keyed_by_their_hash_and_shown_whole(self):
        daemon = self.daemon
        long = "resp_" + "x" * 1019
        self.assertEqual(len(long), 1024)
        first = self.position(call(long), "all")
        self.assertEqual(self.position(call(long), "all"), first)
        self.assertEqual(daemon.get(f"/v1/events/{first}").json["event"]["id"], long)
        problem = self.assertProblem(daemon.post("/v1/events", call(long + "x")), 422, "invalid_id", "id")
        self.assertIn("1024", problem["detail"])
        changed = self.assertProblem(
            daemon.post("/v1/events", call(long, model="other")), 409, "conflict", "id")
        self.assertEqual((changed["id"], changed["position"]), (long, first))
        # OpenMeter's door, as LiteLLM's Responses come: eight of them, each itself.
        responses = ["resp_" + hashlib.sha256(str(n).encode()).hexdigest() * 6 + "abcd" for n in range(8)]
        self.assertEqual(len(responses[0]), 393)
        for id in responses:
            answer = daemon.post("/api/v1/events", cloud("litellm-proxy", id, "org_a"),
                                 kind="application/cloudevents+json")
            self.assertEqual(answer.status, 204, answer)
        shown = [one["event"]["id"] for one in daemon.events("&org=org_a") if one["door"] == "openmeter"]
        self.assertEqual(shown, responses)
        # Lago's door, and its question.
        lago = {"transaction_id": responses[0], "external_subscription_id": "org_a", "code": "litellm",
                "properties": {"model": "m", "response_cost": 1}}
        self.assertEqual(daemon.post("/api/v1/events", {"event": lago}).status, 200)
        told = daemon.get(f"/api/v1/events/{responses[0]}")
        self.assertEqual(told.json["event"]["transaction_id"], responses[0], told)
        self.assertIn("already", daemon.post("/api/v1/events", {"event": lago}).body.decode())
        # A correction names it by the id that its sender knows.
        body = event("void-long", "llm.call.voided", source="finance")
        body["data"] = {"source": "test", "id": long, "reason": "r"}
        self.assertEqual(daemon.post("/v1/events", body).status, 200)

    def test_a_call_that_was_moved_is_in_the_new_orgs_pack(self):
        self.position(call("wander", org="org_a"), "a")
        def correct(id, type, **data):
            return self.daemon.post("/v1/events", {
                "specversion": "1.0", "source": "finance", "id": id, "type": type,
                "data": {"source": "test", "id": "wander", "reason": "r", **data}})
        moved = call("wander", org="org_p")["data"]
        self.assertEqual(correct("wander 1", "llm.call.amended", call=moved).status, 200)
        self.assertEqual(correct("wander 2", "llm.call.voided", org="org_a").status, 200)
        self.daemon.key("p", "read", "--org", "org_p")
        self.assertNotIn(b"org_a", self.daemon.get("/v1/events?org=org_p", key="p").body)
        pack = os.path.join(self.daemon.folder, "pack")
        made = self.daemon.replay("pack", "--org", "org_p", "--period", "2026-03", "--to", pack)
        self.assertEqual(made.returncode, 0, made.stderr)
        checked = subprocess.run([sys.executable, os.path.join(pack, "verify.py")], capture_output=True, timeout=60)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_an_export_is_imported_to_the_same_bytes(self):
        self.position(call("exported", org="org_a"), "a")
        self.position(call("resp_" + "y" * 400), "all")
        self.daemon.post("/v1/authorizations", {
            "id": "x", "org": "org_free", "provider": "p", "model": "m", "credits": "0", "hold": True})
        export = self.daemon.replay("export")
        self.assertEqual(export.returncode, 0, export.stderr)
        copy = Daemon()
        self.addCleanup(copy.close)
        made = copy.replay("import", input=export.stdout)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(copy.replay("export").stdout, export.stdout)


class Subscriptions(DaemonCase):
    """A Lago subscription is one owner's at a time."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.daemon.key("b admin", "ingest,admin", "--org", "org_b")
        answer = cls.daemon.post("/v1/events", event("plan", "plan.defined", plan="p", calls=[], markup="0"))
        assert answer.status == 200, answer

    def assign(self, id, org, at, subscription=None, key="all"):
        data = {"org": org, "plan": "p", "effective_at": at}
        if subscription:
            data["lago"] = {"external_customer_id": org, "external_subscription_id": subscription}
        return self.daemon.post("/v1/events", event(id, "plan.assigned", **data), key=key)

    def owner(self, id, day, subscription="sub_1"):
        """Whose a call of that day under the subscription is."""
        at = int(time.mktime(time.strptime(f"2026-03-{day} 12:00 UTC", "%Y-%m-%d %H:%M %Z"))) - time.timezone
        answer = self.daemon.post("/api/v1/events", {"event": {
            "transaction_id": id, "external_subscription_id": subscription, "code": "c", "timestamp": at,
            "properties": {"model": "m", "response_cost": 1}}})
        self.assertEqual(answer.status, 200, answer)
        return self.daemon.get(f"/v1/events/{answer.headers['x-position']}").json["event"]["data"]["org"]

    def test_it_changes_hands_only_when_it_is_free(self):
        self.assertEqual(self.assign("a1", "org_a", "2026-03-01T00:00:00Z", "sub_1").status, 200)
        for key, told in (("all", True), ("b admin", False)):
            for at in ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-09-01T00:00:00Z"):
                answer = self.assign("b1", "org_b", at, "sub_1", key=key)
                self.assertProblem(answer, 422, "subscription_taken", "data.lago.external_subscription_id")
                self.assertEqual(b"org_a" in answer.body, told, answer)
        # Its owner may say it again; and gives it up from a time on.
        self.assertEqual(self.assign("a2", "org_a", "2026-03-05T00:00:00Z", "sub_1").status, 200)
        self.assertEqual(self.assign("a3", "org_a", "2026-03-10T00:00:00Z").status, 200)
        self.assertProblem(
            self.assign("b2", "org_b", "2026-03-09T23:59:59Z", "sub_1", key="b admin"), 422, "subscription_taken")
        self.assertEqual(self.assign("b3", "org_b", "2026-03-10T00:00:00Z", "sub_1", key="b admin").status, 200)
        # A later one of its old owner is taken too, before the new one's begins or after.
        self.assertProblem(self.assign("a4", "org_a", "2026-03-09T00:00:00Z", "sub_1"), 422, "subscription_taken")
        # Usage goes to who has it at the call's own time.
        self.assertEqual([self.owner("t1", "09"), self.owner("t2", "10")], ["org_a", "org_b"])

    def test_a_name_that_stands_for_its_org_is_no_confined_keys_to_take(self):
        """Without an assignment a subscription stands for the org, or user, of its name."""
        for name, data in (("org_paid", {"credits": "5", "category": "paid"}), ("org_free", None)):
            one = event(name, "credits.granted", org=name, **data) if data else call(name, org=name)
            self.assertEqual(self.daemon.post("/v1/events", one).status, 200)
            for at in ("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"):
                self.assertProblem(
                    self.assign(f"claim {name}", "org_b", at, name, key="b admin"), 422, "subscription_taken")
            self.assertEqual(self.owner(f"t {name}", "09", name), name)
        # Its own name, and whoever speaks for all may say what he likes.
        self.assertEqual(self.assign("own", "org_b", "2026-03-01T00:00:00Z", "org_b", key="b admin").status, 200)
        self.assertEqual(self.assign("all", "org_z", "2026-03-01T00:00:00Z", "org_free").status, 200)
        self.assertEqual(self.owner("t z", "09", "org_free"), "org_z")

    def test_a_transaction_id_that_hundreds_of_others_use_is_found(self):
        def post(org):
            return self.daemon.post("/api/v1/events", {"event": {
                "transaction_id": "1", "external_subscription_id": org, "code": "c",
                "properties": {"model": "m", "response_cost": 1}}})
        for number in range(120):
            self.assertEqual(post(f"cust{number}").status, 200)
        self.daemon.key("cust119", "ingest", "--org", "cust119")
        for path, key in (("/api/v1/events/1", "cust119"), ("/api/v1/events/1?org=cust118", "all")):
            answer = self.daemon.get(path, key=key)
            self.assertEqual(answer.status, 200, answer)
            self.assertIn(answer.json["event"]["external_subscription_id"], ("cust118", "cust119"))

    def test_ids_that_are_one_in_a_log_tell_a_confined_key_nothing(self):
        lot = {"credits": "5", "category": "promo"}
        self.assertEqual(self.daemon.post("/v1/events", event("lot-1", "credits.granted", org="org_a", **lot)).status, 200)
        alert = {"alert": "low", "balance_below_credits": "5"}
        self.assertEqual(self.daemon.post("/v1/events", event("al-1", "alert.defined", org="org_a", **alert)).status, 200)
        for type, data, code, told, id in (("credits.granted", lot, "lot_exists", "id_taken", "lot-1"),
                                           ("alert.defined", alert, "alert_exists", "alert_exists", "al-2")):
            one = event(id, type, source="b", org="org_b", **data)
            answer = self.daemon.post("/v1/events", one, key="b admin")
            problem = self.assertProblem(answer, 422, told)
            self.assertEqual(problem["detail"], "cannot be used here: choose another")
            self.assertProblem(self.daemon.post("/v1/events", one), 422, code)


if __name__ == "__main__":
    unittest.main()
