#!/bin/sh
# Puts socketd where a system keeps its programs, or takes it away again: `make install`, `make uninstall`.
#
#   install.sh install     from the environment: PREFIX, DESTDIR, SYSCONFDIR, PYTHON; each has a default
#   install.sh uninstall   likewise
#
# With DESTDIR it only writes files, below that folder; without, it also makes the user and tells systemd.
set -eu
umask 022

prefix=${PREFIX:-/usr/local}
stage=${DESTDIR:-}
config=${SYSCONFDIR:-/etc}/socketd
python=${PYTHON:-/usr/bin/python3}
source=$(cd "$(dirname "$0")/.." && pwd)

library=$prefix/lib/socketd # the virtual environment; its own path is written into it
units=$prefix/lib/systemd/system
examples=$prefix/share/doc/socketd/examples
manual=$prefix/share/man/man1/socketctl.1
services="socketd.socket socketd.service socketd-keeper.service"

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

install_all() {
    check
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    make_wheel
    make_environment
    put_files
    [ -n "$stage" ] || tell_system
}

check() {
    case $prefix in
    /*) ;;
    *) fail "PREFIX has to be an absolute path: $prefix" ;;
    esac
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "socketd needs Python 3.11 or newer, and $python is none: name one, as in PYTHON=/usr/bin/python3.12"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make environments: apt-get install python3-venv"
    # A user of its own runs the daemon, and sees no home folders.
    case $("$python" -c 'import sys; print(sys.base_prefix)') in
    /home/* | /root | /root/*) fail "$python is in a home folder, where the service cannot read it" ;;
    esac
}

# Our own package, as a wheel; hatchling, which makes it, is not installed with the daemon.
make_wheel() {
    "$python" -m venv "$work/build"
    pip="$work/build/bin/python -m pip --quiet --no-input --disable-pip-version-check"
    $pip install --require-hashes --only-binary :all: --requirement "$source/requirements/build.txt"
    $pip wheel --no-deps --no-build-isolation --wheel-dir "$work" "$source"
}

make_environment() {
    here=$stage$library
    rm -rf "$here"
    mkdir -p "$stage$prefix/lib"
    "$python" -m venv --without-pip "$here"
    into="$pip --python $here/bin/python install --no-compile --no-warn-script-location"
    $into --require-hashes --only-binary :all: --requirement "$source/requirements/daemon.txt"
    $into --no-deps "$work"/socketd-*.whl
    settle
}

# Whatever says where it was built goes, with the packages' own tests; the two commands are ours.
settle() {
    find "$here/bin" -mindepth 1 ! -name 'python*' -delete
    find "$here/lib" -name direct_url.json -delete
    sed -i '/^command = /d' "$here/pyvenv.cfg"
    rm -rf "$here/share" "$here/include"
    find "$here/lib" -type d -name tests -prune -exec rm -rf {} +
    # python3 may be another version one day, which would look for these packages elsewhere.
    ln -sf "$(readlink -f "$python")" "$here/bin/python3"
    put_command socketd socketd.__main__
    put_command socketctl socketd_client.cli
    # The files do not change until the next installation, so nobody need look whether they have.
    "$here/bin/python" -m compileall -q --invalidation-mode unchecked-hash -s "$stage" -p / "$here/lib"
}

# -I: neither PYTHONPATH nor a package in somebody's home folder has a say in what the command does.
put_command() {
    printf '#!%s/bin/python -I\nimport sys\n\nfrom %s import main\n\nsys.exit(main())\n' "$library" "$2" \
        >"$here/bin/$1"
    chmod 0755 "$here/bin/$1"
    mkdir -p "$stage$prefix/bin"
    ln -sf "../lib/socketd/bin/$1" "$stage$prefix/bin/$1"
}

put_files() {
    for unit in $services; do
        put "$source/systemd/$unit" "$units/$unit"
        sed -i "s|^ExecStart=/usr/bin/|ExecStart=$prefix/bin/|" "$stage$units/$unit"
    done
    put "$source/systemd/sysusers.d/socketd.conf" "$prefix/lib/sysusers.d/socketd.conf"
    put "$source/systemd/tmpfiles.d/socketd.conf" "$prefix/lib/tmpfiles.d/socketd.conf"
    for example in "$source"/systemd/examples/*; do
        put "$example" "$examples/${example##*/}"
    done
    put "$source/systemd/socketd.toml" "$examples/socketd.toml"
    put "$source/LICENSE" "${examples%/*}/LICENSE"
    put "$source/docs/man/socketctl.1" "$manual"
    put "$source/daemon/socketd/access/default.toml" "$examples/policy.toml"
    for file in socketd.toml policy.toml; do
        [ -e "$stage$config/$file" ] || put "$stage$examples/$file" "$config/$file"
    done
}

put() {
    install -D --mode=0644 "$1" "$stage$2"
}

tell_system() {
    systemd-sysusers "$prefix/lib/sysusers.d/socketd.conf"
    if [ -d /run/systemd/system ]; then
        systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/socketd.conf"
        systemctl daemon-reload
    fi
    echo "Installed. To start it, now and at each boot: systemctl enable --now $services"
}

uninstall_all() {
    if [ -z "$stage" ] && [ -d /run/systemd/system ]; then
        systemctl disable --now --quiet $services 2>/dev/null || : # not there any more, the second time
    fi
    for file in socketd.toml policy.toml; do
        example=$stage$examples/$file
        if [ -e "$example" ] && cmp -s "$example" "$stage$config/$file"; then
            rm "$stage$config/$file"
        fi
    done
    rm -rf "$stage$library" "$stage${examples%/*}"
    for file in $services; do rm -f "$stage$units/$file"; done
    rm -f "$stage$prefix/lib/sysusers.d/socketd.conf" "$stage$prefix/lib/tmpfiles.d/socketd.conf" \
        "$stage$manual" "$stage$prefix/bin/socketd" "$stage$prefix/bin/socketctl"
    for folder in lib/systemd/system lib/systemd lib/sysusers.d lib/tmpfiles.d share/man/man1 share/doc; do
        remove_empty "$stage$prefix/$folder"
    done
    remove_empty "$stage$config"
    if [ -z "$stage" ]; then
        [ ! -d /run/systemd/system ] || systemctl daemon-reload
        for left in "$config" /var/lib/socketd; do
            [ ! -e "$left" ] || echo "Left as it is: $left"
        done
    fi
}

remove_empty() {
    [ ! -d "$1" ] || rmdir --ignore-fail-on-non-empty "$1"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*) fail "install or uninstall?" ;;
esac
