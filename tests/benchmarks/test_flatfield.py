"""The flat field on one core and on two, and the frame statistics, against plain numpy and against a mere copy."""

import time
from collections.abc import Callable
from itertools import cycle, islice
from statistics import median

import numpy as np
import pytest

from beamstream.ops.flatfield import FlatField
from beamstream.ops.statistics import frame_statistics

pytestmark = pytest.mark.benchmark
SIZE = 2048
FRAMES = 16  # 134 MB: none is still in a core's cache when it comes round again
ROUNDS = 4


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 65536, (SIZE, SIZE), np.uint16) for _ in range(FRAMES)]


def compared(frames: list[np.ndarray], *works: Callable[[np.ndarray], object]) -> list[float]:
    """Return the median time of each work on a frame, ms; they take turns, so that noise meets all of them."""
    for work in works:
        work(frames[0])
    times: list[list[float]] = [[] for _ in works]
    frame = cycle(frames)
    for _ in range(ROUNDS):
        for work, mine in zip(works, times, strict=True):
            for image in islice(frame, FRAMES):
                began = time.perf_counter()
                work(image)
                mine.append(time.perf_counter() - began)
    return [1e3 * median(mine) for mine in times]


def references(darkness: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a flat, and a dark: none, one that fits float32, or an average that needs float64."""
    rng = np.random.default_rng(1)
    flat = rng.uniform(20000, 30000, (SIZE, SIZE))
    dark = rng.uniform(90, 110, flat.shape)
    return flat, {"no dark": None, "float32 dark": dark.astype(np.float32), "float64 dark": dark}[darkness]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("darkness", ["no dark", "float32 dark", "float64 dark"])
@pytest.mark.parametrize("output", ["float32", "raw"])
@pytest.mark.parametrize("threads", [1, 2])
def test_flat_field_against_numpy_and_a_copy(frames, threads, output, darkness, report):
    flat, dark = references(darkness)
    op = FlatField(flat, dark, output=output, threads=threads)
    op.prepare("u2")
    mean = op.means[0]
    copied = np.zeros(flat.shape, np.float32)

    def plain(raw):
        if dark is None:
            corrected = raw.astype(np.float64) / flat * mean
        else:
            corrected = (raw.astype(np.float64) - dark) / (flat - dark) * mean
        return corrected if output == "float32" else np.clip(np.rint(corrected), 0, 65535).astype(np.uint16)

    plainly = plain(frames[0])
    np.testing.assert_allclose(op.apply(frames[0], {}), plainly, rtol=3e-7, atol=0 if output == "float32" else 1)
    ours, numpy, copy = compared(frames, lambda f: op.apply(f, {}), plain, lambda f: np.copyto(copied, f))
    report(
        f"flat field {SIZE}² uint16, {darkness}, {output}, {threads} threads",
        f"{ours:.2f} ms = {1e3 / ours:.0f} fps; numpy in float64 {numpy:.2f} ms ({numpy / ours:.1f} times ours), "
        f"np.copyto to float32 {copy:.2f} ms ({copy / ours:.2f} times ours)",
    )


@pytest.mark.timeout(300)
def test_frame_statistics_against_numpy(frames, report):
    def plain(image):
        total = image.sum(dtype=np.uint64)
        rows, columns = image.sum(axis=1, dtype=np.uint64), image.sum(axis=0, dtype=np.uint64)
        at = np.arange(SIZE)
        return total, image.mean(), image.min(), image.max(), image.std(), at @ rows / total, at @ columns / total

    assert frame_statistics(frames[0]).std == pytest.approx(plain(frames[0])[4], rel=1e-9)
    ours, numpy = compared(frames, frame_statistics, plain)
    report(
        f"frame statistics {SIZE}² uint16",
        f"{ours:.2f} ms; one numpy call for each number {numpy:.2f} ms ({numpy / ours:.1f} times ours)",
    )
