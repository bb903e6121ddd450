"""What the service answers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


NOTICE = "Research use only, not for diagnosis."


class Answered(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Noticed(Answered):
    notice: Literal[NOTICE] = NOTICE


class ErrorDetail(Answered):
    message: str = Field(description="What is wrong and, after the name of a field, with which.")
    type: str
    param: str | None = Field(description="Path of the field that is wrong, such as `messages.0.content.0.dna`.")
    code: None = None


class ErrorResponse(Noticed):
    """An error as OpenAI words it."""

    error: ErrorDetail


class Usage(Answered):
    prompt_tokens: int = Field(description="Placeholders of DNA included.")
    completion_tokens: int = Field(description="The reasoning and the token that ends the turn included.")
    total_tokens: int


class AnsweredMessage(Answered):
    role: Literal["assistant"]
    content: str
    reasoning_content: str


class Choice(Answered):
    index: Literal[0]
    message: AnsweredMessage
    logprobs: None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(Noticed):
    id: str
    object: Literal["chat.completion"]
    created: int = Field(description="Seconds since 1970.")
    model: str
    choices: list[Choice] = Field(min_length=1, max_length=1)
    usage: Usage
    label_scores: dict[str, float] | None = Field(
        None, description="By label its probability among the labels, where the request has any."
    )
    label_scores_without_dna: dict[str, float] | None = Field(
        None, description="The same if the question is asked without DNA: what is as likely there is a prior."
    )
    other_answers: float | None = Field(None, description="Probability of any other answer than the labels.")


class Delta(Answered):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None


class ChunkChoice(Answered):
    index: Literal[0]
    delta: Delta
    logprobs: None
    finish_reason: Literal["stop", "length"] | None


class ChatCompletionChunk(Answered):
    """What an event of a stream holds after `data: `.

    The first says the notice, the last but `[DONE]` finish reason, label scores and, if asked for, usage. A failure
    after the first is an event with `error` in place of the choices, and ends the stream.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice] = Field(max_length=1)
    usage: Usage | None = None
    label_scores: dict[str, float] | None = None
    label_scores_without_dna: dict[str, float] | None = None
    other_answers: float | None = None
    notice: Literal[NOTICE] | None = None


class PredictResponse(Noticed):
    answer: str = Field(description="What follows `Answer:`, or all that the model said after its reasoning.")
    reasoning: str
    processing_time: float = Field(description="Seconds.")
    model_loaded: bool


class ReadUsage(Answered):
    prompt_tokens: int = Field(description="Tokens that were read.")
    total_tokens: int


class Embedding(Answered):
    object: Literal["embedding"]
    index: int = Field(description="Of the sequence in `input`.")
    embedding: list[float] | str


class EmbeddingList(Noticed):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: ReadUsage


class Score(Answered):
    object: Literal["score"]
    index: int = Field(description="Of the pair in `pairs`.")
    label_scores: dict[str, float] = Field(description="By label its probability among the labels.")
    label_scores_without_dna: dict[str, float] | None = Field(
        None, description="The same if the question is asked without DNA: what is as likely there is a prior."
    )
    other_answers: float | None = Field(None, description="Probability of any other answer than the labels.")


class ScoreList(Noticed):
    object: Literal["list"]
    data: list[Score]
    model: str
    usage: ReadUsage


class WindowPart(Answered):
    before: str
    changed: str
    after: str


class Windows(Noticed):
    """What the model sees of a reference and its variant."""

    object: Literal["windows"] = "windows"
    position: int = Field(description="Of the first changed base in the reference, counted from 1.")
    removed: int = Field(description="How many bases the variant lacks there.")
    added: int = Field(description="How many it has in their place.")
    start: int = Field(description="Of the windows in the sequences, counted from 1.")
    reference: WindowPart
    variant: WindowPart


class VariantWindows(Answered):
    name: str = Field(description="`contig:position:REF:ALT`, as in the VCF file.")
    reference: str
    variant: str


class VariantList(Noticed):
    object: Literal["list"] = "list"
    data: list[VariantWindows]
    left_out: int = Field(description="How many alleles have no sequence, such as `<DEL>`.")


class BaseChange(Answered):
    position: int = Field(description="Of the base in the sequence, counted from 1.")
    base: str
    changed_to: str
    score: float = Field(description="After the change.")
    effect: float = Field(description="The score after the change less the one before.")


class Explained(Noticed):
    """What each change of a base does to a score."""

    object: Literal["explanation"] = "explanation"
    sentence: str = Field(description="The change that lowers the score most.")
    shown: str = Field(description="The answer, label, class or track whose score it is.")
    unit: str = Field(description="Of scores and effects.")
    scores: dict[str, float] = Field(description="Of the unchanged sequences, by answer, label, class or track.")
    changes: list[BaseChange]
    picture: str | None = Field(description="An SVG image; null where the service has no matplotlib to draw it.")


class LabelledStretch(Answered):
    sequence: Literal["reference", "variant"]
    label: str
    strand: Literal["+", "-", "."] = Field(description="`.` where the model does not tell strands apart.")
    start: int = Field(description="Its first base, counted from 1.")
    end: int = Field(description="Its last base.")
    probability: float = Field(description="Mean over its bases.")


class HeadPrediction(Noticed):
    """What a head says; which fields there are depends on its task."""

    object: Literal["prediction"] = "prediction"
    task: Literal["classification", "annotation", "tracks"]
    answer: str | None = Field(None, description="Of a classifier: the class, or the labels that are likely.")
    label_scores: dict[str, float] | None = Field(None, description="Of a classifier: probabilities.")
    values: dict[str, float] | None = Field(None, description="Of a regression.")
    stretches: list[LabelledStretch] | None = Field(None, description="Of a model that labels bases.")
    stretches_left_out: int | None = Field(None, description="How many shorter ones are too many to be listed.")
    track_means: dict[str, list[float]] | None = Field(
        None, description="Of a model of tracks: the mean signal of the sequence; or of reference and variant."
    )
    lanes_left_out: int | None = Field(
        None, description="How many labels or tracks, those with the lowest means, are too many to be drawn."
    )
    picture: str | None = Field(
        None, description="An SVG image of labels or tracks; null where the service has no matplotlib to draw it."
    )


class ModelExample(Answered):
    reference: str
    variant: str | None = None
    question: str | None = None
    answer: str


class Model(Answered):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "textgenome"
    dna_window: int | None = Field(description="Most bases of a window, once the model is loaded.")
    task: Literal["answers", "classification", "annotation", "tracks"] | None = Field(
        description="`answers` of a model that writes text, else what its head predicts; null before it is loaded."
    )
    sequences: Literal[1, 2] | None = Field(description="2 of a model that reads a reference and its variant.")
    labels: list[str] | None = Field(description="Answers, classes, labels or tracks; null where they are not known.")
    examples: list[ModelExample] = Field(description="Rows that were saved with the model.")
    takes_vcf: bool = Field(description="Whether `/variants` reads VCF files, on the genome of the service.")


class ModelList(Noticed):
    object: Literal["list"] = "list"
    data: list[Model]


class Health(Noticed):
    live: bool = True
    ready: bool = Field(description="Whether the model is loaded.")


__all__ = [
    "NOTICE",
    "BaseChange",
    "ChatCompletion",
    "ChatCompletionChunk",
    "EmbeddingList",
    "ErrorResponse",
    "Explained",
    "HeadPrediction",
    "Health",
    "LabelledStretch",
    "Model",
    "ModelList",
    "PredictResponse",
    "ScoreList",
    "VariantList",
    "VariantWindows",
    "WindowPart",
    "Windows",
]
