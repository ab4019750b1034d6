"""As many processes as are needed: auto and its reason; by hand, and for how long; by the age of the oldest waiting job."""
import os
import signal

import pytest

from lib.cgroups import FakeRoot
from lib.client import Load
from lib.wait import stays, wait_for


def delivery(dray):
    return next(e for e in dray.status()["scale"] if e["kind"] == "delivery")


def test_auto_says_why(make_dray, sink, tmp_path):
    online = os.sysconf("SC_NPROCESSORS_ONLN")
    root = FakeRoot(str(tmp_path))
    root.group("cpu.max", "max 100000\n")
    root.put("/sys/fs/cgroup/cpu.max", "50000 100000\n")  # of the group above
    conf = {"master": {"processes": {"delivery": "auto"}}}
    dray = make_dray(conf=conf, env={"DRAY_TEST_ROOT": root.folder})
    why = "all of 1 CPUs" if online == 1 else "1 of %d CPUs: cgroup cpu.max 50000/100000" % online
    assert "; 1 delivery (auto: %s);" % why in dray.cli("check").stdout
    assert len(dray.processes("delivery")) == 1 and delivery(dray)["cpus"] == why
    assert dray.log.records("auto")[0]["why"] == why


def test_by_hand_until_a_reload_changes_it(dray, sink):
    for signo, want in ((signal.SIGTTIN, 3), (signal.SIGTTIN, 4), (signal.SIGTTOU, 3)):
        os.kill(dray.pid, signo)
        wait_for(lambda: delivery(dray)["up"] == delivery(dray)["present"] == want, 20)
    wait_for(lambda: sorted(p["slot"] for p in dray.processes("delivery")) == [0, 1, 2], 10, "the highest goes")

    def reload(conf):
        dray.write_config(conf)
        assert dray.cli("reload").returncode == 0
        wait_for(lambda: not dray.status()["rolling"], 30)
    reload({"log": {"level": "debug"}})
    assert (delivery(dray)["wanted"], delivery(dray)["by"]) == (3, "hand"), "another key"
    reload({"master": {"processes": {"delivery": 1}}})
    wait_for(lambda: (delivery(dray)["present"], delivery(dray)["by"]) == (1, "configuration"), 20)


@pytest.mark.limit(180)
def test_by_the_age_of_the_oldest_job(make_dray, sink, ledger):
    dray = make_dray(conf={"master": {"processes": {"delivery": 1}, "autoscale": {"min": 1, "max": 3, "target_wait": "300ms"}},
                           "delivery": {"concurrency": 2}, "ingest": {"flush_at": 1}})
    assert delivery(dray)["by"] == "autoscale"
    sink.behave(delay=0.3)
    load = Load(dray, ledger, events=300, clients=4, batch=1).start()
    wait_for(lambda: len(dray.processes("delivery", "up")) == 3, 40, "a backlog makes it grow")
    assert dray.metric("dray_queue_oldest_wait_seconds", queue="sink") > 0.3
    sink.behave()
    load.join()
    ledger.settle(30)
    wait_for(lambda: delivery(dray)["present"] == 1, 60, "and shrink, when it is gone")
    steps = [(int(r["before"]), int(r["n"])) for r in dray.log.records("autoscale")]
    assert steps[-2:] == [(3, 2), (2, 1)] and all(b < n for b, n in steps[:-2]), steps
    assert all("oldest job waits" in r["why"] for r in dray.log.records("autoscale"))
    assert ledger.duplicates() == {} and not dray.log.records("child_died")
    # By hand it rests, until it is given back.
    assert dray.cli("scale", "delivery", "3").returncode == 0
    assert delivery(dray)["by"] == "hand"
    stays(lambda: delivery(dray)["wanted"] == 3, 2)
    assert dray.cli("scale", "delivery", "auto", "--no-wait").returncode == 0
    assert delivery(dray)["by"] == "autoscale"
