"""Playing along: tempo by hand, metronome, and what is played recorded into the loop. Commands of a PatternEditor."""


class Live:
    """The commands of a PatternEditor for playing along."""
