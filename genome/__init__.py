"""The files of genomes: places, FASTA, VCF, GTF, GFF3 and BED, read and written. Needs pysam (the extra `genome`)."""

from textgenome.genome.annotating import annotate_vcf, check_vcf
from textgenome.genome.fasta import open_fasta
from textgenome.genome.gtf import Annotation, read_annotation
from textgenome.genome.intervals import Interval, Variant
from textgenome.genome.transcripts import Transcript, write_gff3
from textgenome.genome.vcf import open_vcf


__all__ = [
    "Annotation",
    "Interval",
    "Transcript",
    "Variant",
    "annotate_vcf",
    "check_vcf",
    "open_fasta",
    "open_vcf",
    "read_annotation",
    "write_gff3",
]
