"""What beamstream.toml may say of the services: archive, recording, uploads, live pages, EPICS."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from beamstream.config.section import Section
from beamstream.config.values import Addresses, Directory, OnLoss, RingMemory, Switch, Whole
from beamstream.network.hosts import is_loopback


class Archive(Section):
    """Say where the archive lives and how it is served.

    Parameters
    ----------
    directory : Path
        Catalogue, event tables, journals. Absolute after loading.
    host : str
        Address that the server listens on.
    port : int
        0: a free port, another one at each start.
    anonymous_read : bool
        Whether readers need no key; on the loopback interface only.
    allowed_hosts : tuple of str
        Names by which browsers and clients reach the server, besides its address: of a proxy, of the machine.
    tls_cert, tls_key : Path, optional
        PEM files with which the archive, its ingest and its live page speak TLS.
    start : {"process", "no"}
        Whether a session starts the server, as a process of its own, when none runs.
    group : str
        Of users who may read and write the archive's files; nobody but their owner otherwise.
    """

    directory: Directory = Path("data")
    host: str = Field(default="127.0.0.1", min_length=1)  # an empty one would mean every interface
    port: Whole = Field(default=8710, ge=0, le=65535)
    anonymous_read: Switch = False
    allowed_hosts: Addresses = ()
    tls_cert: Directory | None = None
    tls_key: Directory | None = None
    start: Literal["process", "no"] = "process"
    group: str = ""

    @model_validator(mode="after")
    def _beyond_loopback_wants_a_key(self) -> "Archive":
        if self.anonymous_read and not is_loopback(self.host):
            raise ValueError(
                f"anonymous_read = true with host = {self.host!r} would show every run to the network; "
                'set anonymous_read = false, or host = "127.0.0.1"'
            )
        return self


class Recording(Section):
    """Say where frames are kept and what happens when some are missing.

    Parameters
    ----------
    directory : Path
        Recorded files; ``recordings`` in the archive's directory when the file names none.
    on_loss : {"mark", "fail"}
        Missing frames are written into the ledger, or fail the run as well.
    ring_memory_mb : int or "auto"
        Shared memory for the frames of one detector, MiB; ``"auto"``: some seconds of its stream, as far as there is
        memory.
    queue_size : int
        Updates that PVAccess keeps for us while we are busy.
    """

    directory: Directory = Path("data/recordings")
    on_loss: OnLoss = "mark"
    ring_memory_mb: RingMemory = "auto"
    queue_size: Whole = Field(default=50, ge=2)

    @property
    def ring_memory(self) -> int | None:
        """Shared memory for the frames of one detector, bytes; None: automatic."""
        return None if self.ring_memory_mb == "auto" else self.ring_memory_mb * 2**20


class Ingest(Section):
    """Say whether uploads are taken here, as the cloud's client sends them, and where.

    Parameters
    ----------
    enabled : bool
        Whether ``beamstream serve`` takes uploads into its archive.
    host : str
        Address that is listened on; uploads want a key everywhere.
    port : int
        0: a free port, another one at each start.
    key_file : Path, optional
        The key of those who upload; None: ``ingest_key`` in the archive, made at the first start.
    allowed_hosts : tuple of str
        Names by which clients reach the service, besides its address.
    """

    enabled: Switch = False
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Whole = Field(default=8711, ge=0, le=65535)
    key_file: Directory | None = None
    allowed_hosts: Addresses = ()

    @property
    def url(self) -> str:
        """Where uploads are taken when ``beamstream serve`` runs; empty if they are not, or nobody knows where."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}" if self.enabled and self.port else ""


class Live(Section):
    """Say whether streams and runs are shown in browsers, live, and where.

    Parameters
    ----------
    enabled : bool
        Whether ``beamstream serve`` serves the live page too.
    host : str
        Address that is listened on; beyond this machine everybody has to know the key, to look as well.
    port : int
        0: a free port, another one at each start.
    key_file : Path, optional
        The key of those who record and capture from the page; None: ``live_key`` in the archive, made at the first
        start.
    allowed_hosts : tuple of str
        Names by which browsers reach the page, besides its address.
    """

    enabled: Switch = True
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Whole = Field(default=8712, ge=0, le=65535)
    key_file: Directory | None = None
    allowed_hosts: Addresses = ()


class Epics(Section):
    """Say how EPICS is spoken; what is None stays as the environment has it.

    Parameters
    ----------
    control_layer : {"caproto", "pyepics"}
        What ophyd speaks Channel Access with.
    ca_addr_list, pva_addr_list : tuple of str, optional
        Where to search; in the file a list, or one string with blanks.
    auto_addr_list : bool, optional
        Whether to search all local networks too, for Channel Access and PVAccess alike.
    """

    control_layer: Literal["caproto", "pyepics"] = "caproto"
    ca_addr_list: Addresses | None = None
    pva_addr_list: Addresses | None = None
    auto_addr_list: Switch | None = None
