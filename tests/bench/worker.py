"""A worker against a worker: dray's delivery process against one of Bull 4.16.5, on the same Redis, on the same jobs.

The jobs stand in Redis before the worker starts: hashes as Bull's add() writes them, data a small JSON object, option
removeOnComplete: 1000. After WARM jobs the next JOBS are measured, or as many as are done in 2 s. Three workers:
    dray         one delivery process posts each job to `dray sink`, which answers at once: its no-op. The answer is kept.
    Bull         a node process whose processor does nothing: no HTTP at all
    Bull + HTTP  the same work as dray's: the processor posts to the same sink over kept connections
each at concurrency 1, 10 and 50, with an empty queue (only those jobs) and with BACKLOG jobs waiting behind them. One
Redis each for the two depths, over a unix socket, without persistence (with --aof: AOF everysec). CPU is that of the
worker's process and of redis-server; the sink and dray's idle processes are not in it. Medians over interleaved rounds.
"""
import os
import subprocess
import time

import measure
from e2e import PlainSink
from lib import npm
from lib.dray import Dray
from lib.redis_server import RedisServer

HERE = os.path.dirname(os.path.abspath(__file__))
JOBS, WARM, BACKLOG = 30000, 1500, 1000000
SECONDS = 2
CONCURRENCIES = (1, 10, 50)
DRAY, BULL, POST = "dray", "Bull", "Bull + HTTP"
BASES = {DRAY: "{dray}:sink:", BULL: "{bull}:sink:", POST: "{bull}:sink:"}

LOAD = """
local B, first, n, now = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local opts = '{"attempts":1,"delay":0,"timestamp":' .. now .. ',"removeOnComplete":1000}'
for id = first, first + n - 1 do
  redis.call('HSET', B .. id, 'name', '__default__', 'data',
    '{"to":"customer-' .. id .. '@example.com","template":"order-confirmed","order":' .. id .. ',"total":12.5}',
    'opts', opts, 'timestamp', now, 'delay', 0, 'priority', 0)
  redis.call('LPUSH', B .. 'wait', id)
end
redis.call('SET', B .. 'id', first + n - 1)
"""


class Queue:
    def __init__(self, server, base):
        self.server, self.client, self.base = server, server.client(), base
        self.script = self.client.register_script(LOAD)

    def left(self):
        pipe = self.client.pipeline(transaction=False)
        pipe.llen(self.base + "wait")
        pipe.llen(self.base + "active")
        return sum(pipe.execute())

    def fill(self, n):
        """So many jobs wait, none is active; the finished ones of before are gone."""
        b = self.base
        for name in self.client.lrange(b + "active", 0, -1):
            self.client.delete(b + name.decode(), b + name.decode() + ":lock")
        done = self.client.zrange(b + "completed", 0, -1)
        self.client.delete(b + "active", b + "stalled", b + "completed", *[b + name.decode() for name in done])
        first, missing = int(self.client.get(b + "id") or 0) + 1, n - self.client.llen(b + "wait")
        while missing > 0:
            part = min(missing, 10000)
            self.script(keys=[b], args=[first, part, int(time.time() * 1000)])
            first, missing = first + part, missing - part


class BullWorker:
    def __init__(self, folder, server, concurrency, url=None):
        self.process = subprocess.Popen(["node", os.path.join(HERE, "bull_worker.js"), folder, server.socket, "{bull}",
                                         "sink", str(concurrency)] + ([url] if url else []), stdin=subprocess.DEVNULL)
        self.pid = self.process.pid

    def check(self):
        if self.process.poll() is not None:
            raise RuntimeError("the Bull worker ended with %s" % self.process.returncode)

    def end(self):
        self.process.kill()
        self.process.wait()


class DrayWorker:
    def __init__(self, build, server, concurrency, url):
        self.dray = Dray(build, variant="release", conf={
            "redis": {"mode": "standalone", "url": server.url, "managed": None}, "log": {"level": "error"},
            "master": {"processes": {"delivery": 1}}, "delivery": {"concurrency": concurrency},
            "destinations": [{"id": "sink", "url": url + "/", "auth": {"type": "none"}}]})
        try:
            self.dray.start()
            self.pid = self.dray.pid_of("delivery")
        except BaseException:
            self.end()
            raise

    def check(self):
        if not self.dray.is_running():
            raise RuntimeError("dray ended:\n" + self.dray.log.tail(20))

    def end(self):
        if self.dray.is_running():
            self.dray.stop()
        self.dray.remove()


def until(worker, queue, total, wanted, seconds):
    """How many of total are done once that are so many, or the time is over."""
    end = time.monotonic() + seconds
    while True:
        done = total - queue.left()
        if done >= wanted or time.monotonic() > end:
            return done
        worker.check()
        time.sleep(0.005)


def snapshot(worker, server):
    return time.monotonic(), measure.cpu_seconds([worker.pid]), measure.cpu_seconds([server.process.pid])


def run(args, server, sink, kind, concurrency, backlog):
    """Jobs a second, and CPU seconds per 1,000 jobs of the worker and of Redis."""
    queue, total = Queue(server, BASES[kind]), backlog + WARM + JOBS
    queue.fill(total)
    if kind == DRAY:
        worker = DrayWorker(args.build, server, concurrency, sink.url)
    else:
        worker = BullWorker(args.npm, server, concurrency, sink.url if kind == POST else None)
    try:
        warm = until(worker, queue, total, WARM, 60)
        before = snapshot(worker, server)
        done = until(worker, queue, total, WARM + JOBS, min(SECONDS, args.seconds)) - warm
        after = snapshot(worker, server)
    finally:
        worker.end()
    if done <= 0:
        raise RuntimeError("%s at concurrency %d did nothing" % (kind, concurrency))
    seconds, own, redis = (b - a for a, b in zip(before, after))
    return {"rate": done / seconds, "own": own / done * 1000, "redis": redis / done * 1000,
            "per_cpu": done / (own + redis)}


def main(args):
    args.npm = npm.install(args.build)
    aof = {"appendonly": "yes", "appendfsync": "everysec"} if args.aof else {"appendonly": "no"}
    got, servers, sink = {}, {}, None
    try:
        sink = PlainSink(os.path.join(args.build, "release", "dray"))
        for backlog in (0, BACKLOG):
            servers[backlog] = RedisServer(**aof)
        for _ in range(args.rounds):
            for concurrency in CONCURRENCIES:
                for backlog, server in servers.items():
                    for kind in BASES:
                        got.setdefault((concurrency, backlog, kind), []).append(
                            run(args, server, sink, kind, concurrency, backlog))
    finally:
        for server in servers.values():
            server.close()
        if sink is not None:
            sink.stop()
    tell(args, got)


def tell(args, got):
    m = {k: {f: measure.median([r[f] for r in runs]) for f in runs[0]} for k, runs in got.items()}
    rows = []
    for concurrency in CONCURRENCIES:
        for kind in BASES:
            for backlog in (0, BACKLOG):
                v, empty, ours = m[concurrency, backlog, kind], m[concurrency, 0, kind], m[concurrency, backlog, DRAY]
                rows.append(["%s, concurrency %d" % (kind, concurrency) if not backlog else "", "%d" % backlog,
                             "%.0f" % v["rate"], "%.3f" % v["own"], "%.3f" % v["redis"], "%.0f" % v["per_cpu"],
                             "%.1f" % (ours["per_cpu"] / v["per_cpu"]) if kind != DRAY else "",
                             "%.2f" % (v["per_cpu"] / empty["per_cpu"]) if backlog else "",
                             "%.2f" % (v["rate"] / empty["rate"]) if backlog else ""])
    print("workers: %d jobs of one small JSON object, dray to `dray sink`, Redis %s, median of %d rounds; CPU is s per 1,000 "
          "jobs" % (JOBS, "with AOF everysec" if args.aof else "without persistence", args.rounds))
    measure.table(rows, ["", "behind", "jobs/s", "worker", "Redis", "jobs per CPU s", "dray to it", "CPU of empty", "rate of empty"])
