"""Which devices answer, where the archive is, how to begin."""

instrument.ready()
