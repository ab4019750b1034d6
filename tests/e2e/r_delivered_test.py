"""ack: delivered: the answer comes when every destination has taken the event, or says why not."""
import json
import threading
import time

import pytest

from lib.client import Client
from lib.events import make_events
from lib.outcome import wait_settled
from lib.wait import wait_for

CONF = {"ingest": {"ack": "delivered", "delivered_timeout": "3s"}}


def send(dray, seed, n=1, **options):
    events = list(make_events(n, seed=seed))
    with dray.client(timeout=20, **options) as c:
        return c.batch(events), [e["messageId"] for e in events]


class Later:
    """A request whose answer is waited for elsewhere."""

    def __init__(self, *args, **options):
        self.answer, self.ids = None, None
        self.thread = threading.Thread(target=self.run, args=args, kwargs=options)
        self.thread.start()

    def run(self, *args, **options):
        self.answer, self.ids = send(*args, **options)

    def join(self):
        self.thread.join(30)
        assert self.answer is not None, "no answer"
        return self.answer


def test_the_answer_follows_the_delivery(make_dray, sink, ledger):
    dray = make_dray(conf=CONF)
    answer, ids = send(dray, "a", 3)
    assert (answer.status, answer.body.strip()) == (200, b"ok")
    assert sink.seen_ids() == set(ids), "delivered before it was answered"
    ledger.ack(ids)
    sink.behave(hang=True)
    later = Later(dray, "b")
    wait_for(lambda: len(sink.requests) == 2, 10, "it is at the destination")
    assert later.answer is None, "stored is not enough"
    sink.answer()
    assert later.join().status == 200
    ledger.ack(later.ids)
    sink.behave()
    ledger.settle()
    wait_settled(dray)


def test_a_refusal_is_told(make_dray, sink, ledger):
    dray = make_dray(conf=CONF)
    sink.behave(status=422, body=b'no "plan"')
    answer, ids = send(dray, "no")
    assert answer.status == 502
    assert answer.body.decode().startswith('not delivered to sink: the destination answered 422: no "plan"')
    assert dray.queue_counts()["failed"] == 1
    segment = make_dray(conf={**CONF, "ingest": {**CONF["ingest"], "compat": "segment"}}, name="segment")
    answer, _ = send(segment, "no2")
    assert answer.status == 502 and json.loads(answer.body)["success"] is False
    assert '422: no "plan"' in json.loads(answer.body)["message"]


def test_not_delivered_in_time_is_accepted(make_dray, sink, ledger):
    dray = make_dray(conf=CONF)
    sink.behave(status=503)
    begun = time.monotonic()
    answer, ids = send(dray, "late")
    assert answer.status == 202 and b"not yet delivered" in answer.body
    assert 2.9 < time.monotonic() - begun < 6
    ledger.ack(ids)
    sink.behave()
    ledger.settle()


def test_per_source_and_every_destination(make_dray, make_sink, ledger):
    one, two = ledger.sinks[0], make_sink()
    ledger.sinks.append(two)
    dray = make_dray(conf={
        "ingest": {"delivered_timeout": "20s"},
        "sources": [{"id": "web", "write_key": "test-key"}, {"id": "sure", "write_key": "sure", "ack": "delivered"}],
        "destinations": [{"id": "one", "url": one.url}, {"id": "two", "url": two.url, "is_multi_processor": False}]})
    two.behave(status=503)
    answer, ids = send(dray, "plain")
    assert answer.status == 200, "its source only wants it stored"
    ledger.ack(ids)
    sure = list(make_events(1, seed="sure"))
    answers = []
    with Client(dray.ingest, "sure", timeout=20) as c:
        thread = threading.Thread(target=lambda: answers.append(c.batch(sure)))
        thread.start()
        one.wait_ids({sure[0]["messageId"]}, 10)
        time.sleep(0.3)
        assert answers == [], "one of two destinations is not enough"
        two.behave()
        thread.join(20)
    assert [a.status for a in answers] == [200]
    ledger.ack([sure[0]["messageId"]])
    ledger.settle()


def test_another_host_delivers(make_dray, make_redis, sink, ledger):
    """The host that took the event does not post at all: its outcome comes by Redis."""
    redis = make_redis(port=True)
    shared = {"redis": {"mode": "standalone", "url": redis.tcp_url}}
    ours = make_dray(conf={**CONF, **shared}, name="ours")
    other = make_dray(conf=shared, name="other")
    ours.cli("queue", "pause", "sink", "--local")
    answer, ids = send(ours, "far", 5)
    assert answer.status == 200, answer
    assert sink.seen_ids() == set(ids)
    wait_for(lambda: other.metric("dray_delivery_events_total", dest="sink") >= 5, 5)
    sink.behave(status=400)
    answer, _ = send(ours, "far-no")
    assert answer.status == 502 and b"answered 400" in answer.body
    ledger.ack(ids)
