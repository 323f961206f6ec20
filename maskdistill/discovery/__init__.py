"""Discovery: the masks of one picture, with no file read or written.

Before:   pictures (any file -> RGB array) and the settings of `propose`
After:    stages/propose.py (a run's proposals), inference (masks without a run), measuring/sweep.py
Contract: recipe.recipe_of(settings) -> Recipe: how pictures are shown, which method and limits;
          find.discover(picture, *, size, backbone, recipe) -> Discovered: masks, scores, notes;
          limits: the least score, features that are not finite, a picture that does not fit
"""
