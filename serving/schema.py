"""What a request may hold."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


NEW_TOKENS = 1024  # longest answer, unless the request says otherwise
FIELDS = 64  # more than any object has
MESSAGES = 1000
BLOCKS = 4096  # of all messages together

EXAMPLE = {
    "reference": "AGTCCTTGGCTCTATAGGGCACTACTTTCTTTTCAGGCTTTATACTGTTCAGATT",
    "variant": "AGTCCTTGGCTCTATAGGGCACTACTTTCTTTTCTGGCTTTATACTGTTCAGATT",
    "question": "Which signal does this variant break?",
}


class Strict(BaseModel):
    """An object whose fields are all known. A field that is null is as one that is left out."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _bound_fields(cls, fields):
        if not isinstance(fields, dict):
            return fields
        # Each field that is not known makes an error of its own: a full body of them would take seconds.
        if len(fields) > FIELDS:
            raise ValueError(f"an object has {len(fields)} fields, at most {FIELDS} are taken")
        return {name: value for name, value in fields.items() if value is not None}


class TextBlock(Strict):
    type: Literal["text"]
    text: str = Field(min_length=1)


class DNABlock(Strict):
    type: Literal["dna"]
    dna: str = Field(description="One sequence.")


class VariantBlock(Strict):
    type: Literal["variant"]
    reference: str = Field(description="The reference sequence, of any length: it is cut around the change.")
    variant: str = Field(description="The same stretch with the variant.")


Block = Annotated[TextBlock | DNABlock | VariantBlock, Field(discriminator="type")]


def _as_blocks(content):
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


def _as_list(stop):
    return [stop] if isinstance(stop, str) else stop


def _check_temperature(temperature: float | None) -> float | None:
    if temperature and temperature < 0.01:
        raise ValueError("a temperature above 0 must be at least 0.01")
    return temperature


Temperature = Annotated[
    float | None,
    Field(ge=0, le=2, description="0, the default, always takes the most likely token; above, sample."),
    AfterValidator(_check_temperature),
]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(max_length=1000)]
Zero = Annotated[float, Field(ge=0, le=0)]
NoneOfThem = Annotated[list, Field(max_length=0)]


def _bound_blocks(messages):
    if isinstance(messages, list):
        contents = [message.get("content") for message in messages[:MESSAGES] if isinstance(message, dict)]
        blocks = sum(len(content) for content in contents if isinstance(content, list))
        if blocks > BLOCKS:
            raise ValueError(f"they have {blocks} blocks, at most {BLOCKS} are taken")
    return messages


class Message(Strict):
    role: Literal["system", "developer", "user", "assistant"] = Field(description="`developer` is `system`.")
    content: Annotated[
        list[Block],
        Field(fail_fast=True, description="Only the assistant may have said nothing."),
        BeforeValidator(_as_blocks, json_schema_input_type=str | list[Block] | None),
    ] = Field(default_factory=list)
    reasoning_content: str | None = None
    tool_calls: NoneOfThem | None = None
    annotations: NoneOfThem | None = None


class StreamOptions(Strict):
    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class TextFormat(Strict):
    type: Literal["text"]


class AsksForNothing(Strict):
    """Parameters of OpenAI's chat completions that this service does not have, in the values that change nothing."""

    n: Literal[1] | None = Field(None, description="Answers to a request: one.")
    frequency_penalty: Zero | None = None
    presence_penalty: Zero | None = None
    logit_bias: dict[str, Zero] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    tools: NoneOfThem | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    functions: NoneOfThem | None = None
    function_call: Literal["none", "auto"] | None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    response_format: TextFormat | None = None
    verbosity: Literal["medium"] | None = None
    service_tier: Literal["auto", "default"] | None = None
    store: Literal[False] | None = None
    metadata: Annotated[dict, Field(max_length=0)] | None = None
    prompt_cache_key: Name | None = None
    prompt_cache_retention: Literal["in_memory"] | None = None
    user: Name | None = Field(None, description="Who asks; neither stored nor logged.")
    safety_identifier: Name | None = None


class ChatRequest(AsksForNothing):
    """As the chat completions of OpenAI, with blocks for DNA, and `labels` and `enable_thinking`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {
                                    "type": "variant",
                                    "reference": EXAMPLE["reference"],
                                    "variant": EXAMPLE["variant"],
                                },
                                {"type": "text", "text": EXAMPLE["question"]},
                            ],
                        }
                    ],
                    "max_tokens": 64,
                }
            ]
        }
    )

    model: str | None = Field(None, description="The name of the model; may be left out.")
    messages: Annotated[list[Message], BeforeValidator(_bound_blocks)] = Field(
        min_length=1, max_length=MESSAGES, fail_fast=True, description="The last one is of the user."
    )
    stream: bool | None = Field(None, description="Send the answer as it is written, as server-sent events.")
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(
        None,
        ge=1,
        description=f"Longest answer, reasoning included; by default {NEW_TOKENS}, or what the limit leaves.",
    )
    max_completion_tokens: int | None = Field(None, ge=1, description="Another name of `max_tokens`.")
    temperature: Temperature = None
    top_p: float | None = Field(None, gt=0, le=1, description="With a temperature: share to sample from.")
    seed: int | None = Field(None, ge=0, lt=2**63, description="The same seed samples the same answer.")
    stop: Annotated[list[Text] | None, BeforeValidator(_as_list, json_schema_input_type=str | list[str] | None)] = (
        Field(None, max_length=4, description="Texts before which the answer ends; the reasoning may hold them.")
    )
    labels: list[Text] | None = Field(
        None, max_length=64, description="Answers to score: how likely is each, after the reasoning of this answer?"
    )
    enable_thinking: bool | None = Field(
        None, description="Whether the model reasons before it answers; by default if it was trained to."
    )


class PredictRequest(Strict):
    """One question about one variant."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "reference_sequence": EXAMPLE["reference"],
                    "variant_sequence": EXAMPLE["variant"],
                    "question": EXAMPLE["question"],
                    "max_length": 64,
                }
            ]
        }
    )

    reference_sequence: str = Field(description="Of any length: it is cut around the change.")
    variant_sequence: str = Field(description="The same stretch with the variant.")
    question: str = Field(min_length=1)
    max_length: int | None = Field(None, ge=1, description="Longest answer in tokens, reasoning included.")
    temperature: Temperature = None

    def as_chat(self) -> ChatRequest:
        variant = {"type": "variant", "reference": self.reference_sequence, "variant": self.variant_sequence}
        blocks = [variant, {"type": "text", "text": self.question}]
        return ChatRequest(
            messages=[{"role": "user", "content": blocks}], max_tokens=self.max_length, temperature=self.temperature
        )


class EmbeddingsRequest(Strict):
    """As the embeddings of OpenAI, of DNA in place of text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"input": [EXAMPLE["reference"], EXAMPLE["variant"]]}]})

    input: Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])] = Field(
        min_length=1,
        fail_fast=True,
        description="A DNA sequence, or several. What is longer than the encoder reads is encoded in tiles.",
    )
    model: str | None = Field(None, description="The name of the model; may be left out.")
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="`base64`: the bytes of 32-bit floats, the lowest first."
    )
    pooling: Literal["mean", "max", "min", "last"] | None = Field(
        None, description="What is made of the states of a sequence, by default their mean over its bases."
    )
    user: Name | None = Field(None, description="Who asks; neither stored nor logged.")


class Pair(Strict):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reference": EXAMPLE["reference"], "variant": EXAMPLE["variant"]}]}
    )

    reference: str = Field(description="The reference sequence, of any length: it is cut around the change.")
    variant: str = Field(description="The same stretch with the variant.")


class ScoreRequest(Strict):
    """One question about variants, and its possible answers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "pairs": [{"reference": EXAMPLE["reference"], "variant": EXAMPLE["variant"]}],
                    "question": EXAMPLE["question"],
                    "labels": ["splice acceptor loss", "GC box loss"],
                }
            ]
        }
    )

    pairs: list[Pair] = Field(min_length=1, max_length=MESSAGES, fail_fast=True)
    question: str = Field(min_length=1)
    labels: list[Text] = Field(min_length=2, max_length=64, description="Answers to choose from.")
    model: str | None = Field(None, description="The name of the model; may be left out.")

    def as_chat(self, pair: Pair) -> ChatRequest:
        variant = {"type": "variant", "reference": pair.reference, "variant": pair.variant}
        blocks = [variant, {"type": "text", "text": self.question}]
        return ChatRequest(messages=[{"role": "user", "content": blocks}], labels=self.labels)


class ExplainRequest(Strict):
    """What does the answer depend on? Each base is changed to each other one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "reference": EXAMPLE["reference"],
                    "variant": EXAMPLE["variant"],
                    "question": EXAMPLE["question"],
                    "max_tokens": 16,
                    "bases": 8,
                }
            ]
        }
    )

    reference: str = Field(description="The reference; or the sequence, for a model of single sequences.")
    variant: str | None = Field(None, description="The same stretch with the variant, for a model of pairs.")
    question: str | None = Field(None, min_length=1, description="For a model that writes text.")
    labels: list[Text] | None = Field(
        None,
        min_length=2,
        max_length=64,
        description="Answers to score, for a model that answers at once; by default what it writes is scored.",
    )
    bases: int | None = Field(None, ge=1, le=100, description="Most bases to change, by default 100.")
    along: Literal["reference", "variant"] | None = Field(
        None, description="Whose bases to change, by default those of the reference."
    )
    position: int | None = Field(
        None, ge=1, description="For a model that labels bases: whose labels, counted from 1, by default the middle."
    )
    show: Text | None = Field(
        None, description="Label, class or track to draw; by default the one with the highest score."
    )
    max_tokens: int | None = Field(None, ge=1, description="Longest answer, reasoning included.")
    model: str | None = Field(None, description="The name of the model; may be left out.")

    def as_chat(self) -> ChatRequest:
        variant = {"type": "variant", "reference": self.reference, "variant": self.variant}
        blocks = [variant, {"type": "text", "text": self.question}]
        return ChatRequest(
            messages=[{"role": "user", "content": blocks}], max_tokens=self.max_tokens, labels=self.labels
        )


class VariantsRequest(Strict):
    """A handful of variants on the genome of the service."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "vcf": "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
                    "chr1\t100\t.\tA\tG\t.\t.\t.\n"
                }
            ]
        }
    )

    vcf: str = Field(description="The text of a VCF file. Columns after INFO are not read.")


class HeadRequest(Strict):
    """What does a model with a head say of a sequence, or of a reference and its variant?"""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reference": EXAMPLE["reference"], "variant": EXAMPLE["variant"]}]}
    )

    reference: str = Field(description="The reference; or the sequence, for a model of single sequences.")
    variant: str | None = Field(None, description="The same stretch with the variant.")
    model: str | None = Field(None, description="The name of the model; may be left out.")


# Where in a `PredictRequest` to find what its `as_chat` has at a place.
PREDICT_FIELDS = {
    "messages.0.content.0.reference": "reference_sequence",
    "messages.0.content.0.variant": "variant_sequence",
    "messages.0.content.0": "variant_sequence",
    "messages.0.content.1.text": "question",
    "messages": "reference_sequence, variant_sequence, question",
    "max_tokens": "max_length",
}

# The same for an `ExplainRequest`.
EXPLAIN_FIELDS = {
    "messages.0.content.0.reference": "reference",
    "messages.0.content.0.variant": "variant",
    "messages.0.content.0": "variant",
    "messages.0.content.1.text": "question",
    "messages": "question",
}

# The same for the pair `{0}` of a `ScoreRequest`.
SCORE_FIELDS = {
    "messages.0.content.0.reference": "pairs.{0}.reference",
    "messages.0.content.0.variant": "pairs.{0}.variant",
    "messages.0.content.0": "pairs.{0}.variant",
    "messages.0.content.1.text": "question",
    "messages": "pairs.{0}",
}

__all__ = [
    "EXAMPLE",
    "EXPLAIN_FIELDS",
    "NEW_TOKENS",
    "PREDICT_FIELDS",
    "SCORE_FIELDS",
    "ChatRequest",
    "EmbeddingsRequest",
    "ExplainRequest",
    "HeadRequest",
    "Message",
    "Pair",
    "PredictRequest",
    "ScoreRequest",
    "Strict",
    "VariantsRequest",
]
