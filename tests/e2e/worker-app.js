#!/usr/bin/env node
// An app with worker threads, for the tests.
//
//	node --inspect=… worker-app.js [--heap-mb N] NAME...
//
// Starts a worker for each NAME; one whose name begins with "pegged" never
// returns to its event loop, one whose name begins with "big" has a heap of N
// MB, and one whose name begins with "hungry" allocates, in a function
// allocateInThread, what it keeps for a while.  Each holds 2000 objects of a class HeldBy_NAME, as does the main thread,
// whose NAME is main, and works in a function spinInWorker.
//
// Prints "listening on http://127.0.0.1:PORT" once they run.  Answers with JSON:
//
//	GET /			{NAME: id of the thread} of those that run
//	GET /start/NAME		the same, once one more has started
//	GET /end/NAME		once it has left by process.exit()
//	GET /terminate/NAME	once it has been ended by worker.terminate()
//	GET /churn/N		starts and ends N short ones, some at a time
//	GET /peg/MS		and then the main thread loops for so long
//	GET /feed		and then the main thread allocates, too
//	GET /exit		and then the app exits with status 7
'use strict';

const http = require('http');
const { Worker, isMainThread, parentPort, workerData } =
	require('worker_threads');

const HELD = 2000;
const CHURNED_AT_ONCE = 8;

// What lives as long as the thread.
const kept = [];

function hold(name, heapMb) {
	const held = `HeldBy_${name}`;
	const Held = { [held]: class { constructor(i) { this.i = i; } } }[held];
	for (let i = 0; i < HELD; i++)
		kept.push(new Held(i));
	const wanted = process.memoryUsage().heapUsed + heapMb * 1024 * 1024;
	while (process.memoryUsage().heapUsed < wanted)
		for (let i = 0; i < 500; i++)
			kept.push({ i, text: `${name}-${i}` });
}

// Called by V8 again and again, so that no profile shows it as a part of its
// caller, however long that has been running.
function spinInWorker(a, b) {
	let sum = 0;
	for (let i = 0; i < 1000; i++)
		sum += (a * i) % 7 - (b * i) % 7;
	return sum;
}

function spin(ms) {
	const until = Date.now() + ms;
	while (Date.now() < until)
		[3, 1, 2, 5, 4, 7, 6, 8].sort(spinInWorker);
}

// The last ones are alive, some 4 MB.
const recent = [];

function allocateInThread() {
	for (let i = 0; i < 20; i++)
		recent.push(new Array(1000).fill(i));
	recent.splice(0, recent.length - 500);
}

// Called by V8, as spinInWorker: what is built into its caller has no name of
// its own in a heap profile.
function allocate() {
	Array.from([0], allocateInThread);
}

function work() {
	hold(workerData.name, workerData.heapMb);
	parentPort.on('message', () => process.exit(0));
	parentPort.postMessage('ready');
	if (workerData.name.startsWith('hungry'))
		setInterval(allocate, 5);
	if (workerData.name.startsWith('pegged'))
		spin(Infinity);
	else
		setInterval(spin, 10, 5);
}

const workers = new Map();
let heapMb = 0;

function start(name) {
	return new Promise((resolve, reject) => {
		const worker = new Worker(__filename, { name, workerData: {
			name, heapMb: name.startsWith('big') ? heapMb : 0,
		} });
		worker.on('message', resolve);
		worker.on('error', reject);
		workers.set(name, worker);
	});
}

function ended(name, end) {
	return new Promise((resolve) => {
		const worker = workers.get(name);
		workers.delete(name);
		worker.on('exit', resolve);
		end(worker);
	});
}

const leave = (worker) => worker.postMessage('end');
const terminate = (worker) => worker.terminate();

async function churn(count) {
	let left = count;
	async function one(slot) {
		while (left-- > 0) {
			const name = `churned-${slot}-${left}`;
			await start(name);
			await ended(name, left % 2 ? leave : terminate);
		}
	}
	await Promise.all(Array.from({ length: CHURNED_AT_ONCE },
		(_, slot) => one(slot)));
}

const ANSWERS = {
	start,
	end: (name) => ended(name, leave),
	terminate: (name) => ended(name, terminate),
	churn: (count) => churn(Number(count)),
	feed: () => void setInterval(allocate, 5),
	peg: (ms) => void setTimeout(spin, 20, Number(ms)),
	exit: () => void setTimeout(() => process.exit(7), 20),
};

async function answer(request, response) {
	const [, what, argument] = request.url.split('/');
	if (what !== '')
		await ANSWERS[what](argument);
	const ids = {};
	for (const [name, worker] of workers)
		ids[name] = String(worker.threadId);
	response.end(JSON.stringify(ids));
}

async function main() {
	const names = process.argv.slice(2);
	if (names[0] === '--heap-mb')
		heapMb = Number(names.splice(0, 2)[1]);
	hold('main', 0);
	await Promise.all(names.map(start));
	const server = http.createServer(answer);
	server.listen(0, '127.0.0.1', () => {
		console.log('listening on ' +
			`http://127.0.0.1:${server.address().port}`);
	});
	process.on('SIGTERM', () => process.exit(7));
}

if (isMainThread)
	main();
else
	work();
