"""Two hosts, one Redis: work is shared; what a dead host had in hand is done by the other."""
import os
import signal

from lib import jobs, procs
from lib.client import Load
from lib.wait import wait_for

SHORT = {"queue": {"lock_duration": "2s", "lock_renew": "1s", "stalled_interval": "1s"}, "delivery": {"timeout": "8s"}}


def two_hosts(make_dray, make_redis):
    server = make_redis()
    conf = {**SHORT, "redis": {"mode": "standalone", "url": server.url, "managed": None}}
    return server, make_dray(conf=conf), make_dray(conf=conf)


def test_both_work_and_each_event_comes_once(make_dray, make_redis, sink, ledger):
    _server, a, b = two_hosts(make_dray, make_redis)
    sink.behave(delay=0.02)
    loads = [Load(d, ledger, events=1000, clients=4, batch=10, seed=d.name).start() for d in (a, b)]
    for load in loads:
        load.join()
    ledger.settle(30)
    ledger.check(a)
    assert ledger.duplicates() == {}
    for d in (a, b):
        wait_for(lambda d=d: d.metric("dray_delivery_events_total", dest="sink") > 0, 10, "%s delivered some" % d.name)


def test_a_dead_host(make_dray, make_redis, sink, ledger):
    server, a, b = two_hosts(make_dray, make_redis)
    sink.behave(hang=True)
    load = Load(a, ledger, events=400, clients=4, batch=10).start()
    load.join()
    r = server.client()
    wait_for(lambda: jobs.counts(r, "sink")["active"] > 0 and jobs.counts(r, "sink")["wait"] == 0, 10, "all in hand")
    tokens = {r.get(key).decode() for key in jobs.locks(r, "sink")}
    assert any(t.startswith(a.status()["node"]) for t in tokens), "the first host has jobs in hand"
    # The whole host, at one instant.
    for pid in [a.pid] + [p.pid for p in procs.descendants(a.pid)]:
        os.kill(pid, signal.SIGKILL)
    a.expect_exit(-signal.SIGKILL)
    a.wait_exit()
    a.may_leave.add("control.sock")
    sink.behave()
    sink.release()
    ledger.settle(30)
    ledger.check(b)
    wait_for(lambda: jobs.counts(r, "sink")["active"] == 0, 10, "nothing is in hand any more")
    assert not jobs.locks(r, "sink")
