"""Builds what is loaded into an instance (LD_PRELOAD) and gives its environment, for make_dray(env=...)."""
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def build(directory, name):
    library = os.path.join(str(directory), name + ".so")
    if not os.path.exists(library):
        subprocess.run(["cc", "-D_GNU_SOURCE", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library,
                        os.path.join(HERE, name + ".c")], check=True)
    return library


def bad_io(directory, short=None, broken=None):
    """io_shim.c. short: "local" or "tcp"; broken: the folder with names of what is to fail."""
    env = {"LD_PRELOAD": build(directory, "io_shim")}
    if short is not None:
        env["IO_SHIM_SHORT"] = short
    if broken is not None:
        env["IO_SHIM_BREAK"] = str(broken)
    return env


def bad_dns(directory, milliseconds):
    """dns_shim.c."""
    return {"LD_PRELOAD": build(directory, "dns_shim"), "DNS_SHIM_MS": str(milliseconds)}
