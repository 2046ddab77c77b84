// Ways to capture that live in the app, for tests/bench/: preloaded into the
// sample app, which stays as it is.
//
//	node --require peers.js sample-app.js …
//
// Prints "peers at http://127.0.0.1:PORT".  Each request answers as soon as
// the file is complete, with a JSON object:
//
// GET /in-process-snapshot?file=F
//                             a session with the inspector of the own process,
//                             chunks into a write stream
// GET /v8-snapshot?file=F     v8.writeHeapSnapshot
// GET /in-process-profile?file=F&durationMs=N&intervalUs=N
//                             the same session, the profile as indented JSON;
//                             tells {"stopToFileMs":N}
'use strict';

const fs = require('fs');
const http = require('http');
const inspector = require('inspector');
const util = require('util');
const v8 = require('v8');

function openSession() {
	const session = new inspector.Session();
	session.connect();
	return Object.assign(session, {
		call: util.promisify(session.post).bind(session),
	});
}

function closed(stream) {
	return new Promise((resolve, reject) => {
		stream.once('error', reject).once('close', resolve);
	});
}

async function takeInProcessSnapshot({ file }) {
	const session = openSession();
	const out = fs.createWriteStream(file);
	const whole = closed(out);
	session.on('HeapProfiler.addHeapSnapshotChunk', (message) => {
		out.write(message.params.chunk);
	});
	await session.call('HeapProfiler.takeHeapSnapshot', {});
	out.end();
	await whole;
	session.disconnect();
	return {};
}

async function takeV8Snapshot({ file }) {
	v8.writeHeapSnapshot(file);
	return {};
}

async function takeInProcessProfile({ file, durationMs, intervalUs }) {
	const session = openSession();
	await session.call('Profiler.enable', {});
	await session.call('Profiler.setSamplingInterval', {
		interval: Number(intervalUs),
	});
	await session.call('Profiler.start', {});
	await util.promisify(setTimeout)(Number(durationMs));
	const beganMs = performance.now();
	const { profile } = await session.call('Profiler.stop', {});
	await fs.promises.writeFile(file, JSON.stringify(profile, null, 2));
	const stopToFileMs = performance.now() - beganMs;
	session.disconnect();
	return { stopToFileMs };
}

const WAYS = {
	'/in-process-snapshot': takeInProcessSnapshot,
	'/v8-snapshot': takeV8Snapshot,
	'/in-process-profile': takeInProcessProfile,
};

async function answer(request, response) {
	const url = new URL(request.url, 'http://127.0.0.1');
	const way = WAYS[url.pathname];
	let result;
	try {
		result = await way(Object.fromEntries(url.searchParams));
	} catch (error) {
		response.statusCode = 500;
		result = { error: String(error && error.stack) };
	}
	response.end(JSON.stringify(result) + '\n');
}

const server = http.createServer(answer);
server.requestTimeout = 0;
server.listen(0, '127.0.0.1', () => {
	console.log(`peers at http://127.0.0.1:${server.address().port}`);
});
