"""Archives cut into pieces that can be carried one by one, and put together elsewhere. Used by pack.sh and run.sh.

    python3 bundle.py cut NAME FOLDER --to BUNDLE [--piece-mib 48]
    python3 bundle.py unpack --from BUNDLE --to WORK

An archive is a tar without owners and times, compressed with xz, so that the same files give the same pieces.
`manifest.json` has the SHA-256 of every piece. `unpack` keeps what has arrived in WORK/pieces, unpacks each archive that is
whole into WORK/<name>, and ends with 3 where pieces are missing."""

import argparse
import hashlib
import json
import lzma
import os
import pathlib
import shutil
import sys
import tarfile

MANIFEST = "manifest.json"
# What was unpacked last, in an archive's folder.
MARK = ".unpacked"
BLOCK = 1 << 20
SOME_MISSING = 3


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def content(folder):
    """A hash over names, modes and contents."""
    digest = hashlib.sha256()
    for path in files_of(folder):
        digest.update(f"{path.relative_to(folder)}\0{os.access(path, os.X_OK)}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def read_manifest(bundle):
    path = bundle / MANIFEST
    return json.loads(path.read_text()) if path.exists() else {"schema": 1, "archives": {}}


def write_manifest(bundle, manifest):
    part = bundle / (MANIFEST + ".part")
    part.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    part.replace(bundle / MANIFEST)


class Cutter:
    """A file to be written to that begins a new piece where one is full."""

    def __init__(self, bundle, name, most):
        self.bundle, self.name, self.most, self.pieces, self.file = bundle, name, most, [], None

    def write(self, data):
        view = memoryview(data)
        while view:
            if self.file is None or self.file.tell() == self.most:
                self.next()
            taken = min(len(view), self.most - self.file.tell())
            self.file.write(view[:taken])
            view = view[taken:]
        return len(data)

    def next(self):
        self.close()
        self.pieces.append(f"{self.name}.tar.xz.{len(self.pieces):03}")
        self.file = open(self.bundle / self.pieces[-1], "wb")

    def close(self):
        if self.file:
            self.file.close()


def plain(info):
    """Without what differs from machine to machine."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o755 if info.mode & 0o100 else 0o644
    return info


def cut(args):
    manifest = read_manifest(args.to)
    found, known = content(args.folder), manifest["archives"].get(args.name)
    settings = {"content": found, "piece_mib": args.piece_mib}
    if known and {key: known[key] for key in settings} == settings and is_whole(args.to, known):
        print(f"{args.name}: as before, {describe(known)}")
        return 0
    for old in args.to.glob(f"{args.name}.tar.xz.*"):
        old.unlink()
    cutter = Cutter(args.to, args.name, args.piece_mib << 20)
    with lzma.open(cutter, "wb", preset=6) as packed, tarfile.open(fileobj=packed, mode="w|", dereference=True) as tar:
        for path in files_of(args.folder):
            tar.add(path, str(path.relative_to(args.folder)), filter=plain)
    cutter.close()
    files = [args.to / name for name in cutter.pieces]
    pieces = [{"file": file.name, "bytes": file.stat().st_size, "sha256": sha256(file)} for file in files]
    unpacked = sum(path.stat().st_size for path in files_of(args.folder))
    manifest["archives"][args.name] = settings | {"unpacked_bytes": unpacked, "pieces": pieces}
    write_manifest(args.to, manifest)
    print(f"{args.name}: {describe(manifest['archives'][args.name])}")
    return 0


def is_piece(path, piece):
    return path.is_file() and path.stat().st_size == piece["bytes"] and sha256(path) == piece["sha256"]


def is_whole(folder, archive):
    return all(is_piece(folder / piece["file"], piece) for piece in archive["pieces"])


def describe(archive):
    size = sum(piece["bytes"] for piece in archive["pieces"])
    return f"{archive['unpacked_bytes'] / 1e6:.1f} MB in {size / 1e6:.1f} MB, {len(archive['pieces'])} piece{'s' if len(archive['pieces']) > 1 else ''}"


class Joined:
    """The pieces, read as one file."""

    def __init__(self, paths):
        self.paths, self.file = list(paths), None

    def read(self, size=-1):
        while True:
            if self.file is None:
                if not self.paths:
                    return b""
                self.file = open(self.paths.pop(0), "rb")
            if data := self.file.read(size):
                return data
            self.file.close()
            self.file = None


def receive(bundle, store, archive):
    """Keeps the pieces that have arrived whole; gives the names of the others."""
    missing = []
    for piece in archive["pieces"]:
        kept, arrived = store / piece["file"], bundle / piece["file"]
        if is_piece(kept, piece):
            continue
        if not arrived.is_file():
            missing.append(piece["file"])
        elif is_piece(arrived, piece):
            shutil.copyfile(arrived, kept)
        else:
            missing.append(f"{piece['file']} (damaged: its SHA-256 is not the manifest's)")
    return missing


def unpack_archive(name, archive, store, work):
    target, part = work / name, work / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    pieces = Joined(store / piece["file"] for piece in archive["pieces"])
    with lzma.open(pieces) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
        tar.extractall(part, filter="data")
    (part / MARK).write_text(archive["content"])
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)


def unpack(args):
    if not (args.bundle / MANIFEST).is_file():
        raise SystemExit(f"bundle.py: {args.bundle} holds no {MANIFEST}; name the folder that pack.sh wrote")
    store = args.to / "pieces"
    store.mkdir(parents=True, exist_ok=True)
    some_missing = False
    for name, archive in sorted(read_manifest(args.bundle)["archives"].items()):
        mark = args.to / name / MARK
        if mark.is_file() and mark.read_text() == archive["content"]:
            print(f"{name}: unpacked")
            continue
        if missing := receive(args.bundle, store, archive):
            some_missing = True
            print(f"{name}: waits for {len(missing)} of {len(archive['pieces'])} pieces: {', '.join(missing)}")
            continue
        unpack_archive(name, archive, store, args.to)
        for piece in archive["pieces"]:
            (store / piece["file"]).unlink()
        print(f"{name}: unpacked now, {describe(archive)}")
    return SOME_MISSING if some_missing else 0


def main():
    parser = argparse.ArgumentParser(prog="bundle.py")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("cut")
    one.set_defaults(run=cut)
    one.add_argument("name")
    one.add_argument("folder", type=pathlib.Path)
    one.add_argument("--to", type=pathlib.Path, required=True)
    one.add_argument("--piece-mib", type=int, default=48)
    one = commands.add_parser("unpack")
    one.set_defaults(run=unpack)
    one.add_argument("--from", dest="bundle", type=pathlib.Path, required=True)
    one.add_argument("--to", type=pathlib.Path, required=True)
    args = parser.parse_args()
    sys.exit(args.run(args))


if __name__ == "__main__":
    main()
