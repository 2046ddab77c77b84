// Says whether a heap snapshot or a profile is whole.
//
//	node check-artifact.js FILE.heapsnapshot
//	node check-artifact.js FILE.cpuprofile [--function NAME]
//	node check-artifact.js FILE.heapprofile [--function NAME]
//
// --function NAME  a CPU profile must have samples in a function of that name;
//                  in a heap profile none may have allocated more
//
// Prints one line and exits 0 if the file is good, 1 if it is not, 2 on wrong
// usage.  It shares nothing with podprof: it reads the format as V8 writes
// it, with the field names the file itself brings.
'use strict';

const fs = require('fs');

class Bad extends Error {}

function need(condition, message) {
	if (!condition)
		throw new Bad(message);
}

function needArray(owner, name) {
	need(owner && Array.isArray(owner[name]),
		`${name} is missing or no array`);
	need(owner[name].length > 0, `${name} is empty`);
	return owner[name];
}

function parse(file) {
	const text = fs.readFileSync(file, 'utf8');
	need(text.length > 0, 'the file is empty');
	try {
		return JSON.parse(text);
	} catch (error) {
		throw new Bad(`not whole JSON: ${error.message}`);
	}
}

function isIndex(value, array) {
	return Number.isInteger(value) && value >= 0 && value < array.length;
}

function fieldIndex(fields, name) {
	const index = fields.indexOf(name);
	need(index >= 0, `the meta names no field "${name}"`);
	return index;
}

function checkNodes(heap, meta) {
	const count = heap.snapshot.node_count;
	const fields = needArray(meta, 'node_fields');
	const nodes = needArray(heap, 'nodes');
	const name = fieldIndex(fields, 'name');
	const edgeCount = fieldIndex(fields, 'edge_count');
	let edges = 0;

	need(nodes.length === count * fields.length, `${nodes.length} numbers` +
		` in nodes are not ${count} nodes of ${fields.length} fields`);
	for (let i = 0; i < nodes.length; i += fields.length) {
		need(isIndex(nodes[i + name], heap.strings),
			`node ${i / fields.length} has name` +
			` ${nodes[i + name]}, but there are` +
			` ${heap.strings.length} strings`);
		edges += nodes[i + edgeCount];
	}
	need(edges === heap.snapshot.edge_count, `the nodes count ${edges}` +
		` edges, the file ${heap.snapshot.edge_count}`);
}

function checkEdges(heap, meta) {
	const count = heap.snapshot.edge_count;
	const fields = needArray(meta, 'edge_fields');
	const edges = needArray(heap, 'edges');
	const types = needArray(needArray(meta, 'edge_types'), 0);
	const type = fieldIndex(fields, 'type');
	const name = fieldIndex(fields, 'name_or_index');
	const toNode = fieldIndex(fields, 'to_node');
	const width = meta.node_fields.length;

	need(edges.length === count * fields.length, `${edges.length} numbers` +
		` in edges are not ${count} edges of ${fields.length} fields`);
	for (let i = 0; i < edges.length; i += fields.length) {
		const to = edges[i + toNode];
		need(isIndex(to, heap.nodes) && to % width === 0,
			`edge ${i / fields.length} leads to ${to}, no node`);
		const kind = types[edges[i + type]];
		need(kind === 'element' || kind === 'hidden' ||
			isIndex(edges[i + name], heap.strings),
			`edge ${i / fields.length} has name` +
			` ${edges[i + name]}, but there are` +
			` ${heap.strings.length} strings`);
	}
}

function checkSnapshot(heap) {
	need(heap && heap.snapshot && heap.snapshot.meta,
		'snapshot.meta is missing');
	const strings = needArray(heap, 'strings');
	need(strings.every((s) => typeof s === 'string'),
		'strings holds what is no string');
	checkNodes(heap, heap.snapshot.meta);
	checkEdges(heap, heap.snapshot.meta);
	return `${heap.snapshot.node_count} nodes,` +
		` ${heap.snapshot.edge_count} edges, ${strings.length} strings`;
}

function checkProfile(profile, wantedFunction) {
	const nodes = new Map(
		needArray(profile, 'nodes').map((node) => [node.id, node]));
	const samples = needArray(profile, 'samples');
	const deltas = needArray(profile, 'timeDeltas');
	let wanted = 0;

	need(nodes.size === profile.nodes.length, 'two nodes have one id');
	need(samples.length === deltas.length,
		`${samples.length} samples, but ${deltas.length} timeDeltas`);
	need(profile.endTime > profile.startTime,
		'endTime is not after startTime');
	for (const node of nodes.values()) {
		const { functionName } = node.callFrame || {};
		need(typeof functionName === 'string',
			`node ${node.id} has no callFrame.functionName`);
		need((node.children || []).every((id) => nodes.has(id)),
			`node ${node.id} has a child that is no node`);
	}
	for (const id of samples) {
		need(nodes.has(id), `sample ${id} is no node`);
		if (nodes.get(id).callFrame.functionName === wantedFunction)
			wanted++;
	}
	need(wantedFunction === null || wanted > 0,
		`no sample is in function ${wantedFunction}`);
	return `${nodes.size} nodes, ${samples.length} samples` +
		(wantedFunction === null ? '' :
			`, ${wanted} of them in ${wantedFunction}`);
}

// The tree as a list, without recursion: it may be deep.
function heapNodes(head) {
	const nodes = [head];
	for (let i = 0; i < nodes.length; i++) {
		const node = nodes[i];
		need(node && Number.isInteger(node.id), 'a node has no id');
		const { functionName, lineNumber } = node.callFrame || {};
		need(typeof functionName === 'string' &&
			Number.isInteger(lineNumber),
			`node ${node.id} has no whole callFrame`);
		need(Number.isFinite(node.selfSize) && node.selfSize >= 0,
			`node ${node.id} has selfSize ${node.selfSize}`);
		need(Array.isArray(node.children),
			`node ${node.id} has no children`);
		nodes.push(...node.children);
	}
	return nodes;
}

function bytesByFunction(nodes) {
	const bytes = new Map();
	for (const { callFrame: { functionName }, selfSize } of nodes)
		bytes.set(functionName,
			(bytes.get(functionName) || 0) + selfSize);
	return bytes;
}

function checkHeapProfile(profile, wantedFunction) {
	need(profile && profile.head, 'head is missing');
	need(Array.isArray(profile.samples), 'samples is missing or no array');
	const nodes = heapNodes(profile.head);
	const ids = new Set(nodes.map((node) => node.id));
	// V8 counts them, and goes on sampling while it makes the tree.
	const lastId = nodes.reduce((max, node) => Math.max(max, node.id), 0);

	need(ids.size === nodes.length, 'two nodes have one id');
	for (const { nodeId, size, ordinal } of profile.samples) {
		need(ids.has(nodeId) || nodeId > lastId,
			`a sample is of ${nodeId}, no node`);
		need(size > 0 && ordinal > 0, `a sample of node ${nodeId} has` +
			` size ${size} and ordinal ${ordinal}`);
	}
	const bytes = bytesByFunction(nodes);
	const total = [...bytes.values()].reduce((a, b) => a + b, 0);
	const [top] = [...bytes].sort((a, b) => b[1] - a[1])[0];
	need(wantedFunction === null || top === wantedFunction,
		`most is allocated in ${top}, not in ${wantedFunction}`);
	return `${nodes.length} nodes, ${profile.samples.length} samples,` +
		` ${total} bytes, ${bytes.get(top)} of them in ${top}`;
}

function usage() {
	console.error('usage: check-artifact.js FILE.heapsnapshot\n' +
		'       check-artifact.js FILE.cpuprofile [--function NAME]\n' +
		'       check-artifact.js FILE.heapprofile [--function NAME]');
	process.exit(2);
}

const CHECKS = {
	heapsnapshot: checkSnapshot,
	cpuprofile: checkProfile,
	heapprofile: checkHeapProfile,
};

function main() {
	const [file, option, name, ...rest] = process.argv.slice(2);
	if (file === undefined || rest.length > 0 ||
		(option !== undefined && (option !== '--function' || !name)))
		usage();
	const check = CHECKS[file.slice(file.lastIndexOf('.') + 1)];
	if (check === undefined ||
		(check === checkSnapshot && option !== undefined))
		usage();

	try {
		const wanted = name === undefined ? null : name;
		console.log(`good: ${file}: ${check(parse(file), wanted)}`);
	} catch (error) {
		console.log(`bad: ${file}: ${error.message}`);
		process.exitCode = 1;
	}
}

main();
