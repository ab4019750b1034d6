// A RudderStack SDK with a queue in Redis, unmodified, behind a pipe (pipe.js):
//   node sdk_pipe.js FOLDER_OF_SDKS SDK URL WRITE_KEY REDIS_SOCKET [JSON: options of the SDK]
// {start: {...}} makes the queue with these options; {work: false} lets it be a producer only (a local pause of the queue).
// {send: [[type, message], ...]} makes the calls and answers when Redis has the jobs, with the messages as JSON has them; in
// a message {"$date": "ISO"} becomes a Date, and {"$odd": true} one of each kind of value that JSON does not have.
const path = require('path');
const [folder, name, url, key, socket, more] = process.argv.slice(2);
Object.defineProperty(console, '_stdout', {value: process.stderr}); // where the SDKs log
process.on('unhandledRejection', error => process.stderr.write(String(error && error.stack) + '\n'));
globalThis.crypto = globalThis.crypto || require('crypto').webcrypto; // Node 18 has none; serialize-javascript 7 needs it
const load = module => require(path.join(folder, 'node_modules', module));
const options = Object.assign({logLevel: 'error'}, JSON.parse(more || '{}'));
const make = {
  '3.0.13': () => new (load('@rudderstack/rudder-sdk-node'))(key, Object.assign({dataPlaneUrl: url}, options)),
  '2.1.11': () => new (load('rudder-2'))(key, Object.assign({dataPlaneUrl: url}, options)),
  '1.1.5': () => new (load('rudder-1'))(key, url + '/v1/batch', options),
};
const sdk = make[name]();
let adding = 0;

async function start(queue) {
  await new Promise((resolve, reject) => sdk.createPersistenceQueue(
    Object.assign({redisOpts: {path: socket}}, queue), error => error ? reject(error) : resolve()));
  const add = sdk.pQueue.add.bind(sdk.pQueue); // it tells nobody when a job has been added
  sdk.pQueue.add = (...args) => {
    adding++;
    return add(...args).finally(() => adding--);
  };
}

const odd = () => ({
  date: new Date('2024-02-03T04:05:06.789Z'), nothing: undefined, list: [undefined, 1, NaN, -Infinity, null],
  regexp: /[/"'\]}]\/x/gi, map: new Map([['k', {v: new Date(0)}]]), set: new Set([1, '</script>']),
  sparse: [, 'b', , 4, ,], url: new URL('https://example.com/a?b=c'), // eslint-disable-line no-sparse-arrays
  text: '"\'`\\ \n\t\0 </script> \u2028\u2029 \u00e9\u20ac\ud83d\ude00 \ud83d function() {}',
  numbers: [0, -0, 1.5e300, 5e-324, 123456789012345680000],
  deep: {a: [{b: {c: [[], {}, '']}}]}, '': 1, 'a b"c': true, __proto_: null,
});

// Their source texts go into the jobs of 1.x and 2.x.
const callbacks = [
  undefined,
  () => {},
  function named(error) { if (error) { /* "]}' */ throw error; } return `]${[1, '}'].map(x => `${x}`)}`; },
  async error => { const re = /[/\]'"]+/g; return error ? 1 / 2 / 3 : re.test('/'); }, // ' " `
  {method(error) { return error || ']'; }}.method,
];

async function send(calls) {
  const made = calls.map(([type, message]) => [type, JSON.parse(JSON.stringify(message), (_, value) =>
    value && value.$odd ? odd() : value && value.$date ? new Date(value.$date) : value)]);
  made.forEach(([type, message], i) => sdk[type](message, callbacks[i % callbacks.length]));
  while (sdk.queue.length > 0) await sdk.flush();
  while (adding > 0) await new Promise(resolve => setTimeout(resolve, 2));
  return made.map(([, message]) => JSON.parse(JSON.stringify(message)));
}

require('./pipe.js')(async asked => {
  if (asked.start) return start(asked.start);
  if (asked.send) return send(asked.send);
  if ('work' in asked) return asked.work ? sdk.pQueue.resume(true) : sdk.pQueue.pause(true, true);
  throw new Error('what?');
});
