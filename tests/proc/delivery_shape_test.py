"""How requests to a destination look: its own headers, signatures, forms of the body, compression, rules by status."""
import base64
import gzip
import hashlib
import hmac
import json
import signal

import pytest

from lib.wait import wait_for
from proc.delivery_test import add_foreign, batch_id, config, drain, event, key

SECRET = base64.b64encode(b"a secret that is long enough").decode()
OLD = base64.b64encode(b"another one, which is going away").decode()


@pytest.fixture
def start(fake_master, make_redis, sink):
    """A worker whose destination has these keys: (worker, link, redis client)."""
    def go(delivery=None, queue=None, **keys):
        redis = make_redis()
        conf = config(redis.url, sink.url, delivery=delivery or {},
                      queue={"backoff": {"delay": "30ms"}, **(queue or {})})
        conf["destinations"][0].update(keys)
        worker = fake_master("delivery", conf).start()
        worker.expect("READY")
        return worker, worker.link(), redis.client()
    return go


def v1(secret, request):
    head = request.headers
    text = ("%s.%s." % (head["webhook-id"], head["webhook-timestamp"])).encode() + request.raw
    return "v1," + base64.b64encode(hmac.new(base64.b64decode(secret), text, hashlib.sha256).digest()).decode()


def test_headers_and_auth(start, sink):
    worker, link, r = start(auth={"type": "header", "name": "X-Api-Key", "value": "s3cret"},
                            headers={"X-Team": "data", "Content-Type": "application/vnd.x+json", "User-Agent": "ours/1"})
    link.send_batch(batch_id(1), [event(1)])
    wait_for(lambda: sink.requests, 10)
    head = sink.requests[0].headers
    assert head["x-api-key"] == "s3cret" and head["x-team"] == "data" and "authorization" not in head
    assert head["content-type"] == "application/vnd.x+json" and head["user-agent"] == "ours/1"
    assert sink.requests[0].key == batch_id(1)
    drain(worker, link)
    assert "s3cret" not in worker.log()


def test_signatures(start, sink):
    sink.rule = lambda request: {"status": 503} if not sink.requests else None
    worker, link, r = start(signing={"scheme": "standard-webhooks", "secrets": ["whsec_" + SECRET, "whsec_" + OLD]})
    link.send_batch(batch_id(1), [event(1), event(2)])
    wait_for(lambda: len(sink.requests) == 2, 10)
    for request in sink.requests:
        assert request.headers["webhook-id"] == batch_id(1)
        assert request.headers["webhook-signature"] == v1(SECRET, request) + " " + v1(OLD, request)
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 10)
    add_foreign(r, "7", '{"batch":[{"messageId":"f-1"}],"source":"web"}')
    add_foreign(r, "a.b", '{"to":"x","source":"web"}')
    wait_for(lambda: len(sink.requests) == 4, 10)
    by_id = {q.headers["webhook-id"]: q for q in sink.requests}
    assert set(by_id) == {batch_id(1), "{dray}:sink:7", "a%2Eb"}, "no full stop in an id"
    assert all(q.headers["webhook-signature"].startswith(v1(SECRET, q)) for q in by_id.values())
    drain(worker, link)
    assert SECRET not in worker.log()


def test_ndjson(start, sink):
    worker, link, r = start(payload="ndjson")
    link.send_batch(batch_id(1), [event(1), '{\n "messageId": "m-2",\r\n "a": "\\n"\n}', event(3)])
    wait_for(lambda: sink.requests, 10)
    request = sink.requests[0]
    assert request.headers["content-type"] == "application/x-ndjson"
    lines = request.body.split(b"\n")
    assert lines[-1] == b"" and len(lines) == 4 and b"\r" not in request.body
    assert [json.loads(x)["messageId"] for x in lines[:3]] == ["m-1", "m-2", "m-3"]
    assert lines[0] == event(1).encode()
    add_foreign(r, "7", '{"batch":[{"messageId":"f-1"}, {"messageId":"f-2"}],"source":"web"}')
    add_foreign(r, "8", '{"to":\n"x","source":"web"}')
    wait_for(lambda: len(sink.requests) == 3, 10)
    assert sorted(q.body for q in sink.requests[1:]) == [b'{"messageId":"f-1"}\n{"messageId":"f-2"}\n', b'{"to": "x","source":"web"}\n']
    drain(worker, link)


@pytest.mark.parametrize("payload", ["batch", "ndjson"])
def test_gzip(start, sink, payload):
    worker, link, r = start(delivery={"compress": "gzip", "compress_level": 9}, payload=payload,
                            signing={"scheme": "standard-webhooks", "secrets": ["whsec_" + SECRET]})
    link.send_batch(batch_id(1), [event(1)])
    link.send_batch(batch_id(2), [event(i) for i in range(2, 40)])
    wait_for(lambda: len(sink.requests) == 2, 10)
    small, big = sorted(sink.requests, key=lambda q: q.key)
    assert "content-encoding" not in small.headers, "under compress_min it would only cost"
    assert big.headers["content-encoding"] == "gzip" and len(big.raw) < len(gzip.decompress(big.raw)) / 4
    assert big.ids() == ["m-%d" % i for i in range(2, 40)]
    assert big.headers["webhook-signature"] == v1(SECRET, big), "over what is sent"
    drain(worker, link)


def test_rules_by_status(start, sink):
    worker, link, r = start(on_status={"409": "done", "4xx": "retry", "503": "fail"})
    sink.rule = lambda request: {"status": 409} if b"m-1" in request.body else {"status": 503} if b"m-2" in request.body \
        else {"status": 404} if len([q for q in sink.requests if b"m-3" in q.body]) < 2 else None
    for n in (1, 2, 3):
        link.send_batch(batch_id(n), [event(n)])
    wait_for(lambda: r.zcard(key("completed")) == 2 and r.zcard(key("failed")) == 1, 10)
    assert r.zscore(key("failed"), batch_id(2)) and json.loads(r.hget(key(batch_id(1)), "returnvalue"))["status"] == 409
    assert len([q for q in sink.requests if b"m-3" in q.body]) == 3
    drain(worker, link)


# ---- payload: event

def keys_of(sink):
    return [q.key for q in sink.requests]


def test_each_event_in_a_request_of_its_own(start, sink):
    worker, link, r = start(payload="event", signing={"scheme": "standard-webhooks", "secrets": ["whsec_" + SECRET]})
    events = [event(1), '{"no":"id"}', '{"messageId":"4"}', '{"messageId":"a.b c"}']
    link.send_batch(batch_id(1), events)
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 10)
    assert keys_of(sink) == ["m-1", batch_id(1) + "-1", "4", "a.b%20c"]
    assert [q.body.decode() for q in sink.requests] == events
    assert [q.headers["webhook-id"] for q in sink.requests] == ["m-1", batch_id(1) + "-1", "4", "a%2Eb%20c"]
    assert all(q.headers["webhook-signature"] == v1(SECRET, q) for q in sink.requests)
    value = json.loads(r.hget(key(batch_id(1)), "returnvalue"))
    assert value["events"] == 4 and value["status"] == 200
    for job, data in (("7", '{"batch":[{"v":1},{"v":2}],"source":"web"}'), ("8", '{"to":"x","source":"web"}'), ("9", '{"batch":[],"source":"web"}')):
        add_foreign(r, job, data)
    wait_for(lambda: r.zcard(key("completed")) == 4, 10)
    assert sorted(keys_of(sink)[4:]) == ["{dray}:sink:7-0", "{dray}:sink:7-1", "{dray}:sink:8"]
    drain(worker, link)
    assert "s3cret" not in worker.log()


def test_only_what_was_not_taken_is_sent_again(start, sink):
    worker, link, r = start(payload="event")
    sink.rule = lambda request: {"status": 503} if request.key in ("m-3", "m-7") and keys_of(sink).count(request.key) < 2 else None
    link.send_batch(batch_id(1), [event(i) for i in range(10)])
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 10)
    assert sorted(keys_of(sink)) == sorted(["m-%d" % i for i in range(10)] + 2 * ["m-3", "m-7"])
    assert r.hget(key(batch_id(1)), "attemptsMade") == b"2"
    assert r.hget(key(batch_id(1)), "failedReason").startswith(b"8 of 10 events were taken; no. 7: the destination answered 503")
    assert json.loads(r.hget(key(batch_id(1)), "progress")) == {"of": 10, "done": 8, "left": "3,7", "refused": ""}
    drain(worker, link)


def test_refused_events_fail_and_are_all_that_a_retry_sends(start, sink):
    worker, link, r = start(payload="event")
    sink.rule = lambda request: {"status": 400, "body": b"no"} if request.key in ("m-2", "m-3", "m-5") else None
    link.send_batch(batch_id(1), [event(i) for i in range(7)])
    wait_for(lambda: r.zscore(key("failed"), batch_id(1)), 10)
    assert keys_of(sink) == ["m-%d" % i for i in range(7)]
    assert r.hget(key(batch_id(1)), "failedReason") == b"3 of 7 events were not taken; the first: no. 2: the destination answered 400: no"
    assert json.loads(r.hget(key(batch_id(1)), "progress")) == {"of": 7, "done": 4, "left": "2-3,5", "refused": ""}
    sink.rule = None
    r.zrem(key("failed"), batch_id(1))  # as a manual retry does
    r.hset(key(batch_id(1)), "retriedOn", "1795230000000")
    r.lpush(key("wait"), batch_id(1))
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 10)
    assert keys_of(sink)[7:] == ["m-2", "m-3", "m-5"]
    drain(worker, link)


def test_a_dead_destination_is_not_asked_for_each_event(start, sink):
    worker, link, r = start(payload="event", queue={"backoff": {"delay": "400ms", "jitter": 0}})
    sink.behave(cut="answer")
    link.send_batch(batch_id(1), [event(i) for i in range(50)])
    wait_for(lambda: r.hget(key(batch_id(1)), "attemptsMade") == b"1", 10)
    assert len(sink.requests) == 1
    sink.behave(status=500)
    wait_for(lambda: r.hget(key(batch_id(1)), "attemptsMade") == b"2", 10)
    assert len(sink.requests) == 4, "three in a row"
    sink.behave()
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 10)
    assert sorted(keys_of(sink)[4:]) == sorted("m-%d" % i for i in range(50))
    drain(worker, link)


@pytest.mark.parametrize("how", ["killed", "drained"])
def test_the_next_worker_goes_on_where_one_stopped(start, sink, fake_master, how):
    worker, link, r = start(payload="event", queue={"lock_duration": "600ms", "lock_renew": "200ms",
                                                                 "stalled_interval": "300ms"})
    sink.behave(delay=0.05)
    link.send_batch(batch_id(1), [event(i) for i in range(40)])
    wait_for(lambda: r.hget(key(batch_id(1)), "progress"), 10)  # after half a second of work
    if how == "killed":
        worker.signal(signal.SIGKILL)
        worker.wait_exit()
    else:
        drain(worker, link)
        assert json.loads(r.hget(key(batch_id(1)), "progress"))["done"] == len(sink.requests)
    before = len(sink.requests)
    sink.behave()
    second = fake_master("delivery", worker.conf, slot=1).start()
    second.expect("READY")
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 20)
    twice = len(sink.requests) - 40
    assert set(keys_of(sink)) == {"m-%d" % i for i in range(40)}
    print("figure: %s after %d of 40 events: %d sent twice" % (how, before, twice))
    assert twice == 0 if how == "drained" else twice < before
    drain(second)


def test_order_holds_event_by_event(start, sink):
    worker, link, r = start(payload="event", is_multi_processor=False)
    sink.rule = lambda request: {"status": 503} if request.key == "m-4" and keys_of(sink).count("m-4") < 2 else None
    for n in range(3):
        link.send_batch(batch_id(n), [event(3 * n + i) for i in range(3)])
        link.expect("STORED")
    wait_for(lambda: r.zcard(key("completed")) == 3, 10)
    assert keys_of(sink) == ["m-0", "m-1", "m-2", "m-3", "m-4", "m-4", "m-4", "m-5", "m-6", "m-7", "m-8"]
    drain(worker, link)


def test_event_by_event_without_redis(fake_master, sink):
    conf = config("", sink.url, queue={"backoff": {"delay": "30ms"}})
    conf["redis"] = {"mode": "none"}
    conf["destinations"][0]["payload"] = "event"
    worker = fake_master("delivery", conf).start()
    worker.expect("READY")
    link = worker.link()
    sink.rule = lambda request: {"status": 503} if request.key == "m-3" and keys_of(sink).count("m-3") < 1 else None
    link.send_batch(batch_id(1), [event(i) for i in range(6)])
    wait_for(lambda: len(sink.requests) == 7, 10)
    assert keys_of(sink) == ["m-0", "m-1", "m-2", "m-3", "m-4", "m-5", "m-3"]
    drain(worker, link)


def test_each_event_pays_for_itself(start, sink):
    worker, link, r = start(payload="event", rate_limit="40/s")
    link.send_batch(batch_id(1), [event(i) for i in range(60)])
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 20)
    assert keys_of(sink) == ["m-%d" % i for i in range(60)]
    took = sink.requests[-1].at - sink.requests[0].at
    print("figure: 60 events at 40/s took %.2f s" % took)
    assert took > 0.4, "a burst of a second at most goes before"
    sink.requests.clear()
    sink.rule = lambda request: {"status": 429, "retry_after": 1} if not sink.requests else None
    link.send_batch(batch_id(2), [event(i) for i in range(10)])
    wait_for(lambda: r.zscore(key("completed"), batch_id(2)), 20)
    assert sorted(keys_of(sink)) == sorted(["m-%d" % i for i in range(10)] + ["m-0"])
    assert sink.requests[1].at - sink.requests[0].at > 0.9
    assert r.hget(key(batch_id(2)), "attemptsMade") is None, "429 spends no attempt"
    drain(worker, link)


def test_an_answer_that_disables(start, sink):
    worker, link, r = start(on_status={"402": "disable", "410": "retry"})
    sink.rule = lambda request: {"status": 410} if not sink.requests else {"status": 402}
    link.send_batch(batch_id(1), [event(1)])
    wait_for(lambda: r.zscore(key("failed"), batch_id(1)), 10)
    assert len(sink.requests) == 2, "a 410 with a rule of its own does not disable"
    wait_for(lambda: "event=destination_disabled" in worker.log(), 5)
    assert "it answered 402" in worker.log()
    link.send_batch(batch_id(2), [event(2)])
    link.expect("STORED")
    wait_for(lambda: worker.expect("BEAT"), 5)
    assert len(sink.requests) == 2 and r.llen(key("wait")) == 1
    drain(worker, link)


@pytest.mark.parametrize("payload", ["event", "ndjson"])
def test_jobs_of_sdks(start, sink, payload):
    worker, link, r = start(payload=payload)
    data = {"request": {"auth": {"username": "SDKKEY"}, "headers": {"user-agent": "sdk/3"},
                        "data": {"batch": [{"messageId": "s-1"}, {"messageId": "s-2"}], "sentAt": "x"}}, "attempts": 0}
    add_foreign(r, "7", json.dumps({"version": 3, "eventData": json.dumps(data)}))
    wait_for(lambda: r.zcard(key("completed")) == 1, 10)
    assert b"".join(q.body for q in sink.requests).replace(b"\n", b"") == b'{"messageId": "s-1"}{"messageId": "s-2"}'
    assert keys_of(sink) == (["s-1", "s-2"] if payload == "event" else ["{dray}:sink:7"])
    for q in sink.requests:
        assert q.headers["authorization"] == "Basic " + base64.b64encode(b"SDKKEY:").decode() and q.headers["user-agent"] == "sdk/3"
    drain(worker, link)
