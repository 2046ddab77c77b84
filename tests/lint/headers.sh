#!/bin/sh
# Every header of ours compiles alone, and twice: it includes what it needs,
# and has a guard.
set -u
LC_ALL=C
export LC_ALL
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}

set -- "$top"/src/*.h "$top"/fcgi/*.h
echo "1..$#"

number=0
for header in "$@"; do
	number=$((number + 1))
	name=${header#"$top"/}
	# CC may be several words.
	# shellcheck disable=SC2086
	said=$(printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
		${CC:-cc} -std=gnu11 -Wall -Wextra -Wpedantic \
			-Wstrict-prototypes -Wundef -Werror -fsyntax-only \
			-iquote "$top/src" -iquote "$top/fcgi" -x c - 2>&1)
	if test $? -eq 0; then
		echo "ok $number - $name compiles alone"
	else
		echo "$said" | sed 's/^/# /'
		echo "not ok $number - $name compiles alone"
	fi
done
