// Verifies requests with the package standardwebhooks: [{secret, headers, body}, ...] on standard input, a list of true or
// the error on standard output.
const path = require('path');
const { Webhook } = require(path.join(process.argv[2], 'node_modules', 'standardwebhooks'));
const all = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(all.map(({ secret, headers, body }) => {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch (e) {
    return String(e);
  }
})));
