// The real @bull-board/api with its BullAdapter behind a pipe (pipe.js), in place of a web server's adapter:
//   node board_pipe.js FOLDER_OF_PACKAGES REDIS_SOCKET PREFIX QUEUE...
// Asked {method, path, query, body} it runs the board's handler of that route, as the express adapter does, and answers
// {status, body}. The board checks its own answers against its schemas.
const path = require('path');
const [folder, socket, prefix, ...names] = process.argv.slice(2);
const load = module => require(path.join(folder, 'node_modules', module));
const Queue = load('bull');
const {createBullBoard} = load('@bull-board/api');
const {BullAdapter} = load('@bull-board/api/bullAdapter');

const board = {};
const keep = field => function (value) { board[field] = value; return this; };
const adapter = {setQueues: keep('queues'), setViewsPath: keep('views'), setStaticPath: keep('statics'),
  setUIConfig: keep('uiConfig'), setEntryRoute: keep('entry'), setErrorHandler: keep('onError'), setApiRoutes: keep('routes')};
const queues = names.map(name => new Queue(name, {prefix, redis: {path: socket}}));
createBullBoard({queues: queues.map(q => new BullAdapter(q)), serverAdapter: adapter, options: {validateResponses: true}});

function find(method, target) {
  const wanted = target.split('/');
  for (const route of board.routes)
    for (const form of [].concat(route.route)) {
      const parts = form.split('/'), params = {};
      const fits = parts.length === wanted.length && parts.every((part, i) =>
        part.startsWith(':') ? (params[part.slice(1)] = decodeURIComponent(wanted[i])) : part === wanted[i]);
      if (fits && [].concat(route.method).includes(method)) return {route, params};
    }
  throw new Error('the board has no route ' + method + ' ' + target);
}

require('./pipe.js')(async asked => {
  if (asked.routes) return board.routes.map(r => [].concat(r.method)[0] + ' ' + [].concat(r.route)[0]);
  const {route, params} = find(asked.method, asked.path);
  const request = {queues: board.queues, uiConfig: board.uiConfig, params, query: asked.query || {}, body: asked.body || {},
    headers: {}};
  try {
    const answer = await route.handler(request);
    return {status: answer.status || 200, body: answer.body === undefined ? null : answer.body,
      route: asked.method + ' ' + [].concat(route.route)[0]};
  } catch (error) {
    return board.onError(error);
  }
});
