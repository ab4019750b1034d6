"""Runs in place of a child (lib/hooks.py): says so (NOTE), asks the master for more time, uses it
up, and becomes the child then.

late_child.py EXTEND_MS SLEEP_S PROGRAM -x KIND -n SLOT"""
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from lib.fake_master import Reader, message  # noqa: E402


def main():
    extend_ms, sleep_s, program, *words = sys.argv[1:]
    control = socket.socket(fileno=3)
    control.setblocking(True)
    control.sendall(message("HELLO", 0, 1, 1, words[1], int(words[3]), os.getpid(), "late"))
    reader, found = Reader(), []
    while not found:
        data, fds, _, _ = socket.recv_fds(control, 65536, 4)
        found = reader.feed(data)
        for fd in fds:
            os.close(fd)
    control.sendall(message("NOTE", found[0].generation, "late, for \N{HOURGLASS} a test"))
    control.sendall(message("EXTEND", found[0].generation, int(extend_ms), "a test"))
    time.sleep(float(sleep_s))
    os.set_inheritable(3, True)
    os.execv(program, [program, *words])


if __name__ == "__main__":
    main()
