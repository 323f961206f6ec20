"""Flags that were given, as a layer of settings that holds those alone.

In:       a command's words after its name; a class of its own words; which settings are its flags
Out:      an instance of the class, and a nested dict of the settings that were given, no others:
          one more layer above defaults, preset and YAML file (`settings.over`)
Differs:  tyro fills in defaults, so that a flag given at its default looks like none. Here help
          shows the defaults, and a flag that is not given leaves no key (as in tyro's TypedDict)
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass, replace
from typing import Annotated, Any, TypedDict

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from maskdistill.settings import RunSettings, load

Layer = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Settings that a command has flags for, each with the help that stands beside its field.

    Attributes:
        names: of RunSettings, in the order of the help; a stage's name stands for all of its own.
        bare: the stage whose flags have no prefix; "": none.
        without: settings of that stage that the command has no use for.
        shown: returns the settings that help shows as the defaults.
    """

    names: tuple[str, ...]
    bare: str = ""
    without: tuple[str, ...] = ()
    shown: Callable[[], RunSettings] = load


def parse(
    words: Any, chosen: Chosen | None, rest: list[str], *, prog: str, about: str | None = None
) -> tuple[Any, ...]:
    """Read a command's words; tyro prints help and refusals, and ends the process there.

    Args:
        words: a dataclass of what is no setting, or a union of them (sub-commands).
        chosen: the settings that are flags too; None: none are.
        about: the head of the help; None: the docstring of `words`.
    Returns:
        (instance of words,), or (instance of words, layer) where settings are chosen.
    """
    if chosen is None:
        return (tyro.cli(words, prog=prog, args=rest, description=about),)
    flat = tyro.conf.arg(name="")
    flags = _flags_of(chosen.shown(), chosen.names, chosen.bare, chosen.without)
    both = make_dataclass(
        "Given", [("words", Annotated[words, flat]), ("layer", Annotated[flags, flat])]
    )
    both.__doc__ = about or words.__doc__
    given: Any = tyro.cli(both, prog=prog, args=rest, registry=_REGISTRY)
    return given.words, given.layer


class _Flags:
    """Base of the classes that tyro is to read as settings, a key for each flag that is given."""

    shown: Any
    names: tuple[str, ...]
    bare: str
    without: tuple[str, ...]


def _flags_of(
    shown: Any, names: tuple[str, ...] = (), bare: str = "", without: tuple[str, ...] = ()
) -> type[_Flags]:
    names = names or tuple(each.name for each in dataclasses.fields(shown))
    inside = {"shown": shown, "names": names, "bare": bare, "without": without}
    return type("Flags", (_Flags,), inside)


class _NotGiven(TypedDict, total=False):
    key: str  # tyro's own mark for what is left out stands here as the default


_REGISTRY = ConstructorRegistry()


@_REGISTRY.struct_rule
def _keys_of_given_flags(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Read settings as tyro reads the dataclass, help too; make a dict of what is given."""
    flags: Any = info.type
    if not (isinstance(flags, type) and issubclass(flags, _Flags)):
        return None
    own = {field.name: field for field in _fields_of(info, type(flags.shown), flags.shown)}
    (absent,) = _fields_of(info, _NotGiven, tyro.MISSING_NONPROP)
    fields, repeated = [], []
    kind: Any
    for name in flags.names:
        value = own[name].default
        if dataclasses.is_dataclass(value):
            is_bare = name == flags.bare
            left = flags.without if is_bare else ()
            kept = tuple(each.name for each in dataclasses.fields(value) if each.name not in left)
            how = tyro.conf.arg(name="" if is_bare else None)
            kind, default = Annotated[_flags_of(value, kept), how], tyro.MISSING_NONPROP
        else:
            label = shlex.join(map(str, value if isinstance(value, tuple) else (value,)))
            hint, default = f"(default: {label})", absent.default
            if tyro.conf.UseAppendAction in getattr(own[name].type, "__metadata__", ()):
                repeated.append(name)
                # tyro appends to the default: to none, because those below are merged later.
                hint = f"(repeatable, appends to: {label})" if value else "(repeatable)"
                default = ()
            kind = Annotated[own[name].type, tyro.conf.arg(help_behavior_hint=hint)]
        fields.append(replace(own[name], type=kind, default=default))

    def layer(**given: Any) -> Layer:
        return {
            name: value
            for name, value in given.items()
            if value != {} and not (name in repeated and value == ())
        }

    layer.__doc__ = type(flags.shown).__doc__
    return StructConstructorSpec(instantiate=layer, fields=tuple(fields))


def _fields_of(info: StructTypeInfo, kind: type, default: Any) -> tuple[StructFieldSpec, ...]:
    """Return the fields that tyro itself finds in a class."""
    spec = ConstructorRegistry.get_struct_spec(replace(info, type=kind, default=default))
    assert isinstance(spec, StructConstructorSpec)
    return spec.fields
