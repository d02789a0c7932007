"""Work that waits for its turn and work that is ended."""

import pytest

from lavseg.app import work as work_module
from lavseg.app.work import WorkLine


@pytest.fixture
def line(monkeypatch):
    monkeypatch.setattr(work_module, "WAIT_SECONDS", 0)
    return WorkLine(1)


def test_work_waits_for_all_that_was_asked_for_before(line):
    with line.joined("a", "a.mp4") as first:
        assert not list(line.waiting(first))
        with line.joined("b", "b.mp4") as second:
            looks = line.waiting(second)
            assert next(looks) == next(looks) == 1
            with pytest.raises(ValueError, match=r"^1 requests wait already; try again in a few minutes"):
                line.joined("c", "c.mp4").__enter__()
            line.end("a")
            assert first.ended and next(looks) == 1, "work that ends is still there until it has left"
            line.end("b")
            assert not list(looks), "what was ended waits no longer"
    with line.joined("c", "c.mp4") as third:
        assert not third.ended and not list(line.waiting(third))


def test_a_session_ends_what_it_began_itself(line):
    with line.joined("a", "a.mp4") as mine, line.joined("b", "a.mp4") as other:
        line.end("a", unless="a.mp4")
        assert not mine.ended
        line.end("a", unless="b.mp4")
        assert mine.ended and not other.ended
