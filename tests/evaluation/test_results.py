from textgenome.evaluation.results import compare, summarize


def test_the_figures_of_a_condition():
    texts = ["<think>\nAnswer: glioma\n</think>\n\nAnswer: Melanoma", "it is no glioma"]
    scores = [{"glioma": -0.1, "melanoma": -2.4}, {"glioma": -0.7, "melanoma": -0.7}]
    records = [{"output": text, "tokens": n, "scores": each} for text, n, each in zip(texts, (9, 5), scores)]
    summary = summarize("as_is", records, ["melanoma", "glioma"])
    expected = {"accuracy": 0.5, "accuracy_single_entry": 0.0, "truth_anywhere": 1.0, "scored_accuracy": 0.5}
    expected |= {"no_answer": 0.5, "tokens_per_answer": 7.0}
    assert {name: summary[name] for name in expected} == expected
    bins = [(each["low"], each["rows"], each["accuracy"]) for each in summary["reliability"]]
    assert bins == [(0.4, 1, 1), (0.9, 1, 0)]
    scored = [{"scores": record["scores"]} for record in records]
    assert summarize("as_is", scored, ["melanoma", "glioma"])["accuracy"] == 0.5
    difference = compare(scored, records, ["melanoma", "glioma"])
    assert difference.pop("accuracy_difference_interval") == (-1, 1)
    assert difference == {"accuracy_difference": 0.0, "only_first": 1, "only_second": 1, "p_value": 1.0}
