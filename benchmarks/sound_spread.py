"""Compare how widely the features of two collections of one-shots spread: ours beside real drum machines.

    python dataset_audio/make_sounds.py
    python benchmarks/sound_spread.py dataset_audio --real drum_machines

Both are folders with a subfolder a class; a sound's machine is its file name up to the first "_". For each class and
feature: the 10th, 50th and 90th percentile of both, and ours' spread over the real one's (1 is as wide). Then, over all
features at once, after scaling each by its real spread: how far two sounds of a class are apart on average; what share
of that variance lies between machines (near 0 would be one machine with jitter); which share of real sounds has one of
ours as near as its own fifth nearest real neighbour, and which share of ours lies that near to a real one (coverage and
precision of the real collection).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from command_line import Parser, Progress, number, run
from formats.activation_matrix import INSTRUMENTS
from formats.audio import load_audio

RATE = 44100
FEATURES = ("low edge, Hz", "centre, Hz", "high edge, Hz", "to -20 dB, s", "to -40 dB, s", "flatness, dB", "crest, dB")


def features(samples):
    """The seven FEATURES of a sound at 44.1 kHz; the first five as natural logarithms."""
    samples = samples / np.abs(samples).max()
    energy = np.abs(np.fft.rfft(samples, 1 << 17)) ** 2
    hz = np.fft.rfftfreq(1 << 17, 1 / RATE)
    below = np.cumsum(energy) / energy.sum()
    edges = [np.log(max(hz[np.searchsorted(below, share)], 20)) for share in (0.1, 0.5, 0.9)]
    steps = np.pad(samples, (0, -len(samples) % 220)).reshape(-1, 220).std(axis=1)  # 5 ms each
    decays = [np.log((np.flatnonzero(steps > 10 ** (-fall / 20) * steps.max())[-1] + 1) * 0.005) for fall in (20, 40)]
    audible = energy[hz > 50] + 1e-12
    flatness = 10 * np.log10(np.exp(np.mean(np.log(audible))) / audible.mean())
    window = min(len(samples), round(0.05 * RATE))
    loudest = np.sqrt(np.diff(np.concatenate([[0], np.cumsum(samples.astype(float) ** 2)])[::window]).max() / window)
    return edges + decays + [max(flatness, -60), -20 * np.log10(loudest)]


def collection(folder, most):
    """The features of a folder's sounds, at most `most` of each class: {class: (features (n, 7), machines (n,))}."""
    result = {}
    for name in INSTRUMENTS:
        files = sorted(path for path in (folder / name).glob("*") if path.suffix in (".wav", ".flac"))
        if not files:
            raise ValueError(f"{folder / name}: expected one-shots (.wav, .flac), found none")
        files = [files[k] for k in np.random.default_rng(0).permutation(len(files))[:most]]
        result[name] = (np.array([features(load_audio(path, RATE)[0])
                                  for path in Progress(files, f"reading {name}", "sounds")]),
                        np.array([path.name.split("_")[0] for path in files]))
    return result


def between_machines(values, machines):
    """The share of the variance of features (n, 7) between machines with two sounds or more; None without such."""
    groups = [values[machines == machine] for machine in np.unique(machines)]
    groups = [group for group in groups if len(group) > 1]
    if len(groups) < 2:
        return None
    within = sum(((group - group.mean(axis=0)) ** 2).sum() for group in groups)
    within /= sum(len(group) - 1 for group in groups)
    total = np.concatenate(groups).var(axis=0, ddof=1).sum()
    return float(1 - within / total)


def distances(one, other):
    return np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=2))  # (n, m)


def compare(ours, real):
    """For one class: percentiles, ratios of spread, and the measures over all features, as a dict."""
    (our_values, our_machines), (real_values, real_machines) = ours, real
    spread = np.subtract(*np.percentile(real_values, [90, 10], axis=0))  # (7,)
    our_scaled, real_scaled = our_values / spread, real_values / spread
    apart = {side: distances(values, values) for side, values in (("ours", our_scaled), ("real", real_scaled))}
    fifth = np.sort(apart["real"], axis=1)[:, min(5, len(real_values) - 1)]
    # fifth: how far each real sound's fifth neighbour is
    near = distances(real_scaled, our_scaled)  # (real, ours)
    return {
        "percentiles": {side: np.percentile(values, [10, 50, 90], axis=0).T.tolist()
                        for side, values in (("ours", our_values), ("real", real_values))},
        "spread": (np.subtract(*np.percentile(our_values, [90, 10], axis=0)) / spread).tolist(),
        "apart": {side: float(matrix.sum() / (len(matrix) * (len(matrix) - 1))) for side, matrix in apart.items()},
        "between machines": {"ours": between_machines(our_scaled, our_machines),
                             "real": between_machines(real_scaled, real_machines)},
        "coverage": float((near.min(axis=1) <= fifth).mean()),
        "precision": float((near <= fifth[:, None]).any(axis=0).mean()),
    }


def main(argv=None):
    parser = Parser(__doc__)
    parser.add_argument("ours", type=Path, help="folder with a subfolder a class")
    parser.add_argument("--real", type=Path, required=True, help="the collection to compare with")
    parser.add_argument("--most", type=number(int, 10), default=300,
                        help="sounds of a class that are read (default: 300)")
    parser.add_argument("--brief", action="store_true", help="only the table over all features")
    options = parser.parse_args(argv)
    ours, real = collection(options.ours, options.most), collection(options.real, options.most)
    report = {name: compare(ours[name], real[name]) for name in INSTRUMENTS}
    if not options.brief:
        for name, found in report.items():
            print(f"{name}: 10th, 50th, 90th percentile of {len(ours[name][0])} of ours; of {len(real[name][0])} real; "
                  "spread over real")
            for k, feature in enumerate(FEATURES):
                show = np.exp if k < 5 else np.asarray
                columns = ["".join(f"{value:9.3g}" for value in show(found["percentiles"][side][k]))
                           for side in ("ours", "real")]
                print(f"  {feature:14}{'   '.join(columns)}{found['spread'][k]:9.2f}")
    print(f"{'':8}{'spread over real':>18}{'apart':>8}{'real':>6}{'between machines':>18}{'real':>6}"
          f"{'coverage':>10}{'precision':>11}")
    for name, found in report.items():
        between = [f"{share:.2f}" if share is not None else "-" for share in found["between machines"].values()]
        apart = found["apart"]
        print(f"{name:8}{np.exp(np.mean(np.log(found['spread']))):18.2f}{apart['ours']:8.2f}{apart['real']:6.2f}"
              f"{between[0]:>18}{between[1]:>6}{found['coverage']:10.2f}{found['precision']:11.2f}")
    return report


if __name__ == "__main__":
    run(main)
