"""Nothing that comes to an archive is unpickled, and nothing of ours could: not by the libraries' detours either."""

import ast
import os
import pickle
from pathlib import Path

import httpx
import msgpack
import pytest

from beamstream.archive.layout import read_key
from beamstream.archive.process import running_server

ROOT = Path(__file__).parents[2]
UNPICKLE = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "msgpack_numpy"}
DETOURS = {"RemoteDispatcher", "PersistentDict"}  # bluesky 1.15: by pickle, and by msgpack-numpy 0.4.8


class Touch:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_no_module_of_ours_can_unpickle():
    for folder in ("src", "devices", "plans", "profile"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in getattr(node, "names", ()) if isinstance(alias, ast.alias)]
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not {name.partition(".")[0] for name in names} & UNPICKLE, file
                assert not set(names) & DETOURS, file
                allowed = [k.value for k in getattr(node, "keywords", ()) if k.arg == "allow_pickle"]
                assert all(isinstance(value, ast.Constant) and value.value is False for value in allowed), file


@pytest.mark.parametrize("kind", ["application/x-msgpack", "application/octet-stream", "application/json"])
def test_an_array_of_objects_in_a_message_is_refused_and_not_unpickled(tmp_path, kind):
    made = tmp_path / "unpickled"
    evil = pickle.dumps(Touch(made))
    objects = {b"nd": True, b"type": "|O", b"kind": b"O", b"shape": (1,), b"data": evil}
    with running_server(tmp_path / "archive", feed=False) as address:
        key = {"Authorization": f"Apikey {read_key(tmp_path / 'archive' / 'api_key')}"}
        array = {"data_type": {"endianness": "not_applicable", "kind": "O", "itemsize": 8}}
        array |= {"chunks": [[1]], "shape": [1], "dims": None, "resizable": False}
        source = {
            "structure_family": "array",
            "structure": array,
            "mimetype": "application/x-npy",
            "management": "writable",
        }
        node = {"structure_family": "array", "metadata": {}, "data_sources": [source], "specs": [], "id": "objects"}
        httpx.post(f"{address.url}/api/v1/metadata/", json=node, headers=key)
        for body in (msgpack.packb(objects), msgpack.packb({"metadata": objects, "data": objects}), evil):
            for method, path in (
                ("POST", "metadata/"),
                ("PUT", "metadata/objects"),
                ("PATCH", "metadata/objects"),
                ("POST", "register/"),
                ("PUT", "array/full/objects"),
                ("PUT", "array/block/objects?block=0"),
                ("PUT", "table/full/objects"),
                ("PUT", "awkward/full/objects"),
            ):
                headers = {**key, "Content-Type": kind}
                answer = httpx.request(
                    method, f"{address.url}/api/v1/{path}", content=body, headers=headers, timeout=30
                )
                assert answer.status_code >= 400, (path, answer.text)
        assert not made.exists()
        pickle.loads(evil)
        assert made.exists(), "it would have been seen"
