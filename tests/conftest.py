"""Fixtures of every Python test, the checks that run after each by themselves, the time limit. See README.md."""
import json
import os
import signal
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import procs  # noqa: E402
from lib.dray import Dray  # noqa: E402
from lib.fake_master import FakeMaster  # noqa: E402
from lib.ledger import Ledger  # noqa: E402
from lib.redis_server import RedisServer  # noqa: E402
from lib.rproxy import Proxy  # noqa: E402
from lib.sink import Sink  # noqa: E402
from lib.wait import wait_for  # noqa: E402

LIMIT = 120


def pytest_addoption(parser):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.addoption("--build", default=os.path.join(root, "build"), help="folder of the builds")
    parser.addoption("--soak", action="store_true", help="the long runs with full counts")
    parser.addoption("--seed", type=int, default=None, help="of a random storm, to see the same one again")
    parser.addoption("--report", default=None, help="file for one JSON line a test (check.py)")


def pytest_configure(config):
    procs.become_subreaper()
    config.build = os.path.abspath(config.getoption("--build"))


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "soak" in item.keywords and not config.getoption("--soak"):
            item.add_marker(pytest.mark.skip(reason="full counts: make soak"))


# ---- reporting for check.py

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    setattr(item, "report_" + report.when, report)
    if report.failed and report.when in ("call", "setup"):
        for dray in getattr(item, "drays", []):
            report.sections.append(("log of %s, kept in %s" % (dray.name, dray.dir), dray.log.tail()))


def pytest_runtest_logreport(report):
    path = report_path
    if path is None:
        return
    if report.when != "call" and report.passed:
        return
    text = report.longreprtext if report.failed else ""
    if report.passed:
        text = "\n".join(line[8:] for line in report.capstdout.splitlines() if line.startswith("figure: "))
    if report.failed:
        for title, content in report.sections:
            text += "\n---- %s\n%s" % (title, content[-6000:])
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    with open(path, "a") as f:
        f.write(json.dumps({"test": report.nodeid, "when": report.when, "outcome": report.outcome,
                            "seconds": round(report.duration, 2), "text": text, "reason": reason}) + "\n")


def pytest_collectreport(report):
    if report.failed and report_path is not None:
        with open(report_path, "a") as f:
            f.write(json.dumps({"test": report.nodeid, "when": "collect", "outcome": "failed", "seconds": 0,
                                "text": report.longreprtext, "reason": ""}) + "\n")


report_path = None


def pytest_sessionstart(session):
    global report_path
    report_path = session.config.getoption("--report")


# ---- the time limit

class OverLimit(BaseException):
    pass


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    marker = item.get_closest_marker("limit")
    seconds = marker.args[0] if marker else LIMIT

    def expired(_signo, _frame):
        raise OverLimit("over the limit of %d s" % seconds)
    previous = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


# ---- what every test is judged by

class House:
    """What a test has started, and what must be true when it is over."""

    def __init__(self, request):
        self.request = request
        self.drays, self.closers, self.ledgers = [], [], []
        request.node.drays = self.drays
        self.expected = set()
        for marker in request.node.iter_markers("expects"):
            self.expected.update(marker.args)

    def add(self, dray):
        dray.expect(*self.expected)
        self.drays.append(dray)
        return dray

    def close(self):
        """All faults as texts."""
        found = []
        call = getattr(self.request.node, "report_call", None)
        is_good = call is not None and call.passed
        for ledger in self.ledgers:
            if is_good and not ledger.checked and ledger.acked and self.drays:
                try:
                    ledger.check(self.drays[-1])
                except AssertionError as error:
                    found.append("ledger: %s" % error)
        for dray in self.drays:
            found += ["%s: %s" % (dray.name, text) for text in dray.faults()]
        for close in reversed(self.closers):
            found += ["sanitizer report: " + text for text in close() or []]
        found += self.left_processes()
        if not found and is_good:
            for dray in self.drays:
                dray.remove()
        return found

    def left_processes(self):
        """What lives 1 s after everything was stopped (orphans of a killed master have their own 12 s)."""
        known = {d.process.pid for d in self.drays if d.process is not None}
        seconds = 12 if any(d.wanted_exit == -signal.SIGKILL for d in self.drays) else 1

        def gone():
            procs.reap_adopted(known)
            return not procs.descendants(os.getpid())
        try:
            wait_for(gone, seconds, "no process left")
            return []
        except AssertionError:
            left = procs.descendants(os.getpid())
            procs.end_all(left)
            time.sleep(0.1)
            procs.reap_adopted(known)
            return ["process left behind: %s" % p for p in left]


@pytest.fixture(autouse=True)
def house(request):
    h = House(request)
    yield h
    found = h.close()
    if found:
        logs = "".join("\n---- log of %s, kept in %s\n%s" % (d.name, d.dir, d.log.tail(25)) for d in h.drays)
        pytest.fail("after the test:\n* " + "\n* ".join(found) + logs, pytrace=False)


@pytest.fixture
def build(request):
    return request.config.build


@pytest.fixture
def make_sink(house):
    def make(**options):
        sink = Sink(**options)
        house.closers.append(sink.close)
        return sink
    return make


@pytest.fixture
def sink(make_sink):
    """A destination that takes everything."""
    return make_sink()


@pytest.fixture
def make_dray(request, house, build, sink):
    """make_dray(conf={...}, start=True, sink=sink, variant="asan", ...): an instance, stopped and judged at the end."""
    def make(conf=None, start=True, **options):
        options.setdefault("sink", sink)
        options.setdefault("variant", "release" if request.node.get_closest_marker("release") else "asan")
        options.setdefault("name", "dray" if not house.drays else "dray%d" % (len(house.drays) + 1))
        dray = house.add(Dray(build, conf=conf, **options))
        return dray.start() if start else dray
    return make


@pytest.fixture
def dray(make_dray):
    """An instance as most tests want it: managed Redis, two delivery processes, everything to `sink`."""
    return make_dray()


@pytest.fixture
def ledger(house, sink):
    """Its check runs at the end of the test by itself, unless the test did it."""
    book = Ledger(sink)
    house.ledgers.append(book)
    return book


@pytest.fixture
def make_redis(house):
    """make_redis(port=False, maxmemory="64mb", ...): a redis-server of the test's own."""
    def make(**options):
        server = RedisServer(**options)
        house.closers.append(server.close)
        return server
    return make


@pytest.fixture
def make_proxy(house):
    """make_proxy(upstream): see lib/rproxy.py."""
    def make(upstream, **options):
        proxy = Proxy(upstream, **options)
        house.closers.append(proxy.close)
        return proxy
    return make


@pytest.fixture
def fake_master(house, build):
    """fake_master(kind, conf={...}, listen=["127.0.0.1:0"]): one real child under a master of the test's own."""
    def make(kind, conf=None, **options):
        master = FakeMaster(build, kind, conf, **options)
        house.closers.append(master.close)
        return master
    return make
