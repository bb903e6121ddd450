"""Pictures along a genome."""

import numpy as np
import pytest

from textgenome.genome import plot
from textgenome.genome.intervals import Interval
from textgenome.genome.plot import Lane, arrange, as_png, plot_tracks
from textgenome.genome.transcripts import Transcript


PLACE = Interval("chr1", 1000, 2000)
GENES = [
    Transcript("a", "a", "chr1", "+", ((900, 1100), (1200, 1300)), ((1050, 1100), (1200, 1250))),
    Transcript("b", "b", "chr1", "-", ((1250, 1400),)),
    Transcript("c", "c", "chr1", "-", ((1600, 1700),)),
    Transcript("far", "far", "chr1", "-", ((5000, 5100),)),
]


def texts(axis):
    return [each.get_text() for each in axis.texts]


def test_genes_are_above_and_the_truth_above_the_prediction_on_one_axis():
    signal = np.arange(10.0)
    lanes = [Lane("first", signal, signal / 2, "r 0.90"), Lane("second", predicted=signal)]
    figure = plot_tracks(PLACE, lanes, GENES, "title")
    genes, truth, predicted, alone = figure.axes
    assert texts(genes) == ["a", "b", "c"] and len(genes.patches) == 6
    assert [each.get_ylabel() for each in (truth, predicted, alone)] == ["first\nmeasured", "predicted", "second"]
    assert truth.get_ylim() == predicted.get_ylim() and texts(predicted) == ["r 0.90"]
    assert all(axis.get_xlim() == (1000, 2000) for axis in figure.axes)
    steps = predicted.patches[0].get_data()
    assert steps.values.tolist() == (signal / 2).tolist() and steps.edges[[0, -1]].tolist() == [1000, 2000]
    assert as_png(figure).startswith(b"\x89PNG")


def test_names_are_drawn_as_they_are_written():
    odd = r"$\foo$"
    genes = [Transcript(odd, odd, "chr1", "+", ((1200, 1300),))]
    figure = plot_tracks(Interval(odd, 1000, 2000), [Lane(odd, predicted=np.arange(10.0))], genes, odd)
    assert as_png(figure).startswith(b"\x89PNG")


def test_genes_that_overlap_are_in_different_rows():
    assert arrange(GENES[:3], PLACE) == [0, 1, 0]


def test_peaks_of_long_lanes_stay_and_unknown_values_are_left_out():
    values = np.zeros(100_000)
    values[77_777], values[5] = 3, np.nan
    (axis,) = plot_tracks(PLACE, [Lane("x", values)]).axes
    shown = axis.patches[0].get_data()
    assert (
        len(shown.values) <= plot.MOST_POINTS and shown.values.max() == 3 and len(shown.edges) == len(shown.values) + 1
    )


def test_without_matplotlib_it_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(plot, "Figure", None)
    with pytest.raises(OSError, match=r"textgenome\[genome\]"):
        plot_tracks(PLACE, [])
