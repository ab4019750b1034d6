"""One asyncio loop in a thread, shared by sink and proxy."""
import asyncio
import threading

_loop = None


def loop():
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        threading.Thread(target=_loop.run_forever, name="background", daemon=True).start()
    return _loop


def run(coroutine, seconds=10):
    """Runs a coroutine on the shared loop and returns its value."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop()).result(seconds)


def call(fn, *args):
    """Calls fn on the loop's thread and returns its value."""
    async def wrapped():
        return fn(*args)
    return run(wrapped())
