"""The head on supervised positions only, against TRL's own loss over all positions."""

import pytest
import torch
from conftest import TINY_CHECKPOINT, conversation, random_dna
from datasets import Dataset
from runs import QUICK
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForMultimodalLM
from trl import SFTTrainer

from textgenome.configuration.arguments import TrainingArguments
from textgenome.data import TextGenomeCollator
from textgenome.training.trainer import TextGenomeTrainer, keep_supervised


ROWS = [
    {"messages": conversation(random_dna(20), random_dna(31), answer="AA")},
    {"messages": conversation(random_dna(60), answer="a longer answer", question="What? " * 8)},
    {"messages": conversation(answer="without DNA")},
]


@pytest.fixture
def trainer(tiny_model, tiny_processor, tmp_path):
    args = TrainingArguments(output_dir=tmp_path, **{**QUICK, "bf16": False})
    rows, collator = Dataset.from_list(ROWS), TextGenomeCollator(tiny_processor)
    return TextGenomeTrainer(tiny_model, args, collator, train_dataset=rows, processing_class=tiny_processor)


def run(trainer, batch, compute_loss) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """The loss, the gradients, and how many operations both took."""
    torch.manual_seed(0)  # of the dropout
    trainer.model.train()
    trainer.model.zero_grad()
    with FlopCounterMode(display=False) as counter:
        loss = compute_loss(trainer, trainer.model, dict(batch))
        loss.backward()
    gradients = {name: each.grad.clone() for name, each in trainer.model.named_parameters() if each.grad is not None}
    return loss.detach(), gradients, counter.get_total_flops()


@pytest.mark.parametrize("rows", [[0], [0, 1], [2, 1, 0]], ids=["one", "two", "with one that has no DNA"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_loss_and_gradients_are_those_over_all_positions(trainer, tiny_processor, rows, side):
    batch = TextGenomeCollator(tiny_processor, padding_side=side)([ROWS[i] for i in rows])
    loss, gradients, flops = run(trainer, batch, TextGenomeTrainer.compute_loss)
    expected, expected_gradients, all_flops = run(trainer, batch, SFTTrainer.compute_loss)
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=0)
    assert gradients.keys() == expected_gradients.keys()
    norm = torch.stack([each.norm() for each in expected_gradients.values()]).norm()
    assert all((gradients[name] - each).norm() < 1e-6 * norm for name, each in expected_gradients.items())
    assert flops < all_flops or (side == "left" and len(rows) > 1)
    metrics = trainer._metrics["train"]
    for name in ("entropy", "mean_token_accuracy"):
        assert metrics[name][0] == pytest.approx(metrics[name][1], abs=1e-6)


def test_a_batch_without_a_label_has_no_loss_and_gradients_of_zero(trainer, tiny_processor):
    batch = TextGenomeCollator(tiny_processor)(ROWS)
    batch["labels"].fill_(-100)
    loss, gradients, _ = run(trainer, batch, TextGenomeTrainer.compute_loss)
    assert loss == 0 and gradients and all(not gradient.any() for gradient in gradients.values())


def test_evaluation_gives_the_loss_over_all_positions(trainer, tiny_processor, monkeypatch):
    found = trainer.evaluate(trainer.train_dataset)["eval_loss"]
    monkeypatch.setattr("textgenome.training.trainer.keep_supervised", lambda inputs: inputs)
    assert found == pytest.approx(trainer.evaluate(trainer.train_dataset)["eval_loss"], abs=1e-6)


def test_the_model_gives_the_states_of_the_positions_that_were_asked_for(tiny_model, tiny_processor):
    batch = TextGenomeCollator(tiny_processor)(ROWS)
    inputs = keep_supervised(batch)
    labels, kept = inputs.pop("shift_labels"), inputs["kept_positions"]
    assert labels.tolist()[0] == batch["labels"][batch["labels"] != -100].tolist()
    states = tiny_model.model(**{name: each for name, each in inputs.items() if name != "labels"}).last_hidden_state
    inputs = {name: each for name, each in batch.items() if name != "labels"}
    every = tiny_model.model(**inputs).last_hidden_state
    torch.testing.assert_close(states, every.flatten(0, 1)[kept][None], atol=1e-5, rtol=1e-5)


def test_label_smoothing_sees_all_logits(tiny_processor, tmp_path):
    losses = []
    for smoothing in (0.0, 1e-9):
        model = AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT)
        args = TrainingArguments(output_dir=tmp_path, label_smoothing_factor=smoothing, **{**QUICK, "bf16": False})
        rows, collator = Dataset.from_list(ROWS), TextGenomeCollator(tiny_processor)
        trainer = TextGenomeTrainer(model, args, collator, train_dataset=rows, processing_class=tiny_processor)
        losses.append(trainer.compute_loss(model, dict(collator(ROWS))).item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
