import pickle

import numpy as np
import pytest
import torch
from conftest import random_dna

from textgenome.data.windows import (
    LabelReader,
    Place,
    PlaceRows,
    check_apart,
    hide_unknown,
    on_both_strands,
    read_places,
    split_blocks,
    split_contigs,
    tile,
    with_letters,
)
from textgenome.genome.fasta import open_fasta
from textgenome.genome.gtf import read_annotation
from textgenome.processing import build_dna_tokenizer
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


LENGTHS = {"c1": 100, "c2": 30}
GTF = 'c1\t.\tCDS\t11\t13\t.\t+\t0\ttranscript_id "a"\nc1\t.\tCDS\t15\t16\t.\t-\t0\ttranscript_id "b"\n'


@pytest.fixture
def files(tmp_path):
    letters = {"c1": "N" * 10 + random_dna(90), "c2": "N" * 30}
    (tmp_path / "g.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in letters.items()))
    (tmp_path / "g.gtf").write_text(GTF)
    return tmp_path, letters


def covers(places):
    return {(place.contig, base) for place in places for base in range(place.start, place.end)}


def test_tiles_cover_each_base_and_the_last_ends_with_its_place():
    assert tile([Place("c1", 5, 30)], 10) == [Place("c1", 5, 15), Place("c1", 15, 25), Place("c1", 25, 30)]
    assert [place[1:3] for place in tile([Place("c1", 0, 22)], 10, 4)] == [(0, 10), (4, 14), (8, 18), (12, 22)]
    assert tile([Place("c1", 3, 7, "-")], 10) == [Place("c1", 3, 7, "-")]
    for length in range(1, 60):
        for stride in (3, 7, 10):
            tiles = tile([Place("c1", 0, length)], 10, stride)
            assert covers(tiles) == covers([Place("c1", 0, length)])
            assert len(tiles) == 1 or tiles[-2].end < length
    with pytest.raises(ValueError, match="The stride must be from 1 to the window of 10 bases, got 11"):
        tile([Place("c1", 0, 22)], 10, 11)


@pytest.mark.parametrize("contigs", [{"c1": 1000, "c2": 99}, {"long": 100_003}, {f"c{i}": 50 + i for i in range(99)}])
def test_blocks_share_no_base_and_leave_none_out(contigs):
    train, test = split_blocks(contigs, 0.2, window=4)
    assert not covers(train) & covers(test)
    assert covers(train) | covers(test) == covers(Place(name, 0, length) for name, length in contigs.items())
    assert 0.1 < len(covers(test)) / sum(contigs.values()) < 0.35
    assert all(place.start % 4 == 0 for place in train + test)
    with pytest.raises(ValueError, match="cannot be split into 10 blocks"):
        split_blocks({"c1": 10}, 0.2, window=20)
    with pytest.raises(ValueError, match="must be between 0 and 1, got 1"):
        split_blocks(contigs, 1)


def test_contigs_are_held_out():
    train, test = split_contigs(LENGTHS | {"chr3": 7}, ["3", "c1"])
    assert (train, test) == ([Place("c2", 0, 30)], [Place("c1", 0, 100), Place("chr3", 0, 7)])
    with pytest.raises(ValueError, match="The genome has no contig c9; it starts with c1, c2"):
        split_contigs(LENGTHS, ["c9"])
    with pytest.raises(ValueError, match="All contigs are held out"):
        split_contigs(LENGTHS, ["c1", "c2"])


def test_windows_to_train_and_to_evaluate_on_must_not_overlap():
    windows = tile([Place("c1", 0, 100)], 10, 5)
    with pytest.raises(
        ValueError, match=r"c1:6-15 is to be evaluated on, but shares bases with c1:1-10, .* at random"
    ):
        check_apart(windows[::2], windows[1::2])
    check_apart(windows[:5], windows[7:])
    check_apart([Place("c1", 0, 10), Place("c2", 20, 30)], [Place("c1", 10, 20), Place("c2", 0, 20)])
    with pytest.raises(ValueError, match="c1:50-51 is to be evaluated on, but shares bases with c1:1-100"):
        check_apart([Place("c1", 0, 100), Place("c1", 3, 4)], [Place("c1", 49, 51)])


def test_regions_over_the_end_of_a_contig_are_counted(tmp_path, caplog):
    (tmp_path / "r.bed").write_text("c1\t-4\t10\t.\t0\t-\nc2\t25\t35\nc2\t0\t5\n")
    assert read_places(tmp_path / "r.bed", LENGTHS)[:2] == [Place("c1", -4, 10, "-"), Place("c2", 25, 35)]
    assert "2 regions reach over an end of their contig: 9 bases are N" in caplog.text
    for line, message in {"c3\t0\t5": "c3:1-5: the genome has no such contig", "c2\t30\t40": "has 30 bases"}.items():
        (tmp_path / "r.bed").write_text(f"c1\t0\t5\n{line}\n")
        with pytest.raises(ValueError, match=f"line 2: .*{message}"):
            read_places(tmp_path / "r.bed", LENGTHS)


def test_rows_are_read_when_used_on_either_strand(files):
    folder, letters = files
    reader = LabelReader([read_annotation(folder / "g.gtf")], list(LENGTHS), ["CDS"])
    rows = PlaceRows(
        [Place("c1", 5, 20), Place("c1", 5, 20, "-"), Place("c1", 95, 104)], folder / "g.fa", {"labels": reader}
    )
    assert rows[0]["sequence"] == letters["c1"][5:20]
    assert rows[1]["sequence"] == letters["c1"][5:20][::-1].translate(str.maketrans("ACGT", "TGCA"))
    assert rows[2]["sequence"] == letters["c1"][95:] + "NNNN"
    assert rows[0]["labels"][:, 0].tolist() == [0] * 5 + [1] * 3 + [0] * 7
    assert rows[1]["labels"][:, 0].tolist() == [0] * 4 + [1] * 2 + [0] * 9
    both = LabelReader([read_annotation(folder / "g.gtf")], list(LENGTHS), ["CDS"], stranded=False)
    assert both(Place("c1", 5, 20))[:, 0].tolist() == [0] * 5 + [1, 1, 1, 0, 1, 1] + [0] * 4
    hidden = hide_unknown(rows[0]["labels"], rows[0]["sequence"])
    assert hidden[:, 0].tolist() == [-100] * 5 + [1] * 3 + [0] * 7
    with pytest.raises(ValueError, match=r"No feature has the type 'exon'. There are CDS \(2\)"):
        LabelReader([read_annotation(folder / "g.gtf")], list(LENGTHS), ["exon"])


def test_workers_open_the_genome_for_themselves(files):
    folder, letters = files
    places = on_both_strands(tile([Place("c1", 0, 100)], 7))
    rows = PlaceRows(places, folder / "g.fa", {"strand": lambda place: np.array([place.strand == "-"])})
    alone = [rows[i]["sequence"] for i in range(len(rows))]
    loader = torch.utils.data.DataLoader(rows, batch_size=3, num_workers=2, collate_fn=list)
    assert [row["sequence"] for batch in loader for row in batch] == alone
    rows.readers = {}
    assert pickle.loads(pickle.dumps(rows))[0]["sequence"] == alone[0] == letters["c1"][:7]


def test_windows_without_letters_are_left_out(files, caplog):
    places = tile([Place("c1", 0, 100), Place("c2", 0, 30)], 10)
    kept = with_letters(places, open_fasta(files[0] / "g.fa"))
    assert kept == places[1:10]
    assert "4 of 13 windows hold no base but N" in caplog.text


def test_six_mers_keep_the_start_of_a_window(files):
    folder, letters = files
    (row,) = PlaceRows([Place("c1", 4, 60)], folder / "g.fa")
    processor = TextGenomeDNAProcessor(build_dna_tokenizer("nucleotide_transformer"))
    batch = processor(row["sequence"])
    starts = np.cumsum([0, *batch["dna_spans"][0][0]])
    assert starts[-1] == 56 and batch["dna_spans"][0][0].count(6) > 6
    tokens = processor.dna_tokenizer.convert_ids_to_tokens(batch["dna_input_ids"][0][0])
    for token, start, end in zip(tokens, starts, starts[1:]):
        assert end == start or token == letters["c1"][4 + start : 4 + end]
