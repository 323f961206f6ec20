"""One pass over the pictures of a run, journalled: decoded ahead of the device, described behind it, in threads."""

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
    """The journal of a stage that does one picture after the other; pictures in it already are passed over.

    Args:
        describe: from a picture (H, W, 3) to its record; that of an unreadable one is {"refused": reason}.
    Returns:
        The open journal, complete; the caller makes its outputs from it.
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
    """As `over_pictures`, for a device that sees several pictures at a time.

    Args:
        batches: all pictures of the stage; a batch of which one is not in the journal is done again whole, because
            what a device gives for a picture may depend on what it sees beside it.
        load: from an image to what is needed of it, in threads ahead; PictureError if it cannot be decoded.
        together: from what was loaded of a batch to what the device makes of each, in this thread.
        each: from that to the record, in threads behind.
        behind: so many threads; 0: in this thread.
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
        if image.id in job.replaced:
            record = {**record, "content": job.replaced[image.id]}
            told = {"picture": image.path, "what": "is not the picture that was scanned"}
            job.ledger.write("warning", stage=folder.path.name, **told)
            others.append(image.path)
        journal.add(image.id, record)
        if reason := record.get("refused"):
            job.ledger.write("refused", stage=folder.path.name, picture=image.path, reason=reason)
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
                for (
                    image,
                    record,
                ) in waiting:  # what was begun behind the device is waited for, and kept
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
