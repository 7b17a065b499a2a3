"""Our own grooves: the notation, the files it gives, and what makes each style what it is."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import symusic
from Midi_To_Activation_Matrix import read_bars

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "Dataset_Drum_Groove_Midi"
PATTERNS = ROOT / "Dataset_Drum_Groove_Pattern"

specification = importlib.util.spec_from_file_location("make_grooves", FOLDER / "make_grooves.py")
make_grooves = importlib.util.module_from_spec(specification)
specification.loader.exec_module(make_grooves)

GROOVES = make_grooves.parse((FOLDER / "grooves.txt").read_text(encoding="utf-8"))
BY_NAME = {groove["name"]: groove for groove in GROOVES}
BEAT, BAR = make_grooves.TICKS_PER_BEAT, make_grooves.TICKS_PER_BAR


def strokes(name, instrument):
    """Where an instrument is struck in a MIDI file, by an independent reader: float (n,), in sixteenths, sorted."""
    notes = symusic.Score(FOLDER / f"{name}.mid").tracks[0].notes
    return np.array(sorted(note.time for note in notes if note.pitch == make_grooves.PITCH[instrument])) / (BEAT / 4)


def of_style(style):
    return [groove["name"] for groove in GROOVES if groove["style"] == style]


# The collection -----------------------------------------------------------------------------------------------------

def test_there_are_enough_grooves_styles_and_bars():
    styles = {groove["style"] for groove in GROOVES}
    assert len(GROOVES) >= 800 and len(styles) >= 72
    for style in styles:
        numbers = [int(groove["name"].removeprefix(style)) for groove in GROOVES if groove["style"] == style]
        assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 5, style
    assert all(2 <= len(groove["bars"]) <= 8 for groove in GROOVES)


ELECTRONIC = ("HOUSE DEEPHOUSE ACIDHOUSE TECHHOUSE AFROHOUSE TECHNO MINIMAL TRANCE HARDCORE ELECTRO MIAMIBASS SYNTHPOP "
              "TRAP DRILL DUBSTEP HIPHOP LOFI TRIPHOP NEWJACK DNB JUNGLE BREAKBEAT GARAGE UKFUNKY FOOTWORK JERSEYCLUB "
              "REGGAETON DANCEHALL BAILEFUNK AMAPIANO GQOM IDM DISCO DUB").split()


def test_electronic_styles_are_many_grooves_with_claps_and_percussion():
    for style in ELECTRONIC:
        bars = [bar for name in of_style(style) for bar in np.load(PATTERNS / f"{name}.npy") > 0]
        clap, percussion = (np.mean([bar[row].any() for bar in bars]) for row in (2, 7))
        assert len(of_style(style)) >= 14 and clap > 0.1 and percussion >= 0.4, (style, clap, percussion)


def test_electronic_grooves_are_loops_whose_bars_resemble_their_neighbours():
    for style in ELECTRONIC:
        likeness = []
        for name in of_style(style):
            struck = np.load(PATTERNS / f"{name}.npy").reshape(-1, 8, 16, 4).any(-1)  # (bars, 8, 16)
            likeness += [(a & b).sum() / (a | b).sum() for a, b in zip(struck, struck[1:])]
        assert np.mean(likeness) > (0.5 if style == "DRILL" else 0.65), style  # drill turns in two bars


def test_committed_files_are_what_the_source_gives(capsys):
    assert make_grooves.main(["--check"])["changed"] == [], capsys.readouterr().out
    assert {path.stem for path in FOLDER.glob("*.mid")} == set(BY_NAME)
    assert {path.stem for path in PATTERNS.glob("*.npy")} == set(BY_NAME)


def test_no_bar_as_written_stands_in_two_grooves_and_most_stand_once():
    bars, distinct, shared = make_grooves.duplicate_bars(GROOVES)
    assert bars > 4500 and shared == 0 and distinct > 0.65 * bars


def test_no_two_grooves_have_the_same_matrices_even_without_velocities():
    seen = {(np.load(path) > 0).tobytes(): path.stem for path in PATTERNS.glob("*.npy")}
    assert len(seen) == len(GROOVES)


@pytest.mark.parametrize("style", sorted({groove["style"] for groove in GROOVES}))
def test_midi_files_are_general_midi_drums_in_four_four(style):
    for name in of_style(style):
        groove, data = BY_NAME[name], (FOLDER / f"{name}.mid").read_bytes()
        score = symusic.Score(FOLDER / f"{name}.mid")
        assert data[:4] == b"MThd" and data[8:14] == b"\0\0\0\1" + BEAT.to_bytes(2, "big")  # type 0, one track
        assert [(m.time, m.numerator, m.denominator) for m in score.time_signatures] == [(0, 4, 4)]
        assert [round(tempo.qpm, 3) for tempo in score.tempos] == [groove["bpm"]]
        (track,) = score.tracks
        assert track.is_drum and track.name == name
        assert all(35 <= note.pitch <= 81 and 1 <= note.velocity <= 127 for note in track.notes)
        ends = {}  # of each pitch's last note: no drum is struck while its note still sounds
        for note in sorted(track.notes, key=lambda note: note.time):
            assert note.time >= ends.get(note.pitch, 0) and note.duration > 0, name
            ends[note.pitch] = note.time + note.duration
        assert max(ends.values()) <= len(groove["bars"]) * BAR


def test_midi_files_end_exactly_at_their_last_bar_line():
    for groove in GROOVES:
        data, position, ticks = make_grooves.midi_bytes(groove)[22:], 0, 0
        while position < len(data):  # all our events: delta, then a note of 3 bytes or a meta event
            delta = 0
            while True:
                delta, position = delta << 7 | data[position] & 0x7F, position + 1
                if not data[position - 1] & 0x80:
                    break
            ticks += delta
            position += 3 + data[position + 2] if data[position] == 0xFF else 3
        assert data.endswith(b"\xff\x2f\0") and ticks == len(groove["bars"]) * BAR


def test_matrices_are_the_bars_of_the_midi_files():
    for groove in GROOVES:
        matrix = np.load(PATTERNS / f"{groove['name']}.npy")
        assert matrix.dtype == np.uint8 and matrix.shape == (len(groove["bars"]), 8, 64)
        assert np.array_equal(matrix, read_bars(FOLDER / f"{groove['name']}.mid"))
        assert (matrix > 0).any(axis=(1, 2)).all()


# Timing -------------------------------------------------------------------------------------------------------------

def test_the_same_source_gives_the_same_bytes_in_another_process_and_folder(tmp_path):
    source = tmp_path / "some.txt"
    source.write_text("[FUNK]\nFUNK9 98bpm loose laid-back swing16=57\n"
                      " A:\n  hat xoxO\n  snare .... f..g .g.. d..z\n play A*8\n")
    outputs = []
    for seed in "1", "2":
        command = [sys.executable, FOLDER / "make_grooves.py", source, "--midi", f"m{seed}", "--patterns", "p"]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
        outputs.append((tmp_path / f"m{seed}" / "FUNK9.mid").read_bytes())
    (groove,) = make_grooves.parse(source.read_text())
    assert outputs == [make_grooves.midi_bytes(groove)] * 2


def test_machines_are_exactly_on_the_grid():
    for groove in GROOVES:
        if groove["feel"] == "machine":
            written = {(index * BAR + hit[0], hit[1]) for index, bar in enumerate(groove["bars"]) for hit in bar}
            plain = all(hit[4] not in "fFdz" for bar in groove["bars"] for hit in bar)
            played = {(tick, pitch) for tick, pitch, _ in make_grooves.render(groove)}
            assert played == written if plain else played >= written, groove["name"]


@pytest.mark.parametrize("feel", ["tight", "human", "loose"])
def test_drummers_stray_by_as_much_as_their_feel(feel):
    spread, strays = make_grooves.FEELS[feel][0], []
    for groove in GROOVES:
        if groove["feel"] != feel or groove["offsets"]:
            continue
        played = {}
        for tick, pitch, _ in make_grooves.render(groove):
            played.setdefault(pitch, []).append(tick)
        ms = 60_000 / groove["bpm"] / BEAT * max(1, groove["bpm"] / 120)  # back to what it would be at 120 bpm
        for index, bar in enumerate(groove["bars"]):
            for tick, pitch, _, instrument, stroke, _ in bar:
                if stroke not in "fFdz" and instrument != "clave" and index + tick:
                    strays.append(min((t - tick - index * BAR for t in played[pitch]), key=abs) * ms)
    assert len(strays) > 1000
    assert abs(np.mean(strays)) < 0.15 * spread  # a wandering clock averages out slowly
    assert np.std(strays) == pytest.approx(spread, rel=0.12)
    assert np.max(np.abs(strays)) < 5 * spread


def test_laid_back_snares_are_late_and_pushed_hats_early():
    def mean_ms(options, instrument):
        (groove,) = make_grooves.parse(
            f"[X]\nX1 100bpm human {options}\n A:\n  hat x\n  snare x\n  kick x\n play A*8\n")
        pitch = make_grooves.PITCH[instrument]
        ticks = np.array([tick for tick, p, _ in make_grooves.render(groove) if p == pitch])[1:]
        return float(np.mean(ticks - BEAT * np.round(ticks / BEAT))) * 60_000 / 100 / BEAT

    assert mean_ms("laid-back", "snare") - mean_ms("", "snare") == pytest.approx(11, abs=0.7)
    assert mean_ms("laid-back", "kick") == pytest.approx(mean_ms("", "kick"), abs=0.7)
    assert mean_ms("pushed", "hat") - mean_ms("", "hat") == pytest.approx(-5, abs=0.7)
    assert mean_ms("laid-back snare+20ms", "snare") - mean_ms("", "snare") == pytest.approx(20, abs=0.7)


def test_no_note_falls_before_the_first_beat():
    (groove,) = make_grooves.parse("[X]\nX1 100bpm loose hat-20ms\n A:\n  hat x\n  snare d\n play A*2\n")
    notes = make_grooves.render(groove)
    assert notes[0][0] == 0 and notes == sorted(notes)


# Styles -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, instrument", [
    ("SWING1", "ride"), ("SWING2", "ride"), ("SWING6", "ride"), ("SHUFFLE1", "hat"), ("SHUFFLE3", "ride"),
    ("BLUES3", "hat"), ("REGGAE1", "hat"), ("SKA1", "hat")])
def test_swung_eighths_swing_by_their_percentage(name, instrument):
    places = strokes(name, instrument) / 4 % 1
    off_beats = places[(places > 0.4) & (places < 0.8)]
    swing = BY_NAME[name]["swing8"] if BY_NAME[name]["swing8"] > 50 else 200 / 3  # else written out in triplets
    assert len(off_beats) >= 8
    assert 100 * off_beats.mean() == pytest.approx(swing, abs=1)


def test_shuffled_sixteenths_shuffle_by_their_percentage():
    for name in of_style("GARAGE") + of_style("NEWJACK"):
        places = strokes(name, "hat") / 2 % 1
        assert 100 * places[(places > 0.4) & (places < 0.9)].mean() == pytest.approx(BY_NAME[name]["swing16"], abs=0.2)


def test_straight_styles_do_not_swing():
    for style in "HOUSE", "TECHNO", "ROCK", "PUNK", "SAMBA":
        for name in of_style(style):
            if BY_NAME[name]["swing16"] == 50 and len(strokes(name, "hat")):
                places = strokes(name, "hat") / 4 % 1
                off_beats = places[(places > 0.4) & (places < 0.6)]
                assert not len(off_beats) or off_beats.mean() == pytest.approx(0.5, abs=0.012), name


CLAVES = {  # in pulses: sixteenths of one bar (or eighths of two), or twelve triplets
    "son 3-2": (0, 3, 6, 10, 12), "son 2-3": (2, 4, 8, 11, 14),
    "rumba 3-2": (0, 3, 7, 10, 12), "rumba 2-3": (2, 4, 8, 11, 15),
    "rumba in twelve": (0, 2, 5, 7, 9),
}


def test_every_clave_is_a_clave_and_exactly_placed():
    counted = 0
    for groove in GROOVES:
        clave = strokes(groove["name"], "clave")
        if not len(clave):
            continue
        written = [index * BAR + hit[0] for index, bar in enumerate(groove["bars"]) for hit in bar if hit[3] == "clave"]
        assert np.allclose(clave * BEAT / 4, written), f"{groove['name']}: the clave strays"
        if groove["swing16"] == 50:
            assert np.allclose(clave * 3, np.round(clave * 3)), f"{groove['name']}: neither sixteenths nor triplets"
        else:
            clave = np.round(clave)
        bars = [tuple(np.round(clave[clave // 16 == bar] % 16, 3)) for bar in range(len(groove["bars"]))]
        found = set()
        for first, second in zip(bars, bars[1:] + bars[:1]):
            for kind, pulses in CLAVES.items():
                pulses = np.array(pulses)
                if kind.endswith("twelve"):
                    hit = len(first) == 5 and np.allclose(first, pulses * 4 / 3, atol=0.01)
                else:
                    in_two = np.array([*first, *(np.array(second) + 16)]) / 2
                    hit = (len(first) == 5 and np.array_equal(first, pulses)
                           or len(in_two) == 5 and np.array_equal(in_two, pulses))
                if hit:
                    found.add(kind)
        kinds = {"SON": "son", "MAMBO": "son", "CHACHA": "son", "RUMBA": ("rumba", "son")}  # yambu goes with son clave
        assert found and all(kind.startswith(kinds.get(groove["style"], "")) for kind in found), (groove["name"], bars)
        counted += 1
    assert counted >= 12


def test_bossa_nova_plays_the_bossa_clave():
    assert (strokes("BOSSA1", "rim")[:5].round() / 2).round(1).tolist() == [0, 3, 6, 10, 13]
    assert (strokes("BOSSA2", "rim")[:5].round() / 2).round(1).tolist() == [2, 5, 8, 11, 14]


def test_cascara_follows_its_clave():
    two_three = [0, 2, 4, 5, 7, 8, 10, 11, 13, 15]  # meets the clave 2-3 on its 2, 4, 8 and 11
    assert (strokes("SON3", "shell")[:10].round() / 2).tolist() == two_three
    three_two = (strokes("SON4", "hat")[:10].round() / 2).tolist()
    assert sorted((pulse + 8) % 16 for pulse in three_two) == two_three


def test_dembow_is_three_three_two():
    for name in of_style("REGGAETON"):
        snare = strokes(name, "snare")
        assert snare[snare < 16].tolist() == [3, 6, 11, 14]


def test_house_and_disco_have_four_on_the_floor_and_a_backbeat():
    for name in of_style("HOUSE") + of_style("DISCO"):
        first_bar = BY_NAME[name]["bars"][0]
        kicks = [hit[0] / BEAT for hit in first_bar if hit[3] == "kick"]
        backbeat = {hit[0] / BEAT for hit in first_bar if hit[3] in ("clap", "snare") and hit[2] > 90}
        assert kicks[:4] == [0, 1, 2, 3] or {0, 1, 2, 3} <= set(kicks)
        assert {1, 3} <= backbeat


def test_kick_on_every_beat_where_the_style_has_it():
    for name in of_style("TRANCE") + of_style("ACIDHOUSE") + of_style("MINIMAL") + of_style("TECHHOUSE"):
        assert {0, 1, 2, 3} <= {hit[0] / BEAT for hit in BY_NAME[name]["bars"][0] if hit[3] == "kick"}, name


def test_half_time_has_its_backbeat_on_three_alone():
    for name in of_style("TRAP") + of_style("DUBSTEP"):
        first_bar = BY_NAME[name]["bars"][0]
        loud = {hit[0] / BEAT for hit in first_bar if hit[3] in ("snare", "clap", "rim") and hit[2] > 100}
        assert loud == {2}, name


def test_footwork_runs_in_threes():
    gaps = np.concatenate([np.diff(strokes(name, "kick")) for name in of_style("FOOTWORK")])
    dotted, triplets = np.isclose(gaps, 3), np.isclose(gaps, 4 / 3, atol=0.01)
    assert dotted.mean() > 0.3 and triplets.sum() > 20


def test_one_drop_leaves_the_one_empty():
    for name in "REGGAE1", "REGGAE5", "REGGAE6", "DUB1":
        for bar in BY_NAME[name]["bars"]:
            kicks = [hit[0] / BEAT for hit in bar if hit[3] == "kick"]
            assert 2 in kicks and min(kicks) >= 2, name


def test_samba_is_heavy_on_two_and_four():
    levels = np.zeros(4)
    for name in of_style("SAMBA"):
        for bar in BY_NAME[name]["bars"]:
            for tick, _, velocity, instrument, _, _ in bar:
                if instrument in ("surdo", "kick") and tick % BEAT == 0:
                    levels[tick // BEAT] += velocity
    assert levels[1] > levels[0] and levels[3] > levels[2]


def test_ghost_notes_whisper_under_the_backbeat():
    for name in of_style("FUNK"):
        notes = symusic.Score(FOLDER / f"{name}.mid").tracks[0].notes
        velocities = [note.velocity for note in notes if note.pitch == 38]
        assert min(velocities) < 50 and max(velocities) > 105


def test_an_open_hat_is_choked_within_two_beats():
    for groove in GROOVES:
        hats = sorted((index * BAR + hit[0], hit[1]) for index, bar in enumerate(groove["bars"])
                      for hit in bar if hit[1] in (42, 44, 46))
        if any(pitch != 46 for _, pitch in hats):
            hats.append((len(groove["bars"]) * BAR + hats[0][0], hats[0][1]))  # it loops
            for (tick, pitch), (following, _) in zip(hats, hats[1:]):
                assert pitch != 46 or following - tick <= 2 * BEAT, (groove["name"], tick / BAR)


# The notation -------------------------------------------------------------------------------------------------------

HEAD = "[ROCK]\nROCK1 100bpm human\n A:\n"


def bars_of(lines, form="A A", options="human"):
    return make_grooves.parse(f"[ROCK]\nROCK1 100bpm {options}\n A:\n{lines}\n play {form}\n")[0]["bars"]


def places(bar, instrument):
    return [round(hit[0] / BEAT, 3) for hit in bar if hit[3] == instrument]


def test_one_or_two_beats_repeat_to_fill_the_bar():
    assert places(bars_of("  kick x")[0], "kick") == [0, 1, 2, 3]
    assert places(bars_of("  snare . X")[0], "snare") == [1, 3]
    assert places(bars_of("  hat x.x. xxx . ..")[0], "hat") == [0, 0.5, 1, 1.333, 1.667]


def test_a_bar_inherits_and_keeps_beats():
    first, second, third = bars_of("  kick x\n  hat xx\n B = A:\n  kick ~ ~ x.x. ~\n C = B:\n  hat -", "A B C")
    assert places(first, "kick") == [0, 1, 2, 3] and places(second, "kick") == [0, 1, 2, 2.5, 3]
    assert places(second, "hat") == places(first, "hat") and places(third, "hat") == []


def test_patterns_of_two_bars_and_the_repeat_sign():
    bars = bars_of("  rim x . . . / . x . .\n  kick x . / %\n  hat x", "A*2")
    assert [places(bar, "rim") for bar in bars] == [[0], [1]] * 2
    assert all(places(bar, "kick") == [0, 2] and places(bar, "hat") == [0, 1, 2, 3] for bar in bars)


def test_swing_moves_off_beats_and_leaves_triplets():
    assert places(bars_of("  hat xx xxx xxxx x", options="swing8=60")[0], "hat") == [
        0, 0.6, 1, 1.333, 1.667, 2, 2.3, 2.6, 2.8, 3]
    assert places(bars_of("  hat xxxx xx . .", options="swing16=60")[0], "hat") == [0, 0.3, 0.5, 0.8, 1, 1.5]


def test_the_riding_hand_leaves_for_crash_and_tom():
    bar = bars_of("  hat x\n  crash x . . .\n  toms . . . 1\n  snare . . . x")[0]
    assert places(bar, "hat") == [1, 2] and places(bar, "toms") == [3] and places(bar, "crash") == [0]


@pytest.mark.parametrize("text, expected", [
    (HEAD + "  hat x x x\n play A A", "line 4: hat: expected 4 beats (or 1 or 2, which repeat), found 3 in 'x x x'"),
    (HEAD + "  hat xxxxx\n play A A", "line 4: hat: expected a beat of 1, 2, 3, 4, 6, 8, 12, 16 steps, found 5"),
    (HEAD + "  hat x.Q.\n play A A", "line 4: hat: unknown stroke 'Q' in 'x.Q.'"),
    (HEAD + "  kick x.O.\n play A A", "line 4: kick: unknown stroke 'O'"),
    (HEAD + "  hatt x\n play A A", "line 4: unknown instrument 'hatt'"),
    (HEAD + "  hat x\n play A B", "line 5: ROCK1 has no bar 'B', only A"),
    (HEAD + "  hat x\n play A*99999999999", "line 5: expected a count such as A*2, found 'A*99999999999'"),
    (HEAD + "  hat x\n play A", "line 5: ROCK1 plays 1 bars, expected 2 to 8"),
    (HEAD + "  hat x\n play A*9", "line 5: ROCK1 plays 9 bars, expected 2 to 8"),
    (HEAD + "  hat x\n A:\n play A A", "line 5: ROCK1 has a bar 'A' already"),
    (HEAD + "  hat x\n B = Z:\n play A A", "line 5: ROCK1 has no bar 'Z'"),
    (HEAD + "  hat x\n b c:\n play A A", "line 5: expected a bar's label such as A: or B = A:, found 'b c:'"),
    (HEAD + "  hat x\n B = A:\n  kick ~\n play A B",
     "line 6: kick: ~ keeps a beat of the bar before the =, which has none"),
    (HEAD + "  hat %\n play A A", "line 4: hat: % repeats the bar before, and there is none"),
    (HEAD + "  hat x / x\n  kick x / x / x\n play A", "line 6: ROCK1, bar A: hat has 2 bars beside lines of 3"),
    (HEAD + "  hat x\n  open x\n play A A", "line 6: ROCK1, bar A, beat 1: the hi-hat is open and closed at once"),
    (HEAD + "  open x\n  pedal . x\n play A A", "line 6: ROCK1, bar A, beat 2: the hi-hat is open and closed at once"),
    (HEAD + "  hat x\n  snare x\n  rim . X\n play A A", "line 7: ROCK1, bar A, beat 2: needs more than two hands"),
    (HEAD + "  hat .\n play A A", "line 5: ROCK1, bar A has no strokes"),
    (HEAD + "  hat x\n", "line 4: ROCK1 has no play line before this"),
    (HEAD + "  hat x\n play A A\n play A A", "line 6: ROCK1 has a play line already"),
    (HEAD + "  hat x\n play A A\nROCK1 90bpm\n", "line 6: a second groove of the name ROCK1"),
    ("[ROCK]\nFUNK1 90bpm\n", "line 2: expected a name such as ROCK1 in section [ROCK], found 'FUNK1'"),
    ("[ROCK]\nROCK1 human\n", "line 2: expected a tempo such as 116bpm, found 'human'"),
    ("[ROCK]\nROCK1 1.2.3bpm\n", "line 2: expected machine, tight"),
    ("ROCK1 90bpm\n", "line 1: expected a name such as STYLE1"),
    ("[Rock]\n", "line 1: expected a style in capitals such as [ROCK], found '[Rock]'"),
    ("[ROCK]\nROCK1 9bpm\n", "line 2: expected 40 to 300 bpm, found '9bpm'"),
    ("[ROCK]\nROCK1 90bpm funky\n", "line 2: expected machine, tight, human, loose"),
    ("[ROCK]\nROCK1 90bpm swing8=90\n", "line 2: expected a swing of 50 (straight) to 75 percent, found 'swing8=90'"),
    ("[ROCK]\nROCK1 90bpm tuba+3ms\n", "line 2: unknown instrument 'tuba'"),
    ("[ROCK]\n  hat x\n", "line 2: expected a groove's header such as ROCK1 116bpm human, found 'hat x'"),
    ("[ROCK]\nROCK1 90bpm\n  hat x\n", "line 3: expected a bar's label such as A: before 'hat x'"),
    ("# nothing\n", "expected grooves, found none in this file"),
])
def test_a_mistake_in_the_source_is_named_with_its_line(text, expected):
    with pytest.raises(ValueError) as error:
        make_grooves.parse(text)
    assert str(error.value).startswith("grooves.txt line ") and expected in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_ends_in_one_line_and_writes_nothing_on_a_mistake(tmp_path):
    source = tmp_path / "bad.txt"
    source.write_text(HEAD + "  hat x x x\n play A A\n")
    done = subprocess.run([sys.executable, str(FOLDER / "make_grooves.py"), str(source), "--midi", str(tmp_path / "m")],
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "bad.txt line 4" in done.stderr and not (tmp_path / "m").exists()


def test_check_names_a_changed_file_and_leaves_it(tmp_path, capsys):
    source = tmp_path / "some.txt"
    source.write_text(HEAD + "  hat x\n play A A\n")
    arguments = [str(source), "--midi", str(tmp_path), "--patterns", str(tmp_path)]
    assert len(make_grooves.main(arguments)["changed"]) == 2
    assert make_grooves.main([*arguments, "--check"])["changed"] == []
    (tmp_path / "ROCK1.npy").write_bytes(b"damaged")
    capsys.readouterr()
    assert make_grooves.main([*arguments, "--check"]) == 1
    assert "ROCK1.npy: differs" in capsys.readouterr().out and (tmp_path / "ROCK1.npy").read_bytes() == b"damaged"
    (tmp_path / "ROCK2.mid").write_bytes(b"")
    make_grooves.main(arguments)
    assert make_grooves.main([*arguments, "--check"]) == 1  # a stranger
    assert "ROCK2.mid: not in some.txt" in capsys.readouterr().out
