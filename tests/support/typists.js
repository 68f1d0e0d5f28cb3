// People who type into one pad, through Etherpad's own protocol and its own changeset library.
//
//   node typists.js SRC URL PAD PEOPLE INTERVAL_MS
//
// SRC is the folder of Etherpad's code. Each person types numbered words, one edit at a time: the next when the server has
// accepted the one before and INTERVAL_MS has passed. A person behaves as Etherpad's page does (static/js/collab_client.js and
// pad.js): after a lost connection five attempts to come back and to catch up, then the page is loaded anew, and what was
// not accepted is lost to its writer.
//
// Ends at the end of its standard input; then prints one JSON document: for each person the accepted words with their times,
// what was sent, the gaps in which nothing was accepted, reconnections and reloads.
'use strict';

const [src, address, pad, people, interval] = process.argv.slice(2);
const load = (name) => require(`${src}/${name}`);
// npm has put it beside the server that needs it, or below.
const io = require(require.resolve('socket.io-client', {paths: [`${src}/node_modules/socket.io`]}));
const Changeset = load('static/js/Changeset');
const AttributePool = load('static/js/AttributePool');

// As the page has it, and the setting by which a page that gave up loads itself again.
const ATTEMPTS = 5;
const RELOAD_MS = 5000;

class Person {
  constructor(name) {
    this.name = name;
    this.token = `t.${name}${Math.random().toString(36).slice(2).padEnd(20, '0')}`;
    this.accepted = [];
    this.trouble = [];
    this.typed = 0;
    this.reconnections = 0;
    this.reloads = 0;
    this.stopped = false;
    this.load();
  }

  load() {
    this.pending = null;
    this.catchingUp = false;
    this.ready = false;
    this.socket = io(address, {
      query: {padId: pad}, forceNew: true, transports: ['websocket'],
      reconnectionAttempts: ATTEMPTS, reconnectionDelay: 1000, reconnectionDelayMax: 5000,
    });
    this.socket.once('connect', () => this.enter(false));
    this.socket.on('reconnect', () => { this.reconnections++; this.enter(this.ready); });
    this.socket.on('reconnecting', () => { this.catchingUp = true; });
    this.socket.on('disconnect', (reason) => {
      this.catchingUp = true;
      if (reason === 'io server disconnect') this.socket.connect();
    });
    this.socket.on('reconnect_failed', () => this.reload());
    this.socket.on('message', (message) => this.hear(message));
  }

  reload() {
    this.reloads++;
    this.socket.close();
    if (!this.stopped) setTimeout(() => this.load(), RELOAD_MS);
  }

  enter(again) {
    const message = {component: 'pad', type: 'CLIENT_READY', padId: pad, sessionID: null, token: this.token, protocolVersion: 2};
    if (again) Object.assign(message, {reconnect: true, client_rev: this.revision});
    this.socket.json.send(message);
  }

  hear(message) {
    if (message.disconnect) {
      this.trouble.push(message.disconnect);
      this.reload();
    } else if (message.type === 'CLIENT_VARS' && !this.ready) {
      const given = message.data.collab_client_vars;
      this.author = message.data.userId;
      this.revision = given.rev;
      this.text = given.initialAttributedText.text;
      this.pool = new AttributePool().fromJsonable(given.apool);
      this.ready = true;
      this.catchingUp = false;
      this.type();
    } else if (message.type === 'COLLABROOM') {
      this.follow(message.data);
    }
  }

  follow(data) {
    const changes = ['NEW_CHANGES', 'ACCEPT_COMMIT', 'CLIENT_RECONNECT'].includes(data.type);
    if (!changes) return;
    if (data.noChanges) return this.caughtUp();
    // After it came back the server may tell it twice of what happened meanwhile; the page heeds the first.
    if (data.newRev <= this.revision) return;
    if (data.newRev !== this.revision + 1) {
      this.trouble.push(`${data.type} of revision ${data.newRev} after ${this.revision}`);
      return;
    }
    this.revision = data.newRev;
    const mine = data.type === 'ACCEPT_COMMIT' || (data.type === 'CLIENT_RECONNECT' && data.author === this.author);
    if (mine && this.pending) {
      this.accept();
    } else {
      const pool = new AttributePool().fromJsonable(data.apool);
      const change = Changeset.moveOpsToNewPool(data.changeset, pool, this.pool);
      this.text = Changeset.applyToText(change, this.text);
      if (this.pending) this.pending.changeset = Changeset.follow(change, this.pending.changeset, false, this.pool);
    }
    if (data.type === 'CLIENT_RECONNECT' && data.newRev === data.headRev) this.caughtUp();
  }

  caughtUp() {
    this.catchingUp = false;
    if (this.pending) this.send(); else this.type();
  }

  type() {
    if (this.stopped || this.pending || this.catchingUp) return;
    const word = `${this.name}:${++this.typed}`;
    const changeset = Changeset.makeSplice(
        this.text, this.text.length - 1, 0, `${word}\n`, [['author', this.author]], this.pool);
    this.pending = {word, changeset};
    this.send();
  }

  send() {
    const wire = Changeset.prepareForWire(this.pending.changeset, this.pool);
    this.socket.json.send({type: 'COLLABROOM', component: 'pad', data: {
      type: 'USER_CHANGES', baseRev: this.revision, changeset: wire.translated, apool: wire.pool.toJsonable(),
    }});
  }

  accept() {
    this.text = Changeset.applyToText(this.pending.changeset, this.text);
    this.accepted.push([this.pending.word, Date.now() / 1000]);
    this.pending = null;
    setTimeout(() => this.type(), Number(interval));
  }

  end() {
    this.stopped = true;
    this.socket.close();
    const {name, typed, accepted, trouble, reconnections, reloads} = this;
    return {name, typed, accepted, trouble, reconnections, reloads};
  }
}

const all = Array.from({length: Number(people)}, (_, number) => new Person(`p${number + 1}`));
process.stdin.resume();
process.stdin.on('end', () => {
  process.stdout.write(JSON.stringify(all.map((person) => person.end())), () => process.exit(0));
});
