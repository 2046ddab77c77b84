#!/bin/sh
# Writes C on stdout: the variables of fcgi/openapi.h, made of the file given.
#
#	sh fcgi/embed.sh conf/openapi.json >fcgi/openapi.c
#
# Lines lose the blanks that they begin with: in JSON these are no part of a
# text.  Bytes are written one by one, as compilers need not take long string
# literals.
set -eu
LC_ALL=C
export LC_ALL

test $# -eq 1 && test -s "$1" || {
	echo "embed.sh: give one file, which is there and not empty" >&2
	exit 1
}

echo '/* Made by fcgi/embed.sh: do not edit. */'
echo '#include "openapi.h"'
echo
echo 'const char openapi_document[] = {'
# Octal escapes: right whether char is signed or not.
sed 's/^ *//' "$1" | od -A n -v -t o1 |
	sed -e "s/ \\([0-7][0-7][0-7]\\)/'\\\\\\1',/g" -e 's/^/	/'
echo '};'
echo
echo 'const size_t openapi_document_len = sizeof(openapi_document);'
