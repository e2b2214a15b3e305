"""Flat field, dark and pipeline for pages: each combination once, however many pages wish it."""

from beamstream.frames import ColorMode, Frame
from beamstream.live.hub_settings import HubSettings
from beamstream.live.image_newest import Made, made_of
from beamstream.live.image_wish import Treated
from beamstream.watching.corrections import Corrections


class Treating:
    """Treat the frames of one stream as pages ask for; for one thread, but `look_again`.

    Parameters
    ----------
    name : str
        Of the stream.
    settings : HubSettings
    """

    def __init__(self, name: str, settings: HubSettings) -> None:
        self._name, self._settings = name, settings
        self._all: dict[Treated, Corrections] = {}
        self._old = False

    def look_again(self) -> None:
        """Use references that were kept meanwhile; from any thread."""
        self._old = True

    def apply(self, frame: Frame, treated: Treated) -> Made:
        """Return a frame as it is to be shown."""
        if self._old:
            self._old = False
            for corrections in self._all.values():
                corrections.look_again()
        corrections = self._all.get(treated)
        if corrections is None:
            corrections = Corrections(self._name, self._settings.references, self._settings.pipeline)
            corrections.switch(**treated._asdict())
            self._all[treated] = corrections
        image, mode = corrections.apply(frame), frame.geometry.color_mode
        state = corrections.state
        if image is not frame.payload:
            image = image.copy()  # of a paused page and of a live one there may be two at a time
        used = {key: state[key] for key in Treated._fields}
        try:  # a pipeline may make anything, grey out of colours as well
            mode_now = mode if image.shape == frame.geometry.shape else ColorMode.MONO
            return made_of(image, mode_now, state["note"], state["failed"], used)
        except ValueError as error:
            return made_of(frame.image, mode, f"shown as it is: processed, {error}", True)
