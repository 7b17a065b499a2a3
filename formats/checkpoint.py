"""formats/checkpoint: to be written."""

import io
import warnings
from pathlib import Path

import torch

from command_line import replacing


def save_checkpoint(path, model, half=False, **state):
    """Write class name, config and weights, and whatever tensors and plain values `state` adds; whole or not at all.

    half: weights in 16 bits, for models that are to be carried about; they are read back as 32.
    """
    weights = {name: value.half() if half and value.is_floating_point() else value
               for name, value in model.state_dict().items()}
    content = {"class": type(model).__name__, "config": model.config, "weights": weights, **state}
    if any(not torch.isfinite(value).all() for value in content["weights"].values()):
        raise FloatingPointError(f"{path}: not written, the model has weights that are not finite")
    file = io.BytesIO()  # where torch itself meets a full disk, it does not say so
    torch.save(content, file)
    with replacing(path) as temporary:
        temporary.write_bytes(file.getbuffer())


def load_checkpoint(path):
    """The dictionary that save_checkpoint wrote. Nothing in the file is run: tensors and plain values only.

    `path` may be a run folder, which stands for its best.pt. Raises ValueError where it is not such a file.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "best.pt"
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
    if not isinstance(content, dict) or not {"class", "config", "weights"} <= content.keys():
        raise ValueError(f"{path}: expected a checkpoint of this project, found something else")
    return content
