"""How well scores of variants rank known labels, beside what ranks them without a model."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.sequences import SequenceRow
from textgenome.data.splits import group_rows, row_traits
from textgenome.evaluation.row_metrics import auprc, auroc
from textgenome.evaluation.units import Pooled, summarize_units
from textgenome.processing.processing_dna import common_prefix


MODEL = "model"
SUBSTITUTIONS = "model, substitutions alone"
_TRANSITIONS = ("AG", "GA", "CT", "TC")


def read_labels(
    values: Sequence[str | None], positive: Collection[str] = (), negative: Collection[str] = ()
) -> tuple[list[bool | None], dict[bool, list[str]]]:
    """Labels as positive, negative, or None where a row is left out.

    Args:
        values: The label of each row, None where it has none.
        positive: Labels that are positive. By default the later one in the alphabet, of two: `1` of 0 and 1,
            `Pathogenic` of that and `Benign`.
        negative: Labels that are negative, by default all others.

    Returns:
        Whether each row is positive, and which labels are.

    Raises:
        ValueError: If there are not two labels, and none is named positive; if one that is named does not occur; or if
            there is none of one kind.
    """
    found = sorted({value for value in values if value is not None})
    shown = ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
    missing = sorted({*positive, *negative}.difference(found))
    if missing:
        raise ValueError(f"No row has the label {missing[0]!r}. The labels are {shown or 'none'}.")
    if not positive:
        if len(found) != 2:
            raise ValueError(
                f"There are {len(found)} labels ({shown}), not two: say by --positive which are positive."
            )
        positive = found[1:]
    negative = negative or [value for value in found if value not in positive]
    if not negative:
        raise ValueError(f"All labels are positive ({shown}): there is nothing to rank them against.")
    truths = [True if value in positive else False if value in negative else None for value in values]
    return truths, {True: sorted(positive), False: sorted(negative)}


def measure_scores(
    rows: Sequence[SequenceRow],
    scores: Sequence[float],
    truths: Sequence[bool],
    others: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> dict[str, dict]:
    """AUROC and AUPRC of scores, with intervals by locus.

    Variants whose windows overlap on the genome, or without places have a 64-mer in common, are one locus.

    Args:
        rows: The variants.
        scores: Their log-likelihood ratios: the lower, the more a variant is expected to be positive.
        truths: Whether each is positive.
        others: By name, other scores of the same variants: the higher, the more positive.
        seed: Of the bootstrap.

    Returns:
        What `summarize_units` returns, with `rows`, `positives` and `loci` in each condition: `model`; of rows that
        are not all substitutions of one base also that on those which are; `GC`, the share of G and C in the
        reference; `CpG transition` and `transversion`, of single bases; `inserted bases`, if any are; and `others`.
    """
    truths, scores, locus = np.asarray(truths, bool), -np.asarray(scores, float), number_loci(rows)
    changes = [_substitution(row.sequence, row.variant) for row in rows]
    single = np.array([change is not None for change in changes])
    values = {MODEL: scores}
    inserted = np.array([len(row.variant) - len(row.sequence) for row in rows], float)
    if inserted.any():
        values["inserted bases"] = inserted
    values["GC"] = np.array([sum(map(row.sequence.count, "GC")) / len(row.sequence) for row in rows])
    values["CpG transition"] = np.array([change == "CpG transition" for change in changes], float)
    values["transversion"] = np.array([change == "transversion" for change in changes], float)
    values |= {name: np.asarray(given, float) for name, given in (others or {}).items()}
    chosen = {name: np.ones(len(rows), bool) for name in values}
    if single.any() and not single.all():
        values[SUBSTITUTIONS], chosen[SUBSTITUTIONS] = scores, single
    measured = {name: _measure(truths, value, locus, chosen[name]) for name, value in values.items()}
    summaries = summarize_units(measured, MODEL, unpaired=[SUBSTITUTIONS], seed=seed)
    for name, mask in chosen.items():
        counts = {"rows": int(mask.sum()), "positives": int(truths[mask].sum())}
        summaries[name] = {**counts, "loci": len(np.unique(locus[mask])), **summaries[name]}
    return summaries


def number_loci(rows: Sequence[SequenceRow]) -> np.ndarray:
    """The number of each row's locus, from 0, `(rows,)`: see `measure_scores`."""
    if any(row.place is None for row in rows):
        pairs = [dict(zip(DNA_COLUMNS, (row.sequence, row.variant))) for row in rows]
        return group_rows(row_traits(pairs), len(rows))
    locus, number, reached = np.zeros(len(rows), int), -1, {}
    for i in sorted(range(len(rows)), key=lambda i: rows[i].place):
        place, bases = rows[i].place, len(rows[i].sequence)
        start = place.start - (bases - 1) // 2  # where `variant_window` starts, away from the ends of a contig
        if start >= reached.get(place.contig, -np.inf):
            number += 1
        locus[i] = number
        reached[place.contig] = max(reached.get(place.contig, 0), start + bases)
    return locus


def judge(summaries: Mapping[str, Mapping]) -> str:
    """A sentence that says what the figures of `measure_scores` say."""
    model = summaries[MODEL]
    if model["auroc_interval"] is None:
        return "All variants are at one locus: there is no interval, and nothing can be said of other loci."
    low, high = model["auroc_interval"]
    figure = f"AUROC {model['auroc']:.3f}, interval {low:.3f} to {high:.3f} by locus"
    if low <= 0.5 <= high:
        return f"The scores are not distinguishable from chance: {figure}."
    if high < 0.5:
        return f"The scores rank the labels the wrong way round: {figure}. Are the positive labels the right ones?"
    better = [name for name, each in summaries.items() if each.get("auroc_difference_interval", (-1,))[0] > 0]
    equal = [
        name
        for name, each in summaries.items()
        if name not in (MODEL, *better) and each.get("auroc_difference_interval", (-1, -1))[1] >= 0
    ]
    if better:
        return f"The scores rank labels better than chance, but worse than {', '.join(better)}: {figure}."
    if equal:
        return f"The scores rank labels better than chance, but not better than {', '.join(equal)}: {figure}."
    return f"The scores rank labels better than chance and than each of the other rows: {figure}."


def format_scores(summaries: Mapping[str, Mapping]) -> str:
    """The table of `measure_scores` for a terminal."""
    lines = [f"{'':<28}{'rows':>7}{'loci':>7}  {'AUROC':<22}{'AUPRC':<22}{'AUROC - model':<22}"]
    for name, each in summaries.items():
        difference = _figure(each, "auroc_difference", "+.3f") if "auroc_difference" in each else ""
        cells = f"{_figure(each, 'auroc'):<22}{_figure(each, 'auprc'):<22}{difference}"
        lines.append(f"{name:<28}{each['rows']:>7}{each['loci']:>7}  {cells}".rstrip())
    share = summaries[MODEL]["positives"] / summaries[MODEL]["rows"]
    return "\n".join([*lines, f"By chance AUROC is 0.5 and AUPRC {share:.3f}. In brackets 95 % intervals by locus."])


def _measure(truths: np.ndarray, values: np.ndarray, locus: np.ndarray, chosen: np.ndarray) -> dict[str, Pooled]:
    truths, values = truths[chosen], values[chosen]
    loci, units = np.unique(locus[chosen], return_inverse=True)
    return {
        name: Pooled(len(loci), lambda weights, metric=metric: metric(truths, values, weights[:, units]))
        for name, metric in (("auroc", auroc), ("auprc", auprc))
    }


def _substitution(reference: str, variant: str) -> str | None:
    """What kind of change of a single base it is, if it is one: a transversion, or a transition, at a CpG or not."""
    place = common_prefix(reference, variant)
    if len(reference) != len(variant) or reference[place + 1 :] != variant[place + 1 :]:
        return None
    old, new = reference[place], variant[place]
    if "N" in (old, new):
        return "other"
    if old + new not in _TRANSITIONS:
        return "transversion"
    at_cpg = reference[place : place + 2] == "CG" if old == "C" else reference[max(place - 1, 0) : place + 1] == "CG"
    return "CpG transition" if at_cpg and old in "CG" else "transition"


def _figure(summary: Mapping, name: str, form: str = ".3f") -> str:
    value, interval = summary[name], summary[f"{name}_interval"]
    if value is None:
        return "undefined"
    return f"{value:{form}}" if interval is None else f"{value:{form}} [{interval[0]:.3f}, {interval[1]:.3f}]"


__all__ = ["MODEL", "format_scores", "judge", "measure_scores", "number_loci", "read_labels"]
