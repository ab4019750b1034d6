"""A destination: an HTTP server that records what comes and misbehaves as told.

    sink.behave(status=503, retry_after=1)        every answer from now on; behave() is 200 at once again
    sink.behave(fail_rate=0.1, hang_rate=0.01, cut_rate=0.01, delay=0.05)
    sink.rule = lambda request: {"status": 410} if b"bad" in request.body else None
    sink.down(); sink.up()                        refuses connections; is back on the same port

Answers: status, body, headers, delay (s), retry_after, hang (never answers), cut ("answer": closes after the request;
"half": closes before the last byte of the answer; "body": closes before the body is read), drip (answers one byte every so many s).
"""
import asyncio
import gzip
import json
import random
import re
import time
from collections import Counter

from lib import background
from lib.wait import wait_for

MESSAGE_ID = re.compile(rb'"messageId"\s*:\s*"((?:[^"\\]|\\.)*)"')
REASON = {200: "OK", 201: "Created", 204: "No Content", 302: "Found", 400: "Bad Request", 410: "Gone",
          429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}


class Request:
    """One request as it came (at); status is what was answered, and done when; None while (or because) it was not."""

    def __init__(self, method, path, headers, body):
        self.at = time.monotonic()
        self.method, self.path, self.headers, self.raw = method, path, headers, body
        self.status = self.done = None

    @property
    def body(self):
        if self.headers.get("content-encoding") == "gzip":
            return gzip.decompress(self.raw)
        return self.raw

    @property
    def key(self):
        """The batch's id."""
        return self.headers.get("idempotency-key")

    @property
    def job(self):
        """The job's id: the key, without the queue's name that stands in front of what the queue gives itself."""
        return re.sub(r"^.*?:[^:]*:(?=[0-9]+$|repeat:)", "", self.key)

    def json(self):
        return json.loads(self.body, strict=False)

    def events(self):
        value = self.json()
        return value["batch"] if isinstance(value, dict) and "batch" in value else [value]

    def ids(self):
        return [json.loads(b'"' + m + b'"') for m in MESSAGE_ID.findall(self.body)]

    def __repr__(self):
        return "<%s %s %d bytes -> %s>" % (self.method, self.path, len(self.raw), self.status)


class _Connection(asyncio.Protocol):
    def __init__(self, sink):
        self.sink = sink
        self.buffer = bytearray()
        self.head = None
        self.transport = None
        self.busy = False
        self.hung = None

    def connection_made(self, transport):
        self.transport = transport
        self.sink.connections.add(self)
        self.sink.connections_made += 1

    def connection_lost(self, _error):
        self.sink.connections.discard(self)
        self.transport = None

    def data_received(self, data):
        self.buffer += data
        self.advance()

    def advance(self):
        while not self.busy and self.transport is not None:
            if self.head is None:
                end = self.buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                lines = bytes(self.buffer[:end]).decode("latin-1").split("\r\n")
                del self.buffer[:end + 4]
                method, path, _ = lines[0].split(" ", 2)
                headers = {}
                for line in lines[1:]:
                    name, value = line.split(":", 1)
                    headers[name.strip().lower()] = value.strip()
                self.head = (method, path, headers)
                if headers.get("expect", "").lower() == "100-continue":
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                if self.sink.current.get("cut") == "body":
                    self.transport.abort()
                    return
            body = self.take_body(self.head[2])
            if body is None:
                return
            request = Request(*self.head, body)
            self.head = None
            self.answer(request)

    def take_body(self, headers):
        if "chunked" in headers.get("transfer-encoding", ""):
            return self.take_chunks()
        length = int(headers.get("content-length", 0))
        if len(self.buffer) < length:
            return None
        body = bytes(self.buffer[:length])
        del self.buffer[:length]
        return body

    def take_chunks(self):
        body, at = b"", 0
        while True:
            end = self.buffer.find(b"\r\n", at)
            if end < 0:
                return None
            size = int(bytes(self.buffer[at:end]).split(b";")[0], 16)
            if len(self.buffer) < end + 2 + size + 2:
                return None
            body += bytes(self.buffer[end + 2:end + 2 + size])
            at = end + 2 + size + 2
            if size == 0:
                del self.buffer[:at]
                return body

    def answer(self, request):
        sink = self.sink
        how = sink.decide(request)
        sink.requests.append(request)
        self.busy = True
        if how.get("hang"):
            self.hung = request
            return
        delay = how.get("delay", 0)
        if delay:
            background.loop().call_later(delay, self.finish, request, how)
        else:
            self.finish(request, how)

    def finish(self, request, how):
        if self.transport is None:
            return  # the client did not wait
        if how.get("cut") == "answer":
            self.transport.abort()
            return
        status = how.get("status", 200)
        body = how.get("body", b"ok\n")
        head = "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n" % (status, REASON.get(status, "Status"), len(body))
        if how.get("retry_after") is not None:
            head += "Retry-After: %s\r\n" % how["retry_after"]
        for name, value in how.get("headers", {}).items():
            head += "%s: %s\r\n" % (name, value)
        data = head.encode() + b"\r\n" + body
        if how.get("cut") == "half":
            self.transport.write(data[:-1])
            self.transport.close()
            return
        if how.get("drip"):
            self.drip(request, status, data, how["drip"])
            return
        request.status, request.done = status, time.monotonic()
        self.transport.write(data)
        self.busy = False
        self.advance()

    def drip(self, request, status, data, every):
        if self.transport is None:
            return
        self.transport.write(data[:1])
        if len(data) == 1:
            request.status, request.done = status, time.monotonic()
            self.busy = False
            self.advance()
            return
        background.loop().call_later(every, self.drip, request, status, data[1:], every)


class Sink:
    def __init__(self, host="127.0.0.1", port=0, seed=1):
        self.host, self.port = host, port
        self.requests = []
        self.connections = set()
        self.connections_made = 0
        self.rule = None
        self.current = {}
        self.random = random.Random(seed)
        self.server = None
        self._parsed = 0
        self._ids = Counter()
        self._waiting = []
        self.up()

    @property
    def url(self):
        return "http://%s:%d/in" % (self.host, self.port)

    def up(self):
        async def listen():
            return await background.loop().create_server(lambda: _Connection(self), self.host, self.port, backlog=512)
        assert self.server is None
        self.server = background.run(listen())
        self.port = self.server.sockets[0].getsockname()[1]

    def down(self):
        """Refuses connections and cuts those there are."""
        def close():
            self.server.close()
            for c in list(self.connections):
                if c.transport is not None:
                    c.transport.abort()
        if self.server is not None:
            background.call(close)
            self.server = None

    close = down

    def behave(self, **how):
        self.current = how

    def release(self):
        """Cuts the connections whose requests were left hanging."""
        def cut():
            for c in list(self.connections):
                if c.busy and c.transport is not None:
                    c.transport.abort()
        background.call(cut)

    def answer(self, **how):
        """Answers the requests that were left hanging."""
        def finish():
            for c in list(self.connections):
                request, c.hung = c.hung, None
                if request is not None:
                    c.finish(request, how)
        background.call(finish)

    def decide(self, request):
        how = dict(self.current)
        if self.rule is not None:
            how.update(self.rule(request) or {})
        if self.random.random() < how.get("fail_rate", 0):
            how["status"] = 500
        if self.random.random() < how.get("hang_rate", 0):
            how["hang"] = True
        if self.random.random() < how.get("cut_rate", 0):
            how["cut"] = "answer"
        return how

    # ---- what came

    def taken(self):
        """Requests that were answered 2xx."""
        return [r for r in list(self.requests) if r.status is not None and 200 <= r.status < 300]

    def ids(self):
        """Counter of the messageIds in requests answered 2xx."""
        new = self.requests[self._parsed:]
        self._parsed += len(new)
        self._waiting += new
        still = []
        for r in self._waiting:
            if r.status is None:
                still.append(r)  # may yet be answered
            elif 200 <= r.status < 300:
                self._ids.update(r.ids())
        self._waiting = still
        return self._ids

    def seen_ids(self):
        """Set of the messageIds in all requests, however answered."""
        return {i for r in list(self.requests) for i in r.ids()}

    def events(self):
        return [e for r in self.taken() for e in r.events()]

    def wait_ids(self, ids, seconds=20):
        """Waits until every one of these messageIds was taken."""
        wanted = set(ids)
        try:
            wait_for(lambda: wanted <= self.ids().keys(), seconds, "all events at the sink", every=0.05)
        except AssertionError:
            missing = sorted(wanted - self.ids().keys())
            raise AssertionError("%d of %d events did not come within %.0f s, first: %s; %d requests came" %
                                 (len(missing), len(wanted), seconds, missing[:3], len(self.requests))) from None
