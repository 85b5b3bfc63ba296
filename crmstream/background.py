"""Runs a job in the background of the supervisor, which must not wait for a store."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def in_background(job: Callable[[], None]) -> Future[None]:
    """Run a job in a thread that nobody has to wait for."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            job()
            done.set_result(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            done.set_exception(error)

    threading.Thread(target=run, name="background", daemon=True).start()
    return done
