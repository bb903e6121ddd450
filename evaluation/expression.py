"""How well expression is predicted: genes and people that were trained on or not, beside what genotypes alone tell."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from textgenome.data.expression import Expression, Gene
from textgenome.evaluation.conditions import CONDITIONS, Condition
from textgenome.evaluation.expression_baselines import best_site, elastic_net, predict_from_sites
from textgenome.evaluation.metrics import METRICS
from textgenome.evaluation.reporting import Table, write_results
from textgenome.evaluation.row_metrics import pearson, spearman
from textgenome.genome.genotypes import Genotypes, read_genotypes
from textgenome.genome.intervals import Interval


REACH = 500_000  # bases on either side of the start of a gene, in the wider of the two elastic nets
PERMUTATIONS = 200
FEWEST = 3  # genes or people of which a correlation is computed
WORDS = {
    "elastic_net_500kb": Condition(
        "elastic net, 500 kb on either side",
        "baseline",
        "Elastic net on the sites near the gene, fitted gene by gene.",
    ),
    "elastic_net_window": Condition(
        "elastic net, same window", "baseline", "The same on the sites that the model sees: what their genotypes tell."
    ),
    "best_site": Condition(
        "best single site", "baseline", "Linear regression on the site of most correlation among training people."
    ),
    "permuted_people": Condition(
        "elastic net, people permuted",
        "control",
        "The elastic net of the window, fitted to people who got the expression of others: what chance reaches.",
    ),
}


def evaluate_expression(
    output_dir: str | Path,
    expression: Expression,
    values: np.ndarray,
    predictions: np.ndarray,
    trained_genes: np.ndarray,
    trained: np.ndarray,
    vcf: str | Path,
    window: int,
    unphased: str | None = None,
    seed: int = 0,
    facts: Mapping | None = None,
) -> tuple[dict, str]:
    """Compare predictions with baselines on new people, and write `metrics.json` and `report.html`.

    Args:
        output_dir: Folder for both.
        expression: The genes and people.
        values: What was to be predicted, `(genes, people)`.
        predictions: The same of the model.
        trained_genes: `(genes,)`, bool.
        trained: `(people,)`, bool.
        vcf: Genotypes, in which all people are.
        window: Bases around the start of a gene that the model sees.
        unphased: See `read_genotypes`.
        seed: Of what is drawn.
        facts: What else to keep in `metrics.json`.

    Returns:
        The content of `metrics.json`, and the grid as text for a terminal.
    """
    cells = measure_grid(values, predictions, trained_genes, trained, seed)
    seen, new = np.flatnonzero(trained_genes), np.flatnonzero(~trained)
    given, seconds = {"as_is": predictions}, {}
    if len(seen) and len(new) >= FEWEST:
        found = predict_baselines(expression, values, seen, trained, vcf, window, unphased, seed)
        seconds = {name: round(took, 1) for name, (_, took) in found.items()}
        given |= {name: each for name, (each, _) in found.items()}
        given["dna_exchanged"] = predictions[:, exchange(trained, seed)]
    people = new if len(new) >= FEWEST else np.flatnonzero(trained)
    measured = {
        name: dict(zip(("pearson", "spearman"), correlate(values[np.ix_(seen, people)], each[np.ix_(seen, people)])))
        for name, each in given.items()
    }
    notes = [
        f"Correlations are those by gene across {len(people)} people who were "
        f"{'not ' if len(new) >= FEWEST else ''}trained on, of {len(seen)} genes that were.",
        "A model learns of a gene what differs between people there: predictions for genes that were not trained on "
        "are expected at chance.",
    ]
    if seconds:
        took = ", ".join(f"{WORDS[name].title} {each:.0f} s" for name, each in seconds.items())
        notes.append(f"Fitting took: {took}.")
    metrics = write_results(
        output_dir,
        "expression",
        measured,
        "gene",
        METRICS,
        CONDITIONS | WORDS,
        {**(facts or {}), "grid": cells, "baseline_seconds": seconds},
        notes=notes,
        tables=[grid_table(cells), gene_table(expression.genes, seen, measured)],
        seed=seed,
    )
    return metrics, format_grid(cells)


def exchange(trained: np.ndarray, seed: int) -> np.ndarray:
    """Whose predictions each person gets: each new one those of another new one."""
    order, new = np.arange(len(trained)), np.flatnonzero(~trained)
    turned = np.random.default_rng(seed).permutation(new)
    order[turned] = np.roll(turned, 1)
    return order


def predict_baselines(
    expression: Expression,
    values: np.ndarray,
    genes: Sequence[int],
    trained: np.ndarray,
    vcf: str | Path,
    window: int,
    unphased: str | None,
    seed: int,
) -> dict[str, tuple[np.ndarray, float]]:
    """Predictions of each baseline, `(genes, people)`, and the seconds that they took."""
    regions = {gene: around(expression.genes[gene], REACH) for gene in genes}
    genotypes = read_genotypes(vcf, expression.samples, regions.values(), unphased)
    permuted = values.copy()
    learnt = np.flatnonzero(trained)
    permuted[:, learnt] = values[:, np.random.default_rng(seed).permutation(learnt)]

    def near(gene: int, reach: int = window // 2) -> np.ndarray:
        return dosages(genotypes, around(expression.genes[gene], reach))

    def wide(gene: int) -> np.ndarray:
        return near(gene, REACH)

    asked = {
        "elastic_net_500kb": (wide, values, elastic_net),
        "elastic_net_window": (near, values, elastic_net),
        "best_site": (wide, values, best_site),
        "permuted_people": (near, permuted, elastic_net),
    }
    found = {}
    for name, (sites, truths, fit) in asked.items():
        started = time.perf_counter()
        predictions = predict_from_sites(sites, truths, genes, trained, fit, WORDS[name].title)
        found[name] = predictions, time.perf_counter() - started
    return found


def around(gene: Gene, reach: int) -> Interval:
    return Interval(gene.contig, max(gene.start - reach, 0), gene.start + reach)


def dosages(genotypes: Genotypes, interval: Interval) -> np.ndarray:
    """How many copies of an ALT allele people have at each site, `(sites, people)`."""
    return (genotypes.within(interval)[1] > 0).sum(-1)


def correlate(truths: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pearson's and Spearman's correlation of each row; NaN where it has fewer than three values."""
    found = []
    for truth, prediction in zip(truths, predictions):
        known = np.isfinite(truth) & np.isfinite(prediction)
        if known.sum() < FEWEST:
            found.append((np.nan, np.nan))
            continue
        weights = np.ones((1, known.sum()))
        found.append([metric(truth[known], prediction[known], weights)[0] for metric in (pearson, spearman)])
    return tuple(np.array(found, dtype=float).reshape(-1, 2).T)


def measure_grid(
    values: np.ndarray, predictions: np.ndarray, trained_genes: np.ndarray, trained: np.ndarray, seed: int = 0
) -> dict[str, dict]:
    """The four cells: genes and people that were trained on (`seen`) or not (`new`).

    Returns:
        By `seen_genes_new_people` and the like: `genes`, `people`; and, where there are three of the others or more,
        `by_gene` (across people) and `by_person` (across genes), each with `pearson` and `spearman`: `mean`, `median`,
        `quartiles`, `above_0.1` and `above_0.3`, how many are. `by_gene` has the `null` of Pearson's mean, 95 % of
        its values if people are permuted.
    """
    cells, rng = {}, np.random.default_rng(seed)
    for genes_name, genes in (("seen", trained_genes), ("new", ~trained_genes)):
        for people_name, people in (("seen", trained), ("new", ~trained)):
            truth, guess = (each[np.ix_(genes, people)] for each in (values, predictions))
            cell = cells[f"{genes_name}_genes_{people_name}_people"] = {
                "genes": int(genes.sum()),
                "people": int(people.sum()),
            }
            if genes.any() and people.sum() >= FEWEST:
                cell["by_gene"] = _summaries(truth, guess)
                permuted = [
                    _mean_pearson(truth, guess[:, rng.permutation(guess.shape[1])]) for _ in range(PERMUTATIONS)
                ]
                cell["by_gene"]["null"] = [float(end) for end in np.percentile(permuted, (2.5, 97.5))]
            if people.any() and genes.sum() >= FEWEST:
                cell["by_person"] = _summaries(truth.T, guess.T)
    return cells


def _mean_pearson(truths: np.ndarray, predictions: np.ndarray) -> float:
    """The mean of `correlate`'s first, for many permutations: of whole rows all at once."""
    if np.isfinite(truths).all():
        first, second = (each - each.mean(1, keepdims=True) for each in (truths, predictions))
        scale = np.sqrt((first**2).sum(1) * (second**2).sum(1))
        return float(np.mean(np.divide((first * second).sum(1), scale, out=np.zeros(len(first)), where=scale > 1e-12)))
    return float(np.nanmean(correlate(truths, predictions)[0]))


def _summaries(truths: np.ndarray, predictions: np.ndarray) -> dict[str, dict]:
    summaries = {}
    for name, found in zip(("pearson", "spearman"), correlate(truths, predictions)):
        known = found[np.isfinite(found)]
        if not len(known):
            summaries[name] = None
            continue
        low, middle, high = np.percentile(known, (25, 50, 75))
        summaries[name] = {
            "mean": float(known.mean()),
            "median": float(middle),
            "quartiles": [float(low), float(high)],
        }
        summaries[name] |= {f"above_{limit}": int((known > limit).sum()) for limit in (0.1, 0.3)}
    return summaries


_COLUMNS = ("", "genes", "people", "r", "mean", "median", "quartiles", "> 0.1", "> 0.3", "permuted")


def grid_rows(cells: Mapping[str, Mapping]) -> list[list[str]]:
    rows = []
    for name, cell in cells.items():
        title = name.replace("_", " ").replace(" genes ", " genes, ")
        for axis, words in (("by_gene", "by gene"), ("by_person", "by person")):
            for kind in ("pearson", "spearman"):
                each = cell.get(axis, {}).get(kind)
                first = [title, str(cell["genes"]), str(cell["people"]), f"{words}, {kind.title()}"]
                if each is None:
                    rows.append([*first, *["-"] * 6])
                    continue
                null = cell[axis].get("null") if kind == "pearson" else None
                rows.append(
                    [
                        *first,
                        f"{each['mean']:.3f}",
                        f"{each['median']:.3f}",
                        " to ".join(f"{end:.3f}" for end in each["quartiles"]),
                        str(each["above_0.1"]),
                        str(each["above_0.3"]),
                        " to ".join(f"{end:.3f}" for end in null) if null else "",
                    ]
                )
    return rows


def grid_table(cells: Mapping[str, Mapping]) -> Table:
    caption = "Permuted: 95 % of the mean of Pearson's r by gene if predictions are permuted between people."
    return Table("Genes and people that were trained on, or not", _COLUMNS, grid_rows(cells), caption)


def gene_table(genes: Sequence[Gene], seen: Sequence[int], measured: Mapping[str, Mapping]) -> Table:
    """Pearson's r of each gene under each condition."""
    words = CONDITIONS | WORDS
    rows = [
        [genes[gene].name, *(f"{each['pearson'][place]:.3f}" for each in measured.values())]
        for place, gene in enumerate(seen)
    ]
    return Table("Pearson's r by gene", ["gene", *(words[name].title for name in measured)], rows)


def format_grid(cells: Mapping[str, Mapping]) -> str:
    """The grid as text for a terminal."""
    lines = [_COLUMNS, *grid_rows(cells)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


__all__ = ["correlate", "evaluate_expression", "format_grid", "measure_grid"]
