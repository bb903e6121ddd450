import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from conftest import variant_row

from textgenome.evaluation import metrics as metrics_module
from textgenome.evaluation.conditions import CONDITIONS
from textgenome.evaluation.report import write_report
from textgenome.evaluation.results import compare, describe_answers, summarize
from textgenome.evaluation.verdict import judge


LABELS = ("melanoma", "glioma", "leukemia")


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    """The intervals are tested elsewhere; here they only take time."""
    monkeypatch.setattr(metrics_module, "BOOTSTRAP_SAMPLES", 10)


def make_rows(number=12):
    return [
        variant_row(seed=i, question=f"Which disease, {i}?", answer=LABELS[i % len(LABELS)].title())
        for i in range(number)
    ]


def generated(rows, wrong=(), text="<think>\nStep 1\n</think>\n\nAnswer: {}"):
    """Records of right answers, but of the label after the right one where `wrong`."""
    records = []
    for i, row in enumerate(rows):
        place = LABELS.index(row["answer"].lower()) + (i in wrong)
        records.append({"row": i, "output": text.format(LABELS[place % len(LABELS)]), "tokens": 10})
    return records


def baseline(rows, answer):
    return [{"row": i, "answer": answer} for i in range(len(rows))]


def write(folder, rows, known, **facts):
    truths = [row["answer"] for row in rows]
    metrics = {
        "dataset_name": "data/rows.parquet",
        "split": "val",
        "seed": 0,
        "date": "2026-01-02T03:04:05+00:00",
        "versions": {"torch": "2.13.0", "commit": "0123456789abcdef"},
        **facts,
        "conditions": {
            name: {
                **summarize(name, records, truths),
                **(compare(records, known["as_is"], truths) if "as_is" in known and name != "as_is" else {}),
            }
            for name, records in known.items()
        },
    }
    metrics |= describe_answers(metrics["conditions"])
    metrics["verdict"] = judge(metrics)
    write_report(folder / "report.html", metrics, rows, known)
    return metrics, (folder / "report.html").read_text(encoding="utf-8")


def write_model_report(folder, rows=None, records=None):
    rows = rows or make_rows()
    known = {
        "as_is": records or generated(rows, wrong={0}),
        "dna_exchanged": generated(rows, wrong=range(1, 12)),
        "text_only_model": generated(rows, wrong={0, 1}),
        "majority": baseline(rows, "melanoma"),
    }
    recipe = {"learning_rate": 5e-5, "dna_config": {"model_type": "hyenadna"}}
    return write(folder, rows, known, model="outputs/model", revision="main", recipe=recipe)


class Page(HTMLParser):
    """The cells of the tables, by the class of the table, and whatever could load or run something."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.active, self.text = {}, set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag in ("script", "link", "img", "iframe", "object", "base", "form"):
            self.active.add(tag)
        self.active |= {name for name in attributes if name in ("src", "href", "xlink:href") or name.startswith("on")}
        if tag == "table":
            self.rows = self.tables[attributes["class"]] = []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = True
        elif tag in ("title", "small"):
            self.cell = False

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = False
        elif tag == "title":
            self.cell = True

    def handle_data(self, data):
        self.text.append(data)
        if self.tables and self.rows and self.rows[-1] and self.cell:
            self.rows[-1][-1] += data.strip()

    def row(self, table, name):
        return next(row for row in self.tables[table] if row[0] == name)


def mistakes(html):
    """The lines of the mistakes as words."""
    summaries = re.findall(r'<details class="mistake">\s*<summary>(.*?)</summary>', html, re.DOTALL)
    return [re.sub("<[^>]+>", " ", summary).split() for summary in summaries]


def test_a_page_of_a_model_tells_what_was_measured(tmp_path):
    metrics, html = write_model_report(tmp_path)
    page = Page(html)
    assert page.row("results", "unchanged")[2:5] == ["0.917", "–", "–"]
    exchanged = metrics["conditions"]["dna_exchanged"]
    assert exchanged["p_value"] == pytest.approx(0.00634766)
    assert page.text[page.text.index(metrics["model"], 5) :][2] == metrics["verdict"] != ""
    assert page.row("results", "DNA exchanged")[2:5] == ["0.083", "−0.833", "0.006"]
    low, high = exchanged["accuracy_interval"]
    assert f"{low:.3f}–{high:.3f}" in html
    assert page.row("results", "majority")[-3:] == ["–", "–", "–"]  # no output, no tokens
    kinds = [row[0] for row in page.tables["results"] if len(row) == 1]
    assert kinds == ["Model", "Text only", "Controls", "Baselines"]
    for text in ("Research use only, not for diagnosis", "outputs/model", "data/rows.parquet", "0123456789abcdef"):
        assert text in html
    for text in ("2026-01-02T03:04:05+00:00", "2.13.0", "learning_rate", "model_type: hyenadna"):
        assert text in html
    assert CONDITIONS["dna_exchanged"].meaning in html and CONDITIONS["dna_removed"].meaning not in html


def test_the_page_loads_and_runs_nothing(tmp_path):
    html = write_model_report(tmp_path)[1]
    assert not Page(html).active
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|//[a-z]|url\(|@import|@font-face", html)


def test_outputs_are_untrusted(tmp_path):
    rows = make_rows()
    text = "<think>\n</pre><img src=x onerror=alert(1)>\n</think>\nAnswer: <script>alert('{}')</script>"
    html = write_model_report(tmp_path, rows, generated(rows, text=text))[1]
    page = Page(html)
    assert not page.active
    assert "<img src=x onerror=alert(1)>" in "".join(page.text)
    assert "&lt;script&gt;" in html


def test_no_sequence_reaches_the_page(tmp_path):
    rows = make_rows()
    for row in rows:
        row["question"] += f" Reference: {row['reference_sequence'].lower()}"
    reference, variant = rows[0]["reference_sequence"], rows[0]["variant_sequence"]
    codons = " ".join(reference[i : i + 3] for i in range(0, 39, 3))
    blocks = "\n".join(variant[i : i + 10] for i in range(0, 40, 10))
    text = f"<think>\nThe mutant {variant}, in codons {codons}.\n{blocks}\n</think>\nAnswer: {reference[:12]} {{}}"
    html = write_model_report(tmp_path, rows, generated(rows, text=text))[1]
    letters = re.sub(r"\s", "", html)
    for sequence in (sequence for row in rows for sequence in (row["reference_sequence"], row["variant_sequence"])):
        assert not any(sequence[i : i + 12].lower() in letters.lower() for i in range(len(sequence) - 11))
    assert "The mutant [40 bases], in codons [39 bases]." in html
    assert "Reference: [40 bases]" in html
    assert "[12 bases] glioma" in html


def test_confusion_counts_every_row_once(tmp_path):
    rows = make_rows(9)
    records = generated(rows, wrong={0})
    records[1]["output"] = "I cannot tell"
    records[2]["output"] = "Answer: a disease of its own"
    html = write_model_report(tmp_path, rows, records)[1]
    header, *table = Page(html).tables["confusion"]
    assert header[1:] == ["glioma", "leukemia", "melanoma", "another answer", "no answer"]
    assert table == [
        ["glioma", "2", "", "", "", "1"],
        ["leukemia", "", "2", "", "1", ""],
        ["melanoma", "1", "", "2", "", ""],
    ]
    assert 'title="leukemia → a disease of its own: 1 of 3"' in html
    assert Page(html).row("classes", "melanoma") == ["melanoma", "3", "0.667", "1.000", "0.800"]


def test_baselines_alone_have_a_page_of_the_best(tmp_path):
    rows = [*make_rows(12), variant_row(seed=99, answer="glioma")]
    known = {"majority": baseline(rows, "melanoma"), "reference_16mers": baseline(rows, "glioma")}
    html = write(tmp_path, rows, known)[1]
    page = Page(html)
    assert "Confusion: reference 16-mers" in html and "Worst mistakes: reference 16-mers" in html
    assert "unchanged" not in html
    assert page.row("results", "reference 16-mers")[2] == "0.385"
    assert len(page.row("results", "reference 16-mers")) == 7  # no difference, no tokens
    assert "Output" not in html and not page.active


def test_most_confident_mistakes_come_first(tmp_path):
    rows = make_rows(6)
    records = generated(rows, wrong={1, 2, 4})
    for i, record in enumerate(records):
        said = LABELS[(i + (i in {1, 2, 4})) % 3]
        share = {1: 0.6, 2: 0.9, 4: 0.7}.get(i, 0.8)
        record["scores"] = {label.title(): math.log(share if label == said else (1 - share) / 2) for label in LABELS}
    html = write_model_report(tmp_path, rows, records)[1]
    assert [line[line.index("row") + 1] for line in mistakes(html)] == ["2", "4", "1"]
    assert "confidence 0.900" in " ".join(html.split())
    # Rows of 0.6, 0.7 and 0.9 are wrong, three of 0.8 are right.
    assert f"Expected calibration error {(0.6 + 0.7 + 0.9 + 3 * 0.2) / 6:.3f}" in html


def test_most_frequent_confusions_come_first_and_twenty_at_most(tmp_path):
    rows = make_rows(60)
    wrong = {1, 4} | {i for i in range(60) if i % 3 == 0}
    html = write_model_report(tmp_path, rows, generated(rows, wrong))[1]
    lines = mistakes(html)
    assert len(lines) == 20 and all(line[:3] == ["melanoma", "→", "glioma"] for line in lines)
    assert "20 of 22 wrong rows, most frequent confusions first" in html
    assert "Reliability" not in html


def test_a_model_without_mistakes(tmp_path):
    rows = make_rows()
    assert "All answers are right." in write_model_report(tmp_path, rows, generated(rows))[1]


def test_a_browser_opens_the_page_from_disk_without_complaint(tmp_path):
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    browser = next(filter(None, found), None)
    if browser is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH to open the page")

    def open_page(path):
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
        command = [browser, *options, f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    html = write_model_report(tmp_path)[1]
    dom, complaints = open_page(tmp_path / "report.html")
    assert "Worst mistakes" in dom and not complaints
    # The policy of the page refuses whatever it would load, and the browser says so: silence means no request.
    loading = tmp_path / "loading.html"
    loading.write_text(html.replace("<main>", '<main><img src="https://example.org/x.png">'), encoding="utf-8")
    assert "example.org" in "".join(open_page(loading)[1])
