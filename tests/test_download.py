"""download.py against a server of our own on this machine: checked, whole or not at all, and nothing fetched twice."""

import errno
import gzip
import hashlib
import http.server
import io
import os
import random
import subprocess
import sys
import threading
import time
import zipfile

import pytest

import download


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (path -> bytes) and keeps the path of each request in `requests`.

    cut: path -> how many bytes an answer brings before the connection breaks. status: path -> another answer than 200.
    together: so many requests are answered at the same time. hold: after half of an answer, wait for ever.
    """

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.status, self.requests = dict(files), {}, {}, []
        self.encoding, self.together, self.hold = None, None, False
        self.held, self.released = threading.Event(), threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.released.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append(self.path)
        if server.together:
            server.together.wait(20)
        if self.path in server.status or self.path not in server.files:
            return self.send_error(server.status.get(self.path, 404))
        body = server.files[self.path]
        self.send_response(200)
        if server.encoding:
            self.send_header("Content-Encoding", server.encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.hold:
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            server.held.set()
            return server.released.wait(30)
        self.wfile.write(body[:server.cut.get(self.path)])


def zipped(members):
    """The bytes of a zip file of {name: bytes}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


NOISE = random.Random(0).randbytes(300_000)
GROOVE = zipped({"groove/info.csv": b"drummer,session\n", "groove/drummer1/beat.mid": NOISE})
DIGITS = {f"{part}-{kind}.gz": random.Random(part + kind).randbytes(5000)
          for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")}
ZIP = "/groove-v1.0.0-midionly.zip"
WHOLE_GROOVE = ["groove", "groove/drummer1", "groove/drummer1/beat.mid", "groove/info.csv"]
NOBODY = "http://127.0.0.1:9"  # no one listens at port 9


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def pin(monkeypatch, name, contents):
    """Let the data set `name` be `contents` (file -> bytes as checked), at addresses that nobody answers."""
    files = {file: sha256(content) for file, content in contents.items()}
    monkeypatch.setitem(download.DATASETS, name, {**download.DATASETS[name], "files": files, "addresses": [NOBODY]})


@pytest.fixture
def server(monkeypatch, tmp_path_factory):
    monkeypatch.delenv("SEQUENCEUR_DATA", raising=False)
    monkeypatch.setattr(download, "DATA", tmp_path_factory.mktemp("project") / "data")
    pin(monkeypatch, "groove", {ZIP[1:]: GROOVE})
    pin(monkeypatch, "mnist", DIGITS)
    server = Server({ZIP: GROOVE} | {f"/{name}": gzip.compress(content) for name, content in DIGITS.items()})
    yield server
    server.stop()


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# What comes, and where it comes from.

def test_the_pinned_checksums_are_those_of_the_published_files():
    """MNIST's raw files as its readers have published them, Groove as TensorFlow Datasets lists it."""
    assert download.DATASETS["groove"]["files"] == {
        ZIP[1:]: "sha256:651cbc524ffb891be1a3e46d89dc82a1cecb09a57c748c7b45b844c4841dcc1e"}
    assert list(download.DATASETS["mnist"]["files"].values()) == [
        f"md5:{digits}" for digits in ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
                                       "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637")]


def test_the_real_mnist_files_pass_their_checksums(shared_data, tmp_path):
    names = download.DATASETS["mnist"]["files"]
    server = Server({f"/{name}": (shared_data / "mnist" / name).read_bytes() for name in names})
    folder = download.fetch("mnist", server.address, tmp_path)
    server.stop()
    assert all((folder / name).read_bytes() == server.files[f"/{name}"] for name in names)


def test_groove_arrives_whole_and_a_second_fetch_asks_nobody(server, tmp_path, capfd):
    folder = download.fetch("groove", server.address, tmp_path)
    assert folder == tmp_path / "groove"
    assert files_under(tmp_path) == WHOLE_GROOVE  # no archive or part left
    assert (folder / "drummer1" / "beat.mid").read_bytes() == NOISE
    assert download.fetch("groove", server.address, tmp_path) == folder
    assert server.requests == [ZIP]
    assert capfd.readouterr() == ("", ""), "no progress bar but on a terminal"


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_mnist_arrives_gzipped_even_from_a_server_that_calls_that_an_encoding(server, tmp_path, encoding):
    server.encoding = encoding
    folder = download.fetch("mnist", server.address + "/", tmp_path)
    assert files_under(tmp_path) == ["mnist"] + sorted(f"mnist/{name}" for name in DIGITS)
    for name in DIGITS:
        assert (folder / name).read_bytes() == server.files[f"/{name}"]


def test_a_mirror_that_packed_the_digits_anew_serves_as_well(server, tmp_path):
    for name, content in DIGITS.items():
        server.files[f"/{name}"] = gzip.compress(content, compresslevel=1, mtime=77)
    download.fetch("mnist", server.address, tmp_path)


def test_all_may_read_what_comes(server, tmp_path):
    folder = download.fetch("mnist", server.address, tmp_path)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").touch()
    assert folder.stat().st_mode == (tmp_path / "new").stat().st_mode
    assert {file.stat().st_mode for file in folder.iterdir()} == {(tmp_path / "new" / "file").stat().st_mode}


def test_where_one_public_address_fails_the_next_is_tried(server, tmp_path, monkeypatch):
    """Nobody there, no such file, other content under that name, a broken connection: for each file of a set."""
    server.files["/other" + ZIP] = b"other"
    server.files["/broken" + ZIP] = GROOVE
    server.cut["/broken" + ZIP] = 1000
    addresses = [NOBODY] + [server.address + folder for folder in ("/lost", "/other", "/broken", "")]
    monkeypatch.setitem(download.DATASETS["groove"], "addresses", addresses)
    monkeypatch.setitem(download.DATASETS["mnist"], "addresses", addresses)
    download.fetch("groove", folder=tmp_path)
    assert server.requests == ["/lost" + ZIP, "/other" + ZIP, "/broken" + ZIP, ZIP]
    download.fetch("mnist", folder=tmp_path)
    assert set(files_under(tmp_path)) > set(WHOLE_GROOVE) | {f"mnist/{name}" for name in DIGITS}


def test_without_a_folder_it_lands_in_the_project(server):
    assert download.fetch("groove", server.address) == download.DATA / "groove"
    assert files_under(download.DATA) == WHOLE_GROOVE


def test_a_copy_in_the_project_comes_before_the_one_that_the_environment_names(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "DATA", tmp_path / "data")
    monkeypatch.setenv("SEQUENCEUR_DATA", str(tmp_path / "elsewhere"))
    for place in ("elsewhere", "data"):
        (tmp_path / place / "groove").mkdir(parents=True)
        (tmp_path / place / "groove" / "info.csv").write_text("")
        assert download.fetch("groove") == tmp_path / place / "groove"
    assert not server.requests
    assert download.fetch("groove", server.address, tmp_path / "asked") == tmp_path / "asked" / "groove"


def test_an_empty_folder_of_that_name_is_filled(server, tmp_path):
    (tmp_path / "groove").mkdir()
    download.fetch("groove", server.address, tmp_path)
    assert files_under(tmp_path) == WHOLE_GROOVE


# What goes wrong: one line, and nothing left.

def refusal(kind, *arguments):
    """The one line that fetch refuses with."""
    with pytest.raises(kind) as caught:
        download.fetch(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_name_is_said(server, tmp_path):
    assert refusal(ValueError, "drums", None, tmp_path) == "expected a data set out of groove, mnist, found 'drums'"


@pytest.mark.parametrize("mirror, reason", [("{server}/nowhere", "404"), ("{server}/ill", "500"),
                                            ("{server}/broken", "ChunkedEncodingError"), (NOBODY, "ConnectionError"),
                                            ("ftp://example.org", "InvalidSchema"), ("example.org", "MissingSchema")])
def test_a_file_that_cannot_be_had_is_said_and_leaves_nothing(server, tmp_path, mirror, reason):
    server.status["/ill" + ZIP] = 500
    server.files["/broken" + ZIP] = GROOVE
    server.cut["/broken" + ZIP] = 200_000
    mirror = mirror.format(server=server.address)
    assert refusal(OSError, "groove", mirror, tmp_path).startswith(f"{mirror}{ZIP}: cannot be fetched ({reason}); ")
    assert files_under(tmp_path) == []


def test_a_set_that_lacks_its_last_file_leaves_nothing(server, tmp_path):
    last = list(DIGITS)[-1]
    body = server.files.pop(f"/{last}")
    assert f"{last}: cannot be fetched (404)" in refusal(OSError, "mnist", server.address, tmp_path)
    assert len(server.requests) == 4 and files_under(tmp_path) == []
    server.files[f"/{last}"] = body
    download.fetch("mnist", server.address, tmp_path)


@pytest.mark.parametrize("name, path", [("groove", ZIP), ("mnist", "/train-images-idx3-ubyte.gz")])
@pytest.mark.parametrize("spoil", [lambda body: body[:-9], lambda body: b"", lambda body: b"<html>log in</html>",
                                   lambda body: body[:2000] + bytes([body[2000] ^ 1]) + body[2001:],
                                   lambda body: gzip.compress(b"other")], ids="short empty page bit other".split())
def test_other_content_than_the_published_is_refused_and_removed(server, tmp_path, name, path, spoil):
    server.files[path] = spoil(server.files[path])
    line = refusal(ValueError, name, server.address, tmp_path)
    assert line.startswith(f"{server.address}{path}: expected the published content, ")
    assert files_under(tmp_path) == []


@pytest.mark.parametrize("where", ["while it comes", "while it is unpacked"])
def test_a_full_disk_is_said_and_leaves_nothing(server, tmp_path, monkeypatch, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full(io.FileIO):
        def write(self, block):
            return full() if self.tell() >= 131072 else super().write(block)

    with monkeypatch.context() as patch:
        if where == "while it comes":
            patch.setattr("pooch.downloaders.open", Full, raising=False)
        else:
            patch.setattr(zipfile.ZipFile, "extractall", full)
        line = refusal(OSError, "groove", server.address, tmp_path)
    assert "No space left on device" in line and str(tmp_path / "groove") in line
    assert files_under(tmp_path) == []
    download.fetch("groove", server.address, tmp_path)


@pytest.mark.parametrize("member", ["../outside.mid", "/outside.mid", "groove/../../outside.mid", "..\\outside.mid",
                                    "\\outside.mid", "C:\\outside.mid", "C:outside.mid"])
def test_an_archive_that_reaches_outside_is_refused_before_anything_is_written(server, tmp_path, monkeypatch, member):
    evil = server.files[ZIP] = zipped({"groove/info.csv": b"", member: b"evil"})
    pin(monkeypatch, "groove", {ZIP[1:]: evil})
    monkeypatch.setattr(zipfile.ZipFile, "extractall", lambda *_: pytest.fail("written"))
    assert "refused" in refusal(ValueError, "groove", server.address, tmp_path / "data")
    assert files_under(tmp_path) == ["data"]


@pytest.mark.parametrize("body", [b"PK but no archive", GROOVE[:-30], GROOVE.replace(NOISE[:9], NOISE[1:10])],
                         ids=["none", "short", "spoilt inside"])
def test_an_archive_that_is_none_is_said(server, tmp_path, monkeypatch, body):
    server.files[ZIP] = body
    pin(monkeypatch, "groove", {ZIP[1:]: body})
    assert refusal(ValueError, "groove", server.address, tmp_path).startswith("groove: not a sound zip file (")
    assert files_under(tmp_path) == []


def test_a_folder_of_that_name_with_other_things_in_it_is_left_alone(server, tmp_path):
    (tmp_path / "groove").mkdir()
    (tmp_path / "groove" / "mine.txt").write_text("mine")
    (tmp_path / "mnist").write_text("mine")
    line = refusal(FileExistsError, "groove", server.address, tmp_path)
    assert line == f"{tmp_path / 'groove'}: expected info.csv in it; move it away"
    assert refusal(FileExistsError, "mnist", server.address, tmp_path).startswith(f"{tmp_path / 'mnist'}: expected ")
    assert files_under(tmp_path) == ["groove", "groove/mine.txt", "mnist"] and not server.requests


# Processes that die, and several at once.

CHILD = """
import sys, time, zipfile
import download
address, folder, checksum, stuck = sys.argv[1:]
download.DATASETS["groove"]["files"] = {"groove-v1.0.0-midionly.zip": checksum}
def half(bundle, folder):
    bundle.extract("groove/info.csv", folder)
    print("half", flush=True)
    time.sleep(30)
if stuck == "unpacking":
    zipfile.ZipFile.extractall = half
print(download.fetch("groove", address, folder))
"""


def child(root, server, folder, stuck=""):
    return subprocess.Popen([sys.executable, "-c", CHILD, server.address, folder, sha256(GROOVE), stuck], cwd=root,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("moment", ["downloading", "unpacking"])
def test_a_process_killed_midway_leaves_nothing_under_the_name_and_the_next_call_works(server, tmp_path, root, moment):
    server.hold = moment == "downloading"
    process = child(root, server, tmp_path, moment)
    if server.hold:
        assert server.held.wait(20)
        deadline = time.monotonic() + 20
        while not any(path.is_file() and path.stat().st_size for path in tmp_path.rglob("*")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    else:
        assert process.stdout.readline() == "half\n"
    process.kill()  # SIGKILL
    process.communicate()
    assert len(list(tmp_path.glob("groove.part.*"))) == 1 and not (tmp_path / "groove").exists()
    server.hold = False
    assert download.fetch("groove", server.address, tmp_path) == tmp_path / "groove"
    assert [f"groove/{path}" for path in files_under(tmp_path / "groove")] == WHOLE_GROOVE[1:]


def test_two_processes_at_once_both_end_well(server, tmp_path, root):
    server.together = threading.Barrier(2)  # both have looked, and found nothing, before either is answered
    processes = [child(root, server, tmp_path) for _ in range(2)]
    ends = [(*process.communicate(timeout=30), process.returncode) for process in processes]
    assert ends == [(f"{tmp_path / 'groove'}\n", "", 0)] * 2
    assert server.requests == [ZIP, ZIP] and files_under(tmp_path) == WHOLE_GROOVE


def test_who_finds_other_things_there_at_the_end_leaves_them_alone(server, tmp_path, monkeypatch):
    fill = download._fill

    def meanwhile(*arguments):
        fill(*arguments)
        (tmp_path / "groove").mkdir()
        (tmp_path / "groove" / "mine.txt").write_text("mine")

    monkeypatch.setattr(download, "_fill", meanwhile)
    assert str(tmp_path / "groove") in str(refusal(OSError, "groove", server.address, tmp_path))
    assert files_under(tmp_path) == ["groove", "groove/mine.txt"]


# On the command line.

@pytest.mark.parametrize("arguments, words", [
    (["groove", "--mirror", NOBODY], "cannot be fetched (ConnectionError)"),
    (["drums"], "invalid choice: 'drums'"),
    (["mnist", "--mirror", NOBODY, "--folder", "{file}"], "notes.txt"),
])
def test_on_the_command_line_a_failure_is_one_line_and_status_2(root, tmp_path, arguments, words):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    arguments = [argument.format(file=file) for argument in arguments]
    if "--folder" not in arguments:
        arguments += ["--folder", str(tmp_path / "data")]
    environment = {name: value for name, value in os.environ.items() if name != "SEQUENCEUR_DATA"}
    process = subprocess.run([sys.executable, root / "download.py", *arguments], capture_output=True, text=True,
                             cwd=tmp_path, env=environment)
    assert process.returncode == 2 and process.stdout == ""
    assert process.stderr.count("\n") == 1 and words in process.stderr
    assert file.read_text() == "mine"


def test_on_the_command_line_the_folder_is_named(server, tmp_path, capsys):
    result = download.main(["groove", "--mirror", server.address, "--folder", str(tmp_path)])
    assert capsys.readouterr() == (f"groove is in {tmp_path / 'groove'}\n", "")
    assert result == {"folder": tmp_path / "groove"}
