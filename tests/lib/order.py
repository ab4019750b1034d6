"""Order from the sender to the destination.

    load = OrderedLoad(lambda: drays, ledger, events=2000, users=100, clients=8).start()
    load.join()
    assert inversions(sink, load) == []        by user; whole=True: of the whole queue
    assert overtakings(sink, load) == []       nothing newer came while an older one was not yet taken

What is promised: a request sent after the 2xx of another comes after it, and within one request the events of a user
keep their order. What overlapped has no order. Counted are first arrivals; repeats (after a death, a lost answer, a
request sent again) are dropped by messageId.
"""
import http.client
import itertools
import json
import random
import threading
import time

from lib.client import RETRY, Client


class Sent:
    """One event: when its request was first sent, when it was acknowledged, its place in the request."""

    __slots__ = ("user", "begun", "acked", "request", "place")

    def __init__(self, user, begun, request, place):
        self.user, self.begun, self.request, self.place = user, begun, request, place
        self.acked = float("inf")


class OrderedLoad:
    """Clients side by side, each of which sends a request to any of the instances, and again, there or elsewhere, until
    it has a 2xx; only then the next. Users are drawn by all clients from the same ones."""

    def __init__(self, living, ledger, events, users=1, clients=1, batch=1, seed="order", seconds=120, pause=0.0):
        self.living, self.ledger, self.batch, self.seed = living, ledger, batch, seed
        self.users, self.seconds, self.pause = users, seconds, pause
        self.sent = {}
        self.counts, self.errors = {}, []
        self.lock = threading.Lock()
        self.numbers = iter(range(events))
        self.requests = itertools.count()
        self.threads = [threading.Thread(target=self._run, args=(random.Random("%s-%d" % (seed, n)),), daemon=True)
                        for n in range(clients)]

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def join(self, seconds=None):
        deadline = time.monotonic() + (seconds or self.seconds)
        for t in self.threads:
            t.join(max(0.0, deadline - time.monotonic()))
        if self.errors:
            raise self.errors[0]
        assert not any(t.is_alive() for t in self.threads), "not all is acknowledged: %d, %s" % (
            len(self.ledger.acked), self.counts)
        return self

    def _run(self, rng):
        clients = {}
        try:
            while True:
                with self.lock:
                    numbers = list(itertools.islice(self.numbers, rng.randrange(1, 2 * self.batch)))
                    request = next(self.requests)
                if not numbers:
                    return
                events = [{"type": "track", "event": "e", "userId": "user-%d" % rng.randrange(self.users),
                           "messageId": "%s-%06d" % (self.seed, n)} for n in numbers]
                self._deliver(clients, rng, events, request)
                if self.pause:
                    time.sleep(self.pause)
        except Exception as error:  # told by join
            self.errors.append(error)
        finally:
            for c in clients.values():
                c.close()

    def _deliver(self, clients, rng, events, request):
        body = json.dumps({"batch": events})
        ids = [e["messageId"] for e in events]
        begun = time.monotonic()
        with self.lock:
            self.ledger.tried.update(ids)
            for place, e in enumerate(events):
                self.sent[e["messageId"]] = Sent(e["userId"], begun, request, place)
        while True:
            dray = rng.choice(self.living())
            client = clients.setdefault(dray.ingest, Client(dray.ingest, dray.key))
            try:
                answer = client.post("/v1/batch", body)
                if 200 <= answer.status < 300:
                    break
                assert answer.status in RETRY, "refused for good: %r" % answer
                what = str(answer.status)
            except (OSError, http.client.HTTPException):
                what = "no answer"
            with self.lock:
                self.counts[what] = self.counts.get(what, 0) + 1
            assert time.monotonic() < begun + self.seconds, "no 2xx in time, %s" % self.counts
            time.sleep(0.05)
        with self.lock:
            acked = time.monotonic()
            for i in ids:
                self.sent[i].acked = acked
            self.ledger.ack(ids)


def _arrivals(sink, load):
    """(request, id, Sent) of each event in the order in which it first came."""
    seen = set()
    for request in list(sink.requests):
        for i in request.ids():
            if i not in seen:
                seen.add(i)
                yield request, i, load.sent[i]


def inversions(sink, load, whole=False):
    """[(id that came first, id that was acknowledged before that one was sent)]"""
    newest, last, found = {}, {}, []
    for _, i, s in _arrivals(sink, load):
        group = "" if whole else s.user
        if group in newest and s.acked < newest[group][0]:
            found.append((newest[group][1], i))
        if group not in newest or s.begun > newest[group][0]:
            newest[group] = (s.begun, i)
        if last.get((group, s.request), (-1, ""))[0] > s.place:
            found.append((last[group, s.request][1], i))
        last[group, s.request] = (s.place, i)
    return found


def overtakings(sink, load, whole=False):
    """[(id that came, older id that had come before and was not yet taken)]: a retry must block what is behind it."""
    taken = {}
    for request in sink.taken():
        for i in request.ids():
            taken[i] = min(request.done, taken.get(i, float("inf")))
    waiting, found = {}, []
    for request, i, s in _arrivals(sink, load):
        group = "" if whole else s.user
        still = [(k, old) for k, old in waiting.get(group, []) if taken.get(k, float("inf")) > request.at]
        found += [(i, k) for k, old in still if old.acked < s.begun and k not in request.ids()]
        waiting[group] = still + [(i, s)]
    return found
