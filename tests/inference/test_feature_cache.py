import logging as python_logging
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from textgenome.inference.feature_cache import CacheDNAFeatures, FeatureCache, encoder_key


@pytest.fixture
def model(tiny_model):
    tiny_model.model.dna_encoder.requires_grad_(False)
    return tiny_model.train()


def batch_of(*lengths: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(7, 11, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return ids.masked_fill(~mask, 4), mask.long()


def count_calls(model) -> list[int]:
    sequences = []
    model.model.dna_encoder.register_forward_pre_hook(lambda _, args: sequences.append(len(args[0])))
    return sequences


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


def test_each_sequence_is_encoded_once_and_comes_back_equal(model, tmp_path):
    batch = batch_of(9, 20, 13)
    expected = model.model.encode_dna(*batch)
    calls = count_calls(model)
    cache = FeatureCache(model, tmp_path, 1e9)
    valid = batch[1].bool()
    for _ in range(2):
        torch.testing.assert_close(cache.encode_dna(*batch)[valid], expected[valid], atol=1e-6, rtol=0)
    cache.write()
    again = FeatureCache(model, tmp_path, 1e9)  # as another process, or a run that resumes
    assert torch.equal(again.encode_dna(*batch), cache.encode_dna(*batch))
    assert calls == [3]
    ids, mask = (torch.cat([new, old[:, :9]]) for new, old in zip(batch_of(9, seed=1), batch))
    assert again.encode_dna(ids, mask).shape == (4, 9, 16)
    assert calls == [3, 3], "of the four, the full row of nine bases is known; two longer ones are now cut"


def test_states_with_channels_first_in_memory_are_kept(model, tmp_path):
    def turn(_, args, output):
        output["last_hidden_state"] = output.last_hidden_state.transpose(1, 2).contiguous().transpose(1, 2)

    model.model.dna_encoder.register_forward_hook(turn)
    cache, batch = FeatureCache(model, tmp_path, 1e9), batch_of(9, 9)
    states = cache.encode_dna(*batch)
    cache.write()
    assert len(files(tmp_path)) == 1 and torch.equal(FeatureCache(model, tmp_path, 1e9).encode_dna(*batch), states)


def test_another_encoder_layer_type_or_precision_makes_new_entries(model, tmp_path):
    keys = [encoder_key(model.model)]
    model.model.config.dna_feature_layer = 1
    keys.append(encoder_key(model.model))
    with torch.no_grad():
        model.model.dna_encoder.layers[0].mixer.in_proj.weight[0, 0] += 1e-3
    keys.append(encoder_key(model.model))
    model.bfloat16()
    keys.append(encoder_key(model.model))
    assert len(set(keys)) == 4

    model.float()
    calls, cache = count_calls(model), FeatureCache(model, tmp_path, 1e9)
    cache.encode_dna(*batch_of(9))
    with torch.autocast("cpu", torch.bfloat16):
        cache.encode_dna(*batch_of(9))
    assert calls == [1, 1]


def test_a_file_that_was_cut_off_is_made_again(model, tmp_path, caplog):
    batch = batch_of(9, 20)
    cache = FeatureCache(model, tmp_path, 1e9)
    expected = cache.encode_dna(*batch)
    cache.write()
    (path,) = files(tmp_path)
    del cache
    os.truncate(path, path.stat().st_size - 4)
    path.with_suffix(".unfinished").touch()

    calls = count_calls(model)
    logging.enable_propagation()
    with caplog.at_level(python_logging.WARNING):
        cache = FeatureCache(model, tmp_path, 1e9)
    logging.disable_propagation()
    assert f"{path}: " in caplog.text and "encoded again" in caplog.text
    assert torch.equal(cache.encode_dna(*batch), expected) and calls == [2]
    cache.write()
    assert len(files(tmp_path)) == 1 and not list(tmp_path.glob("*/*.unfinished"))
    FeatureCache(model, tmp_path, 1e9).encode_dna(*batch)
    assert calls == [2]


@pytest.mark.parametrize("place", ["first byte", "middle", "last byte", "checksum", "no checksums"])
def test_a_file_with_flipped_bytes_is_made_again(model, tmp_path, caplog, place):
    batch = batch_of(9, 20)
    cache = FeatureCache(model, tmp_path, 1e9)
    expected = cache.encode_dna(*batch)
    cache.write()
    (path,) = files(tmp_path)
    del cache
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")  # of the numbers, behind the header
    if place == "no checksums":
        save_file(load_file(path), path)
    else:
        checksum = content.index(b'":"', content.index(b"__metadata__") + 20) + 5
        places = {"first byte": start, "middle": (start + len(content)) // 2, "last byte": -1, "checksum": checksum}
        content[places[place]] ^= 1
        path.write_bytes(content)

    calls, cache = count_calls(model), FeatureCache(model, tmp_path, 1e9)
    logging.enable_propagation()
    with caplog.at_level(python_logging.WARNING):
        again = cache.encode_dna(*batch)
    logging.disable_propagation()
    torch.testing.assert_close(again, expected, atol=1e-6, rtol=0)
    assert calls and f"{path}: an entry is damaged. Removed the file" in caplog.text
    assert not path.exists()
    cache.write()
    for _ in range(2):
        calls.clear()
        cache = FeatureCache(model, tmp_path, 1e9)
        torch.testing.assert_close(cache.encode_dna(*batch), expected, atol=1e-6, rtol=0)
        cache.write()
    assert not calls


def test_processes_share_what_they_encode_and_store_it_once(model, tmp_path):
    first, second = (FeatureCache(model, tmp_path, 1e9) for _ in range(2))
    first.encode_dna(*batch_of(9, 20))
    second.encode_dna(*batch_of(9, 20))
    first.write()
    second.write()
    assert len(files(tmp_path)) == 1
    first.encode_dna(*batch_of(11, seed=1))
    first.write()
    calls = count_calls(model)
    second.encode_dna(*batch_of(11, seed=1))
    assert calls == []


def test_the_budget_is_kept(model, tmp_path):
    entry = 20 * 16 * 4
    cache = FeatureCache(model, tmp_path, 3.5 * entry)
    ids, mask = batch_of(20, 20, 20, 20)
    for i in range(4):
        cache.encode_dna(ids[i : i + 1], mask[i : i + 1])
        cache.write()
    assert cache.full
    assert 0 < sum(path.stat().st_size for path in files(tmp_path)) <= 3.5 * entry
    expected = model.model.encode_dna(ids, mask)
    torch.testing.assert_close(cache.encode_dna(ids, mask), expected, atol=1e-6, rtol=0)


def test_features_of_weights_that_an_engine_turned_to_another_type_are_others(model, tmp_path):
    callback = CacheDNAFeatures(model, tmp_path, 1e9)
    before = encoder_key(model.model)
    for each in model.parameters():
        each.data = each.data.bfloat16()  # as DeepSpeed does between the making of a trainer and the first step
    callback.on_train_begin(None, None, None, model=model)
    assert callback.cache.key == encoder_key(model.model) != before


def test_an_encoder_that_is_trained_is_refused(tiny_model, tmp_path):
    with pytest.raises(ValueError, match="needs a frozen DNA encoder"):
        CacheDNAFeatures(tiny_model, tmp_path, 1e9)
