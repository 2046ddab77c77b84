# Read by tests/soak: what its measurement "nodes" needs beside prepare.sh.
# shellcheck shell=sh disable=SC2154 # top, build: prepare.sh

# Sets musl to a directory with a Node that was made for musl, "node", and its
# libraries, "lib"; or leaves it empty on another architecture than its own.
#
# There is one in pnpm's program for musl: without the mark that says that it
# carries a program of its own, it is a Node as any other.  Its C++ library is
# Debian's, with musl-libstdc++.c between the two.
musl_node()
{
	musl=
	[ "$(uname -m)" = x86_64 ] || return 0
	# npm has it for machines with musl only.
	(
		export npm_config_force=true
		npm_package musl @pnpm/linuxstatic-x64@11.21.0
	) || exit
	musl=$build/musl
	[ ! -e "$musl/done" ] || return 0
	rm -rf "$musl"
	mkdir -p "$musl/lib"
	(cd "$musl" && make_musl_node) >"$build/logs/musl.log" 2>&1 || {
		tail -n 20 "$build/logs/musl.log" >&2
		die "a Node for musl cannot be made, see above"
	}
	: >"$musl/done"
}

make_musl_node()
{
	set -e
	gnu=/usr/lib/x86_64-linux-gnu
	sed 's/\(NODE_SEA_FUSE_[0-9a-f]*\):1/\1:0/' \
		"$build/npm/musl/node_modules/@pnpm/linuxstatic-x64/pnpm" >node
	chmod 755 node
	cp -L $gnu/libstdc++.so.6 lib/libstdc++-gnu.so.6
	cp -L /lib/x86_64-linux-gnu/libgcc_s.so.1 lib
	# Only its name counts.
	musl-gcc -shared -nostdlib -Wl,-soname,libstdc++-gnu.so.6 \
		-o name.so -x c /dev/null
	musl-gcc -O2 -Wall -Wextra -Werror -shared -fPIC \
		-Wl,-soname,libstdc++.so.6 -o lib/libstdc++.so.6 \
		"$top/tests/e2e/musl-libstdc++.c" -Wl,--no-as-needed name.so
	ln -s libstdc++.so.6 lib/ld-linux-x86-64.so.2
	LD_LIBRARY_PATH=$musl/lib ./node -p 'process.version'
}

# Sets mallocs to options of soak.py, one for each other malloc.
malloc_libraries()
{
	directory=$build/mallocs
	if [ ! -e "$directory/done" ]; then
		rm -rf "$directory"
		mkdir -p "$directory"
		(cd "$directory" && apt-get download libjemalloc2 \
			libtcmalloc-minimal4 &&
			for package in *.deb; do
				dpkg -x "$package" . && rm "$package" || exit
			done) >"$build/logs/mallocs.log" 2>&1 || {
			tail -n 20 "$build/logs/mallocs.log" >&2
			die "no other malloc could be unpacked, see above"
		}
		: >"$directory/done"
	fi
	mallocs=
	for file in "$directory"/usr/lib/*/libjemalloc.so.2 \
		"$directory"/usr/lib/*/libtcmalloc_minimal.so.4; do
		mallocs="$mallocs --malloc $file"
	done
}
