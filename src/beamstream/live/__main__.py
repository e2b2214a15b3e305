"""Serve the live page; settings come on stdin, see `beamstream.live.program`."""

import sys

from beamstream.live.program import main

if __name__ == "__main__":
    sys.exit(main())
