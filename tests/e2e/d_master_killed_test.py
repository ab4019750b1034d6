"""kill -9 of the master: its children see it, finish, and go; the next run takes over and delivers what was left."""
from lib import procs
from lib.client import Load
from lib.wait import wait_for


def test_no_orphan_and_the_next_run_delivers(make_dray, sink, ledger):
    dray = make_dray()
    sink.behave(delay=0.05)
    load = Load(dray, ledger, clients=4, batch=10).start()
    wait_for(lambda: len(ledger.acked) > 300, 30)
    children = [p.pid for p in procs.descendants(dray.pid)]
    assert len(children) >= 5  # 2 delivery, ingest, console, program and its redis-server
    dray.kill_master()
    wait_for(lambda: not any(procs.alive(pid) for pid in children), 12, "no orphan")
    load.stop_event.set()
    load.join()
    before = ledger.account(dray)
    assert before["lost"] == []

    sink.behave()
    dray.expect_exit(0)
    dray.start()
    ledger.settle(30)
    ledger.check(dray)


def test_taken_over_at_once(make_dray, sink, ledger):
    """The next master does not wait for the old children to have gone: it starts while they still drain."""
    dray = make_dray()
    load = Load(dray, ledger, clients=4, batch=10).start()
    wait_for(lambda: len(ledger.acked) > 300, 30)
    dray.kill_master()
    dray.expect_exit(0)
    dray.start(seconds=40)
    count = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > count + 200, 30, "work goes on")
    load.stop()
    ledger.settle(40)
    ledger.check(dray)
