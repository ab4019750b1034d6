"""Intake against nginx: the same 10-event bodies with fresh message ids, posted by load_bench, ack: queue.

One round runs nginx `return 200` and dray on Redis without persistence, with AOF everysec and with AOF always, each for
the same seconds, the load on the same connections. Delivery is paused (the queue's own pause), so that what is measured
is request to durable to 2xx. The load takes about one core of its own: where there are two, dray's three processes share
what is left, so CPU per request of the server's processes stands beside the rate.
"""
import os
import shutil
import signal
import subprocess
import tempfile
import time

import measure
from lib.dray import Dray
from lib.events import event_text, make_events
from lib.redis_server import RedisServer
from lib.sink import Sink
from lib.wait import wait_for

CONNECTIONS = 64
MARK = "@@@@@@@@@@@@@@@@@@@@"  # as long as the ids that replace it


def write_request(path, host, own_users=False):
    """own_users: each event is of a user of its own, so that they spread over all partitions."""
    events = make_events(10, seed=7)
    texts = []
    for event in events:
        event["messageId"] = MARK
        if own_users:
            event["userId"] = MARK
        texts.append(event_text(event))
    body = ('{"batch":[' + ",".join(texts) + '],"sentAt":"2026-11-21T02:41:28.123Z"}').encode()
    head = ("POST /v1/batch HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic dGVzdC1rZXk6\r\n"
            "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (host, len(body)))
    with open(path, "wb") as f:
        f.write(head.encode() + body)


class Nginx:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="dray-nginx-")
        self.socket_port = 18080 + os.getpid() % 1000
        conf = os.path.join(self.dir, "nginx.conf")
        with open(conf, "w") as f:
            f.write("""worker_processes 1; pid %(d)s/pid; error_log %(d)s/error.log; daemon off; user root;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path %(d)s; proxy_temp_path %(d)s;
  fastcgi_temp_path %(d)s; uwsgi_temp_path %(d)s; scgi_temp_path %(d)s; client_body_buffer_size 64k;
  server { listen 127.0.0.1:%(p)d; location / { return 200 "ok"; } } }""" % {"d": self.dir, "p": self.socket_port})
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-c", conf, "-p", self.dir], stderr=subprocess.DEVNULL)
        self.address = "127.0.0.1:%d" % self.socket_port
        wait_for(self.workers, 10, "nginx has a worker")

    def workers(self):
        out = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        return [int(p) for p in out]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)


def load(args, address, folder, seconds, own_users=False, connections=CONNECTIONS):
    """(requests/s, bad answers and errors, p50 ms, p99 ms, requests)"""
    path = os.path.join(folder, "request")
    write_request(path, address, own_users)
    program = os.path.join(args.build, "release", "tests", "bench", "load_bench")
    out = subprocess.run([program, *address.rsplit(":", 1), str(connections), str(seconds), path],
                         capture_output=True, text=True)
    line = [x for x in out.stdout.splitlines() if x.startswith("RESULT ")]
    assert line, out.stdout + out.stderr
    requests, duration, bad, errors, p50, p99, _ = line[0].split()[1:]
    return (float(requests) / float(duration), int(bad) + int(errors), float(p50) / 1e3, float(p99) / 1e3,
            int(requests))


def run_nginx(args, folder):
    nginx = Nginx()
    try:
        before = measure.cpu_seconds(nginx.workers())
        rate, bad, p50, p99, n = load(args, nginx.address, folder, args.seconds)
        cpu = measure.cpu_seconds(nginx.workers()) - before
        return {"rate": rate, "bad": bad, "p50": p50, "p99": p99, "cpu": {"nginx": cpu / n * 1e6}}
    finally:
        nginx.stop()


def run_dray(args, folder, persistence):
    options = {"maxmemory": "12gb"}
    options.update({"none": {"appendonly": "no"}, "everysec": {"appendfsync": "everysec"}, "always": {}}[persistence])
    server = RedisServer(**options)
    sink = Sink()
    dray = Dray(args.build, sink, variant="release", conf={
        "redis": {"mode": "standalone", "url": server.url, "managed": None},
        "log": {"level": "error"}, "master": {"processes": {"delivery": args.delivery}}})
    try:
        r = server.client()
        r.set("{dray}:sink:meta-paused", 1)
        r.hset("{dray}:sink:meta", "paused", 1)
        dray.start()
        pids = {"ingest": [p["pid"] for p in dray.processes("ingest")],
                "delivery": [p["pid"] for p in dray.processes("delivery")], "redis": [server.process.pid]}
        before = {k: measure.cpu_seconds(v) for k, v in pids.items()}
        rate, bad, p50, p99, n = load(args, dray.ingest, folder, args.seconds)
        cpu = {k: (measure.cpu_seconds(v) - before[k]) / n * 1e6 for k, v in pids.items()}
        jobs = r.llen("{dray}:sink:paused")
        dray.stop()
        return {"rate": rate, "bad": bad, "p50": p50, "p99": p99, "cpu": cpu, "per_job": n / max(1, jobs)}
    finally:
        dray.remove()
        sink.close()
        server.close()


def main(args):
    args.delivery = getattr(args, "delivery", 1)
    runs = {"nginx return 200": run_nginx}
    for p in ("none", "everysec", "always"):
        runs["dray, Redis " + {"none": "without persistence"}.get(p, "AOF " + p)] = \
            lambda a, f, p=p: run_dray(a, f, p)
    results = {name: [] for name in runs}
    with tempfile.TemporaryDirectory(prefix="dray-bench-") as folder:
        for _ in range(args.rounds):
            for name, fn in runs.items():
                results[name].append(fn(args, folder))
                time.sleep(0.2)  # let the machine settle; nothing waits for it
    rows = []
    for name, got in results.items():
        ratio = measure.median([g["rate"] / n["rate"] for g, n in zip(got, results["nginx return 200"])])
        cpu = {k: measure.median([g["cpu"][k] for g in got]) for k in got[0]["cpu"]}
        rows.append([name, "%.0f" % measure.median([g["rate"] for g in got]), "%.2f" % ratio,
                     "%.1f" % sum(cpu.values()), " ".join("%s %.1f" % kv for kv in cpu.items()),
                     "%.2f" % measure.median([g["p50"] for g in got]), "%.2f" % measure.median([g["p99"] for g in got]),
                     "%.1f" % measure.median([g.get("per_job", 1) for g in got]), sum(g["bad"] for g in got)])
    print("intake: 10-event bodies, %d connections, median of %d rounds of %.0f s" %
          (CONNECTIONS, args.rounds, args.seconds))
    measure.table(rows, ["", "req/s", "of nginx", "CPU us/req", "by process", "p50 ms", "p99 ms", "req/job", "bad"])
