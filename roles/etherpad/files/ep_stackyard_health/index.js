'use strict';

/*
 * Answers GET /healthz, lets Etherpad end in good order, and keeps it from looking for updates.
 *
 * Health is 200 if the database answers a read in time, else 503, as small JSON. Etherpad's own page of health, where it
 * has one, says that the process runs and not whether it can reach the database. The request is taken from the HTTP
 * server itself, before Etherpad's pages: those ask for a password where one is needed, and begin a session, which is a
 * row in the database, for each request that brings none.
 */

const crypto = require('crypto');

const PATH = '/healthz';
const READ_MS = 2000;
// Reads that have not come back yet. A connection that is dead without saying so keeps one for a minute, so one is not
// enough to notice that the database is back; and no number of requests becomes that number of reads.
const MOST_READS = 4;
// Requests within this time get the answer of the one before.
const FRESH_MS = 500;

// What connections have at the end to send what is on its way.
const LAST_WORDS_MS = 1000;

let server = null;
let sockets = new Set();
let reads = 0;
let last = {at: 0, healthy: null};

const database = () => {
  const module = require('ep_etherpad-lite/node/db/DB');
  return typeof module.get === 'function' ? module : module.default;
};

// Of a key that nobody has: what was read before comes from a cache, and the database is not asked.
const read = async () => {
  if (reads >= MOST_READS) throw new Error('reads are outstanding');
  reads++;
  try {
    await database().get(`stackyard:health:${crypto.randomUUID()}`);
  } finally {
    reads--;
  }
};

const inTime = async (promise) => {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), READ_MS);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
};

const isHealthy = async () => {
  try {
    await inTime(read());
    return true;
  } catch (err) {
    return false;
  }
};

const answer = async (req, res) => {
  if (last.healthy == null || Date.now() - last.at > FRESH_MS) {
    last = {at: Date.now(), healthy: isHealthy()};
  }
  const healthy = await last.healthy;
  res.writeHead(healthy ? 200 : 503, {'Content-Type': 'application/json', 'Cache-Control': 'no-store'});
  res.end(req.method === 'HEAD' ? '' : `${JSON.stringify({healthy, database: healthy})}\n`);
};

const isHealthRequest = (req) =>
  (req.method === 'GET' || req.method === 'HEAD') && req.url.split('?')[0] === PATH;

// Version 1.8 makes smaller scripts in threads, by a library that ends the whole process when it is told to end: without
// waiting for the database. Etherpad means to take such listeners away, and does not see this one, which comes later.
const keepThreadsFromEndingEtherpad = () => {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    for (const listener of process.listeners(signal)) {
      if (String(listener).includes('terminateWorkersAndMaster')) process.off(signal, listener);
    }
  }
};

// Version 1.8 looks at upstream's site for newer ones, and its administrator's page of plug-ins fails where that cannot be
// reached. The code is part of the image: nobody can install a newer one there.
const lookForNoUpdates = () => {
  const {version} = require('ep_etherpad-lite/package.json');
  if (!version.startsWith('1.8.')) return;
  require('ep_etherpad-lite/node/utils/UpdateCheck').getLatestVersion = () => version;
};

exports.expressCreateServer = (hookName, args, callback) => {
  keepThreadsFromEndingEtherpad();
  lookForNoUpdates();
  server = args.server;
  const connected = sockets;
  server.on('connection', (socket) => {
    connected.add(socket);
    socket.on('close', () => connected.delete(socket));
  });
  const others = server.listeners('request');
  server.removeAllListeners('request');
  server.on('request', (req, res) => {
    if (isHealthRequest(req)) {
      answer(req, res);
      return;
    }
    for (const other of others) other.call(server, req, res);
  });
  callback();
};

// Etherpad waits for its clients to close their connections, longer than it waits for its own end, which it then calls a
// failure. Idle ones of a load balancer need not be waited for, and others get a moment for what is on its way to them.
exports.expressCloseServer = (hookName, args, callback) => {
  if (server != null) {
    const left = sockets;
    sockets = new Set();
    server.closeIdleConnections();
    setTimeout(() => { for (const socket of left) socket.destroy(); }, LAST_WORDS_MS).unref();
    server = null;
  }
  callback();
};
