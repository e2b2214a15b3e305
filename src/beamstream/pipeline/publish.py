"""An op that changes nothing and lets others listen: the means of what passes, published over ZeroMQ.

It lies here, and not among the ops, because it needs a sink: neither of ops and sinks knows the other.
"""

import time
import weakref
from typing import Any

from numpy.typing import NDArray

from beamstream.errors import PipelineError
from beamstream.ops.base import Meta
from beamstream.ops.options import Described, number, one_of, wrong
from beamstream.sinks.spectra_outlet import check_address
from beamstream.sinks.spectra_publisher import ADDRESS, INTERVAL, PublisherCounters, SpectraPublisher

_NAME = "publish"


class PublishSpectra(Described):
    """Pass spectra on as they are and publish their mean every `interval` seconds.

    An image is one time sample, of shape (n_beams, n_channels) or (n_beams, n_channels, n_polarizations), or a gulp
    of them, (n_times, n_beams, n_channels, n_polarizations). Its time, that of its last sample, is the attribute
    ``last_block_time``, else the frame's ``timestamp``, else now. The attribute ``time_tag`` of the first one goes
    into all headers.

    Opens its address with the first image, so a pipeline that is read again can have another one on the same address.
    The image of a trial (`beamstream pipeline check`) is averaged with nothing and not published. The rest is
    published by `close`, or when the op is given up.

    Parameters
    ----------
    address : str
        To listen on: ``tcp://HOST:PORT`` or ``ipc://PATH``.
    interval : float
        From one message to the next, s.
    step : float, optional
        From one time sample to the next, s; gulps need it.
    clock : {"data", "wall"}
        Whose seconds `interval` means, see `SpectraPublisher`.
    sequence : bool
        Whether headers number the messages.
    """

    def __init__(
        self,
        address: str = ADDRESS,
        interval: float = INTERVAL,
        step: float | None = None,
        clock: str = "data",
        sequence: bool = True,
    ) -> None:
        try:
            check_address(address)
        except (TypeError, ValueError):
            raise wrong(_NAME, "address", address, "give tcp://HOST:PORT or ipc://PATH") from None
        if not isinstance(sequence, bool):
            raise wrong(_NAME, "sequence", sequence, "give true or false")
        self.address = address
        self.interval = number(_NAME, "interval", interval, above=0)
        self.step = None if step is None else number(_NAME, "step", step, above=0)
        self.clock = one_of(_NAME, "clock", clock, ("data", "wall"))
        self.sequence = sequence
        self._publisher: SpectraPublisher | None = None

    @property
    def counters(self) -> PublisherCounters | None:
        """What was published so far; None before the first image."""
        return self._publisher and self._publisher.counters

    def apply(self, image: NDArray[Any], meta: Meta) -> NDArray[Any]:
        """Return the image itself.

        Raises
        ------
        PipelineError
            It is neither a sample nor a gulp, or a gulp, and there is no `step`.
        SinkError
            The address is in use, or spectra had another shape before.
        """
        gulp = _as_gulp(image)
        if len(gulp) > 1 and self.step is None:
            raise wrong(_NAME, "step", None, f"a gulp of {len(gulp)} samples came: give the time between two, s")
        if meta.get("source") == "trial":
            return image
        publisher = self._opened()
        attributes = meta.get("attributes", {})
        if publisher.time_tag is None and isinstance(tag := attributes.get("time_tag"), int):
            publisher.time_tag = tag
        last = attributes.get("last_block_time", meta.get("timestamp", time.time()))
        publisher.add(gulp, last - (len(gulp) - 1) * (self.step or 0.0), self.step)
        return image

    def close(self) -> None:
        """Publish the rest and let go of the address."""
        if self._publisher is not None:
            self._publisher.close()

    def _opened(self) -> SpectraPublisher:
        if self._publisher is None:
            clock = "wall" if self.clock == "wall" else "data"
            self._publisher = SpectraPublisher(
                self.address, interval=self.interval, clock=clock, sequence=self.sequence
            )
            weakref.finalize(self, self._publisher.close)  # pipelines do not close their ops
        return self._publisher


def _as_gulp(image: NDArray[Any]) -> NDArray[Any]:
    """Return a view of shape (n_times, n_beams, n_channels, n_polarizations)."""
    if image.ndim == 4:
        return image
    if image.ndim == 3:
        return image[None]
    if image.ndim == 2:
        return image[None, ..., None]
    raise PipelineError(
        f"{_NAME}: an image of shape {image.shape} came; it takes (n_beams, n_channels[, n_polarizations]) or a gulp"
    )
