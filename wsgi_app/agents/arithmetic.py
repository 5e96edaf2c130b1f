"""Arithmetic from untrusted text, bounded so that no expression can busy a worker."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Final, Union

#: Integers of more bits are refused, and so is what would make them.
MAX_BITS: Final = 1024
MAX_EXPRESSION_CHARS: Final = 200

Number = Union[int, float]

# Each quantifier is bounded, so that a long message costs linear time.
_EXPRESSION = re.compile(r"[-+(.\d][-+*/%^().\d\s\u00d7\u00f7x]{0,200}[)\d]", re.ASCII)
_OPERATION = re.compile(r"[\d)]\s*[-+*/%^\u00d7\u00f7x]+\s*[-+(.\d]", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}", re.ASCII)
_SIGNS: Final = str.maketrans({"\u00d7": "*", "x": "*", "\u00f7": "/", "^": "**"})


def find_expression(message: str) -> str | None:
    """Find the arithmetic in a sentence, in Python's notation; None if there is none."""
    for match in _EXPRESSION.finditer(message):
        if _OPERATION.search(match[0]) and not _DATE.fullmatch(match[0]):
            return match[0].strip().translate(_SIGNS)
    return None


def evaluate(expression: str) -> Number:
    """Evaluate + - * / // % ** and brackets; raises ValueError for anything else or too large."""
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise ValueError("the expression is too long")
    try:
        return _evaluate(ast.parse(expression.strip(), mode="eval").body)
    except SyntaxError:
        raise ValueError("this is no arithmetic expression") from None
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    except (OverflowError, RecursionError, MemoryError):
        raise ValueError("the result is too large") from None


def _evaluate(node: ast.expr) -> Number:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return _bounded(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        calculate = _BINARY[type(node.op)]
        return _bounded(calculate(_evaluate(node.left), _evaluate(node.right)))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_evaluate(node.operand))
    raise ValueError("only numbers, + - * / // % ** and brackets are understood")


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise OverflowError
    if isinstance(value, float) and not math.isfinite(value):
        raise OverflowError
    return value


def _power(base: Number, exponent: Number) -> Number:
    if (
        isinstance(base, int)
        and isinstance(exponent, int)
        # About the bits of the result, known before it takes its time.
        and (base.bit_length() - 1) * exponent > MAX_BITS
    ):
        raise OverflowError
    if base < 0 and not isinstance(exponent, int):
        raise ValueError("the result is no real number")
    result: Number = base**exponent
    return result


_BINARY: Final[dict[type[ast.operator], Callable[[Number, Number], Number]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_UNARY: Final[dict[type[ast.unaryop], Callable[[Number], Number]]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
