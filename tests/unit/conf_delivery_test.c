/* conf_delivery_test - what dray check says of destinations: each fault with its key and its remedy, no secret shown. */
#include "tests/unit/conf_fixture.h"

static void load_dest(struct fixture *t, const char *delivery, const char *keys)
{
    char text[4096];
    snprintf(text, sizeof text,
             "version: 1\nsources: [{ id: w, write_key: k }]\ndelivery: {%s}\ndestinations:\n"
             "  - { id: d, %s%s }\n",
             delivery, strstr(keys, "url:") != NULL ? "" : "url: \"https://hooks.example.com/in\", ", keys);
    put_file(t->file, text, strlen(text));
    buf_reset(&t->errors);
    conf_free(t->conf);
    t->conf = NULL;
    (void)conf_load(t->file, NULL, 0, &t->conf, &t->errors, &t->warnings);
}

static void test_faults(void **state)
{
    struct fixture *t = *state;
    static const struct {
        const char *delivery, *keys, *told;
    } faults[] = {
        {"", "auth: { type: header }", "destinations[d].auth.name: type header needs a name"},
        {"", "auth: { type: header, name: X-A }", "auth.value: the value is missing"},
        {"", "auth: { type: header, name: Content-Length, value: v }",
         "auth.name: belongs to the connection"},
        {"", "auth: { type: header, name: \"a b\", value: v }", "auth.name: is no name of a header"},
        {"", "auth: { type: none, name: X-A, value: v }",
         "auth.type: a name or value is given; write type: header"},
        {"", "headers: [a]", "headers: expected a map such as"},
        {"", "headers: { Host: x }", "headers: Host: belongs to the connection"},
        {"", "headers: { transfer-encoding: x }", "transfer-encoding: belongs to the connection"},
        {"", "headers: { Authorization: x }", "Authorization: is a matter of auth"},
        {"", "headers: { webhook-id: x }", "webhook-id: is set by signing"},
        {"", "headers: { Idempotency-Key: x }", "Idempotency-Key: is set by dray"},
        {"", "headers: { X-A: \"s3cret\\r\\nX-B: y\" }", "holds a control character"},
        {"", "headers: { X-A: x, x-a: y }", "x-a: stands there twice"},
        {"", "auth: { type: header, name: X-A, value: v }, headers: { x-A: s3cret }",
         "x-A: is the header of auth too"},
        {"", "headers: { X-A: \"\" }", "X-A: the value is missing"},
        {"", "headers: { X-A: { b: c } }", "expected a text in this map"},
        {"", "signing: { scheme: standard-webhooks }", "signing.secrets: there is none; make one"},
        {"", "signing: { secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw] }",
         "signing.scheme: secrets are given"},
        {"", "signing: { scheme: standard-webhooks, secrets: [whsec_s3cret] }",
         "secret 1 what follows the _ is not base64"},
        {"", "signing: { scheme: standard-webhooks, secrets: [s3cret] }", "secret 1 must begin with whsec_"},
        {"", "tls: { cert: none.pem }", "tls.cert: cannot read the file"},
        {"", "tls: { ca: dray.yaml }", "tls.ca: the file holds no certificate"},
        {"", "tls: { key: secret }", "tls.key: needs tls.cert too"},
        {"", "tls: { key: secret }", "the file holds no private key"},
        {"", "url: \"http://x/\", tls: { server_name: y }", "url: must begin with https://, as tls is given"},
        {"", "tls: { server_name: \"a/b\" }", "tls.server_name: must be a host name"},
        {"", "url: \"http://x/\", http2: true", "http2: is agreed on over TLS"},
        {"", "proxy: \"ftp://x:1\"", "proxy: must begin with http://"},
        {"", "proxy: \"http://a:s3cret@x:1\"", "proxy: must not hold a user name"},
        {"", "proxy: \"http://x\"", "proxy: the port is missing"},
        {"", "proxy_username: u", "proxy_username: is for a proxy of its own"},
        {"proxy_password: s3cret", "queue: q", "delivery.proxy_username: is for delivery.proxy"},
        {"", "on_status: { \"600\": done }", "600: expected a status from 200 to 599"},
        {"", "on_status: { \"40x\": done }", "40x: expected a status"},
        {"", "on_status: { \"404\": drop }", "404: expected one of retry|fail|done|disable"},
        {"egress: { deny: [10.0.0.1/8] }", "queue: q",
         "egress.deny: 10.0.0.1/8: expected a network's own address"},
        {"egress: { allow: [\"fe80::/200\"] }", "queue: q", "egress.allow: fe80::/200: expected"},
        {"egress: { deny: [private] }", "url: \"http://10.1.2.3/\"",
         "url: this address is refused by delivery.egress.deny"},
        {"egress: { deny: [private] }", "url: \"https://[::ffff:127.0.0.1]:8/\"",
         "url: this address is refused"},
        {"egress: { https_only: true }", "url: \"http://x/\"", "as delivery.egress.https_only is true"},
        {"compress_level: 13", "queue: q", "must be 1 to 12"},
    };
    put_file(t->secret, "s3cret", 6);
    for (size_t i = 0; i < COUNT(faults); i++) {
        load_dest(t, faults[i].delivery, faults[i].keys);
        if (t->conf != NULL)
            fail_msg("no fault: %s", faults[i].keys);
        expect_in(&t->errors, faults[i].told);
        if (strstr(faults[i].keys, "s3cret") != NULL && strstr(faults[i].keys, "proxy:") == NULL)
            expect_not_in(&t->errors, "s3cret");
    }
}

/* What passes, and what children are told. */
static void test_good(void **state)
{
    struct fixture *t = *state;
    struct conf *child = NULL;
    struct buf dump;
    char text[] = "  PEM\n text\n";
    load_dest(t, "egress: { deny: [private], allow: [10.0.0.0/8] }, compress: gzip, proxy: \"http://p:1\"",
              "url: \"https://10.1.2.3/\", headers: { X-A: s3cret, X-B: \"${env:PATH}\" }, proxy: none, "
              "signing: { scheme: standard-webhooks, secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw] }, "
              "on_status: { 409: done, 4xx: retry, 404: fail }");
    if (t->conf == NULL)
        fail_msg("%s", buf_cstr(&t->errors));
    const struct conf_destination *d = &t->conf->destinations[0];
    const char *user, *password;
    assert_string_equal(d->headers[0], "X-A=s3cret");
    assert_string_equal(d->headers[1] + 4, getenv("PATH"));
    assert_int_equal(conf_destination_compress(t->conf, d), CONF_COMPRESS_GZIP);
    assert_null(conf_destination_proxy(t->conf, d, &user, &password));
    assert_int_equal(conf_destination_status_rule(d, 409), CONF_STATUS_DONE);
    assert_int_equal(conf_destination_status_rule(d, 404), CONF_STATUS_FAIL);
    assert_int_equal(conf_destination_status_rule(d, 499), CONF_STATUS_RETRY);
    assert_int_equal(conf_destination_status_rule(d, 500), -1);
    free(t->conf->destinations[0].tls_ca);
    t->conf->destinations[0].tls_ca = strdup(text);
    buf_init(&dump, 1 << 20);
    assert_int_equal(conf_dump(t->conf, true, &dump), 0);
    expect_not_in(&dump, "s3cret");
    expect_not_in(&dump, "MfKQ9r8");
    expect_not_in(&dump, "PEM");
    expect_in(&dump, "\"headers\":{\"X-A\":\"***\"");
    expect_in(&dump, "\"on_status\":{\"409\":\"done\"");
    buf_reset(&dump);
    assert_int_equal(conf_dump(t->conf, false, &dump), 0);
    assert_int_equal(conf_parse_dump(dump.data, dump.len, &child, &t->errors), 0);
    assert_string_equal(child->destinations[0].tls_ca, text); /* the text itself: a child reads no file */
    assert_string_equal(child->destinations[0].headers[0], "X-A=s3cret");
    assert_string_equal(child->destinations[0].signing_secrets[0], d->signing_secrets[0]);
    conf_free(child);
    buf_fini(&dump);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_good, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
