"""The unit of systemd: what its own analysis says, and that dray, its children and redis-server may call what they need
inside of its filter. `make install` puts it in place."""
import os
import re
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNIT = os.path.join(ROOT, "etc/dray.service")
EXPOSURE_MAX = 2.0

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None,
                                reason="systemd-analyze (package systemd) is not installed")


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, SYSTEMD_COLORS="0", SYSTEMD_PAGER=""))


def test_exposure():
    result = analyze("security", "--offline=true", UNIT)
    found = re.search(r"Overall exposure level for dray.service: ([0-9.]+)", result.stdout)
    assert found, result.stdout + result.stderr
    print("figure: systemd's exposure level of dray.service: %s" % found.group(1))
    assert float(found.group(1)) <= EXPOSURE_MAX


def test_installed_files_are_verified(build, tmp_path):
    make = subprocess.run(["make", "-s", "-C", ROOT, "install", "B=" + build, "DESTDIR=%s" % tmp_path, "PREFIX=/usr"],
                          capture_output=True, text=True, timeout=110)
    assert make.returncode == 0, make.stdout + make.stderr
    installed = sorted(os.path.relpath(os.path.join(folder, name), tmp_path)
                       for folder, _, names in os.walk(tmp_path) for name in names)
    examples = {name for name in installed if name.startswith("usr/share/doc/dray/")}
    assert {"usr/share/doc/dray/dray.socket", "usr/share/doc/dray/dray.yaml"} <= examples
    assert set(installed) - examples == {"usr/bin/dray", "usr/lib/systemd/system/dray.service",
                                         "usr/lib/sysusers.d/dray.conf", "usr/share/man/man1/dray.1"}
    binary = str(tmp_path / "usr/bin/dray")
    assert subprocess.run([binary, "version"], capture_output=True).returncode == 0
    assert subprocess.run([binary, "check", "-c", str(tmp_path / "usr/share/doc/dray/dray.yaml")],
                          capture_output=True, cwd=tmp_path).returncode == 0
    unit = (tmp_path / "usr/lib/systemd/system/dray.service").read_text()
    assert "ExecStart=/usr/bin/dray run" in unit and "/usr/local" not in unit
    (tmp_path / "dray.service").write_text(unit.replace("=/usr/bin/dray", "=" + binary))
    shutil.copy(str(tmp_path / "usr/share/doc/dray/dray.socket"), tmp_path)
    result = analyze("verify", "--man=no", str(tmp_path / "dray.service"), str(tmp_path / "dray.socket"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def group(name, seen=()):
    """The calls of one of systemd's groups, or the call itself."""
    if not name.startswith("@"):
        return {name}
    calls = set()
    for line in analyze("syscall-filter", name).stdout.splitlines()[1:]:
        word = line.strip()
        if word and not word.startswith("#"):
            calls |= group(word, (*seen, name)) if word not in seen else set()
    return calls


def allowed_by_unit():
    allowed = group("@default")
    with open(UNIT) as f:
        for words in re.findall(r"^SystemCallFilter=(.*)$", f.read(), re.M):
            calls = set().union(*(group(w) for w in words.lstrip("~").split()))
            allowed = allowed - calls if words.startswith("~") else allowed | calls
    return allowed


def test_its_filter_lets_us_work(make_dray, sink, tmp_path):
    """What dray, its children and redis-server call from start to end, looked at by strace, is inside."""
    allowed = allowed_by_unit()
    assert {"seccomp", "landlock_create_ruleset", "clone3", "openat"} <= allowed and "ptrace" not in allowed
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        pytest.skip("no process may be traced here")
    trace = str(tmp_path / "calls")
    wrapper = tmp_path / "dray"
    dray = make_dray(start=False, variant="release", conf={"master": {"processes": {"delivery": 1}}})
    wrapper.write_text("#!/bin/sh\nexec strace -D -f -qq -e signal=none -o %s %s \"$@\"\n" % (trace, dray.binary))
    wrapper.chmod(0o755)
    dray.binary = str(wrapper)
    dray.start(seconds=60)
    with dray.client() as c:
        assert c.post("/v1/batch", {"batch": [None, {"type": "track", "userId": "u", "event": "E", "messageId": "m"}]}).status == 200
    assert dray.stop() == 0
    called = set()
    with open(trace, errors="replace") as f:
        for line in f:
            found = re.match(r"\d+ +(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed)", line)
            if found:
                called.add(found.group(1))
    assert {"execve", "seccomp", "epoll_ctl"} <= called, "strace saw it: %s" % sorted(called)
    refused = called - allowed
    print("figure: %d different system calls from start to end" % len(called))
    assert not refused, "dray.service would refuse: %s" % sorted(refused)
