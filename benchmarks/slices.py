"""Shuffled batches of 512 x 512 slices: the slice store against a bare np.memmap of the same bytes, both copied into a batch.

Run: python benchmarks/slices.py [--cases 4] [--slices 100] [--batch 32] [--rounds 60]
The files are in the page cache for both, so this measures what the store adds, not the disk.
"""
import argparse, os, tempfile, time
from pathlib import Path

import numpy as np
import pandas as pd

os.environ.setdefault("BONEMETS_PROGRESS", "0")
from bonemets.core import make_rng
from bonemets.slices import build_store
from bonemets.volume import Volume, write_volume


def make_cohort(folder, n_cases, n_slices):
    "Noise CTs without masks, at one spacing, so that the store holds the same values."
    rows = []
    for k in range(n_cases):
        hu = make_rng(0, "bench", k).integers(-1024, 2000, (n_slices, 512, 512), dtype="int16")
        path = folder/f"p{k}.mha"
        write_volume(Volume(hu, (2., .8, .8)), path)
        rows.append(dict(patient=f"p{k}", image=path))
    return pd.DataFrame(rows)


def bare_memmap(store, path):
    "One file with all slices of the store, mapped."
    flat = np.lib.format.open_memmap(path, "w+", "int16", (len(store), store.size, store.size))
    for case in store.cases.case: flat[store.rows(case)] = store.hu(case)
    flat.flush()
    return np.load(path, mmap_mode="r")


def copy_batch(flat, rows):
    "What a reader without a store would write."
    out = np.empty((len(rows), *flat.shape[1:]), flat.dtype)
    for k, i in enumerate(rows): out[k] = flat[i]
    return out


def seconds(read, store, n_batch, rng, n=8):
    "Seconds a batch, over `n` batches of other rows: one alone would mostly time the allocator."
    batches = [rng.choice(len(store), n_batch, replace=False) for _ in range(n)]
    start = time.perf_counter()
    for rows in batches: read(rows)
    return (time.perf_counter() - start)/n


def measure(store, flat, n_batch, rounds):
    "Seconds a batch, (rounds, 2): store and bare memmap, in turns, the order changing."
    rng, readers = make_rng(0, "order"), [store.batch, lambda rows: copy_batch(flat, rows)]
    times = np.empty((rounds, 2))
    for r in range(rounds):
        for k in ((0, 1) if r % 2 else (1, 0)): times[r, k] = seconds(readers[k], store, n_batch, rng)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in dict(cases=4, slices=100, batch=32, rounds=60).items(): parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        store = build_store(make_cohort(Path(tmp), args.cases, args.slices), Path(tmp)/"store", workers=1)
        flat = bare_memmap(store, Path(tmp)/"flat.npy")
        rows = np.arange(len(store))[::7]
        if not np.array_equal(store.batch(rows), flat[rows]): raise SystemExit("the store and the bare memmap differ")
        measure(store, flat, args.batch, 5)
        times = measure(store, flat, args.batch, args.rounds)
    a, b = np.median(times, axis=0)*1000
    ratio = times[:, 0]/times[:, 1]
    print(f"{len(rows)} of {args.cases*args.slices} slices compared: equal; batches of {args.batch}, {args.rounds} rounds of 8")
    print(f"store {a:.2f} ms, bare memmap {b:.2f} ms a batch; median ratio {np.median(ratio):.3f} (quartiles {np.quantile(ratio, .25):.3f} to {np.quantile(ratio, .75):.3f})")


if __name__ == "__main__": main()
