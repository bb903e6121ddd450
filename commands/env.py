"""`textgenome env`: versions and devices for a bug report."""

import os
import platform
import shutil
from importlib import metadata

import typer

from textgenome.commands.console import command


PACKAGES = "textgenome transformers torch tokenizers accelerate peft trl datasets huggingface_hub safetensors".split()
OPTIONAL_PACKAGES = ["deepspeed", "pysam"]


@command()
def env() -> None:
    """Print versions, devices, CUDA and compiler, to paste into a bug report. Nothing is sent anywhere."""
    import torch

    lines = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES + OPTIONAL_PACKAGES:
        try:
            lines[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            lines[package] = "not installed"
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    lines["CUDA of torch"] = torch.version.cuda or "none"
    lines["GPUs"] = ", ".join(devices) or "none"
    lines["CPU cores"] = str(os.cpu_count())
    compilers = [path for name in ("c++", "g++", "clang++", "nvcc") if (path := shutil.which(name))]
    lines["compilers"] = ", ".join(compilers) or "none"
    for name, value in lines.items():
        typer.echo(f"- {name}: {value}")
