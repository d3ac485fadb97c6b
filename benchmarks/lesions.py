"""Labels and lesion table of a large sparse mask, against scipy.ndimage.label with the same structure plus scikit-image's regionprops_table, and against cc3d's
connected_components(26) plus statistics. Medians of paired runs in turns; also what bones and a CT add, peak memory, growth with slices and lesions, and dense masks.

Run with one thread: OMP_NUM_THREADS=1 python benchmarks/lesions.py [--rounds 7] [--slices 385] [--skip-dense]
"""
import argparse
import time
import tracemalloc

import cc3d
import numpy as np
from scipy import ndimage
from skimage.measure import regionprops_table

from bonemets.lesions import label_lesions, lesion_table
from bonemets.phantom import make_case

SPACING = (2., .8, .8)
STRUCTURE = np.zeros((3, 3, 3), bool)
STRUCTURE[1], STRUCTURE[:, 1, 1] = True, True


def make_bones(shape):
    "A phantom's bone map, enlarged to this shape."
    small = make_case(0, (96, 128, 128), (5, 3, 3), n_lesions=0)[2].array
    index = [np.arange(n)*m//n for n, m in zip(shape, small.shape)]
    return small[np.ix_(*index)].astype(np.int32)


def make_mask(bones, n_lesions, seed=0):
    "Ellipsoids of 5 to 40 pixels across and 2 to 16 slices high, centred in bone, at least 4 voxels apart."
    rng, out, taken, placed = np.random.default_rng(seed), np.zeros(bones.shape, bool), np.zeros(bones.shape, bool), 0
    where = np.flatnonzero(bones)
    while placed < n_lesions:
        at, radius = np.unravel_index(rng.choice(where), bones.shape), np.exp(rng.uniform(np.log((1, 2.5, 2.5)), np.log((8, 20, 20))))
        box = tuple(slice(max(int(c - r - 4), 0), int(c + r + 5)) for c, r in zip(at, radius))
        d = sum(((np.arange(s.start, s.start + n) - c)/r)[(slice(None),) + (None,)*(2 - k)]**2 for k, (s, c, r, n) in enumerate(zip(box, at, radius, out[box].shape)))
        blob = d <= 1
        if taken[box][blob].any(): continue
        out[box] |= blob
        taken[box] |= ndimage.binary_dilation(blob, STRUCTURE, 4)
        placed += 1
    return out


def ours(mask, **maps): return lesion_table(label_lesions(mask)[0], SPACING, **maps)

def scipy_skimage(mask, ct=None):
    labels, _ = ndimage.label(mask, STRUCTURE)
    properties = ["label", "area", "bbox", "centroid"] + ["intensity_mean", "intensity_max"]*(ct is not None)
    return regionprops_table(labels, ct, properties=properties)

def cc3d_26(mask): return cc3d.statistics(cc3d.connected_components(mask, connectivity=26))


def paired(functions, rounds):
    "Seconds (rounds, functions), in turns, each round in another order; one run of each goes first and is not counted."
    times, names = np.empty((rounds, len(functions))), list(functions)
    for f in functions.values(): f()
    for r in range(rounds):
        for k in np.roll(np.arange(len(names)), r):
            start = time.perf_counter()
            functions[names[k]]()
            times[r, k] = time.perf_counter() - start
    return times

def compare(title, functions, rounds):
    "Print the median of each, and the median ratio to the first."
    times = paired(functions, rounds)
    print(f"\n{title}, median of {rounds}")
    for k, name in enumerate(functions):
        ratio = times[:, k]/times[:, 0]
        print(f"  {name:<44} {np.median(times[:, k])*1000:9.1f} ms   {np.median(ratio):6.2f} x the first   (quartiles {np.quantile(ratio, .25):.2f} to {np.quantile(ratio, .75):.2f})")
    return np.median(times, axis=0)

def peak_mb(f):
    "Peak of what Python and NumPy reserve during a call, beyond what was there, MB."
    tracemalloc.start()
    f()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak/2**20


def resident_mb(f):
    "Peak of what a call keeps in memory beyond what was there (pages that are never written don't count), MB; NaN where the system does not tell."
    status = lambda key: int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1])/1024
    try: open("/proc/self/clear_refs", "w").write("5")
    except OSError: return float("nan")
    before = status("VmRSS")
    f()
    return status("VmHWM") - before


def check(mask):
    "The same lesions and measures by both roads."
    table, other = ours(mask), scipy_skimage(mask)
    order = np.lexsort([other[f"bbox-{k}"] for k in range(6)])
    mine = table.loc[np.lexsort(np.array(table.bbox.tolist()).T)]
    assert len(table) == len(order) and (mine.n_voxels == other["area"][order]).all() and np.allclose(mine.centroid_y, other["centroid-1"][order])
    return len(table)

def sparse(shape, rounds):
    bones = make_bones(shape)
    mask, ct = make_mask(bones, 60), np.random.default_rng(1).integers(-100, 900, shape, dtype=np.int16)
    print(f"{' x '.join(map(str, shape))}, {check(mask)} lesions, {mask.sum()} voxels ({mask.mean():.2%}) in {mask.any((1, 2)).sum()} slices; {(bones > 0).mean():.1%} bone")
    compare("labels and table", {"bonemets": lambda: ours(mask), "scipy label + regionprops_table": lambda: scipy_skimage(mask), "cc3d 26 + statistics": lambda: cc3d_26(mask)}, rounds)
    compare("labels alone", {"bonemets": lambda: label_lesions(mask), "scipy label": lambda: ndimage.label(mask, STRUCTURE), "cc3d 26": lambda: cc3d.connected_components(mask, connectivity=26)}, rounds)
    compare("what else is asked", {"labels and table": lambda: ours(mask), "with CT": lambda: ours(mask, ct_hu=ct), "with CT and bones": lambda: ours(mask, ct_hu=ct, bones=bones),
                                   "scipy + regionprops_table with CT": lambda: scipy_skimage(mask, ct)}, rounds)
    labels_mb = mask.size*4/2**20
    print(f"\npeak memory beyond the inputs, reserved and resident; the label map itself is {labels_mb:.0f} MB")
    for name, f in {"labels": lambda: label_lesions(mask), "labels and table": lambda: ours(mask), "labels and table with CT and bones": lambda: ours(mask, ct_hu=ct, bones=bones),
                    "scipy label + regionprops_table": lambda: scipy_skimage(mask), "cc3d 26 + statistics": lambda: cc3d_26(mask)}.items(): print(f"  {name:<44} {(a := peak_mb(f)):7.1f} MB, {a/labels_mb:.3f} x the label map   {(b := resident_mb(f)):7.1f} MB, {b/labels_mb:.3f} x")

def growth(shape, rounds):
    "1, 2 and 4 times the slices at the same lesions, and the lesions at the same slices."
    quarters = [(shape[0]//4*k, *shape[1:]) for k in (1, 2, 4)]
    by_slices = {f"{k} x: {s[0]} slices, 60 lesions": make_mask(make_bones(s), 60) for k, s in zip((1, 2, 4), quarters)}
    compare("slices", {name: lambda m=m: ours(m) for name, m in by_slices.items()}, rounds)
    bones = make_bones(shape)
    by_lesions = {f"{k} x: {60*k} lesions, {shape[0]} slices": make_mask(bones, 60*k) for k in (1, 2, 4)}
    compare("lesions", {name: lambda m=m: ours(m) for name, m in by_lesions.items()}, rounds)

def dense(shape, rounds):
    "30 % foreground: blobs, and the worst case, noise."
    rng = np.random.default_rng(2)
    noise = rng.random(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(noise, 2)
    for name, mask in (("30 % in blobs", smooth > np.quantile(smooth[::7], .7)), ("30 % noise", noise < .3)):
        n = label_lesions(mask)[1]
        functions = {"bonemets": lambda: ours(mask), "cc3d 26 + statistics": lambda: cc3d_26(mask)}
        if n < 50_000: functions["scipy label + regionprops_table"] = lambda: scipy_skimage(mask)
        compare(f"{name}, {n} lesions", functions | {"bonemets, labels alone": lambda: label_lesions(mask), "scipy label alone": lambda: ndimage.label(mask, STRUCTURE)}, rounds)
        bones, start = make_bones(shape), time.perf_counter()
        rows = len(ours(mask, bones=bones))
        print(f"  bonemets with bones, {rows} lesions, once       {time.perf_counter() - start:9.1f} s")
        mb = peak_mb(lambda: ours(mask))
        print(f"  peak memory {mb:.0f} MB, {mb/(mask.size*4/2**20):.2f} x the label map")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--slices", type=int, default=385)
    parser.add_argument("--skip-dense", action="store_true")
    args = parser.parse_args()
    shape = (args.slices, 512, 512)
    sparse(shape, args.rounds)
    growth(shape, args.rounds)
    if not args.skip_dense: dense(shape, min(args.rounds, 3))


if __name__ == "__main__": main()
