"""Queues that the SDKs of RudderStack (npm: 3.0.13, 2.1.11, 1.1.5) and Hightouch write, delivered by dray, beside them."""
import base64
import json

import pytest

from lib import jobs
from lib.bull import Bull, redis_socket
from lib.sdk import Sdk, fixtures, plant
from lib.wait import stays, wait_for

KEY = "sdk-write-key"
QUEUES = {"3.0.13": "{rudder}", "2.1.11": "{two}", "1.1.5": "{undefined}"}
NAME = "rudderEventsQueue"
ADDED = ("channel", "_metadata", "originalTimestamp", "sentAt", "context", "type")


def takeovers(**more):
    entries = [dict({"id": "v" + v[0], "prefix": p, "queue": NAME, "destination": "sink"}, **more)
               for v, p in QUEUES.items()]
    return entries + [{"id": "ht", "prefix": "{hightouch}", "queue": "hightouchEventsQueue", "destination": "sink"}]


@pytest.fixture
def make_instance(make_dray):
    """Several queues onto one destination."""
    def make(takeover=None, **conf):
        return make_dray(conf=dict({"takeover": takeover or takeovers()}, **conf))
    return make


@pytest.fixture
def make_sdk(packages, house):
    def make(dray, version="3.0.13", url="http://127.0.0.1:9", queue=None, **options):
        if queue is None:  # 1.x takes the text "undefined" when no prefix is given
            queue = {} if version == "1.1.5" else {"prefix": QUEUES[version][1:-1]}
        sdk = Sdk(packages, version, url, KEY, redis_socket(dray), queue, **options)
        house.closers.append(sdk.close)
        return sdk
    return make


@pytest.fixture
def make_bull_of(packages, house):
    def make(dray, prefix, queue=NAME):
        bull = Bull(packages, redis_socket(dray), prefix, queue)
        house.closers.append(bull.close)
        return bull
    return make


def basic(key):
    return "Basic " + base64.b64encode((key + ":").encode()).decode()


def track(name, **more):
    return ("track", dict({"userId": "u-1", "event": name, "messageId": name}, **more))


def counts(dray, prefix, queue=NAME):
    return jobs.counts(dray.redis(), queue, prefix)


def wait_counts(dray, prefix, seconds=20, **wanted):
    wait_for(lambda: {k: counts(dray, prefix)[k] for k in wanted} == wanted, seconds, "counts %s" % wanted)


@pytest.mark.parametrize("version", QUEUES)
def test_what_an_sdk_writes_arrives_as_the_sdk_posts_it(make_instance, make_sdk, sink, version):
    dray = make_instance()
    producer = make_sdk(dray, version, flushAt=4)
    calls = [track("m-%d" % i, properties={"n": i, "utf8": "h\u00e9llo \u2713"}) for i in range(9)]
    calls += [track("odd", properties={"$odd": True}), ("identify", {"messageId": "i", "anonymousId": 7, "traits": {"$odd": True}}),
              ("group", {"messageId": "g", "userId": "u-2", "groupId": "g", "timestamp": {"$date": "2024-02-03T04:05:06.789Z"}})]
    sent = producer.send(*calls)
    wait_for(lambda: len(sink.events()) == len(sent), 20, "all events")
    came = {e["messageId"]: e for e in sink.events()}
    for message in sent:
        event = came[message["messageId"]]
        for name, value in message.items():
            if name == "anonymousId":
                assert event[name] == "7"
            else:
                assert event[name] == value, name
        assert set(event) - set(message) <= set(ADDED)
    prefix = QUEUES[version]
    wait_counts(dray, prefix, wait=0, active=0, failed=0, completed=len(sink.requests))
    first = jobs.job(dray.redis(), NAME, "1", prefix)
    for request in sink.requests:
        assert request.headers["authorization"] == basic(KEY)
        assert request.headers["user-agent"] == "analytics-node/" + version
        assert request.headers["content-type"] == "application/json"
        body = request.json()
        assert list(body) == (["batch", "sentAt"] if version == "1.1.5" else ["batch", "timestamp", "sentAt"])
        assert body["sentAt"] >= body.get("timestamp", body["batch"][0]["sentAt"])
    assert json.loads(first["returnvalue"]) == {"status": 200, "ms": json.loads(first["returnvalue"])["ms"], "body": "ok\n"}
    assert "attemptsMade" not in first
    assert jobs.locks(dray.redis(), NAME, prefix) == []


def test_recorded_jobs_of_every_sdk(make_instance, sink):
    dray = make_instance()
    recorded = fixtures()
    with dray.redis() as r:
        for i, f in enumerate(recorded):
            plant(r, f["key"].rpartition(":")[0] + ":", "fixture-%d" % i, f["hash"])
    wait_for(lambda: len(sink.taken()) == len(recorded), 20, "all jobs")
    by_job = {r.key: r for r in sink.requests}
    for i, f in enumerate(recorded):
        request = by_job["fixture-%d" % i]
        assert request.headers["authorization"] == basic("WRITEKEY123")
        ids = request.ids()
        assert len(ids) == len(request.events()) == (1 if i % 2 == 0 or "3.0.0 " in f["sdk"] else 5), f["sdk"]
        if "3.0.0 " not in f["sdk"]:  # that one is compressed
            assert all(i in f["hash"]["data"] for i in ids)
    with dray.redis() as r:
        assert r.zcard("{hightouch}:hightouchEventsQueue:completed") == 2


def test_nothing_is_evaluated(make_instance, make_sdk, sink):
    dray = make_instance()
    dray.expect("job_failed")
    hostile = {
        "call": ("{\"request\":{\"data\":{\"batch\":[require('child_process').execSync('touch /x')]}}}", "not plain data"),
        "callback": ("{\"callbacks\":[function () { ],\"attempts\":0}", "unbalanced bracket in a function"),
        "deep": ("[" * 5000, "nested too deep"),
        "sparse": ("{\"request\":{\"data\":{\"batch\":Array.prototype.slice.call({\"length\":4294967295})}}}", "too long"),
        "nothing": ("{\"request\":{\"auth\":{\"username\":\"k\"},\"data\":{}}}", "holds no batch"),
        "nobody": ("{\"request\":{\"data\":{\"batch\":[]}}}", "no write key"),
    }
    data = {name: {"eventData": text} for name, (text, _) in hostile.items()}
    data["newer"] = {"version": 4, "eventData": "{}"}
    hostile["newer"] = ("", "of version 4; known are 3")
    with dray.redis() as r:
        for name, value in data.items():
            plant(r, "{two}:%s:" % NAME, name, {"data": json.dumps(value), "opts": "{}", "timestamp": "1795220931298"})
    make_sdk(dray, "2.1.11").send(track("behind"))
    sink.wait_ids(["behind"])
    wait_counts(dray, "{two}", wait=0, active=0, failed=len(data), completed=1)
    assert len(sink.requests) == 1
    for name, (_, why) in hostile.items():
        job = jobs.job(dray.redis(), NAME, name, "{two}")
        assert why in job["failedReason"], name
        assert job["attemptsMade"] == "1"


def test_the_sdks_retries(make_instance, make_sdk, make_bull_of, sink):
    dray = make_instance(takeovers(max_attempts=3))
    dray.expect("job_failed", "destination_failing")
    sink.rule = lambda r: {"status": 503} if b'"stubborn"' in r.body else {"status": 400} if b'"wrong"' in r.body else None
    producer = make_sdk(dray, flushAt=1)
    producer.send(track("stubborn"), track("wrong"), track("fine"))
    sink.wait_ids(["fine"])
    tries = lambda name: [r for r in sink.requests if name in r.ids()]
    wait_counts(dray, "{rudder}", wait=0, active=0, delayed=0, failed=2, completed=1)
    assert len(tries("wrong")) == 1
    first, second, third = (r.at for r in tries("stubborn"))
    assert 1.9 < second - first < 4 and 3.9 < third - second < 8, "2 s, then 4 s"
    job = jobs.job(dray.redis(), NAME, "1", "{rudder}")
    assert "503" in job["failedReason"] and "spent" in job["failedReason"] and job["attemptsMade"] == "3"
    assert json.loads(job["data"]["eventData"])["attempts"] == 0, "the data stays as it was written"
    bull = make_bull_of(dray, "{rudder}")
    bull.job("1", "retry")
    wait_for(lambda: len(tries("stubborn")) == 4, 10, "the manual retry")
    wait_counts(dray, "{rudder}", delayed=1)  # a fresh start: it is tried again
    sink.rule = None
    sink.wait_ids(["stubborn"])
    wait_counts(dray, "{rudder}", wait=0, active=0, delayed=0, failed=1, completed=2)


def test_a_job_that_the_sdk_gave_up(make_instance, make_bull_of, sink):
    dray = make_instance()
    dray.expect("job_failed")
    (job, *_), data = fixtures(), None
    data = json.loads(job["hash"]["data"])
    inner = json.loads(data["eventData"])
    for attempts in (9, 10):
        data["eventData"] = json.dumps(dict(inner, attempts=attempts))
        with dray.redis() as r:
            plant(r, "{rudder}:%s:" % NAME, "tried-%d" % attempts, dict(job["hash"], data=json.dumps(data)))
    wait_counts(dray, "{rudder}", wait=0, active=0, failed=1, completed=1)
    assert [r.key for r in sink.requests] == ["tried-9"]
    assert "10" in jobs.job(dray.redis(), NAME, "tried-10", "{rudder}")["failedReason"]
    make_bull_of(dray, "{rudder}").job("tried-10", "retry")
    wait_counts(dray, "{rudder}", failed=0, completed=2)
    assert [r.key for r in sink.requests] == ["tried-9", "tried-10"]


def test_an_sdk_works_beside_dray(make_instance, make_sdk, sink):
    """Both are producers' choice of worker: every job is done, by one of them."""
    sink.behave(delay=0.4)
    dray = make_instance(master={"processes": {"delivery": 1}}, delivery={"concurrency": 1})
    worker = make_sdk(dray, url=sink.url, work=True, flushAt=2)
    producer = make_sdk(dray, flushAt=2)
    names = ["b-%d" % i for i in range(20)]
    producer.send(*(track(n) for n in names[:10]))
    worker.send(*(track(n) for n in names[10:]))
    sink.wait_ids(names, 40)
    total = counts(dray, "{rudder}")
    wait_counts(dray, "{rudder}", wait=0, active=0, delayed=0, failed=0)
    assert set(sink.ids().values()) == {1}, "none twice"
    by = {"sdk" if r.key is None else "dray" for r in sink.requests}
    assert by == {"sdk", "dray"}, total


@pytest.mark.parametrize("version", ("3.0.13", "2.1.11"))
def test_an_sdk_works_what_dray_wrote(make_dray, make_redis, make_sdk, make_bull_of, sink, version):
    server = make_redis()
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": server.url}, "queue": {"job_format": "rudder_sdk_v3"}})
    bull = make_bull_of(dray, "{dray}", "sink")
    bull.call("pause")
    names = ["w-%d" % i for i in range(3)]
    text = "\u00e9 \" \\ \u2028 </script>"
    with dray.client() as c:
        for n in names:
            kind, message = track(n, properties={"text": text}, timestamp="2026-11-20T10:00:00.000Z")
            assert c.batch([dict(message, type=kind)]).status == 200
    data = jobs.job(server.client(), "sink", jobs.job_ids(server.client(), "sink", "paused")[0])["data"]
    assert data["version"] == 3 and json.loads(data["eventData"])["callbacks"] == []
    dray.stop()
    bull.call("resume")
    if version == "3.0.13":  # after a failure its worker adds a new job, which is dray's as any other
        sink.rule = lambda r: {"status": 500} if "w-1" in r.ids() and r.key is None else None
    make_sdk(dray, version, url=sink.url, queue={"prefix": "dray", "queueName": "sink"}, work=True, retryCount=0)
    if version == "3.0.13":
        wait_for(lambda: "w-1" in sink.seen_ids(), 20)
        dray.start()
    sink.wait_ids(names, 30)
    jobs_done = len(sink.requests)  # those that failed are completed too
    wait_for(lambda: jobs.counts(server.client(), "sink")["completed"] == jobs_done, 10)
    assert all(r.headers["authorization"] == basic(dray.key) for r in sink.requests)
    assert sorted(e["messageId"] for e in sink.events()) == names
    assert all(e["properties"]["text"] == text for e in sink.events())


def test_finished_jobs_are_trimmed_only_when_asked(make_instance, make_sdk, sink):
    entries = takeovers()
    entries[1]["trim"] = {"enabled": True, "completed_count": 3}
    dray = make_instance(entries, queue={"keep_completed": {"count": 1, "age": "1s"}})
    names = {v: ["%s-%d" % (v, i) for i in range(30)] for v in ("3.0.13", "2.1.11")}
    for version, ids in names.items():
        make_sdk(dray, version, flushAt=1).send(*(track(i) for i in ids))
    sink.wait_ids(names["3.0.13"] + names["2.1.11"])
    wait_counts(dray, "{two}", wait=0, active=0, completed=3)
    with dray.redis() as r:
        hashes = [k for k in r.scan_iter(match="{two}:%s:*" % NAME) if r.type(k) == b"hash" and r.hexists(k, "data")]
    assert len(hashes) == 3
    wait_counts(dray, "{rudder}", wait=0, active=0, completed=30)
    stays(lambda: counts(dray, "{rudder}")["completed"] == 30, 2.5, "their owner keeps them for ever")


def test_any_json_job_of_a_bull_program(make_dray, make_bull_of, make_sink):
    """dray as the HTTP workers of a Bull application: the job is posted as it stands, the answer is its return value."""
    hook = make_sink()
    hook.behave(body=b"\xc3\xa9" * 5000)
    dray = make_dray(conf={
        "takeover": [{"id": "app", "prefix": "bull", "queue": "mails", "destination": "hook"}],
        "destinations": [{"id": "sink", "url": hook.url}, {"id": "hook", "url": hook.url + "/hook", "auth": {"type": "none"}}]})
    bull = make_bull_of(dray, "bull", "mails")
    for data in ({"to": "a@b", "n": [1, {"x": None}]}, [1, 2], "text", 7, {"eventData": {"not": "an SDK's"}}, {"batch": 5}):
        before = len(hook.requests)
        added = bull.call("add", "__default__", data, {})
        value = bull.finished(added["id"]).result(20)
        assert value["status"] == 200 and value["ms"] >= 0
        assert value["body"] == "\u00e9" * 2048, "4 KiB of the answer"
        (request,) = hook.requests[before:]
        assert json.loads(request.body) == data and request.path == "/in/hook"
        assert "authorization" not in request.headers
        assert request.headers["user-agent"].startswith("dray/")
    assert bull.call("getJob", added["id"])["returnvalue"] == value
    assert counts(dray, "bull", "mails")["completed"] == 6
