// The web page's modules, without a browser: profiles that Node has just taken,
// ones made by hand, and what is none.  Run by tests/unit/page.sh.
import test from 'node:test';
import assert from 'node:assert/strict';
import inspector from 'node:inspector';
import { readProfile } from './profile.mjs';
import { layOut, showAmount } from './flame.mjs';

// --- what real profiles look like ------------------------------------------

function session() {
	const real = new inspector.Session();
	real.connect();
	return (method, params = {}) => new Promise((resolve, reject) =>
		real.post(method, params, (error, result) =>
			error ? reject(error) : resolve(result)));
}

function hotInTest(untilMs) {
	let sum = 0;
	while (performance.now() < untilMs)
		for (let i = 1; i < 1000; i++)
			sum += Math.sqrt(i);
	return sum;
}

function keepInTest(count) {
	return Array.from({ length: count }, (_, i) => ({ i, s: `s${i}` }));
}

test('a CPU profile of this Node', async () => {
	const post = session();
	await post('Profiler.enable');
	await post('Profiler.start');
	await new Promise((resolve) => setTimeout(resolve, 100));
	hotInTest(performance.now() + 200);
	const { profile } = await post('Profiler.stop');
	const read = readProfile(JSON.stringify(profile), 'cpu-profile');
	assert.equal(read.unit, 'ms');
	const hot = read.functions.find(({ name }) => name === 'hotInTest');
	assert.equal(hot?.kind, 'own');
	assert.match(hot.place, /\/page\.test\.mjs:\d+:\d+$/);
	assert.doesNotMatch(hot.place, /^file:/);
	// How much of it the sampler sees is the machine's matter.
	assert.ok(hot.self > 0 && hot.self < read.total, `${hot.self} ms`);
	assert.ok(read.idle > 0, `idle for ${read.idle} ms`);
	assert.ok(read.functions.some(({ kind }) => kind === 'node'));
	const wholeMs = (profile.endTime - profile.startTime) / 1000;
	assert.ok(read.total + read.idle <= wholeMs);
	isConsistent(read);
});

test('a heap profile of this Node', async () => {
	const post = session();
	await post('HeapProfiler.startSampling', { samplingInterval: 4096 });
	const kept = keepInTest(50000);
	const { profile } = await post('HeapProfiler.stopSampling');
	assert.equal(kept.length, 50000);
	const read = readProfile(profile, 'heap-profile');
	assert.equal(read.unit, 'bytes');
	assert.equal(read.idle, 0);
	const keep = read.functions.find(({ name }) => name === 'keepInTest');
	assert.ok(keep.total > 1e6 && keep.total <= read.total);
	isConsistent(read);
});

// A frame is what it is by itself and what it called, and so is a function.
function isConsistent({ root, total, functions }) {
	const isNear = (a, b) => assert.ok(Math.abs(a - b) <= 1e-6 * (a + b),
		`${a} is not ${b}`);
	let selves = 0;
	const todo = [root];
	while (todo.length > 0) {
		const frame = todo.pop();
		isNear(frame.total, frame.children.reduce(
			(sum, child) => sum + child.total, frame.self));
		selves += frame.self;
		todo.push(...frame.children);
	}
	isNear(selves, total);
	isNear(functions.reduce((sum, { self }) => sum + self, root.self),
		total);
	assert.ok(functions.every((one) => one.total <= total * (1 + 1e-9)));
}

// --- made by hand -----------------------------------------------------------

const call = (functionName, url = '/app/a.js', lineNumber = 0) =>
	({ functionName, scriptId: '1', url, lineNumber, columnNumber: 0 });

// nodes: [id, name or callFrame, callees' ids]; samples: [id, microseconds]
function cpu(nodes, samples) {
	const profile = { startTime: 1000, endTime: 1000, samples: [],
		timeDeltas: [], nodes: nodes.map(([id, name, children]) => ({
			id, children, hitCount: 0, callFrame:
				typeof name === 'string' ? call(name) : name })) };
	for (const [id, us] of samples) {
		profile.samples.push(id);
		profile.timeDeltas.push(profile.endTime === 1000 ? 0 :
			samples[profile.samples.length - 2][1]);
		profile.endTime += us;
	}
	return profile;
}

const heap = (...children) => ({ head: { callFrame: call('(root)', '', -1),
	selfSize: 0, children } });
const alloc = (name, selfSize, ...children) =>
	({ callFrame: call(name), selfSize, children });

const readCpu = (profile) => readProfile(profile, 'cpu-profile');
const readHeap = (profile) => readProfile(profile, 'heap-profile');
const byName = ({ functions }, wanted) =>
	functions.find(({ name }) => name === wanted);

test('a sample lasts until the next one', () => {
	const read = readCpu(cpu([[1, '(root)', [2, 3]], [2, 'a'], [3, 'b']],
		[[2, 3000], [3, 1000], [2, 500]]));
	assert.equal(byName(read, 'a').self, 3.5);
	assert.equal(byName(read, 'b').self, 1);
	assert.equal(read.total, 4.5);
	assert.deepEqual(read.root.children.map(({ name }) => name),
		['a', 'b']);
});

test('samples in another order than their times', () => {
	const profile = cpu([[1, '(root)', [2, 3]], [2, 'a'], [3, 'b']], []);
	Object.assign(profile, { startTime: 0, endTime: 10000,
		samples: [2, 3, 2], timeDeltas: [1000, 6000, -3000] });
	const read = readCpu(profile);
	assert.equal(byName(read, 'a').self, 6);
	assert.equal(byName(read, 'b').self, 3);
});

test('without times, and without samples', () => {
	const nodes = [[1, '(root)', [2, 3]], [2, 'a'], [3, 'b']];
	const timeless = cpu(nodes, [[2, 1000], [2, 1000], [3, 1000],
		[3, 5000]]);
	delete timeless.timeDeltas;
	assert.equal(byName(readCpu(timeless), 'a').self, 4);
	const hits = cpu(nodes, []);
	delete hits.samples;
	delete hits.timeDeltas;
	hits.endTime = hits.startTime + 8000;
	hits.nodes[1].hitCount = 3;
	hits.nodes[2].hitCount = 1;
	assert.equal(byName(readCpu(hits), 'a').self, 6);
	assert.equal(byName(readCpu(hits), 'b').self, 2);
});

test('nodes that name their caller', () => {
	const profile = cpu([[1, '(root)'], [2, 'a'], [3, 'b']],
		[[3, 1000], [2, 1000]]);
	profile.nodes[1].parent = 1;
	profile.nodes[2].parent = 2;
	const read = readCpu(profile);
	assert.equal(byName(read, 'a').total, 2);
	assert.equal(read.root.children[0].children[0].name, 'b');
});

test('idle time is told, and not drawn', () => {
	const read = readCpu(cpu([[1, '(root)', [2, 3, 4]],
		[2, call('(idle)', '', -1)], [3, call('(program)', '', -1)],
		[4, 'work']], [[2, 9000], [3, 500], [4, 500]]));
	assert.equal(read.idle, 9);
	assert.equal(read.total, 1);
	assert.equal(byName(read, '(idle)'), undefined);
	assert.equal(byName(read, '(program)').kind, 'native');
	const nothing = readCpu(cpu([[1, '(root)', [2]],
		[2, call('(idle)', '', -1)]], [[2, 9000]]));
	assert.equal(nothing.total, 0);
	assert.deepEqual(nothing.functions, []);
});

test('recursion counts once in a total, always by itself', () => {
	const read = readHeap(heap(alloc('a', 1, alloc('b', 2,
		alloc('a', 4, alloc('a', 8)))), alloc('c', 16, alloc('a', 32))));
	assert.equal(byName(read, 'a').self, 45);
	assert.equal(byName(read, 'a').total, 15 + 32);
	assert.equal(byName(read, 'b').total, 14);
	assert.equal(read.total, 63);
	isConsistent(read);
});

test('equal callees of a frame are one, with all they called', () => {
	const read = readHeap(heap(alloc('a', 1, alloc('b', 2)),
		alloc('a', 4, alloc('b', 8), alloc('c', 0, alloc('d', 1)))));
	const [a] = read.root.children;
	assert.equal(read.root.children.length, 1);
	assert.equal(a.self, 5);
	assert.deepEqual(a.children.map(({ name, total }) => [name, total]),
		[['b', 10], ['c', 1]]);
});

test('what got nothing is not there', () => {
	const read = readHeap(heap(alloc('a', 0, alloc('b', 0)),
		alloc('c', 1)));
	assert.deepEqual(read.root.children.map(({ name }) => name), ['c']);
	assert.deepEqual(read.functions.map(({ name }) => name), ['c']);
});

test('kinds and places', () => {
	const kinds = [
		['/app/a.js', 'own', '/app/a.js:8:1'],
		['file:///app/a%20b/%D1%8F.mjs', 'own', '/app/a b/я.mjs:8:1'],
		['file:///app/%E0%A4%A', 'own', 'file:///app/%E0%A4%A:8:1'],
		['file:///app/node_modules/x/y.js', 'modules',
			'/app/node_modules/x/y.js:8:1'],
		['node:internal/timers', 'node', 'node:internal/timers:8:1'],
		['', 'native', ''],
	];
	for (const [url, kind, place] of kinds) {
		const read = readHeap(heap({ callFrame: call('f', url, 7),
			selfSize: 1 }));
		assert.equal(read.functions[0].kind, kind, url);
		assert.equal(read.functions[0].place, place);
	}
});

test('functions of one name in two places are two; anonymous ones, too', () => {
	const read = readHeap(heap(
		{ callFrame: call('', '/app/a.js', 1), selfSize: 1 },
		{ callFrame: call('', '/app/a.js', 2), selfSize: 2 }));
	assert.deepEqual(read.functions.map(({ name, self }) => [name, self]),
		[['(anonymous)', 2], ['(anonymous)', 1]]);
});

test('names cannot end a line, turn it round, or be endless', () => {
	const read = readHeap(heap(alloc('a\n\u202eb', 2),
		alloc('😀'.repeat(1e5), 1)));
	assert.equal(read.functions[0].name, 'a\ufffd\ufffdb');
	assert.ok(read.functions[1].name.length <= 301);
	assert.match(read.functions[1].name, /^😀+…$/u);
});

// --- large ones -------------------------------------------------------------

// As text, as JSON.stringify() does not go as deep as JSON.parse().
function deepText(depth) {
	const node = JSON.stringify(alloc('again', 1)).replace(/]}$/, '');
	return `{"head":${node.repeat(depth)}${']}'.repeat(depth)}}`;
}

test('10,000 calls deep', () => {
	const same = readHeap(deepText(10001));
	assert.equal(byName(same, 'again').total, 10000);
	assert.equal(byName(same, 'again').self, 10000);
	const deep = (name) => {
		let node = alloc('last', 1);
		for (let i = 0; i < 10000; i++)
			node = alloc(name(i), 1, node);
		return heap(node);
	};
	const { root } = readHeap(deep((i) => `f${i}`));
	assert.equal(root.total, 10001);
	const { items, isCut } = layOut([root], 1000);
	assert.ok(isCut);
	assert.ok(items.length <= 200);

	const path = [root];
	for (let i = 0; i < 5000; i++)
		path.push(path[i].children[0]);
	const zoomed = layOut(path, 1000).items;
	assert.equal(zoomed[0].frame, root);
	const callers = zoomed.filter(({ isCaller }) => isCaller);
	assert.equal(callers.length, 9);
	assert.equal(callers[8].frame, path[4999]);
	assert.ok(zoomed.slice(0, 10).every(({ width }) => width === 1000));
});

test('100,000 frames: only what can be seen is laid out', () => {
	const nodes = [[1, '(root)', []]];
	const samples = [];
	for (let id = 2; id <= 100001; id++) {
		const parent = Math.floor((id - 2) / 10) + 1;
		nodes[parent - 1][2].push(id);
		nodes.push([id, `f${id}`, []]);
		samples.push([id, 1 + id % 7]);
	}
	const read = readCpu(JSON.stringify(cpu(nodes, samples)));
	const { items, isCut } = layOut([read.root], 1200);
	assert.equal(read.functions.length, 100000);
	assert.equal(isCut, false);
	assert.ok(items.length > 100 && items.length < 10000,
		`${items.length} items`);
	isOrdered(items, 1200);
	isConsistent(read);
});

// Rows from left to right, everything inside its caller.
function isOrdered(items, width) {
	for (const [i, item] of items.entries()) {
		const { parent, row, x } = item;
		assert.ok(item.width >= 0.5);
		assert.ok(x >= 0 && x + item.width <= width + 1e-6);
		if (parent === undefined)
			continue;
		assert.equal(row, parent.row + 1);
		assert.ok(x >= parent.x - 1e-6 && x + item.width <=
			parent.x + parent.width + 1e-6);
		assert.ok(items[i - 1].row < row ||
			x >= items[i - 1].x + items[i - 1].width - 1e-6);
	}
}

test('a profile of nothing but small frames cannot fill the page', () => {
	const rows = [];
	for (let i = 0; i < 2000; i++) {
		let node = alloc('end', 1);
		for (let depth = 0; depth < 50; depth++)
			node = alloc(`f${i}.${depth}`, 0, node);
		rows.push(node);
	}
	const { items, isCut } = layOut([readHeap(heap(...rows)).root], 4000);
	assert.equal(items.length, 20000);
	assert.equal(isCut, true);
});

test('amounts as people read them', () => {
	assert.deepEqual([0, 0.123, 9.999, 12.34, 999.4, 1500, 61000].map(
		(ms) => showAmount(ms, 'ms')), ['0 ms', '0.12 ms', '10 ms',
		'12.3 ms', '999 ms', '1.5 s', '61 s']);
	assert.deepEqual([0, 1023, 1024, 1536, 5e7, 2 ** 41].map(
		(bytes) => showAmount(bytes, 'bytes')), ['0 B', '1,023 B',
		'1 KiB', '1.5 KiB', '47.7 MiB', '2,048 GiB']);
});

// --- what is no profile -----------------------------------------------------

test('what is no CPU profile is told in words', () => {
	const good = () => cpu([[1, '(root)', [2]], [2, 'a', []]],
		[[2, 1000], [1, 1000]]);
	const change = (act) => {
		const profile = good();
		act(profile);
		return profile;
	};
	const bad = [
		['', /no whole JSON/],
		[JSON.stringify(good()).slice(0, -9), /no whole JSON/],
		[null, /no object/],
		['[]', /no nodes/],
		['7', /no object/],
		[{}, /no nodes/],
		[{ head: {} }, /no nodes/],
		[change((p) => { p.nodes = {}; }), /no nodes/],
		[change((p) => { p.nodes = [null]; }), /no id/],
		[change((p) => { p.nodes[1].id = 'x'; }), /no id/],
		[change((p) => { p.nodes[1].id = 1; }), /one id/],
		[change((p) => { p.nodes[0].children = 2; }), /children/],
		[change((p) => { p.nodes[0].children = [3]; }), /no tree/],
		[change((p) => { p.nodes[0].children = []; }), /no tree/],
		[change((p) => { p.nodes[0].children = [2, 2]; }), /no tree/],
		[change((p) => { p.nodes[1].children = [1]; }), /no tree/],
		[change((p) => { p.nodes[1].children = [2]; }), /no tree/],
		[change((p) => { p.nodes.push({ id: 3, children: [4],
			callFrame: call('b') }, { id: 4, children: [3],
			callFrame: call('c') }); }), /no tree/],
		[change((p) => { delete p.nodes[1].callFrame; }),
			/callFrame/],
		[change((p) => { p.nodes[1].callFrame.url = 3; }), /place/],
		[change((p) => { p.nodes[1].callFrame.lineNumber = '1'; }),
			/place/],
		[change((p) => { p.samples = 'a'; }), /no samples/],
		[change((p) => { p.samples = []; }), /no samples/],
		[change((p) => { p.samples[0] = 9; }), /sample names a node/],
		[change((p) => { p.timeDeltas.pop(); }), /timeDeltas/],
		[change((p) => { p.timeDeltas[1] = null; }), /timeDeltas/],
		[change((p) => { p.timeDeltas = 1; }), /timeDeltas/],
		[change((p) => { p.startTime = '0'; }), /startTime/],
		[change((p) => { delete p.timeDeltas; delete p.endTime; }),
			/how long/],
		[change((p) => { delete p.samples; delete p.endTime; }),
			/neither samples nor hits/],
		[change((p) => { p.timeDeltas = [0, 1.7e308];
			p.endTime = 1.8e308; }), /startTime or endTime/],
		[change((p) => { p.timeDeltas = [0, 1.7e308];
			p.samples.push(2); p.timeDeltas.push(1.7e308); }),
		/too large/],
	];
	readCpu(good());
	for (const [profile, words] of bad)
		assert.throws(() => readCpu(profile), (error) =>
			error.constructor === Error && words.test(error.message),
		`${JSON.stringify(profile)} ${words}`);
});

test('what is no heap profile is told in words', () => {
	const bad = [
		['{"head":', /no whole JSON/],
		[{}, /no head/],
		[{ head: 3 }, /no head/],
		[cpu([[1, '(root)']], [[1, 1]]), /no head/],
		[{ head: { selfSize: -1 } }, /selfSize/],
		[{ head: { selfSize: '1' } }, /selfSize/],
		[{ head: { children: {} } }, /children/],
		[{ head: { children: [null] } }, /children/],
		[{ head: { children: [{}] } }, /callFrame/],
		[{ head: { children: [{ callFrame: {} }] } }, /callFrame/],
		[heap(alloc('a', 1.7e308), alloc('b', 1.7e308)), /too large/],
	];
	for (const [profile, words] of bad)
		assert.throws(() => readHeap(profile), (error) =>
			error.constructor === Error && words.test(error.message),
		`${JSON.stringify(profile)} ${words}`);
});

test('a tree without an end, or with too many nodes, is refused', () => {
	const ring = heap(alloc('a', 1));
	ring.head.children[0].children.push(ring.head.children[0]);
	assert.throws(() => readHeap(ring), /1000000 nodes/);
});
