#!/bin/sh
# Writes C on stdout: the table of fcgi/speedscope.h.
#
#	sh fcgi/speedscope.sh DIR >fcgi/speedscope.c
#
# DIR is dist/release of speedscope's npm package, an absolute path; empty: the
# table is, too.  Its licence goes along as the file LICENSE.  The assembler
# reads the files themselves, as there is a megabyte of them.
set -eu
LC_ALL=C
export LC_ALL

fail() {
	echo "speedscope.sh: $*" >&2
	exit 1
}

type_of() {
	case $1 in
	*.html) echo 'text/html; charset=utf-8' ;;
	*.css) echo 'text/css; charset=utf-8' ;;
	*.js) echo 'text/javascript; charset=utf-8' ;;
	*.json) echo 'application/json' ;;
	*.png) echo 'image/png' ;;
	*.ico) echo 'image/x-icon' ;;
	*.woff2) echo 'font/woff2' ;;
	*.wasm) echo 'application/wasm' ;;
	*) echo 'text/plain; charset=utf-8' ;;
	esac
}

# The files, one a line: their names are its own, plain ones.
files_of() {
	for file in "$1"/*; do
		test ! -f "$file" || echo "$file"
	done
	test -f "$1/LICENSE" || echo "${1%/*/*}/LICENSE"
}

echo '/* Made by fcgi/speedscope.sh: do not edit. */'
echo '#include "speedscope.h"'
echo
echo '#include <string.h>'
echo

test $# -eq 1 || fail "give its directory, or an empty one"
if [ -z "$1" ]; then
	cat <<-'END'
	const struct asset *
	speedscope_find(const char *name)
	{
		(void)name;
		return NULL;
	}
	END
	exit 0
fi

files_of "$1" | while read -r file; do
	test -s "$file" || fail "$file: not there, or empty"
	bytes=$(wc -c <"$file")
	digest=$(sha256sum <"$file")
	n=$((${n:--1} + 1))
	cat <<-END
	extern const char speedscope_${n}[$bytes];
	__asm__(".pushsection .rodata\\n.global speedscope_$n\\n"
	    ".hidden speedscope_$n\\nspeedscope_$n:\\n"
	    ".incbin \\"$file\\", 0, $bytes\\n.popsection");
	#define FILE_$n { "${file##*/}", "$(type_of "$file")", \\
		"\\"${digest%% *}\\"", speedscope_$n, $bytes }

	END
done

echo 'static const struct asset files[] = {'
files_of "$1" | awk '{ printf "\tFILE_%d,\n", NR - 1 }'
cat <<'END'
};

const struct asset *
speedscope_find(const char *name)
{
	size_t i;

	if (name[0] == '\0')
		name = "index.html";
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}
END
