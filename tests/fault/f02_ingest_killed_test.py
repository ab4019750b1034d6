"""F02: kill -9 of ingest mid-batch write / with 100 open HTTP requests: clients get a reset and retry; workers drop the torn
tail; links are introduced anew; no worker is restarted."""
import http.client
import os
import signal
import threading

from lib.client import Client
from lib.events import batch_body, make_events
from lib.wait import wait_for

GONE = (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)


def freeze_workers(dray, ledger):
    """After a first event: a worker that is stopped before it has granted credit is sent nothing."""
    events = list(make_events(1, seed="first"))
    ledger.tried.update(e["messageId"] for e in events)
    with dray.client() as c:
        assert c.batch(events).status == 200
    ledger.ack([e["messageId"] for e in events])
    wait_for(lambda: dray.queue_counts()["completed"] == 1, 10, "nothing is in hand")
    return [dray.signal("delivery", n, signal.SIGSTOP) for n in (0, 1)]


def thaw(pids):
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def written_bytes(pid):
    with open("/proc/%d/io" % pid) as f:
        return dict(line.split(": ") for line in f.read().splitlines())["wchar"]


class Sender(threading.Thread):
    """Posts once, notes how it ended, and then tries until it is done."""

    def __init__(self, dray, ledger, events):
        super().__init__(daemon=True)
        self.dray, self.ledger, self.events = dray, ledger, events
        self.first = self.error = None

    def run(self):
        try:
            ids = [e["messageId"] for e in self.events]
            self.ledger.tried.update(ids)
            with Client(self.dray.ingest, self.dray.key, timeout=30) as c:
                try:
                    self.first = c.batch(self.events)
                except (OSError, http.client.HTTPException) as error:
                    self.first = error
                assert c.deliver(batch_body(self.events)).status == 200
            self.ledger.ack(ids)
        except Exception as error:  # told by join_all
            self.error = error


def join_all(senders):
    for s in senders:
        s.join(40)
        assert not s.is_alive(), "a client is not done"
        if s.error is not None:
            raise s.error


def check_new_ingest(dray, pid, workers):
    dray.wait_replaced("ingest", 0, pid)
    assert [p["pid"] for p in dray.processes("delivery")] == workers
    assert all(p["restarts"] == 0 and p["state"] == "up" for p in dray.processes("delivery"))
    generation = dray.slot("ingest")["generation"]
    wait_for(lambda: {r["worker"] for r in dray.log.records("link_up", gen=generation)} == {"0", "1"}, 5)
    assert not dray.log.records("link_broken"), "a torn tail is no broken link"
    assert [r["child_kind"] for r in dray.log.records("child_died")] == ["ingest"]


def test_while_it_writes_a_batch(make_dray, sink, ledger):
    dray = make_dray(conf={"ingest": {"max_batch": "3MiB", "flush_at": 500}})
    dray.fd_baseline()
    workers = freeze_workers(dray, ledger)
    ingest = dray.pid_of("ingest")
    before = int(written_bytes(ingest))
    sender = Sender(dray, ledger, list(make_events(250, pad=9000)))  # more than a pipe holds
    sender.start()
    wait_for(lambda: int(written_bytes(ingest)) - before > 1_000_000, 10, "the pipe is full")
    dray.kill("ingest")
    thaw(workers)
    check_new_ingest(dray, ingest, workers)
    join_all([sender])
    assert isinstance(sender.first, GONE), sender.first
    ledger.settle()
    assert ledger.duplicates() == {}, "half a batch must not be stored"
    dray.check_fds()


def test_with_a_hundred_requests_open(dray, sink, ledger):
    dray.fd_baseline()
    workers = freeze_workers(dray, ledger)
    events = list(make_events(100))
    senders = [Sender(dray, ledger, [e]) for e in events]
    for s in senders:
        s.start()
    wait_for(lambda: dray.status()["ingest"]["in_flight"] == 100, 10, "all requests are waiting")
    ingest = dray.kill("ingest")
    thaw(workers)
    check_new_ingest(dray, ingest, workers)
    join_all(senders)
    assert [s.first for s in senders if not isinstance(s.first, GONE)] == []
    ledger.settle()
    keys = {}
    for request in sink.taken():
        for i in request.ids():
            keys.setdefault(i, []).append(request.key)
    assert all(len(set(k)) == len(k) for k in keys.values()), "a batch was delivered twice"
    dray.check_fds()
