// Drives the npm package bull: node bull_client.js FOLDER_OF_BULL REDIS_SOCKET PREFIX QUEUE COMMAND [JSON]
// Prints one line of JSON.
const path = require('path');
const [folder, socket, prefix, name, command, argument] = process.argv.slice(2);
const Queue = require(path.join(folder, 'node_modules', 'bull'));
const queue = new Queue(name, {prefix, redis: {path: socket}});
const input = argument ? JSON.parse(argument) : null;

const plain = job => job && {id: job.id, name: job.name, data: job.data, opts: job.opts, timestamp: job.timestamp,
  delay: job.delay, attemptsMade: job.attemptsMade, failedReason: job.failedReason, stacktrace: job.stacktrace,
  returnvalue: job.returnvalue, processedOn: job.processedOn, finishedOn: job.finishedOn};

const commands = {
  async look() {
    const lists = {};
    for (const state of ['Waiting', 'Active', 'Delayed', 'Completed', 'Failed'])
      lists[state.toLowerCase()] = (await queue['get' + state]()).map(plain);
    return {counts: await queue.getJobCounts(), lists, workers: (await queue.getWorkers()).length};
  },
  async job() {
    const job = await queue.getJob(input);
    return job && Object.assign(plain(job), {state: await job.getState()});
  },
  // Listens first, so that no message is missed: job.finished() never ends when the job is done, and removed, before it asks.
  async add() {
    const ended = new Map();
    let tell = () => {};
    const on = (event, key) => {
      queue.on('global:' + event, (id, value) => { ended.set(String(id), {[key]: value}); tell(); });
      return queue._registerEvent('global:' + event);
    };
    await Promise.all([on('completed', 'value'), on('failed', 'error')]);
    const job = await queue.add(input.data, input.opts);
    while (!ended.has(String(job.id)))
      await new Promise(resolve => { tell = resolve; });
    return Object.assign({id: job.id}, ended.get(String(job.id)));
  },
  async retry() {
    await (await queue.getJob(input)).retry();
    return true;
  },
  async work() { // takes what waits, as a Bull worker would
    const done = [];
    queue.process(async job => { done.push(plain(job)); return {by: 'bull'}; });
    await new Promise(resolve => queue.on('drained', resolve));
    return done;
  },
  async pause() { await queue.pause(); return true; },
  async resume() { await queue.resume(); return true; },
};

queue.isReady().then(commands[command]).then(result => {
  console.log(JSON.stringify(result));
  return queue.close(true);
}).then(() => process.exit(0), error => { console.error(error); process.exit(1); });
