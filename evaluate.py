"""Print the numbers of a trained model, and write them as JSON beside it.

    python evaluate.py runs/bernoulli                            # on the validation bars of its own training
    python evaluate.py pretrained/bernoulli_map.pt --data groove
    python evaluate.py runs/bernoulli --data groove --split test --k 500
    python evaluate.py runs/bernoulli --limit 200 --k 50         # a quick look

Bounds are in nats a bar, on the hits. Active units: dimensions of the code whose mean varies over the bars by more
than 0.01 (Burda et al. 2016, section 3.2).
"""

from pathlib import Path

import numpy as np

from command_line import Parser, number, run

HERE = Path(__file__).resolve().parent


def make_parser():
    """The options of this script."""
    parser = Parser(__doc__)
    parser.add_argument("run", type=Path, help="a run folder, or a checkpoint file")
    parser.add_argument("--data", help="groove, or a folder of matrices or MIDI (default: what the run was trained on)")
    parser.add_argument("--split", default="validation", help="train, validation or test (default validation)")
    parser.add_argument("--k", type=number(int, 1), default=500, help="samples of the importance-weighted bound")
    parser.add_argument("--draws", type=number(int, 1), default=2000, help="bars to draw from the model (default 2000)")
    parser.add_argument("--limit", type=number(int, 1), help="only so many bars, drawn by the seed")
    parser.add_argument("--seed", type=number(int, 0, 2**32 - 1), default=0, help="of all that is drawn here")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda ...")
    parser.add_argument("--json", type=Path, help="where to write (default: evaluation.json beside the model)")
    return parser


def bounds(model, x, k, seed, batch_size=256):
    """Mean ELBO and its two terms, the bound with k samples and its standard error, nats a bar; and active units."""
    import torch
    from tqdm import tqdm

    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    log_px, kl, marginal, codes = [], [], [], []
    progress = tqdm(total=len(x), unit=" bars", desc=f"bound with {k} samples", leave=False, disable=None)
    with torch.no_grad(), progress as bar:
        for batch in x.split(batch_size):
            batch = batch.to(device)
            eps = torch.randn(len(batch), model.latent, generator=generator, device=device)
            terms = model.elbo(batch, eps)
            log_px.append(terms[0])
            kl.append(terms[1])
            marginal.append(model.log_marginal(batch, k, generator))
            codes.append(model.encode(batch)[0])
            bar.update(len(batch))
    log_px, kl, marginal = (torch.cat(part).double() for part in (log_px, kl, marginal))
    variance = torch.cat(codes).double().var(0, correction=len(x) > 1)
    standard_error = (marginal.std() / len(x) ** 0.5).item() if len(x) > 1 else None
    return {"elbo": (log_px - kl).mean().item(), "log_px": log_px.mean().item(), "kl": kl.mean().item(),
            "bound": marginal.mean().item(), "bound_standard_error": standard_error,
            "k": k, "active_units": int((variance > 0.01).sum()), "latent": model.latent}


def f1(real, made):
    """F1 score of hits: boolean arrays of one shape; None where there is no hit in either."""
    struck = real.sum() + made.sum()
    return 2 * float((real & made).sum()) / float(struck) if struck else None


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
    """How well hits are struck: mean absolute error given the hits (at the mean), of 127; Jensen-Shannon divergence
    (base 2) between real and drawn velocities per instrument, in 16 classes of 8."""
    import torch

    if model.velocity_net is None:
        return None
    with torch.no_grad():
        cells = model.cells(x)
        typical = model.with_velocities(cells, model.encode(x)[0], torch.zeros_like(cells)).numpy().astype(int)
    real, drawn, hits = x.numpy().astype(int), draws.astype(int), x.numpy() > 0
    divergence = {}
    for row, name in enumerate(instruments):
        sides = [np.bincount(bars[:, row][bars[:, row] > 0] // 8, minlength=16).astype(float) for bars in (real, drawn)]
        if min(side.sum() for side in sides) >= 100:
            divergence[name] = jensen_shannon(*(side / side.sum() for side in sides))
    return {"mean_absolute_error": float(np.abs(typical - real)[hits].mean()), "jensen_shannon": divergence}


def jensen_shannon(p, q):
    """Jensen-Shannon divergence of two distributions, in bits: 0 for equal ones, 1 for disjoint ones."""
    middle = (p + q) / 2
    return sum(0.5 * float((side[side > 0] * np.log2(side[side > 0] / middle[side > 0])).sum()) for side in (p, q))


def own_bars(draws, train, real):
    """What the model plays by itself: shares of unique, copied and empty bars, hits a bar beside the real figure."""
    contents = [np.packbits(bar > 0).tobytes() for bar in draws]
    known = {np.packbits(bar > 0).tobytes() for bar in train}
    return {"draws": len(draws), "unique": len(set(contents)) / len(draws),
            "copied_from_training": sum(content in known for content in contents) / len(draws),
            "empty": float((draws == 0).all((1, 2)).mean()),
            "hits_a_bar": float((draws > 0).sum((1, 2)).mean()),
            "hits_a_bar_real": float((real > 0).sum((1, 2)).mean())}


def report(result):
    """The numbers as lines of text."""
    bound, recon, own = result["bounds"], result["reconstruction_f1"], result["own_bars"]
    yield f"{result['model']}: {result['bars']} bars, {result['split']} of {result['data']}"
    yield (f"ELBO {bound['elbo']:.2f} nats a bar = log p(x|z) {bound['log_px']:.2f} - KL {bound['kl']:.2f}; "
           f"{bound['active_units']} of {bound['latent']} units active")
    error = bound["bound_standard_error"]
    yield (f"bound with k = {bound['k']}: {bound['bound']:.2f}" + (f" +- {error:.2f}" if error is not None else "")
           + " nats a bar")
    yield ("reconstruction F1 " + f"{recon['all']:.2f} to the step, {recon['all_within_one_step']:.2f} within one; "
           + ", ".join(f"{name} {value:.2f}" for name, value in recon.items()
                       if value is not None and not name.startswith("all")))
    yield (f"{own['draws']} bars of its own: {own['unique']:.1%} unique, {own['copied_from_training']:.1%} copied from "
           f"training, {own['empty']:.1%} empty, {own['hits_a_bar']:.1f} hits a bar "
           f"(real: {own['hits_a_bar_real']:.1f})")
    if result["velocities"]:
        divergence = [f"{name} {value:.3f}" for name, value in result["velocities"]["jensen_shannon"].items()]
        yield (f"velocities: mean absolute error {result['velocities']['mean_absolute_error']:.1f} of 127 given the "
               "hits; Jensen-Shannon divergence of drawn ones " + ", ".join(divergence))


def main(argv=None):
    """Evaluate, print, write JSON; return the numbers."""
    arguments = make_parser().parse_args(argv)
    import torch

    import training
    from Midi_To_Activation_Matrix import INSTRUMENTS

    content = training.load_checkpoint(arguments.run)
    model = training.build_model(content, arguments.run).to(training.choose_device(arguments.device))
    if content["class"] != "BernoulliVAE" or tuple(content["config"]["shape"]) != (8, 64):
        raise ValueError(f"{arguments.run}: expected a model of drum bars, BernoulliVAE (8, 64), "
                         f"found {content['class']}")
    trained = content.get("arguments", {})
    data = arguments.data or trained.get("data")
    if data is None:
        raise ValueError(f"{arguments.run}: does not say what it was trained on; give --data")
    splits = training.load_bars(data, trained.get("seed", 0))
    if arguments.split not in splits:
        raise ValueError(f"--split {arguments.split}: {data} has {', '.join(splits)}")
    bars = splits[arguments.split][0]
    if arguments.limit:
        bars = bars[np.random.default_rng(arguments.seed).permutation(len(bars))[:arguments.limit]]
    x = torch.as_tensor(bars)
    cpu = training.build_model(content, arguments.run)
    draws = cpu.sample(arguments.draws, torch.Generator().manual_seed(arguments.seed)).numpy()
    result = {"model": str(arguments.run), "data": str(data), "split": arguments.split, "bars": len(bars),
              "bounds": bounds(model, x, arguments.k, arguments.seed),
              "reconstruction_f1": reconstruction(cpu, x, INSTRUMENTS),
              "own_bars": own_bars(draws, splits["train"][0], bars),
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
