"""How requests to a destination look: its own headers, signatures, forms of the body, compression, rules by status."""
import base64
import gzip
import hashlib
import hmac
import json

import pytest

from lib.wait import wait_for
from proc.delivery_test import add_foreign, batch_id, config, drain, event, key

SECRET = base64.b64encode(b"a secret that is long enough").decode()
OLD = base64.b64encode(b"another one, which is going away").decode()


@pytest.fixture
def start(fake_master, make_redis, sink):
    """A worker whose destination has these keys: (worker, link, redis client)."""
    def go(delivery=None, sections=None, **keys):
        redis = make_redis()
        conf = config(redis.url, sink.url, queue={"backoff": {"delay": "30ms"}}, delivery=delivery or {}, **(sections or {}))
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
