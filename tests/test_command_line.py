"""command_line.py: options, errors and exit status of any script, and files written whole or not at all."""

import errno
import io
import math
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import command_line
from command_line import Parser, Progress, number, one_line, replacing


def python(root, code, *arguments, **options):
    """Run `code` as a script of the project, and return the finished process."""
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=root, capture_output=True, text=True, **options)


def parse(text, **limits):
    parser = Parser("A test.", prog="test.py")
    parser.add_argument("--value", type=number(**limits))
    return parser.parse_args([f"--value={text}"]).value


# The parser.

def test_help_shows_the_docstring_line_for_line(capsys):
    doc = "One sentence.\n\n    python x.py --a    # two  spaces, 14 % and {braces} stay\n"
    with pytest.raises(SystemExit) as leaving:
        Parser(doc, prog="x.py").parse_args(["--help"])
    assert leaving.value.code == 0
    assert doc.rstrip("\n") in capsys.readouterr().out


def test_a_wrong_option_is_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as leaving:
        Parser("A test.", prog="x.py").parse_args(["--no\nsuch"])
    assert leaving.value.code == 2
    assert capsys.readouterr() == ("", "x.py: unrecognized arguments: --no such (see --help)\n")


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.integers(0, 1000))
def test_a_whole_number_is_taken_exactly_within_its_limits(value, low, span):
    parse_value = number(int, low, low + span)
    if low <= value <= low + span:
        assert parse_value(str(value)) == value and type(parse_value(str(value))) is int
    else:
        with pytest.raises(command_line.argparse.ArgumentTypeError):
            parse_value(str(value))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_every_bit(value):
    assert number(float)(repr(value)) == value


@pytest.mark.parametrize("text, limits, words", [
    ("nan", {}, "expected a number, found 'nan'"),
    ("-inf", {}, "expected a number, found '-inf'"),
    ("1e999", {"low": 0}, "expected a number of at least 0, found '1e999'"),
    ("-0.1", {"low": 0}, "expected a number of at least 0, found '-0.1'"),
    ("8", {"high": 7.5}, "expected a number from -inf to 7.5, found '8'"),
    ("39", {"kind": int, "low": 40, "high": 240}, "expected a whole number from 40 to 240, found '39'"),
    ("2.5", {"kind": int}, "expected a whole number, found '2.5'"),
    ("", {}, "expected a number, found ''"),
])
def test_what_is_no_such_number_is_named_with_what_was_expected_and_found(text, limits, words, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(text, **limits)
    assert leaving.value.code == 2
    assert capsys.readouterr().err == f"test.py: argument --value: {words} (see --help)\n"


# Errors.

@given(st.text("a\t \r\n\v\x1c\u2028\u3000:"))
def test_any_error_text_becomes_one_line(text):
    line = one_line(ValueError(text))
    assert len(line.splitlines()) == 1 and line.split() == (text.split() or ["ValueError"])


def test_an_error_without_words_gives_its_kind():
    assert one_line(FloatingPointError()) == "FloatingPointError"


def test_a_system_error_names_the_file_and_the_reason():
    with pytest.raises(OSError) as caught:
        open("/no/such/file")
    assert one_line(caught.value) == "/no/such/file: No such file or directory"
    assert one_line(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"


@pytest.mark.parametrize("body, status, stderr", [
    ("raise ValueError('kick.wav: expected\\n 8 files, found 7')", 2, "-c: kick.wav: expected 8 files, found 7\n"),
    ("open('/no/such')", 2, "-c: /no/such: No such file or directory\n"),
    ("raise FloatingPointError('loss is nan at step 3')", 2, "-c: loss is nan at step 3\n"),
    ("raise KeyboardInterrupt", 130, "\n-c: stopped\n"),
    ("import no_such_module", 2, "-c: this Python has no module no_such_module; run it with .venv/bin/python "
                                 "(make play makes it), or pip install -r requirements.txt\n"),
    ("return {'hits': 3}", 0, ""),
    ("return 1", 1, ""),
    ("return True", 0, ""),
])
def test_how_a_script_ends(root, body, status, stderr):
    process = python(root, f"import command_line\ndef main():\n    {body}\ncommand_line.run(main)")
    assert (process.returncode, process.stderr) == (status, stderr)


@pytest.mark.parametrize("body", ["import numpy; numpy.ones(2**55)", "import torch; torch.ones(2**55)"])
def test_more_memory_than_there_is_is_one_line(root, body):
    process = python(root, f"import command_line\ndef main():\n    {body}\ncommand_line.run(main)")
    assert process.returncode == 2
    assert process.stderr.startswith("-c: this takes more memory than there is (") and process.stderr.count("\n") == 1


def test_a_polite_kill_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path, root):
    path = tmp_path / "bar.npy"
    path.write_bytes(b"old")
    process = python(root, "import os, signal, sys, time, command_line\n"
                           "def main():\n"
                           "    with command_line.replacing(sys.argv[1]) as temporary:\n"
                           "        temporary.write_bytes(b'half')\n"
                           "        os.kill(os.getpid(), signal.SIGTERM)\n"
                           "        time.sleep(10)\n"
                           "command_line.run(main)", path)
    assert (process.returncode, process.stderr) == (143, "")
    assert path.read_bytes() == b"old" and entries(tmp_path) == ["bar.npy"]


def test_an_empty_argument_is_no_path(capsys):
    parser = Parser("A test.", prog="test.py")
    parser.add_argument("folder", type=command_line.Path)
    with pytest.raises(SystemExit) as leaving:
        parser.parse_args([""])
    assert leaving.value.code == 2
    assert capsys.readouterr().err == "test.py: expected words, found an empty argument (see --help)\n"


def test_a_fault_of_ours_keeps_its_traceback(root):
    process = python(root, "import command_line\ncommand_line.run(lambda: {}['key'])")
    assert process.returncode == 1 and "Traceback" in process.stderr and "KeyError" in process.stderr


def test_the_traceback_of_a_persons_error_can_be_asked_for(root):
    code = "import command_line\ncommand_line.run(lambda: open('/no/such'))"
    process = python(root, code, env={**os.environ, "SEQUENCEUR_DEBUG": "1"})
    assert process.returncode == 1 and "Traceback" in process.stderr


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_seen_enough_ends_it_in_silence(root, lines):
    """`script | head`, for output that fits the buffer and is written only at the end, and for output that does not."""
    code = f"import command_line, sys; sys.stdin.read(); command_line.run(lambda: print('kick\\n' * {lines}))"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    script = subprocess.Popen([sys.executable, "-c", code], cwd=root, env=buffered, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    script.stdout.close()  # before the script writes
    script.stdin.close()
    assert script.wait() == 0
    assert script.stderr.read() == b""
    script.stderr.close()


# Files, whole or not at all.

def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_only_once_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "bar.npy"
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
        assert temporary.parent == path.parent and temporary.suffix == ".npy" and temporary.name.startswith(".")
    assert path.read_bytes() == b"whole" and entries(path.parent) == ["bar.npy"]


def test_a_failure_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "bar.npy"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="half way"), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise ValueError("half way")
    assert path.read_bytes() == b"old" and entries(tmp_path) == ["bar.npy"]


def test_a_kill_leaves_the_file_as_it_was(tmp_path, root):
    path = tmp_path / "bar.npy"
    path.write_bytes(b"old")
    process = python(root, "import os, signal, sys, command_line\n"
                           "with command_line.replacing(sys.argv[1]) as temporary:\n"
                           "    temporary.write_bytes(b'half')\n"
                           "    os.kill(os.getpid(), signal.SIGKILL)", path)
    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_a_polite_kill_at_any_moment_leaves_nothing_beside_the_file(tmp_path, root):
    code = ("import sys, command_line\n"
            "def main():\n"
            "    print('ready', flush=True)\n"
            "    while True:\n"
            "        with command_line.replacing(sys.argv[1]):\n"
            "            pass\n"
            "command_line.run(main)")
    for pause in np.linspace(0, 0.01, 12):
        process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "bar.npy"], cwd=root, stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.02 + pause)
        process.terminate()
        assert process.wait() == 143
        process.stdout.close()
    assert entries(tmp_path) == ["bar.npy"]


def test_a_full_disk_names_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "bar.npy"
    with pytest.raises(OSError) as caught, replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert one_line(caught.value) == f"{path}: No space left on device" and entries(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_device_that_is_full_is_named():
    with pytest.raises(OSError) as caught, replacing("/dev/full") as path:
        path.write_bytes(b"half")
    assert one_line(caught.value) == "/dev/full: No space left on device"


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="/no/such"), replacing(tmp_path / "bar.npy"):
        open("/no/such")


def test_a_file_gets_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "ours"):
        pass
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name, words", [("folder", "expected a file name, found a folder"),
                                         ("file/bar.npy", "cannot write here"),
                                         ("x" * 300, "File name too long")])
def test_where_nothing_can_be_written_the_path_and_the_reason_are_named(tmp_path, name, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError) as caught, replacing(tmp_path / name):
        pytest.fail("the block must not run")
    assert one_line(caught.value).startswith(f"{tmp_path / name}: {words}")
    assert entries(tmp_path) == ["file", "folder"] and (tmp_path / "file").read_text() == "mine"


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.wav").write_bytes(b"old")
    (tmp_path / "link.wav").symlink_to("real.wav")
    with replacing(tmp_path / "link.wav") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "link.wav").is_symlink() and (tmp_path / "real.wav").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_and_stays_a_pipe(tmp_path):
    """As is /dev/null, which a rename over it would destroy for the whole machine."""
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with replacing(pipe) as path:
        path.write_bytes(b"new")
    reader.join()
    assert pipe.is_fifo() and read == [b"new"]


def test_numbers_compare_with_infinite_limits():
    assert number(float, low=-math.inf)("-1e308") == -1e308


def test_negative_numbers_are_values_in_every_notation():
    parser = Parser("doc")
    parser.add_argument("--at", nargs=2, type=number(float))
    for text in ("-1", "-0.5", "-.5", "-1e-3", "-2E+1", "-3."):
        assert parser.parse_args(["--at", text, "0"]).at == [float(text), 0.0]


# Progress: of what takes long.

class Terminal(io.StringIO):
    def isatty(self):
        return True


def wait_for(stream, words):
    """Until another thread has written the words; False after far longer than that takes."""
    until = time.monotonic() + 60
    while words not in stream.getvalue() and time.monotonic() < until:
        time.sleep(0.005)
    return words in stream.getvalue()


def test_a_log_says_nothing_of_a_short_step(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(Progress("abc", "reading", "files")) == ["a", "b", "c"]
    with Progress(what="drawing"):
        pass
    assert sys.stderr.getvalue() == ""


def test_a_log_says_what_a_long_step_does_while_nothing_is_counted_and_where_it_ends(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(command_line, "LONG", 0.01)
    with Progress(what="training", unit="bars", total=20_000) as bar:
        bar.update(5000)
        bar.set_postfix_str("bound -31.2")
        assert wait_for(sys.stderr, "training: 5.00k of 20.0k bars, 00:00, 00:00 left, bound -31.2\n")
        bar.update(15_000)
    assert "\r" not in sys.stderr.getvalue()
    assert sys.stderr.getvalue().splitlines()[-1].startswith("training: 20.0k of 20.0k bars")
    with Progress(what="drawing"):
        assert wait_for(sys.stderr, "drawing: 00:00\n")


def test_a_log_says_how_far_a_loop_is(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(command_line, "LONG", 0.01)
    for i in Progress(iter(range(3)), "reading", "files", total=3):
        assert wait_for(sys.stderr, f"reading: {i} of 3 files")


def test_a_terminal_shows_a_bar_whose_clock_goes_on_and_keeps_that_of_a_long_step(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress(range(3), "reading", "files"):
        assert wait_for(sys.stderr, "0 of 3 files, 00:01")
    assert sys.stderr.getvalue().rsplit("\r", 2)[1].isspace(), "a short one goes"
    monkeypatch.setattr(command_line, "LONG", 0)
    list(Progress(range(3), "reading", "files"))
    last = sys.stderr.getvalue().rsplit("\r", 1)[1]
    assert last.startswith("reading: 100%|") and "| 3 of 3 files, 00:00" in last and last.endswith("\n")


def test_steps_give_their_results_in_order_and_are_named(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(command_line, "LONG", 0)
    results = command_line.step_by_step("measuring", "figures", {"bars": lambda: 3, "active_units": lambda: None})
    assert list(results.items()) == [("bars", 3), ("active_units", None)]
    assert sys.stderr.getvalue().endswith("measuring: 2 of 2 figures, 00:00, active units\n")


def test_a_bar_of_another_process_of_a_training_is_silent(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(command_line, "LONG", 0)
    monkeypatch.setenv("RANK", "1")
    with Progress(what="training", unit="bars", total=3) as bar:
        bar.update(3)
    assert sys.stderr.getvalue() == "" and not bar.ticker.is_alive()
