"""The scores of answers as a metric of the library `evaluate`."""

import datasets
import evaluate

from textgenome.evaluation.metrics import score_answers
from textgenome.inference.answers import extract_answer


class AnswerMetric(evaluate.Metric):
    """Scores of what the model wrote against the true answers. See `score_answers`; needs no network.

    Example:

        AnswerMetric().compute(predictions=["<think>...</think> Answer: Gitelman syndrome"], references=["..."])
    """

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Share of right answers, and macro scores over the true answers, of `Answer:` lines.",
            citation="",
            inputs_description="predictions: what the model wrote; references: the true answers.",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str], **options) -> dict:
        return score_answers(references, [extract_answer(text) for text in predictions], **options)


__all__ = ["AnswerMetric"]
