"""The plans."""

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
from bluesky.plans import count, grid_scan, scan
from bluesky.protocols import Flyable

from plans.record import monitor, record

for _plan in (record, monitor):  # by this the queue server knows that names in its queue stand for devices
    _plan.__annotations__["detectors"] = list[Flyable]
