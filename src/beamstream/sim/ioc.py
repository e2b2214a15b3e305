"""The Channel Access side of a simulated camera: areaDetector's names, and PVs that switch faults on."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from caproto import ChannelType, SkipWrite
from caproto.server import PVGroup, pvproperty

from beamstream.frames import Geometry
from beamstream.sim.camera import SimCamera
from beamstream.sim.faults import MALFORMED, Faults
from beamstream.sim.ntndarray import COLOR_MODES
from beamstream.sim.pattern import levels

log = logging.getLogger(__name__)
IMAGE_MODES = ["Single", "Multiple", "Continuous"]
COLORS = ["Mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV421"]
DATA_TYPES = ["Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float32", "Float64"]
STATES = ["Idle", "Acquire", "Readout", "Correct", "Saving", "Aborting", "Error", "Waiting", "Initializing"]
STATES += ["Disconnected", "Aborted"]
_DATA_TYPE_NAMES = {name.lower(): name for name in DATA_TYPES}
_NO_FAULTS = {"clear_faults", "shutter", "sample"}  # what is written below sim1: beside them
_NO_FAULTS |= {"source", "growth_rate", "rotation", "azimuth", "temperature", "ramp_rate"}
_REFRESH = 0.05  # s between looks at a camera that works
record: Any = pvproperty  # whose annotations refuse some of what it takes
Put = Callable[[Any, Any, Any], Awaitable[Any]]


def _setting(name: str, least: float) -> Put:
    async def put(group: "CameraIoc", instance: Any, value: Any) -> None:
        if not np.isfinite(value) or value < least:
            raise refused(instance, value, f"the least is {least}")
        setattr(group.camera, name, _plain(value))
        group.refresh()

    return put


def _choice(name: str, read: Callable[[str], Any] = lambda value: value) -> Put:
    async def put(group: "CameraIoc", instance: Any, value: Any) -> Any:
        if value not in instance.enum_strings:
            raise refused(instance, value, f"there are {', '.join(instance.enum_strings)}")
        setattr(group.camera, name, read(value))
        group.refresh()
        return value

    return put


def _fault(name: str, read: Callable[[Any], Any] = lambda value: value) -> Put:
    async def put(group: "CameraIoc", instance: Any, value: Any) -> Any:
        try:
            group.camera.faults = replace(group.camera.faults, **{name: read(_plain(value))})
        except ValueError as error:
            raise refused(instance, value, str(error)) from None
        return value

    return put


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def refused(instance: Any, value: Any, why: str) -> SkipWrite:
    """Return what makes caproto keep the old value and say why; any other error leaves the client without an answer."""
    log.warning("%s: %r asked for, %s; it stays %r", instance.pvname, value, why, instance.value)
    return SkipWrite()


async def _acquire(group: Any, instance: Any, value: Any) -> Any:
    if value == "Acquire":
        group.camera.start()
    else:
        group.camera.stop(timeout=1.0)
    group.refresh()
    return value  # the name; without it caproto stores the number, and the next look would post it again


async def _change_rows(group: Any, instance: Any, value: int) -> None:
    _change_shape(group.camera, value, group.change_cols.value)


async def _change_cols(group: Any, instance: Any, value: int) -> None:
    _change_shape(group.camera, group.change_rows.value, value)


def _change_shape(camera: SimCamera, n_rows: int, n_cols: int) -> None:
    shape = (int(n_rows), int(n_cols)) if n_rows > 0 and n_cols > 0 else None
    camera.faults = replace(camera.faults, change_shape=shape)


async def _clear_faults(group: Any, instance: Any, value: Any) -> int:
    """Set every fault PV back, then the camera."""
    for attr, pv in group._pvs_.items():
        spec = pv.pvspec
        if spec.name.startswith("sim1:") and not spec.read_only and attr not in _NO_FAULTS:
            channel = getattr(group, attr)
            strings = getattr(channel, "enum_strings", None)
            await channel.write(strings[spec.value] if strings else spec.value, verify_value=False)
    group.camera.faults = Faults()
    return 0


async def _follow(group: Any, instance: Any, async_lib: Any) -> None:
    await group.follow()


def _never_below_zero(value: int) -> int | None:
    return value if value >= 0 else None


def _pixel_type(value: str) -> str:
    levels(value)
    return value


def enum(name: str, strings: list[str], value: int = 0, **options: Any) -> Any:
    """Return a record that is one of these words."""
    return record(name=name, value=value, dtype=ChannelType.ENUM, enum_strings=strings, **options)


def shown(name: str, value: Any, **options: Any) -> Any:
    """Return a record that clients can only read."""
    return record(name=name, value=value, read_only=True, **options)


def _at(name: str, fault: str) -> Any:
    return record(name=f"sim1:{name}", value=-1, put=_fault(fault, _never_below_zero), doc=f"{fault}; -1: never")


def _count(name: str, fault: str, value: int = 0) -> Any:
    return record(name=f"sim1:{name}", value=value, put=_fault(fault))


class CameraIoc(PVGroup):
    """Serve ``PREFIX:cam1:…`` and ``PREFIX:sim1:…`` for one camera.

    ``sim1:Shutter`` and ``sim1:Sample`` change what the scene ``beam`` shows; the others there are faults and counts.
    All puts are over within milliseconds; so is one to ``Acquire``, which does not wait for the frames.
    The read-backs follow the camera, which is the single truth; counters at 20 Hz.
    """

    acquire = enum("cam1:Acquire", ["Done", "Acquire"], put=_acquire, startup=_follow)
    acquire_rbv = enum("cam1:Acquire_RBV", ["Done", "Acquiring"], read_only=True)
    acquire_time = record(name="cam1:AcquireTime", value=0.0, precision=6, put=_setting("acquire_time", 0))
    acquire_time_rbv = shown("cam1:AcquireTime_RBV", 0.0, precision=6)
    acquire_period = record(name="cam1:AcquirePeriod", value=0.0, precision=6, put=_setting("acquire_period", 0))
    acquire_period_rbv = shown("cam1:AcquirePeriod_RBV", 0.0, precision=6)
    num_images = record(name="cam1:NumImages", value=1, put=_setting("num_images", 1))
    num_images_rbv = shown("cam1:NumImages_RBV", 1)
    image_mode = enum("cam1:ImageMode", IMAGE_MODES, put=_choice("image_mode"))
    image_mode_rbv = enum("cam1:ImageMode_RBV", IMAGE_MODES, read_only=True)
    array_counter = record(name="cam1:ArrayCounter", value=0, put=_setting("array_counter", 0))
    array_counter_rbv = shown("cam1:ArrayCounter_RBV", 0)
    detector_state_rbv = enum("cam1:DetectorState_RBV", STATES, read_only=True)
    color_mode_rbv = enum("cam1:ColorMode_RBV", COLORS, read_only=True)
    data_type_rbv = enum("cam1:DataType_RBV", DATA_TYPES, read_only=True)
    size_x_rbv = shown("cam1:SizeX_RBV", 0)
    size_y_rbv = shown("cam1:SizeY_RBV", 0)
    array_size_x_rbv = shown("cam1:ArraySizeX_RBV", 0)
    array_size_y_rbv = shown("cam1:ArraySizeY_RBV", 0)
    array_size_z_rbv = shown("cam1:ArraySizeZ_RBV", 0)
    manufacturer_rbv = shown("cam1:Manufacturer_RBV", "beamstream", dtype=ChannelType.STRING)
    model_rbv = shown("cam1:Model_RBV", "SimCamera", dtype=ChannelType.STRING)

    posted_rbv = shown("sim1:Posted_RBV", 0, doc="frames handed to the PVAccess server since the start")
    skipped_rbv = shown("sim1:Skipped_RBV", 0, doc="exposures that a fault kept back since the start")
    latest_rbv = shown("sim1:Latest_RBV", 0.0, precision=6, doc="longest that a frame came after its time, s")
    shutter = enum("sim1:Shutter", ["Closed", "Open"], 1, put=_choice("shutter_open", lambda value: value == "Open"))
    sample = enum("sim1:Sample", ["Out", "In"], 1, put=_choice("sample_in", lambda value: value == "In"))
    sample_position_rbv = shown("sim1:SamplePosition_RBV", 0.0, precision=3, doc="mm right of the middle")
    clear_faults = record(name="sim1:ClearFaults", value=0, put=_clear_faults, doc="put 1: nothing goes wrong any more")
    skip_ids = record(
        name="sim1:SkipIds",
        value=[-1],
        max_length=1000,
        put=_fault("skip_ids", lambda value: frozenset(int(v) for v in np.atleast_1d(value) if v >= 0)),
    )
    skip_every = _count("SkipEvery", "skip_every")
    skip_random = record(name="sim1:SkipRandom", value=0.0, precision=4, put=_fault("skip_random"))
    seed = _count("Seed", "seed")
    repeat_every = _count("RepeatEvery", "repeat_every")
    restart_at = _at("RestartAt", "restart_at")
    silent_after = _at("SilentAfter", "silent_after")
    change_shape_at = _at("ChangeShapeAt", "change_shape_at")
    change_rows = record(name="sim1:ChangeRows", value=0, put=_change_rows, doc="0: half")
    change_cols = record(name="sim1:ChangeCols", value=0, put=_change_cols, doc="0: half")
    change_dtype_at = _at("ChangeDtypeAt", "change_dtype_at")
    change_dtype = record(
        name="sim1:ChangeDtype",
        value="<f4",
        dtype=ChannelType.STRING,
        put=_fault("change_dtype", _pixel_type),
        doc="numpy's type string",
    )
    malformed_at = _at("MalformedAt", "malformed_at")
    malformed_count = _count("MalformedCount", "malformed_count", 1)
    malformed = enum("sim1:Malformed", list(MALFORMED), 1, put=_fault("malformed"))
    piecewise = enum("sim1:Piecewise", ["No", "Yes"], put=_fault("piecewise", lambda value: value == "Yes"))

    def __init__(self, camera: SimCamera) -> None:
        super().__init__(prefix=f"{camera.prefix}:")
        self.camera = camera
        self._refresh: Callable[[], None] = lambda: None

    def refresh(self) -> None:
        """Have the read-backs brought up to date at once; from any thread."""
        self._refresh()

    async def follow(self) -> None:
        """Show what the camera does, for as long as the server runs."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def refresh() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                loop.call_soon_threadsafe(changed.set)

        self._refresh = self.camera.changed = refresh
        while True:
            changed.clear()
            for attr, value in self._truth():
                pv = getattr(self, attr)
                if pv.value != value:
                    await pv.write(value, verify_value=False)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _REFRESH)

    def _truth(self) -> Iterator[tuple[str, Any]]:
        """Yield what the PVs should show, each read when it is asked for: a put may come between two."""
        camera, acquiring = self.camera, self.camera.acquiring
        for name in ("acquire_time", "acquire_period", "num_images", "image_mode", "array_counter"):
            yield name, getattr(camera, name)
            yield f"{name}_rbv", getattr(camera, name)
        yield from _pixels(camera.geometry).items()
        yield "shutter", "Open" if camera.shutter_open else "Closed"
        yield "sample", "In" if camera.sample_in else "Out"
        yield "sample_position_rbv", camera.sample_position()
        yield "posted_rbv", camera.statistics.posted
        yield "skipped_rbv", camera.statistics.skipped
        yield "latest_rbv", camera.statistics.latest
        yield "detector_state_rbv", "Error" if camera.error else "Acquire" if acquiring else "Idle"
        yield "acquire_rbv", "Acquiring" if acquiring else "Done"
        if camera.acquiring == acquiring:  # last: who waits for it finds the others up to date
            yield "acquire", "Acquire" if acquiring else "Done"


def _pixels(geometry: Geometry) -> dict[str, Any]:
    """Return the PVs that tell a geometry; array sizes are fastest first."""
    name = np.dtype(geometry.dtype).name
    sizes = [*geometry.shape[::-1], 0, 0][:3]
    colour = COLOR_MODES[geometry.color_mode]
    colour_axis = {2: 0, 3: 1, 4: 2}.get(colour)
    size_x, size_y = [n for i, n in enumerate(sizes) if i != colour_axis][:2]
    return {
        "color_mode_rbv": COLORS[colour],
        "data_type_rbv": _DATA_TYPE_NAMES[name],
        "size_x_rbv": size_x,
        "size_y_rbv": size_y,
        "array_size_x_rbv": sizes[0],
        "array_size_y_rbv": sizes[1],
        "array_size_z_rbv": sizes[2],
    }
