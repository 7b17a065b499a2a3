"""Slots, each with a pattern, and the song that is made of them. Commands of a PatternEditor."""


class Songs:
    """The commands of a PatternEditor on slots and song."""
