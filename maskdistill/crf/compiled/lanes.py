"""Vectors of 8 numbers for compiled loops: instructions that LLVM has and numba does not name.

In:       flat arrays of float32, or of uint16 that hold float16
Out:      `Lanes`: n vectors of 8 float32 in registers, and the functions on them for compiled loops
Differs:  by hand, because numba's own loops over 24 numbers check for overlap and keep sums in
          memory (290 ms an iteration, 41 here: docs/log/crf.md), and pydensecrf, the library for
          it, needs a compiler where it is installed
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, register_model

WIDTH = 8  # numbers of one vector: AVX2's registers; LLVM splits it where they are narrower
OPTIONS: dict[str, Any] = {"error_model": "numpy"}  # of every compiled loop of the room
FAST = {"contract", "reassoc", "nsz", "arcp"}  # of fast math what keeps nan and infinity
_LINE = 64  # bytes of a cache line
_FAST = ("contract", "reassoc", "nsz", "arcp")
_F32 = ir.FloatType()
_I32 = ir.IntType(32)
_VECTOR = ir.VectorType(_F32, WIDTH)
_INTEGERS = ir.VectorType(_I32, WIDTH)


class Lanes(types.Type):
    """The type of n vectors of 8 float32, one row of numbers in registers."""

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(name=f"Lanes({n})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    """Tell numba that Lanes are an LLVM array of vectors."""

    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, ir.ArrayType(_VECTOR, kind.n))


def _same(number: float) -> ir.Constant:
    """Return a vector that holds a number in every place."""
    return ir.Constant(_VECTOR, [number] * WIDTH)


def _spread(builder: Any, scalar: Any) -> Any:
    """Return a vector that holds a scalar in every place."""
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(
        first, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(_INTEGERS, [0] * WIDTH)
    )


def _pointer(
    context: Any, builder: Any, kind: Any, array: Any, at: Any, vector: int
) -> tuple[Any, bool]:
    """Return where a vector of a flat array starts, and whether it is float16.

    Args:
        array: the flat array, of the type `kind`.
        at: number that vector 0 starts with.
        vector: vectors after that one.
    """
    half = kind.dtype == types.uint16
    data = cgutils.create_struct_proxy(kind)(context, builder, value=array).data
    place = builder.gep(data, [builder.add(at, ir.Constant(at.type, vector * WIDTH))])
    stored = ir.VectorType(ir.HalfType(), WIDTH) if half else _VECTOR
    return builder.bitcast(place, stored.as_pointer()), half


def _ask(builder: Any, place: Any) -> None:
    """Prefetch a line: to read, into all caches, data."""
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.bitcast(place, pointer), _I32(0), _I32(3), _I32(1)])


def _joined(builder: Any, vectors: list[Any]) -> Any:
    """Return vectors as one value of the type Lanes."""
    out = ir.Constant(ir.ArrayType(_VECTOR, len(vectors)), ir.Undefined)
    for at, vector in enumerate(vectors):
        out = builder.insert_value(out, vector, at)
    return out


@intrinsic(prefer_literal=True)
def zeros(typing, n):  # type: ignore[no-untyped-def]
    """Return n vectors of zeros."""
    count = n.literal_value

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _joined(builder, [_same(0.0)] * count)

    return Lanes(count)(n), generate


@intrinsic(prefer_literal=True)
def load(typing, array, at, n):  # type: ignore[no-untyped-def]
    """Return the n vectors from number `at` of a flat array on."""
    count = n.literal_value

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vectors = []
        for vector in range(count):
            place, half = _pointer(context, builder, array, arguments[0], arguments[1], vector)
            found = builder.load(place, align=2 if half else 4)
            vectors.append(builder.fpext(found, _VECTOR) if half else found)
        return _joined(builder, vectors)

    return Lanes(count)(array, types.int64, n), generate


@intrinsic
def store(typing, array, at, lanes):  # type: ignore[no-untyped-def]
    """Write vectors to a flat array from its number `at` on."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        for vector in range(lanes.n):
            place, half = _pointer(context, builder, array, arguments[0], arguments[1], vector)
            value = builder.extract_value(arguments[2], vector)
            if half:
                value = builder.fptrunc(value, ir.VectorType(ir.HalfType(), WIDTH))
            builder.store(value, place, align=2 if half else 4)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), generate


@intrinsic(prefer_literal=True)
def fetch(typing, array, at, n):  # type: ignore[no-untyped-def]
    """Ask for the cache lines of the n vectors from number `at` of a flat array on; do not wait."""
    count = n.literal_value

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        size = count * WIDTH * (2 if array.dtype == types.uint16 else 4)
        place, _ = _pointer(context, builder, array, arguments[0], arguments[1], 0)
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        for byte in (*range(0, size - 1, _LINE), size - 1):
            _ask(builder, builder.gep(place, [ir.Constant(ir.IntType(64), byte)]))
        return context.get_dummy_value()

    return types.void(array, types.int64, n), generate


@intrinsic
def fetch_line(typing, array, at):  # type: ignore[no-untyped-def]
    """Ask for the cache line of number `at` of a flat array; do not wait for it."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        data = cgutils.create_struct_proxy(array)(context, builder, value=arguments[0]).data
        _ask(builder, builder.gep(data, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@intrinsic
def plus(typing, lanes, factor, others):  # type: ignore[no-untyped-def]
    """Return lanes + factor * others."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        spread = _spread(builder, arguments[1])
        vectors = []
        for vector in range(lanes.n):
            product = builder.fmul(spread, builder.extract_value(arguments[2], vector), flags=_FAST)
            vectors.append(
                builder.fadd(builder.extract_value(arguments[0], vector), product, flags=_FAST)
            )
        return _joined(builder, vectors)

    return lanes(lanes, types.float32, lanes), generate


@intrinsic
def times(typing, lanes, factor):  # type: ignore[no-untyped-def]
    """Return factor * lanes."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        spread = _spread(builder, arguments[1])
        vectors = [builder.extract_value(arguments[0], vector) for vector in range(lanes.n)]
        return _joined(builder, [builder.fmul(spread, vector, flags=_FAST) for vector in vectors])

    return lanes(lanes, types.float32), generate


@intrinsic
def less(typing, lanes, number):  # type: ignore[no-untyped-def]
    """Return lanes - number."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        spread = _spread(builder, arguments[1])
        vectors = [builder.extract_value(arguments[0], vector) for vector in range(lanes.n)]
        return _joined(builder, [builder.fsub(vector, spread) for vector in vectors])

    return lanes(lanes, types.float32), generate


def _reduced(builder: Any, lanes: Any, n: int, combine: Any) -> Any:
    """Return all numbers of all vectors combined, halves with halves."""
    vectors = [builder.extract_value(lanes, vector) for vector in range(n)]
    found = vectors[0]
    for vector in vectors[1:]:
        found = combine(found, vector)
    width = WIDTH
    while width > 1:
        width //= 2
        undefined = ir.Constant(found.type, ir.Undefined)
        indices = ir.VectorType(_I32, width)
        low = builder.shuffle_vector(found, undefined, ir.Constant(indices, list(range(width))))
        high = builder.shuffle_vector(
            found, undefined, ir.Constant(indices, list(range(width, 2 * width)))
        )
        found = combine(low, high)
    return builder.extract_element(found, ir.Constant(_I32, 0))


@intrinsic
def total(typing, lanes):  # type: ignore[no-untyped-def]
    """Return the sum of all numbers."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _reduced(builder, arguments[0], lanes.n, builder.fadd)

    return types.float32(lanes), generate


@intrinsic
def largest(typing, lanes):  # type: ignore[no-untyped-def]
    """Return the largest of all numbers."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        def larger(one, other):  # type: ignore[no-untyped-def]
            return builder.select(builder.fcmp_ordered(">", one, other), one, other)

        return _reduced(builder, arguments[0], lanes.n, larger)

    return types.float32(lanes), generate


def _power_of_e(builder: Any, x: Any) -> Any:
    """Return e^x: 2^k times a Taylor polynomial of 6th degree, half a power of two around 0."""
    flags = ("contract",)
    x = builder.select(builder.fcmp_ordered("<", x, _same(-88.0)), _same(-88.0), x)
    x = builder.select(builder.fcmp_ordered(">", x, _same(88.0)), _same(88.0), x)
    k = builder.fptosi(
        builder.fadd(builder.fmul(x, _same(1.4426950408889634), flags), _same(127.5), flags),
        _INTEGERS,
    )
    whole = builder.sitofp(builder.sub(k, ir.Constant(_INTEGERS, [127] * WIDTH)), _VECTOR)
    rest = builder.fadd(x, builder.fmul(whole, _same(-0.6931471805599453), flags), flags)
    p = _same(1 / 720)
    for term in (1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        p = builder.fadd(builder.fmul(p, rest, flags), _same(term), flags)
    return builder.fmul(
        p, builder.bitcast(builder.shl(k, ir.Constant(_INTEGERS, [23] * WIDTH)), _VECTOR)
    )


@intrinsic
def raised(typing, lanes):  # type: ignore[no-untyped-def]
    """Return e to the power of each number within 5e-7 of its value; 0 below -87.6."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vectors = [builder.extract_value(arguments[0], vector) for vector in range(lanes.n)]
        return _joined(builder, [_power_of_e(builder, vector) for vector in vectors])

    return lanes(lanes), generate


@intrinsic
def logistic(typing, lanes):  # type: ignore[no-untyped-def]
    """Return 1 / (1 + e^-x) of each number."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vectors = []
        for vector in range(lanes.n):
            negative = builder.fsub(_same(0.0), builder.extract_value(arguments[0], vector))
            below = builder.fadd(_same(1.0), _power_of_e(builder, negative))
            vectors.append(builder.fdiv(_same(1.0), below))
        return _joined(builder, vectors)

    return lanes(lanes), generate
