"""F05: SIGSTOP of a worker / of ingest: the hang is detected; SIGABRT stays pending on a stopped process, SIGKILL after the
grace works on it; it is reaped and replaced; what it had in hand is sent again."""
import os
import signal
import threading
import time

from lib import procs
from lib.client import Client, Load
from lib.events import batch_body, make_events
from lib.wait import wait_for

HANG, GRACE = 2.0, 1.0
CONF = {"master": {"health": {"beat": "100ms", "hang": "2s", "kill_grace": "1s"}}}


def check_hung(dray, kind, slot, pid, began):
    """From the signal to the new process."""
    abort = wait_for(lambda: dray.log.records("child_kill", child_pid=pid, signal="SIGABRT"), 2 * HANG, "the hang is seen")
    assert abort[0]["reason"] == "hang"
    assert procs.Proc(pid).state == "T", "SIGABRT must not have ended a stopped process"
    died = wait_for(lambda: dray.log.records("child_died", child_pid=pid), 2 * GRACE, "it is killed and reaped")[0]
    took = time.monotonic() - began
    assert HANG <= took + 0.2 and took <= 2 * (HANG + GRACE)  # its last beat may be a beat old
    assert len(dray.log.records("child_kill", child_pid=pid, signal="SIGKILL")) == 1
    assert (died["child_kind"], died["child_slot"]) == (kind, str(slot))
    assert (died["signal"], died["by"], died["reason"]) == ("SIGKILL", "the supervisor", "hang")
    assert not procs.alive(pid)
    dray.wait_replaced(kind, slot, pid)
    assert not dray.log.records("child_backoff"), "a proven process is back at once"
    assert len(dray.log.records("child_kill")) == 2, "nobody else was suspected"
    print("figure: %s: replaced %.2f s after it stopped (hang %.0f s, grace %.0f s)" % (
        kind, time.monotonic() - began, HANG, GRACE))


def wait_proven(dray):
    """All children are READY for over a second."""
    wait_for(lambda: all(p["uptime_ms"] - p["boot_ms"] > 1200 for p in dray.processes() if p["kind"] != "master"), 10)


def test_worker(make_dray, sink, ledger):
    dray = make_dray(conf=CONF)
    dray.fd_baseline()
    wait_proven(dray)
    sink.behave(delay=0.3)
    load = Load(dray, ledger, clients=6, batch=10, pause=0.05).start()
    wait_for(lambda: len(ledger.acked) > 50, 20)
    pid = dray.signal("delivery", 0, signal.SIGSTOP)
    began = time.monotonic()
    check_hung(dray, "delivery", 0, pid, began)
    load.stop()
    assert dray.log.records("link_gone", returned="true"), "batches came back from the stopped worker"
    wait_for(lambda: [r for r in dray.log.records("jobs_handed_back", kind="master") if r["token"][-1] != "."], 5)
    sink.behave()
    ledger.settle()
    # What it was delivering when it stopped may have come already: then it comes again under the same key.
    again = [r.key for r in sink.taken()]
    assert sum(again.count(k) > 1 for k in set(again)) <= 64
    dray.check_fds()


def test_ingest(make_dray, sink, ledger):
    dray = make_dray(conf=CONF)
    dray.fd_baseline()
    wait_proven(dray)
    pid = dray.signal("ingest", 0, signal.SIGSTOP)
    began = time.monotonic()
    events = [list(make_events(5, seed="c%d" % i)) for i in range(10)]
    answers, refused = [], []

    def send(mine):
        ledger.tried.update(e["messageId"] for e in mine)
        with Client(dray.ingest, dray.key) as c:
            try:
                c.get("/health")
            except ConnectionRefusedError as error:
                refused.append(error)
            except OSError:
                pass  # reset: the process it had come to is dead
            answers.append(c.deliver(batch_body(mine)).status)
            ledger.ack(e["messageId"] for e in mine)
    threads = [threading.Thread(target=send, args=(mine,), daemon=True) for mine in events]
    for t in threads:
        t.start()
    check_hung(dray, "ingest", 0, pid, began)
    for t in threads:
        t.join(20)
    assert answers == [200] * 10 and refused == [], "the listening socket is the master's"
    ledger.settle()
    dray.check_fds()
