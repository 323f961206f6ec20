import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from maskdistill.report import curves, figures, measured
from maskdistill.report.measured import Bar

CURVE = [{"k": k, "stability": 1 / k, "spread": 0.1, "silhouette": -0.1} for k in (2, 3, 4)]
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])


@THEMES
@pytest.mark.parametrize("n_rows", [1, 2, 7, 3000])
def test_loss_curves_of_any_length_are_valid_svg_of_moderate_size(rng, theme, n_rows):
    rows = [
        {"step": step, "loss_mask": 1 + rng.random(), "loss_box_reg": 2.0}
        for step in range(1, n_rows + 1)
    ]
    svg = curves.loss_curves(rows, theme=theme)
    ElementTree.fromstring(svg)
    assert "box reg" in svg
    assert len(svg) < 120_000


@pytest.mark.parametrize(
    "values", [[np.nan, np.nan], [1.0, np.inf, 2.0], [0.0, 0.0], [1e-6, 1e6, 1e-6]]
)
def test_losses_that_are_not_finite_or_of_any_size_are_drawn(values):
    ElementTree.fromstring(
        curves.loss_curves(
            [{"step": step, "loss": value} for step, value in enumerate(values)], theme="light"
        )
    )


@THEMES
def test_histograms_and_bars_are_valid_svg(theme):
    for svg in (
        figures.histogram_masks({"propose": [0, 1, 1, 3], "detect": [100, 0, 2, 2]}, theme=theme),
        figures.histogram_masks({"propose": [0]}, theme=theme),
        curves.number_curve(CURVE, 3, theme=theme),
        figures.histogram_coverage({"label": [0.0, 1.0, 0.5], "segment": [0.2]}, theme=theme),
        figures.cluster_bars([3, 9, 0], [(1, 2, 3)] * 3, [0, 1, 2], theme=theme),
        figures.cluster_bars(list(range(254)), [(1, 2, 3)] * 254, list(range(254)), theme=theme),
    ):
        ElementTree.fromstring(svg)


def test_the_curve_of_numbers_names_both_measures_and_one_row_is_enough():
    for rows in (CURVE, CURVE[:1]):
        words = curves.number_curve(rows, 2, theme="light")
        assert all(word in words for word in ("stability", "silhouette", "chosen", "clusters"))
    assert curves.number_curve(CURVE, 2, theme="light") != curves.number_curve(
        CURVE, 3, theme="light"
    )


def test_a_class_with_dollar_signs_is_drawn_as_it_is_called():
    svg = figures.class_bars(
        {"$x^2$": Bar(0.3, 0.2, 0.4), "<b>": Bar(0.1), "absent": Bar(float("nan"))}, theme="light"
    )
    words = [
        element.text
        for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert "$x^2$" in words
    assert "<b>" in words
    assert "absent" not in words


def test_the_same_numbers_give_the_same_bytes():
    rows = [{"step": step, "loss": 1 / step} for step in range(1, 30)]
    assert curves.loss_curves(rows, theme="light") == curves.loss_curves(rows, theme="light")


def test_smoothing_equals_the_mean_of_each_window(rng):
    values = rng.random(37)
    values[[0, 5, 36]] = np.nan
    for index, smooth in enumerate(curves.smoothed(values)):
        window = [value for value in values[max(0, index - 2) : index + 3] if not np.isnan(value)]
        np.testing.assert_allclose(smooth, np.mean(window) if window else np.nan)


def row(stage, name, split, value=0.5, **more):
    return {
        "stage": stage,
        "name": name,
        "split": split,
        "value": value,
        "interval": None,
        "pictures": 4,
        "protocol": "p",
        **more,
    }


def test_metrics_are_grouped_by_split_then_stage_with_baselines_first():
    rows = [
        row("segment", "mIoU", "train"),
        row("propose", "CorLoc", "train"),
        row("baseline:whole", "CorLoc", "train"),
        row("propose", "AP", "validation"),
    ]
    shown = [
        (split, [(group.stage, group.is_baseline) for group in groups])
        for split, groups in measured.tables(rows)
    ]
    assert shown == [
        ("validation", [("propose", False)]),
        ("train", [("baseline:whole", True), ("propose", False), ("segment", False)]),
    ]


def test_intervals_spreads_and_values_that_are_missing_are_told():
    rows = [
        row("label", "mIoU", "train", 0.5, interval=[0.4, 0.61]),
        row("label", "AP", "train", 0.5, seeds=3, spread=0.0123),
        row("label", "NMI", "train", None),
        row("label", "ARI", "train", float("nan")),
    ]
    ((_, (group,)),) = measured.tables(rows)
    assert [(one.value, one.interval) for one in group.rows] == [
        ("0.500", "0.400 – 0.610"),
        ("0.500", "± 0.012 over 3 seeds"),
        ("–", ""),
        ("–", ""),
    ]
    assert (group.rows[0].low_at, group.rows[0].high_at) == (40.0, 61.0)


def test_headlines_prefer_the_last_stage_and_the_validation_split():
    rows = [
        row("label", "mIoU", "validation", 0.3),
        row("segment", "mIoU", "train", 0.5),
        row("segment", "mIoU", "validation", 0.4),
    ]
    assert measured.headlines(rows) == [("0.400", "mIoU", "segment", "validation")]


def test_iou_of_classes_is_that_of_the_last_stage_and_not_in_the_table():
    rows = [
        row("label", "IoU/cat", "train", 0.1),
        row("segment", "IoU/cat", "train", 0.2),
        row("segment", "IoU/dog/x", "train", 0.3),
    ]
    assert measured.class_iou(rows) == (
        "IoU of each class: segment, train, with its interval",
        {"cat": Bar(0.2), "dog/x": Bar(0.3)},
    )
    assert measured.tables(rows) == []


def test_names_that_occur_are_explained_box_or_mask():
    assert [
        name
        for name, _ in measured.explained(
            [row("detect", "box_AP50", "train"), row("x", "unknown", "train")]
        )
    ] == ["AP50"]


def words_of(svg: str) -> list[str]:
    return [
        element.text or ""
        for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


@THEMES
def test_a_confusion_is_divided_by_the_pixels_of_each_true_class(theme):
    counts = np.array([[90, 10, 0, 0], [0, 0, 0, 0], [1, 2, 0, 1]])
    words = words_of(figures.confusion(counts, ["background", "absent", "$cat$"], theme=theme))
    assert [word for word in words if word.isdigit()] == ["90", "10", "25", "50", "25"]
    assert words.count("absent") == 1  # a column: its row has no pixels to divide
    assert {"$cat$", "no class", "truth", "predicted"} <= set(words)


@pytest.mark.parametrize("n_classes", [1, 21, 81])
def test_a_confusion_of_many_classes_names_all_of_them_and_stays_light(rng, n_classes):
    counts = rng.integers(0, 1000, (n_classes, n_classes + 1))
    svg = figures.confusion(
        counts, [f"class {number}" for number in range(n_classes)], theme="light"
    )
    assert {f"class {number}" for number in range(n_classes)} <= set(words_of(svg))
    assert len(svg) < 400_000


def metric(
    stage: str, name: str, value: float | None, split: str = "validation", **more: object
) -> dict[str, object]:
    return {
        "stage": stage,
        "name": name,
        "split": split,
        "value": value,
        "pictures": 4,
        "protocol": "",
        **more,
    }


def test_the_summary_has_a_row_a_stage_with_its_main_number_and_the_best_trivial_answer():
    rows = [
        metric("baseline:background", "mIoU", 0.1),
        metric("baseline:whole", "mIoU", 0.12),
        metric("propose", "CorLoc", None),
        metric("propose", "mean_best_iou", 0.3, interval=[0.2, 0.4]),
        metric("segment", "mIoU", 0.5),
        metric("segment", "mIoU", 0.52, seeds=3, spread=0.01, of="chain"),
        metric("segment", "mIoU", 0.6, "train"),
        metric("cluster", "NMI", 0.6),
    ]
    found = measured.summary(rows)
    assert [(main.stage, main.name) for main in found] == [
        ("propose", "mean_best_iou"),
        ("segment", "mIoU"),
    ]
    proposed, segmented = found
    assert proposed.cells["validation"] is not None
    assert proposed.cells["validation"].interval == "0.200 – 0.400"
    assert proposed.cells["train"] is None
    assert segmented.cells["validation"] is not None
    assert (
        segmented.cells["validation"].value == "0.500"
    )  # of the run itself, not the mean over seeds
    assert segmented.seeds == {"validation": "0.520 ± 0.010 (3 seeds)", "train": ""}
    assert segmented.trivial == {"validation": "0.120", "train": ""}
    assert measured.summary([]) == []


def gained(difference, interval=None, stage="label", **more):
    return {
        "stage": stage,
        "before": "cluster",
        "name": "mIoU",
        "split": "train",
        "difference": difference,
        "interval": interval,
        **more,
    }


def test_what_a_stage_gained_is_sure_where_its_interval_leaves_out_0():
    found = measured.gains(
        [
            gained(0.1, [0.02, 0.2]),
            gained(-0.1, [-0.2, 0.01], stage="detect"),
            gained(-0.1, [-0.2, -0.01], stage="segment"),
            gained(None, stage="recluster"),
        ]
    )
    assert [(row["stage"], row["difference"], row["sure"]) for row in found] == [
        ("label", "+0.100", "yes"),
        ("detect", "-0.100", ""),
        ("segment", "-0.100", "yes"),
    ]
    assert found[0]["around"] == "+0.020 – +0.200"


def test_over_seeds_the_mean_of_what_a_stage_gained_stands_for_the_run():
    rows = [gained(0.1, [0.02, 0.2]), gained(0.04, seeds=3, spread=0.02)]
    (found,) = measured.gains(rows)
    assert (found["difference"], found["around"]) == ("+0.040", "± 0.020 over 3 seeds")
    assert found["sure"] == ""  # pictures were not drawn


def test_over_seeds_the_bars_by_class_are_means_with_their_deviation():
    rows = [
        metric("segment", "IoU/cat", 0.5, interval=[0.4, 0.6]),
        metric("segment", "IoU/cat", 0.55, seeds=3, spread=0.02, of="chain", interval=None),
    ]
    caption, bars = measured.class_iou(rows) or ("", {})
    assert "mean and deviation over 3 seeds" in caption
    assert bars == {"cat": Bar(0.55, 0.55 - 0.02, 0.55 + 0.02)}
    assert measured.class_iou(rows[:1]) == (
        "IoU of each class: segment, validation, with its interval",
        {"cat": Bar(0.5, 0.4, 0.6)},
    )
