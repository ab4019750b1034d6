"""The child that runs the managed redis-server, under a fake master, with a real redis-server."""
import fcntl
import os
import shutil
import signal
import socket
import tempfile
import time

import pytest
import redis

from lib import procs
from lib.wait import wait_for

ORPHAN_S = 10  # CHILD_ORPHAN_MS


class Place:
    """The folder of an instance, and who is in it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="dray-")
        self.run_dir, self.state_dir = os.path.join(self.dir, "run"), os.path.join(self.dir, "state")
        os.mkdir(self.run_dir)

    def conf(self, **managed):
        return {"node": {"run_dir": self.run_dir, "state_dir": self.state_dir}, "redis": {"managed": managed},
                "destinations": [{"id": "sink", "url": "http://127.0.0.1:9/"}]}

    @property
    def socket_path(self):
        return os.path.join(self.run_dir, "redis.sock")

    def client(self):
        return redis.Redis(unix_socket_path=self.socket_path, socket_timeout=5)

    def note(self):
        """Pids of the server and of who answers for it, as the lock file tells."""
        with open(os.path.join(self.state_dir, "redis.lock")) as f:
            words = f.read().split()
        return (int(words[0]), int(words[1])) if words else (None, None)

    def server(self):
        return self.note()[0]

    def wait_gone(self, pid, seconds=10):
        def gone():
            procs.reap_adopted(set())
            return not procs.alive(pid)
        wait_for(gone, seconds, "the server is gone")


@pytest.fixture
def place(house):
    p = Place()
    yield p
    pid = p.server() if os.path.exists(os.path.join(p.state_dir, "redis.lock")) else None
    if pid is not None and procs.alive(pid):  # a failed test's
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(p.dir, ignore_errors=True)


@pytest.fixture
def start(fake_master, place):
    """start(): a program child that is READY."""
    def make(ready=True, **managed):
        m = fake_master("program", place.conf(**managed)).start()
        if ready:
            m.expect("READY")
        return m
    return make


def drain(m, code=0, ms=5000):
    m.send("DRAIN", ms, "test")
    m.expect("DRAINED")
    assert m.wait_exit() == code


def test_ready_means_that_it_answers(start, place):
    m = start(appendfsync="everysec", maxmemory="64MiB")
    r = place.client()
    assert r.ping()
    config = r.config_get("*")
    assert config["appendonly"] == "yes" and config["appendfsync"] == "everysec" and config["save"] == ""
    assert config["maxmemory"] == str(64 << 20) and config["maxmemory-policy"] == "noeviction"
    assert config["port"] == "0" and config["dir"] == os.path.join(place.state_dir, "redis")
    assert os.stat(place.socket_path).st_mode & 0o777 == 0o700
    assert os.stat(config["dir"]).st_mode & 0o777 == 0o700
    server = place.server()
    assert set(procs.fds(server)) >= {0, 1, 2, 3} and procs.fds(server)[3].endswith("redis.lock")
    assert not [t for t in procs.fds(server).values() if "memfd" in t]
    assert os.getpgid(server) == server, "a Ctrl-C on the terminal is not for it"
    drain(m)
    assert not procs.alive(server)
    assert os.listdir(place.run_dir) == [] and place.note() == (None, None)


def test_data_survive_a_stop(start, place):
    m = start()
    place.client().set("key", "value")
    drain(m)
    m = start()
    assert place.client().get("key") == b"value"
    drain(m)


def test_a_killed_server_is_started_again(start, place):
    m = start()
    place.client().set("key", "value")
    for _ in range(8):
        old = place.server()
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: place.server() not in (old, None), 5, "a new server")
        wait_for(answers(place), 5, "it answers")
        assert procs.alive(m.pid), "without the death of its child"
    assert place.client().get("key") == b"value"
    assert m.log().count("event=redis_server_exited") == 8
    drain(m)


def test_killed_before_it_answered(start, place):
    """A server that is killed as soon as it is there says nothing about its start: the next one follows."""
    m = start()
    for _ in range(2):
        for _ in range(4):  # the child has had no time to hear its PONG
            old = place.server()
            os.kill(old, signal.SIGKILL)
            wait_for(lambda: place.server() not in (old, None), 5, "a new server", every=0.001)
        wait_for(lambda: "event=redis_server_ready server=%d" % place.server() in m.log(), 5, "it has answered")
    assert procs.alive(m.pid)
    drain(m)


def answers(place):
    def check():
        try:
            return place.client().ping()
        except redis.exceptions.RedisError:
            return False
    return check


def test_the_successor_of_a_killed_child_adopts_the_server(start, place):
    first = start()
    server = place.server()
    first.signal(signal.SIGKILL)
    first.wait_exit()
    second = start(appendfsync="no")
    assert place.note() == (server, second.pid)
    wait_for(lambda: place.client().config_get("appendfsync") == {"appendfsync": "no"}, 5)
    place.client().bgrewriteaof()
    wait_for(lambda: "only file rewriting started" in second.log(), 5, "it hears the adopted server")

    os.kill(server, signal.SIGKILL)  # and its end
    wait_for(lambda: place.server() != server, 10, "a new server")
    wait_for(answers(place), 5)
    drain(second)


def test_an_adopted_server_is_stopped_at_the_end(start, place):
    first = start()
    server = place.server()
    first.signal(signal.SIGKILL)
    first.wait_exit()
    second = start()
    drain(second)
    place.wait_gone(server)
    assert os.listdir(place.run_dir) == []


def test_a_replacement_takes_the_server_over(start, place):
    """The new child is READY before the old one is drained, which then leaves the server alone."""
    old = start()
    server = place.server()
    new = start()
    assert place.note() == (server, new.pid)
    drain(old)
    assert place.client().ping() and place.server() == server
    drain(new)
    place.wait_gone(server)


def test_a_stopped_server_is_waited_for(start, place):
    m = start()
    server = place.server()
    os.kill(server, signal.SIGSTOP)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        m.expect("BEAT", seconds=5)
    os.kill(server, signal.SIGCONT)
    assert place.client().ping() and place.server() == server
    drain(m)


def test_a_stopped_server_does_not_keep_a_drain(start, place):
    m = start()
    server = place.server()
    place.client().set("key", "value")
    os.kill(server, signal.SIGSTOP)
    drain(m)
    assert not procs.alive(server)
    m = start()
    assert place.client().get("key") == b"value"
    drain(m)


def test_a_successor_waits_for_a_stopped_server(start, place):
    first = start()
    server = place.server()
    os.kill(server, signal.SIGSTOP)
    first.signal(signal.SIGKILL)
    first.wait_exit()
    second = start(ready=False)
    # A process group that loses its last tie to the session is continued by the kernel: only then it may be READY.
    wait_for(lambda: "event=redis_lock_held" in second.log() or
             any(x.name == "READY" for x in second.seen) or second.pump(0.1), 10)
    os.kill(server, signal.SIGCONT)
    second.expect("READY")
    assert place.note() == (server, second.pid)
    drain(second)
    place.wait_gone(server)


def test_an_orphan_keeps_the_server_for_its_peers(start, place):
    m = start()
    server = place.server()
    peer = place.client()
    peer.set("key", 1)
    m.control.shutdown(socket.SHUT_RDWR)
    for i in range(20):  # a peer at work
        assert peer.incr("key") == i + 2
        time.sleep(0.1)
    assert procs.alive(m.pid)
    peer.connection_pool.disconnect()
    m.is_ended = True
    assert m.wait_exit(5) == 81
    assert not procs.alive(server)


def test_an_orphan_does_not_wait_for_ever(start, place):
    m = start()
    server = place.server()
    peer = place.client()
    peer.ping()
    started = time.monotonic()
    m.control.shutdown(socket.SHUT_RDWR)
    m.is_ended = True
    assert m.wait_exit(2 * ORPHAN_S) == 81
    assert time.monotonic() - started < ORPHAN_S + 2
    assert not procs.alive(server)


def test_an_orphan_leaves_the_server_to_a_new_master(start, place):
    old = start()
    server = place.server()
    peer = place.client()
    peer.ping()
    old.control.shutdown(socket.SHUT_RDWR)
    old.is_ended = True
    new = start()
    peer.connection_pool.disconnect()
    assert place.note() == (server, new.pid)
    old.wait_exit(2 * ORPHAN_S)
    assert old.exit_code == 81
    assert answers(place)() and place.note()[1] == new.pid
    drain(new)


def test_no_such_program(start):
    m = start(ready=False, binary="no-such-redis-server")
    assert m.wait_exit() == 127
    assert "apt-get install redis-server" in m.log() and "no-such-redis-server" in m.log()


def test_a_server_that_cannot_start(start, place):
    m = start()
    drain(m)
    folder = os.path.join(place.state_dir, "redis", "appendonlydir")
    base = next(n for n in os.listdir(folder) if ".base." in n)
    with open(os.path.join(folder, base), "w") as f:
        f.write("this is no append-only file\n")
    m = start(ready=False)
    assert m.wait_exit(30) == 69
    assert "event=redis_server_does_not_start" in m.log() and "Bad file format" in m.log()


def test_a_path_that_no_socket_can_have(fake_master, place):
    conf = place.conf()
    conf["node"]["run_dir"] = os.path.join(place.dir, "x" * 120)
    m = fake_master("program", conf).start()
    assert m.wait_exit() == 78
    assert "event=redis_path_too_long" in m.log()


def test_what_a_dead_server_left_behind_does_not_keep_the_lock(start, place):
    """A process that redis-server forked (a rewrite of its file) holds the lock, and nobody else is there."""
    m = start()
    server = place.server()
    lock = os.open(os.path.join(place.state_dir, "redis.lock"), os.O_RDWR)
    drain(m)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.pwrite(lock, b"%d %d %s\n" % (server, m.pid, place.socket_path.encode()), 0)
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ, file_actions=[
        (os.POSIX_SPAWN_DUP2, lock, 100), (os.POSIX_SPAWN_DUP2, 100, 3), (os.POSIX_SPAWN_CLOSE, 100)])
    os.close(lock)
    m = start()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    drain(m)


@pytest.mark.soak
def test_a_silent_server_is_killed_after_a_minute(start, place):
    m = start()
    server = place.server()
    os.kill(server, signal.SIGSTOP)
    started = time.monotonic()
    while place.server() == server:
        assert time.monotonic() - started < 120
        m.pump(0.5)
    assert time.monotonic() - started > 55
    wait_for(answers(place), 10)
    drain(m)
