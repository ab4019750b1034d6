"""F35: a random storm: each 50 ms a KILL, STOP and CONT, TERM, HUP, TTIN, TTOU, USR1 or USR2 for a random process of any kind, or
a verb of the operator; redis-server and the master are not excepted. Every event answered 2xx is delivered, in Redis or in the
quarantine; what came twice has a reason. --seed N repeats a storm."""
import random

import pytest

from lib.hooks import Children
from lib.stormrun import CONF, full_log, stopped_log, whole_storm, working_log

pytestmark = pytest.mark.alone


def storm(make_dray, sink, ledger, request, seconds, settle, log=working_log, **options):
    seed = request.config.getoption("--seed")
    seed = seed if seed is not None else random.SystemRandom().randrange(1, 10**6)
    dray = make_dray(conf=CONF, start=False, **options)
    return whole_storm(dray, sink, ledger, seed, seconds, settle, say=lambda line: print("figure: " + line), log=log)


@pytest.mark.limit(300)
def test_a_quarter_of_a_minute(make_dray, sink, ledger, request):
    storm(make_dray, sink, ledger, request, 15, 60)


@pytest.mark.soak
@pytest.mark.limit(1500)
@pytest.mark.parametrize("variant", ["asan", "release"])
def test_ten_minutes(make_dray, sink, ledger, request, variant):
    weather = storm(make_dray, sink, ledger, request, 600, 120, variant=variant)
    assert weather.starts > 5


@pytest.mark.soak
@pytest.mark.limit(600)
@pytest.mark.parametrize("log", [stopped_log, full_log])
def test_three_minutes_without_a_log(make_dray, sink, ledger, request, log):
    storm(make_dray, sink, ledger, request, 180, 120, log=log, variant="release")


# ---- what storms have found

def test_a_signal_for_the_master_does_not_end_a_starting_child(make_dray, sink, ledger):
    """`killall -HUP dray` comes to every process, those too that have not installed their handlers yet."""
    dray = make_dray(start=False)
    children = Children(dray)
    for kind, slot in (("delivery", 0), ("delivery", 1), ("ingest", 0), ("console", 0), ("program", 0)):
        children.does(kind, slot, "for s in HUP INT QUIT USR1 USR2 TTIN TTOU; do kill -$s $$; done")
    dray.start()
    assert not dray.log.records("child_died")
    assert not dray.log.records("child_backoff")
