"""Who listens with TLS where a server of ours was, and is another one, is sent no key."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from certificates import make_certificate

from beamstream.archive.layout import Layout
from beamstream.archive.server import ArchiveServer
from beamstream.network.address import Address, new_secret
from beamstream.network.proof import PATH, Challenge, proved_connection
from beamstream.network.proved_http import ProvedAsyncTransport, ProvedTransport
from beamstream.network.tls import Certificate, client_context

KEY = "0123456789abcdef" * 4
SHOWN = {"Authorization": f"Apikey {KEY}"}


class TlsImpostor:
    """Answer over TLS, and keep what comes.

    Parameters
    ----------
    certificate : Certificate
    answer : callable
        Given what came, returns what goes back.
    """

    def __init__(self, certificate: Certificate, answer: Callable[[bytes], bytes]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.cert, certificate.key)
        self._answer = answer
        self.received = b""
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name="impostor")
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain = self.listening.accept()[0]
                plain.settimeout(30)
                with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
                    while more := connection.recv(65536):
                        self.received += more
                        connection.sendall(self._answer(more))

    def close(self) -> bytes:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self._thread.join(60)
        return self.received


@contextlib.contextmanager
def listening(certificate: Certificate, answer: Callable[[bytes], bytes]) -> Iterator[TlsImpostor]:
    made = TlsImpostor(certificate, answer)
    try:
        yield made
    finally:
        with contextlib.suppress(OSError):
            made.close()


def by_connection(path: Path) -> None:
    connection = proved_connection(Address.read(path), 20.0)
    connection.request("GET", "/api/v1/", headers=SHOWN)


def by_client(path: Path) -> None:
    with httpx.Client(transport=ProvedTransport(path)) as client:
        client.get(f"{Address.read(path).url}/api/v1/", headers=SHOWN)


def by_async_client(path: Path) -> None:
    async def get() -> None:
        async with httpx.AsyncClient(transport=ProvedAsyncTransport(path)) as client:
            await client.get(f"{Address.read(path).url}/api/v1/", headers=SHOWN)

    asyncio.run(get())


every_client = pytest.mark.parametrize("client", [by_connection, by_client, by_async_client])


@pytest.fixture
def layout(tmp_path) -> Layout:
    layout = Layout(tmp_path / "archive")
    layout.prepare()
    return layout


def relayed(address: Address) -> Callable[[bytes], bytes]:
    """Return what passes a question on to the true server, and its answer back."""

    def ask(question: bytes) -> bytes:
        context = client_context(address.certificate)
        port = int(address.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 30) as plain, context.wrap_socket(plain) as connection:
            connection.sendall(question)
            answer = b""
            while len(answer.partition(b"\r\n\r\n")[2]) < 64:
                answer += connection.recv(65536)
            return answer

    return ask


@every_client
def test_another_certificate_is_not_even_asked_who_it_is(layout, tls, local_tls, client):
    with listening(local_tls, lambda _: b"") as other:
        Address(other.url, 1, new_secret(), str(tls.cert)).write(layout.address)
        with pytest.raises((OSError, httpx.ConnectError), match="CERTIFICATE_VERIFY_FAILED"):
            client(layout.address)
        assert other.close() == b""


@every_client
def test_a_certificate_whose_time_is_over_is_none(layout, tmp_path, client):
    old = make_certificate(tmp_path / "old", "127.0.0.1", ended=True)
    with listening(old, lambda _: b"") as other:
        Address(other.url, 1, new_secret(), str(old.cert)).write(layout.address)
        with pytest.raises((OSError, httpx.ConnectError), match="certificate has expired"):
            client(layout.address)
        assert other.close() == b""


@every_client
def test_the_certificate_of_a_server_at_another_port_proves_nothing_there(layout, tls, client):
    """As of one machine's servers, which share a certificate: what listens passes the question on to the true one."""
    with ArchiveServer(layout.directory, tls=tls, feed=False):
        true = Address.read(layout.address)
        with listening(tls, relayed(true)) as other:
            Address(other.url, true.pid, true.secret, true.certificate).write(layout.address)
            with pytest.raises((OSError, httpx.ConnectError), match="cannot prove"):
                client(layout.address)
            received = other.close()
        assert PATH.encode() in received
        assert KEY.encode() not in received


@every_client
def test_an_answer_that_was_right_once_is_of_no_use_again(layout, tls, client):
    with ArchiveServer(layout.directory, tls=tls, feed=False):
        true = Address.read(layout.address)
        challenge = Challenge(true)
        answer = relayed(true)(challenge.request)
        assert challenge.feed(answer)
    with listening(tls, lambda _: answer) as other:
        for url in (true.url, other.url):
            Address(other.url, true.pid, true.secret, true.certificate).write(layout.address)
            fresh = Challenge(Address(url, true.pid, true.secret))
            with pytest.raises(OSError, match="cannot prove"):
                fresh.feed(answer)
        with pytest.raises((OSError, httpx.ConnectError), match="cannot prove"):
            client(layout.address)
        received = other.close()
    assert PATH.encode() in received
    assert KEY.encode() not in received
