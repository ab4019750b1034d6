"""The SDKs from npm, unmodified, pointed at ingest: what their callers gave them arrives once, every field as sent."""
import datetime
import json
import os
import re
import subprocess

import pytest

from lib import npm
from lib.events import raw_elements
from lib.recorder import Recorder
from lib.wait import wait_for

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sdk_client.js")
SDKS = ("rudder-3.0.13", "rudder-2.1.11", "rudder-1.1.5", "segment-3.1.0", "segment-2.3.0", "analytics-node-6.2.0")
PATIENT = tuple(sdk for sdk in SDKS if sdk != "rudder-1.1.5")  # that one gives up within two seconds
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

# What an SDK adds to a call, and what dray adds to that, at the top level (given fields keep their place).
SEGMENT = {"type", "messageId", "timestamp", "_metadata", "integrations"}
SDK_ADDS = {"rudder-3.0.13": {"type", "messageId", "channel", "_metadata", "originalTimestamp", "sentAt"},
            "rudder-2.1.11": {"type", "messageId", "channel", "_metadata", "originalTimestamp", "sentAt"},
            "rudder-1.1.5": {"type", "messageId", "channel", "_metadata", "originalTimestamp", "sentAt"},
            "segment-3.1.0": SEGMENT, "segment-2.3.0": SEGMENT,
            "analytics-node-6.2.0": {"type", "messageId", "timestamp", "_metadata"}}
DRAY_ADDS = {"receivedAt", "request_ip", "originalTimestamp", "timestamp", "sentAt"}

DAY = datetime.datetime(2024, 2, 29, 23, 59, 59, 987000, datetime.timezone.utc)
DEEP = {"a": [{"b": {"c": [[], {}, None, {"d": [1, [2, [3, ["é"]]]]}]}}]}
ODD = {"empty": "", "zero": 0, "negative": -1.5e-7, "big": 9007199254740991, "float": 0.1, "no": False, "null": None,
       "quote\"d \\ key": "\b\f\n\r\t\u0000\u001f\u007f", "a.b": 1, "$set": {"$x": 1}, "": "empty key",
       "unicode": "Søk 注文完了 🚀 \u2028\u2029 </script> \ufeff e\u0301", "__proto": "x", "constructor": {"y": 1},
       "list": list(range(50)), "when": DAY, "deep": DEEP}


@pytest.fixture(scope="module")
def packages(request):
    try:
        return npm.install(request.config.build)
    except npm.NotInstalled as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def make_recorder(house):
    def make(dray):
        recorder = Recorder(dray.ingest)
        house.closers.append(recorder.close)
        return recorder
    return make


class Run:
    """One SDK in a node process of its own, making calls."""

    def __init__(self, packages, sdk, url, key, calls, **options):
        self.sdk = sdk
        self.calls = [(kind, {**m, "context": {**m.get("context", {}), "sdk": sdk, "call": i}})
                      for i, (kind, m) in enumerate(calls)]
        self.process = subprocess.Popen(["node", CLIENT, packages, sdk, url, key], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.process.stdin.write(json.dumps({"options": options, "calls": self.calls}, default=dated).encode())
        self.process.stdin.close()

    def wait(self):
        """Every call was acknowledged to its caller."""
        said, errors = self.process.stdout.read(), self.process.stderr.read()
        assert self.process.wait(30) == 0, "%s: %s" % (self.sdk, errors.decode()[-2000:])
        told = json.loads(said)
        assert told["refused"] == {}, "%s: %s" % (self.sdk, told["refused"])
        assert sorted(told["taken"]) == list(range(len(self.calls))), self.sdk

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def run(packages, house):
    def start(sdk, url, dray, calls, **options):
        made = Run(packages, sdk, url, dray.key, calls, **options)
        house.closers.append(made.end)
        return made
    return start


def dated(value):
    """As sdk_client.js reads a Date."""
    return {"$date": value.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


def as_json(value):
    """What JSON.stringify makes of a message: Dates as ISO texts."""
    return json.loads(json.dumps(value, default=lambda d: dated(d)["$date"]))


def every_call():
    """All six types, with the fields that the tracking specification gives them, and odd values."""
    who = {"userId": "usér-1", "anonymousId": "anon-1"}
    return [
        ("track", {**who, "event": "Søk utført \"注文\"", "properties": ODD, "timestamp": DAY,
                   "context": {"ip": "203.0.113.9", "page": {"url": "https://example.com/é?q=1&x=%20"}, "deep": DEEP},
                   "integrations": {"All": False, "Mixpanel": {"nested": [True]}}}),
        ("track", {"anonymousId": "only-anonymous", "event": "bare"}),
        ("identify", {**who, "traits": {**ODD, "email": "x@example.com", "createdAt": DAY}, "timestamp": DAY}),
        ("page", {**who, "category": "Docs", "name": "注文", "properties": {"path": "/é", **ODD}, "timestamp": DAY}),
        ("screen", {**who, "category": "App", "name": "🚀", "properties": ODD, "timestamp": DAY}),
        ("group", {**who, "groupId": "group-é", "traits": {"plan": "x", "since": DAY, "deep": DEEP}}),
        ("alias", {"userId": "new-é", "previousId": "old-é"}),
    ]


def arrived(sink, sdk):
    """{number of the call: [events, ...]} of what the destination has taken from this SDK."""
    found = {}
    for e in sink.events():
        if e["context"]["sdk"] == sdk:
            found.setdefault(e["context"]["call"], []).append(e)
    return found


def wait_arrived(sink, runs):
    """Every call makes one messageId."""
    calls = sum(len(r.calls) for r in runs)
    wait_for(lambda: len(sink.ids()) >= calls, 20, "all events of the SDKs", every=0.1)


def assert_as_given(sdk, kind, given, event):
    """Every field as given, and beside them only what this SDK and dray are known to add."""
    given, context = as_json(given), dict(event["context"])
    where = "%s %s" % (sdk, kind)
    assert event["type"] == kind, where
    assert context.pop("library")["name"], where
    if sdk.startswith("rudder") and kind == "identify":
        assert context.pop("traits") == given["traits"], where
    if sdk.startswith("segment") and kind == "page":
        given["properties"]["category"] = given["category"]  # the SDK copies it
    for name, value in given.items():
        assert (context if name == "context" else event.get(name)) == value, "%s: %s differs" % (where, name)
    added = event.keys() - given.keys()
    assert added - DRAY_ADDS - {"properties", "traits"} <= SDK_ADDS[sdk], "%s: %s" % (where, added)
    assert all(event[name] == {} for name in added & {"properties", "traits", "integrations"}), where
    assert event["messageId"] and event["request_ip"] == "127.0.0.1" and DATE.match(event["receivedAt"]), where
    assert DATE.match(event["timestamp"]) and DATE.match(event["sentAt"]), where
    if "originalTimestamp" not in SDK_ADDS[sdk]:
        assert event["originalTimestamp"] == event["timestamp"], where


def test_each_call_arrives_once_as_given(dray, sink, run):
    runs = [run(sdk, "http://" + dray.ingest, dray, every_call(), flushAt=3, flushInterval=50) for sdk in SDKS]
    for r in runs:
        r.wait()
    wait_arrived(sink, runs)
    for r in runs:
        for i, events in arrived(sink, r.sdk).items():
            assert len(events) == 1, "%s: call %d came %d times" % (r.sdk, i, len(events))
            assert_as_given(r.sdk, *r.calls[i], events[0])
    ids = [e["messageId"] for e in sink.events()]
    assert len(ids) == len(set(ids)) == len(SDKS) * len(every_call())
    assert all(dray.key.encode() not in r.body for r in sink.requests), "the write key is not handed on"


def many(n, pad=600):
    """Events that fill big batches; text that gzip can and cannot shrink."""
    return [("track", {"userId": "u%d" % (i % 7), "event": "Big", "properties": {
        "n": i, "pad": ("é🚀" + "x" * pad)[:pad], "noise": "%x" % (i * 2654435761 ** 5), "when": DAY}}) for i in range(n)]


def sent_texts(recorder):
    """{messageId: the event's text in the request body that was acknowledged}."""
    return {json.loads(raw)["messageId"]: raw for x in recorder.exchanges if 200 <= x.status < 300
            for raw in raw_elements(x.body.decode())}


def test_big_batches_are_unchanged(make_dray, sink, run, make_recorder):
    """The text of each event as it left the SDK stands in what the destination got; only members were added."""
    dray = make_dray(conf={"ingest": {"flush_at": 500, "max_batch": "2MiB"}})
    runs, recorders = [], {}
    for sdk, options in (("rudder-3.0.13", {"flushAt": 500, "gzip": True, "maxQueueSize": 4 << 20}),
                         ("segment-3.1.0", {"flushAt": 400}), ("segment-2.3.0", {"flushAt": 400}),
                         ("analytics-node-6.2.0", {"flushAt": 500, "maxQueueSize": 4 << 20})):
        recorders[sdk] = make_recorder(dray)
        runs.append(run(sdk, recorders[sdk].url, dray, many(1100), **options))
    for r in runs:
        r.wait()
    wait_arrived(sink, runs)
    raws = {json.loads(raw)["messageId"]: raw for request in sink.taken() for raw in raw_elements(request.body.decode())}
    assert len(raws) == sum(sink.ids().values()) == 4 * 1100, "each once"
    for sdk, recorder in recorders.items():
        assert {x.status for x in recorder.exchanges} == {200}, sdk
        assert max(len(x.body) for x in recorder.exchanges) > 300000, sdk
        assert ("gzip" in {x.headers.get("content-encoding") for x in recorder.exchanges}) == (sdk == "rudder-3.0.13")
        sent = sent_texts(recorder)
        assert len(sent) == 1100
        for message_id, text in sent.items():
            assert text.strip()[1:-1] in raws[message_id], "%s: changed" % sdk
            extra = json.loads(raws[message_id]).keys() - json.loads(text).keys()
            assert extra <= DRAY_ADDS, "%s: %s was added" % (sdk, extra)


def test_without_gzip(dray, sink, run, make_recorder):
    recorder = make_recorder(dray)
    r = run("rudder-3.0.13", recorder.url, dray, every_call(), gzip=False, flushAt=2)
    r.wait()
    wait_arrived(sink, [r])
    assert all("content-encoding" not in x.headers for x in recorder.exchanges)
    assert all(len(events) == 1 for events in arrived(sink, r.sdk).values())
    for i, (event,) in arrived(sink, r.sdk).items():
        assert_as_given(r.sdk, *r.calls[i], event)


def test_503_for_a_moment(make_dray, make_redis, sink, run, make_recorder):
    """Redis stands still: ingest answers 503, each SDK tries again, and nothing is lost. An event may come twice: its
    batch was on the way when the 503 was said."""
    server = make_redis()
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": server.url, "command_timeout": "5s"},
                           "ingest": {"ack_timeout": "300ms"}, "master": {"processes": {"spool": 0}}})
    recorders = {sdk: make_recorder(dray) for sdk in PATIENT}
    server.freeze()
    try:
        runs = [run(sdk, recorders[sdk].url, dray, every_call(), flushAt=50, flushInterval=20) for sdk in PATIENT]
        for sdk, recorder in recorders.items():
            wait_for(lambda: any(x.status == 503 for x in recorder.exchanges), 20, "503 to " + sdk)
    finally:
        server.thaw()
    for r in runs:
        r.wait()
    wait_arrived(sink, runs)
    for r in runs:
        statuses = [x.status for x in recorders[r.sdk].exchanges]
        assert 503 in statuses and 200 in statuses and set(statuses) == {200, 503}, "%s: %s" % (r.sdk, statuses)
        for i, events in arrived(sink, r.sdk).items():
            assert len({e["messageId"] for e in events}) == 1
            assert_as_given(r.sdk, *r.calls[i], events[0])


def test_429_is_waited_out(make_dray, sink, run, make_recorder):
    """The source's rate is spent: the SDKs that read Retry-After come again when it says so."""
    dray = make_dray(conf={"sources": [{"id": "dev", "write_key": "test-key", "rate_limit": "7/s"}]})
    for sdk in ("rudder-3.0.13", "segment-3.1.0"):
        recorder = make_recorder(dray)
        with dray.client() as c:
            c.deliver({"batch": [{"userId": "u", "context": {"sdk": "none"}}] * 14})
        r = run(sdk, recorder.url, dray, every_call(), flushAt=50, flushInterval=20)
        r.wait()
        wait_for(lambda: len(arrived(sink, sdk)) == len(r.calls), 20, "all events of " + sdk)
        assert {x.status for x in recorder.exchanges} == {429, 200}, sdk
        for i, (event,) in arrived(sink, sdk).items():
            assert_as_given(sdk, *r.calls[i], event)
    assert dray.metric("dray_ingest_rejected_total", source="dev", reason="rate_limit") >= 2
