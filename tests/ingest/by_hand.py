"""The protocol without the client: what it would never send can be sent."""

from typing import Any

import google_crc32c
import httpx
import imagecodecs
import numpy as np

ABSENT = 2**64 - 1
START = 1_700_000_000_000


def movie(count: int, shape: tuple[int, int] = (12, 20), seed: int = 0) -> np.ndarray:
    """Make frames that differ from each other."""
    return np.random.default_rng(seed).integers(1, 99, (count, *shape), dtype=np.uint8)


def shard_of(frames: np.ndarray, *, order: list[int] | None = None, level: int = 3) -> bytes:
    """Pack frames as the client does, in any order; black ones are left out."""
    index = np.full((len(frames), 2), ABSENT, "<u8")
    body = b""
    for number in order or range(len(frames)):
        if frames[number].any():
            packed = imagecodecs.zstd_encode(frames[number].tobytes(), level)
            index[number] = len(body), len(packed)
            body += packed
    return body + sealed(index)


def sealed(index: np.ndarray) -> bytes:
    """Return an index with its checksum."""
    words = index.astype("<u8").tobytes()
    return words + google_crc32c.value(words).to_bytes(4, "little")


class ByHand:
    """Say to a service what a test wants said."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.Client(base_url=url, headers={"X-API-KEY": key}, timeout=30)

    def close(self) -> None:
        self.http.close()

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.http.post(path, json=body)

    def begin(self, fps: float = 5.0, **more: Any) -> str:
        """Begin a stream."""
        settings = {"data_item_name": "by hand", "rotational_period": None, "rotations_per_min": 0.0}
        answer = self.post("/rheed/stream/", **settings, fps_capture_rate=fps, **more)
        return answer.raise_for_status().json()

    def presign(self, data_id: str, number: int | str, dims: tuple[int, ...], size: int = 10, /, **more: Any) -> Any:
        """Ask where a chunk goes."""
        name = number if isinstance(number, str) else f"frames.zarr/frames/c/{number}/0/0"
        about = {"data_id": data_id, "data_stream": "rheed", "is_stream": "1", "is_rotating": "0"}
        about |= {"raw_frame_rate": "5.0", "avg_frame_rate": "5.0", "chunk_size": str(size)}
        about["dims"] = ",".join(map(str, dims))
        start = START + 2000 * number if isinstance(number, int) else START
        about |= {"start_unix_ms_utc": str(start), "end_unix_ms_utc": str(start + 200 * dims[0])}
        parameters = {"original_filename": name, "num_parts": "1", "staging_type": "stream"}
        path = "/data_entries/raw_data/staged/upload_urls/"
        return self.http.post(path, params=parameters, json={**about, **more})

    def url(self, *arguments: Any, **more: Any) -> str:
        """Return where a chunk goes."""
        return self.presign(*arguments, **more).raise_for_status().json()[0]["url"]

    def send(self, data_id: str, number: int, frames: np.ndarray, shard: bytes | None = None, size: int = 10) -> Any:
        """Upload a chunk; return the answer."""
        url = self.url(data_id, number, frames.shape, size)
        return httpx.put(url, content=shard_of(frames) if shard is None else shard, timeout=30)

    def status(self, data_id: str) -> dict[str, Any]:
        return self.http.get(f"/rheed/stream/{data_id}").raise_for_status().json()

    def end(self, data_id: str) -> dict[str, Any]:
        return self.http.post(f"/rheed/stream/{data_id}/end").raise_for_status().json()
