#!/bin/sh
# Builds the Debian package with dpkg-deb alone; `make deb` calls it.
#
#   deb.sh FOLDER    writes FOLDER/socketd_VERSION_ARCHITECTURE.deb, and says so
#
# From the environment: PYTHON, the system's, which the package will depend on; REVISION, Debian's part of
# the version.
set -eu
umask 022

output=${1:?a folder for the package}
python=${PYTHON:-/usr/bin/python3}
source=$(cd "$(dirname "$0")/.." && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT TERM

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$source/daemon/socketd/__init__.py")-${REVISION:-1}
architecture=$(dpkg --print-architecture)

DESTDIR=$stage PREFIX=/usr PYTHON=$python "$source/packaging/install.sh" install
chmod 0755 "$stage"
gzip --best --no-name "$stage/usr/share/man/man1/socketctl.1"
mv "$stage/usr/share/doc/socketd/LICENSE" "$stage/usr/share/doc/socketd/copyright"

next_python='import sys; print("%d.%d" % (sys.version_info[0], sys.version_info[1] + 1))'
this_python='import sys; print("%d.%d" % sys.version_info[:2])'
size=$(du --summarize --block-size=1024 "$stage" | cut -f 1)
mkdir "$stage/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE@/$size/" \
    -e "s/@PYTHON@/$("$python" -c "$this_python")/" -e "s/@NEXT_PYTHON@/$("$python" -c "$next_python")/" \
    "$source/packaging/deb/control" >"$stage/DEBIAN/control"
printf '/etc/socketd/%s\n' policy.toml socketd.toml >"$stage/DEBIAN/conffiles"
(cd "$stage" && find etc usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$stage/DEBIAN/md5sums"
for script in postinst prerm postrm; do
    install --mode=0755 "$source/packaging/deb/$script" "$stage/DEBIAN/$script"
done

mkdir -p "$output"
dpkg-deb --root-owner-group --build "$stage" "$output/socketd_${version}_$architecture.deb"
