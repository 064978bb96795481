#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Installs the host packages that are missing, and nothing else.
#
#   setup.sh NEED…            print the one apt line and run it; silent when nothing is missing
#   setup.sh --missing NEED…  only print the missing packages, one per line
#   setup.sh --bootstrap NEED…  as the first form, but only when Python itself is missing
#                             (with Python there, the caller asks again for exactly what it needs)
#   setup.sh --needs          list the needs
#   setup.sh --kernel DIR     fetch Debian's kernel for virtual machines and unpack it there: nothing is installed
#
# It is shell, not Python, because Python is one of the things that may be missing.
set -u

# need, Debian package, how to see that it is there: a command, or a file pattern.
table() {
	cat <<-'END'
	python python3            python3
	build  gcc                gcc
	build  binutils           ld
	build  nasm               nasm
	build  make               make
	qemu   qemu-system-x86    qemu-system-x86_64
	qemu   util-linux         setpriv
	bochs  bochs              bochs
	bochs  bochs-term         bochs
	bochs  bochsbios          /usr/share/bochs/BIOS-bochs-latest
	bochs  vgabios            /usr/share/bochs/VGABIOS-lgpl-latest
	iso    grub-common        grub-mkrescue
	iso    grub-pc-bin        /usr/lib/grub/i386-pc/multiboot2.mod
	iso    grub-efi-amd64-bin /usr/lib/grub/x86_64-efi/multiboot2.mod
	iso    xorriso            xorriso
	iso    mtools             mformat
	ovmf   ovmf               /usr/share/OVMF/OVMF_CODE_4M.fd
	efi    gnu-efi            /usr/lib/crt0-efi-x86_64.o
	efi    mtools             mformat
	hosted gcc                gcc
	hosted libc6-dev          /usr/include/stdio.h
	hosted libzydis-dev       /usr/include/Zydis/Zydis.h
	clang  clang              clang
	fuzz   clang              clang
	fuzz   libc6-dev          /usr/include/stdio.h
	fuzz   libclang-rt-dev    /usr/lib/*/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-x86_64.a
	lint   git                git
	mutants patch             patch
	linux  gcc                gcc
	linux  libc6-dev          /usr/lib/*/libc.a
	linux  linux-libc-dev     /usr/include/linux/kvm.h
	linux  apt                apt-get
	linux  dpkg               dpkg-deb
	END
}

present() {
	local what
	for what in "$@"; do
		case $what in
		/*) compgen -G "$what" >/dev/null && return 0 ;;
		# sbin is not on everybody's path
		*) PATH=$PATH:/usr/sbin:/sbin command -v "$what" >/dev/null 2>&1 && return 0 ;;
		esac
	done
	return 1
}

missing() {
	local need package checks wanted
	while read -r need package checks; do
		for wanted in "$@"; do
			[ "$need" = "$wanted" ] || continue
			set -f; local words=($checks); set +f
			present "${words[@]}" || echo "$package"
		done
	done < <(table) | sort -u
}

say() { echo "$*" >&2; }

# Package lists may be absent (a fresh container) or so old that downloads fail.
lists_present() {
	compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null &&
		apt-cache show "$@" >/dev/null 2>&1
}

install_packages() {
	local as=() update='apt-get update && ' line log
	local apt=(apt-get -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)
	if ! command -v apt-get >/dev/null 2>&1; then
		say "phyllo: this is not a Debian system (no apt-get); install by your own means what Debian calls: $*"
		return 1
	fi
	lists_present "$@" && update=
	if [ "$(id -u)" -ne 0 ]; then
		as=(sudo)
		[ -t 0 ] || as=(sudo -n)
		update=${update:+sudo $update}
	fi
	line="$update${as[0]:+sudo }apt-get install -y --no-install-recommends $*"
	say "phyllo: installing what is missing: $line"
	if [ "${#as[@]}" -gt 0 ] && ! command -v sudo >/dev/null 2>&1; then
		say "phyllo: not root and no sudo here: run that line as root, then try again"
		return 1
	fi
	as+=(env DEBIAN_FRONTEND=noninteractive timeout 1200)
	log=$(mktemp) || return 1
	# On failure: stale lists name versions that are gone.
	if ! run_apt "${update:+yes}" "$@"; then
		[ -z "$update" ] && say "phyllo: that failed; once more with fresh package lists (apt-get update)"
		[ -z "$update" ] && run_apt yes "$@" || {
			tail -n 20 "$log" >&2
			rm -f "$log"
			return 1
		}
	fi
	rm -f "$log"
	say "phyllo: installed, in $SECONDS s"
}

# apt-get's chatter goes to a file, which is shown when it fails.  Uses apt, as and log of its caller.
run_apt() {
	if [ -n "$1" ]; then
		"${as[@]}" "${apt[@]}" -qq update >"$log" 2>&1 ||
			say "phyllo: apt-get update failed; trying to install all the same"
	fi
	shift
	"${as[@]}" "${apt[@]}" -qq install --no-install-recommends "$@" </dev/null >>"$log" 2>&1
}

# The package that stands for the newest one names it.
KERNEL_META=linux-image-cloud-amd64

kernel_package() {
	apt-cache depends "$KERNEL_META" 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*-cloud-amd64\)$/\1/p' | head -n 1
}

# Fresh lists may need root, and are asked for only when the download cannot do without.
refresh_lists() {
	local as=()
	[ "$(id -u)" -eq 0 ] || as=(sudo -n)
	"${as[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update >&2
}

# Of the package's files only what a boot needs, and none of its scripts.
unpack_kernel() {
	dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards './boot/vmlinuz-*' '*/kvm/*.ko' '*/irqbypass.ko' \
		'*/drivers/crypto/ccp/ccp.ko' 2>/dev/null
	compgen -G "$2/boot/vmlinuz-*" >/dev/null
}

fetch_kernel() {
	local dir=$1 package work
	[ -e "$dir/complete" ] && return 0
	if [ "${PHYLLO_NO_INSTALL-}" = 1 ]; then
		say "phyllo: Debian's kernel is not in $dir, and PHYLLO_NO_INSTALL=1 forbids to fetch it"
		return 1
	fi
	package=$(kernel_package)
	[ -n "$package" ] || { refresh_lists; package=$(kernel_package); }
	[ -n "$package" ] || { say "phyllo: apt knows no package $KERNEL_META"; return 1; }
	say "phyllo: fetching $package, to be unpacked in $dir (not installed)"
	rm -rf "$dir" && mkdir -p "$dir" && work=$(mktemp -d) || return 1
	chmod 755 "$work"
	(
		cd "$work" || exit 1
		timeout 600 apt-get -qq download "$package" 2>apt.log && exit 0
		refresh_lists
		timeout 600 apt-get -qq download "$package" >&2
	) && unpack_kernel "$work"/*.deb "$dir" && echo "$package" >"$dir/complete"
	local result=$?
	rm -rf "$work"
	[ $result -eq 0 ] || say "phyllo: $package could not be fetched"
	return $result
}

mode=install
case ${1-} in
--kernel) fetch_kernel "$2"; exit ;;
--needs) table | awk '{ print $1 }' | sort -u; exit 0 ;;
--missing) mode=list; shift ;;
--bootstrap) shift; present python3 && exit 0; set -- python "$@" ;;
esac
mapfile -t packages < <(missing "$@")
[ "${#packages[@]}" -gt 0 ] || exit 0
if [ $mode = list ]; then
	printf '%s\n' "${packages[@]}"
	exit 0
fi
install_packages "${packages[@]}" || {
	say "phyllo: could not install: ${packages[*]}"
	exit 1
}
mapfile -t packages < <(missing "$@")
[ "${#packages[@]}" -eq 0 ] || {
	say "phyllo: installed, but still not to be found: ${packages[*]}"
	exit 1
}
