"""Messages between processes: whoever sends never waits, and nothing grows without end."""

import os
import threading

from beamstream.plots.inbox import Inbox, Outbox


def test_messages_come_in_order_and_the_newest_of_a_key_takes_the_place_of_one_that_waits():
    outbox = Outbox()
    for message, key in (("begin", None), ("rows 1", "rows"), ("other", None), ("rows 7", "rows")):
        assert outbox.put(message, key)
    outbox.close()
    assert [outbox.get() for _ in range(4)] == ["begin", "rows 7", "other", None]


def test_a_full_outbox_refuses_and_counts_but_takes_news_of_what_waits():
    outbox = Outbox(2)
    assert outbox.put("a")
    assert outbox.put("rows 1", "rows")
    assert not outbox.put("b")
    assert outbox.put("rows 2", "rows")
    assert outbox.refused == 1
    outbox.close()
    assert [outbox.get() for _ in range(3)] == ["a", "rows 2", None]
    assert not outbox.put("too late")


def test_getting_waits_for_a_message_and_for_the_end():
    outbox = Outbox()
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.extend([outbox.get(), outbox.get()]))
    thread.start()
    outbox.put("late")
    outbox.close()
    thread.join(5)
    assert got == ["late", None]


def test_an_inbox_gives_all_that_came_and_knows_the_end(wait_for):
    read, write = os.pipe()
    inbox = Inbox(read)
    assert inbox.take(0.0) == []
    came: list[object] = []
    os.write(write, b'{"do": "begin"}\n{"do": "rows", "sto')
    wait_for(lambda: came.extend(inbox.take(0.1)) or len(came) == 1)
    os.write(write, b'p": 3}\n')
    wait_for(lambda: came.extend(inbox.take(0.1)) or len(came) == 2)
    assert came == [{"do": "begin"}, {"do": "rows", "stop": 3}]
    assert not inbox.ended
    os.close(write)
    wait_for(lambda: inbox.ended)
    assert inbox.take(5.0) == []
    os.close(read)
