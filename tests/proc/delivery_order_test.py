"""The delivery worker on ordered queues, alone under a fake master, with a real Redis and a destination: what must not
stop it, and what it must not keep."""
import signal
import time

import pytest

from lib.wait import wait_for

PREFIX = "{dray}"
NEVER = '{"attempts":1}'
REPEATS = '{"repeat":{"every":3600000,"count":1},"prevMillis":1795230000000,"jobId":"x"}'


def config(redis_url, sink_url, **queue):
    return {"redis": {"mode": "standalone", "url": redis_url},
            "sources": [{"id": "web", "write_key": "KEY"}],
            "destinations": [{"id": "sink", "url": sink_url}],
            "queue": {"is_multi_processor": False, **queue}}


def key(name, prefix=PREFIX):
    return "%s:sink:%s" % (prefix, name)


def lease(r, prefix=PREFIX):
    return (r.get(key("dray:lease", prefix)) or b"").decode()


def batch_id(n):
    return "b000000000" + "%015d" % n


def event(n):
    return '{"type":"track","userId":"u","event":"E","messageId":"m-%d"}' % n


def add(r, job_id, opts=NEVER, prefix=PREFIX):
    r.hset(key(job_id, prefix), mapping={"name": "__default__", "data": '{"source":"web","messageId":"m-%s"}' % job_id,
                                         "opts": opts, "timestamp": "1795230000000", "delay": "0", "priority": "0"})
    r.lpush(key("wait", prefix), job_id)


@pytest.fixture
def server(make_redis):
    return make_redis()


@pytest.fixture
def start(fake_master, sink):
    def go(url, generation=7, **queue):
        m = fake_master("delivery", config(url, sink.url, **queue), generation=generation).start()
        m.expect("READY")
        return m
    return go


def token(m):
    return "%s.%d.%d.%d" % (m.node, m.run, m.slot, m.generation)


def holds(r, m, prefix=PREFIX):
    return lease(r, prefix).startswith(token(m) + "/")


def waits(r):
    """Its connection that waits for jobs is there."""
    return any(c["cmd"] == "blmove" for c in r.client_list())


def in_hand(m):
    m.seen = [x for x in m.seen if x.name != "BEAT"]
    return m.expect("BEAT").fields[2]


def test_a_drain_gives_up_its_shares_at_once_and_for_good(start, server, sink):
    """What it does not need for the request that still runs is for others: nothing is asked for again meanwhile."""
    r = server.client()
    parts = ["{dray:sink:%d}" % n for n in range(4)]
    m = start(server.url, is_multi_processor=True, ordering="key", partitions=4)
    wait_for(lambda: all(holds(r, m, p) for p in parts), 10)
    sink.behave(hang=True)
    add(r, "7", prefix=parts[1])
    wait_for(lambda: sink.requests, 10)
    m.send("DRAIN", 20000, "test")
    wait_for(lambda: not r.exists(key("dray:members")), 2, "it is no member any more")
    rest = [p for p in parts if p != parts[1]]
    wait_for(lambda: not any(lease(r, p) for p in rest), 2)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert not any(lease(r, p) for p in rest), "a drained worker takes a lease again"
        assert not r.exists(key("dray:members"))
        m.pump(0.05)
    sink.answer()
    m.expect("DRAINED", seconds=4)
    assert m.wait_exit() == 0
    assert r.zscore(key("completed", parts[1]), "7") and not lease(r, parts[1])


def test_who_stands_by_asks_for_nothing_while_it_drains(fake_master, server, make_sink, sink):
    """Another destination keeps it busy; the lease that becomes free meanwhile is not for it."""
    r = server.client()
    slow = make_sink()
    conf = config(server.url, sink.url)
    conf["destinations"].append({"id": "slow", "url": slow.url, "is_multi_processor": True})
    r.set(key("dray:lease"), "somebody/1", px=60000)
    m = fake_master("delivery", conf).start()
    m.expect("READY")
    slow.behave(hang=True)
    m.link().send_batch(batch_id(1), [event(1)], queue="slow")
    wait_for(lambda: slow.requests, 10)
    m.send("DRAIN", 20000, "test")
    wait_for(lambda: "event=child_draining" in m.log(), 5)
    r.delete(key("dray:lease"))
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert not lease(r), "a draining worker becomes the processor"
        m.pump(0.05)


def test_a_drain_while_a_job_is_repeated(start, server, make_proxy, sink):
    """The job goes back when the answer to its repetition comes, and the lease with it."""
    r = server.client()
    proxy = make_proxy(server.socket)
    m = start(proxy.url)
    wait_for(lambda: holds(r, m), 10)
    r.zadd(key("repeat"), {"__default__:::3600000": 1})
    wait_for(lambda: waits(r), 10)
    proxy.slow(0.5)
    add(r, "2", REPEATS)
    wait_for(lambda: r.zcard(key("delayed")), 10, "its next is added; the answer is on the way")
    m.send("DRAIN", 12000, "test")
    m.expect("DRAINED", seconds=8)
    assert m.wait_exit() == 0
    assert r.lrange(key("wait"), 0, -1) == [b"2"] and r.llen(key("active")) == 0 and not lease(r)
    assert not sink.requests


def test_a_repeating_job_that_is_gone_stops_nobody(start, server, make_proxy, sink):
    r = server.client()
    proxy = make_proxy(server.socket)
    m = start(proxy.url)
    wait_for(lambda: holds(r, m), 10)
    wait_for(lambda: waits(r), 10)
    proxy.slow(0.5)
    with r.pipeline() as p:
        add(p, "2", REPEATS)
        add(p, "3")
        p.execute()
    wait_for(lambda: r.llen(key("active")) == 2, 10)
    r.delete(key("2"))
    wait_for(lambda: r.zscore(key("completed"), "3"), 8)


def answer_unheard(r, m, proxy, sink):
    """The job's request is answered, and its result does not come to Redis."""
    proxy.stall()
    sink.answer()
    wait_for(lambda: sink.taken(), 5)
    wait_for(lambda: in_hand(m) == 1 and proxy.bytes_waiting(), 5)
    proxy.refuse()


def test_a_result_that_came_too_late_is_not_kept(start, server, make_proxy, sink):
    """While Redis could not be reached somebody else got the lease: the job is his, the result is of no use."""
    r = server.client()
    proxy = make_proxy(server.socket)
    m = start(proxy.url)
    wait_for(lambda: holds(r, m), 10)
    sink.behave(hang=True)
    add(r, "1")
    wait_for(lambda: sink.requests, 10)
    answer_unheard(r, m, proxy, sink)
    r.set(key("dray:lease"), "somebody/99", px=60000)
    proxy.pass_on()
    wait_for(lambda: in_hand(m) == 0, 10, "it keeps nothing that is not its own")
    assert m.log().count("event=lock_lost") == 1
    m.send("DRAIN", 20000, "test")
    m.expect("DRAINED", seconds=3)
    assert m.wait_exit() == 0
    assert lease(r) == "somebody/99" and not r.zscore(key("completed"), "1")


def test_a_result_is_told_although_redis_was_away_during_the_drain(start, server, make_proxy, sink):
    r = server.client()
    proxy = make_proxy(server.socket)
    m = start(proxy.url)
    wait_for(lambda: holds(r, m), 10)
    sink.behave(hang=True)
    add(r, "1")
    wait_for(lambda: sink.requests, 10)
    m.send("DRAIN", 20000, "test")
    wait_for(lambda: "event=child_draining" in m.log(), 5)
    answer_unheard(r, m, proxy, sink)
    m.pump(0.3)
    proxy.pass_on()
    m.expect("DRAINED", seconds=6)
    assert m.wait_exit() == 0
    assert r.zscore(key("completed"), "1") and not lease(r) and len(sink.requests) == 1


@pytest.mark.parametrize("lease_time", ["300ms", "10s"])
def test_two_share_whatever_the_lease(start, server, lease_time):
    """A lease may be shorter than the time between two signs of life."""
    r = server.client()
    parts = ["{dray:sink:%d}" % n for n in range(4)]
    both = [start(server.url, generation=g, is_multi_processor=True, ordering="key", partitions=4, lease=lease_time)
            for g in (7, 8)]

    def shares():
        for m in both:
            m.pump()
        return [sum(holds(r, m, p) for p in parts) for m in both]
    wait_for(lambda: shares() == [2, 2], 12)


def test_a_held_job_that_was_removed_holds_nothing(start, server, sink):
    r = server.client()
    m = start(server.url, backoff={"delay": "60s", "max": "60s"})
    sink.behave(status=503)
    m.link().send_batch(batch_id(1), [event(1)])
    wait_for(lambda: r.exists(key("dray:hold")), 10)
    sink.behave()
    add(r, "2")
    with r.pipeline() as p:
        p.lrem(key("wait"), 0, batch_id(1))
        p.delete(key(batch_id(1)))
        p.execute()
    wait_for(lambda: r.zscore(key("completed"), "2"), 6)


def test_somebody_elses_job_holds_only_while_it_runs(start, server, sink):
    r = server.client()
    r.set(key("7:lock"), "foreign", px=60000)
    r.hset(key("7"), mapping={"name": "__default__", "data": "{}", "opts": NEVER, "timestamp": "1795230000000"})
    r.lpush(key("active"), "7")
    add(r, "8")
    m = start(server.url)
    wait_for(lambda: "event=lane_blocked" in m.log(), 10)
    with r.pipeline() as p:
        p.lrem(key("active"), 0, "7")
        p.delete(key("7:lock"))
        p.execute()
    wait_for(lambda: r.zscore(key("completed"), "8"), 6)


def test_batches_of_another_configurations_partitions_stand_where_they_belong(start, server):
    """As long as a reload rolls, an ingest may know a partition that this worker does not."""
    r = server.client()
    link = start(server.url, is_multi_processor=True, ordering="key", partitions=2).link()
    link.send_batch(batch_id(1), [event(1)], queue="sink#5")
    link.send_batch(batch_id(2), [event(2)], queue="gone#1")
    link.send_batch(batch_id(3), [event(3)], queue="plain")
    assert sorted(link.expect("STORED").fields[0] for _ in range(3)) == [batch_id(n) for n in (1, 2, 3)]
    assert r.lrange("{dray:sink:5}:sink:wait", 0, -1) == [batch_id(1).encode()]
    assert r.lrange("{dray:gone:1}:gone:wait", 0, -1) == [batch_id(2).encode()]
    assert r.lrange("{dray}:plain:wait", 0, -1) == [batch_id(3).encode()]


def test_partitions_take_turns(start, fake_master, server, sink):
    """With fewer places than partitions that have work none of them waits until another one is empty."""
    r = server.client()
    parts = ["{dray:sink:%d}" % n for n in range(4)]
    for n, p in enumerate(parts):
        for i in range(5):
            add(r, "%d-%d" % (n, i), prefix=p)
    conf = config(server.url, sink.url, is_multi_processor=True, ordering="key", partitions=4)
    conf["destinations"][0]["concurrency"] = 1
    sink.behave(hang=True)
    fake_master("delivery", conf).start().expect("READY")
    wait_for(lambda: sink.requests and all(r.llen(key("active", p)) == 5 for p in parts), 10)
    sink.behave()
    sink.answer()
    wait_for(lambda: len(sink.taken()) == 20, 20)
    came = [q.key for q in sink.requests]
    for n in range(4):
        assert [k for k in came if k.startswith("%d-" % n)] == ["%d-%d" % (n, i) for i in range(5)]
        last = max(came.index("%d-0" % k) for k in range(4))
        assert came.index("%d-4" % n) > last, "one was done with before another began: %s" % came


def test_a_dead_destination_leaves_places_to_the_others(fake_master, server, make_sink, sink):
    r = server.client()
    other = make_sink()
    conf = config(server.url, sink.url, is_multi_processor=True, ordering="key", partitions=8)
    conf["destinations"].append({"id": "other", "url": other.url, "ordering": "none"})
    conf["delivery"] = {"concurrency": 4}
    sink.behave(hang=True)
    for n in range(8):
        add(r, "7", prefix="{dray:sink:%d}" % n)
    m = fake_master("delivery", conf).start()
    m.expect("READY")
    wait_for(lambda: len(sink.requests) >= 2, 10)
    m.link().send_batch(batch_id(1), [event(1)], queue="other")
    wait_for(lambda: other.taken(), 5)


def test_a_stopped_processor_changes_nothing_when_it_goes_on(start, server, sink):
    """Its lease ran out and another did its jobs: the late answer is refused, and the job behind it is not posted."""
    r = server.client()
    old = start(server.url, lease="1s")
    wait_for(lambda: holds(r, old), 10)
    sink.behave(hang=True)
    for i in ("1", "2", "3"):
        add(r, i)
    wait_for(lambda: sink.requests and r.llen(key("active")) == 3, 10)
    old.signal(signal.SIGSTOP)
    new = start(server.url, generation=8, lease="1s")
    sink.behave()
    wait_for(lambda: r.zcard(key("completed")) == 3, 10)
    before = [r.hgetall(key(i)) for i in ("1", "2", "3")]
    sink.answer(status=500)
    old.signal(signal.SIGCONT)
    wait_for(lambda: "event=lease_lost" in old.log() and in_hand(old) == 0, 10)
    assert [q.key for q in sink.requests] == ["{dray}:sink:" + n for n in "1123"]
    assert [r.hgetall(key(i)) for i in ("1", "2", "3")] == before
    assert holds(r, new) and r.llen(key("wait")) == 0 and r.llen(key("active")) == 0


def test_a_redis_that_stood_still_for_longer_than_the_lease(start, server, sink):
    """Nobody trusts the lease meanwhile; behind it the order is as before, whoever goes on."""
    r = server.client()
    both = [start(server.url, generation=g, lease="1s") for g in (7, 8)]
    wait_for(lambda: any(holds(r, m) for m in both), 10)
    sink.behave(hang=True)
    for i in ("1", "2", "3"):
        add(r, i)
    wait_for(lambda: sink.requests and r.llen(key("active")) == 3, 10)
    server.freeze()
    wait_for(lambda: any("event=lease_lost" in m.log() for m in both), 5)
    wait_for(lambda: not any(c.hung for c in sink.connections), 5, "its request is given up")
    sink.behave()
    server.thaw()
    wait_for(lambda: r.zcard(key("completed")) == 3, 10)
    assert [q.key for q in sink.requests] == ["{dray}:sink:" + n for n in "1123"]
    wait_for(lambda: [in_hand(m) for m in both] == [0, 0], 5)


@pytest.mark.parametrize("event_name,queue", [("queue_protocol", "old"), ("queue_lease", "sink")])
def test_a_user_without_rights_on_a_queue_is_told_of(fake_master, make_redis, sink, event_name, queue):
    """An ACL for {dray}:* alone fits neither the partitions' keys nor those of a queue that is taken over."""
    server = make_redis(port=True)
    r = server.client()
    r.execute_command("ACL", "SETUSER", "dray", "on", ">pw", "~{dray}:*", "&*", "+@all")
    conf = config(server.tcp_url, sink.url, is_multi_processor=True)
    conf["redis"].update(username="dray", password="pw")
    if queue == "old":
        conf["takeover"] = [{"id": "old", "prefix": "{rudder}", "queue": "q", "destination": "sink"}]
    else:
        conf["queue"].update(ordering="key", partitions=2)
    m = fake_master("delivery", conf).start()
    m.expect("READY")

    def lines():
        m.pump(0.05)
        return [x for x in m.log().split("\n") if "event=%s queue=%s" % (event_name, queue) in x.replace('"', "")]
    wait_for(lambda: lines() and "NOPERM" in lines()[0], 5)
    m.expect("BEAT")
    r.execute_command("ACL", "SETUSER", "dray", "~*")
    link = m.link()
    link.send_batch(batch_id(1), [event(1)], queue="sink#1" if queue == "sink" else "sink")
    link.expect("STORED", seconds=5)
    sink.wait_ids(["m-1"], seconds=5)
    assert len(lines()) <= 2, "it is told once for each queue"
