#!/bin/sh
# Writes C on stdout: the table of fcgi/asset.h, made of the files given.
#
#	sh fcgi/embed.sh conf/openapi.json conf/page/page.js >fcgi/asset.c
#
# A file is found by its name without its directories, which is therefore no
# other file's; its ETag is the SHA-256 of the bytes that are served.
#
# Of JSON, lines lose the blanks that they begin with: there these are no part
# of a text.  All else stays as it is.  Bytes are written one by one, as
# compilers need not take long string literals.
set -eu
LC_ALL=C
export LC_ALL

fail() {
	echo "embed.sh: $*" >&2
	exit 1
}

type_of() {
	case $1 in
	*.html) echo 'text/html; charset=utf-8' ;;
	*.css) echo 'text/css; charset=utf-8' ;;
	*.js) echo 'text/javascript; charset=utf-8' ;;
	*.json) echo 'application/json' ;;
	*.svg) echo 'image/svg+xml' ;;
	*) fail "$1: no content type is known for such a name" ;;
	esac
}

bytes_of() {
	case $1 in
	*.json) sed 's/^ *//' "$1" ;;
	*) cat "$1" ;;
	esac
}

test $# -gt 0 || fail "give the files"

echo '/* Made by fcgi/embed.sh: do not edit. */'
echo '#include "asset.h"'
echo
echo '#include <string.h>'
n=0
for file; do
	test -s "$file" || fail "$file: not there, or empty"
	echo
	echo "static const char data_${n}[] = {"
	# Octal escapes: right whether char is signed or not.
	bytes_of "$file" | od -A n -v -t o1 |
		sed -e "s/ \\([0-7][0-7][0-7]\\)/'\\\\\\1',/g" -e 's/^/	/'
	echo '};'
	n=$((n + 1))
done

echo
echo 'static const struct asset assets[] = {'
n=0
for file; do
	type=$(type_of "$file")
	digest=$(bytes_of "$file" | sha256sum)
	printf '\t{ "%s", "%s",\n\t    "\\"%s\\"",\n\t    data_%d, %s },\n' \
		"${file##*/}" "$type" "${digest%% *}" "$n" "sizeof(data_$n)"
	n=$((n + 1))
done
cat <<'END'
};

const struct asset *
asset_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(assets) / sizeof(assets[0]); i++)
		if (strcmp(assets[i].name, name) == 0)
			return &assets[i];
	return NULL;
}
END
