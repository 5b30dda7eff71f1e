#!/bin/sh
# Debian's Python 3.11 for aarch64 and what nextoken needs of wheels, unpacked into a folder to run under qemu-aarch64:
#
#   dpkg --add-architecture arm64 && apt-get update     (once, as root; Debian 12)
#   scripts/arm64_python.sh build/arm64
#   python scripts/release_check.py --arm64 build/arm64
set -eu
mkdir -p "$1/debs" "$1/wheels" "$1/site"
cd "$1"
(cd debs && apt-get download python3.11-minimal:arm64 libpython3.11-minimal:arm64 libpython3.11-stdlib:arm64 \
  libc6:arm64 libstdc++6:arm64 libgcc-s1:arm64 zlib1g:arm64 libexpat1:arm64 libssl3:arm64 libffi8:arm64 \
  libbz2-1.0:arm64 liblzma5:arm64 libuuid1:arm64 libsqlite3-0:arm64)
for deb in debs/*.deb; do dpkg-deb -x "$deb" root; done
python3 -m pip download -q --only-binary :all: --python-version 3.11 --implementation cp -d wheels \
  --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux_2_28_aarch64 \
  --platform manylinux_2_27_aarch64 numpy jinja2 typer rich
for wheel in wheels/*.whl; do python3 -m zipfile -e "$wheel" site; done
