"""Fetch a public data set by its name, once: resumed where a connection broke, checked, and there whole or not at all.

    python download.py groove    # Groove MIDI Dataset 1.0.0, MIDI only, CC BY 4.0: 3 MB into data/groove
    python download.py mnist     # MNIST, the four IDX files as they are, gzipped: 12 MB into data/mnist
    python download.py groove --mirror https://example.org/files --folder /big/disk

A set that is there already is not fetched again: in the folder, or in the one that SEQUENCEUR_DATA names.
"""

import contextlib
import errno
import gzip
import hashlib
import os
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from command_line import Parser, run

DATA = Path(__file__).parent / "data"
TIMEOUT = 30  # seconds without a byte
BLOCK = 1 << 14  # bytes written at a time, the most that a broken connection loses
TRIES = 5  # for a connection that breaks, each of which must bring something

# addresses: folders that hold the files, tried in turn; files: the checksum of each one's content, unpacked where it is
# gzipped, since mirrors pack differently; holds: what is in the finished folder.
DATASETS = {
    "groove": {
        "addresses": ["https://storage.googleapis.com/magentadata/datasets/groove"],
        "files": {
            "groove-v1.0.0-midionly.zip": "sha256:651cbc524ffb891be1a3e46d89dc82a1cecb09a57c748c7b45b844c4841dcc1e",
        },
        "holds": ["info.csv"],
    },
    "mnist": {
        "addresses": ["https://ossci-datasets.s3.amazonaws.com/mnist",
                      "https://storage.googleapis.com/cvdf-datasets/mnist"],
        "files": {
            "train-images-idx3-ubyte.gz": "md5:6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte.gz": "md5:a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte.gz": "md5:2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte.gz": "md5:27ae3e4e09519cfbb04c329615203637",
        },
        "holds": ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
                  "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"],
    },
}


def fetch(name, mirror=None, folder=None):
    """The folder (Path) of a data set, fetched into `folder`/name where it is not there yet.

    name: one of DATASETS. mirror: address of another folder that holds its files. folder: default data/ in the project,
    or else, where the set is there, $SEQUENCEUR_DATA. Several processes may call this at once: one fetches, all wait.
    Raises ValueError or OSError, in one line, for an unknown name, no connection, a missing or wrong file, a full disk;
    what was fetched until then is kept beside, in `name`.part, and the next call goes on from there.
    """
    if name not in DATASETS:
        raise ValueError(f"expected a data set out of {', '.join(DATASETS)}, found {name!r}")
    if mirror and not mirror.startswith(("http://", "https://")):
        raise ValueError(f"mirror: expected an address like https://example.org/files, found {mirror!r}")
    found = _find(name, folder)
    if found:
        return found

    target = Path(folder or DATA).resolve() / name
    staging = target.with_name(f"{name}.part")
    if target.is_file() or target.is_dir() and any(target.iterdir()):
        raise ValueError(f"{target}: expected {', '.join(DATASETS[name]['holds'])} in it; move it away and run again")
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with _alone(staging):
            if not _is_whole(name, target):  # else another process has just fetched it
                _fetch_files(name, mirror, staging)
                _finish(name, staging, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(f"{staging}: the disk is full; what came is kept, the same command goes on there") from None
        raise
    finally:
        with contextlib.suppress(OSError):
            if os.listdir(staging) == ["lock"]:  # nothing came
                shutil.rmtree(staging)
    return target


def _is_whole(name, folder):
    return all((folder / file).is_file() for file in DATASETS[name]["holds"])


def _find(name, folder):
    places = [folder] if folder else [DATA, os.environ.get("SEQUENCEUR_DATA")]
    for place in filter(None, places):
        if _is_whole(name, Path(place) / name):
            return Path(place).resolve() / name
    return None


@contextlib.contextmanager
def _alone(staging):
    """Hold `staging` for this process alone; wait while another does. Where the system has no flock, just go on."""
    with open(staging / "lock", "w") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl
            fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file closes, or the process dies
        yield


def _fetch_files(name, mirror, staging):
    import pooch

    pooch.get_logger().setLevel("WARNING")
    addresses = [mirror] if mirror else DATASETS[name]["addresses"]
    for file, checksum in DATASETS[name]["files"].items():
        for address in addresses:
            try:
                pooch.retrieve(f"{address.rstrip('/')}/{file}", known_hash=None, fname=file, path=staging,
                               downloader=lambda url, path, _: download(url, path, checksum))
                break
            except (OSError, ValueError):
                if address == addresses[-1]:
                    raise


def download(url, path, checksum):
    """Download `url` to `path`, by way of a .part file beside it that survives a broken connection. For pooch.

    checksum: "algorithm:hexdigits" of the content. Raises OSError where the server cannot be reached, does not have the
    file or goes away; ValueError where the content is another (the .part file is deleted then).
    """
    part = Path(path).with_name(url.rsplit("/", 1)[1] + ".part")
    _resume(url, part)
    found = _checksum(part, checksum.split(":")[0])
    if found != checksum:
        part.unlink()
        raise ValueError(f"{url}: the content is not the published one, deleted; expected {checksum}, found {found}")
    os.replace(part, path)


def _resume(url, part):
    """Append to `part` what is missing of `url`; on a broken connection again, as long as each try brings something."""
    import requests
    from tqdm import tqdm

    progress = False
    for _ in range(TRIES):
        have = start = _size(part)
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                if response.status_code == 416:  # nothing after what we have: the checksum will tell
                    return
                if response.status_code not in (200, 206):
                    raise OSError(f"{url}: the server answers {response.status_code} {response.reason}")
                if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                    have = 0  # the server does not resume: from the start
                size = int(response.headers.get("Content-Length", 0)) + have
                bar = tqdm(desc=part.stem, total=size or None, initial=have, unit="B", unit_scale=True, disable=None)
                with bar, open(part, "ab" if have else "wb") as file:
                    response.raw.headers.pop("Content-Encoding", None)  # some call a .gz file that: do not unpack it
                    for block in response.iter_content(BLOCK):
                        file.write(block)
                        bar.update(len(block))
            return
        except requests.RequestException as error:
            failure = error
        if _size(part) <= start:
            break
        progress = True
    reason = "the connection broke" if progress else "cannot be reached"
    kept = f"; {_size(part):,} bytes are kept, the same command goes on from there" if _size(part) else ""
    raise OSError(f"{url}: {reason} ({type(failure).__name__}){kept}; is this machine online? Else try --mirror")


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _checksum(path, algorithm):
    """ "algorithm:hexdigits" of a file's content, unpacked where it is gzipped (by the name without .part)."""
    opened = gzip.open if path.name.removesuffix(".part").endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return "no gzip file"


def _finish(name, staging, target):
    """Give the checked files in `staging` their place: an archive unpacked, else as they are; with one rename."""
    files = list(DATASETS[name]["files"])
    if files[0].endswith(".zip"):
        whole = staging / "unpacked" / name
        shutil.rmtree(staging / "unpacked", ignore_errors=True)  # of a run that was killed
        for file in files:
            _unpack(staging / file, staging / "unpacked")
    else:
        whole = staging
        for stray in set(os.listdir(staging)) - set(files):
            (staging / stray).unlink()
    if not _is_whole(name, whole):
        raise ValueError(f"{staging}: expected {name}/{', '.join(DATASETS[name]['holds'])} in {', '.join(files)}")
    if target.exists():
        target.rmdir()  # it is empty, or this raises
    whole.rename(target)
    shutil.rmtree(staging, ignore_errors=True)


def _unpack(archive, folder):
    try:
        with zipfile.ZipFile(archive) as bundle:
            for member in bundle.namelist():
                path = PurePosixPath(member.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or ":" in member:
                    raise ValueError(f"{archive}: refused, {member!r} would land outside its folder")
            bundle.extractall(folder)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive}: not a sound zip file ({error})") from None


def main(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("name", choices=DATASETS, help="the data set")
    parser.add_argument("--mirror", metavar="URL", help="another place that holds its files, under the same names")
    parser.add_argument("--folder", type=Path, help="where to put the data set's folder (default: data/ here)")
    arguments = parser.parse_args(argv)
    folder = fetch(arguments.name, arguments.mirror, arguments.folder)
    print(f"{arguments.name} is in {folder}")
    return {"folder": folder}


if __name__ == "__main__":
    run(main)
