// Reads a heap snapshot with the npm package heapsnapshot-parser, which has
// nothing to do with podprof:
//
//	node read-snapshot.js DIRECTORY-OF-THE-PACKAGE FILE
//
// Prints {"nodes":N,"edges":N,"classes":[[NAME,[COUNT,BYTES]],…]}, or fails.
'use strict';

const fs = require('fs');

const NAME_MAX = 256;		// bytes

function classOf(node) {
	switch (node.type) {
	case 'object':
	case 'native':
		return node.name;
	case 'closure':
		return 'Function';
	case 'code':
		return '(compiled code)';
	default:
		return `(${node.type})`;
	}
}

// What is longer is cut, between two characters.
function cut(name) {
	const bytes = Buffer.from(name);
	let end = bytes.length;

	if (end > NAME_MAX)
		for (end = NAME_MAX; (bytes[end] & 0xc0) === 0x80;)
			end--;
	return bytes.toString('utf8', 0, end);
}

const [directory, file] = process.argv.slice(2);
const snapshot = require(directory).parse(fs.readFileSync(file, 'utf8'));
const classes = new Map();
for (const node of snapshot.nodes) {
	const name = cut(classOf(node));
	const [count, bytes] = classes.get(name) ?? [0, 0];
	classes.set(name, [count + 1, bytes + node.self_size]);
}
console.log(JSON.stringify({
	nodes: snapshot.nodes.length,
	edges: snapshot.edges.length,
	// As pairs: an object would have "__proto__" as none of its own.
	classes: [...classes],
}));
