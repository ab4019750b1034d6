"""Clients that never try again, at a steady rate: what fails is counted, and told with its reason.

    steady = Steady(dray, ledger, per_second=300).start()
    ...
    steady.stop()
    assert steady.failed == []

Half of them keep their connections, as a pool does: one that the server has closed meanwhile (there is something to be read) is
not used again. The others make a new one each time.
"""
import select
import threading
import time

from lib.client import Client
from lib.events import batch_body, make_events


def is_dropped(client):
    """Did the server close it while it stood idle?"""
    c = client.connection
    return c is not None and c.sock is not None and bool(select.select([c.sock], [], [], 0)[0])


class Steady:
    def __init__(self, dray, ledger, per_second=300, clients=12, seed="steady"):
        self.dray, self.ledger, self.seed = dray, ledger, seed
        self.every = clients / per_second
        self.stop_event = threading.Event()
        self.lock = threading.Lock()
        self.failed, self.requests, self.worst, self.late = [], 0, 0.0, 0
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(clients)]

    def start(self):
        self.began = time.monotonic()
        for t in self.threads:
            t.start()
        return self

    def _run(self, number):
        keeps = number % 2 == 0
        client = Client(self.dray.ingest, self.dray.key, timeout=30)
        due = time.monotonic() + self.every * number / len(self.threads)
        for event in make_events(10**9, seed="%s-%d" % (self.seed, number)):
            now = time.monotonic()
            if now < due:
                self.stop_event.wait(due - now)
            elif now > due + 1:  # behind: not made up for, or a pause would be followed by a flood
                self.late += 1
                due = now
            if self.stop_event.is_set():
                break
            due += self.every
            if not keeps or is_dropped(client):
                client.close()
            self.one(client, [event], "kept" if client.connection is not None else "new")
        client.close()

    def one(self, client, events, how, **options):
        """One request, one try."""
        ids = [e["messageId"] for e in events]
        with self.lock:
            self.ledger.tried.update(ids)
        began = time.monotonic()
        try:
            answer = client.post("/v1/batch", batch_body(events), **options)
            what = None if answer.status == 200 else repr(answer)
        except Exception as error:  # noqa: BLE001: whatever it is, it is a failure
            what = repr(error)
        took = time.monotonic() - began
        with self.lock:
            self.requests += 1
            self.worst = max(self.worst, took)
            if what is None:
                self.ledger.ack(ids)
            else:
                self.failed.append("%s connection, after %.3f s at %.3f: %s" % (how, took, time.time(), what))

    def stop(self, seconds=60):
        """self.rate: requests a second that it came to."""
        self.rate = self.requests / (time.monotonic() - self.began)
        self.stop_event.set()
        for t in self.threads:
            t.join(seconds)
        assert not any(t.is_alive() for t in self.threads), "clients are not done"
        return self
