"""Routes in the intake: which destinations an event goes to, what becomes of one that no route wants, room, reload."""
import hashlib
import json
import os

import pytest

from lib import config, quarantine
from lib.client import Posting
from lib.fake_worker import Worker, events_of
from lib.wait import wait_for

DESTINATIONS = [{"id": i, "url": "http://127.0.0.1:9/"} for i in ("a", "b", "c")]
ORDERS = {"id": "orders", "match": {"type": ["track"], "event": "Order*"}, "to": ["b"]}
PAID = {"id": "paid", "match": {"where": ["properties.amount gte 100"]}, "to": ["b", "c"]}


def event(name, amount=None, **more):
    e = {"userId": "u", "type": "track", "event": name, **more}
    return e if amount is None else {**e, "properties": {"amount": amount}}


def batch(*events):
    return {"batch": list(events)}


@pytest.fixture
def ingest(fake_master, tmp_path):
    def make(**more):
        conf = {"node": {"state_dir": str(tmp_path)}, "ingest": {"listeners": [{"id": "x", "address": "127.0.0.1:0"}]},
                "sources": [{"id": "web", "write_key": "KEY"}, {"id": "app", "write_key": "APP"}],
                "destinations": DESTINATIONS, "routes": [ORDERS, PAID]}
        m = fake_master("ingest", config.merge(conf, more), listen=["127.0.0.1:0"], slot=0).start()
        m.expect("READY")
        m.quarantine = lambda: quarantine.read(str(tmp_path / "quarantine"))
        return m
    return make


def reload(m, conf):
    m.conf = config.merge(m.conf, conf)
    text = json.dumps(m.conf).encode()
    fd = m.config_fd(text)
    m.send("RELOAD", 2, len(text), hashlib.sha256(text).digest(), fds=[fd])
    os.close(fd)
    assert m.expect("RELOADED").fields == [2, True, ""]


def take(w, n):
    """{destination: names of its events} of the next n batches, which are stored."""
    got = {}
    for _ in range(n):
        b = w.expect()
        got.setdefault(b.fields[3], []).extend(e["event"] for e in events_of(b))
        w.stored(b)
    return got


def test_each_event_goes_where_its_routes_say(ingest):
    m = ingest()
    w = Worker(m)
    p = Posting(m, batch(event("Order A", 7), event("Order B", 100), event("Click", 100.5), event("Click", 1), event("Order C")))
    assert take(w, 2) == {"b": ["Order A", "Order B", "Click", "Order C"], "c": ["Order B", "Click"]}
    assert (p.wait().status, p.answer.body) == (200, b"ok")
    assert w.nothing()


def test_the_copies_are_the_same_event(ingest):
    m = ingest()
    w = Worker(m)
    p = Posting(m, batch(event("Order", 500)))
    got = [w.expect(), w.expect()]
    assert got[0].fields[5] == got[1].fields[5] and events_of(got[0])[0]["messageId"]
    for b in got:
        w.stored(b)
    assert p.wait().status == 200


def test_the_path_decides_the_type(ingest):
    m = ingest()
    w = Worker(m)
    p = Posting(m, {"userId": "u", "type": "page", "event": "Order x"}, path="/v1/track")
    assert take(w, 1) == {"b": ["Order x"]}
    assert p.wait().status == 200
    p = Posting(m, {"userId": "u", "type": "track", "event": "Order x"}, path="/v1/page")
    assert p.wait().status == 200 and w.nothing()


def test_what_stands_beside_the_batch_counts_for_its_events(ingest):
    m = ingest(routes=[{"id": "app", "match": {"where": ["context.app.name eq 'shop'", "integrations.All eq true"]}, "to": ["a"]},
                       {"id": "rest", "match": {"where": "not (context.app.name exists)"}, "to": ["b"]}])
    w = Worker(m)
    p = Posting(m, {"context": {"app": {"name": "shop"}}, "integrations": {"All": True},
                    "batch": [event("plain"), event("own", context={"app": {"name": "other"}}), event("ip", context={"ip": "1.2.3.4"})]})
    assert take(w, 1) == {"a": ["plain", "ip"]}
    assert p.wait().status == 200
    p = Posting(m, {"batch": [event("later")]})  # of another request
    assert take(w, 1) == {"b": ["later"]}
    assert p.wait().status == 200


def test_sources(ingest):
    m = ingest(routes=[{"id": "w", "match": {"source": "we*"}, "to": ["a"]}, {"id": "all", "to": ["c"]}])
    w = Worker(m)
    p = Posting(m, batch(event("e")))
    assert take(w, 2) == {"a": ["e"], "c": ["e"]}
    q = Posting(m, batch(event("e")), headers={"Authorization": "Basic QVBQOg=="})
    assert take(w, 1) == {"c": ["e"]}
    assert p.wait().status == q.wait().status == 200


def test_unrouted_is_dropped_and_counted(ingest):
    m = ingest()
    w = Worker(m)
    p = Posting(m, batch(event("Click"), event("Tap")))
    assert (p.wait().status, p.answer.body) == (200, b"ok")
    assert w.nothing() and m.quarantine() == []
    wait_for(lambda: "events_unrouted" in m.log() and "events=2" in m.log(), 10)
    p = Posting(m, batch(event("Click"), None, event("Order", 1)))
    assert take(w, 1) == {"b": ["Order"]}
    assert (p.wait().status, p.answer.body) == (200, b"ok (1 taken, 1 quarantined: not_object)")
    p = Posting(m, batch(event("Click"), None))  # one is no fault of its sender: not refused as a whole
    assert p.wait().status == 200


def test_unrouted_is_set_aside_where_asked(ingest):
    m = ingest(ingest={"unrouted": "quarantine"})
    w = Worker(m)
    p = Posting(m, batch(event("Click", messageId="m1"), event("Order", 1)))
    assert take(w, 1) == {"b": ["Order"]}
    assert (p.wait().status, p.answer.body) == (200, b"ok (1 taken, 1 quarantined: unrouted)")
    assert [(r.reason, json.loads(r.data)["messageId"]) for r in m.quarantine()] == [("unrouted", "m1")]
    p = Posting(m, batch(event("Click"), {"type": "x"}))
    assert p.wait().status == 200
    assert [r.reason for r in m.quarantine()] == ["unrouted", "unrouted", "no_user"]


def test_room_is_counted_for_the_destinations_that_get_it(ingest):
    m = ingest(ingest={"max_internal_queue_size": 200, "flush_interval": "60s"})
    w = Worker(m)
    first = Posting(m, batch(event("Order")))  # 1 held, at one destination
    b = w.expect()
    more = Posting(m, batch(*[event("Order") for _ in range(199)]))  # 199 at one: just fits
    more.join(0.3)
    assert more.answer is None
    third = Posting(m, batch(event("Order")))
    assert third.wait().status == 503
    unrouted = Posting(m, batch(event("Click")))  # needs no room
    assert unrouted.wait().status == 200
    w.stored(b)
    assert sum(len(names) for names in take(w, 2).values()) == 199
    assert (first.wait().status, more.wait().status) == (200, 200)
    hold = Posting(m, batch(event("Order")))
    b = w.expect()
    full = Posting(m, batch(*[event("Order", 100) for _ in range(100)]))  # 200 at two
    assert full.wait().status == 503
    w.stored(b)
    assert hold.wait().status == 200


def test_routes_are_live(ingest):
    m = ingest()
    w = Worker(m)
    pid = m.pid
    p = Posting(m, batch(event("Order")))
    held = w.expect()
    reload(m, {"routes": [{"id": "clicks", "match": {"event": "Click", "where": "context.ip startsWith '10.'"}, "to": ["a"]}]})
    q = Posting(m, batch(event("Order"), event("Click", context={"ip": "10.1"}), event("Click", context={"ip": "9.1"})))
    assert take(w, 1) == {"a": ["Click"]}
    w.stored(held)
    assert (p.wait().status, q.wait().status) == (200, 200)
    reload(m, {"routes": []})
    p = Posting(m, batch(event("any")))
    assert take(w, 3) == {"a": ["any"], "b": ["any"], "c": ["any"]}
    assert p.wait().status == 200 and m.pid == pid


def test_what_was_half_done_keeps_its_ids(ingest):
    """A worker dies between the parts of one event: what is sent again is the same batch, and only the part that was not
    stored; the request waits for both."""
    m = ingest()
    w = Worker(m)
    p = Posting(m, batch(event("Order", 500)))
    parts = [w.expect(), w.expect()]
    w.stored(parts[0])
    p.join(0.3)
    assert p.answer is None
    w.die()
    w = Worker(m, generation=2)
    again = w.expect()
    assert (again.fields[0], again.fields[3], again.fields[5]) == (parts[1].fields[0], parts[1].fields[3], parts[1].fields[5])
    assert w.nothing()
    w.stored(again)
    assert p.wait().status == 200
