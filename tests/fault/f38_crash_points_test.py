"""Crash points (common/base/crash_points.def): a process dies before and after each step by which a batch changes hands. After
each death: what was answered 2xx is delivered, to both destinations; what came twice has a reason; the host is whole.
Those of the spool: f48_spool_crash_test.py."""
import os
import signal
import time

import pytest

from lib.client import Load
from lib.events import batch_body, make_events
from lib.explain import Deaths, explain
from lib.hooks import Points, points
from lib.outcome import wait_settled
from lib.wait import wait_for
from proc.delivery_test import add_foreign

pytestmark = pytest.mark.alone

CONF = {
    "master": {"processes": {"delivery": 2}, "drain": "4s", "health": {"beat": "100ms"},
               "restart": {"min": "10ms", "burst": "", "degraded_at": "10000/60s"}},
    "queue": {"lock_duration": "3s", "lock_renew": "200ms", "stalled_interval": "500ms", "lease": "1500ms",
              "backoff": {"delay": "50ms", "max": "100ms"}, "max_stalled_count": 100},
    "redis": {"command_timeout": "2s"},
    "delivery": {"connect_timeout": "1s", "timeout": "2s"},
}
TROUBLE = {"fail_rate": 0.03}
APART = ("result_late",  # needs a queue of its own: test_taken_ahead
         "circuit_open_unsaid", "probe_granted", "probe_unsaid", "split_sent",  # a destination that fails: f47_flow_test.py
         "delivered_unsent", "outcome_heard")  # need senders that wait for it: f45_delivered_test.py
EACH = 10  # s in which a point must fire


def kill(pid, signo=signal.SIGKILL):
    try:
        os.kill(pid, signo)
    except ProcessLookupError:
        pass  # it was the one that died at the point


class Stage:
    """A running instance under load, with all that a point may need to be passed."""

    def __init__(self, make_dray, make_sink, ledger, variant="asan"):
        self.sinks = [ledger.sinks[0], make_sink()]
        ledger.sinks.append(self.sinks[1])
        self.dray = make_dray(conf={**CONF, "destinations": [
            {"id": "sink", "url": self.sinks[0].url},
            {"id": "strict", "url": self.sinks[1].url, "is_multi_processor": False}]}, start=False, variant=variant)
        self.ledger = ledger
        self.crash = Points(self.dray)
        self.deaths = Deaths()
        self.turn = 0
        self.dray.start()
        for sink in self.sinks:
            sink.behave(**TROUBLE)
        self.load = Load(self.dray, ledger, clients=3, batch=5, pause=0.01, seconds=120).start()
        wait_for(lambda: len(ledger.acked) > 50, 20)

    def pid_of(self, kind, number=0):
        try:
            return self.dray.pid_of(kind, number)
        except LookupError:
            return 0

    # ---- what must happen that a process comes by

    def nothing(self):
        pass

    def bad_event(self):
        with self.dray.client(timeout=5) as c:
            try:
                event = list(make_events(1, seed="bad-%d" % time.monotonic_ns()))
                self.ledger.tried.update(e["messageId"] for e in event)
                body = batch_body(event).decode() if isinstance(batch_body(event), bytes) else batch_body(event)
                c.post("/v1/batch", body.replace('"batch":[', '"batch":[null,', 1))
            except Exception:  # noqa: BLE001: it dies under our hands
                pass

    def repeat(self):
        """An event twice in a request, and that request twice: the second one when it is stored, as a rule."""
        event = list(make_events(1, seed="again-%d" % time.monotonic_ns()))
        self.ledger.tried.update(e["messageId"] for e in event)
        with self.dray.client(timeout=5) as c:
            try:
                for _ in range(2):
                    c.post("/v1/batch", batch_body(event * 2))
            except Exception:  # noqa: BLE001: it dies under our hands
                pass

    def kill_delivery(self):
        self.turn = 1 - self.turn
        pid = self.pid_of("delivery", self.turn)
        if pid:
            kill(pid)
            self.deaths.note("delivery")

    def stop_and_kill_delivery(self):
        pid = self.pid_of("delivery", 0)
        if pid:
            kill(pid, signal.SIGSTOP)
            time.sleep(0.1)  # batches gather on its link
            kill(pid)
            self.deaths.note("delivery")

    def restart(self, kind):
        self.dray.control({"verb": "restart", "kind": kind})

    def cut_redis(self):
        try:
            self.dray.redis().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            self.deaths.note("redis")
        except Exception:  # noqa: BLE001: it may be our own that is cut
            pass

    def kill_redis(self):
        try:
            kill(self.dray.redis_pid())
            self.deaths.note("redis")
        except LookupError:
            pass

    def kill_program(self):
        pid = self.pid_of("program")
        if pid:
            kill(pid)

    def reload(self):
        self.turns = getattr(self, "turns", 0) + 1
        self.dray.write_config({"delivery": {"connect_timeout": "%dms" % (3000 + self.turns)}})
        self.dray.control({"verb": "reload", "wait": False})

    def provoke(self, name):
        special = {
            "repeat_joined": self.repeat, "seen_told": self.repeat,
            "aside_unwritten": self.bad_event, "aside_synced": self.bad_event,
            "requeue_unbegun": self.stop_and_kill_delivery, "requeued": self.stop_and_kill_delivery,
            "ingest_drain": lambda: self.restart("ingest"), "ingest_drained": lambda: self.restart("ingest"),
            "add_kept": self.cut_redis, "recovered": self.cut_redis,
            "hand_back_sent": lambda: self.restart("delivery"), "handed_back": lambda: self.restart("delivery"),
            "delivery_drain": lambda: self.restart("delivery"), "delivery_drained": lambda: self.restart("delivery"),
            "lease_given_up": lambda: self.restart("delivery"),
            "reap_told": self.kill_delivery, "reap_cut": self.kill_delivery, "reap_released": self.kill_delivery,
            "lease_granted": self.kill_delivery,
            "server_started": self.kill_redis, "server_ended": self.kill_redis,
            "server_answered": self.kill_program, "server_adopted": self.kill_program,
            "child_unforked": self.kill_delivery, "child_forked": self.kill_delivery, "link_half": self.kill_delivery,
            "link_made": self.kill_delivery, "child_reaped": self.kill_delivery, "reap_sent": self.kill_delivery,
            "conf_sealed": self.reload,
            "successor_ready": lambda: self.restart("delivery"), "drain_sent": lambda: self.restart("delivery"),
        }
        return special.get(name, self.nothing)

    # ---- one point

    def fire(self, point, n=1, how="kill"):
        """Somebody dies there."""
        act = self.provoke(point.name)
        if point.name in ("hand_back_sent", "handed_back"):
            self.sinks[1].behave(delay=0.02)  # jobs stand in line in their worker's hand
        self.crash.arm(point.name, n, how)
        deadline, next_act = time.monotonic() + EACH + 3 * n, 0
        while not self.crash.fired(point.name):
            now = time.monotonic()
            assert now < deadline, "nobody died at %s (%s); it was passed %d times" % (
                point.name, point.sentence, self.crash.passed(point.name))
            if now >= next_act:
                try:
                    act()
                except (OSError, ValueError):
                    assert point.process == "master", "the master is away"
                next_act = time.monotonic() + 0.7
            time.sleep(0.002)
        self.deaths.note(point.process)
        self.sinks[1].behave(**TROUBLE)

    def whole_again(self, point):
        if point.process == "master":
            self.dray.expect_exit(self.dray.process.wait(5))
            self.dray.expect_exit(0)
            self.dray.start(seconds=40)
        else:
            self.dray.wait_all_up(20)
        acked = set(self.ledger.acked)
        for sink in self.sinks:
            sink.wait_ids(acked, 20)
        wait_for(lambda: len(self.ledger.acked) > len(acked), 20, "the clients go on")

    def end(self):
        self.load.stop(60)
        for sink in self.sinks:
            sink.behave()
        self.dray.wait_all_up(20)
        self.ledger.settle(30)
        self.ledger.check(self.dray)
        return explain(self.sinks, [self.load], self.deaths)


def walk(stage, chosen, n=1, how="kill"):
    for point in chosen:
        started = time.monotonic()
        stage.fire(point, n, how)
        fired = time.monotonic()
        stage.whole_again(point)
        print("%-18s fired after %.2f s, whole after %.2f s" % (point.name, fired - started, time.monotonic() - fired))


def of(*processes):
    return [p for p in points() if p.process in processes and p.name not in APART]


def test_the_table():
    assert len({p.name for p in points()}) == len(points()) >= 60
    assert {p.side for p in points()} == {"BEFORE", "AFTER", "KEPT"}
    assert {p.process for p in points()} == {"ingest", "delivery", "spool", "program", "master"}


@pytest.mark.limit(300)
def test_children(make_dray, make_sink, ledger):
    """Each point of every child, one after the other, in one instance."""
    stage = Stage(make_dray, make_sink, ledger)
    stage.dray.fd_baseline()
    chosen = of("ingest", "delivery", "program")
    started = time.monotonic()
    walk(stage, chosen)
    counts = stage.end()
    stage.dray.check_fds()
    print("figure: %d points in %.1f s; %d events; twice: %s" % (len(chosen), time.monotonic() - started,
                                                                 len(ledger.acked), counts))


@pytest.mark.limit(300)
def test_master(make_dray, make_sink, ledger):
    stage = Stage(make_dray, make_sink, ledger)
    chosen = of("master")
    started = time.monotonic()
    walk(stage, chosen)
    counts = stage.end()
    print("figure: %d points in %.1f s; %d events; twice: %s" % (len(chosen), time.monotonic() - started,
                                                                 len(ledger.acked), counts))


def taken_ahead(make_dray, sink, how="kill", n=1):
    """A backlog for a fast destination: jobs are taken ahead, results wait for company, and die with their process."""
    dray = make_dray(conf={**CONF, "master": {**CONF["master"], "processes": {"delivery": 1}},
                           "destinations": [{"id": "sink", "url": sink.url, "auth": {"type": "none"}}]}, start=False)
    crash = Points(dray)
    dray.start()
    with dray.redis().pipeline() as pipe:
        for i in range(1500):
            add_foreign(pipe, str(i), '{"n":%d}' % i)
        crash.arm("result_late", n, how)
        pipe.execute()
    wait_for(lambda: crash.fired("result_late"), 20, "a process died with a result that waited")
    wait_for(lambda: len({r.json()["n"] for r in sink.taken()}) == 1500, 30, "each job was done")
    wait_settled(dray)
    twice = len(sink.taken()) - 1500
    print("figure: %d of 1500 jobs were done again" % twice)
    assert twice <= 3 * 64, "no more than were in hand"


def test_taken_ahead(make_dray, sink):
    taken_ahead(make_dray, sink)


@pytest.mark.soak
@pytest.mark.limit(300)
@pytest.mark.parametrize("how", ["kill", "exit"])
@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_taken_ahead_nth_pass(make_dray, sink, how, n):
    taken_ahead(make_dray, sink, how, n)


@pytest.mark.soak
@pytest.mark.limit(3000)
@pytest.mark.parametrize("how", ["kill", "exit"])
@pytest.mark.parametrize("variant", ["asan", "test"])
def test_nth_pass(make_dray, make_sink, ledger, how, variant):
    """The first five passes, both kinds of death; in the build of the sanitizers and in the fast one."""
    stage = Stage(make_dray, make_sink, ledger, variant)
    for n in range(1, 6):
        walk(stage, of("ingest", "delivery", "program", "master"), n, how)
    print("figure: %s" % stage.end())
