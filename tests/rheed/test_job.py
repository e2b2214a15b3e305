"""Job directories: complete or not there, and a state that adds up."""

import json
import os
import random
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamstream.errors import UploadError
from beamstream.rheed.job import Job, JobDirectory, Owner, State, job_directories

JOB = Job("rheed", "0123456789", "rheed", "film.h5", "http://127.0.0.1:1", "a film", tags=("a",), owner=Owner.this())


@given(st.permutations(range(12)), st.integers(0, 12))
def test_chunks_may_arrive_in_any_order_and_twice(order, cut):
    state = State()
    for chunk in [*order[:cut], *order[: cut // 2]]:
        state = state.with_confirmed(chunk)
    assert {chunk for chunk in range(12) if state.has(chunk)} == set(order[:cut])
    assert state.confirmed == next(n for n in range(13) if n not in order[:cut])
    assert not any(chunk <= state.confirmed for chunk in state.beyond)


def test_what_was_written_is_read(tmp_path):
    directory = JobDirectory.create(tmp_path / "uploads" / "01234567-rheed", JOB)
    assert directory.job == JOB
    assert directory.state == State()
    state = replace(State().with_confirmed(3).with_confirmed(0), data_id="x", phase="offline", linked=True)
    directory.save(state, durable=random.choice([True, False]))
    assert JobDirectory(directory.path).state == state
    assert [found.path for found in job_directories(tmp_path / "uploads")] == [directory.path]


def test_a_state_of_a_later_version_is_read_as_far_as_it_is_known(tmp_path):
    directory = JobDirectory.create(tmp_path / "job", JOB)
    (directory.path / "state.json").write_text(json.dumps(asdict(State()) | {"confirmed": 4, "colour": "blue"}))
    assert directory.state.confirmed == 4


def test_an_upload_that_is_there_is_not_overwritten(tmp_path):
    JobDirectory.create(tmp_path / "job", JOB)
    with pytest.raises(UploadError, match="is there already"):
        JobDirectory.create(tmp_path / "job", replace(JOB, run="other"))
    assert JobDirectory(tmp_path / "job").job == JOB
    assert [path.name for path in tmp_path.iterdir()] == ["job"]


def test_the_end_is_said_once(tmp_path):
    directory = JobDirectory.create(tmp_path / "job", JOB)
    assert directory.total is None
    directory.end(45)
    directory.end(60)
    assert directory.total == 45


def test_what_is_no_job_is_said(tmp_path):
    with pytest.raises(UploadError, match="holds no upload"):
        _ = JobDirectory(tmp_path).job


def test_a_process_of_the_same_number_is_not_the_owner():
    assert Owner.this().alive
    assert not Owner(os.getpid(), 1.0).alive
    assert not Owner(2**22 + 1, 1.0).alive
