// A worker of the npm package bull, unmodified, for worker.py:
//   node bull_worker.js FOLDER_OF_BULL REDIS_SOCKET PREFIX QUEUE CONCURRENCY [URL]
// Without a URL its processor does nothing; with one it posts the job's data there, over connections that are kept, and
// returns the answer's status and body, as dray does. Works until it is killed.
const path = require('path');
const http = require('http');
const [folder, socket, prefix, name, concurrency, url] = process.argv.slice(2);
const Queue = require(path.join(folder, 'node_modules', 'bull'));
const queue = new Queue(name, {prefix, redis: {path: socket}});
const agent = new http.Agent({keepAlive: true, maxSockets: +concurrency});
const target = url && new URL(url);

const post = job => new Promise((resolve, reject) => {
  const text = JSON.stringify(job.data);
  const headers = {'content-type': 'application/json', 'content-length': Buffer.byteLength(text),
    'idempotency-key': String(job.id)};
  const asked = http.request({agent, host: target.hostname, port: target.port, path: target.pathname, method: 'POST',
    headers}, answer => {
    let body = '';
    answer.setEncoding('utf8');
    answer.on('data', piece => { body += piece; });
    answer.on('end', () => answer.statusCode < 300 ? resolve({status: answer.statusCode, body})
      : reject(new Error('status ' + answer.statusCode)));
  });
  asked.on('error', reject);
  asked.end(text);
});

queue.on('error', error => { console.error('bull_worker:', error.message); process.exit(1); });
queue.on('failed', (job, error) => { console.error('bull_worker:', error.message); process.exit(1); });
queue.process(+concurrency, url ? post : async () => {});
