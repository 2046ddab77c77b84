// Draws a profile as a flame graph: the whole on top, below each frame what it
// called, as wide as their share.  Only what is wide enough to be seen is drawn,
// so that a large profile is as quick as a small one.
export { readProfile } from './profile.js';

const KINDS = {
	own: 'own code',
	modules: 'node_modules',
	node: 'Node.js itself',
	native: 'V8 and native code',
};

const SVG = 'http://www.w3.org/2000/svg';
const ROW_PX = 20;
const NARROW_PX = 0.5;
const LABEL_PX = 24;
const LABEL_GAP_PX = 3;
const ROWS_MAX = 160;
const CALLERS_MAX = 10;
const ITEMS_MAX = 20000;

function showNumber(value) {
	return value.toLocaleString('en', { maximumFractionDigits:
		value < 10 ? 2 : value < 100 ? 1 : 0 });
}

// Of a profile, in its unit.
export function showAmount(value, unit) {
	if (unit === 'ms')
		return value < 1000 ? `${showNumber(value)} ms` :
			`${showNumber(value / 1000)} s`;
	const power = Math.min(3, Math.max(0, Math.floor(
		Math.log2(Math.max(value, 1)) / 10)));
	return `${showNumber(value / 1024 ** power)} ` +
		['B', 'KiB', 'MiB', 'GiB'][power];
}

function showShare(value, total) {
	const share = total > 0 ? 100 * value / total : 0;
	return `${share > 0 && share < 0.1 ? '< 0.1' :
		share.toFixed(1)} %`;
}

/*
 * What is drawn of a tree in so many pixels, row by row: the last of path, the
 * frames from the root to it, over the whole width, below the nearest of those
 * before it.  Returns { items, isCut }; an item is { frame, parent, row, x,
 * width, isCaller }, and isCut tells that there is more below.
 */
export function layOut(path, width) {
	const shown = path.length <= CALLERS_MAX ? path :
		[path[0], ...path.slice(1 - CALLERS_MAX)];
	const items = [];
	for (const [row, frame] of shown.entries())
		items.push({ frame, row, x: 0, width, parent: items[row - 1],
			isCaller: row < shown.length - 1 });
	let isCut = false;
	for (let i = shown.length - 1; i < items.length; i++) {
		const parent = items[i];
		let { x } = parent;
		for (const frame of parent.frame.children) {
			const wide = parent.width * frame.total /
				parent.frame.total;
			if (wide < NARROW_PX)
				break;
			if (parent.row + 1 === ROWS_MAX ||
				items.length === ITEMS_MAX) {
				isCut = true;
				break;
			}
			items.push({ frame, row: parent.row + 1, x,
				width: wide, parent, isCaller: false });
			x += wide;
		}
	}
	return { items, isCut };
}

function svgElement(name, attributes) {
	const element = document.createElementNS(SVG, name);
	for (const [key, value] of Object.entries(attributes))
		element.setAttribute(key, value);
	return element;
}

function htmlElement(name, className, text = '') {
	const element = document.createElement(name);
	element.className = className;
	element.textContent = text;
	return element;
}

function drawItem({ frame, row, x, width, isCaller }, words, isFound, at) {
	const group = svgElement('g', { role: 'treeitem', tabindex: -1,
		'aria-level': row + 1, 'aria-label': words, 'data-at': at,
		class: `flame-frame flame-${frame.kind}` });
	group.classList.toggle('is-caller', isCaller);
	group.classList.toggle('is-found', isFound);
	const y = row * ROW_PX;
	group.append(svgElement('rect', { x, y, height: ROW_PX - 1,
		width: Math.max(width - 1, NARROW_PX) }));
	if (width >= LABEL_PX) {
		// An svg inside cuts what has no room.  The text itself is
		// whole: who speaks to a browser says what he sees of it.
		const room = svgElement('svg', { x: x + LABEL_GAP_PX, y,
			height: ROW_PX, width: width - 2 * LABEL_GAP_PX,
			'aria-hidden': 'true' });
		const text = svgElement('text', { y: 14 });
		text.textContent = frame.name;
		room.append(text);
		group.append(room);
	}
	return group;
}

class Flame {
	constructor(container, profile, onSelect) {
		this.profile = profile;
		this.onSelect = onSelect;
		this.container = container;
		this.path = [profile.root];	// to the frame zoomed into
		this.items = [];
		this.at = 0;			// which item Tab leads to
		this.isFound = () => false;
		this.width = 0;
		this.line = htmlElement('p', 'flame-line');
		this.note = htmlElement('p', 'flame-note');
		this.svg = svgElement('svg', { class: 'flame-graph',
			role: 'tree', width: '100%', height: ROW_PX,
			'aria-label': 'Flame graph: arrow keys move, Enter ' +
			'zooms in, Escape shows all of it again. The table ' +
			'of functions has the same numbers.' });
		// A browser may give the focus to an svg that listens to keys.
		this.body = htmlElement('div', 'flame-body');
		this.body.append(this.svg, this.line, this.note,
			this.legend());
		container.replaceChildren(this.body);
		this.listen();
		this.resizing = new ResizeObserver(() => this.resize());
		this.resizing.observe(container);
		this.resize();
		this.tell(profile.root);
	}

	legend() {
		const legend = htmlElement('p', 'flame-legend');
		for (const [kind, words] of Object.entries(KINDS))
			if (this.profile.functions.some((one) =>
				one.kind === kind))
				legend.append(htmlElement('span',
					`flame-${kind}`, words), ' ');
		return legend;
	}

	listen() {
		const on = (type, act) => this.body.addEventListener(type,
			(event) => {
				const at = event.target.closest('.flame-frame');
				if (at !== null)
					act(Number(at.dataset.at), event);
			});
		on('click', (at) => this.zoom(at));
		on('keydown', (at, event) => this.key(at, event));
		on('focusin', (at) => this.select(at));
		on('mouseover', (at) => this.tell(this.items[at].frame));
		this.svg.addEventListener('mouseleave',
			() => this.tell(this.items[this.at].frame));
	}

	resize() {
		const { width } = this.svg.getBoundingClientRect();
		if (width === 0 || width === this.width)
			return;
		this.width = width;
		this.draw(this.current());
	}

	current() {
		return this.items.length > 0 ? this.items[this.at].frame :
			this.profile.root;
	}

	// With the Tab key leading to that frame, or to that zoomed into; and
	// the focus, if it was inside.
	draw(frame) {
		const hadFocus = this.svg.contains(document.activeElement);
		const { items, isCut } = layOut(this.path, this.width);
		const indexOf = (one) => items.findIndex((item) =>
			item.frame === one);
		this.items = items;
		this.at = indexOf(frame);
		if (this.at < 0)
			this.at = indexOf(this.path[this.path.length - 1]);
		this.svg.replaceChildren(...items.map((item, at) => drawItem(
			item, this.words(item.frame),
			this.isFound(item.frame), at)));
		this.svg.setAttribute('height',
			ROW_PX * (items[items.length - 1].row + 1));
		this.svg.children[this.at].setAttribute('tabindex', 0);
		if (hadFocus)
			this.svg.children[this.at].focus();
		this.explain(isCut);
	}

	words(frame) {
		const { unit, root } = this.profile;
		const amount = (value) => `${showAmount(value, unit)} ` +
			`(${showShare(value, root.total)})`;
		return [frame.name, frame.place,
			frame === root ? '' : KINDS[frame.kind],
			`self ${amount(frame.self)}`,
			`total ${amount(frame.total)}`]
			.filter((part) => part !== '').join(', ');
	}

	tell(frame) {
		this.line.textContent = this.words(frame);
	}

	explain(isCut) {
		const { unit, total, idle } = this.profile;
		const notes = [];
		if (total === 0)
			notes.push(unit === 'ms' ? 'The app did nothing ' +
				'meanwhile.' : 'No allocation was sampled.');
		if (idle > 0)
			notes.push(`It was idle for ${showAmount(idle, unit)}` +
				', which is not drawn.');
		if (isCut)
			notes.push('There are deeper calls: zoom in to see ' +
				'them.');
		this.note.textContent = notes.join(' ');
	}

	select(at) {
		this.svg.children[this.at].setAttribute('tabindex', -1);
		this.svg.children[at].setAttribute('tabindex', 0);
		this.at = at;
		this.tell(this.items[at].frame);
		this.onSelect(this.items[at].frame);
	}

	zoom(at) {
		const { frame } = this.items[at];
		const below = [];
		let item = this.items[at];
		for (; !this.path.includes(item.frame); item = item.parent)
			below.unshift(item.frame);
		this.path = this.path.slice(0,
			this.path.indexOf(item.frame) + 1).concat(below);
		this.draw(frame);
		this.svg.children[this.at].focus();
	}

	reset() {
		this.path = [this.profile.root];
		this.draw(this.profile.root);
		this.tell(this.profile.root);
		this.onSelect(null);
	}

	// Where a key leads to from an item; -1: nowhere.
	next(at, key) {
		const { row, parent } = this.items[at];
		const isThere = (to) => this.items[to]?.row === row ? to : -1;
		switch (key) {
		case 'ArrowLeft': return isThere(at - 1);
		case 'ArrowRight': return isThere(at + 1);
		case 'ArrowUp': return this.items.indexOf(parent);
		case 'ArrowDown': return this.items.findIndex((item) =>
			item.parent === this.items[at]);
		case 'Home': return 0;
		default: return undefined;
		}
	}

	key(at, event) {
		if (event.ctrlKey || event.altKey || event.metaKey)
			return;
		const to = this.next(at, event.key);
		if (to >= 0)
			this.svg.children[to].focus();
		else if (event.key === 'Enter' || event.key === ' ')
			this.zoom(at);
		else if (event.key === 'Escape')
			this.reset();
		else if (to === undefined)
			return;
		event.preventDefault();
	}

	search(text) {
		const wanted = text.trim().toLowerCase();
		this.isFound = (one) => wanted !== '' &&
			one !== this.profile.root &&
			`${one.name} ${one.place}`.toLowerCase()
				.includes(wanted);
		[...this.svg.children].forEach((group, at) =>
			group.classList.toggle('is-found',
				this.isFound(this.items[at].frame)));
		const { functions } = this.profile;
		const found = functions.filter(this.isFound);
		return { matches: found.length, self: found.reduce(
			(sum, one) => sum + one.self, 0) };
	}

	destroy() {
		this.resizing.disconnect();
		this.container.replaceChildren();
	}
}

/*
 * Draws a profile, as readProfile() made it, in place of what is in container,
 * and again whenever that gets another width.  onSelect(frame) is called when
 * one gets the focus, and with null when all is shown again.  Returns
 *   search(text)  lights up frames with that in their name or place, until the
 *                 next search; { matches, self }: so many functions have it,
 *                 with so much of their own
 *   reset()       shows all again
 *   destroy()     leaves container empty
 */
export function drawFlame(container, profile, { onSelect = () => {} } = {}) {
	const flame = new Flame(container, profile, onSelect);
	return {
		search: (text) => flame.search(text),
		reset: () => flame.reset(),
		destroy: () => flame.destroy(),
	};
}
