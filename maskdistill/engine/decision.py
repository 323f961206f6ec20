"""Decision: what happens to a stage when it is asked for, from the facts alone; nothing is read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Action(Enum):
    """Deeds of `perform` with a stage."""

    SKIP = "skip"  # it is complete, and what is asked for
    GO_ON = "go on"  # with what is in its parts/
    START = "start"  # from nothing, or anew where it is done each time
    REDO = "redo"  # what is complete goes to old/ until the new one is; an attempt goes
    BRING_BACK = "bring back"  # what old/ holds is what is asked for: it takes its place again
    REFUSE = "refuse"  # what is there is other than is asked for, and nobody said --redo


class Match(Enum):
    """States of a result or an attempt, held against what is asked for now."""

    NOTHING = "nothing"
    SAME = "same"  # made, or begun, with the fingerprint that is asked for
    OTHER = "other"  # with another one


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts of a stage before it is done.

    Attributes:
        complete: of the result in its place (its stage.json).
        damaged: outputs of that result are missing or changed.
        begun: of the attempt in its parts/.
        kept: of the complete result in old/.
        redo: the user asked to do it again where it differs, or where `redo_same`.
        redo_same: it left pictures out, or looks at what no fingerprint knows: asked to be done
            again it is, though its fingerprint is the same. False where it is to be taken of
            another run.
        always: it is done again each time (evaluate, report).
    """

    complete: Match = Match.NOTHING
    damaged: bool = False
    begun: Match = Match.NOTHING
    kept: Match = Match.NOTHING
    redo: bool = False
    redo_same: bool = False
    always: bool = False


def decide(facts: Facts) -> Action:
    """Return what to do with a stage.

    | complete here    | begun   | kept in old/ | redo               | action     |
    | ---------------- | ------- | ------------ | ------------------ | ---------- |
    | same             | any     | any          | no                 | skip       |
    | same             | any     | any          | yes, not redo_same | skip       |
    | same             | any     | any          | yes, redo_same     | redo       |
    | other or damaged | any     | any          | no                 | refuse     |
    | other or damaged | any     | any          | yes                | redo       |
    | nothing          | nothing | same         | any                | bring back |
    | nothing          | other   | same         | yes                | bring back |
    | nothing          | other   | any          | no                 | refuse     |
    | nothing          | other   | not same     | yes                | redo       |
    | nothing          | same    | any          | any                | go on      |
    | nothing          | nothing | not same     | any                | start      |

    A stage that is done each time starts, whatever is there. What is brought back is complete and
    the same: the next decision is about that. A stage that another run has is taken of it wherever
    this says start, go on or redo.
    """
    if facts.always:
        return Action.START
    if facts.complete is not Match.NOTHING:
        if facts.complete is Match.SAME and not facts.damaged:
            return Action.REDO if facts.redo and facts.redo_same else Action.SKIP
        return Action.REDO if facts.redo else Action.REFUSE
    if facts.begun is Match.SAME:
        return Action.GO_ON
    if facts.begun is Match.OTHER and not facts.redo:
        return Action.REFUSE
    if facts.kept is Match.SAME:
        return Action.BRING_BACK
    return Action.START if facts.begun is Match.NOTHING else Action.REDO
