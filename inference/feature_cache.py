"""Keeping what a frozen DNA encoder makes of each sequence, so that training encodes it once."""

import hashlib
import json
from math import ceil
from pathlib import Path
from uuid import uuid4

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, TrainerCallback
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.utils import logging

from textgenome.configuration.configuration_textgenome import bases_per_state


logger = logging.get_logger(__name__)

SHARD_BYTES = 64 * 2**20
TOLD_BY_WEIGHTS = {"_name_or_path", "architectures", "dtype"}
# Processes that hold parts of an encoder have to call it together, and would wait for one that found its features.
SHARDED = "cache_dna_features needs a whole DNA encoder on each device: use DDP, ZeRO-1 or ZeRO-2, not ZeRO-3 or FSDP."


class FeatureCache:
    """Stands in for `encode_dna` of a model whose encoder is frozen, and calls it only for sequences it does not know.

    A sequence is known by its token ids, the precision that autocast computes in, and, in the name of the folder, by
    all that the features depend on (`encoder_key`): what changes makes another entry, so no entry is ever out of
    date. Entries are gathered into memory-mapped safetensors files, each written under a lock and renamed when whole.
    Several processes may share the folder; what a killed one had not written is encoded again. So is a file in which
    an entry does not have its checksum any more, which is compared whenever one is read.

    Args:
        model: A model with `encode_dna`, such as `TextGenomeModel`, or one that wraps it.
        folder: Where to keep the features, which tell as much as the DNA itself: keep it as private.
        max_bytes: Most bytes of files in it. Past them features are encoded as without a cache.
    """

    def __init__(self, model: PreTrainedModel, folder: str | Path, max_bytes: float):
        self.model = find_encoding_model(model)
        self.folder = Path(folder)
        self.key = encoder_key(self.model)
        self.max_bytes = max_bytes
        self.full = False
        self.shards = {}  # file to the open file
        self.entries = {}  # name to the file that holds it, and the checksum
        self.unwritten = {}  # name to the features
        self.num_encoded = self.num_read = self.tokens_read = 0
        (self.folder / self.key).mkdir(parents=True, exist_ok=True)
        self.open_shards()

    def encode_dna(self, input_ids: torch.LongTensor, attention_mask: torch.LongTensor) -> torch.Tensor:
        """As `TextGenomeModel.encode_dna`, for sequences with their padding to the right."""
        lengths = attention_mask.sum(-1).tolist()
        names = [self.name(ids[:length], input_ids.device) for ids, length in zip(input_ids.cpu(), lengths)]
        if not all(name in self.entries or name in self.unwritten for name in names):
            self.open_shards()  # of other processes
        known = {name: self.read(name) for name in names}
        missing = [i for i, name in enumerate(names) if known[name] is None]
        new = {}
        if missing:
            width = max(lengths[i] for i in missing)
            rows = self.compute(input_ids[missing, :width], attention_mask[missing, :width])
            new = {names[i]: row for i, row in zip(missing, rows)}
        features = [new[name] if name in new else known[name].to(input_ids.device) for name in names]
        self.num_encoded += len(missing)
        self.num_read += len(names) - len(missing)
        self.tokens_read += sum(lengths) - sum(lengths[i] for i in missing)
        if new and not self.full:
            self.unwritten |= {name: row.cpu().clone() for name, row in new.items()}
            if sum(row.nbytes for row in self.unwritten.values()) >= SHARD_BYTES:
                self.write()
        return pad_sequence(features, batch_first=True)

    def compute(self, input_ids: torch.LongTensor, attention_mask: torch.LongTensor) -> list[torch.Tensor]:
        """What the encoder makes of sequences that are not known: for each `(states, width)`."""
        states = type(self.model).encode_dna(self.model, input_ids, attention_mask).detach()
        step = bases_per_state(self.model.config.dna_config)
        return [row[: ceil(length / step)] for row, length in zip(states, attention_mask.sum(-1).tolist())]

    def name(self, ids: torch.LongTensor, device: torch.device) -> str:
        autocasts = torch.is_autocast_enabled(device.type)
        precision = str(torch.get_autocast_dtype(device.type)) if autocasts else ""
        return hashlib.sha256(precision.encode() + ids.numpy().tobytes()).hexdigest()

    def read(self, name: str) -> torch.Tensor | None:
        """The features of a sequence, None where they are not known; a file whose entry is damaged is removed."""
        if name in self.unwritten:
            return self.unwritten[name]
        if name not in self.entries:
            return None
        path, checksum = self.entries[name]
        features = self.shards[path].get_tensor(name)
        if checksum == self.checksum(name, features):
            return features
        self.remove(path, "an entry is damaged")
        return None

    def checksum(self, name: str, features: torch.Tensor) -> str:
        whose = f"{self.key} {name} {features.dtype} {tuple(features.shape)}"
        digest = hashlib.blake2b(whose.encode(), digest_size=16)
        digest.update(features.contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def remove(self, path: Path, reason: object) -> None:
        logger.warning(f"{path}: {reason}. Removed the file; its sequences are encoded again.")
        path.unlink(missing_ok=True)
        self.shards.pop(path, None)
        self.entries = {name: entry for name, entry in self.entries.items() if entry[0] != path}

    def open_shards(self) -> None:
        """Open files that were written since; remove those that were cut off, for their entries to be made again."""
        for path in (self.folder / self.key).glob("*.safetensors"):
            if path in self.shards:
                continue
            try:
                self.shards[path] = shard = safe_open(path, framework="pt")
            except FileNotFoundError:
                continue  # another process was faster to remove it
            except SafetensorError as error:
                self.remove(path, error)
                continue
            checksums = shard.metadata() or {}
            self.entries |= {name: (path, checksums.get(name)) for name in shard.keys()}

    def write(self) -> None:
        """Write what is not yet in a file, as far as `max_bytes` go."""
        if not self.unwritten:
            return
        with FileLock(self.folder / ".lock"):
            self.open_shards()
            for path in (self.folder / self.key).iterdir():
                if path.suffix != ".safetensors":
                    path.unlink()  # left by a killed process: who holds the lock is the only one that writes
            used = sum(path.stat().st_size for path in self.folder.glob("*/*.safetensors"))
            kept = {}
            for name in self.unwritten.keys() - self.entries.keys():
                used += self.unwritten[name].nbytes + 320  # of the header
                if used > self.max_bytes:
                    self.full = True
                    break
                kept[name] = self.unwritten[name].contiguous()  # those of convolutions are turned
            self.unwritten = {}
            if kept:
                path = self.folder / self.key / f"{uuid4().hex}.safetensors"
                try:
                    checksums = {name: self.checksum(name, features) for name, features in kept.items()}
                    save_file(kept, path.with_suffix(".unfinished"), checksums)
                    path.with_suffix(".unfinished").rename(path)
                except (OSError, SafetensorError) as error:
                    self.full = True
                    logger.warning(f"{path}: {error}")
        self.open_shards()
        if self.full:
            logger.warning(f"{self.folder} is full: further DNA features are not kept.")


class CacheDNAFeatures(TrainerCallback):
    """Uses a cache during training, evaluations in between included, and logs what it saved this process.

    The arguments are those of `FeatureCache`.

    Raises:
        ValueError: If the encoder is trained, or sharded by ZeRO-3.
    """

    def __init__(self, model: PreTrainedModel, folder: str | Path, max_bytes: float):
        if find_encoding_model(model).trains_dna_encoder:
            raise ValueError("cache_dna_features needs a frozen DNA encoder: what a trained one makes of DNA changes.")
        if is_deepspeed_zero3_enabled():
            raise ValueError(SHARDED)
        self.folder, self.max_bytes = folder, max_bytes

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if any(isinstance(module, FSDPModule | FullyShardedDataParallel) for module in model.modules()):
            raise ValueError(SHARDED)
        # Not before: DeepSpeed has turned the weights, which the key is made of, to another type.
        self.cache = FeatureCache(model, self.folder, self.max_bytes)
        self.cache.model.encode_dna = self.cache.encode_dna

    def on_epoch_end(self, args, state, control, **kwargs):
        self.cache.write()

    def on_save(self, args, state, control, **kwargs):
        self.cache.write()

    def on_train_end(self, args, state, control, **kwargs):
        self.cache.write()
        del self.cache.model.encode_dna
        logger.warning(
            f"Cached DNA features: {self.cache.num_encoded:,} sequences encoded, {self.cache.num_read:,} read from "
            f"{self.cache.folder}, which saved the encoder {self.cache.tokens_read:,} tokens."
        )


def find_encoding_model(model: nn.Module) -> nn.Module:
    """The part of a model that has `encode_dna`."""
    return next(module for module in model.modules() if hasattr(type(module), "encode_dna"))


def encoder_key(model: PreTrainedModel) -> str:
    """A hash of all that features depend on but the sequence: the weights of the encoder, their type, its
    configuration with the version of transformers, and what is used of it. Weights tell more than a name and a
    revision: a folder may be overwritten."""
    config = model.config
    layer = config.dna_feature_layer % (config.dna_config.num_hidden_layers + 1)
    chosen = config.dna_feature_module or layer, config.both_strands, config.dna_complement_map
    # Where it was loaded from, and as what, tells nothing that the weights do not.
    told = {name: value for name, value in config.dna_config.to_dict().items() if name not in TOLD_BY_WEIGHTS}
    digest = hashlib.sha256(f"{json.dumps(told, sort_keys=True, default=str)} {chosen}".encode())
    for name, tensor in sorted(model.dna_encoder.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


__all__ = ["CacheDNAFeatures", "FeatureCache", "encoder_key"]
