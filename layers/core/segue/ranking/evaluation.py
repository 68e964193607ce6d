"""Evaluates expressions over all tracks; ``filters`` says what they mean."""

import operator
from functools import lru_cache, reduce

from segue.domain.errors import InvalidFilter
from segue.domain.expressions import Attribute, Comparison, Every, Expression, Not, Some, parse
from segue.models.bundle import Bundle
from segue.ranking.attributes import Column, Flags, Incomparable, Mask, columns_of

# So many expressions of late are kept, by a byte for each track.
KEPT = 16

_NEGATIONS = {"!=": "==", "not in": "in", "lacks": "contains"}


class Evaluator:
    """What is known of a bundle's tracks, and the answers of late."""

    def __init__(self, bundle: Bundle) -> None:
        self._columns = columns_of(bundle)
        self.mask = lru_cache(KEPT)(self._mask)

    def _mask(self, text: str) -> Mask:
        mask = self._evaluate(parse(text))
        mask.flags.writeable = False
        return mask

    def _evaluate(self, expression: Expression) -> Mask:
        match expression:
            case Attribute():
                return self._flag(expression)
            case Comparison():
                return self._compare(expression)
            case Not(part):
                return ~self._evaluate(part)
            case Every(parts):
                return reduce(operator.and_, map(self._evaluate, parts))
            case Some(parts):
                return reduce(operator.or_, map(self._evaluate, parts))

    def _flag(self, attribute: Attribute) -> Mask:
        column = self._column(attribute)
        if not isinstance(column, Flags):
            reason = f"has {attribute.name} alone; compare it with a value"
            raise InvalidFilter(reason, attribute.position)
        return column.values

    def _compare(self, comparison: Comparison) -> Mask:
        attribute = comparison.attribute
        column = self._column(attribute)
        positive = _NEGATIONS.get(comparison.operator)
        try:
            holds = column.compare(positive or comparison.operator, comparison.values)
        except Incomparable as error:
            raise InvalidFilter(f"{attribute.name} {error}", comparison.position) from None
        return column.present() & (~holds if positive else holds)

    def _column(self, attribute: Attribute) -> Column:
        name = attribute.name
        if name in self._columns:
            return self._columns[name]
        # Nobody else waits for it to be imported.
        from difflib import get_close_matches

        nearest = get_close_matches(name, self._columns, n=3)
        known = ", ".join(sorted(self._columns))
        advice = f"did you mean {' or '.join(nearest)}?" if nearest else f"there are {known}"
        raise InvalidFilter(f"there is no attribute {name[:40]}; {advice}", attribute.position)
