"""The archive; connected when it is first used, because that takes seconds."""

from beamstream.instrument.access import Lazy

cat = Lazy(instrument.archive.client, "the archive")
db = Lazy(instrument.archive.broker, "databroker's Broker")
