"""Makefile and .ci/setup with stand-ins for python, pip and apt that write down how they were called."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("make") or sys.platform == "win32", reason="needs make and a POSIX sh")

PROGRAMS = ("make", "sh", "cat", "cksum", "cut", "dirname", "rm", "mkdir", "cp", "touch", "sleep")

# As python it makes a .venv whose python is itself; as pip it takes PIP_SECONDS and ends with PIP_STATUS.
PYTHON = """#!/bin/sh
echo "python $*" >>"$LOG"
case "$*" in
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip install"*) sleep "${PIP_SECONDS:-0}"; exit "${PIP_STATUS:-0}" ;;
    *find_library*) exit "${NO_PORTAUDIO:-0}" ;;
    *tkinter*) exit "${NO_TKINTER:-0}" ;;
esac
"""


class Machine:
    """A copy of the set-up in a folder, and a PATH that holds nothing but stand-ins and a few plain programs."""

    def __init__(self, root, folder):
        self.project, self.bin, self.log = folder / "project", folder / "bin", folder / "log"
        (self.project / ".ci").mkdir(parents=True)
        self.bin.mkdir()
        for file in ("Makefile", ".ci/setup", "requirements.txt", "requirements-dev.txt"):
            shutil.copy(root / file, self.project / file)
        for program in PROGRAMS:
            (self.bin / program).symlink_to(shutil.which(program))
        self.program("python3", PYTHON)
        self.program("uname", "#!/bin/sh\necho Linux\n")
        self.program("id", "#!/bin/sh\necho 0\n")

    def program(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def start(self, *command, **environment):
        environment = {"PATH": str(self.bin), "LOG": str(self.log), **environment}
        return subprocess.Popen(command, cwd=self.project, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                env=environment, start_new_session=True)

    def run(self, *command, **environment):
        """(exit status, what it printed, the calls that matter: venv, pip install, pytest, a script, apt-get)."""
        self.log.write_text("")
        process = self.start(*command, **environment)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output, self.calls()

    def calls(self):
        wanted = ("python -m venv", "python -m pip install", "python -m pytest", "python Activation", "apt-get", "sudo")
        return [line for line in self.log.read_text().splitlines() if line.startswith(wanted)]


@pytest.fixture
def machine(root, tmp_path):
    return Machine(root, tmp_path)


VENV = "python -m venv .venv"
INSTALL = "python -m pip install --disable-pip-version-check -r requirements.txt"
INSTALL_DEV = INSTALL.replace(".txt", "-dev.txt")
WINDOW = "python Activation_Matrix_To_Sound.py"
TESTS = "python -m pytest -q --durations=10 -n auto --maxprocesses 4 --dist loadfile"


def test_play_sets_up_once_then_only_opens_the_window(machine):
    assert machine.run("make", "play") == (0, "making .venv with \ninstalling requirements.txt into .venv: a minute or "
                                              "more, depending on the network\n", [VENV, INSTALL, WINDOW])
    assert machine.run("make", "play", "ARGS=--web") == (0, "", [WINDOW + " --web"])


def test_test_uses_the_same_venv_with_its_own_requirements(machine):
    machine.run("make", "play")
    assert machine.run("make", "test")[2] == [INSTALL_DEV, TESTS]
    assert machine.run("make", "test", "ARGS=-k download")[2] == [TESTS + " -k download"]
    assert machine.run("make", "play")[2] == [WINDOW]


@pytest.mark.parametrize("target, last", [("play", WINDOW), ("test", TESTS)])
def test_changed_requirements_are_installed_into_the_same_venv(machine, target, last):
    machine.run("make", target)
    (machine.project / "requirements.txt").write_text("torch==9.9\n")
    assert machine.run("make", target)[2] == [INSTALL if target == "play" else INSTALL_DEV, last]
    (machine.project / "requirements.txt").touch()  # a new date alone is no change
    assert machine.run("make", target)[2] == [last]


def test_when_pip_fails_make_fails_and_says_how_to_go_on(machine):
    status, output, calls = machine.run("make", "play", PIP_STATUS="1")
    assert status == 2 and calls == [VENV, INSTALL]
    assert "pip could not install requirements.txt" in output
    assert machine.run("make", "play")[2] == [INSTALL, WINDOW]  # the same .venv, so nothing of it was lost


def start_until_pip_works(machine, seconds):
    machine.log.write_text("")
    process = machine.start("make", "play", PIP_SECONDS=str(seconds))
    deadline = time.monotonic() + 30
    while not any("pip install" in call for call in machine.calls()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    return process


def test_a_set_up_killed_while_pip_works_is_begun_anew(machine):
    process = start_until_pip_works(machine, 60)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (machine.project / ".venv" / "half").write_text("")
    assert machine.run("make", "play")[2] == [VENV, INSTALL, WINDOW]
    assert not (machine.project / ".venv" / "half").exists()


def test_a_venv_whose_python_is_gone_is_made_anew(machine):
    machine.run("make", "play")
    (machine.project / ".venv" / "bin" / "python").unlink()
    assert machine.run("make", "play")[2] == [VENV, INSTALL, WINDOW]


def test_two_set_ups_at_once_install_once(machine):
    first = start_until_pip_works(machine, 1)
    second = machine.start("make", "play")
    assert "waiting for another set-up" in second.communicate(timeout=60)[0]
    first.communicate(timeout=60)
    assert sorted(machine.calls()) == sorted([VENV, INSTALL, WINDOW, WINDOW])


def test_a_mark_whose_number_now_belongs_to_another_program_does_not_hold_up(machine):
    (machine.project / ".venv.unfinished").write_text(f"{os.getpid()}\n")
    machine.program("ps", "#!/bin/sh\necho /usr/bin/another-program\n")
    assert machine.run("make", "play")[::2] == (0, [VENV, INSTALL, WINDOW])
    assert not (machine.project / ".venv.unfinished").exists()


def test_without_a_fit_python_one_line_says_what_is_needed(machine):
    machine.program("python3", "#!/bin/sh\nexit 1\n")
    status, output, _ = machine.run("make", "play")
    assert status == 2 and "Python 3.11 or later with venv is needed" in output
    assert not (machine.project / ".venv").exists() and not (machine.project / ".venv.unfinished").exists()


def test_a_python_that_is_too_old_is_passed_over(machine):
    machine.program("python3", "#!/bin/sh\nexit 1\n")
    machine.program("python3.12", PYTHON)
    assert machine.run("make", "play")[::2] == (0, [VENV, INSTALL, WINDOW])


def test_a_python_with_a_window_toolkit_comes_first(machine):
    machine.program("python3", PYTHON.replace("python $*", "bare $*").replace("{NO_TKINTER:-0}", "{NO_TKINTER:-1}"))
    machine.program("python3.11", PYTHON)
    status, output, calls = machine.run("make", "play")
    assert calls == [VENV, INSTALL, WINDOW] and "no tkinter" not in output


def test_without_a_window_toolkit_anywhere_it_says_that_the_browser_serves(machine):
    status, output, calls = machine.run("make", "play", NO_TKINTER="1")
    assert status == 0 and calls == [VENV, INSTALL, WINDOW] and "will open in the browser" in output


APT = "#!/bin/sh\necho \"apt-get $*\" >>\"$LOG\"\nexit %d\n"


def test_portaudio_is_installed_where_it_is_missing_and_apt_can(machine):
    machine.program("apt-get", APT % 0)
    calls = machine.run("make", "play", NO_PORTAUDIO="1")[2]
    assert calls == [VENV, INSTALL, "apt-get install -qq -y libportaudio2", WINDOW]
    shutil.rmtree(machine.project / ".venv")
    assert machine.run("make", "play")[2] == [VENV, INSTALL, WINDOW]  # it is there: apt is left alone


def test_where_apt_cannot_the_window_opens_all_the_same(machine):
    machine.program("apt-get", APT % 100)
    status, output, calls = machine.run("make", "play", NO_PORTAUDIO="1")
    assert status == 0 and calls[-1] == WINDOW
    assert output.count("no PortAudio, so no live sound: install libportaudio2") == 1


def test_without_root_or_sudo_apt_is_not_called(machine):
    machine.program("apt-get", APT % 0)
    machine.program("id", "#!/bin/sh\necho 1000\n")
    machine.program("sudo", "#!/bin/sh\necho \"sudo $*\" >>\"$LOG\"\nexit 1\n")
    status, output, calls = machine.run("make", "play", NO_PORTAUDIO="1")
    assert status == 0 and "no PortAudio" in output and calls[-1] == WINDOW
    assert all(call.startswith("sudo -n apt-get") for call in calls if "apt-get" in call)


def test_elsewhere_than_on_linux_the_wheel_brings_portaudio(machine):
    machine.program("uname", "#!/bin/sh\necho Darwin\n")
    status, output, calls = machine.run("make", "play", NO_PORTAUDIO="1")
    assert calls == [VENV, INSTALL, WINDOW] and "PortAudio" not in output


@pytest.fixture
def build_machine(machine, root):
    """A machine that lacks every program that .ci/run asks for."""
    shutil.copy(root / ".ci" / "run", machine.project / ".ci" / "run")
    (machine.bin / "bash").symlink_to(shutil.which("bash"))
    machine.program("dpkg", "#!/bin/sh\nexit 1\n")
    return machine


def test_the_build_machine_installs_all_at_once_then_runs_the_tests(build_machine):
    build_machine.program("apt-get", APT % 0)
    status, output, calls = build_machine.run("bash", ".ci/run")
    install = calls.pop(1)
    assert status == 0 and calls == ["apt-get update -qq", VENV, INSTALL_DEV, TESTS]
    assert set("xvfb xdotool pulseaudio libasound2-plugins libportaudio2 chromium".split()) <= set(install.split())
    assert "python3-tk" not in install  # this Python has its own


def test_a_program_that_cannot_be_had_does_not_cost_the_others(build_machine):
    build_machine.program("apt-get", (APT % 0).replace("exit 0", "case \"$*\" in *chromium*) exit 100; esac"))
    status, output, calls = build_machine.run("bash", ".ci/run")
    assert status == 0 and calls[-1] == TESTS
    assert output.count("cannot install") == 1 and "cannot install chromium; the tests that need it will skip" in output
    assert any(call.endswith(" xvfb") for call in calls)


def test_the_build_machine_without_root_runs_the_same_tests(build_machine):
    build_machine.program("id", "#!/bin/sh\necho 1000\n")
    status, output, calls = build_machine.run("bash", ".ci/run")
    assert status == 0 and "going on without: make xvfb" in output
    assert calls == [VENV, INSTALL_DEV, TESTS]
