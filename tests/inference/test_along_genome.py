"""Predicting along a genome in tiles and pieces."""

import numpy as np
import pytest
from conftest import random_dna

from textgenome.data.sequences import Tiling
from textgenome.data.windows import Place
from textgenome.genome.fasta import open_fasta
from textgenome.inference.along_genome import KeptPieces, pieces_of, predict_piece, split_tile
from textgenome.processing import build_dna_tokenizer


CONTIG = random_dna(700) + "N" * 300 + random_dna(205, 1)


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "g.fa").write_text(f">c\n{CONTIG}\n>n\n{'N' * 500}\n")
    return open_fasta(tmp_path / "g.fa")


def tiling(most, vocabulary="hyenadna", unit=1):
    return Tiling(build_dna_tokenizer(vocabulary, model_max_length=1000), unit, most)


def count_g(sequence, reach, resolution=1):
    """How many G there are around each base, or in each position and its neighbours."""
    is_g = np.array([base == "G" for base in sequence], float)
    each = np.add.reduceat(is_g, range(0, len(is_g), resolution))
    around = np.convolve(each, np.ones(2 * reach + 1), "full")[reach : reach + len(each)]
    return np.stack([around, -around], 1)


@pytest.mark.parametrize(
    ("vocabulary", "most", "overlap", "resolution", "reach"),
    [("hyenadna", 64, 8, 1, 8), ("hyenadna", 64, 8, 4, 2), ("nucleotide_transformer", 90, 12, 1, 12)],
)
@pytest.mark.parametrize("start", [0, 120])
def test_tiles_give_what_the_whole_contig_does(genome, vocabulary, most, overlap, resolution, reach, start):
    read = []

    def predict(sequences):
        read.extend(map(len, sequences))
        return [count_g(each, reach, resolution) for each in sequences]

    end = len(CONTIG) if start == 0 else 650
    options = {"batch_size": 3, "resolution": resolution}
    found = predict_piece(genome, Place("c", start, end), predict, tiling(most, vocabulary), overlap, **options)
    expected = count_g(CONTIG, reach, resolution)[start // resolution : -(-end // resolution)]
    letters = np.array([bool(CONTIG[i : i + resolution].strip("N")) for i in range(start, end, resolution)])
    np.testing.assert_array_equal(found[letters], expected[letters])
    assert max(read) <= most


def test_where_there_is_no_letter_nothing_is_predicted(genome):
    read = []

    def predict(sequences):
        read.extend(sequences)
        return [np.ones((len(each), 1)) for each in sequences]

    assert predict_piece(genome, Place("n", 0, 500), predict, tiling(64), 0) is None and not read
    found = predict_piece(genome, Place("c", 640, 1152), predict, tiling(64), 0)
    assert all(each.strip("N") for each in read)
    assert found[:60].all() and not found[64:320].any() and found[360:].all()


def test_a_tile_keeps_its_middle():
    assert split_tile(tiling(64)) == (8, 48) and split_tile(tiling(64), 0) == (0, 64)
    assert split_tile(tiling(64), 5, resolution=8) == (8, 48)
    assert split_tile(tiling(90, "nucleotide_transformer"), 7) == (12, 66)
    with pytest.raises(ValueError, match="An overlap of 32 bases on either side leaves nothing of the 64 that a tile"):
        split_tile(tiling(64), 32)


def test_pieces_have_all_bases_in_their_order():
    pieces = pieces_of([Place("a", 5, 25), Place("b", 0, 3)], 8)
    assert [tuple(piece)[:3] for piece in pieces] == [("a", 5, 13), ("a", 13, 21), ("a", 21, 25), ("b", 0, 3)]


def test_processes_share_pieces_and_none_is_predicted_twice(tmp_path):
    pieces = pieces_of([Place("a", 0, 50)], 10)
    predicted = []

    def predict(piece):
        predicted.append(piece.start)
        return None if piece.start == 20 else np.full((10, 1), piece.start)

    shares = [KeptPieces(tmp_path / "parts", pieces, {"model": "m"}) for _ in range(2)]
    (tmp_path / "parts" / "000004.safetensors.99").write_text("what a killed process leaves")
    assert shares[1].predict(predict, 1, 2) == 20 and predicted == [10, 30]
    assert shares[0].predict(predict, 0, 2) == 30 and predicted == [10, 30, 0, 20, 40]
    assert KeptPieces(tmp_path / "parts", pieces, {"model": "m"}).predict(predict) == 0
    assert shares[0][2] is None and (shares[0][4] == 40).all()


def test_predictions_of_other_settings_are_refused(tmp_path):
    pieces = pieces_of([Place("a", 0, 50)], 10)
    KeptPieces(tmp_path, pieces, {"model": "m"})
    for others in ((pieces, {"model": "n"}), (pieces[:-1], {"model": "m"})):
        with pytest.raises(ValueError, match="holds predictions of other settings"):
            KeptPieces(tmp_path, *others)
