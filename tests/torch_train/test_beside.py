import threading

import pytest

from torch_train.engine.state import BackgroundWriter


def test_work_is_done_beside_what_goes_on_one_piece_after_the_other_and_is_waited_for():
    done, go = [], threading.Event()
    with BackgroundWriter() as writer:
        writer.submit(lambda: (go.wait(10), done.append(1)))
        assert done == []
        go.set()
        writer.submit(lambda: done.append(2))
    assert done == [1, 2]


def test_an_interruption_waits_for_what_was_begun():
    done, go = [], threading.Event()
    with pytest.raises(KeyboardInterrupt), BackgroundWriter() as writer:  # noqa: PT012
        writer.submit(lambda: (go.wait(10), done.append(1)))
        go.set()
        raise KeyboardInterrupt
    assert done == [1]


def test_what_the_work_raised_is_raised_to_who_gave_it_and_once():
    def full():
        raise OSError("no space left")

    with BackgroundWriter() as writer:
        writer.submit(full)
        with pytest.raises(OSError, match="no space left"):
            writer.submit(lambda: None)
