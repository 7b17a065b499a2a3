"""Undo, and what a command is: one immutable State, and a history of those before and after it.

    class Editor:
        @command                                        # undone as a whole; one that fails leaves all as it was
        def lock(self, row):
            self.state = replace(self.state, locks=self.state.locks ^ {row})
"""

import functools
from dataclasses import fields, replace

from command_line import one_line
from session.state import State


def part(name):
    """An attribute that is a part of the state; to set it is to replace the state."""
    return property(lambda self: getattr(self.state, name),
                    lambda self, value: setattr(self, "state", replace(self.state, **{name: value})))


def with_parts(cls):
    """Give a class all parts of State as attributes."""
    for field in fields(State):
        setattr(cls, field.name, part(field.name))
    return cls


@with_parts
class Stateful:
    """An editor with a State, each part of it an attribute as well, and with undo and redo.

    show_message(message, kind) and update() (what follows of a new state) are the subclass's.
    """

    def __init__(self, state):
        self.good = self.saved = self._state = state
        self.past, self.future = [], []
        self.acting, self.gesture = False, None  # within a command; the state at which a gesture began

    @property
    def state(self):
        return self._state

    @state.setter
    def state(self, state):
        self._state = state
        if state.drawn:
            self.good = state  # the last whose bars are there

    def begin_gesture(self):
        """From now to `end_gesture`, as between pressing and releasing the mouse, all changes are one step of undo."""
        self.gesture = self.state

    def end_gesture(self):
        before, self.gesture = self.gesture, None
        if before is not None:
            self.remember(before)

    def remember(self, before):
        """Let undo return to a state, if the present one is another."""
        if self.gesture is None and not self.state.same_as(before):
            self.past.append(before)
            self.future.clear()

    def refuse(self, error, before):
        """Return to a state, since what was asked for cannot be done, and say why."""
        self.state = before
        if self.past and self.past[-1].same_as(before):
            self.past.pop()
        self.show_message(str(one_line(error)), "warning")

    def step(self, origin, destination):
        """Go to the last state of one list, and keep the present one in the other; return whether there was one."""
        self.end_gesture()
        while origin:
            state, now = origin.pop(), self.state
            if not state.same_as(now):
                destination.append(now)
                self.state = replace(state, audition_source=None, audition_bars=None)
                return True
        return False

    def undo(self):
        """Return to the state before the last command that changed it."""
        return self.step(self.past, self.future)

    def redo(self):
        """Return to the state before the last undo."""
        return self.step(self.future, self.past)

    @property
    def unsaved(self):
        """Is there work that would be lost?"""
        return self.state.work() != self.saved.work()


def command(method):
    """A method of a Stateful as one act of a person: one step of undo, and done whole or not at all.

    A ValueError or OSError within it is shown as a warning. A command within a command is a part of it.
    """
    @functools.wraps(method)
    def act(self, *arguments, **options):
        if self.acting:
            return method(self, *arguments, **options)
        before, message, self.acting = self.state, self.message, True
        try:
            result = method(self, *arguments, **options)
            self.remember(before)
            if self.message is message and self.message_kind == "warning":
                self.show_message("")  # what went wrong before is over
            return result
        except (ValueError, OSError) as error:
            self.refuse(error, before)
        finally:
            self.acting = False
            self.update()
    return act
