"""Export: tempo of a file, bits, tails, stems, kits; and what other programs make of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_window import SilentPlayer
from tiny_map import a_bar, write_tiny_map

from Activation_Matrix_To_Sound import main
from editor.pattern_editor import PatternEditor
from formats.kit import plain_sound
from Midi_To_Activation_Matrix import GROOVES, read_bars, read_with_facts, write_midi
from patterns import latent_map
from session.export import read_pattern, read_with_tempo

HOUSE = GROOVES / "HOUSE1.mid"


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
