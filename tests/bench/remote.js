// A heap snapshot by chrome-remote-interface, as its users write it.
//
//	node remote.js MODULE HOST PORT FILE
'use strict';

const fs = require('fs');
const events = require('events');

async function main([module, host, port, file]) {
	const client = await require(module)({ host, port: Number(port) });
	const { HeapProfiler } = client;
	const out = fs.createWriteStream(file);

	HeapProfiler.addHeapSnapshotChunk(({ chunk }) => out.write(chunk));
	await HeapProfiler.takeHeapSnapshot({ reportProgress: false });
	out.end();
	await events.once(out, 'close');
	await client.close();
}

main(process.argv.slice(2)).catch((error) => {
	console.error(`remote: ${error.stack}`);
	process.exit(1);
});
