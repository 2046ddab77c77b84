#!/bin/sh
# fcgi/speedscope.sh: what it builds in are the files themselves, and none
# without a directory.
set -u
LC_ALL=C
export LC_ALL
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
script=$top/fcgi/speedscope.sh
number=0

# say STATUS TITLE
say() {
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number - $2"
	else
		sed 's/^/# /' "$work/log"
		echo "not ok $number - $2"
	fi
}

release=$work/package/dist/release
mkdir -p "$release"
echo '<title>viewer</title>' >"$release/index.html"
printf 'a\0b\377\n"\\\n' >"$release/font-A1.woff2"
seq 100000 >"$release/v-1.js"
echo 'You may.' >"$work/package/LICENSE"

# NAME: the file's type and ETag in a line, and then its bytes.
cat >"$work/show.c" <<'END'
#include <stdio.h>

#include "speedscope.h"

int
main(int argc, char **argv)
{
	const struct asset *asset = speedscope_find(argv[argc - 1]);

	if (asset == NULL)
		return 1;
	printf("%s %s\n", asset->type, asset->etag);
	return fwrite(asset->data, 1, asset->len, stdout) != asset->len;
}
END

# build PROGRAM DIR
build() {
	sh "$script" "$2" >"$work/$1.c" 2>"$work/log" &&
		${CC:-cc} -std=gnu11 -Wall -Wextra -Wpedantic -Werror \
			-iquote "$top/fcgi" -o "$work/$1" "$work/$1.c" \
			"$work/show.c" >"$work/log" 2>&1
}

# expect NAME TYPE FILE
expect() {
	{
		echo "$2 \"$(sha256sum <"$3" | cut -d ' ' -f 1)\""
		cat "$3"
	} >"$work/wanted"
	"$work/with" "$1" >"$work/found" && cmp "$work/wanted" "$work/found"
}

echo 1..9
build with "$release"
say $? 'it compiles'
expect '' 'text/html; charset=utf-8' "$release/index.html" >"$work/log" 2>&1
say $? 'its page has no name'
expect font-A1.woff2 font/woff2 "$release/font-A1.woff2" >"$work/log" 2>&1
say $? 'any bytes'
expect v-1.js 'text/javascript; charset=utf-8' "$release/v-1.js" \
	>"$work/log" 2>&1
say $? 'a large file'
expect LICENSE 'text/plain; charset=utf-8' "$work/package/LICENSE" \
	>"$work/log" 2>&1
say $? 'its licence, from above'
! "$work/with" ../LICENSE >"$work/log" 2>&1
say $? 'nothing else'
build without '' && ! "$work/without" index.html && ! "$work/without" ''
say $? 'without it there is nothing'
rm "$work/package/LICENSE"
! build unlicensed "$release" && grep -q 'LICENSE: not there' "$work/log"
say $? 'not without its licence'
: >"$release/LICENSE"
! build empty "$release" && grep -q 'LICENSE: not there, or empty' "$work/log"
say $? 'no empty file'
