/* sign - see sign.h. Keys are made ready once; the body is signed where it lies, but for ed25519, which wants the whole
 * message in one piece. Pure.
 */
#include "workers/delivery/sign.h"

#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/conf/conf.h"

#define KEYS_MAX 8

struct key {
    EVP_MAC_CTX *hmac; /* or */
    EVP_PKEY *ed25519;
};

struct sign {
    size_t n;
    struct key keys[KEYS_MAX];
};

static void make_key(struct key *k, const unsigned char *bytes, size_t len, bool asymmetric)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {{"digest", OSSL_PARAM_UTF8_STRING, digest, sizeof(digest) - 1, 0},
                                 {NULL, 0, NULL, 0, 0}};
    EVP_MAC *mac;

    *k = (struct key){0};
    if (asymmetric) {
        k->ed25519 = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes, len);
        return;
    }
    mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    k->hmac = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    if (k->hmac != NULL && EVP_MAC_init(k->hmac, bytes, len, params) != 1) {
        EVP_MAC_CTX_free(k->hmac);
        k->hmac = NULL;
    }
}

struct sign *sign_new(char *const *secrets)
{
    struct sign *s = xcalloc(1, sizeof(*s));

    for (size_t i = 0; secrets[i] != NULL && s->n < KEYS_MAX; i++) {
        unsigned char bytes[64];
        bool asymmetric;
        const char *why;
        long len = conf_signing_secret(secrets[i], bytes, &asymmetric, &why);

        if (len < 0)
            continue;
        make_key(&s->keys[s->n], bytes, (size_t)len, asymmetric);
        explicit_bzero(bytes, sizeof(bytes));
        if (s->keys[s->n].hmac == NULL && s->keys[s->n].ed25519 == NULL)
            fatal(EXIT_CODE_OSERR, "OpenSSL has no %s", asymmetric ? "ed25519" : "HMAC-SHA256");
        s->n++;
    }
    return s;
}

void sign_free(struct sign *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n; i++) {
        EVP_MAC_CTX_free(s->keys[i].hmac);
        EVP_PKEY_free(s->keys[i].ed25519);
    }
    free(s);
}

/* The length of the signature, or 0. */
static size_t put_hmac(const struct key *k, const char *front, const struct http_piece *pieces, size_t n,
                       unsigned char out[64])
{
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(k->hmac);
    size_t len = 0;
    bool ok = ctx != NULL && EVP_MAC_update(ctx, (const unsigned char *)front, strlen(front)) == 1;

    for (size_t i = 0; ok && i < n; i++)
        ok = EVP_MAC_update(ctx, pieces[i].data, pieces[i].len) == 1;
    ok = ok && EVP_MAC_final(ctx, out, &len, 64) == 1;
    EVP_MAC_CTX_free(ctx);
    return ok ? len : 0;
}

static size_t put_ed25519(const struct key *k, const char *front, const struct http_piece *pieces, size_t n,
                          unsigned char out[64])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t size = strlen(front), at = size, len = 64;
    unsigned char *text;
    bool ok;

    for (size_t i = 0; i < n; i++)
        size += pieces[i].len;
    text = mem_try(size + 1);
    ok = ctx != NULL && text != NULL;
    if (ok) {
        memcpy(text, front, at);
        for (size_t i = 0; i < n; i++) {
            memcpy(text + at, pieces[i].data, pieces[i].len);
            at += pieces[i].len;
        }
        ok = EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->ed25519) == 1 &&
             EVP_DigestSign(ctx, out, &len, text, size) == 1;
    }
    free(text);
    EVP_MD_CTX_free(ctx);
    return ok ? len : 0;
}

int sign_put(struct sign *s, const char *id, uint64_t timestamp, const struct http_piece *pieces, size_t n,
             struct buf *out)
{
    char *front = xasprintf("%s.%" PRIu64 ".", id, timestamp);
    int rc = 0;

    for (size_t i = 0; i < s->n && rc == 0; i++) {
        const struct key *k = &s->keys[i];
        unsigned char raw[64];
        char coded[96];
        size_t len =
            k->hmac != NULL ? put_hmac(k, front, pieces, n, raw) : put_ed25519(k, front, pieces, n, raw);

        if (len == 0) {
            ERR_clear_error();
            rc = -1;
            break;
        }
        str_base64_encode(raw, len, coded, sizeof(coded));
        rc = buf_printf(out, "%s%s,%s", i > 0 ? " " : "", k->hmac != NULL ? "v1" : "v1a", coded);
    }
    free(front);
    return rc;
}
