"""The sentence that an evaluation begins with: what beats what."""

from collections.abc import Mapping

from textgenome.evaluation.conditions import AS_IS


EXCHANGED = "dna_exchanged"


def judge(metrics: Mapping) -> str:
    """Say what the differences between the conditions show, problems first.

    A model beats a baseline, or uses the DNA, if the 95 % interval of the paired difference excludes 0.

    Args:
        metrics: The content of `metrics.json`: `conditions`, `metric`, the name of the metric that decides, and
            `metrics`, by name what `Metric` holds. The best condition of the kind `baseline` is what the model has to
            beat; the condition `dna_exchanged` tells whether it uses the DNA. `only_answer` of the model is the
            class that it gives all rows, if it does; `duplicates` counts the rows
            that it has seen in training.
    """
    name, conditions = metrics["metric"], metrics["conditions"]
    metric = metrics["metrics"][name]
    sign = 1 if metric["higher_is_better"] else -1
    baselines = {
        each: summary
        for each, summary in conditions.items()
        if summary["kind"] == "baseline" and summary.get(name) is not None
    }
    best = max(baselines, key=lambda each: sign * baselines[each][name]) if baselines else None
    if AS_IS not in conditions:
        return f"Best baseline: {_value(conditions[best], name, metric)}. No model was evaluated."
    model = conditions[AS_IS]
    if model.get(name) is None:
        return f"{metric['title']} of the model is undefined on these rows."
    bad, good = [], []
    if "only_answer" in model:
        bad.append(f"answers one class only ({model['only_answer']!r})")
    if metric["chance"] is not None:
        _judge_chance(model, name, metric, sign, bad)
    if best:
        title = baselines[best]["title"]
        if _exceeds(baselines[best], name, -sign):
            also = f" (the best of {len(baselines)})" if len(baselines) > 1 else ""
            good.append(f"beats the baseline {title}{also}")
        else:
            bad.append(f"does not beat the baseline {title}")
    if EXCHANGED in conditions:
        uses = _exceeds(conditions[EXCHANGED], name, -sign)
        (good if uses else bad).append(f"{'uses' if uses else 'does not use'} the DNA")
    if sum(metrics.get("duplicates", {}).values()) == model.get("units"):
        bad.insert(0, "was evaluated on rows that it was trained on")
    findings = ", but ".join(_listed(each) for each in (bad, good) if each)
    compared = [conditions[each] for each in (best, EXCHANGED) if each in conditions]
    figures = ", ".join(_value(each, name, metric, i) for i, each in enumerate((model, *compared)))
    return f"The model {findings or 'was compared with nothing'}: {figures}."


def _judge_chance(model: Mapping, name: str, metric: Mapping, sign: int, bad: list[str]) -> None:
    interval = model[f"{name}_interval"]
    if interval is None:
        return
    low, high = sorted(sign * (end - metric["chance"]) for end in interval)
    if high < 0:
        bad.append("is worse than chance")
    elif low <= 0:
        bad.append("is not distinguishable from chance")


def _exceeds(summary: Mapping, name: str, sign: int) -> bool:
    """Whether a condition is above the model (`sign` 1) or below it (-1), the interval of the difference as well."""
    interval = summary.get(f"{name}_difference_interval")
    return interval is not None and min(sign * end for end in interval) > 0


def _value(summary: Mapping, name: str, metric: Mapping, place: int | None = None) -> str:
    """A figure with its interval: `MCC 0.791 (0.743 to 0.838)`, of others than the model with their name."""
    value, interval = summary.get(name), summary.get(f"{name}_interval")
    text = "undefined" if value is None else f"{value:.3f}"
    if interval:
        text += f" ({interval[0]:.3f} to {interval[1]:.3f})"
    if place is None:
        return f"{summary['title']}, {metric['title']} {text}"
    return f"{text} with {summary['title']}" if place else f"{metric['title']} {text}"


def _listed(findings: list[str]) -> str:
    return " and ".join([", ".join(findings[:-1]), findings[-1]] if len(findings) > 1 else findings)


__all__ = ["judge"]
