"""A proxy between dray and a Redis (or any stream server), TCP or unix on either side.

    proxy = Proxy(upstream=server.socket)        upstream: a unix path or (host, port)
    proxy.url                                    redis:// URL for the configuration
    proxy.cut()      closes every connection now (those made later work)
    proxy.refuse()   closes every connection and refuses new ones until pass_on()
    proxy.stall()    passes no byte, either way, until pass_on(); connections stay open
    proxy.slow(0.5)  each piece is passed on so many seconds later
    proxy.swallow()  commands go through, answers do not: "it happened, nobody heard"
    proxy.cut_answer(n)  cuts a connection inside its next answer, after n bytes
"""
import asyncio
import os
import tempfile

from lib import background


class _Side(asyncio.Protocol):
    """One end of a pair."""

    def __init__(self, proxy, towards_server):
        self.proxy, self.towards_server = proxy, towards_server
        self.transport = self.other = None
        self.held = []

    def connection_made(self, transport):
        self.transport = transport
        self.proxy.sides.add(self)
        if not self.towards_server:
            asyncio.ensure_future(self.reach_upstream())

    async def reach_upstream(self):
        def make():
            side = _Side(self.proxy, True)
            side.other = self
            return side
        up, loop = self.proxy.upstream, background.loop()
        try:
            if isinstance(up, str):
                _, other = await loop.create_unix_connection(make, up)
            else:
                _, other = await loop.create_connection(make, *up)
        except OSError:
            self.transport.abort()
            return
        self.other = other
        self.flush()

    def connection_lost(self, _error):
        self.proxy.sides.discard(self)
        self.transport = None
        if self.other is not None and self.other.transport is not None:
            self.other.transport.abort() if self.proxy.aborting else self.other.transport.close()

    def data_received(self, data):
        proxy = self.proxy
        if self.towards_server:
            proxy.bytes_from_server += len(data)
            if proxy.cut_after is not None:
                data, n = data[:proxy.cut_after], proxy.cut_after
                proxy.cut_after = None
                if self.other.transport is not None:
                    if n:
                        self.other.transport.write(data)
                    self.other.transport.close()
                self.transport.abort()
                return
        else:
            proxy.bytes_from_client += len(data)
        self.held.append((background.loop().time() + proxy.delay, data))
        self.flush()

    def blocked(self):
        return self.proxy.stalled or (self.proxy.swallowing and self.towards_server)

    def flush(self):
        """Passes on what is due, in its order."""
        while self.held and not self.blocked() and self.other is not None and self.other.transport is not None:
            due, data = self.held[0]
            late = due - background.loop().time()
            if late > 0 and self.proxy.delay:
                background.loop().call_later(late, self.flush)
                return
            self.held.pop(0)
            self.other.transport.write(data)


class Proxy:
    def __init__(self, upstream, path=None, host=None):
        """Listens on a unix path of its own, or on a free TCP port of host."""
        self.upstream = upstream
        self.sides = set()
        self.stalled = self.swallowing = self.aborting = False
        self.delay, self.cut_after = 0, None
        self.bytes_from_client = self.bytes_from_server = 0
        self.server = None
        self.host, self.port = host, 0
        self.dir = None
        if host is None and path is None:
            self.dir = tempfile.mkdtemp(prefix="dray-proxy-")
            path = os.path.join(self.dir, "p.sock")
        self.path = path
        self.listen()

    @property
    def url(self):
        return "unix://%s?db=0" % self.path if self.path else "redis://%s:%d/0" % (self.host, self.port)

    def listen(self):
        async def go():
            def make():
                return _Side(self, False)
            if self.path:
                return await background.loop().create_unix_server(make, self.path)
            return await background.loop().create_server(make, self.host, self.port)
        self.server = background.run(go())
        if not self.path:
            self.port = self.server.sockets[0].getsockname()[1]

    def cut(self):
        def go():
            self.aborting = True
            for s in list(self.sides):
                if s.transport is not None:
                    s.transport.abort()
        background.call(go)

    def refuse(self):
        if self.server is not None:
            background.call(self.server.close)
            self.server = None
            if self.path and os.path.exists(self.path):
                os.unlink(self.path)
        self.cut()

    def stall(self):
        self.stalled = True

    def bytes_waiting(self):
        """What came from the clients and is not passed on."""
        return sum(len(data) for s in list(self.sides) if not s.towards_server for _due, data in s.held)

    def swallow(self):
        self.swallowing = True

    def slow(self, seconds):
        self.delay = seconds

    def cut_answer(self, after_bytes=0):
        self.cut_after = after_bytes

    def pass_on(self):
        def go():
            self.stalled = self.swallowing = False
            self.delay = 0
            for s in list(self.sides):
                s.flush()
        if self.server is None:
            self.listen()
        background.call(go)

    def close(self):
        self.refuse()
        if self.dir is not None:
            os.rmdir(self.dir)
