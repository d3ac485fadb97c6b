"""What running nnU-Net through bonemets costs, what two folds at once gain, and the memory of preprocessing.

Run: python benchmarks/nnunet.py [--part overhead|side|memory|all] [--rounds 3] [--epochs 3] [--iterations 20]

overhead  `train_nnunet` of one fold, from call to return, against `nnUNetv2_train` by hand: the stock trainer with nothing but the same budget, the same variables, threads and helper processes,
          both to the end of validation. The first round is thrown away.
side      two folds side by side on two CPU cores, one thread each, against the two one after the other: on one core with one thread, and on both cores with two threads.
memory    the peak of resident memory of a process that preprocesses one CT, for CTs and plans of several sizes, beside what `preprocess_gb` says. The factors in it come from here.

Times are medians of paired rounds, in turns. Phantoms of 32 x 64 x 64 voxels and the `2d` configuration: what is measured does not depend on the network.
"""
import argparse, json, os, shutil, subprocess, sys, tempfile, time
from pathlib import Path

os.environ.setdefault("BONEMETS_PROGRESS", "0")
import numpy as np
from bonemets.cohort import read_cohort, split_patients
from bonemets.core import make_rng, read_json
from bonemets.nnunet import export_dataset, plan, preprocess_gb, train_nnunet
from bonemets.phantom import make_cohort
from bonemets.volume import Volume, write_volume

STOCK = """import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
class nnUNetTrainerStock(nnUNetTrainer):
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device: torch.device = torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = {epochs}, {iterations}, 2
        torch.set_num_threads({threads})
"""
PREPROCESS = """import json, resource, sys
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
plans = PlansManager(sys.argv[1])
DefaultPreprocessor(verbose=False).run_case_save(sys.argv[5], [sys.argv[3]], sys.argv[4], plans, plans.get_configuration("3d_fullres"), json.load(open(sys.argv[2])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e6)
"""


def make_run(folder):
    "Ten phantoms, exported, planned and preprocessed."
    cohort = read_cohort(make_cohort(folder/"cohort", n_patients=10, seed=31, n_lesions=(2, 6), shape=(32, 64, 64), spacing_mm=(12, 6, 6)))
    run = export_dataset(cohort, split_patients(cohort, test=.2, folds=4, seed=0, workers=1), folder/"run")
    plan(run, memory_gb=2)
    return run


def forget(run):
    "Remove what was trained."
    shutil.rmtree(run/"results", ignore_errors=True)


def by_hand(run, args, cores):
    "What nnU-Net's users do: three variables, one command."
    trainer = run.parent/"stock"
    trainer.mkdir(exist_ok=True)
    (trainer/"stock.py").write_text(STOCK.format(epochs=args.epochs, iterations=args.iterations, threads=cores))
    folders = {f"nnUNet_{k}": str(run/k) for k in ("raw", "preprocessed", "results")}
    numbers = dict(nnUNet_n_proc_DA=str(cores), nnUNet_def_n_proc=str(cores), OMP_NUM_THREADS=str(cores), MKL_NUM_THREADS=str(cores), OPENBLAS_NUM_THREADS=str(cores), CUDA_VISIBLE_DEVICES="", nnUNet_compile="false")
    command = [Path(sys.executable).with_name("nnUNetv2_train"), "1", "2d", "0", "-tr", "nnUNetTrainerStock", "-device", "cpu"]
    subprocess.run(command, check=True, env=os.environ | folders | numbers | {"nnUNet_extTrainer": str(trainer), "MPLBACKEND": "agg"}, stdout=subprocess.DEVNULL)


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def budget(args): return dict(epochs=args.epochs, iterations=args.iterations, val_iterations=2, progress=False, probabilities=False)


def bench_overhead(run, args):
    cores, times = len(os.sched_getaffinity(0)), []
    ways = dict(ours=lambda: train_nnunet(run, "2d", folds=[0], devices=["cpu"], **budget(args)), theirs=lambda: by_hand(run, args, cores))
    for r in range(args.rounds + 1):
        took = {}
        for name in list(ways)[::1 if r % 2 else -1]:
            forget(run)
            took[name] = seconds(ways[name])
        times.append([took["ours"], took["theirs"]])
        print(f"  round {r}: train_nnunet {took['ours']:.1f} s, nnUNetv2_train {took['theirs']:.1f} s", flush=True)
    a = np.array(times[1:])
    print(f"overhead: one fold, {args.epochs} epochs of {args.iterations} steps, {cores} threads: {np.median(a[:, 0]):.1f} s against {np.median(a[:, 1]):.1f} s by hand; median of the paired ratios {np.median(a[:, 0]/a[:, 1]):.3f} ({(a[:, 0]/a[:, 1]).min():.3f} to {(a[:, 0]/a[:, 1]).max():.3f})")


ONE_CORE = "import json, sys; from bonemets.nnunet import train_nnunet; train_nnunet(sys.argv[1], '2d', folds=[0, 1], devices=['cpu'], **json.loads(sys.argv[2]))"


def bench_side(run, args):
    first = min(os.sched_getaffinity(0))
    ways = {
        "side by side, one thread each": lambda: train_nnunet(run, "2d", folds=[0, 1], devices=["cpu", "cpu"], **budget(args)),
        "one after the other on one core": lambda: subprocess.run(["taskset", "-c", str(first), sys.executable, "-c", ONE_CORE, str(run), json.dumps(budget(args))], check=True),
        "one after the other on all cores": lambda: train_nnunet(run, "2d", folds=[0, 1], devices=["cpu"], **budget(args)),
    }
    times = np.empty((args.rounds, len(ways)))
    for r in range(args.rounds):
        for k in np.roll(np.arange(len(ways)), r):
            forget(run)
            times[r, k] = seconds(list(ways.values())[k])
    print("side: two folds, " + "; ".join(f"{name} {t:.1f} s" for name, t in zip(ways, np.median(times, axis=0))))
    for k in (1, 2): print(f"  side by side is {np.median(times[:, k]/times[:, 0]):.2f} times as fast as {list(ways)[k]} ({(times[:, k]/times[:, 0]).min():.2f} to {(times[:, k]/times[:, 0]).max():.2f})")


SIZES = ( # voxels, slice spacing in pixels, the plan's pixel as a multiple of the CT's
    ((32, 64, 64), 2., 1.), ((128, 256, 256), 2., 1.), ((96, 512, 512), 2., 1.), ((192, 384, 384), 2., 1.),
    ((128, 256, 256), 2., .6), ((128, 256, 256), 2., .75), ((128, 256, 256), 2., 1.5), ((192, 384, 384), 2., .8), ((96, 512, 512), 2., 1.4), ((96, 512, 512), 5., .8),
)


def bench_memory(run, args):
    "One process a case, for each of `SIZES`."
    dataset, folder, rows = next((run/"preprocessed").iterdir()), run.parent/"memory", []
    plans = read_json(dataset/"nnUNetPlans.json")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for shape, thick, factor in SIZES:
        rng, spacing, target = make_rng(0, "memory", *shape), (thick, 1., 1.), (thick, factor, factor)
        mask = np.zeros(shape, "uint8")
        mask[::3, shape[1]//4:shape[1]//3, shape[2]//4:shape[2]//3] = 1
        write_volume(Volume(rng.integers(-900, 1500, shape, dtype="int16"), spacing), folder/"ct.nii.gz")
        write_volume(Volume(mask, spacing), folder/"mask.nii.gz")
        plans["configurations"]["3d_fullres"]["spacing"] = list(target)
        (folder/"plans.json").write_text(json.dumps(plans))
        files = [folder/"plans.json", run/"raw"/dataset.name/"dataset.json", folder/"ct.nii.gz", folder/"mask.nii.gz", folder/f"out{len(rows)}"]
        done = subprocess.run([sys.executable, "-c", PREPROCESS, *map(str, files)], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        if done.returncode: sys.exit(done.stderr)
        rows.append([float(np.prod(shape)), float(np.prod(shape))/factor**2, factor != 1, float(done.stdout.split()[-1]), preprocess_gb(shape, spacing, target)])
        print(f"  CT of {' x '.join(map(str, shape))}, slices of {thick:g} pixels, pixel of the plan {factor:g} of its own: {rows[-1][3]:.2f} GB, preprocess_gb says {rows[-1][4]:.2f}", flush=True)
    native, target, resampled, gb, said = np.array(rows).T
    fit = np.linalg.lstsq(np.column_stack([np.ones(len(gb)), native*(1 - resampled), native*resampled, target*resampled]), gb, rcond=None)[0]
    print(f"memory: least squares {fit[0]:.2f} GB, a voxel {fit[1]*1e9:.1f}e-9 without resampling, else {fit[2]*1e9:.1f}e-9 + {fit[3]*1e9:.1f}e-9 a voxel of the plan; preprocess_gb over the measured: {(said/gb).min():.2f} to {(said/gb).max():.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("overhead", "side", "memory", "all"), default="all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        run = make_run(Path(tmp))
        for name, bench in dict(memory=bench_memory, overhead=bench_overhead, side=bench_side).items():
            if args.part in (name, "all"): bench(run, args)
