"""What a musician gets who clicks on the map of a model: many bars of one noise seed, and what is asked of them.

    codes = click_codes(model, 1000, seed=0)
    click_comparison(model, codes, real_bars, names)["auc"]         # by sectors of the plane: 0.5 is as real bars
    click_changes(model, codes)                                     # how near points differ, in cells of the score
    velocity_figures(model, bars)                                   # how hard given hits are struck

The score of a bar: which instruments sound at which sixteenths, 128 cells. Clicks ask for steady bars, as the window
does, where the model knows steadiness.
"""

import math
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from formats.activation_matrix import CLAP, INSTRUMENTS, KICK, PERCUSSION, SNARE
from patterns.dataset import hit_bytes, unpack_hits, windows
from patterns.latent_map import RANDOM_STEP, LatentPlane, random_code, training_codes
from patterns.metrics import classifier_auc, f1, velocity_divergence
from patterns.noise import Surface
from patterns.sampling import CLICK, Constraints, anchor, draw, draw_independent, encode, humanise

SECTORS = 5  # of the plane: clicks of one are never on both sides of a classifier
LOOP = 0.7  # likeness from which a bar is one of a loop
NEAR, OWN_NEAR = (0.1, 0.03), (0.0, 0.05, 0.3)  # distances of two clicks; of a click from a bar of one's own
GROOVE_STYLES = ("rock", "funk", "hiphop")  # whose steady bars are compared
ELECTRONIC = ("house", "deephouse", "techno", "electro", "breakbeat", "dnb", "jungle", "garage", "trap", "drill",
              "hiphop", "lofi", "reggaeton", "dancehall", "dub", "footwork")
RARE_ROWS, RARE_HITS = (CLAP, PERCUSSION), 0.25  # rows of theirs; hits a bar from which a style has a row
VELOCITY_DRAWS, VELOCITY_SAMPLES = 31, 50  # whose median is the guess; of the bound on their likelihood


def score_of(bars):
    """Which instruments sound at which sixteenths: (n, 8, 64) -> bool (n, 8, 16)."""
    return windows(bars).any(-1)


def click_codes(model, count, seed, styles=None):
    """Codes of clicks, each near that of a random training bar, of these styles' numbers if given: (count, latent).
    Of a single style they are for clicks that ask for it."""
    members = [] if model.map is None or styles is None else np.flatnonzero(np.isin(model.map["labels"], styles))
    if not len(members) or len(styles) == 1:
        return np.stack([random_code(model, seed, i, styles[0] if styles else None) for i in range(count)])
    random = np.random.default_rng(seed)
    codes = np.asarray(model.map["codes"])[random.choice(members, count)]
    return (codes + RANDOM_STEP * random.standard_normal(codes.shape)).astype(np.float32)


def sectors(model, codes):
    """In which of the SECTORS around the middle of the map's plane each code lies, as many in each: (n,)."""
    points = LatentPlane(model).from_codes(codes)                                     # (n, 2)
    x, y = (points - points.mean(0)).T
    return np.arctan2(y, x).argsort().argsort() * SECTORS // len(codes)


def click_comparison(model, codes, real, names, steady):
    """Bars clicked with one seed against real ones (n, 8, 64) of performances `names`; None for AUCs not taken.
    auc_steady: against those of likeness LOOP or more, by steady (n,); None where no steadiness is asked for."""
    bars, groups, loops = draw(model, codes, constraints=CLICK), sectors(model, codes), steady >= LOOP
    found = {"clicks": len(bars), "distinct": len(set(hit_bytes(bars))) / len(bars)}
    if names is None:
        return found
    return {**found, "auc": classifier_auc(real, names, bars, groups),
            "auc_steady": classifier_auc(real[loops], names[loops], bars, groups)}


def click_changes(model, codes, generator):
    """In how many cells of the score, of 128, the bars of two clicks differ, by their distance and of random pairs:
    {distance: [median, mean]}."""
    step = torch.randn(codes.shape, generator=generator)
    step = (step / step.norm(dim=1, keepdim=True)).numpy()
    here = score_of(draw(model, codes, constraints=CLICK))                            # (n, 8, 16)
    others = {distance: score_of(draw(model, codes + distance * step, constraints=CLICK)) for distance in NEAR}
    cells = {distance: (here != other).sum((1, 2)) for distance, other in
             {**others, "random": np.roll(here, 1, 0)}.items()}
    return {str(distance): [float(np.median(count)), float(count.mean())] for distance, count in cells.items()}


def temperature_figures(model, codes):
    """Hits and empty bars of clicks at lower temperatures: {temperature: [share of the hits at 1, share empty]}."""
    bars = {temperature: draw(model, codes, constraints=replace(CLICK, temperature=temperature)) > 0
            for temperature in (1.0, 0.5, 0.0)}
    return {str(temperature): [float(made.sum() / bars[1.0].sum()), float((~made.any((1, 2))).mean())]
            for temperature, made in bars.items() if temperature < 1}


def groove_shares(bars):
    """Shares of bars (n, 8, 64) with a kick on one, and with a snare on both two and four, by their score."""
    score = score_of(bars)
    return [float(score[:, KICK, 0].mean()), float((score[:, SNARE, 4] & score[:, SNARE, 12]).mean())]


def groove_figures(model, bars, train, count, seed):
    """`groove_shares` of steady clicks and of steady training bars (bars, names, styles, likeness), of any style
    (whose clicks are `bars`) and of each of the GROOVE_STYLES: {style: [of clicks, of training bars]}."""
    loops, found = train[3] >= LOOP, {}
    for style in ("any", *GROOVE_STYLES):
        real = train[0][loops & ((train[2] == style) | (style == "any"))]
        if style != "any" and style in model.styles and len(real):
            index = model.styles.index(style)
            bars = draw(model, click_codes(model, count, seed, [index]), constraints=replace(CLICK, style=index))
        if len(real) and style in ("any", *model.styles):
            found[style] = [groove_shares(bars), groove_shares(real)]
    return found


def own_bar_figures(model, bars, generator):
    """Bars opened as one's own, (n, 8, 64): the share drawn as they were, cell by cell, at their point; and the F1 of
    their score at each of OWN_NEAR from there: {"exact": share, "0.05": F1, ...}."""
    codes, made = encode(model, bars), {distance: [] for distance in OWN_NEAR}
    for bar, code in zip(bars, codes):
        surface = Surface().with_anchor(anchor(model, bar, code, CLICK))
        step = torch.randn(len(code), generator=generator)
        points = [code + distance * (step / step.norm()).numpy() for distance in OWN_NEAR]
        for drawn, one in zip(made.values(), draw(model, points, surface, CLICK)):
            drawn.append(one)
    made = {distance: np.stack(drawn) for distance, drawn in made.items()}
    exact = float(((made[0.0] > 0) == (bars > 0)).all((1, 2)).mean())
    return {"exact": exact, **{str(distance): f1(score_of(bars), score_of(drawn))
                               for distance, drawn in made.items() if distance}}


def rare_row_figures(model, count, generator):
    """Claps and percussion a bar in each of the ELECTRONIC styles of the map whose training bars have them, of `count`
    bars drawn at the codes of these in turn, and of these: {"Clap house": [drawn, training]}."""
    found, content = {}, model.map if model.map and "bars" in model.map else {"label_names": []}
    for style in sorted(set(ELECTRONIC) & set(content["label_names"]) & set(model.styles)):
        index = model.styles.index(style)
        members = np.flatnonzero(np.asarray(content["labels"]) == index)
        hits = unpack_hits(content["bars"][members]).float().sum(-1).mean(0).tolist()  # of 8 rows
        if len(members) and any(hits[row] >= RARE_HITS for row in RARE_ROWS):
            codes = torch.as_tensor(np.resize(training_codes(model, index), (count, model.latent)))
            drawn = (draw_independent(model, codes, generator, index) > 0).sum(-1).mean(0).tolist()
            found |= {f"{INSTRUMENTS[row]} {style}": [drawn[row], hits[row]]
                      for row in RARE_ROWS if hits[row] >= RARE_HITS}
    return found


def two_claps(model, count, seed):
    """Share of the claps on two and four, by the score, of bars of which two are asked, `count` of each style."""
    styles = range(len(model.styles)) if model.styles else [None]
    scores = [score_of(draw(model, click_codes(model, count, seed, None if style is None else [style]),
                            constraints=replace(CLICK, style=style, row_hits={CLAP: 2})))[:, CLAP]
              for style in styles]                                                    # of (count, 16) each
    return float(np.mean([score[:, [4, 12]].sum() / score.sum() for score in scores]))


def count_exactness(model, codes):
    """Share of bars with exactly the hits that were asked for, of a bar and of single rows."""
    right = []
    for code, (i, hits) in zip(codes, enumerate((4, 12, 20, 32, 48))):
        row_hits = {0: 1 + i, 1: 2, 4: 2 * i}
        bar, by_row = (draw(model, code[None], constraints=constraints)[0] > 0
                       for constraints in (replace(CLICK, hits=hits), replace(CLICK, row_hits=row_hits)))
        right += [bar.sum() == hits, all(by_row[row].sum() == count for row, count in row_hits.items())]
    return float(np.mean(right))


@torch.no_grad()
def velocity_figures(model, x, draws):
    """How well velocities are guessed from hits alone, x (n, 8, 64) uint8; None without velocities.

    mean_absolute_error: of 127, of the median of draws, of typical velocities, and of each one given those before it.
    nats_a_hit: -log p(velocities | hits, code), each given those before it, the velocity latent unknown; by_samples:
    the importance-weighted bound by samples of the latent. jensen_shannon: of draws and real ones.
    """
    if model.velocity_net is None:
        return None
    errors, unknown, nats = {"median": [], "typical": [], "given_before": []}, [], []
    for bars in x.split(256):
        z, true = model.encode(bars)[0], bars.float()                                 # (B, latent), (B, 8, 64)
        guesses = torch.stack([torch.as_tensor(humanise(model, bars, z, seed)) for seed in range(VELOCITY_DRAWS)])
        typical = torch.as_tensor(humanise(model, bars, z, scale=0))
        condition = F.pad(model.with_condition(z), (0, model.velocity_latent))        # latents of zeros: unknown
        cells, flat = model.binarise(bars), true.flatten(1)                           # (B, cells)
        before = model.velocity_net.distribution(cells, flat, condition)[0].round().view(bars.shape)
        for name, guess in (("median", guesses.median(0)[0]), ("typical", typical), ("given_before", before)):
            errors[name].append((guess.float() - true).abs()[bars > 0])
        unknown.append(model.velocity_net.log_likelihood(cells, flat, condition))
        nats.append(velocity_log_likelihood(model, bars, z))
    hits = int((x > 0).sum())
    return {"mean_absolute_error": {name: torch.cat(error).mean().item() for name, error in errors.items()},
            "nats_a_hit": -torch.cat(unknown).sum().item() / hits, "by_samples": -torch.cat(nats).sum().item() / hits,
            "jensen_shannon": velocity_divergence(x.numpy(), draws, INSTRUMENTS)}


def velocity_log_likelihood(model, bars, z, samples=VELOCITY_SAMPLES):
    """The bound of Burda et al. 2016, eq. 8, on log p(velocities | hits, z), over the velocity latent: (B,) nats."""
    generator, terms, condition = torch.Generator().manual_seed(0), [], model.with_condition(z)
    mean, log_variance = model.encode_velocities(bars) if model.velocity_latent else (z[:, :0],) * 2
    cells, velocities = model.binarise(bars), bars.flatten(1).float()                 # (B, cells)
    for _ in range(samples if model.velocity_latent else 1):
        noise = torch.randn(mean.shape, generator=generator)
        latent = mean + torch.exp(0.5 * log_variance) * noise                         # (B, velocity latent)
        ratio = 0.5 * (noise.square() + log_variance - latent.square()).sum(-1)
        terms.append(ratio + model.velocity_net.log_likelihood(cells, velocities, torch.cat([condition, latent], -1)))
    return torch.logsumexp(torch.stack(terms), 0) - math.log(len(terms))
