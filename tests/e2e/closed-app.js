#!/usr/bin/env node
// An app whose inspector is closed, for the tests.
//
//	node closed-app.js WHAT [N]
//
//	idle     has nothing to do
//	pegged   never leaves JavaScript again
//	handler  has a handler of its own for SIGUSR1
//	native   is in one native call, from the file "go" to the file "stop"
//	cluster  has N workers, which have nothing to do; each leaves its process
//	         id in the file "worker-N.pid"
//	serving  serves http on port N of loopback
//
// Prints "ready" once it is so.
'use strict';

const childProcess = require('child_process');
const cluster = require('cluster');
const fs = require('fs');
const http = require('http');

// One of both stands in every profile of the loop: V8 may put turn() into the
// other.
function turn() {
	let sum = 0;
	for (let i = 0; i < 1e6; i++)
		sum += Math.sqrt(i);
	return sum;
}

function turnForEver() {
	for (;;)
		turn();
}

const STARTS = {
	idle(ready) {
		setInterval(() => {}, 1000);
		ready();
	},
	pegged(ready) {
		ready();
		// What is written leaves first.
		setTimeout(turnForEver, 10);
	},
	handler(ready) {
		process.on('SIGUSR1', () => fs.writeSync(1, 'my own signal\n'));
		STARTS.idle(ready);
	},
	native(ready) {
		const wait = setInterval(() => {
			if (!fs.existsSync('go'))
				return;
			clearInterval(wait);
			fs.writeFileSync('gone', '');
			// Nor does it outlive us.
			childProcess.execSync('until [ -e stop ] || ' +
				'! kill -0 $PPID; do sleep 0.05; done');
		}, 10);
		STARTS.idle(ready);
	},
	cluster(ready, count) {
		let left = Number(count);
		for (let i = 0; i < Number(count); i++)
			cluster.fork({ NUMBER: i });
		cluster.on('online', (worker) => {
			const { pid } = worker.process;
			fs.writeFileSync(`worker-${worker.id - 1}.pid`, `${pid}\n`);
			if (--left === 0)
				ready();
		});
	},
	serving(ready, port) {
		http.createServer((request, response) => response.end('hello'))
			.listen(port, '127.0.0.1', ready);
	},
};

const [, , what, number] = process.argv;
if (cluster.isWorker)
	setInterval(() => {}, 1000);
else
	STARTS[what](() => fs.writeSync(1, 'ready\n'), number);
