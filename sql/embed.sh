#!/bin/sh
# Writes C on stdout: the table of src/migrate.h, made of the files given.
#
#	sh sql/embed.sh sql/0001_jobs.sql sql/0002_more.sql >sql/migrations.c
#
# The files must come in order, NNNN_name.sql, counted from 0001 without a gap:
# the version of a database is the number of files that it has seen.  Bytes
# are written one by one, as compilers need not take long string literals.
set -eu
LC_ALL=C
export LC_ALL

refuse() {
	echo "embed.sh: $*" >&2
	exit 1
}

test $# -gt 0 || refuse "no files given"

number=0
table=
echo '/* Made by sql/embed.sh from sql/: do not edit. */'
echo '#include "migrate.h"'
for file in "$@"; do
	number=$((number + 1))
	name=$(basename "$file" .sql)
	case $name in
	*[!a-z0-9_]*) refuse "$file: use a-z, 0-9 and _ only" ;;
	"$(printf %04d "$number")"_?*) ;;
	*) refuse "$file: number $(printf %04d "$number") comes here" ;;
	esac
	test -s "$file" || refuse "$file: not there, or empty"
	test "$(tr -d '\000' <"$file" | wc -c)" -eq "$(wc -c <"$file")" ||
		refuse "$file: contains a NUL byte"
	echo
	echo "static const char sql_${name}[] = {"
	# Octal escapes: right whether char is signed or not.
	od -A n -v -t o1 "$file" |
		sed -e "s/ \\([0-7][0-7][0-7]\\)/'\\\\\\1',/g" -e 's/^/	/'
	printf '%s\n' "	'\\0',"
	echo '};'
	table="$table	{\"$name\", sql_$name},
"
done
echo
echo 'const struct migrate_step migrate_steps[] = {'
printf %s "$table"
echo '};'
echo
echo "const unsigned migrate_steps_len = $number;"
