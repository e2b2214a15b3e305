"""The plans."""

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
from bluesky.plans import count, grid_scan, scan
from bluesky.protocols import Flyable, Movable, Readable

from plans.growth import Step, growth
from plans.record import monitor, record
from plans.references import darks, flats
from plans.viewer import viewer

for _plan in (record, monitor):  # by this the queue server knows that names in its queue stand for devices
    _plan.__annotations__["detectors"] = list[Flyable]
for _plan in (darks, flats):
    _plan.__annotations__["detectors"] = Flyable | list[Flyable]
flats.__annotations__["motor"] = Movable | list[Movable] | None
growth.__annotations__ |= {
    "detector": Flyable | list[Flyable],
    "steps": list,
    "shutters": dict[str, Movable] | None,
    "temperature": Movable | None,
    "rotation": Movable | None,
    "advance": Movable | None,
    "readings": list[Readable],
}
