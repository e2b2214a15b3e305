"""By which clock frames are dated: the camera's, or ours where its cannot be believed."""

import logging
import time
from dataclasses import replace

from beamstream.frame_times import is_plausible
from beamstream.frames import ARRIVAL, CAMERA_TIMESTAMP, Frame

logger = logging.getLogger(__name__)

_DAY = 86400.0  # s; time zones, drift and delays stay below


class CameraClock:
    """Date the frames of one camera, from its start on.

    A clock that is off by minutes or hours is the camera's all the same: steps from frame to frame are better known by
    it than by arrivals. One that differs from ours by more than a day counts from when it was switched on, was never
    set, or jumped. From that frame on all are dated by their arrival, so that the run has one time: `Frame.clock` is
    ``"arrival"`` and the attribute ``camera_timestamp`` (s) keeps what the camera stamped.

    Parameters
    ----------
    name : str
        The detector's, for the log.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.begin()

    def begin(self) -> None:
        """Believe the camera again, until it shows otherwise."""
        self._believed = True
        self._named_unset = False

    def dated(self, frame: Frame) -> Frame:
        """Return a frame that has just come, dated by the clock that is to be believed."""
        stamp, received = frame.timestamp, frame.received
        if self._believed and abs(received - stamp) > _DAY:
            self._believed = False
            logger.warning(
                "%s: the camera's clock is at %s, %.0f days %s ours; its frames are dated by their arrival, what it "
                "stamped is kept as %s; set its clock, or the time stamp that its driver takes",
                *(self._name, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp)), abs(received - stamp) / _DAY),
                *("behind" if stamp < received else "ahead of", CAMERA_TIMESTAMP),
            )
        if self._believed and stamp != received:
            return frame
        if stamp == received and not self._named_unset:
            self._named_unset = True
            logger.warning(
                "%s: the camera stamps no valid time; its frames are dated by their arrival; have its driver or server "
                "fill in dataTimeStamp",
                self._name,
            )
        return _by_arrival(frame)

    def dated_old(self, frame: Frame) -> Frame:
        """Return a frame that the server may have had for long; only what no clock can have meant is not believed."""
        return frame if is_plausible(frame.timestamp, frame.received) else _by_arrival(frame)


def _by_arrival(frame: Frame) -> Frame:
    if frame.timestamp == frame.received:  # it was not stamped
        return replace(frame, clock=ARRIVAL)
    attributes = {**frame.attributes, CAMERA_TIMESTAMP: frame.timestamp}
    return replace(frame, timestamp=frame.received, clock=ARRIVAL, attributes=attributes)
