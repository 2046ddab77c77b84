#!/bin/sh
# The table of keys in src/conf.c, conf/podprof.conf and podprof.conf(5) say
# the same: sections, keys, defaults, what is allowed, variables.
set -u
LC_ALL=C
export LC_ALL
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
podprof=${top_builddir:-$top}/podprof
page=$top/man/podprof.conf.5
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# Nothing of the caller's environment is to reach the tool.
run() {
	env -i PATH="$PATH" POD_NAME=lint "$podprof" "$@"
}

if ! run config template >"$work/template"; then
	echo "Bail out! $podprof does not run"
	exit 1
fi

# A line "[section] key = default | what is allowed | variable" for each key
# of the table, as the template has it: a key's own line comes last, what is
# allowed before it.
awk '
/^#?\[/ {
	section = $1
	gsub(/[#\[\]]/, "", section)
	next
}
/^# / { allowed = substr($0, 3); next }
/^#[a-z_]+ =/ {
	key = substr($1, 2)
	if (section == "podprof")
		variable = "PODPROF_" toupper(key)
	else if (section == "app")
		variable = "PODPROF_APP_NAME_" toupper(key)
	else
		variable = "PODPROF_" toupper(section) "_" toupper(key)
	print "[" section "] " substr($0, 2) " | " allowed " | " variable
}' "$work/template" >"$work/table"

# The same of the manual: .It has the key and its default, the line after it
# what is allowed, .Pq Ev the variable.
awk '
/^\.Ss \[/ { section = $2; gsub(/[\[\]]/, "", section); next }
/^\.Ss / || /^\.Sh / { section = "" }
section == "" { next }
/^\.It Ic / {
	line = $3 " =" (NF > 5 ? " " $6 : "")
	getline allowed
	next
}
/^\.Pq Ev / {
	variable = substr($0, 8)
	gsub(/ Ns Ar /, "", variable)
	gsub(/ Ns Ev /, "", variable)
	print "[" section "] " line " | " allowed " | " variable
}' "$page" >"$work/manual"

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

table_is_whole() {
	test "$(wc -l <"$work/table")" -ge 30 &&
		! grep -v '^\[[a-z]*\] [a-z_]* =.* | .*\. | PODPROF_[A-Z_]*$' \
			"$work/table"
}

file_is_template() {
	diff -u "$top/conf/podprof.conf" "$work/template" && return 0
	echo 'run: podprof config template >conf/podprof.conf'
	return 1
}

# With every comment sign taken away, the file must say what no file says.
defaults_are_accepted() {
	sed 's/^#\([a-z_]* =\)/\1/; s/^#\(\[app \)/\1/' "$work/template" \
		>"$work/all.conf"
	run -c "$work/all.conf" config show | grep -v '^# ' >"$work/shown1"
	echo '[app tincoin]' >"$work/none.conf"
	run -c "$work/none.conf" config show | grep -v '^# ' >"$work/shown2"
	test -s "$work/shown1" && diff "$work/shown1" "$work/shown2"
}

# What the table calls a variable, the tool must take: each is given its
# default, and an origin that names it comes back.
variables_work() {
	sed 's/^\[[a-z]*\] [a-z_]* =\(.*\) | .* | \([A-Z_]*\)$/\2 \1/' \
		"$work/table" >"$work/variables"
	bad=0
	while read -r variable value; do
		env -i PATH="$PATH" POD_NAME=lint "$variable=${value:-}" \
			"$podprof" -c "$work/none.conf" config show \
			>"$work/shown"
		# An empty pod stands for another name.
		if test "$variable" = PODPROF_POD ||
			grep -qx "# env:$variable" "$work/shown"; then
			continue
		fi
		echo "$variable=$value has no effect"
		bad=1
	done <"$work/variables"
	return $bad
}

# The first example of the manual.
example_is_accepted() {
	awk '
	/^\.Sh / { here = $2 == "EXAMPLES" }
	here && /^\.Bd -literal/ { text = 1; next }
	text && /^\.Ed/ { exit }
	text
	' "$page" >"$work/example.conf"
	grep -q '^\[app ' "$work/example.conf" &&
		run -c "$work/example.conf" config show >/dev/null
}

echo 1..6
check 'the template has every key with default and form' table_is_whole
check 'conf/podprof.conf is the template' file_is_template
check 'podprof.conf(5) has the same keys, defaults, forms and variables' \
	diff -u "$work/table" "$work/manual"
check 'every default is accepted when it is given' defaults_are_accepted
check 'every variable is known' variables_work
check 'the example of podprof.conf(5) is accepted' example_is_accepted
