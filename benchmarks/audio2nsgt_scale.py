"""Measure how fast audio2nsgt.py converts a folder, by workers; with --cluster, that a Dask cluster loses nothing.

    python benchmarks/audio2nsgt_scale.py dataset_audio
    pip install "dask[distributed]" && python benchmarks/audio2nsgt_scale.py dataset_audio --cluster

With -d 1 (every coefficient is written), once with each sound's own length and once with --seconds 0.5, which needs one
plan for all. A first, short run starts the workers. The cluster has two processes on this machine; one is killed when a
third of the sounds is done, and the output is compared with that of a run without cluster, file by file.
"""

import importlib
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from command_line import Parser, number, run
from audio2nsgt import convert_folder

SETTINGS = {"scale": "oct", "rate": 22050, "downsample": 1, "min_freq": 30.0, "max_freq": 11000.0, "bins": 48,
            "seconds": None}


def speed_table(folder, workers):
    """Print files and seconds of audio a second; returns the rows."""
    print("| length | workers | sounds | s | files/s | s of audio a second |\n|---|---|---|---|---|---|")
    rows = []
    for seconds in (None, 0.5):
        for count in workers:
            with tempfile.TemporaryDirectory() as output:
                warm = next(path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".wav", ".flac"))
                convert_folder(warm, Path(output) / "warm", SETTINGS, count)
                result = convert_folder(folder, Path(output) / "out", {**SETTINGS, "seconds": seconds}, count)
            files, audio = (result[name] / result["elapsed"] for name in ("converted", "seconds"))
            rows.append((seconds, count, files, audio))
            print(f"| {seconds or 'own'} | {count} | {result['converted']} | {result['elapsed']:.1f} | {files:.1f} | "
                  f"{audio:.1f} |", flush=True)
    return rows


def cluster_check(folder):
    """Convert on a cluster of two processes, kill one on the way, compare; returns the number of sounds."""
    try:
        distributed = importlib.import_module("dask.distributed")
    except ImportError as error:
        raise ValueError('--cluster: needs the package dask (pip install "dask[distributed]")') from error

    with tempfile.TemporaryDirectory() as output, distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        alone, spread = Path(output) / "alone", Path(output) / "spread"
        expected = convert_folder(folder, alone, SETTINGS)
        victim = next(iter(distributed.Client(cluster).run(os.getpid).values()))
        killed = []

        def kill():
            while len(list(spread.rglob("*.npy"))) < expected["converted"] / 3:
                time.sleep(0.05)
            os.kill(victim, signal.SIGKILL)
            killed.append(len(list(spread.rglob("*.npy"))))

        threading.Thread(target=kill, daemon=True).start()
        result = convert_folder(folder, spread, SETTINGS, scheduler=cluster.scheduler_address)
        files = sorted(alone.rglob("*.npy"))
        differ = [path for path in files if not (spread / path.relative_to(alone)).exists()
                  or not np.array_equal(np.load(path), np.load(spread / path.relative_to(alone)))]
        left = [path for path in spread.rglob(".*")]
    if not killed or differ or result["failed"] or result["converted"] != expected["converted"]:
        raise ValueError(f"cluster: {len(differ)} of {len(files)} files are missing or differ; failed: "
                         f"{result['failed']}; worker killed: {bool(killed)}")
    print(f"\ncluster of two processes, one killed after {killed[0]} sounds: {result['converted']} converted in "
          f"{result['elapsed']:.1f} s, 0 lost, 0 different, {len(left)} temporary files left by the killed worker")
    return result["converted"]


def main(argv=None):
    """Print the tables; returns {"rows": ..., "cluster": sounds or None}."""
    parser = Parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="sounds")
    parser.add_argument("--workers", nargs="*", type=number(int, 1), default=[1, 2], metavar="N", help="default: 1 2")
    parser.add_argument("--cluster", action="store_true", help="test a local Dask cluster too")
    arguments = parser.parse_args(argv)
    return {"rows": speed_table(arguments.folder, arguments.workers),
            "cluster": cluster_check(arguments.folder) if arguments.cluster else None}


if __name__ == "__main__":
    run(main)
