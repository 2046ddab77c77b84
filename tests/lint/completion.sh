#!/bin/sh
# The manual, and the completions of bash, zsh and fish, know the commands and
# options that podprof --help has, and no others.  The completion of bash is
# run; those of zsh and fish are read by them, where they are installed.
set -u
LC_ALL=C
export LC_ALL
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
podprof=${top_builddir:-$top}/podprof
from=$top/conf/completion
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

if ! "$podprof" --help >"$work/help"; then
	echo "Bail out! $podprof does not run"
	exit 1
fi

# The words of the table of commands, which is in the second paragraph: those
# that are not in capitals, before its texts.
awk -v RS= 'NR == 2' "$work/help" | cut -c3-26 | tr ' ' '\n' |
	grep '^[a-z]' | sort -u >"$work/commands"
# Commands as they are called: one or two words.
awk -v RS= 'NR == 2' "$work/help" | cut -c3-26 | sed 's/ [A-Z ]*$//; s/ *$//' |
	grep . >"$work/calls"

# options TEXT: the long options that a text of --help lists.
options() {
	sed -n 's/^  \(-.,\|   \) --\([a-z-]*\).*/--\2/p' "$1" | sort
}
options "$work/help" >"$work/options"

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

help_is_read() {
	test "$(wc -l <"$work/calls")" -ge 15 &&
		test "$(wc -l <"$work/options")" -ge 20 &&
		grep -qx 'token new' "$work/calls" &&
		grep -qx -- --url "$work/options"
}

# complete WORD…: what bash offers for the last one, a line each.
complete_words() {
	bash --norc -c '
		. "$1"
		shift
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_podprof
		printf "%s\n" "${COMPREPLY[@]}"' bash "$from/podprof" "$@" |
		grep . | sort
}

bash_has_the_commands() {
	{
		complete_words podprof ''
		complete_words podprof token ''
		complete_words podprof config ''
	} | sort -u | diff "$work/commands" -
}

bash_has_the_options() {
	bad=0
	while read -r call; do
		# shellcheck disable=SC2086
		"$podprof" $call --help >"$work/one"
		options "$work/one" >"$work/wanted"
		# shellcheck disable=SC2086
		complete_words podprof $call -- | diff "$work/wanted" - &&
			continue
		echo "so it is for podprof $call"
		bad=1
	done <"$work/calls"
	return $bad
}

# offers WANTED WORD…
offers() {
	wanted=$1
	shift
	got=$(complete_words "$@" | tr '\n' ' ')
	test "$got" = "$wanted" && return 0
	echo "for $*: $got, not $wanted"
	return 1
}

bash_has_the_values() {
	offers 'heap-profile heap-snapshot ' podprof take heap &&
		offers 'direct ' podprof take heap-snapshot --method d &&
		offers 'failed ' podprof --json jobs --state f &&
		offers 'operator viewer ' podprof token new a --role '' &&
		offers 'cpu-profile ' podprof --url http://h take c &&
		offers '' podprof take cpu-profile ''
}

# An ID comes from podprof jobs, of the service that was named.
bash_asks_for_ids() {
	mkdir -p "$work/bin"
	cat >"$work/bin/podprof" <<'FAKE'
#!/bin/sh
case $* in
'jobs --url http://h --app a') ;;
'jobs --kind heap-snapshot --state succeeded --url http://h --app a')
	echo 'ID KIND'
	echo '0198c0df-1111 x'
	exit ;;
*) exit 1 ;;
esac
printf 'ID KIND\n0198c0de-7b1e x\n0198c0df-0000 y\n'
FAKE
	chmod +x "$work/bin/podprof"
	(
		PATH=$work/bin:$PATH
		offers '0198c0de-7b1e 0198c0df-0000 ' \
			podprof --url http://h get --app a 0198 &&
			offers '0198c0df-0000 ' podprof show --url http://h \
				--app a 0198c0df &&
			offers '0198c0df-1111 ' podprof diff --url http://h \
				--app a 0198c0de-7b1e 0198c0df
	)
}

zsh_has_the_options() {
	grep -o -- '--[a-z][a-z-]*' "$from/_podprof" | sort -u |
		diff "$work/options" -
}

fish_has_the_options() {
	sed -n 's/^complete .* -l \([a-z-]*\).*/--\1/p' "$from/podprof.fish" |
		sort -u | diff "$work/options" -
}

both_have_the_commands() {
	bad=0
	for file in _podprof podprof.fish; do
		while read -r word; do
			grep -qw -- "$word" "$from/$file" && continue
			echo "$file lacks $word"
			bad=1
		done <"$work/commands"
	done
	return $bad
}

# sound SHELL FILE: it can be read, where there is one to read it.
sound() {
	if ! command -v "$1" >/dev/null; then
		echo "# there is no $1 here: $2 was not read by it"
		return 0
	fi
	"$1" -n "$2"
}

# Each has an entry of its own.
manual_has_all() {
	grep '^\.It Fl ' "$top/man/podprof.1" | grep -o 'Fl -[a-z-]*' |
		sed 's/Fl /-/' | sort -u | diff "$work/options" - &&
		while read -r call; do
			grep -q "^\.It Cm $call\( \|\$\)" \
				"$top/man/podprof.1" && continue
			echo "podprof(1) has no entry for $call"
			return 1
		done <"$work/calls"
}

all_are_sound() {
	bash -n "$from/podprof" && sound zsh "$from/_podprof" &&
		sound fish "$from/podprof.fish"
}

echo 1..10
check '--help can be read' help_is_read
check 'the manual: commands and options' manual_has_all
check 'bash: the commands' bash_has_the_commands
check 'bash: the options of each command' bash_has_the_options
check 'bash: values' bash_has_the_values
check 'bash: IDs are those of the service that is named' bash_asks_for_ids
check 'zsh: the options' zsh_has_the_options
check 'fish: the options' fish_has_the_options
check 'zsh and fish: the commands' both_have_the_commands
check 'all three are sound' all_are_sound
