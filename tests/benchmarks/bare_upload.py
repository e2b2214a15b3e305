"""The cloud's client by itself, in its own process: the frames of a file as fast as it takes them.

``python bare_upload.py FILE ENDPOINT CHUNK_SIZE FPS SPOOL``; the key comes from the environment.
"""

import json
import os
import sys
import time

import h5py
from atomscale.streaming.rheed_stream import RHEEDStreamer


def main(path: str, endpoint: str, chunk_size: int, fps: float, spool: str) -> None:
    with h5py.File(path) as file:
        frames = file["/entry/data/data"][:]
    streamer = RHEEDStreamer(os.environ["BEAMSTREAM_UPLOAD_KEY"], endpoint, spool_dir=spool)
    data_id = streamer.initialize(fps, 0.0, chunk_size, stream_name="bare")
    began = time.monotonic()
    for index, first in enumerate(range(0, len(frames), chunk_size)):
        streamer.push(data_id, index, frames[first : first + chunk_size], int(1e12 + 1000 * first / fps))
    counts = streamer.finalize(data_id)
    took = time.monotonic() - began
    whole = counts["drained"] and not counts["chunks_not_uploaded"]
    print(json.dumps({"data_id": data_id, "seconds": took, "nbytes": frames.nbytes, "whole": whole}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
