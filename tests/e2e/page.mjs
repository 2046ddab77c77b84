// The browser of case_page.py: Chromium, driven by what is read.
//
//	node page.mjs PLAYWRIGHT CHROMIUM AXE
//
// Reads commands, a JSON array [VERB, ARGUMENT...] a line, and answers each
// with {"value":...} or {"error":"..."}.  VERBS below has them.  Whatever the
// browser itself wants of the world goes to a proxy that nobody serves:
// "strangers" tells who came.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [playwright, executablePath, axeFile] = process.argv.slice(2);
const { chromium } = (await import(pathToFileURL(playwright))).default;
const ACTION_MS = 60000;

// --- what runs in the page --------------------------------------------------

// Before any script of the page: keeps what the rows of the jobs have shown,
// and what the policy has refused.
function watchPage() {
	const seen = { rows: {}, refused: [] };
	Object.defineProperty(window, 'seenByTest', { value: seen });
	const look = () => {
		for (const row of document.querySelectorAll('[data-job]')) {
			const bar = row.querySelector('progress');
			const text = JSON.stringify([row.dataset.state,
				bar?.hasAttribute('value') ? bar.value : null]);
			const list = seen.rows[row.dataset.job] ??= [];
			if (list.at(-1) !== text)
				list.push(text);
		}
	};
	document.addEventListener('securitypolicyviolation', (event) =>
		seen.refused.push(`${event.effectiveDirective}: ` +
			`${event.blockedURI || event.sourceFile}`));
	new MutationObserver(look).observe(document, { subtree: true,
		childList: true, characterData: true, attributes: true });
}

// Visible text whose contrast with what is behind it is below WCAG's AA.
function findPaleText() {
	const canvas = document.createElement('canvas');
	canvas.width = canvas.height = 1;
	const context = canvas.getContext('2d', { willReadFrequently: true });
	const parse = (colour) => {
		context.clearRect(0, 0, 1, 1);
		context.fillStyle = colour;
		context.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
		return { rgb: [r, g, b], alpha: a / 255 };
	};
	const over = (top, alpha, below) => top.map((value, i) =>
		value * alpha + below[i] * (1 - alpha));
	const light = (rgb) => {
		const [r, g, b] = rgb.map((value) => {
			const part = value / 255;
			return part <= 0.04045 ? part / 12.92 :
				((part + 0.055) / 1.055) ** 2.4;
		});
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const contrast = (a, b) => {
		const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
		return (high + 0.05) / (low + 0.05);
	};
	const sheet = document.createElement('div');
	sheet.style.backgroundColor = 'Canvas';
	document.body.append(sheet);
	const canvasColour = parse(getComputedStyle(sheet).backgroundColor).rgb;
	sheet.remove();
	// What is painted behind an element, the lowest first.
	const behind = (element) => {
		const layers = [];
		for (let at = element; at; at = at.parentElement) {
			const style = getComputedStyle(at);
			layers.push(parse(style.backgroundColor));
			if (at.namespaceURI.endsWith('/svg')) {
				const shape = at.parentElement?.
					querySelector(':scope > rect');
				if (shape && shape !== at)
					layers.push(parse(
						getComputedStyle(shape).fill));
			}
		}
		return layers.reverse().reduce((below, layer) =>
			over(layer.rgb, layer.alpha, below), canvasColour);
	};
	const pale = [];
	const judge = (element, text, style, back) => {
		const svg = element.namespaceURI.endsWith('/svg');
		const colour = parse(svg ? style.fill : style.color);
		const size = parseFloat(style.fontSize);
		const large = size >= 24 ||
			(size >= 18.66 && Number(style.fontWeight) >= 700);
		const ratio = contrast(
			over(colour.rgb, colour.alpha, back), back);
		if (ratio < (large ? 3 : 4.5))
			pale.push(`${element.tagName.toLowerCase()}` +
				`${element.id && `#${element.id}`} ` +
				`"${text.slice(0, 40)}": ${ratio.toFixed(2)}`);
	};
	const seen = (element) => {
		const box = element.getBoundingClientRect();
		return box.width > 1 && box.height > 1 &&
			!element.closest('option, script, style, :disabled, ' +
				'[aria-disabled=true]') &&
			element.checkVisibility({ opacityProperty: true,
				visibilityProperty: true });
	};
	const walker = document.createTreeWalker(document.body,
		NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const text = walker.currentNode.data.trim();
		const element = walker.currentNode.parentElement;
		if (text && seen(element))
			judge(element, text, getComputedStyle(element),
				behind(element));
	}
	for (const field of document.querySelectorAll('[placeholder]'))
		if (seen(field))
			judge(field, field.placeholder, getComputedStyle(field,
				'::placeholder'), behind(field));
	return pale;
}

// Where the focus is, and whether that can be seen.
function describeFocus() {
	const element = document.activeElement;
	if (!element || element === document.body ||
		element === document.documentElement)
		return null;
	const style = getComputedStyle(element);
	const box = element.getBoundingClientRect();
	const shape = element.querySelector(':scope > rect');
	const edge = shape && getComputedStyle(shape);
	return {
		tag: element.tagName.toLowerCase(), id: element.id,
		action: element.dataset.action ?? null,
		job: element.closest('[data-job]')?.dataset.job ?? null,
		name: (element.getAttribute('aria-label') ??
			element.textContent).trim().slice(0, 60),
		shown: (style.outlineStyle !== 'none' &&
			parseFloat(style.outlineWidth) >= 1) ||
			style.boxShadow !== 'none' ||
			(shape !== null && edge.stroke !== 'none' &&
			parseFloat(edge.strokeWidth) >= 1),
		onScreen: box.width > 0 && box.height > 0 && box.bottom > 0 &&
			box.right > 0 && box.top < innerHeight &&
			box.left < innerWidth,
	};
}

// --- the browser -------------------------------------------------------------

const strangers = [];
const proxy = createServer((socket) => {
	socket.on('error', () => {});
	socket.once('data', (data) => {
		strangers.push(data.toString('latin1').split('\r\n')[0]);
		socket.destroy();
	});
});
await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox',
	`--proxy-server=127.0.0.1:${proxy.address().port}`,
	'--proxy-bypass-list=127.0.0.1',
	// What it would ask for by itself.
	'--component-updater=url-source=http://127.0.0.1:9/',
	'--gaia-url=http://127.0.0.1:9/',
	'--disable-features=AutofillServerCommunication,' +
		'NetworkTimeServiceQuerying,OptimizationHints'] });

let context, page, requests, faults;

function watchContext() {
	requests = [];
	faults = [];
	context.on('request', (request) => requests.push(request.url()));
	context.on('weberror', (error) => faults.push(`${error.error()}`));
	context.on('console', (message) => {
		if (['error', 'warning'].includes(message.type()))
			faults.push(`${message.type()}: ${message.text()} ` +
				`(${message.location().url})`);
	});
}

async function download(file, act) {
	const [started] = await Promise.all([
		page.waitForEvent('download'), act()]);
	await started.saveAs(file);
	return { name: started.suggestedFilename(), url: started.url() };
}

const VERBS = {
	strangers: () => strangers,

	// A new session: nothing is left of the one before.
	async open(url, { width = 1280, height = 900, scheme = 'light' } = {}) {
		await context?.close();
		context = await browser.newContext({ acceptDownloads: true,
			viewport: { width, height }, colorScheme: scheme });
		context.setDefaultTimeout(ACTION_MS);
		watchContext();
		await context.addInitScript(watchPage);
		page = await context.newPage();
		return (await page.goto(url)).status();
	},
	reload: async () => (await page.reload()).status(),
	async look(width, height, scheme) {
		await page.setViewportSize({ width, height });
		await page.emulateMedia({ colorScheme: scheme });
	},
	// Of all of it, in a window as high as that; or of what the window has.
	async picture(path, whole = true) {
		const size = page.viewportSize();
		if (whole)
			await page.setViewportSize({ width: size.width,
				height: await page.evaluate(
					() => document.body.scrollHeight) });
		await page.screenshot({ path });
		await page.setViewportSize(size);
	},

	// The value of a JavaScript expression in the page.
	evaluate: (expression) => page.evaluate(expression),
	// What a function that is written as an expression returns.
	call: (source, argument) => page.evaluate(
		`(${source})(${JSON.stringify(argument)})`),
	count: (selector) => page.locator(selector).count(),
	visible: (selector) => page.locator(selector).first().isVisible(),
	text: (selector) => page.locator(selector).first().innerText(),

	click: (selector, timeout = ACTION_MS) =>
		page.locator(selector).first().click({ timeout }),
	fill: (selector, value) => page.locator(selector).first().fill(value),
	choose: (selector, value) =>
		page.locator(selector).first().selectOption(value),
	downloadByClick: (selector, file) => download(file,
		() => page.locator(selector).first().click()),

	// What a click opens is the page from then on.
	async popup(selector) {
		const [opened] = await Promise.all([page.waitForEvent('popup'),
			page.locator(selector).click()]);
		page = opened;
	},

	press: (key) => page.keyboard.press(key),
	write: (text) => page.keyboard.type(text),
	focus: () => page.evaluate(describeFocus),
	downloadByKey: (key, file) => download(file,
		() => page.keyboard.press(key)),
	// Press the key until the focus is on what matches, at most so often;
	// all that had it, in order, null for the document itself.
	async step(key, selector, most) {
		const stops = [];
		while (stops.length < most) {
			await page.keyboard.press(key);
			stops.push(await page.evaluate(describeFocus));
			if (await page.evaluate((wanted) => document
				.activeElement.matches(wanted), selector))
				return stops;
		}
		throw new Error(`${most} times ${key} do not lead to ` +
			`${selector}: ${JSON.stringify(stops)}`);
	},

	// What the page has shown of a job, as [state, part], in order.
	rows: (job) => page.evaluate((id) => (window.seenByTest.rows[id] ?? [])
		.map((text) => JSON.parse(text)), job),
	requests: () => requests,
	// Errors that nobody expected, since the last time.
	faults: async () => [...faults.splice(0), ...await page.evaluate(
		() => window.seenByTest.refused.splice(0))],

	// What a screen reader is told.
	aria: () => page.locator('body').ariaSnapshot(),
	pale: () => page.evaluate(findPaleText),
	async axe() {
		await page.evaluate(await readFile(axeFile, 'utf8'));
		const { violations } = await page.evaluate(() => window.axe.run(
			document, { resultTypes: ['violations'] }));
		return violations.map(({ id, impact, help, nodes }) =>
			`${id} (${impact}): ${help}: ` + nodes.slice(0, 5).map(
				(node) => node.html.slice(0, 200)).join(' '));
	},
};

async function answer(line) {
	const [verb, ...rest] = JSON.parse(line);
	try {
		return { value: await VERBS[verb](...rest) ?? null };
	} catch (error) {
		return { error: `${verb} ${rest[0] ?? ''}: ${error.message}` };
	}
}

try {
	for await (const line of createInterface({ input: process.stdin }))
		console.log(JSON.stringify(await answer(line)));
} finally {
	await browser.close();
	proxy.close();
}
