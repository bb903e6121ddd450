import os


# Set before torch is imported: tiny matrices cost more to share between threads than they take.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import random
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForMultimodalLM, AutoProcessor, AutoTokenizer, set_seed
from transformers.utils import logging

import textgenome  # noqa: F401
from textgenome.data.starter_genome import write_starter_genome
from textgenome.processing import build_dna_tokenizer, build_processor


torch.set_num_threads(1)
logging.disable_progress_bar()

ROOT = Path(__file__).parents[1]
TINY_CHECKPOINT = ROOT / "tests" / "tiny_checkpoint"
SHARED = ROOT.parent / "shared"


@pytest.fixture(autouse=True)
def seed():
    set_seed(0)


@pytest.fixture
def captured(caplog):
    """Messages of the package, whatever its own logger hands on."""
    logger = logging.get_logger("textgenome")
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)


@pytest.fixture(scope="session")
def tiny_processor():
    return AutoProcessor.from_pretrained(TINY_CHECKPOINT)


@pytest.fixture
def tiny_model():
    return AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT).eval()


@pytest.fixture(scope="session")
def starter_genome(tmp_path_factory):
    return write_starter_genome(tmp_path_factory.mktemp("genome"))


@pytest.fixture(scope="session")
def kegg_folder():
    folder = SHARED / "data" / "kegg"
    if not folder.exists():
        pytest.skip("the public KEGG rows are not beside this checkout (../shared/data/kegg)")
    return folder


@pytest.fixture(scope="session")
def qwen3_processor():
    folder = SHARED / "assets" / "qwen3_tokenizer"
    if not folder.exists():
        pytest.skip("the Qwen3 tokenizer is not beside this checkout (../shared/assets/qwen3_tokenizer)")
    return build_processor(AutoTokenizer.from_pretrained(folder), build_dna_tokenizer("genos"))


def random_dna(length: int, seed: int = 0) -> str:
    return "".join(random.Random(f"{length} {seed}").choices("ACGT", k=length))


def variant_row(length: int = 40, seed: int = 0, **columns) -> dict:
    reference = random_dna(length, seed)
    middle = length // 2
    variant = reference[:middle] + ("A" if reference[middle] != "A" else "C") + reference[middle + 1 :]
    row = {"question": "What?", "answer": "cancer", "reference_sequence": reference, "variant_sequence": variant}
    return {**row, **columns}


def save_adapter(folder: Path) -> Path:
    """An adapter on the tiny checkpoint that changes what it writes, with its processor."""
    targets = r".*\.language_model\..*\.(q_proj|v_proj)"
    config = LoraConfig(r=4, target_modules=targets, modules_to_save=["projector"], task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    AutoProcessor.from_pretrained(TINY_CHECKPOINT).save_pretrained(folder)
    return folder


def conversation(*dna: str, question: str = "What does it do?", answer: str | None = None) -> list[dict]:
    blocks = [{"type": "dna", "dna": sequence} for sequence in dna]
    messages = [{"role": "user", "content": [*blocks, {"type": "text", "text": question}]}]
    if answer is not None:
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return messages
