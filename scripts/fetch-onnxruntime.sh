#!/usr/bin/env bash
# Puts ONNX Runtime's shared library into .deps/onnxruntime, out of the Python wheel, pinned by hash.
# radstream loads it at run time from there, from lib/ beside the binary, or from student.onnxruntime.
#
# `fetch-onnxruntime.sh cuda` puts the CUDA build and NVIDIA's libraries (CUDA 13, cuDNN 9; 2.4 GB)
# into .deps/onnxruntime-cuda instead, all in one folder: start radstream with LD_LIBRARY_PATH and
# student.onnxruntime pointing there.
source "$(dirname "$0")/lib.sh"

case ${1:-cpu} in
cpu)
    lock=$root/scripts/onnxruntime.txt target=$deps/onnxruntime size="24 MB"
    ;;
cuda)
    lock=$root/scripts/onnxruntime-cuda.txt target=$deps/onnxruntime-cuda size="1.6 GB"
    ;;
*) fail "usage: fetch-onnxruntime.sh [cpu|cuda]" ;;
esac

stamp=$target/.stamp
want=$(fingerprint "$lock")
if [[ -f $stamp && $(<"$stamp") == "$want" ]]; then
    exit 0
fi

machine=$(uname -s)-$(uname -m)
case ${1:-cpu}-$machine in
cpu-Linux-x86_64 | cpu-Linux-aarch64 | cuda-Linux-x86_64) ;;
*) fail "no pinned ONNX Runtime (${1:-cpu}) for $machine. Install ONNX Runtime 1.22 or newer and set student.onnxruntime to its shared library." ;;
esac
# The wheel of one fixed Python: only the library in it is used.
tags=(--python-version 3.11 --implementation cp --abi cp311 --abi none)
for glibc in _2_28 _2_27 _2_17 2014; do
    tags+=(--platform "manylinux${glibc}_$(uname -m)")
done

version=$(sed -n 's/^onnxruntime[^=]*==\([0-9.]*\).*/\1/p' "$lock")
say "Fetching ONNX Runtime $version (${1:-cpu}), which runs the model ($size)"
work=$(mktemp -d "$deps/onnxruntime.XXXXXX")
trap 'rm -rf "$work"' EXIT
attempt python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --require-hashes --requirement "$lock" --dest "$work" "${tags[@]}"
python3 - "$work" <<'PYTHON'
"""Takes the libraries and the licence texts out of the wheels, and makes the usual link."""
import pathlib, re, shutil, sys, zipfile

work = pathlib.Path(sys.argv[1])
library = re.compile(r"(onnxruntime/capi/libonnxruntime|nvidia/.*/lib/lib)[^/]*\.so[^/]*")
licence = re.compile(r"(onnxruntime|nvidia).*/(LICENSE|License|ThirdPartyNotices)[^/]*")
for wheel in sorted(work.glob("*.whl")):
    distribution = wheel.name.split("-")[0]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            base = pathlib.PurePosixPath(name).name
            if licence.fullmatch(name):
                base = f"{distribution}-{base}"
            elif not library.fullmatch(name) or "tensorrt" in base:
                continue
            with archive.open(name) as source, (work / base).open("wb") as out:
                shutil.copyfileobj(source, out)
    wheel.unlink()
(runtime,) = work.glob("libonnxruntime.so.*")
(work / "libonnxruntime.so").symlink_to(runtime.name)
PYTHON
echo "$want" >"$work/.stamp"
chmod 755 "$work"
rm -rf "$target"
mv "$work" "$target"
trap - EXIT
