"""The grid of genes and people, and what stands beside the model, where all of it is known."""

import json

import numpy as np
import pytest

from textgenome.data.expression import Expression, Gene
from textgenome.evaluation.expression import (
    correlate,
    dosages,
    evaluate_expression,
    exchange,
    format_grid,
    measure_grid,
)
from textgenome.genome.genotypes import Genotypes, Site
from textgenome.genome.intervals import Interval


def with_correlations(wanted, people):
    """Values and predictions of as many genes, whose correlation across people is what is wanted."""
    rng, rows = np.random.default_rng(0), []
    for r in wanted:
        first, second = np.linalg.qr(np.column_stack([np.ones(people), rng.normal(size=(people, 2))]))[0].T[1:]
        rows.append((first, r * first + np.sqrt(1 - r**2) * second))
    return map(np.array, zip(*rows))


def test_correlations_are_those_of_the_textbook_and_gaps_are_left_out():
    truths = np.array([[1.0, 2, 3, 4], [1, 2, 3, np.nan], [1, 2, np.nan, np.nan]])
    predictions = np.array([[1.0, 3, 2, 4], [0, 1, 8, 5], [1, 2, 3, 4]])
    found = correlate(truths, predictions)
    expected = np.array([[0.8, 0.8], [8 / np.sqrt(2 * 38), 1.0], [np.nan, np.nan]])
    np.testing.assert_allclose(np.array(found).T, expected)


def test_each_cell_has_its_genes_and_people_and_what_they_reach():
    wanted = [-0.5, 0.05, 0.2, 0.4, 0.9]
    values, predictions = with_correlations([*wanted, 1.0], 40)
    trained_genes, trained = np.arange(6) < 5, np.arange(40) < 0
    cells = measure_grid(values, predictions, trained_genes, trained)
    cell = cells["seen_genes_new_people"]
    assert (cell["genes"], cell["people"]) == (5, 40)
    reached = {**cell["by_gene"]["pearson"]}
    assert reached.pop("quartiles") == pytest.approx([0.05, 0.4])
    assert reached == pytest.approx({"mean": 0.21, "median": 0.2, "above_0.1": 3, "above_0.3": 2})
    assert cells["new_genes_new_people"]["by_gene"]["pearson"]["mean"] == pytest.approx(1.0)
    assert "by_person" not in cells["new_genes_new_people"], "one gene is too few to correlate over"
    assert cells["seen_genes_seen_people"] == {"genes": 5, "people": 0}
    lines = format_grid(cells).splitlines()
    row = next(line for line in lines if line.startswith("seen genes, new people"))
    assert (
        row.split()[4:]
        == ["5", "40", "by", "gene,", "Pearson", "0.210", "0.200", "0.050", "to", "0.400", "3", "2"]
        + (row.split()[-3:])
    )


def test_people_are_correlated_across_genes():
    genes, people = 4, 5
    values = np.arange(genes)[:, None] + np.zeros((genes, people))
    predictions = values * np.array([1, 2, -1, 3, 5])
    cell = measure_grid(values, predictions, np.ones(genes, bool), np.zeros(people, bool))["seen_genes_new_people"]
    assert cell["by_person"]["spearman"]["mean"] == pytest.approx((1 + 1 - 1 + 1 + 1) / 5)


def test_permuted_people_reach_what_chance_does():
    people, genes = 101, 9
    values, predictions = with_correlations([0.9] * genes, people)
    cells = [
        measure_grid(values, predictions, np.ones(genes, bool), np.zeros(people, bool), seed) for seed in (0, 0, 1)
    ]
    low, high = cells[0]["seen_genes_new_people"]["by_gene"]["null"]
    # The standard error of r is 1 / sqrt(people - 1), that of the mean a third of it.
    assert (low, high) == pytest.approx((-1.96 / 30, 1.96 / 30), abs=0.02)
    assert cells[0] == cells[1] != cells[2]
    values[0, 0] = np.nan  # where a value is missing each gene is correlated by itself
    gaps = measure_grid(values, predictions, np.ones(genes, bool), np.zeros(people, bool))
    assert gaps["seen_genes_new_people"]["by_gene"]["null"] == pytest.approx((low, high), abs=0.02)


def test_each_new_person_is_predicted_from_the_dna_of_another_new_one():
    trained = np.array([True, False, True, False, False, True])
    order = exchange(trained, 0)
    assert sorted(order[~trained]) == [1, 3, 4] and (order[~trained] != np.flatnonzero(~trained)).all()
    assert (order[trained] == np.flatnonzero(trained)).all()


def test_dosages_count_copies_of_any_alternative():
    sites = [Site("c", place, "A", ("C", "G")) for place in (5, 15, 25)]
    alleles = np.array([[[0, 1], [2, 1]], [[0, 0], [2, 0]], [[1, 1], [1, 1]]], np.int8)
    genotypes = Genotypes(["P", "Q"], {"c": sites}, {"c": alleles})
    assert dosages(genotypes, Interval("c", 0, 20)).tolist() == [[1, 2], [0, 1]]


def write_people(path, alleles, samples):
    """Genotypes of two contigs' sites, every 100 bases from 100 on."""
    lines = [
        "##fileformat=VCFv4.2",
        "\t".join(["#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".replace(" ", "\t"), *samples]),
    ]
    for number, row in enumerate(alleles):
        genotypes = [f"{first}|{second}" for first, second in row]
        lines.append("\t".join(["c", str(100 * (number + 1)), ".", "A", "G", *"...", "GT", *genotypes]))
    path.write_text("\n".join(lines) + "\n")


def test_the_report_compares_the_model_with_what_genotypes_tell(tmp_path):
    rng, samples = np.random.default_rng(0), [f"P{number}" for number in range(80)]
    alleles = rng.integers(0, 2, size=(12, 80, 2))
    write_people(tmp_path / "v.vcf", alleles, samples)
    # A gene each 300 bases; a site 50 bases from its start decides it, or for the last one a site further away.
    starts, causal = [250, 550, 850], [2, 5, 0]
    genes = [Gene(f"G{number}", "c", start - 1, "+") for number, start in enumerate(starts)]
    signal = alleles[causal].sum(-1).astype(float)
    values = signal + 0.2 * rng.normal(size=signal.shape)
    predictions, trained = 0.5 * signal + rng.normal(size=signal.shape), np.arange(80) < 60
    expression = Expression(genes, samples, values)
    results, grid = evaluate_expression(
        tmp_path / "out", expression, values, predictions, np.ones(3, bool), trained, tmp_path / "v.vcf", window=200
    )
    means = {name: each["pearson"] for name, each in results["conditions"].items()}
    assert means["best_site"] > 0.9 and means["elastic_net_500kb"] > 0.9
    assert 0.5 < means["elastic_net_window"] < 0.8, "two of three genes have their site in the window"
    assert abs(means["permuted_people"]) < 0.3 > abs(means["dna_exchanged"])
    assert means["dna_exchanged"] < means["as_is"] < means["best_site"]
    assert "does not beat" in results["verdict"] and results["unit"] == "gene"
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["grid"]["seen_genes_new_people"]["people"] == 20 and "seen genes, new people" in grid
    page = (tmp_path / "out" / "report.html").read_text()
    assert "elastic net, same window" in page and "G2" in page
    assert results["baseline_seconds"].keys() == means.keys() - {"as_is", "dna_exchanged"}
