"""F03: kill -9 of the master: its children see EOF, drain within 10 s, exit 81; no orphan; the next run takes the lock."""
import os
import time

from lib import procs
from lib.client import Load
from lib.wait import wait_for


def test_children_end_by_themselves(make_dray, sink, ledger):
    dray = make_dray()
    sink.behave(delay=0.05)
    load = Load(dray, ledger, clients=4, batch=10).start()
    wait_for(lambda: len(ledger.acked) > 200, 30)
    children = {p["pid"]: p["kind"] for p in dray.processes() if p["kind"] != "master"}
    everybody = [p.pid for p in procs.descendants(dray.pid)]
    assert sorted(children.values()) == ["console", "delivery", "delivery", "ingest", "program", "spool"]
    dray.kill_master()
    began = time.monotonic()

    exits = {}

    def collect():
        for pid in children.keys() - exits.keys():
            found, status = os.waitpid(pid, os.WNOHANG)  # they have come to this process
            if found:
                exits[pid] = os.waitstatus_to_exitcode(status)
        return len(exits) == len(children)
    wait_for(collect, 12, "the children end")
    print("figure: all children ended %.1f s after the master" % (time.monotonic() - began))
    assert {children[pid]: code for pid, code in exits.items()} == dict.fromkeys(children.values(), 81)
    wait_for(lambda: not any(procs.alive(pid) for pid in everybody), 2, "no orphan, redis-server included")
    load.stop_event.set()
    load.join()
    assert ledger.account(dray)["lost"] == []

    sink.behave()
    dray.expect_exit(0)
    dray.start()
    with open(os.path.join(dray.run_dir, "lock")) as f:
        assert int(f.read()) == dray.pid
    ledger.settle(30)
    ledger.check(dray)
