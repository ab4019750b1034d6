"""The main path as a user sees it: events in by HTTP, each delivered once, unchanged but for added fields."""
import pytest

from lib.client import Client, Load
from lib.events import event_text, make_events
from lib.outcome import assert_unchanged, wait_settled
from lib.wait import wait_for


def test_one_event(dray, sink, ledger):
    event = next(make_events(1))
    with dray.client() as c:
        answer = c.batch([event])
    assert (answer.status, answer.body.strip().lower()) == (200, b"ok")
    ledger.ack([event["messageId"]])
    ledger.settle()
    assert_unchanged(sink, [event])
    request = sink.taken()[0]
    assert request.method == "POST" and request.path == "/in"
    assert request.headers["content-type"].startswith("application/json")
    assert request.key, "a batch has an id in Idempotency-Key"
    wait_settled(dray)


def test_4000_events_by_8_clients(dray, sink, ledger):
    load = Load(dray, ledger, events=4000, clients=8, batch=10).start()
    load.join()
    assert len(ledger.acked) == 4000
    ledger.settle(30)
    assert ledger.duplicates() == {} and len(sink.ids()) == 4000
    assert_unchanged(sink, load.sent)
    wait_settled(dray)
    wait_for(lambda: dray.status()["ingest"]["accepted_events"] == 4000, 5, "status counts the events")
    assert dray.queue_counts()["failed"] == 0
    assert load.counts == {}, "nothing had to be sent twice"
    assert all(p["restarts"] == 0 for p in dray.processes())


@pytest.mark.release
def test_release_build(dray, sink, ledger):
    load = Load(dray, ledger, events=2000, clients=4, batch=20, zipped=True).start()
    load.join()
    ledger.settle()
    assert ledger.duplicates() == {}
    assert_unchanged(sink, load.sent)
    wait_settled(dray)
    assert dray.stop() == 0


def test_every_verb(dray, sink, ledger):
    """The single-event paths, each with its own type."""
    verbs = {"track": {"event": "Order Completed"}, "identify": {"traits": {"a": 1}}, "page": {"name": "Home"},
             "screen": {"name": "Home"}, "group": {"groupId": "g"}, "alias": {"previousId": "p"}}
    with dray.client() as c:
        for verb, fields in verbs.items():
            body = {"userId": "u-1", "messageId": "verb-" + verb, **fields}
            answer = c.post("/v1/" + verb, body)
            assert answer.status == 200, "%s: %r" % (verb, answer)
            ledger.ack(["verb-" + verb])
    ledger.settle()
    assert {e["messageId"]: e["type"] for e in sink.events()} == {"verb-" + v: v for v in verbs}


def test_the_write_key_in_its_three_places(dray, sink, ledger):
    def body(i):
        return {"batch": [{"type": "track", "event": "e", "userId": "u", "messageId": "key-%d" % i}]}
    with Client(dray.ingest, key=None) as c:
        assert c.post("/v1/batch", body(0), key=dray.key).status == 200
        assert c.post("/v1/batch", {**body(1), "writeKey": dray.key}).status == 200
        assert c.post("/v1/batch?writeKey=" + dray.key, body(2)).status == 200
        assert c.post("/v1/batch", body(3)).status == 401
        assert c.post("/v1/batch", body(4), key="wrong").status == 401
        assert c.post("/v1/batch", {**body(5), "writeKey": "wrong"}).status == 401
    ledger.ack(["key-0", "key-1", "key-2"])
    ledger.settle()
    assert sink.seen_ids() == {"key-0", "key-1", "key-2"}
    assert all(b"writeKey" not in r.body for r in sink.requests), "the key is not handed on in the body"


def test_a_bad_element_is_set_aside_and_the_rest_is_taken(dray, sink, ledger):
    from lib import quarantine
    good = list(make_events(2))
    body = '{"batch":[null,%s,17,%s]}' % tuple(event_text(e) for e in good)
    with dray.client() as c:
        assert c.post("/v1/batch", body).status == 200
        assert c.post("/v1/track", b"null").status == 400
        assert c.post("/v1/batch", b'{"batch":').status == 400
    ledger.ack(e["messageId"] for e in good)
    ledger.settle()
    assert_unchanged(sink, good)
    records = quarantine.read(dray.quarantine_dir)
    assert sorted(r.data for r in records) == [b"17", b"null"]
    assert all(r.reason and r.head["source"] == "web" for r in records)
    wait_for(lambda: dray.metric("dray_ingest_events_total", outcome="quarantined") == 2, 5)
    assert dray.metric("dray_ingest_events_total", outcome="accepted") == 2


def test_ids_and_times_are_filled_in(dray, sink):
    with dray.client() as c:
        assert c.post("/v1/track", {"userId": "u", "event": "e", "properties": {"n": 1}}).status == 200
    wait_for(sink.taken, 10)
    event = sink.events()[0]
    assert event["messageId"] and event["receivedAt"] and event["request_ip"] == "127.0.0.1"
    assert event["type"] == "track" and event["properties"] == {"n": 1}
