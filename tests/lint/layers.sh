#!/bin/sh
# Reads the includes: a file of src/ includes headers of smaller layers only,
# src/ knows nothing of fcgi/, the headers of fcgi/ form no ring, and every
# third-party library has one module that knows it.
set -u
LC_ALL=C
export LC_ALL
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# The modules of src/ by layer.  A file NAME_MORE.c is a part of NAME, where
# it is not listed itself.
cat >"$work/layers" <<'LAYERS'
0 err
1 buf clock
2 str
3 log file ini json uuid digest jsoncut pack http
4 conf db ws proc snapshot port
5 migrate cdp artifact ballast token spawn owner exchange lease rate meter process opening classes
6 job link evaluate watchdog client
7 target fetch summary
8 predict activate
9 look
10 capture check
11 tool
12 podprof podprof_capture
LAYERS

# A library's headers, and the module that may include them.
cat >"$work/libraries" <<'LIBRARIES'
sqlite3.h src/db.c
cjson/cJSON.h src/json.c
cJSON.h src/json.c
libwebsockets.h src/ws.c
curl/ src/client_http.c
openssl/ src/digest.c
zstd.h src/pack.c
zstd_errors.h src/pack.c
fcgiapp.h fcgi/gate.c
fcgi_stdio.h fcgi/gate.c
fcgi_config.h fcgi/gate.c
fcgios.h fcgi/gate.c
cmocka.h -
LIBRARIES

# includes TREE: "FILE HEADER" for each include of src/ and fcgi/.
includes() {
	(
		cd "$1" || exit
		for file in src/*.[ch] fcgi/*.[ch]; do
			test -f "$file" || continue
			sed -n "s|^[ 	]*#[ 	]*include[ 	]*[<\"]\([^>\"]*\)[>\"].*|$file \1|p" \
				"$file"
		done
	)
}

# The rules below read "FILE HEADER" lines and print what breaks them.

# src_layers TREE
src_layers() {
	awk -v tree="$1" '
	function module_of(file,	m) {
		m = file
		sub(/^.*\//, "", m)
		sub(/\.[ch]$/, "", m)
		if (!(m in layer))
			sub(/_.*$/, "", m)
		return m
	}
	FNR == NR {
		for (i = 2; i <= NF; i++)
			layer[$i] = $1
		next
	}
	$1 !~ /^src\// { next }
	{
		from = module_of($1)
		if (!(from in layer)) {
			if (!said[$1]++)
				print $1 " is in no layer: add it to the table"
			next
		}
		if (system("test -f \"" tree "/fcgi/" $2 "\"") == 0 &&
		    system("test -f \"" tree "/src/" $2 "\"") != 0) {
			print $1 " includes fcgi/" $2
			next
		}
		if (system("test -f \"" tree "/src/" $2 "\"") != 0)
			next
		to = module_of($2)
		if (!(to in layer))
			print $1 " includes " $2 ", which is in no layer"
		else if (to != from && layer[to] >= layer[from])
			print $1 " (layer " layer[from] ") includes " $2 \
			    " (layer " layer[to] ")"
	}' "$work/layers" "$work/includes"
}

# same_names TREE: a name that both have would mean another file in each place.
same_names() {
	for path in "$1"/fcgi/*.h; do
		file=$(basename "$path")
		test ! -f "$1/src/$file" ||
			echo "src/$file and fcgi/$file have the same name"
	done
}

fcgi_rings() {
	awk '$1 ~ /^fcgi\/.*\.h$/ { sub(/^fcgi\//, "", $1); print $1, $2 }' \
		"$work/includes" >"$work/edges"
	tsort "$work/edges" 2>&1 >/dev/null | sed -n 's/^tsort: //p'
}

libraries() {
	awk '
	FNR == NR { owner[$1] = $2; next }
	{
		name = $2
		if (name ~ /^(openssl|curl)\//)
			sub(/\/.*/, "/", name)
		if (name in owner && owner[name] != $1)
			print $1 " includes " $2 ", which belongs to " \
			    owner[name]
	}' "$work/libraries" "$work/includes"
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

echo 1..10
includes "$top" >"$work/includes"
none 'src/ includes smaller layers only' src_layers "$top"
none 'src/ and fcgi/ have no header of the same name' same_names "$top"
none 'the headers of fcgi/ form no ring' fcgi_rings
none 'each library has one module' libraries

# The same rules over a tree that breaks each.
bad=$work/bad
mkdir -p "$bad/src" "$bad/fcgi"
touch "$bad/src/conf.h" "$bad/src/err.h" "$bad/fcgi/err.h"
echo '#include "gate.h"' >"$bad/src/job.c"
echo '#include "conf.h"' >"$bad/src/str.c"
echo '#include "conf.h"' >"$bad/src/novel.c"
echo '# include <sqlite3.h>' >"$bad/src/job_more.c"
echo '#include "route.h"' >"$bad/fcgi/gate.h"
echo '#include "gate.h"' >"$bad/fcgi/route.h"
includes "$bad" >"$work/includes"
some 'an include of a higher layer is found' \
	'src/str.c (layer 2) includes conf.h (layer 4)' src_layers "$bad"
some 'an include of fcgi/ is found' 'src/job.c includes fcgi/gate.h' \
	src_layers "$bad"
some 'a file without a layer is found' 'src/novel.c is in no layer' \
	src_layers "$bad"
some 'a ring is found' 'loop' fcgi_rings
some 'a library in a second module is found' \
	'src/job_more.c includes sqlite3.h' libraries
some 'two headers of one name are found' \
	'src/err.h and fcgi/err.h have the same name' same_names "$bad"
