"""A signal ends a run even when it comes just before the main thread falls asleep."""

import signal
import threading

import pytest

from beamstream.instrument.during import DuringPlan


class SignalledUnawares(threading.Event):
    """Has the kernel give a signal to another thread than the main one, which then sleeps on."""

    def __init__(self, other: threading.Thread) -> None:
        super().__init__()
        self._other = other

    def wait(self, timeout: float | None = None) -> bool:
        if self._other.ident and not self.is_set():
            signal.pthread_kill(self._other.ident, signal.SIGUSR2)
        return super().wait(timeout)


@pytest.mark.timeout(20)
def test_a_signal_that_does_not_wake_the_main_thread_is_heard():
    done = threading.Event()
    other = threading.Thread(target=done.wait, args=(10.0,))
    other.start()
    plan_ended = SignalledUnawares(other)
    before = signal.signal(signal.SIGUSR2, lambda *_: plan_ended.set())
    try:
        DuringPlan().block(plan_ended)
    finally:
        signal.signal(signal.SIGUSR2, before)
        done.set()
        other.join(5.0)
    assert plan_ended.is_set()
