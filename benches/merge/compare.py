"""Times csl merge beside mergekit and beside a plain program that reads all and writes one, alternating.

usage: python3 benches/merge/compare.py DIR CSL FLOOR [--mergekit PROGRAM] [--rounds 3] [--methods a,b] [--first]

DIR holds base, ft1, ft2 and ft3 (models.py). Each round runs the floor, csl and mergekit once; the table gives medians of
wall seconds, CPU seconds, the most anonymous memory, and the ratios. csl hashes its result, and notes hashes of its inputs, which it
keeps for files that have not changed: with --first it hashes all of them each time."""

import argparse
import os
import shutil
import statistics
import subprocess
import threading
import time

BASED = {
    "task_arithmetic", "ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties", "della", "della_linear",
    "model_stock", "sce", "multislerp",
}
DENSE = {"dare_linear", "dare_ties", "ties", "breadcrumbs", "breadcrumbs_ties", "della", "della_linear"}
ALL = [
    "linear", "slerp", "model_stock", "task_arithmetic", "passthrough", "dare_ties", "ties", "della", "breadcrumbs_ties", "sce",
    "arcee_fusion", "karcher",
]
EXTRA = {"breadcrumbs": ", gamma: 0.01", "breadcrumbs_ties": ", gamma: 0.01", "della": ", epsilon: 0.1",
         "della_linear": ", epsilon: 0.1"}


def config(folder, method):
    base, members = f"{folder}/base", [f"{folder}/ft{k}" for k in (1, 2, 3)]
    lines = [f"merge_method: {method}", "dtype: float32", "out_dtype: bfloat16"]
    count = {"slerp": 2, "passthrough": 1, "arcee_fusion": 1}.get(method, 3)
    if method == "slerp":
        lines += [f"base_model: {members[0]}", "parameters: {t: 0.35}"]
    elif method in BASED or method == "arcee_fusion":
        lines.append(f"base_model: {base}")
    if method == "sce":
        lines.append("parameters: {select_topk: 0.5}")
    lines.append("models:")
    for member, weight in zip(members[:count], (0.5, 0.3, 0.2)):
        lines.append(f"  - model: {member}")
        if method in DENSE:
            lines.append(f"    parameters: {{weight: {weight}, density: 0.5{EXTRA.get(method, '')}}}")
        elif method in {"linear", "task_arithmetic", "multislerp"}:
            lines.append(f"    parameters: {{weight: {weight}}}")
    return "\n".join(lines) + "\n"


def run(command, environment=None):
    """Wall seconds, CPU seconds and the most anonymous memory in MB."""
    os.sync()
    peak = 0
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)

    def watch():
        nonlocal peak
        while process.returncode is None:
            try:
                for line in open(f"/proc/{process.pid}/status"):
                    if line.startswith("RssAnon"):
                        peak = max(peak, int(line.split()[1]) / 1024)
            except OSError:
                return
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{command}: {errors.decode()[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, peak


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("csl")
    parser.add_argument("floor")
    parser.add_argument("--mergekit")
    parser.add_argument("--flags", default="", help="flags of mergekit, separated by spaces")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", default=",".join(ALL))
    parser.add_argument("--first", action="store_true")
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.dir)
    work = os.path.join(folder, "work")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    head = "| method | floor s | csl s | csl CPU s | csl MB | of the floor | mergekit s | mergekit CPU s | mergekit MB | times faster |"
    print(head + "\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    peer = dict(os.environ, HF_HUB_OFFLINE="1")
    for method in arguments.methods.split(","):
        file = os.path.join(work, f"{method}.yml")
        open(file, "w").write(config(folder, method))
        names = [m for m in ("base", "ft1", "ft2", "ft3") if f"{folder}/{m}\n" in open(file).read()]
        shards = [f"{folder}/{m}/model-{p:05d}-of-00002.safetensors" for m in names for p in (1, 2)]
        out = os.path.join(work, "out")
        times = {"floor": [], "csl": [], "mergekit": []}
        for _ in range(arguments.rounds):
            shutil.rmtree(out, ignore_errors=True)
            os.makedirs(out)
            times["floor"].append(run([arguments.floor, "--bench", f"{out}/one", *shards]))
            shutil.rmtree(out, ignore_errors=True)
            first = ["--no-cache"] if arguments.first else []
            times["csl"].append(run([arguments.csl, "merge", *first, file, out]))
            shutil.rmtree(out, ignore_errors=True)
            if arguments.mergekit:
                flags = arguments.flags.split()
                times["mergekit"].append(run([arguments.mergekit, file, out, "--quiet", *flags], peer))
        shutil.rmtree(out, ignore_errors=True)
        median = {k: [statistics.median(x) for x in zip(*v)] for k, v in times.items() if v}
        floor, own, other = median["floor"], median["csl"], median.get("mergekit")
        row = f"| {method} | {floor[0]:.2f} | {own[0]:.2f} | {own[1]:.2f} | {own[2]:.0f} | {own[0] / floor[0]:.2f} |"
        if other:
            row += f" {other[0]:.1f} | {other[1]:.1f} | {other[2]:.0f} | {other[0] / own[0]:.1f} |"
        else:
            row += " | | | |"
        print(row, flush=True)
    shutil.rmtree(work, ignore_errors=True)


main()
