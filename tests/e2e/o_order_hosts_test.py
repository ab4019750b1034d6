"""Ordered queues, host by host: standing by and taking over, who is configured otherwise, pausing, reload."""
import os
import re
import signal
import time

import pytest

from lib import jobs, procs, sdk
from lib.client import Client
from lib.order import OrderedLoad, inversions, overtakings
from lib.wait import stays, wait_for

LEASE = 3
QUICK = {"lease": "3s", "lock_duration": "3s", "lock_renew": "1s", "stalled_interval": "1s", "max_stalled_count": 50,
         "max_attempts": 100, "backoff": {"delay": "50ms", "max": "200ms"}}
STRICT = {**QUICK, "is_multi_processor": False}
KEY = {**QUICK, "ordering": "key", "partitions": 4}


@pytest.fixture
def server(make_redis):
    return make_redis()


@pytest.fixture
def make_host(make_dray, server):
    def make(queue, workers=1, **options):
        conf = {"queue": queue, "master": {"processes": {"delivery": workers}}, "delivery": {"timeout": "3s"},
                "redis": {"mode": "standalone", "url": server.url, "managed": None, "command_timeout": "2s"}}
        conf.update(options.pop("conf", {}))
        return make_dray(conf=conf, **options)
    return make


def lease(server, base="{dray}:sink:"):
    value = server.client().get(base + "dray:lease")
    return value and value.decode().split("/")[0]


def holds(server, dray, base="{dray}:sink:"):
    return (lease(server, base) or "").startswith(dray.status()["node"] + ".")


def doing(dray):
    return [p["doing"] for p in dray.processes("delivery")]


def kill_host(dray):
    """The whole host, at one instant."""
    for pid in [dray.pid] + [p.pid for p in procs.descendants(dray.pid)]:
        os.kill(pid, signal.SIGKILL)
    dray.expect_exit(-signal.SIGKILL)
    dray.wait_exit()
    dray.may_leave.add("control.sock")


def send(dray, ledger, *ids, user="u"):
    with Client(dray.ingest, dray.key) as c:
        for i in ids:
            answer = c.post("/v1/batch", {"batch": [{"type": "track", "event": "e", "userId": user, "messageId": i}]})
            assert answer.status == 200, answer
            ledger.ack([i])


def test_the_second_host_stands_by_and_takes_over(make_host, server, sink, ledger):
    first = make_host(STRICT)
    wait_for(lambda: holds(server, first), 10, "the first has the lease")
    second = make_host(STRICT)
    node = first.status()["node"]
    wait_for(lambda: doing(second) == ["stands by for sink (held by node %s delivery.0)" % node[:8]], 10, "it names the holder")
    assert doing(first) == ["processes sink"]
    sink.behave(hang=True)
    send(second, ledger, "m0")
    wait_for(lambda: sink.requests, 10, "the first is at it")
    send(second, ledger, "m1", "m2", "m3")
    kill_host(first)
    died = time.monotonic()
    sink.behave()
    sink.release()
    wait_for(lambda: holds(server, second), 2 * LEASE, "the second has the lease")
    took = time.monotonic() - died
    ledger.settle(10)
    assert [i for r in sink.requests[1:] for i in r.ids()] == ["m0", "m1", "m2", "m3"], "the interrupted one first"
    wait_for(lambda: doing(second) == ["processes sink"], 5, "it says so")
    print("figure: taken over %.1f s after the host died, lease %d s" % (took, LEASE))


@pytest.mark.parametrize("queue, bases", [(STRICT, ["{dray}:sink:"]), (KEY, ["{dray:sink:%d}:sink:" % n for n in range(4)])],
                         ids=["strict", "key"])
def test_a_stopped_host_hands_over_at_once(make_host, server, sink, ledger, queue, bases):
    first = make_host(queue)
    wait_for(lambda: all(holds(server, first, b) for b in bases), 10, "the first has all")
    second = make_host(queue)
    if len(bases) > 1:
        wait_for(lambda: sum(holds(server, second, b) for b in bases) == 2, 10, "shared")
    sink.behave(delay=0.05)
    load = OrderedLoad(lambda: [second], ledger, 40, users=8, clients=4).start()
    assert first.stop() == 0
    left = time.monotonic()
    wait_for(lambda: all(holds(server, second, b) for b in bases), 2 * 2, "the second has all")
    took = time.monotonic() - left
    load.join()
    ledger.settle(20)
    assert inversions(sink, load, whole=len(bases) == 1) == []
    assert ledger.duplicates() == {}
    assert took < 2, "at once: under a second is the aim"
    print("figure: handed over %.2f s after the end of the first" % took)


OTHERS = [({**QUICK, "ordering": "key", "partitions": 8}, "key with 8 partitions", "key with 4"),
          (STRICT, "strict with 1 partitions", "key with 4"), (QUICK, "shared with 1 partitions", "key with 4")]


@pytest.mark.parametrize("queue, mine, theirs", OTHERS, ids=["partitions", "strict", "shared"])
def test_who_is_configured_otherwise(make_host, server, sink, ledger, queue, mine, theirs):
    """It ends with exit 78 and names both; what the other holds stays."""
    host = make_host(KEY)
    bases = ["{dray:sink:%d}:sink:" % n for n in range(4)]
    wait_for(lambda: all(holds(server, host, b) for b in bases), 10, "all partitions are held")
    r = server.client()
    before = [r.get(b + "dray:lease") for b in bases], r.get("{dray}:sink:dray:proto"), r.zrange("{dray}:sink:dray:members", 0, -1)
    other = make_host(queue, start=False)
    other.expect("queue_protocol", "slot_failed")
    other.expect_exit(78)
    other.start(wait=False)
    assert other.wait_exit(15) == 78
    line, = other.log.records("queue_protocol")
    assert mine in line["why"] and theirs in line["why"] and "repartition" in line["why"], line
    send(host, ledger, "m0", "m1")
    ledger.settle(10)
    after = [r.get(b + "dray:lease") for b in bases], r.get("{dray}:sink:dray:proto"), r.zrange("{dray}:sink:dray:members", 0, -1)
    assert after == before


def test_repartition(make_host, server, sink, ledger):
    host = make_host(KEY)
    sink.behave(hang=True)
    send(host, ledger, "m0", "m1")
    host.write_config({"queue": {"partitions": 2}})
    refused = host.cli("queue", "repartition", "sink")
    assert refused.returncode == 75 and "1 delivery processes are connected" in refused.stderr, refused
    host.expect_exit(0)
    sink.release()
    host.process.send_signal(signal.SIGTERM)
    host.wait_exit(40)
    sink.behave()
    r = server.client()
    left = sum(jobs.counts(r, "sink", p)[s] for p in jobs.partitions(r) for s in ("wait", "active", "delayed"))
    assert left > 0
    words = ("queue", "repartition", "sink", "--set", "redis.url=" + server.url)
    refused = host.cli(*words)
    assert refused.returncode == 75 and "holds %d jobs" % left in refused.stderr, refused
    host.write_config({"queue": {"partitions": 4}})
    host.start()
    ledger.settle(20)
    assert host.stop() == 0
    host.write_config({"queue": {"partitions": 2}})
    done = host.cli(*words)
    assert done.returncode == 0 and done.stdout == "sink: key with 2 partitions (was key with 4)\n", done
    host.start()
    bases = ["{dray:sink:%d}:sink:" % n for n in range(2)]
    wait_for(lambda: all(holds(server, host, b) for b in bases), 10, "both partitions are held")
    send(host, ledger, "m2", "m3")
    ledger.settle(10)


def test_foreign_workers_are_named(make_host, server, sink):
    r = server.client()
    r.client_setname("{dray}:" + "c2luaw==")  # as Bull names a worker's blocked connection: the queue's name in base64
    host = make_host(STRICT)
    line = wait_for(lambda: host.log.records("foreign_workers"), 15, "the warning")[0]
    assert line["queue"] == "sink" and line["connections"] == "1", line
    r.close()


def test_a_takeover_in_strict_order(make_host, server, sink, ledger):
    """Jobs of an SDK, one processor, a destination that fails: each is repeated in front of what is behind it."""
    take = {"id": "sdk", "prefix": "{rudder}", "queue": "rudderEventsQueue", "destination": "sink", "is_multi_processor": False,
            "max_attempts": 10}
    fixture = next(f for f in sdk.fixtures() if f["sdk"] == "rudder-sdk-node 3.0.13")
    r = server.client()
    base, ids = "{rudder}:rudderEventsQueue:", []
    for n in range(8):
        ids.append("job-%d" % n)
        text = re.sub(r'(messageId\\":\\")[^\\]+', r"\g<1>" + ids[-1], fixture["hash"]["data"])
        sdk.plant(r, base, str(n + 1), {**fixture["hash"], "data": text})
    failed = set()

    def once(request):
        fails = set(request.ids()) & {"job-1", "job-5"} - failed
        failed.update(fails)
        return {"status": 503} if fails else None
    sink.rule = once
    ledger.ack(ids)
    host = make_host(QUICK, workers=2, conf={"takeover": [take]})
    sink.wait_ids(set(ids), 40)
    assert list(dict.fromkeys(i for q in sink.taken() for i in q.ids())) == ids
    assert failed == {"job-1", "job-5"}
    wait_for(lambda: r.llen(base + "active") + r.llen(base + "wait") == 0, 10, "nothing is left")
    assert any(d.startswith("processes sdk") for d in doing(host)), doing(host)


def test_a_reload_keeps_the_order(make_host, server, sink, ledger):
    host = make_host(KEY, workers=2)
    sink.behave(fail_rate=0.1, delay=0.01)
    load = OrderedLoad(lambda: [host], ledger, 600, users=40, clients=6, batch=3, pause=0.05).start()
    for n in range(2):
        wait_for(lambda n=n: len(ledger.acked) > 150 * (n + 1), 30, "some are taken")
        host.write_config({"delivery": {"timeout": "%ds" % (4 + n)}})  # rolls every process
        os.kill(host.pid, signal.SIGHUP)
        wait_for(lambda: not host.status()["rolling"] and host.status()["epoch"] == n + 2, 30, "all are replaced")
    load.join()
    ledger.settle(30)
    assert inversions(sink, load) == []
    assert overtakings(sink, load) == []
    ledger.check(host)


def test_a_partitioned_queue_is_paused(make_host, server, sink, ledger):
    """By dray queue pause all of it, by Bull's own pause the partition."""
    host = make_host(KEY)
    r = server.client()
    assert host.cli("queue", "pause", "sink").returncode == 0
    for n in range(8):
        send(host, ledger, "m%d" % n, user="user-%d" % n)
    waiting = {p: jobs.counts(r, "sink", p)["paused"] for p in ("{dray:sink:%d}" % n for n in range(4))}
    assert sum(waiting.values()) == 8 and not sink.requests
    one = next(p for p in waiting if waiting[p] > 0)
    # Bull's pause of one partition is what pause() of its queue does: the key and the renamed list.
    assert host.cli("queue", "resume", "sink").returncode == 0
    ledger.settle(10)
    r.set(one + ":sink:meta-paused", 1)
    r.hset(one + ":sink:meta", "paused", 1)
    for n in range(8):
        send(host, ledger, "n%d" % n, user="user-%d" % n)
    wait_for(lambda: len(sink.requests) == 16 - waiting[one], 10, "the other partitions go on")
    assert jobs.counts(r, "sink", one)["paused"] == waiting[one]
    r.delete(one + ":sink:meta-paused")
    r.rename(one + ":sink:paused", one + ":sink:wait")
    ledger.settle(10)


@pytest.mark.parametrize("queue", [QUICK, STRICT, KEY], ids=["shared", "strict", "key"])
def test_a_local_pause(make_host, server, sink, ledger, queue):
    """This instance takes nothing more, also by children that start later; another host goes on and has what was held."""
    bases = ["{dray:sink:%d}:sink:" % n for n in range(4)] if queue is KEY else ["{dray}:sink:"]
    host = make_host(queue)
    if queue is not QUICK:
        wait_for(lambda: all(holds(server, host, b) for b in bases), 10, "all is held")
    sink.behave(delay=0.3)
    send(host, ledger, "in-hand")
    others = {kind: host.pid_of(kind) for kind in ("spool", "console", "ingest")}
    done = host.cli("queue", "pause", "sink", "--local")
    assert (done.returncode, done.stdout) == (0, "sink: paused here\n"), done
    assert host.status()["queues"][0]["paused_here"] is True
    ledger.settle(10)
    if queue is not QUICK:
        wait_for(lambda: not any(lease(server, b) for b in bases), 5, "the lease is given up")
    old = host.kill("delivery")
    host.wait_replaced("delivery", 0, old)
    ids = ["m%d" % n for n in range(6)]
    for i in ids:
        send(host, ledger, i, user="user-" + i)
    stays(lambda: len(sink.requests) == 1, 1.5, "nothing is taken")
    second = make_host(queue)
    sink.wait_ids(set(ids), 10)
    if queue is not QUICK:
        wait_for(lambda: all(holds(server, second, b) for b in bases), 10, "the second has all")
    wrong = host.cli("queue", "pause", "nowhere", "--local")
    assert wrong.returncode == 64 and "no destination or takeover" in wrong.stderr, wrong
    done = host.cli("queue", "resume", "sink", "--local")
    assert (done.returncode, done.stdout) == (0, "sink: resumed here\n"), done
    assert host.status()["queues"][0]["paused_here"] is False
    assert second.stop() == 0
    send(host, ledger, "last")
    ledger.settle(10)
    assert ledger.duplicates() == {}
    assert {kind: host.pid_of(kind) for kind in others} == others, "a kind that works on no queue hears nothing of it"


def test_a_limiter_on_an_ordered_queue(make_host, server, sink, ledger):
    """The holder waits: no more than the limit in any window, in order, nothing is put off."""
    host = make_host({**STRICT, "limiter": "3/500ms"})
    send(host, ledger, *["m%02d" % n for n in range(12)])
    ledger.settle(20)
    assert [i for q in sink.requests for i in q.ids()] == ["m%02d" % n for n in range(12)]
    starts = [q.at for q in sink.requests]
    assert all(starts[n + 6] - starts[n] > 0.4 for n in range(6)), "two windows at least between the first and the seventh"
    assert server.client().zcard("{dray}:sink:delayed") == 0


def test_a_job_of_an_ordered_queue_runs_too_long(make_host, server, sink, ledger):
    """Nobody could take it away: its attempt is ended, and it is tried again before what is behind it."""
    host = make_host({**STRICT, "max_run": "500ms"})
    sink.behave(hang=True)
    send(host, ledger, "m0", "m1")
    wait_for(lambda: len(sink.requests) == 3, 10, "the same is tried again")
    assert [q.ids() for q in sink.requests] == [["m0"]] * 3
    sink.behave()
    ledger.settle(10)
    assert [q.ids() for q in sink.taken()][:2] == [["m0"], ["m1"]]
