#!/bin/sh
# The migrations in sql/ are numbered, listed and embedded, and sql/schema.sql
# is what they lead to.  To make that file anew:
#
#	sh tests/lint/schema.sh print >schema.new && mv schema.new sql/schema.sql
#
# Needs python3 with its sqlite3 module, or the sqlite3 shell.
set -u
LC_ALL=C
export LC_ALL
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
python=${PYTHON3:-python3}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

dump_query="SELECT char(10) || sql || ';' FROM sqlite_schema
	WHERE sql IS NOT NULL ORDER BY rowid"

# The schema after all migrations, in the order in which things were made.
dump_schema() {
	set -- "$top"/sql/[0-9]*.sql
	if "$python" -c 'import sqlite3' 2>/dev/null; then
		"$python" - "$dump_query" "$@" <<'PYTHON'
import sqlite3
import sys

db = sqlite3.connect(":memory:")
for path in sys.argv[2:]:
    with open(path, encoding="utf-8") as f:
        db.executescript(f.read())
for (sql,) in db.execute(sys.argv[1]):
    print(sql)
PYTHON
	else
		{ cat "$@" && echo "$dump_query;"; } | sqlite3 -batch -bail
	fi
}

print_schema() {
	echo '-- The tables, indexes and triggers after all migrations, for'
	echo '-- reading.  Made by tests/lint/schema.sh, which says how.'
	dump_schema
}

if test "${1:-}" = print; then
	print_schema
	exit
fi

number=0
# check NAME COMMAND…: one TAP line; what the command says goes before it.
check() {
	name=$1
	shift
	number=$((number + 1))
	if "$@" >"$work/said" 2>&1; then
		echo "ok $number - $name"
	else
		sed 's/^/# /' "$work/said"
		echo "not ok $number - $name"
	fi
}

schema_is_current() {
	print_schema >"$work/schema.sql" || return 1
	diff -u "$top/sql/schema.sql" "$work/schema.sql" && return 0
	echo "run: sh tests/lint/schema.sh print >schema.new &&" \
		"mv schema.new sql/schema.sql"
	return 1
}

# Once to be embedded, once to be in the tarball.
migrations_are_listed() {
	missing=0
	for path in "$top"/sql/[0-9]*.sql; do
		file=sql/$(basename "$path")
		listed=$(grep -o "$file" "$top/sql/local.mk" | wc -l)
		test "$listed" -ge 2 && continue
		echo "sql/local.mk: $file belongs in SQL_MIGRATIONS" \
			"and EXTRA_DIST"
		missing=1
	done
	return $missing
}

# embed NAME…: what embed.sh does with files of these names.
embed() {
	(
		cd "$work" || exit
		for file in "$@"; do
			printf 'SELECT 1; -- "\\" \303\251\n' >"$file"
		done
		sh "$top/sql/embed.sh" "$@"
	)
}

order_is_kept() {
	embed 0001_one.sql 0002_two.sql >"$work/two.c" || return 1
	sed -n '/migrate_steps\[\]/,$p' "$work/two.c" >"$work/table"
	diff "$work/table" - <<'EXPECTED'
const struct migrate_step migrate_steps[] = {
	{"0001_one", sql_0001_one},
	{"0002_two", sql_0002_two},
};

const unsigned migrate_steps_len = 2;
EXPECTED
}

gap_is_refused() {
	! embed 0001_one.sql 0003_three.sql &&
		! embed 0002_two.sql &&
		! embed 0002_two.sql 0001_one.sql &&
		! embed
}

foreign_name_is_refused() {
	! embed '0001_a"b.sql' && ! embed 0001-one.sql && ! embed one.sql
}

echo 1..5
check 'sql/schema.sql is what the migrations lead to' schema_is_current
check 'sql/local.mk lists every migration' migrations_are_listed
check 'embed.sh keeps the order' order_is_kept
check 'embed.sh refuses a gap in the numbers' gap_is_refused
check 'embed.sh refuses a name that is none' foreign_name_is_refused
