/* http_server_syntax_test - what is a request and what is not: hostile texts as a table (whole and byte by byte), caps
 * on the head. */
#include "tests/unit/http_server_fixture.h"

struct hostile {
    const char *name, *text;
    size_t len; /* 0: strlen */
    int status;
    bool open; /* the connection stays usable */
};

static const struct hostile table[] = {
    /* what must work */
    {"get", "GET / HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"post", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", 0, 200, true},
    {"chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0, 200,
     true},
    {"chunked, upper case",
     "POST / HTTP/1.1\r\n" H "transfer-encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", 0, 200, true},
    {"chunk extension",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n0\r\n\r\n", 0, 200,
     true},
    {"trailer", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n", 0,
     200, true},
    {"http/1.0", "GET / HTTP/1.0\r\n\r\n", 0, 200, false},
    {"http/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, 200, true},
    {"connection close", "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", 0, 200, false},
    {"connection close in a list", "GET / HTTP/1.1\r\n" H "Connection: x, close\r\n\r\n", 0, 200, false},
    {"empty lines in front", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"absolute form", "GET http://a.example/p?name=q HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"absolute form without path", "GET http://a.example?name=q HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"options *", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"empty header value", "GET / HTTP/1.1\r\n" H "X-Test:\r\n\r\n", 0, 200, true},
    {"white space around a value", "POST / HTTP/1.1\r\n" H "Content-Length: \t 3  \r\n\r\nabc", 0, 200, true},
    {"length 0", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 0, 200, true},
    {"high bytes in a value", "GET / HTTP/1.1\r\n" H "X-Test: \xc3\xa9\xff\r\n\r\n", 0, 200, true},
    {"upgrade is passed over", "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 0,
     200, true},
    {"expect in 1.0 is passed over",
     "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 0, 200, false},
    {"absolute form with another host", "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n", 0, 200,
     true},
    {"absolute form, upper case", "GET HTTPS://A.EXAMPLE:443/x HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"host with a port", "GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", 0, 200, true},
    {"host of IPv6", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 0, 200, true},
    {"host that is empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, 200, true},
    {"get with a body", "GET / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", 0, 200, true},
    {"delete with chunks", "DELETE / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
     0, 200, true},
    {"te is no coding", "GET / HTTP/1.1\r\n" H "TE: gzip, trailers\r\nConnection: TE\r\n\r\n", 0, 200, true},
    {"length is no hop", "POST / HTTP/1.1\r\n" H "Connection: Content-Length\r\nContent-Length: 3\r\n\r\nabc",
     0, 200, true},
    {"upgrade to h2c is passed over",
     "GET / HTTP/1.1\r\n" H
     "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
     0, 200, true},
    {"length by another name", "GET / HTTP/1.1\r\n" H "Content_Length: 3\r\n\r\n", 0, 200, true},
    {"expect, upper case", "POST / HTTP/1.1\r\n" H "Expect: 100-CONTINUE\r\nContent-Length: 0\r\n\r\n", 0,
     200, true},
    {"chunk size with zeros in front",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n00\r\n\r\n", 0, 200, true},
    {"lengths in trailers say nothing",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 99\r\n"
     "Transfer-Encoding: gzip\r\nHost: y\r\n\r\n",
     0, 200, true},
    {"dots and percents in a path", "GET /a/../%2e%2E/%00/%zz HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    {"connection close and keep-alive", "GET / HTTP/1.1\r\n" H "Connection: keep-alive, close\r\n\r\n", 0,
     200, false},
    {"trace", "TRACE / HTTP/1.1\r\n" H "\r\n", 0, 200, true},
    /* framing */
    {"two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 0, 400,
     false},
    {"two equal lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 0, 400,
     false},
    {"length list", "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc", 0, 400, false},
    {"length and chunked",
     "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"chunked and length",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"negative length", "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 0, 400, false},
    {"signed length", "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc", 0, 400, false},
    {"hex length", "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc", 0, 400, false},
    {"empty length", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 0, 400, false},
    {"length overflow", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\na", 0, 400,
     false},
    {"length with text", "POST / HTTP/1.1\r\n" H "Content-Length: 3a\r\n\r\nabc", 0, 400, false},
    {"length over the cap", "POST / HTTP/1.1\r\n" H "Content-Length: 20001\r\n\r\n", 0, 413, false},
    {"length far over the cap", "POST / HTTP/1.1\r\n" H "Content-Length: 9999999999999\r\n\r\n", 0, 413,
     false},
    {"xchunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0, 400, false},
    {"chunkedx", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 0, 400, false},
    {"identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 0, 400, false},
    {"chunked not last", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"chunked twice", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"two codings in two lines",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"another coding before chunked",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, 501, false},
    {"empty coding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 0, 400, false},
    {"coding with a vertical tab",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
     "chunked\r\n\r\n0\r\n\r\n",
     0, 400, false},
    {"chunked in http/1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"space before colon", "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"tab before colon", "POST / HTTP/1.1\r\n" H "Content-Length\t: 3\r\n\r\nabc", 0, 400, false},
    {"length of two numbers", "POST / HTTP/1.1\r\n" H "Content-Length: 3 3\r\n\r\nabc", 0, 400, false},
    {"length with a form feed",
     "POST / HTTP/1.1\r\n" H "Content-Length: \x0c"
     "3\r\n\r\nabc",
     0, 400, false},
    {"length with a decimal point", "POST / HTTP/1.1\r\n" H "Content-Length: 3.0\r\n\r\nabc", 0, 400, false},
    {"length 0 and chunked",
     "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"chunked and chunked",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
     400, false},
    {"chunked in quotes", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 0, 400,
     false},
    {"chunked with a parameter", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 0,
     400, false},
    {"chunked behind a comma", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 0, 501,
     false},
    {"coding on a folded line", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 0,
     400, false},
    /* lines */
    {"lone cr", "GET / HTTP/1.1\r\n" H "X: y\rContent-Length: 3\r\n\r\n", 0, 400, false},
    {"lone cr ends a head", "GET / HTTP/1.1\r\n" H "X: y\r\rGET / HTTP/1.1\r\n\r\n", 0, 400, false},
    {"lone cr in the request line", "GET /\r HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"cr cr lf", "GET / HTTP/1.1\r\n" H "X: y\r\r\n\r\n", 0, 400, false},
    {"bare lf",
     "GET / HTTP/1.1\n"
     "Host: x\n\n",
     0, 400, false},
    {"one bare lf", "GET / HTTP/1.1\r\n" H "X: y\nZ: 1\r\n\r\n", 0, 400, false},
    {"bare lf ends a head", "GET / HTTP/1.1\r\n" H "X: y\r\n\n", 0, 400, false},
    {"obs-fold", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 0, 400, false},
    {"obs-fold by tab", "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 0, 400, false},
    {"fold behind the request line", "GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", 0, 400, false},
    {"nul in a header", "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", 35, 400, false},
    {"nul in a name", "GET / HTTP/1.1\r\n" H "X\0Y: ab\r\n\r\n", 36, 400, false},
    {"nul in the target", "GET /\0x HTTP/1.1\r\n" H "\r\n", 29, 400, false},
    {"control byte in a value", "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 0, 400, false},
    {"del in a value", "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", 0, 400, false},
    {"no colon", "GET / HTTP/1.1\r\n" H "nonsense\r\n\r\n", 0, 400, false},
    {"empty name", "GET / HTTP/1.1\r\n" H ": x\r\n\r\n", 0, 400, false},
    {"space in a name", "GET / HTTP/1.1\r\n" H "a b: x\r\n\r\n", 0, 400, false},
    {"high byte in a name", "GET / HTTP/1.1\r\n" H "a\xe9: x\r\n\r\n", 0, 400, false},
    {"bracket in a name", "GET / HTTP/1.1\r\n" H "a[b]: x\r\n\r\n", 0, 400, false},
    {"many empty lines", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 0, 400,
     false},
    /* Host */
    {"no host", "GET / HTTP/1.1\r\n\r\n", 0, 400, false},
    {"two hosts", "GET / HTTP/1.1\r\n" H "Host: y\r\n\r\n", 0, 400, false},
    {"two equal hosts", "GET / HTTP/1.1\r\n" H H "\r\n", 0, 400, false},
    {"host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 0, 400, false},
    {"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, 400, false},
    {"host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 0, 400, false},
    {"host with a name of a user", "GET / HTTP/1.1\r\nHost: me@a.example\r\n\r\n", 0, 400, false},
    {"host with a bad port", "GET / HTTP/1.1\r\nHost: a.example:8o\r\n\r\n", 0, 400, false},
    {"host with two ports", "GET / HTTP/1.1\r\nHost: a.example:80:90\r\n\r\n", 0, 400, false},
    {"host with half an address", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 0, 400, false},
    {"host with text behind an address", "GET / HTTP/1.1\r\nHost: [::1]a:80\r\n\r\n", 0, 400, false},
    /* request line */
    {"preface of HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505, false},
    {"version 2.0", "GET / HTTP/2.0\r\n" H "\r\n", 0, 505, false},
    {"version 0.9", "GET / HTTP/0.9\r\n" H "\r\n", 0, 505, false},
    {"version 1.2", "GET / HTTP/1.2\r\n" H "\r\n", 0, 505, false},
    {"no version", "GET /\r\n\r\n", 0, 400, false},
    {"version nonsense", "GET / HTTX/1.1\r\n" H "\r\n", 0, 400, false},
    {"lower case http", "GET / http/1.1\r\n" H "\r\n", 0, 400, false},
    {"version of two digits", "GET / HTTP/1.11\r\n" H "\r\n", 0, 400, false},
    {"text behind the version", "GET / HTTP/1.1 x\r\n" H "\r\n", 0, 400, false},
    {"method nonsense", "FOO / HTTP/1.1\r\n" H "\r\n", 0, 501, false},
    {"lower case method", "get / HTTP/1.1\r\n" H "\r\n", 0, 501, false},
    {"method with a colon", "GE:T / HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"connect", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", 0, 501, false},
    {"rtsp method", "DESCRIBE / HTTP/1.1\r\n" H "\r\n", 0, 501, false},
    {"authority form", "GET a.example:80 HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"asterisk form with get", "GET * HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"another scheme", "GET ftp://a.example/ HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"absolute form with a user", "GET http://me:pw@a.example/ HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"absolute form with a bad port", "GET http://a.example:x/ HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"absolute form without a host", "GET http:///x HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"preface of HTTP/2.0 alone", "PRI * HTTP/2.0\r\n\r\n", 0, 505, false},
    {"tab for a space", "GET\t/ HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"two spaces", "GET /  HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"space behind the version", "GET / HTTP/1.1 \r\n" H "\r\n", 0, 400, false},
    {"quote for a method", "\"GET\" / HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"ssh", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 0, 400, false},
    {"proxy protocol", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"leading space", " GET / HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"no target", "GET  HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"relative target", "GET x HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"space in the target", "GET /a b HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"tab in the target", "GET /a\tb HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"high byte in the target", "GET /\xff HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"fragment", "GET /#x HTTP/1.1\r\n" H "\r\n", 0, 400, false},
    {"tls hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15, 400, false},
    {"only garbage", "\x01\x02\x03\r\n\r\n", 0, 400, false},
    /* chunks */
    {"chunk size overflow",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc", 0, 413, false},
    {"chunk over the cap", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4E21\r\nabc", 0, 413,
     false},
    {"chunk size of zeros",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0000000000000000\r\n\r\n", 0, 400, false},
    {"negative chunk", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 0,
     400, false},
    {"chunk size 0x3", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 0,
     400, false},
    {"empty chunk size", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n\r\n", 0, 400, false},
    {"chunk size with a space",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 0, 400, false},
    {"chunk size ends by lf", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
     0, 400, false},
    {"chunk size ends by cr",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\rXabc\r\n0\r\n\r\n", 0, 400, false},
    {"lf in an extension", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n",
     0, 400, false},
    {"chunk longer than its size",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 0, 400, false},
    {"chunk ends by lf", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", 0,
     400, false},
    {"trailer folded", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", 0,
     400, false},
    {"trailer without colon", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n", 0,
     400, false},
    {"trailer ends by lf", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", 0,
     400, false},
    {"last line ends by cr", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\rX", 0, 400,
     false},
    {"chunk size with a tab",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n\t3\r\nabc\r\n0\r\n\r\n", 0, 400, false},
    {"chunk size with a plus",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", 0, 400, false},
    {"space before an extension",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3 ;a\r\nabc\r\n0\r\n\r\n", 0, 400, false},
    {"cr in an extension",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;a=\"\r\"\r\nabc\r\n0\r\n\r\n", 0, 400,
     false},
    {"chunk without its end", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc0\r\n\r\n",
     0, 400, false},
    {"chunk shorter than its size",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4\r\nabc\r\n0\r\n\r\n", 0, 400, false},
    {"control byte in a trailer",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX: \x01\r\n\r\n", 0, 400, false},
    {"space before a trailer's colon",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", 0, 400, false},
    /* Expect */
    {"expect of two", "POST / HTTP/1.1\r\n" H "Expect: 100-continue, x\r\nContent-Length: 3\r\n\r\nabc", 0,
     417, false},
    {"expect nonsense", "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 0, 417,
     false},
    {"expect over the cap",
     "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", 0, 413, false},
};

/* Sends the text, checks the answer, and whether the connection goes on with another request or ends. */
static void run_row(const char *name, const char *text, size_t len, int status, bool open, bool bytewise)
{
    struct client c = client_new();
    unsigned requests = t.requests;
    if (bytewise)
        for (size_t i = 0; i < len; i++)
            client_send(&c, text + i, 1);
    else
        client_send(&c, text, len);
    int got = client_await(&c, 1);
    if (got != status)
        fail_msg("%s%s: %d instead of %d", name, bytewise ? ", byte by byte" : "", got, status);
    if (t.requests - requests != (status == 200))
        fail_msg("%s: %u requests reached the handler", name, t.requests - requests);
    if (open) {
        client_puts(&c, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(client_await(&c, 2), 200);
        assert_true(client_has(&c, "GET /next|"));
    } else {
        assert_true(client_has(&c, "\r\nConnection: close\r\n"));
        client_await_eof(&c);
        if (c.reset)
            fail_msg("%s: reset", name);
    }
    client_end(&c);
    await(http_server_connections(t.server) == 0);
    assert_int_equal(t.budget.used, 0);
}

/* What stands behind a message that ends the connection is never looked at, whether it is one's own request or was put
 * there for somebody else's. */
static void run_smuggled(const struct hostile *h, size_t len)
{
    static const char behind[] = "GET /smuggled HTTP/1.1\r\n" H "\r\n";
    struct client c = client_new();
    struct buf text;
    unsigned requests = t.requests, answers_before = t.answered;
    int status = 0;
    buf_init(&text, 1u << 20);
    buf_append(&text, h->text, len);
    buf_append(&text, behind, sizeof behind - 1);
    buf_append(&text, behind, sizeof behind - 1);
    client_send(&c, text.data, text.len);
    client_await_eof(&c);
    if (t.requests - requests != (h->status == 200) || client_has(&c, "smuggled") ||
        t.answered - answers_before != 1 || answers(&c, &status) != 1 || status != h->status)
        fail_msg("%s: %u requests, status %d: %.*s", h->name, t.requests - requests, status, (int)c.in.len,
                 c.in.data);
    buf_fini(&text);
    client_end(&c);
}

static void test_smuggled(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!table[i].open)
            run_smuggled(&table[i], table[i].len > 0 ? table[i].len : strlen(table[i].text));
}

/* Errors in a pipeline: what stood in front is answered in its order, what stands behind is not. */
static void test_pipelines(void **state)
{
    (void)state;
    static const char good[] = "GET /hold HTTP/1.1\r\n" H "\r\n";
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct hostile *h = &table[i];
        struct client c = client_new();
        size_t len = h->len > 0 ? h->len : strlen(h->text);
        if (h->open || h->text[0] == '\r') {
            client_end(&c);
            continue;
        }
        client_send(&c, good, sizeof good - 1);
        await(t.n_held == 1);
        client_send(&c, h->text, len);
        client_send(&c, good, sizeof good - 1);
        turn();
        client_read(&c);
        assert_int_equal(c.in.len, 0);
        http_reply(t.held[--t.n_held], 200, NULL, "", "first", 5);
        assert_int_equal(client_await(&c, 2), h->status);
        client_await_eof(&c);
        assert_int_equal(t.n_held, 0);
        assert_int_equal(strncmp(c.in.data, "HTTP/1.1 200 ", 13), 0);
        client_end(&c);
    }
}

/* Every beginning of good requests, and then the end: 400 for a piece of one, and it never reaches the handler. */
static void test_truncated(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t head; /* behind so many bytes nothing was asked for */
    } rows[] = {
        {"POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nabcde", 0},
        {"POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nabcde\r\n0\r\nT: v\r\n\r\n", 0},
        {"POST /a HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", 0},
        {"\r\nGET /a HTTP/1.0\r\n\r\n", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t whole = strlen(rows[i].text);
        for (size_t n = 1; n < whole; n++) {
            struct client c = client_new();
            unsigned requests = t.requests;
            int status = 0;
            client_send(&c, rows[i].text, n);
            shutdown(c.fd, SHUT_WR);
            client_await_eof(&c);
            if (client_has(&c, "HTTP/1.1 100 Continue\r\n\r\n"))
                memmove(c.in.data, c.in.data + 25, c.in.len -= 25);
            unsigned got = answers(&c, &status);
            if (t.requests != requests || got != (n != rows[i].head) || (got > 0 && status != 400))
                fail_msg("row %zu, %zu bytes: %u answers, %d", i, n, got, status);
            client_end(&c);
        }
    }
    await(http_server_connections(t.server) == 0);
    assert_int_equal(t.budget.used, 0);
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct hostile *h = &table[i];
        size_t len = h->len > 0 ? h->len : strlen(h->text);
        run_row(h->name, h->text, len, h->status, h->open, false);
        run_row(h->name, h->text, len, h->status, h->open, true);
    }
}

/* Requests that are made: caps on the head. */
static void test_caps(void **state)
{
    (void)state;
    static const struct {
        const char *name, *before, *repeated, *after;
        unsigned times;
        int status;
    } rows[] = {
        {"uri at the cap of the head", "GET /", "x", " HTTP/1.1\r\n" H "\r\n", 4000, 200},
        {"uri too long", "GET /", "x", " HTTP/1.1\r\n" H "\r\n", 5000, 414},
        {"uri without end", "GET /", "x", "", 300000, 414},
        {"huge header", "GET / HTTP/1.1\r\n" H "X: ", "y", "\r\n\r\n", 5000, 431},
        {"header without end", "GET / HTTP/1.1\r\n" H "X: ", "y", "", 300000, 431},
        {"many short headers", "GET / HTTP/1.1\r\n" H, "X: y\r\n", "\r\n", 19, 200},
        {"too many headers", "GET / HTTP/1.1\r\n" H, "X: y\r\n", "\r\n", 20, 431},
        {"headers without end", "GET / HTTP/1.1\r\n" H, "X: y\r\n", "", 100000, 431},
        {"method without end", "", "G", "", 10000, 414},
        {"chunk extension flood", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;", "x", "",
         100000, 431},
        {"chunk extensions by the way", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
         "1;abcdefghi\r\nx\r\n", "", 500, 431},
        {"trailer flood", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n",
         "\r\n", 2000, 431},
        {"tiny chunks", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n",
         "0\r\n\r\n", 5000, 200},
        {"chunks over the cap", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
         "5\r\nabcde\r\n", "0\r\n\r\n", 4001, 413},
        {"body at the cap", "POST / HTTP/1.1\r\n" H "Content-Length: 20000\r\n\r\n", "x", "", 20000, 200},
        {"body over the cap, all sent", "POST / HTTP/1.1\r\n" H "Content-Length: 3000000\r\n\r\n", "x", "",
         3000000, 413},
    };
    struct buf text;
    buf_init(&text, 8u << 20);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&text);
        buf_puts(&text, rows[i].before);
        for (unsigned n = 0; n < rows[i].times; n++)
            buf_puts(&text, rows[i].repeated);
        buf_puts(&text, rows[i].after);
        run_row(rows[i].name, text.data, text.len, rows[i].status, rows[i].status == 200, false);
        if (text.len < 10000)
            run_row(rows[i].name, text.data, text.len, rows[i].status, rows[i].status == 200, true);
    }
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_table), T(test_smuggled), T(test_pipelines), T(test_truncated), T(test_caps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
