"""The delivery worker alone, under a fake master, with a real Redis and a destination."""
import base64
import json
import signal

import pytest

from lib.wait import wait_for

PREFIX = "{dray}"


def config(redis_url, sink_url, **sections):
    conf = {"redis": {"mode": "standalone", "url": redis_url},
            "sources": [{"id": "web", "write_key": "KEY"}],
            "destinations": [{"id": "sink", "url": sink_url}]}
    for name, keys in sections.items():
        conf.setdefault(name, {}).update(keys)
    return conf


@pytest.fixture
def redis_server(make_redis):
    return make_redis()


@pytest.fixture
def conf(redis_server, sink):
    return config(redis_server.url, sink.url, queue={"backoff": {"delay": "50ms"}})


@pytest.fixture
def worker(fake_master, conf):
    m = fake_master("delivery", conf).start()
    m.expect("READY")
    return m


def batch_id(n):
    return "b000000000" + "%015d" % n


def drain(worker, *links):
    for link in links:
        link.send("END")
    worker.send("DRAIN", 5000, "test")
    worker.expect("DRAINED")
    assert worker.wait_exit() == 0


def event(n):
    return '{"type":"track","userId":"u","event":"E","messageId":"m-%d","v":1.0}' % n


def key(name):
    return "%s:sink:%s" % (PREFIX, name)


def test_a_batch_goes_the_whole_way(worker, sink, redis_server):
    r = redis_server.client()
    link = worker.link()
    credit = link.expect("CREDIT")
    assert credit.fields[0] >= 2 and credit.fields[1] >= 8 << 20
    link.send_batch(batch_id(1), [event(1), event(2)])
    assert link.expect("STORED").fields == [batch_id(1), False]
    wait_for(lambda: len(sink.ids()) == 2, 10)
    request = sink.requests[0]
    assert request.key == batch_id(1)
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"KEY:").decode()
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("dray/")
    assert "expect" not in request.headers
    assert request.body.startswith(b'{"batch":[' + event(1).encode() + b"," + event(2).encode() + b'],"sentAt":"20')
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 10)
    assert json.loads(r.hget(key(batch_id(1)), "data")) == {
        "dray": 1, "source": "web", "batch": [json.loads(event(1)), json.loads(event(2))]}
    assert json.loads(r.hget(key(batch_id(1)), "returnvalue"))["status"] == 200
    assert not r.exists(key(batch_id(1) + ":lock")) and r.llen(key("active")) == 0
    link.send_batch(batch_id(1), [event(1), event(2)])
    assert link.expect("STORED").fields == [batch_id(1), True]
    assert len(sink.requests) == 1


def add_foreign(r, job_id, data, opts='{"attempts":1,"delay":0,"timestamp":1795230000000}'):
    """As a Bull client adds it."""
    r.hset(key(job_id), mapping={"name": "__default__", "data": data, "opts": opts, "timestamp": "1795230000000",
                                 "delay": "0", "priority": "0"})
    r.lpush(key("wait"), job_id)


def nothing_held(r):
    return r.llen(key("active")) == 0 and not list(r.scan_iter(key("*:lock").replace("{", "\\{")))


def test_a_failing_destination_is_tried_again(worker, sink, redis_server):
    r = redis_server.client()
    sink.behave(status=503)
    link = worker.link()
    link.send_batch(batch_id(1), [event(1)])
    wait_for(lambda: len(sink.requests) >= 3, 10)
    gaps = [b.at - a.at for a, b in zip(sink.requests, sink.requests[1:])]
    assert gaps[0] > 0.035 and gaps[1] > 0.07, "50 ms doubling, less a fifth"
    sink.behave()
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 10)
    assert int(r.hget(key(batch_id(1)), "attemptsMade")) >= 3
    assert r.hget(key(batch_id(1)), "failedReason").startswith(b"the destination answered 503")
    log = worker.log()
    assert log.count("event=destination_failing") == 1
    wait_for(lambda: "event=destination_recovered" in worker.log(), 5)


@pytest.mark.parametrize("status,reason", [(400, "the destination answered 400: no"), (501, "the destination answered 501: no"),
                                           (410, "the destination is gone for good: it answered 410")])
def test_refusals_fail_at_once(worker, sink, redis_server, status, reason):
    r = redis_server.client()
    sink.behave(status=status, body=b"no")
    worker.link().send_batch(batch_id(1), [event(1)])
    wait_for(lambda: r.zscore(key("failed"), batch_id(1)), 10)
    assert r.hget(key(batch_id(1)), "failedReason").decode() == reason
    assert len(sink.requests) == 1 and nothing_held(r)


def test_jobs_of_bull_clients(worker, sink, redis_server):
    r = redis_server.client()
    add_foreign(r, "7", '{"batch":[{"messageId":"f-1"}],"source":"web","sentAt":"x"}')
    add_foreign(r, "8", '{"to": "a@b", "source": "web"}')
    add_foreign(r, "9", '{"batch":[]}')
    add_foreign(r, "10", '{"source":"nobody"}')
    add_foreign(r, "11", "not json")
    add_foreign(r, "odd id\r\nX: y", '{"source":"web"}')
    wait_for(lambda: r.zcard(key("completed")) == 3 and r.zcard(key("failed")) == 3, 10)
    by_key = {q.job: q for q in sink.requests}
    assert sorted(q.key for q in sink.requests) == ["odd%20id%0D%0AX:%20y", "{dray}:sink:7", "{dray}:sink:8"]
    assert by_key["7"].json()["batch"] == [{"messageId": "f-1"}] and by_key["7"].json()["sentAt"] != "x"
    assert by_key["8"].body == b'{"to": "a@b", "source": "web"}'
    assert b"names no source" in r.hget(key("9"), "failedReason")
    assert r.hget(key("10"), "failedReason") == b"unknown source: nobody"
    assert b"not JSON" in r.hget(key("11"), "failedReason")


def test_own_attempts_of_a_bull_job(worker, sink, redis_server):
    r = redis_server.client()
    sink.behave(status=500)
    add_foreign(r, "7", '{"source":"web"}', '{"attempts":3,"backoff":{"type":"fixed","delay":20}}')
    wait_for(lambda: r.zscore(key("failed"), "7"), 10)
    assert len(sink.requests) == 3
    assert b"attempts and time for them are spent" in r.hget(key("7"), "failedReason")


def test_retry_after_pauses_the_destination(worker, sink, redis_server):
    sink.behave(status=429, retry_after=1)
    link = worker.link()
    link.send_batch(batch_id(1), [event(1)])
    wait_for(lambda: sink.requests, 10)
    sink.behave()
    wait_for(lambda: "event=destination_failing" in worker.log(), 5)
    link.send_batch(batch_id(2), [event(2)])
    assert link.expect("STORED").fields[0] == batch_id(1)
    assert link.expect("STORED").fields[0] == batch_id(2)
    wait_for(lambda: len(sink.taken()) == 2, 10)
    assert sink.taken()[0].at - sink.requests[0].at > 0.9, "the second batch waits too"


def test_auth_of_the_destination(fake_master, redis_server, sink):
    for auth, header in (({"type": "bearer", "token": "T"}, "Bearer T"),
                         ({"type": "basic", "username": "u", "password": "p"},
                          "Basic " + base64.b64encode(b"u:p").decode()), ({"type": "none"}, None)):
        conf = config(redis_server.url, sink.url)
        conf["destinations"][0]["auth"] = auth
        m = fake_master("delivery", conf).start()
        m.expect("READY")
        n = len(sink.requests)
        link = m.link()
        link.send_batch(batch_id(n), [event(1)], source="unknown")
        wait_for(lambda: len(sink.requests) > n, 10)
        assert sink.requests[n].headers.get("authorization") == header
        drain(m, link)


def test_ready_without_redis(fake_master, sink, tmp_path, make_redis):
    m = fake_master("delivery", config("unix://%s/none.sock" % tmp_path, sink.url)).start()
    m.expect("READY", seconds=4)
    link = m.link()
    assert link.expect("CREDIT").fields[0] == 0
    assert m.expect("BEAT").fields[2] == 0


def test_redis_comes_back(worker, sink, redis_server):
    link = worker.link()
    assert link.expect("CREDIT").fields[0] > 0
    redis_server.kill()
    wait_for(lambda: link.expect("CREDIT").fields[0] == 0, 10)
    link.send_batch(batch_id(1), [event(1)])
    refused = link.expect("REFUSED").fields
    assert refused[0] == batch_id(1) and refused[1] is True and 0 < refused[2] <= 2000
    redis_server.start()
    wait_for(lambda: link.expect("CREDIT", seconds=4).fields[0] > 0, 8)  # each failed attempt to connect says 0 again
    link.send_batch(batch_id(1), [event(1)], tries=1)
    assert link.expect("STORED").fields == [batch_id(1), False]
    sink.wait_ids(["m-1"])


def test_an_add_of_unknown_outcome_is_repeated(fake_master, redis_server, make_proxy, sink):
    proxy = make_proxy(redis_server.socket)
    m = fake_master("delivery", config(proxy.url, sink.url)).start()
    m.expect("READY")
    link = m.link()
    link.expect("CREDIT")
    r = redis_server.client()
    sink.behave(status=503)
    proxy.swallow()
    link.send_batch(batch_id(1), [event(1)])
    wait_for(lambda: r.exists(key(batch_id(1))), 5)
    proxy.cut()
    proxy.pass_on()
    assert link.expect("STORED").fields == [batch_id(1), True], "the repetition finds it there"
    sink.behave()
    sink.wait_ids(["m-1"])
    assert sum(sink.ids().values()) == 1


def test_what_a_lost_take_had_locked_is_delivered_soon(fake_master, redis_server, make_proxy, sink):
    proxy = make_proxy(redis_server.socket)
    m = fake_master("delivery", config(proxy.url, sink.url)).start()
    m.expect("READY")
    r = redis_server.client()
    wait_for(lambda: any(c["cmd"] == "blmove" for c in r.client_list()), 5)
    proxy.swallow()
    add_foreign(r, "7", '{"source":"web","messageId":"m-7"}')
    # the waker does not hear it; the poll behind it or the tick asks, and its answer is swallowed
    m.link().send_batch(batch_id(1), [event(1)])
    wait_for(lambda: r.llen(key("active")) == 2, 10)
    assert not sink.requests
    proxy.cut()
    proxy.pass_on()
    sink.wait_ids(["m-7", "m-1"], seconds=5)
    wait_for(lambda: nothing_held(r), 5)
    assert "event=jobs_recovered" in m.log()


def test_a_result_of_unknown_outcome_is_repeated(fake_master, redis_server, make_proxy, sink):
    proxy = make_proxy(redis_server.socket)
    m = fake_master("delivery", config(proxy.url, sink.url)).start()
    m.expect("READY")
    r = redis_server.client()
    sink.behave(delay=0.5)
    link = m.link()
    link.send_batch(batch_id(1), [event(1)])
    wait_for(lambda: r.llen(key("active")) == 1 and sink.requests, 10)
    proxy.swallow()
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 10)
    proxy.cut()
    proxy.pass_on()
    drain(m, link)
    assert len(sink.requests) == 1
    assert "event=lock_lost" not in m.log()


def test_a_lost_lock_ends_the_call(fake_master, redis_server, sink):
    m = fake_master("delivery", config(redis_server.url, sink.url, queue={"lock_duration": "400ms", "lock_renew": "100ms"})).start()
    m.expect("READY")
    r = redis_server.client()
    sink.behave(hang=True)
    m.link().send_batch(batch_id(1), [event(1)])
    wait_for(lambda: sink.requests and sink.connections, 10)
    until = r.pttl(key(batch_id(1) + ":lock"))
    wait_for(lambda: r.pttl(key(batch_id(1) + ":lock")) > until, 5, "the lock is renewed")
    r.set(key(batch_id(1) + ":lock"), "somebody", px=60000)
    wait_for(lambda: "event=lock_lost" in m.log(), 5)
    wait_for(lambda: not sink.connections, 5)
    assert r.get(key(batch_id(1) + ":lock")) == b"somebody"
    assert not r.hexists(key(batch_id(1)), "attemptsMade")


def test_drain_finishes_what_is_in_flight(worker, sink, redis_server):
    r = redis_server.client()
    sink.behave(delay=0.5)
    link = worker.link()
    for n in range(5):
        link.send_batch(batch_id(n), [event(n)])
    wait_for(lambda: len(sink.requests) == 5, 10)
    worker.send("DRAIN", 5000, "test")
    link.expect("LEAVE")
    link.send_batch(batch_id(5), [event(5)])
    link.send("END")
    assert [link.expect("STORED").fields[0] for _ in range(6)][-1] == batch_id(5)
    assert worker.expect("DRAINED").fields == [0]
    assert worker.wait_exit() == 0
    assert r.zcard(key("completed")) == 5 and r.lrange(key("wait"), 0, -1) == [batch_id(5).encode()]
    assert nothing_held(r)


def test_drain_hands_back_what_does_not_finish(worker, sink, redis_server):
    r = redis_server.client()
    sink.behave(hang=True)
    link = worker.link()
    for n in range(5):
        link.send_batch(batch_id(n), [event(n)])
    wait_for(lambda: len(sink.requests) == 5, 10)
    link.send("END")
    worker.send("DRAIN", 1000, "test")
    assert worker.expect("DRAINED", seconds=2).fields == [5]
    assert worker.wait_exit() == 0
    assert nothing_held(r) and r.llen(key("wait")) == 5
    assert not r.hexists(key(batch_id(0)), "attemptsMade") and not r.hexists(key(batch_id(0)), "stalledCounter")


def test_what_a_take_brings_during_a_drain_goes_back(fake_master, redis_server, make_proxy, sink):
    proxy = make_proxy(redis_server.socket)
    m = fake_master("delivery", config(proxy.url, sink.url)).start()
    m.expect("READY")
    r = redis_server.client()
    wait_for(lambda: any(c["cmd"] == "blmove" for c in r.client_list()), 5)
    proxy.slow(1)
    add_foreign(r, "7", '{"source":"web","messageId":"m-7"}')
    wait_for(lambda: r.llen(key("active")) == 1, 10)
    proxy.swallow()
    m.send("DRAIN", 5000, "test")
    wait_for(lambda: "event=child_draining" in m.log(), 5)
    proxy.pass_on()
    m.expect("DRAINED")
    assert m.wait_exit() == 0
    assert not sink.requests and nothing_held(r)
    assert r.lrange(key("wait"), 0, -1) == [b"7"]


def test_a_job_that_comes_back_to_its_own_worker_is_posted_once(worker, sink, redis_server):
    r = redis_server.client()
    sink.behave(delay=1)
    worker.link().send_batch(batch_id(1), [event(1)])
    wait_for(lambda: sink.requests, 10)
    # as after an outage that was longer than the lock: it was found stalled, and the same worker is the next to take it
    with r.pipeline() as p:
        p.delete(key(batch_id(1) + ":lock"))
        p.lrem(key("active"), 0, batch_id(1))
        p.hincrby(key(batch_id(1)), "stalledCounter", 1)
        p.rpush(key("wait"), batch_id(1))
        p.execute()
    wait_for(lambda: r.llen(key("active")) == 1, 5, "it is taken again")
    wait_for(lambda: r.zscore(key("completed"), batch_id(1)), 10)
    assert len(sink.requests) == 1
    assert nothing_held(r) and "event=lock_lost" not in worker.log()


def test_without_its_master_it_drains_and_ends(worker, sink, redis_server):
    sink.behave(delay=0.3)
    link = worker.link()
    link.send_batch(batch_id(1), [event(1)])
    wait_for(lambda: sink.requests, 10)
    worker.control.shutdown(2)
    link.expect("LEAVE")
    link.send("END")
    assert worker.wait_exit(seconds=20) == 81
    assert len(sink.taken()) == 1 and nothing_held(redis_server.client())


def test_what_a_dead_worker_held_goes_to_the_next(fake_master, conf, sink, redis_server):
    r = redis_server.client()
    first = fake_master("delivery", conf).start()
    first.expect("READY")
    sink.behave(hang=True)
    link = first.link()
    for n in range(10):
        link.send_batch(batch_id(n), [event(n)])
        link.expect("STORED")
    wait_for(lambda: len(sink.requests) == 10, 10)
    clients = wait_for(lambda: [c for c in [first.expect("BEAT").fields[4]] if len(c) == 2], 5)[0]
    first.signal(signal.SIGKILL)
    first.wait_exit()
    sink.behave()
    second = fake_master("delivery", conf, generation=8)
    second.node = first.node
    second.start()
    second.expect("READY")
    token = "%s.%d.0.%d" % (first.node, first.run, first.generation)
    second.send("REAP", token, False, clients)
    assert second.expect("REAPED", seconds=2).fields == [token, 10]
    sink.wait_ids(["m-%d" % n for n in range(10)], seconds=2)
    assert r.hget(key(batch_id(0)), "stalledCounter") == b"1"


def test_earlier_runs_are_swept_when_they_are_gone(fake_master, conf, sink, redis_server):
    r = redis_server.client()
    old = fake_master("delivery", conf).start()
    old.expect("READY")
    sink.behave(hang=True)
    old.link().send_batch(batch_id(1), [event(1)])
    wait_for(lambda: len(sink.requests) == 1, 10)
    new = fake_master("delivery", conf)
    new.node, new.run = old.node, 2
    new.start()
    new.expect("READY")
    new.send("REAP", old.node + ".", True, [])
    new.expect("BEAT")
    new.expect("BEAT")
    assert r.llen(key("active")) == 1, "the old one lives: its job stays with it"
    sink.behave()
    old.signal(signal.SIGKILL)
    old.wait_exit()
    assert new.expect("REAPED", seconds=4).fields == [old.node + ".", 1]
    sink.wait_ids(["m-1"], seconds=5)


def test_hundreds_of_batches(worker, sink, redis_server):
    link = worker.link()
    link.expect("CREDIT")
    sent = 0
    for n in range(500):
        link.send_batch(batch_id(n), [event(n)])
        sent += 1
        if sent == 8:
            link.expect("STORED")
            sent -= 1
    sink.wait_ids(["m-%d" % n for n in range(500)])
    wait_for(lambda: nothing_held(redis_server.client()), 10)
    assert sum(sink.ids().values()) == 500


def test_one_dead_destination_does_not_stop_the_other(fake_master, redis_server, make_sink):
    good, bad = make_sink(), make_sink()
    conf = config(redis_server.url, good.url, delivery={"concurrency": 8})
    conf["destinations"].append({"id": "bad", "url": bad.url})
    bad.behave(hang=True)
    m = fake_master("delivery", conf).start()
    m.expect("READY")
    link = m.link()
    for n in range(20):
        link.send_batch(batch_id(n), [event(n)], queue="bad")
        link.expect("STORED")
    wait_for(lambda: len(bad.requests) >= 6, 10)
    for n in range(20, 40):
        link.send_batch(batch_id(n), [event(n)])
        link.expect("STORED")
    good.wait_ids(["m-%d" % n for n in range(20, 40)])
    assert len(bad.requests) == 6, "two of the eight places are kept for the other"


def test_each_pause_ends_in_its_own_time(fake_master, redis_server, make_sink):
    soon, late = make_sink(), make_sink()
    conf = config(redis_server.url, soon.url)
    conf["destinations"].append({"id": "late", "url": late.url})
    soon.behave(status=429, retry_after=1)
    late.behave(status=429, retry_after=600)
    m = fake_master("delivery", conf).start()
    m.expect("READY")
    link = m.link()
    link.send_batch(batch_id(1), [event(1)], queue="late")
    link.expect("STORED")
    wait_for(lambda: late.requests, 10)
    link.send_batch(batch_id(2), [event(2)], queue="late")
    link.send_batch(batch_id(3), [event(3)])
    wait_for(lambda: soon.requests, 10)
    soon.behave()
    soon.wait_ids(["m-3"], seconds=5)
    assert len(late.requests) == 1


def test_a_batch_for_an_unknown_destination_waits_in_redis(worker, redis_server):
    r = redis_server.client()
    link = worker.link()
    for n in range(20):
        link.send_batch(batch_id(n), [event(n)], queue="other%d" % (n % 10))
        assert link.expect("STORED").fields == [batch_id(n), False]
    assert r.lrange(PREFIX + ":other3:wait", 0, -1) == [batch_id(13).encode(), batch_id(3).encode()]
    assert r.hexists(PREFIX + ":other3:" + batch_id(3), "data")
    assert worker.log().count("event=destination_unknown") == 10
    for n in range(20, 27):
        link.send_batch(batch_id(n), [event(n)], queue="more%d" % n)
    assert sorted(link.expect("STORED", "REFUSED").name for _ in range(7)) == ["REFUSED"] + ["STORED"] * 6
