#!/usr/bin/env node
// An app that has much going on beside its event loop, for the tests.
//
//	node --inspect=… busy-app.js [--heap-mb N] [WHAT]...
//
// WHAT, all of these without:
//
//	descriptors   15,000 files are open, or as many as are allowed
//	pool          libuv's threads have always something to do
//	waiting       threads that wait: for a millisecond again and again, for ever
//	workers       ten threads that allocate a little
//	webassembly   modules and functions are compiled all the time
//	fetch         requests to itself are on their way, HTTP/1 and HTTP/2
//	observed      an inspector session of its own profiles it
//	finalizers    objects with finalizers die
//	buffers       memory outside the heap comes and goes
//
// Prints "listening on http://127.0.0.1:PORT" once it serves.  Each answer is a
// greeting, and makes garbage.  SIGTERM ends it with status 7.
'use strict';

const crypto = require('crypto');
const dns = require('dns');
const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const inspector = require('inspector');
const zlib = require('zlib');
const { Worker, isMainThread, workerData } = require('worker_threads');

const DESCRIPTORS = 15000;
// The rest of the app needs some too.
const OTHERS = 500;
const BUFFER_BYTES = 1 << 20;
const ROUNDS = 20000;

// What lives as long as the app.
const kept = [];

// The shortest module that exports a function.
const MODULE = new Uint8Array([
	0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0,
	7, 5, 1, 1, 102, 0, 0, 10, 4, 1, 2, 0, 11,
]);

// Keep the newest count things.
function keepSome(list, thing, count) {
	list.push(thing);
	if (list.length > count)
		list.shift();
}

function makeGarbage(count) {
	const garbage = [];
	for (let i = 0; i < count; i++)
		garbage.push({ i, text: `garbage-${i}` });
	return garbage;
}

// Start it again and again, several at once; start calls back.
function always(count, start) {
	for (let i = 0; i < count; i++) {
		const again = () => start(again);
		again();
	}
}

function startWorkers(what, count) {
	for (let i = 0; i < count; i++)
		new Worker(__filename, { workerData: what });
}

function keepHttp2Busy() {
	const server = http2.createServer((request, response) => {
		response.end('hello');
	});
	server.listen(0, '127.0.0.1', () => {
		const { port } = server.address();
		const client = http2.connect(`http://127.0.0.1:${port}`);
		always(2, (again) => {
			const request = client.request({ ':path': '/' });
			request.resume();
			request.on('end', again);
			request.end();
		});
	});
}

const STARTS = {
	descriptors() {
		const limits = fs.readFileSync('/proc/self/limits', 'latin1');
		const [, allowed] = /^Max open files +(\d+)/m.exec(limits);
		const count = Math.min(DESCRIPTORS, allowed - OTHERS);
		for (let i = 0; i < count; i++)
			kept.push(fs.openSync('/dev/null'));
	},
	pool() {
		const block = Buffer.alloc(BUFFER_BYTES, 'abcdef');
		always(2, (again) => crypto.pbkdf2('a', 'b', ROUNDS, 32,
			'sha512', again));
		always(2, (again) => zlib.deflate(block, again));
		always(2, (again) => fs.readFile(__filename, again));
		always(2, (again) => dns.lookup('localhost', again));
	},
	waiting() {
		startWorkers('wait', 2);
		startWorkers('wait for ever', 2);
	},
	workers() {
		startWorkers('allocate', 10);
	},
	webassembly() {
		const list = [];
		setInterval(() => {
			const made = new Function('x', `return x + ${list.length}`);
			made(1);
			WebAssembly.instantiate(MODULE).then((instance) => {
				keepSome(list, { instance, made }, 50);
			});
		}, 2);
	},
	fetch(url) {
		always(2, (again) => {
			fetch(url).then((reply) => reply.text())
				.then(again, again);
		});
		keepHttp2Busy();
	},
	observed() {
		const session = new inspector.Session();
		session.connect();
		session.post('Profiler.enable');
		session.post('Profiler.setSamplingInterval', { interval: 500 });
		session.post('Profiler.start');
		session.post('HeapProfiler.startSampling');
		kept.push(session);
	},
	finalizers() {
		const registry = new FinalizationRegistry(() => {});
		setInterval(() => {
			for (const object of makeGarbage(20))
				registry.register(object, object.i);
		}, 5);
		kept.push(registry);
	},
	buffers() {
		const list = [];
		setInterval(() => {
			keepSome(list, Buffer.alloc(BUFFER_BYTES, 1), 50);
		}, 3);
	},
};

function runWorker(what) {
	const word = new Int32Array(new SharedArrayBuffer(4));
	const list = [];

	if (what === 'allocate') {
		setInterval(() => keepSome(list, makeGarbage(500), 10), 5);
		return;
	}
	while (what === 'wait')
		Atomics.wait(word, 0, 0, 1);
	Atomics.wait(word, 0, 0);
}

function readOptions(args) {
	const options = { heapMb: 4, what: [] };
	while (args.length > 0) {
		const name = args.shift();
		if (name === '--heap-mb')
			options.heapMb = Number(args.shift());
		else if (STARTS[name] !== undefined)
			options.what.push(name);
		else
			throw new Error(`${name}: there is no such thing`);
	}
	if (options.what.length === 0)
		options.what = Object.keys(STARTS);
	return options;
}

function main() {
	const options = readOptions(process.argv.slice(2));
	const wanted = process.memoryUsage().heapUsed +
		options.heapMb * 1024 * 1024;

	while (process.memoryUsage().heapUsed < wanted)
		kept.push(makeGarbage(500));
	const server = http.createServer((request, response) => {
		response.end(`${makeGarbage(2000).length}\n`);
	});
	server.keepAliveTimeout = 600000;
	server.listen(0, '127.0.0.1', () => {
		const url = `http://127.0.0.1:${server.address().port}`;
		for (const what of options.what)
			STARTS[what](url);
		console.log(`listening on ${url}`);
	});
	process.on('SIGTERM', () => process.exit(7));
}

if (isMainThread)
	main();
else
	runWorker(workerData);
