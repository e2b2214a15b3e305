"""A camera that is not there: an NTNDArray served over PVAccess, exposures paced by a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pvaccess

from beamstream.frames import Geometry
from beamstream.sim.faults import Faults
from beamstream.sim.pictures import Picture, Pictures, Scene
from beamstream.sim.rheed import RheedSpec
from beamstream.sim.rheed_chamber import Chamber
from beamstream.sim.scene import Beam

pva: Any = pvaccess  # compiled, without type information
log = logging.getLogger(__name__)
ImageMode = Literal["Single", "Multiple", "Continuous"]
_CATCH_UP = 0.5  # s; further behind than this (the process was stopped), time is let go instead of made up for


@dataclass(frozen=True, slots=True)
class Statistics:
    """Count what a camera did since it was made.

    Parameters
    ----------
    exposures : int
        Pictures taken.
    posted : int
        Frames handed to the server; a repeated one counts twice.
    skipped : int
        Exposures that a fault kept from being posted.
    latest : float
        The longest that a frame was posted after its time, s.
    """

    exposures: int = 0
    posted: int = 0
    skipped: int = 0
    latest: float = 0.0


class SimCamera:
    """Serve an areaDetector-like camera at ``PREFIX:Pva1:Image``.

    The settings are plain attributes that any thread may set; they act from the next exposure on.
    The record holds a picture with id 0 before the first acquisition, as after a previous one.

    Parameters
    ----------
    prefix : str
        Without the last colon: ``"SIM:CAM"``.
    geometry : Geometry
    server : pvaccess.PvaServer, optional
        Started by its owner; default one of its own.
    period : float
        Start value of `acquire_period`, s; 0 is as fast as it goes.
    free_running : bool
        Acquire from the start, continuously.
    clock : callable
        Stamps the frames, s since 1970-01-01 UTC.
    prefilled : bool
        False leaves the record empty until the first frame, as after the start of a real IOC.
    scene : {"pattern", "beam", "rheed"}
        Pictures that can be checked pixel by pixel (`Pattern`), that need darks and flats (`BeamScene`), or those of
        a growing film (`RheedScene`), whose attributes tell what each shows.
    rheed : RheedSpec, optional
        How the scene ``rheed`` begins.

    Attributes
    ----------
    acquire_time, acquire_period : float
        s; an exposure takes the longer of both.
    num_images : int
        How many exposures ``image_mode = "Multiple"`` makes.
    image_mode : {"Single", "Multiple", "Continuous"}
    array_counter : int
        The id of the last exposure; goes on across acquisitions.
    shutter_open, sample_in : bool
        What the scene ``beam`` shows, and the shutter before the screen of ``rheed``; a pattern does not change.
    chamber : Chamber
        What the scene ``rheed`` shows.
    sample_position : callable
        Returns where the sample is at this moment, mm from the middle; called in the camera's thread.
    changed : callable
        Called without arguments from any thread when an acquisition starts or ends.
    """

    def __init__(
        self,
        prefix: str,
        geometry: Geometry,
        *,
        server: Any = None,
        period: float = 0.02,
        free_running: bool = False,
        clock: Callable[[], float] = time.time,
        prefilled: bool = True,
        scene: Scene = "pattern",
        rheed: RheedSpec | None = None,
    ) -> None:
        self.prefix = prefix
        self.pv_name = f"{prefix}:Pva1:Image"
        self.geometry = geometry
        self.acquire_time = period / 2
        self.acquire_period = period
        self.num_images = 1
        self.image_mode: ImageMode = "Continuous" if free_running else "Single"
        self.array_counter = 0
        self.shutter_open = self.sample_in = True
        self.sample_position: Callable[[], float] = lambda: 0.0
        self.changed: Callable[[], None] = lambda: None
        self.error: Exception | None = None
        self.statistics = Statistics()
        self.chamber = Chamber(clock, rheed or RheedSpec())
        self._clock = clock
        self._faults = Faults()
        self._index = 0
        self._pictures = Pictures(scene, self._beam, self.chamber)
        self._posted: Picture | None = None
        self._own_server = server is None
        self._server = server or pva.PvaServer()
        # never a frame that is filled later: addRecord shares it, and each field set would be an update
        self._server.addRecord(self.pv_name, pva.NtNdArray(), None)
        picture = self._picture(geometry)
        if prefilled:
            picture.fill(0, clock(), clock())
            self._post(picture, piecewise=False)
        if self._own_server:
            self._server.start()
        self._go, self._halt, self._idle = threading.Event(), threading.Event(), threading.Event()
        self._idle.set()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name=f"camera {prefix}", daemon=True)
        self._thread.start()
        if free_running:
            self.start()

    def __enter__(self) -> "SimCamera":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def acquiring(self) -> bool:
        """Whether an acquisition is under way, a hung one included."""
        return not self._idle.is_set()

    @property
    def faults(self) -> Faults:
        """What goes wrong; setting it starts the count of exposures that it refers to anew."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults, self._index = faults, 0

    def start(self) -> None:
        """Acquire: 1, `num_images` or endless exposures; nothing happens while that is under way."""
        if not self.acquiring and not self._closing:
            self._halt.clear()
            self._idle.clear()
            self._go.set()

    def stop(self, timeout: float = 5.0) -> bool:
        """End the acquisition; once this returned True no frame of it comes any more."""
        self._halt.set()
        return self.wait(timeout)

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` s for the end of the acquisition; return whether it came."""
        return self._idle.wait(timeout)

    def close(self) -> None:
        """End the acquisition, the thread and the record."""
        self._closing = True
        self._halt.set()
        self._go.set()
        self._thread.join(10.0)
        self._server.removeRecord(self.pv_name)
        if self._own_server:
            self._server.stop()

    def _work(self) -> None:
        while True:
            self._go.wait()
            self._go.clear()
            if self._closing:
                return self._idle.set()
            self.error = None
            self.changed()
            try:
                self._acquire()
            except Exception as error:  # the thread must live for the next acquisition; DetectorState tells
                log.exception("%s: the acquisition ended early", self.prefix)
                self.error = error
            self._idle.set()
            self.changed()

    def _acquire(self) -> None:
        self._index = done = 0
        deadline = time.monotonic() + self.acquire_time
        while not self._halt.wait(max(0.0, deadline - time.monotonic())):
            if not self._faults.silent(self._index):
                self._expose(deadline)
                done += 1
            if done >= {"Single": 1, "Multiple": self.num_images}.get(self.image_mode, done + 1):
                return
            # from the last deadline, not from now: pacing must not drift with the time that posting takes
            deadline = max(deadline + self._pace(), time.monotonic() - _CATCH_UP)

    def _pace(self) -> float:
        pace = max(self.acquire_time, self.acquire_period)
        return max(pace, 0.005) if self._faults.silent(self._index) else pace

    def _expose(self, deadline: float) -> None:
        faults, index = self._faults, self._index
        restart = faults.restart_at is not None and index == faults.restart_at
        unique_id = 0 if restart else (self.array_counter + 1) & 0x7FFFFFFF
        self.array_counter = unique_id
        posts = faults.posts(index, unique_id)
        if posts:
            late = max(0.0, time.monotonic() - deadline)
            picture = self._picture(faults.geometry(index, self.geometry))
            now = self._clock()
            picture.fill(unique_id, now - late, now)
            picture.frame.set_dimensions(faults.dimensions(index, picture.frame.geometry.shape[::-1]))
            for _ in range(posts):
                self._post(picture, faults.piecewise)
        else:
            late = 0.0
        if faults is self._faults:  # otherwise they were set just now, and their count starts at the next exposure
            self._index = index + 1
        s = self.statistics
        self.statistics = Statistics(s.exposures + 1, s.posted + posts, s.skipped + (not posts), max(s.latest, late))

    def _post(self, picture: Picture, piecewise: bool) -> None:
        if piecewise and picture is self._posted:
            for part in picture.frame.parts():
                self._server.update(self.pv_name, part)
        else:  # colour mode and codec can only be changed as a whole
            self._server.updateUnchecked(self.pv_name, picture.frame.pv)
        self._posted = picture

    def _picture(self, geometry: Geometry) -> Picture:
        return self._pictures.of(geometry, {"Model": "SimCamera", "AcquireTime": self.acquire_time})

    def _beam(self) -> Beam:
        return Beam(self.shutter_open, self.sample_in, self.sample_position(), self.acquire_time)
