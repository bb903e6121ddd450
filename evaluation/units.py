"""Metrics with intervals by the unit that repeats: row, region, chromosome, locus, gene or person.

Rows of one locus, or bases of one region, are not independent. So whole units are resampled, and each metric is
computed on the sample. All conditions see the same samples: differences are paired.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from textgenome.evaluation.conditions import AS_IS
from textgenome.evaluation.metrics import draw_samples


@dataclass(frozen=True)
class Pooled:
    """A metric that is computed of all units together, such as AUROC, or F1 from summed counts.

    Args:
        units: How many units there are.
        compute: Takes weights of shape `(samples, units)`, float64, which say how often each unit was drawn, and
            returns the metric of each sample, `(samples,)`, NaN where it is undefined.

    Examples:
        F1 by base, where `counts` of shape `(loci, 3)` holds hits, false alarms and misses of each locus:

            Pooled(len(counts), lambda weights: f1_of_counts(*(weights @ counts).T))

        AUROC of rows, where `locus` of shape `(rows,)` holds the number of each row's locus:

            Pooled(loci, lambda weights: auroc(truths, scores, weights[:, locus]))
    """

    units: int
    compute: Callable[[np.ndarray], np.ndarray]


Measured = Mapping[str, Mapping[str, Pooled | Sequence[float]]]


def summarize_units(measured: Measured, model: str = AS_IS, unpaired: Collection[str] = (), seed: int = 0) -> dict:
    """Metrics of each condition, their 95 % intervals, and the paired differences to the model.

    Args:
        measured: By name of the condition and name of the metric: a value for each unit, `(units,)`, whose mean is the
            metric, NaN for units without one; or a `Pooled`. The units of a metric are the same, in the same order,
            in all conditions that have it.
        model: Name of the condition that the others are compared with. It may be missing, as where only baselines are
            measured.
        unpaired: Conditions on other units, as the same model on its training regions: they get no difference.
        seed: Of the draws.

    Returns:
        By condition a dict with, for each metric, `NAME`, a float or None if undefined; `NAME_interval`, percentiles
        of 1,000 bootstrap samples of the units (Efron, Ann. Stat. 7:1, 1979), or None if there are fewer than two
        units; and, where the model has the metric, too, `NAME_difference` (condition minus model) and
        `NAME_difference_interval`.

    Raises:
        ValueError: If a condition has other units than the model and is not named in `unpaired`.
    """
    draws = {
        condition: {name: resample(values, seed) for name, values in metrics.items()}
        for condition, metrics in measured.items()
    }
    summaries = {}
    for condition, metrics in draws.items():
        summary = summaries[condition] = {}
        for name, (units, value, samples) in metrics.items():
            summary |= {name: _number(value), f"{name}_interval": _interval(units, samples)}
            if condition == model or condition in unpaired or name not in draws.get(model, {}):
                continue
            model_units, model_value, model_samples = draws[model][name]
            if units != model_units:
                raise ValueError(f"{condition}: {name} has {units} units, but {model_units} in {model}.")
            summary |= {
                f"{name}_difference": _number(value - model_value),
                f"{name}_difference_interval": _interval(units, samples - model_samples),
            }
    return summaries


def _mean_of_units(values: Sequence[float]) -> Pooled:
    values = np.asarray(values, dtype=float)
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)

    def compute(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return (weights @ filled) / (weights @ known)

    return Pooled(len(values), compute)


def resample(metric: Pooled | Sequence[float], seed: int) -> tuple[int, float, np.ndarray]:
    """How many units there are, the metric of them, and that of each of 1,000 bootstrap samples, `(1000,)`."""
    metric = metric if isinstance(metric, Pooled) else _mean_of_units(metric)
    if not metric.units:
        raise ValueError("There is no unit to measure.")
    value = float(metric.compute(np.ones((1, metric.units)))[0])
    # The draws depend on the number of units and the seed only, so that they are those of all conditions.
    samples = [metric.compute(weights) for weights in draw_samples(metric.units, seed)]
    return metric.units, value, np.concatenate(samples)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _interval(units: int, samples: np.ndarray) -> tuple[float, float] | None:
    samples = samples[np.isfinite(samples)]
    if units < 2 or not len(samples):
        return None
    low, high = np.percentile(samples, (2.5, 97.5))
    return float(low), float(high)


__all__ = ["Measured", "Pooled", "resample", "summarize_units"]
