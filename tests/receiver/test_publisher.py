"""A publisher that is not there yet, that goes, hangs and comes again."""

import logging

import pytest

from beamstream.receiver import status
from beamstream.sim.loopback import free_port
from beamstream.sim.spectra_process import SpectraSim
from beamstream.sim.spectrometer import SpectrometerSpec

SPEC = SpectrometerSpec(rate=100, shape=(1, 96, 4))


def lines(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records)


def test_it_can_be_started_before_its_publisher_and_follows_when_that_comes(receive, wait_for, caplog):
    caplog.set_level(logging.INFO)
    port = free_port()
    receiver = receive(port)
    receiver.start()
    wait_for(lambda: lines(caplog, "no publisher at"), what="a word about it")
    said = receiver.get_buffer_status()
    assert (said["running"], said["connected"], said["n_received"]) == (True, False, 0)
    with SpectraSim(SpectrometerSpec(rate=100, shape=(1, 96, 4), address=f"tcp://127.0.0.1:{port}")):
        wait_for(lambda: receiver.account.received > 3, what="spectra")
        assert receiver.get_buffer_status()["connected"]
        receiver.stop()
    assert lines(caplog, "no publisher at") == 1, "not once for each attempt"
    assert lines(caplog, "connected to") == 1


def test_a_publisher_that_goes_and_comes_again_is_said_twice_and_followed(receive, wait_for, caplog):
    caplog.set_level(logging.INFO)
    with SpectraSim(SPEC) as sim:
        receiver = receive(sim)
        receiver.start()
        wait_for(lambda: receiver.account.received > 3, what="spectra")
        sim.kill()
        wait_for(lambda: lines(caplog, "is gone"), what="a warning")
        wait_for(lambda: receiver.get_buffer_status()["disconnects"] == 1, what="the count")
        assert not receiver.get_buffer_status()["connected"]
        note = status.caption(receiver)
        assert note["bad"]
        assert "publisher is gone; no spectrum for" in note["note"]
        before = receiver.account.received
        sim.start()
        wait_for(lambda: receiver.account.received > before + 3, what="spectra again")
        wait_for(lambda: lines(caplog, "is back after"), what="a word about it")
        wait_for(lambda: receiver.get_buffer_status()["connected"], what="that to be seen: it looks every 50 ms")
        assert receiver.account.restarts or receiver.account.lost, "it is not taken for complete"
    assert [lines(caplog, words) for words in ("is gone", "is back after")] == [1, 1]


def test_a_publisher_that_hangs_is_silent_and_connected(receive, wait_for, monkeypatch):
    monkeypatch.setattr("beamstream.receiver.arrivals._LEAST_SILENT", 0.5)
    with SpectraSim(SPEC) as sim:
        receiver = receive(sim)
        receiver.start()
        wait_for(lambda: receiver.account.received > 3, what="spectra")
        assert status.caption(receiver)["note"] == "receiving, none lost"
        sim.suspend()
        wait_for(lambda: receiver.account.silent, what="silence")
        said = receiver.get_buffer_status()
        assert said["connected"]
        assert said["silent_for"] >= 0.5
        assert "the publisher is connected" in status.caption(receiver)["note"]
        sim.resume()
        wait_for(lambda: not receiver.account.silent, what="spectra again")


def test_stopping_while_there_is_no_publisher_does_not_wait_for_one(receive):
    receiver = receive(free_port())
    receiver.start()
    receiver.stop()
    assert not receiver.running
