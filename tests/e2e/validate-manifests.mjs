// Validates groups of Kubernetes objects, a JSON array of arrays on stdin,
// against the schemas in the npm package kubernetes-models.  What the schemas do
// not know is a fault, too.
//
//	node validate-manifests.mjs DIRECTORY-OF-THE-PACKAGE
//
// Prints the faults of each group, as a JSON array of arrays of texts.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// The package's validators are functions that read every property which they
// know.  So what nobody has read is unknown.
function watch(value, where, objects) {
	if (value === null || typeof value !== 'object')
		return value;
	const children = {}, seen = new Set();
	objects.push({ value, seen, where });
	return new Proxy(value, {
		get(target, key) {
			if (!Object.hasOwn(target, key) || key === 'length')
				return target[key];
			seen.add(key);
			children[key] ??= watch(target[key],
				`${where}/${key}`, objects);
			return children[key];
		},
	});
}

async function validate(directory, object) {
	const at = object.apiVersion.split('/');
	if (at.length === 1)
		at.unshift('core');
	// apps/v1: IoK8sApiAppsV1Deployment; networking.k8s.io/v1: …NetworkingV1…
	const name = ['io', 'k8s', 'api', at[0].split('.')[0], at[1],
		object.kind].map((word) => word[0].toUpperCase() +
			word.slice(1)).join('');
	const file = path.join(directory, '_schemas', `${name}.js`);
	const schema = await import(pathToFileURL(file));
	const objects = [];
	schema.validate(watch(object, '', objects));
	const faults = (schema.validate.errors ?? []).map((error) =>
		`${error.instancePath}: ${error.message ?? error.keyword} ` +
		JSON.stringify(error.params));
	for (const { value, seen, where } of objects)
		for (const key of Object.keys(value))
			if (!seen.has(key))
				faults.push(`${where}/${key}: no such field`);
	return faults.map((fault) => `${object.kind} ` +
		`${object.metadata?.name}: ${fault}`);
}

const all = [];
for (const group of JSON.parse(fs.readFileSync(0, 'utf8'))) {
	const faults = [];
	for (const object of group)
		faults.push(...await validate(process.argv[2], object));
	all.push(faults);
}
console.log(JSON.stringify(all));
