"""Sessions as text: exact, strict, and carried by MIDI and WAV files."""

import json
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from test_window import SilentPlayer
from tiny_map import a_bar, write_tiny_map

from Activation_Matrix_To_Sound import main
from editor.pattern_editor import PatternEditor
from engine.mixer import Mixer, Strip
from formats import audio, midi_file
from formats.kit import load_kit, plain_sound
from patterns import latent_map
from patterns.feel import Feel
from patterns.noise import Surface
from patterns.sampling import Constraints
from session.folder import Autosave, claim
from session.session_file import NOT_KEPT, from_text, read_session, state_kind, to_text
from session.state import Part, Pattern, State
from sounds.kits import MadeSound, file_sound

HITS = [(0, 36, 100), (480, 38, 90)]


# The tags of MIDI and WAV files


@settings(max_examples=30, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=300), samples=st.integers(0, 5))
def test_a_tag_comes_back_and_the_file_is_what_it_was(tmp_path_factory, text, samples):
    folder = tmp_path_factory.mktemp("tags")
    midi, wav = folder / "a.mid", folder / "a.wav"
    midi.write_bytes(midi_file.to_bytes(HITS, 1920, 15, text=text))
    plain = folder / "b.mid"
    plain.write_bytes(midi_file.to_bytes(HITS, 1920, 15))
    assert midi_file.read_text_tag(midi) == text and midi_file.read_text_tag(plain) is None
    for one, other in zip(midi_file.read_parts(midi)[0], midi_file.read_parts(plain)[0]):
        assert one[:2] == other[:2] and np.array_equal(one[2], other[2])
    soundfile.write(wav, np.linspace(-0.5, 0.5, samples).astype(np.float32), 8000, "PCM_U8")  # of odd length too
    assert audio.read_tag(wav) is None
    before = soundfile.read(wav)[0]
    audio.write_tag(wav, text)
    assert audio.read_tag(wav) == text and np.array_equal(soundfile.read(wav)[0], before)
    assert int.from_bytes(wav.read_bytes()[4:8], "little") == wav.stat().st_size - 8 and wav.stat().st_size % 2 == 0


def test_a_midi_file_whose_notes_were_changed_is_opened_as_what_it_is_now(tmp_path):
    data = midi_file.to_bytes(HITS, 1920, 15, text="x")
    for name, content in (("a", data.replace(bytes([0x99, 38, 90]), bytes([0x99, 38, 91]))), ("b", data)):
        (tmp_path / f"{name}.mid").write_bytes(content)
    assert midi_file.read_text_tag(tmp_path / "a.mid") is None and midi_file.read_text_tag(tmp_path / "b.mid") == "x"


def test_text_of_other_programs_is_no_tag(tmp_path):
    data = midi_file.to_bytes(HITS, 1920, 15, text="x").replace(midi_file.TAG, b"somebody's   ")
    (tmp_path / "a.mid").write_bytes(data)
    assert midi_file.read_text_tag(tmp_path / "a.mid") is None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_broken_tag_raises_nothing_but_valueerror(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("broken")
    wav, midi = folder / "a.wav", folder / "a.mid"
    soundfile.write(wav, np.zeros(3), 8000, "PCM_16")
    audio.write_tag(wav, "some text of a session, with é")
    midi.write_bytes(midi_file.to_bytes(HITS, 1920, 15, text="some text, with é"))
    for path, read in ((wav, audio.read_tag), (midi, midi_file.read_text_tag)):
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[:data.draw(st.integers(0, len(content)))])
        try:
            assert isinstance(read(path), str | None)
        except ValueError as error:
            assert "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_file_with_a_broken_session_raises_nothing_but_valueerror(model, rich, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("broken")
    path = folder / data.draw(st.sampled_from(["a.mid", "a.wav", "a.json"]))
    if path.suffix == ".mid":
        path.write_bytes(midi_file.to_bytes(HITS, 1920, 15, text=rich()))
    elif path.suffix == ".wav":
        soundfile.write(path, np.zeros(3), 8000, "PCM_16")
        audio.write_tag(path, rich())
    else:
        path.write_text(rich())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[:data.draw(st.integers(0, 2 * len(content)))])
    try:
        read_session(path, model)
    except ValueError as error:
        assert "\n" not in str(error) and str(error).startswith(str(path))


def test_a_tag_goes_into_a_wav_file_alone(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no wav file at all")
    for act in (lambda path: audio.write_tag(path, "x"), audio.read_tag):
        with pytest.raises(ValueError, match="a.wav: expected a WAV file"):
            act(tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == b"no wav file at all"


# The text


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.pt"
    write_tiny_map(path)
    return latent_map.load_bar_model(path)


@pytest.fixture(scope="module")
def shipped(model):
    """The shipped kit as a session gives it: the same objects each time."""
    first = State(codes=np.zeros((1, 2)), bars=a_bar(0)[None], constraints=Constraints(), surface=Surface(),
                  sounds=load_kit())
    return from_text(to_text(first, model), "first", model)[0].sounds


@pytest.fixture(scope="module")
def editors(model, shipped, tmp_path_factory):
    """Two editors, for the examples of a property: `start_anew` makes them as new."""
    made = [PatternEditor(model, shipped, SilentPlayer(), tmp_path_factory.mktemp("saved"), seed=3) for _ in range(2)]
    for editor in made:
        editor.update_kit, editor.first = lambda: None, editor.state  # no sound of a model is made here
    return made


def start_anew(editor, state=None):
    editor.state = state or editor.first
    editor.past, editor.future, editor.random_count = [], [], 0
    return editor


@pytest.fixture(scope="module")
def sound_model_path(tmp_path_factory):
    """What a session knows of a sound model is its file's name and digest."""
    path = tmp_path_factory.mktemp("sounds") / "sounds.pt"
    path.write_bytes(b"a sound model")
    return path


COMMANDS = {
    "random": lambda editor, n: editor.random(),
    "point": lambda editor, n: editor.go_to(editor.plane.to_code(n / 50, -n / 30), "A point"),
    "toggle": lambda editor, n: editor.toggle(n % 8, n % 64),
    "edit": lambda editor, n: editor.set_bars(np.stack([a_bar(n + i) for i in range(len(editor.bars))]), edited=True),
    "variation": lambda editor, n: editor.next_variation(),
    "anew": lambda editor, n: editor.play_anew(),
    "humanise": lambda editor, n: editor.humanise(),
    "lock": lambda editor, n: editor.lock(n % 8),
    "style": lambda editor, n: editor.set_style(("funk", "jazz", None)[n % 3]),
    "density": lambda editor, n: editor.set_density(n % 60 if n % 3 else None),
    "row": lambda editor, n: editor.change_row(n % 8, 1 if n % 2 else None),
    "temperature": lambda editor, n: editor.set_temperature(n / 60),
    "feel": lambda editor, n: editor.set_feel(tight=n, swing=50 + n / 4, push={n % 8: n / 7}),
    "tempo": lambda editor, n: editor.set_tempo(60 + n / 3),
    "strip": lambda editor, n: editor.set_strip(n % 8, level=-n / 10, pan=n / 100, decay=1 - n / 200),
    "solo": lambda editor, n: editor.solo(n % 8),
    "lock sound": lambda editor, n: editor.lock_sound(n % 8),
    "path": lambda editor, n: editor.path(),
    "bar": lambda editor, n: editor.choose_bar(n % len(editor.bars)),
    "morph": lambda editor, n: editor.begin_or_end_morph(),
    "morph to": lambda editor, n: editor.morph_to(n / 99),
    "frame": lambda editor, n: editor.frame(),
    "leave": lambda editor, n: editor.leave(),
    "undo": lambda editor, n: editor.undo(),
    "slot": lambda editor, n: keep_in_slot(editor, n % 8),
    "song": lambda editor, n: set_song(editor, n),
    "sound": lambda editor, n: set_sound(editor, n),
}
steps = st.lists(st.tuples(st.sampled_from(sorted(COMMANDS)), st.integers(0, 99)), max_size=12)


def keep_in_slot(editor, slot):
    if slot != editor.slot:
        slots = list(editor.slots)
        slots[editor.slot] = editor.state.pattern
        editor.state = replace(editor.state, slots=tuple(slots), slot=slot)


def set_song(editor, n):
    other = n % 8 if editor.state.pattern_of(n % 8) else editor.slot
    song = Part(other, 1 + n % 5, n % 2 == 0, n % 3), Part(editor.slot)
    editor.state = replace(editor.state, song=song, evolve=n % 9,
                           fill_every=n % 3 * 4, metronome=n % 2 == 1, take_over=("now", "beat", "bar")[n % 3],
                           follow=n % 2 == 0, kit_seed=n)


def set_sound(editor, n):
    """As a model's, without making it."""
    made = MadeSound(n % 8, (0.1, float(np.float32(n / 7))), n, tuple(np.arange(6) / 7), None, n if n % 2 else None)
    editor.state = replace(editor.state, sounds=(*editor.sounds[:n % 8], made, *editor.sounds[n % 8 + 1:]))


def next_bars(editor):
    """The bars of the present pattern, and after each of the commands that draw by what is hidden in the state."""
    seen = [editor.shown_bars]
    for act in (editor.frame, editor.next_variation, editor.play_anew, editor.humanise,
                lambda: editor.go_to(editor.plane.to_code(0.1, 0.2), "There"), lambda: editor.set_density(20),
                editor.frame, lambda: editor.morph_to(0.4), editor.frame):
        act()
        seen.append(editor.shown_bars)
    return [bars.tobytes() for bars in seen]


def random_session(editor, commands):
    for name, n in commands:
        COMMANDS[name](editor, n)
    return editor.state


@settings(max_examples=15, deadline=None)
@given(commands=steps)
def test_any_session_is_read_back_the_same_and_goes_on_the_same(editors, model, sound_model_path, commands):
    editor, other = map(start_anew, editors)
    before = random_session(editor, commands)
    text = to_text(before, model, sound_model_path)
    state, notes = from_text(text, "mine.json", model, sound_model_path)
    assert notes == [] and text.isascii() and to_text(state, model, sound_model_path) == text
    assert replace(state, slots=before.slots).same_as(before)
    assert next_bars(start_anew(other, state)) == next_bars(editor)


def test_the_sounds_of_files_are_those_of_the_files(shipped):
    for read, loaded in zip(shipped, load_kit()):
        assert (read.name, read.velocities, read.origin) == (loaded.name, loaded.velocities, loaded.origin)
        for one, other in zip(read.layers, loaded.layers):
            assert all(map(np.array_equal, one, other))


def test_all_of_a_state_is_kept_but_what_is_heard_for_a_moment(editors, model, shipped):
    state = start_anew(editors[0]).state
    entries = state_kind([]).write(state)
    assert set(entries) == {field.name for field in fields(State)} - NOT_KEPT
    assert set(state_kind([]).write(replace(state, slots=(state.pattern,) * 8))["slots"][0]) == {
        field.name for field in fields(Pattern)}
    for value, plain, left_out in ((state.constraints, entries["constraints"], {"locked", "locked_rows"}),
                                   (state.surface, entries["surface"], set()), (Feel(), entries["feel"], set()),
                                   (Mixer(), entries["mixer"], set()), (Strip(), entries["mixer"]["strips"][0], set())):
        assert set(plain) == {field.name for field in fields(value)} - left_out


# Files from anywhere


@pytest.fixture(scope="module")
def rich(editors, model, sound_model_path):
    """The text of a session that has one of everything."""
    commands = [("toggle", 3), ("point", 4), ("feel", 30), ("row", 3), ("sound", 9), ("slot", 2), ("song", 4),
                ("edit", 2), ("morph", 0), ("point", 40), ("morph", 0), ("morph", 0), ("path", 1), ("lock", 2)]
    text = to_text(random_session(start_anew(editors[0]), commands), model, sound_model_path)
    return lambda: text  # a test that fails would print it


def refused(text, model, sound_model_path, editor=None):
    """Is a text refused in one line, or opened? What is opened can be played with."""
    try:
        state = from_text(text, "any.json", model, sound_model_path)[0]
        if editor:
            start_anew(editor, state)
            next_bars(editor)
        return False
    except ValueError as error:
        assert str(error).startswith("any.json: ") and "\n" not in str(error) and len(str(error)) < 500, error
        return True


def places(value, path=()):
    """The path of each value in a tree of JSON."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*path, key))


ODD = [None, True, -1, 0, 1, 7, 8, 1e3, 1e30, 10 ** 400, -0.5, "", "x", "0=0", "64=1", "\ud800", "9" * 5000, [], [[]],
       {}, {"Kick": "1=1 1=2"}, [1] * 2000, {"format": 1}, "/dev/zero", "AAAA", "AACAfw=="]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_changed_session_is_opened_or_refused_in_one_line(editors, model, sound_model_path, rich, data):
    content = json.loads(rich())
    *path, last = data.draw(st.sampled_from([place for place in places(content) if place]))
    parent = content
    for key in path:
        parent = parent[key]
    act = data.draw(st.sampled_from(["change", "remove", "add"]))
    if act == "remove":
        del parent[last]
    elif act == "change":
        parent[last] = data.draw(st.sampled_from(ODD))
    elif isinstance(parent, dict):
        parent["another"] = data.draw(st.sampled_from(ODD))
    else:
        parent.append(parent[last])
    use = editors[0] if data.draw(st.integers(0, 9)) == 0 else None
    found = refused(json.dumps(content), model, sound_model_path, use)
    if isinstance(parent, dict) and act != "change" and path[-1:] not in (["push"], ["row_hits"]) and path[:2] != [
            "state", "bars"] and "morph" not in path and "morph_start" not in path and "slots" not in path:
        assert found, (path, last, act)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_broken_text_is_refused_in_one_line(model, sound_model_path, rich, data):
    start, length = data.draw(st.integers(0, len(rich()))), data.draw(st.integers(0, 300))
    middle = data.draw(st.text(max_size=8))
    text = rich()
    refused(text[:start] + middle + text[start + length:], model, sound_model_path)
    assert refused(text[:start], model, sound_model_path) == (start < len(text.rstrip()))


@pytest.mark.parametrize(("text", "words"), [
    ("[" * 100_000, "expected JSON"), ('{"a":' * 100_000, "expected JSON"), ("", "expected JSON"),
    ("[]", "expected an"), ("{}", "expected an object of"),
    ("9" * 5000, "expected JSON"), ("x" * (1 << 24) + "x", "at most"),
    ('{"format": "ATIAM-Sequenceur session", "version": 2}', "newer program"),
    ('{"format": "ATIAM-Sequenceur session", "version": true}', "version 1"),
    ('{"format": "ATIAM-Sequenceur session", "version": NaN}', "NaN"),
    ('{"format": "ATIAM-Sequenceur session", "version": 1, "version": 1}', "twice"),
    ('{"format": "ATIAM-Sequenceur session", "version": 1}', "noise")])
def test_what_is_no_session_is_refused_in_one_line(model, text, words):
    with pytest.raises(ValueError, match=r"^any.json: [^\n]{1,300}$") as error:
        from_text(text, "any.json", model)
    assert words in str(error.value)


# The same without a window


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Bars of one's own, of any timing: a matrix, since MIDI has but 8 bits of time."""
    path = tmp_path_factory.mktemp("own") / "own.npy"
    np.save(path, np.stack([a_bar(5), a_bar(6)]))
    return path


KINDS = {"--save-session": "a.json", "--midi": "a.mid", "--wav": "a.wav", "--npy": "a.npy", "--png": "a.png"}


def outputs(folder):
    return [word for option, name in KINDS.items() for word in (option, str(folder / name))]


@pytest.mark.parametrize("choice", [
    "--at 0.5 -1", "--random 3 --seed 9 --density 12 --tight 60 --swing 58", "--at 0 0 --nearest --bars 3",
    "--path 0 1 1 0 --bars 3 --push Snare=12 --bpm 97.3", "--pattern OWN --lock Kick --at 0 0",
    "--pattern OWN --humanise --mix Kick.level=-3 Snare.pan=0.2 Tom.mute master=-2", "--morph OWN OWN --bars 3",
    "--like OWN --style jazz --row-hits Kick=4", "--pattern OWN --bpm 200",
    "--points POINTS --swing 60 --swing-of eighth"])
def test_a_session_gives_every_output_again_to_the_byte(model, own, tmp_path, choice, capsys):
    np.save(tmp_path / "points.npy", [[0.1, 0.2], [1, -1]])
    words = choice.replace("OWN", str(own)).replace("POINTS", str(tmp_path / "points.npy")).split()
    first = main([*words, "--model", str(model.path), *outputs(tmp_path)])
    for source in ("a.json", "a.mid", "a.wav"):
        again = tmp_path / source[2:]
        result = main(["--session", str(tmp_path / source), "--model", str(model.path), *outputs(again)])
        assert np.array_equal(result["bars"], first["bars"])
        for name in KINDS.values():
            assert (again / name).read_bytes() == (tmp_path / name).read_bytes(), (source, name)
    assert capsys.readouterr().err == ""


def test_a_session_is_not_mixed_with_other_choices(capsys):
    for words in (["--at", "0", "0"], ["--tight", "9"], ["--sound", "Kick=0,0"], ["--pattern", "a.mid"]):
        with pytest.raises(SystemExit) as end:
            main(["--session", "a.json", *words, "--npy", "a.npy"])
        assert end.value.code == 2 and "is in the --session" in capsys.readouterr().err


def test_a_file_without_a_session_is_one_line(model, tmp_path):
    (tmp_path / "a.mid").write_bytes(midi_file.to_bytes(HITS, 1920, 15))
    soundfile.write(tmp_path / "a.wav", np.zeros(9), 8000)
    for name in ("a.mid", "a.wav"):
        with pytest.raises(ValueError, match=f"{name}: expected a file that carries a session"):
            main(["--session", str(tmp_path / name), "--model", str(model.path), "--npy", str(tmp_path / "a.npy")])
    with pytest.raises(ValueError, match="--save-session|at most 16 bars"):
        main(["--random", "17", "--model", str(model.path), "--save-session", str(tmp_path / "a.json")])
    assert not (tmp_path / "a.json").exists()


# In the window


@pytest.fixture
def editor(model, shipped, sound_model_path, tmp_path):
    editor = PatternEditor(model, shipped, SilentPlayer(), tmp_path / "saved", seed=3)
    editor.sound_model_path = sound_model_path
    return editor


def test_a_session_is_opened_whole_and_undone_whole(editor, model, tmp_path):
    set_song(editor, 4)
    editor.choose_slot(4)
    editor.song = (Part(4, 2), Part(0))
    editor.set_strip(1, level=-7)
    editor.set_tempo(97)
    (tmp_path / "a.json").write_text(editor.session())
    mine = editor.state
    other = PatternEditor(model, editor.sounds, SilentPlayer(), tmp_path, seed=8)
    other.sound_model_path = editor.sound_model_path
    other.toggle(3, 3)
    before = other.state
    other.open_file(tmp_path / "a.json")
    assert other.state.same_as(mine) and other.message == "The session of a.json." and other.playing
    assert (other.player.bpm, other.player.mixer) == (97, mine.mixer)
    other.undo()
    assert other.state.same_as(before) and other.bpm == before.bpm
    other.redo()
    assert other.state.same_as(mine)


def test_what_is_saved_opens_as_it_was_and_names_are_taken_once(editor, model, tmp_path):
    editor.toggle(2, 7)
    editor.save()
    assert sorted(path.name for path in editor.folder.iterdir()) == [f"pattern_001.{kind}" for kind in (
        "mid", "png", "wav")] and not editor.unsaved
    mine = editor.state
    for kind in ("mid", "wav"):
        editor.random()
        editor.open_file(editor.folder / f"pattern_001.{kind}")
        assert editor.state.same_as(mine) and editor.session() == to_text(mine, model, editor.sound_model_path)
    found = claim(editor.folder), claim(editor.folder), claim(editor.folder, None)
    assert [path.name for path in found] == ["pattern_002", "pattern_003", "pattern_004"]
    editor.open_file(tmp_path / "none.mid")
    assert "Not opened" in editor.message
    soundfile.write(tmp_path / "foreign.wav", np.zeros(9), 8000)
    editor.open_file(tmp_path / "foreign.wav")
    assert "expected a .wav that carries a session" in editor.message and editor.state.same_as(mine)


def test_two_windows_never_take_one_name(tmp_path, monkeypatch):
    """The other is faster: it takes each name between looking and taking."""
    names = iter(["pattern_001", "pattern_001", "pattern_002"])
    monkeypatch.setattr("session.folder.next_name", lambda folder: next(names))
    (tmp_path / "pattern_001.mid").write_bytes(b"precious")
    assert claim(tmp_path) == tmp_path / "pattern_002"
    assert (tmp_path / "pattern_001.mid").read_bytes() == b"precious"


def wait_for_export(editor):
    while editor.export:
        editor.end_export()


def test_everything_is_exported_into_a_folder_of_its_own(editor, model):
    editor.export_all()
    wait_for_export(editor)
    folder = editor.folder / "pattern_001"
    assert str(folder) in editor.message
    for kind in ("json", "mid", "wav"):
        state, notes = read_session(folder / f"pattern_001.{kind}", model, editor.sound_model_path)
        assert notes == [] and state.same_as(editor.state)
    editor.sounds = ()
    editor.export_all()
    wait_for_export(editor)
    assert editor.message.startswith("Not exported") and not (editor.folder / "pattern_002").exists()


# The copy of a running window


class Killed(BaseException):
    pass


def run(editor, *acts, end=None):
    """A window's life; end: what ends it."""
    try:
        with editor.autosaving():
            for act in acts:
                act()
            if end:
                raise end
    except Killed:
        pass


def test_a_copy_is_kept_once_a_minute_while_something_changes(editor, monkeypatch):
    now, kept = [1000.0], []
    monkeypatch.setattr("editor.saving.time.monotonic", lambda: now[0])
    monkeypatch.setattr("editor.saving.Autosave.write", lambda autosaver, text: kept.append(text))

    def wait(seconds):
        now[0] += seconds
        editor.frame()
        editor.wait_for_copy()

    with editor.autosaving():
        wait(61)
        assert kept == []  # nothing has changed
        editor.toggle(1, 1)
        wait(30)
        assert kept == []
        wait(31)
        assert kept == [editor.session()]
        wait(100)
        assert len(kept) == 1
        editor.toggle(1, 2)
        wait(61)
        assert kept[1:] == [editor.session()]


def test_a_copy_that_cannot_be_written_is_shown_once(editor):
    editor.folder.write_text("no folder")
    with editor.autosaving():
        for step in (1, 2):
            editor.toggle(1, step)
            editor.message = ""
            editor.autosave()
            editor.wait_for_copy()
            assert editor.message.startswith("No copy is kept") == (step == 1)


def test_what_was_open_when_the_program_was_killed_is_brought_back(editor, model, tmp_path):
    run(editor, lambda: editor.toggle(2, 9), end=Killed())
    killed = editor.state
    again = PatternEditor(model, editor.sounds, SilentPlayer(), editor.folder, seed=8)
    again.sound_model_path = editor.sound_model_path
    with again.autosaving():
        assert again.recovered_from and "brings it back" in again.message
        again.recover()
        assert again.state.same_as(killed) and again.recovered_from is None
        again.undo()
        assert not again.state.same_as(killed)
        again.recover()
        assert "nothing to bring back" in again.message
    assert [path.name for path in editor.folder.iterdir()] == ["pattern_001.json"]  # it is not lost by the undo
    assert read_session(editor.folder / "pattern_001.json", model, editor.sound_model_path)[0].same_as(killed)
    with again.autosaving():
        assert again.recovered_from is None


def test_a_clean_end_offers_nothing_and_leaves_the_last_session(editor, model):
    run(editor)
    assert not editor.folder.exists()  # nothing was made
    run(editor, lambda: editor.toggle(2, 9), editor.autosave)
    assert [path.name for path in editor.folder.iterdir()] == ["last_session.json"]
    assert read_session(editor.folder / "last_session.json", model, editor.sound_model_path)[0].same_as(editor.state)


def test_what_was_offered_and_not_taken_becomes_a_file(editor, model):
    run(editor, lambda: editor.toggle(2, 9), end=Killed())
    killed = editor.session()
    other = PatternEditor(model, editor.sounds, SilentPlayer(), editor.folder, seed=8)
    run(other)
    assert [path.name for path in editor.folder.iterdir()] == ["pattern_001.json"]
    assert (editor.folder / "pattern_001.json").read_text() == killed


def test_two_windows_at_once_do_not_offer_each_others_copies(editor, model):
    others = [PatternEditor(model, editor.sounds, SilentPlayer(), editor.folder, seed=8) for _ in range(2)]
    run(others[0], lambda: others[0].toggle(0, 0), end=Killed())
    with editor.autosaving():
        editor.toggle(2, 9)
        editor.autosave()
        editor.wait_for_copy()
        assert editor.recovered_from
        with others[1].autosaving():
            assert others[1].recovered_from is None  # neither that of the first window, nor what is offered there


def test_a_process_that_is_killed_lets_go_of_its_copy(tmp_path, root):
    code = ("import sys; sys.path.insert(0, sys.argv[1])\n"
            "from pathlib import Path; from session.folder import Autosave\n"
            "copy = Autosave(Path(sys.argv[2])); copy.write('a session'); print('ready', flush=True); input()")
    with subprocess.Popen([sys.executable, "-c", code, root, tmp_path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        assert Autosave(tmp_path).left == []
        process.kill()
        process.wait()
    found = Autosave(tmp_path)
    assert [path.read_text() for path in found.left] == ["a session"]
    found.end()
    assert [path.name for path in tmp_path.iterdir()] == ["pattern_001.json"]


# What is not as it was


def test_a_file_that_is_gone_or_changed_is_named_and_the_row_has_the_shipped_sound(model, shipped, editors, tmp_path):
    for name in ("gone", "changed", "kept"):
        soundfile.write(tmp_path / f"{name}.wav", np.linspace(0.5, 0, 500), 44100)
    own = [file_sound(tmp_path / f"{name}.wav") for name in ("gone", "changed", "kept")]
    state = replace(start_anew(editors[0]).state, sounds=(*own, plain_sound("none", np.ones(9)), *shipped[4:]))
    text = to_text(state, model)
    (tmp_path / "gone.wav").unlink()
    soundfile.write(tmp_path / "changed.wav", np.zeros(500), 44100)
    read, notes = from_text(text, "a.json", model)
    assert [note.split(";")[0] for note in notes] == ["Kick: the file 'gone.wav' is gone",
                                                      "Snare: the file 'changed.wav' has changed",
                                                      "HHO: its sound was in no file"]
    assert np.array_equal(read.sounds[2].samples(), own[2].samples()) and read.sounds[4:] == shipped[4:]
    for row in (0, 1, 3):
        assert np.array_equal(read.sounds[row].samples(), shipped[row].samples())


def test_a_session_of_other_models_opens_with_its_bars(editors, model, sound_model_path, tmp_path):
    commands = [("sound", 9), ("toggle", 3), ("style", 1), ("slot", 2), ("point", 40), ("toggle", 9), ("morph", 0)]
    before = random_session(start_anew(editors[0]), commands)
    text = to_text(before, model, sound_model_path)
    other = write_tiny_map(tmp_path / "other.pt", latent=3)
    state, notes = from_text(text, "a.json", other)
    assert len(notes) == 2 and "another bar model, tiny.pt" in notes[0] and "another sound model" in notes[1]
    assert np.array_equal(state.bars, before.bars) and state.codes.shape == (1, 3) and state.morph is None
    assert np.array_equal(state.slots[0].bars, before.slots[0].bars) and state.slots[0].codes.shape == (1, 3)
    assert state.constraints.style == other.styles.index("jazz")
    again, notes = from_text(to_text(state, other), "a.json", other)
    assert notes == [] and to_text(again, other) == to_text(state, other)
