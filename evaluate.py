"""Print the numbers of a trained model, and write them as JSON beside it.

    python evaluate.py runs/bernoulli                            # on the validation bars of its own training
    python evaluate.py pretrained/bernoulli_map.pt --data groove
    python evaluate.py runs/bernoulli --data groove --split test --k 500
    python evaluate.py runs/bernoulli --limit 200 --k 50         # a quick look
    python evaluate.py runs/audio                                # a model of sounds, on the machines kept from it
    python evaluate.py pretrained/sound_vae.pt --data my_samples

Bounds are in nats a bar, on the hits, the style unknown unless it says told. Active units: dimensions of the code whose
mean varies over the bars by more than 0.01 (Burda et al. 2016, section 3.2). A click is a code of a training bar;
clicks are drawn each with a take (seed) of its own, and all with one take. AUC: how well a classifier tells real bars
of unseen performances from the others, 0.5 where it cannot, 1 where it always can.
"""

import time
from pathlib import Path

import numpy as np

from bar_measures import classifier_auc, f1, hamming, own_bars, velocity_divergence
from command_line import Parser, number, run

HERE = Path(__file__).resolve().parent
STYLES_ASKED = 6  # the largest styles of the training data are asked for one by one


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("run", type=Path, help="a run folder, or a checkpoint file")
    parser.add_argument("--data", help="groove, or a folder of matrices or MIDI (default: what the run was trained on)")
    parser.add_argument("--split", default="validation", help="train, validation or test (default validation)")
    parser.add_argument("--k", type=number(int, 1), default=500, help="samples of the importance-weighted bound")
    parser.add_argument("--draws", type=number(int, 1), default=2000, help="bars to draw from the model (default 2000)")
    parser.add_argument("--limit", type=number(int, 1), help="only so many bars, drawn by the seed")
    parser.add_argument("--no-classifier", action="store_true", help="leave out the AUCs, which take minutes")
    parser.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, help="of all that is drawn here")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")
    parser.add_argument("--json", type=Path, help="where to write (default: evaluation.json beside the model)")
    return parser


def reconstruction(model, x, instruments):
    """F1 of the bar drawn at each bar's own code, exact to the step: over all hits and per instrument."""
    import torch

    with torch.no_grad():
        made = torch.cat([model.draw(model.encode(batch)[0]) for batch in x.split(512)]).numpy() > 0
    real = x.numpy() > 0
    near = made[..., np.clip(np.arange(64)[:, None] + (-1, 0, 1), 0, 63)].any(-1)  # a hit within one step of it
    both = (near & real).sum() + (made & (real[..., np.clip(np.arange(64)[:, None] + (-1, 0, 1), 0, 63)].any(-1))).sum()
    return {"all": f1(real, made), "all_within_one_step": float(both) / float(real.sum() + made.sum()),
            **{name: f1(real[:, row], made[:, row]) for row, name in enumerate(instruments)}}


def velocities(model, x, draws, instruments):
    """How hits are struck: the mean absolute error of the typical velocity, of 127, given all hits and what else its
    name says; and the divergence of drawn velocities from real ones."""
    import torch

    if model.velocity_net is None:
        return None
    errors = {name: [] for name in ("own_touch_and_before", "own_touch", "hits_alone")}
    with torch.no_grad():
        for batch in x.split(512):
            z, cells, struck = model.encode(batch)[0], model.cells(batch), batch.flatten(1).float()
            touch = model.encode_touch(batch)[0] if model.touch else z[:, :0]
            typical = {"own_touch_and_before": model.velocity_net.distribution(
                           cells, struck, torch.cat([model.tell(z), touch], -1))[0].round().clamp(1, 127),
                       "own_touch": model.humanise(batch, z, temperature=0, touch=touch),
                       "hits_alone": model.humanise(batch, z, temperature=0)}
            for name, velocity in typical.items():
                errors[name].append((velocity.flatten(1).float() - struck).abs()[struck > 0])
    return {"mean_absolute_error": {name: torch.cat(parts).mean().item() for name, parts in errors.items()},
            "jensen_shannon": velocity_divergence(x.numpy(), draws, instruments)}


def clicks(model, count, generator, label=None):
    """Points where the codes lie: codes of training bars, of one style if asked; from the prior without a map.
    (count, latent)"""
    import torch

    content = model.map or {"codes": torch.empty(0), "labels": torch.empty(0)}
    codes = content["codes"]
    if label is not None:
        codes = codes[torch.as_tensor(content["labels"]) == label]
    if not len(codes):
        return torch.randn(count, model.latent, generator=generator)
    return codes[torch.randint(len(codes), (count,), generator=generator)]


def drawn(model, z, generator, style=None):
    """Bars at points, each with a take of its own: uint8, (n, 8, 64)."""
    import torch

    return torch.cat([model.decode_sample(part, generator, style) for part in z.split(500)]).numpy()


def locality(model, z, generator, distance=0.1):
    """Median number of cells in which the bars of two points differ, in one take: near points, and random ones."""
    import torch

    step = torch.randn(z.shape, generator=generator)
    step = distance * step / step.norm(dim=1, keepdim=True)
    here, near = model.draw(z).numpy(), model.draw(z + step).numpy()
    return {"distance": distance, "near": float(np.median(hamming(here, near))),
            "random": float(np.median(hamming(here, np.roll(here, 1, 0))))}


def exactness(model, z):
    """Share of bars with just the hits asked for, of a bar and of single rows."""
    asked, right = (4, 12, 20, 32, 48), 0
    for i, hits in enumerate(asked):
        rows = {0: 1 + i, 1: 2, 4: 2 * i}
        bar, by_row = model.draw(z[i:i + 1], hits=hits), model.draw(z[i:i + 1], row_hits=rows)
        right += int((bar > 0).sum()) == hits
        right += all(int((by_row[0, row] > 0).sum()) == count for row, count in rows.items())
    return right / (2 * len(asked))


def click_milliseconds(model, z):
    """The median time from a point to its bar on one core, each point a bar by itself."""
    import torch

    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    for point in z:
        started = time.perf_counter()
        model.draw(point[None])
        times.append(1000 * (time.perf_counter() - started))
    torch.set_num_threads(threads)
    return float(np.median(times))


def against_real(draws, one_take, real, names, other, other_names, train, classifier, seed):
    """What is to be said of drawn bars beside real ones: own_bars, and the AUCs of the classifier."""
    result = own_bars(draws, train, real)
    if classifier:
        result |= {"auc": classifier_auc(real, names, draws, seed=seed),
                   "auc_real_against_real": classifier_auc(real, names, other, other_names, seed=seed)}
        if one_take is not None:
            result |= {"auc_with_velocities": classifier_auc(real, names, draws, velocities=True, seed=seed),
                       "auc_one_take": classifier_auc(real, names, one_take, seed=seed)}
    return result


def line_of_bars(own):
    """What `against_real` found, as a line of text."""
    text = (f"{own['unique']:.1%} unique, {own['copied_from_training']:.1%} copied from training, {own['empty']:.1%} "
            f"empty, {own['hits_a_bar']:.1f} hits a bar (real: {own['hits_a_bar_real']:.1f})")
    if own.get("auc") is not None:
        text += f"; AUC {own['auc']:.2f} (other real bars {own['auc_real_against_real']:.2f}"
        text += f", in one take {own['auc_one_take']:.2f}" if own.get("auc_one_take") else ""
        text += f", with velocities {own['auc_with_velocities']:.2f})" if own.get("auc_with_velocities") else ")"
    return text


def report(result):
    """The numbers as lines of text."""
    bound, recon, near = result["bounds"], result["reconstruction_f1"], result["locality"]
    yield f"{result['model']}: {result['bars']} bars, {result['split']} of {result['data']}"
    yield (f"ELBO {bound['elbo']:.2f} nats a bar = log p(x|z) {bound['log_px']:.2f} - KL {bound['kl']:.2f}; "
           f"{bound['active_units']} of {bound['latent']} units active, mutual information of point and bar "
           f"{bound['mutual_information']:.2f} nats")
    error, told = bound["bound_standard_error"], bound["bound_style_told"]
    yield (f"bound with k = {bound['k']}: {bound['bound']:.2f}" + (f" +- {error:.2f}" if error is not None else "")
           + " nats a bar" + (f"; the style told, with k = {max(1, bound['k'] // 10)}: {told:.2f}" if told else ""))
    yield ("reconstruction F1 " + f"{recon['all']:.2f} to the step, {recon['all_within_one_step']:.2f} within one; "
           + ", ".join(f"{name} {value:.2f}" for name, value in recon.items()
                       if value is not None and not name.startswith("all")))
    yield f"{result['own_bars']['draws']} bars of its own: {line_of_bars(result['own_bars'])}"
    for style, own in result["styles"].items():
        yield f"  {style} ({own['real_bars']} real bars): {line_of_bars(own)}"
    yield (f"two points {near['distance']} apart: bars differ in {near['near']:.0f} cells, two random ones in "
           f"{near['random']:.0f} (medians); hits asked for and got: {result['density_exact']:.0%}; a click takes "
           f"{result['click_milliseconds']:.1f} ms on one core")
    if result["velocities"]:
        divergence = [f"{name} {value:.3f}" for name, value in result["velocities"]["jensen_shannon"].items()]
        error = result["velocities"]["mean_absolute_error"]
        yield (f"velocities: mean absolute error of 127 given the hits: {error['own_touch']:.1f} with the bar's own "
               f"touch, {error['own_touch_and_before']:.1f} with the true velocities before as well, "
               f"{error['hits_alone']:.1f} with neither; Jensen-Shannon divergence of drawn ones "
               + ", ".join(divergence))


def main(argv=None):
    """Evaluate, print, write JSON; return the numbers."""
    arguments = make_parser().parse_args(argv)
    import torch

    import training
    from bar_data import load_bars
    from bounds import bounds
    from Midi_To_Activation_Matrix import INSTRUMENTS

    content = training.load_checkpoint(arguments.run)
    model = training.build_model(content, arguments.run).to(training.choose_device(arguments.device))
    if content["class"] == "GaussianVAE" or tuple(content["config"]["shape"]) == (28, 28):
        from digits import evaluate_digits
        return evaluate_digits(arguments, content, model)
    if content["class"] == "ConvVAE":
        from sound_measures import evaluate_sounds
        return evaluate_sounds(arguments, content, model)
    if content["class"] != "BernoulliVAE" or tuple(content["config"]["shape"]) != (8, 64):
        raise ValueError(f"{arguments.run}: expected a model of drum bars, BernoulliVAE (8, 64), "
                         f"found {content['class']}")
    trained = content.get("arguments", {})
    data = arguments.data or trained.get("data")
    if data is None:
        raise ValueError(f"{arguments.run}: does not say what it was trained on; give --data")
    splits = load_bars(data, trained.get("seed", 0))
    if arguments.split not in splits:
        raise ValueError(f"--split {arguments.split}: {data} has {', '.join(splits)}")
    bars, names, styles = (np.asarray(part) for part in splits[arguments.split])
    if arguments.limit:
        chosen = np.random.default_rng(arguments.seed).permutation(len(bars))[:arguments.limit]
        bars, names, styles = bars[chosen], names[chosen], styles[chosen]
    x = torch.as_tensor(bars)
    cpu = training.build_model(content, arguments.run)
    labels = torch.tensor([cpu.styles.index(style) if style in cpu.styles else -1 for style in styles])
    train, train_names, train_styles = (np.asarray(part) for part in splits["train"])
    order = np.random.default_rng(arguments.seed).permutation(len(train))  # of other real bars, to stand beside ours

    def compare(style=None):
        """Bars drawn at random clicks, of one style or any, beside the real ones: (draws, what was found)."""
        generator = torch.Generator().manual_seed(arguments.seed)
        label = None if style is None else cpu.styles.index(style)
        z = clicks(cpu, arguments.draws, generator, label)
        draws, one_take = drawn(cpu, z, generator, label), cpu.draw(z).numpy() if style is None else None
        mine = np.full(len(bars), True) if style is None else styles == style
        others = order if style is None else order[train_styles[order] == style]
        others = others[:max(len(bars), 1000)]
        return draws, {"real_bars": int(mine.sum()), **against_real(
            draws, one_take, bars[mine], names[mine], train[others], train_names[others], train,
            not arguments.no_classifier, arguments.seed)}

    draws, own = compare()
    counts = {style: int((styles == style).sum()) for style in cpu.styles}
    largest = sorted((style for style in counts if counts[style]), key=lambda style: -counts[style])[:STYLES_ASKED]
    points = clicks(cpu, min(600, arguments.draws), torch.Generator().manual_seed(arguments.seed))
    result = {"model": str(arguments.run), "data": str(data), "split": arguments.split, "bars": len(bars),
              "bounds": bounds(model, x, arguments.k, arguments.seed, labels if cpu.styles else None),
              "reconstruction_f1": reconstruction(cpu, x, INSTRUMENTS),
              "own_bars": own, "styles": {style: compare(style)[1] for style in largest},
              "locality": locality(cpu, points, torch.Generator().manual_seed(arguments.seed)),
              "density_exact": exactness(cpu, points), "click_milliseconds": click_milliseconds(cpu, points[:40]),
              "velocities": velocities(cpu, x, draws, INSTRUMENTS), "seed": arguments.seed,
              "epoch": content.get("epoch"), "config": content["config"]}
    print("\n".join(report(result)))
    beside = arguments.run / "evaluation.json" if arguments.run.is_dir() else \
        arguments.run.with_name(f"{arguments.run.stem}_evaluation.json")
    path = arguments.json or beside
    training.write_json(path, result)
    print(f"written: {path}")
    return result


if __name__ == "__main__":
    run(main)
