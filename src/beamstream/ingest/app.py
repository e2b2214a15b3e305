"""The service: one function a request, the key on all but clock and uploads, an answer in words to each error."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from beamstream.errors import BeamstreamError
from beamstream.ingest import messages
from beamstream.ingest.catalogue import Catalogue
from beamstream.ingest.readings import Readings
from beamstream.ingest.refusal import FULL, Refusal, is_no_room
from beamstream.ingest.streams import Streams
from beamstream.ingest.tokens import Chunk, Tokens
from beamstream.ingest.uploads import Uploads
from beamstream.network import proof
from beamstream.network.address import Address
from beamstream.network.gate import Gate
from beamstream.network.keys import Keys
from beamstream.network.rules import UPLOAD, Rule

log = logging.getLogger(__name__)

MOST_JSON = 32 << 20
"""Bytes of a message; the longest are readings of many channels."""
_LONG = 1 << 20  # bytes of a message: it becomes ten times as much when it is understood
_long_messages = asyncio.Semaphore(2)
LARGEST_SHARD = 1 << 30
"""Bytes of an upload."""
_LONGEST_ID = 200  # characters
_KEY_AT = "send what the archive's file ingest_key holds as X-API-KEY"
_OPEN = {"/gateway/time": 0, "/upload/{token}": LARGEST_SHARD}
"""Bytes that come to what takes no key: a clock, and uploads, whose token is looked at before the body."""

M = TypeVar("M", bound=messages.Message)
Endpoint = Callable[[Request], Awaitable[Response]]


class Service:
    """Answer what the cloud's client asks.

    Parameters
    ----------
    catalogue : Catalogue
    streams : Streams
    readings : Readings
    tokens : Tokens
    uploads : Uploads
    """

    def __init__(
        self, catalogue: Catalogue, streams: Streams, readings: Readings, tokens: Tokens, uploads: Uploads
    ) -> None:
        self._catalogue, self._streams, self._readings = catalogue, streams, readings
        self._tokens, self._uploads = tokens, uploads

    def routes(self) -> list[Route]:
        """Return every address that is answered."""
        of = messages
        get, post = ["GET"], ["POST"]
        presign = "/data_entries/raw_data/staged/upload_urls/"
        tracking = "/projects/{project}/configuration/tracking_samples"
        return [
            Route("/gateway/time", _time, methods=get),
            Route("/upload/{token}", self._uploads.put, methods=["PUT"]),
            Route("/physical_samples/", _told(lambda _: self._catalogue.listed("samples")), methods=get),
            Route("/physical_samples/", _heard(of.Named, self._new_sample), methods=post),
            Route("/tags/", _told(lambda _: self._catalogue.listed("tags")), methods=get),
            Route("/tags/", _heard(of.Named, self._new_tag), methods=post),
            Route("/tags/data-items/", _heard(of.TagLinks, self._tag), methods=post),
            Route("/data_entries/physical_sample", _heard(of.SampleLink, self._link), methods=post),
            Route(tracking, _heard(of.Tracking, self._track), methods=post),
            Route("/rheed/stream/", _heard(of.NewStream, self._new_stream), methods=post),
            Route("/rheed/stream/{data_id}", _told(lambda r: self._streams.status(r["data_id"])), methods=get),
            Route("/rheed/stream/{data_id}/end", _told(lambda r: self._streams.end(r["data_id"])), methods=post),
            Route(presign, _heard(of.ChunkMessage, self._presign), methods=post),
            Route("/tool-state/stream/initialize", _heard(of.NewReadings, self._new_readings), methods=post),
            Route("/tool-state/stream/chunk", _heard(of.ReadingsChunk, self._readings_chunk), methods=post),
            Route("/tool-state/stream/chunk/multi", _heard(of.ReadingsChunks, self._readings_chunks), methods=post),
            Route("/tool-state/stream/{data_id}", _told(lambda r: self._readings.status(r["data_id"])), methods=get),
            Route(
                "/tool-state/stream/{data_id}/finalize",
                _told(lambda r: self._readings.end(r["data_id"])),
                methods=post,
            ),
        ]

    def _new_sample(self, said: messages.Named, _: Request) -> Any:
        identity, new = self._catalogue.add_name("samples", said.name)
        answer = {"physical_sample_id": identity}
        if not new:
            raise Refusal(409, f"ingest: there is a sample {said.name}", detail=answer)
        return answer

    def _new_tag(self, said: messages.Named, _: Request) -> Any:
        identity, new = self._catalogue.add_name("tags", said.name)
        if not new:
            raise Refusal(400, f"ingest: there is a tag {said.name}; it is listed")
        return {"id": identity}

    def _tag(self, said: messages.TagLinks, _: Request) -> Any:
        self._catalogue.link(said.data_ids, tags=said.tag_ids)
        return {}

    def _link(self, said: messages.SampleLink, _: Request) -> Any:
        self._catalogue.link(said.data_ids, sample=said.physical_sample_id)
        return {}

    def _track(self, said: messages.Tracking, request: Request) -> Any:
        project = request.path_params["project"]
        if len(project) > _LONGEST_ID:
            raise Refusal(
                422, f"ingest: a project id of {len(project)} characters came, at most {_LONGEST_ID} are taken"
            )
        self._catalogue.track(project, said.physical_sample_id, active=said.set_active)
        return {}

    def _new_stream(self, said: messages.NewStream, _: Request) -> Any:
        data_id = self._catalogue.add_item("rheed", said.model_dump())
        log.info("ingest: stream %s (%s) begins", data_id, said.data_item_name)
        return data_id

    def _presign(self, said: messages.ChunkMessage, request: Request) -> Any:
        name = request.query_params.get("original_filename", "")
        number = messages.shard_number(name)
        if number is None:
            raise Refusal(422, f"ingest: original_filename {name[:80]!r} is no frames.zarr/frames/c/NUMBER/0/0")
        chunk = Chunk.of(number, said)
        self._streams.admit(chunk)
        token = self._tokens.seal(chunk, given=request.headers.get("x-api-key", ""))
        return [{"url": f"{request.url.scheme}://{request.url.netloc}/upload/{token}", "part": 0}]

    def _new_readings(self, said: messages.NewReadings, _: Request) -> Any:
        data_id = self._catalogue.add_item("readings", said.model_dump())
        log.info("ingest: time series %s (%s) begins", data_id, said.stream_name)
        return {"data_id": data_id, "processed_data_id": data_id}

    def _readings_chunk(self, said: messages.ReadingsChunk, _: Request) -> Any:
        return self._readings.keep(said.data_id, said.chunk_index, {said.channel_name: said})

    def _readings_chunks(self, said: messages.ReadingsChunks, _: Request) -> Any:
        return self._readings.keep(said.data_id, said.chunk_index, said.channels)


def make_app(service: Service, keys: Keys, hosts: Iterable[str] = (), address: Address | None = None) -> Gate:
    """Return the application behind its gate; who uploads shows a key of `keys` as ``X-API-KEY``."""
    handlers: Any = {
        Refusal: _refused,
        HTTPException: _no_route,
        ValidationError: _not_understood,
        OSError: _failed,
        sqlite3.Error: _failed,
        BeamstreamError: _failed,
        Exception: _failed,  # and its traceback goes to the log
    }
    routes = service.routes()
    app: Any = Starlette(routes=routes, exception_handlers=handlers)
    rules = [Rule("GET", proof.PATH, None), *map(_rule, routes)]
    if address is not None:
        app = proof.Prover(app, address)
    return Gate(app, rules, keys, name="ingest", hosts=hosts, key_at=_KEY_AT)


def _rule(route: Route) -> Rule:
    """Return who may use a route of ours."""
    open_ = route.path in _OPEN
    scope, most = (None, _OPEN[route.path]) if open_ else (UPLOAD, MOST_JSON)
    return Rule(" ".join(route.methods or ()), route.path, scope, body=most)


def _heard(model: type[M], answer: Callable[[M, Request], Any]) -> Endpoint:
    """Return an endpoint that reads a message, and answers in a thread."""

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        async with _long_messages if len(body) > _LONG else nullcontext():
            return await asyncio.to_thread(lambda: JSONResponse(answer(model.model_validate_json(body), request)))

    return endpoint


def _told(answer: Callable[[dict[str, str]], Any]) -> Endpoint:
    """Return an endpoint that needs the address alone."""

    async def endpoint(request: Request) -> Response:
        await request.body()
        return await asyncio.to_thread(lambda: JSONResponse(answer(request.path_params)))

    return endpoint


async def _time(_: Request) -> Response:
    now = time.time() * 1000
    return JSONResponse({"receivedAtUnixMs": now, "transmittedAtUnixMs": time.time() * 1000})


async def _refused(_: Request, refusal: Refusal) -> Response:
    return JSONResponse({"detail": refusal.detail}, refusal.status)


async def _no_route(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"detail": f"ingest: {error.detail}"}, error.status_code, headers=error.headers)


async def _not_understood(_: Request, error: ValidationError) -> Response:
    wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()[:5])
    return JSONResponse({"detail": f"ingest: the message is not understood: {wrong}"}, 422)


async def _failed(_: Request, error: Exception) -> Response:
    if is_no_room(error):
        log.warning("%s (%s)", FULL, error)
        return JSONResponse({"detail": FULL}, 507)
    log.warning("ingest: a request failed: %s: %s", type(error).__name__, error)
    return JSONResponse({"detail": f"ingest: it could not be kept: {type(error).__name__}: {error}"}, 500)
