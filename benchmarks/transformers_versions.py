"""Does an exported folder answer the same on several versions of transformers?

Each version gets a virtual environment of its own, on top of the packages of this one, in which textgenome cannot be
imported. Needs the package registry. Example run:

    textgenome export outputs/starter exported
    python benchmarks/transformers_versions.py exported --versions 5.18.* newest
"""

import argparse
import subprocess
import sys
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file

from textgenome.hub_card import probe


VERSIONS = """
import huggingface_hub, tokenizers, transformers
print(*(f"{each.__name__} {each.__version__}" for each in (transformers, huggingface_hub, tokenizers)), sep=", ")
"""


def environment(folder: Path, version: str) -> Path:
    """Make a virtual environment with this version of transformers; return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    packages = next(folder.glob("lib/python*/site-packages"))
    # All other packages are taken from here.
    paths = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "packages.pth").write_text("\n".join(paths) + "\n")
    wanted = "transformers" if version == "newest" else f"transformers=={version}"
    result = subprocess.run([python, "-m", "pip", "install", "--upgrade", wanted], capture_output=True, text=True)
    if result.returncode:
        sys.exit(result.stderr)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="What `textgenome export` wrote.")
    parser.add_argument("--versions", nargs="+", metavar="VERSION", default=["5.18.*", "5.23.*", "5.24.*", "newest"])
    args = parser.parse_args()
    first, differs = None, False
    with TemporaryDirectory() as scratch:
        for number, version in enumerate(args.versions):
            python = environment(Path(scratch, str(number)), version)
            out = Path(scratch, f"{number}.safetensors")
            command = [
                python,
                "-P",
                probe.__file__,
                args.folder.resolve(),
                "main",
                "AutoModelForMultimodalLM",
                "model",
                out,
            ]
            subprocess.run(command, check=True, cwd=scratch)
            versions = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True).stdout.strip()
            found = load_file(out)
            first = first or found
            same = torch.equal(found["answer"], first["answer"])
            differs |= not same
            difference = (found["logits"] - first["logits"]).abs().max().item()
            answer = "the same answer" if same else "ANOTHER ANSWER"
            print(f"{versions}: {answer}, logits differ by up to {difference:.1e}", flush=True)
    sys.exit(differs)


if __name__ == "__main__":
    main()
