# The benchmark, of which make builds and runs nothing: tests/soak bench.
EXTRA_DIST += tests/bench/bench.py tests/bench/busy.js \
	tests/bench/downloads.py tests/bench/draw.py tests/bench/hello.c \
	tests/bench/load.c tests/bench/measure.py tests/bench/peers.js \
	tests/bench/freeze.svg tests/bench/pool.py tests/bench/profiles.py tests/bench/remote.js \
	tests/bench/report.py tests/bench/snapshots.py \
	tests/bench/summary.py tests/bench/web.py
