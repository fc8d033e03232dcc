"""Numbers of things in words."""

from __future__ import annotations


def amount(number: int, thing: str) -> str:
    """A number with the name of what it counts.

    >>> amount(1, "neuron"), amount(1200, "category"), amount(2, "epoch"), amount(0, "class")
    ('1 neuron', '1,200 categories', '2 epochs', '0 classes')
    """
    return f"{number:,} {plural(thing, number)}"


def plural(thing: str, number: int) -> str:
    """The name of things, as a number of them has it.

    >>> plural("step", 1), plural("step", 0)
    ('step', 'steps')
    """
    if number == 1:
        return thing
    if thing.endswith("y") and thing[-2] not in "aeiou":
        return f"{thing[:-1]}ies"
    return f"{thing}{'es' if thing.endswith(('s', 'x')) else 's'}"
