"""The optimisers of a training: AdamW, or Muon for the large matrices of a decoder beside AdamW for all else.

    optimizer = Optimizers(model, "muon", learning_rate=3e-3, weight_decay=0.01)
    model.zero_grad(); loss.backward(); optimizer.step(learning_rate)
"""

import torch


class Optimizers:
    """One optimiser, or two that share a model's weights, as one; ValueError where a decoder has no weights for Muon.

    name: "adamw" (Loshchilov and Hutter 2019) for all weights; or "muon" (Jordan et al. 2024, "Muon: an optimizer for
    hidden layers") for those that the decoder lists in `muon_weights`, AdamW for all others.
    """

    def __init__(self, model, name, learning_rate, weight_decay):
        if name not in ("adamw", "muon"):
            raise ValueError(f"--optimizer {name}: expected adamw or muon")
        self.matrices = [*getattr(model.decoder, "muon_weights", list)()] if name == "muon" else []
        if name == "muon" and not self.matrices:
            raise ValueError(f"--optimizer muon: {type(model.decoder).__name__} names no matrices for it; use adamw")
        apart = {id(matrix) for matrix in self.matrices}
        rest = [weights for weights in model.parameters() if id(weights) not in apart]
        self.all = [torch.optim.AdamW(rest, lr=learning_rate, weight_decay=weight_decay, fused=True)]
        # torch's Muon accepts matrices alone: of a kernel, a view of outputs by inputs
        self.views = [torch.nn.Parameter(as_matrix(matrix.data)) for matrix in self.matrices]
        if self.views:
            self.all.append(torch.optim.Muon(self.views, lr=learning_rate, weight_decay=weight_decay,
                                             adjust_lr_fn="match_rms_adamw"))  # so that one learning rate serves both

    def step(self, learning_rate):
        """Move all weights by their gradients."""
        for matrix, view in zip(self.matrices, self.views):
            view.grad = None if matrix.grad is None else as_matrix(matrix.grad)
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()

    def state_dict(self):
        """One optimiser's state, or a list of both."""
        states = [optimizer.state_dict() for optimizer in self.all]
        return states if self.matrices else states[0]

    def load_state_dict(self, state):
        """Go on from what `state_dict` gave."""
        for optimizer, part in zip(self.all, state if self.matrices else [state], strict=True):
            optimizer.load_state_dict(part)


def as_matrix(kernel):
    """A kernel (out, in, a, b) or matrix (out, in) as the matrix (out, the rest) in the same memory."""
    if kernel.ndim == 4 and kernel.is_contiguous(memory_format=torch.channels_last):
        kernel = kernel.permute(0, 2, 3, 1)
    return kernel.flatten(1)
