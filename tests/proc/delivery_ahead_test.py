"""Jobs taken ahead of a fast destination: they go back when it is not fast any more, in their order, and at the end."""
import pytest

from lib.wait import wait_for
from proc.delivery_test import add_foreign, config, key, nothing_held

N = 4000


def post_order(sink):
    """Numbers of the jobs as they came."""
    return [int(r.json()["n"]) for r in list(sink.requests)]


@pytest.fixture
def r(make_redis):
    server = make_redis()
    client = server.client()
    with client.pipeline() as p:
        for n in range(N):
            add_foreign(p, str(n), '{"n":%d}' % n)
        p.execute()
    client.url = server.url
    return client


def busy(fake_master, sink, r, **delivery):
    """A worker with many jobs in hand."""
    conf = config(r.url, sink.url, delivery={"timeout": "20s", **delivery}, queue={"keep_completed": {"count": N}})
    conf["destinations"][0]["auth"] = {"type": "none"}
    m = fake_master("delivery", conf).start()
    m.expect("READY")
    wait_for(lambda: r.llen(key("active")) > 1, 10, "jobs are taken ahead", every=0.001)
    return m


def test_they_go_back_when_the_destination_hangs(fake_master, sink, r):
    m = busy(fake_master, sink, r, concurrency=1)
    sink.rule = lambda request: {"hang": True} if len(sink.requests) >= 500 else None
    wait_for(lambda: len(sink.requests) > 500 and r.llen(key("active")) == 1, 10, "only what is posted is in hand")
    assert len(list(r.scan_iter(key("*:lock").replace("{", "\\{")))) == 1
    assert r.zcard(key("completed")) == 500, "results do not wait for a destination"
    assert r.llen(key("wait")) == N - 501
    assert not r.hexists(key("501"), "stalledCounter") and not r.hexists(key("501"), "attemptsMade")
    sink.rule = None
    sink.answer()
    wait_for(lambda: r.zcard(key("completed")) == N, 60, "all are done")
    assert post_order(sink) == list(range(N)), "as they were added, each once"
    assert nothing_held(r) and "event=lock_lost" not in m.log()


def test_they_go_back_when_the_worker_ends(fake_master, sink, r):
    m = busy(fake_master, sink, r, concurrency=4)
    wait_for(lambda: len(sink.requests) > 300, 10)
    m.send("DRAIN", 5000, "test")
    m.expect("DRAINED")
    assert m.wait_exit() == 0
    done = r.zcard(key("completed"))
    assert 300 < done < N and nothing_held(r)
    assert done == len(sink.requests) == len(set(post_order(sink)))
    assert sorted(int(i) for i in r.lrange(key("wait"), 0, -1)) == list(range(done, N))
    assert not any(r.hexists(key(str(n)), "stalledCounter") for n in range(done, done + 200))


def test_a_lost_lock_is_not_posted(fake_master, sink, r):
    """A job that waits for its place and is taken away meanwhile is left to its new owner."""
    m = busy(fake_master, sink, r, concurrency=1)
    sink.rule = lambda request: {"hang": True} if len(sink.requests) >= 500 else None
    wait_for(lambda: len(sink.requests) > 500 and r.llen(key("active")) == 1, 10)
    r.set(key("500") + ":lock", "somebody", px=60000)
    sink.rule = None
    sink.answer()
    wait_for(lambda: r.zcard(key("completed")) == N - 1, 60)
    assert r.get(key("500") + ":lock") == b"somebody"
    assert m.log().count("event=lock_lost") == 1
