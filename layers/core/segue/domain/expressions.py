"""Reads filter expressions, such as ``genre in ("rock", "jazz") and not year < 1990``.

::

    expression  = conjunction ("or" conjunction)*
    conjunction = negation ("and" negation)*
    negation    = "not" negation | "(" expression ")" | comparison
    comparison  = operand (operator operand)*     an attribute alone is one that is true or false
    operator    = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in"
    operand     = attribute | value | "(" value ("," value)* ","? ")", behind "in"
    value       = number | text in quotes | "true" | "false"

That is Python's grammar as far as it goes, chains such as ``1990 <= year < 2000`` included.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from segue.domain.errors import InvalidFilter
from segue.domain.limits import MAX_EXPRESSION_LENGTH

# Brackets and negations within each other.
MAX_DEPTH = 50

Value = str | float | bool

# What an operator becomes when its sides are exchanged.
_MIRRORED = {
    "==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<=",
    "in": "contains", "not in": "lacks",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attribute:
    """The name of an attribute, and where it stands."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """An attribute beside a value, or beside several behind "in" and "not in". The operator is
    "contains" for ``value in attribute``, and "lacks" for ``value not in attribute``."""

    attribute: Attribute
    operator: str
    values: tuple[Value, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Not:
    part: "Expression"


@dataclass(frozen=True, slots=True)
class Every:
    """All parts are true ("and")."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part is true ("or")."""

    parts: tuple["Expression", ...]


# An attribute alone is true or false.
Expression = Attribute | Comparison | Not | Every | Some


@dataclass(frozen=True, slots=True)
class _Values:
    """One value or several, and where they stand."""

    values: tuple[Value, ...]
    position: int
    several: bool = False


_Operand = Attribute | _Values


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


_TOKEN = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?!\w))"
    r"|(?P<name>[^\W\d]\w*)"
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"|(?P<sign>==|!=|<=|>=|<|>|[()\[\],])",
    re.DOTALL,
)
_BLANK = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_KEYWORDS = ("and", "or", "not", "in")
_TRUTH = {"true": True, "True": True, "false": False, "False": False}
_CLOSING = {"(": ")", "[": "]"}
_ADVICE = {
    "=": 'write "==" to compare',
    "!": 'write "not" or "!="',
    "&": 'write "and"',
    "|": 'write "or"',
    '"': "the text is not closed",
    "'": "the text is not closed",
}


def parse(text: str) -> Expression:
    """Raises InvalidFilter saying what is wrong, and where."""
    if len(text) > MAX_EXPRESSION_LENGTH:
        reason = f"has more than {MAX_EXPRESSION_LENGTH:,} characters"
        raise InvalidFilter(reason, MAX_EXPRESSION_LENGTH)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidFilter("has half a character", error.start) from None
    return _Parser(list(_tokens(text))).parse()


def _tokens(text: str) -> Iterator[_Token]:
    position = _skip_blanks(text, 0)
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            letter = text[position]
            advice = _ADVICE.get(letter, "that means nothing here")
            raise InvalidFilter(f"has {letter!r}: {advice}", position)
        yield _Token(str(found.lastgroup), found.group(), position)
        position = _skip_blanks(text, found.end())
    yield _Token("end", "", len(text))


def _skip_blanks(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    return blank.end() if blank else position


class _Parser:
    """Takes one token after the other."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0

    def parse(self) -> Expression:
        if self._next.kind == "end":
            raise InvalidFilter("is empty; write a condition, such as year >= 1990", 0)
        expression = self._some()
        if self._next.kind != "end":
            self._refuse('"and", "or" or the end')
        return expression

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self) -> _Token:
        token = self._next
        self._place += 1
        return token

    def _is(self, *texts: str) -> bool:
        return self._next.kind in ("name", "sign") and self._next.text in texts

    def _accept(self, text: str) -> bool:
        found = self._is(text)
        self._place += found
        return found

    def _expect(self, text: str, wanted: str) -> None:
        if not self._accept(text):
            self._refuse(wanted)

    def _refuse(self, wanted: str) -> NoReturn:
        token = self._next
        shown = "ends" if token.kind == "end" else f"has {token.text[:20]!r}"
        raise InvalidFilter(f"{shown} where {wanted} should be", token.position)

    def _some(self) -> Expression:
        parts = [self._every()]
        while self._accept("or"):
            parts.append(self._every())
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _every(self) -> Expression:
        parts = [self._negation()]
        while self._accept("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _negation(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidFilter(f"is nested more than {MAX_DEPTH} deep", self._next.position)
        if self._accept("not"):
            found: Expression = Not(self._negation())
        elif self._accept("("):
            found = self._some()
            self._expect(")", '"and", "or" or ")"')
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> Expression:
        left = self._operand()
        parts: list[Expression] = []
        while operator := self._operator():
            right = self._values() if operator.text in ("in", "not in") else self._operand()
            parts.append(_compare(left, operator, right))
            left = right
        if parts:
            return parts[0] if len(parts) == 1 else Every(tuple(parts))
        if isinstance(left, _Values):
            raise InvalidFilter(
                "has a value that is not compared with any attribute", left.position
            )
        return left

    def _operator(self) -> _Token | None:
        if self._is("==", "!=", "<", "<=", ">", ">=", "in"):
            return self._take()
        position = self._next.position
        if self._accept("not"):
            self._expect("in", '"in"')
            return _Token("name", "not in", position)
        return None

    def _operand(self) -> _Operand:
        token = self._next
        if token.kind != "name" or token.text in (*_KEYWORDS, *_TRUTH):
            return _Values((self._value(),), token.position)
        self._place += 1
        if self._is("("):
            raise InvalidFilter("calls a function; there are none", token.position)
        return Attribute(token.text, token.position)

    def _values(self) -> _Operand:
        """What stands behind "in": several values in brackets, or an attribute."""
        if not self._is("(", "["):
            return self._operand()
        opening = self._take()
        closing = _CLOSING[opening.text]
        values = []
        while not self._is(closing):
            values.append(self._value())
            if not self._accept(","):
                break
        self._expect(closing, f'"," or "{closing}"')
        return _Values(tuple(values), opening.position, several=True)

    def _value(self) -> Value:
        token = self._next
        if token.kind == "text":
            self._place += 1
            return _ESCAPE.sub(r"\1", token.text[1:-1])
        if token.kind == "number":
            self._place += 1
            return float(token.text)
        if self._is(*_TRUTH):
            return _TRUTH[self._take().text]
        return self._refuse("an attribute, a number or a text in quotes")


def _compare(left: _Operand, operator: _Token, right: _Operand) -> Comparison:
    several = operator.text in ("in", "not in")
    match left, right:
        case Attribute(), _Values() if right.several == several:
            return Comparison(left, operator.text, right.values, operator.position)
        case _Values(several=False), Attribute():
            mirrored = _MIRRORED[operator.text]
            return Comparison(right, mirrored, left.values, operator.position)
        case Attribute(), _Values():
            raise InvalidFilter(
                f'has no list behind "{operator.text}"; write it in brackets', right.position
            )
    raise InvalidFilter("compares what is not one attribute and a value", operator.position)
