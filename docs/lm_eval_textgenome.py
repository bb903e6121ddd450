"""Runs a textgenome model in lm-evaluation-harness: import this file, then name the model `textgenome`.

Prompts of the harness are text. In them, DNA is written as `<dna>ACGT</dna>`, and a pair of a reference and its
variant as `<variant>ACGT>ACTT</variant>`.
"""

import re

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from textgenome.inference import generate, score_labels
from textgenome.inference.answers import split_output
from textgenome.inference.checkpoints import load_checkpoint


DNA = re.compile(r"<dna>(?P<dna>[^<>]*)</dna>|<variant>(?P<reference>[^<>]*)>(?P<variant>[^<>]*)</variant>")


def as_conversation(prompt: str) -> list[dict]:
    """A turn of the user with the blocks of text and DNA of a prompt, in their order."""
    content, start = [], 0
    for found in DNA.finditer(prompt):
        blocks = [{"type": "text", "text": prompt[start : found.start()].strip()}]
        named = {name: value.strip() for name, value in found.groupdict().items() if value is not None}
        blocks.append({"type": "dna" if "dna" in named else "variant", **named})
        content += [block for block in blocks if block.get("text") != ""]
        start = found.end()
    text = prompt[start:].strip()
    return [{"role": "user", "content": [*content, {"type": "text", "text": text}] if text else content}]


@register_model("textgenome")
class TextGenomeLM(LM):
    """A fused model for tasks with the output types `generate_until` and `multiple_choice`.

    Args:
        pretrained: Folder or Hub id.
        batch_size: Prompts at a time.
        dtype: Data type for the weights.
        device: Such as `cuda`; the harness passes what `--device` names.
    """

    def __init__(
        self, pretrained: str, batch_size: int | str = 16, dtype: str = "auto", device: str | None = None, **_
    ):
        super().__init__()
        self.model, self.processor = load_checkpoint(pretrained, dtype=dtype)
        self.model.to(device or "cpu")
        self.batch_size = int(batch_size)

    def generate_until(self, requests) -> list[str]:
        """The answers, without reasoning and without `Answer:`. The end of a turn stops the model, not `until`."""
        prompts = [as_conversation(request.args[0]) for request in requests]
        length = max(request.args[1].get("max_gen_toks", 256) for request in requests)
        texts = generate(self.model, self.processor, prompts, batch_size=self.batch_size, max_new_tokens=length)
        return [split_output(text)[1] or "" for text in texts]

    def loglikelihood(self, requests) -> list[tuple[float, bool]]:
        """The log-probability of each choice among the choices of its prompt, and whether it is the highest."""
        choices: dict[str, list[str]] = {}
        for request in requests:
            prompt, choice = request.args
            choices.setdefault(prompt, []).append(choice.strip())
        known = {}
        for labels in {tuple(labels) for labels in choices.values()}:
            prompts = [prompt for prompt, each in choices.items() if tuple(each) == labels]
            asked = [as_conversation(prompt) for prompt in prompts]
            for batch in score_labels(self.model, self.processor, asked, list(labels), self.batch_size):
                known |= {prompts[place]: scores for place, scores in batch}
        scores = [known[request.args[0]][request.args[1].strip()] for request in requests]
        return [(score, score == max(known[each.args[0]].values())) for each, score in zip(requests, scores)]

    def loglikelihood_rolling(self, requests) -> list[float]:
        raise NotImplementedError("A textgenome model answers questions: choose a task that generates or chooses.")
