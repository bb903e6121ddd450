"""What the worst mistakes depend on: a picture for each, for the report."""

from collections.abc import Mapping, Sequence

from transformers.utils import logging

from textgenome.data.labels import sequences_of
from textgenome.evaluation.report_parts import Figure
from textgenome.genome import plot
from textgenome.genome.plot import as_png
from textgenome.inference.checkpoints import Checkpoint
from textgenome.inference.explaining import explain
from textgenome.inference.explanation_files import describe, plot_explanation
from textgenome.inference.predictions import join_processes


logger = logging.get_logger(__name__)


def explain_mistakes(
    mistakes: Sequence[Mapping],
    checkpoint: Checkpoint,
    rows: Sequence[Mapping],
    count: int,
    dtype: str = "auto",
    **options,
) -> list[Figure]:
    """Explain the first of some mistakes. The pictures show the bases around the variant, or in the middle.

    Args:
        mistakes: See `find_mistakes`.
        checkpoint: The model that made them.
        rows: The evaluated rows, cut to what the model reads.
        count: How many to explain.
        dtype: Data type of the weights.
        options: Of `explain`.

    Returns:
        Pictures for the report; none, with a warning, if matplotlib is missing.
    """
    if not mistakes or not count:
        return []
    if plot.Figure is None:
        logger.warning("Mistakes are not explained: that needs matplotlib, pip install 'textgenome[plots]'.")
        return []
    model, processor = checkpoint.load(dtype).to(join_processes().device), checkpoint.processor
    figures = []
    for mistake in mistakes[:count]:
        row = rows[mistake["row"]]
        asked = {"question": row["question"], **options} if checkpoint.kind.writes_text else options
        try:
            explanation = explain(model, processor, *sequences_of(row), **asked)
        except ValueError as error:  # such as rows about one sequence, or without any
            logger.warning(f"Row {mistake['row']} is not explained: {error}")
            continue
        title = f"Row {mistake['row']}: {mistake['truth']} → {mistake['answer'] or 'no answer'}"
        caption = f"What this mistake depends on. {describe(explanation)}"
        figures.append(Figure(title, as_png(plot_explanation(explanation)), caption, wide=True))
    return figures


__all__ = ["explain_mistakes"]
