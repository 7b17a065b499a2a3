"""Standard MIDI files of type 0 and 1 as bytes, read and written: every note-on of every channel, in plain Python.

    parts, end, ticks_per_quarter, meters, tempos = read_parts("groove.mid")
    Path("loop.mid").write_bytes(to_bytes([(0, 36, 100), (480, 38, 90)], end=1920, note_ticks=120))
"""

import struct
import zlib
from collections import defaultdict
from itertools import islice

import numpy as np

TICKS_PER_QUARTER = 480  # of the files we write
MAX_BYTES = 1 << 26  # 64 MiB is no drum part, and a device may have no end
TEXT, NAME, INSTRUMENT, END_OF_TRACK, TEMPO, METER = 0x01, 0x03, 0x04, 0x2f, 0x51, 0x58  # kinds of meta event
TAG = b"drum session "  # begins the text event that is ours: other programs write such events too


def read_parts(path):
    """Read a MIDI file. Each note-on is a hit, whether its note-off follows or not.

    Returns:
        (parts [(name or None, channel 1 to 16, hits int (3, n): ticks, pitches, velocities)], end of the last track in
        ticks, ticks per quarter note, meters [(tick, numerator, denominator)], tempos [(tick, milliseconds a quarter
        note)]). Each channel of a track is a part, and has its name, and its instrument's, where the track has one
        channel only. A track without notes is a part on channel None: its name may mention drums that are silent.
    Raises:
        OSError where the file cannot be read; ValueError, with the reason, where it is broken or of another kind.
    """
    ticks_per_quarter, tracks = _split_into_tracks(_read_bytes(path))
    parts, metas, end = [], [], 0
    for track in tracks:
        notes, metas_here, last = _read_track(track)
        names = {kind: text for _, kind, content in reversed(metas_here)
                 if kind in (NAME, INSTRUMENT) and (text := content.decode("latin-1").strip())}
        name = ", ".join(names[kind] for kind in sorted(names))
        parts += [(name if len(notes) == 1 else None, status - 0x8f, np.array(hits).reshape(-1, 3).T)
                  for status, hits in notes.items()] or [(name, None, np.zeros((3, 0), int))]
        metas += metas_here
        end = max(end, last)
    metas.sort(key=lambda meta: meta[0])
    meters = [(tick, content[0], 1 << content[1]) for tick, kind, content in metas if kind == METER]
    tempos = [(tick, int.from_bytes(content, "big") / 1000) for tick, kind, content in metas if kind == TEMPO]
    return parts, end, ticks_per_quarter, meters, [tempo for tempo in tempos if tempo[1]]  # 0 ms is no tempo


def read_text_tag(path):
    """The text that `to_bytes` wrote into a MIDI file beside its notes, None where there is none or the notes have been
    changed since. Raises what `read_parts` raises."""
    tracks = [_read_track(track) for track in _split_into_tracks(_read_bytes(path))[1]]
    hits = [hit for notes, *_ in tracks for of_channel in notes.values() for hit in zip(*[iter(of_channel)] * 3)]
    for _, metas, _ in tracks:
        for _, kind, content in metas:
            if kind == TEXT and content.startswith(_tag(hits)):
                return content.removeprefix(_tag(hits)).decode()  # a UnicodeDecodeError is a ValueError
    return None


def _tag(hits):
    """What the text of a file with these hits [(tick, pitch, velocity)] begins with."""
    return b"%s%08x " % (TAG, zlib.crc32(np.array(sorted(hits), "<i8").tobytes()))


def _read_bytes(path):
    """The bytes of a file that may be a MIDI file."""
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"expected a MIDI file of at most {MAX_BYTES} bytes")
    return data


def _split_into_tracks(data):
    """Check the chunks of a MIDI file. Returns (ticks per quarter note, [bytes of the events of a track])."""
    start = data.find(b"MThd", 0, 256)  # some programs put a header of their own before it
    if start < 0 or len(data) < start + 14:
        raise ValueError("not a MIDI file (it has no MThd header)")
    length, kind, promised, division = struct.unpack_from(">IHHH", data, start + 4)
    if kind > 1:
        raise ValueError(f"expected MIDI type 0 or 1, found type {kind}")
    if not 0 < division < 0x8000:
        raise ValueError("its time is in SMPTE frames or 0 ticks per quarter note, expected 1 tick or more")
    tracks, position = [], start + 8 + length
    while len(tracks) < promised:
        if position + 8 > len(data):
            raise ValueError(f"broken MIDI file (its header promises {promised} tracks, {len(tracks)} are there)")
        name, length = struct.unpack_from(">4sI", data, position)
        position += 8 + length
        if position > len(data):
            raise ValueError(f"broken MIDI file (a track is cut off, {position - len(data)} bytes are missing)")
        if name == b"MTrk":  # chunks of another kind are passed over
            tracks.append(data[position - length:position])
    return division, tracks


def _read_track(track):
    """Read ({status: [tick, pitch, velocity, tick, ...] of its note-ons}, metas [(tick, kind, content)], end)."""
    notes, metas, tick, status, stream = defaultdict(list), [], 0, 0, iter(track)
    try:
        for byte in stream:  # nearly all time goes here: no call that is not needed
            tick += byte if byte < 0x80 else _number(byte, stream)
            byte = next(stream)
            if byte >= 0xf0:
                metas.append((tick, *_read_meta(byte, stream)))
                if metas[-1][1] == END_OF_TRACK:
                    break
                continue
            if byte >= 0x80:
                status, byte = byte, next(stream)  # else running status: the one before holds on
            second = 0 if 0xc0 <= status < 0xe0 else next(stream)  # a program or a pressure is one byte
            if not status or (byte | second) >= 0x80:
                raise ValueError("broken MIDI file (an event without a status, or data above 127)")
            if second and 0x90 <= status < 0xa0:  # a note-on of velocity 0 is a note-off
                notes[status] += tick, byte, second
    except StopIteration:
        raise ValueError("broken MIDI file (a track ends in the middle of an event)") from None
    if tick >= 1 << 31:
        raise ValueError("broken MIDI file (its times go beyond 2^31 ticks)")
    return notes, metas, tick


def _read_meta(status, stream):
    """Read a meta or system event after its status. Returns (kind, content); a system event's kind is its status."""
    if status not in (0xf0, 0xf7, 0xff):
        raise ValueError(f"broken MIDI file (an event of status {status:#x})")
    kind = next(stream) if status == 0xff else status
    length = _number(next(stream), stream)
    content = bytes(islice(stream, length))
    if len(content) < length or kind == METER and length < 2:
        raise ValueError("broken MIDI file (a meta event is cut off)")
    return kind, content


def _number(byte, stream):
    """Read a number in variable-length form, given its first byte: 7 bits a byte, all but the last above 127."""
    number = byte & 0x7f
    while byte >= 0x80:
        byte = next(stream)
        number = number << 7 | byte & 0x7f
    return number


def to_bytes(hits, end, note_ticks, bpm=120, name="Drums", text=None):
    """The bytes of a MIDI file of type 0: drums on channel 10 in 4/4, 480 ticks per quarter note.

    hits: [(tick, pitch, velocity)], whole numbers, each a note of `note_ticks`, or shorter where the next of its pitch
    or the end comes first; end: of the track, in ticks; bpm: quarter notes a minute, 4 to 60,000; name: of the track.
    text: of a session, which `read_text_tag` gives back: a text event at the start; None for none.
    """
    events = [(0, _meta(NAME, name.encode())), (0, _meta(INSTRUMENT, b"Drums")),
              (0, _meta(TEMPO, round(60e6 / bpm).to_bytes(3, "big"))), (0, _meta(METER, b"\x04\x02\x18\x08"))]  # 4/4
    if text is not None:
        events.append((0, _meta(TEXT, _tag(hits) + text.encode())))
    next_of, stop_of = {}, {}  # pitch: the tick of its next note; (tick, pitch): the tick at which that note ends
    for tick, pitch, _ in sorted(hits, reverse=True):
        stop_of[tick, pitch] = min(tick + note_ticks, next_of.get(pitch, end))
        next_of[pitch] = tick
    for tick, pitch, velocity in hits:
        events += (tick, bytes([0x99, pitch, velocity])), (stop_of[tick, pitch], bytes([0x89, pitch, 0]))
    events.sort(key=lambda event: (event[0], event[1][0] == 0x99))  # of one tick, a note ends before the next begins
    track, now = b"", 0
    for tick, event in [*events, (end, _meta(END_OF_TRACK))]:
        track += _as_variable_length(tick - now) + event
        now = tick
    return struct.pack(">4sIHHH4sI", b"MThd", 6, 0, 1, TICKS_PER_QUARTER, b"MTrk", len(track)) + track


def _meta(kind, content=b""):
    """The bytes of a meta event."""
    return bytes([0xff, kind]) + _as_variable_length(len(content)) + content


def _as_variable_length(number):
    """A number in variable-length form."""
    data = bytes([number & 0x7f])
    while number := number >> 7:
        data = bytes([number & 0x7f | 0x80]) + data
    return data
