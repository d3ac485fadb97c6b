"""ICCs of 100 features x 200 lesions x 4 methods: the batched closed form against a loop over pingouin, in turns in one process.

Run with one thread: OMP_NUM_THREADS=1 python benchmarks/icc.py [--features 100] [--lesions 200] [--methods 4] [--rounds 5]
Both give all six forms with F, p and 95 % intervals of truth against method, once per feature and method. pingouin gets its long tables ready made.
"""
import argparse
import time

import numpy as np
import pandas as pd
import pingouin

from bonemets.stats import ICC_TYPES, icc


def make_ratings(n_methods, n_features, n_lesions, seed=0):
    "Ratings (methods, features, lesions, 2): the truth's value beside the method's, each method noisier than the one before."
    rng = np.random.default_rng(seed)
    truth = np.broadcast_to(rng.standard_normal((n_features, n_lesions)), (n_methods, n_features, n_lesions))
    noise = np.geomspace(.1, 1, n_methods)[:, None, None]*rng.standard_normal(truth.shape)
    return np.stack([truth, truth + noise], -1)


def long_tables(ratings):
    "What pingouin takes: a long table for each method and feature."
    n, k = ratings.shape[-2:]
    target, rater = np.repeat(np.arange(n), k), np.tile(np.arange(k), n)
    return [pd.DataFrame(dict(target=target, rater=rater, rating=x.ravel())) for x in ratings.reshape(-1, n, k)]


def loop(tables): return [pingouin.intraclass_corr(t, "target", "rater", "rating") for t in tables]


def largest_gap(found, rows):
    "Largest difference of values, interval ends and p over all forms, relative where above 1."
    gap = 0
    for i, kind in enumerate(ICC_TYPES):
        theirs = np.array([[r["ICC"][i], *r["CI95"][i], r["pval"][i]] for r in rows])
        mine = found.loc[found["type"] == kind, ["value", "low", "high", "p"]].to_numpy()
        gap = max(gap, (np.abs(mine - theirs)/np.maximum(1, np.abs(theirs))).max())
    return gap


def seconds(fn, argument):
    start = time.perf_counter()
    result = fn(argument)
    return time.perf_counter() - start, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in dict(features=100, lesions=200, methods=4, rounds=5).items(): parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    pingouin.options["round.column.CI95"] = None
    ratings = make_ratings(args.methods, args.features, args.lesions)
    tables = long_tables(ratings)
    gap = largest_gap(icc(ratings), loop(tables))
    if gap > 1e-8: raise SystemExit(f"ours and pingouin differ by {gap:.1e}")
    times = np.empty((args.rounds, 2))
    for r in range(args.rounds):
        for k in ((0, 1) if r % 2 else (1, 0)): times[r, k] = seconds((icc, loop)[k], (ratings, tables)[k])[0]
    ratio = times[:, 1]/times[:, 0]
    print(f"{args.features} features x {args.lesions} lesions x {args.methods} methods, six forms: largest difference {gap:.1e}; {args.rounds} rounds in turns")
    print(f"closed form {np.median(times[:, 0])*1000:.1f} ms, loop over pingouin {np.median(times[:, 1]):.2f} s; "
          f"median ratio {np.median(ratio):.0f} (from {ratio.min():.0f} to {ratio.max():.0f})")


if __name__ == "__main__": main()
