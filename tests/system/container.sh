#!/bin/sh
# What boots inside the namespaces of tests/system/systemd_container.py; nothing else calls it.
#
#   container.sh machine FOLDER CGROUP   prepare a root that forgets everything, and boot it until it is off
#   container.sh boot FOLDER             one boot: the process that becomes PID 1
set -eu
folder=$2
memory=$folder/memory # a mount point: what is in it, only the container sees
root=$memory/root

# The root is the host's own, seen through an overlay: what is written here is in memory, and gone at the end.
machine() {
    mount -t tmpfs -o mode=0755,size=2G tmpfs "$memory"
    mkdir "$memory/upper" "$memory/work" "$root"
    mount -t overlay -o "lowerdir=/,upperdir=$memory/upper,workdir=$memory/work" overlay "$root"
    forget_the_host
    while :; do
        status=0
        # The death signal outlives exec: if this shell is killed, nothing below it stays.
        setpriv --pdeathsig KILL unshare --cgroup --pid --uts --ipc --net --mount --propagation private \
            --fork --kill-child=KILL /bin/sh "$0" boot "$folder" || status=$?
        # reboot(2) in a PID namespace ends its PID 1 with SIGHUP for a restart, with SIGINT for power off.
        [ "$status" = 129 ] || exit "$status"
    done
}

# Boot what a service needs, and none of what this host has enabled.
forget_the_host() {
    units=$root/lib/systemd/system
    rm -rf "$units"/*.wants "$root"/etc/systemd/system/* "$root"/lib/systemd/system-generators \
        "$root"/etc/init.d "$root"/var/log/journal "$root/usr/sbin/policy-rc.d"
    mkdir "$root/etc/init.d" "$units/sysinit.target.wants" "$units/sockets.target.wants"
    ln -s ../systemd-journald.service ../systemd-tmpfiles-setup.service "$units/sysinit.target.wants"
    for socket in systemd-journald systemd-journald-dev-log dbus; do
        ln -s "../$socket.socket" "$units/sockets.target.wants"
    done
    # The one socket of journald that is not in a namespace: it would read the host's audit log.
    ln -s /dev/null "$root/etc/systemd/system/systemd-journald-audit.socket"
    echo socketd-test >"$root/etc/hostname"
}

# A shell that execs systemd keeps its number, so this is PID 1; /proc is still the host's, with its number there.
boot() {
    read -r pid _ </proc/self/stat
    mount_kernel
    mount_memory
    # Written last and renamed: who reads it finds a whole number, and the mounts are all there.
    echo "$pid" >"$folder/pid.new"
    mv "$folder/pid.new" "$folder/pid"
    hostname socketd-test
    cd "$root"
    pivot_root . mnt
    umount --lazy /mnt
    exec env --ignore-environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        container=socketd-test /lib/systemd/systemd systemd.unit=multi-user.target systemd.show_status=no \
        systemd.firstboot=no systemd.journald.forward_to_console=no
}

mount_kernel() {
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
    # systemd sets fs.file-max and more at its start, for the whole host: only the network's sysctls are ours.
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/sys"
    mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
    mount -o remount,bind,rw,nosuid,nodev,noexec "$root/proc/sys/net"
    if [ -e "$root/proc/sysrq-trigger" ]; then mount --bind /dev/null "$root/proc/sysrq-trigger"; fi
}

mount_memory() {
    mount -t tmpfs -o mode=0755,nosuid,size=1M tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        : >"$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s fd/0 "$root/dev/stdin"
    ln -s fd/1 "$root/dev/stdout"
    ln -s fd/2 "$root/dev/stderr"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
    mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
    for private in root home; do
        mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/$private"
    done
}

case $1 in
machine)
    echo $$ >"$3/cgroup.procs" # before the cgroup namespace is made, so that this is its root
    machine
    ;;
boot) boot ;;
esac
