"""Take uploads; see `beamstream.ingest.program`."""

import sys

from beamstream.ingest.program import main

if __name__ == "__main__":
    sys.exit(main())
