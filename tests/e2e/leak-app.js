// The sample app, with a second leak: each SIGUSR2 makes it keep 10,000 objects
// more of a class that it has for nothing else.  They are so large that this is
// what grew most for a minute after.  Takes the sample app's options.
//
// Prints "leaked" when it holds them.
'use strict';

class LeakedSession {
	constructor(number) {
		this.number = number;
		this.key = `session-${number}`;
		this.openedAt = this.usedAt = this.endsAt = this.pages = 0;
		this.user = this.role = this.locale = this.zone = null;
		this.agent = this.origin = this.address = this.port = null;
		this.basket = this.history = this.flash = this.nonce = null;
	}
}

// A name that must be no more than text, wherever it is shown.
const Marked = { '<img src="gone">': class {} }['<img src="gone">'];

const leaked = [new Marked()];

process.on('SIGUSR2', () => {
	for (let i = 0; i < 10000; i++)
		leaked.push(new LeakedSession(i));
	console.log('leaked');
});

require('./sample-app.js');
