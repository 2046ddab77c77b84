#!/bin/sh
# The addon is loaded into processes that are not ours, with glibc or musl: it
# names no library, takes no more from the process than listed here, and brings
# nothing but the one function that Node calls.  For aarch64 too, where there is
# a compiler for it.
set -u
LC_ALL=C
export LC_ALL
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${top_builddir:-$top}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

if ! command -v readelf >/dev/null; then
	echo 'Bail out! there is no readelf: install binutils'
	exit 1
fi

sort >"$work/needed" <<'NEEDED'
__errno_location
aligned_alloc
calloc
dl_iterate_phdr
fork
getpagesize
malloc
mmap
napi_create_double
napi_create_function
napi_create_string_utf8
napi_get_cb_info
napi_get_value_double
napi_get_value_string_utf8
napi_set_named_property
napi_throw_error
posix_memalign
pthread_create
pthread_detach
realloc
sem_trywait
syscall
NEEDED

# What a compiler may make of a loop or an assignment.
sort >"$work/free" <<'FREE'
memchr
memcpy
memmove
memset
strlen
FREE

# The rules read an object and print what breaks them.

libraries() {
	readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/needs \1/p'
}

# symbols FILE: "U NAME" for what it lacks, "D NAME" for what it brings.
symbols() {
	readelf --dyn-syms -W "$1" | awk '
	$1 ~ /^[0-9]+:$/ && $5 != "LOCAL" && $8 != "" {
		sub(/@.*/, "", $8)
		print ($7 == "UND" ? "U" : "D"), $8
	}'
}

imports() {
	symbols "$1" | sed -n 's/^U //p' | sort -u >"$work/lacks"
	comm -23 "$work/lacks" "$work/needed" |
		comm -23 - "$work/free" | sed 's/^/takes /'
	comm -13 "$work/lacks" "$work/needed" | sed 's/^/does not take /'
}

exports() {
	symbols "$1" | sed -n 's/^D //p' |
		sed '/^napi_register_module_v1$/d; s/^/brings /'
}

# Thread-local storage is the process's, code that is changed at load is what
# some kernels refuse, and nothing runs before it is asked to.
sections() {
	readelf -lW "$1" | sed -n \
		's/^ *TLS .*/has thread-local storage/p
		s/^ *GNU_STACK.* RWE .*/has an executable stack/p'
	readelf -dW "$1" | sed -n \
		's/.*(TEXTREL).*/has text relocations/p
		s/.*(INIT_ARRAY).*/has constructors/p
		s/.*(INIT).*/has a constructor/p'
}

number=0
# none NAME COMMAND…: ok if the command finds nothing.
none() {
	name=$1
	shift
	number=$((number + 1))
	"$@" >"$work/found" 2>&1
	if test -s "$work/found"; then
		sed 's/^/# /' "$work/found"
		echo "not ok $number - $name"
	else
		echo "ok $number - $name"
	fi
}

# some NAME TEXT COMMAND…: ok if the command finds this.
some() {
	name=$1
	text=$2
	shift 2
	number=$((number + 1))
	"$@" >"$work/found" 2>&1
	if grep -qF "$text" "$work/found"; then
		echo "ok $number - $name"
	else
		sed 's/^/# /' "$work/found"
		echo "not ok $number - $name"
	fi
}

# object NAME FILE
object() {
	none "$1: names no library" libraries "$2"
	none "$1: takes what is listed" imports "$2"
	none "$1: brings one function" exports "$2"
	none "$1: has nothing that runs or is changed unasked" sections "$2"
}

# fine NAME: ok, as nothing can be said against it here.
fine() {
	number=$((number + 1))
	echo "ok $number - $1"
}

# headers_alone COMPILER
headers_alone() {
	for header in "$top"/src/addon/*.h; do
		# CC may be several words.
		# shellcheck disable=SC2086
		printf '#include "%s"\n#include "%s"\nextern int unit;\n' \
			"$header" "$header" |
			$1 -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic \
				-Wstrict-prototypes -Wundef -Werror \
				-fsyntax-only -x c - 2>&1
	done
}

# Quiet unless it fails.
build_arm() {
	said=$(MAKEFLAGS='' make -C "$build" podprof-fork-aarch64.node 2>&1) ||
		echo "$said"
}

# Headers of ours that are not beside it.
foreign_headers() {
	sed -n 's|^#include "\([^"]*\)".*|\1|p' "$top"/src/addon/*.[ch] |
		sort -u | while read -r header; do
		test -f "$top/src/addon/$header" || echo "includes $header"
	done
}

echo 1..14
arm=$build/podprof-fork-aarch64.node
object 'this machine' "$build/podprof-fork.node"
none 'every header compiles alone' headers_alone "${CC:-cc}"
none 'includes nothing of the programs' foreign_headers
if command -v aarch64-linux-gnu-gcc >/dev/null; then
	none 'aarch64: compiles' build_arm
	object 'aarch64' "$arm"
else
	echo '# no aarch64-linux-gnu-gcc (Debian gcc-aarch64-linux-gnu):' \
		'aarch64 was not compiled'
	for what in 'aarch64: compiles' 'aarch64: names no library' \
		'aarch64: takes what is listed' \
		'aarch64: brings one function' \
		'aarch64: has nothing that runs or is changed unasked'; do
		fine "$what, where there is a compiler"
	done
fi

# The same rules over an object that breaks them.
cat >"$work/bad.c" <<'BAD'
#include <stdlib.h>
_Thread_local int bad_local;
int bad_function(void);
int bad_function(void) { return bad_local += rand(); }
BAD
# shellcheck disable=SC2086
${CC:-cc} -shared -fPIC -o "$work/bad" "$work/bad.c" -Wl,--no-as-needed -lm
some 'a library that is named is found' 'needs libm' libraries "$work/bad"
some 'a function that is not listed is found' 'takes rand' imports \
	"$work/bad"
some 'a function that nobody calls is found' 'brings bad_function' exports \
	"$work/bad"
