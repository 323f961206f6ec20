"""Picture loop: one journalled pass over pictures, decoded ahead of the device, described behind.

In:   the pictures of a run, and functions from a picture to its record
Out:  a complete Journal, a record a picture; refused pictures stand in the ledger too
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from maskdistill.engine.job import Image, Job
from maskdistill.errors import PictureError, listed
from maskdistill.pictures import prefetched
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import StageFolder

Loaded = TypeVar("Loaded")
Made = TypeVar("Made")
Record = dict[str, Any]


def over_pictures(
    job: Job,
    folder: StageFolder,
    images: list[Image],
    describe: Callable[[Image, Any], Record],
    *,
    title: str,
) -> Journal:
    """Return the journal of a stage that does one picture after the other.

    Pictures that are in the journal already are passed over.

    Args:
        folder: of the stage; the journal lies in its parts/.
        describe: from a picture (H, W, 3) uint8 to its record. A picture that cannot be decoded is
            not handed over: its record is {"refused": reason}.
        title: beside the bar of progress.
    Returns:
        The open journal, complete; the caller makes its outputs from it.
    Raises:
        RunError: a picture's file is gone, or the journal cannot be written.
    """
    return over_batches(
        job,
        folder,
        [[image] for image in images],
        load=job.read_picture,
        together=lambda loaded: loaded,
        each=lambda image, rgb, _: describe(image, rgb),
        title=title,
        behind=0,
    )


def over_batches(
    job: Job,
    folder: StageFolder,
    batches: Sequence[Sequence[Image]],
    *,
    load: Callable[[Image], Loaded],
    together: Callable[[list[Loaded]], list[Made]],
    each: Callable[[Image, Loaded, Made], Record],
    title: str,
    behind: int,
) -> Journal:
    """Return the journal of a stage whose device sees several pictures at a time.

    Args:
        batches: all pictures of the stage. A batch of which one picture is not in the journal is
            done again whole: the result of a picture may depend on the pictures beside it.
        load: from an image to what is needed of it, in threads ahead of the device; it raises
            PictureError where the picture cannot be decoded.
        together: from what was loaded of a batch to the device's result of each, in this thread.
        each: from image, loaded and result to the record, in threads behind the device.
        title: beside the bar of progress.
        behind: number of threads behind the device; 0: `each` is called in this thread.
    Returns:
        The open journal, complete; the caller makes its outputs from it.
    Raises:
        RunError: a picture's file is gone, or the journal cannot be written.
    """
    journal = Journal(folder.parts.path)
    pending = [batch for batch in batches if any(image.id not in journal for image in batch)]
    again = sum(image.id in journal for batch in pending for image in batch)
    total = sum(map(len, batches))
    largest = max(map(len, pending), default=1)
    refused: list[str] = []
    others: list[str] = []
    waiting: deque[tuple[Image, Future[Record]]] = deque()

    def keep(image: Image, record: Record) -> None:
        if (content := job.replaced.pop(image.id, None)) is not None:
            record = {**record, "content": content}
            told = {"picture": image.name, "what": "is not the picture that was scanned"}
            job.ledger.write("warning", stage=folder.path.name, **told)
            others.append(image.name)
        journal.add(image.id, record)
        if reason := record.get("refused"):
            job.ledger.write("refused", stage=folder.path.name, picture=image.name, reason=reason)
            refused.append(reason)
        bar.advance()

    try:
        with (
            job.progress.bar(title, total=total, done=len(journal) - again, unit="pictures") as bar,
            ThreadPoolExecutor(max(1, behind)) as pool,
        ):
            stream = prefetched(
                [image for batch in pending for image in batch],
                load,
                workers=job.settings.workers,
                ahead=max(2 * job.settings.workers, 2 * largest if largest > 1 else 0),
            )
            try:
                for batch in pending:
                    loaded = [next(stream) for _ in batch]
                    good = [
                        (image, found)
                        for image, found in loaded
                        if not isinstance(found, PictureError)
                    ]
                    made = dict(
                        zip(
                            (image.id for image, _ in good),
                            together([found for _, found in good]),
                            strict=True,
                        )
                    )
                    for image, found in loaded:
                        if isinstance(found, PictureError):
                            keep(image, {"refused": str(found)})
                        elif not behind:
                            keep(image, each(image, found, made[image.id]))
                        else:
                            waiting.append((image, pool.submit(each, image, found, made[image.id])))
                    while len(waiting) > 2 * max(behind, largest):
                        first, record = waiting.popleft()
                        keep(first, record.result())
                while waiting:
                    first, record = waiting.popleft()
                    keep(first, record.result())
            except BaseException:
                # Records that were begun behind the device are waited for, and kept.
                for image, record in waiting:
                    if not record.cancel() and record.exception() is None:
                        keep(image, record.result())
                raise
            finally:
                stream.close()
        journal.flush()
        job.progress.left_out(refused)
        if others:
            job.progress.say(
                f"{title}: {len(others)} pictures changed since the scan, and are read as they are "
                f"now: {listed(others)}"
            )
    except BaseException:
        journal.close()
        raise
    return journal
