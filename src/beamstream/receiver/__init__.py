"""The receiver of averaged spectra: ``from beamstream.receiver import SpectraReceiver``.

`StreamReceiver` is the same class, under the name that scripts know.
"""

from beamstream.receiver.receiver import SpectraReceiver

StreamReceiver = SpectraReceiver

__all__ = ["SpectraReceiver", "StreamReceiver"]
