import json
from copy import copy

import pytest
from conftest import random_dna, variant_row
from datasets import Dataset
from transformers.utils import logging as transformers_logging

from textgenome.data import TextGenomeCollator, texts_of
from textgenome.data.conversations import BadRow, row_to_messages
from textgenome.data.prompts import cut_windows, reasons
from textgenome.data.rows import as_conversations, estimate_lengths, is_hub_id, list_splits, load_rows
from textgenome.processing import build_dna_tokenizer


@pytest.fixture
def propagated_log(caplog):
    transformers_logging.enable_propagation()
    yield caplog
    transformers_logging.disable_propagation()


def write(path, rows):
    table = Dataset.from_list(rows)
    writers = {".csv": table.to_csv, ".parquet": table.to_parquet, ".jsonl": table.to_json}
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        writers[path.suffix](path)
    return path


def test_kegg_columns_become_a_conversation():
    row = variant_row(reasoning="Step 1: It breaks.")
    assert row_to_messages(row) == [
        {
            "role": "user",
            "content": [
                {
                    "type": "variant",
                    "reference": row["reference_sequence"],
                    "variant": row["variant_sequence"],
                },
                {"type": "text", "text": "What?"},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Answer: cancer"}],
            "reasoning_content": "Step 1: It breaks.",
        },
    ]


@pytest.mark.parametrize("reasoning", [{}, {"reasoning": None}, {"reasoning": " "}, {"reasoning": "\u200b\u00ad"}])
def test_rows_without_reasoning(reasoning):
    assert not reasons(variant_row(**reasoning))
    assert "reasoning_content" not in row_to_messages(variant_row(**reasoning))[1]


def test_messages_stand_as_they_are_and_lose_their_dna_for_the_text_only_control():
    messages = [
        {"role": "user", "content": [{"type": "dna", "dna": "ACGT"}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": "cancer"},
    ]
    assert row_to_messages({"messages": messages}) == messages
    text_only = row_to_messages({"messages": messages}, dna="none")
    assert text_only[0]["content"] == [{"type": "text", "text": "What?"}] and text_only[1] == messages[1]
    assert row_to_messages(variant_row(), dna="none")[0]["content"] == [{"type": "text", "text": "What?"}]


def test_a_row_may_be_about_one_sequence():
    row = {"question": "What?", "sequence": "ACGT" * 500, "answer": "cancer", "reference_sequence": None}
    question, _ = row_to_messages(row, dna_window=32)
    assert question["content"] == [{"type": "dna", "dna": row["sequence"]}, {"type": "text", "text": "What?"}]
    for value, message in (("ACGX", "'X' at position 4"), ("", "empty")):
        with pytest.raises(BadRow, match=message) as error:
            row_to_messages({**row, "sequence": value})
        assert error.value.column == "sequence"
    pair = variant_row(sequence="ACGT")
    assert row_to_messages(pair)[0]["content"][0]["type"] == "variant"


def test_per_side_cuts_both_sequences_alike_and_keeps_a_variant_in_the_middle():
    row = variant_row(length=4001)
    sequences = row_to_messages(row, dna_truncation="per_side")[0]["content"][0]
    assert len(sequences["reference"]) == 4001 - 2048
    for length in (9, 200, 2040, 2047, 2048, 2049, 2056, 3000):
        for inserted in ("G", "GATTACAG"):
            start, end = random_dna(length, seed=1), random_dna(length, seed=2)
            pair = {"reference_sequence": start + end, "variant_sequence": start + inserted + end}
            for way in (pair, dict(zip(pair, reversed(pair.values())))):
                block = row_to_messages(variant_row(**way), dna_truncation="per_side")[0]["content"][0]
                lost = {len(way[column]) - len(block[column.split("_")[0]]) for column in pair}
                assert len(lost) == 1
                shorter, longer = sorted((block["reference"], block["variant"]), key=len)
                assert len(longer) - len(shorter) == len(inserted)
                assert shorter in (start + end) and longer in (start + inserted + end)


@pytest.mark.parametrize(
    "changed, left",
    [
        (lambda dna: "A" + dna[1:], "equal sequences"),  # a substitution, which is cut off
        (lambda dna: dna[1:], "another variant"),  # a deletion, behind which all is shifted
        (lambda dna: dna[:-1], "another variant"),
        (lambda dna: "A" + dna[1:2000] + "A" + dna[2001:], "a part of it"),
        (lambda dna: "AC\n" * 9 + dna[18:], "equal sequences"),  # line breaks are not bases
    ],
)
def test_a_pair_that_differs_where_per_side_cuts_is_a_bad_row(changed, left):
    reference = "C" + random_dna(1999) + "C" + random_dna(2000, seed=1)
    row = variant_row(reference_sequence=reference, variant_sequence=changed(reference))
    row_to_messages(row)
    with pytest.raises(BadRow, match=f"cutting 1024 bases per side leaves .*{left}") as error:
        row_to_messages(row, dna_truncation="per_side")
    assert error.value.column == "variant_sequence"
    with pytest.raises(ValueError, match="Row 0, column 'variant_sequence': cutting 1024 bases"):
        cut_windows([row], dna_truncation="per_side")


BAD = {
    "question": ({"question": None}, "question", "missing"),
    "empty question": ({"question": " "}, "question", "empty"),
    "question without width": ({"question": "\u200b\ufeff"}, "question", "empty"),
    "answer without width": ({"answer": " \u2060"}, "answer", "empty"),
    "answer in two lines": ({"answer": "cancer\nof the skin"}, "answer", "line break"),
    "surrogate": ({"question": "What\ud800?"}, "question", "a lone surrogate at position 4"),
    "answer": ({"answer": None}, "answer", "missing"),
    "number": ({"answer": 3}, "answer", "expected text, got int"),
    "reference": ({"reference_sequence": None}, "reference_sequence", "missing"),
    "empty": ({"variant_sequence": ""}, "variant_sequence", "empty"),
    "letter": ({"reference_sequence": "ACGTXACGT"}, "reference_sequence", "'X' at position 5"),
    "equal": (
        {"reference_sequence": "acgt", "variant_sequence": "ACGT"},
        "variant_sequence",
        "equal",
    ),
    "roles": ({"messages": [{"role": "user", "content": "x"}]}, "messages", "no turn of the assistant"),
    "shape": ({"messages": "x"}, "messages", "list of messages"),
    "block": (
        {"messages": [{"role": "user", "content": [{"type": "dna", "dna": "AC-"}]}, {"role": "assistant"}]},
        "messages[0].content[0]",
        "'-' at position 3",
    ),
    "kind": (
        {"messages": [{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant"}]},
        "messages[0].content[0]",
        "expected a block of the type `text`",
    ),
    "string block": (
        {"messages": [{"role": "user", "content": ["text"]}, {"role": "assistant", "content": "x"}]},
        "messages[0].content[0]",
        "expected a block",
    ),
    "content": ({"messages": [{"role": "assistant", "content": 3}]}, "messages[0].content", "text or a list"),
    "no content": ({"messages": [{"role": "assistant"}]}, "messages[0].content", "text or a list"),
    "no role": ({"messages": [{"content": "x"}, {"role": "assistant", "content": "x"}]}, "messages[0]", "no role"),
    "DNA from the assistant": (
        {"messages": [{"role": "assistant", "content": [{"type": "dna", "dna": "ACGT"}]}]},
        "messages[0].content[0]",
        "in a turn of the user",
    ),
    "long": (
        {"messages": [{"role": "user", "content": [{"type": "dna", "dna": "A" * 99}]}, {"role": "assistant"}]},
        "messages[0].content[0]",
        "the DNA of 99 bases has 99 tokens, but the encoder reads at most 64: lower dna_window",
    ),
    "reserved": ({"question": "Is <|dna_pad|> a token?"}, "question", "<|dna_pad|>, which is reserved"),
    "reserved in the answer": ({"answer": "one<|im_end|> two"}, "answer", "<|im_end|>, which is reserved"),
    "reserved in the reasoning": ({"reasoning": "a</think>b"}, "reasoning", "</think>, which is reserved"),
    "reserved in the role": (
        {"messages": [{"role": "user<|im_end|>", "content": "x"}, {"role": "assistant", "content": "x"}]},
        "messages[0].role",
        "must be system, user or assistant",
    ),
    "reserved over two blocks": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": text} for text in ("a", "b<|im_", "end|>c")]},
                {"role": "assistant", "content": "x"},
            ]
        },
        "messages[0].content[1]",
        "<|im_end|>, which is reserved",
    ),
    "reasoning in a list": (
        {"messages": [{"role": "assistant", "content": "x", "reasoning_content": ["<|im_end|>"]}]},
        "messages[0].reasoning_content",
        "expected text",
    ),
}


@pytest.mark.parametrize("columns, column, message", BAD.values(), ids=BAD)
def test_bad_rows_name_column_and_position(columns, column, message):
    with pytest.raises(BadRow) as error:
        row_to_messages(variant_row(**columns), dna_tokenizer=build_dna_tokenizer(model_max_length=64))
    assert error.value.column == column
    assert message in str(error.value)


def test_tokens_of_the_language_model_are_reserved_where_it_is_known(qwen3_processor):
    row = variant_row(answer="a <|vision_pad|> b")
    row_to_messages(row)
    with pytest.raises(BadRow, match="vision_pad"):
        row_to_messages(row, tokenizer=qwen3_processor.tokenizer)


def test_reasoning_may_stand_in_the_answer_of_a_conversation():
    answer = {"role": "assistant", "content": "<think>\nStep 1\n</think>\n\nAnswer: x"}
    assert row_to_messages({"messages": [answer]}) == [answer]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".parquet"])
def test_a_file_of_any_format(tmp_path, suffix):
    rows = [variant_row(seed=i, reasoning=f"Step {i}") for i in range(3)]
    assert load_rows(str(write(tmp_path / f"mine{suffix}", rows)), "train").to_list() == rows


@pytest.mark.parametrize("names", [("train", "val"), ("train-00000", "validation-00000"), ("my_train", "my_dev")])
def test_a_folder_with_splits_in_file_names(tmp_path, names):
    for i, name in enumerate(names):
        write(tmp_path / f"{name}.parquet", [variant_row(seed=i)])
    assert load_rows(str(tmp_path), "train").to_list() == [variant_row(seed=0)]
    assert load_rows(str(tmp_path), "val").to_list() == load_rows(str(tmp_path), "validation").to_list()
    assert load_rows(str(tmp_path), "val").to_list() == [variant_row(seed=1)]
    with pytest.raises(ValueError, match="no split 'test', only train, validation"):
        load_rows(str(tmp_path), "test")


def test_the_splits_of_a_table_are_listed(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(ValueError, match="there are no files that can be read"):
        list_splits(str(tmp_path))
    assert list_splits(str(write(tmp_path / "dev.csv", [variant_row()]))) == ["train"]
    assert list_splits(str(tmp_path)) == ["validation"]
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        list_splits(str(tmp_path / "none.csv"))


def test_formats_and_columns_may_differ_between_files(tmp_path):
    write(tmp_path / "train-0.csv", [variant_row()])
    write(tmp_path / "train-1.jsonl", [variant_row(seed=1, reasoning="Step 1")])
    write(tmp_path / "val.parquet", [variant_row(seed=2)])
    (tmp_path / "README.md").write_text("notes")
    rows = load_rows(str(tmp_path), "train")
    assert rows.to_list() == [variant_row(reasoning=None), variant_row(seed=1, reasoning="Step 1")]
    assert load_rows(str(tmp_path), "val").to_list() == [variant_row(seed=2)]


def test_a_csv_is_all_text(tmp_path):
    rows = [variant_row(answer=answer) for answer in ("NA", "None", "1")]
    assert load_rows(str(write(tmp_path / "mine.csv", rows)), "train")["answer"] == ["NA", "None", "1"]


def test_messages_with_text_and_blocks(tmp_path):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "dna", "dna": "ACGT"}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": "x"},
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"messages": messages}) + "\n")
    rows = as_conversations(load_rows(str(path), "train"))
    content = rows[0]["messages"][1]["content"]
    assert [block["type"] for block in content] == ["dna", "text"] and content[0]["dna"] == "ACGT"


def test_bad_rows_are_refused_with_file_row_and_column(tmp_path):
    rows = [variant_row(), variant_row(**BAD["letter"][0]), variant_row(question=None)]
    path = write(tmp_path / "mine.jsonl", rows)
    with pytest.raises(ValueError) as error:
        load_rows(str(path), "train")
    assert "2 of 3 rows are bad" in str(error.value) and "--on_bad_row skip" in str(error.value)
    assert "mine.jsonl, row 1, column 'reference_sequence': The character 'X' at position 5" in str(error.value)
    assert "mine.jsonl, row 2, column 'question'" in str(error.value)


def test_rows_are_counted_within_their_file(tmp_path):
    write(tmp_path / "train-0.parquet", [variant_row(), variant_row(seed=1)])
    write(tmp_path / "train-1.parquet", [variant_row(seed=2), variant_row(answer=" ")])
    with pytest.raises(ValueError, match=r"train-1.parquet, row 1, column 'answer'"):
        load_rows(str(tmp_path), "train")


def test_bad_rows_are_skipped_and_reported(tmp_path, propagated_log):
    bad = variant_row(variant_sequence="GATTACAGATTACAX")
    path = write(tmp_path / "mine.jsonl", [bad, variant_row(seed=1)])
    assert load_rows(str(path), "train", on_bad_row="skip").to_list() == [variant_row(seed=1)]
    assert "Left out mine.jsonl, row 0, column 'variant_sequence'" in propagated_log.text
    assert "GATTACA" not in propagated_log.text
    with pytest.raises(ValueError, match="no usable row"):
        load_rows(str(write(tmp_path / "bad.jsonl", [bad])), "train", on_bad_row="skip")


def test_a_missing_column_is_named(tmp_path):
    row = variant_row()
    del row["variant_sequence"]
    with pytest.raises(
        ValueError, match=r"Column 'variant_sequence': the column is missing .* has the columns question"
    ):
        load_rows(str(write(tmp_path / "mine.csv", [row])), "train")


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "mine.json").write_text("[{not json}]\n")
    with pytest.raises(ValueError, match=r"mine.json: cannot be read: Expecting property name"):
        load_rows(str(tmp_path / "mine.json"), "train")
    (tmp_path / "mine.parquet").write_text("")
    with pytest.raises(ValueError, match=r"mine.parquet: cannot be read: \w+"):
        load_rows(str(tmp_path / "mine.parquet"), "train")
    (tmp_path / "mine.vcf").write_text("x")
    with pytest.raises(ValueError, match=r"cannot read \.vcf files"):
        load_rows(str(tmp_path / "mine.vcf"), "train")


def test_a_line_that_is_no_json_is_a_bad_row(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text("{not json}\n[1]\n" + json.dumps(variant_row()) + "\n")
    with pytest.raises(ValueError, match=r"2 of 3 rows .*\nmine.jsonl, row 0, .* not a JSON object\n.* row 1, "):
        load_rows(str(path), "train")
    assert load_rows(str(path), "train", on_bad_row="skip").to_list() == [variant_row()]


@pytest.mark.parametrize("name", ["my_variants.csv", "./mine", "/no/such/folder"])
def test_a_mistyped_path_is_not_looked_for_on_the_hub(name):
    with pytest.raises(FileNotFoundError, match="there is no such file or folder"):
        load_rows(name, "train")


def test_a_users_file_leaves_no_copy_in_the_cache(tmp_path, monkeypatch):
    import datasets.config

    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    row = variant_row(length=500)
    load_rows(str(write(tmp_path / "mine.csv", [row])), "train")
    written = b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file()) if cache.exists() else b""
    assert row["reference_sequence"].encode() not in written


def test_the_built_in_rows():
    assert list_splits("starter") == ["train", "validation"]
    assert len(load_rows("starter", "val")) == 240
    with pytest.raises(ValueError, match="only train, validation"):
        load_rows("starter", "test")


@pytest.mark.parametrize("projector", ["linear", "pooled", "resampler"])
def test_estimated_lengths_are_near_the_real_ones(tiny_processor, projector):
    rows = Dataset.from_list([variant_row(20 * i, seed=i, question="What does it do? " * i) for i in range(2, 8)])
    conversations = as_conversations(rows)
    processor = copy(tiny_processor)
    processor.dna_window, processor.projector_type, processor.projector_full_resolution = 100, projector, 5
    processor.projector_num_queries = 10
    lengths = estimate_lengths(conversations, processor)
    assert lengths == sorted(lengths)
    longest = conversations[len(rows) - 1]
    batch = TextGenomeCollator(processor)([longest])
    estimated = lengths[-1] - sum(len(text) for text in texts_of([longest["messages"]])) // 4
    assert estimated == pytest.approx(int((batch["input_ids"] == processor.dna_token_id).sum()), rel=0.1)


@pytest.mark.parametrize("name", ["wanglab/kegg", "InstaDeepAI/nucleotide-transformer-v2-500m", "a/b.c_d", "0/1"])
def test_names_on_the_hub(name):
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        "kegg",
        "rows/train.csv",
        "./kegg",
        "../kegg",
        "a/../b",
        "a/b/c",
        "/a/b",
        "a/",
        "/b",
        "a/b--c",
        "a/b c",
        "-a/b",
    ],
)
def test_names_that_are_none_on_the_hub(name):
    assert not is_hub_id(name)


def test_a_folder_is_none_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_hub_id("owner/name") and is_hub_id("owner/other")
