"""Checkpoints: a model's class name, config and weights, with the state of its run, in one file.

    save_checkpoint("best.pt", model, half=True, epoch=3)
    content = load_checkpoint("runs/mine")                  # or a file: "class", "config", "weights", "epoch", ...
    model = models.build_model(content, "runs/mine")
"""

import io
import warnings
from pathlib import Path

import torch

from command_line import replacing

# Names in config and weights of checkpoints from before November 2026, as they are now.
OLD_NAMES = {"touch": "velocity_latent", "begins": "offsets", "told_levels": "indicator_levels", "neck": "bottleneck",
             "touch_encoder": "velocity_encoder", "mean_picture": "mean_spectrogram",
             "straight": "linear_skip", "place": "position", "past": "history", "beside": "block_condition",
             "deeper": "hidden", "direct": "skip"}


def save_checkpoint(path, model, half=False, **state):
    """Write class name, config, weights (half: in 16 bits), and the tensors and plain values of `state`; whole or not
    at all. Raises FloatingPointError, before it writes, at weights that are not finite."""
    weights = {name: value.half() if half and value.is_floating_point() else value
               for name, value in model.state_dict().items()}
    if any(not torch.isfinite(value).all() for value in weights.values()):
        raise FloatingPointError(f"{path}: not written, the model has weights that are not finite")
    file = io.BytesIO()  # torch does not report a full disk
    torch.save({"class": type(model).__name__, "config": model.config, "weights": weights, **state}, file)
    with replacing(path) as temporary:
        temporary.write_bytes(file.getbuffer())


def load_checkpoint(path):
    """The dictionary that save_checkpoint wrote, by today's names; of a run folder, its best.pt. No code in it is run.
    Raises FileNotFoundError, or ValueError where it is no checkpoint."""
    path = Path(path) / "best.pt" if Path(path).is_dir() else Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # torch raises many kinds here: a broken zip, a pickle with code in it, an empty file
        reason = "it holds code, which is not run" if "nsupported" in str(error) else "broken, or not a checkpoint"
        raise ValueError(f"{path}: cannot be loaded: {reason}") from None
    parts = [content.get(part) for part in ("config", "weights")] if isinstance(content, dict) else [None]
    if not all(isinstance(part, dict) and set(map(type, part)) <= {str} for part in parts) or "class" not in content:
        raise ValueError(f"{path}: expected a checkpoint of this project, found something else")
    for part in ("config", "weights"):
        content[part] = {".".join(OLD_NAMES.get(word, word) for word in name.split(".")): value
                         for name, value in content[part].items()}
    return content
