"""The plans: ours and bluesky's own, each under its own name."""

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp

from plans.growth import Step
from plans.offered import offered
from plans.viewer import viewer

# a device or a name of beamstream.toml that is there already stays
globals().update({name: plan for name, plan in offered().items() if name not in globals()})
