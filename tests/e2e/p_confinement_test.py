"""What children may do: their users, limits, system calls and files; what is refused is told, and work goes on."""
import grp
import os
import pwd
import re
import resource
import signal
import subprocess

import pytest

from lib import procs
from lib.client import Load
from lib.hooks import Hooks
from lib.wait import wait_for

KINDS = ("ingest", "delivery", "spool", "console", "program")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another user cannot become a third one")


def proc_status(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def limits(pid):
    with open("/proc/%d/limits" % pid) as f:
        return {m.group(1): m.group(2) for m in re.finditer(r"^(Max [a-z ]+?)\s{2,}(\S+)", f.read(), re.M)}


def environ(pid):
    with open("/proc/%d/environ" % pid, "rb") as f:
        return f.read()


def number(path):
    with open(path) as f:
        return int(f.read())


def test_filters_are_on(make_dray):
    """In the build that people use: every thread of each kind but the keeper of programs; nobody can gain rights."""
    dray = make_dray(variant="release")
    for kind in KINDS:
        pid = dray.pid_of(kind)
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/status" % (pid, thread)) as f:
                text = f.read()
            assert "NoNewPrivs:\t1" in text
            assert "Seccomp:\t%d" % (0 if kind == "program" else 2) in text, "%s, thread %s" % (kind, thread)
    assert proc_status(dray.pid)["Seccomp"] == proc_status(os.getpid())["Seccomp"], "the master has none of its own"
    ours = number("/proc/self/oom_score_adj")
    assert number("/proc/%d/oom_score_adj" % dray.pid_of("delivery")) == max(ours, 0) + 100
    assert number("/proc/%d/oom_score_adj" % dray.redis_pid()) == max(ours, 0)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, p) for p in (dray.pid_of("delivery"), dray.redis_pid())} == {nice}
    if nice == 0 and os.geteuid() == 0:
        assert os.getpriority(os.PRIO_PROCESS, dray.pid) == -10, "the master goes before its children"
    for kind in KINDS:
        assert limits(dray.pid_of(kind))["Max core file size"] == "0"


@pytest.mark.parametrize("kind", ["ingest", "delivery", "spool", "console"])
def test_a_refused_call_is_told_and_work_goes_on(make_dray, sink, ledger, kind):
    dray = make_dray(start=False, conf={"master": {"processes": {"delivery": 1}, "health": {"beat": "100ms", "hang": "5s"}}})
    dray.expect("syscall_denied")
    hooks = Hooks(dray)
    dray.start()
    pid = dray.pid_of(kind)
    for _ in range(2):  # a second attempt is not told again
        hooks.arm("beat", "forbidden", kind)
        wait_for(lambda: hooks.fired("beat"), 10)
    Load(dray, ledger, events=100, clients=2).start().join()
    ledger.settle()
    assert dray.pid_of(kind) == pid and dray.get("/readyz").status == 200
    told = dray.log.records("syscall_denied", kind=kind)
    assert len(told) == len({r["nr"] for r in told}) == 5, "execve, ptrace, socket, kill, clone: each once"
    assert all(r["level"] == "error" and r["remedy"] for r in told)


def test_seccomp_off_and_core_on(make_dray, sink):
    dray = make_dray(conf={"master": {"seccomp": "off", "landlock": "off", "core": "on"}}, variant="release")
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    for kind in ("ingest", "delivery", "spool", "console"):
        pid = dray.pid_of(kind)
        assert proc_status(pid)["Seccomp"] == "0" and proc_status(pid)["NoNewPrivs"] == "1"
        assert limits(pid)["Max core file size"] == ("unlimited" if most < 0 else str(most))
        assert b"PATH=" in environ(pid), "it may be looked into"


def test_a_crash_is_reported_from_inside(make_dray):
    """The report of a crash needs no call that is refused, in the build that people use."""
    dray = make_dray(variant="release", conf={"master": {"processes": {"delivery": 1}}})
    for kind in ("ingest", "delivery", "spool", "console"):
        old = dray.signal(kind, 0, signal.SIGSEGV)
        dray.wait_replaced(kind, 0, old)
        raw = [r["msg"] for r in dray.log.records("raw", kind=kind)]
        assert raw[0].startswith("crash: signal SIGSEGV") and "crash: end" in raw and len(raw) > 5


def test_a_sanitizer_can_tell_from_inside(make_dray):
    """Its report, with names and lines, comes out of the filter; and leaks are looked for at each end (LeakSanitizer would say
    that it could not)."""
    dray = make_dray(start=False, conf={"master": {"processes": {"delivery": 1}, "health": {"beat": "100ms", "hang": "5s"}}})
    hooks = Hooks(dray)
    dray.start()
    old = dray.pid_of("delivery")
    hooks.arm("beat", "overrun", "delivery")
    dray.wait_replaced("delivery", 0, old, 20)
    path = os.path.join(dray.dir, "sanitizer.%d" % old)
    with open(path) as f:
        report = f.read()
    os.unlink(path)
    assert "heap-buffer-overflow" in report and "in overrun common/base/hook.c:" in report


def test_memory_limit(make_dray, sink, ledger):
    """A process that wants more gets no memory: it ends with 83, or says 503, and is replaced; the limit is where it was set."""
    dray = make_dray(variant="release", conf={"master": {"processes": {"delivery": 1}, "memory": {"delivery": "64MiB"}}})
    assert limits(dray.pid_of("delivery"))["Max data size"] == str(64 << 20)
    assert limits(dray.pid_of("ingest"))["Max data size"] == limits(os.getpid())["Max data size"]
    Load(dray, ledger, events=500, clients=2).start().join()
    ledger.settle()
    result = dray.run_verb("check", "--set", "master.memory.ingest=100MiB", "-c", dray.config_path)
    assert result.returncode == 78 and "master.memory.ingest: memory.ingest must be at least 64MiB over" in result.stderr


def post_a_bad_element(dray, ledger):
    """Beside a good one: it is set aside on disk."""
    with dray.client() as c:
        assert c.post("/v1/batch", {"batch": [None, {"type": "track", "userId": "u", "event": "E", "messageId": "m"}]}).status == 200
    ledger.tried.add("m")
    ledger.acked.add("m")
    assert any(os.path.getsize(os.path.join(folder, n)) for folder, _, names in os.walk(dray.quarantine_dir) for n in names)


def user_of(pid):
    status = proc_status(pid)
    return [set(status[key].split()) for key in ("Uid", "Gid")] + [set(status["Groups"].split())]


@root_only
def test_a_user_for_each_kind(make_dray, sink, ledger):
    """Each writes what is its own and nothing else; a managed Redis is reached by delivery; all survive their deaths."""
    users = {"ingest": "www-data", "delivery": "daemon:daemon", "spool": "mail", "console": "nobody:nogroup", "program": "games"}
    dray = make_dray(start=False, variant="release",
                     conf={"master": {"user": "nobody", "users": {k: v for k, v in users.items() if k != "console"}}})
    os.chmod(dray.dir, 0o755)
    dray.may_leave.add("redis")
    dray.start()
    for kind in KINDS:
        name, _, group = users[kind].partition(":")
        uid = pwd.getpwnam(name).pw_uid
        gid = grp.getgrnam(group).gr_gid if group else pwd.getpwnam(name).pw_gid
        assert user_of(dray.pid_of(kind))[:2] == [{str(uid)}, {str(gid)}], kind
        assert str(gid) in user_of(dray.pid_of(kind))[2] and "0" not in user_of(dray.pid_of(kind))[2]
        assert proc_status(dray.pid_of(kind))["CapPrm"].strip("0") == ""
    assert user_of(dray.redis_pid())[0] == {str(pwd.getpwnam("games").pw_uid)}

    def owner(path):
        return pwd.getpwuid(os.stat(path).st_uid).pw_name, oct(os.stat(path).st_mode & 0o7777)
    assert owner(dray.quarantine_dir) == ("www-data", "0o711"), "the spool's user goes through, and reads nothing"
    assert owner(os.path.join(dray.quarantine_dir, "spool.0")) == ("mail", "0o700")
    assert owner(os.path.join(dray.state_dir, "spool")) == ("mail", "0o700")
    assert owner(os.path.join(dray.state_dir, "redis")) == ("games", "0o700")
    assert owner(dray.run_dir)[0] == owner(dray.state_dir)[0] == owner(dray.control_path)[0] == "root"
    assert owner(dray.redis_path) == ("games", "0o770")
    for kind in ("ingest", "delivery", "spool", "program"):
        dray.wait_replaced(kind, 0, dray.kill(kind, 0))
    post_a_bad_element(dray, ledger)
    assert owner(os.path.join(dray.quarantine_dir, "ingest.0")) == ("www-data", "0o700")
    assert dray.run_verb("queue", "ls", "-s", dray.control_path).returncode == 0
    assert dray.stop() == 0 and not os.path.lexists(dray.redis_path)
    dray.start()  # what is there already is theirs
    Load(dray, ledger, events=100, clients=2).start().join()
    ledger.settle()


@root_only
@pytest.mark.parametrize("user", [{"user": "daemon"}, {"users": {"spool": "mail"}}], ids=["the same", "the spool's alone"])
def test_the_quarantine_is_open_to_whom_it_must(make_dray, user):
    """One user for ingest and spool: nobody else passes. A user for the spool alone reaches its part of root's folder."""
    dray = make_dray(start=False, variant="release", conf={"master": user})
    os.chmod(dray.dir, 0o755)
    dray.start()
    own = os.stat(os.path.join(dray.quarantine_dir, "spool.0"))
    name = user.get("user", "mail")
    assert (pwd.getpwuid(own.st_uid).pw_name, oct(own.st_mode & 0o7777)) == (name, "0o700")
    assert oct(os.stat(dray.quarantine_dir).st_mode & 0o7777) == ("0o700" if "user" in user else "0o711")
    writes = subprocess.run(["setpriv", "--reuid", name, "--regid", "nogroup", "--clear-groups", "test", "-w",
                             os.path.join(dray.quarantine_dir, "spool.0")])
    assert writes.returncode == 0


@root_only
def test_folders_are_given_to_a_user_that_is_new(make_dray, sink, ledger):
    """An instance that ran as root goes on as another user; links and files with other names are left alone."""
    dray = make_dray(variant="release")
    post_a_bad_element(dray, ledger)
    assert dray.stop() == 0
    os.chmod(dray.dir, 0o755)
    mine = os.path.join(dray.dir, "mine")
    with open(mine, "w") as f:
        f.write("root's")
    os.link(mine, os.path.join(dray.quarantine_dir, "hard"))
    os.symlink(mine, os.path.join(dray.quarantine_dir, "soft"))
    dray.write_config({"master": {"user": "daemon"}})
    dray.start()
    assert os.stat(mine).st_uid == 0, "not given away"
    folder = os.path.join(dray.quarantine_dir, "ingest.0")
    assert {os.stat(os.path.join(folder, n)).st_uid for n in os.listdir(folder)} == {pwd.getpwnam("daemon").pw_uid}
    Load(dray, ledger, events=100, clients=2).start().join()
    ledger.settle()


@pytest.mark.parametrize("key, value, words", [
    ("user", "nobody-at-all", 'there is no user "nobody-at-all"'),
    ("user", "nobody:no-such-group", 'there is no group "no-such-group"'),
    ("user", "987654", "name one behind a colon"),
    ("users.ingest", ":daemon", "expected user or user:group"),
])
def test_an_unknown_user(make_dray, key, value, words):
    dray = make_dray(start=False)
    inner = {"users": {"ingest": value}} if "." in key else {key: value}
    dray.write_config({"master": inner})
    with open(dray.config_path) as f:
        number = next(i for i, line in enumerate(f, 1) if value in line)
    for verb in ("check", "run"):
        result = dray.cli(verb)
        assert result.returncode == 78
        first = result.stderr.splitlines()[0]
        assert re.match(r"%s:%d:\d+: master\.%s: " % (re.escape(dray.config_path), number, key), first) and words in first


def test_without_root_nobody_is_changed(make_dray):
    if os.geteuid() != 0:
        user = pwd.getpwuid(os.geteuid()).pw_name
        make_dray(conf={"master": {"user": user}}, variant="release")  # itself: nothing to do
        return
    dray = make_dray(start=False, variant="release", conf={"master": {"user": "daemon"}})
    os.chmod(dray.dir, 0o777)
    result = dray.run_verb("run", "-c", dray.config_path, user="nobody")
    assert result.returncode == 77 and "user_not_ours" in result.stderr and "remedy=" in result.stderr


def test_a_hung_orphan_ends(make_dray, sink):
    """It does not see that the master is gone, and nobody is left to kill it: the death signal's clock does."""
    dray = make_dray(start=False, conf={"master": {"processes": {"delivery": 1}, "health": {"beat": "100ms", "hang": "5m"}}})
    hooks = Hooks(dray)
    dray.start()
    pid = dray.pid_of("console")
    hooks.arm("beat", "spin", "console")
    wait_for(lambda: hooks.fired("beat"), 10)
    os.kill(pid, signal.SIGALRM)  # from anybody else it means nothing
    dray.kill_master()
    assert procs.alive(pid)
    wait_for(lambda: not procs.alive(pid), 40)
