import io
import os
import sys

import pytest

from textgenome.genome import progress
from textgenome.genome.progress import Progress, by_batch


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test turns."""
    now = [1000.0]
    monkeypatch.setattr(progress.tqdm, "__init__", _with_clock(progress.tqdm.__init__, lambda: now[0]))
    return now


def _with_clock(start, time):
    def begin(self, *args, **options):
        start(self, *args, **options)
        if not self.disable:
            self._time, self.start_t, self.last_print_t = time, time(), time()

    return begin


def test_redirected_output_gets_a_line_every_half_minute_and_a_last_one(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for _ in by_batch([range(5)] * 10, 50, "Asking"):
        clock[0] += 10
    lines = sys.stderr.getvalue().split("\n")
    assert lines[0] == "Asking: 15 of 50 rows, 2.0 s/row, 01:10 left"
    assert lines[1:] == [
        "Asking: 30 of 50 rows, 2.0 s/row, 00:40 left",
        "Asking: 45 of 50 rows, 2.0 s/row, 00:10 left",
        "Asking: 50 of 50 rows, 2.0 s/row, 01:40 in all",
        "",
    ]


def test_short_work_prints_nothing(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress(total=100, desc="Reading", unit="row") as bar:
        clock[0] += 29
        bar.update(50)
    assert not sys.stderr.getvalue()


def test_what_has_no_known_end_tells_how_much_is_done(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress(desc="Indexing", unit="batch") as bar:
        clock[0] += 40
        bar.update(1200)
    assert sys.stderr.getvalue().startswith("Indexing: 1,200 batches, 30.0 batches/s\n")


def test_a_terminal_keeps_its_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(Progress([1, 2], desc="Reading", unit="row")) == [1, 2]
    assert "Reading: 100%|" in sys.stderr.getvalue()


def test_only_the_first_process_reports(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(os.environ, "RANK", "1")
    assert list(Progress([1, 2])) == [1, 2]
    assert not sys.stderr.getvalue()
