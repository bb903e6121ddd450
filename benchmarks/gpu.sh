#!/bin/sh
# Runs benchmarks/gpu.py on a machine without a network, over its own torch. Unpack what `make gpu-bundle` made, then
#     sh gpu_bundle/benchmarks/gpu.sh [OPTIONS of gpu.py]
# It ends within 9 minutes; what is measured until then is in gpu.json.
set -e
here=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$here/site-packages${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
python3 - <<'EOF'
import sys

import torch

print("Python", sys.version.split()[0], "torch", torch.__version__, "CUDA", torch.version.cuda, torch.cuda.is_available())
for name in ("transformers", "trl", "peft", "datasets", "textgenome"):
    try:
        module = __import__(name)
        print(name, getattr(module, "__version__", ""))
    except Exception as error:
        print(f"{name} fails: {type(error).__name__}: {error}")
EOF
exec timeout 530 python3 "$here/benchmarks/gpu.py" "$@"
