import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from maskdistill.report import page
from maskdistill.report.content import (
    Alarm,
    ClusterGallery,
    LedgerEvent,
    ReportContent,
    Sheet,
    StageSummary,
    Story,
    Tile,
)
from tests.report import made_up

VOID = {"meta", "link", "img", "source", "br", "hr", "input"}
ODD = "<b>&\"'.jpg"


class Tree(HTMLParser):
    """Checks nesting; gathers tags, ids, addresses and the text."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.ids, self.addresses, self.text = [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names))
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in {"src", "href", "srcset", "data", "action", "poster"}:
                self.addresses.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


@pytest.fixture(scope="module")
def full():
    return made_up.content(np.random.default_rng(0), n_tiles=3, tile_px=48)


@pytest.fixture(scope="module")
def html(full):
    return page.render(full)


def shown(content):
    return " ".join(" ".join(Tree(page.render(content)).text).split())


def test_the_page_is_well_nested_and_every_id_occurs_once(html):
    tree = Tree(html)
    assert html.startswith("<!DOCTYPE html>")
    assert len(tree.ids) == len(set(tree.ids))


def test_the_page_needs_nothing_from_outside_and_no_script(html):
    tree = Tree(html)
    assert tree.addresses
    assert all(address.startswith(("data:", "#")) for address in tree.addresses)
    assert "script" not in tree.tags
    assert not re.search(r"@import|url\(", html.partition("</style>")[0])


def test_every_link_inside_the_page_has_its_target(html):
    tree = Tree(html)
    assert {address[1:] for address in tree.addresses if address.startswith("#")} <= set(tree.ids)


def test_the_sections_follow_the_order_of_the_data(html):
    ids = [name for name in Tree(html).ids if not name.startswith("cluster-")]
    stages = ["scan", "propose", "cluster", "detect", "label", "segment", "evaluate"]
    assert ids == [
        "glance",
        "measured",
        *(f"stage-{name}" for name in stages),
        "clusters",
        "curves",
        "refused",
        "settings",
        "weights",
        "versions",
        "ledger",
    ]


def test_a_page_of_nothing_but_a_title_says_that_nothing_was_made():
    assert "Nothing has been made in this run yet." in shown(ReportContent(title="empty"))


PLOTTED = ("clusters", "confusion", "coverage", "losses", "masks_per_picture", "metrics")


@pytest.mark.parametrize(
    "part", [field.name for field in dataclasses.fields(ReportContent) if field.name != "title"]
)
def test_each_part_may_be_missing(full, part):
    nothing = ReportContent(title="x")
    # Plots take most of the time: where they are not what is missing, only one of them is drawn.
    kept = PLOTTED if part in PLOTTED else ("coverage",)
    dropped = {name: getattr(nothing, name) for name in (*set(PLOTTED).difference(kept), part)}
    tree = Tree(page.render(dataclasses.replace(full, **dropped)))
    assert {address[1:] for address in tree.addresses if address.startswith("#")} <= set(tree.ids)


def test_names_are_shown_as_they_are_and_never_obeyed():
    rgb = np.zeros((4, 6, 3), np.uint8)
    content = ReportContent(
        title=ODD,
        subtitle=ODD,
        notices=[ODD],
        facts=[(ODD, ODD)],
        stages=[
            StageSummary(
                name=ODD, does=ODD, counts={ODD: ODD}, warnings=[Alarm(what=ODD, advice=ODD)]
            )
        ],
        stories=[Story(path=ODD, picture=rgb)],
        sheets=[Sheet(stage=ODD, caption=ODD, tiles=[Tile(image=rgb, path=ODD, caption=ODD)])],
        clusters=[
            ClusterGallery(cluster=n, name=ODD, colour=(1, 2, 3), size=2, crops=[rgb])
            for n in range(2)
        ],
        losses={ODD: [{"step": 1, "loss": 1.0}]},
        masks_per_picture={ODD: [1]},
        metrics=[
            {
                "stage": ODD,
                "name": name,
                "split": ODD,
                "value": 0.5,
                "interval": None,
                "pictures": 1,
                "protocol": ODD,
            }
            for name in (ODD, f"IoU/{ODD}")
        ],
        settings={ODD: ODD, "<i>": {ODD: ODD}},
        versions={ODD: ODD},
        events=[LedgerEvent(time=ODD, kind=ODD, what=ODD, stage=ODD)],
        refused=[(ODD, ODD)],
    )
    tree = Tree(page.render(content))
    assert "u" not in tree.tags
    assert " ".join(tree.text).count(ODD) > 30


def test_a_file_name_that_is_not_utf8_does_not_stop_the_page():
    assert "caf?.jpg" in shown(ReportContent(title="x", refused=[("caf\udce9.jpg", "cut short")]))


def test_a_sheet_of_a_stage_without_summary_is_shown_all_the_same():
    sheet = Sheet(
        stage="recluster",
        caption="again",
        tiles=[Tile(image=np.zeros((2, 3, 3), np.uint8), path="a.jpg")],
    )
    assert "stage-recluster" in Tree(page.render(ReportContent(title="x", sheets=[sheet]))).ids


def test_the_page_shows_a_number_a_stage_and_folds_the_others(html):
    head, _, rest = html.partition('id="measured"')
    summary, _, folded = rest.partition("All numbers: validation")
    assert head
    text = "".join(Tree(f"<div><p {summary.rpartition('<details>')[0]}</p></div>").text)
    stages = [
        stage for stage in ("propose", "cluster", "detect", "label", "segment") if stage in text
    ]
    assert stages == ["propose", "cluster", "detect", "label", "segment"]
    assert "mean_best_iou" not in text
    assert folded.count("mean_best_iou") >= 3
    assert "All numbers: train" in folded


def test_figures_of_others_and_licences_stand_on_the_page_with_their_source(html):
    text = "".join(Tree(html).text)
    assert "0.123" not in text  # by class it stands in per cent, beside ours
    for words in (
        "Published by others",
        "a paper",
        "0.458",
        "published: another",
        "12.3",
        "Where the pixels went",
        "Apache-2.0",
        "its LICENSE",
    ):
        assert words in text


def test_means_over_seeds_stand_below_the_interval_and_the_page_says_what_was_repeated():
    row = {"stage": "segment", "name": "mIoU", "split": "validation", "pictures": 4, "protocol": ""}
    own = {**row, "value": 0.5, "interval": [0.4, 0.6]}
    mean = {**row, "value": 0.52, "interval": None, "seeds": 3, "spread": 0.012}
    for of, words in (("clusters", "understates"), ("chain", "everything after the proposals")):
        text = shown(ReportContent(title="x", metrics=[own, {**mean, "of": of}]))
        assert "0.520 ± 0.012 (3 seeds)" in text
        assert words in text


def test_alarms_stand_at_the_head_and_in_their_stage(html):
    assert html.count("Everything is in one cluster") == 2


def test_a_long_ledger_is_cut_and_says_so():
    events = [
        LedgerEvent(time="08:00", kind="retry", what=f"number {place};")
        for place in range(page.MAX_EVENTS + 1)
    ]
    text = shown(ReportContent(title="x", events=events))
    assert f"number {page.MAX_EVENTS - 1};" in text
    assert f"number {page.MAX_EVENTS};" not in text
    assert "the first 500 of 501 events" in text


def test_settings_are_grouped_by_their_first_name():
    nested = {
        "seed": 0,
        "weights": {},
        "propose": {"method": "lost", "lost": {"candidates": 100, "heads": [0, 1]}},
        "again": True,
    }
    assert page.grouped(nested) == [
        ("run", [("seed", "0"), ("again", "yes")]),
        ("propose", [("method", "lost"), ("lost.candidates", "100"), ("lost.heads", "0, 1")]),
    ]


@pytest.mark.parametrize(
    "seconds, words",
    [(0.44, "0.4 s"), (59.6, "1 min 0 s"), (42, "42 s"), (200, "3 min 20 s"), (3900, "1 h 5 min")],
)
def test_durations_are_words(seconds, words):
    assert page.duration(seconds).replace(page.NBSP, " ") == words


def test_an_image_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"image: wanted \(h, w, 3\) uint8"):
        page.picture_uri(np.zeros((4, 4, 3), np.float32))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_pictures_of_any_shape_are_laid_out(size):
    tile = Tile(image=np.zeros((*size, 3), np.uint8), path="a.jpg")
    Tree(
        page.render(
            ReportContent(title="x", sheets=[Sheet(stage="propose", caption="", tiles=[tile])])
        )
    )
    assert 0.5 <= float(page.ratio(tile.image)) <= 2.5


def test_48_noisy_tiles_stay_under_4_megabytes(rng):
    # Noise compresses worse than photographs do.
    pictures = [made_up.drawn_picture(rng, height=210, width=280)[0] for _ in range(48)]
    tiles = [Tile(image=rgb, path=f"{place}.jpg") for place, rgb in enumerate(pictures)]
    sheet = Sheet(stage="propose", caption="", tiles=tiles)
    assert len(page.render(ReportContent(title="x", sheets=[sheet]))) < 4_000_000


def test_what_each_stage_gained_stands_under_its_numbers():
    step = {
        "stage": "label",
        "before": "cluster",
        "name": "mIoU",
        "split": "train",
        "difference": 0.0312,
        "interval": [0.01, 0.05],
    }
    own = {
        "stage": "label",
        "name": "mIoU",
        "split": "train",
        "value": 0.5,
        "interval": None,
        "pictures": 3,
        "protocol": "p",
    }
    text = shown(ReportContent(title="x", metrics=[own], steps=[step]))
    assert "What each stage gained over the one before it" in text
    assert "+0.031" in text
    assert "What each stage gained" not in shown(ReportContent(title="x", metrics=[own]))
