"""The segmenters' speed and memory: prediction against MONAI's sliding-window inference, training, and a whole CT that doesn't have to fit.

Run: python benchmarks/segment.py [--part predict|train|precision|volume|all] [--size 128] [--batch 16] [--slices 32] [--rounds 7]

predict  `Segmenter.probabilities` against MONAI's `sliding_window_inference` with the same network and batch, from the same HU: whole slices, and slices of 1.5 times the tile's side.
train    slices a second in training and prediction, and peak memory, for UNet, ResUNet and ResAttUNet, each in a process of its own.
precision  training in bfloat16 against full precision, per network: CPUs that multiply bfloat16 (AVX512-BF16, AMX) gain, others lose.
volume   `Segmenter.predict` of a CT of 75 and of 300 slices, each in a process of its own: peak memory above the CT and the mask, which must not grow with the slices.

Ratios are medians of paired rounds, in turns, with quartiles. Weights are random: they don't matter for the time.
"""
import argparse, os, subprocess, sys, tempfile, warnings
from pathlib import Path

warnings.filterwarnings("ignore")
os.environ.setdefault("BONEMETS_PROGRESS", "0")
import numpy as np
import torch
from detect import in_turns, make_store, peak_memory, ratio, say
from bonemets.core import make_rng, seed_everything
from bonemets.networks import NETWORKS, build_network
from bonemets.segment import DeepDiceCELoss, Segmenter
from bonemets.train import fit_slices_model, make_recipe, network_inputs, slice_loaders
from bonemets.volume import Volume

WINDOWS = ((400, 1800), (50, 400))


def segmenter(arch, size):
    seed_everything(0)
    return Segmenter(build_network(arch, len(WINDOWS)).eval(), dict(windows=WINDOWS, size=size, pixel_mm=2., threshold=.5))


def noise(n, size): return make_rng(0, "segment", n, size).integers(-1024, 2000, (n, size, size), dtype="int16")


@torch.inference_mode()
def monai_maps(net, hu, config, batch, tile):
    "What MONAI's users write: a batch of slices, its sliding window, sigmoid."
    from monai.inferers import sliding_window_inference
    parts = [network_inputs(hu, config, k, k + batch) for k in range(0, len(hu), batch)]
    return torch.cat([sliding_window_inference(x, (tile, tile), batch, net, overlap=.25, mode="gaussian").sigmoid()[:, 0] for x in parts]).numpy()


def bench_predict(args):
    for side in (args.size, args.size*3//2):
        hu = noise(args.slices, side)
        for arch in NETWORKS:
            s = segmenter(arch, args.size)
            ours, theirs = (lambda: s.probabilities(hu, args.batch)), (lambda: monai_maps(s.net, hu, s.config, args.batch, args.size))
            gap = np.abs(ours() - theirs()).max()
            times = in_turns([ours, theirs], args.rounds)
            print(f"predict: {arch}, {len(hu)} slices of {side} x {side}, tiles of {args.size}, batches of {args.batch}; largest difference {gap:.1g}")
            say("Segmenter.probabilities", np.median(times[:, 0]), "sliding_window_inference", np.median(times[:, 1]), ratio(times)[0])


def bench_train(args):
    print(f"train: slices of {args.size} x {args.size}, batches of {args.batch}; peak memory while training, {'GPU' if torch.cuda.is_available() else 'anonymous, above the loaded libraries'}")
    for arch in NETWORKS: print("  " + in_process("--arch-of", arch, "--size", args.size, "--batch", args.batch))


def in_process(*args):
    done = subprocess.run([sys.executable, __file__, *map(str, args)], capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 else f"failed: {done.stderr.strip().splitlines()[-1]}"


def one_arch(arch, args):
    "Throughput and memory of one network, in this process."
    with tempfile.TemporaryDirectory() as tmp:
        store = make_store(Path(tmp), 2, 40, args.size)
        recipe, rows, s = make_recipe(arch, epochs=1, steps_per_epoch=4, batch_size=args.batch, windows=WINDOWS), np.arange(len(store)), segmenter(arch, args.size)
        with peak_memory() as used:
            fit = lambda: fit_slices_model(s.net, slice_loaders(store, rows, rows[:0], "mask", recipe), DeepDiceCELoss(), recipe, False)
            trained = np.median([recipe.steps*recipe.batch_size/t for t in in_turns([fit], 3)[:, 0]])
        hu = np.array(store.hu(store.cases.case[0]))
        predicted = np.median([len(hu)/t for t in in_turns([lambda: s.probabilities(hu, args.batch)], 3)[:, 0]])
    print(f"{arch}: {sum(p.numel() for p in s.net.parameters())/1e6:.2f} M parameters, trains {trained:.1f} slices/s, predicts {predicted:.1f} slices/s, {used['mib']:.0f} MiB")


def bench_precision(args):
    print(f"precision: training steps on slices of {args.size} x {args.size}, batches of {args.batch}")
    with tempfile.TemporaryDirectory() as tmp:
        store = make_store(Path(tmp), 2, 40, args.size)
        rows = np.arange(len(store))
        for arch in NETWORKS:
            s = segmenter(arch, args.size)
            def fit(precision):
                recipe = make_recipe(arch, epochs=1, steps_per_epoch=3, batch_size=args.batch, windows=WINDOWS, precision=precision)
                return lambda: fit_slices_model(s.net, slice_loaders(store, rows, rows[:0], "mask", recipe), DeepDiceCELoss(), recipe, False)
            times = in_turns([fit("bfloat16"), fit("full")], args.rounds)/3
            say(f"{arch}, a step in bfloat16", np.median(times[:, 0]), "in full precision", np.median(times[:, 1]), ratio(times)[0])


def bench_volume(args):
    print(f"volume: Segmenter.predict of a CT, 256 x 256 pixels of 2 mm, UNet at 4 mm, batches of {args.batch}: peak anonymous memory above the CT and the mask")
    mib = [float(in_process("--slices-of", n, "--batch", args.batch)) for n in (75, 300)]
    print(f"  75 slices {mib[0]:.0f} MiB, 300 slices {mib[1]:.0f} MiB; the mask itself grows from {75*256**2/2**20:.0f} to {300*256**2/2**20:.0f} MiB")


def one_volume(n, args):
    "Peak memory of predicting a CT of `n` slices, without the mask."
    s, ct = segmenter("unet", 128), Volume(noise(n, 256), (2., 2., 2.))
    s.config["pixel_mm"] = 4.
    s.predict(Volume(ct.array[:args.batch].copy(), ct.spacing_mm), batch_size=args.batch)          # buffers that the library keeps
    with peak_memory() as used: s.predict(ct, batch_size=args.batch)
    print(used["mib"] - n*256**2/2**20)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", default="all", choices=["all", "predict", "train", "precision", "volume"])
    for name, value in dict(size=128, batch=16, slices=32, rounds=7).items(): parser.add_argument(f"--{name}", type=int, default=value)
    for name in ("arch-of", "slices-of"): parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arch_of: return one_arch(args.arch_of, args)
    if args.slices_of: return one_volume(int(args.slices_of), args)
    for name, bench in dict(predict=bench_predict, train=bench_train, precision=bench_precision, volume=bench_volume).items():
        if args.part in ("all", name): bench(args)


if __name__ == "__main__": main()
