// A service of the usual kind in front of, or behind, a queue of a Node package, unmodified, for peers.py:
//   node node_peer.js FOLDER front bull|bullmq|rudder REDIS_SOCKET [URL]   HTTP intake; prints "listening PORT"
//   node node_peer.js FOLDER worker bull|bullmq REDIS_SOCKET URL           posts each job's data, CONCURRENCY at a time
// The front parses each POST body (a batch) and adds it as one job, then answers 200; rudder gives each event to the SDK,
// whose own queue and worker (in the same process: there is no other way) post to URL. Finished jobs: the last 1000 stay.
const path = require('path');
const http = require('http');
const [folder, role, kind, socket, url] = process.argv.slice(2);
const load = name => require(path.join(folder, 'node_modules', name));
const CONCURRENCY = 50, QUEUE = 'events', KEEP = {removeOnComplete: 1000};

const die = error => { console.error('node_peer:', error.message || error); process.exit(1); };
process.on('unhandledRejection', die);

const adders = {
  bull() {
    const queue = new (load('bull'))(QUEUE, {prefix: '{bull}', redis: {path: socket}});
    return batch => queue.add(batch, KEEP);
  },
  bullmq() {
    const {Queue} = load('bullmq');
    const queue = new Queue(QUEUE, {prefix: '{bullmq}', connection: {path: socket}});
    return batch => queue.add('batch', batch, {removeOnComplete: {count: 1000}});
  },
  async rudder() {
    const Analytics = load('@rudderstack/rudder-sdk-node');
    const sdk = new Analytics('key', {dataPlaneUrl: url, gzip: false, logLevel: 'error'});
    await new Promise((resolve, reject) => sdk.createPersistenceQueue(
      {isMultiProcessor: true, redisOpts: {path: socket}}, error => error ? reject(error) : resolve()));
    const dated = event => Object.assign(event, event.timestamp && {timestamp: new Date(event.timestamp)}); // it takes no text
    return batch => { for (const event of batch.batch) sdk[event.type](dated(event)); };
  },
};

const front = async () => {
  const add = await adders[kind]();
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on('data', piece => pieces.push(piece));
    request.on('end', async () => {
      try {
        await add(JSON.parse(Buffer.concat(pieces)));
        response.writeHead(200, {'Content-Length': 2}).end('ok');
      } catch (error) {
        console.error('node_peer:', error.message);
        response.writeHead(500, {'Content-Length': 0}).end();
      }
    });
  });
  server.listen(0, '127.0.0.1', () => console.log('listening ' + server.address().port));
};

const agent = new http.Agent({keepAlive: true, maxSockets: CONCURRENCY});
const post = job => new Promise((resolve, reject) => {
  const text = JSON.stringify(job.data), to = new URL(url);
  const asked = http.request({agent, host: to.hostname, port: to.port, path: to.pathname, method: 'POST',
    headers: {'content-type': 'application/json', 'content-length': Buffer.byteLength(text), 'idempotency-key': String(job.id)}},
    answer => {
      answer.resume();
      answer.on('end', () => answer.statusCode < 300 ? resolve({status: answer.statusCode})
        : reject(new Error('status ' + answer.statusCode)));
    });
  asked.on('error', reject);
  asked.end(text);
});

const workers = {
  bull() {
    const queue = new (load('bull'))(QUEUE, {prefix: '{bull}', redis: {path: socket}});
    queue.on('error', die);
    queue.process(CONCURRENCY, post);
    queue.isReady().then(() => console.log('working'));
  },
  bullmq() {
    const {Worker} = load('bullmq');
    const worker = new Worker(QUEUE, post, {prefix: '{bullmq}', connection: {path: socket, maxRetriesPerRequest: null},
      concurrency: CONCURRENCY});
    worker.on('error', die);
    worker.waitUntilReady().then(() => console.log('working'));
  },
};

(role === 'front' ? front() : Promise.resolve(workers[kind]())).catch(die);
