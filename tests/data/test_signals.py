"""Signals of places: bins, strands, what is unknown, and rows that are moved and turned."""

import pickle

import numpy as np
import pytest
from conftest import random_dna

from textgenome.data.signals import AugmentedRows, SignalReader, TrackCollator, mean_signals
from textgenome.data.windows import Place
from textgenome.genome.bigwig import BigWigWriter, Track
from textgenome.processing import TextGenomeDNAProcessor, build_dna_tokenizer


DNA = random_dna(200, 7)
PAIR = [1, 0]


def bigwig(path, values, contig="c1"):
    with BigWigWriter(path, {contig: 200}) as writer:
        writer.write(contig, 0, np.array(values, dtype=float))
    return str(path)


@pytest.fixture
def tracks(tmp_path):
    """On the strand `+` a track is 1 where there is an A, on the strand `-` where there is one on that strand."""
    plus, minus = ([float(base == letter) for base in DNA] for letter in "AT")
    return [
        Track("a.plus", bigwig(tmp_path / "plus.bw", plus), "x", "+"),
        Track("a.minus", bigwig(tmp_path / "minus.bw", minus), "x", "-"),
    ]


@pytest.fixture
def fasta(tmp_path):
    (tmp_path / "genome.fa").write_text(f">c1\n{DNA}\n")
    return str(tmp_path / "genome.fa")


def test_bins_are_means_of_their_bases(tracks):
    signal = SignalReader(tracks, 8)(Place("c1", 3, 24))
    expected = [np.mean([base == "A" for base in DNA[start : min(start + 8, 24)]]) for start in (3, 11, 19)]
    assert signal[:, 0].tolist() == pytest.approx(expected) and signal.dtype == np.float32


def test_on_the_other_strand_bins_and_tracks_are_turned(tracks):
    reader = SignalReader(tracks, 1, PAIR)
    one, other = (reader(Place("c1", 10, 50, strand)) for strand in "+-")
    assert (other == one[::-1, ::-1]).all() and (one[:, 0] != one[:, 1]).any()


def test_over_the_ends_of_a_contig_and_where_nothing_is_covered_signals_are_unknown(tmp_path):
    track = Track("a", bigwig(tmp_path / "a.bw", [5, np.nan, np.nan, 1, *[2] * 196]), "x", ".")
    places = Place("c1", -2, 4), Place("c1", 198, 203)
    known = [SignalReader([track], 2, uncovered=each)(places[0])[:, 0].tolist() for each in ("zero", "nan")]
    assert known[0][1:] == [2.5, 0.5] and known[1][1:] == [5, 1] and np.isnan([known[0][0], known[1][0]]).all()
    assert SignalReader([track], 4)(places[1])[0, 0] == 2 and np.isnan(SignalReader([track], 4)(places[1])[1, 0])


def test_a_negative_signal_is_refused_with_its_place(tmp_path):
    track = Track("a", bigwig(tmp_path / "a.bw", [1] * 30 + [-2] * 170), "x", ".")
    with pytest.raises(ValueError, match=r"a\.bw: the track a is -2 at c1:31, but signals must not be negative"):
        SignalReader([track])(Place("c1", 20, 40))


def test_a_contig_that_a_file_has_not_is_refused(tracks):
    reader = SignalReader(tracks)
    reader.check_contigs([Place("c1", 0, 9)])
    with pytest.raises(ValueError, match=r"plus\.bw: there is no contig c2; the file has c1"):
        reader.check_contigs([Place("c1", 0, 9), Place("c2", 0, 9)])


def test_rows_that_are_moved_and_turned_keep_signals_on_their_bases(tracks, fasta):
    places = [Place("c1", 20, 60), Place("c1", 160, 200)]
    rows = AugmentedRows(places, fasta, SignalReader(tracks, 1, PAIR), turn=True, shift=15, seed=0)
    strands, starts = set(), set()
    for epoch in range(12):
        rows.set_epoch(epoch)
        for index, place in enumerate(places):
            row = rows[index]
            strands.add(row["place"].strand)
            starts.add(row["place"].start - place.start)
            known = ~np.isnan(row["labels"][:, 0])
            # Whatever was done, track 0 is 1 where the model reads an A, and track 1 where it reads a T.
            for track, letter in enumerate("AT"):
                read = np.array([base == letter for base in row["sequence"]], dtype=np.float32)
                assert (row["labels"][known, track] == read[known]).all()
            assert known.sum() == 40 - abs(row["place"].start - place.start)
            assert row["sequence"].count("N") == max(0, row["place"].end - 200)
    assert strands == {"+", "-"} and min(starts) < 0 < max(starts)


def test_rows_are_drawn_by_seed_epoch_and_number(tracks, fasta):
    def drawn(epoch, seed=0):
        rows = AugmentedRows([Place("c1", 50, 90)] * 5, fasta, SignalReader(tracks), turn=True, shift=40, seed=seed)
        rows.set_epoch(epoch)
        return [rows[i]["place"] for i in range(5)]

    assert drawn(0) == drawn(0) != drawn(1) and drawn(0) != drawn(0, seed=1)
    assert len(set(drawn(0))) > 2


def test_without_augmentation_rows_are_their_places(tracks, fasta):
    place = Place("c1", 50, 90)
    rows = AugmentedRows([place], fasta, SignalReader(tracks), turn=False, shift=0, seed=0)
    assert rows[0]["place"] == rows[-1]["place"] == place and rows[0]["sequence"] == DNA[50:90]
    with pytest.raises(IndexError):
        rows[1]


def test_readers_go_to_worker_processes(tracks, fasta):
    rows = AugmentedRows([Place("c1", 50, 90)], fasta, SignalReader(tracks), turn=True, shift=5, seed=0)
    expected = rows[0]
    again = pickle.loads(pickle.dumps(rows))[0]
    assert again["sequence"] == expected["sequence"]
    np.testing.assert_array_equal(again["labels"], expected["labels"])


def test_batches_have_nothing_known_after_the_end_of_a_row():
    collator = TrackCollator(TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", 100)))
    rows = [{"sequence": "ACGTAC", "labels": np.ones((3, 2), np.float32)}]
    rows.append({"sequence": "AC", "labels": np.ones((1, 2), np.float32)})
    batch = collator(rows)
    assert batch["dna_input_ids"].shape == (2, 1, 6) and batch["labels"].shape == (2, 3, 2)
    assert batch["labels"][1, 1:].isnan().all() and not batch["labels"][0].isnan().any()


def test_means_are_over_bins_with_a_signal(tmp_path):
    track = Track("a", bigwig(tmp_path / "a.bw", [0] * 100 + [4] * 50 + [8] * 50), "x", ".")
    reader = SignalReader([track], 10)
    assert mean_signals(reader, [Place("c1", 0, 100), Place("c1", 100, 200)]) == [6.0]
    with pytest.raises(ValueError, match="a: there is no signal in the regions to train on"):
        mean_signals(reader, [Place("c1", 0, 100)])
