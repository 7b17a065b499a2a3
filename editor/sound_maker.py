"""The thread that makes sounds of a sound model: the window never waits for it.

    maker = SoundMaker(model, on_made=lambda made: ..., on_error=lambda made, error: ...)
    maker.sound(MadeSound(SNARE, code, seed=3))         # None at first; once on_made was called, a Sound
"""

import threading
from collections import OrderedDict

from sounds.kits import is_whole, steps_of, whole

MOST_KEPT = 32  # sounds, the rows' own among them: undo makes older ones again


class SoundMaker:
    """Makes sounds in a thread of its own, what was asked for last before all else.

    on_made(made): called in that thread when a sound, or a better one, is there. on_error(made, error) likewise.
    """

    def __init__(self, model, on_made, on_error):
        self.model, self.on_made, self.on_error = model, on_made, on_error
        self.kept, self.asked, self.begun, self.making = OrderedDict(), [], [], None  # the newest last
        self.condition, self.thread, self.closed = threading.Condition(), None, False

    def sound(self, made):
        """The Sound of a MadeSound as far as it is made, else None; what is not whole is made next."""
        with self.condition:
            kept = self.kept.get(made)
            if kept is not None:
                self.kept.move_to_end(made)
            if not is_whole(kept) and made not in (self.making, *self.asked, *(other for other, _ in self.begun)):
                self.asked.append(made)
                self.condition.notify()
            if self.thread is None:
                self.thread = threading.Thread(target=self.work, daemon=True)
                self.thread.start()
            return kept

    def whole(self, made):
        """The whole Sound of a MadeSound, made now where it is not."""
        kept = self.kept.get(made)
        return kept if is_whole(kept) else whole(self.model, made)

    def drop_unless(self, wanted):
        """Make only what is wanted still: of a drag, the last place."""
        with self.condition:
            self.asked = [made for made in self.asked if made in wanted]
            self.begun = [(made, steps) for made, steps in self.begun if made in wanted]

    def close(self):
        """Make no more. A thread within torch at the interpreter's end would end it with an error."""
        with self.condition:
            self.closed = True
            self.condition.notify()
        if self.thread is not None:
            self.thread.join()

    def work(self):
        """What the thread does: the first of all that is asked for, then, strike by strike, what completes them."""
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self.asked or self.begun or self.closed)
                if self.closed:
                    return
                made, steps = (self.asked.pop(), None) if self.asked else self.begun.pop()
                self.making = made
            try:
                steps = steps or steps_of(self.model, made)
                sound = next(steps, None)
            except (ValueError, OSError, RuntimeError) as error:  # torch's is a RuntimeError
                self.on_error(made, error)
                continue
            if sound is not None and self.keep(made, sound, steps):
                self.on_made(made)

    def keep(self, made, sound, steps):
        """Keep a sound as far as it is made, and go on with it; return whether it is another than before."""
        with self.condition:
            before, self.kept[made], self.making = self.kept.get(made), sound, None
            self.begun.append((made, steps))
            while len(self.kept) > MOST_KEPT:
                self.kept.popitem(last=False)
            return before is not sound
