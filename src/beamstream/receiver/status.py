"""What a receiver says about itself: to scripts, above pictures, to the live page."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from beamstream.receiver.layout import duration

if TYPE_CHECKING:
    from beamstream.receiver.receiver import SpectraReceiver


def of(receiver: "SpectraReceiver") -> dict[str, Any]:
    """Return everything, in values that JSON can carry; what is not known is None.

    ``current_delay`` alone is 0 while it is not known, so that it can be formatted as a number. ``buffer_index`` is
    the number of rows up to the newest in this round of the buffer: 0 only while it is empty, `buffer_length` when a
    round is complete. ``memory`` has the resident set of each process, bytes.
    """
    account, length = receiver.account, receiver.buffer_length
    latest = receiver.newest(1).values
    n_channels = latest.shape[1]
    silent_for = account.silent_for
    plots, watch = receiver.plots, receiver.watch
    return {
        "stream": receiver.stream,
        "running": receiver.running,
        "is_running": receiver.running,
        "connected": receiver.running and receiver.source.connected,
        "buffer_length": length,
        "buffer_index": (account.received - 1) % length + 1 if account.received else 0,
        "buffer_shape": [length, n_channels],
        "n_received": account.received,
        "lost": account.lost,
        "malformed": dict(account.malformed),
        "repeated": account.repeated,
        "restarts": account.restarts,
        "disconnects": account.disconnects,
        "refused": account.refused,
        "rate": round(watch.rate, 3) if watch is not None and receiver.running else 0.0,
        "silent_for": None if silent_for is None else round(silent_for, 3),
        "current_delay": account.delay,
        "last_block_time": account.last_block_time,
        **_statistics(latest),
        "polarization": receiver.polarization,
        "beam": receiver.beam,
        "average": receiver.treatment.average,
        "plot_running": plots is not None and plots.running,
        "last_plot_time": plots.last_time if plots is not None else None,
        "last_plot": plots.last_path if plots is not None else None,
        "plots_drawn": plots.drawn if plots is not None else 0,
        "plots_failed": plots.failed if plots is not None else 0,
        "plot_error": plots.error if plots is not None else None,
        **_page(receiver),
        "memory": memory(receiver),
    }


def _statistics(latest: Any) -> dict[str, float | None]:
    finite = latest[np.isfinite(latest)].astype(np.float64)
    if not finite.size:
        return {"latest_mean": None, "latest_min": None, "latest_max": None}
    return {
        "latest_mean": float(finite.mean()),
        "latest_min": float(finite.min()),
        "latest_max": float(finite.max()),
    }


def _page(receiver: "SpectraReceiver") -> dict[str, Any]:
    running = receiver.running and receiver.web is not None and receiver.web.alive
    return {"web_running": running, "web_url": receiver.web.url if running and receiver.web is not None else None}


def memory(receiver: "SpectraReceiver") -> dict[str, int]:
    """Return the resident set of this process, and of those that draw and serve while they live, bytes."""
    pids: dict[str, int | None] = {
        "receiver": None,
        "plots": receiver.plots.pid if receiver.plots is not None else 0,
        "web": receiver.web.pid if receiver.web is not None and receiver.web.alive else 0,
    }
    sizes: dict[str, int] = {}
    for name, pid in pids.items():
        if pid == 0 or (pid is None and name != "receiver"):
            continue
        try:
            sizes[name] = psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return sizes


def caption(receiver: "SpectraReceiver") -> dict[str, Any]:
    """Return what stands above a picture."""
    account, average = receiver.account, receiver.treatment.average
    rate = receiver.watch.rate if receiver.watch is not None else 0.0
    counts = [
        f"{rate:.3g}/s",
        f"delay {seconds(account.delay)}",
        f"{account.received} received",
        f"{account.lost} lost",
    ]
    if account.malformed:
        counts.append(f"{account.malformed.total()} malformed")
    mean = f" · mean of {average} channels" if average > 1 else ""
    note, bad = _note(receiver)
    return {
        "title": f"Spectra of {receiver.stream}",
        "what": f"{polarization(receiver.polarization)} · beam {receiver.beam}{mean}",
        "account": " · ".join(counts),
        "note": note,
        "bad": bad,
        "average": average,
    }


def _note(receiver: "SpectraReceiver") -> tuple[str, bool]:
    """Return how the stream is, and whether that is bad news."""
    account = receiver.account
    silent = duration(account.silent_for or 0.0)
    if not receiver.source.connected:
        return f"the publisher is gone; no spectrum for {silent}", True
    if account.silent:
        return f"no spectrum for {silent}; the publisher is connected", True
    if account.lost:
        return f"receiving; {account.lost} spectra were lost on the way", True
    return "receiving, none lost", False


def of_page(receiver: "SpectraReceiver") -> dict[str, Any]:
    """Return what the live page's ``/status`` says besides what it knows itself."""
    account = receiver.account
    return {
        "source": receiver.stream,
        "connected": receiver.source.connected,
        "received": account.received,
        "lost": account.lost,
        "repeated": account.repeated,
        "malformed": dict(account.malformed),
        "restarts": account.restarts,
        "disconnects": account.disconnects,
        "polarization": str(receiver.polarization),
        "average": receiver.treatment.average,
        "memory": memory(receiver),
    }


def polarization(asked: int | str) -> str:
    """Return the name of what is shown."""
    return f"polarization {asked}" if isinstance(asked, int) else f"Stokes {asked}"


def seconds(value: float) -> str:
    """Return a time with as many digits as it deserves."""
    return f"{value * 1000:.3g} ms" if math.fabs(value) < 1 else f"{value:.4g} s"
