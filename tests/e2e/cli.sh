#!/bin/sh
# podprof, the tool, as its users call it: output, exit status, JSON.
set -u
LC_ALL=C
export LC_ALL
podprof=${top_builddir:?}/podprof
python=${PYTHON3:-python3}
work=$(mktemp -d) || exit 99
listener=
trap 'test -z "$listener" || kill "$listener"; rm -rf "$work"' EXIT
cd "$work" || exit 99

# Nothing of the caller's environment reaches the tool; run VAR=… -- WORD…
run() {
	set -- PATH="$PATH" POD_NAME=pod-1 "$@"
	vars=
	while test $# -gt 0 && test "$1" != --; do
		vars="$vars $1"
		shift
	done
	test $# -eq 0 || shift
	# The variables here have no blanks.
	# shellcheck disable=SC2086
	env -i $vars "$podprof" "$@" >out 2>err
	status=$?
}

number=0
# check NAME COMMAND…: one TAP line; what there is to see goes before it.
check() {
	name=$1
	shift
	number=$((number + 1))
	if "$@" >said 2>&1; then
		echo "ok $number - $name"
	else
		for file in said out err; do
			test ! -s $file || sed "s/^/# $file: /" $file
		done
		echo "# status: ${status:-none}"
		echo "not ok $number - $name"
	fi
}

# exits STATUS [TEXT]: it ended so, and with TEXT on standard error, or with
# nothing there.
exits() {
	test "$status" -eq "$1" || return 1
	if test $# -gt 1; then
		grep -qF -- "$2" err
	else
		test ! -s err
	fi
}

# json EXPRESSION: true for d, the document on standard output.
json() {
	"$python" -c "import json
d = json.load(open('out'))
assert ($1), d"
}

cat >podprof.conf <<CONF
[podprof]
state_dir = $work/state
[auth]
tokens = $work/tokens
CONF
conf=-cpodprof.conf

help_and_version() {
	run -- --help && exits 0 && grep -q '^  token new NAME ' out &&
		grep -q '^  take KIND ' out &&
		# A path is as long as it is.
		! grep -v '/podprof\.conf$' out | grep '.\{81\}' &&
		run -- token rm --help && exits 0 &&
		grep -q -- --json out && ! grep -e --print -e 'token new' out &&
		run -- check --help && exits 0 &&
		grep -q -- '--url URL  *the web server in front' out &&
		run -- --version && exits 0 && grep -q '^podprof [0-9.]*$' out
}

# usage TEXT WORD…: refused as wrong usage, saying TEXT, with nothing printed.
usage() {
	text=$1
	shift
	run -- "$@"
	exits 2 "$text" && test ! -s out
}

wrong_usage() {
	usage 'a command is missing' &&
		usage 'no such command: "capture"' capture &&
		usage 'podprof: token: new, list or rm is wanted; see' token &&
		usage 'token: new, list or rm is wanted' token make x &&
		usage 'config: show or template is wanted' config &&
		usage 'NAME is missing; see podprof token rm --help' \
			token rm &&
		usage 'one word too many: "b"' token rm a b &&
		usage 'one word too many: "x"' check x &&
		usage '--role viewer or --role operator is missing' \
			token new a &&
		usage 'not "admin"' token new a --role admin &&
		usage 'not "none"' token new a --role none &&
		usage 'not "a/b"' token new a/b --role viewer &&
		usage 'not take "--role"' check --role viewer &&
		usage 'not take "--print"' token list --print &&
		usage 'podprof: unrecognized option "--verbose"; see podprof' \
			--verbose &&
		usage 'unrecognized option "-x"' jobs -xh &&
		usage 'several options begin with "--s"' jobs --s &&
		usage 'requires an argument: "-c"' token list -c &&
		usage 'requires an argument: "--url"' jobs --url &&
		usage 'takes no value: "--json"' jobs --json=yes &&
		usage 'KIND is missing' take &&
		usage 'or heap-profile, not "heap"' take heap &&
		usage 'not "spoon"' take heap-snapshot --method spoon &&
		usage '--duration: "5min" is not a time: a number with ms, s' \
			take cpu-profile --duration 5min &&
		usage '"1ms" is not a whole number of micro' \
			take cpu-profile --interval 1ms &&
		usage '--sampling-bytes' take heap-profile \
			--sampling-bytes many &&
		usage 'does not go with -o' --no-wait take cpu-profile -o x &&
		usage 'both want standard output' get -o - --json 0198c0de &&
		usage '-o needs the name' get --output= 0198c0de &&
		usage 'OTHER is missing' diff 0198c0de &&
		usage 'not take "--url"' sweep --url http://h &&
		usage 'not take "--limit"' show 0198c0de --limit 3
}

# Each is refused before anything is connected.
services_are_named_well() {
	usage '"h" is no address' jobs --url h &&
		usage '"ftp://h" is no address' jobs --url ftp://h &&
		usage '--app' jobs --url http://127.0.0.1:1 &&
		usage 'or name a service by --url or PODPROF_URL' jobs \
			"$conf" &&
		run PODPROF_URL=http://127.0.0.1:1/a/private/papi -- \
			jobs -c "$work/none.conf" &&
		exits 1 "$work/none.conf: no such file" &&
		run PODPROF_URL=http://127.0.0.1:1/a/private/papi -- \
			jobs "$conf" && exits 1 'cannot be reached' &&
		run PODPROF_APP_A_INSPECTOR=h:1 PODPROF_APP_B_INSPECTOR=h:2 \
			-- "$conf" jobs && exits 2 'a, b' &&
		run PODPROF_APP_A_INSPECTOR=h:1 -- "$conf" jobs --app x &&
		exits 3 '"x"' &&
		run PODPROF_APP_A_INSPECTOR=h:1 -- "$conf" jobs &&
		exits 3 "$work/state" && run -- "$conf" sweep &&
		exits 3 "$work/state"
}

token_new() {
	run -- "$conf" token new ci --role operator
	exits 0 || return 1
	grep -qxE 'podprof_[A-Za-z0-9_-]{43}' out || return 1
	test "$(wc -l <out)" -eq 1 || return 1
	sum=$(tr -d '\n' <out | sha256sum | cut -d' ' -f1)
	test "$(cat tokens)" = "ci:operator:$sum" || return 1
	test "$(stat -c %a tokens)" = 640
}

token_new_refuses_a_second() {
	cp tokens before
	run -- token new ci --role viewer "$conf"
	exits 4 'has a token ci already' && test ! -s out &&
		cmp tokens before
}

token_new_json() {
	run -- token new web --json --role viewer "$conf"
	exits 0 && json "d['name'] == 'web' and d['role'] == 'viewer' and
    d['token'].startswith('podprof_') and len(d) == 3"
}

token_new_print() {
	cp tokens before
	# No configuration is needed, not even a sound one.
	run PODPROF_THREADS=none -- token new far --role viewer --print
	test "$status" -eq 0 || return 1
	sum=$(tr -d '\n' <out | sha256sum | cut -d' ' -f1)
	test "$(cat err)" = "far:viewer:$sum" && cmp tokens before
}

token_new_needs_its_directory() {
	run PODPROF_AUTH_TOKENS="$work/none/tokens" -- token new a --role viewer
	exits 1 "$work/none/" && test ! -s out
}

token_list() {
	run -- token list "$conf"
	exits 0 && printf 'operator ci\nviewer   web\n' | cmp - out &&
		run -- token list --json "$conf" && exits 0 &&
		json "d == [{'name': 'ci', 'role': 'operator'},
    {'name': 'web', 'role': 'viewer'}]"
}

token_list_without_a_file() {
	run PODPROF_AUTH_TOKENS="$work/none" -- token list "$conf"
	exits 1 'podprof token new NAME --role operator'
}

token_rm() {
	run -- token rm nobody "$conf"
	exits 3 'has no token nobody' || return 1
	run -- --json token rm web "$conf"
	exits 0 && json "d == {'removed': 'web'}" || return 1
	run -- token rm ci "$conf"
	exits 0 && test ! -s out && test ! -s tokens
}

config_show() {
	run PODPROF_THREADS=9 PODPROF_APP_TINCOIN_INSPECTOR=h:1 -- \
		"$conf" config show
	exits 0 &&
		grep -A1 -Fx '# env:PODPROF_THREADS' out |
		grep -qx 'threads = 9' &&
		grep -A1 -Fx '# file:podprof.conf:2' out |
		grep -qx "state_dir = $work/state" &&
		grep -A1 -Fx '# default:POD_NAME' out | grep -qx 'pod = pod-1' &&
		cp out shown && run -- -c shown config show && exits 0 &&
		grep -v '^# ' shown >values && grep -v '^# ' out | cmp - values
}

config_show_json() {
	run PODPROF_LIMITS_KEEP=2h -- config show --json "$conf"
	exits 0 && json "{'section': 'limits', 'key': 'keep', 'value': '2h',
    'origin': 'env:PODPROF_LIMITS_KEEP'} in d"
}

config_errors() {
	printf '[podprof]\nthreads = many\n' >wrong.conf
	run -- -c wrong.conf config show
	exits 1 'wrong.conf:2: threads: "many" is not a whole number in 1..256' ||
		return 1
	run PODPROF_LIMITS_KEEP=1ms -- config show "$conf"
	exits 1 'PODPROF_LIMITS_KEEP: "1ms" is not in 1s..' || return 1
	run -- -c "$work/none.conf" config show
	exits 1 "$work/none.conf: no such file" || return 1
	run PODPROF_CONFIG=wrong.conf -- token list
	exits 1 'wrong.conf:2' || return 1
	# What a terminal would obey is escaped.
	printf '[\033]0;x\007]\n' >wrong.conf
	run -- -c wrong.conf config show
	exits 1 'control byte (0x1b)'
}

output_must_arrive() {
	"$podprof" config template >/dev/full 2>err
	status=$?
	exits 1 'cannot write to standard output'
}

# An app's inspector; where it listens to $address.
start_listener() {
	"$python" "${top_srcdir:?}/tests/fake/inspector.py" >listening &
	listener=$!
	while ! grep -q ' at ' listening; do
		kill -0 "$listener" 2>/dev/null || return 1
		sleep 0.05
	done
	address=$(sed 's/.* at //' listening)
}

check_finds_nothing() {
	mkdir -m 0711 state && mkdir exchange && chmod 2770 exchange &&
		start_listener || return 1
	run -- "$conf" token new ci --role operator
	run PODPROF_APP_A_INSPECTOR="$address" \
		PODPROF_LIMITS_MIN_FREE_BYTES=0 \
		PODPROF_APP_A_EXCHANGE_DIR="$work/exchange" -- "$conf" check
	kill "$listener"
	wait "$listener"
	listener=
	exits 0 && ! grep -v '^ok  \|^warn' out &&
		grep -q '^ok   tokens: .*: 1 token$' out &&
		grep -q "^ok   app a: Node .*, pid .*, at $address" out &&
		grep -q "^ok   app a: exchange_dir $work/exchange (2770)" out &&
		! grep '^warn app' out && test -z "$(ls -A exchange)"
}

check_finds_what_is_wrong() {
	# Over 63 characters without a point: no name server is asked.
	no_host=aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd
	# That port was the listener's: nobody has it now.
	run PODPROF_APP_A_INSPECTOR="$address" \
		PODPROF_APP_B_INSPECTOR="$no_host:9229" \
		PODPROF_APP_B_METHOD=fork PODPROF_STATE_DIR="$work/none" \
		PODPROF_APP_B_EXCHANGE_DIR="$work/none" \
		PODPROF_APP_A_EXCHANGE_DIR="$work/none" \
		PODPROF_AUTH_TOKENS="$work/none" PODPROF_OTHER=1 \
		PODPROF_AUTH_ANONYMOUS=viewer -- \
		"$conf" check
	exits 1 &&
		grep -q '^warn environment: PODPROF_OTHER names no key' out &&
		grep -q '^warn auth: .*whoever reaches' out &&
		grep -q "^fail state: .*$work/none" out &&
		grep -q '^fail tokens: there is no tokens file' out &&
		grep -q "^fail app a: no inspector at $address.*--inspect=127" \
			out &&
		grep -q "^fail app b: the inspector's host \"$no_host" out &&
		grep -q "^warn app a: exchange_dir $work/none .*method to" out &&
		grep -q "^fail app b: exchange_dir $work/none .*install -d" out
}

check_says_so_in_json() {
	run PODPROF_STATE_DIR="$work/none" -- --json check "$conf"
	exits 1 && json "any(f['status'] == 'fail' and f['what'] == 'state'
    and '$work/none' in f['text'] for f in d)"
}

check_refuses_a_wrong_configuration() {
	run PODPROF_THREADS=0 -- check "$conf"
	exits 1 && grep -q '^fail configuration: PODPROF_THREADS: "0"' out
}

# What can be written by others can be replaced by others.
check_looks_at_modes() {
	chmod 0666 tokens
	run -- "$conf" check
	chmod 0640 tokens
	exits 1 && grep -q '^fail tokens: others can write' out
}

# The schema of another, newer version.
check_looks_at_the_database() {
	"$python" -c 'import sqlite3
db = sqlite3.connect("state/podprof.db")
db.execute("PRAGMA user_version = 9999")' || return 1
	run -- "$conf" check
	exits 1 && grep -q '^fail database: .*9999' out || return 1
	# An older one is the service's to bring up to date.
	"$python" -c 'import sqlite3
db = sqlite3.connect("state/podprof.db")
db.execute("PRAGMA user_version = 1")' || return 1
	run PODPROF_LIMITS_MIN_FREE_BYTES=0 -- "$conf" check
	exits 0 && grep -q '^ok   database: .*has version 1' out
}

check_takes_a_socket_and_a_url() {
	run PODPROF_TOKEN=x PODPROF_APP_A_METHOD=stream -- "$conf" check \
		--socket "$work/none.sock" --url https://localhost
	exits 1 && grep -q "^fail socket: $work/none.sock: No such" out &&
		grep -q '^fail web server: --url: .*TLS' out &&
		usage '--url http://h:1/a/private/papi/ is the address of' \
			check --url http://h:1/a/private/papi/ &&
		grep -q 'stands before it: --url http://h:1$' err &&
		usage 'before it: --url http://h/x' \
			check --url http://h/x/a/private/papi &&
		usage 'not take "--url"' token list --url http://h &&
		usage 'not take "--socket"' config show --socket /s
}

echo 1..22
check 'help and version' help_and_version
check 'wrong usage is 2 and says what is wrong' wrong_usage
check 'a service is named well, or that is said' services_are_named_well
check 'token new prints the token alone and keeps its digest' token_new
check 'token new refuses a name that is there' token_new_refuses_a_second
check 'token new --json' token_new_json
check 'token new --print stores nothing' token_new_print
check 'token new names a directory that is missing' \
	token_new_needs_its_directory
check 'token list' token_list
check 'token list without a file says how to make one' \
	token_list_without_a_file
check 'token rm' token_rm
check 'config show has origins and reads back' config_show
check 'config show --json' config_show_json
check 'a wrong configuration is refused with its place' config_errors
check 'output that does not arrive is a failure' output_must_arrive
check 'check finds nothing in a sound installation' check_finds_nothing
check 'check finds what is wrong' check_finds_what_is_wrong
check 'check --json' check_says_so_in_json
check 'check refuses a wrong configuration' check_refuses_a_wrong_configuration
check 'check looks at modes' check_looks_at_modes
check 'check looks at the database' check_looks_at_the_database
check 'check takes a socket and a URL' check_takes_a_socket_and_a_url
