"""Training step, device waits, generation, feature cache, HyenaDNA, answers under load: true sizes, into a JSON file.

Random weights, real shapes, bfloat16. What fails is written down with its error, and the rest goes on. Example run, on
one CUDA GPU; on a CPU, to try it, with `--tiny --text_tokens 16 --window 64 --new_tokens 2 --steps 1 --lengths 128`:

    python benchmarks/gpu.py --output gpu.json
"""

import argparse
import asyncio
import gc
import itertools
import json
import statistics
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from unittest import mock

import torch
from torch.profiler import ProfilerActivity, profile
from true_size_step import DEVICE, add_flags, build_model, random_row, train

from textgenome.configuration.configuration_textgenome import build_dna_config
from textgenome.data.prompts import as_prompt
from textgenome.inference import generate
from textgenome.inference.feature_cache import FeatureCache
from textgenome.modeling_dna_encoder import build_dna_encoder
from textgenome.serving.engine import Engine
from textgenome.serving.questions import Question


def seconds(run: Callable[[], object]) -> float:
    """By the clock, until the device is done."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def attempt(measure: Callable[[], dict]) -> dict:
    """What it finds, or its error; then the memory of its model is free."""
    try:
        return measure()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        gc.collect()
        torch.cuda.empty_cache()


def measure_step(args) -> dict:
    """With and without activation checkpointing and LoRA dropout; and with LoRA reading float32, as PEFT has it."""
    with mock.patch("textgenome.training.trainer.disable_input_dtype_casting", lambda *_, **__: nullcontext()):
        attempt(lambda: train(*build_model(args), args))  # warms up
        found = {"recipe, LoRA inputs in float32": attempt(lambda: train(*build_model(args), args))}
    return found | measure_settings(args)


def measure_liger(args) -> dict:
    """The same with Liger's kernels: last, since they stay for models of the same type that are built later."""
    return measure_settings(args, use_liger_kernel=True)


def measure_settings(args, **settings) -> dict:
    return {
        f"{'' if checkpointing else 'no '}checkpointing, LoRA dropout {dropout}": attempt(
            lambda: train(
                *build_model(args),
                args,
                activation_checkpointing=checkpointing,  # noqa: B023
                lora_dropout=dropout,  # noqa: B023
                **settings,
            )
        )
        for checkpointing, dropout in itertools.product((True, False), (0.05, 0.0))
    }


def measure_waits(args) -> dict:
    """How often a step waits for the device, by the line that does, and the kernels that take longest."""
    few = argparse.Namespace(**{**vars(args), "steps": 2})
    built = build_model(args)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        train(*built, few, lora_dropout=0.0)
        torch.cuda.set_sync_debug_mode("default")
    lines = Counter(f"{'/'.join(Path(each.filename).parts[-3:])}:{each.lineno}" for each in caught)
    built = build_model(args)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        train(*built, few, lora_dropout=0.0)
    kernels = profiler.key_averages().table(sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=80)
    args.output.with_suffix(".kernels.txt").write_text(kernels)
    return {"waits in 4 steps": dict(lines.most_common(40))}


def measure_generation(args) -> dict:
    """Tokens a second for prompts of the length of a training row, one by one and eight at a time."""
    model, processor = build_model(args)
    prompts = [as_prompt(random_row(args.window - i, args.text_tokens, seed=i)) for i in range(8)]
    found = {}
    for batch_size in (1, 8):
        asked = prompts if batch_size > 1 else prompts[:2]
        options = {"batch_size": batch_size, "max_new_tokens": args.new_tokens, "min_new_tokens": args.new_tokens}
        generate(model, processor, asked[:1], **options)
        taken = seconds(lambda: generate(model, processor, asked, **options))  # noqa: B023
        found[f"tokens a second, batches of {batch_size}"] = len(asked) * args.new_tokens / taken
    return found


def measure_cache(args) -> dict:
    """Seconds to encode 16 windows, and to read their features from a file."""
    model, processor = build_model(args)
    ids = torch.tensor(
        [processor.dna_tokenizer(random_row(args.window, 2, i)["reference_sequence"])["input_ids"] for i in range(16)],
        device=DEVICE,
    )
    mask, found = torch.ones_like(ids), {}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        cache = FeatureCache(model.model, folder, 1e12)
        model.model.encode_dna(ids[:1], mask[:1])
        found["encoded, s"] = seconds(lambda: cache.encode_dna(ids, mask))
        found["written, s"] = seconds(cache.write)
        found["read, s"] = seconds(lambda: cache.encode_dna(ids, mask))
    return found


@torch.inference_mode()
def measure_hyenadna(args) -> dict:
    """Seconds of a forward pass of HyenaDNA's largest shapes, by length."""
    shapes = {"model_type": "hyenadna", "d_model": 256, "d_inner": 1024, "n_layer": 1 if args.tiny else 8}
    encoder = build_dna_encoder(build_dna_config({**shapes, "max_seq_len": max(args.lengths)})).eval().to(DEVICE)
    found = {}
    for length in args.lengths:
        ids = torch.full((1, length), 7, device=DEVICE)
        encoder(ids)
        found[f"{length} bases, s"] = seconds(lambda: encoder(ids))  # noqa: B023
    return found


def measure_service(args) -> dict:
    """Answers a second of 64 questions at once, and seconds to a short answer, alone and beside a long one."""
    model, processor = build_model(args)
    engine = Engine(model=model, processor=processor)
    rows = [random_row(args.window, 32, seed=i) for i in range(64)]

    async def answer(row: dict, tokens: int) -> float:
        started = time.perf_counter()
        async for _ in engine.ask(Question(as_prompt(row), prompt_tokens=0, max_tokens=tokens)):
            pass
        return time.perf_counter() - started

    async def measure() -> dict:
        answering = asyncio.create_task(engine.run())
        await answer(rows[0], 2)
        alone = [await answer(row, 2) for row in rows[:3]]
        long = asyncio.create_task(answer(rows[3], 8 * args.new_tokens))
        while not engine.batches or not engine.batches[0].answers[0].tokens:
            await asyncio.sleep(0.01)
        beside = await answer(rows[4], 2)
        await long
        started = time.perf_counter()
        await asyncio.gather(*(answer(row, args.new_tokens) for row in rows))
        rate = len(rows) / (time.perf_counter() - started)
        answering.cancel()
        return {"short answer alone, s": statistics.median(alone), "beside a long one, s": beside, "answers/s": rate}

    return asyncio.run(measure())


MEASUREMENTS = {
    "training step": measure_step,
    "waits": measure_waits,
    "generation": measure_generation,
    "feature cache": measure_cache,
    "HyenaDNA": measure_hyenadna,
    "service": measure_service,
    "training step with Liger": measure_liger,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_flags(parser, steps=5)
    parser.add_argument("--new_tokens", type=int, default=32, help="Of an answer.")
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 32_768, 262_144], help="Of HyenaDNA.")
    parser.add_argument("--output", type=Path, default=Path("gpu.json"), help="JSON file.")
    args = parser.parse_args()
    packages = ("textgenome", "torch", "transformers", "trl", "peft")
    results = {
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu",
        "versions": {name: metadata.version(name) for name in packages},
        "settings": {name: value for name, value in vars(args).items() if name != "output"},
    }
    for name, measure in MEASUREMENTS.items():
        started = time.perf_counter()
        found = attempt(lambda: measure(args))  # noqa: B023
        results[name] = {**found, "seconds in all": round(time.perf_counter() - started, 1)}
        args.output.write_text(json.dumps(results, indent=2) + "\n")  # what is there is not lost if the next one hangs
        print(name, results[name], flush=True)


if __name__ == "__main__":
    main()
