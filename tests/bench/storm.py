"""Storm: each 50 ms a signal or a verb for a random process, the master and redis-server not excepted, while clients send; what
became of the processes, and of the events. --storm SECONDS (600), --seed N repeats one; --storm-log stopped: nobody reads the
log; full: its disk is full.
"""
import random

from lib import procs, stormrun
from lib.dray import Dray
from lib.ledger import Ledger
from lib.sink import Sink


def main(args):
    procs.become_subreaper()  # as for the tests: what a killed master leaves is ours
    sink = Sink()
    ledger = Ledger(sink)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1, 10**6)
    dray = Dray(args.build, sink, variant="release", conf=stormrun.CONF)
    try:
        stormrun.whole_storm(dray, sink, ledger, seed, args.storm, 120, log=getattr(stormrun, args.storm_log + "_log"))
        dray.stop()
    finally:
        dray.remove()
        sink.close()
