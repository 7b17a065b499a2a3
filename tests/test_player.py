"""The player without a sound card: its process, the stream in it, gaps, and what a person reads where nothing plays."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import sound_process
from engine.mixer import Mixer
from engine.player import AudioUnavailable, Player
from engine.sequencer import Sequencer
from engine.sound_process import Gaps, Output
from formats.activation_matrix import INSTRUMENTS
from formats.kit import SAMPLE_RATE, plain_sound


def small_kit(seed=0, longest=3000, peak=0.05):
    """Eight decaying noises of different lengths."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest, 8)
    return tuple(plain_sound("a", peak * generator.uniform(-1, 1, n) * np.linspace(1, 0, n)) for n in lengths)


def some_bars(seed=0, bars=1, share=0.08):
    generator = np.random.default_rng(seed)
    return (generator.integers(1, 128, (bars, 8, 64)) * (generator.random((bars, 8, 64)) < share)).astype(np.uint8)


def expected(kit, bars, frames, block=441, bpm=120):
    """What a sequencer of its own gives from the start of a pattern, float32 (frames, 2)."""
    sequencer = Sequencer(kit, bpm=bpm)
    sequencer.play(bars)
    blocks = [sequencer.fill(block).reshape(block, -1) for _ in range(-(-frames // block))]
    return np.concatenate(blocks)[:frames] * np.ones(2, np.float32)


# The stream, driven by hand -------------------------------------------------------------------------------------------

class FakeStream:
    """What Stream needs of sounddevice.OutputStream; `pump` is the device asking for a block."""

    active = False

    def __init__(self, clock, samplerate, channels, dtype, latency, callback, finished_callback):
        self.callback, self.finished, self.channels, self.latency = callback, finished_callback, channels, latency
        self.rate, self.clock, self.sent = samplerate, clock, 0

    @property
    def time(self):
        return self.clock.now

    def start(self):
        self.active = True

    def pump(self, frames, late=0.0, underflow=False):
        """A block, so many seconds later than the device would like it."""
        out = np.full((frames, self.channels), np.nan, np.float32)
        self.clock.now += frames / self.rate + late
        heard_at = types.SimpleNamespace(outputBufferDacTime=self.clock.now + self.latency)
        self.callback(out, frames, heard_at, types.SimpleNamespace(output_underflow=underflow))
        return out

    def abort(self, ignore_errors):
        self.active = False
        self.finished()

    def close(self, ignore_errors):
        assert not self.active


@pytest.fixture
def fake_sound(monkeypatch):
    """A sounddevice module whose streams are FakeStreams on one clock, that of the sound process too."""
    clock = types.SimpleNamespace(now=100.0)

    def open_stream(**options):
        module.opened.append(FakeStream(clock, **options))
        return module.opened[-1]

    module = types.SimpleNamespace(PortAudioError=type("PortAudioError", (Exception,), {}), OutputStream=open_stream,
                                   query_devices=lambda kind: {"max_output_channels": 32}, opened=[], clock=clock)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    monkeypatch.setattr(sound_process, "time", types.SimpleNamespace(
        perf_counter=lambda: clock.now, monotonic=lambda: clock.now, sleep=time.sleep))
    return module


class Events(list):
    """What an Output puts; `of` are the values of its reports of one kind."""

    def put(self, *event):
        self.append(event)

    def of(self, name):
        return [event[2] for event in self if event[:2] == ("report", name)]


def an_output(kit=None, latency=0.05, bpm=120):
    events = Events()
    return Output(Sequencer(kit or small_kit(), bpm=bpm), latency, events.put), events


def settled(output, fake_sound):
    """The stream of an output that has been opened and has settled."""
    output.open()
    stream = fake_sound.opened[-1]
    while output.playing is None:
        assert not stream.pump(441).any()
    return stream


def test_an_output_opens_one_stream_until_it_is_closed(fake_sound):
    output, events = an_output()
    output.open()
    output.open()
    assert len(fake_sound.opened) == 1 and events.of("opened") == [None, None] and events.of("latency") == [0.05]
    output.close()
    output.close()
    output.open()
    assert len(fake_sound.opened) == 2 and events.of("closed") == []


def test_a_device_that_goes_is_reported_and_opened_again_when_asked(fake_sound):
    output, events = an_output()
    output.open()
    fake_sound.opened[0].abort(True)
    assert len(events.of("closed")) == 1 and "sound card" in events.of("closed")[0]
    output.open()
    assert len(fake_sound.opened) == 2


@pytest.mark.parametrize("channels", [1, 2])
def test_every_sample_of_the_sequencer_reaches_the_device(channels, fake_sound):
    fake_sound.query_devices = lambda kind: {"max_output_channels": channels}
    kit, bars = small_kit(9), some_bars(9, share=0.3)
    output, _ = an_output(kit)
    stream = settled(output, fake_sound)
    output.sequencer.play(bars)
    out = np.concatenate([stream.pump(441) for _ in range(100)])
    both = expected(kit, bars, 44100)
    np.testing.assert_allclose(out, both if channels == 2 else both.mean(1, keepdims=True), atol=1e-7)
    assert out.any()


def test_places_are_reported_with_the_moment_at_which_they_are_heard(fake_sound):
    output, events = an_output(bpm=60)  # a step is 62.5 ms
    stream = settled(output, fake_sound)
    output.sequencer.play(some_bars(1))
    begin = fake_sound.clock.now
    for _ in range(101):
        stream.pump(441)
    places = sum(events.of("places"), [])
    assert [place for _, place in places] == [(0, step) for step in range(17)]
    moments = np.array([moment for moment, _ in places]) - begin - 0.01 - stream.latency
    delay = output.sequencer.delay / SAMPLE_RATE
    assert np.abs(moments - 0.0625 * np.arange(17) - delay).max() < 0.002
    output.sequencer.stop()
    stream.pump(441)
    assert events.of("places")[-1][-1][1] is None


def test_gaps_are_counted_while_it_sounds(fake_sound):
    output, events = an_output()
    stream = settled(output, fake_sound)
    for _ in range(30):
        stream.pump(441)
    stream.pump(441, late=0.2)
    assert not events.of("gap")  # nobody heard that one
    output.sequencer.play(some_bars(share=0.5))
    for _ in range(100):
        stream.pump(441, late=0.0)
    stream.pump(441, late=0.2)
    assert events.of("gap") == [None]


def test_two_gaps_in_half_a_minute_ask_for_a_longer_buffer_and_rarer_ones_do_not(fake_sound):
    output, events = an_output()
    stream = settled(output, fake_sound)
    output.sequencer.play(some_bars(share=0.5))
    for seconds, asked in ((1, 0), (31, 0), (31, 0), (29, 1), (1, 1), (29, 2)):
        for _ in range(100 * seconds):
            stream.pump(441)
        stream.pump(441, underflow=True)
        assert events.count(("lengthen",)) == asked


@pytest.mark.parametrize("beside", [True, False], ids=["two streams", "one at a time"])
def test_a_longer_buffer_takes_over_without_losing_a_sample(beside, fake_sound, monkeypatch):
    kit, bars = small_kit(3), some_bars(3, share=0.5)
    output, events = an_output(kit, latency=0.1)
    first = settled(output, fake_sound)
    output.sequencer.play(bars)
    heard = [first.pump(441) for _ in range(20)]
    open_stream = fake_sound.OutputStream

    def refuse_a_second(**options):
        if not beside and fake_sound.opened[-1].active:
            raise fake_sound.PortAudioError("Device unavailable")
        return open_stream(**options)

    def both_go_on(_):  # what the devices do while `lengthen` waits
        heard.append(first.pump(441))
        assert not fake_sound.opened[-1].pump(441).any()

    fake_sound.OutputStream = refuse_a_second
    monkeypatch.setattr(sound_process.time, "sleep", both_go_on)
    output.lengthen()
    second = fake_sound.opened[-1]
    assert second is not first and second.active and not first.active
    assert output.latency == second.latency == pytest.approx(0.15) and events.of("latency")[-1] == second.latency
    heard += [second.pump(441) for _ in range(30)]
    sounding = [block for block in heard if block.any()]
    np.testing.assert_allclose(np.concatenate(sounding), expected(kit, bars, 441 * len(sounding)), atol=1e-7)
    assert events.of("closed") == []
    for _ in range(4):
        output.lengthen()
    assert output.latency == 0.25


@pytest.mark.parametrize("fault", ["no PortAudio", "no device", "refused"])
def test_no_sound_is_reported_in_one_line(fault, fake_sound, monkeypatch):
    def refuse(*_, **__):
        raise fake_sound.PortAudioError("Error querying device -1\n")

    if fault == "no PortAudio":
        monkeypatch.setitem(sys.modules, "sounddevice", None)
    elif fault == "no device":
        fake_sound.query_devices = refuse
    else:
        fake_sound.OutputStream = refuse
    output, events = an_output()
    output.open()
    (reason,) = events.of("opened")
    assert reason.startswith("no sound: ") and "\n" not in reason
    output.close()


# Gaps by the clock ----------------------------------------------------------------------------------------------------

def device(lateness, latency=0.05, frames=441):
    """(now, frames, heard_at) of blocks that each come so many seconds after the device has room, or after the last."""
    now, due, blocks = 0.0, 0.0, []
    for late in lateness:
        now = max(now, due + late)
        empty = due + latency - frames / SAMPLE_RATE  # it plays silence from then on
        blocks.append((now, frames, 1000 + max(now, empty)))
        due += frames / SAMPLE_RATE + max(0.0, now - empty)
    return blocks


@settings(deadline=None)
@given(st.lists(st.floats(0, 0.039), min_size=1, max_size=300))
def test_a_block_that_comes_before_the_buffer_is_empty_is_no_gap(lateness):
    gaps = Gaps(0.05)
    assert not any(gaps.before(*block) for block in device(lateness))


@settings(deadline=None)
@given(st.integers(20, 100), st.floats(0.06, 3), st.lists(st.floats(0, 0.01), min_size=150, max_size=150))
def test_a_block_that_comes_too_late_is_one_gap(at, late, lateness):
    gaps, lateness = Gaps(0.05), [*lateness]
    lateness[at] = late
    assert [k for k, block in enumerate(device(lateness)) if gaps.before(*block)] == [at]


def test_a_stream_that_slips_against_its_own_clock_or_says_so_itself_had_a_gap():
    for change in (lambda now, frames, heard_at: (now, frames, heard_at + 0.02),
                   lambda now, frames, heard_at: (now, frames, heard_at, True)):
        gaps = Gaps(0.05)
        blocks = device([0.0] * 100)
        assert [k for k, block in enumerate(blocks) if gaps.before(*(change(*block) if k == 60 else block))] == [60]


# The process ----------------------------------------------------------------------------------------------------------

SOUNDDEVICE = """
import atexit, os, threading, time
print("a library that writes on the terminal")
os.write(1, b"and again")

class PortAudioError(Exception):
    pass

def query_devices(kind):
    return {"max_output_channels": 2}

class OutputStream:
    active, latency = False, 0.05
    time = property(lambda self: time.perf_counter())

    def __init__(self, **options):
        self.callback, self.thread = options["callback"], threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.active = True
        self.thread.start()

    def run(self):
        import numpy, types
        with open(os.environ["HEARD"], "ab", buffering=0) as heard:
            while self.active:
                out = numpy.empty((441, 2), "f4")
                times = types.SimpleNamespace(outputBufferDacTime=time.perf_counter() + self.latency)
                self.callback(out, 441, times, types.SimpleNamespace(output_underflow=False))
                heard.write(out.tobytes())
                time.sleep(0.005)

    def abort(self, ignore_errors):
        self.active = False
        self.thread.join()

    def close(self, ignore_errors):
        pass
"""


@pytest.fixture
def device_file(tmp_path, monkeypatch):
    """What the sound processes' device gets, twice as fast as it would play it."""
    (tmp_path / "sounddevice.py").write_text(SOUNDDEVICE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HEARD", str(tmp_path / "heard.f4"))
    return tmp_path / "heard.f4"


def wait(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def samples(path):
    """What a device got, from the first sound on, float32 (n, 2)."""
    data = path.read_bytes() if path.exists() else b""
    heard = np.frombuffer(data[:len(data) // 8 * 8], "f4").reshape(-1, 2)
    loud = heard.any(1)
    return heard[np.argmax(loud):] if loud.any() else heard[:0]


def test_a_pattern_reaches_the_device_sample_by_sample(device_file, capfd):
    kit, bars = small_kit(5), some_bars(5, share=0.3)
    with contextlib.closing(Player(kit, bpm=90)) as player:
        assert player.position() is None
        player.play(bars)
        wait(lambda: player.position() not in (None, (0, 0)))
        wait(lambda: len(samples(device_file)) > 44100)
        player.stop()
        wait(lambda: player.position() is None)
    reference = expected(kit, bars, 2 * 44100, bpm=90)
    reference = reference[np.argmax(reference.any(1)):][:40000]
    np.testing.assert_allclose(samples(device_file)[:40000], reference, atol=1e-7)
    assert capfd.readouterr() == ("", "")


def test_commands_are_done_in_order(device_file):
    kit, bars = small_kit(1), some_bars(99, share=0.5)
    with contextlib.closing(Player(kit, bpm=200)) as player:
        player.open()
        for seed in range(20):
            player.play(some_bars(seed))
            player.stop()
        player.play(bars)
        wait(lambda: len(samples(device_file)) > 60000)
    reference = expected(kit, bars, 60000, bpm=200)[-8820:]  # of the middle, when other tails have died away
    heard = samples(device_file)[:, 0]
    match = np.correlate(heard, reference[:, 0], "valid")
    assert np.abs(heard[match.argmax():][:8820] - reference[:, 0]).max() < 1e-6


def test_kit_mixer_and_single_strikes_reach_the_process(device_file, monkeypatch):
    up = tuple(plain_sound("up", np.linspace(1, 0, 3000, dtype=np.float32)) for _ in INSTRUMENTS)
    down, sent = (plain_sound("down", -up[0].samples()), *up[1:]), []
    with contextlib.closing(Player(up)) as player:
        def sign():  # of the last half second that sounded
            heard = samples(device_file)[:, 0]
            return len(heard) > 60000 and np.sign(heard[-22050:]).sum()

        for row in 0, 1:
            player.strike(row, 127)
        wait(lambda: len(samples(device_file)) > 3000)
        assert samples(device_file).min() >= -1e-6
        kick = np.zeros((1, 8, 64), np.uint8)
        kick[:, :2, ::8] = 100
        player.play(kick)
        player.set_mixer(Mixer().with_strip(1, mute=True))
        wait(lambda: sign() > 0)
        monkeypatch.setattr(player, "_send", lambda *command, send=player._send: (sent.append(command), send(*command)))
        player.set_kit(down)
        assert sent == [("set_kit", {0: down[0]})]
        wait(lambda: sign() < 0)  # the snare, which goes up, is mute


def test_bad_input_is_an_error_where_it_was_given_and_changes_nothing(device_file):
    with contextlib.closing(Player(small_kit())) as player:
        player.play(some_bars(share=0.5))
        for ask in (lambda: player.play(np.zeros((1, 8, 63), np.uint8)), lambda: player.set_bpm(0),
                    lambda: player.set_bpm(float("nan")), lambda: player.play(np.full((1, 8, 64), 200, np.uint8)),
                    lambda: player.play(np.zeros((1, 8, 64)))):
            with pytest.raises(ValueError):
                ask()
        wait(lambda: len(samples(device_file)) > 44100)
        assert not player.message
        player.strike(8)
        wait(lambda: player.message.startswith("strike: expected a row"))
        before = len(samples(device_file))
        wait(lambda: len(samples(device_file)) > before + 4410)


def test_a_process_that_dies_is_said_and_the_next_play_starts_another(device_file):
    with contextlib.closing(Player(small_kit())) as player:
        player.play(some_bars(share=0.5))
        wait(lambda: player.position())
        player._child.kill()
        wait(lambda: player.message)
        assert "\n" not in player.message and player.position() is None
        player.stop()
        player.set_bpm(200)
        device_file.unlink()
        player.play(some_bars(7, share=0.5))
        wait(lambda: len(samples(device_file)) > 44100)
    reference = expected(small_kit(), some_bars(7, share=0.5), 44100, bpm=200)
    reference = reference[np.argmax(reference.any(1)):][:40000]
    np.testing.assert_allclose(samples(device_file)[:40000], reference, atol=1e-7)


def test_it_plays_again_after_close(device_file):
    player = Player(small_kit())
    player.play(some_bars(share=0.5))
    first = player._child
    player.close()
    player.close()
    assert first.poll() == 0 and not player.message and player.position() is None
    with contextlib.closing(player):
        player.play(some_bars(share=0.5))
        wait(lambda: player.position())


@pytest.mark.parametrize("module, reason", [
    ("raise OSError('PortAudio library not found')", "no sound: PortAudio is not installed"),
    ("class PortAudioError(Exception): pass\ndef query_devices(kind): raise PortAudioError('no\\ndevice')",
     "no sound: no output device plays"),
    ("import os\nos._exit(3)", "no sound: its process ended")], ids=["PortAudio", "device", "crash"])
def test_no_sound_is_one_line(module, reason, device_file):
    (device_file.parent / "sounddevice.py").write_text(module)
    with contextlib.closing(Player(small_kit())) as player:
        for act in (player.open, lambda: player.play(some_bars())):
            with pytest.raises(AudioUnavailable, match=reason) as error:
                act()
            assert "\n" not in str(error.value)
        assert player.position() is None


def test_a_process_that_ends_while_it_is_asked_is_noticed(device_file, monkeypatch):
    class LateClear(threading.Event):
        def clear(self):
            self.wait(10)  # until the process has ended, and its end is reported
            super().clear()

    (device_file.parent / "sounddevice.py").write_text("import os\nos._exit(3)")
    monkeypatch.setattr("engine.player.ANSWER", 5)
    monkeypatch.setattr("engine.player.threading.Event", LateClear)
    with contextlib.closing(Player(small_kit())) as player, pytest.raises(AudioUnavailable, match="process ended"):
        player.open()


PARENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.test_player import Player, small_kit, some_bars
player = Player(small_kit())
player.play(some_bars(share=0.5))
print(player._child.pid, flush=True)
time.sleep(60)
"""


def alive(pid):
    try:
        os.kill(pid, 0)
        with contextlib.suppress(OSError):
            return open(f"/proc/{pid}/stat").read().split(")")[1].split()[0] != "Z"
        return True
    except ProcessLookupError:
        return False


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_the_sound_ends_with_a_killed_parent_and_not_by_ctrl_c(device_file, root):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, root], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGINT)
        before = len(samples(device_file))
        wait(lambda: len(samples(device_file)) > before + 4410)
    finally:
        parent.kill()
        parent.communicate()
    wait(lambda: not alive(pid))


def test_the_sound_process_needs_neither_torch_nor_matplotlib(root):
    code = "import sys, engine.sound_process; print({'torch', 'matplotlib', 'scipy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_the_place_at_a_moment_is_between_its_step_and_the_next():
    with contextlib.closing(Player(small_kit(), bpm=120)) as player:
        assert player.position_at(9.9) is None
        player._take("places", [(10.0, (0, 63)), (10.03, (1, 0)), (10.07, None)])
        player._take("places", [(11.0, (0, 5))])
        between = ((10.0, (0, 63.0)), (10.02, (0, 63 + 2 / 3)), (10.04, (1, 0.25)), (11.0 + 1 / 64, (0, 5.5)))
        for moment, place in (*between, (12, (0, 6.0))):
            assert player.position_at(moment) == pytest.approx(place, abs=1e-6)
        assert player.position_at(9.999) is player.position_at(10.08) is None
