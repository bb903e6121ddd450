import os
import random
import signal
import subprocess
import sys

import numpy
import pandas
import pytest
import torch
from conftest import TINY_CHECKPOINT, random_dna, save_adapter, variant_row
from safetensors.torch import load_file

from textgenome import HyenaDNAConfig, HyenaDNAForCausalLM, TextGenomeDNAForSequenceClassification
from textgenome.data.files import write_rows
from textgenome.data.forms import TableForm
from textgenome.data.sequences import reverse_complement
from textgenome.inference import embed, embedding_runs
from textgenome.inference.embedding_runs import embed_file
from textgenome.inference.feature_cache import encoder_key
from textgenome.processing import TextGenomeDNAProcessor, build_dna_tokenizer


GENOME = {"chr1": random_dna(3000, 1), "chr2": random_dna(90, 2)}
READS = 64


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    config = HyenaDNAConfig(d_model=16, d_inner=32, n_layer=2, max_seq_len=READS, initializer_range=0.2)
    return HyenaDNAForCausalLM(config).eval(), build_dna_tokenizer(model_max_length=READS)


@pytest.fixture(scope="module")
def model(encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    for part in encoder:
        part.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{name}\n{dna}\n" for name, dna in GENOME.items()))
    return path


def write_bed(folder, number, seed=0, sizes=(8, 30, 64, 100)):
    draw = random.Random(seed)
    lines = []
    for i in range(number):
        start, size = draw.randrange(2900), draw.choice(sizes)
        lines.append(f"chr1\t{start}\t{start + size}\tr{i}\t0\t{draw.choice('+-')}\n")
    (folder / "regions.bed").write_text("".join(lines))
    return folder / "regions.bed"


@pytest.fixture
def windows(tmp_path, fasta):
    """Forty windows, which are some twenty batches."""
    return {"fasta": fasta, "bed": write_bed(tmp_path, 40), "batch_bases": 100}


@pytest.fixture
def batches(monkeypatch):
    """The sequences of each batch that is encoded; `stop_at` is after how many of them that fails."""

    class Batches(list):
        stop_at = None

        def __call__(self, *args):
            if self.stop_at is not None and len(self) >= self.stop_at:
                raise RuntimeError("stopped")
            self.append(args[2])
            return embed_batch(*args)

    embed_batch, seen = embedding_runs.embed_batch, Batches()
    monkeypatch.setattr(embedding_runs, "embed_batch", seen)
    return seen


def vectors(path):
    return torch.from_numpy(numpy.stack(pandas.read_parquet(path)["embedding"]))


def test_records_of_a_fasta_file(model, encoder, fasta, tmp_path):
    place, number = embed_file(model, tmp_path / "e.parquet", fasta=fasta)
    table = pandas.read_parquet(place)
    assert number == 2 and list(table.columns) == "row name allele contig start end strand embedding".split()
    assert table[["row", "name", "contig", "start", "end", "strand"]].values.tolist() == [
        [0, "chr1", "chr1", 0, 3000, "+"],
        [1, "chr2", "chr2", 0, 90, "+"],
    ]
    torch.testing.assert_close(vectors(place), embed(*encoder, list(GENOME.values())), atol=1e-5, rtol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.parquet", "genome.fa", "genome.fa.fai"]


@pytest.mark.parametrize("pooling", ["max", "min", "last"])
def test_regions_of_either_strand_in_a_folder_of_safetensors(model, encoder, windows, tmp_path, pooling):
    place, number = embed_file(model, tmp_path / "out", pooling=pooling, **windows)
    rows, (shard,) = pandas.read_parquet(place / "rows.parquet"), place.glob("*.safetensors")
    found = load_file(shard)["embeddings"]
    assert number == len(rows) == len(found) == 40 and set(rows["strand"]) == {"+", "-"}
    letters = []
    for row in rows.itertuples():
        bases = GENOME["chr1"][row.start : row.end].ljust(row.end - row.start, "N")
        letters.append(bases if row.strand == "+" else reverse_complement(bases))
    torch.testing.assert_close(found, embed(*encoder, letters, pooling), atol=1e-5, rtol=1e-5)
    assert set(rows["file"]) == {shard.name}


def test_all_states_are_kept_a_tile_a_row(model, encoder, fasta, tmp_path):
    file, _ = embed_file(model, tmp_path / "e.parquet", pooling="none", fasta=fasta, tile=50)
    folder, _ = embed_file(model, tmp_path / "e", pooling="none", fasta=fasta, tile=50)
    table, rows = pandas.read_parquet(file), pandas.read_parquet(folder / "rows.parquet")
    assert table[["tile_start", "tile_end"]].equals(rows[["tile_start", "tile_end"]])
    assert table[table["name"] == "chr2"][["tile_start", "tile_end"]].values.tolist() == [[0, 45], [45, 90]]
    states = torch.cat([torch.tensor([list(state) for state in each]) for each in table["states"]])
    expected = torch.cat(embed(*encoder, list(GENOME.values()), "none", tile=50))
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)
    tensors = load_file(folder / "embeddings-00001.safetensors")
    assert torch.equal(tensors["states"], states) and tensors["lengths"].tolist() == table["states"].map(len).tolist()
    assert torch.equal(tensors["spans"], torch.ones(3090, dtype=torch.int32))


def test_variants_have_a_row_for_each_allele(model, encoder, fasta, tmp_path):
    reference = GENOME["chr1"][100]
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (tmp_path / "v.vcf").write_text(f"{header}1\t101\t.\t{reference}\tN\t.\t.\t.\n")
    place, number = embed_file(model, tmp_path / "v.parquet", fasta=fasta, vcf=tmp_path / "v.vcf", window=21)
    table, window = pandas.read_parquet(place), GENOME["chr1"][90:111]
    assert number == 2 and table["allele"].tolist() == ["reference", "variant"]
    assert set(table["name"]) == {f"1:101:{reference}:N"} and table["start"].tolist() == [100, 100]
    expected = embed(*encoder, [window, window[:10] + "N" + window[11:]])
    torch.testing.assert_close(vectors(place), expected, atol=1e-5, rtol=1e-5)


def test_rows_of_a_table(model, encoder, tmp_path):
    pair = variant_row(40)
    write_rows([{"dna": "ACGTA", "name": "one"}, {"dna": None, **pair}], tmp_path / "train.jsonl")
    options = {"dataset_name": str(tmp_path / "train.jsonl"), "form": TableForm.parse("sequence=dna")}
    place, _ = embed_file(model, tmp_path / "e.parquet", **options)
    table = pandas.read_parquet(place)
    assert table["name"].tolist() == ["one", "1", "1"] and table["contig"].isna().all()
    sequences = ["ACGTA", pair["reference_sequence"], pair["variant_sequence"]]
    torch.testing.assert_close(vectors(place), embed(*encoder, sequences), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["e.parquet", "e"])
@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_a_run_that_was_stopped_goes_on_and_ends_as_another(model, windows, batches, tmp_path, name, pooling):
    batches.stop_at = 7
    with pytest.raises(RuntimeError, match="stopped"):
        embed_file(model, tmp_path / name, pooling=pooling, **windows)
    assert not (tmp_path / name).exists()
    batches.stop_at = None
    embed_file(model, tmp_path / name, pooling=pooling, **windows)
    done = len(batches)
    (tmp_path / "whole").mkdir()
    embed_file(model, tmp_path / "whole" / name, pooling=pooling, **windows)
    assert done > 10 and len(batches) == 2 * done, "no batch was encoded twice"
    for path in sorted((tmp_path / "whole").rglob("*.*")):
        again = tmp_path / path.relative_to(tmp_path / "whole")
        assert path.suffix == ".json" or path.read_bytes() == again.read_bytes()
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_run_that_was_stopped_while_it_wrote_the_output(model, windows, batches, tmp_path, monkeypatch):
    add, rows = embedding_runs.EmbeddingsWriter.add, []

    def stop(self, row, *args):
        rows.append(row)
        if len(rows) == 30:
            raise RuntimeError("stopped")
        add(self, row, *args)

    monkeypatch.setattr(embedding_runs.EmbeddingsWriter, "add", stop)
    for name in ("e", "f.parquet"):
        rows.clear()
        with pytest.raises(RuntimeError, match="stopped"):
            embed_file(model, tmp_path / name, **windows)
        encoded = len(batches)
        place, _ = embed_file(model, tmp_path / name, **windows)
        assert len(batches) == encoded
    assert len(pandas.read_parquet(place)) == 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_run_after_its_batch(model, windows, batches, tmp_path, monkeypatch, number):
    encode_batch = embedding_runs.embed_batch

    def interrupted(*args):
        if len(batches) == 3:
            os.kill(os.getpid(), number)
        return encode_batch(*args)

    monkeypatch.setattr(embedding_runs, "embed_batch", interrupted)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        embed_file(model, tmp_path / "e.parquet", **windows)
    assert len(batches) == 4 and signal.getsignal(number) is before
    assert len(list((tmp_path / "e.parquet.unfinished").glob("*.parquet"))) == 4
    monkeypatch.setattr(embedding_runs, "embed_batch", encode_batch)
    embed_file(model, tmp_path / "e.parquet", **windows)
    assert sum(map(len, batches)) == sum(-(-size // READS) for size in sizes(windows["bed"]))


def sizes(bed):
    return [int(end) - int(start) for _, start, end, *_ in map(str.split, bed.read_text().splitlines())]


def test_a_run_with_other_settings_is_refused(model, windows, batches, tmp_path):
    batches.stop_at = 3
    with pytest.raises(RuntimeError, match="stopped"):
        embed_file(model, tmp_path / "e.parquet", **windows)
    batches.stop_at = None
    with pytest.raises(ValueError, match=r"holds a run with other settings \(pooling\)"):
        embed_file(model, tmp_path / "e.parquet", pooling="max", **windows)
    embed_file(model, tmp_path / "e.parquet", **windows)
    encoded = len(batches)
    embed_file(model, tmp_path / "e.parquet", **windows)  # it is finished
    assert len(batches) == encoded
    with pytest.raises(ValueError, match=r"e\.parquet holds a run with other settings \(features\)"):
        embed_file(model, tmp_path / "e.parquet", features={"dna_feature_layer": 1}, **windows)
    write_bed(tmp_path, 40, seed=1)
    with pytest.raises(ValueError, match=r"other settings \(data_fingerprint\)"):
        embed_file(model, tmp_path / "e.parquet", **windows)


def test_what_was_there_before_is_not_overwritten(model, windows, tmp_path):
    (tmp_path / "mine.parquet").write_text("mine")
    (tmp_path / "mine").mkdir()
    for name in ("mine.parquet", "mine"):
        with pytest.raises(ValueError, match="is there already, and holds something else"):
            embed_file(model, tmp_path / name, **windows)
    with pytest.raises(ValueError, match=r"e\.csv: name a file that ends with \.parquet, or a folder"):
        embed_file(model, tmp_path / "e.csv", **windows)


def test_shares_together_are_the_whole(model, windows, tmp_path):
    whole, _ = embed_file(model, tmp_path / "e.parquet", **windows)
    parts = [embed_file(model, tmp_path / "e.parquet", shard=(i, 3), **windows)[0] for i in (1, 2, 3)]
    assert [part.name for part in parts] == [f"e-0000{i}-of-00003.parquet" for i in (1, 2, 3)]
    tables = pandas.concat(map(pandas.read_parquet, parts), ignore_index=True)
    assert tables["name"].tolist() == [f"r{i}" for i in range(40)] and tables["row"].tolist() == list(range(40))
    torch.testing.assert_close(torch.cat(list(map(vectors, parts))), vectors(whole), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="There is no share 41 of 41 of 40 sequences: name one from 1 to 40"):
        embed_file(model, tmp_path / "e.parquet", shard=(41, 41), **windows)


def test_a_cache_keeps_the_states_of_distinct_sequences(model, windows, tmp_path):
    whole, _ = embed_file(model, tmp_path / "e.parquet", **windows)
    places = [
        embed_file(model, tmp_path / f"{name}.parquet", cache_dir=tmp_path / "cache", **windows)[0] for name in "ab"
    ]
    assert list((tmp_path / "cache").glob("*/*.safetensors"))
    for place in places:
        torch.testing.assert_close(vectors(place), vectors(whole), atol=1e-5, rtol=1e-5)


def test_the_encoder_of_every_kind_of_checkpoint(model, encoder, fasta, tmp_path):
    expected = embed(*encoder, list(GENOME.values()))
    head = TextGenomeDNAForSequenceClassification.from_dna_pretrained(model, pooling_num_heads=1)
    processor = TextGenomeDNAProcessor(encoder[1])
    for name, saved in (("head", head), ("model", head.model)):
        saved.save_pretrained(tmp_path / name)
        processor.save_pretrained(tmp_path / name)
        place, _ = embed_file(str(tmp_path / name), tmp_path / f"{name}.parquet", fasta=fasta)
        torch.testing.assert_close(vectors(place), expected, atol=1e-5, rtol=1e-5)
    adapter = save_adapter(tmp_path / "adapter")
    places = [
        embed_file(str(name), tmp_path / f"{i}.parquet", fasta=fasta)[0]
        for i, name in enumerate((TINY_CHECKPOINT, adapter))
    ]
    assert torch.equal(*map(vectors, places)), "the adapter is one of the language model"


def test_a_cache_is_that_of_a_training_with_the_encoder(model, windows, tmp_path):
    embed_file(model, tmp_path / "e.parquet", cache_dir=tmp_path / "cache", **windows)
    head = TextGenomeDNAForSequenceClassification.from_dna_pretrained(model, pooling_num_heads=1)
    assert (tmp_path / "cache" / encoder_key(head.model)).is_dir()


def test_nothing_to_embed(model, fasta, tmp_path):
    (tmp_path / "none.bed").write_text("# none\n")
    with pytest.raises(ValueError, match=r"none\.bed: there is no region in it"):
        embed_file(model, tmp_path / "e.parquet", fasta=fasta, bed=tmp_path / "none.bed")
    with pytest.raises(OSError, match="there is no such folder"):
        embed_file(str(tmp_path / "no_model"), tmp_path / "e.parquet", fasta=fasta)


def arguments(model, windows, output):
    words = ["--model", model, "--fasta", windows["fasta"], "--bed", windows["bed"], "--output", output]
    return [sys.executable, "-m", "textgenome.commands", "embed", *map(str, words), "--batch_bases", "640"]


@pytest.mark.slow
def test_a_killed_run_of_5000_windows_goes_on(model, windows, tmp_path, batches):
    windows["bed"] = write_bed(tmp_path, 5000, sizes=(8, 12))
    unfinished = tmp_path / "e.parquet.unfinished"
    process = subprocess.Popen(arguments(model, windows, tmp_path / "e.parquet"))
    while len(list(unfinished.glob("*.parquet"))) < 20:
        assert process.poll() is None
    process.kill()
    process.wait()
    written = {path.name: path.stat().st_mtime_ns for path in unfinished.glob("*.parquet")}
    options = {**windows, "batch_bases": 640}
    place, _ = embed_file(model, tmp_path / "e.parquet", **options)
    repeated = len(batches)
    embed_file(model, tmp_path / "whole.parquet", **options)
    assert repeated + len(written) == len(batches) - repeated and len(written) >= 20
    assert vectors(place).equal(vectors(tmp_path / "whole.parquet"))


@pytest.mark.slow
def test_two_processes_share_the_batches(model, windows, tmp_path):
    launcher = ["torchrun", "--standalone", "--nproc_per_node", "2"]
    words = arguments(model, windows, tmp_path / "e.parquet")[1:]
    subprocess.run([sys.executable, "-m", "torch.distributed.run", *launcher[1:], *words], check=True)
    place, _ = embed_file(model, tmp_path / "alone.parquet", **{**windows, "batch_bases": 640})
    assert vectors(place).equal(vectors(tmp_path / "e.parquet"))
