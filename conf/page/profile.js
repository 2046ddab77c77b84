// A CPU profile or a sampling heap profile, as V8 writes them, made into a tree
// of frames, in which each is called by the one above it, and a table of
// functions.  Whatever is in a file is only ever text, and no file makes this
// recurse.

const NODES_MAX = 1000000;
const TEXT_MAX = 300;

function need(condition, words) {
	if (!condition)
		throw new Error(words);
}

function isObject(value) {
	return typeof value === 'object' && value !== null;
}

function isAmount(value) {
	return Number.isFinite(value) && value >= 0;
}

// Of foreign origin: nothing that ends a line or turns its direction.
function clean(text) {
	const plain = text.replace(
		/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
		'\ufffd');
	return plain.length <= TEXT_MAX ? plain :
		`${[...plain.slice(0, TEXT_MAX)].slice(0, -1).join('')}…`;
}

function cleanUrl(url) {
	if (!url.startsWith('file://'))
		return clean(url);
	try {
		return clean(decodeURI(url.slice('file://'.length)));
	} catch {
		return clean(url);
	}
}

function kindOf(url) {
	if (url === '')
		return 'native';
	if (url.startsWith('node:'))
		return 'node';
	return url.includes('/node_modules/') ? 'modules' : 'own';
}

function readFunction({ functionName, url, lineNumber, columnNumber }) {
	let place = cleanUrl(url);
	if (url !== '' && lineNumber >= 0)
		place += `:${lineNumber + 1}:${columnNumber + 1}`;
	return {
		name: clean(functionName) || '(anonymous)', place,
		kind: kindOf(url), self: 0, total: 0,
	};
}

// A tree of frames out of one of nodes; equal callees of a frame become one.
class Tree {
	constructor(what) {
		this.what = what;
		this.functions = new Map();
		this.byNumbers = new Map();
		this.records = [];
		this.nodes = 1;
		this.add({ name: 'all', place: '', kind: 'native' }, 0);
	}

	add(owner, parent) {
		const { name, place, kind } = owner;
		this.records.push({ owner, parent, frame: {
			name, place, kind, self: 0, total: 0, children: [],
		} });
		return this.records.length - 1;
	}

	functionOf(node) {
		const { callFrame } = node;
		need(isObject(callFrame) &&
			typeof callFrame.functionName === 'string',
		`${this.what}: a node has no callFrame.functionName.`);
		const { functionName, url = '', scriptId = '',
			lineNumber = -1, columnNumber = -1 } = callFrame;
		need(typeof url === 'string' && Number.isInteger(lineNumber) &&
			Number.isInteger(columnNumber),
		`${this.what}: a callFrame says nonsense about its place.`);
		const key = JSON.stringify([functionName, url, lineNumber,
			columnNumber, url === '' ? String(scriptId) : '']);
		let found = this.functions.get(key);
		if (found === undefined) {
			found = readFunction({ functionName, url, lineNumber,
				columnNumber });
			found.number = this.functions.size;
			this.functions.set(key, found);
		}
		return found;
	}

	calleeOf(parent, node) {
		need(++this.nodes <= NODES_MAX, `${this.what} that can be ` +
			`drawn: it has over ${NODES_MAX} nodes. Download it, ` +
			'and open it in Chrome DevTools.');
		const owner = this.functionOf(node);
		const key = parent * NODES_MAX + owner.number;
		let at = this.byNumbers.get(key);
		if (at === undefined) {
			at = this.add(owner, parent);
			this.byNumbers.set(key, at);
		}
		return at;
	}

	grow(root, calleesOf, selfOf) {
		const todo = [[root, 0]];
		while (todo.length > 0) {
			const [node, at] = todo.pop();
			this.records[at].frame.self += selfOf(node);
			for (const callee of calleesOf(node))
				todo.push([callee, this.calleeOf(at, callee)]);
		}
	}

	// A caller's record comes before those of its callees.
	addTotals() {
		for (let i = this.records.length - 1; i >= 0; i--) {
			const { frame, parent } = this.records[i];
			frame.total += frame.self;
			if (i === 0 || frame.total === 0)
				continue;
			const caller = this.records[parent].frame;
			caller.total += frame.total;
			caller.children.push(frame);
		}
		const [{ frame: root }] = this.records;
		need(Number.isFinite(root.total),
			`${this.what}: its numbers are too large.`);
		for (const { frame } of this.records)
			frame.children.sort((a, b) => b.total - a.total ||
				(a.name < b.name ? -1 : 1));
		return root;
	}

	// What calls itself again counts once in its total.
	addFunctions(root) {
		const owners = new Map(this.records.map(
			({ frame, owner }) => [frame, owner]));
		const entered = new Map();
		const todo = root.children.map((frame) => ({ frame }));
		while (todo.length > 0) {
			const { frame, isLeft } = todo.pop();
			const owner = owners.get(frame);
			const times = entered.get(owner) || 0;
			entered.set(owner, times + (isLeft ? -1 : 1));
			if (isLeft)
				continue;
			owner.self += frame.self;
			owner.total += times === 0 ? frame.total : 0;
			todo.push({ frame, isLeft: true });
			for (const child of frame.children)
				todo.push({ frame: child });
		}
		return [...this.functions.values()]
			.filter(({ total }) => total > 0)
			.sort((a, b) => b.self - a.self || b.total - a.total)
			.map(({ name, place, kind, self, total }) =>
				({ name, place, kind, self, total }));
	}
}

// How long each sample lasted, in ms: until the next.  V8 may write them in
// another order than that of their times.
function sampleTimes({ samples, timeDeltas, startTime = 0, endTime }) {
	let time = startTime;
	const stamps = timeDeltas.map((delta) => (time += delta));
	const order = samples.map((_, i) => i);
	if (timeDeltas.some((delta) => delta < 0))
		order.sort((a, b) => stamps[a] - stamps[b]);
	const times = new Array(samples.length).fill(0);
	for (let i = 0; i + 1 < order.length; i++)
		times[order[i]] = (stamps[order[i + 1]] - stamps[order[i]]) /
			1000;
	const last = order[order.length - 1];
	if (endTime > stamps[last])
		times[last] = (endTime - stamps[last]) / 1000;
	return times;
}

const NO_CPU = 'This is no CPU profile';

function checkSamples({ samples, timeDeltas, startTime, endTime }, byId) {
	need(Array.isArray(samples) && samples.length > 0,
		`${NO_CPU}: it has no samples.`);
	need(samples.every((id) => byId.has(id)),
		`${NO_CPU}: a sample names a node that it does not have.`);
	need(timeDeltas === undefined || (Array.isArray(timeDeltas) &&
		timeDeltas.length === samples.length &&
		timeDeltas.every(Number.isFinite)),
	`${NO_CPU}: its timeDeltas do not fit its samples.`);
	need([startTime, endTime].every((time) =>
		time === undefined || Number.isFinite(time)),
	`${NO_CPU}: its startTime or endTime is no number.`);
}

// Without samples there are hits of each node, and without times all samples
// are alike.
function selfTimes(data, byId) {
	const selves = new Map();
	const add = (id, ms) => selves.set(id, (selves.get(id) || 0) + ms);
	const wholeMs = (data.endTime - data.startTime) / 1000;
	if (data.samples === undefined) {
		const hits = data.nodes.map(({ hitCount = 0 }) => hitCount);
		need(hits.every(isAmount) && isAmount(wholeMs),
			`${NO_CPU}: it has neither samples nor hits.`);
		const all = hits.reduce((sum, count) => sum + count, 0) || 1;
		data.nodes.forEach(({ id }, i) =>
			add(id, wholeMs * hits[i] / all));
		return selves;
	}
	checkSamples(data, byId);
	need(data.timeDeltas !== undefined || isAmount(wholeMs),
		`${NO_CPU}: nothing says how long its samples took.`);
	const times = data.timeDeltas !== undefined ? sampleTimes(data) :
		data.samples.map(() => wholeMs / data.samples.length);
	data.samples.forEach((id, i) => add(id, times[i]));
	return selves;
}

function idsOfCallees({ children = [] }) {
	need(Array.isArray(children), `${NO_CPU}: a node's children are none.`);
	return children;
}

// Nodes tell the ids of their callees, or each that of its caller.
function readCallees(nodes, byId) {
	const callees = new Map(nodes.map((node) => [node, []]));
	const called = new Set();
	const link = (caller, callee) => {
		need(caller !== undefined && callee !== undefined &&
			!called.has(callee),
		`${NO_CPU}: its nodes are no tree.`);
		called.add(callee);
		callees.get(caller).push(callee);
	};
	for (const node of nodes)
		for (const id of idsOfCallees(node))
			link(node, byId.get(id));
	if (called.size === 0)
		for (const node of nodes)
			if (node.parent !== undefined)
				link(byId.get(node.parent), node);
	const roots = nodes.filter((node) => !called.has(node));
	need(roots.length === 1, `${NO_CPU}: its nodes are no tree.`);
	return { root: roots[0], callees };
}

function readCpu(data, tree) {
	need(Array.isArray(data.nodes) && data.nodes.length > 0,
		`${NO_CPU}: it has no nodes.`);
	need(data.nodes.every((node) => isObject(node) &&
		Number.isInteger(node.id)), `${NO_CPU}: a node has no id.`);
	const byId = new Map(data.nodes.map((node) => [node.id, node]));
	need(byId.size === data.nodes.length,
		`${NO_CPU}: two of its nodes have one id.`);
	const selves = selfTimes(data, byId);
	const { root, callees } = readCallees(data.nodes, byId);
	tree.grow(root, (node) => callees.get(node),
		({ id }) => selves.get(id) || 0);
	need(tree.nodes === data.nodes.length,
		`${NO_CPU}: its nodes are no tree.`);
}

const NO_HEAP = 'This is no heap profile';

function readHeap(data, tree) {
	need(isObject(data.head), `${NO_HEAP}: it has no head.`);
	tree.grow(data.head, ({ children = [] }) => {
		need(Array.isArray(children) && children.every(isObject),
			`${NO_HEAP}: a node's children are none.`);
		return children;
	}, ({ selfSize = 0 }) => {
		need(isAmount(selfSize),
			`${NO_HEAP}: a node's selfSize is no size.`);
		return selfSize;
	});
}

function parse(text) {
	if (typeof text !== 'string')
		return text;
	try {
		return JSON.parse(text);
	} catch {
		throw new Error('This is no profile, or not all of one: it ' +
			'is no whole JSON.');
	}
}

// Waiting is no work: it is told, and not drawn.
function takeIdle(root) {
	const at = root.children.findIndex(({ name, kind }) =>
		name === '(idle)' && kind === 'native');
	if (at < 0)
		return 0;
	const [{ total }] = root.children.splice(at, 1);
	root.total = root.self + root.children.reduce(
		(sum, child) => sum + child.total, 0);
	return total;
}

/*
 * text  the file, or what JSON.parse() makes of it
 * kind  'cpu-profile' or 'heap-profile'
 *
 * Returns { unit, total, idle, root, functions }.  unit is 'ms' or 'bytes';
 * total is of all that is drawn, idle the time that the app waited, which is
 * not.  A frame is { name, place, kind, self, total, children }, most first;
 * a function is the same without children.  Throws an Error with words for
 * people.
 */
export function readProfile(text, kind) {
	const isHeap = kind === 'heap-profile';
	const data = parse(text);
	const what = isHeap ? NO_HEAP : NO_CPU;
	need(isObject(data), `${what}: it is no object.`);
	const tree = new Tree(what);
	(isHeap ? readHeap : readCpu)(data, tree);
	const root = tree.addTotals();
	const idle = isHeap ? 0 : takeIdle(root);
	return {
		unit: isHeap ? 'bytes' : 'ms', total: root.total, idle, root,
		functions: tree.addFunctions(root),
	};
}
