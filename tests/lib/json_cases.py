"""JSON that is right and JSON that is not: the cases of json_torture_test.py, with what dray must say of each.

VALID and INVALID are values, as they would stand behind a name. EVENTS are elements of a batch, BODIES whole requests."""

D = '{"a":' * 60 + "1" + "}" * 60

# ---- values that the grammar of RFC 8259 allows, bytes as they are sent
VALID = [v if isinstance(v, bytes) else v.encode() for v in [
    # literals
    "null", "true", "false", " null", "true ", "\tfalse", "\nnull\n", "\r\ntrue\r\n",
    # numbers
    "0", "-0", "1", "-1", "10", "123456789", "0.0", "-0.0", "0.5", "1.5", "-1.5", "0.00000000000000000001",
    "1e1", "1E1", "1e+1", "1E+1", "1e-1", "1E-1", "0e0", "0E0", "0e+1", "-0e-0", "1.5e10", "1.5E-10", "123e65",
    "123.456e78", "20e1", "1e400", "-1e400", "1e-400", "123123e100000", "0.4e00669999999999999999999999999999999999999",
    "9007199254740993", "-9223372036854775809", "18446744073709551616", "100000000000000000000",
    "123456789012345678901234567890123456789012345678901234567890", "1.000000000000000000000000000000000000000001",
    "-" + "9" * 400, "0." + "1" * 400, " 1 ", "\t-1\n",
    # strings
    '""', '" "', '"a"', '"\\""', '"\\\\"', '"\\/"', '"\\b\\f\\n\\r\\t"', '"\\u0000"', '"\\u0041"', '"\\u00e9"', '"\\u00E9"',
    '"\\u20ac"', '"\\uffff"', '"\\uFFFE"', '"\\uD834\\uDD1E"', '"\\ud834\\udd1e"', '"\\uDBFF\\uDFFF"', '"\\u0022"',
    '"\\u005C"', '"\\u2028\\u2029"', '"\\uD800"', '"\\uDC00"', '"\\uDFAA"', '"\\uD800\\uD800"', '"\\uDC00\\uD800"',
    '"\\uD800\\n"', '"\\uD83D x"', '"\\ud83d\\u0041"', '"\\u0061\\u30af\\u30EA\\u30b9"', '"\\u0123\\u4567\\u89AB\\ucDEf"',
    '"a/*b*/c/*d//e"', '"//"', '"\\\\u0000"', '"\\\\\\""', '"\\\\a"', '"[]{},:"', '"null"', '"1"', '"\x7f"', '"asd\x7f"',
    '"\u0080"', '"é"', '"€"', '"日本語"', '"𝄞"', '"😀"', '"\ufeff"', '"\u2028"', '"\u2029"', '"\ufffe"', '"\uffff"',
    '"\U0010ffff"', '"\U0010fffe"', '"\U0001fffe"', '"\ufdd0"', '"\u200b"', '"\u2064"', '"\u202e"', '"a\u0300"',
    '"%s"' % ("x" * 20000), '"%s"' % ("\\u0041" * 2000), '"%s"' % ("é" * 5000), '"%s"' % ('\\"' * 3000),
    b'"\xdf\xbf"', b'"\xe0\xa0\x80"', b'"\xed\x9f\xbf"', b'"\xee\x80\x80"',
    b'"\xf0\x90\x80\x80"',
    # arrays
    "[]", "[ ]", "[\n]", "[[]]", "[[[]]]", "[[],[]]", "[1]", "[ 1 ]", "[1,2]", "[1 , 2]", "[null]", "[null,1,\"a\",{}]",
    '["a",1,true,null,[],{}]', "[1,[2,[3,[4]]]]", "[\t1\r\n,\t2\r\n]", "[{}]", "[{},{}]", '[""]', '[{"a":[{"b":[]}]}]',
    "[%s]" % ",".join(["0"] * 3000), "[" * 60 + "]" * 60, "[" * 30 + '{"a":' * 30 + "1" + "}" * 30 + "]" * 30,
    # objects
    "{}", "{ }", "{\n}", '{"a":1}', '{ "a" : 1 }', '{"a":1,"b":2}', '{"a":{"b":{"c":{}}}}', '{"":0}', '{"":""}',
    '{"a":1,"a":2}', '{"a":1,"a":1}', '{"a":[],"b":{}}', '{"\\u0061":1}', '{"\\u0000":1}', '{"\\"":1}', '{"\\\\":1}',
    '{"é":1}', '{"日本":1}', '{"\\uD800":1}', '{"a b":1}', '{"a.b":1}', '{"$a":1}', '{"__proto__":1}',
    '{"constructor":{"prototype":1}}', '{"toString":null}', '{"a":"b","c":null,"d":[1,2,{"e":false}]}',
    '{\r\n\t"a"\r\n\t:\r\n\t1\r\n\t}', '{"%s":1}' % ("k" * 9000), "{%s}" % ",".join('"k%d":%d' % (i, i) for i in range(900)),
    '{"length":1,"0":2}', '{"messageId":"inner","userId":"inner"}', '{"batch":[1,2]}', '{"writeKey":"inner"}', D,
]]

# ---- values that it does not
INVALID = [v if isinstance(v, bytes) else v.encode() for v in [
    # nothing, words
    "", " ", ",", ":", "nul", "nulll", "NULL", "Null", "tru", "truee", "True", "TRUE", "fals", "falsee", "False", "undefined",
    "NaN", "nan", "-NaN", "Infinity", "-Infinity", "+Infinity", "inf", "-inf", "None", "nil", "yes", "a", "null null",
    "true false", "n\x00ull", "function(){}", "new Date()", "`a`", "/a/", "#", "@", "*", "%00", "$", "_", "\\", "\\u0031",
    # numbers
    "+1", "+0", "++1", "--1", "-", "+", "- 1", "-+1", "01", "-01", "00", "-00", "012", "0123.4", "0x0", "0x42", "0X1", "0b1",
    "0o7", "1_000", "1,5x", "1.", "-1.", ".5", "-.5", "0.", "1.e1", "1.e+", ".e1", "1e", "1E", "1e+", "1e-", "1e1.5", "1e+-1",
    "1ee1", "1e1e1", "0e", "0e+", "1.2.3", "1..2", "1.2e", "1a", "1f", "1L", "1n", "1 2", "1 000.0", "1/2", "2e+3.5",
    "\uff11", b"1\xe5", b"123\xff", b"0\xe5", b"-\xe5", "-foo", "-012", "1eE2", "0.3e", "0.3e+", "9.e+", "0.1.2", "Inf", "-a",
    # strings
    '"', '"a', 'a"', "'a'", "'", "“a”", '"\\"', '"\\', '"\\x41"', '"\\a"', '"\\0"', '"\\1"', '"\\\'"', '"\\e"', '"\\U0041"',
    '"\\u"', '"\\u1"', '"\\u12"', '"\\u123"', '"\\u123g"', '"\\uD83"', '"\\uD800\\u"', '"\\uD800\\u1"', '"\\uD800\\u1x"',
    '"\\u 041"', '"\\u-041"', '"\\u+041"', '"\\\t"', '"\\\n"', '"\\é"', '"\\v"', '"\\{"', '"a\nb"', '"a\rb"', '"a\tb"',
    '"\x00"', '"a\x00b"', '"\x01"', '"\x07"', '"\x08"', '"\x0b"', '"\x0c"', '"\x1b[31m"', '"\x1f"', '""a', '"a" "b"', '"a"b"',
    '"\\uD834\\uDd', '"\\ud800\\udc0"',
    # bytes that are no UTF-8
    b'"\x80"', b'"\xbf"', b'"\xc0\x80"', b'"\xc0\xaf"', b'"\xc1\xbf"', b'"\xc2"', b'"\xc2a"', b'"\xc3\x28"', b'"\xe0\x80\x80"',
    b'"\xe0\x9f\xbf"', b'"\xe2\x82"', b'"\xe2\x28\xa1"', b'"\xed\xa0\x80"', b'"\xed\xad\xbf"', b'"\xed\xbf\xbf"',
    b'"\xed\xa0\x81\xed\xb0\x80"', b'"\xf0\x80\x80\x80"', b'"\xf0\x8f\xbf\xbf"', b'"\xf0\x9d\x84"', b'"\xf4\x90\x80\x80"',
    b'"\xf5\x80\x80\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xfc\x84\x80\x80\x80\x80"', b'"\xfe"', b'"\xff"', b'"\xff\xfe"', b'"\xe9"',
    b'"a\xffb"', b"\xff", b"\xef\xbb\xbf1", b"\xe5", b'"\xf0\x9d\x84\x9e\x80"',
    # arrays
    "[", "]", "[,]", "[,1]", "[1,]", "[1,,2]", "[,,]", "[1", "[1,", "[[", "[[]", "[]]", "[1]]", "[1}", "[1:2]", "[1 2]", "[1;2]",
    '["a"', '["a', '["a",', '["a" "b"]', "[a]", "[null", "[nul]", "[-]", "[1,\n,2]", "[*]", "[<null>]", "[1,2,]", "[...]",
    '["a":1]', '["a":"b"]', "[\x00]", "[\x0c]", "[\u2060]", "[\xa0]", "[\ufeff1]", "[1]a", "[1] [2]", "[1],", '[1]"a"', "[3[4]]", "[x",
    # objects
    "{", "}", "{,}", '{"a"}', '{"a":}', '{"a",1}', '{"a":1', '{"a":1,', '{"a":1,}', '{,"a":1}', '{"a":1,,"b":2}', '{"a" 1}',
    '{"a"::1}', '{"a":1 "b":2}', '{"a":1;"b":2}', "{a:1}", "{'a':1}", "{1:1}", "{null:1}", "{true:1}", "{[]:1}", "{{}:1}", "{:1}",
    '{"a":1]', '{"a":[1}', '{"a":1}}', '{"a":1}#', '{"a":1}{', '{"a":1} {"b":2}', '{"a":a}', '{"a":"a', '{"a', '{"a":nul}',
    '{"a":1,"b"}', '{"a":1,2}', '{"a"="b"}', '{"a"=>"b"}', '{"a":/*c*/1}', '{/*c*/"a":1}', '{"a":1}//c', '{"a":1}/**/', "{//\n}",
    '{"a":1,"a"}', '{"\\x":1}', '{"a\nb":1}', b'{"\xff":1}', b'{"\xed\xa0\x80":1}', '{"a":1\x00}', '{"a":"b"}/**//', '{"a":.1}',
    '{"a":"b",,"c":"d"}', "{{}}", '{"a":{}', '{"x", null}', '{"x"::"b"}', '{"a":"a" 123}', '{key: "v"}', '{"a":true} "x"', "{💩:1}",
    # depth: 64 with what stands around it
    "[" * 65 + "]" * 65, '{"a":' * 65 + "1" + "}" * 65, "[" * 100000, '{"a":' * 20000, "[" * 20000 + "]" * 20000,
    "[" * 30 + '{"a":' * 40 + "1" + "}" * 40 + "]" * 30, '[{"":' * 5000,
]]

OK, ASIDE = "ok", "aside"
BIG = '"p":"%s"' % ("x" * 33000)

# ---- (element of a batch beside a good one, taken or the reason why it is set aside)
EVENTS = [
    ("null", "not_object"), ("true", "not_object"), ("1", "not_object"), ('"a"', "not_object"), ("[]", "not_object"),
    ('[{"userId":"u"}]', "not_object"), ('"{}"', "not_object"), ("-0.5e3", "not_object"), ('""', "not_object"),
    ("{}", "no_user"), ('{"userId":null}', "no_user"), ('{"userId":""}', "no_user"), ('{"userId":"  "}', "no_user"),
    ('{"userId":"\\u0020\\t"}', "no_user"), ('{"anonymousId":""}', "no_user"), ('{"userId":"","anonymousId":null}', "no_user"),
    ('{"userid":"u"}', "no_user"), ('{"UserId":"u"}', "no_user"), ('{"user_id":"u"}', "no_user"), ('{"traits":{"userId":"u"}}', "no_user"),
    ('{"type":"track"}', "no_user"), ('{"userId":"u","userId":""}', "no_user"), ('{"type":"Extract"}', "no_user"),
    ("{%s}" % BIG, "too_big"), ('{"userId":"u",%s}' % BIG, "too_big"), ('{"userId":"u","p":%s}' % ("[" + "1," * 17000 + "1]"), "too_big"),
    ('{"userId":"u"}', OK), ('{"anonymousId":"a"}', OK), ('{"userId":"","anonymousId":"a"}', OK), ('{"userId":1}', OK),
    ('{"userId":0}', OK), ('{"userId":false}', OK), ('{"userId":[]}', OK), ('{"userId":{}}', OK), ('{"userId":"\\u0075"}', OK),
    ('{"\\u0075serId":"u"}', OK), ('{"userId":"","userId":"u"}', OK), ('{"type":"extract"}', OK), (' {"userId" : "u" } ', OK),
    ('{"userId":"\\ud800"}', OK), ('{"userId":"\\u0000"}', OK), ('{"userId":"%s"}' % ("u" * 30000), OK), ('{"userId":"u","type":7}', OK),
    ('{"userId":"u","messageId":7}', OK), ('{"userId":"u","messageId":{}}', OK), ('{"userId":"u","messageId":["a"]}', OK),
    ('{"userId":"u","timestamp":"yesterday"}', OK), ('{"userId":"u","timestamp":1e9}', OK), ('{"userId":"u","writeKey":"other"}', OK),
    ('{"userId":"u","context":null,"traits":[],"properties":"p"}', OK), ('{"userId":"u","batch":[1]}', OK),
]

GOOD = '{"userId":"u","messageId":"%s"}'

# ---- (whole body with one %s for a messageId, status, what the answer says)
BODIES = [
    ("", 400, "request body is nil"), (" ", 400, "invalid json"), ("\x00", 400, "invalid json"), ("null", 400, "invalid json"),
    ("[]", 400, "invalid json"), ("{}", 400, "empty batch payload"), ('"a"', 400, "invalid json"),
    ("1", 400, "invalid json"), ("[%s]" % GOOD, 400, "invalid json"),
    ('{"batch":null}', 400, "empty batch payload"), ('{"batch":{}}', 400, "empty batch payload"), ('{"batch":"a"}', 400, "empty batch payload"),
    ('{"batch":[]}', 400, "empty batch payload"), ('{"Batch":[%s]}' % GOOD, 400, "empty batch payload"),
    ('{"batch":[%s],"batch":[]}' % GOOD, 400, "empty batch payload"), ('{"batch":[%s],"batch":null}' % GOOD, 400, "empty batch payload"),
    ('{"batch":[%s]' % GOOD, 400, "invalid json"), ('{"batch":[%s}' % GOOD, 400, "invalid json"), ('{"batch":[%s]}}' % GOOD, 400, "invalid json"),
    ('{"batch":[%s,]}' % GOOD, 400, "invalid json"), ('{"batch":[,%s]}' % GOOD, 400, "invalid json"), ('{"batch":[%s],}' % GOOD, 400, "invalid json"),
    ('{"batch":[%s]} x' % GOOD, 400, "invalid json"), ('{"batch":[%s]}\x00' % GOOD, 400, "invalid json"), ('\ufeff{"batch":[%s]}' % GOOD, 400, "invalid json"),
    ('{"batch":[%s]}{"batch":[]}' % GOOD, 400, "invalid json"), ("{'batch':[%s]}" % GOOD, 400, "invalid json"), ("batch=%s", 400, "invalid json"),
    ('{"batch":[%s] "sentAt":1}' % GOOD, 400, "invalid json"), ('{"batch"[%s]}' % GOOD, 400, "invalid json"), ("<xml>%s</xml>", 400, "invalid json"),
    ('{"batch":[null]}', 400, "event is not a valid rudder event"), ('{"batch":[1,2]}', 400, "event is not a valid rudder event"),
    ('{"batch":[{}]}', 400, "request neither has anonymousId nor userId"),
    ('{"batch":[%s]}' % GOOD, 200, ""), (' {"batch":[%s]}\r\n' % GOOD, 200, ""), ('{"\\u0062atch":[%s]}' % GOOD, 200, ""),
    ('{"batch":1,"batch":[%s]}' % GOOD, 200, ""), ('{"batch":[null],"batch":[%s]}' % GOOD, 200, ""), ('{"sentAt":"now","batch":[%s]}' % GOOD, 200, ""),
    ('{"batch":[%s],"sentAt":null,"context":{},"integrations":[]}' % GOOD, 200, ""), ('{"batch" : [ %s ] }' % GOOD, 200, ""),
    ('{"x":%s,"batch":[%s]}' % ("[" * 60 + "]" * 60, GOOD), 200, ""), ('{"x":%s,"batch":[%s]}' % ("[" * 70 + "]" * 70, GOOD), 400, "invalid json"),
]
