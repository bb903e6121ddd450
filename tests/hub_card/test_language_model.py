import re
import shutil

import pytest
import torch
from conftest import ROOT, TINY_CHECKPOINT, conversation, save_adapter
from huggingface_hub import ModelCard
from peft import PeftModel
from safetensors.torch import save_file
from strangers import ENCODERS, build, stranger
from transformers import AutoModelForMultimodalLM, AutoProcessor
from typer.testing import CliRunner

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.commands import app
from textgenome.data.settings import remember_settings
from textgenome.hub_card import export_checkpoint, export_language_model
from textgenome.hub_card.language_model import separate_language_model
from textgenome.inference.generation import prompt_inputs
from textgenome.processing import build_dna_tokenizer


PROMPTS = [conversation("ACGTACGTAA", "GATTACA"), conversation("TTGACCA"), conversation(question="And without DNA?")]
GREEDY = {"do_sample": False, "max_new_tokens": 12}
CONTINUE = """
import json
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
assert type(model).__module__.startswith("transformers."), type(model)
AutoTokenizer.from_pretrained(sys.argv[1])
embeds = load_file(sys.argv[2])["embeds"]
print(json.dumps(model.generate(inputs_embeds=embeds[None], do_sample=False, max_new_tokens=12)[0].tolist()))
"""


@pytest.fixture
def adapter(tmp_path):
    return save_adapter(tmp_path / "adapter")


def answers(model, inputs) -> list[list[int]]:
    """What a fused model writes after each prompt."""
    return model.generate(**inputs, **GREEDY)[:, inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_language_model_goes_on_from_the_embeddings_alone_and_in_a_batch(encoder):
    model, processor = build(encoder)
    language_model = separate_language_model(model)
    batch = prompt_inputs(processor, PROMPTS, enable_thinking=True)
    embeds = model.get_prompt_embeds(**batch)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(each)) for each in embeds], True, padding_side="left")
    padded = torch.nn.utils.rnn.pad_sequence(embeds, batch_first=True, padding_side="left")
    written = language_model.generate(inputs_embeds=padded, attention_mask=mask, **GREEDY).tolist()
    assert written == answers(model, batch)
    assert len({tuple(each) for each in written}) == len(PROMPTS)  # they are told apart
    for prompt, expected in zip(PROMPTS, embeds):
        inputs = prompt_inputs(processor, [prompt], enable_thinking=True)
        (alone,) = model.get_prompt_embeds(**inputs)
        torch.testing.assert_close(alone, expected)
        assert len(alone) == inputs["input_ids"].shape[1]
        assert language_model.generate(inputs_embeds=alone[None], **GREEDY).tolist() == answers(model, inputs)


def test_an_exported_one_goes_on_where_this_package_is_not(tmp_path, adapter):
    base = AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT).eval()
    processor = AutoProcessor.from_pretrained(adapter)
    inputs = prompt_inputs(processor, PROMPTS[:1], enable_thinking=True)
    before = answers(base, inputs)
    model = PeftModel.from_pretrained(base, adapter).eval()
    save_file({"embeds": model.get_prompt_embeds(**inputs)[0]}, tmp_path / "embeds.safetensors")
    folder = export_language_model(adapter, tmp_path / "language_model")
    result = stranger(CONTINUE, folder, tmp_path / "embeds.safetensors", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(answers(model, inputs)[0])
    assert answers(model, inputs) != before
    assert not [*folder.glob("*.py")] and "Research use only" in (folder / "README.md").read_text()
    assert str(tmp_path) not in "".join(path.read_text() for path in folder.glob("*.[jm][sd]*"))


def test_the_documented_lines_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exported = CliRunner().invoke(app, ["export", str(TINY_CHECKPOINT), "language_model", "--language-model"])
    assert exported.exit_code == 0, exported.output
    page = (ROOT / "docs" / "vllm.md").read_text()
    embed, transformers, vllm = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    scope = {}
    exec(embed.replace("outputs/starter", str(TINY_CHECKPOINT)), scope)
    exec(transformers, scope)
    fused = scope["model"].generate(**scope["inputs"], do_sample=False, max_new_tokens=64)
    assert scope["tokens"].tolist() == fused[:, scope["inputs"]["input_ids"].shape[1] :].tolist()
    compile(vllm, "vllm", "exec")


def test_a_model_in_training_stays_so(tiny_model):
    separate_language_model(tiny_model.train())
    assert all(module.training for module in tiny_model.modules())


@pytest.mark.parametrize("exported_before", [False, True])
def test_its_card_tells_licence_and_base_models(tmp_path, monkeypatch, exported_before):
    source = tmp_path / "mine"
    shutil.copytree(TINY_CHECKPOINT, source)
    bases = {"text_model": "Qwen/Qwen3-1.7B", "dna_model": "InstaDeepAI/nucleotide-transformer-2.5b-multi-species"}
    remember_settings({"dataset_name": "x.csv", "dataset_train_split": "t", **bases}, source, "training")
    if exported_before:
        source = export_checkpoint(source, tmp_path / "exported" / "mine")
    monkeypatch.chdir(source)
    card = ModelCard.load(export_language_model(".", tmp_path / "out") / "README.md")
    assert card.data.license == "cc-by-nc-sa-4.0" and card.data.base_model == [*bases.values()]
    assert f"**Not for commercial use:** {bases['dna_model']} must not" in card.text
    assert f"| {bases['text_model']} | not known | apache-2.0 |" in card.text
    assert "The language model of mine, a textgenome model" in card.text and "Made with textgenome 0." in card.text
    assert "## Privacy\n\nWeights can give away what a model was trained on." in card.text


def test_what_has_no_language_model_is_refused_and_leaves_nothing(tmp_path):
    config = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64}
    model = TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(dna_config=config))
    model.save_pretrained(tmp_path / "dna")
    tokenizer = build_dna_tokenizer("hyenadna", model_max_length=64)
    TextGenomeDNAProcessor(tokenizer, dna_window=32).save_pretrained(tmp_path / "dna")
    with pytest.raises(ValueError, match="is a TextGenomeDNAForSequenceClassification: it has no language model"):
        export_language_model(tmp_path / "dna", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["dna"]


def test_a_plain_language_model_is_refused_by_its_type_and_no_folder_is_overwritten(tmp_path):
    plain = export_language_model(TINY_CHECKPOINT, tmp_path / "plain")
    for export in (export_language_model, export_checkpoint):
        with pytest.raises(ValueError, match="plain: Qwen3ForCausalLM is not a model of textgenome"):
            export(plain, tmp_path / "out")
        with pytest.raises(FileExistsError, match="plain is there already"):
            export(TINY_CHECKPOINT, plain)
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


@pytest.mark.parametrize("flags", [["--adapter"], ["--base", "owner/name"], ["--metrics", "metrics.json"]])
def test_it_takes_no_option_of_the_whole_model(tmp_path, flags):
    command = ["export", str(TINY_CHECKPOINT), str(tmp_path / "out"), "--language_model", *flags]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2 and "--language-model" in result.output
    assert not (tmp_path / "out").exists()
