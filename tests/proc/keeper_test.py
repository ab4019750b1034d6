"""The child that keeps one program of the configuration running, under a fake master, with real programs."""
import os
import pwd
import re
import shutil
import signal
import socket
import tempfile
import time

import pytest

from lib import procs
from lib.wait import wait_for

PYTHON = "/usr/bin/python3"
WAIT = "import signal\nwhile True: signal.pause()"


class Place:
    """A folder, and the programs that were started in it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="dray-")
        self.run_dir = os.path.join(self.dir, "run")
        os.mkdir(self.run_dir)
        os.chmod(self.dir, 0o755)

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        try:
            with open(self.path(name)) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def conf(self, program, **master):
        program = dict({"id": "p"}, **program)
        return {"node": {"run_dir": self.run_dir, "state_dir": self.dir}, "redis": {"mode": "standalone"},
                "master": master, "programs": [program]}


class Keeper:
    def __init__(self, master, place):
        self.master, self.place = master, place

    def __getattr__(self, name):
        return getattr(self.master, name)

    def pids(self):
        """Of every program it has started, in order."""
        return [int(pid) for pid in re.findall(r"event=program_started program=\"p\" program_pid=(\d+)", self.master.log())]

    def wait_pid(self, n=1, seconds=15):
        """The n-th program it started."""
        def found():
            self.master.pump()
            return len(self.pids()) >= n
        wait_for(found, seconds, "program %d runs\n" % n)
        return self.pids()[n - 1]

    def wait_log(self, pattern, seconds=15):
        def found():
            self.master.pump()
            return re.search(pattern, self.master.log())
        try:
            return wait_for(found, seconds, pattern)
        except AssertionError as e:
            raise AssertionError("%s\n%s" % (e, self.master.log())) from None

    def program(self, **wanted):
        """The next PROGRAM whose fields are so."""
        names = ("pid", "started_ms", "restarts", "ready", "degraded", "state")
        while True:
            fields = dict(zip(names, self.master.expect("PROGRAM").fields))
            if all(fields[k] == v for k, v in wanted.items()):
                return fields

    def drain(self, code=0, ms=5000):
        self.master.send("DRAIN", ms, "test")
        self.master.expect("DRAINED")
        assert self.master.wait_exit() == code


@pytest.fixture
def place(house):
    p = Place()
    yield p
    shutil.rmtree(p.dir, ignore_errors=True)


@pytest.fixture
def keep(fake_master, place):
    """keep(command=[...], ...): its keeper, started. master: keys of the section."""
    def make(ready=True, master=None, **program):
        m = fake_master("program", place.conf(program, **dict({"restart": {"min": "10ms", "max": "50ms"}}, **(master or {}))))
        k = Keeper(m.start(), place)
        if ready:
            m.expect("READY")
        return k
    return make


def script(text):
    return ["/bin/sh", "-c", text]


def python(text):
    return [PYTHON, "-c", text]


def gone(pid, *keepers):
    procs.reap_adopted({k.master.pid for k in keepers})
    return not procs.alive(pid)


# ---- what it is started with

def test_environment_directory_and_limits(keep, place):
    os.environ["DRAY_SECRET_OF_TEST"] = "hush"
    os.environ["SECRET_OF_TEST"] = "hush"
    try:
        k = keep(command=script("env > env.new; pwd > pwd; umask > umask; ulimit -n > nofile; ulimit -v > memory;"
                                " ulimit -c > core; grep NoNewPrivs /proc/self/status > privs; ls /proc/self/fd > fds;"
                                " cat /proc/self/stat > stat; mv env.new env; exec sleep 1000"),
                 environment=["A=1", "B=two words", "LANG=xx"], directory=place.dir, umask="0027", nofile=77,
                 memory="512MiB")
    finally:
        del os.environ["DRAY_SECRET_OF_TEST"], os.environ["SECRET_OF_TEST"]
    wait_for(lambda: place.read("env"), 10)
    env = dict(line.split("=", 1) for line in place.read("env").splitlines())
    assert env["A"] == "1" and env["B"] == "two words" and env["LANG"] == "xx"
    assert env["HOME"] == pwd.getpwuid(os.geteuid()).pw_dir and "PATH" in env
    allowed = {"A", "B", "LANG", "LANGUAGE", "HOME", "USER", "LOGNAME", "SHELL", "PATH", "TZ", "PWD", "OLDPWD", "SHLVL", "_",
               "DRAY_PROGRAM_ID"}
    assert not {name for name in env if name not in allowed and not name.startswith("LC_")}
    assert place.read("pwd").strip() == place.dir
    assert place.read("umask").strip() == "0027"
    assert place.read("nofile").strip() == "77"
    assert int(place.read("memory")) == 512 * 1024
    assert place.read("core").strip() == "0"
    assert place.read("privs").split()[1] == "1"
    assert place.read("fds").split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads
    fields = place.read("stat").split()
    assert fields[4] == str(k.pids()[0]), "not a process group of its own"
    k.drain()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
def test_user_and_group(keep, place):
    os.chmod(place.dir, 0o777)
    k = keep(command=script("id -u > uid; id -g > gid; id -G > groups; echo $HOME > home; exec sleep 1000"), user="nobody",
             group="daemon", directory=place.dir)
    wait_for(lambda: place.read("home"), 10)
    nobody = pwd.getpwnam("nobody")
    assert int(place.read("uid")) == nobody.pw_uid and place.read("home").strip() == nobody.pw_dir
    assert place.read("gid").strip() == "1" and "0" not in place.read("groups").split()
    k.drain()


# ---- readiness

def test_ready_none_and_drain(keep):
    k = keep(command=["sleep", "1000"])
    pid = k.wait_pid()
    assert k.program(ready=True)["pid"] == pid
    k.drain()
    assert gone(pid)
    assert "program_stopped" in k.log() and "SIGTERM" in k.log()


NOTIFY = """
import os, signal, socket, sys, time
def say(text):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
    s.send(text.encode())
"""


def keep_typed(fake_master, place, ready, command, **more):
    conf = place.conf(dict({"command": command, "ready": ready}, **more), restart={"min": "10ms", "max": "50ms"})
    return Keeper(fake_master("program", conf).start(), place)


def is_not_ready(k, seconds=0.3):
    """A little while without READY."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        k.master.pump(0.05)
        assert not [m for m in k.master.seen if m.name == "READY"], k.log()


def wait_file(go):
    return "import os, time\nwhile not os.path.exists(%r): time.sleep(0.01)\n" % go


def release(place):
    open(place.path("go"), "w").close()


def test_ready_by_notify(fake_master, place):
    k = keep_typed(fake_master, place, {"type": "notify"}, python(
        NOTIFY + wait_file(place.path("go")) + "say('MAINPID=1\\nREADY=1\\nSTATUS=serving 3')\nsignal.pause()"))
    is_not_ready(k)
    release(place)
    k.expect("READY")
    while "serving 3" not in k.expect("NOTE").fields[0]:
        pass
    k.drain()


def test_a_stranger_cannot_say_ready(fake_master, place):
    k = keep_typed(fake_master, place, {"type": "notify"}, script("echo $NOTIFY_SOCKET > socket; exec sleep 1000"),
                   directory=place.dir)
    wait_for(lambda: place.read("socket"), 10)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect("\0" + place.read("socket").strip()[1:])
    s.send(b"READY=1")
    is_not_ready(k)
    k.drain()


def test_ready_by_descriptor(fake_master, place):
    k = keep_typed(fake_master, place, {"type": "fd", "fd": 5}, python(
        "import signal\n" + wait_file(place.path("go")) + "os.write(5, b'\\n'); os.close(5); signal.pause()"))
    is_not_ready(k)
    release(place)
    k.expect("READY")
    k.drain()


def test_ready_by_tcp(fake_master, place):
    k = keep_typed(fake_master, place, {"type": "tcp", "address": "127.33.0.9:18377", "interval": "20ms"}, python(
        "import socket, signal\n" + wait_file(place.path("go")) +
        "s = socket.create_server(('127.33.0.9', 18377)); signal.pause()"))
    is_not_ready(k)
    release(place)
    k.expect("READY")
    k.drain()


def test_ready_by_unix(fake_master, place):
    k = keep_typed(fake_master, place, {"type": "unix", "address": place.path("s"), "interval": "20ms"}, python(
        "import socket, signal\n" + wait_file(place.path("go")) +
        "s = socket.socket(socket.AF_UNIX); s.bind(%r); s.listen(); signal.pause()" % place.path("s")))
    is_not_ready(k)
    release(place)
    k.expect("READY")
    k.drain()


def test_ready_by_command(fake_master, place):
    k = keep_typed(fake_master, place, {"type": "command", "command": ["test", "-e", place.path("go")], "interval": "20ms"},
                   ["sleep", "1000"])
    is_not_ready(k)
    release(place)
    k.expect("READY")
    k.drain()


def test_not_ready_in_time_is_started_anew(fake_master, place):
    k = keep_typed(fake_master, place, {"type": "notify", "timeout": "200ms"}, ["sleep", "1000"])
    first = k.wait_pid(1)
    second = k.wait_pid(2)
    assert first != second and gone(first)
    assert "program_not_ready" in k.log()
    k.drain()


# ---- health

def test_unwell_is_started_anew(fake_master, place):
    release(place)
    k = keep_typed(fake_master, place, {"type": "command", "command": ["test", "-e", place.path("go")], "interval": "20ms"},
                   ["sleep", "1000"], health={"interval": "50ms", "failures": 3})
    k.expect("READY")
    first = k.wait_pid(1)
    os.unlink(place.path("go"))
    k.wait_pid(2)
    assert gone(first)
    assert k.log().count("event=program_unwell") >= 3 and "program_sick" in k.log()
    release(place)
    k.program(ready=True, restarts=1)
    k.drain()


def test_a_stopped_program_is_replaced(fake_master, place):
    k = keep_typed(fake_master, place, {"type": "notify"}, python(
        NOTIFY + "say('READY=1')\nwhile True: say('WATCHDOG=1'); time.sleep(0.05)"),
        health={"interval": "250ms", "failures": 2}, stop_timeout="300ms")
    k.expect("READY")
    first = k.wait_pid(1)
    os.kill(first, signal.SIGSTOP)
    k.wait_pid(2)
    assert gone(first) and "no WATCHDOG=1 in time" in k.log()
    k.drain()


# ---- its end

def test_killed_is_back_at_once(keep):
    k = keep(command=["sleep", "1000"])
    for n in range(1, 6):
        pid = k.wait_pid(n)
        os.kill(pid, signal.SIGKILL)
    k.wait_pid(6)
    assert "program_exited" in k.log() and 'status="SIGKILL"' in k.log()
    assert k.program(restarts=5)
    k.drain()


@pytest.mark.parametrize("policy, code, more, again", [
    ("always", 0, {}, True), ("always", 1, {}, True), ("on_failure", 0, {}, False), ("on_failure", 1, {}, True),
    ("on_failure", 3, {"success_codes": ["3"]}, False), ("on_failure", 0, {"success_codes": ["3"]}, True),
    ("never", 0, {}, False), ("never", 1, {}, False)])
def test_restart_policy(keep, policy, code, more, again):
    k = keep(command=script("exit %d" % code), restart=policy, **more)
    if again:
        k.wait_pid(3)
    else:
        success = code in [int(c) for c in more.get("success_codes", ["0"])]
        k.program(state="finished" if success else "failed", ready=success)
        assert len(k.pids()) == 1
    k.drain()


def test_give_up_and_degraded(keep):
    k = keep(command=script("exit 1"), master={"restart": {"min": "1ms", "max": "2ms", "give_up": 5, "degraded_at": "3/60s"}})
    k.program(state="given up", ready=False, degraded=True)
    assert len(k.pids()) == 5
    assert "program_given_up" in k.log() and "program_degraded" in k.log()
    k.drain()


@pytest.mark.parametrize("signal_name", ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"])
def test_stop_signal(keep, place, signal_name):
    k = keep(command=python("import os, signal\nsignal.signal(signal.SIG%s, lambda *a: (open(%r, 'w').close(), os._exit(0)))\n"
                            "open(%r, 'w').close()\n%s" % (signal_name, place.path("heard"), place.path("up"), WAIT)),
             stop_signal=signal_name)
    wait_for(lambda: os.path.exists(place.path("up")), 10)
    k.drain()
    assert os.path.exists(place.path("heard"))


def test_all_that_it_started_ends_with_it(keep, place):
    deaf = "trap '' TERM; echo $$ > %s; while :; do sleep 100; done"
    k = keep(command=script("sh -c '%s' & setsid sh -c '%s' & %s" % (
        deaf.replace("''", "\"\"") % place.path("a"), deaf.replace("''", "\"\"") % place.path("b"), deaf % place.path("c"))),
        stop_timeout="300ms")
    wait_for(lambda: all(place.read(name).strip() for name in "abc"), 10)
    pids = [int(place.read(name)) for name in "abc"]
    k.drain()
    assert all(gone(pid) for pid in pids)


def test_what_it_left_behind_ends_before_the_next_one(keep, place):
    k = keep(command=script("setsid sh -c 'trap \"\" TERM; echo $$ >> %s; while :; do sleep 100; done' & exec sleep 1000"
                            % place.path("a")), stop_timeout="300ms")
    wait_for(lambda: place.read("a").strip(), 10)
    left = int(place.read("a"))
    os.kill(k.wait_pid(1), signal.SIGKILL)
    k.wait_pid(2)
    assert gone(left)
    k.drain()


def test_a_program_that_is_not_there(fake_master, place):
    m = fake_master("program", place.conf({"command": ["/no/such/program"]})).start()
    assert m.wait_exit() == 127


def test_a_program_that_cannot_be_executed(fake_master, place):
    path = place.path("text")
    with open(path, "w") as f:
        f.write("not a program")
    os.chmod(path, 0o755)
    m = fake_master("program", place.conf({"command": [path]})).start()
    assert m.wait_exit() == 127
    assert "Exec format error" in m.log()


# ---- output

def texts(k, stream):
    return re.findall(r"event=program_output program=\"p\" stream=%s (?:part=continued )?(?:cut=yes )?text=\"(.*)\"\n" % stream,
                      k.log())


def test_output_line_by_line(keep, place):
    k = keep(command=python("import os, sys\nos.write(1, b'one\\ntwo\\r\\n\\n'); os.write(2, b'bad\\n');"
                            "os.write(1, bytes(range(1, 10)) + b'\\xff\"\\\\\\n'); os.write(1, b'no newline'); os._exit(0)"),
             restart="never")
    k.program(state="finished")
    k.wait_log("no newline")
    out = texts(k, "stdout")
    assert out[:2] == ["one", "two"] and out[3] == "no newline"
    assert "\\xff" in out[2] or "\\377" in out[2] or "ff" in out[2]
    assert texts(k, "stderr") == ["bad"]
    assert re.search("\x013event=program_output .*text=\"one\"", k.log()) and re.search("\x012event=program_output .*text=\"bad\"", k.log())
    k.drain()


def test_a_very_long_line_comes_whole_in_pieces(keep, place):
    k = keep(command=python("import os\nfor i in range(1024): os.write(1, b'%04d' % (i % 10000) * 256)\n"
                            "os.write(1, b'end\\n')\n" + WAIT))
    k.wait_log('end"\n', 30)
    whole = "".join(texts(k, "stdout"))
    assert whole == "".join("%04d" % i * 256 for i in range(1024)) + "end"
    k.drain()


# ---- the keeper or the master dies

def test_keeper_killed_leaves_nothing_and_no_second_copy(fake_master, place):
    text = ("setsid sh -c 'echo $$ > %s; exec sleep 1000' & exec sleep 1000") % place.path("a")
    conf = place.conf({"command": script(text)})
    k = Keeper(fake_master("program", conf).start(), place)
    first = k.wait_pid(1)
    wait_for(lambda: place.read("a").strip(), 10)
    left = int(place.read("a"))
    k.signal(signal.SIGKILL)
    assert k.wait_exit() == -signal.SIGKILL
    again = Keeper(fake_master("program", conf).start(), place)
    again.wait_pid(1)
    assert gone(first), "two copies"
    assert gone(left), "what it had started lives on"
    again.drain()


def test_master_gone(keep):
    k = keep(command=["sleep", "1000"])
    pid = k.wait_pid(1)
    k.control.close()
    k.master.is_ended = True
    assert k.wait_exit(20) == 81
    assert gone(pid)


def test_a_successor_waits_for_the_keeper_that_still_stops(fake_master, place):
    conf = place.conf({"command": python("import signal, time, os\nsignal.signal(signal.SIGTERM, lambda *a: (time.sleep(1), os._exit(0)))\n"
                                         "open(%r, 'a').write('x')\n%s" % (place.path("up"), WAIT))})
    old = Keeper(fake_master("program", conf).start(), place)
    first = old.wait_pid(1)
    wait_for(lambda: place.read("up") == "x", 10)
    old.send("DRAIN", 5000, "test")
    old.wait_log("program_stopping")
    new = Keeper(fake_master("program", conf).start(), place)
    new.wait_log("program_lives")
    second = new.wait_pid(1)
    assert gone(first, old, new) and second != first
    old.expect("DRAINED")
    assert old.wait_exit() == 0
    new.drain()
