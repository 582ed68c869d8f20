# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What scripts/vm and scripts/machines share: systems of Debian made by
# mmdebstrap. $builder is mmdebstrap while it runs; the caller sets $work, a folder.
image_limit_seconds=1800
builder='' work=''
export PATH=$PATH:/usr/sbin:/sbin

die() {
	echo "$0: $*" >&2
	exit 2
}

need_programs() { # TASK PROGRAM...
	local task=$1 program
	shift
	for program in "$@"; do
		command -v "$program" >/dev/null ||
			die "$program is missing; scripts/deps $task installs it"
	done
}

# Who is not root builds in a user namespace.
need_rights() {
	[ "$(id -u)" -eq 0 ] || unshare --map-root-user --map-auto true 2>/dev/null ||
		die "not root, and $(id -un) has no range in /etc/subuid and /etc/subgid"
}

need_space() { # MIB DIRECTORY
	local free
	free=$(df -Pm "$2" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$1" ] ||
		die "$1 MiB are needed in $2, and there are $free"
}

# The sources of a release, where this machine's own apt has those of its own; if
# it is no Debian, mmdebstrap's default. Without updates, since they change.
apt_sources() { # SUITE
	local own
	own=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	apt-get indextargets --format \
		'$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' |
		sed -n "s/^Debian \\(deb .*\\) $own main\$/\\1 $1 main/p" |
		sort -u || true
}

# What Debian asks of a clock or a mirror is this machine's decision too.
apt_options() {
	apt-config dump | grep -E '^Acquire::(Check-|http::|https::|Retries)' |
		sed 's/^/--aptopt=/' || true
}

# Runs in a session of its own, since mmdebstrap hangs up on its process group.
bounded_mmdebstrap() {
	setsid mmdebstrap "$@" &
	builder=$!
	timeout --foreground "$image_limit_seconds" tail -f --pid="$builder" \
		/dev/null || {
		echo "not done after $image_limit_seconds s" >&2
		kill -- "-$builder" || true
	}
	wait "$builder"
}

# make_system SUITE TARGET MMDEBSTRAP-ARGUMENT...
make_system() {
	local suite=$1 target=$2 options=() sources
	shift 2
	readarray -t options < <(apt_options)
	readarray -t sources < <(apt_sources "$suite")
	bounded_mmdebstrap --variant=apt "${options[@]}" \
		--aptopt='APT::Install-Recommends "false"' "$@" \
		"$suite" "$target" "${sources[@]}" 2>"$work/image.log" || {
		tail -n 30 "$work/image.log" >&2
		die "Debian ($suite) could not be built"
	}
}
