"""Every error that beamstream raises, in one tree.

::

    BeamstreamError
    ├── ConfigurationError     a key, a value or a file of the configuration is wrong
    │   └── UntrustedFile      others may have made or changed a file that we would obey
    ├── SourceError            something is wrong on the way from the detector to us
    │   ├── NotConnected       no server answers for the name asked for
    │   ├── NotAnImage         the name answers, but not with an NTNDArray
    │   ├── MalformedFrame     a frame contradicts itself (sizes, types, dimensions)
    │   │   └── MalformedMessage   what came over a socket is no message of its protocol
    │   ├── GeometryChanged    shape, pixel type or codec changed during a run
    │   └── SilentSource       no frame came within the deadline
    ├── CodecError             a compressed frame cannot be decoded
    ├── FrameLoss              frames are missing and the policy is to fail
    ├── RingError              the ring cannot be made, found or read
    │   ├── NotARing           a file is named like a ring's, and is none of ours or damaged
    │   └── RingOverrun        a reader asked for frames that are overwritten already
    ├── SinkError              frames cannot be kept
    │   └── DiskFull           because there is no space left
    ├── CalibrationError       a dark or a flat cannot be used
    │   ├── NoReference        there is none that fits
    │   ├── StaleReference     the one that fits is too old
    │   └── WrongGeometry      it has another shape than the frames
    ├── PipelineError          a pipeline file, a plug-in or an option of it is wrong
    │   └── ProcessorFailed    a processor could not make an image from a frame
    ├── CallbackFailed         a required callback could not do its work: the run fails
    ├── UploadError            an upload cannot be begun, found or gone on with
    ├── IngestError            the service that takes uploads cannot be started, or keep what it got
    ├── NotOurServer           another program listens where a server of ours was started
    └── ArchiveError           journal, catalogue or server: what they were asked for is not there

A message reads *who: what was asked, what is; what to do*.
"""

from beamstream.plain_text import Report, plain


class BeamstreamError(Exception):
    """Catch everything that beamstream raises on purpose."""

    def __str__(self) -> str:
        """Return the message, in one line unless it is a `Report`; what could steer a terminal is written out."""
        return self.args[0] if self.args and isinstance(self.args[0], Report) else plain(super().__str__())


class ConfigurationError(BeamstreamError):
    """A key, a value or a file of the configuration is wrong."""


class UntrustedFile(ConfigurationError):
    """Others may have made or changed a file that we would obey or read."""


class SourceError(BeamstreamError):
    """Something is wrong on the way from the detector to us."""


class NotConnected(SourceError):
    """No server answers for the name asked for."""


class NotAnImage(SourceError):
    """The name answers, but not with an NTNDArray."""


class MalformedFrame(SourceError):
    """A frame contradicts itself: sizes, types or dimensions do not fit each other."""


class MalformedMessage(MalformedFrame):
    """What came over a socket is no message of its protocol; `kind` is one word for what is wrong with it."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class GeometryChanged(SourceError):
    """Shape, pixel type, colour mode or codec changed during a run."""


class SilentSource(SourceError):
    """No frame came within the deadline."""


class CodecError(BeamstreamError):
    """A compressed frame cannot be decoded."""


class FrameLoss(BeamstreamError):
    """Frames are missing, and the policy says that the run fails then."""


class RingError(BeamstreamError):
    """A ring cannot be made, found or read."""


class NotARing(RingError):
    """A file in shared memory is named like a ring's, and is none of ours, or damaged."""


class RingOverrun(RingError):
    """A reader asked for frames that newer ones have overwritten."""


class SinkError(BeamstreamError):
    """Frames cannot be kept."""


class DiskFull(SinkError):
    """Frames cannot be kept because no space is left."""


class CalibrationError(BeamstreamError):
    """A dark or a flat cannot be used."""


class NoReference(CalibrationError):
    """There is no dark or flat that fits."""


class StaleReference(CalibrationError):
    """The dark or flat that fits is older than allowed."""


class WrongGeometry(CalibrationError):
    """A dark or flat has another shape than the frames."""


class PipelineError(BeamstreamError):
    """A pipeline file, a plug-in or an option of it is wrong."""


class ProcessorFailed(PipelineError):
    """A processor could not make an image from a frame."""


class CallbackFailed(BeamstreamError):
    """A required callback could not do its work: the run fails."""


class ArchiveError(BeamstreamError):
    """Journal, catalogue or server: what they were asked for is not there."""


class UploadError(BeamstreamError):
    """An upload cannot be begun, found or gone on with."""


class IngestError(BeamstreamError):
    """The service that takes uploads cannot be started, or keep what it got."""


class NotOurServer(BeamstreamError, ConnectionError):
    """Another program listens where a server of ours was started: no key is sent there."""
