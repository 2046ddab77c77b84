// Work with as many functions and as many ways to call them as a large server
// has, for the CPU profiles of tests/bench/: preloaded into the sample app.
// Its profile of five seconds is some megabytes.
'use strict';

const FUNCTIONS = 2000;
const REQUESTS = 3000;
const DEPTH = 9;
// Short enough to add nothing to the longest stall of the sample app itself.
const EVERY_MS = 15;
const WORK_MS = 9;

// The same numbers at each start.
function makeDice() {
	let state = 1;
	return (below) => {
		state = (state * 1103515245 + 12345) % 2147483648;
		return Math.floor(state / 2147483648 * below);
	};
}

// handle17(route, depth): some work, then the next one on the route.
function makeFunction(number, table) {
	return new Function('table', `
		return function handle${number}(route, depth) {
			let sum = ${number};
			for (let i = 0; i < 400; i++)
				sum = (sum * 31 + i) % 65521;
			if (depth + 1 < route.length)
				sum += table[route[depth + 1]](route, depth + 1);
			return sum;
		};`)(table);
}

function start() {
	const dice = makeDice();
	const table = [];
	for (let i = 0; i < FUNCTIONS; i++)
		table.push(makeFunction(i, table));
	const routes = Array.from({ length: REQUESTS },
		() => Array.from({ length: DEPTH }, () => dice(FUNCTIONS)));
	setInterval(() => {
		const untilMs = performance.now() + WORK_MS;
		while (performance.now() < untilMs) {
			const route = routes[dice(REQUESTS)];
			table[route[0]](route, 0);
		}
	}, EVERY_MS).unref();
}

start();
