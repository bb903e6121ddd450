import copy
import gzip
import re
import shutil
from pathlib import Path

import pytest
from conftest import random_dna
from live_service import dense_head, say, serving, vcf_of
from playwright.sync_api import expect, sync_playwright

from textgenome import TextGenomeDNAForTrackPrediction
from textgenome.processing.processing_dna import variant_window
from textgenome.serving.limits import Limits


expect.set_options(timeout=20_000)  # milliseconds; a busy machine takes more than the 5 s that are usual
REFERENCE = random_dna(300)
PAIRS = [
    (REFERENCE, REFERENCE[:150] + ("A" if REFERENCE[150] != "A" else "C") + REFERENCE[151:]),
    (REFERENCE, REFERENCE[:5] + REFERENCE[9:]),
    (REFERENCE[:60], REFERENCE[:58] + "TTTTTT" + REFERENCE[58:60]),
    (REFERENCE, REFERENCE[:100] + REFERENCE[220:]),  # a change longer than the window
]


@pytest.fixture(scope="module")
def chromium():
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH to open the page")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page as wide as a phone. What it asks elsewhere than at the service, or complains about, is kept."""
    page = chromium.new_page(viewport={"width": 375, "height": 700})
    page.set_default_timeout(20_000)
    page.elsewhere, page.complaints = [], []
    page.on("request", lambda request: "127.0.0.1" in request.url or page.elsewhere.append(request.url))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    yield page
    assert not [url for url in page.elsewhere if not url.startswith("data:")]
    assert not page.complaints
    page.close()


@pytest.fixture
def taught(tiny_processor):
    """A processor with what training saves for the page."""
    processor = copy.copy(tiny_processor)
    reference = f"GATT{'TATAAAAG'}CATT"
    variant = reference.replace("TATAAAAG", "TATAGAAG")
    processor.labels = ["TATA box loss", "CpG site loss"]
    example = {"reference": reference, "variant": variant, "question": "What is lost?", "answer": "TATA box loss"}
    processor.examples = [example]
    return processor


def shown_windows(page) -> list[str]:
    blocks = [block.split("\n") for block in page.locator("#bases > span").all_text_contents()]
    return ["".join(lines).replace("-", "") for lines in zip(*blocks)]


def test_an_example_of_the_model_is_asked_and_answered_by_keyboard(page, tiny_model, taught):
    say(
        tiny_model,
        taught,
        "<think>\nStep 1: a signal.\nStep 2: it is gone.\n</think>\n\nAnswer: TATA box loss<|im_end|>",
    )
    with serving(tiny_model, taught) as service:
        page.goto(service.url)
        expect(page.locator("#examples")).to_be_visible()
        expect(page.locator(".notice")).to_contain_text("Research use only, not for diagnosis.")
        expect(page.locator(".notice")).to_be_in_viewport()
        page.keyboard.press("Tab")
        expect(page.locator("#example")).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(page.locator("#bases mark").first).to_have_text("A")
        page.locator("#question").focus()
        page.keyboard.press("Control+Enter")
        expect(page.locator("#status")).to_have_text("Done.")
        expect(page.locator("#answer")).to_have_text("TATA box loss")
        expect(page.locator("#steps li")).to_have_text(["a signal.", "it is gone."])
        expect(page.locator("#result")).to_contain_text("Research use only, not for diagnosis.")
        labels = [*taught.labels, "any other answer"]
        assert sorted(page.locator("#scores dt").all_text_contents()) == sorted(labels)
        expect(page.locator("#scores .change")).to_have_text([re.compile(r"^[+−]?\d\.\d{3}$")] * 2)
        expect(page.locator("#scores .bar i")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_the_answer_is_there_before_it_is_whole(page, tiny_model, tiny_processor):
    steps = []
    with serving(tiny_model, tiny_processor) as service:

        def wait(*_):
            steps.append(1)
            if len(steps) == 12:
                service.gate.clear()

        tiny_model.register_forward_hook(wait)
        page.goto(service.url)
        page.locator("#reference").fill(PAIRS[0][0][:60])
        page.locator("#question").fill("What?")
        page.locator("#ask").click()
        expect(page.locator("#answer, #steps").filter(has_text=re.compile(r"\S"))).not_to_have_count(0)
        expect(page.locator("#status")).to_have_text(re.compile("Writing|Reasoning"))
        page.locator("#stop").click()
        expect(page.locator("#status")).to_have_text("Stopped.")
        expect(page.locator("#ask")).to_be_enabled()


def test_the_windows_are_those_of_the_model(page, tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor) as service:
        with page.expect_response("**/v1/models"):
            page.goto(service.url)
        expect(page).to_have_title(re.compile("^tiny"))
        for pair in PAIRS:
            with page.expect_response("**/window"):
                for name, sequence in zip(("reference", "variant"), pair):
                    page.locator(f"#{name}").fill(sequence)
            first = variant_window(*pair, size=64)
            expect(page.locator("#bases > span").first).to_have_text(re.compile(f"^-*{first[0][:3]}"))
            assert shown_windows(page) == list(first)
        page.locator("#variant").fill("")
        expect(page.locator("#windows")).to_be_hidden()


def test_what_matters_is_drawn(page, tiny_model, taught):
    """For the answer to an example, at the width of a phone."""
    with serving(tiny_model, taught, Limits(tokens=200)) as service:
        page.goto(service.url)
        page.locator("#example").select_option("0")
        page.get_by_role("button", name="What matters?").click()
        expect(page.locator("#sentence")).to_contain_text("lowers the score of")
        logo = page.locator("#logo")
        expect(logo).to_have_attribute("src", re.compile("^data:image/svg"))
        assert logo.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
        assert page.evaluate("document.documentElement.scrollWidth") == 375
        expect(page.locator("#save")).to_have_attribute("href", logo.get_attribute("src"))
        page.locator("#question").fill("What else?")
        expect(page.locator("#explained")).to_have_class(re.compile("earlier"))


def test_a_vcf_file_fills_the_boxes_and_all_of_it_is_asked(page, tiny_model, tiny_processor, tmp_path):
    (tmp_path / "genome.fa").write_text(f">chr1\n{REFERENCE}\n")
    calls = vcf_of(REFERENCE, 150, 200, sample="0/1").replace("#CHROM", "##somebody=Ann\n#CHROM")
    (tmp_path / "calls.vcf").write_text(calls.replace("\t.\t", "\trs1\t", 2))
    asked = []
    page.on("request", lambda request: request.url.endswith("variants") and asked.append(request.post_data))
    say(tiny_model, tiny_processor, "Answer: loss<|im_end|>")
    with serving(tiny_model, tiny_processor, fasta=tmp_path / "genome.fa") as service:
        page.goto(service.url)
        expect(page.locator("#takes-vcf")).to_be_visible()
        page.locator("#file").set_input_files(tmp_path / "calls.vcf")
        expect(page.locator("#call option")).to_have_count(2)
        expect(page.locator("#reference")).to_have_value(re.compile(REFERENCE[140:160]))
        page.locator("#call").select_option("1")
        expect(page.locator("#reference")).to_have_value(re.compile(REFERENCE[190:210]))
        page.locator("#question").fill("What?")
        page.get_by_role("button", name="Ask about all").click()
        expect(page.locator("#calls td:last-child")).to_have_text(["loss", "loss"])
        assert not [word for word in ("0/1", "Ann", "ann", "rs1") if word in asked[0]]
        assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_a_vcf_file_waits_for_the_answer_and_then_marks_it(page, tiny_model, tiny_processor, tmp_path):
    (tmp_path / "genome.fa").write_text(f">chr1\n{REFERENCE}\n")
    (tmp_path / "calls.vcf").write_text(vcf_of(REFERENCE, 150))
    with serving(tiny_model, tiny_processor, Limits(tokens=200), fasta=tmp_path / "genome.fa") as service:
        page.goto(service.url)
        expect(page.locator("#takes-vcf")).to_be_visible()
        page.locator("#reference").fill(REFERENCE[:50])
        page.locator("#question").fill("What?")
        with service.held():
            page.locator("#ask").click()
            page.locator("#file").set_input_files(tmp_path / "calls.vcf")
            expect(page.locator("#error")).to_contain_text("Wait for the answer, or stop it")
        expect(page.locator("#status")).to_have_text("Cut off at the longest answer allowed.")
        page.locator("#file").set_input_files(tmp_path / "calls.vcf")
        expect(page.locator("#call option")).to_have_count(1)
        expect(page.locator("#status")).to_have_text("This is the answer to what you asked before.")


def test_a_vcf_file_without_a_genome_is_refused(page, tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor) as service:
        with page.expect_response("**/v1/models"):
            page.goto(service.url)
        text = vcf_of(REFERENCE, 150).encode()
        page.locator("#file").set_input_files({"name": "calls.vcf", "mimeType": "text/plain", "buffer": text})
        expect(page.locator("#error")).to_contain_text("must be started with --fasta")
        compressed = {"name": "calls.vcf.gz", "mimeType": "application/gzip", "buffer": gzip.compress(text)}
        page.locator("#file").set_input_files(compressed)
        expect(page.locator("#error")).to_contain_text("This file is compressed.")


def test_a_head_has_its_own_view(page):
    model, processor = dense_head(TextGenomeDNAForTrackPrediction, track_means=[1.0, 2.0])
    with serving(model, processor) as service:
        page.goto(service.url)
        expect(page.locator("#title")).to_have_text("Predict tracks")
        expect(page.locator("#question")).to_be_hidden()
        page.locator("#reference").fill(REFERENCE[:60])
        page.get_by_role("button", name="Predict").click()
        expect(page.locator("#found tbody td:first-child")).to_have_text(["one", "two"])
        drawing = page.locator("#drawing")
        assert drawing.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
        page.get_by_role("button", name="What matters?").click()
        expect(page.locator("#sentence")).to_contain_text("lowers the score of")
        assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_fasta_fills_both_boxes(page, tiny_model, tiny_processor, tmp_path):
    fasta = f">wild type\r\n{REFERENCE[:30]}\r\n{REFERENCE[30:50]}\r\n>mutant\r\n{REFERENCE[:49]}\r\n"
    Path(tmp_path / "pair.fa").write_text(fasta)
    with serving(tiny_model, tiny_processor) as service:
        page.goto(service.url)
        page.locator("#file").set_input_files(tmp_path / "pair.fa")
        expect(page.locator("#reference")).to_have_value(REFERENCE[:50])
        expect(page.locator("#variant")).to_have_value(REFERENCE[:49])
        for target, text, filled in (
            ("#reference", fasta, (50, 49)),
            ("#variant", f">mutant\n{REFERENCE[:45]}", (50, 45)),
            ("h1", fasta + fasta, (50, 49)),  # a browser would open what is dropped beside the boxes
        ):
            opened = page.evaluate(
                """([target, text]) => {
                    const dataTransfer = new DataTransfer();
                    dataTransfer.setData("text", text);
                    const drop = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
                    return document.querySelector(target).dispatchEvent(drop);
                }""",
                [target, text],
            )
            assert not opened
            for box, length in zip(("#reference", "#variant"), filled):
                expect(page.locator(box)).to_have_value(REFERENCE[:length])
        expect(page.locator("#error")).to_have_text("There are 4 sequences: only the first two were taken.")
        (tmp_path / "genome.fa").write_bytes(b"A" * 20_000_001)
        page.locator("#file").set_input_files(tmp_path / "genome.fa")
        expect(page.locator("#error")).to_contain_text("too large")


def test_what_comes_is_text_and_no_page(page, tiny_model, tiny_processor):
    image = "<img src=x onerror=alert(1)>"
    say(tiny_model, tiny_processor, f"{image} is lost.\nIt ends.\n**Answer:** <b>loss</b>{image}<|im_end|>")
    page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
    with serving(tiny_model, tiny_processor) as service:
        page.goto(service.url)
        page.locator("#file").set_input_files(
            {"name": f"{image}.fa", "mimeType": "text/plain", "buffer": f">{image}\n{REFERENCE[:50]}".encode()}
        )
        page.locator("#question").fill(image)
        page.get_by_text("Compare answers").click()
        page.locator("#labels").fill(f"{image}\nother")
        page.locator("#ask").click()
        expect(page.locator("#status")).to_have_text("Done.")
        expect(page.locator("#answer")).to_have_text(f"<b>loss</b>{image}")
        expect(page.locator("#steps li")).to_have_text([f"{image} is lost.", "It ends."])
        expect(page.locator("#scores dt").filter(has_text=image)).to_have_count(1)
        expect(page.locator("img:not([alt]), #answer b")).to_have_count(0)


def test_one_question_at_a_time_and_no_answer_to_another(page, tiny_model, tiny_processor):
    asked = []
    page.on("request", lambda request: request.method == "POST" and asked.append(request.url))
    with serving(tiny_model, tiny_processor, Limits(tokens=200)) as service:
        page.goto(service.url)
        page.locator("#reference").fill(REFERENCE[:50])
        page.locator("#question").fill("What?")
        with service.held():
            page.keyboard.press("Control+Enter")
            expect(page.locator("#status")).to_have_text("Waiting …")
            page.keyboard.press("Control+Enter")
            page.keyboard.press("Enter")
        expect(page.locator("#status")).to_have_text("Cut off at the longest answer allowed.")
        assert len(asked) == 1
        page.locator("#question").fill("What else?")
        expect(page.locator("#status")).to_have_text("This is the answer to what you asked before.")


def test_what_stands_between_is_named(page, tiny_model, tiny_processor):
    """A proxy that answers in HTML, and a connection that ends too early."""
    with serving(tiny_model, tiny_processor) as service:
        page.goto(service.url)
        page.locator("#reference").fill(REFERENCE[:50])
        page.locator("#question").fill("What?")
        for answer, words in (
            ({"status": 502, "body": "<h1>Bad Gateway</h1>"}, "cannot answer at the moment (status 502)"),
            ({"body": 'data: {"choices": [{"delta": {"content": "Ans"}, "finish_reason": null}]}\n\n'}, "broke off"),
        ):
            page.route("**/v1/chat/completions", lambda route, _, answer=answer: route.fulfill(**answer))
            page.locator("#ask").click()
            expect(page.locator("#error")).to_contain_text(words)
            expect(page.locator("#ask")).to_be_enabled()
            page.unroute_all()


def test_errors_are_shown_kindly(page, tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, Limits(queue=1), api_key="key") as service:
        page.goto(service.url)
        page.locator("#reference").fill("ACGTX")
        page.locator("#variant").fill("ACGTA")
        page.locator("#question").fill("What?")
        page.locator("#ask").click()
        expect(page.locator("#error")).to_have_text("This service asks for a key. Please enter it and ask again.")
        page.get_by_label("Key of this service").fill("key")
        page.locator("#ask").click()
        expect(page.locator("#error")).to_have_text(
            "Reference: The character 'X' at position 5 of the DNA is not a base."
        )
        expect(page.locator("#result")).to_be_hidden()
        page.locator("#reference").fill("acgta")
        page.locator("#ask").click()
        expect(page.locator("#error")).to_have_text(
            "The reference and the variant are equal: there is no variant to show."
        )
    page.locator("#ask").click()
    expect(page.locator("#error")).to_have_text("The service cannot be reached. Is it running?")
