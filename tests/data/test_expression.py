import numpy as np
import pandas
import pytest

from textgenome.data.expression import (
    choose_people,
    choose_split,
    drop_genes,
    normalize,
    read_covariates,
    read_expression,
)


pytestmark = pytest.mark.usefixtures("captured")

PEOPLE = [f"P{number:02d}" for number in range(30)]
RNG = np.random.default_rng(0)


def write_bed(path, rows, people=PEOPLE, columns=("#chr", "start", "end", "gene", "length", "strand")):
    lines = ["\t".join([*columns, *people]), *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def gene(name="G", start=99, end=100, strand="+", values=None):
    return ["chr1", start, end, name, 900, strand, *(RNG.random(len(PEOPLE)) if values is None else values)]


def read(folder, *rows, **options):
    return read_expression(write_bed(folder / "e.bed", rows, **options))


def test_the_start_of_a_transcript_depends_on_the_strand(tmp_path):
    found = read(tmp_path, gene("A", 99, 500), gene("B", 99, 500, "-"))
    assert [(each.name, each.start, each.strand) for each in found.genes] == [("A", 99, "+"), ("B", 499, "-")]
    assert found.samples == PEOPLE and found.values.shape == (2, 30) and not found.is_log


def test_the_forms_of_qtltools_and_tensorqtl_are_read(tmp_path, caplog):
    values = [*range(30)]
    columns = ("#Chr", "start", "end", "pid", "gid", "strand")
    found = read(tmp_path, ["1", 9, 10, "A", "g", "-", *values], columns=columns)
    assert found.genes == [("A", "1", 9, "-")] and found.values[0].tolist() == values
    found = read(tmp_path, ["1", 9, 10, "A", *values], columns=("#chr", "start", "end", "phenotype_id"))
    assert found.genes == [("A", "1", 9, "+")] and "no column `strand`" in caplog.text


def test_a_partition_is_read_with_its_splits(tmp_path):
    rows = [("train", "P1", "A", 3.0), ("train", "P2", "A", 4.0), ("test", "P3", "A", 5.0), ("test", "P1", "B", 6.0)]
    places = {"A": ("chr1", 100, "+"), "B": ("chr2", 7, "-")}
    lines = [
        f"{split},{sample},{name},{','.join(map(str, places[name]))},{value}" for split, sample, name, value in rows
    ]
    path = tmp_path / "p.csv"
    path.write_text("\n".join(["split,sample,gene,chr,TSS,strand,log_TPM", *lines]) + "\n")
    found = read_expression(path)
    assert found.genes == [("A", "chr1", 99, "+"), ("B", "chr2", 6, "-")] and found.is_log
    np.testing.assert_array_equal(found.values, [[3, 4, 5], [6, np.nan, np.nan]])
    assert found.splits == {
        "sample": {"P1": "train", "P2": "train", "P3": "test"},
        "gene": {"A": "train", "B": "test"},
    }
    path.write_text("split,sample,gene\n")
    with pytest.raises(ValueError, match="the columns chr, TSS, strand, log_TPM are missing"):
        read_expression(path)


@pytest.mark.parametrize(
    "row, message",
    [
        (gene()[:-1], r"e.bed, line 2: it has 35 columns, but the first line names 36"),
        (gene(strand="."), r"line 2: the strand is '.', but must be \+ or -"),
        (gene(start=100, end=100), "line 2: start 100 is not before end 100"),
        (gene(values=["x"] * 30), "line 2: could not convert string to float: 'x'"),
    ],
)
def test_a_bad_line_is_named(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, row)


def test_names_that_are_there_twice_and_files_of_another_form_are_refused(tmp_path):
    with pytest.raises(ValueError, match="the gene A is there twice"):
        read(tmp_path, gene("A"), gene("A"))
    with pytest.raises(ValueError, match="the person P00 is there twice"):
        read(tmp_path, gene(), people=["P00"] * 30)
    (tmp_path / "e.bed").write_text("chr1\t1\t2\tA\n")
    with pytest.raises(ValueError, match="a BED file of expression starts with a line `#chr start end gene"):
        read_expression(tmp_path / "e.bed")


def test_people_are_those_that_all_files_have_and_their_counts_are_told(tmp_path, caplog):
    table = pandas.DataFrame(0.5, index=["PC1", "PC2"], columns=PEOPLE[2:])
    table.to_csv(tmp_path / "c.tsv", sep="\t")
    covariates = read_covariates(tmp_path / "c.tsv")
    expression = read(tmp_path, gene())
    found, rows = choose_people(expression, [*PEOPLE[:28], "other"], covariates)
    assert found.samples == PEOPLE[2:28] == list(rows.index)
    np.testing.assert_array_equal(found.values, expression.values[:, 2:28])
    assert "26 people are in all files: 30 in expression, 29 in genotypes, 28 in covariates" in caplog.text
    table.T.to_csv(tmp_path / "c.tsv", sep="\t")
    assert choose_people(expression, PEOPLE, read_covariates(tmp_path / "c.tsv"))[1].shape == (28, 2)
    with pytest.raises(ValueError, match=r"19 people are in all files .*: at least 20 are needed"):
        choose_people(expression, PEOPLE[:19], None)
    table.loc["PC1", "P05"] = np.nan
    table.to_csv(tmp_path / "c.tsv", sep="\t")
    with pytest.raises(ValueError, match="the column 'P05' holds text or a gap"):
        read_covariates(tmp_path / "c.tsv")


def test_genes_that_say_nothing_are_left_out_by_name(tmp_path, caplog):
    values = RNG.random(30)
    rows = gene("good"), gene("gap", values=[*values[:29], "NA"]), gene("inf", values=[*values[:29], "inf"])
    trained = np.arange(30) < 25
    constant = gene("constant", values=[0] * 25 + [1] * 5)  # only those that are not trained on differ
    assert [each.name for each in drop_genes(read(tmp_path, *rows, constant), trained).genes] == ["good"]
    assert "2 of 4 genes with values that are not finite: gap, inf" in caplog.text
    assert "1 of 4 genes with the same value for all people: constant" in caplog.text
    with pytest.raises(ValueError, match="No gene is left: all have the same value for all people, such as constant"):
        drop_genes(read(tmp_path, constant), trained)


def test_all_that_is_estimated_comes_from_training_people(tmp_path):
    trained = np.arange(30) < 24
    covariates = RNG.normal(size=(30, 2))
    signal = RNG.normal(size=30)
    expression = read(tmp_path, gene(values=9 + signal + covariates @ [3.0, -2.0]))
    found = normalize(expression, trained, False, covariates)[0]
    design = np.column_stack([np.ones(30), covariates])
    slopes = np.linalg.lstsq(design[trained], expression.values[0, trained], rcond=None)[0]
    np.testing.assert_allclose(
        found - found.mean(), (v := expression.values[0] - design @ slopes) - v.mean(), atol=1e-9
    )
    assert abs(found[trained].mean() - expression.values[0, trained].mean()) < 0.5
    changed = read(tmp_path, gene(values=[*expression.values[0, :24], *[1000.0] * 6]))
    np.testing.assert_allclose(normalize(changed, trained, False, covariates)[0, :24], found[:24])
    scored = normalize(expression, trained, False, None, "zscore")[0, trained]
    assert abs(scored.mean()) < 1e-9 and abs(scored.std() - 1) < 1e-9
    ranks = normalize(expression, trained, False, None, "rank")[0]
    assert (np.argsort(ranks[trained]) == np.argsort(expression.values[0, trained])).all() and np.abs(ranks).max() < 3
    np.testing.assert_allclose(normalize(expression, trained, True), np.log2(expression.values + 1))
    with pytest.raises(ValueError, match="24 covariates are too many for 24 training people"):
        normalize(expression, trained, False, RNG.normal(size=(30, 24)))
    with pytest.raises(ValueError, match="The gene G has a negative value"):
        normalize(read(tmp_path, gene(values=[-1.0] * 30)), trained, True)


def test_people_are_held_out_by_name_by_file_or_by_the_seed(tmp_path, caplog):
    assert choose_split(PEOPLE, None, ["P03", "P05"], 0.2, 0).sum() == 28
    (tmp_path / "train.txt").write_text("P03\nP05\nP77\n")
    chosen = choose_split(PEOPLE, [str(tmp_path / "train.txt")], None, 0.2, 0)
    assert np.flatnonzero(chosen).tolist() == [3, 5] and "such as P77" in caplog.text
    drawn = [choose_split(PEOPLE, None, None, 0.2, seed) for seed in (0, 0, 1)]
    assert (~drawn[0]).sum() == 6 and (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()
    splits = dict.fromkeys(PEOPLE, "train") | {"P09": "test"}
    assert np.flatnonzero(~choose_split(PEOPLE, None, None, 0.2, 0, splits)).tolist() == [9]
    with pytest.raises(ValueError, match="1 people are both to train and to test on, such as P03"):
        choose_split(PEOPLE, ["P03"], ["P03", "P04"], 0.2, 0)
    with pytest.raises(ValueError, match="None of the people that are named is in the files, such as X"):
        choose_split(PEOPLE, None, ["X"], 0.2, 0)
