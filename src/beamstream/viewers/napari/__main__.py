"""``python -m beamstream.viewers.napari``: the viewer."""

import sys

from beamstream.viewers.napari.program import main

if __name__ == "__main__":
    sys.exit(main())
