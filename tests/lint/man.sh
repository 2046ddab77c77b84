#!/bin/sh
# Every manual page is sound mdoc, and what it refers to of ours is there.
set -u
LC_ALL=C
export LC_ALL
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}

if ! command -v mandoc >/dev/null 2>&1; then
	echo '1..0 # SKIP mandoc not installed'
	exit 0
fi

set -- "$top"/man/*.[1-9]
if test ! -f "$1"; then
	echo 'Bail out! there is no manual page'
	exit 1
fi
echo "1..$((2 * $#))"

number=0
# result STATUS NAME: one TAP line.
result() {
	number=$((number + 1))
	if test "$1" -eq 0; then
		echo "ok $number - $2"
	else
		echo "not ok $number - $2"
	fi
}

# Those that podprof itself has; others are the system's.
references_exist() {
	bad=0
	for other in $(sed -n 's/^\.Xr \(podprof[^ ]*\) \([1-9]\).*/\1.\2/p' \
		"$1" | sort -u); do
		test -f "$top/man/$other" && continue
		echo "# $1 refers to $other, which is not in man/"
		bad=1
	done
	return $bad
}

for page in "$@"; do
	said=$(mandoc -Tlint -W warning "$page" 2>&1)
	status=$?
	test -z "$said" || echo "$said" | sed 's/^/# /'
	result $status "$(basename "$page") is sound"
	references_exist "$page"
	result $? "$(basename "$page") refers to pages that are there"
done
