"""Make images from images while they are recorded, into a stream of the same run."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beamstream.callbacks.axes import pixel_of_made
from beamstream.callbacks.derived import DerivedStream, close_all
from beamstream.callbacks.images import Emit, Source, wanted
from beamstream.callbacks.work import FrameWork
from beamstream.errors import ProcessorFailed
from beamstream.frames import ColorMode, Frame, Geometry
from beamstream.ops.base import Op, described, meta_of
from beamstream.sinks.description import Description
from beamstream.sinks.hdf5 import Hdf5Sink
from beamstream.sinks.hdf5_layout import NEXUS
from beamstream.sinks.nexus import of_run

log = logging.getLogger(__name__)

_CHANNEL = {ColorMode.RGB1: -1, ColorMode.RGB2: -2, ColorMode.RGB3: -3}


class Derive:
    """Apply an op to every frame of a run; what it makes is kept, documented and served like what was recorded.

    The stream ``<stream>_<name>`` has the data keys ``<detector>_<name>_image``, ``…_unique_id``, ``…_timestamp`` and
    ``…_received``; what was done is in its descriptor. A frame that the op fails at is missing there, counted in the
    run's account, and still in the raw stream.

    Parameters
    ----------
    name : str
        ``"filtered"``: of the stream, and of the account.
    make_op : callable
        Returns a new op for each detector and run: an op may have memory.
    stream : str
        ``"raw"``, or the name of what is derived in the same run by a callback before this one, like ``"corrected"``.
    required : bool
        Whether a failure, or a frame that is left undone or that the op fails at, fails the run.
    detectors : collection of str, optional
        Whose frames; all by default.
    ring_memory : int
        Shared memory for those who look at the newest, bytes.
    """

    derives = True

    def __init__(
        self,
        name: str,
        make_op: Callable[[], Op],
        *,
        stream: str = "raw",
        required: bool = False,
        detectors: Collection[str] | None = None,
        ring_memory: int = 128 * 2**20,
    ) -> None:
        self.name = name
        self.stream = stream
        self.required = required
        self._make_op = make_op
        self.detectors = detectors
        self._ring_memory = ring_memory

    def begin(self, start: Mapping[str, Any], emit: Emit) -> "DeriveWork | None":
        """Begin with a run; not with one that takes darks or flats."""
        if start.get("purpose") == "reference":
            return None
        return DeriveWork(self, start, emit, self._ring_memory)

    def check(self, descriptor: Mapping[str, Any], data_key: str) -> None:
        """Refuse what cannot work, before its first frame; in the RunEngine's thread."""

    def op_for(self, source: Source) -> Op:
        """Return the op for one detector in one run."""
        return self._make_op()


class DeriveWork(FrameWork):
    """What `Derive` does for one run."""

    def __init__(self, of: Derive, start: Mapping[str, Any], emit: Emit, ring_memory: int) -> None:
        super().__init__(of.name, start, emit, wanted(of.stream, of.detectors))
        self._of = of
        self._ring_memory = ring_memory
        self._made: dict[str, _Made] = {}

    def described(self, descriptor: Mapping[str, Any], data_key: str) -> None:
        """Refuse what cannot work."""
        self._of.check(descriptor, data_key)

    def take(self, source: Source, frames: list[Frame]) -> None:
        """Make images from frames, and keep them."""
        made = self._made.get(source.data_key)
        if made is None:
            made = self._made[source.data_key] = _Made(self._of.op_for(source), self._of.name)
        fresh = []
        for frame in frames:
            try:
                fresh.append(made.apply(frame, len(fresh), len(frames)))
            except ProcessorFailed as error:
                self.failed += 1
                if self.failed == 1:
                    log.warning("%s: %s; such frames are left out and counted", self.name, error)
        if not fresh:
            return
        if made.stream is None:
            made.stream = self._open(source, fresh[0], described(made.op))
        made.stream.write(fresh)

    def caught_up(self, source: Source) -> None:
        """Emit documents of what is kept at once: readers find it in the ring."""
        made = self._made.get(source.data_key)
        if made is not None and made.stream is not None:
            made.stream.publish()

    def _open(self, source: Source, first: Frame, about: dict[str, Any]) -> DerivedStream:
        """Open a stream, its file beside the one that its frames are made of."""
        name = self._of.name
        path = source.path.with_name(f"{source.path.stem}_{name}.h5")
        attributes = {"source": f"{source.path.name}/{source.data_key}", **about}
        pixel = pixel_of_made(source.descriptor, source.data_key, first.geometry.shape)
        layout = of_run(NEXUS, Description.of(pixel, start=self.start))
        beside = {"frame_attributes": first.attributes, "describe_attributes": False}  # documents of the raw ones do
        about_sink = {"name": f"{source.name}_{name}", "attributes": attributes, "layout": layout}
        sink = Hdf5Sink(path, first.geometry, **about_sink, **beside)
        return DerivedStream(self.start, source, name, sink, about, self.emit, ring_memory=self._ring_memory)

    def ended(self) -> None:
        """Finish the files, all of them."""
        close_all((made.stream for made in self._made.values()), complete=self.complete)


class _Made:
    """The op of one detector, the memory for a batch of its results, and where they go."""

    def __init__(self, op: Op, name: str) -> None:
        self.op = op
        self.stream: DerivedStream | None = None
        self._name = name
        self._into: Callable[[NDArray[Any], NDArray[Any]], object] | None = getattr(op, "apply_into", None)
        self._geometry: Geometry | None = None
        self._results: NDArray[Any] = np.empty(0)

    def apply(self, frame: Frame, place: int, places: int) -> Frame:
        """Return a frame made of another; its memory is one of `places`, used again by the next batch.

        Raises
        ------
        ProcessorFailed
            It cannot be made, or is another shape or type than those before.
        """
        if self._geometry is None or self._into is None:
            image = self.op.apply(frame.image, meta_of(frame))
            self._expect(image, frame)
            self._reserve(places)
            np.copyto(self._results[place], image)
        else:
            self._reserve(places)
            self._into(frame.image, self._results[place])
        assert self._geometry is not None
        return replace(frame, payload=self._results[place], geometry=self._geometry)

    def _expect(self, image: NDArray[Any], frame: Frame) -> None:
        geometry = Geometry.of(image, _color_mode(frame.geometry, image.shape))
        if self._geometry is None:
            self._geometry = geometry
        elif geometry != self._geometry:
            raise ProcessorFailed(
                f"{self._name}: frame {frame.unique_id} became {geometry}, those before {self._geometry}; "
                "correct the processor that changes its mind"
            )

    def _reserve(self, places: int) -> None:
        assert self._geometry is not None
        if len(self._results) < places:
            self._results = np.empty((places, *self._geometry.shape), self._geometry.dtype)


def _color_mode(raw: Geometry, shape: tuple[int, ...]) -> ColorMode:
    """Return the colour mode of what became of an image: the same, unless it lost its colours."""
    axis = _CHANNEL.get(raw.color_mode)
    if axis is None:
        return raw.color_mode if shape == raw.shape else ColorMode.MONO
    return raw.color_mode if len(shape) == 3 and shape[axis] == 3 else ColorMode.MONO
