"""Time the transform beside the PyPI package nsgt 0.19 and beside the bare FFTs of its shape.

    python benchmarks/nsgt_speed.py

Forward and backward of half-second sounds at 22,050 Hz: octave scale, 48 bins, 30 to 11,000 Hz, 410 bands x 157 frames
(reducedform=1). All on one thread, in one run, the best of --repeat. The package works in an environment of its own
with NumPy 1.23.5, the last that it works with, which is made once in runs/nsgt (it needs a Python of 3.8 to 3.11:
this one, or one on the path). The bare FFTs are torch's, of that precision: of the signal, and of every band's frames,
there and back. Then the cost by length, up to a minute, with the memory of plan and coefficients.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# first: it sets variables that torch reads when it is imported
from command_line import Parser, number, run

import numpy as np
import torch

from transforms.nsgt import NSGT
from transforms.scales import OctScale

RATE, LENGTH, FMIN, FMAX, BINS = 22050, 11025, 30, 11000, 48
PACKAGE = f'''
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, nsgt
transform = nsgt.NSGT(nsgt.OctScale({FMIN}, {FMAX}, {BINS}), {RATE}, {LENGTH}, matrixform=True, reducedform=1)
signal = np.random.default_rng(0).standard_normal({LENGTH})
times = []
for _ in range(int(sys.argv[1])):
    began = time.perf_counter()
    transform.backward(transform.forward(signal))
    times.append(time.perf_counter() - began)
print(json.dumps([np.__version__, min(times)]))
'''


def package_python():
    """The interpreter of an environment with nsgt 0.19 and NumPy 1.23.5, made in runs/nsgt where it is missing."""
    folder = ROOT / "runs" / "nsgt"
    python = folder / "bin" / "python"
    if python.exists():
        return python
    names = (sys.executable, "python3.11", "python3.10", "python3.9", "python3.8")
    for base in filter(None, map(shutil.which, names)):
        found = subprocess.run([base, "-c", "import sys; print(sys.version_info[:2] <= (3, 11))"], capture_output=True,
                               text=True).stdout
        if found.strip() == "True":
            break
    else:
        raise ValueError("nsgt 0.19 needs NumPy 1.23.5, which needs a Python of 3.8 to 3.11 on the path; found none")
    print(f"making {folder} ...", file=sys.stderr)
    subprocess.run([base, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "-q"]
    subprocess.run(pip + ["numpy==1.23.5", "setuptools<80", "wheel"], check=True)
    # its setup.py asks for NumPy before pip could give it any: hence no isolation; without Cython it is pure Python
    subprocess.run(pip + ["--no-build-isolation", "--no-deps", "nsgt==0.19"], check=True)
    return python


def best(function, repeat):
    """The shortest of `repeat` calls, in seconds, after one that does not count."""
    function()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def main(argv=None):
    """Print the tables; returns {"package": seconds a sound, (dtype, batch): (ours, bare FFTs)}."""
    parser = Parser(__doc__)
    parser.add_argument("--repeat", type=number(int, 1), default=20, metavar="N", help="of each timing (default: 20)")
    parser.add_argument("--seconds", nargs="*", type=number(float, 0.1, 600), default=[0.5, 1, 4, 15, 60],
                        help="lengths for the second table (default: 0.5 1 4 15 60)")
    arguments = parser.parse_args(argv)

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    output = subprocess.run([str(package_python()), "-c", PACKAGE, str(arguments.repeat)], env=environment, check=True,
                            capture_output=True, text=True).stdout
    version, package = json.loads(output)
    result = {"package": package}
    print(f"nsgt 0.19 (NumPy {version}, float64, one sound at a time): {1000 * package:.2f} ms a sound, forward + "
          f"backward\n\n| dtype | sounds at once | ms a sound | times nsgt 0.19 | bare FFTs, ms | ratio to those |\n"
          "|---|---|---|---|---|---|")
    for dtype in ("float32", "float64"):
        transform = NSGT(OctScale(FMIN, FMAX, BINS), RATE, LENGTH, matrixform=True, reducedform=1, dtype=dtype)
        for batch in (1, 64):
            signal = torch.randn(batch, LENGTH, dtype=transform.dtype, generator=torch.Generator().manual_seed(0))
            coefficients = transform.forward(signal)

            def bare():
                torch.fft.irfft(torch.fft.rfft(signal), n=LENGTH)
                torch.fft.fft(torch.fft.ifft(coefficients))

            ours = best(lambda: transform.backward(transform.forward(signal)), arguments.repeat) / batch
            fft = best(bare, arguments.repeat) / batch
            result[dtype, batch] = ours, fft
            print(f"| {dtype} | {batch} | {1000 * ours:.2f} | {package / ours:.1f} | {1000 * fft:.2f} | "
                  f"{ours / fft:.2f} |")

    print("\n| seconds | samples | bands x frames | plan, ms | forward + backward, ms | ns / (n log2 n) | plan, MB | "
          "coefficients, MB |\n" + "|---" * 8 + "|")
    for seconds in arguments.seconds:
        samples = round(seconds * RATE)
        began = time.perf_counter()
        transform = NSGT(OctScale(FMIN, FMAX, BINS), RATE, samples, matrixform=True, dtype="float32")
        plan = time.perf_counter() - began
        signal = torch.randn(samples)
        spent = best(lambda: transform.backward(transform.forward(signal)), 3 if seconds > 5 else arguments.repeat)
        tensors = [tensor for run_ in transform._runs for tensor in run_ if torch.is_tensor(tensor)]
        tensors += [transform._beyond, transform._mirrored, transform._order, *transform._sums]
        bands, frames = len(transform.frames), int(transform.frames[0])
        print(f"| {seconds:g} | {samples} | {bands} x {frames} | {1000 * plan:.0f} | {1000 * spent:.1f} | "
              f"{1e9 * spent / (samples * np.log2(samples)):.1f} | {sum(t.nbytes for t in tensors) / 1e6:.1f} | "
              f"{8 * bands * frames / 1e6:.1f} |")
    return result


if __name__ == "__main__":
    run(main)
