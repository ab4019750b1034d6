"""SIGTERM under load: what was begun is finished, the rest is handed back, exit 0, nothing stays locked."""
import signal

import pytest

from lib import jobs, redis_server
from lib.client import Load
from lib.wait import wait_for


def left_on_disk(dray):
    """(counts, locks) of the queue in the stopped instance's Redis."""
    server = redis_server.from_copy(dray.state_dir + "/redis")
    try:
        r = server.client()
        return jobs.counts(r, "sink"), jobs.locks(r, "sink")
    finally:
        server.close()


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_stop_under_load(make_dray, sink, ledger, signo):
    dray = make_dray()
    sink.behave(delay=0.05)  # so that requests are under way when the signal comes
    load = Load(dray, ledger, clients=8, batch=10).start()
    wait_for(lambda: len(ledger.acked) > 500, 30)
    dray.process.send_signal(signo)
    assert dray.wait_exit(2 * 10) == 0
    load.stop()
    counts, locks = left_on_disk(dray)
    assert locks == [] and counts["active"] == 0
    result = ledger.check(dray)
    assert result["acked"] > 500
    assert ledger.duplicates() == {}, "a drain finishes what it has begun"

    # What was handed back is delivered by the next run.
    sink.behave()
    dray.start()
    ledger.settle(30)
    assert ledger.duplicates() == {}


def test_stop_while_the_destination_hangs(make_dray, sink, ledger):
    """Requests that never end are given up at the deadline; their jobs are handed back, not lost, not failed."""
    dray = make_dray(conf={"master": {"drain": "2s"}, "delivery": {"connect_timeout": "1s", "timeout": "1500ms"}})
    sink.behave(hang=True)
    load = Load(dray, ledger, events=100, clients=2, batch=10).start()
    load.join()
    wait_for(lambda: len(sink.requests) > 0, 10)
    assert dray.stop() == 0
    sink.release()
    counts, locks = left_on_disk(dray)
    assert locks == [] and counts["active"] == 0 and counts["failed"] == 0
    assert ledger.account(dray)["redis"] == 100
    sink.behave()
    dray.start()
    ledger.settle(30)


def test_second_signal_does_not_wait(make_dray, sink, ledger):
    dray = make_dray(conf={"master": {"drain": "60s"}, "delivery": {"timeout": "50s"}})
    sink.behave(hang=True)
    Load(dray, ledger, events=20, clients=1, batch=10).start().join()
    wait_for(lambda: len(sink.requests) > 0, 10)
    dray.process.send_signal(signal.SIGTERM)
    wait_for(lambda: dray.log.records("signal") and dray.is_running(), 5)
    dray.process.send_signal(signal.SIGTERM)
    assert dray.wait_exit(20) == 0
    sink.release()
    assert ledger.account(dray)["lost"] == []


def test_stop_at_rest_is_quick(dray):
    assert dray.stop(10) == 0
