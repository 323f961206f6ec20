"""Labelled devices: GPU code without a GPU; arithmetic is the CPU's, the rules are torch's.

In:       code that runs inside `with Labelled():`, in the same thread
Out:      .device, .to and factories answer by a label of each tensor; what torch refuses raises
Not seen: what is no function of tensors (torch.cuda, generators and streams of a GPU, autocast),
          other threads, and the inside of torch's own functions: their inputs are checked, their
          outputs labelled by them. test_unseen_lines.py lists such lines of the package.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

CPU = torch.device("cpu")


def _spellings(*names: str) -> frozenset[str]:
    """Return names of operations with those in place and of operators: sub, sub_, __rsub__, ..."""
    return frozenset(
        spelt
        for name in names
        for spelt in (name, f"{name}_", f"__{name}__", f"__r{name}__", f"__i{name}__")
    )


# Element by element: here alone torch takes a number (no dimension) of the CPU beside a GPU's.
ARITHMETIC = _spellings(
    *("add", "sub", "mul", "div", "truediv", "true_divide", "floordiv", "floor_divide", "subtract"),
    *("multiply", "divide", "mod", "remainder", "fmod", "pow", "atan2", "hypot", "copysign"),
    *("maximum", "minimum", "fmax", "fmin", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor"),
    *("logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor"),
    *("lshift", "rshift", "bitwise_left_shift", "bitwise_right_shift", "where", "masked_fill"),
)
# The first tensor counts; of others values are copied, a shape or a number is read: from anywhere.
FIRST_COUNTS = frozenset(
    ("copy_", "fill_", "expand_as", "view_as", "reshape_as", "result_type", "can_cast")
    + ("_has_compatible_shallow_copy_type", "__deepcopy__", "new_tensor", "new_zeros", "new_ones")
    + ("new_empty", "new_full")
)
# On the CPU, unless a device is named.
FACTORIES = frozenset(
    ("zeros", "ones", "empty", "full", "rand", "randn", "randint", "randperm", "arange", "linspace")
    + ("logspace", "eye", "empty_strided")
)
FROM_DATA = frozenset(("tensor", "as_tensor", "asarray"))
INDEXING = frozenset(("__getitem__", "__setitem__", "index_put", "index_put_", "_index_put_impl_"))
PRODUCTS = frozenset(
    ("mm", "bmm", "matmul", "__matmul__", "__rmatmul__", "addmm", "addmv", "baddbmm", "mv", "dot")
    + ("linear", "inner", "tensordot", "einsum")
)


class Labelled(TorchFunctionMode):
    """Label every tensor with a device, and raise where torch would for tensors of those devices.

    A tensor that was made outside, or by what is not seen, is where it is: on the CPU. `cuda` means
    `cuda:0`. One at a time: two of them do not stand inside each other.

    Attributes:
        done: how often each operation was done on a device: {("linear", "cuda:0"): 12}.
    """

    def __init__(self) -> None:
        super().__init__()
        self.done: Counter[tuple[str, str]] = Counter()
        self._labels = WeakIdKeyDictionary()  # of the tensors that are on a GPU

    def of(self, tensor: Tensor) -> torch.device:
        """Return a tensor's device by its label."""
        found: torch.device | None = self._labels.get(tensor)
        return tensor.device if found is None else found

    def __enter__(self) -> Labelled:
        # Two functions of torch's that no mode is shown: nn.Parameter(tensor) is made by the first,
        # optimisers and the clipping of gradients ask the second for their tensors' devices.
        self._own = torch.Tensor._make_subclass, torch._C._group_tensors_by_device_and_dtype
        torch.Tensor._make_subclass = staticmethod(self._made_subclass)
        torch._C._group_tensors_by_device_and_dtype = self._grouped
        super().__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        torch.Tensor._make_subclass, torch._C._group_tensors_by_device_and_dtype = self._own

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do what `func` does, on the CPU, by the rules of the labelled devices."""
        name = getattr(func, "__name__", str(func)).split(".")[0]  # add.Tensor is add's
        kwargs = dict(kwargs or {})
        if name in ("device", "_parse_to"):  # not of tensors; the second reads a module's `to`
            return func(*args, **kwargs)
        if name in ("__get__", "__set__"):
            return self._attribute(func, args, is_read=name == "__get__")
        if name in ("to", "cuda", "cpu", "type_as"):
            return self._moved(func, name, args, kwargs)
        if name in INDEXING:
            return self._indexed(func, args, kwargs)
        if name == "get_device":
            return -1 if self.of(args[0]).type == "cpu" else self.of(args[0]).index
        if name in ("numpy", "__array__"):
            forced = kwargs.get("force") or (name == "numpy" and args[1:2] == (True,))
            if self.of(args[0]).type == "cuda" and not forced:
                raise TypeError(
                    f"can't convert {self.of(args[0])} device type tensor to numpy. "
                    "Use Tensor.cpu() to copy the tensor to host memory first."
                )
            return func(*args, **kwargs)
        asked, args, kwargs = _without_device(name, args, kwargs)
        if asked is not None:
            device = asked
        elif name in FACTORIES:
            device = CPU
        elif name in FROM_DATA:
            device = self.of(args[0]) if isinstance(args[0], Tensor) else CPU
        elif name in FIRST_COUNTS:
            device = self.of(args[0])
        else:
            device = self._common(name, list(_tensors((args, kwargs))))
        _check_generator(kwargs.get("generator"), device)
        self.done[name, str(device)] += 1
        if name in PRODUCTS and device.type == "cuda":
            _check_product(_tensors((args, kwargs)))
        return self._placed(func(*args, **kwargs), args, device)

    def _attribute(self, func: Any, args: tuple[Any, ...], *, is_read: bool) -> Any:
        """Read or set an attribute: device, is_cuda, grad, data, T, ..."""
        owner, name = args[0], getattr(func.__self__, "__name__", "")
        if is_read:
            device = self.of(owner)
            by_label = {"device": device, "is_cuda": device.type == "cuda"}
            by_label["is_cpu"] = device.type == "cpu"
            return by_label[name] if name in by_label else self._mark(func(*args), device)
        if name == "grad" and args[1] is not None and self.of(args[1]) != self.of(owner):
            raise RuntimeError("assigned grad has data located on a different device")
        found = func(*args)
        if name == "data":
            self._mark(owner, self.of(args[1]))
        return found

    def _moved(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Move a tensor: a new one, unless it is there already and nothing else is asked for."""
        if name in ("cuda", "cpu"):
            asked = kwargs.pop("device", None) if name == "cuda" else "cpu"
            if name == "cuda" and args[1:]:
                asked = args[1]
            kwargs.pop("non_blocking", None)
            func, args = torch.Tensor.to, (args[0], "cuda" if asked is None else asked)
        device, args, kwargs = _without_device("to", args, kwargs)
        if device is None:
            others = [each for each in (*args[1:], *kwargs.values()) if isinstance(each, Tensor)]
            device = self.of(others[0] if others else args[0])
        return self._placed(func(*args, **kwargs), args, device)

    def _indexed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Read or set by an index: tensors in it lie beside what is indexed, or on the CPU."""
        device = self.of(args[0])
        # A number in a tensor is read from wherever it is.
        picking = [each for each in _tensors(args[1]) if each.dim() or each.dtype == torch.bool]
        if any(self.of(each) not in (device, CPU) for each in picking):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor "
                f"({device})"
            )
        value = args[2] if len(args) > 2 else None
        # What is set by numbers and slices alone is copied, from any device.
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        scattered = picking or any(isinstance(each, list | np.ndarray) for each in index)
        if scattered and isinstance(value, Tensor) and value.dim():
            self._common("index_put_", [args[0], value])
        return self._mark(func(*args, **kwargs), device)

    def _common(self, name: str, given: list[Tensor]) -> torch.device:
        """Return the device that all tensors are on; RuntimeError where they are not on one."""
        found = {self.of(each): None for each in given}  # in the order of the tensors
        if len(found) <= 1:
            return next(iter(found), CPU)
        numbers = [each for each in given if self.of(each) == CPU and not each.dim()]
        rest = {self.of(each) for each in given if not any(each is one for one in numbers)}
        changed = name.endswith("_") and (not name.startswith("__") or name.startswith("__i"))
        if len(rest) != 1 or name not in ARITHMETIC or (changed and self.of(given[0]) == CPU):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{' and '.join(str(each) for each in found)}! (in {name})"
            )
        return rest.pop()

    def _made_subclass(self, cls: type, data: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self._mark(self._own[0](cls, data, *args, **kwargs), self.of(data))

    def _grouped(self, lists: list[list[Any]], with_indices: bool = False) -> dict[Any, Any]:
        """Group tensors by label and type as torch does; those of the first list decide."""
        groups: dict[Any, Any] = {}
        for (_, dtype), (members, indices) in self._own[1](lists, with_indices).items():
            for place, tensor in enumerate(members[0]):
                group = groups.setdefault((self.of(tensor), dtype), ([[] for _ in members], []))
                for own, some in zip(group[0], members, strict=True):
                    own += some[place : place + 1]  # a list may be empty
                group[1].extend(indices[place : place + 1])
        return groups

    def _placed(self, made: Any, args: tuple[Any, ...], device: torch.device) -> Any:
        """Label what was made; an argument that lay elsewhere is copied, as a move does."""
        if args and made is args[0] and isinstance(made, Tensor) and self.of(made) != device:
            made = made.clone()
        return self._mark(made, device)

    def _mark(self, made: Any, device: torch.device) -> Any:
        for each in _tensors(made):
            if device.type == "cuda":
                self._labels[each] = device
            else:  # another device than a GPU is not pretended
                self._labels.pop(each, None)
        return made


def _tensors(found: Any) -> Iterator[Tensor]:
    """Yield the tensors in lists, tuples and mappings."""
    for each in _parts(found):
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, list | tuple | dict):
            yield from _tensors(each)


def _parts(found: Any) -> list[Any]:
    if isinstance(found, dict):
        return list(found.values())
    return list(found) if isinstance(found, list | tuple) else [found]


def _without_device(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[torch.device | None, tuple[Any, ...], dict[str, Any]]:
    """Return the device that a call names, if it does, and the call with the CPU in its place."""
    named: list[torch.device] = []

    def pretended(value: Any) -> torch.device:
        device = torch.device("cuda", value) if type(value) is int else torch.device(value)
        if device.type == "cuda":
            device = torch.device("cuda", device.index or 0)
        named.append(device)
        return CPU if device.type == "cuda" else device

    if kwargs.get("device") is not None:
        kwargs = {**kwargs, "device": pretended(kwargs["device"])}
    elif name == "to":  # here alone a device stands without its keyword
        args = tuple(
            pretended(each)
            if place == 1 and (isinstance(each, str | torch.device) or type(each) is int)
            else each
            for place, each in enumerate(args)
        )
    return (named[0] if named else None), args, kwargs


def _check_generator(generator: torch.Generator | None, device: torch.device) -> None:
    if generator is not None and generator.device.type != device.type:
        raise RuntimeError(
            f"Expected a '{device.type}' device type for generator "
            f"but found '{generator.device.type}'"
        )


def _check_product(given: Iterable[Tensor]) -> None:
    """Raise as cuBLAS, which multiplies no integers."""
    for each in given:
        if not (each.is_floating_point() or each.is_complex()):
            raise RuntimeError(f'"addmm_cuda" not implemented for {each.dtype}')
