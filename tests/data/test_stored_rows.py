import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from textgenome.data.stored_rows import StoredRows


@pytest.mark.parametrize("reads_in_place", [True, False])
def test_rows_are_read_in_any_order_by_any_thread(monkeypatch, reads_in_place):
    if not reads_in_place:  # as on Windows
        monkeypatch.delattr(os, "pread")
    rows = StoredRows(({"number": i, "text": "ä" * (i % 7)} for i in range(200)), same_columns=True)
    assert len(rows) == 200
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(rows.__getitem__, reversed(range(200))))
    assert found == [{"number": i, "text": "ä" * (i % 7)} for i in reversed(range(200))]
    with pytest.raises(IndexError, match="none of the number 200"):
        rows[200]
