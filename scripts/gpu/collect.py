"""The half of collect.sh that reads: which run folders there are, whether they are whole, and what is taken of them."""

import argparse
import json
import pathlib
import re
import shutil
import sys
import tarfile
import tempfile

# Of a run folder.
WANTED = ("manifest.json", "summary.csv", "report.md")
WANTED_IF_THERE = ("comparisons.csv", "accuracy.csv")
# Of all of run.sh' results.
BESIDE = ("command.txt", "COMMIT", "bandwidth.json", "doctor.txt")


class Refused(Exception):
    """Why a folder is not taken."""


def unpacked(results, scratch):
    """run.sh' folder, unpacked where it comes as one file."""
    if results.is_dir():
        return results
    try:
        with tarfile.open(results) as tar:
            tar.extractall(scratch, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise Refused(f"{results}: neither a folder nor a tar that can be read ({str(error).splitlines()[0]})") from error
    folders = [path for path in scratch.iterdir() if path.is_dir()]
    if len(folders) != 1:
        raise Refused(f"{results}: expected one folder in it, found {len(folders)}")
    return folders[0]


def read_json(path):
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise Refused(f"{path}: not JSON ({error})") from error


def whole(folder):
    """The manifest of a run folder, every planned run of which is recorded and reported."""
    manifest = read_json(folder / "manifest.json")
    planned = manifest.get("planned_runs")
    try:
        lines = (folder / "records.jsonl").read_text().splitlines()
    except OSError as error:
        raise Refused(f"{folder}/records.jsonl: {error.strerror}; it is no whole run folder") from error
    if not manifest.get("ended_at"):
        raise Refused(f"{folder}: the run has not ended; go on with it (run.sh with the same arguments)")
    if len(lines) != planned:
        raise Refused(f"{folder}: {len(lines)} records of {planned} planned runs; go on with the run")
    absent = [name for name in WANTED if not (folder / name).is_file()]
    if absent:
        raise Refused(f"{folder}: no {', '.join(absent)}; make them with inferhost report {folder}")
    return manifest


def machine(manifest, given):
    """A folder's name for the machine's first GPU."""
    gpus = manifest.get("machine", {}).get("gpus") or []
    found = given or next((gpu.get("name", "") for gpu in gpus), "")
    slug = re.sub(r"[^a-z0-9]+", "-", found.lower()).strip("-")
    if not slug:
        raise Refused("the manifest has no GPU; name the machine with --name")
    return slug


def steps(results):
    """A line for each thing that was checked."""
    found = sorted((results / "steps").glob("*.json"))
    return "".join(f"{path.stem}: {read_json(path).get('verdict')}\n" for path in found)


def take(results, folder, manifest, target):
    """Writes the target anew, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = pathlib.Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    part.chmod(0o755)
    sources = [folder / name for name in WANTED + WANTED_IF_THERE]
    sources += [results / name for name in BESIDE + (f"{folder.name}-table.txt",)]
    for source in filter(pathlib.Path.is_file, sources):
        shutil.copyfile(source, part / source.name)
    gate = results / "gate" / "accuracy.csv"
    if gate.is_file():
        shutil.copyfile(gate, part / "gate-accuracy.csv")
    if (folder / "plots").is_dir():
        shutil.copytree(folder / "plots", part / "plots")
    (part / "steps.txt").write_text(steps(results))
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)
    counts = manifest["counts"]
    print(f"{target}: {counts['ok']} of {counts['recorded']} runs ok")


def collect(args, scratch):
    results = unpacked(args.results, scratch)
    # The gate's folder has evaluations and no runs; its figures are taken beside the matrix.
    folders = sorted(path.parent for path in results.glob("*/manifest.json") if path.parent.name != "gate")
    if not folders:
        raise Refused(f"{args.results}: no run folder in it; name the folder that run.sh wrote its results to")
    # All are looked at before any is taken.
    found = [(folder, whole(folder)) for folder in folders]
    for folder, manifest in found:
        take(results, folder, manifest, args.to / machine(manifest, args.name) / folder.name)


def main():
    parser = argparse.ArgumentParser(prog="collect.sh")
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--to", type=pathlib.Path, required=True)
    parser.add_argument("--name", default="")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            collect(args, pathlib.Path(scratch))
    except Refused as problem:
        sys.exit(f"collect.sh: {problem}")


if __name__ == "__main__":
    main()
