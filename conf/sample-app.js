// A Node.js process to try podprof on: it holds a heap worth looking at, burns
// some CPU and allocates in functions whose names a profile must show, leaks a
// little, and answers HTTP.
//
//	node --inspect=127.0.0.1:9229 sample-app.js [--port N] [--heap-mb N]
//
// --port N     the loopback port to serve on; 0, the default, takes a free one
// --heap-mb N  about how much heap to fill, 1 to 4000; default 20.  A snapshot
//              file is about half of it.  Over 1500 give Node
//              --max-old-space-size.
//
// Prints "listening on http://127.0.0.1:PORT" once it serves.  GET /stall
// tells the longest time since the last such request that the event loop
// stood still, as {"longestStallMs":N}; everything else gets a greeting.
'use strict';

const http = require('http');
const v8 = require('v8');

function fail(message) {
	console.error(`sample-app: ${message}`);
	process.exit(2);
}

function readNumber(name, text, min, max) {
	if (text === undefined || !/^[0-9]{1,9}$/.test(text))
		fail(`${name} wants a number from ${min} to ${max}`);
	const value = Number(text);
	if (value < min || value > max)
		fail(`${name} ${value}: from ${min} to ${max} is allowed`);
	return value;
}

function readOptions(args) {
	const options = { port: 0, heapMb: 20 };
	for (let i = 0; i < args.length; i += 2) {
		if (args[i] === '--port')
			options.port = readNumber('--port', args[i + 1],
				0, 65535);
		else if (args[i] === '--heap-mb')
			options.heapMb = readNumber('--heap-mb', args[i + 1],
				1, 4000);
		else
			fail(`${args[i]}: there are only --port and --heap-mb`);
	}
	return options;
}

// What a shop's server might hold: nested objects, Maps and Sets, closures,
// cycles, and text in several scripts, also beyond U+FFFF.
const CITIES = ['Zürich', 'Łódź', 'Санкт-Петербург', '東京', 'القاهرة', 'Αθήνα'];
const NOTES = ['naïve café', 'по требованию', '配達済み', '😀 спасибо 🚚', '𝔘𝔫𝔦'];

class Customer {
	constructor(number) {
		this.number = number;
		this.name = `Клиент №${number}`;
		this.address = {
			city: CITIES[number % CITIES.length],
			lines: [`${number} Main St`, `Floor ${number % 40}`],
			position: { x: number / 1000, y: -number / 700 },
		};
		this.orders = new Map();
	}
}

class Order {
	constructor(number, customer) {
		this.number = number;
		this.customer = customer;
		this.note = `${NOTES[number % NOTES.length]} ${number}`;
		this.tags = new Set([`tag-${number % 97}`]);
		this.tags.add(customer.address.city);
		this.items = [];
		for (let i = 0; i <= number % 4; i++)
			this.items.push({ name: `A-${number}-${i}`, price: i });
		// A closure that keeps its order alive.
		this.describe = () => `${this.number}: ${this.note}`;
		customer.orders.set(number, this);
	}
}

function usedHeap() {
	return v8.getHeapStatistics().used_heap_size;
}

function fillHeap(shop, heapMb) {
	const wanted = usedHeap() + heapMb * 1024 * 1024;
	let number = 0;
	while (usedHeap() < wanted) {
		for (let i = 0; i < 500; i++) {
			const customer = new Customer(number);
			shop.customers.set(`customer/${number}`, customer);
			for (let j = 0; j < 3; j++)
				new Order(number * 3 + j, customer);
			number++;
		}
	}
}

function hotLoopOfSample(untilMs) {
	let sum = 0;
	while (performance.now() < untilMs) {
		for (let i = 1; i < 2000; i++)
			sum += Math.sqrt(i) / (1 + (sum % 3));
	}
	return sum;
}

function sortOrdersOfSample(shop) {
	const numbers = [];
	for (const customer of shop.customers.values()) {
		numbers.push(customer.number * 7919 % 10007);
		if (numbers.length === 5000)
			break;
	}
	return numbers.sort((a, b) => a - b)[0];
}

// The last ones are alive, so that a profile of what is alive shows them, too.
function allocateRowsOfSample(shop) {
	const rows = [];
	for (let i = 0; i < 64; i++)
		rows.push(new Array(1000).fill(i));
	shop.rows = [...shop.rows.slice(-1), rows];
}

// A leak, but no endless one: what grew between two snapshots is this class.
class ForgottenCart {
	constructor(number) {
		this.number = number;
		this.openedAt = Date.now();
		this.customer = null;
		this.prices = this.discounts = this.taxes = this.weights = 0;
		this.street = this.city = this.country = this.phone = '';
	}
}

const FORGOTTEN_MAX = 50000;

function forgetCartsOfSample(shop) {
	for (let i = 0; i < 20 && shop.carts.length < FORGOTTEN_MAX; i++)
		shop.carts.push(new ForgottenCart(shop.carts.length));
}

function burnCpu(shop) {
	shop.sink = hotLoopOfSample(performance.now() + 15);
	shop.sink += sortOrdersOfSample(shop);
	// By a call of V8's: what is built into its caller has no name of its
	// own in a heap profile.
	Array.from([shop], allocateRowsOfSample);
	forgetCartsOfSample(shop);
}

// A timer that comes late tells how long the event loop stood still.
function watchStalls() {
	const everyMs = 5;
	const watch = { longestMs: 0 };
	let last = performance.now();
	setInterval(() => {
		const now = performance.now();
		watch.longestMs = Math.max(watch.longestMs,
			now - last - everyMs);
		last = now;
	}, everyMs);
	return watch;
}

function answer(request, response, shop, stalls) {
	if (request.url === '/stall') {
		const longestStallMs = Math.round(stalls.longestMs);
		stalls.longestMs = 0;
		response.setHeader('Content-Type', 'application/json');
		response.end(JSON.stringify({ longestStallMs }) + '\n');
		return;
	}
	response.setHeader('Content-Type', 'text/plain; charset=utf-8');
	response.end(`${shop.customers.size} customers, ${NOTES[3]}\n`);
}

function main() {
	const options = readOptions(process.argv.slice(2));
	const shop = { customers: new Map(), rows: [], carts: [], sink: 0 };

	fillHeap(shop, options.heapMb);
	setInterval(burnCpu, 100, shop);
	const stalls = watchStalls();
	const server = http.createServer((request, response) => {
		answer(request, response, shop, stalls);
	});
	server.on('error', (error) => fail(error.message));
	server.listen(options.port, '127.0.0.1', () => {
		const { port } = server.address();
		console.log(`listening on http://127.0.0.1:${port}`);
	});
	// As PID 1 of a container it would not be ended by them otherwise.
	for (const signal of ['SIGTERM', 'SIGINT'])
		process.on(signal, () => process.exit(0));
}

main();
