"""Joining a language model and a DNA encoder into the model that a training run starts from."""

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration, TextGenomeProcessor
from textgenome.configuration.arguments import EncoderArguments, ModelArguments
from textgenome.configuration.configuration_textgenome import bases_per_state, build_dna_config, build_sub_config
from textgenome.data import texts_of
from textgenome.inference.asking import open_fused
from textgenome.inference.encoders import open_encoder
from textgenome.modeling_dna_encoder import build_dna_encoder
from textgenome.processing import build_processor, complement_map, train_text_tokenizer
from textgenome.processing.dna_tokenizers import find_dna_tokenizer


def load_tokenizers(args: ModelArguments) -> tuple[PreTrainedTokenizerBase | None, PreTrainedTokenizerBase]:
    """The tokenizer of the language model, if there is one yet, and for DNA the one that was asked for, or that the
    encoder was trained with.

    Raises:
        ValueError: If `model_name_or_path` is another kind of model than a fused one.
    """
    if args.model_name_or_path:
        try:
            processor = open_fused(args.model_name_or_path, args.model_revision).processor
        except ValueError as error:
            raise ValueError(f"{error} A language model is named by text_model, beside a dna_model.") from error
        return processor.tokenizer, processor.dna_tokenizer
    tokenizer = AutoTokenizer.from_pretrained(args.text_model, trust_remote_code=False) if args.text_model else None
    if args.dna_model and args.dna_tokenizer is None:
        return tokenizer, open_encoder(args.dna_model).dna_tokenizer
    return tokenizer, find_dna_tokenizer(args.dna_model, args.dna_config, args.dna_tokenizer)


def projector_options(args: ModelArguments, dna_tokenizer: PreTrainedTokenizerBase) -> dict:
    """What decides how many placeholders a sequence takes, for the configuration and the processor."""
    added = set(dna_tokenizer("ACGT")["input_ids"]) & set(dna_tokenizer.all_special_ids)
    return {
        "projector_type": args.projector_type or "linear",
        "projector_pool_size": args.projector_pool_size,
        "projector_full_resolution": args.projector_full_resolution,
        "projector_num_queries": args.projector_num_queries,
        "dna_hidden_token_ids": [] if args.show_special_tokens else sorted(added),
    }


def choose_features(args: EncoderArguments, dna_tokenizer: PreTrainedTokenizerBase) -> dict:
    """Fields of a configuration that say which features of the encoder are used."""
    return {
        "dna_feature_layer": -1 if args.dna_feature_layer is None else args.dna_feature_layer,
        "dna_feature_module": args.dna_feature_module,
        "both_strands": args.both_strands,
        "dna_complement_map": None if args.both_strands == "none" else complement_map(dna_tokenizer),
    }


def join_models(
    args: ModelArguments,
    tokenizer: PreTrainedTokenizerBase | None,
    dna_tokenizer: PreTrainedTokenizerBase,
    dna_window: int,
    reasoning_format: str,
    conversations: Dataset,
) -> tuple[TextGenomeForConditionalGeneration, TextGenomeProcessor]:
    """Join two models, each the pretrained one that is named or a new one of the given size, by a new projector.

    Args:
        args: The models, or their sizes, and the projector.
        tokenizer: That of the language model. Without, one is trained on the text of the conversations.
        dna_tokenizer: That of the encoder.
        dna_window: Most bases of each window around a variant.
        reasoning_format: `think` or `plain`, see `DataArguments`.
        conversations: Rows with `messages`.

    Returns:
        The model, on the CPU, and its processor.
    """
    if tokenizer is None:
        tokenizer = train_text_tokenizer(texts_of(row["messages"] for row in conversations), args.text_vocab_size)
    projector = projector_options(args, dna_tokenizer)
    encoder = open_encoder(args.dna_model).dna_config if args.dna_model else build_dna_config(args.dna_config)
    processor = build_processor(
        tokenizer,
        dna_tokenizer,
        dna_window,
        reasoning_format,
        bases_per_state=bases_per_state(encoder),
        **projector,
    )
    overrides = {
        **projector,
        **choose_features(args, dna_tokenizer),
        "dna_token_id": processor.dna_token_id,
        "dna_start_token_id": processor.dna_start_token_id,
        "dna_end_token_id": processor.dna_end_token_id,
    }
    text_config = dna_config = None
    if args.text_config:
        ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
        text_config = {**args.text_config, "vocab_size": len(tokenizer), **ids}
    if args.dna_config:
        dna_config = {"vocab_size": len(dna_tokenizer), **args.dna_config}
    if text_config and dna_config:
        config = TextGenomeConfig(text_config=text_config, dna_config=dna_config, **overrides)
        return TextGenomeForConditionalGeneration(config), processor
    text_model = args.text_model or AutoModelForCausalLM.from_config(build_sub_config(text_config, "qwen3"))
    dna_model = load_encoder(args) if args.dna_model else build_dna_encoder(build_dna_config(dna_config))
    model = TextGenomeForConditionalGeneration.from_text_dna_pretrained(
        text_model, dna_model, dtype=args.dtype, **overrides
    )
    return model, processor


def load_encoder(args: ModelArguments) -> str | PreTrainedModel:
    """The encoder out of a model of textgenome; the name of any other, which is loaded where it is joined."""
    checkpoint = open_encoder(args.dna_model)
    return checkpoint.load().dna_encoder if checkpoint.is_ours else args.dna_model
