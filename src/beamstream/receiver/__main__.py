"""Draw pictures for the receiver that started this process; see `beamstream.receiver.drawing`."""

import sys

from beamstream.receiver.drawing import main

if __name__ == "__main__":
    sys.exit(main())
