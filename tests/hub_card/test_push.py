"""Pushing and loading, against a Hub on this machine."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TINY_CHECKPOINT, variant_row
from local_hub import USER, Commit, LocalHub, Repo
from peft import PeftModel
from processes import running_commands, train
from safetensors.torch import load as load_safetensors
from safetensors.torch import load_file
from strangers import LOAD_ALL, build, stranger
from test_export import ALLOWED, CLASSIFY, MESSAGES, assert_same_as_local, remote_imports
from transformers import (
    AutoModelForMultimodalLM,
    AutoModelForSequenceClassification,
    AutoProcessor,
    TrainingArguments,
)
from transformers.integrations.deepspeed import HfDeepSpeedConfig

from textgenome.data import row_to_messages
from textgenome.data.starter import starter_rows
from textgenome.inference import generate
from textgenome.training.pushing import push_trained


pytestmark = pytest.mark.slow

STARTER = ROOT / "outputs" / "starter"
PUSHED = ("hyenadna", "mixtral")  # one with code of its own, one of transformers; test_export.py loads every kind
VERSION = metadata.version("textgenome")
COMMAND = Path(sys.executable).with_name("textgenome")


@pytest.fixture(scope="module")
def hub():
    with LocalHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def run(hub, tmp_path_factory):
    with running_commands(hub, tmp_path_factory.mktemp("home")) as run:
        yield run


@pytest.fixture(autouse=True)
def working(hub):
    """The Hub works until a test says otherwise."""
    hub.faults.clear()
    hub.tamper = None


@pytest.fixture
def repo(tmp_path):
    return f"{USER}/{tmp_path.name}"


def uploads(hub, since: int) -> list[str]:
    return [path for method, path, _ in hub.requests[since:] if method == "PUT"]


def test_strangers_load_what_was_pushed_by_every_auto_class(run, hub, tmp_path):
    commits, folders = {}, {}
    for encoder in PUSHED:
        model, processor = build(encoder)
        folders[encoder] = tmp_path / encoder
        model.save_pretrained(folders[encoder])
        processor.save_pretrained(folders[encoder])
        result = run("push", folders[encoder], f"{USER}/{encoder}")
        assert result.exit_code == 0, result.output
        commits[encoder] = result.commit
        assert [commit.message for commit in hub.repos[f"{USER}/{encoder}"].commits.values()] == [
            "initial commit",
            f"Upload {encoder} by textgenome {VERSION}",
        ]
    names = {f"{USER}/{encoder}": encoder for encoder in PUSHED}
    names |= {f"{USER}/{encoder}@{commits[encoder]}": encoder for encoder in PUSHED}
    result = stranger(LOAD_ALL, json.dumps([*names]), json.dumps(MESSAGES), folder=tmp_path, **hub.env)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    for name, encoder in names.items():
        assert_same_as_local(found[name], folders[encoder])


def test_the_printed_lines_load_the_commit_and_the_card_names_it(run, hub, repo, tmp_path):
    result = run("push", TINY_CHECKPOINT, repo)
    assert result.exit_code == 0, result.output
    lines = result.output[result.output.index("from transformers") :]
    assert len(lines.strip().splitlines()) == 3
    assert lines.count(f'revision="{result.commit}"') == 2
    card = hub.head(repo).files["README.md"].decode()
    tag = re.search(r'^name, revision = "(.*)", "(.*)"$', card, re.MULTILINE)
    assert tag[1] == repo
    assert hub.repos[repo].refs[tag[2]] == result.commit
    example = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1].replace("max_new_tokens=512", "max_new_tokens=4")
    both = f'"{repo}", revision="main", code_revision="{result.commit}", trust_remote_code=True'
    script = (
        f"{lines}\nmodel = AutoModelForMultimodalLM.from_pretrained({both})\nprint(type(model).__name__)\n{example}"
    )
    loaded = stranger(script, folder=tmp_path, **hub.env)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.startswith("TextGenomeForConditionalGeneration\n")


def test_a_repeated_push_sends_only_what_changed(run, hub, repo, tmp_path):
    shutil.copytree(TINY_CHECKPOINT, tmp_path / "run")
    first = run("push", tmp_path / "run", repo)
    start = len(hub.requests)
    again = run("push", tmp_path / "run", repo)
    assert again.exit_code == 0, again.output
    assert again.commit == first.commit
    assert uploads(hub, start) == []
    assert not [path for method, path, _ in hub.requests[start:] if method == "POST" and "/commit/" in path]

    # Other files of the owner stay; what an earlier export left goes.
    left = {"model-00001-of-00002.safetensors": b"old", "modeling_textgenome_dna.py": b"old"}
    hub.head(repo).files |= {"NOTES.md": b"mine", "plot.py": b"mine", "plots/plot.safetensors": b"mine", **left}
    (tmp_path / "run" / "settings.json").write_text(json.dumps({"job": "training", "dataset_name": "starter"}))
    start = len(hub.requests)
    changed = run("push", tmp_path / "run", repo)
    assert changed.exit_code == 0, changed.output
    assert changed.commit != first.commit
    assert uploads(hub, start) == []
    commit, parent = hub.head(repo), hub.repos[repo].commits[first.commit]
    assert {path for path in commit.files if commit.files[path] != parent.files.get(path)} == {"README.md"}
    assert parent.files.keys() - commit.files.keys() == left.keys()


def test_private_branches_and_pull_requests(run, hub, repo, tmp_path):
    result = run("push", TINY_CHECKPOINT, repo, "--private", "--revision", "draft")
    assert result.exit_code == 0, result.output
    assert hub.repos[repo].private
    assert hub.repos[repo].refs["draft"] == result.commit != hub.repos[repo].refs["main"]
    tags = [ref for ref in hub.repos[repo].refs if ref.startswith("checked-")]
    hub.fail("POST", "/tag/", 403, message="only its owner may tag")
    result = run("push", TINY_CHECKPOINT, repo, "--create_pr")
    assert result.exit_code == 0, result.output
    assert [ref for ref in hub.repos[repo].refs if ref.startswith("checked-")] == tags
    readme = hub.repos[repo].commits[result.commit].files["README.md"].decode()
    assert f'name, revision = "{repo}", None' in readme
    assert hub.repos[repo].refs["refs/pr/1"] == result.commit
    assert f"Pull request: {hub.url}/{repo}/discussions/1" in result.output
    assert hub.head(repo).message == "initial commit"


FAULTS = {
    "login": (("GET", "/whoami", 401), "hf auth login"),
    "create": (("POST", "/repos/create", 403), "no right to write"),
    "cut": (("PUT", "/large/", "cut", 6), "the same command tries again"),
    "cut of the commit": (("POST", "/commit/", "cut"), "the same command tries again"),
    "commit": (("POST", "/commit/", 500), "500"),
    "conflict": (("POST", "/commit/", 409), "at the same time"),
    "card": (("POST", "/validate-yaml", 400), "Invalid metadata in README.md"),
    "tag": (("POST", "/tag/", 500), "500"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_leaves_nothing_half_done_and_a_second_try_succeeds(run, hub, repo, fault):
    (method, path, kind, *times), message = FAULTS[fault]
    hub.fail(method, path, kind, *times)
    result = run("push", TINY_CHECKPOINT, repo)
    assert result.exit_code == 1
    assert "Error: " in result.output and message in result.output
    assert "Traceback" not in result.output
    if repo in hub.repos and fault != "tag":
        assert [commit.message for commit in hub.repos[repo].commits.values()] == ["initial commit"]
    result = run("push", TINY_CHECKPOINT, repo)
    assert result.exit_code == 0, result.output
    assert len(hub.repos[repo].commits) == 2


def test_a_cut_that_ends_is_not_even_noticed(run, hub, repo):
    hub.fail("PUT", "/large/", "cut")
    result = run("push", TINY_CHECKPOINT, repo)
    assert result.exit_code == 0, result.output


def test_a_wrong_token_is_refused(run, hub, repo):
    result = run("push", TINY_CHECKPOINT, repo, HF_TOKEN="hf_wrong")
    assert result.exit_code == 1
    assert "hf auth login" in result.output
    assert repo not in hub.repos


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "Is http://127.0.0.1:9 in reach?"),
        ({"HF_HUB_OFFLINE": "1"}, "Unset HF_HUB_OFFLINE"),
        ({"HF_TOKEN": ""}, "hf auth login"),
    ],
)
def test_without_a_network_or_a_login_nothing_begins(hub, tmp_path, environment, message):
    environment = {**os.environ, **hub.env, "HF_HOME": str(tmp_path), **environment}
    command = [COMMAND, "push", TINY_CHECKPOINT, f"{USER}/nothing"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert f"{USER}/nothing" not in hub.repos


def test_a_repository_with_another_model_or_an_audience_is_refused(run, hub, repo):
    assert run("push", TINY_CHECKPOINT, repo).exit_code == 0
    start = len(hub.requests)
    result = run("push", TINY_CHECKPOINT, repo, "--private")
    assert result.exit_code == 1
    assert "is there already, and public" in result.output
    hub.head(repo).files["processor_config.json"] = b'{"processor_class": "LlavaProcessor"}'
    result = run("push", TINY_CHECKPOINT, repo)
    assert result.exit_code == 1
    assert "holds another model" in result.output
    assert not [path for method, path, _ in hub.requests[start:] if "/commit/" in path or method == "PUT"]


def test_what_does_not_answer_as_the_local_model_is_told(run, hub, repo):
    hub.tamper = lambda content: content[:-4096] + bytes(4096)
    result = run("push", TINY_CHECKPOINT, repo)
    assert result.exit_code == 1
    assert f"{repo} at {hub.repos[repo].refs['main']} is uploaded, but does not answer" in result.output
    assert [ref for ref in hub.repos[repo].refs if ref.startswith("checked-")] == []


def test_code_of_a_repository_is_neither_run_nor_passed_on(run, hub, repo, tmp_path):
    assert run("push", TINY_CHECKPOINT, repo).exit_code == 0
    files = hub.head(repo).files
    for name in files:
        if name.endswith(".py"):
            files[name] = b"raise SystemExit('not ours')"
    files["not_ours.py"] = b""
    for name in (
        "config.json",
        "processor_config.json",
        "tokenizer_config.json",
        "dna_tokenizer/tokenizer_config.json",
    ):
        content = json.loads(files[name])
        content["auto_map"] = {"AutoTokenizer": "not_ours.X", **content.get("auto_map", {})}
        files[name] = json.dumps(content).encode()
    files["README.md"] += b"\nA remark by hand.\n"
    result = run("export", repo, tmp_path / "out")
    assert result.exit_code == 0, result.output
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or (b"not ours" not in path.read_bytes() and b"not_ours" not in path.read_bytes()), path
    assert "A remark by hand." in (tmp_path / "out" / "README.md").read_text()
    result = run("push", repo, f"{repo}-again")
    assert result.exit_code == 0, result.output


def test_training_pushes_a_repository_that_loads(hub, tmp_path):
    rows = [variant_row(seed=i, answer="ABCD"[i % 4] * 2) for i in range(8)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"dataset_name": tmp_path / "train.jsonl", "model_name_or_path": TINY_CHECKPOINT, "save_steps": 1}
    hub_settings = {"push_to_hub": True, "hub_model_id": f"{USER}/trained", "hub_private_repo": True}
    refused = train(tmp_path / "run", hub, tmp_path, **settings, **hub_settings, hub_token="hf_wrong")
    assert refused.returncode != 0
    assert not (tmp_path / "run").exists()
    result = train(tmp_path / "run", hub, tmp_path, **settings, **hub_settings)
    assert result.returncode == 0, result.stderr
    assert f"{USER}/trained" in hub.repos and hub.repos[f"{USER}/trained"].private
    files = hub.head(f"{USER}/trained").files
    card = files["README.md"].decode()
    assert "learning_rate: 0.01" in card and f"{os.cpu_count()} CPU cores" in card
    assert "train.jsonl" in card and str(tmp_path) not in card
    assert "training_args.bin" not in files
    loaded = stranger(result.stdout[result.stdout.index("from transformers") :], folder=tmp_path, **hub.env)
    assert loaded.returncode == 0, loaded.stderr
    for folder in ("run", "run/checkpoint-1", "run/checkpoint-2"):
        assert (tmp_path / folder / "processing_textgenome.py").exists()


def test_training_a_classifier_pushes_a_repository_that_loads_by_id_and_commit(hub, tmp_path):
    rows = [variant_row(seed=i, answer="AB"[i % 2]) for i in range(8)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"dataset_name": tmp_path / "train.jsonl", "do_eval": False, "save_strategy": "no", "dna_window": 32}
    encoder = {"model_type": "hyenadna", "d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64}
    settings |= {"dna_config": json.dumps(encoder), "push_to_hub": True, "hub_model_id": f"{USER}/classifier"}
    refused = train(tmp_path / "run", hub, tmp_path, "train_dna.py", **settings, hub_token="hf_wrong")
    assert refused.returncode != 0
    assert not (tmp_path / "run").exists()
    of_a_fused_model = {"tokenizer.json": b"{}", "chat_template.jinja": b"", "modeling_textgenome.py": b""}
    hub.repos[f"{USER}/classifier"] = Repo()
    hub.repos[f"{USER}/classifier"].add(Commit(of_a_fused_model, "initial commit"))
    result = train(tmp_path / "run", hub, tmp_path, "train_dna.py", **settings)
    assert result.returncode == 0, result.stderr
    assert not hub.head(f"{USER}/classifier").files.keys() & of_a_fused_model.keys()
    assert [commit.message for commit in hub.repos[f"{USER}/classifier"].commits.values()] == [
        "initial commit",
        f"Upload classifier by textgenome {VERSION}",
    ]
    commit = re.search(r"at (\w{40}):", result.stdout)[1]
    loaded = stranger(CLASSIFY, f"{USER}/classifier", json.dumps(rows[0]), commit, folder=tmp_path, **hub.env)
    assert loaded.returncode == 0, loaded.stderr
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run").eval()
    processor = AutoProcessor.from_pretrained(tmp_path / "run")
    inputs = processor(rows[0]["reference_sequence"], rows[0]["variant_sequence"], return_tensors="pt")
    torch.testing.assert_close(torch.tensor(json.loads(loaded.stdout)[0]), model(**inputs).logits[0])


def test_a_run_under_zero3_pushes_whole_weights(hub, repo, tmp_path, monkeypatch):
    pytest.importorskip("deepspeed")
    shutil.copytree(TINY_CHECKPOINT, tmp_path / "run")
    launcher = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    training = TrainingArguments(output_dir=str(tmp_path / "run"), hub_model_id=repo, use_cpu=True)
    for name, value in {**hub.env, "HF_HOME": str(tmp_path / "home"), **launcher}.items():
        monkeypatch.setenv(name, value)
    alive = HfDeepSpeedConfig({"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": 1})
    push_trained(training)
    assert alive.is_zero3()
    weights = load_safetensors(hub.head(repo).files["model.safetensors"])
    expected = load_file(TINY_CHECKPOINT / "model.safetensors")
    assert {name: tensor.shape for name, tensor in weights.items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }


ASK = """
import json
from peft import PeftConfig, PeftModel
from transformers import AutoModelForMultimodalLM, AutoProcessor

name, kind, prompts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
options = {"trust_remote_code": True}
processor = AutoProcessor.from_pretrained(name, **options)
if kind == "adapter":
    config = PeftConfig.from_pretrained(name)
    base, options["revision"] = config.base_model_name_or_path, config.revision
    model = PeftModel.from_pretrained(AutoModelForMultimodalLM.from_pretrained(base, **options), name)
else:
    model = AutoModelForMultimodalLM.from_pretrained(name, **options)
model.eval()
answers = []
for prompt in prompts:
    inputs = processor.apply_chat_template(
        prompt, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    tokens = model.generate(**inputs, do_sample=False, max_new_tokens=64)[0, inputs["input_ids"].shape[1] :]
    answers.append(processor.decode(tokens, skip_special_tokens=False).split("<|im_end|>")[0])
print(json.dumps(answers))
"""


def test_adapter_with_pinned_base_and_merged_answer_as_the_unmerged_starter(run, hub, tmp_path):
    settings = {"dataset_name": "starter", "model_name_or_path": STARTER, "dna_window": 48, "learning_rate": 1e-2}
    result = train(tmp_path / "run", hub, tmp_path, **settings, max_steps=8)
    assert result.returncode == 0, result.stderr
    prompts = [
        row_to_messages(row, dna_window=48)[:-1] for row in starter_rows("validation").select(range(16)).to_list()
    ]
    processor = AutoProcessor.from_pretrained(tmp_path / "run")
    base = AutoModelForMultimodalLM.from_pretrained(STARTER).eval()
    before = generate(base, processor, prompts, batch_size=1, max_new_tokens=64)
    model = PeftModel.from_pretrained(base, tmp_path / "run").eval()
    expected = generate(model, processor, prompts, batch_size=1, max_new_tokens=64)
    assert expected != before

    refused = run("push", tmp_path / "run", f"{USER}/adapter", "--adapter")
    assert refused.exit_code == 1
    assert "--base" in refused.output
    pushed = run("push", STARTER, f"{USER}/base")
    assert pushed.exit_code == 0, pushed.output
    result = run("push", tmp_path / "run", f"{USER}/adapter", "--adapter", "--base", f"{USER}/base")
    assert result.exit_code == 0, result.output
    config = json.loads(hub.head(f"{USER}/adapter").files["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == (f"{USER}/base", pushed.commit)
    assert "model.safetensors" not in hub.head(f"{USER}/adapter").files
    assert run("export", tmp_path / "run", tmp_path / "merged").exit_code == 0
    assert run("export", f"{USER}/adapter", tmp_path / "adapter", "--adapter").exit_code == 0
    for imports in remote_imports(tmp_path / "adapter").values():
        assert {each for each in imports if not each.startswith(".")} <= ALLOWED

    sources = {f"{USER}/adapter": "adapter", tmp_path / "adapter": "adapter", tmp_path / "merged": "model"}
    for number, (name, kind) in enumerate(sources.items()):
        (tmp_path / str(number)).mkdir()
        found = stranger(ASK, name, kind, json.dumps(prompts), folder=tmp_path / str(number), **hub.env)
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout) == expected, name
