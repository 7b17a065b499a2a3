"""What a musician asks of the bars, and how they are played: the controls of a PatternEditor.

    editor.set_style("funk"); editor.set_density(20); editor.change_row(KICK, 1); editor.lock(SNARE)
    editor.set_steady(0.2); editor.set_feel(tight=80, swing=60); editor.change_push(SNARE, 5)
"""

from dataclasses import replace

import numpy as np

from editor.stateful import command
from formats.activation_matrix import INSTRUMENTS
from patterns import sampling
from patterns.feel import LATEST
from session.state import FASTEST, SLOWEST

DENSEST, HOTTEST = 100, 2.0  # hits a bar and temperature that the window offers; the command line goes further


class Controls:
    """The commands of a PatternEditor on constraints, tempo and feel."""

    @command
    def lock(self, row):
        """Lock a row, so that it stays when the others are redrawn, or unlock it."""
        self.locks ^= {row}
        row_hits = {key: hits for key, hits in self.constraints.row_hits.items() if key not in self.locks}
        self.constraints = replace(self.constraints, row_hits=row_hits)
        names = ", ".join(INSTRUMENTS[row] for row in sorted(self.locks))
        message = f"Locked: {names}. Click the map, or t, to redraw the rest." if names else "No row is locked."
        self.report("lock", message, rows=sorted(self.locks))

    def constrain(self, **changes):
        """Change some of the constraints; the next frame shows the bars that meet them."""
        self.anchor_edits()
        self.state = replace(self.state, constraints=replace(self.constraints, **changes), drawn=False)

    @command
    def set_style(self, name):
        """Ask for a style by its name, None for any."""
        if name and name not in self.model.styles:
            return self.show_message("This model was trained without styles.", "warning")
        self.constrain(style=sampling.style_index(self.model, name))
        self.report("style", f"Bars in the style {name}." if name else "Bars in any style.", name=name)

    @command
    def step_style(self, step, names=None):
        """Go on to the next style of the model, or of some names; after the last comes any, and then the first."""
        names = [None, *(self.model.styles if names is None else names)]
        place = names.index(self.style_name()) if self.style_name() in names else 0
        self.set_style(names[(place + step) % len(names)])

    @command
    def set_tempo(self, bpm):
        self.bpm = float(bpm)
        self.log("tempo", bpm=self.bpm)

    @command
    def change_tempo(self, difference):
        self.set_tempo(np.clip(self.bpm + difference, SLOWEST, FASTEST))

    @command
    def set_density(self, hits):
        """Ask for a number of hits; None for as many as the model draws."""
        self.constrain(hits=None if hits is None else int(hits))
        self.log("density", hits=self.constraints.hits)

    @command
    def change_density(self, difference):
        """Ask for so many hits more; None for as many as the model draws."""
        self.set_density(None if difference is None else np.clip(self.wanted_hits() + difference, 0, DENSEST))

    @command
    def set_temperature(self, temperature):
        self.constrain(temperature=round(float(temperature), 2))
        self.log("temperature", temperature=self.constraints.temperature)

    @command
    def change_temperature(self, difference):
        self.set_temperature(np.clip(self.constraints.temperature + difference, 0, HOTTEST))

    @command
    def change_row(self, row, difference):
        """Ask for one hit more in a row, or one fewer; None leaves its number to the model again."""
        if row in self.locks:
            return self.show_message(f"{INSTRUMENTS[row]} is locked; click its name to unlock it.")
        hits = dict(self.constraints.row_hits)
        now = hits.pop(row, np.count_nonzero(self.bar[row]))
        if difference is not None:
            hits[row] = int(np.clip(now + difference, 0, self.most_hits(1)))
        self.constrain(row_hits=hits)
        self.report("row", f"{INSTRUMENTS[row]}, hits: {hits.get(row, 'as many as the model draws')}.", row=row)

    def why_none(self):
        """Why no bar meets the constraints."""
        kept = [INSTRUMENTS[row] for row in sorted(self.locks)]
        held = int(np.count_nonzero(self.bar[sorted(self.locks)]))
        asked = sum(hits for row, hits in self.constraints.row_hits.items() if row not in self.locks)
        if kept and held + asked > self.wanted_hits():
            return f"The kept rows ({', '.join(kept)}) already hold {held} hits: ask for more, or unlock one."
        if asked > self.wanted_hits():
            return f"The rows ask for {asked} hits, the bar for {self.wanted_hits()}: ask for more."
        return f"No bar has {self.wanted_hits()} hits with these rows."

    # Steadiness and timing, of models that have them

    @command
    def set_steady(self, steady):
        """Ask for bars from 0, fills, to 1, as a loop goes on; None for either."""
        if not self.has_levels():
            return self.show_message("This model was trained without steadiness.", "warning")
        self.constrain(steady=None if steady is None else round(float(steady), 2))
        self.log("steady", steady=self.constraints.steady)

    @command
    def change_steady(self, difference):
        """Ask for bars so much steadier."""
        now = sampling.STEADY if self.constraints.steady is None else self.constraints.steady
        self.set_steady(np.clip(now + difference, 0, 1))

    @command
    def any_steady(self):
        """Ask for neither steady bars nor fills; or, if so already, for steady ones again."""
        self.set_steady(sampling.STEADY if self.constraints.steady is None else None)

    @command
    def step_drummer(self, step=1):
        """Ask for the timing of the map's next drummer; after the last comes any, and then the first."""
        names = [None, *self.timings()]
        if len(names) == 1 or not self.has_levels():
            return self.show_message("This map names no drummers.", "warning")
        name = names[(names.index(self.drummer()) + step) % len(names)]
        self.constrain(timing=name and tuple(self.timings()[name]))
        self.report("drummer", f"Hits as {name} times them." if name else "Hits as any drummer times them.", name=name)

    def has_levels(self):
        """Are steadiness and timing conditions of the model?"""
        return self.model.timing_net is not None

    def timings(self):
        """{name of a drummer: the timing}, of the model's map."""
        return (self.model.map or {}).get("timings", {})

    def drummer(self):
        """The name of the drummer whose timing is asked for, None for any."""
        return next((name for name, timing in self.timings().items() if tuple(timing) == self.constraints.timing), None)

    # Feel

    @command
    def set_feel(self, **changes):
        """Change how hits are moved in time, see `Feel`."""
        self.feel = replace(self.feel, **changes)
        self.log("feel", **changes)

    @command
    def change_swing_of(self):
        """Swing eighths in place of sixteenths, or these again."""
        self.set_feel(swing_of="eighth" if self.feel.swing_of == "sixteenth" else "sixteenth")
        self.show_message(f"Swing of {self.feel.swing_of}s.")

    @command
    def change_push(self, row, milliseconds):
        """Play a row so much later, in milliseconds, or earlier; None for as it is drawn."""
        push = {key: late for key, late in self.feel.push.items() if key != row}
        if milliseconds is not None:
            late = float(np.clip(self.feel.push.get(row, 0) + milliseconds, -LATEST, LATEST))
            push |= {row: late} if late else {}
        self.set_feel(push=push)
        late = push.get(row, 0)
        where = f"{abs(late):g} ms {'late' if late > 0 else 'early'}" if late else "as it is drawn"
        self.show_message(f"{INSTRUMENTS[row]}: {where}.")
