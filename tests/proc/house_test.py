"""The checks of the house find what they are for: each is run on a copy of the tree that was made wrong."""
import os
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


@pytest.fixture
def tree(tmp_path):
    for name in ("common", "etc", "ipc", "workers", "master"):
        shutil.copytree(os.path.join(ROOT, name), tmp_path / name)
    (tmp_path / "tests" / "lib").mkdir(parents=True)
    for name in ("tables.py", "layers.py"):
        shutil.copy(os.path.join(ROOT, "tests", "lib", name), tmp_path / "tests" / "lib" / name)
    return tmp_path


def run(tree, name, *args):
    done = subprocess.run([sys.executable, f"tests/lib/{name}", *args], cwd=tree, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def change(tree, path, old, new):
    text = (tree / path).read_text()
    assert old in text
    (tree / path).write_text(text.replace(old, new, 1))


def test_the_tree_is_right(tree):
    for name in ("tables.py", "layers.py"):
        code, out = run(tree, name)
        assert code == 0, out


@pytest.mark.parametrize("path, old, new, told", [
    ("etc/dray.yaml", "flush_at: 100 ", "flush_at: 101 ", 'ingest.flush_at is "101"'),
    ("etc/dray.yaml", "nofile: 65536", "nofiles: 65536", "master.nofiles is not in"),
    ("etc/dray.yaml", "jitter: 0.2, healthy_after: 10s", "jitter: 0.2", "master.restart.healthy_after is missing"),
    ("etc/dray.yaml", "\n    enabled: true", "\n    enable: true", "sources[].enable is not in"),
    ("common/conf/queue.def", '"max_attempts", "10"', '"max_attempts", "11"', "queue.max_attempts"),
    ("common/README.md", "# common\n", "# common\n\n<!-- table: exit-codes -->\n| code | name |\n|---|---|\n| 0 | OK |\n| 1 | NO |\n",
     'name of 1 is "NO"; the table says "FAILURE"'),
    ("common/README.md", "# common\n", "# common\n\n<!-- table: nonsense -->\n| a |\n|---|\n", "no table is called nonsense"),
])
def test_tables(tree, path, old, new, told):
    change(tree, path, old, new)
    code, out = run(tree, "tables.py")
    assert code == 1 and told in out, out


def test_tables_are_written(tree):
    change(tree, "common/README.md", "# common\n", "# common\n\n<!-- table: exit-codes -->\n| code | name |\n|---|---|\n| 1 | NO |\n")
    code, out = run(tree, "tables.py", "--write")
    assert code == 0, out
    assert "| 78 | CONFIG |" in (tree / "common/README.md").read_text()


@pytest.mark.parametrize("path, line, told", [
    ("common/queue/zz.c", '#include "master/slot.h"', '"master/slot.h" stands on floor'),
    ("common/event/zz.c", '#include "common/conf/conf.h"', '"common/conf/conf.h" stands on floor'),
    ("ipc/zz.c", '#include "common/conf/conf.h"', "ipc includes only common/base"),
    ("workers/delivery/zz.c", '#include "workers/ingest/auth.h"', "another worker's own"),
    ("master/zz.c", '#include "common/http/client.h"', "master includes only"),
    ("master/zz.c", '#include "master/cli/cli.h"', "stands on floor"),
    ("workers/ingest/zz.c", "#include <hiredis/hiredis.h>", "belongs to common/redis/"),
    ("common/base/zz.c", "int f(void) { return fork(); }", "fork(): only master/spawn.c"),
    ("workers/zz.c", "long f(void) { return time(NULL); }", "time(): only common/base/clock.c"),
])
def test_layers(tree, path, line, told):
    (tree / path).write_text("/* time() and fork() in a comment are fine */\n" + line + "\n")
    code, out = run(tree, "layers.py")
    assert code == 1 and f"{path}:2: " in out and told in out, out


def test_layers_look_into_objects(tree):
    (tree / "objects" / "master").mkdir(parents=True)
    for name in os.listdir(tree / "master"):
        if name.endswith(".c"):
            body = "int redisConnect(void); int f(void); int f(void) { return redisConnect(); }" if name == "slot.c" else "int x;"
            subprocess.run(["gcc", "-x", "c", "-c", "-", "-o", tree / "objects" / "master" / (name[:-2] + ".o")],
                           input=body, text=True, check=True)
    code, out = run(tree, "layers.py", "objects")
    assert code == 1 and "needs redisConnect" in out and out.count("needs") == 1, out
    os.remove(tree / "objects" / "master" / "reap.o")
    code, out = run(tree, "layers.py", "objects")
    assert code == 1 and "reap.o:0: is not built" in out, out


def test_a_release_build_has_no_hooks(build):
    """Nothing that a test may make happen is in what people run."""
    def traces(variant):
        path = os.path.join(build, variant, "dray")
        names = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
        with open(path, "rb") as f:
            data = f.read()
        return [s for s in (" hook_",) if s in names] + [s for s in (b"DRAY_CRASH_AT", b"DRAY_TEST_", b"answer_unsent") if s in data]
    assert traces("release") == []
    assert len(traces("asan")) == 4
