"""The player: a kit on the sound card.

    player = Player(load_kit()); player.play(bars)      # from the sound card, until stop()
    player.play(bars, Feel(tight=100, swing=60))        # takes over with the next step
"""

import contextlib
import ctypes
import functools

from command_line import one_line
from engine.sequencer import Sequencer
from formats.kit import SAMPLE_RATE
from patterns.feel import Feel


class AudioUnavailable(OSError):
    """There is no PortAudio, or no device that plays: the message gives which, in one line."""


class Player:
    """A kit on the sound card: one stream, opened by the first `play` (or `open`) and kept until `close`.

    These raise AudioUnavailable where there is no PortAudio or no device. underruns: blocks that came too late for it.
    """

    LATENCY = 0.04  # seconds, of the buffer that guards against underruns
    SETTLE = 0.02  # seconds of silence after opening: PulseAudio swallows some of what a new stream plays first

    def __init__(self, kit, bpm=120.0):
        self.sequencer, self.underruns = Sequencer(kit, bpm=bpm), 0
        self.stop, self.set_bpm = self.sequencer.stop, self.sequencer.set_bpm
        self._stream, self._settling = None, 0  # samples of silence still to give
        self._sent = (0.0, 0)  # when the last block is heard, on the stream's clock in seconds, and its first sample

    def open(self):
        """Open the stream, silent, so that the first play() is as quick as the others."""
        if self._stream is not None and self._stream.active:
            return
        self.close()
        try:
            import sounddevice
        except (OSError, ImportError) as error:
            raise AudioUnavailable(f"no sound: PortAudio is not installed ({one_line(error)})") from error
        _quiet_alsa()
        try:
            channels = min(2, sounddevice.query_devices(kind="output")["max_output_channels"])
            self._settling = int(self.SETTLE * SAMPLE_RATE)
            self._stream = sounddevice.OutputStream(samplerate=SAMPLE_RATE, channels=channels, dtype="float32",
                                                    latency=self.LATENCY, callback=self._callback)
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            self.close()
            raise AudioUnavailable(f"no sound: no output device plays ({one_line(error)})") from error

    def play(self, bars, feel=Feel()):
        """Start the pattern, or let it take over without a gap with the next step."""
        self.open()
        self.sequencer.play(bars, feel)

    def position(self):
        """(bar, step) that is heard now, the output's latency counted in, or None in silence."""
        stream, (sounds_at, first) = self._stream, self._sent
        if stream is not None and stream.active:
            return self.sequencer.place_at(first + (stream.time - sounds_at) * SAMPLE_RATE)

    def close(self):
        """Stop the sound at once and give the device back."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    def _callback(self, out, frames, time, status):
        if self._settling > 0:
            self._settling -= frames
            out[:] = 0
            return
        self.underruns += bool(status.output_underflow)
        self._sent = (time.outputBufferDacTime, self.sequencer.clock)
        out[:] = self.sequencer.fill(frames)[:, None]


@functools.cache  # ALSA keeps only the handler's address: it has to stay
def _quiet_alsa():
    """Keep ALSA from writing on the terminal each time a busy machine comes too late: `underruns` counts that."""
    with contextlib.suppress(OSError, AttributeError):  # without ALSA there is nothing to quiet
        kind = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
        handler = kind(lambda file, line, function, error, text: None)
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(handler)
        return handler
