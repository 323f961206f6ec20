"""Resolving: every `auto` becomes what it means, so that config.yaml says what was really used."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from maskdistill.errors import setting
from maskdistill.settings import known_weights
from maskdistill.settings.detect import DetectSettings
from maskdistill.settings.propose import CHOOSABLE, Facet, Method, ProposeSettings
from maskdistill.settings.run import HANDCRAFTED, NETWORKS, RunSettings, backbone_named, is_name
from maskdistill.settings.segment import BACKBONE, BEST, SegmentSettings

Importing = TypeVar("Importing", ProposeSettings, DetectSettings)
CUTS = ("tokencut", "maskcut")  # methods that hold a graph of all patches
MOST_PATCHES = 12_000  # of a grid: a graph of them takes 0.6 GB, twice that while it is made


def resolve(settings: RunSettings) -> RunSettings:
    """Return settings without an `auto` or a zero that stands for a rule known before any picture.

    Weights `propose=NAME` with the name of a backbone choose that backbone too. What depends on the
    pictures (number of clusters, steps) stays 0 and is resolved, and told, by its stage; so are
    `device` and `cluster.solver`.

    Raises:
        ValueError: settings that contradict each other; with the one to give.
    """
    propose = settings.propose
    if named := backbone_named("propose", settings.weights_of("propose")):
        propose = replace(propose, backbone=named)
    by_hand = propose.backbone == HANDCRAFTED
    if propose.rotated and not propose.backbone.startswith("timm/"):
        raise ValueError(
            f"propose.rotated: {propose.backbone} does not rotate by position; "
            "DINOv3 and its kin do"
        )
    if by_hand and propose.facet == "values":
        raise ValueError("propose.facet: handcrafted has keys, queries and tokens, but no values")
    if by_hand and propose.positions:
        raise ValueError(
            "propose.positions: handcrafted features do not depend on where a patch lies. "
            f"Give {setting('propose.positions', '0')}, "
            f"or a network: {setting('propose.backbone', 'dino_vits16')}"
        )
    propose = replace(propose, choose=_to_choose(settings, propose))
    propose = _by_weights(propose, settings.weights_of("propose") or propose.backbone)
    method = propose.method
    pixels = propose.pixels
    if pixels == "auto":
        pixels = "refine" if by_hand else "crf"
    affinity = propose.tokencut.affinity
    if affinity == "auto":
        affinity = "gaussian" if by_hand else "threshold"
    short_side = 0 if by_hand else settings.features.short_side
    lost, tokencut = propose.lost, replace(propose.tokencut, affinity=affinity)
    if lost.short_side is None:
        lost = replace(lost, short_side=short_side)
    if tokencut.short_side is None:
        tokencut = replace(tokencut, short_side=short_side)
    propose = replace(
        propose,
        pixels=pixels,
        max_patches=propose.max_patches or (2400 if by_hand else MOST_PATCHES),
        lost=lost,
        tokencut=tokencut,
    )
    propose = _pooled(propose)
    for each in (method, *propose.pool.methods):
        if each in CUTS and propose.max_patches > MOST_PATCHES:
            raise ValueError(
                f"propose.max_patches must be at most {MOST_PATCHES} for {each}, "
                f"whose graph is held whole, got {propose.max_patches}"
            )
    cluster = settings.cluster
    if named := backbone_named("cluster", settings.weights_of("cluster")):
        cluster = replace(cluster, backbone=named)
    backbone = cluster.backbone or propose.backbone
    embedding = cluster.embedding
    if embedding == "auto":
        embedding = "descriptors" if backbone == HANDCRAFTED else "class_token"
    if embedding != "descriptors" and backbone == HANDCRAFTED:
        raise ValueError(
            f"cluster.embedding {embedding} needs a network, but cluster.backbone is handcrafted. "
            f"Give {setting('cluster.backbone', 'dino_vits16')}, "
            f"or {setting('cluster.embedding', 'descriptors')}"
        )
    detect = settings.detect
    if detect.min_proposal_score is None:
        detect = replace(detect, min_proposal_score=0.45 if by_hand else 0.0)
    if detect.pixels == "auto":
        detect = replace(detect, pixels="refine" if by_hand else "plain")
    if detect.size == "auto":
        has_body = settings.weights_of("detect") not in (None, "none")  # that a body starts from
        # Who describes masks by hand may have no network at all: proposals can be imported.
        no_network = by_hand or embedding == "descriptors"
        detect = replace(detect, size="small" if no_network or has_body else "backbone")
    if detect.on_tokens:
        _check_tokens(settings, by_hand=by_hand)
        cluster = replace(cluster, again=cluster.again or detect.clusters == "one")
    if cluster.again_min_score is None:
        cluster = replace(cluster, again_min_score=0.3 if detect.on_tokens else 0.5)
    if cluster.again_with == "auto":
        cluster = replace(cluster, again_with="proposals" if detect.on_tokens else "detections")
    segment = _segment(settings, by_hand=by_hand, embedding=embedding)
    for stage, size in (("detect", detect.size), ("segment", segment.size)):
        given = settings.weights_of(stage)
        if size == "small" and given in NETWORKS:
            raise ValueError(
                f"weights {stage}={given} are those of a ResNet-50, but {stage}.size is small. "
                f"Give {setting(f'{stage}.size', 'resnet50')}, "
                f"or {setting('weights', f'{stage}=none')}"
            )
        if stage == "detect" and given == "detect":
            raise ValueError(
                "weights detect=detect: the detector cannot start from itself. "
                f"Give {setting('weights', 'detect=none')}"
            )
    propose, detect = _placed(propose), _placed(detect)
    if detect.import_file:
        cluster = replace(cluster, again=detect.import_clusters == "again")
        if settings.seeds > 1 and settings.seeds_of == "clusters":
            raise ValueError(
                "seeds_of clusters: the detections are imported, "
                "so that no proposals are clustered. "
                f"Give {setting('seeds_of', 'chain')}"
            )
        if settings.weights_of("segment") == "detect" and segment.size != BACKBONE:
            raise ValueError(
                "weights segment=detect: the detections are imported, "
                "so that no detector is trained to start from. "
                f"Give {setting('weights', 'segment=none')}"
            )
    label = settings.label
    if label.overlap == "auto":
        label = replace(label, overlap="below" if detect.on_tokens else "skip")
    if label.unsure_score is None:
        label = replace(label, unsure_score=0.3 if segment.size == BACKBONE else 1.0)
    cluster = replace(
        cluster,
        embedding=embedding,
        backbone=backbone,
        support=_whole_if_there(cluster.support),
        align_to=_whole_if_there(cluster.align_to),
    )
    # Flags append to what a run's config.yaml holds: the same command again must not make its lists
    # longer.
    weights = tuple(
        {entry.partition("=")[0]: _placed_weights(entry) for entry in settings.weights}.values()
    )
    if detect.on_tokens:  # it has no body that a segmenter could start from
        weights = tuple("segment=none" if entry == "segment=detect" else entry for entry in weights)
    # Whole paths: the run may be gone on with from another folder.
    truths = tuple(
        dict.fromkeys(_whole_if_there(source) for source in settings.ground_truth if source)
    )
    if segment.keep == BEST and not truths:
        raise ValueError(
            f"segment.keep {BEST}: there is no ground truth to choose by. "
            f"Give {setting('ground_truth')}"
        )
    return replace(
        settings,
        weights=weights,
        ground_truth=truths,
        only=_whole(settings.only) if settings.only else None,
        validation=_whole_if_there(settings.validation) if settings.validation else None,
        evaluate=replace(settings.evaluate, published=_whole(settings.evaluate.published)),
        propose=propose,
        cluster=cluster,
        detect=detect,
        label=label,
        segment=segment,
    )


def _to_choose(settings: RunSettings, propose: ProposeSettings) -> str:
    """Return what a sweep is to choose: names with commas, or `no`.

    Of handcrafted features, imported masks, and weights that are known or drawn, nothing is chosen
    by itself.
    """
    if propose.choose != "auto":
        return propose.choose
    given = settings.weights_of("propose")
    is_settled = propose.backbone == HANDCRAFTED or propose.import_file or given == "none"
    if is_settled or known_weights.of(given or propose.backbone):
        return "no"
    is_open = {
        "method": propose.method == "auto",
        "block": propose.block is None,
        "facet": propose.facet == "auto",
        "centre_keys": propose.centre_keys == "auto",
        "short_side": propose.lost.short_side is None and propose.tokencut.short_side is None,
    }
    return ",".join(name for name in CHOOSABLE if is_open[name]) or "no"


def _by_weights(propose: ProposeSettings, weights: str) -> ProposeSettings:
    """Return settings without an `auto` of method, facet, block or centring.

    Weights that are known decide (settings/known_weights.py); else the name of the backbone.

    Args:
        weights: that propose, by name or file.
    """
    known = known_weights.of(weights)
    by_hand, is_dino = propose.backbone == HANDCRAFTED, _is_dino(propose.backbone, weights)
    method = propose.method
    if method == "auto":
        method = known.method if known else "maskdistill" if is_dino else "tokencut"
    if known and known.method != method:  # the line says nothing of another method
        known = None
    # Keys of the last block are DINO's gift; what else is trained is cut better by tokens.
    cuts_others = method in CUTS and not (is_dino or by_hand)
    block, facet = propose.block, propose.facet
    if block is None:
        block = known.block if known else -2 if cuts_others else -1
    if facet == "auto":
        facet = known.facet if known else "tokens" if cuts_others else "keys"
    centre = propose.centre_keys
    if centre == "auto":
        centre = "yes" if _centred(by_hand or is_dino, method, facet) else "no"
        if known and known.facet == facet:
            centre = known.centre
    return replace(propose, method=method, block=block, facet=facet, centre_keys=centre)


def centred(own: ProposeSettings, method: Method, facet: Facet) -> bool:
    """Return whether the patches' mean is subtracted of a facet for a method of the pool.

    Args:
        own: resolved. What it says of its own method and facet holds for these.
    """
    if (method, facet) == (own.method, own.facet):
        return own.centre_keys == "yes"
    as_they_are = own.backbone == HANDCRAFTED or _is_dino(own.backbone, own.backbone)
    return _centred(as_they_are, method, facet)


def _centred(as_they_are: bool, method: str, facet: str) -> bool:
    """Return whether the patches' mean is subtracted where the settings say `auto`.

    Cuts of tokens by a threshold of the cosine find less after centring; signs of keys say nothing
    before it.

    Args:
        as_they_are: features whose signs say something: DINO's, handcrafted ones.
    """
    return not (as_they_are or (method in CUTS and facet == "tokens"))


def _is_dino(backbone: str, weights: str) -> bool:
    """Return whether a backbone has DINO's weights; timm has them too, under names of its own."""
    line = known_weights.line(weights)
    names = (backbone, *(line.names if line else ()))
    return any(name.startswith("dino_") for name in names)


def _pooled(propose: ProposeSettings) -> ProposeSettings:
    """Return settings whose pool has no `auto` among its methods.

    Raises:
        ValueError: blocks or facets that handcrafted features have not; masks that are imported.
    """
    pool = propose.pool
    if not pool.is_on:
        return propose
    if propose.import_file:
        raise ValueError(
            "propose.pool: the proposals are imported, so that none are pooled. "
            "Leave out propose.pool or propose.import_file"
        )
    if propose.backbone == HANDCRAFTED and ("values" in pool.facets or set(pool.blocks) - {-1, 0}):
        raise ValueError(
            "propose.pool: handcrafted has keys, queries and tokens of one block, -1; "
            f"got facets {pool.facets}, blocks {pool.blocks}"
        )
    methods = tuple(
        dict.fromkeys(propose.method if name == "auto" else name for name in pool.methods)
    )
    return replace(propose, pool=replace(pool, methods=methods))


def _check_tokens(settings: RunSettings, *, by_hand: bool) -> None:
    """Check that there is a network whose tokens a detector can learn on, and nothing against it.

    Raises:
        ValueError: handcrafted features, weights of another body.
    """
    if by_hand:
        raise ValueError(
            "detect.size backbone: handcrafted features are no tokens that a detector could learn "
            f"on. Give {setting('detect.size', 'small')}, "
            f"or a network: {setting('propose.backbone', 'dino_vits16')}"
        )
    if (given := settings.weights_of("detect")) not in (None, "none"):
        raise ValueError(
            f"weights detect={given}: a detector of size backbone has the network of propose, and "
            f"heads that start from nothing. Give {setting('weights', 'detect=none')}, "
            f"or {setting('detect.size', 'resnet50')}"
        )


def _segment(settings: RunSettings, *, by_hand: bool, embedding: str) -> SegmentSettings:
    """Return the settings of the segmenter without an `auto`.

    Raises:
        ValueError: size backbone of a backbone that has no tokens, or with weights to start from.
    """
    own, given = settings.segment, settings.weights_of("segment")
    if own.size == "auto":
        has_body = given not in (None, "none", "detect")  # weights that a body starts from
        small = by_hand or has_body or embedding == "descriptors"
        own = replace(own, size="small") if small else replace(own, size=BACKBONE)
    if own.pixels == "auto":
        if by_hand:
            own = replace(own, pixels="refine")
        else:
            own = replace(own, pixels="crf" if own.size == BACKBONE else "plain")
    if own.size != BACKBONE:
        return own
    if by_hand:
        raise ValueError(
            "segment.size backbone learns on the tokens of a network, but propose.backbone is "
            f"handcrafted. Give {setting('propose.backbone', 'dino_vits16')}, "
            f"or {setting('segment.size', 'small')}"
        )
    if given not in (None, "none", "detect"):  # detect: the usual word, of the other sizes
        raise ValueError(
            f"weights segment={given}: segment.size backbone starts from no weights of its own. "
            f"Give {setting('weights', 'segment=none')}, or {setting('segment.size', 'small')}"
        )
    return own


def _placed(own: Importing) -> Importing:
    """Return settings with whole paths of imports: a run may go on from another folder."""
    if own.import_images and not own.import_file:
        named = setting(
            f"{'propose' if isinstance(own, ProposeSettings) else 'detect'}.import_file"
        )
        raise ValueError(
            f"import_images lists the images of the masks that {named} names. Give {named} too"
        )
    return replace(
        own, import_file=_whole(own.import_file), import_images=_whole(own.import_images)
    )


def _placed_weights(entry: str) -> str:
    """Return STAGE=WHAT, of a file its whole path; links stay: the ending of its name tells."""
    stage, _, what = entry.partition("=")
    path = Path(what).expanduser()
    return entry if is_name(what) or not path.is_file() else f"{stage}={path.absolute()}"


def _whole_if_there(path: str) -> str:
    """Return the whole path of what is there; a fraction, or what is missing, as it was given."""
    return _whole(path) if Path(path).expanduser().exists() else path


def _whole(path: str) -> str:
    return str(Path(path).expanduser().resolve()) if path else ""
