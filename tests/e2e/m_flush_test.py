"""dray flush: it returns when everything accepted before it is settled, not before, and tells what is left when time is up."""
import json
import os
import signal
import socket
import threading

from lib.client import Load
from lib.events import make_events
from lib.wait import stays, wait_for


def post(dray, n, seed=1):
    events = list(make_events(n, seed=seed))
    with dray.client() as c:
        for at in range(0, n, 20):
            assert c.batch(events[at:at + 20]).status == 200
    return {e["messageId"] for e in events}


def flush(dray, timeout="20s"):
    """Exit status, and the answer."""
    done = dray.cli("flush", "--timeout", timeout, "-o", "json")
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def settled(dray):
    code, answer, said = flush(dray)
    assert (code, answer.get("ok"), answer.get("left")) == (0, True, []), said
    return answer


def test_what_was_taken_at_once_is_delivered(make_dray, sink):
    dray = make_dray(conf={"ingest": {"ack": "memory", "flush_at": 1000, "flush_interval": "20s"}})
    sink.behave(delay=0.3)
    settled(dray)
    for seed in (1, 2, 3):
        ids = post(dray, 200, seed)
        settled(dray)
        assert ids <= sink.ids().keys()
    text = dray.cli("flush")
    assert text.returncode == 0 and text.stdout.startswith("settled in "), text


def test_it_ends_while_more_comes(dray, sink, ledger):
    load = Load(dray, ledger, clients=4, batch=5).start()
    wait_for(lambda: len(ledger.acked) > 200, 30)
    for _ in range(3):
        before = set(ledger.acked)
        settled(dray)
        assert before <= sink.ids().keys()
    load.stop()
    settled(dray)
    assert set(ledger.acked) <= sink.ids().keys()


def test_what_is_left_is_told(make_dray, sink):
    dray = make_dray(conf={"queue": {"backoff": {"delay": "1s", "max": "1s", "jitter": 0}}})
    sink.behave(status=503)
    ids = post(dray, 3)
    code, answer, said = flush(dray, "2s")
    assert code == 75 and "not settled within 2s" in said
    (left,) = answer["left"]
    assert answer["ok"] is False and answer["intake_batches"] == 0
    assert left["queue"] == "sink" and left["wait"] + left["active"] + left["delayed"] == 1 and not left["more"]
    sink.behave()
    settled(dray)
    assert ids <= sink.ids().keys()
    dray.redis().set("%s:sink:meta-paused" % dray.prefix, 1)
    paused = post(dray, 2, 2)
    table = dray.cli("flush", "--timeout", "1s")
    assert table.returncode == 75 and "QUEUE" in table.stdout and "sink" in table.stdout, table
    assert flush(dray, "1s")[1]["left"][0]["paused"] >= 1 and flush(dray, "300ms")[1]["left"][0]["is_paused"]
    r = dray.redis()
    r.rename("%s:sink:paused" % dray.prefix, "%s:sink:wait" % dray.prefix)
    r.delete("%s:sink:meta-paused" % dray.prefix)
    settled(dray)
    assert paused <= sink.ids().keys()
    sink.behave(status=400)
    post(dray, 1, 3)
    settled(dray)
    assert dray.queue_counts()["failed"] == 1, "failed for good is settled"


def test_the_intake_holds_it(make_dray, sink):
    dray = make_dray(conf={"ingest": {"ack": "memory"}, "master": {"health": {"hang": "30s"}}})
    post(dray, 20)
    settled(dray)
    redis = dray.redis_pid()
    os.kill(redis, signal.SIGSTOP)
    try:
        ids = post(dray, 40, 2)
        code, answer, said = flush(dray, "1500ms")
        assert code == 75 and "the intake has not stored everything yet" in said
        given_up = socket.socket(socket.AF_UNIX)  # one who asks and goes
        given_up.connect(dray.control_path)
        given_up.sendall(b'{"verb":"flush"}\n')
        waiting = []
        thread = threading.Thread(target=lambda: waiting.append(flush(dray, "25s")))
        thread.start()
        given_up.close()
        stays(lambda: thread.is_alive() and dray.status(), 1)
    finally:
        os.kill(redis, signal.SIGCONT)
    thread.join(30)
    assert waiting and waiting[0][0] == 0, waiting
    assert ids <= sink.ids().keys()


def test_a_process_that_dies_holds_nothing(make_dray, sink, ledger):
    dray = make_dray(conf={"master": {"processes": {"ingest": 2}}})
    load = Load(dray, ledger, clients=4, batch=5).start()
    wait_for(lambda: len(ledger.acked) > 100, 30)
    for number in (0, 1, 0):
        before = set(ledger.acked)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(flush(dray)))
        thread.start()
        dray.kill("ingest", number)
        thread.join(30)
        assert answers and answers[0][0] == 0, answers
        assert before <= sink.ids().keys()
    load.stop()
    settled(dray)


def test_nobody_is_there(make_dray):
    dray = make_dray(start=False)
    dray.write_config()
    assert flush(dray)[0] == 3
    assert dray.cli("flush", "--timeout", "soon").returncode == 64
