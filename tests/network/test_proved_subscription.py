"""A subscription of an archive's client shows its key on a connection that has proved itself, and on no other."""

import pickle
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # for impostor
from impostor import impostor

from beamstream.archive.catalog import connect
from beamstream.archive.layout import read_key
from beamstream.archive.server import ArchiveServer
from beamstream.network.address import Address
from beamstream.network.proof import PATH


@pytest.fixture(params=[False, True], ids=["http", "https"])
def server(request, tmp_path, local_tls):
    with ArchiveServer(tmp_path / "archive", feed=False, tls=local_tls if request.param else None) as server:
        yield server


def test_a_subscription_gets_what_is_written_and_from_its_beginning(server, wait_for):
    client = connect(server.layout.directory)
    subscription, names = client.subscribe(), []

    def child(update):
        names.append(update.key)

    subscription.child_created.add_callback(child)
    try:
        subscription.start_in_thread(0)
        wait_for(subscription._connected_event.is_set, timeout=30, what="the subscription")
        client.create_container("a")
        wait_for(lambda: names == ["a"], timeout=30, what="the new node")
        again = pickle.loads(pickle.dumps(client.context))
        assert again.http_client.get(again.api_uri).status_code == 200
        again.close()
    finally:
        subscription.disconnect()
        client.context.close()


def test_who_takes_the_port_between_a_proof_and_the_websocket_is_sent_no_key(server, monkeypatch):
    """Each connection proves itself: what was proved just before, over another one, counts for nothing."""
    client = connect(server.layout.directory)
    client.keys()
    true = Address.read(server.layout.address)
    key = read_key(server.layout.key)
    try:
        with impostor(relay=int(true.url.rpartition(":")[2])) as other:
            url = f"{true.url.rpartition(':')[0]}:{other.port}"
            Address(url, true.pid, true.secret, true.certificate).write(server.layout.address)
            with pytest.raises(OSError, match="cannot prove"):
                client.subscribe()._websocket.connect(key)
            received = other.close()
        assert received
        assert key.encode() not in received
        if true.url.startswith("http:"):
            assert PATH.encode() in received
    finally:
        client.context.close()
