"""The files of genomes: intervals and variants, FASTA and VCF, read and written. Needs pysam (the extra `genome`)."""

from textgenome.genome.fasta import open_fasta
from textgenome.genome.intervals import Interval, Variant
from textgenome.genome.vcf import annotate_vcf, open_vcf, read_records


__all__ = ["Interval", "Variant", "annotate_vcf", "open_fasta", "open_vcf", "read_records"]
