"""Who may do what: every route x every scope x own and other org, from the daemon's own description of its routes.

A route without a row in ROUTES fails: say there what a key that is confined to one org gets. The words of a row:

    OWN_PATH  the path names an org. For any org but its own such a key gets 404, byte for byte as for one that does
              not exist.
    OWN_ONLY  the answer is of the key's org alone. A thing of another org that is asked for by its name (position, id)
              is 404, byte for byte as one that does not exist; nothing of another org is ever in the answer.
    WRITES    what it sends is judged by the org that it names. For any but its own 403, the same whether that org
              exists or not, and nothing is stored.
    REFUSED   404 for every confined key: what is there is of all orgs together.
    SHARED    the same for every key: it names no org and nobody's events.
    OPEN      no key is needed: as SHARED.
"""

import collections
import hashlib
import itertools
import re
import subprocess
import unittest

from harness import DaemonCase, binary, call, event, starter

OWN_PATH, OWN_ONLY, WRITES, REFUSED, SHARED, OPEN = "own path", "own only", "writes", "refused", "shared", "open"
SCOPES = ("ingest", "read", "lago", "admin")
PAST = "2026-01-01T00:00:00Z"
serial = itertools.count()

# What an org has; everything that is of the other one holds OTHER, so that it can be looked for.
Org = collections.namedtuple("Org", "name user lot subscription alert position call transaction authorization")
OWN, OTHER, NOBODY = "own0001", "oth0002", "non0003"


def org(tag, position):
    return Org(f"org_{tag}", f"u_{tag}", f"lot-{tag}", f"sub_{tag}", f"alert {tag}", position, f"call-{tag}",
               f"tx-{tag}", f"hold-{tag}")


def fresh(kind):
    return f"{kind}-{next(serial)}"


def new_call(one, **changes):
    return call(fresh("id"), source="matrix", **{"org": one.name, "user": one.user, **changes})


def litellm(one):
    return [{"id": fresh("litellm"), "litellm_call_id": fresh("call"), "call_type": "acompletion", "status": "success",
             "startTime": 1767225600.0, "endTime": 1767225601.0, "model": "gpt-4o", "custom_llm_provider": "openai",
             "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "response_cost": 0.0001,
             "metadata": {"user_api_key_org_id": one.name, "user_api_key_user_id": one.user}}]


def lago(one, id=None):
    return {"transaction_id": id or fresh("tx"), "external_subscription_id": one.subscription, "code": "litellm_tokens",
            "timestamp": 1767225601, "properties": {"model": "gpt-4o", "response_cost": "0.1", "prompt_tokens": 10,
                                                   "completion_tokens": 5, "total_tokens": 15}}


def authorization(one):
    return {"id": fresh("hold"), "org": one.name, "provider": "openai", "model": "gpt-4o", "operation": "chat",
            "credits": "0.001", "hold": False}


class Row:
    """`path` and `body` are made for an org. `status`: of the answer for a key's own. `filters`: names of parameters
    that take an org."""

    def __init__(self, kind, path=None, body=None, status=200, filters=()):
        self.kind, self.path, self.body, self.status, self.filters = kind, path, body, status, filters


# One row a route. Keys are written as the route table has them: API tests look for them here by that text.
ROUTES = {
    "POST /v1/events": Row(WRITES, body=new_call),
    "GET /v1/events": Row(OWN_ONLY, filters=("org",)),
    "GET /v1/events/{position}": Row(OWN_ONLY),
    "GET /v1/events/{position}/explanation": Row(OWN_ONLY),
    "POST /v1/ingest/litellm": Row(OWN_ONLY, body=litellm),
    "GET /v1/parked": Row(OWN_ONLY),
    "POST /api/v1/events": Row(OWN_ONLY, body=lambda one: {"event": lago(one)}),
    "POST /api/v1/events/batch": Row(OWN_ONLY, body=lambda one: {"events": [lago(one)]}),
    "GET /api/v1/events/{transaction_id}": Row(OWN_ONLY),
    "POST /v1/authorizations": Row(WRITES, body=authorization),
    "DELETE /v1/authorizations/{id}": Row(OWN_ONLY, path="/v1/authorizations/{id}?org={org}"),
    "GET /v1/orgs/{org}/denials": Row(OWN_PATH),
    "GET /v1/orgs/{org}": Row(OWN_PATH),
    "GET /v1/orgs/{org}/credits": Row(OWN_PATH),
    "GET /v1/users/{user}/credits": Row(REFUSED),
    "GET /v1/orgs/{org}/users/{user}/credits": Row(OWN_PATH),
    "GET /v1/orgs/{org}/calls": Row(OWN_PATH),
    "GET /v1/users/{user}/calls": Row(REFUSED),
    "GET /v1/orgs/{org}/tokens": Row(OWN_PATH),
    "GET /v1/tokens": Row(OWN_ONLY, path="/v1/tokens?group_by=org,user,model,service"),
    "GET /v1/orgs/{org}/statement": Row(OWN_PATH),
    "GET /v1/users/{user}/statement": Row(REFUSED),
    "GET /v1/alerts": Row(OWN_ONLY, filters=("org",)),
    "GET /v1/alerts/firings": Row(OWN_ONLY, filters=("org",)),
    "GET /v1/unpriced": Row(OWN_ONLY, filters=("org",)),
    "GET /v1/lago/batches": Row(REFUSED),
    "GET /v1/lago/batches/{id}": Row(REFUSED),
    "GET /v1/lago/batches/{id}/events": Row(REFUSED),
    "POST /v1/lago/batches/{id}/delivery": Row(REFUSED, body=lambda one: {"outcome": "delivered"}),
    "POST /v1/lago/windows/close": Row(REFUSED),
    "GET /v1/projections": Row(SHARED),
    "GET /v1/log/checkpoint": Row(SHARED),
    "GET /v1/log/proofs/inclusion": Row(OWN_ONLY, path="/v1/log/proofs/inclusion?position={position}"),
    "GET /v1/log/proofs/consistency": Row(SHARED, path="/v1/log/proofs/consistency?first=1"),
    "GET /healthz": Row(OPEN),
    "GET /readyz": Row(OPEN),
    "GET /metrics": Row(OPEN),
    "GET /openapi.json": Row(OPEN),
    "GET /": Row(OPEN),
}


class Access(DaemonCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        daemon = cls.daemon
        for scope in SCOPES:
            daemon.key(scope, scope)
            daemon.key(f"own {scope}", scope, "--org", f"org_{OWN}")
            daemon.key(f"other {scope}", scope, "--org", f"org_{OTHER}")
        daemon.key("expired", "ingest,read,lago,admin", "--expires", "2020-01-01T00:00:00Z")
        daemon.key("revoked", "ingest,read,lago,admin")
        cls.command("revoke", "revoked")
        for name in ("plans.json", "prices.json"):
            cls.store(starter(name))
        positions = {}
        for tag in (OWN, OTHER):
            one = org(tag, 0)
            cls.store([
                event(f"plan-{tag}", "plan.assigned", "admin", org=one.name, plan="starter", time=PAST,
                      lago={"external_customer_id": f"customer {tag}", "external_subscription_id": one.subscription}),
                event(one.lot, "credits.granted", "admin", org=one.name, credits="1", category="paid", time=PAST),
                event(f"wallet-{tag}", "credits.granted", "admin", user=one.user, credits="1", category="paid",
                      time=PAST),
                event(f"user-plan-{tag}", "plan.assigned", "admin", user=one.user, plan="trial", time=PAST),
                event(f"allocation-{tag}", "credits.allocated", "admin", org=one.name, user=one.user, mode="cap",
                      credits="100", period="never", time=PAST),
                event(f"alert-{tag}", "alert.defined", "admin", alert=one.alert, org=one.name,
                      balance_below_credits="100", time=PAST)])
            stored = cls.store([call(one.call, source=f"gateway {tag}", org=one.name, user=one.user, service=f"s-{tag}",
                                     model="gpt-4o", attributes={"tag": tag})])
            positions[tag] = stored["first_position"]
            cls.store([call(f"unpriced-{tag}", source=f"gateway {tag}", org=one.name, provider=f"p-{tag}",
                            model=f"m-{tag}", operation="image", usage={"images": 1})])
            # A denial, a hold, a parked item, and Lago's events, each under the org's own key.
            key = "own ingest" if tag == OWN else "other ingest"
            asked = {**authorization(one), "id": f"denied-{tag}", "credits": "1000000", "hold": True}
            cls.check(daemon.post("/v1/authorizations", asked, key=key), 402)
            asked = {**authorization(one), "id": one.authorization, "credits": "0.001", "hold": True}
            cls.check(daemon.post("/v1/authorizations", asked, key=key), 200)
            broken = litellm(one)[0]
            broken.update(id=f"parked-{tag}", prompt_tokens=-1)
            cls.check(daemon.post("/v1/ingest/litellm", [broken], key=key), 200)
            cls.check(daemon.post("/api/v1/events", {"event": lago(one, one.transaction)}, key=key), 200)
        daemon.post("/v1/lago/windows/close", None)
        cls.own, cls.other = org(OWN, positions[OWN]), org(OTHER, positions[OTHER])
        cls.nobody = org(NOBODY, 10 ** 6)
        cls.batches = [one["id"] for one in daemon.read("/v1/lago/batches")["batches"]]
        assert cls.batches, "no Lago batch to ask for"
        for path in ("/v1/alerts/firings", "/v1/unpriced", "/v1/parked", f"/v1/orgs/org_{OTHER}/denials"):
            answer = daemon.get(path, headers={"X-Min-Position": str(daemon.high_water())})
            assert OTHER.encode() in answer.body, f"nothing of the other org to be hidden at {path}: {answer}"

    @classmethod
    def command(cls, *words):
        done = subprocess.run([binary("tallystick"), "keys", *words, "--data", cls.daemon.folder], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    @classmethod
    def check(cls, answer, status):
        assert answer.status == status, answer

    @classmethod
    def store(cls, events):
        answer = cls.daemon.post("/v1/events", events)
        assert answer.status == 200 and not answer.json["rejected"], answer
        return answer.json

    # The table

    def routes(self):
        """(row's text, template, scopes, row) of every route of /openapi.json, which has those of the table."""
        for template, item in self.daemon.get("/openapi.json", key=None).json["paths"].items():
            for method, operation in item.items():
                if method == "parameters":
                    continue
                text = f"{method.upper()} {template}"
                if text in ROUTES:
                    yield text, template, operation.get("x-scopes", []), ROUTES[text]

    def ask(self, text, one, key, more=""):
        method, template = text.split(" ", 1)
        row = ROUTES[text]
        path = (row.path or template).format(
            org=one.name, user=one.user, position=one.position, transaction_id=one.transaction,
            id=self.batches[0] if "/lago/" in template else one.authorization)
        if more:
            path += ("&" if "?" in path else "?") + more
        body = row.body(one) if row.body else None
        return self.daemon.request(method, path, body, key=key)

    def test_every_route_has_a_row_and_every_row_a_route(self):
        described = set()
        for template, item in self.daemon.get("/openapi.json", key=None).json["paths"].items():
            described |= {f"{method.upper()} {template}" for method in item if method != "parameters"}
        missing = sorted(described - set(ROUTES))
        self.assertFalse(missing, "these routes have no row in ROUTES (Tests/e2e/test_access.py): say there what a key "
                                  f"that is confined to one org gets from them: {missing}")
        self.assertFalse(sorted(set(ROUTES) - described), "these rows have no route any more")

    def test_without_a_live_key_every_route_answers_alike(self):
        bad = [None, "expired", "revoked", "tsk_000000000000_" + "0" * 72, "tsk_", "", "Bearer", self.flipped(),
               "x" * 4000]
        for text, _, scopes, row in self.routes():
            answers = [self.ask(text, self.own, key) for key in bad]
            with self.subTest(route=text):
                if row.kind == OPEN:
                    self.assertEqual(scopes, [])
                    self.assertEqual({one.status for one in answers}, {row.status})
                    continue
                self.assertEqual({one.status for one in answers}, {401}, answers)
                self.assertEqual(len({one.body for one in answers}), 1, "the answer tells keys apart")

    def flipped(self):
        """A live key with another last digit of its secret and the checksum that belongs to it."""
        body = self.daemon.keys["all"][:-8]
        body = body[:-1] + ("0" if body[-1] != "0" else "1")
        return body + hashlib.sha256(body.encode()).hexdigest()[:8]

    def test_every_route_takes_the_scopes_it_names_and_no_other(self):
        for text, _, scopes, row in self.routes():
            if row.kind == OPEN:
                continue
            for scope in SCOPES:
                # `admin` posts what `ingest` posts.
                allowed = scope in scopes or (scope == "admin" and "ingest" in scopes)
                for name in (scope, f"own {scope}"):
                    answer = self.ask(text, self.own, name)
                    with self.subTest(route=text, key=name):
                        if not allowed:
                            self.assertEqual(answer.status, 403, answer)
                        elif name == scope or row.kind != REFUSED:
                            self.assertEqual(answer.status, row.status, answer)
                        else:
                            self.assertEqual(answer.status, 404, answer)

    def test_a_confined_key_can_neither_read_write_nor_detect_another_org(self):
        for text, template, scopes, row in self.routes():
            if row.kind in (OPEN, SHARED):
                body = self.ask(text, self.own, None if row.kind == OPEN else "own read").body
                with self.subTest(route=text):
                    self.assertNotIn(OTHER.encode(), body)
                continue
            key = f"own {scopes[0]}"
            before = self.daemon.high_water()
            other, nobody = self.ask(text, self.other, key), self.ask(text, self.nobody, key)
            with self.subTest(route=text):
                self.assertEqual(self.daemon.high_water(), before, "something was stored")
                self.assertEqual(*self.alike(other, nobody))
                if row.kind in (OWN_PATH, REFUSED):
                    self.assertEqual(other.status, 404, other)
                elif row.kind == WRITES:
                    self.assertEqual(other.status, 403, other)
                elif any(f"{{{name}}}" in (row.path or template) for name in ("position", "transaction_id", "id")):
                    self.assertEqual(other.status, 404, other)
                own = self.ask(text, self.own, key)
                self.assertNotIn(OTHER.encode(), own.body, own)
                self.assertNotIn(OTHER, str(own.headers))

    def alike(self, other, nobody):
        """Both answers without what the question itself said: the names, and ids made for each."""
        def plain(answer, tag, one):
            said = re.sub(r"\b(id|tx|hold|litellm)-\d+", r"\1", answer.body.decode().replace(tag, "<tag>"))
            said = re.sub(rf"\bposition {one.position}\b", "position <position>", said)
            headers = {k: v for k, v in answer.headers.items() if k not in ("date", "content-length")}
            return answer.status, headers, said
        return plain(other, OTHER, self.other), plain(nobody, NOBODY, self.nobody)

    def test_filters_by_another_org_answer_as_for_one_that_is_not_there(self):
        for text, _, scopes, row in self.routes():
            for name in row.filters:
                answers = [self.ask(text, self.own, f"own {scopes[0]}", f"{name}={one.name}")
                           for one in (self.other, self.nobody)]
                with self.subTest(route=text, filter=name):
                    self.assertEqual(answers[0].status, 404, answers[0])
                    self.assertEqual(*self.alike(*answers))
                    own = self.ask(text, self.own, f"own {scopes[0]}", f"{name}={self.own.name}")
                    self.assertEqual(own.status, row.status, own)
                    self.assertNotIn(OTHER.encode(), own.body)

    def test_lists_have_what_is_the_keys_own(self):
        """Empty answers would pass every test above."""
        for text, scope in (("GET /v1/events", "read"), ("GET /v1/parked", "read"), ("GET /v1/alerts", "read"),
                            ("GET /v1/tokens", "read"), ("GET /v1/alerts/firings", "read"),
                            ("GET /v1/unpriced", "read"), ("GET /v1/orgs/{org}/denials", "read"),
                            ("GET /v1/orgs/{org}/statement", "read"),
                            ("GET /api/v1/events/{transaction_id}", "ingest")):
            answer = self.ask(text, self.own, f"own {scope}")
            with self.subTest(route=text):
                self.assertEqual(answer.status, 200, answer)
                self.assertIn(OWN.encode(), answer.body)

    # Writes that name another org's things without naming the org

    def refused_alike(self, make, key="own admin", path="/v1/events", **more):
        before = self.daemon.high_water()
        answers = [self.daemon.post(path, make(one), key=key, **more) for one in (self.other, self.nobody)]
        self.assertEqual(self.daemon.high_water(), before, "something was stored")
        self.assertEqual(*self.alike(*answers))
        return answers[0]

    def test_events_of_another_org(self):
        for make in (
            lambda one: new_call(one),
            lambda one: [new_call(one)],
            lambda one: event(fresh("id"), "credits.granted", org=one.name, credits="1", category="paid"),
            lambda one: event(fresh("id"), "plan.assigned", org=one.name, plan="starter"),
            lambda one: event(fresh("id"), "alert.defined", alert=one.alert, org=one.name, balance_below_credits="1"),
            lambda one: event(fresh("id"), "credits.voided", lot=one.lot, reason="r"),
            lambda one: event(fresh("id"), "credits.granted", user=one.user, credits="1", category="paid"),
            lambda one: call(fresh("id"), org=None, user=one.user),
        ):
            answer = self.refused_alike(make)
            self.assertIn(b"org_forbidden", answer.body, answer)

    def test_what_holds_for_all_orgs_is_not_a_confined_keys_to_say(self):
        for name in ("plans.json", "prices.json"):
            body = [{**one, "id": fresh("id")} for one in starter(name)]
            answer = self.daemon.post("/v1/events", body, key="own admin")
            self.assertEqual((answer.json["accepted"], answer.json["rejected"]), (0, len(body)), answer)

    def test_corrections_of_another_orgs_call(self):
        def void(one):
            return {"specversion": "1.0", "source": "matrix", "id": fresh("id"), "type": "llm.call.voided",
                    "data": {"source": f"gateway {one.name[4:]}", "id": one.call, "reason": "r"}}

        def amend(whose):
            def make(one):
                data = call("x", org=one.name if whose is None else whose.name)["data"]
                return {"specversion": "1.0", "source": "matrix", "id": fresh("id"), "type": "llm.call.amended",
                        "data": {"source": f"gateway {one.name[4:]}", "id": one.call, "reason": "r", "call": data}}
            return make

        for make in (void, amend(None), amend(self.own)):
            answer = self.refused_alike(make)
            self.assertEqual(answer.status, 422, answer)
            self.assertEqual(answer.json["code"], "unknown_call", answer)

    def test_an_idempotency_key_that_another_org_has_used_is_free(self):
        # Each org's confined keys have a space of their own: nothing tells that the key is another's too.
        used = [fresh("used") for _ in range(2)]
        for id, key in zip(used, ("all", "other ingest")):
            self.check(self.daemon.post("/v1/events", call(id, org=self.other.name), key=key), 200)
        answers = [self.daemon.post("/v1/events", call(id, org=self.own.name), key="own ingest").json
                   for id in (*used, fresh("unused"))]
        first, *others = ({name: value for name, value in one.items() if "position" not in name} for one in answers)
        self.assertEqual((first["accepted"], first["duplicates"], first["conflicts"]), (1, 0, 0))
        self.assertEqual(others, [first, first])
        # Its own, from now on: as ever.
        again = self.daemon.post("/v1/events", call(used[0], org=self.own.name), key="own ingest").json
        self.assertEqual((again["duplicates"], again["last_position"]), (1, answers[0]["last_position"]), again)

    def test_lago_events_of_another_orgs_subscription(self):
        for make in (lambda one: {"event": lago(one)}, lambda one: {"event": lago(one, one.transaction)}):
            answer = self.refused_alike(make, key="own ingest", path="/api/v1/events")
            self.assertEqual(answer.status, 422, answer)
            self.assertNotIn(b"already", answer.body)

    def test_a_transaction_id_that_another_org_has_used_too(self):
        shared = fresh("shared-tx")
        for one, key in ((self.other, "other ingest"), (self.own, "own ingest")):
            self.check(self.daemon.post("/api/v1/events", {"event": lago(one, shared)}, key=key), 200)
        for one, key in ((self.other, "other ingest"), (self.own, "own ingest")):
            answer = self.daemon.get(f"/api/v1/events/{shared}", key=key)
            self.assertEqual(answer.status, 200, answer)
            self.assertIn(one.subscription.encode(), answer.body)

    def test_cloudevents_for_another_subject(self):
        def make(one):
            return {"specversion": "1.0", "id": fresh("id"), "source": "om", "type": "litellm_tokens",
                    "subject": one.subscription, "time": PAST,
                    "data": {"model": "gpt-4o", "cost": "0.1", "prompt_tokens": 1, "completion_tokens": 1,
                             "total_tokens": 2}}
        # Its sender would drop what is refused: it is parked, and the answer is the same 204.
        answer = self.refused_alike(make, key="own ingest", path="/api/v1/events", kind="application/cloudevents+json")
        self.assertEqual(answer.status, 204, answer)

    def test_authorizations_for_another_org(self):
        for more in ({"hold": False}, {"hold": True}):
            answer = self.refused_alike(lambda one: {**authorization(one), **more}, key="own ingest",
                                        path="/v1/authorizations")
            self.assertEqual(answer.json["code"], "org_forbidden")
        # The same id under both orgs: two holds, and each key releases its own alone.
        answer = self.daemon.request("DELETE", f"/v1/authorizations/{self.other.authorization}", key="own ingest")
        self.assertEqual(answer.status, 404, answer)
        id = fresh("hold")
        for one, key in ((self.other, "other ingest"), (self.own, "own ingest")):
            asked = {**authorization(one), "id": id, "hold": True}
            self.assertEqual(self.daemon.post("/v1/authorizations", asked, key=key).status, 200)
        for key in ("own ingest", "other ingest"):
            answer = self.daemon.request("DELETE", f"/v1/authorizations/{id}", key=key)
            self.assertEqual(answer.status, 200, answer)
            self.assertTrue(answer.json["released"])

    def test_a_statement_cursor_of_another_org_opens_nothing(self):
        page = self.daemon.read(f"/v1/orgs/{self.other.name}/statement?limit=1")
        self.assertTrue(page["next"], page)
        answer = self.daemon.get(f"/v1/orgs/{self.own.name}/statement?cursor={page['next']}", key="own read")
        self.assertNotIn(OTHER.encode(), answer.body)
        for line in answer.json.get("lines", []):
            owner = self.daemon.get(f"/v1/events/{line['position']}").body
            self.assertNotIn(OTHER.encode(), owner)


if __name__ == "__main__":
    unittest.main()
