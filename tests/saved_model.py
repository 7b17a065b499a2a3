"""A model from its checkpoint, as the tests ask for it: with its map where it has one."""

from formats.checkpoint import load_checkpoint
from models import build_model
from patterns.latent_map import attach_map


def load_model(path):
    """The model of a checkpoint file or run folder, in eval mode."""
    content = load_checkpoint(path)
    model = build_model(content, path)
    return attach_map(model, content.get("map"), path) if content["class"] == "BernoulliVAE" else model
