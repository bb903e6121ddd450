import re

import pytest
from conftest import ROOT
from live_service import say, serving

from textgenome import HyenaDNAConfig, HyenaDNAForCausalLM
from textgenome.processing import build_dna_tokenizer


EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "serving.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES[:2])
def test_the_examples_run(example, tiny_model, tiny_processor, capsys):
    say(tiny_model, tiny_processor, "<think>\nStep 1\n</think>\n\nAnswer: splice acceptor loss<|im_end|>")
    with serving(tiny_model, tiny_processor) as service:
        exec(example.replace("http://127.0.0.1:8000", service.url), {})
    printed = capsys.readouterr().out
    assert "splice acceptor loss" in printed
    assert "Step 1" in printed


def test_embeddings_scores_and_the_bodies_of_genos(tiny_model, tiny_processor, capsys):
    scores, genos = EXAMPLES[2:]
    names = {}
    with serving(tiny_model, tiny_processor) as service:
        for example in (scores, genos):
            exec(example.replace("http://127.0.0.1:8000", service.url), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "2 16 21" and "splice acceptor loss" in printed[1] and printed[2] == "16"
    model, tokenizer = HyenaDNAForCausalLM(HyenaDNAConfig(d_model=16, d_inner=32)).eval(), build_dna_tokenizer()
    found = names["predict"]({"sequence": "ACGT", "model_name": "1.2B", "predict_length": 3}, model, tokenizer)
    assert found["predicted_sequence"].startswith("ACGT") and found["predicted_bases"]
