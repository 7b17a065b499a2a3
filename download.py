"""Fetch a public data set by its name, once: checked, and there whole or not at all.

    python download.py groove    # Groove MIDI Dataset 1.0.0, MIDI only, CC BY 4.0: 3 MB into data/groove
    python download.py mnist     # MNIST, the four IDX files as they are, gzipped: 12 MB into data/mnist
    python download.py groove --mirror https://example.org/files --folder /big/disk

A set that is there already is not fetched again: in the folder, or in the one that SEQUENCEUR_DATA names.
"""

import gzip
import hashlib
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

import pooch

from command_line import Parser, Progress, run

DATA = Path(__file__).parent / "data"
GROOVE = {"groove-v1.0.0-midionly.zip": "sha256:651cbc524ffb891be1a3e46d89dc82a1cecb09a57c748c7b45b844c4841dcc1e"}
MNIST = {"train-images-idx3-ubyte.gz": "md5:6bbc9ace898e44ae57da46a324031adb",  # of the content unpacked, since
         "train-labels-idx1-ubyte.gz": "md5:a25bea736e30d166cdddb491f175f624",  # mirrors pack differently
         "t10k-images-idx3-ubyte.gz": "md5:2646ac647ad5339dbf082846283269ea",
         "t10k-labels-idx1-ubyte.gz": "md5:27ae3e4e09519cfbb04c329615203637"}
DATASETS = {  # holds: what is in the finished folder; addresses: folders that hold the files, tried in turn
    "groove": {"files": GROOVE, "holds": ["info.csv"], "addresses": [
        "https://storage.googleapis.com/magentadata/datasets/groove"]},
    "mnist": {"files": MNIST, "holds": list(MNIST), "addresses": [
        "https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"]}}


def fetch(name, mirror=None, folder=None):
    """The folder (Path) of a data set, fetched into `folder`/name, from `mirror` or its addresses, where it is missing.

    Several processes may call at once; a killed one leaves `name`.part.*, to delete. Raises ValueError, OSError.
    """
    if name not in DATASETS:
        raise ValueError(f"expected a data set out of {', '.join(DATASETS)}, found {name!r}")
    for place in [folder] if folder else filter(None, [DATA, os.environ.get("SEQUENCEUR_DATA")]):
        if _is_whole(name, Path(place) / name):
            return Path(place).resolve() / name
    target = (Path(folder or DATA) / name).resolve()
    try:
        if target.is_file() or target.is_dir() and any(target.iterdir()):
            raise FileExistsError(f"{target}: expected {', '.join(DATASETS[name]['holds'])} in it; move it away")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory("", f"{name}.part.", target.parent, ignore_cleanup_errors=True) as staging:
            _fill(name, [mirror] if mirror else DATASETS[name]["addresses"], Path(staging))
            Path(staging, name).rename(target)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{name}: not a sound zip file ({error})") from None
    except OSError as error:
        if not _is_whole(name, target):  # else another process was first, and its folder stays
            raise (OSError(error.errno, error.strerror, str(target)) if error.errno else error) from None
    return target


def _is_whole(name, folder):
    return all((folder / file).is_file() for file in DATASETS[name]["holds"])


def _fill(name, addresses, staging):
    (staging / name).mkdir()
    for file, checksum in DATASETS[name]["files"].items():
        came = _download(file, checksum, addresses, staging)
        if file.endswith(".zip"):
            with zipfile.ZipFile(came) as bundle:
                if any(".." in path or ":" in path or path.startswith(("/", "\\")) for path in bundle.namelist()):
                    raise ValueError(f"{file}: refused, some of it would land outside its folder")
                bundle.extractall(staging)
        else:  # a copy, since only its owner may read what pooch writes
            (staging / name / file).write_bytes(came.read_bytes())


def _download(file, checksum, addresses, folder):
    pooch.get_logger().setLevel("WARNING")
    hooks = {"response": lambda answer, **_: answer.raw.headers.pop("Content-Encoding", None) and None}  # stay gzipped
    for url in (f"{address.rstrip('/')}/{file}" for address in addresses):
        try:
            with Progress(what=f"fetching {file}", unit="bytes", unit_scale=True) as bar:
                downloader = pooch.HTTPDownloader(bar, headers={"Accept-Encoding": "identity"}, hooks=hooks)
                came = Path(pooch.retrieve(url, None, path=folder, downloader=downloader))
            with (gzip.open if file.endswith(".gz") else open)(came, "rb") as content:
                found = hashlib.file_digest(content, checksum.split(":")[0]).hexdigest()
            if checksum.endswith(found):
                return came
            problem = ValueError(f"{url}: expected the published content, {checksum}, found {found}")
        except (gzip.BadGzipFile, EOFError, zlib.error):
            problem = ValueError(f"{url}: expected the published content, found no sound gzip file")
        except OSError as error:  # one with a number is of this machine: no room, no permission
            reason = getattr(getattr(error, "response", None), "status_code", type(error).__name__)
            problem = error if error.errno else OSError(f"{url}: cannot be fetched ({reason}); online? See --mirror")
    raise problem


def main(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("name", choices=DATASETS, help="the data set")
    parser.add_argument("--mirror", metavar="URL", help="another place that holds its files, under the same names")
    parser.add_argument("--folder", type=Path, help="where to put the data set's folder (default: data/ here)")
    folder = fetch(**vars(parser.parse_args(argv)))
    print(f"{folder.name} is in {folder}")
    return {"folder": folder}


if __name__ == "__main__":
    run(main)
