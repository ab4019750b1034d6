"""Storm: each 50 ms a signal or a verb for a random process, the master and redis-server not excepted, while clients send; what
became of the processes, and of the events. --storm SECONDS (600), --seed N repeats one.
"""
import random

from lib import procs
from lib.dray import Dray
from lib.ledger import Ledger
from lib.sink import Sink
from lib.stormrun import CONF, whole_storm


def main(args):
    procs.become_subreaper()  # as for the tests: what a killed master leaves is ours
    sink = Sink()
    ledger = Ledger(sink)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1, 10**6)
    dray = Dray(args.build, sink, variant="release", conf=CONF)
    try:
        whole_storm(dray, sink, ledger, seed, args.storm, 120)
        dray.stop()
    finally:
        dray.remove()
        sink.close()
