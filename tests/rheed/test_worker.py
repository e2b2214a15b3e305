"""The worker: what was recorded is at the service, bit by bit, and words say what is in the way."""

import signal
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import psutil
import pytest

from beamstream.ops.eight_bit import EightBit
from beamstream.rheed.job import Owner
from beamstream.rheed.report import status_of


def test_a_finished_film_is_uploaded_bit_by_bit_with_its_short_last_chunk(film, upload, stored):
    film = film(95)
    job = upload(film, total=95, tags=("run:0123", "8bit:as-is"), physical_sample="wafer 7").start()
    assert job.wait() == 0
    state = job.state
    assert (state.phase, state.fps, state.chunk_size, state.confirmed) == ("done", 10.0, 20, 5)
    assert (state.frames, state.uploaded, state.error, state.linked) == (95, 95, "", True)
    assert np.array_equal(stored(job), film.images())
    assert not job.directory.spool.exists()
    assert job.start().wait() == 0  # once more: there is nothing to do


@pytest.mark.parametrize(("dtype", "rule"), [("<u2", "window:100:3000"), (">u2", "shift:9")])
def test_pixels_of_16_bit_are_mapped_by_the_rule_that_was_said(film, upload, stored, dtype, rule):
    film = film(45, dtype=dtype)
    job = upload(film, total=45, rule=rule).start()
    assert job.wait() == 0, job.log
    assert np.array_equal(stored(job), EightBit.parse(rule).apply(film.images()))


def test_a_growing_film_is_followed_until_its_end(film, upload, stored, wait_for):
    film = film(0)
    job = upload(film, owner=Owner.this()).start()
    for frames in (7, 33, 1, 25):
        film.grow(frames)
        wait_for(lambda: job.state.uploaded == film.kept // 20 * 20, timeout=30, what="what is complete to be there")
    film.close()
    job.directory.end(film.kept)
    assert job.wait() == 0
    assert np.array_equal(stored(job), film.images())


def test_when_the_recorder_is_gone_what_is_on_disk_is_all(film, upload, stored):
    film = film(50)
    film.close()
    job = upload(film, owner=replace(Owner.this(), started=1.0)).start()
    assert job.wait() == 0
    assert np.array_equal(stored(job), film.images())


def test_a_recorder_lives_as_long_as_it_locks_its_file_whatever_its_number_and_the_clock_say(
    film, upload, stored, wait_for
):
    film = film(0)
    job = upload(film, owner=Owner(2**22 + 1, 1.0)).start()  # as another container counts, before the clock was set
    for frames in (30, 25):
        film.grow(frames)
        wait_for(lambda: job.state.uploaded == film.kept // 20 * 20, timeout=30, what="what is complete to be there")
    film.close()
    assert job.wait() == 0
    assert np.array_equal(stored(job), film.images())


def test_a_total_that_is_too_small_or_was_never_written_costs_no_frame(film, upload, stored):
    film = film(50)
    job = upload(film, owner=Owner.this(), total=30)  # counted before the last were written
    film.close()
    job.start()
    assert job.wait() == 0
    assert np.array_equal(stored(job), film.images())


def test_frames_that_were_counted_and_are_not_in_the_file_are_said(film, upload, stored):
    film = film(50)
    job = upload(film, total=70).start()
    assert job.wait() == 0
    assert np.array_equal(stored(job), film.images())
    assert "counted 70 frames, it holds 50" in job.state.error


def test_black_chunks_arrive_black(film, upload, stored):
    film = film(110, black=(range(25), range(35, 60), range(100, 110)))  # the first, the third, the short last one
    job = upload(film, total=110).start()
    assert job.wait() == 0, job.log
    there = stored(job)
    assert np.array_equal(there, film.images())
    assert not there[:25].any()
    assert there[25].any()


def test_frames_that_do_not_decode_are_black_and_named_and_the_others_in_their_places(film, upload, stored):
    damaged = (0, 7, 25, *range(40, 60), 94)  # the third chunk as a whole
    film = film(95, damaged=damaged)
    job = upload(film, total=95).start()
    assert job.wait() == 0, job.log
    assert np.array_equal(stored(job), film.images())
    assert job.state.undecoded == damaged
    assert "24 frames of" in job.state.error
    assert f"do not decode and are black, rows {', '.join(map(str, damaged))}" in job.state.error
    status = status_of(job.directory)
    assert (status["phase"], status["uploaded"], status["undecoded"]) == ("done", 95, 24)
    assert "do not decode" in status["words"]


def test_a_frame_that_does_not_decode_is_black_whatever_the_rule_makes_of_nothing(film, upload, stored):
    film = film(25, dtype="<i2", damaged=(3,))
    rule = EightBit.parse("window:-1000:3000")
    job = upload(film, total=25, rule="window:-1000:3000").start()
    assert job.wait() == 0, job.log
    expected = rule.apply(film.images())
    assert expected[3].any()
    expected[3] = 0
    assert np.array_equal(stored(job), expected)


def test_a_film_without_frames_is_done_at_once(film, upload):
    job = upload(film(0), total=0).start()
    assert job.wait() == 0
    assert job.state.data_id == ""


@pytest.mark.parametrize(
    ("made", "options", "words"),
    [
        ({}, {"chunk_size": 10}, "service takes 2 s or more; give 20 or more"),
        ({"dtype": "<u2"}, {}, "rule as-is asked for, pixels are uint16; give shift:8"),
        ({"shape": (12, 16, 3)}, {}, "not rows and columns of grey"),
        ({}, {"rule": "bright"}, "give as-is (8-bit pixels only), shift:BITS"),
        ({}, {"rotations_per_min": 5.0, "azimuth": "110"}, "azimuth is for parked streams"),
        ({}, {"path": "gone.h5"}, "no directory|No such file|unable to open"),
    ],
)
def test_what_cannot_be_uploaded_is_said_and_the_worker_ends(film, upload, made, options, words):
    job = upload(film(45, **made), total=45, **options).start()
    assert job.wait() == 1
    said = job.words()
    assert any(some in said for some in words.split("|")), said
    assert said.count("\n") == 1
    assert job.state.phase == "failed"
    assert said.strip() == job.state.error
    assert said.strip() in job.log


def test_a_second_worker_on_the_same_upload_ends_with_words(film, upload, wait_for):
    job = upload(film(10), owner=Owner.this()).start()
    wait_for(lambda: (job.directory.path / "lock").exists() and (job.directory.path / "lock").read_text(), timeout=20)
    first = job.worker
    assert job.start().wait() == 1
    assert f"being uploaded by process {first.pid} already" in job.words()
    job.kill()
    job.worker = first


def test_a_signal_ends_the_worker_in_order_and_the_next_one_goes_on(film, upload, stored, wait_for):
    film = film(70)
    job = upload(film, owner=Owner.this()).start()
    wait_for(lambda: job.state.confirmed == 3, timeout=30, what="three chunks to arrive")
    children = psutil.Process(job.worker.pid).children()
    assert children
    job.worker.send_signal(signal.SIGTERM)
    assert job.wait(5.0) == 1
    assert "ended by a signal" in job.words()
    assert not any(child.is_running() for child in children)
    data_id = job.state.data_id
    film.close()
    job.directory.end(70)
    assert job.start().wait() == 0
    assert job.state.data_id == data_id
    assert np.array_equal(stored(job), film.images())


def test_readings_are_delivered_once_each(tmp_path, upload, ingest, wait_for, faults):
    lines = tmp_path / "readings.jsonl"
    text = "".join(
        f'{{"time": {1.7e9 + n}, "channel": "{"heater" if n % 3 else "gauge"}", "value": {n}, "units": "K"}}\n'
        for n in range(230)
    )
    lines.write_text(text[: len(text) // 2])
    job = upload(lines, kind="timeseries", endpoint=faults.url, owner=Owner.this(), tags=("run:0123",))
    refused: list[str] = []

    def answer(method: str, path: str) -> int | None:
        if "chunk" in path and len(refused) < 5:
            refused.append(path)
            return (401, 503, 404, 500, 409)[len(refused) - 1]
        return None

    faults.answer = answer
    job.start()
    wait_for(lambda: job.state.uploaded == 100, timeout=30, what="the first half to arrive")
    with lines.open("a") as file:
        file.write(text[len(text) // 2 :])
    job.directory.end(230)
    assert job.wait() == 0, job.log
    assert (job.state.uploaded, job.state.confirmed, job.state.refusals) == (230, 5, 3)
    with closing(sqlite3.connect(ingest.layout.ingest / "catalogue.db")) as db:
        rows = db.execute("SELECT channel, readings FROM readings WHERE data_id = ?", (job.state.data_id,)).fetchall()
    there = {name: np.concatenate([np.frombuffer(v, "<f8") for n, v in rows if n == name]) for name, _ in rows}
    assert sorted(there["heater"]) == [n for n in range(230) if n % 3]
    assert sorted(there["gauge"]) == [n for n in range(230) if not n % 3]
