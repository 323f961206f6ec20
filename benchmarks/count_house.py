"""Count the house: what a newcomer has to walk through. Prints a table; nothing is judged.

    python benchmarks/count_house.py [PACKAGE]      # default: the maskdistill folder beside this one

Counts, for any version of the package: files and lines a folder; functions and classes whose docstring
does not open with a verb; public functions without an example; lines of the command line and of the
settings; places that spell a name of a run's file; and, by tracing one tiny run, the files that one
picture passes on its way from the command to its masks, and a number on its way from the truth.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
RUN_FILES = [
    "stage.json",
    "images.jsonl",
    "config.yaml",
    "ledger.jsonl",
    "proposals.jsonl",
    "detections.jsonl",
    "clusters.jsonl",
    "clusters.json",
    "centroids.npy",
    "embeddings.npy",
    "names.json",
    "coverage.json",
    "model.safetensors",
    "losses.jsonl",
    "metrics.json",
    "refused.jsonl",
    "parts",
    "predictions",
    "maps",
    "recluster",
    "detect/train",
    "segment/train",
]
NOT_A_VERB = re.compile(
    r"(What|Who|Whose|Whether|Which|Where|When|How|As|It|They|The|A|An|That|This|So|Of|All|Each|Every|"
    r"One|Two|At|In|On|No|Its|Their|Everything|Nothing|Files?|Rows?|Lines?|\(|\w+Error)\b"
)
# Entered from the command to the proposals of one drawn picture: each file of the package, in order.
TRACED = """
import sys, tempfile
from pathlib import Path
import numpy as np
from PIL import Image
import maskdistill
from maskdistill import api
root = str(Path(maskdistill.__file__).parent) + "/"
out = Path(tempfile.mkdtemp())
(out / "p").mkdir()
rng = np.random.default_rng(0)
picture = np.full((64, 80, 3), 90, np.uint8)
picture[16:44, 20:60] = (220, 60, 40)
Image.fromarray(picture + rng.integers(0, 9, picture.shape, np.uint8)).save(out / "p" / "a.png")
api.run(pictures=out / "p", out=out / "r", settings={"propose": {"backbone": "handcrafted"},
        "workers": 0, "threads": 1}, until="scan", quiet=True)
entered = []
def see(frame, event, argument):
    if event == "call":
        name = frame.f_code.co_filename
        if name.startswith(root):
            file = name[len(root):]
            if not entered or entered[-1] != file:
                entered.append(file)
sys.setprofile(see)
api.propose(out=out / "r")
sys.setprofile(None)
print("\\n".join(entered))
"""


def trees(package: Path) -> dict[Path, ast.Module]:
    """Return the parsed files of a package."""
    return {
        path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(package.rglob("*.py"))
    }


def folders(package: Path) -> list[str]:
    """Return a line a folder: its files and their lines."""
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for path in package.rglob("*.py"):
        folder = path.parent.relative_to(package).as_posix()
        files[folder] += 1
        lines[folder] += len(path.read_text(encoding="utf-8").splitlines())
    rows = [f"| {name} | {files[name]} | {lines[name]} |" for name in sorted(files)]
    rows.append(f"| all {len(files)} folders | {sum(files.values())} | {sum(lines.values())} |")
    return ["| folder | files | lines |", "| --- | --- | --- |", *rows]


def spelt(package: Path) -> int:
    """Return how many places outside runs/layout.py and runs/stages.py spell a run's file."""
    own = {package / "runs" / "layout.py", package / "runs" / "stages.py"}
    n = 0
    for path, tree in trees(package).items():
        n += sum(
            isinstance(node, ast.Constant) and node.value in RUN_FILES
            for node in ast.walk(tree)
            if path not in own
        )
    return n


def docstrings(package: Path) -> tuple[int, int, int]:
    """Return how many public functions there are, without a verb in front, without an example."""
    n = without_verb = without_example = 0
    for tree in trees(package).values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                text = ast.get_docstring(node)
                n += text is not None
                without_verb += text is not None and bool(NOT_A_VERB.match(text))
                without_example += text is not None and ">>>" not in text
    return n, without_verb, without_example


def entered(package: Path) -> list[str]:
    """Return the files that one picture enters from the command to its proposals, in order."""
    done = subprocess.run(
        [sys.executable, "-c", TRACED],
        capture_output=True,
        text=True,
        check=True,
        cwd=package.parent,
        env={"PYTHONPATH": str(package.parent), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
    )
    return done.stdout.split()


def main() -> None:
    """Print the counts of a package."""
    package = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE / "maskdistill"
    print("\n".join(folders(package)))
    n, without_verb, without_example = docstrings(package)
    doors = [*package.glob("cli*"), *package.glob("*commands.py")]
    lines = {
        name: sum(
            len(path.read_text(encoding="utf-8").splitlines())
            for root in roots
            for path in ([root] if root.is_file() else root.rglob("*.py"))
        )
        for name, roots in (("command line", doors), ("settings", [package / "settings"]))
    }
    way = entered(package)
    work = way[next(n for n, file in enumerate(way) if file == "stages/propose.py") :]
    print("\n| count | |\n| --- | --- |")
    print(f"| lines of the command line | {lines['command line']} |")
    print(f"| lines of the settings | {lines['settings']} |")
    print(
        f"| places that spell a run's file outside runs/layout.py, runs/stages.py | {spelt(package)} |"
    )
    print(f"| public functions with a docstring | {n} |")
    print(f"| ... that does not open with a verb | {without_verb} |")
    print(f"| ... without an example | {without_example} |")
    print(f"| distinct files entered by `propose` over one picture | {len(set(way))} |")
    print(f"| ... of discovery, features, proposals, pictures, masks | {len(set(rooms(work)))} |")
    print(
        "\nThe rooms' files, in the order of first entry: " + ", ".join(dict.fromkeys(rooms(work)))
    )


def rooms(way: list[str]) -> list[str]:
    """Return the files of a way that do something to the picture."""
    of = ("discovery/", "features/", "proposals/", "pictures/", "masks/", "crf/", "stages/")
    return [file for file in way if file.startswith(of)]


if __name__ == "__main__":
    main()
