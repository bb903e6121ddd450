"""Which bases does an answer depend on? In-silico mutagenesis and gradient times input, of any model."""

import math
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
from transformers import PreTrainedModel, ProcessorMixin

from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.labels import REGRESSION
from textgenome.genome.progress import by_batch
from textgenome.inference.base_labels import label_bases
from textgenome.inference.checkpoints import find_kind, load_checkpoint, read_config
from textgenome.inference.classification import classify
from textgenome.inference.explaining_answers import answer_scorer
from textgenome.inference.gradients import SMALLEST, gradient_of_head
from textgenome.inference.language_models import DNALanguageModel, load_language_model
from textgenome.inference.likelihoods import check_window, score_windows
from textgenome.inference.mutagenesis import LETTERS, Explanation, Scorer, Window, Windows, cut_window
from textgenome.inference.predictions import join_processes
from textgenome.inference.tracks import predict_tracks
from textgenome.modeling_textgenome_dna_tokens import TextGenomeDNAForTokenClassification
from textgenome.modeling_textgenome_dna_tracks import TextGenomeDNAForTrackPrediction


BASES = 100


def explain(
    model: PreTrainedModel | DNALanguageModel,
    processor: ProcessorMixin | None,
    reference: str,
    variant: str | None = None,
    question: str | None = None,
    labels: list[str] | None = None,
    bases: int = BASES,
    along: str = "reference",
    position: int | None = None,
    window: int | None = None,
    enable_thinking: bool | None = None,
    max_new_tokens: int = 1024,
    batch_size: int = 64,
) -> Explanation:
    """Change each base to each other one, and see what becomes of the score of each answer.

    Args:
        model: A fused model, a model with a head on DNA, or what `load_language_model` returns.
        processor: Its processor; None for a language model of DNA.
        reference: A sequence.
        variant: The same stretch with a variant, for models that read pairs.
        question: For a fused model.
        labels: For a fused model, answers to choose from. Without them, what it writes about the unchanged pair is
            scored; a model that reasons writes about each change anew with them, which takes longer.
        bases: Most bases to change: those around the variant, or in the middle.
        along: `reference` or `variant`: whose bases to change. Around the variant both change alike.
        position: For a model that labels bases: 0-based, whose labels to explain, by default the middle of the
            sequence.
        window: For a language model of DNA: most bases that it reads around the variant.
        enable_thinking: Whether a fused model reasons first, by default if it was trained to.
        max_new_tokens: Longest output of a fused model.
        batch_size: Changed windows at a time.

    Returns:
        The effects. Scores are natural logarithms of probabilities: of what a fused model writes, or of the labels
        among themselves; of classes, and of labels of bases. Of a regression they are the value, of tracks the natural
        logarithm of the mean signal, and of a language model of DNA the log-likelihood ratio to the unchanged
        sequence.

    Raises:
        ValueError: If the model cannot be asked so, or a sequence is not DNA.

    Example:

        model, processor = load_checkpoint("outputs/starter")
        explanation = explain(model, processor, reference, variant, "Which signal does it break?", labels)
        plot_explanation(explanation).savefig("explained.png")
    """
    size = check_window(model, window) if processor is None else processor.dna_window
    cut = cut_window(reference, variant, size, bases, along)
    if processor is None:
        cut = replace(cut, windows=(cut.windows[cut.along],), along=0)
        scorer = _likelihoods(model, cut, size)
    else:
        scorer = find_scorer(model, processor, cut, question, labels, position, enable_thinking, max_new_tokens)
    return _explain(cut, scorer, batch_size)


def find_scorer(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    cut: Window,
    question: str | None = None,
    labels: list[str] | None = None,
    position: int | None = None,
    enable_thinking: bool | None = None,
    max_new_tokens: int = 1024,
) -> Scorer:
    """How to read scores off a model with a processor. The arguments are those of `explain`, which cuts the window.

    Raises:
        ValueError: If the model cannot be asked so.
    """
    if find_kind(type(model).__name__).writes_text:
        return answer_scorer(model, processor, cut, question, labels, enable_thinking, max_new_tokens)
    return _head(model, processor, cut, position)


def _explain(cut: Window, scorer: Scorer, batch_size: int) -> Explanation:
    steps = explanation_steps(cut, scorer, batch_size, "Changing bases")
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def explanation_steps(
    cut: Window, scorer: Scorer, batch_size: int, description: str | None = None
) -> Generator[None, None, Explanation]:
    """Explain a window, a batch of changes at each step; see `explain`.

    Args:
        cut: The window, and which of its bases to change.
        scorer: See `find_scorer`.
        batch_size: Changed windows at a time.
        description: Of the progress bar; None shows none.
    """
    mutants = list(cut.mutants())
    (unchanged,) = np.asarray(scorer.score([cut.windows]), dtype=float)
    effects = np.full((cut.stop - cut.start, 4, len(scorer.outputs)), np.nan)
    for place, base in enumerate(cut.sequence):
        if base in LETTERS:
            effects[place, LETTERS.index(base)] = 0
    batches = [mutants[start : start + batch_size] for start in range(0, len(mutants), batch_size)]
    for batch in by_batch(batches, len(mutants), description, unit="change"):
        yield
        for mutant, scores in zip(batch, scorer.score([each.windows for each in batch])):
            place = mutant.place - cut.start, LETTERS.index(mutant.base)
            effects[place] = np.asarray(scores, dtype=float) - unchanged
    yield
    shown = int(np.argmax(unchanged)) if len(unchanged) > 1 else 0
    changed = None
    if cut.changed is not None:
        changed = tuple(min(max(place - cut.start, 0), cut.stop - cut.start) for place in cut.changed)
    gradients = scorer.gradient(cut, shown)
    return Explanation(
        sequence=cut.sequence,
        start=cut.offset + cut.start,
        outputs=scorer.outputs,
        scores=unchanged,
        effects=effects,
        unit=scorer.unit,
        changed=changed,
        gradients=None if gradients is None else gradients[cut.start : cut.stop],
        shown=scorer.outputs[shown],
    )


def _head(model, processor, cut: Window, position: int | None) -> Scorer:
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    needed = model.config.num_sequences if hasattr(model.config, "num_sequences") else 1
    if isinstance(model, TextGenomeDNAForTokenClassification | TextGenomeDNAForTrackPrediction):
        needed = 1
    if len(cut.windows) != needed:
        what = "a pair: give reference and variant" if needed == 2 else "one sequence: give it as the reference alone"
        raise ValueError(f"The model reads {what}.")
    if isinstance(model, TextGenomeDNAForTrackPrediction):
        read = _mean_signals
    elif isinstance(model, TextGenomeDNAForTokenClassification):
        place = len(cut.windows[0]) // 2 if position is None else position
        if not 0 <= place < len(cut.windows[0]):
            raise ValueError(f"Base {place + 1} is not in the sequence, which has {len(cut.windows[0])}.")
        read = _LabelsAt(place)
    else:
        read = _pooled
    unit = "ln probability"
    if model.config.problem_type == REGRESSION:
        unit = "value"
    if read is _mean_signals:
        unit = "ln mean signal"

    def score(batch: Windows):
        return read(model, processor, batch)

    def gradient(window: Window, output: int) -> np.ndarray | None:
        at = read.place if isinstance(read, _LabelsAt) else None
        return gradient_of_head(model, processor, window, output, at)

    return Scorer(names, unit, score, gradient)


def _pooled(model, processor, batch: Windows) -> list[list[float]]:
    names = ("sequence",) if len(batch[0]) == 1 else DNA_COLUMNS
    rows = [dict(zip(names, windows)) for windows in batch]
    found = classify(model, processor, rows, batch_size=len(rows), are_windows=True, description=None)
    return [list(each.values()) for each in found]


def _mean_signals(model, processor, batch: Windows) -> list[np.ndarray]:
    predicted = predict_tracks(model, processor, [sequence for (sequence,) in batch])
    return [np.log(each.mean(0) + SMALLEST) for each in predicted]


@dataclass(frozen=True)
class _LabelsAt:
    place: int

    def __call__(self, model, processor, batch: Windows) -> list[np.ndarray]:
        found = label_bases(model, processor, [sequence for (sequence,) in batch])
        return [np.log(each[self.place] + SMALLEST) for each in found]


def _likelihoods(language_model: DNALanguageModel, cut: Window, size: int) -> Scorer:
    (given,) = cut.windows

    def score(batch: Windows) -> list[list[float]]:
        changed = [(given, sequence) for (sequence,) in batch if sequence != given]
        ratios = iter(score_windows(language_model, changed, size) if changed else ())
        scores = [0.0 if sequence == given else next(ratios) for (sequence,) in batch]
        return [[math.nan if each is None else each] for each in scores]

    return Scorer(["likelihood"], "ln likelihood ratio", score)


def explain_checkpoint(name: str, revision: str | None = "main", dtype: str = "auto", **options) -> Explanation:
    """Load a model, a language model of DNA included, and `explain` it. `options` are those of `explain`.

    Raises:
        OSError: If there is no such model.
        ValueError: If it is a model that cannot be explained.
    """
    device = join_processes().device
    architecture = (read_config(name, revision)[0].architectures or [""])[0]
    try:
        find_kind(architecture)
    except ValueError:
        language_model = load_language_model(name, revision, dtype)
        language_model.model.to(device)
        return explain(language_model, None, **options)
    model, processor = load_checkpoint(name, revision, dtype)
    return explain(model.to(device), processor, **options)


__all__ = ["explain", "explain_checkpoint", "explanation_steps", "find_scorer"]
