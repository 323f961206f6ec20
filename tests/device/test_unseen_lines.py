"""Lines that labelled devices cannot see: each has its reason here.

A new one fails the test until somebody has looked at it as it would run on a GPU.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import maskdistill

PACKAGE = Path(maskdistill.__file__).parent
# What these begin with is no function of tensors, or works only where there is a GPU.
UNSEEN = (
    *("torch.cuda", "torch.Generator", "torch.default_generator", "torch.manual_seed"),
    *("torch.random", "torch.autocast", "torch.amp", "torch.compile", "torch.backends"),
    *("torch.set_default_device", "torch.distributed", "torch.multiprocessing"),
)
DOTTED = re.compile(r"torch(\.\w+)+")
# Memory of the CPU that a GPU copies from while the CPU goes on.
WORDS = ("pin_memory", "is_pinned", "non_blocking", "record_stream")
AUTOCAST = "of the type of the device that the model's parameters are on: places nothing"
DRAWN = "weights are drawn on the CPU, generators of GPUs left alone; networks are moved later"
LINES = {
    "clusters/streamed.py: torch.cuda.mem_get_info": "asked of a GPU alone; tests answer for it",
    "detector/model.py: torch.Generator": "on the CPU; what it draws is moved",
    "detector/model.py: torch.default_generator.manual_seed": DRAWN,
    "detector/model.py: torch.random.fork_rng": DRAWN,
    "detector/token_rcnn.py: torch.default_generator.manual_seed": DRAWN,
    "detector/token_rcnn.py: torch.random.fork_rng": DRAWN,
    "engine/networks.py: torch.cuda.device_count": "in n_gpus; tests answer for it",
    "engine/networks.py: torch.cuda.is_available": "in n_gpus; tests answer for it",
    "features/vit.py: torch.default_generator.manual_seed": DRAWN,
    "features/vit.py: torch.random.fork_rng": DRAWN,
    "memory.py: torch.cuda.empty_cache": "places nothing",
    "memory.py: torch.cuda.is_available": "asks whether there is a cache to empty",
    "segmenter/model.py: torch.default_generator.manual_seed": DRAWN,
    "segmenter/model.py: torch.random.fork_rng": DRAWN,
    "segmenter/patch_head.py: torch.default_generator.manual_seed": DRAWN,
    "segmenter/patch_head.py: torch.random.fork_rng": DRAWN,
    "stage_parts/device_batches.py: torch.autocast": AUTOCAST,
    "training/loop.py: torch.autocast": AUTOCAST,
    "training/loop.py: torch.cuda.device_count": "as many as manual_seed seeds",
    "training/loop.py: torch.manual_seed": "for dropout on either device",
    "training/loop.py: torch.random.fork_rng": "puts back what manual_seed seeds",
    "workflows/speed.py: torch.Generator": "on the CPU; what it draws is moved by the heads' view",
    "workflows/speed.py: torch.cuda.synchronize": "asked of a GPU alone, to time what it did",
}


def used(source: str) -> Iterator[str]:
    """Yield the dotted names in a source that labels do not see, and the words of pinned memory."""
    tree = ast.parse(source)
    dotted = [node for node in ast.walk(tree) if DOTTED.fullmatch(_text(node))]
    parts = {id(node.value) for node in dotted if isinstance(node, ast.Attribute)}
    annotations = {
        id(each)
        for node in ast.walk(tree)
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if isinstance(part, ast.AST)
        for each in ast.walk(part)
    }
    whole = {id(node) for node in dotted} - parts - annotations
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{each.name}" for each in node.names]
        else:
            names = [_text(node)] if id(node) in whole else []
        yield from (name for name in names if name.startswith(UNSEEN))
        spelt = (getattr(node, "attr", None), getattr(node, "arg", None))
        yield from (word for word in spelt if word in WORDS)


def _text(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute) else ""


def test_each_line_that_labels_do_not_see_has_a_reason() -> None:
    found = {
        f"{path.relative_to(PACKAGE).as_posix()}: {name}"
        for path in PACKAGE.rglob("*.py")
        for name in used(path.read_text(encoding="utf-8"))
    }
    new, gone = sorted(found - LINES.keys()), sorted(LINES.keys() - found)
    assert not new, f"look at these as on a GPU, then give each its reason in LINES: {new}"
    assert not gone, f"these are gone, take them out of LINES: {gone}"


def test_every_way_to_spell_one_is_found() -> None:
    source = """
import torch.cuda.amp
from torch import Generator, nn
from torch.cuda import Stream
made = torch.Generator(device="cuda").manual_seed(1)
def with_tensor(x: torch.Tensor, y: torch.Generator) -> torch.Generator:
    if torch.cuda.current_stream().query():
        return x.pin_memory().to("cuda", non_blocking=True)
"""
    assert sorted(used(source)) == [
        "non_blocking",
        "pin_memory",
        "torch.Generator",
        "torch.Generator",
        "torch.cuda.Stream",
        "torch.cuda.amp",
        "torch.cuda.current_stream",
    ]
