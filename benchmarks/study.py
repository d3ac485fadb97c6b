"""The analysis half of a study of the paper's size: how long, how much memory, against the naive way, by the number of cases and of Dask workers.

Run: python benchmarks/study.py [--part total|naive|linear|dask|all] [--cases 23] [--distinct 4] [--shape 385 512 512] [--folder FOLDER]

total   lesions, scores and universe of four methods, radiomics of every lesion under every mask, ICC, t-tests, tables and figures of `--cases` CTs with two worker processes; seconds by step, and the peak of resident memory of the main
        process and of the largest worker.
naive   the same for two cases as one would first write it: `scipy.ndimage.label` and a loop over lesions, pyradiomics on the whole volume for each lesion and mask, pingouin for each feature. Of the pyradiomics calls and the ICCs only
        some are made and the rest is counted at their median, since all would take hours; labels are measured in full. Reported as a ratio to the same two cases by bonemets in one process.
linear  seconds of the measuring of 4, 8 and 16 cases, in turns; the exponent of a power law through them.
dask    seconds of 8 cases on a `LocalCluster` of one and of two workers of one thread, in turns.

Data: `--distinct` phantoms at full size; a cohort of more cases links to them in turn, each case with masks of its own (the truth spoiled by chance, four methods). Every case is read and measured for itself; only the operating system's cache of
files knows that two CTs are one, and files are read often enough for it to be warm in every part. Times are medians where there are rounds.
"""
import argparse, os, resource, shutil, sys, tempfile, time
from pathlib import Path

os.environ.setdefault("BONEMETS_PROGRESS", "0")
sys.path[:] = [p for p in sys.path if Path(p).resolve() != Path(__file__).resolve().parent]   # benchmarks/radiomics.py is not pyradiomics
import numpy as np
import pandas as pd
from bonemets.agreement import made_up_prediction
from bonemets.analysis import analyse_cohort, feature_agreement, save_analysis
from bonemets.core import write_json, write_table
from bonemets.parallel import use_cluster
from bonemets.phantom import make_case
from bonemets.report import build_report
from bonemets.volume import read_mask, read_volume, write_volume

METHODS = dict(unet=dict(drop=.3, invent=6), resunet=dict(drop=.25, invent=4), resattunet=dict(drop=.2, invent=3), nnunet=dict(drop=.1, invent=1))   # how each spoils the truth


def make_phantoms(folder, shape, n):
    "Phantoms at full size, kept between runs of this script."
    spacing = tuple(e/s for e, s in zip((512, 384, 384), shape))
    for i in range(n):
        if (folder/f"p{i}"/"bones.nii.gz").exists(): continue
        start = time.perf_counter()
        (folder/f"p{i}").mkdir(parents=True, exist_ok=True)
        for name, v in zip(("ct", "mask", "bones"), make_case(i, shape=shape, spacing_mm=spacing, n_lesions=8)): write_volume(v, folder/f"p{i}"/f"{name}.nii.gz")
        print(f"phantom {i}: {time.perf_counter() - start:.0f} s", flush=True)


def spoil(folder, case, phantom):
    "Masks of four methods for a case."
    if all((folder/"masks"/m/f"{case}.nii.gz").exists() for m in METHODS): return
    truth, bones = read_mask(folder/phantom/"mask.nii.gz"), read_volume(folder/phantom/"bones.nii.gz").array
    for k, (m, harm) in enumerate(METHODS.items()):
        (folder/"masks"/m).mkdir(parents=True, exist_ok=True)
        made = made_up_prediction(truth.array, bones, 100*int(case[1:]) + k, **harm)
        write_volume(truth.with_array(made.astype(np.uint8)), folder/"masks"/m/f"{case}.nii.gz")


def make_study(folder, shape, n_cases, distinct):
    "The cohort of so many cases, and the methods' masks."
    make_phantoms(folder, shape, distinct)
    rows = []
    for i in range(n_cases):
        case, phantom = f"c{i:02d}", f"p{i % distinct}"
        spoil(folder, case, phantom)
        rows.append(dict(patient=case, case=case, image=str(folder/phantom/"ct.nii.gz"), mask=str(folder/phantom/"mask.nii.gz"), bones=str(folder/phantom/"bones.nii.gz")))
    cohort = pd.DataFrame(rows)
    return cohort, {m: {c: str(folder/"masks"/m/f"{c}.nii.gz") for c in cohort.case} for m in METHODS}


def first(cohort, masks, n):
    "The first cases of a study."
    some = cohort.head(n)
    return some, {m: {c: p[c] for c in some.case} for m, p in masks.items()}


def measure(cohort, masks, workers):
    "Seconds of the measuring alone."
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        analyse_cohort(cohort, masks, out, workers=workers)
        return time.perf_counter() - start


def peak_gb(who): return resource.getrusage(who).ru_maxrss/1e6


def total(cohort, masks, args):
    "The whole analysis half, by step."
    run, seconds = Path(tempfile.mkdtemp())/"run", {}
    ids = list(cohort.case)
    write_table(cohort, run/"cohort.parquet")
    write_json(dict(test=[], folds=[dict(train=ids[::2], val=ids[1::2]), dict(train=ids[1::2], val=ids[::2])]), run/"splits.json")
    for m, paths in masks.items():
        (run/"predictions").mkdir(exist_ok=True)
        os.symlink(Path(next(iter(paths.values()))).parent, run/"predictions"/m)
    tables = {}
    def step(name, fn, *a, **k):
        start = time.perf_counter()
        out = fn(*a, **k)
        seconds[name] = time.perf_counter() - start
        return out
    tables = step("measure", analyse_cohort, cohort, masks, run/"analysis", workers=args.workers)
    step("save", save_analysis, tables, run, {c: i % 2 for i, c in enumerate(ids)})
    step("ICC", feature_agreement, run)
    step("report", build_report, run, notebook=False)
    lesions = tables["lesions"].groupby("method").size()
    print(f"total: {len(cohort)} cases of {' x '.join(map(str, args.shape))}, {lesions['truth']} true lesions, {lesions.drop('truth').sum()} of four methods, {args.workers} processes")
    print("  " + ", ".join(f"{k} {v:.1f} s" for k, v in seconds.items()) + f"; together {sum(seconds.values()):.0f} s")
    print(f"  peak memory: main process {peak_gb(resource.RUSAGE_SELF):.1f} GB, largest worker {peak_gb(resource.RUSAGE_CHILDREN):.1f} GB")
    shutil.rmtree(run.parent)


def naive_case(row, paths, some=2):
    "Seconds of one case the naive way: labels and tables in full, pyradiomics at the median of `some` lesions."
    from radiomics import featureextractor
    import logging, SimpleITK as sitk
    from scipy import ndimage
    logging.getLogger("radiomics").setLevel(logging.ERROR)
    start = time.perf_counter()
    ct = sitk.ReadImage(row.image)
    arrays = {m: sitk.GetArrayFromImage(sitk.ReadImage(p)) for m, p in {"truth": row["mask"], **paths}.items()}
    bones = sitk.GetArrayFromImage(sitk.ReadImage(row.bones))
    labels = {m: ndimage.label(a, np.ones((3, 3, 3)))[0] for m, a in arrays.items()}
    n = sum(int(l.max()) for l in labels.values())
    for m, l in labels.items():
        for i in range(1, int(l.max()) + 1):
            lesion = l == i
            np.argwhere(lesion).mean(0), lesion.sum(), np.bincount(bones[lesion]).argmax() if bones.dtype.kind in "iu" else None
            if m != "truth": np.unique(labels["truth"][lesion])
    plain = time.perf_counter() - start
    extractor, taken = featureextractor.RadiomicsFeatureExtractor(), []
    big = sorted(range(1, int(labels["truth"].max()) + 1), key=lambda i: -(labels["truth"] == i).sum())[:some]
    mask = sitk.GetImageFromArray(labels["truth"].astype(np.int32))
    mask.CopyInformation(ct)
    for i in big:
        start = time.perf_counter()
        extractor.execute(ct, mask, label=i)
        taken.append(time.perf_counter() - start)
    return plain, n, float(np.median(taken))


def naive_icc(n_lesions, some=20):
    "Seconds of one ICC by pingouin."
    import pingouin
    rng, taken = np.random.default_rng(0), []
    for _ in range(some):
        t = pd.DataFrame(dict(lesion=np.repeat(np.arange(n_lesions), 2), rater=["a", "b"]*n_lesions, value=rng.normal(size=2*n_lesions)))
        start = time.perf_counter()
        pingouin.intraclass_corr(t, targets="lesion", raters="rater", ratings="value")
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def naive(cohort, masks, args):
    "Against the naive way, on two cases."
    some, of = first(cohort, masks, 2)
    ours = measure(some, of, 1)
    with tempfile.TemporaryDirectory() as out:
        tables = analyse_cohort(some, of, Path(out)/"a", workers=1)
        save_analysis(tables, out)
        start = time.perf_counter()
        feature_agreement(out)
        icc = time.perf_counter() - start
    n_features = sum(c.startswith("original_") for c in tables["radiomics"])
    theirs, parts = 0., []
    for _, row in some.iterrows():
        plain, n, each = naive_case(row, {m: p[row.case] for m, p in of.items()})
        theirs += plain + n*each
        parts.append(f"{plain:.0f} s + {n} lesions x {each:.1f} s")
    loop = naive_icc(int((tables["lesions"].method == "truth").sum()))*n_features*len(METHODS)
    print(f"naive: two cases {theirs + loop:.0f} s ({'; '.join(parts)}; {n_features*len(METHODS)} ICCs {loop:.0f} s) against {ours + icc:.1f} s in one process (measuring {ours:.1f} s, ICC with its intervals {icc:.1f} s): {(theirs + loop)/(ours + icc):.0f} times")


def linear(cohort, masks, args):
    "By the number of cases."
    sizes = [4, 8, 16]
    measure(*first(cohort, masks, 2), args.workers)                       # processes and files warm
    taken = {n: float(np.median([measure(*first(cohort, masks, n), args.workers) for _ in range(args.rounds)])) for n in sizes}
    slope = np.polyfit(np.log(sizes), np.log([taken[n] for n in sizes]), 1)[0]
    print("linear: " + ", ".join(f"{n} cases {t:.1f} s ({t/n:.2f} s each)" for n, t in taken.items()) + f"; time grows as cases to the power {slope:.2f}")


def on_dask(cohort, masks, n_workers):
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster, Client(cluster) as client, use_cluster(client):
        measure(*first(cohort, masks, n_workers), None)                   # workers have imported what they need
        return measure(cohort, masks, None)


def dask(cohort, masks, args):
    "One Dask worker against two."
    some = first(cohort, masks, 8)
    pairs = [(on_dask(*some, 1), on_dask(*some, 2)) for _ in range(args.rounds)]
    one, two = np.median(pairs, axis=0)
    print(f"dask: 8 cases on one worker {one:.1f} s, on two {two:.1f} s; median of the ratios {np.median([a/b for a, b in pairs]):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="all", choices=("total", "naive", "linear", "dask", "all"))
    parser.add_argument("--cases", type=int, default=23)
    parser.add_argument("--distinct", type=int, default=4)
    parser.add_argument("--shape", type=int, nargs=3, default=(385, 512, 512))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None, help="where the phantoms lie or are put; by default a temporary folder")
    args = parser.parse_args()
    folder = (args.folder or Path(tempfile.mkdtemp())).resolve()
    cohort, masks = make_study(folder, tuple(args.shape), max(args.cases, 16), args.distinct)
    for name, part in dict(total=total, naive=naive, linear=linear, dask=dask).items():
        if args.part in (name, "all"): part(*((cohort.head(args.cases), first(cohort, masks, args.cases)[1]) if name == "total" else (cohort, masks)), args)
        sys.stdout.flush()
    if args.folder is None: shutil.rmtree(folder)


if __name__ == "__main__": main()
