"""Several threads at work at once: for tests."""

import threading
from concurrent.futures import ThreadPoolExecutor


def in_threads(work, count=8):
    """Run work(i) in `count` threads that start at once; return their results."""
    barrier = threading.Barrier(count)

    def start(i):
        barrier.wait(10)
        return work(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))
