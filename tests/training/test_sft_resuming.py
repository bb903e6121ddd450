"""Runs that are ended and go on, in processes of their own."""

import signal

import pytest
from runs import LONG, assert_resumes_to_the_same_weights, start
from sft_runs import flags, write_table


@pytest.mark.slow
@pytest.mark.parametrize(
    "use_peft, how", [(False, signal.SIGKILL), (True, signal.SIGTERM)], ids=["whole model", "LoRA"]
)
def test_a_run_that_was_ended_resumes_to_the_same_weights(tmp_path, how, use_peft):
    table, settings = write_table(tmp_path), {**LONG, "use_peft": use_peft, "freeze_dna_encoder": use_peft}
    settings |= {"question_dropout": 0.5, "dna_dropout": 0.5 * use_peft}
    step = assert_resumes_to_the_same_weights(
        lambda out: start("train_sft.py", flags(table, output_dir=out, **settings), table), tmp_path, how
    )
    if how == signal.SIGTERM:
        assert step % 10, "stopped at a regular checkpoint: saved nothing of its own"
