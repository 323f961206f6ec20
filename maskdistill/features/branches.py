"""Branches of a checkpoint: the network that is wanted among wrappers, prefixes and copies.

In:       what a file of weights holds
Out:      tensors of one branch without its prefix; a note where there was a choice
Differs:  DINO, MoCo: teacher and momentum copies before students, as their authors evaluate.
          EMA beside plain weights: plain, as before there was a choice; the note names the other
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from maskdistill.errors import WeightsError

WRAPPERS = ("teacher", "state_dict", "model", "student")
# The first prefix that any key has is the branch that is kept: teachers and momentum copies before
# students. What these find stays as it is (fingerprints of weights count it); `_branches` looks
# further where they find no network.
_PREFIXES = (
    "module.momentum_encoder.",
    "module.base_encoder.",
    "module.encoder_k.",
    "module.encoder_q.",
    "teacher.",
    "module.backbone.",
    "backbone.",
    "module.",
    "encoder.",
)
# What wrappers write into the names of what they wrap: torch.compile, FSDP, activation checkpoints.
_WOVEN_IN = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Tensors that every network of a kind has once: what stands before one is the prefix of a branch.
_ANCHORS = (
    "patch_embed.proj.weight",  # timm, DINO, MAE
    "embeddings.patch_embeddings.projection.weight",  # Hugging Face: ViT, DeiT, DINOv2, MAE
    "embeddings.patch_embeddings.weight",  # Hugging Face: DINOv3
    "layer1.0.conv1.weight",  # ResNets
)
# Names of copies that are evaluated before others, and behind them; the note tells what was taken.
_FIRST = re.compile(r"teacher|momentum|target_encoder|encoder_k")
_LAST = re.compile(r"student|base_encoder|encoder_q|(?<![a-z])ema(?![a-z])|averaged|target")
_DEEPEST = 3  # wrappers within wrappers


@dataclass(frozen=True)
class Branch:
    """A network within a file: keys of the dicts around it, and the prefix of its tensors."""

    path: tuple[str, ...]
    prefix: str

    @property
    def label(self) -> str:
        """Return its name for people."""
        return ".".join((*self.path, self.prefix.removesuffix("."))).strip(".") or "the plain one"


def wanted(state: Mapping[str, Any], *, source: str) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of the wanted branch, and a note where there were others ("" else).

    Args:
        state: what a file holds. source: it, for texts.
    Raises:
        WeightsError: no tensors in it, or several networks of which none is the one to take.
    """
    found = _branches(state)
    path, prefix, tensors = _by_known_words(state)
    taken = Branch(path, prefix)
    if not any(anchor in tensors for anchor in _ANCHORS) and found:
        taken = _best(found, source=source)
        tensors = _below(found[taken], taken.prefix)
    if not tensors:
        inner = state[path[0]] if path else state
        raise WeightsError(
            f"{source}: holds no tensors; its keys: "
            f"{', '.join(map(str, list(inner)[:5])) or 'none'}. "
            f"Wanted: a state dict, bare or under {', '.join(WRAPPERS)}"
        )
    others = [each.label for each in found if each != taken] if taken in found else []
    if not others:
        return tensors, ""
    return tensors, (
        f"{source} holds {len(others) + 1} networks: {taken.label} is taken, "
        f"{', '.join(others)} {'is' if len(others) == 1 else 'are'} not. "
        "To take another, save it alone as a state dict and give that file"
    )


def _by_known_words(
    state: Mapping[str, Any],
) -> tuple[tuple[str, ...], str, dict[str, Tensor]]:
    """Return the branch by the words of DINO, MoCo and timm: wrapper, prefix, tensors."""
    path: tuple[str, ...] = ()
    for wrapper in WRAPPERS:
        if isinstance(state.get(wrapper), Mapping):
            state, path = state[wrapper], (wrapper,)
            break
    tensors, taken = _tensors(state), ""
    # Twice: a full checkpoint may hold `module.` around `backbone.`.
    for _ in range(2):
        for prefix in _PREFIXES:
            if any(key.startswith(prefix) for key in tensors):
                tensors, taken = _below(tensors, prefix), taken + prefix
                break
    return path, taken, tensors


def _branches(state: Mapping[str, Any]) -> dict[Branch, dict[str, Tensor]]:
    """Return each network in a file with the tensors of the dict that it stands in."""
    found: dict[Branch, dict[str, Tensor]] = {}
    for path, inner in _nested(state, ()):
        tensors = _tensors(inner)
        for key in tensors:
            for anchor in _ANCHORS:
                if key == anchor or key.endswith(f".{anchor}"):
                    found[Branch(path, key.removesuffix(anchor))] = tensors
    return found


def _nested(
    state: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield a dict and those within it, with the keys that lead there."""
    yield path, state
    for key, value in state.items():
        if isinstance(value, Mapping) and isinstance(key, str) and len(path) < _DEEPEST:
            yield from _nested(value, (*path, key))


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the named tensors of a dict, what wrappers wove into the names taken out."""
    found = {
        key: value
        for key, value in state.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    plain = {_WOVEN_IN.sub("", key): value for key, value in found.items()}
    return plain if len(plain) == len(found) else found


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors behind a prefix, without it."""
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def _best(found: Mapping[Branch, Any], *, source: str) -> Branch:
    """Return the branch that comes first by the words in its name.

    Raises:
        WeightsError: two of equal standing.
    """

    def rank(branch: Branch) -> tuple[int, int]:
        words = f"{'.'.join(branch.path)}.{branch.prefix}".lower()
        standing = 0 if _FIRST.search(words) else 2 if _LAST.search(words) else 1
        wrapper = branch.path[0] if branch.path else ""
        return standing, WRAPPERS.index(wrapper) if wrapper in WRAPPERS else len(WRAPPERS)

    ordered = sorted(found, key=rank)
    equal = [each.label for each in ordered if rank(each) == rank(ordered[0])]
    if len(equal) > 1:
        raise WeightsError(
            f"{source}: holds several networks, {', '.join(equal)}, and nothing says which is "
            "wanted. Save that one alone: torch.save({key: tensor}, FILE), without the prefix"
        )
    return ordered[0]
