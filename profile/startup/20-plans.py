"""The plans."""

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
from bluesky.plans import count, grid_scan, scan

from plans.record import monitor, record
