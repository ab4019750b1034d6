"""F07: a worker that loops for ever: as F05, but SIGABRT ends it, and it tells where it was and what it had in hand."""
import re

from lib.client import Load
from lib.events import batch_body, make_events
from lib.hooks import Hooks
from lib.wait import wait_for

CONF = {"master": {"health": {"beat": "100ms", "hang": "2s", "kill_grace": "2s"}}, "ingest": {"ack_timeout": "20s"}}


def test_busy_loop(make_dray, sink, ledger):
    dray = make_dray(conf=CONF, start=False)
    hooks = Hooks(dray)
    dray.start()
    dray.fd_baseline()
    sink.behave(hang=True)
    Load(dray, ledger, events=20, clients=2, batch=1).start().join()
    wait_for(lambda: len(sink.requests) >= 2, 10)
    sink.behave()
    hooks.arm("batch_arrived", "spin")
    events = list(make_events(5, seed="spin"))
    with dray.client() as c:
        assert c.deliver(batch_body(events)).status == 200, "it is sent to another"
    ledger.ack(e["messageId"] for e in events)
    died = wait_for(lambda: dray.log.records("child_died"), 10)
    assert len(died) == 1 and (died[0]["signal"], died[0]["by"], died[0]["reason"]) == ("SIGABRT", "the supervisor", "hang")
    assert [r["signal"] for r in dray.log.records("child_kill")] == ["SIGABRT"]
    words = [r["msg"] for r in dray.log.records("raw", pid=died[0]["child_pid"])]
    assert words[0] == "crash: signal SIGABRT from pid %d" % dray.pid and words[-1] == "crash: end"
    assert len([w for w in words if re.search(r"\[0x[0-9a-f]+\]$", w)]) >= 3, "where it was"
    named = {i for w in words if w.startswith("crash: in hand: ") for i in re.findall(r"job (\w+)", w)}
    assert named <= {r.key for r in sink.requests}
    dray.wait_replaced("delivery", int(died[0]["child_slot"]), int(died[0]["child_pid"]))
    sink.release()
    ledger.settle()
    dray.check_fds()
