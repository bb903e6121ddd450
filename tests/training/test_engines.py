"""Training on several processes, from the outside: two on the CPU against one with the same effective batch."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import torch
from accelerate.commands.config.config_args import ClusterConfig
from conftest import ROOT, TINY_CHECKPOINT, conversation, random_dna, variant_row
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMultimodalLM, AutoProcessor

from textgenome.data import TextGenomeCollator, row_to_messages
from textgenome.inference.feature_cache import encoder_key


CONFIGURATION = ROOT / "configuration"
BIN = Path(sys.executable).parent
TORCHRUN = [BIN / "torchrun", "--standalone", "--nproc_per_node", 2, "train_sft.py"]
SETTINGS = {
    "use_cpu": True,
    "bf16": False,
    "max_steps": 20,
    "learning_rate": 1e-2,
    "lora_dropout": 0,
    "logging_steps": 1,
    "save_steps": 20,
}
# DeepSpeed compiles with ninja, which is installed beside Python.
ENVIRONMENT = {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": "", "PATH": f"{BIN}:{os.environ['PATH']}"}
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None or shutil.which("c++") is None,
    reason="needs DeepSpeed (pip install 'textgenome[deepspeed]') and a C++ compiler, c++",
)
ENGINES = ["ddp", pytest.param("zero2", marks=needs_deepspeed), pytest.param("zero3", marks=needs_deepspeed)]
TRAINED = {
    "LoRA": {"use_peft": True},
    "whole model": {"use_peft": False, "freeze_dna_encoder": False, "learning_rate": 1e-3},
}
SRUN = """#!/bin/bash
"$@" & "$@" & wait -n && wait -n
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Without dropout, which every process draws for itself, and with smoother filters in the encoder.

    As they are, its gradients are so large that a course of 20 steps hangs on the order of additions.
    """
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    shutil.copytree(TINY_CHECKPOINT, folder)
    config = json.loads((folder / "config.json").read_text())
    config["dna_config"]["embed_dropout"] = 0.0
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    smoother = {name: weights[name] / 10 for name in weights if name.endswith("freq")}
    save_file({**weights, **smoother}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Answers of different lengths, which a mean of the processes' means would weigh wrongly."""
    folder = tmp_path_factory.mktemp("rows")
    rows = [variant_row(32 + 4 * (i % 3), seed=i, answer="ABCD"[i % 4] * (1 + i % 3)) for i in range(16)]
    for name in ("train", "val"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def start(launcher: list, **settings) -> subprocess.Popen:
    flags = [part for name, value in {**SETTINGS, **settings}.items() for part in (f"--{name}", value)]
    return start_again([str(part) for part in [*launcher, *flags]])


def start_again(command: list[str]) -> subprocess.Popen:
    output = tempfile.TemporaryFile("w+", errors="replace")  # not a pipe, which is full before somebody reads it
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, **ENVIRONMENT},
    )
    process.output = output
    return process


def output_of(process: subprocess.Popen) -> str:
    process.output.seek(0)
    return process.output.read()


def finish(process: subprocess.Popen, code: int = 0, tries: int = 2) -> str:
    try:
        process.wait(timeout=400)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    output = output_of(process)
    if "Signal 6 (SIGABRT)" in output and tries > 1:
        # Threads of gloo may abort a process that has done its work and leaves, seen once in a full run. The same
        # command then finds a finished run, or resumes.
        return finish(start_again(process.args), code, tries - 1)
    assert process.returncode == code, output
    return output


def engine_flags(engine: str) -> dict:
    return {} if engine == "ddp" else {"deepspeed": CONFIGURATION / "deepspeed" / f"{engine}.json"}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    names = [folder / name for name in ("adapter_model.safetensors", "model.safetensors")]
    return load_file(next(path for path in names if path.exists()))


def losses_of(out: Path) -> list[float]:
    log = json.loads((out / "checkpoint-20" / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in log if "loss" in entry]


def assert_ran_on(out: Path, engine: str) -> None:
    """What the accelerator said it was, since it replaces an engine that it cannot run without a word."""
    results = json.loads((out / "train_results.json").read_text())
    assert results["processes"] == 2
    assert results["engine"] == ("MULTI_CPU" if engine == "ddp" else "DEEPSPEED")
    shards = [path.name for path in (out / "checkpoint-20").glob("global_step*/*model_states.pt")]
    assert (
        sorted(shards)
        == {
            "ddp": [],
            "zero2": ["mp_rank_00_model_states.pt"],
            "zero3": [f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt" for rank in range(2)],
        }[engine]
    )


def assert_same_course(out: Path, reference: Path) -> None:
    assert len(losses_of(out)) == 20
    assert losses_of(out) == pytest.approx(losses_of(reference), abs=1e-3)
    for folder in (Path(), Path("checkpoint-20")):
        weights, expected = weights_of(out / folder), weights_of(reference / folder)
        assert set(weights) - {"lm_head.weight"} == set(expected)  # ZeRO-2 writes a head out that is tied
        for name in expected:
            torch.testing.assert_close(weights[name], expected[name], atol=1e-3, rtol=0, msg=f"{folder}/{name}")


@pytest.fixture(scope="module", params=TRAINED)
def reference(request, tmp_path_factory, checkpoint, rows):
    """One process that takes eight rows at a time, and the settings of those that must do the same."""
    settings = {"dataset_name": rows, "model_name_or_path": checkpoint, **TRAINED[request.param]}
    out = tmp_path_factory.mktemp("one") / "out"
    batches = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}
    finish(start([sys.executable, "train_sft.py"], output_dir=out, **batches, **settings))
    before, after = weights_of(checkpoint), weights_of(out)
    if settings["use_peft"]:
        assert {"projector", "dna_markers", "language_model"} == {name.split(".")[3] for name in after}
    else:
        assert max(float((after[name] - before[name]).abs().max()) for name in after) > 5e-3
    assert losses_of(out)[-1] < losses_of(out)[0]
    return out, settings


@pytest.mark.slow
def test_one_row_eight_times_is_eight_rows_at_once(reference, tmp_path):
    expected, settings = reference
    batches = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    finish(start([sys.executable, "train_sft.py"], output_dir=tmp_path / "out", **batches, **settings))
    assert_same_course(tmp_path / "out", expected)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_take_the_course_of_one(reference, tmp_path, engine):
    expected, settings = reference
    batches = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    finish(start(TORCHRUN, output_dir=tmp_path / "out", **batches, **settings, **engine_flags(engine)))
    assert_ran_on(tmp_path / "out", engine)
    assert_same_course(tmp_path / "out", expected)
    # What every engine leaves, the model or its adapter, loads in one process.
    models = [AutoModelForMultimodalLM.from_pretrained(out) for out in (tmp_path / "out", expected)]
    processor = AutoProcessor.from_pretrained(tmp_path / "out")
    batch = TextGenomeCollator(processor)([{"messages": row_to_messages(variant_row(answer="A"))}])
    logits = [model(**batch).logits for model in models]
    torch.testing.assert_close(*logits, atol=1e-2, rtol=1e-2)


@pytest.fixture(scope="module")
def without_dna(tmp_path_factory, checkpoint):
    """Every second row is without DNA: the second of two processes meets none. One process, and its settings.

    The encoder is trained too: its collectives are the ones that the second process could miss.
    """
    folder = tmp_path_factory.mktemp("without_dna")
    chats = []
    for i in range(8):
        chats.append({"messages": conversation(random_dna(30, seed=i), answer="AC"[i % 2])})
        chats.append({"messages": conversation(question=f"No DNA {i}?", answer="GT"[i % 2])})
    (folder / "train.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    settings = {
        "dataset_name": folder / "train.jsonl",
        "model_name_or_path": checkpoint,
        "freeze_dna_encoder": False,
        "learning_rate": 1e-3,
        "train_sampling_strategy": "sequential",
        "gradient_accumulation_steps": 1,
    }
    out = folder / "one"
    finish(start([sys.executable, "train_sft.py"], output_dir=out, per_device_train_batch_size=2, **settings))
    weights, before = weights_of(out), weights_of(checkpoint)
    name = "model.dna_encoder.layers.0.mixer.in_proj.weight"
    assert (weights[f"base_model.model.{name}"] - before[name]).abs().max() > 1e-3
    return out, settings


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ddp", pytest.param("zero3", marks=needs_deepspeed)])
def test_a_process_without_dna_in_any_batch_keeps_up(without_dna, tmp_path, engine):
    expected, settings = without_dna
    config = CONFIGURATION / "accelerate" / f"{engine}.yaml"
    launcher = [BIN / "accelerate", "launch", "--config_file", config, "--num_processes", 2]
    launcher += ["--main_process_port", 0, "train_sft.py"]
    finish(start(launcher, output_dir=tmp_path / "out", per_device_train_batch_size=1, **settings))
    assert_ran_on(tmp_path / "out", engine)
    assert_same_course(tmp_path / "out", expected)


def end(process: subprocess.Popen, out: Path, how: str) -> None:
    """Stop a run that has just started, once it has written a checkpoint."""
    pattern = "checkpoint-*/trainer_state.json"
    before = set(out.glob(pattern))
    while not (written := set(out.glob(pattern)) - before):
        assert process.poll() is None, output_of(process)
        time.sleep(0.01)
    launcher = psutil.Process(process.pid)
    if how == "SIGKILL to all":
        for each in [launcher, *launcher.children(recursive=True)]:
            each.kill()
        process.wait()
        checkpoint = written.pop().parent
        assert len(list(checkpoint.glob("rng_state_*.pth"))) == 2  # its last file waits for those of all processes
    else:
        target = launcher if how == "SIGTERM to the launcher" else launcher.children()[-1]
        target.send_signal(signal.SIGTERM)
        assert "Stopped by SIGTERM at step" in finish(process, code=1)
    assert not (out / "adapter_model.safetensors").exists()


@pytest.mark.slow
@needs_deepspeed
def test_a_run_that_is_stopped_in_every_way_comes_to_the_same_weights(checkpoint, rows, tmp_path):
    settings = {
        "dataset_name": rows,
        "model_name_or_path": checkpoint,
        "lora_dropout": 0.1,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "bf16": True,
        "save_steps": 4,
        "train_sampling_strategy": "group_by_length",
        **engine_flags("zero2"),
    }
    finish(start(TORCHRUN, output_dir=tmp_path / "whole", **settings))
    out = tmp_path / "ended"
    for how in ("SIGTERM to one process", "SIGTERM to the launcher", "SIGKILL to all"):
        end(start(TORCHRUN, output_dir=out, **settings), out, how)

    resumed = finish(start(TORCHRUN, output_dir=out, **settings))
    assert_ran_on(out, "zero2")
    log = json.loads((out / "checkpoint-20" / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in log if "loss" in entry] == list(range(1, 21)), resumed
    weights, expected = weights_of(out), weights_of(tmp_path / "whole")
    for name in expected:
        torch.testing.assert_close(weights[name], expected[name], atol=1e-3, rtol=0)


@pytest.mark.slow
@needs_deepspeed
def test_zero3_builds_the_model_trains_it_in_bfloat16_and_answers(rows, tmp_path):
    text = {"model_type": "qwen3", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    dna = {**text, "model_type": "mixtral", "vocab_size": 128, "num_local_experts": 2}
    output = finish(
        start(
            TORCHRUN,
            dataset_name=rows,
            text_config=json.dumps(text),
            dna_config=json.dumps(dna),
            dna_window=64,
            output_dir=tmp_path / "out",
            per_device_train_batch_size=4,
            gradient_accumulation_steps=1,
            bf16=True,
            do_eval=True,
            generation_rows=3,
            max_new_tokens=3,
            **TRAINED["whole model"],
            **engine_flags("zero3"),
        )
    )
    assert_ran_on(tmp_path / "out", "zero3")
    assert output.count("held-out rows") == 1
    assert losses_of(tmp_path / "out")[-1] < losses_of(tmp_path / "out")[0]
    results = json.loads((tmp_path / "out" / "eval_results.json").read_text())
    assert {"eval_loss", "accuracy_as_is", "accuracy_dna_exchanged", "accuracy_dna_removed"} <= set(results)
    # ZeRO-3 saves a mixture's experts under the names that they have in the network.
    model, loading = AutoModelForMultimodalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(loading.values())
    base = AutoModelForMultimodalLM.from_pretrained(tmp_path / "out" / "base").state_dict()
    for name in ("projector.linear.weight", "dna_encoder.layers.0.mlp.experts.down_proj"):
        assert not torch.equal(base[f"model.{name}"], model.state_dict()[f"model.{name}"].float())


@pytest.mark.slow
@needs_deepspeed
def test_the_slurm_example_on_two_nodes_of_one_process(checkpoint, rows, tmp_path):
    """With stand-ins for SLURM's own commands."""
    for name, content in {"srun": SRUN, "scontrol": "#!/bin/bash\necho localhost\n"}.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    nodes = {"SLURM_NNODES": 2, "SLURM_GPUS_ON_NODE": 1, "SLURM_JOB_ID": os.getpid(), "SLURM_JOB_NODELIST": "n[1-2]"}
    nodes |= {"SLURM_CPUS_PER_TASK": 1}
    launcher = ["env", f"PATH={tmp_path}:{ENVIRONMENT['PATH']}", *(f"{key}={nodes[key]}" for key in nodes)]
    settings = {"dataset_name": rows, "model_name_or_path": checkpoint, "gradient_accumulation_steps": 1}
    settings |= {"output_dir": tmp_path, "bf16": True, "cache_dna_features": True, **engine_flags("zero2")}
    finish(start([*launcher, "bash", CONFIGURATION / "slurm.sh"], **settings))
    assert_ran_on(tmp_path, "zero2")
    # The features are those of an encoder in bfloat16 but for its filters.
    encoding = AutoModelForMultimodalLM.from_pretrained(checkpoint).model
    for name, each in encoding.dna_encoder.named_parameters():
        each.data = each.data if "filter_fn" in name else each.data.bfloat16()
    assert [folder.name for folder in (tmp_path / "dna_features").glob("*/")] == [encoder_key(encoding)]


@pytest.mark.parametrize(
    "name, kind", {"ddp": "MULTI_GPU", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED", "fsdp2": "FSDP"}.items()
)
def test_accelerate_reads_the_configurations(name, kind):
    config = ClusterConfig.from_yaml_file(CONFIGURATION / "accelerate" / f"{name}.yaml")
    assert config.distributed_type == kind
    assert config.num_processes == -1  # so that `accelerate launch` asks for it
    if kind == "DEEPSPEED":
        settings = json.loads((ROOT / config.deepspeed_config["deepspeed_config_file"]).read_text())
        assert settings["zero_optimization"]["stage"] == int(name[-1])


@pytest.mark.slow
def test_the_launcher_hands_on_the_settings_of_fsdp2(tmp_path):
    script = tmp_path / "plugin.py"
    script.write_text(
        "from accelerate.utils import FullyShardedDataParallelPlugin\n"
        "plugin = FullyShardedDataParallelPlugin()\n"
        "print(plugin.fsdp_version, plugin.state_dict_type.name, plugin.reshard_after_forward, plugin.cpu_offload)\n"
    )
    config = CONFIGURATION / "accelerate" / "fsdp2.yaml"
    command = [BIN / "accelerate", "launch", "--config_file", config, "--num_processes", "1", script]
    output = subprocess.run(command, capture_output=True, text=True)
    assert "2 FULL_STATE_DICT True" in output.stdout, output.stderr


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="FSDP runs on GPUs only, and takes two of them")
def test_fsdp2_trains_on_gpus(checkpoint, rows, tmp_path):
    config = CONFIGURATION / "accelerate" / "fsdp2.yaml"
    settings = {"dataset_name": rows, "model_name_or_path": checkpoint, "output_dir": tmp_path / "out"}
    flags = {**SETTINGS, **settings, "use_cpu": False}
    command = [BIN / "accelerate", "launch", "--config_file", config, "--num_processes", 2, "train_sft.py"]
    command += [part for name, value in flags.items() for part in (f"--{name}", value)]
    finished = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert json.loads((tmp_path / "out" / "train_results.json").read_text())["engine"] == "FSDP"
    assert losses_of(tmp_path / "out")[-1] < losses_of(tmp_path / "out")[0]
