"""Which features of an encoder a model uses: the output of a module, and both strands."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import ENCODERS, PROMPTS, SEVERAL_BASES, encode, tiny_config
from transformers import AutoModelForMultimodalLM

from textgenome import (
    TextGenomeConfig,
    TextGenomeDNAConfig,
    TextGenomeDNAForSequenceClassification,
    TextGenomeDNAModel,
    TextGenomeForConditionalGeneration,
)
from textgenome.inference.feature_cache import encoder_key
from textgenome.processing import build_dna_tokenizer, complement_map


MODULES = {
    "evo2": "blocks.1.mlp.l3",
    "hyenadna": "layers.0.mixer",
    "mixtral": "layers.1.input_layernorm",
    "esm": "encoder.layer.0.attention",
}
PAIRS = {"hyenadna": [(7, 10), (8, 9), (11, 11)], "enformer": [(0, 3), (1, 2), (4, 4)]}
COMPLEMENTS = {name: {a: b for pair in pairs for a, b in (pair, pair[::-1])} for name, pairs in PAIRS.items()}


def dna_model(encoder, **kwargs) -> TextGenomeDNAModel:
    config = TextGenomeDNAConfig(dna_config=copy.deepcopy(encoder), pooling_num_heads=1, **kwargs)
    return TextGenomeDNAModel(config).eval()


def reverse_complement(ids: torch.Tensor, complements: dict[int, int]) -> torch.Tensor:
    return torch.tensor([[complements[i] for i in row] for row in ids.flip(-1).tolist()])


@pytest.mark.parametrize("encoder", MODULES)
def test_the_output_of_a_module(encoder, tiny_processor):
    config = tiny_config(dna_config=copy.deepcopy(ENCODERS[encoder]), dna_feature_module=MODULES[encoder])
    model = TextGenomeForConditionalGeneration(config).eval()
    seen, ids = [], torch.randint(7, 11, (2, 9))
    module = model.model.dna_encoder.get_submodule(MODULES[encoder])
    hook = module.register_forward_hook(
        lambda _, args, output: seen.append(output if torch.is_tensor(output) else output[0])
    )
    model.model.dna_encoder(ids, attention_mask=torch.ones_like(ids))
    hook.remove()
    assert torch.equal(model.model.encode_dna(ids, torch.ones_like(ids)), seen[0])
    assert not module._forward_hooks
    batch = encode(tiny_processor, PROMPTS)
    model.train()(**batch, labels=batch["input_ids"]).loss.backward()
    assert all(p.grad is not None for p in module.parameters())


def test_it_is_the_branch_before_the_residual_that_no_layer_names():
    encoder = copy.deepcopy(ENCODERS["evo2"])
    model, ids = dna_model(encoder, dna_feature_module="blocks.1.mlp.l3"), torch.randint(7, 11, (1, 9))
    states = model.dna_encoder(ids, output_hidden_states=True).hidden_states
    assert not any(torch.allclose(model.encode_dna(ids, torch.ones_like(ids)), each) for each in states)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"dna_feature_module": "layers.1.mixr"}, r"no such module\. Near are layers\.[01]\.mixer"),
        ({"dna_feature_module": "layers.0.mixer", "dna_feature_layer": 1}, "choose one of them"),
        ({"both_strands": "average"}, "needs 'dna_complement_map'"),
        ({"dna_config": ENCODERS["caduceus"], "dna_feature_module": "backbone"}, "averages both strands by itself"),
        ({"dna_config": ENCODERS["caduceus"], "both_strands": "concat"}, "averages both strands by itself"),
        ({"dna_config": SEVERAL_BASES["borzoi"], "dna_feature_module": "conv_dna"}, "only the last states"),
    ],
)
def test_what_does_not_fit_is_refused(fields, message):
    for config, model in (
        (TextGenomeDNAConfig, TextGenomeDNAModel),
        (TextGenomeConfig, TextGenomeForConditionalGeneration),
    ):
        with pytest.raises(ValueError, match=message):
            model(config(**copy.deepcopy(fields)))


def test_a_module_that_gives_no_states_is_refused():
    ids = torch.randint(7, 11, (1, 9))
    for name, message in (("layers.0.mlp.fc1", r"gives \(1, 9, 32\)"), ("layers.0.mixer.filter_fn", "instead of")):
        with pytest.raises(ValueError, match=message):
            dna_model(ENCODERS["hyenadna"], dna_feature_module=name).encode_dna(ids, torch.ones_like(ids))


def test_a_module_is_found_in_an_encoder_that_an_adapter_trains(tiny_processor, tmp_path):
    config = tiny_config(
        dna_feature_module="layers.0.mixer", both_strands="average", dna_complement_map={7: 10, 10: 7}
    )
    model = TextGenomeForConditionalGeneration(config)
    model.save_pretrained(tmp_path)
    batch = encode(tiny_processor, PROMPTS)
    expected = model.eval()(**batch).logits
    for copied in ("dna_encoder", "model.dna_encoder.layers.0", "model.dna_encoder.layers.0.mixer"):
        again = AutoModelForMultimodalLM.from_pretrained(tmp_path).eval()
        lora = LoraConfig(target_modules=r".*language_model.*q_proj", modules_to_save=[copied])
        adapted = get_peft_model(again, lora)
        torch.testing.assert_close(adapted(**batch).logits, expected)
        assert again.model.num_used_layers == 1


def test_layers_that_are_used():
    used = {"layers.0.mixer": 1, "layers.1.mlp.fc2": 2, "ln_f": 2, "embeddings.word_embeddings": 0}
    for name, count in used.items():
        assert dna_model(ENCODERS["hyenadna"], dna_feature_module=name).num_used_layers == count
    assert dna_model(ENCODERS["hyenadna"], dna_feature_layer=-2).num_used_layers == 1


def test_the_key_of_cached_features_tells_them_apart():
    options = [{}, {"dna_feature_module": "layers.0.mixer"}, {"dna_feature_module": "layers.1.mixer"}]
    options += [{"both_strands": kind, "dna_complement_map": {7: 10}} for kind in ("average", "concat")]
    model, keys = dna_model(ENCODERS["hyenadna"]), set()
    for option in options:
        model.config = TextGenomeDNAConfig(dna_config=ENCODERS["hyenadna"], pooling_num_heads=1, **option)
        keys.add(encoder_key(model))
    assert len(keys) == len(options)


@pytest.mark.parametrize("encoder", ["hyenadna", "evo2", "mixtral", "enformer", "borzoi"])
def test_features_of_both_strands_are_those_of_each_turned_to_one(encoder):
    several = encoder in SEVERAL_BASES
    complements = COMPLEMENTS["enformer" if several else "hyenadna"]
    encoder = {**ENCODERS, **SEVERAL_BASES}[encoder]
    model = dna_model(encoder, both_strands="concat", dna_complement_map=complements)
    ids = torch.randint(0 if several else 7, 4 if several else 11, (1, 40))
    given, other = model.encode_dna(ids, torch.ones_like(ids)).chunk(2, dim=-1)
    turned = reverse_complement(ids, complements)
    torch.testing.assert_close(given, model.dna_encoder(ids).last_hidden_state, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(other.flip(1), model.dna_encoder(turned).last_hidden_state, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(given, other, atol=1e-3)
    model.config.both_strands = "average"
    averaged = model.encode_dna(ids, torch.ones_like(ids))
    torch.testing.assert_close(averaged, (given + other) / 2)
    of_turned = model.encode_dna(turned, torch.ones_like(ids))
    torch.testing.assert_close(of_turned.flip(1), averaged, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("both_strands", ["average", "concat"])
@pytest.mark.parametrize("encoder", ["hyenadna", "enformer"])
def test_both_strands_of_unequal_rows_are_those_of_each_alone(encoder, both_strands):
    several = encoder in SEVERAL_BASES
    config = {**ENCODERS, **SEVERAL_BASES}[encoder]
    complements = COMPLEMENTS["enformer" if several else "hyenadna"]
    model = dna_model(config, both_strands=both_strands, dna_complement_map=complements)
    lengths, step = torch.tensor([20, 33, 8, 1]), 8 if several else 1
    mask = torch.arange(33) < lengths[:, None]
    ids = torch.randint(0 if several else 7, 4 if several else 11, mask.shape).masked_fill(~mask, 5 if several else 4)
    states = model.encode_dna(ids, mask.long())
    for row, length, together in zip(ids, lengths, states):
        alone = model.encode_dna(row[None, :length], mask.new_ones(1, length).long())[0]
        torch.testing.assert_close(together[: -(-length // step)], alone, atol=1e-5, rtol=1e-4)
        assert together.shape[-1] == config.hidden_size * (2 if both_strands == "concat" else 1)


def test_tokens_that_the_tokenizer_adds_stay_where_they_are():
    model = dna_model(ENCODERS["hyenadna"], both_strands="concat", dna_complement_map=COMPLEMENTS["hyenadna"])
    inner = torch.randint(7, 12, (1, 9))

    def with_ends(bases):
        return torch.cat([torch.tensor([[0]]), bases, torch.tensor([[1]])], dim=1)

    other = model.encode_dna(with_ends(inner), torch.ones(1, 11, dtype=torch.long))[..., 16:]
    turned = with_ends(reverse_complement(inner, COMPLEMENTS["hyenadna"]))
    expected = model.dna_encoder(turned).last_hidden_state
    torch.testing.assert_close(other[:, 1:-1].flip(1), expected[:, 1:-1])
    torch.testing.assert_close(other[:, [0, -1]], expected[:, [0, -1]])


@pytest.mark.parametrize("both_strands", ["average", "concat"])
def test_both_strands_in_whole_models_that_are_saved(tiny_processor, tmp_path, both_strands):
    fields = {"both_strands": both_strands, "dna_complement_map": complement_map(tiny_processor.dna_tokenizer)}
    model = TextGenomeForConditionalGeneration(tiny_config(**fields)).eval()
    model.save_pretrained(tmp_path)
    again, batch = AutoModelForMultimodalLM.from_pretrained(tmp_path).eval(), encode(tiny_processor, PROMPTS)
    assert again.config.dna_complement_map == fields["dna_complement_map"]
    logits = model(**batch).logits
    assert torch.equal(again(**batch).logits, logits)
    model.config.both_strands = again.config.both_strands = "none"
    if both_strands == "average":
        assert not torch.allclose(model(**batch).logits, logits, atol=1e-4)
    classifier = TextGenomeDNAForSequenceClassification(
        TextGenomeDNAConfig(dna_config=ENCODERS["hyenadna"], id2label=dict(enumerate("abc")), **fields)
    ).train()
    ids = torch.randint(7, 11, (2, 2, 9))
    classifier(dna_input_ids=ids, dna_attention_mask=torch.ones_like(ids), labels=torch.tensor([0, 2])).loss.backward()
    assert all(parameter.grad is not None for parameter in classifier.parameters())


@pytest.mark.parametrize("vocabulary", ["hyenadna", "genos", "enformer", "bytes"])
def test_the_complement_of_each_token(vocabulary):
    tokenizer = build_dna_tokenizer(vocabulary)
    complements = complement_map(tokenizer)
    ids = tokenizer("AACGTN")["input_ids"]
    assert tokenizer.decode([complements[i] for i in reversed(ids)]) == "NACGTT"


def test_tokens_of_several_bases_have_no_complement():
    with pytest.raises(ValueError, match="a token for each base"):
        complement_map(build_dna_tokenizer("nucleotide_transformer_v2"))
