"""The player without a sound card: the stream, the position, underruns, and what a person reads where nothing plays."""

import sys
import types

import numpy as np
import pytest

from engine.player import AudioUnavailable, Player
from engine.sequencer import render
from formats.kit import plain_sound

CLOSE = dict(rtol=0, atol=2e-6)  # float32 sums in another order


def small_kit(seed=0, longest=3000, peak=0.05):
    """Eight decaying noises of different lengths, soft enough that no pattern here needs a gain."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest, 8)
    return tuple(plain_sound("a", peak * generator.uniform(-1, 1, n) * np.linspace(1, 0, n)) for n in lengths)


def some_bars(seed=0, bars=1, share=0.08):
    generator = np.random.default_rng(seed)
    return (generator.integers(1, 128, (bars, 8, 64)) * (generator.random((bars, 8, 64)) < share)).astype(np.uint8)


class FakeStream:
    """What Player needs of sounddevice.OutputStream, driven by hand: `pump` is the device asking for a block."""

    latency, time, active = 0.05, 0.0, False

    def __init__(self, samplerate, channels, dtype, latency, callback):
        self.callback, self.channels, self.rate, self.sent = callback, channels, samplerate, 0

    def start(self):
        self.active = True

    def pump(self, frames, underflow=False):
        out = np.full((frames, self.channels), np.nan, np.float32)
        heard_at = types.SimpleNamespace(outputBufferDacTime=self.sent / self.rate + self.latency)
        self.callback(out, frames, heard_at, types.SimpleNamespace(output_underflow=underflow))
        self.sent += frames
        return out

    def abort(self, ignore_errors):
        self.active = False

    def close(self, ignore_errors):
        self.active = False


@pytest.fixture
def fake_sound(monkeypatch):
    """A sounddevice module whose streams are FakeStreams; gives the list of those opened."""
    opened = []

    def open_stream(**options):
        opened.append(FakeStream(**options))
        return opened[-1]

    module = types.SimpleNamespace(PortAudioError=type("PortAudioError", (Exception,), {}), OutputStream=open_stream,
                                   query_devices=lambda kind: {"max_output_channels": 32})
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    module.opened = opened
    return module


def test_the_player_opens_one_stream_when_it_first_plays(fake_sound):
    player = Player(small_kit())
    assert not fake_sound.opened and player.position() is None
    player.play(some_bars(1))
    player.play(some_bars(2))
    player.stop()
    player.play(some_bars(3))
    assert len(fake_sound.opened) == 1
    player.close()
    player.close()
    player.play(some_bars(4))
    assert len(fake_sound.opened) == 2


def test_the_player_sends_what_the_engine_fills_to_every_channel(fake_sound):
    kit, bars = small_kit(9), some_bars(9, share=0.3)
    player = Player(kit)
    player.open()
    stream = fake_sound.opened[0]
    for _ in range(10):
        assert not stream.pump(441).any()
    player.play(bars)
    out = np.concatenate([stream.pump(441) for _ in range(100)])
    np.testing.assert_allclose(out[:, 0], render(bars, kit, 120, loop=False)[:44100], **CLOSE)
    np.testing.assert_array_equal(out[:, 0], out[:, 1])


def test_position_is_what_is_heard_not_what_was_sent(fake_sound):
    player = Player(small_kit(), bpm=60)  # a step is 62.5 ms, the fake device's latency 50 ms
    player.open()
    stream = fake_sound.opened[0]
    stream.pump(44100)
    player.play(some_bars(1))
    stream.pump(44100)
    for milliseconds in range(55, 1050, 7):
        stream.time = 1 + milliseconds / 1000
        assert player.position() == (0, int((milliseconds - 50) / 62.5))
    stream.time = 1.04  # before the first hit has come out
    assert player.position() is None


def test_underruns_are_counted_once_it_has_settled(fake_sound):
    player = Player(small_kit())
    player.open()
    stream = fake_sound.opened[0]
    stream.pump(100, underflow=True)
    assert player.underruns == 0
    stream.pump(4410)
    stream.pump(100)
    stream.pump(100, underflow=True)
    assert player.underruns == 1


@pytest.mark.parametrize("fault", ["no PortAudio", "no device", "refused"])
def test_no_sound_is_one_line(fault, fake_sound, monkeypatch):
    def refuse(*_, **__):
        raise fake_sound.PortAudioError("Error querying device -1\n")

    if fault == "no PortAudio":
        monkeypatch.setitem(sys.modules, "sounddevice", None)
    elif fault == "no device":
        fake_sound.query_devices = refuse
    else:
        fake_sound.OutputStream = refuse
    player = Player(small_kit())
    with pytest.raises(AudioUnavailable) as error:
        player.play(some_bars())
    assert isinstance(error.value, OSError) and "\n" not in str(error.value) and str(error.value).startswith("no sound")
    assert player.position() is None
    player.close()
