// The page of one app: asks podprof as any client does, and shows what it
// answers.  Whatever comes from there is only ever text.  No address is
// written here in full: all are below the one that the page was loaded from,
// so it works behind any prefix that a proxy adds.

const BASE = new URL('.', location.href);
const APP = decodeURIComponent(
	BASE.pathname.split('/').slice(-4, -3)[0] ?? '');

const WAIT_S = 25;			// of a long poll: the longest allowed
const WAIT_BRIEF_S = 1;			// where the next phase is due soon
const WATCHED_MAX = 3;			// of the 6 connections that a browser has
const POLL_PAUSE_MS = 50;		// between two answers about one job
const REFRESH_MS = 10000;		// of the list, for what others begin
const REFRESH_BUSY_MS = 2000;		// while some running jobs have no poll
const RETRY_MAX_MS = 15000;
// Between looks that tell nothing: first while podprof still shares an answer
// that came too late for the one before.
const LOOK_AGAIN_MS = [900, 2000, 4000];
const ORDER_FOR_MS = 120000;		// so long an order is sent again
const TICK_MS = 500;
const PAGE_JOBS = 50;
const PROFILE_MAX = 64 << 20;
const CLASSES_ASKED = 1000;
const LINES_SHOWN = 25;			// of a long table, and
const LINES_MORE = 200;			// so many more by its button
const TOKEN_KEY = 'podprof-token';

const KINDS = {
	'heap-snapshot': 'heap snapshot',
	'cpu-profile': 'CPU profile',
	'heap-profile': 'heap profile',
};
const PHASES = {
	preflight: 'finding the app',
	draining: 'the app is shown as not ready',
	starting: 'V8 collects garbage',
	profiling: 'profiling',
	writing: 'the file arrives',
	finishing: 'the file goes to the disk',
};
const FINAL = ['succeeded', 'failed', 'canceled'];

const $ = (id) => document.getElementById(id);

// --- words -------------------------------------------------------------------

function showBytes(bytes) {
	if (bytes === null || bytes === undefined)
		return 'not known';
	const power = Math.min(3, Math.max(0, Math.floor(
		Math.log2(Math.max(Math.abs(bytes), 1)) / 10)));
	const value = bytes / 1024 ** power;
	return `${value.toLocaleString('en', { maximumFractionDigits:
		power === 0 || Math.abs(value) >= 100 ? 0 : 1 })} ` +
		['bytes', 'KiB', 'MiB', 'GiB'][power];
}

function showMs(ms) {
	if (ms === null || ms === undefined)
		return 'not known';
	if (ms < 1000)
		return `${Math.round(ms)} ms`;
	if (ms < 60000)
		return `${(ms / 1000).toFixed(1)} s`;
	return `${Math.floor(ms / 60000)} min ` +
		`${Math.round(ms % 60000 / 1000)} s`;
}

const upper = (text) => text[0].toUpperCase() + text.slice(1);

const showCount = (n) => n.toLocaleString('en');
const showGrowth = (n, show) => `${n > 0 ? '+' : n < 0 ? '−' : ''}` +
	show(Math.abs(n));

function two(n) {
	return String(n).padStart(2, '0');
}

// Local time; the day only if it is not today.
function showTime(iso) {
	const at = new Date(iso);
	const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-` +
		two(at.getDate());
	const time = `${two(at.getHours())}:${two(at.getMinutes())}:` +
		two(at.getSeconds());
	return at.toDateString() === new Date().toDateString() ? time :
		`${day} ${time}`;
}

function makeTime(iso) {
	if (iso === null)
		return 'not yet';
	const time = make('time', { title: iso }, showTime(iso));
	time.dateTime = iso;
	return time;
}

// An element; props are attributes, but for on: its listeners.
function make(tag, { on = {}, ...props } = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(props))
		if (value === true)
			element.setAttribute(name, '');
		else if (value !== false && value !== null)
			element.setAttribute(name, value);
	for (const [type, listener] of Object.entries(on))
		element.addEventListener(type, listener);
	element.append(...children);
	return element;
}

// Said aloud by screen readers; an element is only touched if it changes.
function setText(element, text) {
	if (element.textContent !== text)
		element.textContent = text;
}

function say(text, isError = false) {
	setText($('message'), text);
	$('message').classList.toggle('error', isError);
	$('message-close').hidden = text === '';
}

const complain = (text) => say(text, true);

function showQuestion(title, text, yes, no) {
	const dialog = $('confirm');
	setText($('confirm-title'), title);
	setText($('confirm-text'), text);
	setText($('confirm-yes'), yes);
	setText($('confirm-no'), no);
	dialog.returnValue = '';
	dialog.showModal();
	$('confirm-no').focus();
	return new Promise((resolve) => dialog.addEventListener('close',
		() => resolve(dialog.returnValue === 'yes'), { once: true }));
}

let asked = Promise.resolve();

// The question of a dialog; true for yes.  A dialog that is closed tells so some
// time later: what is asked meanwhile must not take that for its own answer.
function ask(...words) {
	if ($('confirm').open)
		return Promise.resolve(false);
	asked = asked.then(() => showQuestion(...words));
	return asked;
}

function goTo(heading) {
	heading.focus({ preventScroll: true });
	heading.scrollIntoView({ block: 'start' });
}

// Again, once there is enough below it; whoever went on is left alone.
function goBackTo(heading) {
	if (document.activeElement === heading)
		goTo(heading);
}

const sleep = (ms, signal) => new Promise((resolve, reject) => {
	signal?.throwIfAborted();
	const leave = () => {
		clearTimeout(timer);
		reject(signal.reason);
	};
	const timer = setTimeout(() => {
		signal?.removeEventListener('abort', leave);
		resolve();
	}, ms);
	signal?.addEventListener('abort', leave, { once: true });
});

// --- asking ------------------------------------------------------------------

// Nobody answered.
class Lost extends Error {}
// The token form is up; whoever asked has to begin anew.
class NoToken extends Error {}

let token = null;
let role = null;
let hasShown = false;		// something that a token was needed for
let serverAheadMs = -Infinity;	// the service's clock before ours

function keepToken(value) {
	token = value;
	role = null;
	$('forget').hidden = value === null;
	try {
		if (value === null)
			sessionStorage.removeItem(TOKEN_KEY);
		else
			sessionStorage.setItem(TOKEN_KEY, value);
	} catch {
		// A browser that keeps nothing: until the page is left, then.
	}
}

function recallToken() {
	try {
		return sessionStorage.getItem(TOKEN_KEY);
	} catch {
		return null;
	}
}

// Date is cut to the second, so the largest difference is nearest the truth.
function learnTime(response) {
	const at = Date.parse(response.headers.get('Date') ?? '');
	if (!Number.isNaN(at))
		serverAheadMs = Math.max(serverAheadMs, at - Date.now());
}

const serverNow = () => Date.now() +
	(serverAheadMs === -Infinity ? 0 : serverAheadMs);

async function send(path, { method = 'GET', body, headers = {}, signal }) {
	const sent = { ...headers };
	if (token !== null)
		sent.Authorization = `Bearer ${token}`;
	if (body !== undefined)
		sent['Content-Type'] = 'application/json';
	try {
		return await fetch(new URL(path, BASE), {
			method, headers: sent, signal, cache: 'no-store',
			body: body === undefined ? undefined :
				JSON.stringify(body),
		});
	} catch (fault) {
		if (signal?.aborted)
			throw fault;
		throw new Lost('There is no connection to podprof; what runs ' +
			'there goes on.');
	}
}

// What an answer that is no success says, for people.
function explain(status, problem) {
	if (problem?.detail)
		return `${problem.title}: ${problem.detail}.`;
	if (status === 502 || status === 503 || status === 504)
		return `The web server answers, but podprof behind it does not ` +
			`(status ${status}). Is the service podprof running?`;
	return `The web server, or a proxy before it, answered this itself, with ` +
		`the status ${status}; podprof was not asked.`;
}

async function readJson(response) {
	const type = response.headers.get('Content-Type') ?? '';
	try {
		return /json/.test(type) ? await response.json() : null;
	} catch {
		// It broke off.
		throw new Lost('The answer of podprof broke off.');
	}
}

/*
 * Asks podprof: { ok, status, data, words, retryMs, headers }.  data is the JSON
 * of the answer, words is why it is no success, retryMs when to come again (0
 * if that was not told).  Throws Lost, NoToken, or the signal's reason.
 */
async function call(path, options = {}) {
	const usedToken = token;
	const response = await send(path, options);
	learnTime(response);
	const data = await readJson(response);
	if (response.status === 401) {
		// Somebody else's question may have led to a new one already.
		if (usedToken === token)
			askToken(data);
		throw new NoToken();
	}
	// A proxy's page, to log in or the like, is no answer of podprof's.
	const ok = response.ok && (data !== null || response.status === 204);
	return {
		ok, status: response.status, data,
		words: ok ? '' : explain(response.status, data),
		retryMs: 1000 * (parseInt(
			response.headers.get('Retry-After'), 10) || 0),
		headers: response.headers,
	};
}

// For what a person asked for: faults are told, and null is the answer.
async function callOrTell(path, options) {
	try {
		const reply = await call(path, options);
		if (reply.ok)
			return reply;
		complain(reply.retryMs > 0 ? `${reply.words} Try again in ` +
			`${reply.retryMs / 1000} s.` : reply.words);
		if (reply.status === 403 && reply.data?.type?.endsWith(
			':forbidden'))
			learnRole('viewer');
		return reply;
	} catch (fault) {
		if (fault instanceof Lost)
			complain(`${fault.message} Nothing was done; try again.`);
		else if (!(fault instanceof NoToken))
			throw fault;
		return null;
	}
}

// --- the token ---------------------------------------------------------------

function askToken(problem) {
	stopAll();
	lookControl?.abort();
	const wasThere = token !== null;
	keepToken(null);
	$('confirm').close();
	$('token-section').hidden = false;
	// What is shown already stays, for who comes back in a moment.
	$('content').inert = true;
	$('content').hidden = !hasShown;
	setText($('token-why'), wasThere ?
		'The token is not valid (any more). Enter another one.' :
		'podprof answers those who have a token.');
	if (wasThere)
		complain(explain(401, problem));
	$('token').focus();
}

function useToken(event) {
	event.preventDefault();
	const value = $('token').value.trim().replace(/^Bearer\s+/i, '');
	if (!/^[\x21-\x7e]+$/.test(value)) {
		complain('That is no token: it has blanks or letters that no ' +
			'token has. One begins with podprof_.');
		return;
	}
	$('token').value = '';
	$('token-section').hidden = true;
	$('content').inert = false;
	$('content').hidden = false;
	keepToken(value);
	say('');
	$('target-title').focus();
	start();
}

function forgetToken() {
	stopAll();
	keepToken(null);
	// Nothing of what it had shown stays.
	location.reload();
}

// What needs the role operator is not offered to others.
function learnRole(value) {
	if (value === null || value === role)
		return;
	role = value;
	$('role-note').hidden = role !== 'viewer';
	for (const button of document.querySelectorAll('.captures button'))
		needOperator(button);
	for (const row of rows.values())
		row.update(row.job);
}

function needOperator(button) {
	button.disabled = role === 'viewer';
	if (role === 'viewer')
		button.setAttribute('aria-describedby', 'role-note');
}

// --- the connection ----------------------------------------------------------

let failures = 0;

function isConnected() {
	if (failures > 0)
		setText($('connection'), '');
	failures = 0;
}

// Returns when to try again.
function isDisconnected(words, retryMs = 0) {
	const ms = Math.max(retryMs, Math.min(RETRY_MAX_MS,
		1000 * 2 ** Math.min(failures, 4)));
	failures++;
	setText($('connection'), `${words} This page goes on trying.`);
	return ms;
}

// --- the app -----------------------------------------------------------------

let mainCost = '';

function describeInspector({ address, reachable, activated }) {
	if (!reachable)
		return `${address}: not reachable`;
	return `${address}: reachable` +
		(activated ? ', opened by podprof' : '');
}

// Used against the limit; without a limit there is nothing to measure by.
function showMemory({ rssBytes, limitBytes, availableBytes }) {
	const meter = $('target-meter');
	const hasLimit = limitBytes !== null && availableBytes !== null;
	meter.hidden = !hasLimit;
	let words = rssBytes === null ? 'not known' :
		`process ${showBytes(rssBytes)}`;
	if (hasLimit) {
		meter.max = limitBytes;
		meter.high = 0.8 * limitBytes;
		meter.optimum = 0;
		meter.value = Math.max(0, limitBytes - availableBytes);
		words += `; ${showBytes(availableBytes)} left below the limit ` +
			`of ${showBytes(limitBytes)}`;
	} else if (availableBytes !== null) {
		words += `; ${showBytes(availableBytes)} available, no limit`;
	}
	setText($('target-memory'), words);
}

function showMethods({ methods }) {
	const items = (methods ?? []).map(({ method, usable, reason }) =>
		make('li', { class: usable ? 'usable' : 'not-usable' },
			make('strong', {}, method), usable ? ': works' :
				`: does not work: ${reason ?? 'unknown why'}`));
	if (items.length === 0)
		items.push(make('li', {}, 'Not known.'));
	$('target-methods').replaceChildren(...items);
}

function showPredicted({ predicted, methods }) {
	const { freezeMs, fileBytes, peakBytes } = predicted ?? {};
	const best = (methods ?? []).find(({ usable }) => usable)?.method;
	const isKnown = typeof freezeMs === 'number';
	const about = (words) => isKnown ? `about ${words}` : 'not known';
	setText($('target-method'), best === undefined ? 'not known' :
		`method ${best}, unless the configuration has another`);
	setText($('target-freeze'), about(showMs(freezeMs)));
	setText($('target-file'), about(showBytes(fileBytes)));
	setText($('target-peak'), about(showBytes(peakBytes)));
	mainCost = isKnown ? 'With the best method the app stands still for ' +
		`about ${showMs(freezeMs)}.` :
		'For how long the app would stand still is not known.';
}

// A worker's heap can be had by stream alone.
function showCost() {
	const isWorker = $('worker').value !== '';
	for (const option of $('method').options)
		option.disabled = isWorker &&
			(option.value === 'fork' || option.value === 'direct');
	if ($('method').selectedOptions[0]?.disabled)
		$('method').value = 'auto';
	setText($('snapshot-cost'), isWorker ? 'Of a worker it is taken by ' +
		'stream: that thread alone stands still meanwhile.' : mainCost);
}

function showWorkers({ workers }) {
	setText($('target-workers'), workers === null ? 'not known' :
		workers.length === 0 ? 'none' : workers.map(({ id, title }) =>
			title || id).join(', '));
	// Whoever has chosen one has it still if nothing is known just now.
	if (workers === null)
		return;
	const select = $('worker');
	const chosen = select.value;
	select.replaceChildren(make('option', { value: '' }, 'main thread'),
		...workers.map(({ id, title }) =>
			make('option', { value: id }, title || `worker ${id}`)));
	if (workers.some(({ id }) => id === chosen))
		select.value = chosen;
}

function showTarget(data) {
	hasShown = true;
	const { inspector, node, pid, memory } = data;
	setText($('pod-name'), `on ${data.pod}`);
	setText($('target-node'), node ?? 'not known');
	setText($('target-pid'), pid === null ? 'not known' : String(pid));
	setText($('target-inspector'), describeInspector(inspector));
	setText($('target-heap'), showBytes(memory.heapUsedBytes));
	showMemory(memory);
	showMethods(data);
	showPredicted(data);
	showWorkers(data);
	showCost();
	setText($('target-note'), inspector.reachable ?
		`As of ${showTime(new Date().toISOString())}.` :
		'The inspector of the app does not answer, so little is known. ' +
		'Either the app does not run, or it is stopped or too busy, or ' +
		'it runs without --inspect; then podprof opens the inspector ' +
		'for a capture, where the configuration says so (activate).');
}

let lookControl = null;

async function askTarget(signal) {
	const section = $('target');
	section.setAttribute('aria-busy', 'true');
	try {
		return await call('target', { signal });
	} finally {
		if (!signal.aborted)
			section.setAttribute('aria-busy', 'false');
	}
}

/*
 * podprof answers in time even if the app does not: such an answer tells
 * nothing, and what the app says a moment later is there for who asks again.
 */
async function lookUntilKnown(signal) {
	let shown = '';
	for (const ms of [0, ...LOOK_AGAIN_MS]) {
		await sleep(ms, signal);
		const { ok, data, words, headers } = await askTarget(signal);
		if (!ok) {
			setText($('target-note'), words);
			return;
		}
		// What is no news is not written again under who reads it.
		const text = JSON.stringify(data);
		if (text !== shown)
			showTarget(data);
		shown = text;
		learnRole(headers.get('X-Podprof-Role'));
		if (data.node !== null || data.pid !== null)
			return;
	}
}

// Whoever looks anew begins anew.
async function look() {
	lookControl?.abort();
	lookControl = new AbortController();
	const { signal } = lookControl;
	try {
		await lookUntilKnown(signal);
	} catch (fault) {
		if (signal.aborted || fault instanceof NoToken)
			return;
		if (!(fault instanceof Lost))
			throw fault;
		setText($('target-note'), fault.message);
	}
}

// --- a job, as a row of the table --------------------------------------------

const rows = new Map();

const isFinal = (job) => FINAL.includes(job.state);
const isSnapshot = (job) => job.kind === 'heap-snapshot';
const hasFile = (job) => job.links.artifact !== null;
const kindOf = (job) => KINDS[job.kind] ?? job.kind;
const freezes = (job) => job.method === 'direct' || job.method === 'stream';

function nameOf(job) {
	return `${kindOf(job)} of ${showTime(job.createdAt)}`;
}

function makeRow() {
	return make('tr', { role: 'row' });
}

function makeCell(label, ...children) {
	return make('td', { role: 'cell', 'data-label': label }, ...children);
}

/*
 * How far a running job is, and in words; part null: nobody knows.  goneMs: how
 * long its phase has lasted.
 */
function progressOf(job, goneMs) {
	const { done, total, bytes, estimated } = job.progress;
	const came = bytes > 0 ? showBytes(bytes) : '';
	if (job.state === 'queued')
		return { part: null, words: '' };
	if (!isSnapshot(job)) {
		const wholeMs = job.options.durationMs;
		if (job.phase === 'writing' || job.phase === 'finishing')
			return { part: 1, words: came };
		if (job.phase !== 'profiling' || !(wholeMs > 0))
			return { part: null, words: '' };
		const ms = Math.min(Math.max(goneMs, 0), wholeMs);
		return { part: ms / wholeMs, words:
			`${Math.floor(ms / 1000)} of ${wholeMs / 1000} s` };
	}
	if (job.phase === 'finishing')
		return { part: 1, words: came };
	if (done === null || !(total > 0))
		return { part: null, words: came };
	const part = Math.min(done / total, 1);
	const percent = `${Math.floor(100 * part)} %`;
	if (estimated)
		return { part, words: part >= 1 ?
			`${came}, more than was expected` :
			`${came}, about ${percent}` };
	return { part, words: came === '' ? percent : `${percent}, ${came}` };
}

class Row {
	constructor(job) {
		this.since = performance.now();
		this.part = 0;
		this.phase = null;
		this.phaseSince = 0;
		this.seenAt = -Infinity;
		this.isLate = false;
		this.frozenSince = null;
		this.isOpen = false;
		this.title = make('strong', {});
		this.about = make('span', { class: 'quiet' });
		this.badge = make('span', { class: 'badge' });
		this.bar = make('progress', { max: 1 });
		this.words = make('span', { class: 'words' });
		this.error = make('p', { class: 'error' });
		this.file = make('span', {});
		this.freeze = make('span', {});
		this.makeButtons(job);
		this.main = make('tr', { role: 'row', 'data-job': job.id },
			make('th', { role: 'rowheader', scope: 'row' },
				this.title, make('br'), this.about),
			makeCell('State', this.badge, ' ', this.bar, ' ',
				this.words, this.error),
			makeCell('File', this.file),
			makeCell('App stood still', this.freeze),
			make('td', { role: 'cell' }, make('div', { class: 'buttons' },
				...Object.values(this.buttons))));
		this.details = make('td', { role: 'cell', colspan: 5 });
		this.more = make('tr', { role: 'row', class: 'details',
			id: `details-${job.id}`, hidden: true }, this.details);
		this.update(job);
	}

	makeButtons(job) {
		const button = (action, text, run) => make('button', {
			type: 'button', 'data-action': action,
			on: { click: () => run(this) },
		}, text, make('span', { class: 'aloud' }, `, ${nameOf(job)}`));
		this.buttons = {
			download: button('download', 'Download', download),
			open: button('open', 'Flame graph', openProfile),
			summary: button('summary', 'Summary', openSummary),
			force: button('force', 'Take it all the same', takeAllTheSame),
			cancel: button('cancel', 'Cancel', cancelJob),
			delete: button('delete', 'Delete', deleteJob),
			details: button('details', 'Details', (row) => row.toggle()),
		};
		this.buttons.details.setAttribute('aria-expanded', 'false');
		this.buttons.details.setAttribute('aria-controls',
			`details-${job.id}`);
	}

	update(job) {
		this.job = job;
		this.seePhase();
		const title = upper(kindOf(job));
		setText(this.title, job.options.worker === undefined ? title :
			`${title}, worker ${job.options.worker}`);
		setText(this.about, showTime(job.createdAt) +
			(job.requestedBy === null ? '' : ` by ${job.requestedBy}`));
		this.main.dataset.state = job.state;
		setText(this.badge, job.state);
		this.updateFile();
		setText(this.error, job.error === null ? '' :
			`${job.error.title}: ${job.error.detail}`);
		this.error.hidden = job.error === null;
		this.updateButtons();
		this.tick();
		if (this.isOpen)
			this.showDetails();
	}

	updateFile() {
		const { job } = this;
		if (hasFile(job))
			setText(this.file, showBytes(job.artifact.size));
		else if (job.state === 'succeeded')
			setText(this.file, job.artifact.deliveredAt === null ?
				'removed' : 'delivered, removed');
		else
			setText(this.file, isFinal(job) ? 'none' : 'not yet');
	}

	// A new phase has just begun, but where nobody looked for long: before
	// the row was there, or while the page was hidden.
	seePhase() {
		const now = performance.now();
		if (this.phase !== this.job.phase) {
			this.isLate = now - this.seenAt > REFRESH_MS;
			this.phaseSince = now;
		}
		this.phase = this.job.phase;
		this.seenAt = now;
	}

	// How long the phase has lasted; where nobody saw it begin, at most as
	// long as the job, which has to find the app first.
	goneMs() {
		const seenMs = performance.now() - this.phaseSince;
		return this.isLate ? Math.max(seenMs,
			serverNow() - Date.parse(this.job.startedAt)) : seenMs;
	}

	// What moves by itself.
	tick() {
		const { job } = this;
		this.bar.hidden = isFinal(job);
		if (isFinal(job)) {
			this.bar.removeAttribute('aria-label');
			setText(this.words, '');
		} else {
			this.bar.setAttribute('aria-label',
				`Progress of ${nameOf(job)}`);
			const { part, words } = progressOf(job,
				this.goneMs());
			// Never back, whatever the clocks say.
			this.part = Math.max(this.part, part ?? 0);
			if (part === null)
				this.bar.removeAttribute('value');
			else
				this.bar.value = this.part;
			this.bar.classList.toggle('estimated',
				job.progress.estimated);
			setText(this.words, [PHASES[job.phase], words].filter(
				Boolean).join(': '));
		}
		setText(this.freeze, this.freezeWords());
	}

	freezeWords() {
		const { job } = this;
		const isFrozen = !isFinal(job) && freezes(job) &&
			isSnapshot(job) && job.freezeMs === null &&
			(job.phase === 'starting' || job.phase === 'writing');
		const whose = job.options.worker ? ', this worker alone' : '';
		this.frozenSince = !isFrozen ? null :
			this.frozenSince ?? Date.now();
		if (isFrozen)
			return `${showMs(Date.now() - this.frozenSince)} and ` +
				`going on${whose}`;
		if (job.freezeMs !== null)
			return showMs(job.freezeMs) + whose;
		if (job.kind === 'cpu-profile')
			return 'no';
		return isFinal(job) ? 'not known' : 'not yet';
	}

	updateButtons() {
		const { job, buttons } = this;
		const isReady = hasFile(job);
		const shown = {
			download: isReady,
			open: isReady && !isSnapshot(job),
			summary: isReady && isSnapshot(job),
			force: job.error !== null && isGuard(job.error) &&
				isSnapshot(job) && job.options.force !== true,
			cancel: !isFinal(job),
			delete: isFinal(job),
			details: true,
		};
		const hadFocus = this.main.contains(document.activeElement);
		for (const [action, button] of Object.entries(buttons)) {
			button.hidden = !shown[action];
			if (action !== 'details')
				needOperator(button);
		}
		// Whoever was on one that went is not sent to the top.
		if (hadFocus && document.activeElement?.hidden)
			Object.values(buttons).find((button) =>
				!button.hidden && !button.disabled)?.focus();
	}

	toggle() {
		this.isOpen = !this.isOpen;
		this.more.hidden = !this.isOpen;
		this.buttons.details.setAttribute('aria-expanded',
			String(this.isOpen));
		if (this.isOpen)
			this.showDetails();
	}

	showDetails() {
		const { job } = this;
		const facts = [
			['Id', make('code', {}, job.id), 'wide'],
			...(isSnapshot(job) ? [['Method', job.method]] : []),
			['Ordered', makeTime(job.createdAt)],
			['Begun', makeTime(job.startedAt)],
			['Ended', makeTime(job.finishedAt)],
			['Node.js', `${job.target.node ?? 'not known'}, pid ` +
				`${job.target.pid ?? 'not known'}`],
			...describeOptions(job.options),
			...describeFile(job),
		];
		this.details.replaceChildren(
			make('dl', { class: 'facts' }, ...facts.map(
				([name, value, width = null]) =>
					make('div', { class: width },
						make('dt', {}, name),
						make('dd', {}, value)))),
			...describeAttempts(job), ...describePrediction(job));
	}

	remove() {
		const focus = this.main.contains(document.activeElement) ||
			this.more.contains(document.activeElement);
		const next = this.more.nextElementSibling ??
			this.main.previousElementSibling?.previousElementSibling;
		this.main.remove();
		this.more.remove();
		if (focus)
			(next?.querySelector('button:not([hidden], :disabled)') ??
				$('jobs-title')).focus();
	}
}

const OPTIONS = {
	durationMs: ['Duration', showMs],
	intervalUs: ['Between samples', (us) => `${showCount(us)} µs`],
	samplingBytes: ['Between samples', showBytes],
	live: ['Only what is alive at the end', () => 'yes'],
	force: ['Memory guard', () => 'overridden (force)'],
	method: ['Method asked for', String],
	worker: ['Worker thread', String],
};

function describeOptions(options) {
	return Object.entries(options).filter(([name]) => name in OPTIONS).map(
		([name, value]) => [OPTIONS[name][0], OPTIONS[name][1](value)]);
}

function describeFile(job) {
	const { name, size, storedSize, sha256, deliveredAt } = job.artifact;
	const delivered = deliveredAt === null ? [] :
		[['Delivered', makeTime(deliveredAt)]];
	if (!hasFile(job))
		return delivered;
	const command = make('span', {}, make('code', {},
		`podprof get ${job.id} --url ${BASE.href}`),
	token === null ? '' : ' (with the token in PODPROF_TOKEN)');
	return [
		['Size', `${showBytes(size)} (stored: ` +
			`${showBytes(storedSize)})`],
		...delivered,
		['Kept until', makeTime(job.expiresAt)],
		...(job.objectIds === 'snapshot' ? [['Object ids',
			'of this snapshot alone: in DevTools do not compare ' +
			'single objects of it with another']] : []),
		['File', name, 'wide'],
		['SHA-256', make('code', {}, sha256), 'wide'],
		['On the command line', command, 'wide'],
	];
}

function describeAttempts({ attempts, kind }) {
	if (attempts.length === 0 || kind !== 'heap-snapshot')
		return [];
	return [make('h3', {}, 'Methods, in their order'), make('ol', {},
		...attempts.map(({ method, outcome, reason }) => make('li', {},
			make('strong', {}, method), `: ${outcome}` +
				(reason === null ? '' : `: ${reason}`))))];
}

function describePrediction(job) {
	const { predicted, memory } = job;
	if (!isSnapshot(job) || predicted.fileBytes === null)
		return [];
	const line = (name, told, came) => make('tr', {},
		make('th', { scope: 'row' }, name),
		make('td', {}, told), make('td', {}, came));
	return [make('table', { class: 'small' },
		make('caption', {}, 'What was predicted, and what it was'),
		make('thead', {}, make('tr', {}, ...['', 'Predicted', 'In fact'].map(
			(text) => text === '' ? make('td') :
				make('th', { scope: 'col' }, text)))),
		make('tbody', {},
			line('App stood still', showMs(predicted.freezeMs),
				showMs(job.freezeMs)),
			line('File', showBytes(predicted.fileBytes),
				hasFile(job) ? showBytes(job.artifact.size) :
					'not known'),
			line('Memory at its peak', showBytes(predicted.peakBytes),
				showBytes(memory.peakBytes))))];
}

// --- the table of jobs -------------------------------------------------------

let next = null;		// what follows the last row
let pages = 1;
let isRefreshing = false;
let refreshTimer = null;
let tickTimer = null;
const watched = new Map();
const deleted = new Set();	// an answer on its way may have them still

const runningJobs = () => [...rows.values()].map(({ job }) => job).filter(
	(job) => !isFinal(job));

function announceEnd(before, job) {
	if (before === undefined || isFinal(before) || !isFinal(job))
		return;
	const words = { succeeded: 'is done', canceled: 'was canceled',
		failed: `failed: ${job.error?.detail}` };
	say(`The ${nameOf(job)} ${words[job.state]}.`, job.state === 'failed');
	// The app is another one after a heap snapshot.
	if (isSnapshot(job))
		look();
}

// A job as it is now: its row, in its place.  Ids grow with time.
function showJob(job) {
	const row = rows.get(job.id);
	if (row !== undefined) {
		const before = row.job;
		// An answer that was overtaken by another.
		if (isFinal(before) && !isFinal(job))
			return;
		row.update(job);
		announceEnd(before, job);
		return;
	}
	const made = new Row(job);
	const older = [...rows.values()].filter(({ job: { id } }) =>
		id < job.id).sort((a, b) => a.job.id < b.job.id ? 1 : -1)[0];
	const body = $('jobs').tBodies[0];
	body.insertBefore(made.main, older?.main ?? null);
	body.insertBefore(made.more, older?.main ?? null);
	rows.set(job.id, made);
}

function dropJob(id) {
	rows.get(id)?.remove();
	rows.delete(id);
	watched.get(id)?.abort();
	showCounts();
}

function showCounts() {
	const running = runningJobs().length;
	$('jobs-empty').hidden = rows.size > 0;
	$('more').hidden = next === null;
	setText($('jobs-note'), rows.size === 0 ? '' :
		`${rows.size} shown${running > 0 ? `, ${running} running` : ''}`);
}

// A page of the list: what should be among it and is not, is gone; but for what
// was begun since it was asked for.
function showPage({ jobs, next: following }, after, askedAt) {
	const ids = new Set(jobs.map(({ id }) => id));
	const last = following === null ? '' : jobs.at(-1).id;
	for (const [id, { since }] of [...rows])
		if (!ids.has(id) && since < askedAt && id >= last &&
			(after === null || id < after))
			dropJob(id);
	jobs.filter(({ id }) => !deleted.has(id)).forEach(showJob);
	if (after !== null || pages === 1)
		next = following;
	showCounts();
	watchJobs();
}

// The address is of no app.  To ask again is of no use.
function showNobody(words) {
	$('content').hidden = true;
	$('nobody').hidden = false;
	setText($('nobody-why'), words);
	setText($('connection'), '');
	$('nobody-title').focus();
}

function refreshIn(ms) {
	clearTimeout(refreshTimer);
	refreshTimer = setTimeout(refresh, ms);
}

async function refresh() {
	clearTimeout(refreshTimer);
	if (isRefreshing || document.hidden || !$('token-section').hidden ||
		!$('nobody').hidden)
		return;
	isRefreshing = true;
	let ms = REFRESH_MS;
	const askedAt = performance.now();
	try {
		const reply = await call(`jobs?limit=${PAGE_JOBS}`);
		if (reply.ok) {
			isConnected();
			hasShown = true;
			showPage(reply.data, null, askedAt);
			if (runningJobs().length > watched.size)
				ms = REFRESH_BUSY_MS;
		} else if (reply.data?.type?.endsWith(':not-found') && !hasShown) {
			showNobody(reply.words);
			return;
		} else {
			ms = isDisconnected(reply.words, reply.retryMs);
		}
	} catch (fault) {
		if (fault instanceof NoToken)
			return;
		if (!(fault instanceof Lost))
			throw fault;
		ms = isDisconnected(fault.message);
	} finally {
		isRefreshing = false;
	}
	refreshIn(ms);
}

async function showOlder() {
	const after = next;
	const askedAt = performance.now();
	const reply = await callOrTell(
		`jobs?limit=${PAGE_JOBS}&after=${after}`);
	if (!reply?.ok)
		return;
	pages++;
	showPage(reply.data, after, askedAt);
	const first = reply.data.jobs[0];
	if (first !== undefined)
		rows.get(first.id)?.buttons.details.focus();
}

// What changes between two polls shows in the second one's answer only, which
// must not come after the phase that it tells of.
function waitOf({ phase }) {
	return phase === 'profiling' || phase === 'writing' ? WAIT_S :
		WAIT_BRIEF_S;
}

// One job, from one change to the next, until it is over.
async function watchJob(id, signal) {
	while (rows.has(id) && !isFinal(rows.get(id).job)) {
		const reply = await call(`jobs/${id}`, { signal, headers: {
			Prefer: `wait=${waitOf(rows.get(id).job)}` } });
		let ms = POLL_PAUSE_MS;
		if (reply.ok) {
			isConnected();
			showJob(reply.data);
		} else if (reply.status === 404) {
			dropJob(id);
			return;
		} else {
			ms = isDisconnected(reply.words, reply.retryMs);
		}
		await sleep(ms, signal);
	}
}

function watchJobs() {
	const isWanted = !document.hidden && $('token-section').hidden;
	for (const { id } of isWanted ? runningJobs() : []) {
		if (watched.size >= WATCHED_MAX || failures > 0)
			break;
		if (watched.has(id))
			continue;
		const control = new AbortController();
		watched.set(id, control);
		watchJob(id, control.signal).catch((fault) => {
			if (control.signal.aborted || fault instanceof NoToken)
				return;
			if (!(fault instanceof Lost))
				throw fault;
			// All that wait learn it in the same moment.
			if (failures === 0)
				refreshIn(isDisconnected(fault.message));
		}).finally(() => {
			watched.delete(id);
			showCounts();
			watchJobs();
		});
	}
	tickJobs();
}

// While something runs, its row moves.
function tickJobs() {
	clearTimeout(tickTimer);
	const running = runningJobs();
	for (const { id } of running)
		rows.get(id).tick();
	if (running.length > 0 && !document.hidden)
		tickTimer = setTimeout(tickJobs, TICK_MS);
}

function stopAll() {
	clearTimeout(refreshTimer);
	clearTimeout(tickTimer);
	for (const control of watched.values())
		control.abort();
}

// --- capturing ---------------------------------------------------------------

function makeKey() {
	return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) =>
		byte.toString(16).padStart(2, '0')).join('');
}

// Only the memory guard can be overridden; a full disk cannot.
function isGuard({ type, detail }) {
	return type.endsWith(':space') && /memory_guard/.test(detail);
}

// Sent again with the same key where no answer came: it is one order still.
async function order(body) {
	const until = Date.now() + ORDER_FOR_MS;
	const headers = { 'Idempotency-Key': makeKey() };
	for (let ms = 1000; ; ms = Math.min(2 * ms, RETRY_MAX_MS)) {
		try {
			return await call('jobs',
				{ method: 'POST', body, headers });
		} catch (fault) {
			if (!(fault instanceof Lost) || Date.now() > until)
				throw fault;
			complain(`${fault.message} The order is sent again.`);
			await sleep(ms);
		}
	}
}

// The numbers, without how others insist.
function guardWords({ detail }) {
	const words = detail.replace(/^the app might not survive: /, '')
		.replace(/, or insist with .*$/s, '');
	return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

async function confirmForce(problem) {
	complain(`No heap snapshot was taken. ${guardWords(problem)}`);
	return ask('The app might not survive this', `${guardWords(problem)} ` +
		'Taken all the same, the app may be killed for want of memory; ' +
		'with method fork it is only the copy of it that ends.',
	'Take it all the same', 'Do not take it');
}

async function capture(body) {
	const words = KINDS[body.kind];
	try {
		const reply = await order(body);
		if (reply.ok) {
			say(`${upper(words)} begun. It is on top of the jobs.`);
			showJob(reply.data);
			showCounts();
			watchJobs();
		} else if (reply.status === 507 && body.force !== true &&
			isGuard(reply.data) && isSnapshot(body)) {
			if (await confirmForce(reply.data))
				await capture({ ...body, force: true });
		} else {
			complain(`No ${words} was taken. ${reply.words}` +
				(reply.retryMs > 0 ? ` Try again in ` +
					`${reply.retryMs / 1000} s.` : ''));
			if (reply.status === 403)
				learnRole('viewer');
		}
	} catch (fault) {
		if (fault instanceof Lost)
			complain(`${fault.message} The order could not be sent.`);
		else if (!(fault instanceof NoToken))
			throw fault;
	}
}

// While one is on its way a second press would be a second capture.
async function captureBy(button, body) {
	if ($('worker').value !== '')
		body.worker = $('worker').value;
	button.setAttribute('aria-busy', 'true');
	button.disabled = true;
	const hadFocus = document.activeElement === button ||
		document.activeElement === document.body;
	try {
		await capture(body);
	} finally {
		button.removeAttribute('aria-busy');
		needOperator(button);
		if (hadFocus && document.activeElement === document.body)
			button.focus();
	}
}

const wholeOf = (id) => $(id).value === '' ? undefined : Number($(id).value);

function takeSnapshot(event) {
	event.preventDefault();
	const method = $('method').value;
	captureBy($('take-snapshot'), { kind: 'heap-snapshot',
		...(method === 'auto' ? {} : { method }) });
}

function takeCpuProfile(event) {
	event.preventDefault();
	captureBy($('take-cpu-profile'), { kind: 'cpu-profile',
		durationMs: Math.round(1000 * $('cpu-duration').value),
		intervalUs: wholeOf('cpu-interval') });
}

function takeHeapProfile(event) {
	event.preventDefault();
	captureBy($('take-heap-profile'), { kind: 'heap-profile',
		durationMs: Math.round(1000 * $('heap-duration').value),
		samplingBytes: wholeOf('heap-sampling'),
		...($('heap-live').checked ? { live: true } : {}) });
}

// --- what a row's buttons do -------------------------------------------------

// An address below ours, whatever prefix a proxy has taken away from it.
async function makeLink({ id }) {
	const reply = await callOrTell(`jobs/${id}/links`, { method: 'POST' });
	return reply?.ok ? new URL(
		`links/${reply.data.href.split('/').pop()}`, BASE).href : null;
}

// By the browser itself: the file never is in the memory of this page.
async function download({ job }) {
	const href = await makeLink(job);
	if (href === null)
		return;
	const anchor = make('a', { href, download: job.artifact.name });
	document.body.append(anchor);
	anchor.click();
	anchor.remove();
	say(`Downloading ${job.artifact.name}, ` +
		`${showBytes(job.artifact.size)}.`);
}

async function cancelJob({ job }) {
	if (!await ask(`Cancel this ${kindOf(job)}?`,
		isSnapshot(job) && freezes(job) ? 'Nothing of it is kept. What ' +
			'V8 has begun it finishes: until then the app stands ' +
			'still all the same.' : 'Nothing of it is kept.',
		'Cancel it', 'Let it run'))
		return;
	const reply = await callOrTell(`jobs/${job.id}`, { method: 'DELETE' });
	if (reply?.ok && reply.data !== null)
		showJob(reply.data);
	else if (reply?.status === 204)
		dropJob(job.id);
	showCounts();
}

async function deleteJob({ job }) {
	if (!await ask(`Delete this ${kindOf(job)}?`, hasFile(job) ?
		`The file ${job.artifact.name} goes from the server, and the ` +
		'links to it. What you have downloaded stays.' :
		'It has no file (any more); it goes from the list.',
	'Delete it', 'Keep it'))
		return;
	const reply = await callOrTell(`jobs/${job.id}`, { method: 'DELETE' });
	if (reply?.status === 204 || reply?.status === 404) {
		deleted.add(job.id);
		dropJob(job.id);
		say(`The ${nameOf(job)} is deleted.`);
	} else if (reply?.ok) {
		complain('V8 is not through with it yet, so it cannot be deleted ' +
			'now. Try again in some seconds.');
	}
}

async function takeAllTheSame({ job }) {
	if (await confirmForce(job.error))
		await capture({ kind: job.kind, ...job.options, force: true });
}

// --- a profile ---------------------------------------------------------------

let profile = null;	// { job, data, flame, control, sortedBy, lines, opener }

function closeProfile() {
	profile?.control.abort();
	profile?.flame?.destroy();
	const opener = profile?.opener;
	profile = null;
	$('profile').hidden = true;
	opener?.isConnected ? opener.focus() : $('jobs-title').focus();
}

async function fetchText(path, signal) {
	const response = await send(path, { signal });
	if (response.status === 401)
		askToken(await readJson(response));
	if (!response.ok)
		throw new Error(explain(response.status,
			await readJson(response)));
	return response.text();
}

async function openProfile(row) {
	const { job } = row;
	profile?.control.abort();
	profile?.flame?.destroy();
	const control = new AbortController();
	const mine = { job, control, flame: null, data: null,
		sortedBy: 'self', lines: LINES_SHOWN, opener: row.buttons.open };
	profile = mine;
	$('profile').hidden = false;
	$('profile-body').hidden = true;
	$('speedscope').hidden = true;
	setText($('profile-title'), upper(nameOf(job)));
	goTo($('profile-title'));
	if (job.artifact.size > PROFILE_MAX) {
		setText($('profile-note'), `With ${showBytes(job.artifact.size)}` +
			' it is too large to be shown here. Download it, and open ' +
			'it in the DevTools of Chrome.');
		return;
	}
	setText($('profile-note'), `Reading ` +
		`${showBytes(job.artifact.size)} …`);
	try {
		const [text, { readProfile, drawFlame, showAmount }] =
			await Promise.all([
				fetchText(`jobs/${job.id}/artifact`, control.signal),
				import('./flame.js')]);
		if (profile !== mine)
			return;
		mine.data = readProfile(text, job.kind);
		mine.show = (value) => showAmount(value, mine.data.unit);
		$('profile-body').hidden = false;
		setText($('profile-note'), describeProfile(mine));
		mine.flame = drawFlame($('flame'), mine.data,
			{ onSelect: () => {} });
		$('search').value = '';
		setText($('search-result'), '');
		setText($('functions-help'), `Self is what a function ` +
			`${job.kind === 'cpu-profile' ? 'took' : 'allocated'} by ` +
			'itself, total with all that it called.');
		showFunctions();
		goBackTo($('profile-title'));
		await offerSpeedscope();
	} catch (fault) {
		if (profile === mine && !control.signal.aborted)
			setText($('profile-note'),
				`This profile cannot be shown. ${fault.message}`);
	}
}

function describeProfile({ job, data, show }) {
	if (job.kind === 'cpu-profile')
		return `${show(data.total)} of work were sampled.`;
	return `${show(data.total)} were allocated while it ran` +
		(job.options.live ? ' and are still alive' : '') +
		', as far as the samples tell.';
}

function showFunctions() {
	const { data, sortedBy, show } = profile;
	const text = $('search').value.trim().toLowerCase();
	const found = data.functions.filter(({ name, place }) =>
		name.toLowerCase().includes(text) ||
		place.toLowerCase().includes(text)).sort((a, b) =>
		b[sortedBy] - a[sortedBy]);
	const shown = found.slice(0, profile.lines);
	$('functions-more').hidden = shown.length === found.length;
	const share = (value) => data.total > 0 ?
		`${(100 * value / data.total).toFixed(1)} %` : '';
	$('functions').tBodies[0].replaceChildren(...shown.map(
		({ name, place, self, total }) => make('tr', { role: 'row' },
			make('th', { role: 'rowheader', scope: 'row' },
				make('button', { type: 'button', class: 'link',
					on: { click: () => findFunction(name) } },
				name)),
			makeCell('Self', `${show(self)} (${share(self)})`),
			makeCell('Total', `${show(total)} (${share(total)})`),
			makeCell('Place', make('code', {}, place || 'native code')))));
	setText($('functions-caption'), `Top functions` +
		(found.length > shown.length ? `: ${shown.length} of ` +
			`${showCount(found.length)}` : ''));
	for (const button of document.querySelectorAll('#functions [data-sort]'))
		button.closest('th').setAttribute('aria-sort',
			button.dataset.sort === sortedBy ? 'descending' : 'none');
}

function findFunction(name) {
	$('search').value = name;
	searchProfile();
	$('flame-title').scrollIntoView({ block: 'start' });
	$('search').focus({ preventScroll: true });
}

function searchProfile() {
	if (!profile?.flame)
		return;
	const text = $('search').value.trim();
	const { matches, self } = profile.flame.search(text);
	const { total } = profile.data;
	const share = total > 0 ? (100 * self / total).toFixed(1) : '0.0';
	setText($('search-result'), text === '' ? '' : matches === 0 ?
		'no function has that in its name or place' :
		(matches === 1 ? '1 function, by itself' :
			`${showCount(matches)} functions, by themselves`) +
		` ${profile.show(self)} (${share} %)`);
	showFunctions();
}

function resetProfile() {
	$('search').value = '';
	searchProfile();
	profile?.flame?.reset();
}

// --- speedscope, where it was built in ---------------------------------------

let hasSpeedscope = null;

// The page's own head tells, so that nothing is asked for that is not there.
async function offerSpeedscope() {
	try {
		hasSpeedscope ??= (await fetch(BASE, { method: 'HEAD' }))
			.headers.get('link')?.includes('<speedscope/>') ?? false;
	} catch {
		// Asked again with the next profile.
	}
	$('speedscope').hidden = !hasSpeedscope;
}

// In a tab that gets nothing of this one: it has a link, and no token.
async function openSpeedscope() {
	const { job } = profile;
	const href = await makeLink(job);
	if (href === null)
		return;
	const address = new URL('speedscope/', BASE);
	address.hash = `profileURL=${encodeURIComponent(href)}` +
		`&title=${encodeURIComponent(job.artifact.name)}`;
	make('a', { href: address.href, target: '_blank', rel: 'noopener' })
		.click();
}

// --- a summary, and what grew ------------------------------------------------

let summary = null;	// { job, control, opener, classes, isDiff, lines }

function closeSummary() {
	summary?.control.abort();
	const opener = summary?.opener;
	summary = null;
	$('summary').hidden = true;
	opener?.isConnected ? opener.focus() : $('jobs-title').focus();
}

function openSummary(row) {
	summary?.control.abort();
	summary = { job: row.job, opener: row.buttons.summary,
		control: new AbortController(), classes: [], isDiff: false,
		lines: LINES_SHOWN };
	$('summary').hidden = false;
	setText($('summary-title'), upper(nameOf(row.job)));
	$('class-filter').value = '';
	offerOthers();
	goTo($('summary-title'));
	return showSummary();
}

function offerOthers() {
	const others = [...rows.values()].map(({ job }) => job).filter((job) =>
		isSnapshot(job) && job.state === 'succeeded' &&
		job.id !== summary.job.id).sort((a, b) => a.id < b.id ? 1 : -1);
	$('diff-other').replaceChildren(
		make('option', { value: '' }, 'nothing: the snapshot by itself'),
		...others.map((job) => make('option', { value: job.id },
			`${showTime(job.createdAt)}, ` +
			(hasFile(job) ? showBytes(job.artifact.size) :
				'file removed'))));
}

// Asked again until it was counted; null if somebody wants something else.
async function askClasses(path, mine, signal) {
	for (;;) {
		const reply = await call(`${path}?limit=${CLASSES_ASKED}`,
			{ signal });
		if (summary !== mine)
			return null;
		if (reply.ok)
			return reply.data;
		const isPending = reply.status === 503 ||
			reply.status === 429 || reply.status === 409;
		if (!isPending || reply.retryMs === 0)
			throw new Error(reply.words);
		setText($('summary-note'), `Counting the objects … ` +
			`(${reply.data?.detail ?? reply.words})`);
		await sleep(reply.retryMs, signal);
	}
}

async function showSummary() {
	const mine = summary;
	mine.control.abort();
	mine.control = new AbortController();
	const { signal } = mine.control;
	const other = $('diff-other').value;
	const path = `jobs/${mine.job.id}/` +
		(other === '' ? 'summary' : `diff/${other}`);
	mine.classes = [];
	mine.lines = LINES_SHOWN;
	mine.isDiff = other !== '';
	showClasses();
	setText($('summary-note'), 'Counting the objects …');
	try {
		const data = await askClasses(path, mine, signal);
		if (data === null)
			return;
		mine.classes = data.classes;
		setText($('summary-note'), mine.isDiff ?
			describeDiff(data, other) : describeSummary(data));
		showClasses();
		goBackTo($('summary-title'));
	} catch (fault) {
		if (signal.aborted || fault instanceof NoToken)
			return;
		setText($('summary-note'), fault.message);
	}
}

function describeSummary({ nodes, edges, selfSize, classes }) {
	return `${showCount(nodes)} objects and ${showCount(edges)} references, ` +
		`${showBytes(selfSize)}` + (classes.length < CLASSES_ASKED ? '.' :
		`. These are the ${showCount(CLASSES_ASKED)} largest classes; all ` +
		`of them: podprof summary ${summary.job.id}`);
}

function describeDiff({ classes }, other) {
	if (classes.length === 0)
		return 'No class has changed.';
	const row = rows.get(other);
	return `What has changed since the ${row === undefined ? other :
		nameOf(row.job)}; what grew most is on top` +
		(classes.length < CLASSES_ASKED ? '.' :
			`. These are the first ${showCount(CLASSES_ASKED)} classes; ` +
			`all of them: podprof diff ${summary.job.id} ${other}`);
}

const CLASS_COLUMNS = {
	summary: [
		['Objects', ({ count }) => showCount(count)],
		['Self size', ({ selfSize }) => showBytes(selfSize)],
	],
	diff: [
		['Objects, +/−', ({ countDelta }) =>
			showGrowth(countDelta, showCount)],
		['Self size, +/−', ({ selfSizeDelta }) =>
			showGrowth(selfSizeDelta, showBytes)],
		['Objects now', ({ count }) => showCount(count)],
		['Self size now', ({ selfSize }) => showBytes(selfSize)],
	],
};

function showClasses() {
	const columns = CLASS_COLUMNS[summary.isDiff ? 'diff' : 'summary'];
	const text = $('class-filter').value.trim().toLowerCase();
	const found = summary.classes.filter(({ name }) =>
		name.toLowerCase().includes(text));
	const shown = found.slice(0, summary.lines);
	$('classes-more').hidden = shown.length === found.length;
	const head = (name) => make('th', { scope: 'col',
		role: 'columnheader' }, name);
	$('classes').tHead.rows[0].replaceChildren(head('Class'),
		...columns.map(([name]) => head(name)));
	$('classes').tBodies[0].replaceChildren(...shown.map((entry) =>
		make('tr', { role: 'row' },
			make('th', { role: 'rowheader', scope: 'row' },
				entry.name === '' ? '(no name)' : entry.name),
			...columns.map(([name, show]) =>
				makeCell(name, show(entry))))));
	setText($('classes-caption'), (summary.isDiff ?
		'Classes of objects that have changed' : 'Classes of objects') +
		(found.length > shown.length ? `: ${shown.length} of ` +
			`${showCount(found.length)}` : ''));
}

// --- begin -------------------------------------------------------------------

// One after the other: without a token one question is enough.
async function start() {
	await refresh();
	if ($('token-section').hidden && $('nobody').hidden)
		await look();
}

function wire() {
	const on = (id, type, listener) =>
		$(id).addEventListener(type, listener);
	on('token-form', 'submit', useToken);
	on('forget', 'click', forgetToken);
	on('look', 'click', look);
	on('worker', 'change', showCost);
	on('message-close', 'click', () => say(''));
	on('snapshot-form', 'submit', takeSnapshot);
	on('cpu-form', 'submit', takeCpuProfile);
	on('heap-form', 'submit', takeHeapProfile);
	on('heap-live', 'change', ({ target }) => {
		$('heap-sampling').placeholder = target.checked ? 32768 : 524288;
	});
	on('more', 'click', showOlder);
	on('profile-close', 'click', closeProfile);
	on('search', 'input', searchProfile);
	on('flame-reset', 'click', resetProfile);
	on('speedscope', 'click', openSpeedscope);
	on('summary-close', 'click', closeSummary);
	on('diff-other', 'change', showSummary);
	on('class-filter', 'input', showClasses);
	on('classes-more', 'click', () => {
		summary.lines += LINES_MORE;
		showClasses();
	});
	on('functions-more', 'click', () => {
		profile.lines += LINES_MORE;
		showFunctions();
	});
	on('confirm-yes', 'click', () => $('confirm').close('yes'));
	on('confirm-no', 'click', () => $('confirm').close('no'));
	for (const button of document.querySelectorAll('#functions [data-sort]'))
		button.addEventListener('click', () => {
			profile.sortedBy = button.dataset.sort;
			showFunctions();
		});
	// Nobody looks: nobody asks.
	document.addEventListener('visibilitychange', () => {
		stopAll();
		if (!document.hidden)
			refresh();
	});
	window.addEventListener('online', refresh);
	// Our own mistakes are told, too.
	window.addEventListener('unhandledrejection', ({ reason }) =>
		complain(`This page has a fault: ${reason?.message}. Load it ` +
			'anew; what runs goes on.'));
}

document.title = `podprof: ${APP}`;
setText($('app-name'), APP);
wire();
keepToken(recallToken());
start();
