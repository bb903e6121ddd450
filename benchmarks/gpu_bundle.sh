#!/bin/sh
# Collects what benchmarks/gpu.sh needs but torch and numpy: textgenome and the pinned packages, without what they depend
# on further, as a folder that goes before those of the machine. Usage: sh benchmarks/gpu_bundle.sh [PYTHON VERSION]
set -e
cd "$(dirname "$0")/.."
python=${1:-3.12} bundle=outputs/gpu_bundle most=64000000
names="accelerate annotated-doc annotated-types anyio certifi charset-normalizer click datasets dill filelock fsspec
    h11 httpcore2 httpx2 huggingface_hub idna Jinja2 liger_kernel markdown-it-py MarkupSafe mdurl multiprocess
    packaging pandas peft psutil pyarrow pydantic pydantic_core Pygments python-dateutil PyYAML regex requests
    rich safetensors shellingham six sniffio tokenizers tqdm transformers trl truststore typer typing-inspection
    typing_extensions urllib3 xxhash"
pip() { .venv/bin/python -m pip --quiet "$@"; }
rm -rf "$bundle" "$bundle.tar.xz"
# By this name dill, with which datasets hashes what it does to rows, knows modules that it need not look into.
mkdir -p "$bundle/site-packages" "$bundle/benchmarks"
for name in $names; do
    grep -i "^$name==" constraints.txt || echo "$name: not in constraints.txt, left out" >&2
done > "$bundle/versions.txt"
pip install --no-deps --no-compile --only-binary=:all: --python-version "$python" --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --target "$bundle/site-packages" --requirement "$bundle/versions.txt"
pip wheel --no-deps --wheel-dir "$bundle" .
pip install --no-deps --no-compile --python-version "$python" --only-binary=:all: \
    --target "$bundle/site-packages" "$bundle"/textgenome-*.whl
cp benchmarks/gpu.py benchmarks/gpu.sh benchmarks/true_size_step.py "$bundle/benchmarks"
# Tests and headers: without them it fits where a bundle may be small.
find "$bundle/site-packages" -type d \( -name tests -o -name include \) -prune -exec rm -rf {} +
rm -rf "$bundle"/*.whl "$bundle/site-packages/bin"
tar -cJf "$bundle.tar.xz" -C outputs gpu_bundle
size=$(wc -c < "$bundle.tar.xz")
echo "$bundle.tar.xz: $size bytes, for Python $python"
[ "$size" -lt "$most" ] || { echo "It is larger than $most bytes." >&2; exit 1; }
