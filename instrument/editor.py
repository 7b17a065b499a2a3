"""What is on the desk: a pattern of bars, what is asked of the next ones, what is heard; and every act upon them.

    desk = PatternEditor(model, kit, Player(kit), folder="saved_patterns")
    desk.go_to(desk.plane.to_code(0.5, -1), "This point"); desk.lock(0); desk.random(); desk.save()
"""

import json
import time
from pathlib import Path

import numpy as np

from command_line import one_line
from formats.activation_matrix import INSTRUMENTS, STEPS_PER_BAR
from instrument.files import next_name, write_all
from instrument.widgets import TEXT, WARNING
from Midi_To_Activation_Matrix import load_patterns
from patterns import latent_map, paths, sampling
from patterns.sampling import Constraints

SLOWEST, FASTEST = 40, 240  # bpm
DENSEST, HOTTEST = 100, 2.0  # hits a bar and temperature that one reaches by hand; the command line goes further
MOST_BARS = 16  # of a pattern on the desk
NEW_HIT = 100  # MIDI velocity of a hit that a click puts in
PATH_BARS = 8
NEAREST_SHOWN = 3  # nearest played bars that are shown
EMPTY = 0.1  # coverage below which a point is far from all played bars


class PatternEditor:
    """A pattern of one bar or of several, the codes it was drawn at, and what is asked of the next.

    Acts change the state and the sound at once, and mark the picture as `old`; nothing here knows how it looks.

    model: a BernoulliVAE of bars. kit, player: of `sequencer`. folder: where `save` writes. wishes: style (its number
    or None), hits (a bar, or None for the model's own number), row_hits {row: hits}, temperature. seed: of the random
    points. log: an open text file, or None.
    """

    def __init__(self, model, kit, player, folder, bpm=120, wishes=None, seed=None, log=None):
        self.model, self.kit, self.player, self.folder, self.bpm, self.log_file = model, kit, player, folder, bpm, log
        self.wishes = {"style": None, "hits": None, "row_hits": {}, "temperature": 1.0} | (wishes or {})
        self.first_seed = seed or 0
        self.seed = self.first_seed  # of what the model draws: one for all points, till the next random one
        self.random_seed = np.random.SeedSequence().entropy if seed is None else seed  # of the random points
        self.plane, self.training_bars = latent_map.LatentPlane(model), latent_map.TrainingBars(model)
        self.ground = latent_map.HitDensity(self.plane)
        self.locks = frozenset()  # rows that are kept when the others are redrawn
        self.codes, self.index = self.plane.to_code(0, 0)[None], 0  # (bars, latent), the bar that is shown
        self.bars = sampling.draw(model, self.codes, self.seed, Constraints(**self.wishes))  # (bars, 8, 64)
        self.on_path = self.own = False  # the bars are a path with fills; they are the person's own
        self.heard, self.aside, self.rank = None, None, 0  # "nearest" or "model": bars heard in place of these
        self.path_start = None  # the code at which a path begins
        self.history, self.randoms = [], 0
        self.playing = False
        self.undrawn = False  # the code or a wish has changed, the bars have not yet
        self.silence = None  # why there is no sound
        self.nearest_found = (None, None)  # the bar that was last asked about, its neighbours
        self.say("Click anywhere on the map.")

    @property
    def code(self):
        """Where the bar that is shown was drawn, (latent,)."""
        return self.codes[self.index]

    @property
    def shown_bars(self):
        """The pattern that is seen and heard: uint8, (bars, 8, 64)."""
        return self.aside if self.heard else self.bars

    @property
    def bar(self):
        """The bar that is shown: uint8, (8, 64)."""
        return self.shown_bars[self.index]

    @property
    def density(self):
        """The hits that are asked for, None for the model's own number."""
        return self.wishes["hits"]

    # Drawing and playing

    def go_to(self, code, words, seed=None):
        """Play the bar that the model draws at a code; with a seed of its own, or as at the points before."""
        started = time.perf_counter()
        self.remember()
        self.set_code(code)
        self.seed = self.seed if seed is None else seed
        if self.redraw() and not self.playing:
            self.play()
        milliseconds = 1000 * (time.perf_counter() - started)
        if self.message_colour != WARNING:
            self.say(lambda: f"{words}: {self.describe()}.")  # put into words when it is painted: the sound is first
        self.log("point", point=self.point(), hits=np.count_nonzero(self.bar), milliseconds=milliseconds)

    def set_code(self, code):
        """Be at one code; what is kept of the bar that is shown stays there to be kept."""
        self.adopt()
        self.codes, self.bars, self.index = np.asarray(code)[None], self.bar[None], 0
        self.on_path = self.own = False

    def redraw(self):
        """Draw the bars at the codes anew as wished, and let them take over; False, said why, if no bar can be so."""
        self.undrawn, self.old = False, True
        kept = {"locked_rows": sorted(self.locks)} if self.locks else {}
        try:
            if self.on_path:
                bars, _ = paths.interpolate(self.model, self.codes[0], self.codes[-1], len(self.codes), True, self.seed,
                                     Constraints(**self.wishes, **kept, locked=self.bar))
            elif kept:  # each bar keeps rows of its own
                bars = np.concatenate([sampling.draw(self.model, code[None], self.seed, Constraints(
                    **self.wishes, **kept, locked=bar)) for code, bar in zip(self.codes, self.shown_bars)])
            else:
                bars = sampling.draw(self.model, self.codes, self.seed, Constraints(**self.wishes))
        except ValueError as error:  # fewer hits than the rows that are kept have, and the like
            self.say(f"No such bar: {one_line(error)}", WARNING)
            return False
        self.set_bars(bars)
        self.message_colour = TEXT
        return True

    def set_bars(self, bars):
        """Show bars, as many as before; if others play, these take over."""
        self.bars, self.heard, self.old = bars, None, True
        if self.playing:
            self.play()

    def play(self):
        """Play the bars, or take over without a gap from those that play."""
        if self.has_sound():
            self.player.play(self.shown_bars)
            self.playing = self.old = True

    def has_sound(self):
        """Open the sound card if it is not open; False, and the reason kept, where there is none."""
        if not self.silence:
            try:
                self.player.open()
            except OSError as error:  # no sound card, no PortAudio: everything else works
                self.silence, self.old = one_line(error), True
                self.log("no sound", reason=self.silence)
        return not self.silence

    def play_or_stop(self):
        if self.playing:
            return self.stop()
        self.silence = None  # a sound card may have come since
        self.play()
        self.say(f"Playing: {self.describe()}." if self.playing else "There is nothing to play on.")
        self.log("play")

    def stop(self):
        self.player.stop()
        self.playing = False
        self.say("Stopped.")
        self.log("stop", underruns=self.player.underruns)

    def random(self):
        self.randoms += 1
        code = latent_map.random_code(self.model, self.random_seed, self.randoms - 1, self.wishes["style"])
        self.go_to(code, "A random point", self.first_seed + self.randoms - 1)

    def take(self):
        """Draw once more at the same place, with other noise."""
        self.remember()
        self.seed, self.own = self.seed + 1, False
        if self.redraw():
            self.say(f"Another take: {self.describe()}.")
            self.log("take", seed=self.seed)

    # Paths, comparisons, bars of one's own

    def path(self):
        """The first time, begin a path at this point; the second time, end it here."""
        if self.path_start is not None:
            return self.end_path(PATH_BARS)
        self.path_start = self.code
        self.say("A path from here: click or drag to its end, then p again.")

    def leave_path(self):
        """Forget where a path began."""
        self.path_start = None
        self.say("No path.")

    def end_path(self, count):
        """Play a path of so many bars from where it began to this point, with fills."""
        if self.path_start is None:
            return self.say("A path begins with p.")
        start, end = self.path_start, self.code
        self.remember()
        self.path_start = None
        kept = self.bar
        self.codes = np.linspace(start, end, count).astype(np.float32)
        self.bars, self.index, self.heard, self.on_path, self.own = np.stack([kept] * count), 0, None, True, False
        if self.redraw():
            if not self.playing:
                self.play()
            self.say(f"A path of {count} bars, a fill before the turn. Click a number above to keep that bar.")
            self.log("path", bars=count)
        else:
            self.set_state(self.history.pop())

    def choose_bar(self, index):
        """Show one bar of several; keep it alone if it is the one that is shown, or while they play."""
        if not self.playing and index != self.index:
            self.index = index
            return self.say(f"Bar {index + 1}. Once more: that bar alone.")
        self.remember()
        bars = self.shown_bars[[index]]
        self.codes, self.index, self.on_path = self.codes[[index]], 0, False
        self.set_bars(bars)
        self.say(f"Bar {index + 1} alone: {self.describe()}. b brings the others back.")
        self.log("bar", index=index)

    def nearest(self):
        """The played bars nearest to the bar of this pattern that is shown: (indices, cells)."""
        bar = self.bars[self.index]
        if self.nearest_found[0] != bar.tobytes():
            self.nearest_found = (bar.tobytes(), self.training_bars.nearest(bar, NEAREST_SHOWN))
        return self.nearest_found[1]

    def hear(self, what, bars):
        """Hear other bars in place of the pattern; None returns to it."""
        self.old = True
        self.heard, self.aside = (None, None) if bars is None else (what, bars)
        if not self.playing:
            self.play()
        elif self.has_sound():
            self.player.play(self.shown_bars)

    def hear_nearest(self, rank=0):
        """Hear the played bars nearest to the pattern's; the second time, the pattern again."""
        if self.heard == "nearest" and rank == 0:
            return self.hear_pattern()
        if not len(self.training_bars):
            return self.say("This map keeps no played bars; one that is trained now does.", WARNING)
        found = [self.training_bars.nearest(bar, NEAREST_SHOWN)[0] for bar in self.bars]
        self.rank = rank % len(found[0])
        self.hear("nearest", np.stack([self.training_bars.bar(indices[self.rank]) for indices in found]))
        self.say("The nearest bar that a drummer played. n: yours again, N: the next nearest.")
        self.log("nearest", rank=self.rank)

    def hear_next_nearest(self):
        self.hear_nearest(self.rank + 1 if self.heard == "nearest" else 0)

    def hear_model(self):
        """Hear what the model draws where the pattern's bars land, with as many hits; then the pattern again."""
        if self.heard == "model":
            return self.hear_pattern()
        codes = sampling.encode(self.model, self.bars, self.wishes["style"])
        wishes = self.wishes | {"row_hits": {}}
        self.hear("model", np.stack([
            sampling.draw(self.model, code[None], self.seed, Constraints(**wishes | {"hits": np.count_nonzero(bar)}))[0]
            for bar, code in zip(self.bars, codes)]))
        self.say("What the model makes of your bar, with as many hits. m: yours again.")
        self.log("model")

    def hear_pattern(self):
        self.hear(None, None)
        self.say(f"Your bar again: {self.describe()}.")
        self.log("pattern")

    def adopt(self):
        """Make what is heard in place of the pattern the pattern."""
        self.bars, self.heard = self.shown_bars, None

    def open_file(self, path):
        """Make the bars of a file the pattern, at the codes where they land."""
        try:
            path = Path(path).expanduser()
            if not path.is_file():
                raise OSError(f"{path}: expected a MIDI file or a .npy matrix, found no file")
            found = load_patterns(path)[0]
        except (OSError, ValueError) as error:
            return self.say(f"Not opened: {one_line(error)}", WARNING)
        bars = found[:MOST_BARS]
        self.remember()
        self.codes, self.index = sampling.encode(self.model, bars, self.wishes["style"]), 0
        self.on_path, self.own = False, True
        self.set_bars(bars)
        if not self.playing:
            self.play()
        part = f" (of {len(found)} bars, the first {len(bars)})" if len(found) > len(bars) else ""
        self.say(f"{path.name}{part} lands here. m: what the model makes of it, n: the nearest played bar.")
        self.log("open", path=str(path), bars=len(bars))

    def humanise(self):
        """Strike the hits of the bars as a drummer would, each time with another hand."""
        self.remember()
        self.adopt()
        seed = self.seed = self.seed + 1
        self.set_bars(sampling.humanise(self.model, self.bars, None, self.wishes["style"], seed,
                                         self.wishes["temperature"]))
        self.say("The same hits, struck as a drummer would; once more for another hand.")
        self.log("humanise")

    # Back

    def state(self):
        return (self.codes, self.bars, self.index, dict(self.wishes, row_hits=dict(self.wishes["row_hits"])), self.seed,
                self.locks, self.on_path, self.own)

    def set_state(self, state):
        (self.codes, bars, self.index, self.wishes, self.seed, self.locks, self.on_path, self.own) = state
        self.undrawn = False
        self.set_bars(bars)

    def remember(self):
        """Keep the state for `back`."""
        self.history = self.history[-99:] + [self.state()]

    def back(self):
        """Return to the state before the last act that changed it."""
        def essence(state):
            return state[0].tobytes(), state[1].tobytes(), state[3], state[5]

        while self.history:
            state = self.history.pop()
            if essence(state) != essence(self.state()):
                self.set_state(state)
                self.say(f"Back to {self.describe()}.")
                return self.log("back")
        self.say("There is nothing to go back to.")

    # The bar and the wishes

    def toggle(self, row, step):
        """Put a hit in a cell of the bar, or take it out."""
        self.remember()
        self.adopt()
        bars = self.bars.copy()
        bars[self.index, row, step] = 0 if bars[self.index, row, step] else NEW_HIT
        self.set_bars(bars)
        self.say(f"{INSTRUMENTS[row]}, beat {1 + step // 16}, step {1 + step % 16} of 16: "
                 f"{'a hit put in' if self.bar[row, step] else 'the hit taken out'}.")
        self.log("toggle", row=row, step=step, velocity=int(self.bar[row, step]))

    def lock(self, row):
        """Keep a row when the others are redrawn, or no longer."""
        self.remember()
        self.locks ^= {row}
        self.wishes = self.wishes | {"row_hits": {key: hits for key, hits in self.wishes["row_hits"].items()
                                                  if key not in self.locks}}
        kept = ", ".join(INSTRUMENTS[row] for row in sorted(self.locks))
        self.say(f"Kept: {kept}. Click the map, or t, to redraw the rest." if kept else "No row is kept.")
        self.log("lock", rows=sorted(self.locks))

    def wish(self, **wishes):
        """Ask for something else of the bars; the next frame shows them."""
        self.wishes, self.undrawn = self.wishes | wishes, True

    def ask_for_style(self, name):
        """Ask for a style by its name, None for any."""
        try:
            style = sampling.style_index(self.model, name)
        except ValueError:
            return self.say("This model has not been told of styles; one that is trained now is.", WARNING)
        self.remember()
        self.wish(style=style)
        self.say(f"Bars in the style {name}." if name else "Bars in any style.")
        self.log("style", name=name)

    def step_style(self, step, names=None):
        """Go on to the next style of the model, or of some names; after the last comes any, and then the first."""
        names = [None, *(self.model.styles if names is None else names)]
        place = names.index(self.style_name()) if self.style_name() in names else 0
        self.ask_for_style(names[(place + step) % len(names)])

    def set_tempo(self, bpm):
        self.bpm, self.old = float(bpm), True
        self.player.set_bpm(self.bpm)
        self.log("tempo", bpm=self.bpm)

    def change_tempo(self, difference):
        self.set_tempo(np.clip(self.bpm + difference, SLOWEST, FASTEST))

    def set_density(self, hits):
        """Ask for a number of hits; None for as many as the model draws."""
        self.wish(hits=None if hits is None else int(hits))
        self.log("density", hits=self.density)

    def change_density(self, difference):
        self.remember()
        self.set_density(None if difference is None else np.clip(self.wanted_hits() + difference, 0, DENSEST))

    def set_temperature(self, temperature):
        self.wish(temperature=round(float(temperature), 2))
        self.log("temperature", temperature=self.wishes["temperature"])

    def change_temperature(self, difference):
        self.remember()
        self.set_temperature(np.clip(self.wishes["temperature"] + difference, 0, HOTTEST))

    def change_row(self, row, difference):
        """Ask for one hit more in a row, or one fewer; None leaves its number to the model again."""
        if row in self.locks:
            return self.say(f"{INSTRUMENTS[row]} is kept as it is; click its name to free it.")
        self.remember()
        hits = dict(self.wishes["row_hits"])
        if difference is None:
            hits.pop(row, None)
        else:
            now = hits.get(row, np.count_nonzero(self.bar[row]))
            hits[row] = int(np.clip(now + difference, 0, STEPS_PER_BAR))
        self.wish(row_hits=hits)
        self.say(f"{INSTRUMENTS[row]}: " + (f"{hits[row]} hits." if row in hits else "as many as the model draws."))
        self.log("row", row=row, hits=hits.get(row))

    def save(self):
        """Write the bars as MIDI, WAV and PNG under the next free name; what goes wrong is said in the window."""
        try:
            name = next_name(self.folder)
            midi, wav, png = (self.folder / f"{name}{suffix}" for suffix in (".mid", ".wav", ".png"))
            write_all(self.shown_bars, self.bpm, self.kit, midi=midi, wav=wav, png=png)
            self.say(f"Saved {name}.mid, .wav and .png in {self.folder}")
            self.log("save", path=str(midi.with_suffix("")))
        except (OSError, ValueError) as error:
            self.say(f"Not saved: {one_line(error)}", WARNING)
            self.log("not saved", reason=one_line(error))

    # Words and numbers

    def point(self):
        """Where the code is on the map, (x, y)."""
        return tuple(self.plane.from_codes(self.code).tolist())

    def path_points(self):
        """The points of a pattern of several bars, or of a path that has begun."""
        codes = self.codes if self.path_start is None else np.stack([self.path_start, self.code])
        return tuple(map(tuple, self.plane.from_codes(codes).tolist())) if len(codes) > 1 else ()

    def neighbour_points(self):
        """Where the nearest played bars lie, while they are heard or a bar of one's own is shown."""
        if not len(self.training_bars) or not (self.own or self.heard == "nearest"):
            return ()
        indices = self.nearest()[0][[self.rank]] if self.heard == "nearest" else self.nearest()[0]
        return tuple(tuple(self.plane.from_codes(self.training_bars.code(index)).tolist()) for index in indices)

    def style_name(self):
        """The name of the style that is asked for, None for any."""
        return None if self.wishes["style"] is None else self.model.styles[self.wishes["style"]]

    def wanted_hits(self):
        return np.count_nonzero(self.bar) if self.density is None else self.density

    def describe(self):
        hits = int(np.count_nonzero(self.bar))
        words = f"{hits} hit{'s' * (hits != 1)}"
        if self.heard == "nearest":
            return f"{words}, {self.training_bars.name(self.nearest()[0][self.rank])}, hits as played"
        style = self.plane.style_near(*self.point())
        if style and self.ground.coverage_at(*self.point()) < EMPTY:
            return f"{words}, far from all played bars"
        return words + (f", {self.style_name()}" if self.style_name() else f", near {style}" if style else "")

    def novelty_in_words(self):
        """How far the bar is from what was played."""
        if not len(self.training_bars):
            return ""
        indices, cells = self.nearest()
        if self.heard == "nearest":
            return f"the {('', 'second ', 'third ')[self.rank]}nearest played bar, {cells[self.rank]} cells from yours"
        return f"novelty {cells[0]}: cells unlike the nearest played bar" if cells[0] else "novelty 0: played just so"

    def say(self, message, colour=TEXT):
        """Say a message, or what a function gives when it is painted."""
        self.said, self.message_colour, self.old = message, colour, True

    @property
    def message(self):
        """What is said."""
        return self.said() if callable(self.said) else self.said

    def log(self, act, **details):
        """One JSON line: the time in seconds since 1970, the act, its details."""
        if self.log_file:
            print(json.dumps({"time": time.time(), "act": act, **details}, default=int), file=self.log_file, flush=True)
