"""The growth in `beamstream demo`: filmed by a simulated RHEED camera, uploaded while it grows, compared bit by bit."""

import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beamstream.cli.console import size
from beamstream.cli.steps import Steps
from beamstream.errors import BeamstreamError, UploadError

if TYPE_CHECKING:
    from beamstream.cli.acquisition import Acquisition
    from beamstream.cli.archive import Archive
    from beamstream.ingest.process import IngestProcess
    from beamstream.rheed.job import JobDirectory
    from beamstream.sim.beamline import CameraSpec

PREFIX = "SIM:RHEED"
FPS = 60.0
RECIPE: list[dict[str, Any]] = [
    {"name": "heat", "seconds": 0, "temperature": 580, "rpm": 30},
    {"name": "GaAs", "seconds": 3, "open": ["Ga"]},
]
_RAMP = 600.0  # degC/s; nobody wants to wait
_PATIENCE = 60.0  # s for the last chunk to arrive
_LOOK = 0.05  # s
_ENDS = 5.0  # s


def camera() -> "CameraSpec":
    """Return the simulated camera: 300 x 500 pixels of 8 bit."""
    from beamstream.frames import Geometry
    from beamstream.sim.beamline import CameraSpec

    return CameraSpec(PREFIX, Geometry((300, 500), "|u1"), period=1 / FPS, scene="rheed")


def sections() -> dict[str, dict[str, Any]]:
    """Return what a configuration says about camera and chamber: sections of devices by name."""
    chamber = f"{PREFIX}:sim1:"
    return {
        "gun": {
            "kind": "rheed",
            "pv": f"{PREFIX}:Pva1:Image",
            "control": f"{PREFIX}:cam1:",
            "gun_energy": 15.0,
            "rotations_per_min": f"{chamber}Rotation",
        },
        "gallium": {"kind": "signal", "pv": f"{chamber}Source"},
        "heater": {"kind": "number", "pv": f"{chamber}Temperature", "readback": f"{chamber}Temperature_RBV"},
        "ramp_rate": {"kind": "number", "pv": f"{chamber}RampRate"},
        "growth_rate": {"kind": "number", "pv": f"{chamber}GrowthRate"},
    }


def can_upload() -> bool:
    """Return whether the client that uploads is installed."""
    return find_spec("atomscale") is not None


def take_uploads(steps: Steps, stack: ExitStack, acquisition: "Acquisition") -> "IngestProcess | None":
    """Start a service that takes uploads into the archive, and have what `gun` records uploaded to it."""
    if not can_upload():
        return None
    from beamstream.callbacks.uploader import RheedUploader
    from beamstream.ingest.process import IngestProcess

    archive = acquisition.layout.directory
    with steps.step("ingest") as step:
        ingest = stack.enter_context(IngestProcess(archive))
        stack.callback(_end_workers)
        uploader = RheedUploader(archive, detectors=["gun"])
        stack.callback(uploader.close)
        acquisition.chain.add(uploader)
        step(f"takes uploads at {ingest.url}")
    return ingest


def grow(steps: Steps, acquisition: "Acquisition") -> str:
    """Grow a few layers; return the run's uid."""
    from plans.growth import growth

    devices = acquisition.devices
    with steps.step("growth", moves=False) as step:
        for name, value in {"ramp_rate": _RAMP, "growth_rate": 2.0}.items():
            devices[name].wait_for_connection(timeout=10)
            devices[name].set(value).wait(10)
        plan = growth(
            devices["gun"],
            RECIPE,
            shutters={"Ga": devices["gallium"]},
            temperature=devices["heater"],
            reading_period=0.5,
            flush_period=1.0,
            md={"sample": "simulated GaAs", "purpose": "demo"},
        )
        acquisition.run(plan)
        account = devices["gun"].ledger.account
        names = " and ".join(said["name"] for said in RECIPE)
        step(
            f"steps {names}, {account.recorded} frames recorded, {account.lost} lost, run {acquisition.uids[-1][:8]}",
            account.whole,
        )
    return acquisition.uids[-1]


def check(steps: Steps, acquisition: "Acquisition", ingest: "IngestProcess | None", uid: str) -> None:
    """Wait until all is uploaded, and compare what the service has with what was recorded."""
    if ingest is None:
        with steps.step("upload") as step:
            step("left out: pip install 'beamstream[rheed]' brings the client that uploads")
        return
    with steps.step("upload") as step:
        job = _uploaded(acquisition.layout.directory, uid)
        state = job.state
        step(f"{state.uploaded} frames in {state.confirmed} chunks, stream {state.data_id}")
    with steps.step("compare the upload") as step:
        frames, different, nbytes = _compare(Path(job.job.path), ingest.stream(state.data_id))
        step(f"{frames} frames, {different} different, {size(nbytes)}", frames == state.frames and not different)


def picture(steps: Steps, archive: "Archive", uid: str, path: Path) -> None:
    """Keep the frame at which the film began to grow, as PNG."""
    from beamstream.cli.comparison import filed
    from beamstream.cli.runs import save_png

    with steps.step("RHEED frame as PNG") as step:
        filed(archive, uid)
        frames = archive.get(f"/table/full/{uid}/steps/internal", column="gun_frame", format="application/json").json()
        save_png(archive, uid, "primary/gun_image", int(frames["gun_frame"][-2]), path)
        step(str(path))


def _uploaded(archive: Path, uid: str) -> "JobDirectory":
    """Return the upload of a run when all of it is there."""
    from beamstream.rheed.job import job_directories
    from beamstream.rheed.starting import is_over, uploads_of

    deadline = time.monotonic() + _PATIENCE
    while True:
        found = [job for job in job_directories(uploads_of(archive)) if job.job.run == uid]
        if found and is_over(found[0]):
            break
        if time.monotonic() > deadline:
            words = found[0].state.error or found[0].state.phase if found else "it was not begun"
            raise UploadError(f"demo: the growth is not uploaded after {_PATIENCE:g} s: {words}")
        time.sleep(_LOOK)
    if found[0].state.phase != "done":
        raise UploadError(found[0].state.error)
    return found[0]


def _compare(recorded: Path, stream: Path) -> tuple[int, int, int]:
    """Return how many frames there are, how many of them differ, and their bytes."""
    import numpy as np
    import zarr

    from beamstream.recorded import RecordedFrames

    array: Any = zarr.open_array(stream, mode="r")
    different, row = 0, 0
    with RecordedFrames(recorded) as frames:
        if array.shape != (len(frames), *frames.geometry.shape):
            raise BeamstreamError(f"demo: {len(frames)} frames recorded, the upload has {array.shape}; they differ")
        for batch in frames.read(0, len(frames)):
            images = array[row : row + len(batch)]
            different += sum(not np.array_equal(a, b.image) for a, b in zip(images, batch, strict=True))
            row += len(batch)
    return row, different, array.nbytes


def _end_workers() -> None:
    """End the workers of ours that still upload: after Ctrl-C there is nobody left to upload to."""
    import psutil

    workers = [child for child in psutil.Process().children() if "beamstream.rheed" in _arguments(child)]
    for worker in workers:
        worker.terminate()
    _, alive = psutil.wait_procs(workers, timeout=_ENDS)
    for worker in alive:
        worker.kill()


def _arguments(process: Any) -> list[str]:
    import psutil

    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []
