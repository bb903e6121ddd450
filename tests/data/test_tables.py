import gzip
import json

import pyarrow
import pytest
from conftest import variant_row
from pyarrow import parquet

from textgenome.data.files import write_rows
from textgenome.data.rows import load_rows


COLUMNS = ("question", "answer", "reference_sequence", "variant_sequence")
ROW = variant_row()


def load(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_rows(str(path), "train", **options).to_list()


def csv_of(*rows, header=COLUMNS, delimiter=","):
    return "".join(delimiter.join(row) + "\n" for row in (header, *rows))


def fields(row, **changes):
    return [{**row, **changes}[column] for column in COLUMNS]


@pytest.mark.parametrize("suffix, delimiter", [(".csv", ","), (".tsv", "\t")])
def test_a_row_of_other_length_than_the_header_is_bad(tmp_path, suffix, delimiter):
    path, good = tmp_path / f"mine{suffix}", fields(ROW)
    content = csv_of(["Of this gene", *good], good, good[:3], delimiter=delimiter)
    with pytest.raises(ValueError) as error:
        load(path, content)
    assert "2 of 3 rows are bad. Fix them" in str(error.value)
    assert f"mine{suffix}, row 0, column 'variant_sequence': the row has 5 fields, but the header 4" in str(
        error.value
    )
    assert f"mine{suffix}, row 2, column 'variant_sequence': the row has 3 fields, but the header 4" in str(
        error.value
    )
    assert load(path, content, on_bad_row="skip") == [ROW]


def test_rows_that_are_all_too_long_do_not_shift_their_columns(tmp_path):
    with pytest.raises(ValueError, match="2 of 2 rows are bad"):
        load(tmp_path / "mine.csv", csv_of(*[["Of this gene", *fields(ROW)]] * 2))


def test_quoted_fields_hold_delimiters_line_breaks_and_long_sequences(tmp_path):
    long = variant_row(300_000)
    content = csv_of(fields(ROW, question='"Gene A, or\r\n""B""?"'), fields(long)) + "\n"
    assert load(tmp_path / "mine.csv", content) == [{**ROW, "question": 'Gene A, or\r\n"B"?'}, long]


@pytest.mark.parametrize("question", ['"Which', '"Which" signal'])
def test_quotes_that_do_not_fit_are_named_by_their_line(tmp_path, question):
    content = csv_of(fields(ROW), fields(ROW, question=question))
    with pytest.raises(ValueError, match=r"mine.csv: cannot be read: line 3: .* is each double quote closed"):
        load(tmp_path / "mine.csv", content, on_bad_row="skip")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_two_columns_of_one_name_are_refused(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    names, values = [*COLUMNS, "answer"], [*fields(ROW), "other"]
    if suffix == ".parquet":
        parquet.write_table(pyarrow.table([[value] for value in values], names=names), path)
        content = path.read_bytes()
    else:
        content = csv_of(values, header=names, delimiter="," if suffix == ".csv" else "\t")
    with pytest.raises(ValueError, match=rf"mine{suffix}: cannot be read: it has two columns of the name 'answer'"):
        load(path, content)


def test_an_empty_csv_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"mine.csv: cannot be read: it is empty"):
        load(tmp_path / "mine.csv", "")


def line(**changes):
    return json.dumps({**ROW, **changes}, ensure_ascii=False)


@pytest.mark.parametrize("layout", ["lines", "list", "pretty"])
def test_a_key_that_occurs_twice_is_a_bad_row(tmp_path, layout):
    twice = line()[:-1] + ', "answer": "glioma"}'
    messages = (
        '{"messages": [{"role": "user", "content": "a", "content": "b"}, {"role": "assistant", "content": "c"}]}'
    )
    rows = [line(), twice, messages]
    if layout == "pretty":
        rows = [row.replace(", ", ",\n ") for row in rows]
    content = f"[{', '.join(rows)}]" if layout == "list" else "\n".join(rows)
    with pytest.raises(ValueError) as error:
        load(tmp_path / "mine.json", content)
    assert "2 of 3 rows are bad" in str(error.value)
    assert "mine.json, row 1, column 'answer': the key 'answer' occurs twice" in str(error.value)
    assert "mine.json, row 2, column 'messages': the key 'content' occurs twice" in str(error.value)
    assert load(tmp_path / "mine.json", content, on_bad_row="skip") == [ROW]


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("compressed", [False, True])
def test_text_of_any_encoding_with_a_mark_is_read(tmp_path, encoding, compressed):
    row = {**ROW, "answer": "naïve 𝛽"}
    ending = ".gz" if compressed else ""
    contents = {
        ".json": json.dumps([row], ensure_ascii=False),
        ".jsonl": line(answer=row["answer"]) + "\n",
        ".csv": csv_of(fields(row)),
        ".tsv": csv_of(fields(row), delimiter="\t"),
    }
    for suffix, content in contents.items():
        data = content.encode(encoding)
        assert load(tmp_path / f"mine{suffix}{ending}", gzip.compress(data) if compressed else data) == [row]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".tsv"])
def test_utf_16_without_a_mark_is_refused(tmp_path, suffix):
    content = (line() if "json" in suffix else csv_of(fields(ROW))).encode("utf-16-le")
    with pytest.raises(ValueError, match=rf"mine{suffix}: cannot be read: line 1 holds a NUL byte"):
        load(tmp_path / f"mine{suffix}", content)


def test_a_byte_that_is_not_utf_8_is_a_bad_row(tmp_path):
    message = r"row 1, column 'answer': the text holds the byte 0xEF, which is not UTF-8, at position 2 \(U\+DCEF\)"
    for suffix, content in {
        ".csv": csv_of(fields(ROW), fields(ROW, answer="naïve")),
        ".jsonl": line() + "\n" + line(answer="naïve"),
    }.items():
        path = tmp_path / f"mine{suffix}"
        with pytest.raises(ValueError, match=f"mine{suffix}, {message}"):
            load(path, content.encode("latin-1"))
        assert load(path, content.encode("latin-1"), on_bad_row="skip") == [ROW]


LATER_LINES = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r"


def test_lines_of_json_end_with_a_line_feed_only(tmp_path):
    row = {**ROW, "question": f"a{LATER_LINES}b", "reasoning": "\u2028"}
    path = tmp_path / "mine.jsonl"
    assert write_rows([row, ROW], path) == 2
    assert load_rows(str(path), "train").to_list() == [row, {**ROW, "reasoning": None}]
    assert load(path, path.read_bytes().replace(b"\n", b"\r\n")) == [row, {**ROW, "reasoning": None}]


@pytest.mark.parametrize("column", ["answer", "note", "messages"])
def test_a_lone_surrogate_is_a_bad_row(tmp_path, column):
    value = [{"role": "assistant", "content": "\ud800"}] if column == "messages" else "x\ud800"
    content = json.dumps(ROW) + "\n" + json.dumps({**ROW, column: value})
    with pytest.raises(ValueError, match=rf"mine.jsonl, row 1, column '{column}': .* a lone surrogate at position \d"):
        load(tmp_path / "mine.jsonl", content)


@pytest.mark.parametrize("number", [str(2**63), str(-(2**63) - 1), str(2**64), "9" * 99, "9" * 5000], ids=len)
def test_an_integer_beyond_64_bits_is_a_bad_row(tmp_path, number):
    for content in (line(), f"[{line()}]"):
        content = content.replace("}", f', "id": {number}}}')
        with pytest.raises(ValueError, match=r"mine.json, row 0, column 'id': the integer has"):
            load(tmp_path / "mine.json", content)


def test_the_longest_integers_are_kept(tmp_path):
    (row,) = load(tmp_path / "mine.jsonl", line(low=-(2**63), high=2**63 - 1))
    assert (row["low"], row["high"]) == (-(2**63), 2**63 - 1)


def pretty(*rows):
    return "\n".join(json.dumps(row, indent=2) for row in rows)


def test_pretty_printed_json_is_read(tmp_path):
    other = variant_row(seed=1)
    for content in (pretty(ROW, other), pretty([ROW, other]), f"{line()}\n\n{pretty(other)}\n"):
        assert load(tmp_path / "mine.json", content) == [ROW, other]
    assert load(tmp_path / "one.jsonl", pretty(ROW)) == [ROW]


def test_what_cannot_be_read_of_pretty_printed_json_is_bad_and_the_rest_is_kept(tmp_path):
    content = pretty(ROW, ROW).replace('"cancer",', "cancer,", 1)
    with pytest.raises(ValueError, match=r"mine.json, row 0, .*line 3 column 13 .* not a JSON object"):
        load(tmp_path / "mine.json", content)
    assert load(tmp_path / "mine.json", content, on_bad_row="skip") == [ROW]
    with pytest.raises(ValueError, match=r"mine.json, row 0, .* more follows in the line"):
        load(tmp_path / "mine.json", pretty(ROW) + ", 3")


@pytest.mark.parametrize("cut", [20, 60, -1])
def test_a_line_that_is_cut_off_takes_no_other_with_it(tmp_path, cut):
    content = f"{line()[:cut]}\n{line()}\n"
    with pytest.raises(ValueError, match=r"1 of 2 rows are bad.*\nmine.jsonl, row 0, .* not a JSON object"):
        load(tmp_path / "mine.jsonl", content)
    assert load(tmp_path / "mine.jsonl", content, on_bad_row="skip") == [ROW]


def test_rows_within_one_object_are_refused(tmp_path):
    for indent in (None, 1):
        content = json.dumps({"version": "1", "data": [ROW, ROW]}, indent=indent)
        with pytest.raises(ValueError, match=r"mine.json: cannot be read: its rows are in 'data' of one object"):
            load(tmp_path / "mine.json", content)


def test_rows_that_are_nested_too_deeply_are_named(tmp_path):
    for depth in (900, 100_000):
        content = line() + "\n" + line().replace("}", f', "note": {"[" * depth}{"]" * depth}}}')
        with pytest.raises(ValueError, match=r"mine.jsonl, row 1.*(nested more than 100 deep|recursion)"):
            load(tmp_path / "mine.jsonl", content)


def test_values_that_do_not_go_together_are_refused(tmp_path):
    content = line(score=2**60 + 1) + "\n" + line(score=0.5)
    with pytest.raises(ValueError, match=r"mine.jsonl: a column holds values that do not go together"):
        load(tmp_path / "mine.jsonl", content)
