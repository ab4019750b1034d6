// A program behind a pipe: a line of JSON {n, ...} in, a line {n, result} or {n, error} out, in any order; ends with its
// input. The function it returns says a line that nobody has asked for.
const say = line => process.stdout.write(JSON.stringify(line) + '\n');

module.exports = handle => {
  const lines = require('readline').createInterface({input: process.stdin});
  lines.on('line', async line => {
    const asked = JSON.parse(line);
    try {
      const result = await handle(asked);
      say({n: asked.n, result: result === undefined ? null : result});
    } catch (error) {
      say({n: asked.n, error: String(error && error.message || error)});
    }
  });
  lines.on('close', () => process.exit(0));
  return say;
};
