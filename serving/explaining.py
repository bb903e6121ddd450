"""Which bases does what the model says depend on? One request, one picture."""

from dataclasses import dataclass

from transformers import PreTrainedModel, ProcessorMixin

from textgenome.genome.plot import as_svg
from textgenome.inference.explaining import BASES, explanation_steps, find_scorer
from textgenome.inference.explanation_files import describe, plot_explanation
from textgenome.inference.mutagenesis import Explanation, Window, cut_window
from textgenome.serving.engine import Engine
from textgenome.serving.errors import FieldError
from textgenome.serving.heads import check_reads
from textgenome.serving.jobs import Job, Steps, count_dna_tokens
from textgenome.serving.limits import Limits
from textgenome.serving.reading import Checks, read_question
from textgenome.serving.responses import BaseChange, Explained
from textgenome.serving.schema import EXPLAIN_FIELDS, ExplainRequest


@dataclass(frozen=True)
class ExplainJob(Job):
    """Changes each base of a window to each other one, and draws what becomes of the score.

    Args:
        window: What the model reads, and which bases to change.
        asked: How: further arguments of `find_scorer`.
        show: Which label, class or track to draw, by default the one with the highest score.
    """

    window: Window
    asked: dict
    show: str | None = None

    name = "explanations"

    def steps(self, model: PreTrainedModel, processor: ProcessorMixin, limits: Limits) -> Steps:
        scorer = find_scorer(model, processor, self.window, **self.asked)  # it may write the answer
        yield
        explanation = yield from explanation_steps(self.window, scorer, limits.batch_size)
        return [as_response(explanation, self.show)]


def as_response(explanation: Explanation, show: str | None = None) -> Explained:
    """An explanation with its picture, if matplotlib is there to draw it."""
    shown = show or explanation.shown
    try:
        picture = as_svg(plot_explanation(explanation, shown))
    except OSError:
        picture = None
    changes = [BaseChange(**row) for row in explanation.rows() if row.pop("output") == shown]
    return Explained(
        sentence=describe(explanation, shown),
        shown=shown,
        unit=explanation.unit,
        scores=dict(zip(explanation.outputs, explanation.scores.tolist())),
        changes=changes,
        picture=picture,
    )


def read_explanation(request: ExplainRequest, engine: Engine) -> ExplainJob:
    """Check a request against the limits, and cut its window; the rest is as in `read_question`."""
    checks, processor = Checks(engine), engine.processor
    pair = [checks.dna("reference", request.reference)]
    if request.variant is not None:
        pair.append(checks.dna("variant", request.variant))
    bases = request.bases or BASES
    try:
        window = cut_window(pair[0], (pair + [None])[1], processor.dna_window, bases, request.along or "reference")
    except ValueError as error:
        raise FieldError("variant", str(error)) from error
    asked, tokens = {}, 0
    if engine.writes_text:
        asked, tokens = read_text(request, engine)
    else:
        check_head(request, window, engine)
        asked["position"] = None if request.position is None else request.position - 1
    outputs = list(asked.get("labels") or ()) or ([] if engine.writes_text else list(engine.model.config.label2id))
    if request.show is not None and request.show not in outputs:
        raise FieldError("show", f"choose from {', '.join(outputs)}" if outputs else "give labels to choose from")
    changes = 1 + 3 * (window.stop - window.start)
    tokens = tokens or count_dna_tokens(list(window.windows), engine.model, processor)
    return ExplainJob(
        sequences=len(pair),
        bases=sum(checks.lengths),
        tokens=changes * tokens,
        size=sum(map(len, window.windows)),
        window=window,
        asked=asked,
        show=request.show,
    )


def read_text(request: ExplainRequest, engine: Engine) -> tuple[dict, int]:
    """What to ask a model that writes text, and how many tokens the prompt has."""
    for name, value in (("question", request.question), ("variant", request.variant)):
        if value is None:
            raise FieldError(name, "a model that writes text needs a question about a reference and a variant")
    if request.position is not None:
        raise FieldError("position", "only models that label bases take one")
    try:
        question = read_question(request.as_chat(), engine)
    except FieldError as error:
        raise FieldError(EXPLAIN_FIELDS.get(error.field, error.field), str(error), error.status) from error
    if question.labels and question.enable_thinking:
        message = "this model would reason anew about each change: leave labels out, and what it writes is scored"
        raise FieldError("labels", message)
    asked = {
        "question": request.question,
        "labels": list(question.labels) or None,
        "enable_thinking": question.enable_thinking,
        "max_new_tokens": question.max_tokens,
    }
    return asked, question.prompt_tokens


def check_head(request: ExplainRequest, window: Window, engine: Engine) -> None:
    """Raise `FieldError` for what a head does not read."""
    for name in ("question", "labels", "max_tokens"):
        if getattr(request, name) is not None:
            raise FieldError(name, "this model writes no text")
    check_reads(engine, window.windows, compares=False)
    if request.position is not None and request.position > len(window.windows[0]):
        raise FieldError("position", f"the sequence has {len(window.windows[0])} bases")


__all__ = ["ExplainJob", "read_explanation"]
