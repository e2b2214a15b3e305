"""Every frame ends in one column of the account."""

import json

from beamstream.ledger import Ledger, Place, UniqueIds, from_event


def test_the_count_tells_gaps_and_resets():
    ids = UniqueIds()
    assert [ids.see(i) for i in (5, 6, 9, 10)] == [0, 0, 2, 0]
    assert ids.see(3) is None
    assert ids.see(4) == 0


def test_losses_are_summed_and_placed():
    ledger = Ledger("cam", received=7, recorded=7)
    assert ledger.whole
    ledger.lose(10, 2, Place.TRANSPORT)
    ledger.lose(20, 1, Place.DISK)
    assert ledger.lost == 3
    assert not ledger.whole
    assert json.loads(ledger.gaps_json())[1] == {"after": 20, "missing": 1, "place": "disk"}
    assert "3 lost" in ledger.summary()


def test_a_thousand_gaps_are_listed_and_all_are_counted():
    ledger = Ledger("cam")
    for i in range(1500):
        ledger.lose(i, 1, Place.TRANSPORT)
    assert ledger.lost == 1500
    assert len(ledger.gaps) == 1000


def test_ledgers_are_read_back_from_an_event():
    data = {"cam_ledger_lost": 1, "cam_ledger_recorded": 9, "side_ledger_lost": 0, "motor": 1.0}
    assert from_event(data) == {"cam": {"lost": 1, "recorded": 9}, "side": {"lost": 0}}
