"""RHEED to the cloud or to the lab's own ingest: what was recorded is uploaded, by a process of its own."""
