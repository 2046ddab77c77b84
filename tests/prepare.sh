# Read by tests/run and tests/soak: what both need.  Sets top, build (all that
# is made goes below it), speedscope, and nodes, the --node options of
# tests/e2e/run.py.
# shellcheck shell=sh

top=$(cd "$(dirname "$0")/.." && pwd)
build=${PODPROF_TEST_BUILD:-$top/build/tests}
PATH=$PATH:/usr/sbin:/sbin
PYTHONPYCACHEPREFIX=$build/python
export PATH PYTHONPYCACHEPREFIX
exec </dev/null

die()
{
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

[ "$(id -u)" -eq 0 ] || die "run it as root: it installs packages, and the" \
	"end-to-end tests need several users"

policy=
# Debian must start none of the web servers that come with the packages.
hold_services()
{
	[ ! -e /usr/sbin/policy-rc.d ] || return 0
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}

free_services()
{
	[ -z "$policy" ] || rm -f "$policy"
	policy=
}

has_package()
{
	dpkg-query -W -f '${Status}' "$1" 2>/dev/null |
		grep -q '^install ok installed$'
}

install_packages()
{
	missing=
	for package in gcc libc6-dev make autoconf automake pkg-config \
		libfcgi-dev libwebsockets-dev libcjson-dev libsqlite3-dev \
		libssl-dev libzstd-dev libcurl4-openssl-dev libcmocka-dev \
		valgrind xz-utils zstd \
		python3 curl util-linux spawn-fcgi nginx apache2-bin \
		libapache2-mod-xsendfile libapache2-mod-fcgid fcgiwrap \
		lighttpd systemd mandoc shellcheck dpkg-dev sqlite3 \
		iproute2 python3-yaml tini chromium fonts-dejavu-core \
		${more_packages:-}; do
		has_package "$package" || missing="$missing $package"
	done
	command -v node >/dev/null || missing="$missing nodejs"
	command -v npm >/dev/null || missing="$missing npm"
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || die "these packages are missing, and" \
		"there is no apt-get to install them:$missing"
	echo "installing$missing"
	hold_services
	DEBIAN_FRONTEND=noninteractive
	export DEBIAN_FRONTEND
	# shellcheck disable=SC2086 # a list of words
	if ! { apt-get -q update && apt-get -q -y --no-install-recommends \
		install $missing; } >"$build/logs/packages.log" 2>&1; then
		free_services
		tail -n 30 "$build/logs/packages.log" >&2
		die "apt-get failed, see above"
	fi
	free_services
}

# npm_package DIRECTORY PACKAGE: into a directory of its own, once.
npm_package()
{
	[ ! -e "$build/npm/$1/done" ] || return 0
	mkdir -p "$build/npm/$1"
	echo '{"private":true}' >"$build/npm/$1/package.json"
	(cd "$build/npm/$1" && npm install --no-audit --no-fund \
		--loglevel=error "$2") \
		>>"$build/logs/npm.log" 2>&1 || {
		tail -n 20 "$build/logs/npm.log" >&2
		die "npm install $2 failed, see above"
	}
	: >"$build/npm/$1/done"
}

# Debian's own nodejs with what it needs, unpacked and not installed; sets
# debian, or leaves it empty where there are no such packages.
debian_node()
{
	debian=
	version=$(apt-cache madison nodejs 2>/dev/null |
		awk '$3 ~ /dfsg/ && !found { print $3; found = 1 }')
	[ -n "$version" ] || return 0
	debian=$build/debian/$version
	[ ! -e "$debian/done" ] || return 0
	rm -rf "$debian"
	mkdir -p "$debian"
	library=$(apt-cache show "nodejs=$version" |
		sed -n 's/^Depends:.*\(libnode[0-9]*\).*/\1/p')
	# shellcheck disable=SC2086 # an empty list
	(cd "$debian" && apt-get download "nodejs=$version" \
		${library:+"$library=$version"} libc-ares2 libuv1 \
		node-acorn node-cjs-module-lexer node-undici &&
		for package in *.deb; do
			dpkg -x "$package" . && rm "$package" || exit
		done) >"$build/logs/debian.log" 2>&1 || {
		tail -n 20 "$build/logs/debian.log" >&2
		die "Debian's nodejs cannot be unpacked, see above"
	}
	: >"$debian/done"
}

# A second reader of /metrics, out of a package that is not installed.  Where it
# cannot be had its case is skipped: tests/e2e/prometheus.py reads all of them.
install_promtool()
{
	[ ! -x "$build/promtool" ] || return 0
	rm -rf "$build/prometheus"
	mkdir -p "$build/prometheus"
	(cd "$build/prometheus" && { apt-get download prometheus ||
		{ apt-get -q update && apt-get download prometheus; }; } &&
		dpkg-deb --fsys-tarfile ./*.deb | tar -x ./usr/bin/promtool &&
		mv usr/bin/promtool "$build/promtool") \
		>"$build/logs/promtool.log" 2>&1 ||
		echo "no promtool: see $build/logs/promtool.log"
	rm -rf "$build/prometheus"
}

# fetch_npm "DIRECTORY=PACKAGE ...": all at once, as each waits more than it
# works.
fetch_npm()
{
	for pair in $1; do
		npm_package "${pair%%=*}" "${pair#*=}" &
	done
	wait
	for pair in $1; do
		[ -e "$build/npm/${pair%%=*}/done" ] || exit 1
	done
}

case $(uname -m) in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*) die "there is no Node binary for $(uname -m) to test with" ;;
esac
nodes='' npm=''
for version in 18 20 22 24; do
	npm="$npm node$version=node-linux-$arch@$version"
	nodes="$nodes --node $version=$build/npm/node$version"
	nodes="$nodes/node_modules/node-linux-$arch/bin/node"
done
# Readers of the files that have nothing to do with podprof.
npm="$npm reader=heapsnapshot-parser@0.1.0"
npm="$npm devtools=chrome-devtools-frontend@1.0.1705227 esbuild=esbuild@0.28.2"
# The schemas of Kubernetes 1.34, and a reader of Containerfiles.
npm="$npm kubernetes=kubernetes-models@5.1.0"
npm="$npm containerfile=dockerfile-utils@0.16.3"
# The validator of conf/openapi.json, and of what is answered.
npm="$npm openapi=@seriousme/openapi-schema-validator@2.11.0"
# A viewer of profiles, for --with-speedscope.
npm="$npm speedscope=speedscope@1.25.0"
# shellcheck disable=SC2034 # for tests/run and tests/soak
speedscope=$build/npm/speedscope/node_modules/speedscope/dist/release
# The driver of the browser, and a checker of what a screen reader is told.
npm="$npm playwright=playwright-core@1.65.1 axe=axe-core@4.14.1"

mkdir -p "$build/logs"
# Beside Debian's packages, unless npm is one of them.
if command -v node >/dev/null && command -v npm >/dev/null; then
	fetch_npm "$npm" &
	fetching=$!
	install_packages
	wait "$fetching" || exit 1
else
	install_packages
	fetch_npm "$npm"
fi
install_promtool
