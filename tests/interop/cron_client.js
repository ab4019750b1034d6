// Reads lines "ZONE<tab>AFTER_MS<tab>END_MS<tab>EXPRESSION", asks cron-parser as Bull does, prints the next time, "none" or "error: why".
// node cron_client.js FOLDER_OF_NODE_MODULES
const path = require('path');
const parser = require(path.join(process.argv[2], 'node_modules', 'cron-parser'));
const lines = require('fs').readFileSync(0, 'utf8').split('\n');
for (const line of lines) {
  if (!line)
    continue;
  const [tz, after, end, expression] = line.split('\t');
  const options = {currentDate: new Date(+after), tz: tz || undefined};
  if (+end)
    options.endDate = +end;
  let interval;
  try {
    interval = parser.parseExpression(expression, options);
  } catch (error) {
    console.log('error: ' + error.message);
    continue;
  }
  try {
    console.log(String(interval.next().getTime()));
  } catch (error) {
    console.log('none');
  }
}
