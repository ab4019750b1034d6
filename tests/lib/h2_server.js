// A destination that speaks HTTP/2: over TLS (ALPN) where a certificate is given, else by prior knowledge. Says its port,
// then a line of JSON for each request.
//     node h2_server.js [CERT KEY]
const http2 = require('http2'), fs = require('fs');
const [cert, key] = process.argv.slice(2);
const server = cert
  ? http2.createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: true })
  : http2.createServer();
let sessions = 0;
server.on('session', () => { sessions++; });
server.on('request', (req, res) => {
  const body = [];
  req.on('data', (d) => body.push(d));
  req.on('end', () => {
    console.log(JSON.stringify({ version: req.httpVersion, headers: req.headers, sessions, body: Buffer.concat(body).toString() }));
    setTimeout(() => res.end('ok'), 20);
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
