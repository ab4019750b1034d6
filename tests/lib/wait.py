"""Waiting for conditions: the only way a test lets time pass."""
import time


class Expired(AssertionError):
    """The condition did not come true in time."""


def wait_for(condition, seconds=10.0, what="", every=0.02):
    """Calls condition() until it returns something true, and returns that; Expired after so many seconds.

    An exception of the OS or an assertion inside condition counts as "not yet"; the last one is told at the end."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, AssertionError, LookupError) as error:
            last = error
        if time.monotonic() >= deadline:
            name = what or getattr(condition, "__name__", "condition")
            raise Expired("not within %.1f s: %s (last: %r)" % (seconds, name, last))
        time.sleep(every)


def stays(condition, seconds, what=""):
    """Fails as soon as condition() is false within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), "did not stay true: %s" % (what or condition)
        time.sleep(0.02)
