"""The detectors' speed: feeding batches, the training loop's overhead, prediction, and throughput and memory by architecture.

Run: python benchmarks/detect.py [--part feed|loop|predict|archs|all] [--cases 12] [--batches 40] [--size 512] [--batch 32] [--rounds 15] [--train-size 128] [--train-batch 16] [--train-steps 6]

feed     shuffled batches of int16 slices: the store's loader against a bare np.memmap of the same bytes copied into a batch, and against MONAI's PersistentDataset with its cache built:
         one item a slice (the best case for MONAI: each slice a file) and one item a case (as its tutorials have it: the volume is read for the slices that are wanted from it).
         Times are paired, in one process, in turns with the order changing; memory is the peak of anonymous memory above the start, each reader in a process of its own.
loop     one training epoch of `fit_slices_model` against a bare PyTorch loop: same network, batches, windows, augmentation, optimiser and schedule; then the same with checkpoints.
predict  `Detector.probabilities` against the bare forward pass over inputs that were prepared before.
archs    slices a second in training and prediction, and peak memory, for the paper's three architectures.

The files lie in the page cache for all readers, so this measures the readers, not the disk. Ratios are medians of paired rounds, with quartiles.
"""
import argparse, contextlib, ctypes, gc, os, subprocess, sys, tempfile, threading, time, warnings
from pathlib import Path

warnings.filterwarnings("ignore")
os.environ.setdefault("BONEMETS_PROGRESS", "0")
import numpy as np
import pandas as pd
import torch
from torch import nn
from bonemets.core import make_rng, seed_everything
from bonemets.detect import ARCHS, Detector, build_backbone
from bonemets.slices import build_store, open_store
from bonemets.train import BalancedBatches, PrepareBatch, Roles, SliceData, augment_batch, fit_slices_model, make_recipe, normalise, slice_loaders, window_channels
from bonemets.volume import Volume, write_volume


def make_store(folder, n_cases, n_slices, size):
    "Noise CTs with a mask in every fourth slice, at one spacing, so that the store holds the same values."
    rows = []
    for k in range(n_cases):
        rng = make_rng(0, "bench", k)
        mask = np.zeros((n_slices, size, size), "uint8")
        mask[::4, :8, :8] = 1
        for kind, array in (("image", rng.integers(-1024, 2000, (n_slices, size, size), dtype="int16")), ("mask", mask)): write_volume(Volume(array, (2., .8, .8)), folder/f"{kind}{k}.mha")
        rows.append(dict(patient=f"p{k}", image=folder/f"image{k}.mha", mask=folder/f"mask{k}.mha"))
    return build_store(pd.DataFrame(rows), folder/"store", workers=1)


def ratio(times):
    "Median and quartiles of the first column over each other column."
    return [tuple(np.quantile(times[:, 0]/times[:, k], (.5, .25, .75))) for k in range(1, times.shape[1])]


def say(name, a, other, b, r): print(f"  {name} {a:.4g} s, {other} {b:.4g} s: median ratio {r[0]:.3f} (quartiles {r[1]:.3f} to {r[2]:.3f})")


def in_turns(contenders, rounds):
    "Seconds of each contender, (rounds, n); the order turns with the round; the first round is thrown away."
    times = np.empty((rounds + 1, len(contenders)))
    for r in range(rounds + 1):
        for k in np.roll(np.arange(len(contenders)), r):
            start = time.perf_counter()
            contenders[k]()
            times[r, k] = time.perf_counter() - start
    return times[1:]


@contextlib.contextmanager
def peak_memory():
    "Gives a dict whose `mib` is then the peak of anonymous memory above the start (Linux), or of the GPU's."
    found, stop = {}, threading.Event()
    anon = lambda: next((int(line.split()[1])/1024 for line in open("/proc/self/status") if line.startswith("RssAnon")), np.nan)
    gc.collect()
    with contextlib.suppress(OSError, AttributeError): ctypes.CDLL("libc.so.6").malloc_trim(0)     # what was freed before must not hide what is taken now
    start = found["mib"] = anon() if Path("/proc/self/status").exists() else np.nan
    def watch():
        while not stop.wait(0.001): found["mib"] = max(found["mib"], anon())
    thread = threading.Thread(target=watch)
    if torch.cuda.is_available(): torch.cuda.reset_peak_memory_stats()
    else: thread.start()
    yield found
    stop.set()
    if torch.cuda.is_available(): found["mib"] = torch.cuda.max_memory_allocated()/2**20
    else:
        thread.join()
        found["mib"] -= start


# ---- feeding

def flat_file(store, folder):
    "One file with all slices of the store, mapped."
    path = folder/"flat.npy"
    if not path.exists():
        flat = np.lib.format.open_memmap(path, "w+", "int16", (len(store), store.size, store.size))
        for case in store.cases.case: flat[store.rows(case)] = store.hu(case)
        flat.flush()
    return np.load(path, mmap_mode="r")


def order(store, n_batch, n): return list(BalancedBatches(store.index.lesion.to_numpy(), n_batch, n, seed=3))


def feed_store(store, folder, n_batch, n):
    loader = torch.utils.data.DataLoader(SliceData(store, np.arange(len(store))), sampler=order(store, n_batch, n), batch_size=None)
    def read(): return [int(hu[0, 0, 0]) + hu.shape[0] for hu, y in loader]
    return read


def feed_memmap(store, folder, n_batch, n):
    flat, lesion, batches = flat_file(store, folder), store.index.lesion.to_numpy(np.float32), order(store, n_batch, n)
    def one(rows):
        out = np.empty((len(rows), *flat.shape[1:]), flat.dtype)
        for k, i in enumerate(rows): out[k] = flat[i]
        return torch.from_numpy(out), torch.from_numpy(lesion[rows])[:, None]
    def read(): return [int(hu[0, 0, 0]) + hu.shape[0] for hu, y in map(one, batches)]
    return read


def feed_monai_slices(store, folder, n_batch, n):
    from monai.data import DataLoader, PersistentDataset
    from monai.transforms import Transform
    class Load(Transform):
        def __call__(self, row): return {"image": torch.from_numpy(store[row]), "label": torch.tensor([float(store.index.lesion[row])])}
    data = PersistentDataset(list(range(len(store))), Load(), folder/"monai_slices")
    for k in range(len(data)): data[k]                                             # the cache is built
    loader = DataLoader(data, batch_sampler=order(store, n_batch, n), num_workers=0)
    def read(): return [int(b["image"][0, 0, 0]) + b["image"].shape[0] for b in loader]
    return read


def feed_monai_cases(store, folder, n_batch, n):
    from monai.data import PersistentDataset
    from monai.transforms import Transform
    class Load(Transform):
        def __call__(self, case): return {"image": torch.from_numpy(np.array(store.hu(case)))}
    cases = store.cases.case.tolist()
    data = PersistentDataset(cases, Load(), folder/"monai_cases")
    for k in range(len(data)): data[k]
    where = [(cases.index(c), z) for c, z in zip(store.index.case, store.index.z)]
    def one(rows):
        volumes, out = {}, []
        for case, z in map(where.__getitem__, rows):
            if case not in volumes: volumes[case] = data[case]["image"]            # once a case and batch
            out.append(volumes[case][z])
        return torch.stack(out)
    def read(): return [int(hu[0, 0, 0]) + hu.shape[0] for hu in map(one, order(store, n_batch, n))]
    return read


FEEDS = {"store": feed_store, "memmap": feed_memmap, "monai_slices": feed_monai_slices, "monai_cases": feed_monai_cases}


def memory_of(name, folder, n_batch):
    "Peak memory of a reader over three batches, in a new process."
    done = subprocess.run([sys.executable, __file__, "--memory-of", name, "--folder", str(folder), "--batch", str(n_batch)], capture_output=True, text=True)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else np.nan


def bench_feed(folder, args):
    store, n = make_store(folder, args.cases, args.slices, args.size), args.batches
    reads = {name: make(store, folder, args.batch, n if name != "monai_cases" else 1) for name, make in FEEDS.items()}
    first = {name: read() for name, read in reads.items() if name != "monai_cases"}
    if len(set(map(tuple, first.values()))) > 1: raise SystemExit("the readers give different batches")
    times = in_turns([reads[k] for k in ("store", "memmap", "monai_slices")], args.rounds)
    slow = in_turns([reads["monai_cases"]], max(args.rounds//5, 2))
    mib = {name: memory_of(name, folder, args.batch) for name in FEEDS}
    print(f"feed: shuffled batches of {args.batch} slices of {args.size} x {args.size}, {args.cases*args.slices} slices, {args.rounds} rounds of {n}")
    names, medians = ("bare memmap", "PersistentDataset by slice"), np.median(times, axis=0)/n
    for k, (other, r) in enumerate(zip(names, ratio(times)), 1): say("store", medians[0], other, medians[k], r)
    print(f"  PersistentDataset by case {np.median(slow):.4g} s a batch: {np.median(slow)/medians[0]:.0f} times the store's")
    print("  peak memory: " + ", ".join(f"{k} {v:.0f} MiB" for k, v in mib.items())
          + f"; store over PersistentDataset by slice {mib['store']/mib['monai_slices']:.2f}, by case {mib['store']/mib['monai_cases']:.3f}")


# ---- the training loop

def bare_epoch(net, store, rows, recipe, loss):
    "What someone would write without fastai: the same batches, windows, augmentation, optimiser and schedule."
    data, device = SliceData(store, rows), next(net.parameters()).device
    batches = BalancedBatches(data.lesion, recipe.batch_size, recipe.steps_per_epoch, recipe.positive_share, recipe.seed)
    decay, plain = [p for p in net.parameters() if p.ndim > 1], [p for p in net.parameters() if p.ndim <= 1]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": .01}, {"params": plain, "weight_decay": 0.}], lr=recipe.lr, betas=(.9, .99), eps=1e-5, fused=True)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, recipe.lr, total_steps=recipe.steps, cycle_momentum=True, base_momentum=.85, max_momentum=.95)
    pipeline = PrepareBatch(recipe.windows).augment
    net.train()
    for picks in batches:
        hu, y = data[picks]
        x, (y,) = augment_batch(window_channels(hu.to(device), recipe.windows), (y.to(device),), pipeline)
        loss(net(normalise(x)), y).backward()
        opt.step(); sched.step(); opt.zero_grad()


def bench_loop(folder, args):
    store, loss = make_store(folder/"small", 3, 40, args.train_size), nn.BCEWithLogitsLoss()
    recipe, rows = make_recipe(args.arch, epochs=1, steps_per_epoch=args.train_steps, batch_size=args.train_batch), np.arange(len(store))
    nets = [build_backbone(args.arch) for _ in range(3)]
    ours = lambda net, folder=None: fit_slices_model(net, slice_loaders(store, rows, rows[:0], "label", recipe), loss, recipe, False, folder)
    def kept():
        with tempfile.TemporaryDirectory() as tmp: ours(nets[2], Path(tmp))
    times = in_turns([lambda: ours(nets[0]), lambda: bare_epoch(nets[1], store, rows, recipe, loss), kept], args.rounds)
    print(f"loop: {args.arch}, an epoch of {args.train_steps} steps of {args.train_batch} slices of {args.train_size} x {args.train_size}, {args.rounds} rounds")
    a, b, c = np.median(times, axis=0)
    say("fit_slices_model", a, "bare loop", b, ratio(times)[0])
    say("with a checkpoint each epoch", c, "bare loop", b, ratio(times[:, [2, 1]])[0])
    print(f"  a checkpoint costs {np.median(times[:, 2] - times[:, 0]):.2f} s an epoch, whatever its length")


# ---- prediction

@torch.inference_mode()
def bare_forward(net, batches): return torch.cat([net(x) for x in batches])


def bench_predict(folder, args):
    net = build_backbone(args.arch).eval()
    hu = make_rng(0, "predict").integers(-1024, 2000, (args.predict_slices, args.size, args.size), dtype="int16")
    detector = Detector(net, dict(windows=((400, 1800),), threshold=.5))
    batches = [detector.inputs(hu[k:k + 16]) for k in range(0, len(hu), 16)]
    times = in_turns([lambda: detector.probabilities(hu), lambda: bare_forward(net, batches)], max(args.rounds//3, 3))
    print(f"predict: {args.arch}, {len(hu)} slices of {args.size} x {args.size}")
    say("Detector.probabilities", *(np.median(times, axis=0)[[0]]), "bare forward pass", np.median(times, axis=0)[1], ratio(times)[0])


# ---- architectures

def bench_archs(folder, args):
    print(f"archs: slices of {args.train_size} x {args.train_size}, batches of {args.train_batch}; peak memory while training, {'GPU' if torch.cuda.is_available() else 'anonymous, above the loaded libraries'}")
    for arch in ARCHS:
        done = subprocess.run([sys.executable, __file__, "--arch-of", arch, "--train-size", str(args.train_size), "--train-batch", str(args.train_batch)], capture_output=True, text=True)
        print("  " + (done.stdout.strip().splitlines()[-1] if done.returncode == 0 else f"{arch}: failed: {done.stderr.strip().splitlines()[-1]}"))


def one_arch(arch, args):
    "Throughput and memory of one architecture, in this process."
    seed_everything(0)
    with tempfile.TemporaryDirectory() as tmp:
        store = make_store(Path(tmp), 2, 40, args.train_size)
        recipe, rows = make_recipe(arch, epochs=1, steps_per_epoch=5, batch_size=args.train_batch), np.arange(len(store))
        with peak_memory() as used:
            net = build_backbone(arch)
            fit = lambda: fit_slices_model(net, slice_loaders(store, rows, rows[:0], "label", recipe), nn.BCEWithLogitsLoss(), recipe, False)
            trained = np.median([recipe.steps*recipe.batch_size/t for t in in_turns([fit], 3)[:, 0]])
        detector = Detector(net.eval(), dict(windows=((400, 1800),), threshold=.5))
        hu = np.array(store.hu(store.cases.case[0]))
        predicted = np.median([len(hu)/t for t in in_turns([lambda: detector.probabilities(hu)], 3)[:, 0]])
    print(f"{arch}: {sum(p.numel() for p in net.parameters())/1e6:.1f} M parameters, trains {trained:.1f} slices/s, predicts {predicted:.1f} slices/s, {used['mib']:.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", default="all", choices=["all", "feed", "loop", "predict", "archs"])
    parser.add_argument("--arch", default="resnet34")
    numbers = dict(cases=12, slices=80, batches=40, size=512, batch=32, rounds=15, train_size=128, train_batch=16, train_steps=6, predict_slices=16)
    for name, value in numbers.items(): parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    for name in ("memory-of", "arch-of", "folder"): parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arch_of: return one_arch(args.arch_of, args)
    if args.memory_of:
        read = FEEDS[args.memory_of](open_store(Path(args.folder)/"store"), Path(args.folder), args.batch, 3)
        with peak_memory() as used: read()
        return print(used["mib"])
    for name, bench in dict(feed=bench_feed, loop=bench_loop, predict=bench_predict, archs=bench_archs).items():
        if args.part not in ("all", name): continue
        with tempfile.TemporaryDirectory() as tmp:
            (Path(tmp)/"small").mkdir()
            bench(Path(tmp), args)


if __name__ == "__main__": main()
