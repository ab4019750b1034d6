"""ack: delivered, while those die who should tell: each request is answered, and a 200 is never a lie."""
import threading
import time

import pytest

from lib.events import make_events
from lib.hooks import Points
from lib.wait import wait_for

pytestmark = pytest.mark.alone

CONF = {"ingest": {"ack": "delivered", "delivered_timeout": "8s"},
        "master": {"health": {"beat": "100ms"}, "restart": {"min": "10ms", "burst": "", "degraded_at": "10000/60s"}},
        "queue": {"lock_duration": "3s", "lock_renew": "500ms", "stalled_interval": "500ms", "max_stalled_count": 100,
                  "backoff": {"delay": "50ms", "max": "100ms"}}}


class Senders:
    """Clients that send one event after the other, and check that a 200 means: it is there."""

    def __init__(self, dray, sink, ledger, n=4):
        self.dray, self.sink, self.ledger = dray, sink, ledger
        self.statuses, self.lies, self.done = {}, [], False
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(n)]
        for t in self.threads:
            t.start()

    def run(self, i):
        for n in range(100000):
            if self.done:
                return
            event = next(make_events(1, seed="f45-%d-%d" % (i, n)))
            self.ledger.tried.add(event["messageId"])
            try:
                with self.dray.client(timeout=20) as c:
                    status = c.batch([event]).status
            except OSError:
                status = 0
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status == 200 and event["messageId"] not in self.sink.seen_ids():
                self.lies.append(event["messageId"])
            if 200 <= status < 300:
                self.ledger.ack([event["messageId"]])
            time.sleep(0.005)

    def end(self):
        self.done = True
        for t in self.threads:
            t.join(25)
            assert not t.is_alive(), "a request without an answer: %s" % self.statuses


def test_who_should_tell_dies(make_dray, sink, ledger):
    dray = make_dray(conf=CONF)
    senders = Senders(dray, sink, ledger)
    wait_for(lambda: senders.statuses.get(200, 0) > 20, 20)
    for turn in range(4):
        before = senders.statuses.get(200, 0)
        if turn < 2:
            old = dray.kill("delivery", turn)
            dray.wait_replaced("delivery", turn, old)
        elif turn == 2:
            dray.redis().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            dray.redis().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        else:
            old = dray.kill("ingest")
            dray.wait_replaced("ingest", 0, old)
        wait_for(lambda: senders.statuses.get(200, 0) > before + 20, 20, "they go on being told")
    senders.end()
    assert senders.lies == []
    assert set(senders.statuses) <= {200, 202, 503, 0}, senders.statuses
    assert senders.statuses.get(202, 0) <= 4, "another told it: %s" % senders.statuses
    print("figure: answers %s" % senders.statuses)
    ledger.settle(20)


def test_dies_just_before_it_tells(make_dray, sink, ledger):
    """The job is done, and only the dead one knew: its successor finds out."""
    dray = make_dray(conf={**CONF, "master": {**CONF["master"], "processes": {"delivery": 1}}}, start=False)
    crash = Points(dray)
    dray.start()
    crash.arm("delivered_unsent")
    event = next(make_events(1, seed="f45-point"))
    with dray.client(timeout=20) as c:
        status = c.batch([event]).status
    assert crash.fired("delivered_unsent")
    assert status == 200, status
    ledger.ack([event["messageId"]])
    ledger.settle(20)
