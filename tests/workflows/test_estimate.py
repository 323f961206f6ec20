"""estimate: what is said before a run starts, of hours that are known and of those that are not."""

import pytest

from maskdistill.engine.job import Image, Job
from maskdistill.settings import load, resolve
from maskdistill.workflows import estimate

ALL = ["propose", "cluster", "detect", "label", "segment"]


def job(n_pictures: int = 75, **values) -> Job:
    made = Job.alone(resolve(load({"device": "cpu"}, values)))
    shared = {
        "width": 640,
        "height": 480,
        "orientation": 1,
        "bytes": 9,
        "sha256": "",
        "split": "train",
    }
    made._images = [
        Image(id=number, path=f"{number}.png", **shared) for number in range(1, n_pictures + 1)
    ]
    return made


def test_the_embedding_of_the_detections_is_told_apart_as_the_most_that_it_may_be() -> None:
    # 75 pictures x 100 detections x (320 / 16)^2 patches x 1.2e-3 s
    large = {"min_side": 320}
    assert estimate.most_of_detections(job(cluster=large)) == pytest.approx(1.0)
    assert estimate.sentence(job(cluster=large), ALL).endswith(
        " GB of disk; not counted: up to 60 minutes to embed the detections, which are clustered too"
    )
    assert estimate.most_of_detections(
        job(seeds=3, cluster={**large, "flips": True})
    ) == pytest.approx(6.0)


@pytest.mark.parametrize(
    "values", [{"cluster": {"again": False}}, {"propose": {"backbone": "handcrafted"}}]
)
def test_nothing_is_said_of_detections_that_no_network_embeds(values) -> None:
    assert "not counted" not in estimate.sentence(job(**values), ALL)


def test_nothing_is_said_of_detections_once_they_are_clustered() -> None:
    assert "not counted" not in estimate.sentence(job(), ["segment"])


def test_the_patches_of_masks_count_as_the_class_tokens_of_their_boxes() -> None:
    hours = [
        estimate.expected(job(cluster={"embedding": name}), ["cluster"])[0]
        for name in ("descriptors", "class_token", "patch_mean")
    ]
    assert hours[0] == 0
    assert hours[1] == hours[2] > 0
