// One queue of the npm package bull, unmodified, behind a pipe (pipe.js):
//   node bull_pipe.js FOLDER_OF_BULL REDIS_SOCKET PREFIX QUEUE [JSON: more options of the Queue]
// Asked {call, args} it calls the queue; {job, call, args} the job of that id; {held, call, args} a job it took with
// {take: true}; {script, args} one of its scripts; {listen: [event, ...]} tells those events from then on; {work: {...}} makes it a worker.
const path = require('path');
const http = require('http');
const [folder, socket, prefix, name, more] = process.argv.slice(2);
const Queue = require(path.join(folder, 'node_modules', 'bull'));
const scripts = require(path.join(folder, 'node_modules', 'bull', 'lib', 'scripts'));
const queue = new Queue(name, Object.assign({prefix, redis: {path: socket}}, JSON.parse(more || '{}')));
const held = new Map();

const plain = value => {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Error) return {error: value.message};
  if (!value || typeof value.toJSON !== 'function' || !('attemptsMade' in value)) return value;
  return Object.assign({stalled: value.stalledCounter}, value.toJSON(), {
    returnvalue: value.returnvalue, retriedOn: value.retriedOn});
};

async function listen(events) {
  for (const event of events) {
    queue.on(event, (...args) => say({event, args: plain(args.filter(a => !(a instanceof Promise)))}));
    await queue._registerEvent(event); // on() does not say when it has subscribed
  }
}

// Does with a batch what dray does: posts it, with the job's id as key. Every answer but a 2xx fails the job.
const post = (url, job) => new Promise((resolve, reject) => {
  const headers = {'content-type': 'application/json', 'idempotency-key': String(job.id)};
  http.request(url, {method: 'POST', headers}, answer => {
    answer.resume();
    answer.on('end', () => answer.statusCode < 300 ? resolve({by: 'bull', status: answer.statusCode})
      : reject(new Error('status ' + answer.statusCode)));
  }).on('error', reject).end(JSON.stringify({batch: job.data.batch}));
});

// {post: URL} posts the batch; {hang: true} never ends; {fail: TEXT} fails; {value: X} returns X.
async function work({concurrency, ...how}) {
  queue.process(concurrency || 1, async job => {
    say({event: 'took', args: [plain(job)]});
    if (how.hang) return new Promise(() => {});
    if (how.fail) throw new Error(how.fail);
    return how.post ? post(how.post, job) : how.value;
  });
}

async function take() {
  const job = await queue.getNextJob();
  if (job) held.set(String(job.id), job);
  return plain(job);
}

const say = require('./pipe.js')(async asked => {
  await queue.isReady();
  if (asked.listen) return listen(asked.listen);
  if (asked.work) return work(asked.work);
  if (asked.take) return take();
  if (asked.script) return scripts[asked.script](queue, ...asked.args);
  let on = queue;
  if ('held' in asked) on = held.get(String(asked.held));
  if ('job' in asked) on = await queue.getJob(asked.job);
  if (!on) throw new Error('no such job');
  return plain(await on[asked.call](...asked.args || []));
});
queue.on('error', error => say({event: 'error', args: [error.message]}));
