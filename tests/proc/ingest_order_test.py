"""The intake's ordered queues: one unacknowledged batch of a queue (or partition) at a time, in the order of arrival."""
import json

import pytest

from lib import quarantine
from lib.client import Posting
from lib.fake_worker import Worker, events_of

STRICT = {"id": "sink", "url": "http://127.0.0.1:9/", "is_multi_processor": False}
KEY = {"id": "sink", "url": "http://127.0.0.1:9/", "ordering": "key", "partitions": 16}
PLAIN = {"id": "plain", "url": "http://127.0.0.1:9/"}
# CRC-32C of the key, modulo 16: what is in Redis was divided by it, so it never changes.
PARTITIONS = {"ann": 0, "bob": 4, "carl": 10, "42": 11, "ümlaut": 6, "a\nb": 10}


@pytest.fixture
def ingest(fake_master, tmp_path):
    def make(*destinations, **keys):
        conf = {"node": {"state_dir": str(tmp_path)},
                "ingest": {"listeners": [{"id": "a", "address": "127.0.0.1:0"}], **keys},
                "sources": [{"id": "web", "write_key": "KEY"}, {"id": "app", "write_key": "APP"}],
                "destinations": list(destinations)}
        m = fake_master("ingest", conf, listen=["127.0.0.1:0"]).start()
        m.expect("READY")
        m.quarantine = lambda: quarantine.read(str(tmp_path / "quarantine"))
        return m
    return make


def event(name, **ids):
    return dict(ids or {"userId": "ann"}, type="track", event=name)


def holds(master, batches):
    """Waits until the intake says that it holds so many."""
    while master.expect("BEAT").fields[2] != batches:
        pass


def post(master, *names, **options):
    """One request of a user after another, each a batch of its own (flush_at: 1); they are all taken."""
    postings = []
    for name in names:
        postings.append(Posting(master, {"batch": [event(name)]}, **options))
        holds(master, master.held + len(postings))
    master.held += len(postings)
    return postings


def names_of(b):
    return [e["event"] for e in events_of(b)]


def take(w, *names, queue="sink"):
    b = w.expect()
    assert (b.fields[3], names_of(b)) == (queue, list(names))
    return b


@pytest.mark.parametrize("destination, queue", [(STRICT, "sink"), (KEY, "sink#%d" % PARTITIONS["ann"])])
def test_one_at_a_time_in_the_order_of_arrival(ingest, destination, queue):
    master = ingest(destination, flush_at=1)
    master.held = 0
    workers = [Worker(master, 0, 1, credit=8), Worker(master, 1, 2, credit=8)]
    postings = post(master, *"abcdef")
    for i, name in enumerate("abcdef"):
        assert sum(not w.nothing(0.1) for w in workers) == 1, "one batch, at one worker"
        w = [w for w in workers if w.seen][0]
        w.stored(take(w, name, queue=queue))
        assert postings[i].wait().status == 200
        assert all(p.answer is None for p in postings[i + 1:])


def test_gathers_while_one_is_under_way(ingest):
    """... beyond flush_interval, and then at once."""
    master = ingest(KEY, flush_interval="1ms")
    w = Worker(master, credit=8)
    first = Posting(master, {"batch": [event("a")]})
    b = w.expect()
    rest = []
    for name in "bcd":
        rest.append(Posting(master, {"batch": [event(name)]}))
        assert w.nothing(0.1)
    w.stored(b)
    b = w.expect()
    assert sorted(names_of(b)) == ["b", "c", "d"]
    w.stored(b)
    assert [p.wait().status for p in [first] + rest] == [200] * 4


def test_full_ones_wait_in_line(ingest):
    master = ingest(STRICT, flush_at=2)
    w = Worker(master, credit=8)
    Posting(master, {"batch": [event("a")]})
    b = w.expect()
    p = Posting(master, {"batch": [event(n) for n in "bcdef"]})
    for names in (["b", "c"], ["d", "e"], ["f"]):
        assert w.nothing(0.1) and p.answer is None
        w.stored(b)
        b = take(w, *names)
    w.stored(b)
    assert p.wait().status == 200


def test_a_dead_workers_batch_comes_first_again(ingest):
    master = ingest(STRICT, flush_at=1)
    master.held = 0
    one, two = Worker(master, 0, 1, credit=0), Worker(master, 1, 2, credit=0)
    one.credit(8)
    postings = post(master, *"abc")
    b = take(one, "a")
    two.credit(8)
    assert two.nothing()
    one.die()
    again = take(two, "a")
    assert again.fields[0] == b.fields[0] and again.fields[1] == 1
    assert two.nothing(0.1)
    two.stored(again)
    for name in "bc":
        two.stored(take(two, name))
    assert [p.wait().status for p in postings] == [200] * 3


def test_other_partitions_go_on(ingest):
    master = ingest(KEY, flush_interval="1ms")
    w = Worker(master, credit=8)
    stuck = Posting(master, {"batch": [event("a")]})
    a = take(w, "a", queue="sink#%d" % PARTITIONS["ann"])
    behind = Posting(master, {"batch": [event("a2")]})
    for n in range(5):
        p = Posting(master, {"batch": [event("b%d" % n, userId="bob")]})
        w.stored(take(w, "b%d" % n, queue="sink#%d" % PARTITIONS["bob"]))
        assert p.wait().status == 200
    assert stuck.answer is None and behind.answer is None
    w.stored(a)
    w.stored(take(w, "a2", queue="sink#%d" % PARTITIONS["ann"]))
    assert stuck.wait().status == behind.wait().status == 200


def test_a_request_over_many_partitions_is_answered_once(ingest):
    master = ingest(dict(KEY, partitions=64), flush_interval="1ms")
    w = Worker(master, credit=64)
    p = Posting(master, {"batch": [event(str(n), userId="user-%d" % n) for n in range(200)]})
    batches = [w.expect() for _ in range(64)]
    assert w.nothing() and len({b.fields[3] for b in batches}) == 64
    assert sorted(int(n) for b in batches for n in names_of(b)) == list(range(200))
    for b in batches:
        order = [int(n) for n in names_of(b)]
        assert order == sorted(order)
    for b in batches:
        assert p.answer is None
        w.stored(b)
    assert (p.wait().status, p.answer.body) == (200, b"ok")


def test_the_partition_of_a_key(ingest):
    master = ingest(KEY, flush_interval="1ms")
    w = Worker(master, credit=8)

    def queue_of(**ids):
        p = Posting(master, {"batch": [event("e", **ids)]})
        b = w.expect()
        w.stored(b)
        assert p.wait().status == 200
        return int(b.fields[3].split("#")[1])

    for key, partition in PARTITIONS.items():
        assert queue_of(userId=key) == queue_of(anonymousId=key) == partition, key
        assert queue_of(userId=key, anonymousId="other") == queue_of(userId=" ", anonymousId=key) == partition, key
    assert queue_of(userId=42) == PARTITIONS["42"]
    assert queue_of(userId="x" * 5000) == queue_of(anonymousId="y" * 5000) == 0, "too long to be a key"
    p = Posting(master, b'{"batch":[{"userId":"\\u0061n\\u006e"}]}')
    b = w.expect()
    assert b.fields[3] == "sink#%d" % PARTITIONS["ann"], "a key is what its text means"
    w.stored(b)
    assert p.wait().status == 200


def test_beside_a_queue_without_order(ingest):
    master = ingest(PLAIN, KEY, flush_at=1)
    master.held = 0
    w = Worker(master, credit=8)
    ones = [Posting(master, {"batch": [event(n)]}) for n in "abc"]
    got = [w.expect() for _ in range(4)]
    assert w.nothing()
    plain = {names_of(b)[0]: b for b in got if b.fields[3] == "plain"}
    ordered = [b for b in got if b.fields[3] != "plain"]
    assert len(plain) == 3 and len(ordered) == 1
    for b in plain.values():
        w.stored(b)
    for _ in range(3):
        b = ordered[0]
        assert b.fields[5] == plain[names_of(b)[0]].fields[5], "the same event, with the same messageId"
        w.stored(b)
        ordered = [w.expect()] if not w.nothing() else []
    assert ordered == [] and [p.wait().status for p in ones] == [200] * 3


def test_sources_share_the_order(ingest):
    master = ingest(STRICT, flush_at=1)
    master.held = 0
    w = Worker(master, credit=8)

    def post_as(key, name):
        p = Posting(master, {"batch": [event(name)]}, key=key)
        master.held += 1
        holds(master, master.held)
        return p
    postings = [post_as(key, name) for name, key in zip("abcd", ["KEY", "APP", "KEY", "APP"])]
    for name, source in zip("abcd", ["web", "app", "web", "app"]):
        b = take(w, name)
        assert b.fields[2] == source and w.nothing(0.1)
        w.stored(b)
    assert [p.wait().status for p in postings] == [200] * 4


def test_refused_for_now_keeps_the_gate(ingest):
    master = ingest(STRICT, flush_at=1)
    master.held = 0
    w = Worker(master, credit=8)
    postings = post(master, *"ab")
    for _ in range(3):
        b = take(w, "a")
        w.send("REFUSED", b.fields[0], True, 100, "later")
    w.stored(take(w, "a"))
    w.stored(take(w, "b"))
    assert [p.wait().status for p in postings] == [200] * 2


def test_refused_for_good_lets_the_others_on(ingest):
    master = ingest(STRICT, flush_at=1)
    master.held = 0
    w = Worker(master, credit=8)
    postings = post(master, *"abc")
    w.send("REFUSED", take(w, "a").fields[0], False, 0, "never")
    assert postings[0].wait().status == 200 and [r.reason for r in master.quarantine()] == ["refused"]
    for name in "bc":
        w.stored(take(w, name))
    assert [p.wait().status for p in postings] == [200] * 3


@pytest.mark.expects("batch_poison")
def test_poison_lets_the_others_on(ingest):
    master = ingest(STRICT, flush_at=1)
    master.held = 0
    w = Worker(master, 0, 1, credit=8)
    postings = post(master, *"abc")
    for generation in (2, 3, 4):
        take(w, "a")
        w.die()
        w = Worker(master, 0, generation, credit=8)
    for name in "bc":
        w.stored(take(w, name))
    assert [p.wait().status for p in postings] == [200] * 3
    assert json.loads(master.quarantine()[0].data)["batch"][0]["event"] == "a"


def test_ack_timeout_leaves_the_order(ingest):
    master = ingest(STRICT, flush_at=1, ack_timeout="300ms")
    master.held = 0
    w = Worker(master, credit=8)
    postings = post(master, *"ab")
    b = take(w, "a")
    assert [p.wait().status for p in postings] == [503] * 2
    late = post(master, "c")[0]
    w.stored(b)
    for name in "bc":
        assert w.nothing(0.1) is False
        w.stored(take(w, name))
    assert late.wait().status in (200, 503)


def test_a_full_queue_says_so(ingest):
    master = ingest(KEY, flush_at=1, max_internal_queue_size=3)
    master.held = 0
    w = Worker(master, credit=8)
    postings = post(master, *"abc")
    assert Posting(master, {"batch": [event("d", userId="bob")]}).wait().status == 503
    queue = "sink#%d" % PARTITIONS["ann"]
    w.stored(take(w, "a", queue=queue))
    assert postings[0].wait().status == 200
    p = Posting(master, {"batch": [event("d", userId="bob")]})
    got = {names_of(b)[0]: b for b in (w.expect(), w.expect())}
    assert set(got) == {"b", "d"}
    w.stored(got["d"])
    w.stored(got["b"])
    w.stored(take(w, "c", queue=queue))
    assert [x.wait().status for x in postings + [p]] == [200] * 4


def test_drain_flushes_in_order(ingest):
    master = ingest(STRICT, flush_interval="60s")
    w = Worker(master, credit=8)
    postings = [Posting(master, {"batch": [event("a")]})]
    b = take(w, "a")
    postings.append(Posting(master, {"batch": [event(str(n)) for n in range(150)]}))  # a full one, an open one
    holds(master, 3)
    master.send("DRAIN", 10000, "test")
    w.stored(b)
    w.stored(take(w, *(str(n) for n in range(100))))
    w.stored(take(w, *(str(n) for n in range(100, 150))))
    assert [p.wait().status for p in postings] == [200] * 2
    w.expect("END")
    w.die()
    assert master.expect("DRAINED").fields == [0]
    assert master.wait_exit() == 0
