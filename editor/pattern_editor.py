"""The pattern editor: a pattern of bars, the constraints on the next ones, and every command on them.

    editor = PatternEditor(model, kit, Player(kit), folder=Path("saved_patterns"))
    editor.go_to(editor.plane.to_code(0.5, -1), "This point")
    editor.lock(0); editor.random(); editor.undo(); editor.save()

It knows no pixels and no colours: a view reads its state, and paints when `needs_paint` is set. Undo is in stateful.py;
the commands are by their subject in controls.py (constraints and feel), cells.py, transitions.py (from one bar to
another), songs.py, kit_commands.py, live.py (tempo, recording) and saving.py.
"""

import json
import time
from dataclasses import replace

import numpy as np

from command_line import one_line
from editor.cells import Cells
from editor.controls import Controls
from editor.kit_commands import KitCommands
from editor.live import Live
from editor.saving import Saving
from editor.songs import Songs
from editor.stateful import Stateful, command
from editor.transitions import Transitions
from formats.activation_matrix import INSTRUMENTS
from patterns import latent_map, paths, sampling
from patterns.noise import Surface
from session.state import State

MOST_ANCHORS = 24  # on the map
LOW_COVERAGE = 0.1  # below it, a point is far from all training bars


class PatternEditor(Stateful, Controls, Cells, Transitions, Songs, KitCommands, Live, Saving):
    """A pattern of one bar or several, the codes it was drawn at, and the constraints on what is drawn next.

    Args:
        model: a BernoulliVAE of bars. kit: eight Sounds. player: a `player.Player`. folder: where `save` writes.
        constraints: `Constraints` without a locked bar, None for steady bars. seed: of the noise and of random points.
        log: an open text file, or None.

    Attributes: those of `State`, and
        playing: is the pattern to be heard? needs_paint: has something changed that a view shows?
    """

    def __init__(self, model, kit, player, folder, bpm=120, constraints=None, seed=None, log=None):
        self.model, self.player, self.folder, self.log_file = model, player, folder, log
        self.plane, self.training_bars = latent_map.LatentPlane(model), latent_map.TrainingBars(model)
        self.hit_density = latent_map.HitDensity(self.plane)
        surface = Surface(sampling.DEFAULT_SEED if seed is None else seed)
        codes, constraints = self.plane.to_code(0, 0)[None], constraints or sampling.CLICK
        bars = sampling.draw(model, codes, surface, constraints)
        super().__init__(State(codes=codes, bars=bars, constraints=constraints, surface=surface, bpm=float(bpm),
                               sounds=tuple(kit or ())))
        self.begin_sounds(self.sounds)
        self.begin_live()
        self.first_seed, self.random_count = surface.seed, 0
        self.random_seed = np.random.SeedSequence().entropy if seed is None else seed  # of the random points
        self.playing, self.playing_bars = False, None  # what the player was last asked for
        self.heard = self.state  # the state that the sound follows
        self.player_message = ""  # the last that was shown
        self.sound_error = None  # why there is no sound
        self.nearest_found = (None, None)  # the bar that was last asked about, its neighbours
        self.show_message("")

    @property
    def code(self):
        """Where the bar that is shown was drawn, (latent,)."""
        return self.codes[self.index]

    @property
    def heard_bars(self):
        """What is heard, the pattern or an audition: uint8 (bars, 8, 64)."""
        return self.audition_bars if self.audition_source else self.bars

    @property
    def shown_bars(self):
        """What is heard, as many bars as there are codes: uint8 (bars, 8, 64). Of a song, the pattern of the slot that
        is heard, with the bar that is heard as it is in the song."""
        if self.audition_source != "song":
            return self.heard_bars
        bars = self.bars.copy()
        bars[self.index] = self.heard_bars[self.song_bar]
        return bars

    @property
    def bar(self):
        """The bar that is shown: uint8, (8, 64)."""
        return self.shown_bars[self.index]

    # Drawing and playing

    @command
    def go_to(self, code, name, seed=None):
        """Play the bar at a code, drawn with a noise seed or with that of the points before; name: for the message."""
        self.move_to(code)
        surface = self.surface if seed is None else Surface(seed)
        self.surface = surface.with_anchor(*self.anchors)
        self.redraw(start=True)
        self.show_message(f"{name}: {self.describe()}.")
        self.log("point", point=self.point(), hits=np.count_nonzero(self.bar))

    def move_to(self, code):
        """Be at one code; its bar is drawn with the next frame. Until then the bar that is shown stays."""
        self.anchor_edits()
        self.state = replace(self.state, codes=np.asarray(code)[None], bars=self.bar[None], index=0, drawn=False,
                             on_path=False, own=False, morph=None, audition_source=None)

    def anchor_edits(self):
        """Let bars that were edited lie on the surface at their codes: drawn there, they come out as they are."""
        if self.edited:
            here = self.codes.tolist()
            kept = [anchor for anchor in self.anchors if anchor.code.tolist() not in here]
            made = [sampling.anchor(self.model, *pair, self.constraints) for pair in zip(self.bars, self.codes)]
            anchors = (*kept, *made)[-MOST_ANCHORS:]
            self.state = replace(self.state, anchors=anchors, edited=False, surface=self.surface.with_anchor(*anchors))

    def draw(self, codes, on_path):
        """The bars at codes, uint8 (n, 8, 64). Raises ValueError, in a musician's words, where there are none."""
        each = self.locked_constraints()
        try:
            if on_path:
                start, end, constraints = codes[0], codes[-1], each[self.index]
                return paths.interpolate(self.model, start, end, len(codes), True, self.surface, constraints)[0]
            if self.morph:
                return self.draw_morph(each[0])
            return self.draw_each(codes, each, self.surface)
        except ValueError as error:
            raise ValueError(self.why_none()) from error

    def locked_constraints(self):
        """The constraints for each bar that is shown, whose locked rows stay."""
        rows = tuple(sorted(self.locks))
        return [replace(self.constraints, locked=bar, locked_rows=rows) for bar in self.shown_bars]

    def draw_each(self, codes, constraints, surface):
        """The bar at each code, with constraints of its own: uint8 (n, 8, 64)."""
        return np.concatenate([sampling.draw(self.model, code[None], surface, one)
                               for code, one in zip(codes, constraints)])

    def redraw(self, start=False):
        """Draw the bars at the codes anew and let them take over, or start. Raises what `draw` raises."""
        self.set_bars(self.draw(self.codes, self.on_path), start, edited=False)

    def frame(self):
        """Once a frame: draw the bars that the state asks for, record what was played, keep a copy once a minute,
        show the end of an export."""
        self.watch_player()
        self.go_on()
        self.follow_place()
        if not self.drawn:
            self.draw_asked()
        self.listen()
        self.end_export()
        self.autosave_if_due()

    def draw_asked(self):
        """Draw the bars that the state asks for; where there are none, return to the last that were."""
        try:
            self.redraw()
            if self.message_kind == "warning":
                self.show_message(f"{self.describe()}.")
        except ValueError as error:
            self.refuse(error, self.good)
        self.update()

    def watch_player(self):
        """Show what the player has to say: that it has taken a longer buffer, or begun anew."""
        if self.player.message != self.player_message:
            self.player_message = self.player.message
            self.report("player", self.player_message, latency=self.player.latency, underruns=self.player.underruns)

    def set_bars(self, bars, start=False, **changes):
        """Show bars, as many as there are codes; they play if others do, or if they are to start."""
        self.state = replace(self.state, bars=bars, drawn=True, audition_source=None, audition_bars=None, **changes)
        self.playing = self.playing or start and self.open_sound()

    def update(self):
        """Let the sound follow the state."""
        self.needs_paint, heard, self.heard = True, self.heard, self.state
        if self.bpm != heard.bpm:
            self.player.set_bpm(self.bpm)
        if self.mixer != heard.mixer:
            self.player.set_mixer(self.mixer)
        if self.metronome != heard.metronome:
            self.player.set_metronome(self.metronome)
        if self.sounds is not heard.sounds:
            self.update_kit()
        if self.playing and (self.heard_bars is not self.playing_bars or self.feel != heard.feel):
            self.play_bars()

    def open_sound(self):
        """Open the sound card if it is not open; return whether there is one."""
        if not self.sound_error:
            self.with_sound(self.player.open)
        return not self.sound_error

    def with_sound(self, action, *arguments):
        """Do what needs the sound card; without one, be silent and say so: everything else works."""
        try:
            action(*arguments)
        except OSError as error:
            self.sound_error, self.playing, self.playing_bars, self.needs_paint = one_line(error), False, None, True
            self.log("no sound", reason=self.sound_error)

    @command
    def play_or_stop(self):
        """Play what is shown, or stop."""
        if self.playing:
            return self.stop()
        self.sound_error = None  # a sound card may have come since
        self.playing = self.open_sound()
        self.report("play", f"Playing: {self.describe()}." if self.playing else "There is no sound card to play on.")

    def stop(self):
        self.player.stop()
        self.playing, self.playing_bars = False, None
        self.report("stop", "Stopped.", underruns=self.player.underruns)

    @command
    def random(self):
        """Go to a random point, with a noise seed of its own."""
        code = latent_map.random_code(self.model, self.random_seed, self.random_count, self.constraints.style)
        self.go_to(code, "A random point", self.first_seed + self.random_count)
        self.random_count += 1

    @command
    def next_variation(self):
        """Draw the bars again at the same codes, by another surface; of a bar of one's own, a variation of it."""
        self.anchor_edits()
        surface = Surface(self.surface.seed + 1, anchors=self.anchors).varied()
        self.state = replace(self.state, surface=surface, own=False, morph=None)
        self.redraw()
        self.report("variation", f"Another variation: {self.describe()}.", seed=surface.seed)

    def played_anew(self, change):
        """The bars that are shown after change(model, bar, code, surface, constraints), each with timing and velocities
        of the next seed: uint8 (bars, 8, 64)."""
        last = self.surface.seed if self.surface.play_seed is None else self.surface.play_seed
        self.surface = replace(self.surface, play_seed=last + 1)
        plain = self.surface.with_anchor()
        return np.concatenate([change(self.model, bar[None], code[None], plain, one)
                               for bar, code, one in zip(self.shown_bars, self.codes, self.locked_constraints())])

    @command
    def play_anew(self):
        """Keep the score, and play it with timing and velocities of the next seed."""
        bars = self.played_anew(sampling.play_anew)
        edited = self.edited or not np.array_equal(bars, self.draw(self.codes, self.on_path))
        self.set_bars(bars, edited=edited)
        self.report("played anew", f"The same score played anew: {self.describe()}.", seed=self.surface.play_seed)

    @command
    def humanise(self):
        """Keep the hits and draw their velocities from the model, by the next seed."""
        self.set_bars(self.played_anew(sampling.humanise), edited=True)
        self.report("humanise", "The same hits with a drummer's velocities. Again for others.")

    # The bars of a pattern

    @command
    def choose_bar(self, index):
        """Show one bar of several; keep it alone if it is shown already, or while they play."""
        if len(self.bars) == 1:
            return
        if self.audition_source == "song":
            self.end_audition()
        if not self.playing and index != self.index:
            self.index = index
            return self.show_message(f"Bar {index + 1}. Click again to keep that bar alone.")
        self.set_bars(self.shown_bars[[index]], codes=self.codes[[index]], index=0, on_path=False)
        self.report("bar", f"Bar {index + 1} alone: {self.describe()}. Undo brings the others back.", index=index)

    # Auditions: other bars in place of the pattern

    def audition(self, source, bars):
        """Hear other bars in place of the pattern."""
        self.state = replace(self.state, audition_source=source, audition_bars=bars)
        self.playing = self.open_sound()

    def end_audition(self):
        self.set_bars(self.bars, start=True)
        self.report("pattern", f"Your bar again: {self.describe()}.")

    def nearest(self):
        """The training bars nearest to the pattern's bar that is shown: (indices, cells that differ)."""
        bar = self.bars[self.index]
        if self.nearest_found[0] != bar.tobytes():
            self.nearest_found = (bar.tobytes(), self.training_bars.nearest(bar, latent_map.NEAREST))
        return self.nearest_found[1]

    @command
    def audition_nearest(self, step=0):
        """Hear the training bars nearest to the pattern's, with a step the next nearest; without, the pattern again."""
        heard = self.audition_source == "nearest"
        if heard and not step:
            return self.end_audition()
        if not len(self.training_bars):
            return self.show_message("This model's map holds no training bars.", "warning")
        found = [self.training_bars.nearest(bar, latent_map.NEAREST)[0] for bar in self.bars]
        self.rank = (self.rank + step) % len(found[0]) if heard else 0
        self.audition("nearest", np.stack([self.training_bars.bar(indices[self.rank]) for indices in found]))
        self.report("nearest", "The nearest bar that a drummer played. n: your bar again, N: the next nearest.")

    @command
    def audition_model(self):
        """Hear what the model draws at the codes of the pattern's bars, with as many hits; then the pattern again."""
        if self.audition_source == "model":
            return self.end_audition()
        codes = sampling.encode(self.model, self.bars, self.constraints.style)
        counted = [replace(self.constraints, row_hits={}, hits=min(np.count_nonzero(bar), self.most_hits()))
                   for bar in self.bars]
        self.audition("model", self.draw_each(codes, counted, self.surface.with_anchor()))
        self.report("model", "What the model makes of your bar, with as many hits. m: your bar again.")

    # Undo

    def undo(self):
        """Return to the state before the last command that changed it."""
        self.report_step("undo", super().undo(), "Undone")

    def redo(self):
        """Return to the state before the last undo."""
        self.report_step("redo", super().redo(), "Done again")

    def report_step(self, name, done, word):
        self.followed = None  # the state has the sounds that belong to it
        self.update()
        if done:
            return self.report(name, f"{word}: {self.describe()}.")
        self.show_message(f"There is nothing to {name}.")

    # What a view shows

    def point(self):
        """Where the code is on the map, (x, y)."""
        return tuple(self.plane.from_codes(self.code).tolist())

    def style_name(self):
        """The name of the style that is asked for, None for any."""
        return None if self.constraints.style is None else self.model.styles[self.constraints.style]

    def wanted_hits(self):
        """The hits that are asked for, or else those of the bar."""
        return np.count_nonzero(self.bar) if self.constraints.hits is None else self.constraints.hits

    def most_hits(self, rows=len(INSTRUMENTS)):
        """The hits that rows of a bar can be asked for: one a cell of the score."""
        return rows * self.model.score_shape[1]

    def describe(self):
        if self.audition_source == "song":
            return self.describe_song()
        hits = int(np.count_nonzero(self.bar))
        words = f"{hits} hit{'s' * (hits != 1)}"
        if self.audition_source == "nearest":
            return f"{words}, {self.training_bars.name(self.nearest()[0][self.rank])}, a training bar"
        style = self.plane.style_near(*self.point())
        if style and self.hit_density.coverage_at(*self.point()) < LOW_COVERAGE:
            return f"{words}, far from all training bars"
        return words + (f", {self.style_name()}" if self.style_name() else f", near {style}" if style else "")

    def show_message(self, message, kind="info"):
        """Show a message of a kind, "info" or "warning"."""
        self.message, self.message_kind, self.needs_paint = message, kind, True

    def report(self, action, message, kind="info", **details):
        """Show what a command did, and log it."""
        self.show_message(message, kind)
        self.log(action, **details)

    def log(self, action, **details):
        """Write one JSON line: the time in seconds since 1970, the action, its details."""
        if self.log_file:
            line = json.dumps({"time": time.time(), "action": action, **details}, default=int)
            print(line, file=self.log_file, flush=True)
