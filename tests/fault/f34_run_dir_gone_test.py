"""F34: run_dir/lock, the control socket or the whole run_dir is removed under a running master: noticed at the next look (60 s;
shortened here), one critical line, what was removed is there again, and work goes on. A lock that another master holds is told
and left alone."""
import fcntl
import os
import shutil

import pytest

from lib.client import Load
from lib.outcome import pids
from lib.wait import stays, wait_for

LOOK_MS = 200


@pytest.fixture
def dray(make_dray):
    return make_dray(env={"DRAY_TEST_LOCK_MS": str(LOOK_MS)})


def lock_path(dray):
    return os.path.join(dray.run_dir, "lock")


def is_locked(path):
    with open(path) as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def lost(dray):
    return dray.log.records("lock_lost", level="crit")


def works_on(dray, ledger, before, seed):
    Load(dray, ledger, events=100, clients=2, seed=seed).start().join()
    ledger.settle()
    assert pids(dray) == before, "nobody was restarted for it"


@pytest.mark.expects("lock_lost")
def test_the_lock_is_removed(dray, ledger):
    before = pids(dray)
    dray.fd_baseline()
    os.unlink(lock_path(dray))
    wait_for(lambda: lost(dray), 5, "it is noticed")
    wait_for(lambda: is_locked(lock_path(dray)), 5, "it is locked again")
    with open(lock_path(dray)) as f:
        assert int(f.read()) == dray.pid
    second = dray.run_verb("run", "-c", dray.config_path)
    assert second.returncode == 75, second.stderr
    works_on(dray, ledger, before, "lock")
    stays(lambda: len(lost(dray)) == 1, 4 * LOOK_MS / 1000, "told once")
    assert lost(dray)[0]["made_again"] == "yes" and lost(dray)[0]["remedy"]
    dray.check_fds()


def made_again(dray):
    event = "control_sock_made_again"
    return len(dray.log.records(event)) + sum(int(r["n"]) for r in dray.log.records("repeated", of=event))


def test_the_control_socket_is_removed(dray, ledger):
    before = pids(dray)
    dray.fd_baseline()
    for n in range(2):
        os.unlink(dray.control_path)
        wait_for(lambda: pids(dray) == before, 5, "it is there again")
        wait_for(lambda: made_again(dray) == n + 1, 5)
    assert oct(os.stat(dray.control_path).st_mode & 0o777) == "0o660"
    works_on(dray, ledger, before, "socket")
    dray.check_fds()


@pytest.mark.expects("lock_lost")
def test_the_whole_folder_is_removed(dray, ledger):
    """The managed Redis lost its socket's name as well: whoever is connected goes on; `dray restart program` makes it again."""
    before = pids(dray)
    dray.fd_baseline()
    load = Load(dray, ledger, clients=2, batch=5, pause=0.01).start()
    wait_for(lambda: len(ledger.acked) > 50, 20)
    shutil.rmtree(dray.run_dir)
    wait_for(lambda: lost(dray), 5, "it is noticed")
    wait_for(lambda: pids(dray) == before, 5, "it answers on its socket")
    assert is_locked(lock_path(dray))
    count = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > count + 50, 10, "work goes on")
    assert dray.cli("restart", "program").returncode == 0
    wait_for(lambda: os.path.exists(dray.redis_path), 20, "Redis' socket is there again")
    dray.wait_replaced("delivery", 0, dray.kill("delivery", 0))
    count = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > count + 50, 20, "work goes on")
    load.stop()
    ledger.settle()
    assert len(lost(dray)) == 1
    dray.check_fds()


@pytest.mark.expects("lock_lost")
def test_it_cannot_be_made_again(dray, ledger):
    """In the folder's place stands a file: told once, it runs on; and says so when it could make it at last."""
    before = pids(dray)
    shutil.rmtree(dray.run_dir)
    with open(dray.run_dir, "w"):
        pass
    wait_for(lambda: lost(dray), 5, "it is noticed")
    Load(dray, ledger, events=100, clients=2, seed="file").start().join()
    ledger.settle()
    stays(lambda: len(lost(dray)) == 1, 4 * LOOK_MS / 1000, "told once")
    assert lost(dray)[0]["made_again"] == "no"
    os.unlink(dray.run_dir)
    wait_for(lambda: pids(dray) == before, 5, "it answers on its socket")
    assert is_locked(lock_path(dray))


@pytest.mark.expects("lock_lost")
def test_another_one_holds_it(dray, ledger):
    before = pids(dray)
    os.unlink(lock_path(dray))
    with open(lock_path(dray), "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write("4711\n")
        other.flush()
        wait_for(lambda: lost(dray), 5, "it is noticed")
        stays(lambda: len(lost(dray)) == 1, 4 * LOOK_MS / 1000, "told once")
        assert lost(dray)[0]["owner_pid"] == "4711"
        works_on(dray, ledger, before, "other")
    wait_for(lambda: is_locked(lock_path(dray)), 5, "it is ours when the other one ends")
    with open(lock_path(dray)) as f:
        assert int(f.read()) == dray.pid
