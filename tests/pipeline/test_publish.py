"""The op that publishes: images pass as they are, and whoever subscribes gets their means."""

import functools
import socket

import numpy as np
import pytest
import zmq

from beamstream.errors import PipelineError, ProcessorFailed
from beamstream.frames import Frame, Geometry
from beamstream.ops.base import meta_of
from beamstream.pipeline import Pipeline
from beamstream.pipeline.publish import PublishSpectra
from beamstream.spectra_wire import decode

TIME_TAG = 344085352899674112
START = 1755537514.75
SPECTRA = np.random.default_rng(4).normal(50, 5, (12, 2, 16, 4)).astype("f4")


@pytest.fixture
def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def subscriber(address):
    context = zmq.Context()
    heard = context.socket(zmq.SUB)
    heard.set(zmq.RECONNECT_IVL, 5)
    heard.subscribe(b"data")
    heard.connect(address)
    yield heard
    context.destroy(linger=0)


def receive(subscriber):
    assert subscriber.poll(5000), "no message"
    return decode(subscriber.recv_multipart())


def meta(number, **attributes):
    """Return what a pipeline is told of the frame of a spectrum, made a second after its last sample."""
    attributes = {"last_block_time": START + 0.25 * number, "time_tag": TIME_TAG, "delay": 0.0} | attributes
    image = SPECTRA[number % len(SPECTRA)]
    geometry = Geometry(image.shape, image.dtype.str)
    return meta_of(Frame(image, geometry, number, START + 1 + 0.25 * number, 0.0, attributes=attributes))


def until_heard(pipeline, subscriber, wait_for):
    """Send samples of long ago until somebody listens."""
    count = iter(range(1_000_000))

    def heard():
        pipeline.apply(SPECTRA[0], meta(-4_000_000 + 4 * next(count)))
        subscriber.poll(0)  # or it would not subscribe again after a reconnect
        return pipeline["publish"].counters.subscribers

    wait_for(heard, what="the subscriber")


def since_start(subscriber):
    """Return the first spectrum that is not of long ago."""
    while (spectrum := receive(subscriber)).last_block_time < START:
        pass
    return spectrum


def test_means_of_the_frames_are_published_with_their_times(project, address, subscriber, wait_for):
    entry = {"name": "publish", "module": "beamstream.pipeline.publish", "class": "PublishSpectra"}
    kwargs = {"address": address, "interval": 1.0, "step": 0.25}
    pipeline = Pipeline.load(project.classes({**entry, "kwargs": kwargs}))
    until_heard(pipeline, subscriber, wait_for)
    for number in range(12):
        np.testing.assert_array_equal(pipeline.apply(SPECTRA[number], meta(number)), SPECTRA[number])
    for number, spectrum in enumerate([since_start(subscriber), receive(subscriber), receive(subscriber)]):
        mean = SPECTRA[4 * number : 4 * number + 4].mean(axis=0, dtype="f8").astype("f4")
        np.testing.assert_array_equal(spectrum.values, mean)
        assert spectrum.last_block_time == START + number + 0.75
        assert spectrum.time_tag == TIME_TAG
    said = pipeline.describe()["processors"][0]["parameters"]
    assert said == {"address": address, "interval": 1.0, "step": 0.25, "clock": "data", "sequence": True}


def _subscribed(op):
    op.apply(SPECTRA[:0, ..., :1], {})  # nothing, but it opens the address
    return op._publisher.wait(0)


def test_a_gulp_is_published_in_parts_and_the_rest_when_the_op_is_given_up(address, subscriber, wait_for):
    op = PublishSpectra(address, interval=1.0, step=0.2)
    wait_for(functools.partial(_subscribed, op), what="the subscriber")
    gulp = SPECTRA[..., 0]  # one polarisation, as a Selection leaves it
    op.apply(gulp[..., None], {"timestamp": START + 11 * 0.2})
    del op
    for first, stop in ((0, 5), (5, 10), (10, 12)):
        spectrum = receive(subscriber)
        assert spectrum.values.shape == (2, 16, 1)
        np.testing.assert_array_equal(spectrum.values[..., 0], gulp[first:stop].mean(axis=0, dtype="f8").astype("f4"))
        assert spectrum.last_block_time == pytest.approx(START + 0.2 * (stop - 1), abs=2e-6)
        assert spectrum.time_tag == pytest.approx(START * 196e6, abs=196)


@pytest.mark.usefixtures("looks_each_time")
def test_a_pipeline_that_is_read_again_goes_on_at_the_same_address(project, address, subscriber, wait_for):
    def file(interval):
        entry = {"name": "publish", "module": "beamstream.pipeline.publish", "class": "PublishSpectra"}
        return project.classes({**entry, "kwargs": {"address": address, "interval": interval, "step": 0.25}})

    pipeline = Pipeline.load(file(1.0))
    until_heard(pipeline, subscriber, wait_for)
    file(0.5)
    until_heard(pipeline, subscriber, wait_for)
    assert pipeline["publish"].interval == 0.5
    assert pipeline.reload_error is None
    pipeline.apply(SPECTRA[0], meta(0))
    pipeline.apply(SPECTRA[1], meta(1))
    np.testing.assert_array_equal(since_start(subscriber).values, SPECTRA[:2].mean(axis=0, dtype="f8").astype("f4"))


def test_an_address_in_use_fails_the_frames_until_it_is_free(address):
    pipeline = Pipeline([PublishSpectra(address, interval=0.1)], ["publish"])
    with zmq.Context() as context, context.socket(zmq.PUB) as other:
        other.bind(address)
        with pytest.raises(ProcessorFailed, match=f"publish: .* {address} .* it is in use"):
            pipeline.apply(SPECTRA[0], meta(0))
    pipeline.apply(SPECTRA[0], meta(0))
    assert pipeline["publish"].counters.waiting == 1
    pipeline["publish"].close()


def test_the_made_up_image_of_a_trial_is_not_published(address):
    op = PublishSpectra(address)
    assert op.apply(SPECTRA[0], {"source": "trial"}) is not None
    assert op.counters is None


def test_spectra_of_another_shape_fail_and_the_others_go_on(address):
    pipeline = Pipeline([PublishSpectra(address, interval=9.0)], ["publish"])
    pipeline.apply(SPECTRA[0], meta(0))
    with pytest.raises(ProcessorFailed, match="2 × 8 × 4 given, they were 2 × 16 × 4"):
        pipeline.apply(SPECTRA[1][:, :8], meta(1))
    pipeline.apply(SPECTRA[2], meta(2))
    assert pipeline["publish"].counters.waiting == 2
    pipeline["publish"].close()


@pytest.mark.parametrize(
    ("image", "words"),
    [(SPECTRA, "step = None asked for; a gulp of 12 samples"), (SPECTRA[0, 0, 0], "an image of shape \\(4,\\) came")],
)
def test_what_is_neither_sample_nor_gulp_is_refused(address, image, words):
    with pytest.raises(PipelineError, match=words):
        PublishSpectra(address).apply(image, {})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("address", "9798"),
        ("address", 9798),
        ("interval", 0),
        ("interval", "fast"),
        ("step", -1),
        ("clock", "sun"),
        ("sequence", "yes"),
    ],
)
def test_a_wrong_option_is_named(option, value):
    with pytest.raises(PipelineError, match=f"publish: {option} = {value!r}"):
        PublishSpectra(**{option: value})
