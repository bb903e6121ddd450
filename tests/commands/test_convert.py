import re

from textgenome import Evo2Config, Evo2ForCausalLM
from textgenome.commands.convert import print_check
from textgenome.processing import build_dna_tokenizer


def test_a_converted_model_is_measured_beside_what_was_published(tmp_path, capsys):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Evo2Config(**sizes, block_types=["hcl", "attention"], hcs_filter_groups=4, hcm_filter_groups=4)
    Evo2ForCausalLM(config).save_pretrained(tmp_path)
    build_dna_tokenizer("bytes").save_pretrained(tmp_path)
    print_check(tmp_path, ["ACGTACGT", "GGGG"])
    printed = capsys.readouterr().out
    assert 4 < float(re.search(r"2 sequences: loss (\d\.\d{4})", printed)[1]) < 9
    assert "0.502 and 79.56% of evo2_1b_base" in printed
