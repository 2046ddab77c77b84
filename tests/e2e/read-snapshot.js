// Reads a heap snapshot with the npm package heapsnapshot-parser, which has
// nothing to do with podprof:
//
//	node read-snapshot.js DIRECTORY-OF-THE-PACKAGE FILE
//
// Prints {"nodes":N,"edges":N}, or fails.
'use strict';

const fs = require('fs');

const [directory, file] = process.argv.slice(2);
const snapshot = require(directory).parse(fs.readFileSync(file, 'utf8'));
console.log(JSON.stringify({
	nodes: snapshot.nodes.length,
	edges: snapshot.edges.length,
}));
