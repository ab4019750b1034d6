// Drives one SDK from npm, unmodified: node sdk_client.js FOLDER SDK URL WRITE_KEY, on standard input one JSON text
// {options, calls: [[type, message], ...]} where {"$date": "ISO"} is a Date. Makes the calls, flushes, and prints
// {calls, taken: [number of the call, ...], refused: {number: why}} as the SDK told its callers.
const path = require('path');
const [folder, name, url, key] = process.argv.slice(2);
const load = module => require(path.join(folder, 'node_modules', module));
const input = JSON.parse(require('fs').readFileSync(0, 'utf8'), (_, value) =>
  value && typeof value === 'object' && '$date' in value ? new Date(value.$date) : value);

const segment = module => {
  const client = new (load(module).Analytics)(Object.assign({writeKey: key, host: url}, input.options));
  return {call: client, finish: () => client.closeAndFlush()};
};
const older = client => ({call: client, finish: async settled => {
  while (!settled()) { // one flush takes flushAt events
    await Promise.resolve(client.flush()).catch(() => {}); // each call's own callback tells
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}});
const rudder = module => older(new (load(module))(key, Object.assign({dataPlaneUrl: url}, input.options)));
const sdks = {
  'rudder-3.0.13': () => rudder('@rudderstack/rudder-sdk-node'),
  'rudder-2.1.11': () => rudder('rudder-2'),
  'rudder-1.1.5': () => older(new (load('rudder-1'))(key, url + '/v1/batch', Object.assign({logLevel: 'none'}, input.options))),
  'segment-3.1.0': () => segment('segment-3'),
  'segment-2.3.0': () => segment('segment-2'),
  'analytics-node-6.2.0': () => older(new (load('analytics-node'))(key, Object.assign({host: url}, input.options))),
};

process.on('unhandledRejection', () => {}); // a flush by timer or size: each call's own callback tells
const taken = [], refused = {};
const settled = () => taken.length + Object.keys(refused).length === input.calls.length;
const sdk = sdks[name]();
input.calls.forEach(([type, message], i) => sdk.call[type](message, error => {
  if (error) refused[i] = String(error.reason || error.message || error);
  else taken.push(i);
}));
sdk.finish(settled).then(() => new Promise(resolve => {
  const look = () => settled() ? resolve() : setTimeout(look, 5);
  look();
})).then(() => {
  console.log(JSON.stringify({calls: input.calls.length, taken, refused}));
  process.exit(0);
}, error => { console.error(error); process.exit(1); });
