import gzip

import pytest

from textgenome.genome.bed import Region, read_bed


TEXT = """# made by hand
track name=peaks
chr1\t10\t20
chr1\t5\t9\tpeak\t0\t-\textra
chr2 -3 4 . 0 .

"""


@pytest.mark.parametrize("compress", [False, True])
def test_regions_with_and_without_names_and_strands(tmp_path, compress):
    path = tmp_path / "regions.bed"
    path.write_bytes(gzip.compress(TEXT.encode()) if compress else TEXT.encode())
    assert list(read_bed(path)) == [
        Region("chr1", 10, 20, "chr1:11-20", "+", False, 3),
        Region("chr1", 5, 9, "peak", "-", True, 4),
        Region("chr2", -3, 4, "chr2:-2-4", "+", False, 5),
    ]


@pytest.mark.parametrize(
    "line, message",
    [
        ("chr1\t20\t20", r"line 2: start 20 is not before end 20"),
        ("chr1\t30\t20", r"line 2: start 30 is not before end 20"),
        ("chr1\t20", r"line 2: a region has at least three columns"),
        ("chr1\tx\t20", r"line 2: start and end must be whole numbers, got x and 20"),
        ("chr1\t1\t20\tname\t0\tplus", r"line 2: the strand must be \+, - or \., got 'plus'"),
    ],
)
def test_a_line_that_is_no_region_is_named(tmp_path, line, message):
    path = tmp_path / "regions.bed"
    path.write_text(f"chr1\t1\t2\n{line}\n")
    with pytest.raises(ValueError, match=rf"regions\.bed, {message}"):
        list(read_bed(path))


def test_a_file_without_regions_is_refused(tmp_path):
    (tmp_path / "empty.bed").write_text("# nothing\n")
    with pytest.raises(ValueError, match="there is no region in it"):
        list(read_bed(tmp_path / "empty.bed"))
