"""A queue that RudderStack's SDK 3.0.13 (npm) has written: 20,000 events in 1,000 jobs, delivered to `dray sink` while another
process of the SDK keeps producing into the same queue; and what the SDK's own worker does with the same queue, in the same run.

The queue is filled while it is paused; the rate is from its resumption until the sink has as many events as were waiting.
CPU is ms per 1,000 events delivered in that time.
"""
import os
import threading
import time

import e2e
import measure
from lib import npm
from lib.bull import Bull
from lib.dray import Dray
from lib.redis_server import RedisServer
from lib.sdk import Sdk
from lib.wait import wait_for

EVENTS = 20000
SDK_SECONDS = 10
PREFIX, NAME, KEY = "{rudder}", "rudderEventsQueue", "bench-key"


def calls(n):
    return [("track", {"userId": "u-%d" % (i % 500), "event": "Order Completed",
                       "properties": {"orderId": "o-%d" % i, "total": 12.5, "currency": "EUR", "items": ["a", "b", "c"]},
                       "context": {"ip": "203.0.113.9"}}) for i in range(n)]


class Producer:
    """Goes on sending until it is told to stop."""

    def __init__(self, sdk):
        self.sdk, self.made, self.running = sdk, 0, True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        some = calls(200)
        while self.running:
            self.made += len(self.sdk.send(*some))

    def stop(self):
        self.running = False
        self.thread.join(60)
        return self.made


def sdk_rate(packages, server, sink):
    """Events a second of the SDK's own worker."""
    worker = Sdk(packages, "3.0.13", sink.url, KEY, server.socket, work=True)
    try:
        wait_for(lambda: sink.events() > 0, 20, "the SDK's worker posts")
        before, began = sink.events(), time.monotonic()
        time.sleep(SDK_SECONDS)
        rate = (sink.events() - before) / (time.monotonic() - began)
        worker.work(False)
        wait_for(lambda: server.client().llen("%s:%s:active" % (PREFIX, NAME)) == 0, 20, "its last job is done")
        return rate
    finally:
        worker.close()


def round_of(dray, server, sink, bull, producer, filler):
    wait_for(lambda: not any(server.client().llen("%s:%s:%s" % (PREFIX, NAME, k)) for k in ("wait", "active", "paused")), 60,
             "the queue is empty")
    bull.call("pause")
    sent = len(filler.send(*calls(EVENTS)))
    jobs = server.client().llen("%s:%s:paused" % (PREFIX, NAME))
    pids = {"delivery": [p["pid"] for p in dray.processes("delivery")], "redis": [server.process.pid]}
    before = {k: measure.cpu_seconds(v) for k, v in pids.items()}
    had = sink.events()
    going = Producer(producer)
    bull.call("resume")
    began = time.monotonic()
    wait_for(lambda: sink.events() - had >= sent, 120, "all is delivered", every=0.005)
    seconds, got = time.monotonic() - began, sink.events() - had
    cpu = {k: (measure.cpu_seconds(v) - before[k]) / got * 1e6 for k, v in pids.items()}
    return {"rate": got / seconds, "jobs": jobs, "cpu": cpu, "meanwhile": going.stop() / (time.monotonic() - began)}


def main(args):
    packages = npm.install(args.build)
    server = RedisServer(appendfsync="everysec")
    sink = e2e.PlainSink(os.path.join(args.build, "release", "dray"))
    dray, programs = None, []
    try:
        producer, filler = (Sdk(packages, "3.0.13", "http://127.0.0.1:9", KEY, server.socket) for _ in range(2))
        bull = Bull(packages, server.socket, PREFIX, NAME)
        programs += [producer, filler, bull]
        filler.send(*calls(2000))
        own = sdk_rate(packages, server, sink)
        dray = Dray(args.build, variant="release", conf={
            "redis": {"mode": "standalone", "url": server.url}, "log": {"level": "error"},
            "takeover": [{"id": "sdk", "prefix": PREFIX, "queue": NAME, "destination": "sink",
                          "trim": {"enabled": True}}],
            "destinations": [{"id": "sink", "url": sink.url + "/"}], "master": {"processes": {"delivery": 1}}})
        dray.start()
        got = [round_of(dray, server, sink, bull, producer, filler) for _ in range(args.rounds)]
        dray.stop()
    finally:
        for program in programs:
            program.close()
        if dray is not None:
            dray.remove()
        sink.stop()
        server.close()
    rate = measure.median([g["rate"] for g in got])
    cpu = {k: measure.median([g["cpu"][k] for g in got]) for k in got[0]["cpu"]}
    print("takeover: %d events in %d jobs of the SDK 3.0.13, which goes on producing; median of %d rounds; the SDK's worker over "
          "%d s; CPU is ms per 1,000 events" % (EVENTS, got[0]["jobs"], args.rounds, SDK_SECONDS))
    measure.table([["dray", "%.0f" % rate, "%.0f" % (rate / own), " ".join("%s %.2f" % kv for kv in cpu.items()),
                    "%.0f" % measure.median([g["meanwhile"] for g in got])],
                   ["the SDK's worker", "%.1f" % own, "1", "", ""]],
                  ["", "events/s", "ratio", "CPU", "produced meanwhile/s"])
