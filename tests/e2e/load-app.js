#!/usr/bin/env node
// An app under load, for the tests: every request makes garbage, worker threads
// allocate without pause, children come and go, and it tells of all of that.
//
//	node --inspect=… load-app.js [--heap-mb N] [--workers N] [--children]
//
// --heap-mb N  about how much heap to fill; default 4
// --workers N  so many threads that allocate without pause; default 0
// --children   one child process after the other; each ends with status 3
//
// Prints "listening on http://127.0.0.1:PORT" once it serves.
//
//	GET /stall          {"longestStallMs":N} since the last such request
//	GET /counts         what has happened so far, see counts()
//	GET /snapshot/NAME  writes a heap snapshot in the process to that file
//	GET /               a greeting, and garbage
//
// SIGTERM ends it with status 7; its exit handler prints "exit handler".
'use strict';

const childProcess = require('child_process');
const fs = require('fs');
const http = require('http');
const path = require('path');
const v8 = require('v8');
const { Worker, isMainThread, workerData } = require('worker_threads');

class Kept {
	constructor(number) {
		this.number = number;
		this.name = `kept-${number}`;
		this.nested = { x: number, y: { z: [number, number + 1] } };
		this.describe = () => `${this.name}, ${number}`;
		this.text = `é漢${number}`;
	}
}

class Garbage {
	constructor(number) {
		this.number = number;
		this.text = `garbage-${number}`;
	}
}

function makeGarbage(count) {
	const garbage = [];
	for (let i = 0; i < count; i++)
		garbage.push(new Garbage(i));
	return garbage;
}

// Never returns: a worker's own event loop does not turn.
function allocate(rounds, index) {
	const kept = [];
	for (let i = 0; ; i++) {
		kept[i % 16] = makeGarbage(500);
		Atomics.add(rounds, index, 1);
	}
}

function startWorkers(count) {
	const rounds = new Int32Array(new SharedArrayBuffer(4 * (count || 1)));
	for (let index = 0; index < count; index++)
		new Worker(__filename, { workerData: { rounds, index } });
	return rounds;
}

// One after the other, for as long as the app lives.
function startChildren(children) {
	const child = childProcess.spawn('/bin/sh', ['-c', 'exit 3'],
		{ stdio: 'ignore' });
	children.started++;
	child.on('error', () => children.wrong++);
	child.on('exit', (code) => {
		children.ended++;
		if (code !== 3)
			children.wrong++;
		setTimeout(startChildren, 5, children);
	});
}

// A timer that comes late tells how long the event loop stood still.
function watchStalls() {
	const everyMs = 5;
	const watch = { longestMs: 0 };
	let last = performance.now();
	setInterval(() => {
		const now = performance.now();
		watch.longestMs = Math.max(watch.longestMs,
			now - last - everyMs);
		last = now;
	}, everyMs);
	return watch;
}

function counts(app) {
	return {
		kept: app.kept.length,
		answers: app.answers,
		children: app.children,
		workers: app.rounds.reduce((sum, value) => sum + value, 0),
		memory: process.memoryUsage(),
	};
}

function takeLongestStall(app) {
	const longestStallMs = Math.round(app.stalls.longestMs);
	app.stalls.longestMs = 0;
	return { longestStallMs };
}

function answer(app, request, response) {
	const [, what, name] = request.url.split('/');
	let found;

	if (what === 'stall')
		found = takeLongestStall(app);
	else if (what === 'counts')
		found = counts(app);
	else if (what === 'snapshot')
		found = v8.writeHeapSnapshot(path.basename(name));
	else
		found = { garbage: makeGarbage(2000).length };
	app.answers++;
	response.setHeader('Content-Type', 'application/json');
	response.end(JSON.stringify(found) + '\n');
}

function readOptions(args) {
	const options = { heapMb: 4, workers: 0, children: false };
	while (args.length > 0) {
		const name = args.shift();
		if (name === '--heap-mb')
			options.heapMb = Number(args.shift());
		else if (name === '--workers')
			options.workers = Number(args.shift());
		else if (name === '--children')
			options.children = true;
		else
			throw new Error(`${name}: there is no such option`);
	}
	return options;
}

function fillHeap(kept, heapMb) {
	const used = () => v8.getHeapStatistics().used_heap_size;
	const wanted = used() + heapMb * 1024 * 1024;
	while (used() < wanted) {
		for (let i = 0; i < 500; i++)
			kept.push(new Kept(kept.length));
	}
}

function main() {
	const options = readOptions(process.argv.slice(2));
	const app = {
		kept: [],
		answers: 0,
		children: { started: 0, ended: 0, wrong: 0 },
	};

	fillHeap(app.kept, options.heapMb);
	app.rounds = startWorkers(options.workers);
	if (options.children)
		startChildren(app.children);
	app.stalls = watchStalls();
	const server = http.createServer((request, response) => {
		answer(app, request, response);
	});
	server.keepAliveTimeout = 600000;
	server.listen(0, '127.0.0.1', () => {
		const { port } = server.address();
		console.log(`listening on http://127.0.0.1:${port}`);
	});
	process.on('exit', () => fs.writeSync(1, 'exit handler\n'));
	process.on('SIGTERM', () => process.exit(7));
}

if (isMainThread)
	main();
else
	allocate(workerData.rounds, workerData.index);
