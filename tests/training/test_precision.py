from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType

from textgenome.training.precision import KeepFloat32


def trainer_of(model, engine: DistributedType, mixed_precision: str = "bf16") -> SimpleNamespace:
    accelerator = SimpleNamespace(distributed_type=engine, mixed_precision=mixed_precision)
    return SimpleNamespace(model=model, accelerator=accelerator)


def test_frozen_filters_are_given_back_what_deepspeed_took(tiny_model):
    encoder = tiny_model.model.dna_encoder.requires_grad_(False)
    before = {name: each.clone() for name, each in encoder.named_parameters()}
    callback = KeepFloat32(trainer_of(tiny_model, DistributedType.DEEPSPEED))
    for each in tiny_model.parameters():
        each.data = each.data.bfloat16()
    callback.on_train_begin(None, None, None, model=tiny_model)
    for name, each in encoder.named_parameters():
        if "filter_fn" in name:
            assert torch.equal(each, before[name]) and each.dtype == torch.float32
        else:
            assert each.dtype == torch.bfloat16
    ids = torch.randint(7, 11, (1, 9))
    assert tiny_model.model.encode_dna(ids, torch.ones_like(ids)).dtype == torch.bfloat16


@pytest.mark.parametrize("engine", [DistributedType.DEEPSPEED, DistributedType.FSDP])
def test_an_engine_that_cannot_keep_them_is_refused(tiny_model, engine):
    tiny_model.model.dna_encoder.requires_grad_(engine == DistributedType.DEEPSPEED)
    with pytest.raises(ValueError, match=r"filter_fn.* must stay float32.*train with DDP, or with --bf16 false"):
        KeepFloat32(trainer_of(tiny_model, engine))
    KeepFloat32(trainer_of(tiny_model, engine, "no"))
    KeepFloat32(trainer_of(tiny_model, DistributedType.MULTI_GPU))
    tiny_model.model.dna_encoder = torch.nn.Linear(2, 2)
    KeepFloat32(trainer_of(tiny_model, engine))
