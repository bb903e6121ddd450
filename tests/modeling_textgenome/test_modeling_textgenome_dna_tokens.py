import pytest
import torch
from conftest import random_dna
from torch.nn import functional as F
from transformers import AutoModelForTokenClassification

from textgenome import (
    HyenaDNAModel,
    TextGenomeDNAConfig,
    TextGenomeDNAForTokenClassification,
    TextGenomeDNAProcessor,
)
from textgenome.processing import build_dna_tokenizer, complement_map


SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
ENCODERS = {
    "hyenadna": ("hyenadna", 1, {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 256}),
    "esm": ("nucleotide_transformer", 6, {**SIZES, "vocab_size": 4105, "pad_token_id": 1, "mask_token_id": 2}),
    "enformer": ("enformer", 8, {"dim": 24, "depth": 1, "heads": 2, "attn_dim_key": 8, "num_downsamples": 3}),
}
ENCODERS["esm"][2].update(position_embedding_type="rotary", max_position_embeddings=128)
ENCODERS["enformer"][2].update(dim_divisible_by=4, max_position_embeddings=256)
# As published: states of 32 and 128 bases.
LONG = {
    "borzoi": (
        "enformer",
        32,
        {"conv_dims": [4] * 6, "dim": 8, "hidden_size": 16, "depth": 0, "max_position_embeddings": 256},
    ),
    "enformer": ("enformer", 128, {**ENCODERS["enformer"][2], "num_downsamples": 7}),
}
SEQUENCES = [random_dna(length, length) for length in (50, 31, 64)]
SMALL = {"cnn_channels": 8, "cnn_kernel_size": 3, "cnn_dilations": [1, 3]}


def tiny(encoder="hyenadna", **settings):
    return build(encoder, *ENCODERS[encoder], **settings)


def build(encoder, tokenizer, bases, sizes, **settings):
    settings = {"id2label": {0: "CDS", 1: "exon"}, "state_bases": bases, "pooling_num_heads": 1, **SMALL, **settings}
    config = TextGenomeDNAConfig(dna_config={"model_type": encoder, "initializer_range": 0.3, **sizes}, **settings)
    processor = TextGenomeDNAProcessor(build_dna_tokenizer(tokenizer))
    return TextGenomeDNAForTokenClassification(config).eval(), processor


@pytest.mark.parametrize("head, stride", [("linear", 1), ("cnn", 1), ("cnn", 3)])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_each_base_gets_logits_whatever_stands_beside_it(encoder, head, stride):
    model, processor = tiny(encoder, base_head=head, cnn_stride=stride)
    alone = [model(**processor(sequence, return_tensors="pt")).logits for sequence in SEQUENCES]
    assert [tuple(logits.shape) for logits in alone] == [(1, len(sequence), 2) for sequence in SEQUENCES]
    for side in ("left", "right"):
        together = model(**processor(SEQUENCES, return_tensors="pt", padding_side=side)).logits
        for row, logits in zip(together, alone):
            torch.testing.assert_close(row[: logits.shape[1]], logits[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("encoder", "form"),
    [("esm", ENCODERS["esm"]), ("borzoi", LONG["borzoi"]), ("enformer", LONG["enformer"])],
    ids=["6 bases", "32 bases", "128 bases"],
)
def test_a_label_at_one_base_is_learnt_at_that_base_of_a_state(encoder, form):
    model, processor = build(encoder, *form)
    batch = processor(SEQUENCES[0], return_tensors="pt")
    labels = torch.zeros(1, 50, 2)
    labels[0, 21] = 1
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(40):
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert model(**batch).logits[0].argmax(0).tolist() == [21, 21]


def test_the_loss_is_the_mean_over_known_labels():
    model, processor = tiny()
    batch = processor(SEQUENCES[:2], return_tensors="pt")
    labels = torch.randint(0, 2, (2, 50, 2))
    labels[1, 31:] = labels[0, :5, 1] = -100
    logits, known = model(**batch).logits, labels != -100
    mean = F.binary_cross_entropy_with_logits(logits[known], labels[known].float())
    torch.testing.assert_close(model(**batch, labels=labels).loss, mean)
    assert model(**batch, labels=labels.fill_(-100)).loss == 0


def test_weights_and_the_focal_loss_change_what_counts():
    labels = torch.zeros(1, 4, 2)
    labels[0, 0] = 1
    logits = torch.tensor([[[1.0, -1.0]] * 4])
    plain = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    model, _ = tiny(class_weights=[2.0, 5.0])
    weights = torch.where(labels > 0, torch.tensor([2.0, 5.0]), 1.0)
    torch.testing.assert_close(model.compute_loss(logits, labels), (weights * plain).sum() / weights.sum())
    model.config.class_weights, model.config.focal_gamma = None, 2.0
    torch.testing.assert_close(model.compute_loss(logits, labels), ((1 - torch.exp(-plain)) ** 2 * plain).mean())


def test_one_class_a_base():
    model, processor = tiny(problem_type="single_label_classification", class_weights=[1.0, 3.0])
    batch = processor(SEQUENCES[:1], return_tensors="pt")
    labels = torch.randint(0, 2, (1, 50))
    labels[0, 7] = -100
    output = model(**batch, labels=labels)
    expected = F.cross_entropy(output.logits[0], labels[0], torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(output.loss, expected)


def test_both_strands_let_a_causal_encoder_see_what_follows():
    tokenizer = build_dna_tokenizer("hyenadna")
    later = SEQUENCES[0][:40] + ("A" if SEQUENCES[0][40] != "A" else "C") + SEQUENCES[0][41:]
    for strands, sees in (("none", False), ("concat", True), ("average", True)):
        model, processor = tiny(both_strands=strands, dna_complement_map=complement_map(tokenizer))
        first, second = model(**processor([SEQUENCES[0], later], return_tensors="pt")).logits[:, 10]
        assert bool((first - second).abs().max() > 1e-4) == sees


def test_wrong_input_is_refused():
    model, processor = tiny("esm", state_bases=3)
    batch = processor(SEQUENCES[:1], return_tensors="pt")
    with pytest.raises(ValueError, match="A state covers 6 bases, but the head has values for 3"):
        model(**batch)
    with pytest.raises(ValueError, match="`dna_spans` is needed where tokens are several bases"):
        model(batch["dna_input_ids"], batch["dna_attention_mask"])
    model, processor = tiny()
    batch = processor(SEQUENCES[:1], return_tensors="pt")
    with pytest.raises(ValueError, match="`labels` are for 1 rows of 49 bases, but the longest of 1 sequences has 50"):
        model(**batch, labels=torch.zeros(1, 49, 2))
    with pytest.raises(ValueError, match=r"one sequence for each row, as \(batch, 1, dna_length\), got \(1, 2, 50\)"):
        model(*(batch[name].repeat(1, 2, 1) for name in ("dna_input_ids", "dna_attention_mask")))
    with pytest.raises(ValueError, match="'cnn_kernel_size' is 4, but must be an odd number"):
        TextGenomeDNAConfig(cnn_kernel_size=4)


def test_it_is_saved_and_loaded_by_its_auto_class(tmp_path):
    model, processor = tiny(base_head="cnn")
    model.save_pretrained(tmp_path / "m")
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path / "m")
    batch = processor(SEQUENCES, return_tensors="pt")
    torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits)


def test_a_new_head_goes_on_a_pretrained_encoder():
    encoder = HyenaDNAModel(tiny()[0].config.dna_config).bfloat16()
    settings = {"id2label": {0: "CDS"}, "base_head": "cnn", "pooling_num_heads": 1, **SMALL}
    model = TextGenomeDNAForTokenClassification.from_dna_pretrained(encoder, **settings)
    batch = tiny()[1](SEQUENCES, return_tensors="pt")
    output = model(**batch, labels=torch.ones(3, 64, 1))
    output.loss.backward()
    assert output.logits.isfinite().all() and model.base_head.blocks[1].convolution.weight.grad.abs().max() > 0
    assert model.model.dna_encoder.dtype == torch.bfloat16 and model.base_head.project.weight.dtype == torch.float32
