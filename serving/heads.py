"""What a head says of DNA: classes or a value, the labels of bases, or tracks, with pictures of the last two."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, ProcessorMixin

from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.labels import REGRESSION
from textgenome.genome.intervals import Interval
from textgenome.genome.plot import Lane, as_svg, plot_tracks
from textgenome.inference.base_labels import label_strands, label_thresholds
from textgenome.inference.classification import classify
from textgenome.inference.label_predictions import runs_of
from textgenome.inference.sequence_predictions import read_scores
from textgenome.inference.tracks import predict_tracks
from textgenome.processing.processing_dna import min_tokens
from textgenome.serving.engine import Engine
from textgenome.serving.errors import FieldError
from textgenome.serving.jobs import SequencesJob, Steps
from textgenome.serving.limits import Limits
from textgenome.serving.reading import Checks, cut_pair
from textgenome.serving.responses import HeadPrediction, LabelledStretch
from textgenome.serving.schema import HeadRequest
from textgenome.serving.tasks import ANNOTATION, CLASSIFICATION, sequences_read, task_of


MOST_LANES = 24  # of a picture
MOST_STRETCHES = 500  # of labelled bases, in an answer: the longest
NAMES = ("reference", "variant")


@dataclass(frozen=True)
class HeadJob(SequencesJob):
    """Predicts for a sequence, or for a reference and its variant."""

    name = "predictions"

    def steps(self, model: PreTrainedModel, processor: ProcessorMixin, limits: Limits) -> Steps:
        yield
        task = task_of(model)
        if task == CLASSIFICATION:
            return [classes_of(model, processor, self.letters)]
        return [(labels_of if task == ANNOTATION else tracks_of)(model, processor, self.letters)]


def classes_of(model: PreTrainedModel, processor: ProcessorMixin, letters: Sequence[str]) -> HeadPrediction:
    names = ("sequence",) if len(letters) == 1 else DNA_COLUMNS
    row = dict(zip(names, letters))
    (scores,) = classify(model, processor, [row], are_windows=True, description=None)
    found = read_scores(scores, model.config.problem_type)
    if model.config.problem_type == REGRESSION:
        return HeadPrediction(task=CLASSIFICATION, values=found)
    answer = found.pop("answer")
    probabilities = {name.removeprefix("probability_"): value for name, value in found.items()}
    return HeadPrediction(task=CLASSIFICATION, answer=answer, label_scores=probabilities)


def labels_of(model: PreTrainedModel, processor: ProcessorMixin, letters: Sequence[str]) -> HeadPrediction:
    config = model.config
    strands = "+-" if config.stranded else "."
    skipped = int(config.problem_type == "single_label_classification")  # the first class is that of all other bases
    columns = [(strand, label) for strand in range(len(strands)) for label in range(skipped, config.num_labels)]
    thresholds, stretches, lanes = label_thresholds(config), [], []
    predicted = [label_strands(model, processor, [each])[0].astype(np.float32) for each in letters]
    for strand, label in columns:
        for name, values in zip(NAMES, predicted):
            column = values[:, strand * config.num_labels + label]
            lanes.append((f"{config.id2label[label]} {strands[strand].strip('.')}".strip(), name, column, 1.0))
            stretches += [
                LabelledStretch(
                    sequence=name,
                    label=config.id2label[label],
                    strand=strands[strand],
                    start=first + 1,
                    end=last,
                    probability=float(column[first:last].mean()),
                )
                for first, last in runs_of(column >= thresholds[label])
            ]
    longest = sorted(stretches, key=lambda each: each.start - each.end)[:MOST_STRETCHES]
    cut = {"stretches_left_out": len(stretches) - MOST_STRETCHES} if len(stretches) > MOST_STRETCHES else {}
    return HeadPrediction(task=ANNOTATION, stretches=longest, **cut, **draw(lanes))


def tracks_of(model: PreTrainedModel, processor: ProcessorMixin, letters: Sequence[str]) -> HeadPrediction:
    config, lanes, means = model.config, [], {}
    predicted = [predict_tracks(model, processor, [each])[0] for each in letters]
    for track in range(config.num_labels):
        name = config.id2label[track]
        top = max(float(values[:, track].max()) for values in predicted)
        means[name] = [float(values[:, track].mean()) for values in predicted]
        lanes += [(name, which, values[:, track], top) for which, values in zip(NAMES, predicted)]
    return HeadPrediction(task=task_of(model), track_means=means, **draw(lanes, config.track_resolution))


def draw(lanes: Sequence[tuple[str, str, np.ndarray, float]], resolution: int = 1) -> dict:
    """The fields of a `HeadPrediction` about its picture, which is None if matplotlib is missing.

    Args:
        lanes: Each the name of a label or track, that of the sequence, `(bins,)` and the top of the scale. Those with
            the highest means are drawn.
        resolution: Bases of a bin.
    """
    means, sequences = {}, {which for _, which, _, _ in lanes}
    for name, _, values, _ in lanes:
        means[name] = max(values.mean(), means.get(name, -np.inf))
    shown = sorted(means, key=means.get, reverse=True)[: MOST_LANES // len(sequences)]
    bins, drawn = max(len(values) for _, _, values, _ in lanes), []
    for name, which, values, top in lanes:
        if name in shown:
            # Of two sequences the shorter one ends where it ends.
            values = np.pad(values, (0, bins - len(values)), constant_values=np.nan)
            drawn.append(Lane(f"{name}\n{which}" if len(sequences) == 2 else name, predicted=values, top=top))
    cut = {"lanes_left_out": len(means) - len(shown)} if len(means) > len(shown) else {}
    try:
        place = Interval("sequence", 1, 1 + bins * resolution)  # counted from 1, as all that the service says
        return {"picture": as_svg(plot_tracks(place, drawn)), **cut}
    except OSError:
        return {"picture": None}


def read_head(request: HeadRequest, engine: Engine) -> HeadJob:
    """Check the sequences of a request against the limits and what the model reads."""
    checks = Checks(engine)
    given = {name: getattr(request, name) for name in NAMES if getattr(request, name) is not None}
    letters = [checks.dna(name, sequence) for name, sequence in given.items()]
    check_reads(engine, letters)
    if task_of(engine.model) == CLASSIFICATION and len(letters) == 2:
        letters = list(cut_pair("variant", letters, engine.processor.dna_window))
    return HeadJob.of(letters, sum(checks.lengths), engine.model, engine.processor)


def check_reads(engine: Engine, letters: Sequence[str], compares: bool = True) -> None:
    """Raise `FieldError` for sequences that the head does not read: too many of them, too few, or too long ones.

    Args:
        engine: Whose model is to read them.
        letters: A sequence; or the reference and the variant.
        compares: Whether a model of single sequences may be asked about two, one after the other.
    """
    reads = sequences_read(engine.model)
    pairs_only = reads == 2
    if len(letters) < reads:
        raise FieldError("variant", "this model reads a reference and its variant: give both")
    if len(letters) > reads and (not compares or task_of(engine.model) == CLASSIFICATION):
        raise FieldError("variant", "this model reads one sequence: give it as the reference alone")
    tokenizer = engine.processor.dna_tokenizer
    for name, sequence in zip(NAMES, () if pairs_only else letters):
        least = min_tokens(tokenizer, len(sequence))
        if least > tokenizer.model_max_length:
            most = tokenizer.model_max_length
            raise FieldError(name, f"{len(sequence)} bases are at least {least} tokens, but the model reads {most}")


__all__ = ["HeadJob", "check_reads", "read_head"]
