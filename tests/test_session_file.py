"""Sessions as text: exact, strict, and carried by MIDI and WAV files."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from formats import audio, midi_file

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


def test_a_tag_goes_into_a_wav_file_alone(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no wav file at all")
    for act in (lambda path: audio.write_tag(path, "x"), audio.read_tag):
        with pytest.raises(ValueError, match="a.wav: expected a WAV file"):
            act(tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == b"no wav file at all"
