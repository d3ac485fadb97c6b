"""How long a phantom takes: median seconds, seconds per megavoxel, and the ratio to one Gaussian blur of the same volume (sigma 1 voxel).

Run with one thread: OMP_NUM_THREADS=1 python benchmarks/phantom.py
"""
import statistics
import sys
import time

import numpy as np
from scipy import ndimage

from bonemets.phantom import make_case

SIZES = {"default": ((128, 192, 192), (4, 2, 2), 3), "large": ((300, 512, 512), (2, 0.78, 0.78), 1)}


def seconds(fn, repeats):
    "Median wall-clock seconds of `fn`."
    taken = []
    for i in range(repeats):
        start = time.perf_counter()
        fn(i)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main(names):
    print(f"{'case':<8} {'voxels':>16} {'seconds':>8} {'s/megavoxel':>12} {'x one blur':>10}")
    for name in names:
        shape, spacing, repeats = SIZES[name]
        ours = seconds(lambda seed: make_case(seed, shape, spacing), repeats)
        volume = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        blur = seconds(lambda _: ndimage.gaussian_filter(volume, 1), repeats)
        print(f"{name:<8} {' x '.join(map(str, shape)):>16} {ours:>8.2f} {ours/np.prod(shape)*1e6:>12.3f} {ours/blur:>10.1f}")


if __name__ == "__main__": main(sys.argv[1:] or list(SIZES))
