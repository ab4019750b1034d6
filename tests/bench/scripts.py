"""Redis CPU of dray's scripts against those of Bull: see redis_cpu_bench.py, which does the work."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main(args):
    subprocess.run([sys.executable, os.path.join(HERE, "redis_cpu_bench.py"), "--build", args.build], check=False)
