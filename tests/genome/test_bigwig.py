"""Signals along a genome: reading and writing bigWig files, and the tables that name them."""

import numpy as np
import pyBigWig
import pytest

from textgenome.genome.bigwig import BigWig, BigWigWriter, Track, pair_strands, read_tracks


SIZES = {"chr1": 100, "chr2": 1_000_100}


def write(path, contig="chr1", start=0, values=(1.0,), step=1):
    with BigWigWriter(path, SIZES, step) as writer:
        writer.write(contig, start, np.array(values))
    return path


def test_a_million_bases_are_read_back_as_written(tmp_path):
    values = np.random.default_rng(0).gamma(0.5, 4, 1_000_000).astype(np.float32)
    path = write(tmp_path / "a.bw", "chr2", 57, values)
    assert (BigWig(path).read("chr2", 57, 1_000_057) == values).all()
    library = pyBigWig.open(str(path))
    assert library.intervals("chr2", 56, 59) == ((57, 58, float(values[0])), (58, 59, float(values[1])))
    assert np.isnan(library.values("chr2", 56, 57)[0]) and library.chroms() == SIZES


def test_values_cover_their_bases_and_the_last_one_what_is_left(tmp_path):
    path = write(tmp_path / "a.bw", start=10, values=[1, 2, 3], step=32)
    assert pyBigWig.open(str(path)).intervals("chr1") == ((10, 42, 1.0), (42, 74, 2.0), (74, 100, 3.0))


def test_uncovered_bases_are_zero_or_unknown(tmp_path):
    path = write(tmp_path / "a.bw", start=2, values=[1, np.nan, 3])
    assert BigWig(path).read("chr1", 1, 6).tolist() == [0, 1, 0, 3, 0]
    assert np.isnan(BigWig(path, "nan").read("chr1", 1, 6)).tolist() == [True, False, True, False, True]


def test_places_are_written_in_the_order_of_the_genome(tmp_path):
    with BigWigWriter(tmp_path / "a.bw", SIZES) as writer:
        writer.write("chr1", 90, np.ones(10))
        writer.write("chr2", 5, np.ones(10))
        writer.write("chr2", 15, np.ones(1))
        for contig, start in (("chr1", 0), ("chr2", 15)):
            with pytest.raises(ValueError, match=rf"a.bw: {contig}:{start + 1} was given after chr2:16"):
                writer.write(contig, start, np.ones(1))


@pytest.mark.parametrize("place", [("chr1", 99, 2), ("chr1", -1, 2), ("chr3", 0, 1)])
def test_values_that_do_not_fit_are_refused_and_leave_no_file(tmp_path, place):
    contig, start, count = place
    with pytest.raises(ValueError, match=f"{count} values from {contig}:{start + 1} on do not fit"):
        write(tmp_path / "a.bw", contig, start, np.ones(count))
    assert not [*tmp_path.iterdir()]


def test_contigs_are_found_by_either_spelling(tmp_path):
    file = BigWig(write(tmp_path / "a.bw", values=[7]))
    assert file.read("1", 0, 1) == file.read("chr1", 0, 1) == 7


def test_a_contig_that_is_missing_and_places_outside_are_named(tmp_path):
    file = BigWig(write(tmp_path / "a.bw"))
    with pytest.raises(ValueError, match=r"a.bw: there is no contig chr22; the file has chr1, chr2"):
        file.read("chr22", 0, 1)
    with pytest.raises(ValueError, match=r"a.bw: chr1:91-101 goes over the ends of the contig, of 100 bases"):
        file.read("chr1", 90, 101)


def test_other_files_are_refused(tmp_path):
    text, cut = tmp_path / "text.bw", tmp_path / "cut.bw"
    text.write_text("chr1 0 1 5\n")
    cut.write_bytes(write(tmp_path / "a.bw").read_bytes()[:30])
    for path, reason in ((text, "not a bigWig file"), (cut, "cut off"), (tmp_path / "none.bw", "no such file")):
        with pytest.raises(OSError, match=reason):
            BigWig(path)


TABLE = "name\tpath\tgroup\tstrand\tdescription\nx.plus\ta.bw\tCAGE\t+\tone\nx.minus\ta.bw\tCAGE\t-\tother\n"


def tracks_of(tmp_path, table):
    write(tmp_path / "a.bw")
    (tmp_path / "tracks.tsv").write_text(table)
    return read_tracks(tmp_path / "tracks.tsv")


def test_a_table_names_tracks_with_paths_beside_it(tmp_path):
    plus, minus = tracks_of(tmp_path, TABLE)
    assert plus == Track("x.plus", str(tmp_path / "a.bw"), "CAGE", "+") and minus.strand == "-"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\tgroup", "\tkind", "line 1: the columns group are missing"),
        ("\t+\t", "\tplus\t", "line 2: the strand is 'plus', but must be"),
        ("x.minus", "x.plus", "line 3: there is a track x.plus already"),
        ("\tCAGE\t-", "\t\t-", "line 3: group is empty"),
        ("x.plus\ta.bw", "x.plus\tb.bw", "line 2: file .*b.bw does not exist"),
    ],
)
def test_a_table_that_is_wrong_is_refused_by_line(tmp_path, old, new, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        tracks_of(tmp_path, TABLE.replace(old, new))


def test_a_table_without_tracks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there are no tracks"):
        tracks_of(tmp_path, TABLE.split("\n")[0] + "\n")


def named(*names):
    return [Track(name, "", "RNA", strand) for name, strand in names]


def test_strands_pair_up_by_name():
    assert pair_strands(named(("a_fwd", "+"), ("c", "."), ("b.+", "+"), ("a_rev", "-"), ("b.-", "-"))) == [
        3,
        1,
        4,
        0,
        2,
    ]


@pytest.mark.parametrize("names", [[("a.plus", "+")], [("a.plus", "+"), ("a.minus", "+")], [("a", "+"), ("b", "-")]])
def test_strands_that_do_not_pair_up_are_named(names):
    with pytest.raises(ValueError, match=rf"Strands do not pair up: {names[0][0]} \(\+\)"):
        pair_strands(named(*names))
