"""Compressed frames, whole and with damaged bytes, as a camera's codec plug-in sends them."""

from dataclasses import replace

from beamstream.frames import Frame
from beamstream.sim.encode import encode


def compressed(frame: Frame, codec: str = "zlib", *, damaged: bool = False) -> Frame:
    """Return a frame compressed; a `damaged` one has bytes that do not decode."""
    payload = encode(frame.image, codec).copy()
    if damaged:
        payload[len(payload) // 2 :] ^= 0xFF
    return replace(frame, payload=payload, geometry=replace(frame.geometry, codec=codec))
