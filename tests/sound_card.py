"""A sound card for tests: a PulseAudio daemon of its own with a null sink, whose clock is real.

    with null_sink() as card:
        program = subprocess.Popen([...], env=card.env)  # plays to the sink as on a desktop: ALSA's pulse plugin
        with card.recording() as recording:  # of the sink's monitor
            ...
        samples = recording.samples()  # float32 (n, 2) at 44100 Hz

Everything lives in a temporary folder: the user's own daemon and settings are neither read nor touched.
"""

import contextlib
import ctypes.util
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

SAMPLE_RATE = 44100
ALSA = """pcm.!default { type pulse }
ctl.!default { type pulse }
"""


def missing():
    """What this machine lacks for a null sink, as words for a skip; None where nothing is."""
    for program in ("pulseaudio", "pactl", "parec"):
        if shutil.which(program) is None:
            return f"needs {program}"
    if ctypes.util.find_library("portaudio") is None:
        return "needs PortAudio (libportaudio2)"
    if not any(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        return "needs ALSA's pulse plugin (libasound2-plugins)"
    return None


@contextlib.contextmanager
def null_sink():
    """Run a PulseAudio daemon with one null sink; gives a Card. Raises RuntimeError where it does not start."""
    with tempfile.TemporaryDirectory(prefix="sound_card.") as folder:
        folder = Path(folder)
        (folder / "runtime").mkdir(mode=0o700)
        (folder / "home").mkdir()
        (folder / "home" / ".asoundrc").write_text(ALSA)
        system = Path("/usr/share/alsa/alsa.conf")  # ALSA's own file, then ours, whatever HOME says
        (folder / "asound.conf").write_text((f"<{system}>\n" if system.exists() else "") + ALSA)
        foreign = ("PULSE_", "ALSA_", "XDG_RUNTIME")
        env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        env.update(HOME=str(folder / "home"), XDG_RUNTIME_DIR=str(folder / "runtime"),
                   ALSA_CONFIG_PATH=str(folder / "asound.conf"),
                   PULSE_SERVER=f"unix:{folder / 'socket'}", PULSE_RUNTIME_PATH=str(folder / "runtime"),
                   PULSE_STATE_PATH=str(folder / "state"), PULSE_COOKIE=str(folder / "cookie"))
        with open(folder / "daemon.log", "wb") as log:
            daemon = subprocess.Popen(
                ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm=yes",
                 "--high-priority=yes", "--realtime=yes",
                 "-L", f"module-native-protocol-unix socket={folder / 'socket'} auth-anonymous=1",
                 "-L", f"module-null-sink sink_name=speaker rate={SAMPLE_RATE} channels=2 format=float32le"],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 10
            while subprocess.run(["pactl", "info"], env=env, capture_output=True).returncode:
                if daemon.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"pulseaudio did not start: {(folder / 'daemon.log').read_text()[-500:]}")
                time.sleep(0.05)
            yield Card(env)
        finally:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


class Card:
    """A running null sink: `env` for the programs that should play to it, `recording()` for what they played."""

    def __init__(self, env):
        self.env = env

    @contextlib.contextmanager
    def recording(self):
        """Record the sink's monitor while the block runs; gives a Recording."""
        recorder = subprocess.Popen(
            ["parec", "--device=speaker.monitor", "--format=float32le", f"--rate={SAMPLE_RATE}", "--channels=2",
             "--latency-msec=5", "--raw"], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        recording = Recording(recorder.stdout)
        try:
            recording.wait(0.1)
            yield recording
            time.sleep(0.1)  # what was played last is still on its way
        finally:
            recorder.terminate()
            recorder.wait()
            recording.reader.join()


class Recording:
    """What the monitor heard so far, with the moment of each block on time.monotonic()'s clock.

    `samples()` is float32 (n, 2); `time_of(sample)` when that sample arrived, a few milliseconds after it sounded.
    """

    def __init__(self, pipe):
        self._blocks = []  # (arrival, bytes)
        self.reader = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self.reader.start()

    def _read(self, pipe):
        while data := pipe.read(4096):
            self._blocks.append((time.monotonic(), data))

    def samples(self):
        data = b"".join(data for _, data in list(self._blocks))
        return np.frombuffer(data[:len(data) // 8 * 8], "<f4").reshape(-1, 2)

    def time_of(self, sample):
        first = 0
        for arrival, data in list(self._blocks):
            first += len(data) / 8
            if sample < first:
                return arrival
        raise ValueError(f"sample {sample}: the recording has {first:g}")

    def wait(self, seconds, timeout=10.0):
        """Wait until so many seconds more are recorded."""
        target, deadline = len(self.samples()) + seconds * SAMPLE_RATE, time.monotonic() + timeout
        while len(self.samples()) < target:
            if time.monotonic() > deadline:
                raise RuntimeError("nothing reaches the monitor of the null sink")
            time.sleep(0.01)


# A sound that shows every gap: a sawtooth, whose every sample says where in its period it is.
PERIOD, BAR = 4410, 24 * SAMPLE_RATE  # samples; of a bar at 10 bpm, so that a kick on its first step goes on for ever


def sawtooth():
    """A bar at 10 bpm of a sawtooth from half its peak to its peak: float32 (BAR,)."""
    return np.tile(np.linspace(0.1, 0.2, PERIOD, endpoint=False, dtype=np.float32), BAR // PERIOD)


def find_gaps(samples, apart=0.05):
    """The gaps in a recording (n,) of `sawtooth`, [(sample, seconds of silence, seconds of sound left out)].

    Those within `apart` seconds are one. What is before the first sound and after the last is none.
    """
    loud = np.flatnonzero(samples > 0.25 * samples.max())
    place = PERIOD * (2 * samples[loud] / samples[loud].max() - 1)
    silent = np.diff(loud) - 1
    left_out = (np.diff(place) - 1 - silent + PERIOD / 2) % PERIOD - PERIOD / 2
    gaps = []
    for k in np.flatnonzero((silent > 0) | (np.abs(left_out) > 2)):
        if not gaps or loud[k] - sum(gaps[-1][:2]) > apart * SAMPLE_RATE:
            gaps.append((int(loud[k]), 0, 0))
        begin, silence, lost = gaps[-1]
        gaps[-1] = (begin, silence + int(silent[k]), lost + int(round(left_out[k])))
    return [(begin, silence / SAMPLE_RATE, lost / SAMPLE_RATE) for begin, silence, lost in gaps]


def in_three_tries(test):
    """The test passes where one of three tries does."""

    @functools.wraps(test)
    def tried(*arguments, **options):
        for tries_left in (2, 1, 0):
            try:
                return test(*arguments, **options)
            except AssertionError as error:
                if not tries_left:
                    raise
                print(f"tried again, for {str(error).strip().splitlines()[0]}")

    return tried
