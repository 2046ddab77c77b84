#!/bin/sh
# Runs tests/unit/page.test.mjs in Node, where there is one: the web page's
# modules without a browser.
set -eu
top=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}

if ! node --test-reporter=tap --eval 0 >/dev/null 2>&1; then
	echo '1..0 # SKIP there is no node, or none that reports as TAP'
	exit 0
fi
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
# A browser is told that a script is a module; Node takes it from the name.
for module in profile flame; do
	sed "s,'\./profile\.js','./profile.mjs'," \
		"$top/conf/page/$module.js" >"$work/$module.mjs"
done
cp "$top/tests/unit/page.test.mjs" "$work"
node --test-reporter=tap "$work/page.test.mjs"
