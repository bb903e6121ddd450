import gzip
import shutil
import subprocess

import pysam
import pytest

from textgenome.genome import annotating
from textgenome.genome.annotating import NOTICE, annotate_vcf, check_vcf


META = """##fileformat=VCFv4.2
##contig=<ID=1>
##INFO=<ID=AF,Number=A,Type=Float,Description="frequency">
##INFO=<ID=I,Number=1,Type=Integer,Description="integer">
##INFO=<ID=END,Number=1,Type=Integer,Description="end">
"""
GENOTYPES = '##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">\n'
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
ANSWER = {"TG_ANSWER": ("String", "answer")}


def write_vcf(path, *records, meta=META, samples=""):
    path.write_text("\n".join([f"{meta}{COLUMNS}{samples}", *records, ""]))
    return path


def lines_of(path):
    return gzip.decompress(path.read_bytes()).decode("latin1").split("\n")[:-1]


def test_the_annotated_file_is_valid(tmp_path):
    records = [
        "1\t100\t.\tA\tC,*,G\t.\tPASS\tAF=0.5,0.1,0.2\tGT\t0/1\t0/1",
        "1\t200\t.\tA\t.\t.\tPASS\t.\tGT\t0/1\t0/1",
        "1\t210\t.\tA\t<DEL>\t.\tPASS\tEND=300\tGT\t0/1\t0/1",
    ]
    # Old files declare no contigs, and may be annotated for the second time.
    meta = META.replace("##contig=<ID=1>\n", "") + GENOTYPES
    vcf = write_vcf(tmp_path / "v.vcf", *records, meta=meta, samples="\tFORMAT\tone\ttwo")
    fields = {"TG_ANSWER": ("String", 'Says "what\\ever",\nor not'), "TG_SCORE": ("Float", "Probability")}
    outputs = [tmp_path / "first.vcf.gz", tmp_path / "second.vcf.gz"]
    annotate_vcf(vcf, outputs[0], fields, [("1:100:A:G", {"TG_ANSWER": "old"})])
    annotate_vcf(
        outputs[0], outputs[1], fields, {"1:100:A:G": {"TG_ANSWER": "loss; of, 100 %", "TG_SCORE": 0.25}}.items()
    )
    with pysam.VariantFile(str(outputs[1])) as file:
        assert file.header.info["TG_ANSWER"].number == "A"
        assert file.header.info["TG_ANSWER"].description == r"Says \"what\\ever\", or not"
        assert [line.value for line in file.header.records if line.key == "textgenome"] == [NOTICE]
        first, second, third = file
    assert first.info["TG_ANSWER"] == (".", ".", "loss%3B%20of%2C%20100%20%25")
    assert first.info["TG_SCORE"] == (None, None, 0.25)
    assert first.samples["two"]["GT"] == (0, 1) and first.info["AF"][0] == 0.5
    assert "TG_ANSWER" not in second.info
    assert third.info["TG_ANSWER"] == (".",) and third.stop == 300
    with pysam.TabixFile(str(outputs[1])) as indexed:
        assert [line.split("\t")[1] for line in indexed.fetch("1", 199, 210)] == ["200", "210"]
    if shutil.which("bcftools"):
        command = ["bcftools", "query", "-f", "%POS %TG_ANSWER %TG_SCORE\n", str(outputs[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[0] == "100 .,.,loss%3B%20of%2C%20100%20%25 .,.,0.25"


def test_all_else_is_copied_as_text(tmp_path, caplog):
    records = [
        "1\t5\t\tA\tC\t50.00\tq10;s50\tI=4.5;AF=0.123456789;END=7;UNKNOWN=1e-30;FLAG",
        "7\t6\trs1;rs2\ta\tc,<DEL>\t1e3\t.\tUNKNOWN=Papillon-Lef\xe8vre",
        "1\t7\t.\tA\t.\t.\t.\tI=.",
    ]
    meta = META + '##source=Lef\xe8vre\n##odd line\n##INFO=<ID=X,Number=1,Type=Float,Description="1.50">\n'
    vcf, output = tmp_path / "v.vcf", tmp_path / "copy.vcf.gz"
    vcf.write_bytes("\r\n".join([f"{meta}{COLUMNS}", *records, ""]).encode("latin1"))
    check_vcf(vcf)
    annotate_vcf(vcf, output, ANSWER, [("1:5:A:C", {"TG_ANSWER": "x"}), ("7:6:a:c", {"TG_ANSWER": "y"})])
    added = [f"##textgenome={NOTICE}", '##INFO=<ID=TG_ANSWER,Number=A,Type=String,Description="answer">']
    annotated = [f"{records[0]};TG_ANSWER=x", f"{records[1]};TG_ANSWER=y,.", records[2]]
    assert "copy.vcf.gz has no index: its records are not sorted" in caplog.text  # 1, 7, 1
    assert not (tmp_path / "copy.vcf.gz.tbi").exists()
    assert lines_of(output) == [*meta.strip().split("\n"), *added, COLUMNS, *annotated]
    if shutil.which("bcftools"):
        done = subprocess.run(["bcftools", "view", "-H", str(output)], capture_output=True, check=True)
        assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize("mode", ["w", "wb"], ids=["vcf", "bcf"])
def test_annotations_of_an_earlier_run_go(tmp_path, mode):
    meta = META.replace("ID=AF", "ID=TG_ANSWER").replace("ID=END", "ID=TG_SCORE")
    lines = [f"1\t{i}\t.\tA\t{alt}\t.\t.\tTG_SCORE=7;TG_ANSWER=0.5;I=3" for i, alt in ((5, "C"), (6, "."))]
    plain, old, new = write_vcf(tmp_path / "plain.vcf", *lines, meta=meta), tmp_path / "old", tmp_path / "new.vcf.gz"
    with pysam.VariantFile(str(plain)) as file, pysam.VariantFile(str(old), mode, header=file.header) as copy:
        for record in file:
            copy.write(record)
    assert (old.read_bytes()[:2] == b"##") == (mode == "w")
    annotate_vcf(old, new, {"TG_ANSWER": ("String", "new")}, [("1:5:A:C", {"TG_ANSWER": "a loss"})])
    with pysam.VariantFile(str(new)) as file:
        assert "TG_SCORE" not in file.header.info
        assert [dict(record.info) for record in file] == [{"TG_ANSWER": ("a%20loss",), "I": 3}, {"I": 3}]


def test_a_copy_is_there_only_once_it_is_whole(tmp_path, monkeypatch):
    vcf, output = write_vcf(tmp_path / "v.vcf", "1\t5\t.\tA\tC\t.\t.\t.", "blank"), tmp_path / "copy.vcf.gz"
    with pytest.raises(ValueError, match="line 8: it has 1 columns"):
        annotate_vcf(vcf, output, ANSWER, ())
    write_vcf(vcf, "1\t5\t.\tA\tC\t.\t.\t.")
    monkeypatch.setattr(annotating.os, "replace", lambda *names: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match=r"copy.vcf.gz: cannot be written: .*No space left"):
        annotate_vcf(vcf, output, ANSWER, ())
    assert list(tmp_path.iterdir()) == [vcf]
