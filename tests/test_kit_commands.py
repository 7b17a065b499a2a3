"""The editor's sounds and mixer: new kits, locks, points of the sound map, one's own files, undo, and the options."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from small_sounds import make_sound_model, save_sound_model, write_machines
from test_window import SilentPlayer
from tiny_map import write_tiny_map

from Activation_Matrix_To_Sound import main
from sounds.kits import (STYLE_CHARACTERS, MadeSound, kit_code_of_character, kit_of_character, kit_of_model,
                         machine_characters, style_character, whole)
from editor.kit_commands import followed_character
from editor.pattern_editor import PatternEditor
from engine.mixer import Mixer
from engine.sequencer import render
from formats.kit import plain_sound
from patterns import latent_map
from session.options import MODEL
from sounds.codes import load_sound_model

KICK, SNARE, CLAP, HHO, HHC, TOM, CYMB, PERCU = range(8)


@pytest.fixture(scope="module")
def sound_model_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    model, sound = make_sound_model(write_machines(folder / "machines"), folder / "cache")
    return save_sound_model(folder / "run", model, sound)


@pytest.fixture(scope="module")
def map_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.pt"
    write_tiny_map(path)
    return latent_map.load_bar_model(path), path


@pytest.fixture
def editor(map_model, sound_model_path, tmp_path):
    kit = tuple(plain_sound(name, np.full(50, 0.1)) for name in "abcdefgh")
    editor = PatternEditor(map_model[0], kit, SilentPlayer(), tmp_path / "saved", seed=3)
    editor.use_sounds(kit, sound_model_path)
    return editor


def wait_until_made(editor, layers=4):
    """Until all sounds of the kit are whole."""
    deadline = time.monotonic() + 30
    while any(isinstance(sound, MadeSound) and (editor.maker.kept.get(sound) is not heard or len(heard.layers) < layers)
              for sound, heard in zip(editor.sounds, editor.kit)):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_new_kit_is_that_of_its_seed_but_for_what_is_locked(editor, sound_model_path):
    editor.lock_sound(SNARE)
    before = editor.sounds
    editor.new_kit()
    assert editor.sounds[SNARE] is before[SNARE] and editor.kit_seed == 1
    wait_until_made(editor)
    model = load_sound_model(sound_model_path)
    for row, made in enumerate(kit_of_model(model, 1)):
        if row != SNARE:
            expected = whole(model, made)
            assert len(expected.layers) == 4 and all(len(layer) >= 2 for layer in expected.layers)
            np.testing.assert_array_equal(editor.kit[row].samples(60, 1), expected.samples(60, 1))
    assert editor.player.kit is editor.kit


def test_undo_and_redo_go_through_kits_sounds_and_mixer(editor):
    states = [editor.state]
    for act in (editor.new_kit, lambda: editor.sound_at(KICK, 0.5, -0.5),
                lambda: editor.set_strip(TOM, level=-6, pan=0.5), lambda: editor.mute(CLAP),
                lambda: editor.solo(HHC), lambda: editor.set_master(-3), editor.new_kit):
        act()
        states.append(editor.state)
    for expected in reversed(states[:-1]):
        editor.undo()
        assert editor.state.same_as(expected) and editor.player.mixer == expected.mixer
    for expected in states[1:]:
        editor.redo()
        assert editor.state.same_as(expected)
    wait_until_made(editor)
    assert editor.mixer.master == -3 and editor.mixer.strips[HHC].solo


def test_a_click_on_the_sound_map_is_heard_and_lies_there(editor):
    editor.sound_at(SNARE, 0.4, -0.2)
    wait_until_made(editor)
    assert editor.player.struck == [SNARE]
    assert np.allclose(editor.sound_point(SNARE), (0.4, -0.2), atol=1e-4)
    first = editor.kit[SNARE]
    editor.sound_at(SNARE, -0.6, 0.7)
    wait_until_made(editor)
    assert not np.array_equal(editor.kit[SNARE].samples(), first.samples())
    assert editor.player.struck == [SNARE, SNARE]


def test_ones_own_file_is_used_as_it_is_or_as_a_point(editor, tmp_path):
    rng = np.random.default_rng(0)
    samples = (0.3 * rng.standard_normal(6000) * np.exp(-np.arange(6000) / 900)).astype(np.float32)
    soundfile.write(tmp_path / "mine.wav", samples, 44100, "FLOAT")
    editor.open_sound_file(CLAP, tmp_path / "mine.wav")
    np.testing.assert_array_equal(editor.kit[CLAP].samples(), samples)
    assert editor.sound_name(CLAP) == "mine" and editor.player.struck == [CLAP] and editor.unsaved
    assert editor.sound_point(CLAP) is not None
    editor.open_sound_file(CLAP, tmp_path / "mine.wav", as_point=True)
    wait_until_made(editor)
    assert len(editor.kit[CLAP].layers) == 4 and editor.sound_name(CLAP) == "mine"
    before = editor.state
    editor.open_sound_file(CLAP, tmp_path / "no.wav")
    assert editor.state is before and editor.message_kind == "warning" and "no.wav" in editor.message


def test_a_drag_is_one_step_of_undo_and_ends_at_its_last_point(editor):
    before = editor.state
    editor.begin_gesture()
    for i in range(6):
        editor.sound_at(TOM, 0.1 * i, 0)
        editor.set_strip(TOM, level=-i)
    editor.end_gesture()
    wait_until_made(editor)
    assert np.allclose(editor.sound_point(TOM), (0.5, 0), atol=1e-4) and editor.mixer.strips[TOM].level == -5
    editor.undo()
    assert editor.state.same_as(before)


def test_without_a_sound_model_everything_else_works(editor):
    editor.use_sounds(editor.sounds, None)
    before = editor.state
    editor.new_kit()
    assert editor.state is before and editor.message_kind == "warning" and "--kit" in editor.message
    editor.mute(KICK)
    assert editor.message_kind == "info" and editor.mixer.strips[KICK].mute


def test_a_kit_of_a_folder_takes_the_rows_that_it_has(editor, tmp_path):
    soundfile.write(tmp_path / "Kick.wav", np.full(300, 0.2), 44100)
    before = editor.sounds
    editor.open_kit(tmp_path)
    assert editor.kit[KICK].name == "Kick" and editor.sounds[1:] == before[1:]


def test_a_file_that_is_opened_again_is_not_held_twice_but_read_anew_when_it_has_changed(editor, tmp_path):
    soundfile.write(tmp_path / "Kick.wav", np.full(300, 0.2), 44100)
    held = []
    for _ in range(2):
        editor.open_sound_file(KICK, tmp_path / "Kick.wav")
        editor.open_kit(tmp_path)
        held += [editor.sounds[KICK]]
    assert held[0] is held[1]
    soundfile.write(tmp_path / "Kick.wav", np.full(200, 0.2), 44100)
    os.utime(tmp_path / "Kick.wav", ns=(1, 1))
    editor.open_kit(tmp_path)
    assert len(editor.kit[KICK].samples()) == 200
    before = editor.state
    editor.open_kit(tmp_path / "none")
    assert editor.state is before and "none" in editor.message


# Without a window

def test_a_kit_may_be_a_folder_and_a_model_at_once(map_model, sound_model_path, tmp_path):
    (tmp_path / "kit").mkdir()
    samples = np.zeros(400, np.float32)
    samples[5] = 0.5
    soundfile.write(tmp_path / "kit" / "Kick.wav", samples, 44100, "FLOAT")
    bar = np.zeros((1, 8, 64), np.uint8)
    bar[0, [KICK, SNARE], ::16] = 100
    np.save(tmp_path / "bar.npy", bar)
    options = ["--pattern", str(tmp_path / "bar.npy"), "--kit", str(tmp_path / "kit"), str(sound_model_path),
               "--kit-seed", "4", "--mix", "Snare.pan=-1", "Kick.level=-6", "master=-3"]
    main([*options, "--wav", str(tmp_path / "a.wav")])
    model = load_sound_model(sound_model_path)
    kit = list(whole(model, made) for made in kit_of_model(model, 4))
    kit[KICK] = plain_sound("Kick", samples)
    mixer = replace(Mixer().with_strip(SNARE, pan=-1.0).with_strip(KICK, level=-6.0), master=-3.0)
    expected = render(bar, kit, 120, mixer=mixer)
    found = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    assert found.shape == expected.shape and np.abs(found - expected).max() < 2 ** -20


def test_one_s_own_sound_may_be_a_point_and_gains_softer_strikes(sound_model_path, tmp_path):
    rng = np.random.default_rng(0)
    samples = (0.3 * rng.standard_normal(6000) * np.exp(-np.arange(6000) / 900)).astype(np.float32)
    soundfile.write(tmp_path / "mine.wav", samples, 44100, "FLOAT")
    bar = np.zeros((1, 8, 64), np.uint8)
    bar[0, CLAP, [0, 32]] = 127, 30
    np.save(tmp_path / "bar.npy", bar)
    alike = {}
    for option in ("--sound", "--sound-like"):
        main(["--pattern", str(tmp_path / "bar.npy"), "--kit", str(sound_model_path), option,
              f"Clap={tmp_path / 'mine.wav'}", "--wav", str(tmp_path / "bar.wav")])
        hard, soft = (soundfile.read(tmp_path / "bar.wav")[0][at:at + 5000, 0] for at in (0, 44100))
        alike[option] = np.corrcoef(hard, soft)[0, 1]
    assert alike["--sound"] > 0.995 > 0.99 > alike["--sound-like"] > 0.3


@pytest.mark.parametrize("mix", ["Kick.volume=3", "level=3", "Kick.level=99", "Kick.mute=1", "Kik.pan=0", "master=x"])
def test_a_mix_that_is_none_is_one_line(mix, capsys):
    with pytest.raises(SystemExit) as end:
        main(["--at", "0", "0", "--wav", "a.wav", "--mix", mix])
    assert end.value.code == 2 and "--mix" in capsys.readouterr().err


# A kit that follows the place on the map


def go(editor, x, y):
    editor.go_to(editor.plane.to_code(x, y), "There")
    editor.frame()


def test_a_kit_that_follows_moves_with_the_place_but_for_locked_rows_and_undo_takes_both_back(editor):
    editor.lock_sound(SNARE)
    own = editor.sounds
    editor.toggle_follow()
    first = editor.sounds
    assert editor.follow and first[SNARE] is own[SNARE] and all(isinstance(first[row], MadeSound) for row in (0, 4, 7))
    go(editor, 2, -2)
    there = editor.sounds
    assert there[KICK] != first[KICK] and there[SNARE] is own[SNARE]
    assert len({sound.kit for row, sound in enumerate(there) if row != SNARE}) == 1  # they belong together
    editor.undo()
    editor.frame()
    assert editor.sounds == first
    editor.redo()
    editor.frame()
    assert editor.sounds == there
    editor.toggle_follow()
    go(editor, -2, 2)
    assert editor.sounds == there


def test_what_was_chosen_by_hand_comes_back_with_undo_while_the_kit_follows(editor):
    editor.toggle_follow()
    editor.sound_at(KICK, 0.5, -1)
    mine = editor.sounds
    go(editor, 2, -2)
    assert editor.sounds[KICK] != mine[KICK]
    editor.undo()
    editor.frame()
    assert editor.sounds == mine


def test_a_drag_over_the_map_changes_the_kit_at_its_end(editor):
    editor.toggle_follow()
    before = editor.sounds
    editor.begin_gesture()
    for x in (0.5, 1, 2):
        go(editor, x, -2)
        assert editor.sounds == before
    editor.end_gesture()
    editor.frame()
    assert editor.sounds != before
    editor.undo()
    assert editor.sounds == before


def test_the_kit_of_a_style_is_that_of_a_place_where_only_it_lies(editor):
    plane = editor.plane
    for style, far in (("jazz", (40, -40)), ("funk", (40, 40))):
        assert followed_character(plane, (0, 0), style) == style_character(style) != (0, 0)
        lies = plane.points[plane.labels == plane.names.index(style)].mean(0)
        assert np.isfinite(followed_character(plane, lies)).all() and np.isfinite(followed_character(plane, far)).all()


def test_kits_of_characters_move_steadily_and_lie_between_those_of_the_machines(sound_model_path):
    model = load_sound_model(sound_model_path)
    kits = np.stack([kit_code_of_character(model, (0.3, length)).numpy() for length in np.linspace(-1, 1, 41)])
    steps = np.abs(np.diff(kits, axis=0)).max(1)
    assert 0 < steps.sum() and steps.max() < 0.3 * steps.sum()
    known = model.exemplars.kits.numpy()
    assert (kits >= known.min(0) - 1e-5).all() and (kits <= known.max(0) + 1e-5).all()
    lengths = machine_characters(model)[:, 1].numpy()
    ends = [np.abs(known - kit).max(1).argmin() for kit in kits[[0, -1]]]
    assert lengths[ends[0]] < lengths[ends[1]]
    short, long = (kit_of_character(model, (0, length), 3) for length in (-1, 1))
    assert short != long and short == kit_of_character(model, (0, -1), 3)


def test_each_style_of_the_shipped_map_has_a_character():
    names = latent_map.load_bar_model(MODEL).map["label_names"]
    assert {name for name in names if style_character(name) == (0, 0)} == set()
    assert sum(len(styles.split()) for styles in STYLE_CHARACTERS) == len(names)


def test_a_kit_follows_without_a_window(map_model, sound_model_path, tmp_path, capsys):
    def sound(*more):
        main(["--at", *more, "--model", str(map_model[1]), "--kit", str(sound_model_path), "--follow", "--wav",
              str(tmp_path / "a.wav"), "--seed", "1"])
        return (tmp_path / "a.wav").read_bytes()
    assert sound("2", "-2") == sound("2", "-2") and sound("2", "-2", "--style", "jazz") != sound("2", "-2")


def test_without_a_sound_model_no_kit_follows(map_model, tmp_path):
    kit = tuple(plain_sound(name, np.full(50, 0.1)) for name in "abcdefgh")
    editor = PatternEditor(map_model[0], kit, SilentPlayer(), tmp_path, seed=3)
    editor.toggle_follow()
    assert not editor.follow and editor.message_kind == "warning" and "sound model" in editor.message
