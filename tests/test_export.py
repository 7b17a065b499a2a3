"""Export: tempo of a file, bits, tails, stems, kits; and what other programs make of them."""

import itertools
import os
import re
import shutil
import subprocess
import tarfile
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from test_window import SilentPlayer
from tiny_map import a_bar, write_tiny_map

from Activation_Matrix_To_Sound import main
from editor.pattern_editor import PatternEditor
from engine.mixer import Mixer
from engine.sequencer import render, render_stems
from engine.voices import AMPLITUDE
from formats.activation_matrix import CLOSED_HAT, INSTRUMENT_TO_PITCH, INSTRUMENTS, OPEN_HAT, STEPS_PER_BAR
from formats.audio import dithered, save_audio
from formats.hydrogen import MOST_LAYERS, NAMESPACE, velocity_bands
from formats.kit import Sound, load_kit, plain_sound
from Midi_To_Activation_Matrix import GROOVES, read_bars, read_with_facts, write_midi
from patterns import latent_map
from session.export import read_pattern, read_with_tempo, save_everything, write_all

HOUSE = GROOVES / "HOUSE1.mid"
RATE, LAYERS = 44100, (40, 90, 127)
BEATS = [(row, velocity) for row in range(8) for velocity in (20, 64, 110, 64)]  # one hit a beat, eight bars


def tone(row, layer, alternate):
    """A sound whose pitch says which it is: float32 (n,)."""
    seconds = np.arange(round((0.45 if row == OPEN_HAT else 0.2) * RATE)) / RATE
    fade = np.minimum(1, (seconds[-1] - seconds) / 0.02)
    return (0.3 * np.sin(2 * np.pi * (300 + 100 * (6 * row + 2 * layer + alternate)) * seconds) * fade).astype("f4")


TONES = tuple(Sound(name, tuple(tuple(tone(row, layer, i) for i in range(2)) for layer in range(3)), LAYERS)
              for row, name in enumerate(INSTRUMENTS))


def probe_bars():
    """BEATS, and in a ninth bar an open hi-hat that the closed one cuts after an eighth."""
    bars = np.zeros((9, 8, STEPS_PER_BAR), np.uint8)
    for beat, (row, velocity) in enumerate(BEATS):
        bars[beat // 4, row, beat % 4 * 16] = velocity
    bars[8, OPEN_HAT, 0] = bars[8, CLOSED_HAT, 8] = 100
    return bars


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.pt"
    write_tiny_map(path)
    return path


@pytest.fixture
def editor(model_path, tmp_path):
    kit = tuple(plain_sound(name, np.full(50, 0.1)) for name in "abcdefgh")
    return PatternEditor(latent_map.load_bar_model(model_path), kit, SilentPlayer(), tmp_path / "saved", seed=3)


# Tempo belongs to a file

@given(st.floats(10, 1000))
@settings(max_examples=100, deadline=None)
def test_a_tempo_read_is_written_again_to_the_same_bytes(tmp_path_factory, bpm):
    folder = tmp_path_factory.mktemp("tempo")
    write_midi(a_bar(0), folder / "a.mid", bpm)
    _, found = read_with_tempo(folder / "a.mid")
    write_midi(a_bar(0), folder / "b.mid", found)
    assert found == pytest.approx(bpm, rel=2e-5)
    assert (folder / "a.mid").read_bytes() == (folder / "b.mid").read_bytes()


def test_the_tempo_of_a_file_is_read_with_its_bars(tmp_path):
    bars, bpm = read_with_tempo(HOUSE)
    assert bpm == 122 and np.array_equal(bars, read_bars(HOUSE)) and len(read_with_tempo(HOUSE, 1)[0]) == 1
    np.save(tmp_path / "a.npy", bars)
    found, bpm = read_with_tempo(tmp_path / "a.npy")
    assert bpm is None and np.array_equal(found, bars) and np.array_equal(read_pattern(tmp_path / "a.npy"), bars)
    write_midi(bars, tmp_path / "a.mid", 97)
    data = (tmp_path / "a.mid").read_bytes()
    at = data.index(b"\xff\x51\x03")
    (tmp_path / "a.mid").write_bytes(data[:at] + b"\xff\x01\x03" + data[at + 3:])  # a text in its place
    assert read_with_tempo(tmp_path / "a.mid")[1] is None


@pytest.mark.parametrize("source, options, bpm", [
    (["--pattern", HOUSE], [], 122), (["--pattern", HOUSE], ["--bpm", "97"], 97), (["--like", HOUSE], [], 122),
    (["--morph", HOUSE, "fast.mid"], ["--bars", "2"], 122), (["--morph", "fast.mid", HOUSE], ["--bars", "2"], 400),
    (["--song", "B", "A", "--slot", "A=fast.mid", f"B={HOUSE}"], [], 122),
    (["--pattern", "plain.npy"], [], 120), (["--at", "0", "0"], [], 120), (["--pattern", "fast.mid"], [], 400)])
def test_without_a_window_bars_are_written_at_their_tempo_unless_another_is_given(
        model_path, tmp_path, monkeypatch, source, options, bpm):
    monkeypatch.chdir(tmp_path)
    write_midi(a_bar(1), "fast.mid", 400)
    np.save("plain.npy", a_bar(1)[None])
    main([*map(str, source), *options, "--midi", "out.mid", "--model", str(model_path)])
    assert read_with_facts(tmp_path / "out.mid")[1]["bpm"] == pytest.approx(bpm, rel=1e-5)


def test_the_window_takes_the_tempo_of_a_file_in_one_step_of_undo(editor, tmp_path):
    before = editor.bars.copy()
    editor.set_tempo(90)
    editor.open_file(HOUSE)
    assert editor.bpm == editor.player.bpm == 122
    editor.undo()
    assert editor.bpm == editor.player.bpm == 90 and np.array_equal(editor.bars, before)
    editor.redo()
    assert editor.bpm == 122
    for bpm, here in ((300, 240), (20, 40)):
        write_midi(a_bar(1), tmp_path / "a.mid", bpm)
        editor.open_file(tmp_path / "a.mid")
        assert editor.bpm == here and f"{here} bpm here, not its {bpm}" in editor.message
    np.save(tmp_path / "a.npy", a_bar(2)[None])
    editor.open_file(tmp_path / "a.npy")
    assert editor.bpm == 40


# Sound: bits, tails, stems

@pytest.mark.parametrize("bits, subtype, error", [(16, "PCM_16", 2e-4), (24, "PCM_24", 2e-7), (32, "FLOAT", 0)])
def test_a_wav_has_the_bits_asked_for_looped_or_with_its_tail(tmp_path, bits, subtype, error):
    bars = probe_bars()[6:]
    for tail in (False, True):
        write_all(bars, 133, TONES, bits=bits, tail=tail, wav=tmp_path / "a.wav")
        samples, rate = soundfile.read(tmp_path / "a.wav")
        expected = render(bars, TONES, 133, loop=not tail)
        assert rate == RATE and soundfile.info(tmp_path / "a.wav").subtype == subtype
        assert samples.shape == expected.shape and np.abs(samples - expected).max() <= error
    write_all(bars, 133, TONES, tail=True, wav=tmp_path / "b.wav", bits=bits)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_the_dither_of_16_bits_keeps_what_rounding_would_lose(tmp_path):
    sine = 0.4 / 32768 * np.sin(0.1 * np.arange(50_000, dtype=np.float32))
    save_audio(tmp_path / "a.wav", dithered(sine), RATE, "PCM_16")
    found = soundfile.read(tmp_path / "a.wav")[0]
    assert np.dot(found, sine) / np.dot(sine, sine) == pytest.approx(1, abs=0.05)
    assert np.abs(found).max() <= 2 / 32768 and np.abs(dithered(np.ones(1000, np.float32))).max() <= 1


def test_stems_are_a_row_each_and_together_the_sound_before_its_limiter(tmp_path):
    bars = probe_bars()
    bars[:, 2] = 0
    mixer = Mixer(master=6).with_strip(0, pan=-0.5).with_strip(7, mute=True)
    write_all(bars, 120, TONES, mixer=mixer, stems=tmp_path / "stems", tail=True)
    found = {path.stem: soundfile.read(path, dtype="float32")[0] for path in (tmp_path / "stems").iterdir()}
    assert sorted(found) == sorted(set(INSTRUMENTS) - {INSTRUMENTS[2], INSTRUMENTS[7]})
    stems = render_stems(bars, TONES, 120, mixer=mixer, loop=False)
    for name, stem in found.items():
        assert soundfile.info(tmp_path / "stems" / f"{name}.wav").subtype == "FLOAT"
        np.testing.assert_array_equal(stem, stems[INSTRUMENTS.index(name)])
    mixed = render(bars, TONES, 120, mixer=mixer, loop=False)
    assert np.abs(sum(found.values())[:len(mixed)] - mixed[:len(stems[0])]).max() < 1e-5  # nothing to limit here


# Kits

def test_a_kit_is_written_as_a_folder_that_gives_it_back(tmp_path):
    write_all(probe_bars(), 120, [plain_sound("my own", tone(0, 0, 0)), *TONES[1:]], kit=tmp_path / "kit")
    kit = load_kit(tmp_path / "kit")
    for sound, expected in zip(kit[1:], TONES[1:]):
        assert (sound.name, sound.velocities) == (expected.name, expected.velocities)
        for found, samples in zip(itertools.chain(*sound.layers), itertools.chain(*expected.layers)):
            np.testing.assert_allclose(found, samples, atol=2e-3)
    np.testing.assert_allclose(kit[0].samples(), tone(0, 0, 0), atol=1e-6)


def test_sfz_has_each_velocity_once_the_levels_of_the_mixer_and_the_choke(tmp_path):
    mixer = Mixer(master=-2).with_strip(0, level=-3, pan=0.25, tune=-1.3)
    write_all(probe_bars(), 120, TONES, mixer=mixer, sfz=tmp_path / "my kit")
    text = (tmp_path / "my kit" / "my kit.sfz").read_text()
    curve = {int(key): float(value) for key, value in re.findall(r"amp_velcurve_(\d+)=([\d.]+)", text)}
    assert np.abs(np.interp(range(1, 128), list(curve), list(curve.values())) - AMPLITUDE[1:]).max() < 1e-3
    groups = [dict(re.findall(r"(\w+)=(\S+)", group.split("<region>")[0])) for group in text.split("<group>")[1:]]
    assert [int(group["key"]) for group in groups] == list(INSTRUMENT_TO_PITCH)
    assert [groups[0][key] for key in ("volume", "pan", "transpose", "tune")] == ["-5.00", "25", "-1", "-30"]
    assert groups[OPEN_HAT]["off_by"] == groups[CLOSED_HAT]["group"]
    assert sum("off_by" in group for group in groups) == sum("group" in group for group in groups) == 1
    for group in text.split("<group>")[1:]:
        regions = re.findall(r"lovel=(\d+) hivel=(\d+) seq_length=2 seq_position=(\d) sample=(\S+)", group)
        assert sorted(velocity for low, high, place, _ in regions for velocity in range(int(low), int(high) + 1)
                      ) == sorted(2 * list(range(1, 128))) and [place for *_, place, _ in regions] == ["1", "2"] * 3
        assert all((tmp_path / "my kit" / name).is_file() for *_, name in regions)


@given(st.lists(st.integers(1, 126), max_size=20, unique=True), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_hydrogen_plays_each_velocity_as_loud_as_we_do(velocities, alternates):
    sound = Sound("Kick", ((np.ones(3),) * alternates,) * (len(velocities) + 1), (*sorted(velocities), 127))
    bands = velocity_bands(sound, AMPLITUDE)
    assert [v for low, high, *_ in bands for v in range(low, high + 1)] == list(range(1, 128))
    assert sum(len(names) for *_, names in bands) <= MOST_LAYERS
    if len(velocities) < 4 and alternates < 3:
        for low, high, gain, _ in bands:
            played, ours = gain * np.arange(low, high + 1) / 127, AMPLITUDE[low:high + 1]
            assert np.abs(20 * np.log10(played / ours))[max(0, 12 - low):].max(initial=0) < 1.5  # dB


def test_a_hydrogen_kit_is_a_folder_or_one_file(tmp_path):
    mixer = Mixer().with_strip(1, pan=1, tune=2.5).with_strip(6, mute=True)
    write_all(probe_bars(), 120, TONES, mixer=mixer, hydrogen=tmp_path / "kit")
    root = ElementTree.parse(tmp_path / "kit" / "drumkit.xml").getroot()
    field = f"{{{NAMESPACE}}}"
    instruments = list(root.iter(f"{field}instrument"))
    assert root.findtext(f"{field}name") == "kit"
    assert [int(each.findtext(f"{field}midiOutNote")) for each in instruments] == list(INSTRUMENT_TO_PITCH)
    assert [each.findtext(f"{field}muteGroup") for each in instruments] == ["-1"] * 3 + ["42"] * 2 + ["-1"] * 3
    assert [each.findtext(f"{field}isMuted") for each in instruments] == ["false"] * 6 + ["true", "false"]
    assert [float(instruments[1].findtext(field + side)) for side in ("pan_L", "pan_R")] == [0, 1]
    assert {layer.findtext(f"{field}pitch") for layer in instruments[1].iter(f"{field}layer")} == {"2.5"}
    write_all(probe_bars(), 120, TONES, mixer=mixer, hydrogen=tmp_path / "other.h2drumkit")
    with tarfile.open(tmp_path / "other.h2drumkit") as archive:
        names = {name.removeprefix("other/") for name in archive.getnames()} - {"other"}
    assert names == {path.name for path in (tmp_path / "kit").iterdir()}


def test_what_is_asked_for_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    outputs = {"midi": tmp_path / "a.mid", "kit": tmp_path / "kit", "wav": tmp_path / "a.wav"}
    for wrong in ({"sfz": tmp_path / "full"}, {"stems": tmp_path / "kit"}):
        with pytest.raises((OSError, ValueError), match="full|kit"):
            write_all(probe_bars(), 120, TONES, **outputs, **wrong)
        assert [path.name for path in tmp_path.rglob("*")] == ["full", "precious"]
    (tmp_path / "kit").mkdir()
    assert len(write_all(probe_bars(), 120, TONES, **outputs)) == 3 and len(load_kit(tmp_path / "kit")) == 8


def test_the_command_line_writes_stems_and_kits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = main(["--pattern", str(HOUSE), "--bars", "1", "--stems", "stems", "--tail", "--save-kit", "kit", "--sfz",
                   "sfz", "--hydrogen", "kit.h2drumkit", "--wav", "a.wav", "--bits", "32", "--mix", "Kick.level=-6"])
    assert len(result["written"]) == 5 and soundfile.info("a.wav").subtype == "FLOAT"
    rows = [name for name, row in zip(INSTRUMENTS, result["bars"][0]) if row.any()]
    assert sorted(path.stem for path in (tmp_path / "stems").iterdir()) == sorted(rows)
    assert len(soundfile.read("stems/Kick.wav")[0]) == len(soundfile.read("stems/Clap.wav")[0]) > 240 / 122 * RATE
    assert "volume=-6.00" in (tmp_path / "sfz" / "sfz.sfz").read_text() and len(load_kit(tmp_path / "kit")) == 8


def test_everything_is_written_into_one_folder(tmp_path):
    path = save_everything(tmp_path / "it", probe_bars(), 97, TONES)
    assert path == tmp_path / "it" and np.array_equal(np.load(path / "it.npy"), probe_bars())
    assert read_with_tempo(path / "it.mid")[1] == 97 and len(list((path / "stems").iterdir())) == 8
    assert {entry.name for entry in path.iterdir()} == {
        "kit", "stems", "it_sfz", *(f"it.{kind}" for kind in ("npy", "mid", "wav", "png", "h2drumkit"))}
    with pytest.raises(OSError, match="it: expected a new or an empty folder"):
        save_everything(path, probe_bars(), 97, TONES)


# What other programs make of it

def heard(path):
    """What is in a recording of probe_bars, at 120 bpm: of each beat (code of the tone, level in dB over what its
    velocity gives), and by how much the open hi-hat is softer once the closed one is struck, in dB."""
    samples, rate = soundfile.read(path, always_2d=True)
    samples, found = samples.mean(axis=1), []
    for beat, (_, velocity) in enumerate(BEATS):
        at = beat * rate // 2
        assert np.abs(samples[at:at + rate // 50]).max() > 3 * np.abs(samples[at - rate // 50:at]).max(initial=0)
        part = samples[at + rate // 100:at + rate // 10]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 16))
        code = (spectrum.argmax() * rate / (1 << 16) - 300) / 100
        assert abs(code - round(code)) < 0.1
        found.append((round(code), 20 * np.log10(np.sqrt(np.mean(part ** 2)) / AMPLITUDE[velocity])))
    rings = [np.abs(np.fft.rfft(samples[at:at + rate // 10] * np.hanning(rate // 10), rate))[2500:2560].max()
             for at in (round(16.1 * rate), round(16.3 * rate))]  # 2.5 kHz is the open one's
    return found, 20 * np.log10(rings[0] / rings[1])


def check_heard(path, tolerance):
    """Are the right samples at the right times in a recording, at levels that differ by at most tolerance dB?"""
    found, choked = heard(path)
    for (row, velocity), (code, _) in zip(BEATS, found):
        assert code // 2 == 3 * row + np.searchsorted(LAYERS, velocity)
    levels = {wanted: np.median([level for (_, velocity), (_, level) in zip(BEATS, found) if velocity == wanted])
              for wanted in (20, 64, 110)}
    print(path.name, {velocity: round(float(level - levels[110]), 2) for velocity, level in levels.items()},
          f"dB off by velocity; the open hi-hat is cut by {choked:.0f} dB")
    assert max(levels.values()) - min(levels.values()) < tolerance and choked > 30
    return found


def quietly(folder, *command):
    """Run a program without screen, sound card or a home of the user's."""
    environment = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "QT_QPA_PLATFORM": "offscreen",
                   "JACK_NO_START_SERVER": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=folder)


def test_our_own_sound_is_what_the_check_expects(tmp_path):
    write_all(probe_bars(), 120, TONES, wav=tmp_path / "a.wav", tail=True)
    check_heard(tmp_path / "a.wav", 0.1)


def song_of_hydrogen(kit, path):
    """Write probe_bars as a song of Hydrogen's with the instruments of a kit's drumkit.xml."""
    def add(parent, tag=None, **fields):
        for name, value in fields.items():
            ElementTree.SubElement(parent, name).text = str(value)
        return ElementTree.SubElement(parent, tag) if tag else parent

    drumkit = ElementTree.fromstring((kit / "drumkit.xml").read_text().replace(f' xmlns="{NAMESPACE}"', ""))
    song = ElementTree.Element("song")
    add(song, version="1.2.0", bpm=120, volume=1, name="probe", author="", notes="", mode="song", humanize_time=0,
        humanize_velocity=0, swing_factor=0, pan_law_type="RATIO_STRAIGHT_POLYGONAL")
    song.append(drumkit.find("componentList"))
    for instrument in drumkit.iter("instrument"):
        add(instrument, drumkitPath=kit, drumkit=kit.name)
        for name in instrument.iter("filename"):
            name.text = str(kit / name.text)
    song.append(drumkit.find("instrumentList"))
    patterns = add(song, "patternList")
    for number, bar in enumerate(probe_bars()):
        notes = add(add(add(patterns, "pattern"), name=number, size=192, denominator=4), "noteList")
        for row, step in np.argwhere(bar).tolist():
            add(add(notes, "note"), position=3 * step, leadlag=0, velocity=bar[row, step] / 127, pan=0, pitch=0,
                probability=1, key="C0", length=-1, instrument=row, note_off="false")
    add(song, "virtualPatternList")
    sequence = add(song, "patternSequence")
    for number in range(9):
        add(add(sequence, "group"), patternID=number)
    ElementTree.ElementTree(song).write(path, "UTF-8", xml_declaration=True)


@pytest.mark.skipif(not shutil.which("h2cli"), reason="needs Hydrogen: apt-get install hydrogen")
def test_hydrogen_opens_the_kit_and_sounds_it(tmp_path):
    write_all(probe_bars(), 120, TONES, hydrogen=tmp_path / "kit.h2drumkit")
    write_all(probe_bars(), 120, TONES, hydrogen=tmp_path / "kit")
    for kit in (tmp_path / "kit.h2drumkit", tmp_path / "kit"):
        assert f"[{kit}] is valid" in quietly(tmp_path, "h2cli", "-d", "portaudio", "-c", str(kit)).stdout
    song_of_hydrogen(tmp_path / "kit", tmp_path / "probe.h2song")
    quietly(tmp_path, "h2cli", "-d", "portaudio", "-s", "probe.h2song", "-o", "hydrogen.wav", "-r", "44100", "-b", "32")
    found = check_heard(tmp_path / "hydrogen.wav", 1.0)
    assert all(found[4 * row + 1][0] != found[4 * row + 3][0] for row in range(8))  # alternates of a layer in turn


@pytest.mark.skipif(not shutil.which("mscore3"), reason="needs a player of SFZ: apt-get install musescore3")
def test_a_player_of_sfz_opens_the_kit_and_sounds_our_midi_by_it(tmp_path):
    """MuseScore 3 and its Zerberus, which has the square law of SFZ and no curve of one's own."""
    write_all(probe_bars(), 120, TONES, midi=tmp_path / "probe.mid",
              sfz=tmp_path / "Documents" / "MuseScore3" / "SoundFonts" / "kit")
    quietly(tmp_path, "mscore3", "-o", "probe.mscx", "probe.mid")
    score = (tmp_path / "probe.mscx").read_text().replace("<synti>Fluid</synti>", "<synti>Zerberus</synti>")
    synthesizer = ('<Synthesizer><master><val id="0">NoEffect</val><val id="1">NoEffect</val></master><Zerberus>'
                   '<val id="0">kit.sfz</val></Zerberus></Synthesizer>')
    (tmp_path / "probe.mscx").write_text(score.replace("<Division>", f"{synthesizer}<Division>"))
    quietly(tmp_path, "mscore3", "-o", "zerberus.wav", "probe.mscx")
    found = check_heard(tmp_path / "zerberus.wav", 8.0)
    assert all(found[4 * row + 1][0] != found[4 * row + 3][0] for row in range(8))
    square = [level + 20 * np.log10(AMPLITUDE[velocity] / (velocity / 127) ** 2)
              for (_, velocity), (_, level) in zip(BEATS, found)]
    assert np.ptp(square) < 0.6  # dB


@pytest.mark.skipif(not shutil.which("sox"), reason="needs SoX: apt-get install sox")
@pytest.mark.parametrize("bits", [16, 24, 32])
def test_sox_reads_the_sound_as_it_is(tmp_path, bits):
    write_all(probe_bars(), 120, TONES, wav=tmp_path / "a.wav", bits=bits)
    raw = subprocess.run(["sox", tmp_path / "a.wav", "-t", "f32", "-"], capture_output=True, check=True).stdout
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == RATE and np.abs(np.frombuffer(raw, "<f4").reshape(-1, 2) - samples).max() < 1e-6
