"""How fast are radiomic features? `python benchmarks/radiomics.py` against pyradiomics on the whole CT, one process against two, and nyxus.

Three questions, each asked of one noisy CT with round lesions planted in it (385 x 512 x 512 voxels, 600 lesions 5 to 15 mm wide):

- `whole`: seconds a lesion when pyradiomics is given the whole CT, measured on two lesions, against ours on the same two, whose values must be equal;
- `pool`: all lesions by a warm pool of two processes, against one plain loop over padded crops in this process, in turns;
- `nyxus`: ours against nyxus over the features that both have, where a Python that has nyxus is named with `--nyxus PYTHON`.
"""

import argparse, os, subprocess, sys, tempfile, time
from pathlib import Path

if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent: del sys.path[0] # or this file would be imported for pyradiomics, whose module has its name
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["BONEMETS_PROGRESS"] = "0"

import numpy as np
import psutil
from scipy.ndimage import find_objects

from bonemets.core import make_rng
from bonemets.radiomics import PRESETS, _as_float, _extractor, _quiet, _sitk, extract_features, feature_settings

SPACING_MM = (1., .8, .8)


def make_ct(shape, n_lesions):
    "A noisy CT and labels of round lesions, one in each cell of a grid, so that none touch."
    rng = make_rng(0, "radiomics benchmark")
    hu = rng.normal(100, 30, shape).astype("int16")
    labels, cells = np.zeros(shape, "int32"), [np.arange(20, n - 20, 40) for n in shape]
    centres = np.stack(np.meshgrid(*cells, indexing="ij"), -1).reshape(-1, 3)
    if len(centres) < n_lesions: raise SystemExit(f"no room for {n_lesions} lesions in {shape}: at most {len(centres)}")
    for i, c in enumerate(rng.permutation(centres)[:n_lesions], 1):
        box = tuple(slice(k - 12, k + 13) for k in c)
        far = ((np.indices((25, 25, 25)).T - 12)*SPACING_MM).T
        inside = (far**2).sum(0) <= rng.uniform(2.5, 7.5)**2
        labels[box][inside] = i
        hu[box][inside] += np.int16(rng.integers(200, 600))
    return hu, labels


def whole_volume(hu, labels, lesion, how):
    "pyradiomics on the whole CT."
    image, mask = _sitk(hu, SPACING_MM), _sitk((labels == lesion).astype(np.uint8), SPACING_MM)
    with _quiet(): found = _extractor(how.feature_classes, how.settings, how.image_types).execute(image, mask)
    return {k: _as_float(v) for k, v in found.items() if not k.startswith("diagnostics")}


def each(hu, labels, preset):
    "Seconds a lesion of ours, in this process, all in."
    start = time.perf_counter()
    table = extract_features(hu, labels, SPACING_MM, preset=preset)
    return (time.perf_counter() - start)/len(table)


def compare_whole(hu, labels, preset):
    "Seconds a lesion: the whole CT against ours, on the same two lesions and on all."
    how, two = feature_settings(preset), [1, 2]
    start = time.perf_counter()
    theirs = [whole_volume(hu, labels, i, how) for i in two]
    whole = (time.perf_counter() - start)/len(two)
    few = np.where(np.isin(labels, two), labels, 0)
    ours = extract_features(hu, few, SPACING_MM, preset=preset)
    worst = max(abs(ours.loc[i, k] - v)/max(abs(v), 1e-12) for i, row in enumerate(theirs) for k, v in row.items() if v == v)
    seconds = [each(hu, some, preset) for some in (few, labels)]
    print(f"{preset}: a lesion takes pyradiomics on the whole CT {whole:.2f} s; ours {seconds[0]:.4f} s for two ({whole/seconds[0]:.0f} times faster), {seconds[1]:.4f} s for all {labels.max()} "
          f"({whole/seconds[1]:.0f} times); largest relative difference {worst:.1e}")


def padded_crops(hu, labels, how, margin=5):
    "The plain loop: pyradiomics on each padded crop, one after the other."
    out = []
    for i, box in enumerate(find_objects(labels), 1):
        crop = tuple(slice(max(0, s.start - margin), s.stop + margin) for s in box)
        with _quiet(): found = _extractor(how.feature_classes, how.settings).execute(_sitk(hu[crop], SPACING_MM), _sitk((labels[crop] == i).astype(np.uint8), SPACING_MM))
        out.append({k: _as_float(v) for k, v in found.items() if not k.startswith("diagnostics")})
    return out


def cpu_seconds():
    "CPU seconds of this process and of its workers, by process id."
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return {p.pid: t.user + t.system for p, t in ((p, p.cpu_times()) for p in processes)}


def compare_pool(hu, labels, rounds, workers):
    "One process over padded crops against ours with a warm pool, in turns; wall clock, and CPU seconds, which other programs on the machine disturb less."
    how, wall, cpu = feature_settings("paper"), np.empty((rounds, 2)), np.empty((rounds, 2))
    table = extract_features(hu, labels, SPACING_MM, workers=workers, preset="paper") # warms the pool
    loop = padded_crops(hu, labels, how)
    if not all(np.array_equal([row[k] for k in found], list(found.values()), equal_nan=True) for (_, row), found in zip(table.iterrows(), loop)): raise SystemExit("the two ways differ")
    ways = [lambda: padded_crops(hu, labels, how), lambda: extract_features(hu, labels, SPACING_MM, workers=workers, preset="paper")]
    for r in range(rounds):
        for k in ((0, 1) if r % 2 else (1, 0)):
            before, start = cpu_seconds(), time.perf_counter()
            ways[k]()
            wall[r, k] = time.perf_counter() - start
            used = {pid: s - before.get(pid, 0) for pid, s in cpu_seconds().items()}
            cpu[r, k] = used.pop(os.getpid()) + max(used.values(), default=0) # this process, then the workers side by side
    ratio = wall[:, 0]/wall[:, 1]
    print(f"{len(table)} lesions: one process {wall[:, 0].min():.1f} s, {workers} warm processes {wall[:, 1].min():.1f} s at best; ratio {wall[:, 0].min()/wall[:, 1].min():.2f}, "
          f"by round {', '.join(f'{v:.2f}' for v in ratio)}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"in CPU seconds: one process {cpu[:, 0].min():.1f}; this process and the busiest worker {cpu[:, 1].min():.1f}; ratio {cpu[:, 0].min()/cpu[:, 1].min():.2f}")


NYXUS = """import sys, time
from nyxus import Nyxus3D
groups = ["*3D_ALL_INTENSITY*", *(f"*3D_{c}*" for c in ("GLCM", "GLDM", "GLRLM", "GLSZM", "NGTDM"))]
nyxus = Nyxus3D(features=groups, n_feature_calc_threads=1)
for ct, mask in ((sys.argv[1], sys.argv[2]), (sys.argv[3], sys.argv[4])):
    start = time.perf_counter()
    table = nyxus.featurize_files([ct], [mask], False)
    print(len(table), table.shape[1] - 4, time.perf_counter() - start)
"""


def compare_nyxus(hu, labels, python, n=20):
    "Ours against nyxus on files with `n` lesions, in one thread, over the classes that both have (not the shape); nyxus once on a small file before, to be warm."
    import SimpleITK as sitk
    classes = [c for c in PRESETS["paper"].feature_classes if c != "shape"]
    with tempfile.TemporaryDirectory() as tmp:
        paths, first = [str(Path(tmp)/f"{f}.nii") for f in ("ct1", "mask1", "ct", "mask")], find_objects(labels)[0]
        few, small = np.where(labels <= n, labels, 0), tuple(slice(s.start - 5, s.stop + 5) for s in first)
        for path, array in zip(paths, (hu[small], labels[small], hu, few)): sitk.WriteImage(_sitk(array.astype("uint16"), SPACING_MM), path)
        done = subprocess.run([python, "-c", NYXUS, *paths], capture_output=True, text=True)
        if done.returncode: raise SystemExit(f"nyxus failed: {done.stderr.strip()[-500:]}")
        found, n_columns, theirs = done.stdout.split("\n")[1].split()
        start = time.perf_counter()
        ct, mask = (sitk.GetArrayFromImage(sitk.ReadImage(p)) for p in paths[2:])
        ours = extract_features(ct, mask.astype("int32"), SPACING_MM, preset="paper", feature_classes=classes)
        seconds = time.perf_counter() - start
    print(f"nyxus {found} lesions, {n_columns} columns, from the files: {float(theirs)/n:.4f} s a lesion; ours {len(ours)} lesions, {ours.shape[1] - 2} features: {seconds/n:.4f} s a lesion")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ask", nargs="*", default=["whole", "pool"], choices=["whole", "pool"])
    parser.add_argument("--shape", type=int, nargs=3, default=(385, 512, 512))
    for name, value in dict(lesions=600, rounds=3, workers=2).items(): parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--nyxus", help="a Python that has nyxus")
    args = parser.parse_args()
    hu, labels = make_ct(tuple(args.shape), args.lesions)
    if "whole" in args.ask:
        for preset in PRESETS: compare_whole(hu, labels, preset)
    if args.nyxus: compare_nyxus(hu, labels, args.nyxus)
    if "pool" in args.ask: compare_pool(hu, labels, args.rounds, args.workers)


if __name__ == "__main__": main()
