"""The instrument put together from its configuration: RunEngine, devices, archive; the room above all others."""
