// Is conf/openapi.json a sound OpenAPI document, and are these replies what it
// says?  By validators that are not ours:
//
//	node validate-openapi.mjs NODE_MODULES DOCUMENT <REPLIES
//
// REPLIES has a JSON object a line: {"path","method","status","type","body"}.
// The last line printed is {"document":[...],"replies":[...]}: what is wrong.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [modules, file] = process.argv.slice(2);
const require = createRequire(join(modules, "x.js"));
const { Validator } = await import(
    require.resolve("@seriousme/openapi-schema-validator"));
const Ajv = require("ajv/dist/2020.js").default;
const formats = require("ajv-formats").default;

const document = JSON.parse(readFileSync(file, "utf8"));
const sound = await new Validator().validate(structuredClone(document));
const faults = { document: sound.valid ? [] : [sound.errors], replies: [] };

const ajv = new Ajv({ strict: false, allErrors: true });
formats(ajv);
ajv.addSchema(document, "openapi");

function resolve(value, pointer) {
	while (value.$ref) {
		pointer = value.$ref;
		value = pointer.slice(2).split("/").reduce((o, k) => o[k],
		    document);
	}
	return [value, pointer];
}

const escape = (part) =>
    encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"));

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
	const reply = JSON.parse(line);
	const responses = document.paths[reply.path][reply.method].responses;
	const [response, pointer] = resolve(responses[reply.status],
	    `#/paths/${escape(reply.path)}/${reply.method}/responses/` +
	    reply.status);
	if (!response.content?.[reply.type]) {
		faults.replies.push([reply, "no such type"]);
		continue;
	}
	const schema = ajv.getSchema(`openapi${pointer}/content/` +
	    `${escape(reply.type)}/schema`);
	if (!schema(reply.body))
		faults.replies.push([reply, schema.errors]);
}
console.log(JSON.stringify(faults));
