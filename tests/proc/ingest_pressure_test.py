"""Back-pressure of the intake, alone under a fake master: what a worker tells of its Redis, requests in flight, events held."""
import pytest

from lib.client import Client, Posting
from lib.fake_worker import Worker
from lib.wait import wait_for
from proc.ingest_test import batch, ingest  # noqa: F401  (a fixture)


def post(master, *names, path="/v1/batch"):
    with Client(master.address(), key="KEY", timeout=20) as c:
        return c.post(path, batch(*names))


def accepted(master, worker, *names):
    p = Posting(master, batch(*names))
    b = worker.expect()
    worker.stored(b)
    return p.wait().status == 200


def sent_away(answer, status):
    assert answer.status == status, answer
    assert 5 <= int(answer.headers["retry-after"]) <= 120
    return True


def test_a_deep_queue(ingest):  # noqa: F811
    """429 between the high water and the low one; then all is taken again."""
    master = ingest(ingest={"backpressure": {"queue_depth": 1000, "resume_at": 0.5}})
    w = Worker(master)
    assert accepted(master, w, "a")
    for jobs, status in ((1000, 200), (1001, 429), (900, 429), (501, 429), (500, 200), (1000, 200), (5000, 429)):
        w.send("PRESSURE", 0, ["sink", jobs])
        wait_for(lambda: post_status(master, w) == status, 10)
    answer = post(master, "y")
    assert sent_away(answer, 429) and answer.body == b"too much waits for a destination\n"
    # The state for people, and health: other events may still be taken.
    note = master.expect("NOTE")
    while "5000" not in note.fields[0]:
        note = master.expect("NOTE")
    assert note.fields[0] == "sends requests away: queue_depth of sink 5000"
    with Client(master.address()) as c:
        assert c.get("/health").status == 200
    w.die()


def post_status(master, w, name="x"):
    """Of one request, which is stored if it is taken."""
    p = Posting(master, batch(name))
    while p.answer is None:
        w.pump(0.02)
        while w.seen:
            w.stored(w.seen.pop(0))
        p.join(0.01)
    return p.answer.status


def test_only_what_goes_there(ingest):  # noqa: F811
    master = ingest(ingest={"backpressure": {"queue_depth": 10}},
                    destinations=[{"id": i, "url": "http://127.0.0.1:9/"} for i in ("one", "two")],
                    routes=[{"id": "a", "match": {"event": ["One*"]}, "to": ["one"]},
                            {"id": "b", "match": {"event": ["Two*"]}, "to": ["two"]}])
    w = Worker(master)
    w.send("PRESSURE", 0, ["two", 11, "elsewhere", 99])
    wait_for(lambda: post_status(master, w, "Two 1") == 429, 10)
    assert post_status(master, w, "One 1") == 200
    w.send("PRESSURE", 0, [])
    wait_for(lambda: post_status(master, w, "Two 1") == 200, 10)


def test_redis_nearly_full(ingest):  # noqa: F811
    master = ingest()
    w = Worker(master)
    w.send("PRESSURE", 850, [])
    assert post_status(master, w) == 200
    w.send("PRESSURE", 851, [])
    wait_for(lambda: post_status(master, w) == 429, 10)
    answer = post(master, "a")
    assert sent_away(answer, 429) and answer.body == b"the store is nearly full\n"
    with Client(master.address()) as c:
        assert c.get("/health").status == 503
    w.send("PRESSURE", 760, [])  # over 0.85 * 0.88
    assert post_status(master, w) == 429
    w.send("PRESSURE", 740, [])
    wait_for(lambda: post_status(master, w) == 200, 10)


def test_requests_in_flight(ingest):  # noqa: F811
    master = ingest(ingest={"limits": {"requests": 10}, "backpressure": {"resume_at": 0.5}})
    w = Worker(master, credit=0)
    posts = [Posting(master, batch("x%d" % i)) for i in range(14)]
    wait_for(lambda: sum(p.answer is not None for p in posts) == 4, 10)
    held = [p for p in posts if p.answer is None]
    assert all(sent_away(p.answer, 503) for p in posts if p not in held)
    w.credit(100)
    while not all(p.answer for p in held):
        w.pump(0.02)
        while w.seen:
            w.stored(w.seen.pop(0))
    assert [p.answer.status for p in held] == [200] * 10
    assert post_status(master, w) == 200


@pytest.mark.parametrize("fields", [(0, "x"), (0, ["a"]), (0, ["a", "b"]), (0, ["q%d" % (i // 2) if i % 2 == 0 else 1
                                                                                for i in range(14)]), (-1, [])])
def test_a_broken_word_ends_the_link(ingest, fields):  # noqa: F811
    master = ingest()
    w = Worker(master)
    w.send("PRESSURE", *fields)
    wait_for(lambda: "link_gone" in master.log() or "PRESSURE" in master.log(), 10)
