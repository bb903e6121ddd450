"""A service in the process of the test."""

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

import requests
from conftest import random_dna

from textgenome import TextGenomeDNAConfig, TextGenomeDNAProcessor
from textgenome.processing import build_dna_tokenizer
from textgenome.serving.app import create_app
from textgenome.serving.connections import server_of
from textgenome.serving.engine import Engine
from textgenome.serving.limits import Limits


@dataclass
class Service:
    url: str
    engine: Engine
    gate: threading.Event  # while it is not set, the model stands still
    standing: threading.Event  # set once it does

    @contextmanager
    def held(self):
        """The model stands still over one question, so that others must wait."""
        self.standing.clear()
        self.gate.clear()
        body = {"reference_sequence": "ACGT", "variant_sequence": "ACTT", "question": "What?", "max_length": 1}
        asking = threading.Thread(target=requests.post, args=(f"{self.url}/predict",), kwargs={"json": body})
        asking.start()
        try:
            assert self.standing.wait(20)
            yield
        finally:
            self.gate.set()
            asking.join()

    def wait_until(self, condition, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never came to that"
            time.sleep(0.005)


@contextmanager
def serving(model, processor, limits: Limits | None = None, **options):
    """A service in this process, on a free port."""
    engine, gate, standing = Engine(limits, model, processor), threading.Event(), threading.Event()
    gate.set()

    def wait(*_):
        standing.set()
        gate.wait()

    hook = model.register_forward_pre_hook(wait)
    server = server_of(create_app(engine, "tiny", **options), engine.limits.connections)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        service = Service(f"http://127.0.0.1:{listening.getsockname()[1]}", engine, gate, standing)
        try:
            service.wait_until(lambda: server.started)
            yield service
        finally:
            gate.set()
            server.should_exit = True
            thread.join()
            hook.remove()


def say(model, processor, text: str):
    """Let the model say this, whatever it is asked about DNA, until the handle that is returned is removed."""
    ids, rest = processor.tokenizer(text)["input_ids"], []

    def force(_, args, kwargs, outputs):
        if kwargs.get("dna_input_ids") is not None:
            rest[:] = ids
        if outputs.logits.shape[1] == 1:
            outputs.logits[:] = -1e9
            outputs.logits[:, :, rest.pop(0)] = 0

    return model.register_forward_hook(force, with_kwargs=True)


def dense_head(model_class, **fields):
    """A tiny model with a head at the resolution of bases or bins, and its processor."""
    sizes = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 128, "initializer_range": 0.4}
    config = TextGenomeDNAConfig(dna_config=sizes, id2label={0: "one", 1: "two"}, num_sequences=1, **fields)
    return model_class(config).eval(), TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=128))


def vcf_of(reference: str, *places: int, sample: str | None = None) -> str:
    """A VCF file of substitutions on chr1, at 0-based places."""
    columns = "#CHROM POS ID REF ALT QUAL FILTER INFO".split() + (["FORMAT", "ann"] if sample else [])
    lines = ["##fileformat=VCFv4.2", "\t".join(columns)]
    for place in places:
        base = reference[place]
        cells = ["chr1", str(place + 1), ".", base, "A" if base != "A" else "C", ".", ".", "."]
        lines.append("\t".join(cells + (["GT", sample] if sample else [])))
    return "\n".join(lines) + "\n"


def variant_messages(length: int = 40, seed: int = 0, question: str = "What is lost?") -> list[dict]:
    reference = random_dna(length, seed)
    middle = length // 2
    variant = reference[:middle] + ("A" if reference[middle] != "A" else "C") + reference[middle + 1 :]
    block = {"type": "variant", "reference": reference, "variant": variant}
    return [{"role": "user", "content": [block, {"type": "text", "text": question}]}]
