"""A sender of events, as patient as the SDKs: it tries again until it has a 2xx."""
import base64
import gzip
import http.client
import json
import threading
import time

from lib.events import batch_body, make_events

RETRY = (408, 429, 500, 502, 503, 504)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<%d %r>" % (self.status, self.body[:200])


def basic(key):
    return "Basic " + base64.b64encode((key + ":").encode()).decode()


class Client:
    """One keep-alive connection; not for two threads at once."""

    def __init__(self, address, key="test-key", timeout=30):
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        self.key, self.timeout = key, timeout
        self.connection = None

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def request(self, method, path, body=None, headers=None):
        """One try; OSError or http.client.HTTPException when there was no answer."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        try:
            self.connection.request(method, path, body, headers or {})
            r = self.connection.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body, zipped=False, headers=None, key=None):
        """body: bytes, text, or something for json.dumps. One try."""
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        all_headers = {"Content-Type": "application/json"}
        key = self.key if key is None else key
        if key:
            all_headers["Authorization"] = basic(key)
        if zipped:
            body = gzip.compress(body, 1)
            all_headers["Content-Encoding"] = "gzip"
        all_headers.update(headers or {})
        return self.request("POST", path, body, all_headers)

    def batch(self, events, **options):
        return self.post("/v1/batch", batch_body(events), **options)

    def deliver(self, body, path="/v1/batch", seconds=60, stop=None, counts=None, **options):
        """Tries until 2xx and returns that answer; None when stop (an Event) was set; fails on another 4xx.
        counts: a dict that is told how often what happened ("503", "no answer")."""
        deadline = time.monotonic() + seconds
        last = None
        while not (stop is not None and stop.is_set()):
            pause = 0.05
            try:
                a = self.post(path, body, **options)
                last = a
                if 200 <= a.status < 300:
                    return a
                assert a.status in RETRY, "refused for good: %r" % a
                self._count(counts, str(a.status))
                pause = min(float(a.headers.get("retry-after", pause)), 0.25)
            except (OSError, http.client.HTTPException) as error:
                last = error
                self._count(counts, "no answer")
            assert time.monotonic() < deadline, "no 2xx within %.0f s, last: %r" % (seconds, last)
            time.sleep(pause)
        return None

    @staticmethod
    def _count(counts, what):
        if counts is not None:
            counts[what] = counts.get(what, 0) + 1


class Posting(threading.Thread):
    """One try of a request to a child of the fake master, under way; answer is None until it has one."""

    def __init__(self, master, body, path="/v1/batch", **options):
        super().__init__(daemon=True)
        self.address, self.body, self.path, self.options = master.address(), body, path, options
        self.answer = None
        self.start()

    def run(self):
        with Client(self.address, key="KEY", timeout=60) as c:
            self.answer = c.post(self.path, self.body, **self.options)

    def wait(self, seconds=20):
        self.join(seconds)
        assert self.answer is not None, "no answer"
        return self.answer


class _Share(dict):
    """Counts of one request that go into those of all at once: tests look at these meanwhile."""

    def __init__(self, total, lock):
        super().__init__()
        self.total, self.lock = total, lock

    def __setitem__(self, key, value):
        with self.lock:
            self.total[key] = self.total.get(key, 0) + value - self.get(key, 0)
        super().__setitem__(key, value)


class Load:
    """Clients side by side that send made-up events until they are done or stopped; what was answered 2xx is told to
    the ledger at once.

        load = Load(dray, ledger, events=4000, clients=8, batch=10).start()
        ...
        load.join()            all are acknowledged    |   load.stop()   ends early
    """

    def __init__(self, dray, ledger, events=None, clients=8, batch=10, users=50, seed="load", pad=0, pause=0.0,
                 seconds=60, zipped=False):
        self.ledger, self.seconds, self.pause, self.zipped = ledger, seconds, pause, zipped
        self.stop_event = threading.Event()
        self.errors = []
        self.counts = {}
        self.sent = []  # events as dicts, of the acknowledged requests
        self.retried = set()  # ids of what was sent more than once
        self.requests = 0  # answered 2xx
        self.gap, self.gap_end, self.last = 0.0, 0.0, None  # the longest time without any 2xx, and when it ended
        self.lock = threading.Lock()
        share = None if events is None else [events // clients + (i < events % clients) for i in range(clients)]
        self.threads = [
            threading.Thread(target=self._run, name="client-%d" % i, daemon=True,
                             args=(Client(dray.ingest, dray.key),
                                   make_events(10**9 if share is None else share[i], users, "%s-%d" % (seed, i), pad),
                                   batch))
            for i in range(clients)]

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def _run(self, client, events, batch):
        try:
            with client:
                held = []
                for event in events:
                    held.append(event)
                    if len(held) == batch:
                        if not self._send(client, held):
                            return
                        held = []
                if held:
                    self._send(client, held)
        except Exception as error:  # told by join
            self.errors.append(error)

    def _send(self, client, held):
        body = batch_body(held)
        with self.lock:
            self.ledger.tried.update(e["messageId"] for e in held)
        counts = _Share(self.counts, self.lock)
        answer = client.deliver(body, seconds=self.seconds, stop=self.stop_event, counts=counts, zipped=self.zipped)
        with self.lock:
            if counts:
                self.retried.update(e["messageId"] for e in held)
            if answer is None:
                return False
            self.requests += 1
            now = time.monotonic()
            if self.last is not None and now - self.last > self.gap:
                self.gap, self.gap_end = now - self.last, time.time()
            self.last = now
            self.ledger.ack([e["messageId"] for e in held])
            self.sent += held
        if self.pause:
            self.stop_event.wait(self.pause)
        return not self.stop_event.is_set()

    def join(self, seconds=None):
        deadline = time.monotonic() + (seconds or self.seconds)
        for t in self.threads:
            t.join(max(0.0, deadline - time.monotonic()))
        late = [t.name for t in self.threads if t.is_alive()]
        if late:
            self.stop_event.set()
        assert not late, "clients not done in time: %s (%d acknowledged, %s)" % (late, len(self.ledger.acked),
                                                                                 self.counts)
        if self.errors:
            raise self.errors[0]

    def stop(self, seconds=30):
        self.stop_event.set()
        self.join(seconds)
