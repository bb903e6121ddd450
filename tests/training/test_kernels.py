"""What makes a step faster on a GPU, and leaves the loss as it is."""

import copy
import types
from contextlib import nullcontext

import pytest
import torch
from conftest import conversation, random_dna
from datasets import Dataset
from peft import LoraConfig
from runs import QUICK
from transformers import TrainerCallback, set_seed

from textgenome.configuration.arguments import TrainingArguments
from textgenome.data import TextGenomeCollator
from textgenome.training.trainer import TextGenomeTrainer, fuse_kernels


ROWS = [{"messages": conversation(random_dna(20), random_dna(31), answer="AA")}]


class Watch(TrainerCallback):
    """Notes the gradients of a step, and the data types of what LoRA reads."""

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.gradients, self.read = {}, set()
        for name, module in model.named_modules():
            if name.endswith("lora_A.default"):
                assert module.weight.dtype == torch.float32
                module.register_forward_pre_hook(lambda module, args: self.read.add(args[0].dtype))

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        trained = {name: each for name, each in model.named_parameters() if each.grad is not None}
        self.gradients = {name: each.grad.clone() for name, each in trained.items()}


def train(model, processor, folder, **settings) -> tuple[float, Watch]:
    """The loss of a step, and what was seen in it."""
    set_seed(0)
    args = TrainingArguments(output_dir=folder, **{**QUICK, "max_steps": 1, **settings})
    watch, lora = Watch(), LoraConfig(target_modules=r".*language_model.*(q_proj|down_proj)", init_lora_weights=False)
    rows, collator = Dataset.from_list(ROWS), TextGenomeCollator(processor)
    trainer = TextGenomeTrainer(
        copy.deepcopy(model), args, collator, rows, processing_class=processor, peft_config=lora, callbacks=[watch]
    )
    return trainer.train().training_loss, watch


def test_lora_reads_the_type_of_autocast_with_the_same_gradients(tiny_model, tiny_processor, tmp_path, monkeypatch):
    model = tiny_model.bfloat16()
    loss, seen = train(model, tiny_processor, tmp_path, bf16=True)
    monkeypatch.setattr("textgenome.training.trainer.disable_input_dtype_casting", lambda *_, **__: nullcontext())
    expected_loss, expected = train(model, tiny_processor, tmp_path, bf16=True)
    assert seen.read == {torch.bfloat16} and expected.read == {torch.float32}
    assert loss == pytest.approx(expected_loss, abs=1e-6)
    assert seen.gradients.keys() == expected.gradients.keys() and seen.gradients
    for name, each in expected.gradients.items():
        torch.testing.assert_close(seen.gradients[name], each, atol=1e-2 * float(each.abs().max()), rtol=1e-2)


def test_without_autocast_lora_reads_the_type_of_its_weights(tiny_model, tiny_processor, tmp_path):
    _, seen = train(tiny_model.bfloat16(), tiny_processor, tmp_path, bf16=False)
    assert seen.read == {torch.float32}


def test_kernels_go_into_the_language_model_that_liger_knows(tiny_model, monkeypatch):
    def apply(model, kernel_config):
        assert model is tiny_model.model.language_model and kernel_config == {"rope": False}
        forward = types.FunctionType(model.norm.forward.__code__, {"__name__": "liger_kernel.ops"})
        model.norm.forward = types.MethodType(forward, model.norm)

    monkeypatch.setattr("textgenome.training.trainer.apply_liger_kernel", apply)
    fuse_kernels(tiny_model.model.language_model, {"rope": False})


def test_a_language_model_that_liger_does_not_know_is_refused(tiny_model, monkeypatch):
    monkeypatch.setattr("textgenome.training.trainer.apply_liger_kernel", lambda *_: None)
    with pytest.raises(ValueError, match="Liger has no kernels for 'qwen3'"):
        fuse_kernels(tiny_model.model.language_model, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="Liger's kernels need a GPU")
def test_the_loss_with_liger_is_that_without(tiny_model, tiny_processor, tmp_path):
    pytest.importorskip("liger_kernel")
    loss, _ = train(tiny_model, tiny_processor, tmp_path, bf16=False, use_cpu=False)
    fused, _ = train(tiny_model, tiny_processor, tmp_path, bf16=False, use_cpu=False, use_liger_kernel=True)
    assert fused == pytest.approx(loss, abs=1e-3)
