"""Builds io_shim.c and gives the environment that loads it into an instance."""
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def environment(directory, variant="asan", short=None, broken=None):
    """For make_dray(env=...). short: "local" or "tcp"; broken: the folder with names of what is to fail."""
    library = os.path.join(str(directory), "io_shim.so")
    if not os.path.exists(library):
        subprocess.run(["cc", "-D_GNU_SOURCE", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library,
                        os.path.join(HERE, "io_shim.c")], check=True)
    env = {"LD_PRELOAD": library}
    if short is not None:
        env["IO_SHIM_SHORT"] = short
    if broken is not None:
        env["IO_SHIM_BREAK"] = str(broken)
    return env
