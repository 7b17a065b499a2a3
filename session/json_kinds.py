"""Kinds of values in a JSON file that may come from anywhere: how each is written, and read with every check.

    pair = several(whole(0, 7), most=2)
    pair.write((1, 2))                                  # [1, 2]
    pair.read([1, 9], "song.json: rows")                # ValueError: song.json: rows.1: expected 0 to 7, found 9

`read` gives the value, or raises a ValueError that begins with the place, and nothing else.
"""

import base64
import json
import math
import re
from collections import namedtuple

import numpy as np

from command_line import one_line
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR

Kind = namedtuple("Kind", "write read")
MOST_SHOWN = 40  # characters of a wrong value
HITS = re.compile(r"\d{1,2}=\d{1,3}(?: \d{1,2}=\d{1,3})*", re.ASCII)


def expect(right, place, what, value):
    """Raise ValueError where a value is not right."""
    if not right:
        found = {list: "a list", dict: "an object"}.get(type(value))
        if found is None:
            found = ascii(value[:MOST_SHOWN] if isinstance(value, str) else value)[:MOST_SHOWN]
        elif value and isinstance(value, list):
            found += f" of {len(value)}"
        raise ValueError(f"{place}: expected {what}, found {found}")


def real(low=-math.inf, high=math.inf):
    """A finite number; a whole one stays whole."""
    def read(value, place):
        right = type(value) in (int, float) and low <= value <= high and abs(value) < math.inf
        expect(right, place, f"{low:g} to {high:g}" if high < math.inf else "a number", value)
        return value
    return Kind(plain, read)


def whole(low, high):
    """A whole number."""
    def read(value, place):
        expect(type(value) is int and low <= value <= high, place, f"a whole number, {low} to {high}", value)
        return value
    return Kind(plain, read)


def plain(value):
    """A number of NumPy's as one of Python's."""
    return value.item() if hasattr(value, "item") else value


def read_flag(value, place):
    expect(type(value) is bool, place, "true or false", value)
    return value


flag = Kind(bool, read_flag)


def text(most):
    """A string of at most so many characters."""
    def read(value, place):
        expect(type(value) is str and len(value) <= most and "\0" not in value, place,
               f"text of at most {most} characters", value)
        return value
    return Kind(str, read)


def one_of(*choices):
    """One of some strings."""
    def read(value, place):
        expect(type(value) is str and value in choices, place, " or ".join(choices), value)
        return value
    return Kind(str, read)


def optional(kind):
    """None, or a value of a kind."""
    return Kind(lambda value: None if value is None else kind.write(value),
                lambda value, place: None if value is None else kind.read(value, place))


def several(kind, most, least=0, make=tuple):
    """A tuple, or what `make` makes of one, of `least` to `most` values of a kind."""
    def read(value, place):
        number = f"{least}" if least == most else f"{least} to {most}"
        expect(type(value) is list and least <= len(value) <= most, place, f"a list of {number}", value)
        return make([kind.read(one, f"{place}.{i}") for i, one in enumerate(value)])
    return Kind(lambda values: [kind.write(value) for value in values], read)


def pair(first, second):
    """The Kind of a pair."""
    def read(value, place):
        expect(type(value) is list and len(value) == 2, place, "a pair", value)
        return first.read(value[0], f"{place}.0"), second.read(value[1], f"{place}.1")
    return Kind(lambda values: [first.write(values[0]), second.write(values[1])], read)


def record(make, **kinds):
    """An object of a class, make(name=value, ...), with attributes of these kinds: all of them and no others."""
    def read(value, place):
        expect(type(value) is dict, place, f"an object of {', '.join(kinds)}"[:100], value)
        for name in [*kinds, *value]:
            if name not in value or name not in kinds:
                raise ValueError(f"{place}: expected {', '.join(kinds)}"[:300] + f"; {ascii(name)[:MOST_SHOWN]} "
                                 f"{'is missing' if name in kinds else 'is unknown'}")
        values = {name: kind.read(value[name], f"{place}.{name}") for name, kind in kinds.items()}
        try:
            return make(**values)
        except ValueError as error:
            raise ValueError(f"{place}: {one_line(error)}") from None
    return Kind(lambda value: {name: kind.write(getattr(value, name)) for name, kind in kinds.items()}, read)


def by_row(kind):
    """A dictionary {row: value} of rows that are named."""
    def read(value, place):
        expect(type(value) is dict and set(value) <= set(INSTRUMENTS), place, "values by rows", value)
        return {INSTRUMENTS.index(name): kind.read(one, f"{place}.{name}") for name, one in value.items()}
    return Kind(lambda values: {INSTRUMENTS[row]: kind.write(value) for row, value in values.items()}, read)


def vector(most):
    """A float32 array (n,) as a list, exact; its numbers are within +-most."""
    lists = several(real(-most, most), 1024, 1)
    return Kind(lambda array: np.asarray(array, np.float32).tolist(),
                lambda value, place: np.array(lists.read(value, place), np.float32))


def vectors(count, most):
    """A float32 array (at most count, n) likewise."""
    lists = several(vector(most), count, 1)

    def read(value, place):
        rows = lists.read(value, place)
        for i, row in enumerate(rows):
            expect(len(row) == len(rows[0]), f"{place}.{i}", f"{len(rows[0])} numbers", row.tolist())
        return np.stack(rows)
    return Kind(lists.write, read)


def write_bar(bar):
    """A bar (8, 64) as {row: "step=velocity step=velocity"}, rows without hits left out."""
    return {name: " ".join(f"{step}={row[step]}" for step in np.flatnonzero(row))
            for name, row in zip(INSTRUMENTS, bar) if row.any()}


def read_bar(value, place):
    expect(type(value) is dict and set(value) <= set(INSTRUMENTS), place, "hits by rows", value)
    bar = np.zeros((len(INSTRUMENTS), STEPS_PER_BAR), np.uint8)
    for name, hits in value.items():
        where = f"{place}.{name}"
        expect(type(hits) is str and len(hits) <= 7 * STEPS_PER_BAR and HITS.fullmatch(hits), where,
               '"step=velocity step=velocity ..."', hits)
        for step, velocity in (map(int, hit.split("=")) for hit in hits.split()):
            expect(step < STEPS_PER_BAR and 1 <= velocity <= 127, where, "steps to 63 and velocities 1 to 127", hits)
            expect(not bar[INSTRUMENTS.index(name), step:].any(), where, "rising steps", hits)
            bar[INSTRUMENTS.index(name), step] = velocity
    return bar


bar = Kind(write_bar, read_bar)


def bars(most, least=1):
    """Bars, uint8 (n, 8, 64)."""
    return several(bar, most, least, np.stack)


def packed(most):
    """A float32 array (n,), at most so long, as base64 of its bytes, the least first."""
    def read(value, place):
        expect(type(value) is str and 0 < len(value) <= 6 * most, place, f"base64 of at most {most} numbers", value)
        try:
            array = np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)
        except ValueError:
            array = np.zeros(0)
        expect(0 < len(array) <= most and np.isfinite(array).all(), place,
               f"base64 of 1 to {most} finite numbers in 32 bits", value)
        return array
    return Kind(lambda array: base64.b64encode(np.asarray(array, "<f4").tobytes()).decode(), read)


def parse(words, place):
    """The value of a JSON text, without NaN and without a name that comes twice. ValueError for what is none."""
    def refuse(word):
        raise ValueError(f"{word} is no number")

    def without_doubles(pairs):
        if len(found := dict(pairs)) < len(pairs):
            raise ValueError("a name comes twice")
        return found
    try:
        return json.loads(words, parse_constant=refuse, object_pairs_hook=without_doubles)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: expected JSON ({one_line(error)[:100]})") from None
