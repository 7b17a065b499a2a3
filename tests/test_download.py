"""download.py against a server of our own on this machine: whole or not at all, and nothing fetched twice."""

import errno
import gzip
import hashlib
import http.server
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile

import pytest

import download


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (path -> bytes) with byte ranges and keeps each request's (path, Range header) in `requests`.

    cut: path -> how many bytes an answer brings before the connection breaks. resumes: False to ignore Range.
    """

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.requests, self.resumes = dict(files), {}, [], True
        self.encoding = None
        self.delay = 0.0
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, asked = self.server, self.headers["Range"]
        server.requests.append((self.path, asked))
        time.sleep(server.delay)
        if self.path not in server.files:
            return self.send_error(404)
        body, start = server.files[self.path], 0
        if asked and server.resumes:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.encoding:
            self.send_header("Content-Encoding", server.encoding)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + server.cut[self.path] if self.path in server.cut else len(body)
        self.wfile.write(body[start:end])
        self.wfile.flush()
        self.close_connection = True


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


def pin(monkeypatch, name, contents):
    """Let the data set `name` be `contents` (file -> bytes as checked), at addresses that nobody answers."""
    checksums = {file: f"sha256:{hashlib.sha256(content).hexdigest()}" for file, content in contents.items()}
    entry = {**download.DATASETS[name], "files": checksums, "addresses": ["http://127.0.0.1:9"]}
    monkeypatch.setitem(download.DATASETS, name, entry)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("SEQUENCEUR_DATA", raising=False)
    monkeypatch.setattr(download, "DATA", download.DATA / "not for tests")
    pin(monkeypatch, "groove", {ZIP[1:]: GROOVE})
    pin(monkeypatch, "mnist", DIGITS)
    server = Server({ZIP: GROOVE} | {f"/{name}": gzip.compress(content) for name, content in DIGITS.items()})
    yield server
    server.stop()


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


WHOLE_GROOVE = ["groove", "groove/drummer1", "groove/drummer1/beat.mid", "groove/info.csv"]


def test_the_pinned_checksums_are_those_of_the_published_files():
    """MNIST's raw files as its readers have published them, Groove as TensorFlow Datasets lists it."""
    assert download.DATASETS["groove"]["files"] == {
        ZIP[1:]: "sha256:651cbc524ffb891be1a3e46d89dc82a1cecb09a57c748c7b45b844c4841dcc1e"}
    assert list(download.DATASETS["mnist"]["files"].values()) == [
        f"md5:{digits}" for digits in ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
                                       "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637")]


def test_the_real_mnist_files_pass_their_checksums(shared_data):
    for file, checksum in download.DATASETS["mnist"]["files"].items():
        assert download._checksum(shared_data / "mnist" / file, "md5") == checksum


def test_groove_arrives_whole_and_a_second_fetch_asks_nobody(server, tmp_path):
    folder = download.fetch("groove", server.address, tmp_path)
    assert folder == tmp_path / "groove"
    assert files_under(tmp_path) == WHOLE_GROOVE  # no archive, lock or part left
    assert (folder / "drummer1" / "beat.mid").read_bytes() == NOISE
    assert len(server.requests) == 1
    assert download.fetch("groove", server.address, tmp_path) == folder
    assert len(server.requests) == 1


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_mnist_arrives_gzipped_even_from_a_server_that_calls_that_an_encoding(server, tmp_path, encoding):
    server.encoding = encoding
    folder = download.fetch("mnist", server.address + "/", tmp_path)
    assert files_under(tmp_path) == ["mnist"] + sorted(f"mnist/{name}" for name in DIGITS)
    for name, content in DIGITS.items():
        assert gzip.decompress((folder / name).read_bytes()) == content


def test_a_mirror_that_packed_the_digits_anew_serves_as_well(server, tmp_path):
    for name, content in DIGITS.items():
        server.files[f"/{name}"] = gzip.compress(content, compresslevel=1, mtime=77)
    download.fetch("mnist", server.address, tmp_path)


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server, tmp_path):
    server.cut[ZIP] = 200_000
    folder = download.fetch("groove", server.address, tmp_path)
    kept = 200_000 // download.BLOCK * download.BLOCK
    assert server.requests == [(ZIP, None), (ZIP, f"bytes={kept}-")]
    assert (folder / "drummer1" / "beat.mid").read_bytes() == NOISE


def test_a_server_gone_midway_leaves_a_part_that_the_next_run_resumes(server, tmp_path):
    server.cut[ZIP] = 30_000
    kept = 30_000 // download.BLOCK * download.BLOCK * download.TRIES
    with pytest.raises(OSError, match=rf"the connection broke .*{kept:,} bytes are kept"):
        download.fetch("groove", server.address, tmp_path)
    assert len(server.requests) == download.TRIES
    assert files_under(tmp_path) == ["groove.part", f"groove.part{ZIP}.part", "groove.part/lock"]
    assert (tmp_path / "groove.part" / (ZIP[1:] + ".part")).read_bytes() == GROOVE[:kept]
    server.cut.clear()
    server.requests.clear()
    download.fetch("groove", server.address, tmp_path)
    assert server.requests == [(ZIP, f"bytes={kept}-")]
    assert files_under(tmp_path) == WHOLE_GROOVE


def test_a_file_that_had_fully_come_when_the_run_was_killed_is_not_fetched_again(server, tmp_path):
    (tmp_path / "groove.part").mkdir()
    (tmp_path / "groove.part" / (ZIP[1:] + ".part")).write_bytes(GROOVE)
    download.fetch("groove", server.address, tmp_path)
    assert server.requests == [(ZIP, f"bytes={len(GROOVE)}-")]  # answered 416: nothing more
    assert files_under(tmp_path) == WHOLE_GROOVE


def test_a_server_that_cannot_resume_is_read_from_the_start(server, tmp_path):
    server.resumes = False
    (tmp_path / "groove.part").mkdir()
    (tmp_path / "groove.part" / (ZIP[1:] + ".part")).write_bytes(b"half" * 100)
    folder = download.fetch("groove", server.address, tmp_path)
    assert (folder / "drummer1" / "beat.mid").read_bytes() == NOISE


def test_a_set_of_several_files_goes_on_with_the_file_that_is_missing(server, tmp_path):
    last = list(DIGITS)[-1]
    kept = server.files.pop(f"/{last}")
    with pytest.raises(OSError, match="404"):
        download.fetch("mnist", server.address, tmp_path)
    assert not (tmp_path / "mnist").exists()
    server.files[f"/{last}"] = kept
    server.requests.clear()
    download.fetch("mnist", server.address, tmp_path)
    assert server.requests == [(f"/{last}", None)]


@pytest.mark.parametrize("name, path", [("groove", ZIP), ("mnist", "/train-images-idx3-ubyte.gz")])
def test_other_content_than_the_published_is_refused_and_removed(server, tmp_path, name, path):
    body = bytearray(server.files[path])
    body[len(body) // 2] ^= 1
    server.files[path] = bytes(body)
    with pytest.raises(ValueError, match="not the published one.*expected sha256:"):
        download.fetch(name, server.address, tmp_path)
    assert files_under(tmp_path) == []


def test_a_spoilt_part_is_not_resumed_for_ever(server, tmp_path):
    (tmp_path / "groove.part").mkdir()
    (tmp_path / "groove.part" / (ZIP[1:] + ".part")).write_bytes(b"x" * 1000)
    with pytest.raises(ValueError, match="not the published one"):
        download.fetch("groove", server.address, tmp_path)
    download.fetch("groove", server.address, tmp_path)
    assert files_under(tmp_path) == WHOLE_GROOVE


def test_where_one_public_address_fails_the_next_is_tried(server, tmp_path, monkeypatch):
    entry = download.DATASETS["groove"]
    monkeypatch.setitem(entry, "addresses", ["http://127.0.0.1:9", server.address + "/lost", server.address])
    download.fetch("groove", folder=tmp_path)
    assert [path for path, _ in server.requests] == ["/lost" + ZIP, ZIP]


def test_missing_there_and_offline_are_said_in_one_line_and_leave_nothing(server, tmp_path):
    with pytest.raises(OSError, match=r"/nowhere/groove-v1.0.0-midionly.zip: the server answers 404"):
        download.fetch("groove", server.address + "/nowhere", tmp_path)
    with pytest.raises(OSError, match=r"127.0.0.1:9/groove.*cannot be reached.*online"):  # no one listens at port 9
        download.fetch("groove", folder=tmp_path)
    assert files_under(tmp_path) == []


def test_a_full_disk_is_said_and_what_came_is_kept(server, tmp_path, monkeypatch):
    part = tmp_path / "groove.part" / (ZIP[1:] + ".part")

    class Full(io.FileIO):
        def write(self, block):
            if self.tell() >= 131072:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(block)

    monkeypatch.setattr(download, "open", lambda path, mode: Full(path, mode) if path == part else open(path, mode),
                        raising=False)
    with pytest.raises(OSError, match=r"groove.part: the disk is full"):
        download.fetch("groove", server.address, tmp_path)
    assert part.read_bytes() == GROOVE[:131072]
    monkeypatch.undo()


@pytest.mark.parametrize("member", ["../outside.mid", "/outside.mid", "groove/../../outside.mid", "..\\outside.mid",
                                    "C:\\outside.mid"])
def test_an_archive_that_reaches_outside_is_refused_before_anything_is_written(server, tmp_path, monkeypatch, member):
    evil = zipped({"groove/info.csv": b"", member: b"evil"})
    pin(monkeypatch, "groove", {ZIP[1:]: evil})
    server.files[ZIP] = evil
    with pytest.raises(ValueError, match="refused, .*outside"):
        download.fetch("groove", server.address, tmp_path / "data")
    assert [path for path in files_under(tmp_path) if "outside" in path or path.endswith("info.csv")] == []


@pytest.mark.parametrize("body, words", [(b"PK but no archive", "not a sound zip file"),
                                         (zipped({"elsewhere/info.csv": b""}), "expected groove/info.csv")])
def test_an_archive_of_another_kind_is_said(server, tmp_path, monkeypatch, body, words):
    pin(monkeypatch, "groove", {ZIP[1:]: body})
    server.files[ZIP] = body
    with pytest.raises(ValueError, match=words):
        download.fetch("groove", server.address, tmp_path)
    assert not (tmp_path / "groove").exists()


def test_a_folder_of_that_name_with_other_things_in_it_is_left_alone(server, tmp_path):
    (tmp_path / "groove").mkdir()
    (tmp_path / "groove" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="groove: expected info.csv in it"):
        download.fetch("groove", server.address, tmp_path)
    assert files_under(tmp_path) == ["groove", "groove/mine.txt"] and not server.requests


def test_a_copy_in_the_project_comes_before_the_one_that_the_environment_names(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "DATA", tmp_path / "data")
    monkeypatch.setenv("SEQUENCEUR_DATA", str(tmp_path / "elsewhere"))
    for place in ("elsewhere", "data"):
        (tmp_path / place / "groove").mkdir(parents=True)
        (tmp_path / place / "groove" / "info.csv").write_text("")
        assert download.fetch("groove") == tmp_path / place / "groove"
    assert not server.requests


def test_two_processes_at_once_fetch_once(server, tmp_path):
    server.delay = 0.2
    found = []
    threads = [threading.Thread(target=lambda: found.append(download.fetch("groove", server.address, tmp_path)))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "groove"] * 3
    assert len(server.requests) == 1


KILLED_WHILE_UNPACKING = """
import hashlib, os, signal, sys, zipfile
import download
checksum = sys.argv[3]
download.DATASETS["groove"]["files"] = {"groove-v1.0.0-midionly.zip": checksum}
extract = zipfile.ZipFile.extractall
def half(self, folder):
    extract(self, folder, members=["groove/info.csv"])
    os.kill(os.getpid(), signal.SIGKILL)
zipfile.ZipFile.extractall = half
download.fetch("groove", sys.argv[1], sys.argv[2])
"""


def test_killed_while_unpacking_leaves_nothing_under_the_name_and_needs_no_second_download(server, tmp_path, root):
    checksum = download.DATASETS["groove"]["files"][ZIP[1:]]
    process = subprocess.run([sys.executable, "-c", KILLED_WHILE_UNPACKING, server.address, tmp_path, checksum],
                             cwd=root)
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "groove.part" / "unpacked" / "groove" / "info.csv").exists()
    (tmp_path / "groove.part" / "unpacked" / "groove" / "half written").write_text("")
    assert not (tmp_path / "groove").exists()
    download.fetch("groove", server.address, tmp_path)
    assert files_under(tmp_path) == WHOLE_GROOVE
    assert len(server.requests) == 1


@pytest.mark.parametrize("arguments, words", [
    (["groove", "--mirror", "http://127.0.0.1:9"], "cannot be reached"),
    (["groove", "--mirror", "ftp://example.org"], "mirror: expected an address"),
    (["drums"], "invalid choice: 'drums'"),
    (["mnist", "--mirror", "http://127.0.0.1:9", "--folder", "{file}"], "notes.txt"),
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
