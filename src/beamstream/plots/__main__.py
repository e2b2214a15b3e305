"""Draw what is told on stdin; see `beamstream.plots.program`."""

import sys

from beamstream.plots.program import main

if __name__ == "__main__":
    sys.exit(main())
