"""The whole API of the intake, path by path with the exact answers; a worker that stores at once is behind it."""
import base64
import hashlib
import http.client
import json
import re
import threading
import time

import pytest

from lib.client import basic
from lib.fake_worker import Worker, events_of
from lib.wait import wait_for

GIF = bytes.fromhex("47494638396101000100800000000000000000" "21f90401000000002c00000000010001000002024401003b")
NO_KEY, BAD_KEY = b"failed to read writekey from header\n", b"invalid write key\n"
NO_QUERY_KEY = b"failed to read writekey from query params\n"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


class Intake:
    """An ingest, and a worker that says STORED to everything and keeps it."""

    def __init__(self, fake_master, folder, listeners=1, **conf):
        self.conf = {"node": {"state_dir": str(folder)},
                     "ingest": {"listeners": [{"id": "l%d" % i, "address": "127.0.0.1:0"} for i in range(listeners)]},
                     "sources": [{"id": "web", "write_key": "KEY"}, {"id": "off", "write_key": "OFF", "enabled": False}],
                     "destinations": [{"id": "sink", "url": "http://127.0.0.1:9/"}]}
        for name, value in conf.items():
            if isinstance(value, dict):
                self.conf.setdefault(name, {}).update(value)
            else:
                self.conf[name] = value
        self.master = fake_master("ingest", self.conf, listen=["127.0.0.1:0"] * listeners).start()
        self.master.expect("READY")
        self.worker = Worker(self.master)
        self.stored, self.generation, self.ended = [], 1, False
        self.thread = threading.Thread(target=self.store, daemon=True)
        self.thread.start()

    def store(self):
        while not self.ended and not self.worker.is_ended:
            self.worker.pump(0.05)
            while self.worker.seen:
                batch = self.worker.seen.pop(0)
                self.stored += [(batch.fields[2], e) for e in events_of(batch)]
                self.worker.stored(batch)

    def close(self):
        self.ended = True
        self.thread.join()

    def ask(self, method, path, body=None, key="KEY", headers=None, listener=0):
        """(status, headers, body); raw: no header is added but Host and the length."""
        host, port = self.master.address(listener).rsplit(":", 1)
        c = http.client.HTTPConnection(host, int(port), timeout=20)
        all_headers = dict({"Authorization": basic(key)} if key else {}, **(headers or {}))
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        c.request(method, path, body, all_headers)
        r = c.getresponse()
        answer = r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        c.close()
        return answer

    def post(self, path, body, **options):
        status, _, text = self.ask("POST", path, body, **options)
        return status, text

    def event(self, path="/v1/batch", body=None, method="POST", **options):
        """The one event that came of this request, which was taken."""
        before = len(self.stored)
        status, _, text = self.ask(method, path, body, **options)
        assert status == 200, text
        wait_for(lambda: len(self.stored) > before, 10)
        assert len(self.stored) == before + 1
        return self.stored[-1][1]

    def reload(self, change):
        change(self.conf)
        text = json.dumps(self.conf).encode()
        self.generation += 1
        self.master.send("RELOAD", self.generation, len(text), hashlib.sha256(text).digest(),
                         fds=[self.master.config_fd(text)])
        assert self.master.expect("RELOADED").fields[1] is True


@pytest.fixture
def intake(fake_master, tmp_path):
    made = []

    def make(**conf):
        made.append(Intake(fake_master, tmp_path, **conf))
        return made[-1]
    yield make
    for one in made:
        one.close()


USER = {"userId": "u", "event": "E"}
VERBS = ("track", "identify", "page", "screen", "group", "alias", "merge", "audiencelist")
BATCHES = ("/v1/batch", "/v1/import", "/beacon/v1/batch")


def test_every_path_takes_its_events(intake):
    i = intake()
    for verb in VERBS:
        event = i.event("/v1/" + verb, dict(USER, type="else"))
        assert (event["type"], event["userId"]) == (verb, "u")
    for path in BATCHES:
        assert i.event(path + "?writeKey=KEY", {"batch": [dict(USER, type="track")]}, key=None)["type"] == "track"
    assert {source for source, _ in i.stored} == {"web"}


def test_answers_of_every_path(intake):
    i = intake()
    batch = {"batch": [USER]}
    for path in ["/v1/" + v for v in VERBS] + list(BATCHES):
        many = path in BATCHES
        good, none = (batch, {"batch": []}) if many else (USER, {"event": "x"})
        said = NO_QUERY_KEY if path.startswith("/beacon") else NO_KEY
        assert i.post(path, good) == (200, b"ok"), path
        assert i.post(path, good, key=None) == (401, said), path
        assert i.post(path, good, key="WRONG") == (401, BAD_KEY), path
        assert i.post(path, good, key="OFF") == (404, b"source is disabled\n"), path
        assert i.post(path + "?writeKey=KEY", good, key=None) == (200, b"ok"), path
        assert i.post(path + "?writeKey=WRONG", good, key=None) == (401, BAD_KEY), path
        assert i.post(path, dict(good, writeKey="KEY"), key=None) == (200, b"ok"), path
        assert i.post(path, dict(good, writeKey="WRONG"), key=None) == (401, BAD_KEY), path
        assert i.post(path, b"") == (400, b"request body is nil\n"), path
        assert i.post(path, b"{") == (400, b"invalid json\n"), path
        assert i.post(path, none) == (400, b"empty batch payload\n" if many else
                                      b"request neither has anonymousId nor userId\n"), path
        assert i.post(path, b"[7]" if not many else b'{"batch":[7]}') == (
            400, b"event is not a valid rudder event\n"), path
        status, headers, body = i.ask("GET", path)
        assert (status, headers["allow"], body) == (405, "POST, OPTIONS", b"method not allowed\n"), path
        status, headers, body = i.ask("OPTIONS", path)
        assert (status, headers["allow"], body) == (204, "POST, OPTIONS", b""), path
        assert "access-control-allow-origin" not in headers
    for path in ("/v1/nothing", "/v1/batch/", "/v1", "/beacon/v1/track", "/pixel/v1/identify"):
        assert i.post(path, batch) == (404, b"404 page not found\n"), path
    assert i.ask("OPTIONS", "/nothing")[0] == 404
    assert i.ask("OPTIONS", "*")[0] == 204


def test_segment_answers(intake):
    i = intake(ingest={"compat": "segment", "listeners": [{"id": "l0", "address": "127.0.0.1:0"}]})
    for path in BATCHES:
        assert json.loads(i.post(path, {"batch": [USER]})[1]) == {"success": True}
        status, headers, body = i.ask("POST", path, "{")
        assert (status, headers["content-type"]) == (400, "application/json; charset=utf-8")
        assert json.loads(body) == {"success": False, "message": "invalid json"}
    assert json.loads(i.post("/v1/track", USER, key=None)[1])["success"] is False


def test_write_keys(intake):
    """Each is found, none by a piece of it; also with many sources."""
    keys = ["key-%03d" % n + "x" * (n % 200) for n in range(200)]
    i = intake(sources=[{"id": "s%d" % n, "write_key": k, "enabled": n != 7} for n, k in enumerate(keys)])
    for n in (0, 1, 99, 199):
        assert i.post("/v1/track", USER, key=keys[n]) == (200, b"ok")
        assert i.stored[-1][0] == "s%d" % n
    assert i.post("/v1/track", USER, key=keys[7])[0] == 404
    for wrong in (keys[1][:-1], keys[1] + "x", keys[1].upper(), "x" * 255, "x" * 256, "x" * 300):
        assert i.post("/v1/track", USER, key=wrong)[0] == 401, wrong
        assert i.post("/v1/track?writeKey=" + wrong, USER, key=None)[0] == 401, wrong
        assert i.post("/v1/track", dict(USER, writeKey=wrong), key=None)[0] == 401, wrong
    assert i.post("/v1/track", dict(USER, writeKey=""), key=None)[0] == 401
    assert i.post("/v1/track", dict(USER, writeKey=None), key=None)[0] == 401
    assert i.post("/v1/track", dict(USER, writeKey=keys[3]), key=keys[2])[0] == 200
    assert i.stored[-1][0] == "s2", "the header counts before the body"
    i.reload(lambda c: c["sources"].pop(0))
    assert i.post("/v1/track", USER, key=keys[0])[0] == 401, "it has gone"
    assert i.post("/v1/track", USER, key=keys[1])[0] == 200


def test_a_source_only_on_its_listeners(intake):
    i = intake(listeners=2, sources=[{"id": "web", "write_key": "KEY"},
                                     {"id": "inside", "write_key": "IN", "listeners": ["l1"]}])
    asked = [[i.post("/v1/track", USER, key=k, listener=n) for n in (0, 1)] for k in ("KEY", "IN")]
    assert asked == [[(200, b"ok")] * 2, [(401, BAD_KEY), (200, b"ok")]]
    i.reload(lambda c: c["sources"][1].update(listeners=["l0"]))
    assert [i.post("/v1/track", USER, key="IN", listener=n)[0] for n in (0, 1)] == [200, 401]
    i.reload(lambda c: c["sources"][1].pop("listeners"))
    assert [i.post("/v1/track", USER, key="IN", listener=n)[0] for n in (0, 1)] == [200, 200]


# ---- what is filled in

def test_filled_in(intake):
    i = intake()
    e = i.event(body={"batch": [{"anonymousId": "a", "type": "track"}]})
    assert UUID.match(e["messageId"]) and DATE.match(e["receivedAt"])
    assert e["request_ip"] == "127.0.0.1"
    assert e["originalTimestamp"] == e["timestamp"] == e["receivedAt"]
    assert "sentAt" not in e and "context" not in e
    given = {"userId": "u", "messageId": "m", "receivedAt": "2020-01-01T00:00:00.000Z", "request_ip": "192.0.2.1",
             "originalTimestamp": "2019-01-01T00:00:00.000Z", "timestamp": "2018-01-01T00:00:00.000Z",
             "sentAt": "2019-01-01T00:00:01.000Z", "channel": "x", "rudderId": "y"}
    assert i.event(body={"batch": [given]}) == given, "what is given stays"
    # the sender's clock is a day late: what counts is how long before the sending it happened
    e = i.event(body={"batch": [dict(given, messageId="m2", timestamp="")]})
    assert e["timestamp"] == "2019-12-31T23:59:59.000Z"
    e = i.event(body={"batch": [{"userId": "u", "timestamp": "2018-01-01T00:00:00Z"}]})
    assert e["originalTimestamp"] == e["timestamp"] == "2018-01-01T00:00:00Z"
    for user in ({"userId": 7}, {"anonymousId": True}, {"userId": " x "}):
        assert i.event(body={"batch": [user]}).items() >= user.items()
    for nobody in ({}, {"userId": ""}, {"userId": None, "anonymousId": "  "}):
        assert i.post("/v1/track", nobody)[0] == 400


def test_members_beside_the_batch(intake):
    """Segment's API: context and integrations are merged into each event; its own members win."""
    i = intake()
    whole = {"batch": [{"userId": "u"}], "context": {"ip": "192.0.2.1", "app": {"name": "x"}},
             "integrations": {"All": False}, "sentAt": "2024-05-05T05:05:05.000Z", "userId": "not merged",
             "anonymousId": "not merged", "timestamp": "2024-05-05T05:05:00.000Z"}
    e = i.event(body=whole)
    assert (e["context"], e["integrations"]) == (whole["context"], {"All": False})
    assert (e["sentAt"], e["userId"]) == ("2024-05-05T05:05:05.000Z", "u") and "anonymousId" not in e
    e = i.event(body=dict(whole, batch=[{"userId": "u", "integrations": None, "sentAt": "2020-01-01T00:00:00Z",
                                         "context": {"app": {"version": 1}, "l": []}}]))
    assert e["context"] == {"app": {"version": 1}, "l": [], "ip": "192.0.2.1"}
    assert (e["integrations"], e["sentAt"]) == ({"All": False}, "2020-01-01T00:00:00Z")
    e = i.event(body=dict(whole, batch=[{"userId": "u", "context": {}, "integrations": 7}]))
    assert (e["context"], e["integrations"]) == (whole["context"], 7)
    # the clock of the batch: it was sent 5 s after it happened
    e = i.event(body=dict(whole, batch=[{"userId": "u", "originalTimestamp": "2024-05-05T05:05:00Z",
                                         "receivedAt": "2024-05-06T00:00:00.000Z"}]))
    assert e["timestamp"] == "2024-05-05T23:59:55.000Z"
    for odd in ({"context": 7, "integrations": [], "sentAt": "soon"}, {"context": None, "sentAt": 5}):
        e = i.event(body=dict({"batch": [{"userId": "u"}]}, **odd))
        assert not e.keys() & odd.keys()
    assert i.post("/v1/batch", b'{"batch":[{"userId":"u"}],"context":{%s}}' % b",".join(
        b'"k%d":1' % n for n in range(65))) == (400, b"too many members beside the batch\n")
    text = i.post("/v1/batch", {"batch": [{"userId": "u"}], "context": {"x": "x" * 33000}})
    assert text == (200, b"ok (0 taken, 1 quarantined: too_big)"), "with what it would carry it is over the limit"
    assert i.post("/v1/batch", {"context": {"a": 1}, "batch": [None, {"userId": "u"}]}) == (
        200, b"ok (1 taken, 1 quarantined: not_object)")


# ---- beacons and pixels

def test_beacon(intake):
    """As navigator.sendBeacon of RudderStack's browser SDK: no headers, a Blob of text/plain, cookies allowed."""
    i = intake()
    page = {"Content-Type": "text/plain;charset=UTF-8", "Origin": "https://shop.example.com",
            "Sec-Fetch-Mode": "no-cors", "Cookie": "a=b"}
    body = {"batch": [{"anonymousId": "a", "type": "page", "originalTimestamp": "2024-05-05T05:05:00.000Z",
                       "sentAt": "2024-05-05T05:05:01.000Z"}], "sentAt": "2024-05-05T05:05:01.000Z"}
    status, headers, text = i.ask("POST", "/beacon/v1/batch?writeKey=KEY", body, key=None, headers=page)
    assert (status, text) == (200, b"ok")
    assert headers["access-control-allow-origin"] == "https://shop.example.com"
    assert headers["access-control-allow-credentials"] == "true"
    assert i.stored[-1][1]["anonymousId"] == "a"
    assert i.post("/beacon/v1/batch", body, key=None) == (401, NO_QUERY_KEY)


def pixel(i, path, **options):
    status, headers, body = i.ask("GET", path, key=None, **options)
    assert (status, headers["content-type"], body) == (200, "image/gif", GIF), path
    assert "no-store" in headers["cache-control"]


def test_pixels(intake):
    i = intake()
    pixel(i, "/pixel/v1/page?writeKey=KEY&anonymousId=%22a-1%22&name=&properties.path=%2Fx%3Fy&context.page.url=http%3A%2F%2Fh"
             "&context.page.title=S%C3%B8k+%F0%9F%9A%80&a&a=second&type=track&x=%ff%22")
    e = i.stored[-1][1]
    assert e["type"] == "page" and e["channel"] == "web" and e["integrations"] == {"All": True}
    assert (e["anonymousId"], e["name"], e["a"], e["x"]) == ("a-1", "Unknown Page", "", "\ufffd\"")
    assert e["properties"] == {"path": "/x?y"} and e["context"] == {"page": {"url": "http://h", "title": "Søk 🚀"}}
    assert DATE.match(e["originalTimestamp"]) and e["originalTimestamp"] == e["sentAt"] and "writeKey" not in e
    assert DATE.match(e["timestamp"]) and UUID.match(e["messageId"]) and e["request_ip"] == "127.0.0.1"
    pixel(i, "/pixel/v1/track?writeKey=KEY&userId=7&event=Viewed&channel=mail&integrations.All=false&messageId=m")
    e = i.stored[-1][1]
    assert (e["type"], e["event"], e["userId"], e["channel"], e["integrations"], e["messageId"]) == (
        "track", "Viewed", "7", "mail", {"All": "false"}, "m")
    n = len(i.stored)
    for nothing in ("/pixel/v1/track?writeKey=KEY&userId=u&event=", "/pixel/v1/track?writeKey=KEY&event=E",
                    "/pixel/v1/track?userId=u&event=E", "/pixel/v1/track?writeKey=NO&userId=u&event=E",
                    "/pixel/v1/page?writeKey=OFF&userId=u", "/pixel/v1/page",
                    "/pixel/v1/page?writeKey=KEY&userId=u&" + "&".join("k%d=1" % k for k in range(140))):
        pixel(i, nothing)
    assert len(i.stored) == n
    status, headers, _ = i.ask("POST", "/pixel/v1/page?writeKey=KEY", USER)
    assert (status, headers["allow"]) == (405, "GET, OPTIONS")
    assert i.ask("HEAD", "/pixel/v1/page?writeKey=KEY&userId=u")[0] == 405 and len(i.stored) == n


def test_segment_pixels(intake):
    i = intake()
    event = {"writeKey": "KEY", "userId": "ü", "event": "E?>", "properties": {"n": 1}, "type": "else"}
    raw = json.dumps(event, ensure_ascii=False).encode()
    for kind in ("track", "identify", "page", "screen", "group", "alias"):
        for text in (base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"=")):
            pixel(i, "/v1/pixel/%s?data=%s" % (kind, text.decode()))
            e = i.stored[-1][1]
            assert (e["type"], e["userId"], e["event"], e["properties"]) == (kind, "ü", "E?>", {"n": 1})
            assert "writeKey" not in e and "channel" not in e
        pixel(i, "/v1/pixel/%s?writeKey=KEY&userId=u&properties.a.b=1" % kind)
        assert i.stored[-1][1]["properties"] == {"a": {"b": "1"}}
    n = len(i.stored)
    for nothing in ("data=", "data=%21", "data=" + base64.b64encode(b"[1]").decode(),
                    "data=" + base64.b64encode(b'{"userId":"u"}').decode(), "writeKey=KEY&data=e30="):
        pixel(i, "/v1/pixel/track?" + nothing)
    assert len(i.stored) == n


# ---- pages

def cors_of(headers):
    return {k: v for k, v in headers.items() if k.startswith("access-control-") or k == "vary"}


def preflight(i, path, origin, key=None, **options):
    status, headers, body = i.ask("OPTIONS", path + ("?writeKey=" + key if key else ""), key=None, headers={
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,anonymousid"}, **options)
    assert (status, body, headers["allow"]) == (204, b"", "POST, OPTIONS")
    return cors_of(headers)


VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def test_cors_of_all_pages_is_the_default(intake):
    i = intake()
    assert preflight(i, "/v1/batch", "https://any.example") == {
        "vary": VARY, "access-control-allow-origin": "https://any.example", "access-control-allow-credentials": "true",
        "access-control-allow-methods": "POST, OPTIONS", "access-control-max-age": "600",
        "access-control-allow-headers": "authorization,content-type,anonymousid"}
    for key, body, status in (("KEY", {"batch": [USER]}, 200), ("NO", {"batch": [USER]}, 401), ("KEY", "{", 400)):
        s, headers, _ = i.ask("POST", "/v1/batch", body, key=key, headers={"Origin": "null"})
        assert s == status
        assert cors_of(headers) == {"vary": "Origin", "access-control-allow-origin": "null",
                                    "access-control-allow-credentials": "true",
                                    "access-control-expose-headers": "Retry-After"}
    assert cors_of(i.ask("POST", "/v1/batch", {"batch": [USER]})[1]) == {}, "no page, no lines"


def test_cors_of_each_source(intake):
    i = intake(listeners=2, sources=[
        {"id": "a", "write_key": "A", "cors": ["https://www.example.com", "http://localhost:3000"]},
        {"id": "b", "write_key": "B", "cors": ["https://*.example.org"], "listeners": ["l0"]},
        {"id": "n", "write_key": "N", "cors": ["none"]},
        {"id": "off", "write_key": "OFF", "enabled": False}])

    def allowed(key, origin, listener=0):
        s, headers, _ = i.ask("POST", "/v1/batch", {"batch": [USER]}, key=key, headers={"Origin": origin}, listener=listener)
        assert (s, headers["vary"]) == (200, "Origin")
        return "access-control-allow-origin" in headers

    assert allowed("A", "https://www.example.com") and allowed("A", "https://WWW.example.com")
    assert allowed("A", "http://localhost:3000") and not allowed("A", "http://localhost")
    for no in ("https://example.com", "http://www.example.com", "https://www.example.com.evil.net", "null", "*", "x"):
        assert not allowed("A", no)
    assert allowed("B", "https://x.example.org") and allowed("B", "https://x.y.example.org")
    for no in ("https://example.org", "https://.example.org", "https://x.example.org:8443", "https://xexample.org"):
        assert not allowed("B", no)
    assert not allowed("N", "https://www.example.com")
    # a preflight carries no key: what some source on this listener allows; with a key in the query, that source
    asked = [("https://www.example.com", None, 0), ("https://x.example.org", None, 0), ("https://x.example.org", None, 1),
             ("https://other.net", None, 0), ("https://www.example.com", "A", 0), ("https://www.example.com", "B", 0),
             ("https://www.example.com", "unknown", 0)]
    got = ["access-control-allow-origin" in preflight(i, "/v1/batch", o, key=k, listener=n) for o, k, n in asked]
    assert got == [True, True, False, False, True, False, True]
    assert preflight(i, "/v1/batch", "https://other.net") == {"vary": VARY}
    i.reload(lambda c: c["sources"][2].update(cors=["*"]))
    assert allowed("N", "https://other.net") and preflight(i, "/v1/batch", "https://other.net").keys() > {"vary"}
    long = "https://%s.example.com" % ("x" * 300)
    assert not allowed("N", long)


# ---- how much

def test_rate_limit(intake):
    i = intake(sources=[{"id": "web", "write_key": "KEY", "rate_limit": "20/h"}, {"id": "free", "write_key": "FREE"}])
    ten = {"batch": [USER] * 10}
    assert i.post("/v1/batch", ten) == (200, b"ok")
    assert i.post("/v1/batch", {"batch": [USER] * 9}) == (200, b"ok")
    status, headers, body = i.ask("POST", "/v1/batch", ten)
    assert (status, body) == (429, b"max requests limit reached\n")
    assert 1500 < int(headers["retry-after"]) <= 1800, "nine events, one each three minutes"
    assert i.post("/v1/batch", {"batch": [None, {"event": "nobody"}]})[0] == 400, "what is refused costs nothing"
    assert i.post("/v1/track", USER) == (200, b"ok"), "one is left"
    status, headers, _ = i.ask("POST", "/v1/track", USER)
    assert status == 429 and 100 < int(headers["retry-after"]) <= 180
    assert i.post("/v1/track", dict(USER, writeKey="KEY"), key=None)[0] == 429
    pixel(i, "/pixel/v1/page?writeKey=KEY&userId=u")
    assert i.post("/v1/batch", ten, key="FREE") == (200, b"ok"), "another source"
    assert len(i.stored) == 30
    i.reload(lambda c: c["sources"][0].update(rate_limit="1000/s"))
    deadline = time.monotonic() + 10
    while i.post("/v1/batch", ten)[0] != 200:
        assert time.monotonic() < deadline
    i.reload(lambda c: c["sources"][0].pop("rate_limit"))
    assert i.post("/v1/batch", {"batch": [USER] * 2000}) == (200, b"ok")


def test_more_than_the_whole_rate(intake):
    """Such a request is taken when nothing was taken lately; else its sender would try for ever."""
    i = intake(sources=[{"id": "web", "write_key": "KEY", "rate_limit": "5/s"}])
    assert i.post("/v1/batch", {"batch": [USER] * 8}) == (200, b"ok")
    status, headers, _ = i.ask("POST", "/v1/track", USER)
    assert (status, headers["retry-after"]) == (429, "1")


def test_the_rate_is_shared_by_processes(intake):
    i = intake(sources=[{"id": "web", "write_key": "KEY", "rate_limit": "40/h"}], master={"processes": {"ingest": 4}})
    assert i.post("/v1/batch", {"batch": [USER] * 10}) == (200, b"ok")
    assert i.post("/v1/track", USER)[0] == 429


# ---- who

def test_trusted_proxies(intake):
    i = intake()

    def sender(**headers):
        return i.event(body={"batch": [USER]}, headers={k.replace("_", "-"): v for k, v in headers.items()})["request_ip"]

    assert sender(X_Forwarded_For="192.0.2.9") == "127.0.0.1", "nobody is trusted"
    i.reload(lambda c: c["ingest"].update(trusted_proxies=["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"]))
    for said, ip in (("192.0.2.9", "192.0.2.9"), ("192.0.2.9, 10.1.1.1", "192.0.2.9"),
                     ("6.6.6.6, 192.0.2.9, 10.1.1.1,10.2.2.2", "192.0.2.9"), ("10.3.3.3, 10.1.1.1", "10.3.3.3"),
                     ("[2001:db8::1]:443, fd00::1", "2001:db8::1"), ("2001:db8::1", "2001:db8::1"),
                     ("192.0.2.9:1234", "192.0.2.9"), ("6.6.6.6, junk, 10.1.1.1", "10.1.1.1"), ("junk", "127.0.0.1"),
                     ("", "127.0.0.1"), ("unknown, 10.1.1.1", "10.1.1.1"), ("6.6.6.6,, ,192.0.2.9", "192.0.2.9"),
                     ("::ffff:192.0.2.9", "192.0.2.9"), ("6.6.6.6, ::ffff:10.0.0.1", "6.6.6.6"), ('1.2.3.4"', "127.0.0.1"),
                     ("6.6.6.6 10.0.0.1", "127.0.0.1"), ("x" * 4000, "127.0.0.1")):
        assert sender(X_Forwarded_For=said) == ip, said
    for said, ip in (("for=192.0.2.9", "192.0.2.9"), ("for=6.6.6.6;proto=https, For=\"[2001:db8::9]:80\";by=10.0.0.1", "2001:db8::9"),
                     ("for=192.0.2.9, for=10.1.1.1;host=x", "192.0.2.9"), ("for=_hidden, for=10.1.1.1", "10.1.1.1"),
                     ("by=10.1.1.1", "127.0.0.1"), ("for=\"", "127.0.0.1")):
        assert sender(Forwarded=said) == ip, said
    assert sender(Forwarded="for=6.6.6.6", X_Forwarded_For="192.0.2.9") == "192.0.2.9"
    i.reload(lambda c: c["ingest"].update(trusted_proxies=["unix"]))
    assert sender(X_Forwarded_For="192.0.2.9") == "127.0.0.1"
