"""Work that is written down in a thread: what fails is counted, and the rest goes on."""

import threading

from beamstream.callbacks.aside import AsideWork


class Written(AsideWork[int]):
    def __init__(self) -> None:
        super().__init__("written")
        self.taken: list[list[int]] = []
        self.go_on = threading.Event()

    def take(self, todo: list[int]) -> None:
        assert self.go_on.wait(20)
        self.taken.append(todo)
        if 300 in todo:
            raise OSError("disk full")


def test_what_waits_is_taken_in_pieces_and_a_failure_ends_nothing():
    work = Written()
    for number in range(1000):
        work.put(number)
    work.finish()
    assert not work.wait(0.05)
    before = work.moved
    work.go_on.set()
    assert work.wait(20)
    work.over()
    assert [number for some in work.taken for number in some] == list(range(1000))
    assert len(work.taken) >= 4
    assert work.moved > before
    assert work.account == {"failed": 1, "error": "disk full"}
