"""Token views: the pictures of a run as the detector on tokens takes them.

In:   the run's tokens, kept or computed again
Out:  detector.View of a picture or its mirror image
"""

from __future__ import annotations

from collections.abc import Sequence

from maskdistill import detector
from maskdistill.artifacts.kept_tokens import KeptTokens, Pending
from maskdistill.engine.job import Image, Job
from maskdistill.errors import PictureError
from maskdistill.features.tokens import Tokens


class TokenViews:
    """Give the views of the pictures of a run; safe to be used by several threads.

    Args:
        job: of the run; its scan is complete.
    """

    def __init__(self, job: Job) -> None:
        self._kept = KeptTokens(job, blocks=job.settings.detect.blocks)

    @property
    def channels(self) -> int:
        """Return the channels of a view: those of all its blocks."""
        return len(self._kept.blocks) * self._kept.width

    def grid(self, image: Image) -> tuple[int, int]:
        """Return (rows, cols) of the tokens of a picture."""
        return self._kept.shown.grid(image.size, patch=self._kept.patch)

    def of(self, image: Image, *, mirrored: bool) -> detector.View:
        """Return the view of a picture, or of its mirror image.

        Raises:
            PictureError, RunError: as `KeptTokens.tokens`.
        """
        return self._view(self._kept.tokens(image.id, mirrored=mirrored))

    def ahead(self, image: Image) -> Tokens | Pending:
        """Return the tokens of a picture where they are kept, else it ready for the backbone."""
        return self._kept.ahead(image.id)

    def together(self, loaded: Sequence[Tokens | Pending]) -> list[detector.View]:
        """Return the views of what `ahead` gave, in order.

        Raises:
            MemoryError: a picture does not fit, however small it is shown.
        """
        try:
            return [self._view(each) for each in self._kept.together(loaded)]
        except PictureError as error:
            raise MemoryError(str(error)) from error

    def _view(self, seen: Tokens) -> detector.View:
        return detector.view(seen.patches, seen.scaled, patch=self._kept.patch)
