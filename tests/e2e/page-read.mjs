// Reads a profile as the web page does, and prints what its functions took by
// themselves as JSON, or fails:
//
//	node page-read.mjs FILE.cpuprofile|FILE.heapprofile
//
// Needs a Node that takes conf/page/profile.js for the module that it is.
import fs from 'node:fs';
import { readProfile } from '../../conf/page/profile.js';

const [file] = process.argv.slice(2);
const { total, functions } = readProfile(fs.readFileSync(file, 'utf8'),
	file.endsWith('.heapprofile') ? 'heap-profile' : 'cpu-profile');
const self = {};
for (const one of functions)
	self[one.name] = (self[one.name] ?? 0) + one.self;
console.log(JSON.stringify({ total, self }));
