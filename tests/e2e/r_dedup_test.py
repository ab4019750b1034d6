"""Repeated events: a messageId is taken once within ingest.dedup.window, by whichever process and host it comes."""
import json

import pytest

from lib.client import Client, Load
from lib.events import make_events
from lib.outcome import wait_settled
from lib.wait import wait_for

FOUND = {"in_hand", "stored"}


def event(i, **more):
    return {"type": "track", "event": "e", "userId": "u-1", "messageId": "id-%s" % i, **more}


def duplicates(dray, found=None):
    return sum(dray.metric("dray_ingest_duplicates_total", found=f) for f in ([found] if found else FOUND))


def send(client, *events):
    answer = client.post("/v1/batch", {"batch": list(events)})
    assert answer.status == 200, answer
    return answer


def test_again_after_it_was_stored(dray, sink, ledger):
    with dray.client() as c:
        send(c, event(1), event(2), event(3))
        ledger.ack(["id-1", "id-2", "id-3"])
        ledger.settle()
        send(c, event(2))                      # nothing of it is new
        send(c, event(4), event(1), event(5))  # some of it is
        ledger.ack(["id-4", "id-5"])
        ledger.settle()
    wait_settled(dray)
    assert sink.ids() == {"id-%d" % i: 1 for i in range(1, 6)}
    wait_for(lambda: duplicates(dray, "stored") == 2, 5, "they are counted")
    assert not dray.quarantine_dir or ledger.quarantined(dray) == set()


def test_another_sources_id_is_another(make_dray, sink, ledger):
    dray = make_dray(conf={"sources": [{"id": "web", "write_key": "test-key"}, {"id": "app", "write_key": "app"}]})
    with dray.client() as c:
        send(c, event(1))
        ledger.ack(["id-1"])
        ledger.settle()
        assert c.post("/v1/batch", {"batch": [event(1)]}, key="app").status == 200
        wait_for(lambda: sink.ids().get("id-1") == 2, 10, "the other source's event comes too")
    assert duplicates(dray) == 0


def test_ids_made_here_and_blank_ones_are_not_compared(dray, sink):
    with dray.client() as c:
        for body in ({}, {"messageId": ""}, {"messageId": None}, {"messageId": " "}):
            for _ in range(2):
                assert c.post("/v1/track", {"userId": "u", "event": "e", **body}).status == 200
    wait_for(lambda: sum(sink.ids().values()) == 8, 10, "all of them come")


def test_twice_in_one_request(dray, sink, ledger):
    with dray.client() as c:
        send(c, event(1), event(1), event(2), event(1))
    ledger.ack(["id-1", "id-2"])
    ledger.settle()
    wait_settled(dray)
    assert sink.ids() == {"id-1": 1, "id-2": 1}
    wait_for(lambda: duplicates(dray, "in_hand") == 2, 5, "they are counted")


def test_switched_off(make_dray, sink):
    dray = make_dray(conf={"ingest": {"dedup": {"enabled": False}}})
    with dray.client() as c:
        for _ in range(3):
            send(c, event(1))
    wait_for(lambda: sink.ids() == {"id-1": 3}, 10, "each of them comes")


def test_the_window_ends(make_dray, sink):
    dray = make_dray(conf={"ingest": {"dedup": {"window": "1s"}}})
    with dray.client() as c:
        send(c, event(1))

        def again():
            send(c, event(1))
            return sink.ids().get("id-1") == 2
        wait_for(again, 20, "it is forgotten in the end")


def test_with_a_restart_and_another_process(make_dray, sink, ledger):
    """Redis knows it, not the process."""
    dray = make_dray(conf={"master": {"processes": {"delivery": 3}}})
    with dray.client() as c:
        send(c, event(1))
    ledger.ack(["id-1"])
    ledger.settle()
    for kind in ("ingest", "delivery"):
        old = dray.kill(kind, 0)
        dray.wait_replaced(kind, 0, old)
    with dray.client() as c:
        for i in range(6):
            c.deliver(json.dumps({"batch": [event(1), event(10 + i)]}))
            ledger.ack(["id-%d" % (10 + i)])
    ledger.settle()
    wait_settled(dray)
    assert ledger.duplicates() == {}


def test_half_a_fan_out(make_dray, make_sink, sink, ledger):
    """Each queue judges by itself: what one destination missed still reaches it."""
    other = make_sink()
    ledger.sinks.append(other)
    dray = make_dray(conf={"destinations": [{"id": "one", "url": sink.url}, {"id": "two", "url": other.url}]})
    with dray.client() as c:
        send(c, event(1))
        ledger.ack(["id-1"])
        ledger.settle()
        with dray.redis() as r:
            assert r.delete("{dray}:two:dray:ids") == 1
        send(c, event(1))
        wait_for(lambda: other.ids() == {"id-1": 2}, 10, "the queue that does not know it takes it")
    wait_settled(dray)
    assert sink.ids() == {"id-1": 1}


def test_it_fails_open(dray, sink, ledger):
    with dray.redis() as r:
        r.set("{dray}:sink:dray:ids", "no set")
    with dray.client() as c:
        send(c, event(1))
        send(c, event(1))
    wait_for(lambda: sink.ids() == {"id-1": 2}, 10, "events are taken as they come")
    wait_for(lambda: dray.metric("dray_ingest_dedup_failed_total", reason="redis") >= 2, 5, "and that is counted")
    wait_for(lambda: dray.log.records("dedup_failed"), 5, "and said")


def test_memory_is_bounded(make_dray, sink, ledger):
    """The window shrinks to what fits."""
    dray = make_dray(conf={"ingest": {"dedup": {"max_memory": "64KiB"}}})
    Load(dray, ledger, events=4000, clients=4, batch=50).start().join()
    ledger.settle(30)
    with dray.redis() as r:
        assert 0 < r.scard("{dray}:sink:dray:ids") <= 512 + 100 * 8
        assert r.scard("{dray}:sink:dray:ids:old") <= 512 + 100 * 8
    wait_for(lambda: 0 < dray.metric("dray_ingest_dedup_window_seconds", queue="sink") < 600, 5, "a metric says to what")
    wait_for(lambda: dray.log.records("dedup_window_shrunk"), 5, "and the log")


def test_the_form_of_the_sdk(make_dray, sink, ledger):
    dray = make_dray(conf={"queue": {"job_format": "rudder_sdk_v3"}})
    with dray.client() as c:
        send(c, event(1), event(2))
        send(c, event(3), event(2), event(4, text='a "quote" \\ and é'))
    ledger.ack(["id-%d" % i for i in range(1, 5)])
    ledger.settle()
    wait_settled(dray)
    assert ledger.duplicates() == {}
    assert sink.events()[-1]["text"] == 'a "quote" \\ and é'
