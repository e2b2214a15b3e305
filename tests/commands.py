"""How tests of several rooms start the command."""

import sys

COMMAND = [sys.executable, "-c", "import sys; from beamstream.cli import main; sys.exit(main())"]
