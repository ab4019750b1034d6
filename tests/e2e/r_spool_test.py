"""The spool: Redis away, slow, full or flapping, and every request is answered 200; afterwards all of it is delivered,
order by key kept, the spool empty."""
import os
import signal
import time

import pytest

from lib.client import Client, Load, batch_body
from lib.order import OrderedLoad, inversions, overtakings
from lib.wait import wait_for

QUICK = {"redis": {"command_timeout": "500ms", "reconnect": {"max": "500ms"}},
         "spool": {"after": "100ms"},
         "queue": {"lock_duration": "3s", "lock_renew": "1s", "stalled_interval": "1s"}}
BY_KEY = {"queue": {**QUICK["queue"], "ordering": "key", "partitions": 4}}


def held(dray):
    return dray.status()["spool"]["batches"]


def spooled(dray):
    return dray.status()["spool"]["taken"]


def drained(dray, seconds=30):
    wait_for(lambda: held(dray) == 0, seconds, "an empty spool")


class Patient(Load):
    """Clients that do not retry: another answer than 200 is a failure of the test."""

    def _send(self, client, held):
        client.deliver = lambda body, **options: client.post("/v1/batch", body)
        answered = super()._send(client, held)
        assert self.counts == {}, self.counts
        return answered


@pytest.mark.parametrize("ordered", [False, True], ids=["shared", "key"])
def test_redis_away(make_dray, make_redis, sink, ledger, ordered):
    server = make_redis()
    dray = make_dray(conf={**QUICK, **(BY_KEY if ordered else {}),
                           "redis": {**QUICK["redis"], "mode": "standalone", "url": server.url}})
    load = OrderedLoad(lambda: [dray], ledger, events=100000, users=20, clients=4, batch=4, pause=0.01)
    load.start()
    wait_for(lambda: len(ledger.acked) > 100, 30)
    server.kill()
    wait_for(lambda: spooled(dray) > 20, 20, "batches in the spool")
    count = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > count + 100, 20, "requests are answered meanwhile")
    server.start()
    count = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > count + 200, 20, "and afterwards")
    load.numbers = iter(())
    load.join()
    assert load.counts == {}, "nobody was sent away"
    ledger.settle(30)
    drained(dray)
    ledger.check(dray)
    if ordered:
        assert inversions(sink, load) == []
