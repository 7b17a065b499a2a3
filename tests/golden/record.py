"""Record what the scripts give today, case by case, so that tests/test_golden.py can tell whether they still give it.

    python tests/golden/record.py                       # writes golden.json and arrays.npz beside this script
    python tests/golden/record.py --only bars_at midi   # computes these cases alone, and says what differs

The code is reached through the `main` of its scripts and the files that they write; where a script, an option or a
key is renamed, a line changes here (SCRIPTS, SMALLER, OLD_TO_NEW, the function of the case), and nothing is recorded
anew.
"""

import contextlib
import hashlib
import importlib
import inspect
import io
import json
import operator
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent
ROOT = GOLDEN.parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np

from command_line import Parser, run

# What is called, by what it does: the module whose `main` is given the options.
SCRIPTS = {"play": "Activation_Matrix_To_Sound", "convert": "Midi_To_Activation_Matrix", "bernoulli": "train_bernoulli",
           "gaussian": "train_gaussian", "audio": "train_audio", "generate": "generate_sounds",
           "transform": "audio2nsgt", "phase": "griffin_lim", "evaluate": "evaluate"}

# The one way past `main`: defaults that no option sets, made smaller, or an evaluation of sounds would take a minute;
# and the cache of pictures, which would hide what a new code gives: module, function, {argument: value}.
SMALLER = [("sounds.metrics", "Judge.__init__", {"steps": 20})]
CACHE = ("sounds.spectrograms", "load_spectrograms", "cache")

# {"case/key as it is recorded": "case/key as it is called now"}
OLD_TO_NEW = {**{f"{case}/log.{epoch}.{side}_side": f"{case}/log.{epoch}.{side}_auxiliary"
                 for case in ("train_gaussian", "train_audio") for epoch in (0, 1)
                 for side in ("train", "validation")}}
# Recorded, and no longer made: repeats among the bars converted, which nothing read.
GONE = {"midi/report.same_files", "midi/report.same_bars", "midi/report.same_hits"}
TOLERANCE = {"train_bernoulli": 1e-4, "train_gaussian": 1e-4, "train_audio": 1e-4, "evaluate_sounds": 1e-4}
TOLERANCES = {"train_audio/best": 1e-3, "train_audio/exemplars": 1e-3}  # they are kept in 16 bits
USUAL_TOLERANCE = 1e-5  # of the case's scale

MIDI, KIT = ROOT / "Dataset_Drum_Groove_Midi", ROOT / "dataset_audio" / "kit"
GROOVE = MIDI / "HOUSE1.mid"
TEN = "AFROBEAT1 BLUES4 CUMBIA1 DUB3 HARDROCK4 JUNGLE2 MOTOWN4 REGGAETON5 SECONDLINE5 SOUL1"
TWELVE = "AFROBEAT1 BLUEGRASS4 CHACHA1 DEEPHOUSE5 FUNK2 HIGHLIFE4 JUNGLE2 METAL5 REGGAE2 RUMBA2 SKA4 SWING1"
BARS_MODEL, SOUND_MODEL = ROOT / "pretrained" / "bernoulli_map.pt", ROOT / "pretrained" / "sound_vae.pt"
TIMES = {"seconds", "examples_per_second", "click_milliseconds"}


# --- calling a script, reading its files ---


def call(script, *options):
    """Call a script's main, in silence, with options of any type; gives what it returns."""
    module = importlib.import_module(SCRIPTS[script])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return module.main([str(option) for option in options])


@contextlib.contextmanager
def defaults(module, name, values):
    """Other default values for a function's arguments, for a while."""
    function = operator.attrgetter(name)(importlib.import_module(module))
    before = function.__defaults__
    arguments = [argument for argument in inspect.signature(function).parameters.values()
                 if argument.default is not argument.empty and argument.kind is argument.POSITIONAL_OR_KEYWORD]
    assert set(values) <= {argument.name for argument in arguments}, f"{module}.{name} takes no {sorted(values)}"
    function.__defaults__ = tuple(values.get(argument.name, argument.default) for argument in arguments)
    try:
        yield
    finally:
        function.__defaults__ = before


@contextlib.contextmanager
def small(folder):
    """Little work, and no cache but one in `folder`."""
    with contextlib.ExitStack() as stack:
        for module, name, values in SMALLER:
            stack.enter_context(defaults(module, name, values))
        stack.enter_context(defaults(*CACHE[:2], {CACHE[2]: folder / "cache"}))
        yield


def digest(content):
    """The SHA-256 of a file or of bytes."""
    return hashlib.sha256(content if isinstance(content, bytes) else Path(content).read_bytes()).hexdigest()


def flat(content, prefix=""):
    """{"a.b.0": value} of dictionaries, lists and arrays within each other."""
    content = content.tolist() if hasattr(content, "tolist") else content
    if not isinstance(content, (dict, list, tuple)):
        return {prefix: content}
    items = content.items() if isinstance(content, dict) else enumerate(content)
    return {name: value for key, part in items for name, value in flat(part, f"{prefix}.{key}".strip(".")).items()}


def projections(values, count=200):
    """Inner products of an array, over its norm, with seeded random vectors: float64 (count,)."""
    values = np.ascontiguousarray(values)
    values = (values.view(values.real.dtype) if np.iscomplexobj(values) else values).ravel().astype(np.float64)
    source = np.random.default_rng(values.size)
    found = [source.standard_normal(values.size, dtype=np.float32) @ values for _ in range(count)]
    return np.array(found) / max(np.linalg.norm(values), 1e-30)


def in_numbers(name, values, count=200):
    """What is kept of a large array: shape, norm, projections."""
    return {f"{name}.shape": list(values.shape), f"{name}.norm": float(np.linalg.norm(values)),
            f"{name}.projections": projections(values, count)}


def read_sound(path):
    """The samples of a sound file: float64."""
    import soundfile

    return soundfile.read(path)[0]


def sounds_in(folder, whole=()):
    """What is kept of a folder's sounds: numbers of each, and all samples of those named."""
    found = {}
    for path in sorted(folder.glob("*.wav")):
        samples = read_sound(path)
        found |= in_numbers(path.stem, samples)
        if path.stem in whole:
            found[f"{path.stem}.samples"] = samples.astype(np.float32)
    return found


def midi_folder(folder, names):
    """A folder of these grooves of the project as MIDI files; by name, or a new groove would change the others."""
    folder.mkdir()
    for name in names.split():
        shutil.copy(MIDI / f"{name}.mid", folder)
    return folder


# --- cases: a function of a temporary folder each, which gives {key: text, number or array} ---


def played(folder, *options):
    """The bars, the MIDI file and the sound of the folder kit that the options give."""
    call("play", *options, "--npy", folder / "a.npy", "--midi", folder / "a.mid", "--wav", folder / "a.wav")
    return {"bars": np.load(folder / "a.npy"), "midi": digest(folder / "a.mid"),
            **in_numbers("wav", read_sound(folder / "a.wav"))}


def generated(folder, *options, whole=()):
    """Numbers of the sounds that the sound model gives."""
    call("generate", folder / "made", *options)
    return sounds_in(folder / "made", whole)


def bars_of_a_kit_by_seed(folder):
    """A bar played with eight sounds of the sound model."""
    call("play", "--random", 1, "--seed", 3, "--kit", SOUND_MODEL, "--wav", folder / "a.wav", "--npy", folder / "a.npy")
    return {"bars": np.load(folder / "a.npy"), **sounds_in(folder)}


def transform(folder):
    """Coefficients of two sounds: every frame with its phase; magnitudes in blocks of frames."""
    found = {}
    for name in ("Snare", "Tom"):
        call("transform", "-i", KIT / f"{name}.wav", "-o", folder / "all", "-d", 1)
        call("transform", "-i", KIT / f"{name}.wav", "-o", folder / "blocks")
        found |= in_numbers(f"{name}.all", np.load(folder / "all" / f"{name}.npy"), 50)
        found |= in_numbers(f"{name}.blocks", np.load(folder / "blocks" / f"{name}.npy"))
    return found


def phase(folder, name, *options):
    """A sound whose phase was thrown away and found again."""
    call("phase", KIT / f"{name}.wav", "-o", folder / f"{name}.wav", *options)
    return sounds_in(folder)


def phase_with_fewer_candidates(folder):
    """The same with one first phase for a slice of bands, fewer than the command has."""
    with defaults("transforms.phase_retrieval", "low_band_start", {"candidates": 1}):
        return phase(folder, "HHC", "--iterations", 20)


def midi(folder):
    """Ten MIDI files to bars, the report, MIDI again, and a drum staff."""
    source = midi_folder(folder / "midi", TEN)
    found = {f"report.{key}": value for key, value in flat(call("convert", source, "-o", folder / "bars")).items()}
    for path in sorted(source.glob("*.mid")):
        found[f"{path.stem}.bars"] = np.load(folder / "bars" / f"{path.stem}.npy")
        call("play", "--pattern", path, "--midi", folder / "back.mid")
        found[f"{path.stem}.midi"] = digest(folder / "back.mid")
    call("convert", GROOVE, "--notation", folder / "a.musicxml")
    staff = re.sub(rb"<(encoding-date|software)>[^<]*</\1>", b"", (folder / "a.musicxml").read_bytes())
    return found | {"musicxml": digest(staff)}


def rows_of(tensors):
    """Of each tensor, in order: sum over root of size, norm, five projections: float64 (tensors, 7)."""
    rows = []
    for value in tensors:
        value = value.double().numpy()
        norm = float(np.linalg.norm(value))
        rows.append([value.sum() / max(1, value.size)**0.5, norm, *(norm * projections(value, 5))])
    return np.array(rows)


def weights(path):
    """Numbers of each tensor of a checkpoint, in order; and their names, for information."""
    import torch

    tensors = torch.load(path, map_location="cpu", weights_only=True)["weights"]
    return {"weights": rows_of(tensors.values()), "_names": list(tensors)}


def trained(folder):
    """The log of a run, without times, and the weights at its end."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    kept = [{key: value for key, value in line.items() if key not in TIMES} for line in lines]
    return {f"log.{key}": value for key, value in flat(kept).items()} | weights(folder / "checkpoint.pt")


def train_bernoulli(folder):
    """Three steps on bars."""
    call("bernoulli", "--data", midi_folder(folder / "midi", TWELVE), "--hidden", 32, "--width", 48, "--epochs", 1,
         "--epoch-size", 48, "--batch-size", 16, "--device", "cpu", "--precision", "float32", "--run-folder",
         folder / "run")
    return trained(folder / "run")


def train_gaussian(folder):
    """Three steps on digits of our own."""
    from digit_files import write_mnist

    call("gaussian", "--data", write_mnist(folder / "digits"), "--hidden", 32, "--width", 16, "--blocks", 1, "--latent",
         8, "--epochs", 1, "--epoch-size", 48, "--batch-size", 16, "--device", "cpu", "--precision", "float32",
         "--run-folder", folder / "run")
    return trained(folder / "run")


def train_audio(folder):
    """Four steps on our sounds, in small; then what is kept of the sounds, and how alike machines are."""
    import torch

    with small(folder):
        call("audio", "--data", ROOT / "dataset_audio", "--rate", 4000, "--seconds", 0.1, "--bins", 6, "--min-freq",
             100, "--frames", 16, "--latent", 3, "--widths", 8, 8, "--epochs", 2, "--batch-size", 4, "--device", "cpu",
             "--precision", "float32", "--run-folder", folder / "run")
    sound = torch.load(folder / "run" / "best.pt", weights_only=True)["sound"]
    known = sound.pop("exemplars")
    kept = [known[name] for name in ("codes", "deviations", "labels", "kept", "centres", "scales", "lasting")]
    kept.append(known["kits"] @ known["kits"].T)  # themselves they are of either sign
    return {**trained(folder / "run"), "best": weights(folder / "run" / "best.pt")["weights"],
            "exemplars": rows_of(kept), **{f"sound.{key}": value for key, value in flat(sound).items()}}


def evaluated(path, *options):
    """The numbers of an evaluation, without texts, times and the model's own config."""
    call("evaluate", *options, "--device", "cpu", "--json", path)
    numbers = json.loads(path.read_text())
    numbers = {key: value for key, value in numbers.items() if key not in TIMES | {"config"}}
    return {key: value for key, value in flat(numbers).items() if not isinstance(value, str)}


def evaluate_bars(folder):
    """The numbers of the map that ships, on a few grooves."""
    return evaluated(folder / "a.json", BARS_MODEL, "--data", midi_folder(folder / "midi", TWELVE),
                     "--k", 5, "--draws", 60, "--no-classifier")


def evaluate_sounds(folder):
    """The numbers of the sound model that ships, on our sounds."""
    with small(folder):
        return evaluated(folder / "a.json", SOUND_MODEL, "--data", ROOT / "dataset_audio", "--limit", 8, "--draws", 64)


CASES = {
    "bars_random": lambda folder: played(folder, "--random", 8, "--seed", 3),
    "bars_at": lambda folder: played(folder, "--at", 0.5, -1),
    "bars_path": lambda folder: played(folder, "--path", 0.5, -1, -1, 1, "--bars", 8),
    "bars_lock": lambda folder: played(folder, "--pattern", GROOVE, "--lock", "Kick", "Snare", "--random", 4),
    "bars_humanise": lambda folder: played(folder, "--pattern", GROOVE, "--humanise"),
    "bars_like": lambda folder: played(folder, "--like", GROOVE),
    "bars_wishes": lambda folder: played(folder, "--random", 4, "--style", "funk", "--density", 20, "--row-hits",
                                         "Kick=4"),
    "bars_nearest": lambda folder: played(folder, "--random", 4, "--seed", 1, "--nearest"),
    "bars_nearest_pattern": lambda folder: played(folder, "--pattern", GROOVE, "--nearest"),
    "bars_temperature": lambda folder: played(folder, "--at", -1, 0.3, "--temperature", 0, "--bpm", 97),
    "kit_by_seed": lambda folder: generated(folder, "--seed", 3, whole=("Kick", "Snare")),
    "kit_of_snares": lambda folder: generated(folder, "--class", "Snare", "--n", 3, "--seed", 1),
    "kit_like": lambda folder: generated(folder, "--like", KIT / "Snare.wav", "--spread", 0.3, "--n", 2),
    "kit_between": lambda folder: generated(folder, "--between", KIT / "Kick.wav", KIT / "Clap.wav", "--steps", 3),
    "bars_of_a_kit_by_seed": bars_of_a_kit_by_seed,
    "transform": transform,
    "phase_transform": lambda folder: phase(folder, "Snare"),
    "phase_transform_fewer": phase_with_fewer_candidates,
    "phase_stft": lambda folder: phase(folder, "Snare", "--transform", "stft"),
    "phase_stft_other": lambda folder: phase(folder, "HHC", "--transform", "stft", "--iterations", 20),
    "midi": midi,
    "train_bernoulli": train_bernoulli,
    "train_gaussian": train_gaussian,
    "train_audio": train_audio,
    "evaluate_bars": evaluate_bars,
    "evaluate_sounds": evaluate_sounds,
}


def compute(case):
    """What a case gives now: {"case/key": text, number or array}; torch on one thread."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        return {f"{case}/{key}": value for key, value in CASES[case](Path(folder)).items()}


# --- what was recorded, and how it is compared ---


def save(found, folder=GOLDEN):
    """Write golden.json and arrays.npz."""
    arrays = {key: value for key, value in found.items() if isinstance(value, np.ndarray)}
    others = {key: value for key, value in found.items() if key not in arrays}
    np.savez_compressed(folder / "arrays.npz", **arrays)
    (folder / "golden.json").write_text(json.dumps(others, indent=0, sort_keys=True) + "\n", encoding="utf-8")


def load(folder=GOLDEN):
    """All that was recorded and is still made: {"case/key": value}."""
    with np.load(folder / "arrays.npz") as arrays:
        found = dict(arrays) | json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    return {key: value for key, value in found.items() if key not in GONE}


def same(expected, found, tolerance):
    """Is it what was recorded? Whole numbers and texts to the last, others to `tolerance` of their row's scale."""
    if isinstance(expected, np.ndarray):
        if not isinstance(found, np.ndarray) or expected.shape != found.shape or expected.dtype != found.dtype:
            return False
        if expected.dtype.kind in "iub":
            return bool((expected == found).all())
        scale = np.maximum(np.abs(expected).max(-1, keepdims=True), 1e-6)
        return bool((np.abs(expected - found) <= tolerance * scale).all())
    if isinstance(expected, float):
        return isinstance(found, (int, float)) and abs(expected - found) <= tolerance * max(abs(expected), 1e-2)
    return expected == found


def differences(case, golden, found):
    """The keys of a case that are not as they were recorded; those of "_..." are for information alone."""
    expected = {key: value for key, value in golden.items() if key.startswith(f"{case}/") and "/_" not in key}
    names = {key: OLD_TO_NEW.get(key, key) for key in expected}
    wrong = [f"{names[key]}: not there" for key in expected if names[key] not in found]
    for key, value in expected.items():
        tolerance = TOLERANCES.get(key, TOLERANCE.get(case, USUAL_TOLERANCE))
        if names[key] in found and not same(value, found[names[key]], tolerance):
            wrong.append(names[key] if isinstance(value, (np.ndarray, str)) else
                         f"{names[key]}: expected {value}, found {found[names[key]]}")
    new = sorted(key for key in set(found) - set(names.values()) if "/_" not in key)
    return wrong + [f"{key}: was not recorded" for key in new]


def main(argv=None):
    """Compute the cases and write them; or compare those of --only. Gives the status."""
    parser = Parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=[], metavar="CASE",
                        help="write nothing; say what differs in these cases")
    options = parser.parse_args(argv)
    found, wrong = {}, []
    for case in options.only or CASES:
        started = time.perf_counter()
        part = compute(case)
        print(f"{case}: {len(part)} values, {time.perf_counter() - started:.1f} s", flush=True)
        found |= part
        wrong += differences(case, load(), part) if options.only else []
    if options.only:
        print("\n".join(wrong) or "as recorded")
        return int(bool(wrong))
    save(found)
    return 0


if __name__ == "__main__":
    run(main)
