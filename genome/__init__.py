"""The files of genomes: intervals and variants, FASTA and VCF, read and written. Needs pysam (the extra `genome`)."""

from textgenome.genome.annotating import annotate_vcf, check_vcf
from textgenome.genome.fasta import open_fasta
from textgenome.genome.intervals import Interval, Variant
from textgenome.genome.vcf import open_vcf


__all__ = ["Interval", "Variant", "annotate_vcf", "check_vcf", "open_fasta", "open_vcf"]
