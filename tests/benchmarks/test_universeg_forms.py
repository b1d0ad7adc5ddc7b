"""The comparison of UniverSeg's two forms, at a small size."""

import torch
from benchmarks.timing import table

from benchmarks import universeg_forms


def test_rows_hold_both_forms():
    found = universeg_forms.rows(device="cpu", repeats=2, sizes=(1, 3), side_px=16, width=4)
    assert [row.what.split(", ")[1] for row in found[:2]] == ["S = 1", "S = 3"]
    for row in found:
        assert len(row.values) == len(row.other) == 2
        assert min(*row.values, *row.other) > 0
        assert row.ratio > 0
    difference, _, size = found[1].extra["largest difference"].partition(" of ")
    assert float(difference) < 1e-5 < float(size)
    assert "S = 3" in table(found)


def test_peak_memory_counts_what_lives_together():
    def form():
        first = torch.ones(1024, 1024)  # 4 MiB
        second = first + 1
        del first
        third = second * 2
        return (second + third).sum()

    with torch.inference_mode():
        assert round(universeg_forms._peak_mib(form, torch.device("cpu")), 3) == 12
