"""Limits on pickles, checked before they are unpickled.

A pickle of a few bytes can ask for gigabytes (a memo index), for a walk over 2^27 paths (containers that
share containers), or for a recursion that ends the process (the hash of nested tuples). The limits are far
above every checkpoint and data set.
"""

from __future__ import annotations

import pickle
import pickletools
from typing import IO

MOST_BYTES = 256 << 20  # of one pickle; the largest data set in use, Human3.6M's 3D, is below
MOST_OPCODES = 4_000_000  # KTPFormer's checkpoint with its optimiser has about 40,000
MOST_DEPTH = 100  # nested containers; checkpoints have about 10

# Opcodes that put their operands into an older container, the lowest of them.
_FILLING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_GETTING = {"GET", "BINGET", "LONG_BINGET"}
_PUTTING = {"PUT", "BINPUT", "LONG_BINPUT"}
# Opcodes that push a number, a string or an empty container.
_SIMPLE = {
    each.name
    for each in pickletools.opcodes
    if not each.stack_before and each.stack_after and each.name not in {"MARK", *_GETTING}
}


def check_pickle(stream: IO[bytes]) -> None:
    """Follow the opcodes of a pickle up to its end, without building anything.

    Args:
        stream: a stream that never returns more than it holds, such as `io.BytesIO` or `mmap`.

    Raises:
        pickle.UnpicklingError: the pickle is malformed, or beyond a limit.
    """
    depths: list[list[int] | None] = []  # of the values on the stack; None is a mark
    memo: dict[int, list[int]] = {}
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
            if count > MOST_OPCODES or (position or 0) > MOST_BYTES:
                raise pickle.UnpicklingError("a pickle too large to be opened")
            name = opcode.name
            if name in _SIMPLE:
                depths.append([0])
            elif name in _GETTING:
                depths.append(memo[int(argument or 0)])
            elif name in _PUTTING or name == "MEMOIZE":
                index = len(memo) if name == "MEMOIZE" else int(argument or 0)
                if not 0 <= index <= count:
                    raise pickle.UnpicklingError("a memo larger than the pickle")
                memo[index] = _top(depths)
            else:
                _apply(opcode, depths)
    except (ValueError, LookupError) as error:
        raise pickle.UnpicklingError(f"a malformed pickle ({error})") from error


def _apply(opcode: pickletools.OpcodeInfo, depths: list[list[int] | None]) -> None:
    """Replace the operands of an opcode on the stack of depths by its results."""
    operands: list[list[int]] = []
    if pickletools.markobject in opcode.stack_before:
        while (value := depths.pop()) is not None:
            operands.append(value)
        operands += [_pop(depths) for _ in opcode.stack_before[: _mark_at(opcode)]]
    else:
        operands = [_pop(depths) for _ in opcode.stack_before]
    deepest = 1 + max((depth for (depth,) in operands), default=0)
    if opcode.name in _FILLING:
        container = operands.pop()
        deepest = max(container[0], 1 + max((depth for (depth,) in operands), default=0))
        container[0] = deepest
        depths.append(container)
    else:
        after = opcode.stack_after
        depths.extend(None if each is pickletools.markobject else [deepest] for each in after)
    if deepest > MOST_DEPTH:
        raise pickle.UnpicklingError(f"containers nested more than {MOST_DEPTH} deep")


def _mark_at(opcode: pickletools.OpcodeInfo) -> int:
    return opcode.stack_before.index(pickletools.markobject)


def _top(depths: list[list[int] | None]) -> list[int]:
    top = depths[-1]
    if top is None:
        raise ValueError("a mark in the memo")
    return top


def _pop(depths: list[list[int] | None]) -> list[int]:
    top = _top(depths)
    depths.pop()
    return top
