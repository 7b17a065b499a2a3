"""What the bars of a model are conditioned on, as numbers beside its codes.

    class Model(Conditioned, nn.Module): ...            # with `styles`, calls add_conditions(offsets=1, levels=True)
    units = model.with_condition(z, style=2, steady=0.8)              # (B, 2) -> (B, 18)
"""

import math

import torch
import torch.nn as nn

STYLE_WIDTH, CONDITION_DROPOUT = 16, 0.5  # size of the conditions' embedding; share of examples that train without
TIMINGS = 3  # numbers that a performance's timing is given by


class Conditioned:
    """A module that is given conditions, for each bar or the same for all, whose embeddings are added up.

    style: an index of `styles`, the names of styles; -1 for any. offset: of the steps at which bars begin in training,
    0 as written. steady: how like its neighbours the bar is, 0 to 1, for the score; timing: TIMINGS numbers, see
    `patterns.dataset.timings`, for the steps; nan for any.
    """

    def add_conditions(self, offsets, levels):
        """The embeddings, of so many offsets, of steadiness and timing if there are levels; how wide they are."""
        width = STYLE_WIDTH if self.styles or offsets > 1 or levels else 0
        self.style = nn.Embedding(len(self.styles) + 1, width) if width else None     # row 0: any style
        self.offsets = nn.Embedding(offsets, width, padding_idx=0) if offsets > 1 else None  # row 0 stays 0
        self.timing = nn.Linear(TIMINGS + 1, width, bias=False) if levels else None
        self.steady = nn.Linear(2, width, bias=False) if levels else None
        return width

    def with_condition(self, units, style=None, offset=None, steady=None, timing=None):
        """Units (B, n), and beside them the embedding of the conditions: (B, n + STYLE_WIDTH)."""
        if self.style is None:
            return units
        index = torch.as_tensor(-1 if style is None else style, device=units.device).long().expand(len(units)) + 1
        if len(index) and not 0 <= index.min() <= index.max() <= len(self.styles):
            raise ValueError(f"style: expected 0 to {len(self.styles) - 1}, or -1 for any, found {style}")
        embedding = self.style(index) + (0 if offset is None else self.offsets(offset.long()))
        for net, numbers in ((self.steady, steady), (self.timing, timing)):
            if net is not None and numbers is not None:
                numbers = torch.as_tensor(numbers, dtype=units.dtype, device=units.device)
                numbers = numbers.reshape(-1, net.in_features - 1).expand(len(units), -1)  # (B, m)
                known = ~numbers.isnan().any(1, keepdim=True)                         # (B, 1)
                embedding = embedding + net(torch.cat([numbers.where(known, 0.0), known.to(units.dtype)], 1))
        return torch.cat([units, embedding.to(units.dtype)], -1)                      # (B, n + STYLE_WIDTH)

    def drop_condition(self, offset=None, **conditions):
        """In training each condition but the offset is left out half of the time: one model learns bars with each of
        them and without."""
        for name, value in conditions.items() if self.training else ():
            none = -1 if name == "style" else math.nan
            dropped = torch.rand(len(value), *[1] * (value.ndim - 1), device=value.device) < CONDITION_DROPOUT
            conditions[name] = torch.where(dropped, none, value)
        return {"offset": offset, **conditions}
