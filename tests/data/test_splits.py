import hashlib
import json
from collections import Counter
from itertools import chain

import pytest
from conftest import random_dna, variant_row
from hypothesis import given
from hypothesis import strategies as st

from textgenome.data.descriptions import Description
from textgenome.data.rows import load_rows
from textgenome.data.splits import count_leakage, row_traits, split_at_random, split_by_locus, write_splits


PARTS = ("train", "validation", "test")
COMPLEMENT = str.maketrans("ACGT", "TGCA")
# Of the rows in the order of the files: what a seed gave once it gives for ever.
GOLDEN_ORDER = {"random": "ec5b9b0ad12de473", "locus": "c10b18b315164dec"}


def locus_parts(rows, seed=0, locus_column=None):
    description = locus_column and Description(locus_column=locus_column)
    return split_by_locus([row["answer"] for row in rows], row_traits(rows, description), seed)


def part_of(parts):
    return {row: part for part, rows in parts.items() for row in rows}


def unrelated_rows(number, answer="cancer"):
    """Rows of 200 random bases, which share no 64-mer."""
    return [variant_row(200, seed=f"{answer} {i}", answer=answer) for i in range(number)]


def linked(rows, **options):
    """Which of the rows of one answer, beside twenty others, stay together for each of a few seeds."""
    table = [*rows, *unrelated_rows(20)]
    parts = [part_of(locus_parts(table, seed, **options)) for seed in range(8)]
    return {(i, j) for i in range(len(rows)) for j in range(i) if all(of[i] == of[j] for of in parts)}


def test_rows_stand_together_by_a_64_mer_on_either_strand_through_others():
    dna = random_dna(400, seed="links")
    backward = dna[::-1].translate(COMPLEMENT)
    first = variant_row(reference_sequence=dna[:164], variant_sequence=dna[:163])
    bridge = variant_row(reference_sequence=backward[36:300], variant_sequence=backward[37:300])
    last = variant_row(reference_sequence=dna[300:], variant_sequence=dna[301:])
    # The bridge covers dna[100:364]: 64 bases of each end.
    assert linked([first, bridge, last]) == {(1, 0), (2, 0), (2, 1)}
    shorter = {**bridge, "reference_sequence": backward[36:299], "variant_sequence": backward[37:299]}
    assert linked([first, shorter, last]) == {(2, 1)}


def test_kmers_with_n_do_not_link_but_equal_sequences_do():
    unknown = [variant_row(200, seed=i, variant_sequence=random_dna(90, seed=i) + "N" * 100) for i in range(2)]
    assert linked(unknown) == set()
    short = [variant_row(200, seed=i, variant_sequence="GATTACA") for i in range(2)]
    assert linked(short) == {(1, 0)}


def test_rows_stay_together_by_locus():
    question = "What is the effect of this {} allele, and what disease does it contribute to?"
    rows = [row | {"question": question.format(gene)} for row, gene in zip(unrelated_rows(3, "x"), ["A", "B", "A"])]
    rows = [{**row, "answer": "cancer"} for row in rows]
    assert linked(rows) == {(2, 0)}
    symbols = ["G1", "G2", "G2"] + [None] * 20
    table = [{**row, "symbol": gene} for row, gene in zip([*rows, *unrelated_rows(20)], symbols)]
    placed = [part_of(locus_parts(table, seed, "symbol")) for seed in range(8)]
    assert all(of[1] == of[2] for of in placed) and any(of[0] != of[2] for of in placed)
    with pytest.raises(ValueError, match="no column 'gene', only question, answer"):
        row_traits(table, Description(locus_column="gene"))


@given(
    loci=st.lists(st.tuples(st.integers(0, 11), st.sampled_from("abc")), min_size=1, max_size=40),
    seed=st.integers(0, 99),
)
def test_what_is_evaluated_is_in_train_at_another_locus(loci, seed):
    genes, answers = zip(*loci)
    rows = [variant_row(answer=answer, gene=f"G{gene}", seed=gene) for gene, answer in loci]
    loci_of = {answer: {gene for gene, other in loci if other == answer} for answer in answers}
    try:
        parts = locus_parts(rows, seed, "gene")
    except ValueError as error:
        assert "Nothing is left for" in str(error)
        return
    assert sorted(chain(*parts.values())) == list(range(len(rows)))
    assert all(parts.values()) and all(numbers == sorted(numbers) for numbers in parts.values())
    of = part_of(parts)
    assert all(of[i] == of[j] for i in of for j in of if genes[i] == genes[j])
    trained = {answers[i] for i in parts["train"]}
    assert trained == set(answers)
    assert not any(of[i] != "train" for i in of if len(loci_of[answers[i]]) == 1)


def test_parts_have_a_tenth_of_each_answer_where_groups_are_small():
    rows = [row for answer in ("a", "b") for row in unrelated_rows(50, answer)]
    parts = locus_parts(rows)
    for part, share in zip(PARTS, (40, 5, 5)):
        assert Counter(rows[i]["answer"] for i in parts[part]) == {"a": share, "b": share}
    assert parts != locus_parts(rows, seed=1)


def test_an_answer_with_few_large_groups_gives_its_smallest():
    rows = [{**row, "gene": f"b{i}"} for i, row in enumerate(unrelated_rows(60, "b"))]
    rows += [{**row, "gene": "a0" if i < 12 else "a1"} for i, row in enumerate(unrelated_rows(20, "a"))]
    of = part_of(locus_parts(rows, locus_column="gene"))
    assert {of[i] for i in range(60, 72)} == {"train"}
    assert len({of[i] for i in range(72, 80)} - {"train"}) == 1


def test_tables_that_cannot_be_split_are_refused():
    with pytest.raises(ValueError, match="9 rows are too few"):
        split_at_random(9)
    rows = [variant_row(200, seed=1) for _ in range(30)]
    with pytest.raises(ValueError, match=r"Nothing is left for validation: .* \(1 groups of 30 rows\)"):
        locus_parts(rows)


def test_random_parts_have_the_published_sizes():
    assert {part: len(rows) for part, rows in split_at_random(1449).items()} == dict(zip(PARTS, (1159, 144, 146)))
    parts = split_at_random(20)
    assert parts == split_at_random(20) != split_at_random(20, seed=1)
    assert sorted(chain(*parts.values())) == list(range(20))


def test_leakage_counts_rows():
    rows = [variant_row(200, seed=seed, question=question) for seed, question in enumerate("abcd")]
    rows.append({**rows[0], "question": "e"})  # the pair of row 0
    rows.append({**rows[1], "question": "d", "variant_sequence": rows[1]["reference_sequence"][:150]})
    parts = {"train": [0, 1], "validation": [2, 4], "test": [3, 5]}
    assert count_leakage(parts, row_traits(rows)) == {
        "validation": {"question": 0, "sequence": 1, "pair": 1, "64-mer": 1},
        "test": {"question": 0, "sequence": 1, "pair": 0, "64-mer": 1},
    }


@pytest.mark.parametrize("by", ["random", "locus"])
def test_files_are_the_same_for_the_same_seed(tmp_path, by):
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps({**row, "note": 1}) + "\n" for row in unrelated_rows(40)))
    for name, seed in (("first", 0), ("second", 0), ("third", 1)):
        report = write_splits(str(tmp_path / "mine.jsonl"), tmp_path / name, by, seed)
        assert json.loads((tmp_path / name / "split.json").read_text()) == report
    files = [f"{part}.parquet" for part in PARTS]
    first, second, third = (
        [(tmp_path / name / file).read_bytes() for file in files] for name in ("first", "second", "third")
    )
    assert first == second != third
    train = load_rows(str(tmp_path / "first"), "train")
    assert len(train) == report["sizes"]["train"] == 32
    assert train.column_names == [*unrelated_rows(1)[0], "note"]
    order = [row["reference_sequence"] for part in PARTS for row in load_rows(str(tmp_path / "first"), part)]
    assert hashlib.sha256(" ".join(order).encode()).hexdigest()[:16] == GOLDEN_ORDER[by]


def test_splits_are_joined_in_order_and_keep_their_columns(tmp_path):
    rows = unrelated_rows(30)
    for name, numbers in {"test": range(20, 30), "val": range(10, 20), "train": range(10)}.items():
        lines = [json.dumps({**rows[i], **({"only": i} if name == "val" else {})}) for i in numbers]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    write_splits(str(tmp_path), tmp_path / "out", "random")
    for part, numbers in split_at_random(30).items():
        table = load_rows(str(tmp_path / "out"), part)
        assert list(table["reference_sequence"]) == [rows[i]["reference_sequence"] for i in numbers]
        assert list(table["only"]) == [i if 10 <= i < 20 else None for i in numbers]


def test_conversations_have_no_columns_to_split_by(tmp_path):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(variant_row()) + "\n" + json.dumps({"messages": messages}) + "\n")
    with pytest.raises(ValueError, match="split 'train', row 1: a conversation in `messages` has no columns"):
        write_splits(str(path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_table_needs_no_question_and_any_column_may_name_the_locus(tmp_path):
    rows = [{**row, "locus": i // 2} for i, row in enumerate(unrelated_rows(40))]
    for row in rows:
        del row["question"]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = write_splits(str(tmp_path / "mine.jsonl"), tmp_path / "out", locus_column="locus")
    assert report["leakage"]["test"] == {"locus": 0, "sequence": 0, "pair": 0, "64-mer": 0}
    loci = [set(load_rows(str(tmp_path / "out"), part, check=lambda row: None)["locus"]) for part in PARTS]
    assert sorted(chain(*loci)) == list(range(20))
    # At random, rows of one locus come apart.
    report = write_splits(str(tmp_path / "mine.jsonl"), tmp_path / "random", "random", locus_column="locus")
    assert report["leakage"]["test"]["locus"] > 0


def kmers(sequence):
    return {sequence[i : i + 64] for i in range(len(sequence) - 63)}


@pytest.mark.slow
def test_kegg_parts_share_no_gene_and_no_64_mer(kegg_folder, tmp_path):
    report = write_splits(str(kegg_folder), tmp_path / "out", "locus")
    assert sum(report["sizes"].values()) == 1303
    assert all(count == 0 for shared in report["leakage"].values() for count in shared.values())
    assert len(report["answers_evaluated"]) == 15
    parts = [load_rows(str(tmp_path / "out"), part).to_list() for part in PARTS]
    genes = [{row["question"].split(" allele, ")[0].split()[-1] for row in rows} for rows in parts]
    sequences = [{row[side] for row in rows for side in ("reference_sequence", "variant_sequence")} for rows in parts]
    forward = [set().union(*map(kmers, part)) for part in sequences]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert genes[i].isdisjoint(genes[j])
        assert forward[i].isdisjoint(forward[j])
        assert forward[i].isdisjoint(kmer[::-1].translate(COMPLEMENT) for kmer in forward[j])


def test_single_sequences_are_split_by_what_they_share(tmp_path):
    rows = [{"sequence": random_dna(100, i // 2)[i % 2 :], "label": i / 4} for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = write_splits(str(tmp_path / "rows.jsonl"), tmp_path / "out", "locus")
    assert report["leakage"]["test"]["64-mer"] == 0 and report["sizes"]["test"] >= 2
    assert report["answers_evaluated"]["value"]["train"] == report["sizes"]["train"]
