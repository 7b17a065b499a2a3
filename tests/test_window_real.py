"""The window for real: on a virtual screen, clicked by xdotool, heard through PortAudio from a null sink whose clock
is real; and in a headless browser. Each test skips, saying what is missing, where these programs are not installed."""

import asyncio
import contextlib
import ctypes
import ctypes.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import soundfile
from real_window import HEIGHT, WIDTH, Hand, align, no_screen, running, virtual_screen, wait
from sound_card import SAMPLE_RATE, in_three_tries, missing, null_sink
from tiny_map import write_tiny_map

from engine import sequencer
from formats.kit import load_kit
from Midi_To_Activation_Matrix import write_midi
from patterns import latent_map, sampling

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def card():
    """A sound card that is being recorded; gives (card, recording)."""
    if missing():
        pytest.skip(missing())
    with null_sink() as card, card.recording() as recording:
        yield card, recording


@pytest.fixture(scope="module")
def screen():
    """The DISPLAY of a virtual screen."""
    if no_screen():
        pytest.skip(no_screen())
    with virtual_screen(WIDTH, HEIGHT) as display:
        yield display


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A folder with a model and a kit of eight tones that swell in 5 ms and die away: a gap or a jump would show."""
    folder = tmp_path_factory.mktemp("material")
    write_tiny_map(folder / "map.pt")
    (folder / "kit").mkdir()
    seconds = np.arange(int(0.9 * SAMPLE_RATE)) / SAMPLE_RATE
    swell = np.sin(np.pi / 2 * np.minimum(1, seconds / 0.005)) ** 2
    shape = swell * np.exp(-seconds / 0.4) * (1 - seconds / 0.9)
    for i, name in enumerate(("Kick", "Snare", "Clap", "HHO", "HHC", "Tom", "Cymb", "Percu")):
        tone = 0.1 * shape * np.sin(2 * np.pi * (170 + 61 * i) * seconds)
        soundfile.write(folder / "kit" / f"{name}.wav", tone, SAMPLE_RATE, "FLOAT")
    return folder


def of(material):
    """The options for that model and kit."""
    return "--model", material / "map.pt", "--kit", material / "kit"


class ClientMessage(ctypes.Structure):
    """XClientMessageEvent of Xlib, padded to the size of an XEvent."""

    _fields_ = [("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int),
                ("display", ctypes.c_void_p), ("window", ctypes.c_ulong), ("message_type", ctypes.c_ulong),
                ("format", ctypes.c_int), ("data", ctypes.c_long * 5), ("padding", ctypes.c_long * 24)]


def close_window(display, name):
    """What a window manager does when its close button is clicked; xdotool cannot, on many systems."""
    listed = subprocess.run(["xdotool", "search", "--name", name], env={**os.environ, "DISPLAY": display},
                            capture_output=True, text=True, timeout=20)
    x11 = ctypes.CDLL(ctypes.util.find_library("X11"))
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))
    protocols, delete = (x11.XInternAtom(connection, atom, 0) for atom in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    window = int(listed.stdout.split()[-1])
    message = ClientMessage(type=33, window=window, message_type=protocols, format=32, data=(delete, 0, 0, 0, 0))
    assert x11.XSendEvent(connection, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    x11.XCloseDisplay(connection)


def point_bar(model, line):
    """The bar of a point that the log names, by the seed that Program asks for."""
    return sampling.draw(model, [line["point"]], 0, sampling.CLICK)[0]


@pytest.fixture(scope="module")
def model(material):
    return latent_map.load_bar_model(material / "map.pt")


@pytest.fixture(scope="module")
def window(card, screen, material):
    with running(material, {**card[0].env, "DISPLAY": screen}, *of(material)) as program:
        program.wait_for("ready")
        yield program


@pytest.fixture(scope="module")
def hand(screen, model, window):
    hand = Hand(model, screen)
    hand.do("mousemove", *hand.on_map(0, 0.1))  # a person's mouse arrives before it clicks; the sound card opens now
    time.sleep(0.5)
    return hand


# The tests of the window share one; they run in this order, and the last closes it.

@in_three_tries
def test_a_click_is_heard_within_100_ms_as_the_pattern_of_its_point(window, hand, card, model, material):
    recording, delays, likeness = card[1], [], []
    kit, first = load_kit(material / "kit"), 1 + len(window.log("point"))
    for i, (x, y) in enumerate([(0.6, 0.4), (-0.7, 0.2), (0.1, -0.8), (1.0, 0.9), (-0.3, 1.1)], start=first):
        hand.do("mousemove", *hand.on_map(x, y))
        time.sleep(0.1)
        begin, clicked = len(recording.samples()), time.monotonic()
        hand.do("click", 1)
        line = window.wait_for("point", i)
        assert np.allclose(line["point"], (x, y), atol=0.02)
        recording.wait(1.2)
        hand.do("key", "space")
        expected = sequencer.render(point_bar(model, line), kit, 120, loop=False)[:SAMPLE_RATE, 0]
        start, same = align(recording.samples()[begin:, 0], expected)
        delays.append(recording.time_of(begin + start) - clicked)
        likeness.append(same)
        window.wait_for("stop", i)
        recording.wait(1)  # the tails die away
    print("click to sound, ms:", [round(1000 * delay) for delay in delays], "likeness:", np.round(likeness, 4))
    assert np.median(likeness) > 0.99
    assert np.median(delays) < 0.1


def test_ten_clicks_while_it_plays_leave_no_gap_and_no_underrun(window, hand, card):
    recording, faults = card[1], []
    for _ in range(3):  # a busy machine may starve the sound card itself: once clean is proof
        before = sum(line["underruns"] for line in window.log("stop")[-1:])
        clicks = len(window.log("point"))
        hand.do("mousemove", *hand.on_map(0, 0), "click", 1)
        window.wait_for("point", clicks + 1)
        recording.wait(1)
        begin = len(recording.samples())
        for i in range(10):
            hand.do("mousemove", *hand.on_map(0.9 * np.cos(i), 0.9 * np.sin(i)), "click", 1)
            recording.wait(0.15)
        played = recording.samples()[begin:, 0]
        assert len(window.log("point")) == clicks + 11
        stops = len(window.log("stop"))
        hand.do("key", "space")
        underruns = window.wait_for("stop", stops + 1)["underruns"] - before
        silent = np.diff(np.flatnonzero(np.abs(np.r_[1, played, 1]) > 1e-5)).max()  # the longest silence, in samples
        # every sound swells smoothly, so the wave bends gently everywhere; a lost or repeated block would break it
        bend = np.abs(np.diff(played, 2)).max() / np.abs(played).max()
        faults.append((underruns, int(silent), float(bend)))
        if underruns == 0 and silent < 100 and bend < 0.015:
            break
    else:
        pytest.fail(f"(underruns, longest silence in samples, sharpest bend) in three tries: {faults}")


def test_a_drag_morphs_and_the_bar_can_be_edited_while_it_plays(window, hand, model):
    points, releases, toggles = (len(window.log(action)) for action in ("point", "release", "toggle"))
    path = [hand.on_map(0.1 * i - 1, 0.05 * i) for i in range(15)]
    moves = (word for place in path for word in ("mousemove", *place, "sleep", 0.02))
    hand.do("mousemove", *path[0], "mousedown", 1, *moves, "mouseup", 1)
    line = window.wait_for("release", releases + 1)
    assert len(window.log("point")) == points + 1
    assert np.allclose(line["point"], (0.4, 0.7), atol=0.02)
    before = point_bar(model, line)
    assert np.count_nonzero(before) == line["hits"]
    hand.do("mousemove", *hand.on_bar(6, 36), "click", 1)
    toggled = window.wait_for("toggle", toggles + 1)
    there = before[6, 36:40].any()
    assert (toggled["row"], toggled["step"] // 4, toggled["velocity"] > 0) == (6, 9, not there)


def test_every_control_works_for_real(window, hand, material):
    bar = np.zeros((8, 64), np.uint8)
    bar[0, ::16] = bar[4, ::8] = 100
    write_midi(bar, material / "own.mid")
    hand.do("mousemove", *hand.on_map(0.5, 0.5), "click", 1)
    for name, action, expected in (
            ("jazz", "style", {"name": "jazz"}), ("Kick", "lock", {"rows": [0]}), ("Variation", "variation", {}),
            ("HHC hits", "row", {"row": 4}), ("n", "nearest", {}), ("n", "pattern", {}), ("m", "model", {}),
            ("v", "humanise", {}), ("Undo", "undo", {}), ("ctrl+shift+z", "redo", {}), ("ctrl+z", "undo", {})):
        before = len(window.log(action))
        hand.click(name, 0.9) if name in hand.names else hand.do("key", name)
        assert expected.items() <= window.wait_for(action, before + 1).items()
    for page, name, action in (("Sounds", "Kick sound lock", "lock sound"), ("Mixer", "Snare mute", "mute"),
                               ("Bar", "F2", "mute")):
        before = len(window.log(action))
        hand.click(page)
        hand.click(name) if name in hand.names else hand.do("key", name)
        window.wait_for(action, before + 1)
    hand.do("keydown", "shift")
    hand.click("Variation")
    hand.do("keyup", "shift")
    window.wait_for("played anew")
    hand.click("Morph")
    points = len(window.log("point"))
    hand.do("mousemove", *hand.on_map(-0.6, 0.3), *["click", 4] * 6, "sleep", 0.2, "click", 1)  # zoomed by the wheel
    assert np.allclose(window.wait_for("point", points + 1)["point"], (-0.6, 0.3), atol=0.01)
    hand.click("Morph")
    window.wait_for("morph")
    hand.do("key", "0")
    hand.click("Path")
    points = len(window.log("point"))
    hand.do("mousemove", *hand.on_map(-0.5, 0.2), "click", 1)
    window.wait_for("point", points + 1)
    hand.click("Path")
    assert window.wait_for("path")["bars"] == 8
    hand.click("strip", 0.3)
    assert window.wait_for("bar")["index"] == 2
    hand.click("Open")  # the toolkit's own dialogue
    time.sleep(1)
    hand.do("type", "--delay", 5, str(material / "own.mid"))
    hand.do("key", "Return")
    assert window.wait_for("open")["bars"] == 1


def test_hits_are_drawn_struck_harder_and_erased_by_a_real_mouse(window, hand):
    hand.do("mousemove", *hand.on_map(0.2, 0.3), "key", "Delete")  # no row is under the mouse: the whole bar
    window.wait_for("clear")

    def moves(*cells):
        places = [hand.on_bar(row, step) for row, step in cells]
        return [word for place in places for word in ("mousemove", *place, "sleep", 0.05)]

    cells = len(window.log("cells"))
    hand.do(*moves((4, 8)), "mousedown", 1, *moves((4, 12), (4, 20), (4, 33)), "mouseup", 1)
    window.wait_for("cells", cells + 1)
    time.sleep(0.3)
    drawn = {step for line in window.log("cells")[cells:] for row, step, velocity in line["cells"] if velocity}
    assert drawn <= set(range(12, 36, 4)) and 32 in drawn
    hand.do(*moves((4, 16)), "mousedown", 1, *moves((3.5, 16), (2.5, 16), (2, 16)), "mouseup", 1)
    time.sleep(0.3)
    louder = [line["velocity"] for line in window.log("velocity")]
    assert louder == sorted(louder) and louder[-1] > 100 and window.log("velocity")[-1]["step"] == 16
    cells = len(window.log("cells"))
    hand.do(*moves((4, 8)), "mousedown", 3, *moves((4, 14), (4, 32)), "mouseup", 3)
    window.wait_for("cells", cells + 1)
    time.sleep(0.3)
    taken = {tuple(cell[:2]) for line in window.log("cells")[cells:] for cell in line["cells"]}
    assert {(4, step) for step in range(8, 36, 4)} <= taken


def test_slots_a_song_and_rows_by_keys_for_real(window, hand):
    hand.do("mousemove", *hand.on_map(0.2, 0.3), "click", 1)
    for key, action in (("shift+b", "slot"), ("r", "point")):
        before = len(window.log(action))
        hand.do("key", key)
        window.wait_for(action, before + 1)
    hand.click("slot A")
    window.wait_for("slot", 2)
    hand.click("Song")
    for letter in "AB":
        before = len(window.log("song"))
        hand.do("key", f"shift+{letter.lower()}")
        hand.click("Add")
        window.wait_for("song", before + 1)
    hand.click("Play song")
    assert window.wait_for("play song")["bars"] == 2
    hand.click("Play song")
    window.wait_for("pattern", len(window.log("pattern")))
    hand.click("Bar")
    before = len(window.log("play row"))
    hand.do("key", "l", "key", "s", "key", "g", "keydown", "a", "sleep", 1.2, "keyup", "a")
    window.wait_for("play row", before + 3)
    assert [line["row"] for line in window.log("play row")[before:]] == [1, 4, 0], "a key that is held plays once"
    hand.do("key", "F9")
    window.wait_for("record")
    hand.do("sleep", 2.5, "key", "d", "sleep", 0.3)  # after the count-in, if it began from silence
    hand.click("Record")
    assert window.wait_for("recorded")["hits"] == 1
    hand.do("key", "Escape")


def test_s_saves_and_closing_ends_the_program_silently_with_status_0(window, hand, material):
    hand.do("mousemove", *hand.on_bar(2, 5), "click", 1)
    window.wait_for("toggle")
    close_window(hand.env["DISPLAY"], "^Drum map$")  # there is work that is not saved: it asks
    time.sleep(0.5)
    hand.do("key", "ctrl+s")
    saved = Path(window.wait_for("save")["path"])
    for kind in (".mid", ".wav", ".png"):
        assert saved.with_name(saved.name + kind).stat().st_size > 100
    close_window(hand.env["DISPLAY"], "^Drum map$")
    assert window.end() == (0, "", "")
    assert window.log()[-1]["action"] == "end"


def test_without_portaudio_the_window_works_and_ctrl_c_ends_it_cleanly(screen, material, model, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")  # as sounddevice does
    with running(material, {**os.environ, "DISPLAY": screen, "PYTHONPATH": str(tmp_path)}, *of(material)) as program:
        program.wait_for("ready")
        hand = Hand(model, screen)
        hand.do("mousemove", *hand.on_map(0.5, 0.5), "click", 1)
        assert program.wait_for("point")["hits"] > 0
        assert "PortAudio" in program.wait_for("no sound")["reason"]
        hand.do("key", "s")
        program.wait_for("save")
        program.process.send_signal(signal.SIGINT)
        assert program.end() == (0, "", "")


# In a browser ----------------------------------------------------------------------------------------------------

class Browser:
    """Headless Chromium, driven over the DevTools protocol."""

    def __init__(self, connection):
        self.connection, self.count = connection, 0

    async def call(self, method, **parameters):
        self.count += 1
        await self.connection.write_message(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while True:
            answer = json.loads(await self.connection.read_message())
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    async def evaluate(self, expression):
        return (await self.call("Runtime.evaluate", expression=expression, returnByValue=True))["result"].get("value")

    async def mouse(self, kind, x, y, held=0):
        await self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, clickCount=1, buttons=held,
                        button="none" if kind == "Moved" and not held else "left")

    async def click(self, x, y):
        await self.mouse("Moved", x, y)
        await self.mouse("Pressed", x, y, held=1)
        await self.mouse("Released", x, y)

    async def key(self, key):
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)


@contextlib.asynccontextmanager
async def browser(profile):
    from tornado.websocket import websocket_connect

    process = subprocess.Popen(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={profile}", "--remote-debugging-port=0", f"--window-size={WIDTH + 60},{HEIGHT + 150}",
         "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file = profile / "DevToolsActivePort"
        wait(lambda: port_file.exists() and port_file.read_text().count("\n"), 60)
        port = port_file.read_text().split()[0]
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=20))
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        yield Browser(await websocket_connect(address, max_message_size=1 << 26))
    finally:
        process.terminate()
        process.wait()


def test_the_web_window_is_clicked_dragged_and_heard_in_a_browser(card, material, model, tmp_path):
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    program_env = {name: value for name, value in card[0].env.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}

    async def visit(program):
        output = program.process.stdout.readline() + program.process.stdout.readline()
        assert "browser instead" in output
        address = re.search(r"http://127\.0\.0\.1:\d+/", output)[0]
        async with browser(tmp_path / "profile") as page:
            await page.call("Page.navigate", url=address)
            program.wait_for("ready")
            for _ in range(100):
                if await page.evaluate("(document.querySelector('canvas') || {}).width") == WIDTH:
                    break
                await asyncio.sleep(0.1)
            left, top = await page.evaluate(
                "(({left, top}) => [left, top])(document.querySelector('canvas').getBoundingClientRect())")
            hand = Hand(model)
            x, y = hand.on_map(0.5, -0.4)
            await page.mouse("Moved", left + x, top + y)
            await asyncio.sleep(0.3)
            begin = len(card[1].samples())
            await page.click(left + x, top + y)
            assert np.allclose(program.wait_for("point")["point"], (0.5, -0.4), atol=0.02)
            program.wait_for("release")
            card[1].wait(1)
            assert np.abs(card[1].samples()[begin:]).max() > 0.01
            await page.mouse("Pressed", left + x, top + y, held=1)
            for i in range(10):
                await page.mouse("Moved", left + x - 5 * i, top + y, held=1)
            await page.mouse("Released", left + x - 45, top + y)
            assert program.wait_for("release", 2)["point"][0] < 0.5 - 0.2
            cell = hand.on_bar(2, 20)
            await page.click(left + cell[0], top + cell[1])
            toggled = program.wait_for("toggle")
            assert (toggled["row"], toggled["step"] // 4) == (2, 5)
            await page.key("s")
            program.wait_for("save")
            await asyncio.sleep(0.5)
            # what the page shows: the cell that was struck is lit or dark as the program says
            red = await page.evaluate(f"document.querySelector('canvas').getContext('2d')"
                                      f".getImageData({cell[0]}, {cell[1]}, 1, 1).data[0]")
            assert (red > 100) == (toggled["velocity"] > 0)
        program.wait_for("stop")  # the last page is closed: the sound stops
        program.process.send_signal(signal.SIGINT)
        return program.end()

    with running(material, program_env, *of(material)) as program:  # no --web: without a display this happens by itself
        status, output, errors = asyncio.run(asyncio.wait_for(visit(program), 120))
    assert (status, output, errors) == (0, "", "")


def test_a_port_that_is_taken_is_one_line(material):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(material, {**os.environ}, *of(material), "--web", "--port", str(port)) as program:
            status, output, errors = program.end()
    assert (status, output) == (2, "") and errors.count("\n") == 1 and str(port) in errors
