"""The numbers of a model of drum bars: its bounds, its bars beside real ones, its clicks, and what it keeps to.

    numbers = evaluate_bars(options, load_checkpoint(path), model, learning.bounds.bounds)      # as evaluate.py does
    print(*report(numbers), sep="\\n")
"""

import functools

import numpy as np
import torch

from command_line import step_by_step
from patterns import click_metrics as clicks
from patterns.dataset import likeness, load_bars, timings
from patterns.latent_map import load_bar_model
from patterns.metrics import classifier_auc, click_milliseconds, sample_codes, sample_statistics
from patterns.sampling import draw, draw_independent

MOST_STYLES = 6  # the largest styles of the data are measured one by one
# The most bars of each measure that draws some.
MOST = {"clicks": 1000, "groove": 300, "rare": 1000, "own": 200, "temperature": 150, "claps": 6, "velocities": 1000}
AUCS = {"auc": "AUC", "auc_real_against_real": "of other real bars", "auc_steady": "against steady real bars"}
CONDITIONS = ("style", "steady", "timing")  # each of which the bound is also given


def load_real_bars(options, content):
    """The bars to measure by and those of training, each (bars, names, styles, likeness, timings), and the data."""
    trained = content.get("arguments", {})
    data = options.data or trained.get("data") or []
    data = [data] if isinstance(data, str) else data
    if not data:
        raise ValueError(f"{options.run}: does not say what it was trained on; give --data")
    splits = {split: (*map(np.asarray, part), likeness(*part[:2]), timings(*part[:2]))
              for split, part in load_bars(data, trained.get("seed", 0)).items()}
    if options.split not in splits:
        raise ValueError(f"--split {options.split}: {' '.join(data)} has {', '.join(splits)}")
    real = splits[options.split]
    if options.limit:
        chosen = np.random.default_rng(options.seed).permutation(len(real[0]))[:options.limit]
        real = tuple(column[chosen] for column in real)
    return real, splits["train"], data


def compare_to_real(model, real, train, options, styles=None, style=None):
    """Bars drawn at random codes of these styles' numbers, and how they compare with real ones, of one style (its
    number) or of any: (draws, numbers)."""
    generator = torch.Generator().manual_seed(options.seed)
    draws = draw_independent(model, sample_codes(model, options.draws, generator, styles), generator, style)
    order, most = np.random.default_rng(options.seed).permutation(len(train[0])), max(len(real[0]), 1000)
    if style is not None:
        name = model.styles[style]
        real, order = [column[real[2] == name] for column in real], order[train[2][order] == name]
    other, other_names = (column[order[:most]] for column in train[:2])
    numbers = {"real_bars": len(real[0]), **sample_statistics(draws, train[0], real[0])}
    if not options.no_classifier:
        auc = functools.partial(classifier_auc, *real[:2], seed=options.seed)
        numbers |= {"auc": auc(draws), "auc_real_against_real": auc(other, other_names)}
    return draws, numbers


def click_measures(model, real, train, options, styles):
    """What one gets who clicks, at codes of training bars of these styles' numbers: {name: function that measures}."""
    sizes = {name: min(most, options.draws) for name, most in MOST.items()}
    generator, names = torch.Generator().manual_seed(options.seed), None if options.no_classifier else real[1]
    codes = clicks.click_codes(model, sizes["clicks"], options.seed, styles)
    found = {"of_the_data": lambda: clicks.click_comparison(model, codes, real[0], names, real[3])}
    if styles is not None:
        everywhere = clicks.click_codes(model, sizes["clicks"], options.seed)
        found["everywhere"] = lambda: clicks.click_comparison(model, everywhere, real[0], names, real[3])
    own = real[0][np.random.default_rng(options.seed).permutation(len(real[0]))[:sizes["own"]]]
    return {
        **found,
        "score_cells_changed": lambda: clicks.click_changes(model, codes, generator),
        "temperature": lambda: clicks.temperature_figures(model, codes[:sizes["temperature"]]),
        "kick_on_one_and_backbeat": lambda: clicks.groove_figures(
            model, draw(model, codes, constraints=clicks.CLICK), train, sizes["groove"], options.seed),
        "own_bar": lambda: clicks.own_bar_figures(model, own, generator),
        "rare_rows": lambda: clicks.rare_row_figures(model, sizes["rare"], generator),
        "two_claps_on_two_and_four": lambda: clicks.two_claps(model, sizes["claps"], options.seed),
        "density_exact": lambda: clicks.count_exactness(model, codes)}


def measure_bounds(options, model, real, cpu, bounds):
    """`learning.bounds.bounds`, also given each condition that the model knows; and the part of it that is timing, of
    the model on the CPU."""
    x, numbers = torch.as_tensor(real[0]), [model.styles.index(style) if style in model.styles else -1
                                            for style in real[2].tolist()]
    given = dict(zip(CONDITIONS, map(torch.as_tensor, (numbers, *real[3:]))))
    known = {name: value for name, value in given.items() if getattr(model, name) is not None and (
        name != "style" or model.styles)}
    found = bounds(model, x, options.k, options.seed, known)
    with torch.no_grad():
        timing = torch.cat([cpu.timing_log_likelihood(bars) for bars in x.split(512)]).mean().item()
    return {**found, "timing": timing, "score": found["bound"] - timing}


def evaluate_bars(options, content, model, bounds):
    """The numbers of a model of drum bars, a dictionary; `report` makes lines of it.

    options: those of evaluate.py. content: the checkpoint. model: on the device that computes `bounds`, those of
    learning.bounds; bars are drawn on the CPU. Raises ValueError or OSError where the data are not there.
    """
    real, train, data = load_real_bars(options, content)
    x, styles, cpu = torch.as_tensor(real[0]), real[2].tolist(), load_bar_model(options.run)
    of_data = [i for i, name in enumerate(cpu.styles) if name in set(train[2])]
    of_data = of_data if 0 < len(of_data) < len(cpu.styles) else None
    largest = sorted(set(styles) & set(cpu.styles), key=lambda style: (-styles.count(style), style))
    largest = {style: cpu.styles.index(style) for style in largest[:MOST_STYLES]}
    codes = sample_codes(cpu, 40, torch.Generator().manual_seed(options.seed))
    some = x[np.random.default_rng(options.seed).permutation(len(x))[:MOST["velocities"]]]
    compare = functools.partial(compare_to_real, cpu, real, train, options)
    of_any_style = functools.cache(lambda: compare(of_data))
    of_clicks = click_measures(cpu, real, train, options, of_data)
    found = step_by_step("evaluating", "measures", {
        "bounds": lambda: measure_bounds(options, model, real, cpu, bounds),
        "sample_statistics": lambda: of_any_style()[1],
        **{f"bars of {style}": functools.partial(compare, [index], index) for style, index in largest.items()},
        **of_clicks, "click_milliseconds": lambda: click_milliseconds(cpu, codes),
        "velocities": lambda: clicks.velocity_figures(cpu, some, of_any_style()[0])})
    return {
        "model": str(options.run), "data": " ".join(data), "split": options.split, "bars": len(x),
        **{name: found[name] for name in ("bounds", "sample_statistics")},
        "styles": {style: found[f"bars of {style}"][1] for style in largest},
        "clicks": {name: found[name] for name in of_clicks},
        **{name: found[name] for name in ("click_milliseconds", "velocities")},
        "seed": options.seed, "epoch": content.get("epoch"), "config": content["config"]}


def report(result):
    """The numbers of `evaluate_bars` as lines of text."""
    bound, error = result["bounds"], result["bounds"]["bound_standard_error"]
    yield "{model}: {bars} bars, {split} of {data}".format(**result)
    yield ("ELBO {elbo:.2f} nats a bar = log p(x|z) {log_px:.2f} - KL {kl:.2f}; {active_units} of {latent} units "
           "active, mutual information of code and bar {mutual_information:.2f} nats".format(**bound))
    yield ("bound with k = {k}: {bound:.2f}".format(**bound) + (f" +- {error:.2f}" if error is not None else "")
           + " nats a bar: score {score:.2f}, timing {timing:.2f}".format(**bound))
    if bound["bound_conditioned"]:
        yield ("bound with k = {0}: {1:.2f}; given ".format(max(1, bound["k"] // 10), bound["bound_tenth"])
               + ", ".join(f"{name} {value:.2f}" for name, value in bound["bound_conditioned"].items()))
    for style, found in {"any style": result["sample_statistics"], **result["styles"]}.items():
        yield ("{draws} bars drawn ({style}; {real_bars} real ones): {unique:.1%} unique, {copied_from_training:.1%} "
               "copied from training, {empty:.1%} empty, {hits_a_bar:.1f} hits a bar (real: {hits_a_bar_real:.1f})"
               .format(style=style, **found) + aucs_of(found))
    yield from report_clicks(result["clicks"])
    yield "a click takes {click_milliseconds:.1f} ms on one core".format(**result)
    if velocities := result["velocities"]:
        yield ("velocities given the hits: mean absolute error of 127 {typical:.1f} of typical ones, {median:.1f} of "
               "the median of draws, {given_before:.1f} given those before; "
               .format(**velocities["mean_absolute_error"])
               + "{nats_a_hit:.2f} nats a hit given those before, {by_samples:.2f} by samples of their latent; "
               "Jensen-Shannon divergence of drawn ones ".format(**velocities)
               + ", ".join(f"{name} {value:.3f}" for name, value in velocities["jensen_shannon"].items()))


def aucs_of(found):
    """The AUCs that could be taken, as text."""
    return "".join(f", {words} {found[name]:.2f}" for name, words in AUCS.items() if found.get(name) is not None)


def report_clicks(found):
    """The numbers of `click_measures` as lines of text."""
    for where, words in (("of_the_data", "where bars of the data lie"), ("everywhere", "anywhere")):
        if part := found.get(where):
            yield "{clicks} clicks {words}: {distinct:.1%} distinct".format(words=words, **part) + aucs_of(part)
    yield "score cells that differ, of 128, median (mean): " + ", ".join(
        f"{distance}{'' if distance == 'random' else ' apart'} {median:.0f} ({mean:.1f})"
        for distance, (median, mean) in found["score_cells_changed"].items())
    yield "; ".join(f"temperature {temperature}: {hits:.0%} of the hits, {empty:.1%} empty"
                    for temperature, (hits, empty) in found["temperature"].items())
    for style, ((kick, snare), (real_kick, real_snare)) in found["kick_on_one_and_backbeat"].items():
        yield (f"steady, {style}: kick on one {kick:.0%} (training {real_kick:.0%}), "
               f"snare on two and four {snare:.0%} ({real_snare:.0%})")
    own = found["own_bar"]
    yield f"own bars at their points: {own['exact']:.1%} exact; F1 of the score " + ", ".join(
        f"{own[str(distance)]:.2f} at {distance}" for distance in clicks.OWN_NEAR[1:] if own[str(distance)] is not None)
    if rare := found["rare_rows"]:
        drawn, real = np.sum(list(rare.values()), 0)
        worst = sorted(rare, key=lambda name: -abs(rare[name][0] / rare[name][1] - 1))[:3]
        yield (f"Clap and Percu in electronic styles that have them: {drawn / real - 1:+.0%} of training hits; "
               "furthest off " + ", ".join(f"{name} {rare[name][0] / rare[name][1] - 1:+.0%} ({rare[name][0]:.1f} for "
                                           f"{rare[name][1]:.1f})" for name in worst))
    yield (f"two claps asked of a bar: {found['two_claps_on_two_and_four']:.0%} on two and four; "
           f"exact counts of hits: {found['density_exact']:.0%}")
