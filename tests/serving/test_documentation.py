import re

import pytest
from conftest import ROOT
from live_service import say, serving


EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "serving.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(example, tiny_model, tiny_processor, capsys):
    say(tiny_model, tiny_processor, "<think>\nStep 1\n</think>\n\nAnswer: splice acceptor loss<|im_end|>")
    with serving(tiny_model, tiny_processor) as service:
        exec(example.replace("http://127.0.0.1:8000", service.url), {})
    printed = capsys.readouterr().out
    assert "splice acceptor loss" in printed
    assert "Step 1" in printed


def test_there_are_examples():
    assert len(EXAMPLES) == 2
