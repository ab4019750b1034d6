"""F18: Redis is down at boot, dies, hangs, is loading, full, read-only, slow, or cuts connections inside an answer.
Workers are not restarted for it, the intake answers 503 with Retry-After, nothing acknowledged is lost, and work goes
on within 2 s of its return."""
import time

import redis

from lib.client import Load
from lib.events import batch_body, make_events
from lib.outcome import pids, wait_settled
from lib.wait import stays, wait_for

# The waits of the real thing, shortened.
QUICK = {"ingest": {"ack_timeout": "1s"}, "redis": {"mode": "standalone", "command_timeout": "500ms",
                                                    "reconnect": {"max": "500ms"}},
         "master": {"processes": {"spool": 0}},  # with one: e2e/r_spool_test.py
         "queue": {"lock_duration": "3s", "lock_renew": "1s", "stalled_interval": "1s",
                   "keep_completed": {"count": 10}}}
BACK_S = 2


def quick(url, **redis):
    return {**QUICK, "redis": {**QUICK["redis"], "url": url, **redis}}


def refused(dray, ledger):
    """Waits for a 503 with Retry-After."""
    with dray.client(timeout=30) as c:
        def ask():
            answer = c.post("/v1/track", {"userId": "u", "event": "probe", "messageId": "probe"})
            return answer if answer.status == 503 else None
        ledger.tried.add("probe")
        answer = wait_for(ask, 10, "503 while Redis is away")
    assert 1 <= int(answer.headers["retry-after"]) <= 30


def through(dray, ledger, go, come_back, seconds=1.5):
    """Under load it begins, lasts so long, ends."""
    load = Load(dray, ledger, clients=4, batch=10, seconds=60).start()
    wait_for(lambda: len(ledger.acked) > 100, 30)
    before = pids(dray)
    go()
    refused(dray, ledger)
    stays(lambda: pids(dray) == before, seconds, "nobody is restarted for it")
    assert dray.get("/livez").status == 200
    come_back()
    count, since = len(ledger.acked), time.monotonic()
    wait_for(lambda: len(ledger.acked) > count + 40, 2 * BACK_S, "work goes on within 2 s")
    print("figure: work goes on %.2f s after Redis does" % (time.monotonic() - since))
    load.stop()
    ledger.settle(30)
    wait_settled(dray)
    assert pids(dray) == before
    return ledger.check(dray)


def test_down_at_boot(make_dray, make_redis, ledger):
    server = make_redis()
    server.kill()
    dray = make_dray(conf=quick(server.url), start=False)
    dray.start(wait=False)
    wait_for(lambda: all(p["state"] == "up" for p in dray.processes()) and dray.processes("ingest"), 20)
    before = pids(dray)
    assert dray.get("/livez").status == 200
    assert dray.get("/readyz").status == 503
    refused(dray, ledger)
    stays(lambda: pids(dray) == before, 1)
    server.start()
    event = next(make_events(1))
    with dray.client() as c:
        wait_for(lambda: c.post("/v1/batch", batch_body([event])).status == 200, 2 * BACK_S, "it works within 2 s")
    ledger.ack([event["messageId"]])
    ledger.settle()
    wait_for(lambda: dray.get("/readyz").status == 200, 5)
    assert pids(dray) == before
    assert len(dray.log.records("redis_down")) <= 2 * 3, "a long absence is told once, not at every try"


def test_dies(make_dray, make_redis, ledger):
    server = make_redis()
    dray = make_dray(conf=quick(server.url))
    through(dray, ledger, server.kill, server.start)


def test_hangs(make_dray, make_redis, ledger):
    server = make_redis()
    dray = make_dray(conf=quick(server.url))
    through(dray, ledger, server.freeze, server.thaw)


def test_refuses_connections(make_dray, make_redis, make_proxy, ledger):
    proxy = make_proxy(make_redis().socket, host="127.0.0.1")
    dray = make_dray(conf=quick(proxy.url))
    through(dray, ledger, proxy.refuse, proxy.pass_on)


def test_accepts_and_says_nothing(make_dray, make_redis, make_proxy, ledger):
    proxy = make_proxy(make_redis().socket)
    dray = make_dray(conf=quick(proxy.url, connect_timeout="500ms"))
    through(dray, ledger, proxy.stall, proxy.pass_on)


def test_does_it_and_answers_nothing(make_dray, make_redis, make_proxy, ledger):
    proxy = make_proxy(make_redis().socket)
    dray = make_dray(conf=quick(proxy.url, connect_timeout="500ms"))
    through(dray, ledger, proxy.swallow, proxy.pass_on)


def test_loading(make_dray, make_redis, ledger):
    """Killed, and its data take 3 s to load: -LOADING is waited for."""
    server = make_redis()
    dray = make_dray(conf=quick(server.url))
    r = server.client(db=9)
    pipe = r.pipeline(transaction=False)
    for n in range(6000):
        pipe.set("k%d" % n, "x" * 100)
    pipe.execute()
    seen = set()

    class Watched:
        """start() waits for an answer to PING; what is said until then is kept."""

        def ping(self):
            try:
                return r.ping()
            except redis.exceptions.BusyLoadingError as error:
                seen.add(str(error))
                raise

    def load_again():
        server.options["key_load_delay"] = 500
        server.client = Watched
        server.start()
    through(dray, ledger, server.kill, load_again)
    assert seen, "it has said -LOADING"


def test_read_only(make_dray, make_redis, ledger):
    """Made a replica while it is in use: -READONLY; then a master again."""
    server = make_redis()
    dray = make_dray(conf=quick(server.url))
    r = server.client()
    result = through(dray, ledger, lambda: r.replicaof("127.0.0.1", "1"), lambda: r.replicaof("NO", "ONE"))
    assert result["acked"] > 0


def test_full(make_dray, make_redis, sink, ledger):
    """-OOM: what is new is refused, what is in it is delivered all the same, and that makes room again."""
    server = make_redis(maxmemory="16mb")
    dray = make_dray(conf={**quick(server.url),  # nobody is told 429 before it is full
                           "ingest": {**QUICK["ingest"], "backpressure": {"redis_memory": 0}}})
    before = pids(dray)
    sink.behave(status=503)
    load = Load(dray, ledger, clients=4, batch=40, pad=12000, seconds=60).start()
    wait_for(lambda: load.counts.get("503", 0) > 10, 30, "full")
    refused(dray, ledger)
    assert dray.metric("dray_redis_errors_total", reason="OOM") > 0
    stays(lambda: pids(dray) == before, 1)
    assert server.client().info("memory")["used_memory"] > 15 << 20
    load.stop_event.set()
    load.join()
    sink.behave()
    ledger.settle(30)
    wait_settled(dray)
    more = Load(dray, ledger, events=100, clients=2, seed="more").start()
    more.join()
    ledger.settle()
    assert pids(dray) == before
    ledger.check(dray)


def test_slow_but_alive(make_dray, make_redis, make_proxy, ledger):
    """Each answer takes 2 s and more: everything is slow, nothing is refused or restarted."""
    proxy = make_proxy(make_redis().socket)
    dray = make_dray(conf={**quick(proxy.url, command_timeout="8s"), "ingest": {"ack_timeout": "10s"},
                           "queue": {"lock_duration": "30s", "lock_renew": "10s"}})
    Load(dray, ledger, events=100, clients=4).start().join()
    before = pids(dray)
    proxy.slow(1)  # each way
    load = Load(dray, ledger, events=80, clients=4, batch=10, seed="slow").start()
    load.join()
    assert load.counts == {}, "nobody was sent away"
    proxy.pass_on()
    ledger.settle()
    wait_settled(dray)
    assert pids(dray) == before and ledger.duplicates() == {}
    assert max(p["loop_lag_ms"] for p in dray.processes("delivery")) < 200


def test_too_slow(make_dray, make_redis, make_proxy, ledger):
    """Slower than redis.command_timeout: it counts as away."""
    proxy = make_proxy(make_redis().socket)
    dray = make_dray(conf=quick(proxy.url))
    through(dray, ledger, lambda: proxy.slow(1), proxy.pass_on)


def test_cut_inside_answers(make_dray, make_redis, make_proxy, ledger):
    proxy = make_proxy(make_redis().socket)
    dray = make_dray(conf=quick(proxy.url))
    before = pids(dray)
    load = Load(dray, ledger, clients=4, batch=10, seconds=60, pause=0.01).start()
    for after in (0, 1, 2, 5, 17, 60, 0, 1, 3, 9):
        count = len(ledger.acked)
        wait_for(lambda: len(ledger.acked) > count + 40, 2 * BACK_S, "work goes on within 2 s")
        proxy.cut_answer(after)
        wait_for(lambda: proxy.cut_after is None, 5, "a connection was cut")
    load.stop()
    ledger.settle(30)
    wait_settled(dray)
    assert pids(dray) == before
    print("figure: 10 cuts inside an answer, %d duplicates" % len(ledger.duplicates()))
    ledger.check(dray)
