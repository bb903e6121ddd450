from xml.etree import ElementTree

import numpy as np

from textgenome.evaluation.charts import DOTS, draw_curves, draw_scatter


def points(svg, name):
    return [each.attrib["d"] for each in ElementTree.fromstring(svg).iter("path") if each.attrib.get("class") == name]


def test_curves_reach_from_corner_to_corner():
    curves = {"model & co": ([0, 0, 1], [0, 1, 1]), "other": ([0, 1], [0, 1])}
    svg = draw_curves("ROC <1>", curves, ("x", "y"), diagonal=True)
    curve, _ = points(svg, "curve curve-0")  # and the one beside its name
    assert curve == "M48.0 286.0L48.0 10.0L330.0 10.0"
    assert points(svg, "mark") == ["M48.0 286.0L330.0 10.0"]
    texts = [each.text for each in ElementTree.fromstring(svg).iter("text")]
    assert "model & co" in texts and "x" in texts and texts.count("0.2") == 2


def test_long_curves_are_thinned_but_keep_their_ends():
    x = np.linspace(0, 1, 10_000)
    curve = points(draw_curves("", {"a": (x, x)}, ("x", "y")), "curve curve-0")[0]
    assert curve.count("L") < 200 and curve.startswith("M48.0 286.0") and curve.endswith("330.0 10.0")


def test_scatter_shows_as_many_points_as_can_be_seen():
    values = np.arange(3 * DOTS) / 7 - 100
    svg = draw_scatter("", values, values * 2, ("true", "predicted"))
    assert svg.count("<circle") == DOTS
    assert draw_scatter("", [1, 1], [2, 2], ("x", "y")).count("<circle") == 2  # no spread


def test_axes_end_at_round_numbers():
    svg = draw_scatter("", [-0.899, 4.97], [1234.4, 1299.0], ("x", "y"))
    texts = [each.text for each in ElementTree.fromstring(svg).iter("text")]
    assert texts == ["1230", "1240", "1250", "1260", "1270", "1280", "1290", "1300", *map(str, range(-1, 6)), "x", "y"]
