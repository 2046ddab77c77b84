// What Chromium makes of an artifact that comes with Content-Encoding: zstd.
//
//	node browser-fetch.mjs PLAYWRIGHT CHROMIUM ORIGIN PATH
//
// Fetches it by script and saves it as a download; prints
// {"version","coding","fetched","saved"}, the last two as SHA-256 in hex.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { pathToFileURL } from 'node:url';

const [playwright, executablePath, origin, path] = process.argv.slice(2);
const { chromium } = (await import(pathToFileURL(playwright))).default;

async function sha256OfFile(name) {
	const hash = createHash('sha256');
	await pipeline(createReadStream(name), hash);
	return hash.digest('hex');
}

const browser = await chromium.launch({ executablePath,
	args: ['--no-sandbox'] });
try {
	const page = await browser.newPage();
	await page.goto(`${origin}/livez`);
	const seen = await page.evaluate(async (url) => {
		const response = await fetch(url);
		const bytes = await response.arrayBuffer();
		const digest = new Uint8Array(
			await crypto.subtle.digest('SHA-256', bytes));
		return {
			coding: response.headers.get('Content-Encoding'),
			fetched: Array.from(digest, (byte) =>
				byte.toString(16).padStart(2, '0')).join(''),
		};
	}, path);
	const [download] = await Promise.all([
		page.waitForEvent('download'),
		page.evaluate((url) => { location.href = url; }, path),
	]);
	const saved = await sha256OfFile(await download.path());
	console.log(JSON.stringify({ version: browser.version(), ...seen,
		saved }));
} finally {
	await browser.close();
}
