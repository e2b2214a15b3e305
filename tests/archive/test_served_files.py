"""Files of an archive: those in its own directories are served, whatever a request or a registration names."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import awkward
import httpx
import numpy as np
import pytest

SECRET = b"a secret of the user\n"
ARRAY = {
    "data_type": {"endianness": "not_applicable", "kind": "u", "itemsize": 1, "dt_units": None},
    "chunks": [[len(SECRET)]],
    "shape": [len(SECRET)],
    "dims": None,
    "resizable": False,
}


@pytest.fixture(scope="module")
def archive(own_archive):
    """What is written here is none of the runs that other tests find."""
    return own_archive


@pytest.fixture(scope="module")
def secret(archive) -> Path:
    """A file outside of everything that is served."""
    path = archive.layout.directory.parent / f"{archive.layout.directory.name} secret.csv"
    path.write_bytes(SECRET)
    return path


@pytest.fixture(scope="module")
def directory(archive) -> tuple[str, int, Path]:
    """An array whose asset is a directory: its path in the catalogue, the asset's id, and where it lies."""
    archive.client.write_array(np.arange(24).reshape(4, 6), key="written")
    about = archive.get("/metadata/written?include_data_sources=true").json()
    (asset,) = about["data"]["attributes"]["data_sources"][0]["assets"]
    assert asset["is_directory"]
    return "written", asset["id"], Path(asset["data_uri"].removeprefix("file://localhost"))


def post(archive, path: str, body: Any, method: str = "POST", **kwargs: Any) -> httpx.Response:
    headers = {"Authorization": f"Apikey {archive.key}"}
    return httpx.request(method, f"{archive.url}/api/v1{path}", json=body, headers=headers, timeout=30, **kwargs)


def registration(uri: str, mimetype: str = "application/octet-stream", **more: Any) -> dict[str, Any]:
    """Return what a client sends to register a file."""
    asset = {"data_uri": uri, "is_directory": False, "parameter": more.pop("parameter", "data_uri"), "num": None}
    source = {"structure_family": "array", "structure": ARRAY, "mimetype": mimetype, "parameters": {}}
    source |= {"assets": [asset], "management": "external", **more}
    return {"structure_family": "array", "metadata": {}, "data_sources": [source], "specs": []}


def test_a_relative_path_leads_nowhere_but_into_the_asset(archive, directory, secret):
    path, asset, place = directory
    steps = os.path.relpath(secret, place)
    link, loop = place / "link", place / "directory"
    link.symlink_to(secret)
    loop.symlink_to(secret.parent)
    try:
        for relative in (
            steps,
            "../../../../../../etc/passwd",
            str(secret),
            "link",
            f"directory/{secret.name}",
            "c/../" + steps,
        ):
            answer = archive.get(f"/asset/bytes/{path}", params={"id": asset, "relative_path": relative})
            assert answer.status_code in (400, 403), relative
            assert SECRET not in answer.content
        names = archive.get(f"/asset/manifest/{path}", params={"id": asset}).json()["manifest"]
    finally:
        link.unlink()
        loop.unlink()
    assert "zarr.json" in names
    assert not {"link", f"directory/{secret.name}"} & set(names)


def test_all_files_of_a_directory_come_back_by_the_names_of_its_manifest(archive, directory):
    path, asset, place = directory
    names = archive.get(f"/asset/manifest/{path}", params={"id": asset}).json()["manifest"]
    assert sorted(names) == sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())
    for name in names:
        answer = archive.get(f"/asset/bytes/{path}", params={"id": asset, "relative_path": name})
        assert answer.content == (place / name).read_bytes()
    for wrong in (".", "", "c", "nothing"):
        answer = archive.get(f"/asset/bytes/{path}", params={"id": asset, "relative_path": wrong})
        assert answer.status_code in (403, 404), wrong


def test_without_the_key_no_file_is_returned(archive, directory):
    path, asset, _ = directory
    for what in ("bytes", "manifest"):
        answer = httpx.get(f"{archive.url}/api/v1/asset/{what}/{path}", params={"id": asset})
        assert answer.status_code == 401


def test_the_pages_of_the_browser_interface_are_no_way_to_other_files(archive, secret):
    up = "%2e%2e/" * 20
    paths = [
        f"/ui/{secret}",
        f"/ui/{up}{str(secret)[1:]}",
        "/ui//etc/passwd",
        f"/ui/{up}etc/passwd",
        "/ui/%2Fetc/passwd",
    ]
    paths += [f"/static/{up}etc/passwd", "/static//etc/passwd", f"/uploads/static/{up}etc/passwd", "/ui/%00"]
    for path in paths:
        answer = httpx.get(f"{archive.url}{path.replace(' ', '%20')}")
        assert answer.status_code in (200, 400, 401, 404), path
        assert SECRET not in answer.content
        assert b"root:" not in answer.content
    assert b"<html" in httpx.get(f"{archive.url}/ui/").content.lower()


def test_a_registered_file_outside_of_the_archive_is_not_served(archive, secret):
    inside = archive.layout.recordings
    link = inside / "link to a secret"
    link.symlink_to(secret)
    uris = [f"file://localhost{secret}", f"file://{secret}", f"file://localhost{link}"]
    uris += [f"file://localhost{archive.layout.key}", f"file://localhost{secret.parent}"]
    for uri in uris:
        for parameter, mimetype in (("data_uri", "application/octet-stream"), (None, "text/csv;header=absent")):
            body = registration(uri, mimetype, parameter=parameter)
            body["data_sources"][0]["assets"][0]["is_directory"] = uri.endswith(secret.parent.name)
            key = post(archive, "/register/", body).raise_for_status().json()["id"]
            source = archive.get(f"/metadata/{key}?include_data_sources=true").json()["data"]["attributes"]
            asset = {"id": source["data_sources"][0]["assets"][0]["id"]}
            below = {"relative_path": secret.name} if uri.endswith(secret.parent.name) else {}
            answers = [archive.get(f"/asset/bytes/{key}", params=asset | below)]
            answers += [archive.get(f"/asset/manifest/{key}", params=asset), archive.get(f"/array/full/{key}")]
            answers += [archive.get(f"/array/block/{key}?block=0"), archive.get(f"/array/full/{key}?slice=0")]
            for answer in answers:
                assert answer.status_code in (400, 403), (uri, answer.text)
                assert SECRET not in answer.content
    link.unlink()


def test_what_is_no_file_or_steps_upwards_cannot_be_registered(archive, secret):
    inside = archive.layout.recordings
    dots = f"file://localhost{inside}/{os.path.relpath(secret, inside)}"
    for uri in (dots, "http://127.0.0.1:1/x", f"duckdb://localhost/{archive.layout.tables}", str(secret)):
        for parameter in ("data_uri", None):
            assert post(archive, "/register/", registration(uri, parameter=parameter)).status_code == 422


def test_a_parameter_of_a_data_source_is_no_way_to_another_file(archive, secret):
    uri, inside = f"file://localhost{secret}", archive.layout.recordings / "own.npy"
    np.save(inside, np.arange(len(SECRET), dtype="u1"))
    for parameters in ({"data_uris": [uri]}, {"data_uri": uri}, {"data_uris": uri}):
        mimetype = "multipart/related;type=application/x-npy"
        body = registration(f"file://localhost{inside}", mimetype, parameters=parameters)
        assert post(archive, "/register/", body).status_code == 422


def test_a_registered_file_is_external_and_never_deleted_with_its_node(archive):
    inside = archive.layout.recordings / "kept.npy"
    np.save(inside, np.arange(len(SECRET), dtype="u1"))
    body = registration(f"file://localhost{inside}", "application/x-npy")
    for management in ("writable", "internal"):
        body["data_sources"][0]["management"] = management
        assert post(archive, "/register/", body).status_code in (415, 422)
    body["data_sources"][0]["management"] = "external"
    key = post(archive, "/register/", body).raise_for_status().json()["id"]
    source = archive.get(f"/metadata/{key}?include_data_sources=true").json()["data"]["attributes"]["data_sources"][0]
    source["management"] = "writable"
    for assets in (source["assets"], []):
        change = {"data_source": {**source, "assets": assets}}
        assert post(archive, f"/data_source/{key}", change, "PUT").status_code == 422
    answer = archive.get(f"/array/full/{key}", params={"format": "application/octet-stream"})
    assert answer.content == bytes(range(len(SECRET)))
    post(archive, f"/metadata/{key}?external_only=false", None, "DELETE").raise_for_status()
    assert inside.exists()


def test_the_name_of_a_node_is_no_path(archive):
    source = {
        "structure_family": "array",
        "structure": ARRAY,
        "mimetype": "application/x-zarr",
        "management": "writable",
    }
    for name in ("..", ".", "a/../../b"):
        body = {"id": name, "structure_family": "array", "metadata": {}, "data_sources": [source], "specs": []}
        assert post(archive, "/metadata/", body).status_code == 422
    assert not (archive.layout.directory / "zarr.json").exists()


def test_the_buffers_of_an_awkward_array_stay_in_its_directory(archive, tmp_path):
    form, length, buffers = awkward.to_buffers(awkward.Array([[1, 2], [3]]))
    structure = {"length": length, "form": form.to_dict()}
    source = {"structure_family": "awkward", "structure": structure, "mimetype": "application/x-awkward-buffers"}
    body = {"structure_family": "awkward", "metadata": {}, "data_sources": [source], "specs": []}
    key = post(archive, "/metadata/", body).raise_for_status().json()["id"]
    headers = {"Authorization": f"Apikey {archive.key}", "Content-Type": "application/zip"}

    def put(names: dict[str, bytes]) -> int:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            for name, data in names.items():
                file.writestr(name, data)
        url = f"{archive.url}/api/v1/awkward/full/{key}"
        return httpx.put(url, content=packed.getvalue(), headers=headers).status_code

    for name in ("../../written", str(tmp_path / "written")):
        assert put({name: b"data"}) == 422
    assert not (tmp_path / "written").exists()
    assert not (archive.layout.data.parent / "written").exists()
    assert put({name: bytes(memoryview(data)) for name, data in buffers.items()}) == 200


def test_a_table_that_a_client_describes_reads_no_file(archive, secret):
    table = {"arrow_schema": "data:application/vnd.apache.arrow.file;base64,", "npartitions": 1, "columns": ["x"]}
    source = {"structure_family": "table", "structure": table, "mimetype": "application/x-tiled-sql-table"}
    source |= {"parameters": {"table_name": str(secret), "dataset_id": 1}, "management": "external"}
    source["assets"] = [
        {"data_uri": f"duckdb://localhost/{archive.layout.tables}", "is_directory": False, "parameter": "data_uri"}
    ]
    body = {"structure_family": "table", "metadata": {}, "data_sources": [source], "specs": []}
    assert post(archive, "/register/", body).status_code == 422


def test_an_array_larger_than_an_answer_is_refused_before_it_is_read(archive):
    path = archive.layout.recordings / "large.npy"
    shape = (400, 1024, 1024)  # 400 MiB that take no room on the disk
    np.lib.format.open_memmap(path, "w+", "u1", shape)
    body = registration(f"file://localhost{path}", "application/x-npy")
    body["data_sources"][0]["structure"] = {**ARRAY, "shape": shape, "chunks": [[400], [1024], [1024]]}
    key = post(archive, "/register/", body).raise_for_status().json()["id"]

    def high_water() -> int:
        status = Path(f"/proc/{archive.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

    before = high_water()
    assert archive.get(f"/array/full/{key}").status_code == 400
    assert archive.get(f"/array/block/{key}?block=0,0,0").status_code == 400
    assert high_water() - before < 100 << 10  # KiB
    answer = archive.get(f"/array/full/{key}?slice=7,0:2,0:3&format=application/octet-stream")
    assert answer.content == bytes(6)


def test_the_name_that_a_file_is_sent_under_is_no_path_and_ends_no_header(archive, directory):
    path, *_ = directory
    for name in ("../../x", "a%0d%0aSet-Cookie: a=b", 'a"b', "%00", "%E2%82%AC"):
        answer = archive.get(f"/array/full/{path}?slice=0&format=application/octet-stream&filename={name}")
        assert answer.status_code == 400, name
    answer = archive.get(f"/array/full/{path}?slice=0&format=application/octet-stream&filename=frame.raw")
    assert 'filename="frame.raw"' in answer.headers["Content-Disposition"]


def test_chunks_and_places_that_a_client_claims_take_no_memory(archive):
    large = {**ARRAY, "shape": [10**10], "chunks": [[10**10]]}
    source = {
        "structure_family": "array",
        "structure": large,
        "mimetype": "application/x-zarr",
        "management": "writable",
    }
    body = {"structure_family": "array", "metadata": {}, "data_sources": [source], "specs": []}
    assert post(archive, "/metadata/", body).status_code == 422
    source["structure"] = {**ARRAY, "shape": [1], "chunks": [[1]]}
    key = post(archive, "/metadata/", body).raise_for_status().json()["id"]
    headers = {"Authorization": f"Apikey {archive.key}", "Content-Type": "application/octet-stream"}
    url = f"{archive.url}/api/v1/array/full/{key}"
    for offset, status in ((10**12, 422), (3, 200)):
        query = {"offset": offset, "shape": 1, "extend": True}
        assert httpx.patch(url, params=query, content=b"7", headers=headers, timeout=30).status_code == status
    assert archive.get(f"/array/full/{key}", params={"format": "application/octet-stream"}).content[-1:] == b"7"
