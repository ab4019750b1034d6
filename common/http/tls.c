/* tls - see tls.h. The context of a listener; what connections do with it stands in server_tls.c. */
#include "common/http/tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fatal.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/http/tls_int.h"

#define TICKET_S 43200u /* a key of tickets is used for so long, and then taken for as long */

/* ---- tickets */

struct ticket_keys {
    unsigned char name[16], aes[32], mac[32];
};

static void derive(const unsigned char secret[32], uint64_t period, unsigned char what, unsigned char out[32])
{
    unsigned char text[12] = {'d', 'r', 'a', what};
    unsigned int len = 32;
    memcpy(text + 4, &period, sizeof period);
    if (HMAC(EVP_sha256(), secret, 32, text, sizeof text, out, &len) == NULL)
        fatal(EXIT_CODE_NOMEM, "no memory for a TLS ticket");
}

static void keys_of(const unsigned char secret[32], uint64_t period, struct ticket_keys *k)
{
    unsigned char name[32];
    derive(secret, period, 'n', name);
    memcpy(k->name, name, sizeof k->name);
    derive(secret, period, 'a', k->aes);
    derive(secret, period, 'm', k->mac);
}

static bool use_keys(const struct ticket_keys *k, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, encrypt) == 1 &&
           EVP_MAC_init(mac, k->mac, sizeof k->mac, params) == 1;
}

/* 1: these keys; 2: these, and give a new ticket; 0: not ours, a whole handshake; -1: an error. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
    const struct http_tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    uint64_t now = clock_wall_ms() / 1000 / TICKET_S;
    struct ticket_keys k;
    int answer = 0;
    if (encrypt != 0) {
        keys_of(SSL_version(ssl) >= TLS1_3_VERSION ? t->shared : t->own, now, &k);
        memcpy(name, k.name, sizeof k.name);
        id_random(iv, (size_t)EVP_CIPHER_get_iv_length(EVP_aes_256_cbc()));
        answer = use_keys(&k, iv, cipher, mac, 1) ? 1 : -1;
    }
    for (unsigned i = 0; encrypt == 0 && i < 4 && answer == 0; i++) {
        keys_of(i % 2 == 0 ? t->shared : t->own, now - i / 2, &k);
        if (memcmp(name, k.name, sizeof k.name) == 0)
            answer = !use_keys(&k, iv, cipher, mac, 0) ? -1 : i < 2 ? 1 : 2;
    }
    OPENSSL_cleanse(&k, sizeof k);
    return answer;
}

/* ---- the context */

/* Nobody is there to be asked for a passphrase. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1;
}

/* A client that speaks of protocols but not of this one is refused, RFC 7301 3.2. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                   unsigned int in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl, (void)arg;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof ours - 1, in,
                                 in_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int use_certificate(SSL_CTX *ctx, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x = bio != NULL ? PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL) : NULL;
    int ok = x != NULL && SSL_CTX_use_certificate(ctx, x) == 1;
    X509_free(x);
    while (ok && (x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL)
        if (SSL_CTX_add0_chain_cert(ctx, x) != 1) {
            X509_free(x);
            ok = 0;
        }
    BIO_free(bio);
    ERR_clear_error(); /* "no start line" ends the file */
    return ok;
}

static int use_key(SSL_CTX *ctx, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *k = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    int ok = k != NULL && SSL_CTX_use_PrivateKey(ctx, k) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(k);
    BIO_free(bio);
    return ok;
}

static int use_authorities(SSL_CTX *ctx, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x;
    unsigned n = 0;
    while (bio != NULL && (x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        bool ok =
            X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x) == 1 && SSL_CTX_add_client_CA(ctx, x) == 1;
        X509_free(x);
        if (!ok)
            break;
        n++;
    }
    BIO_free(bio);
    ERR_clear_error();
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return n > 0;
}

static const char *fill(struct http_tls *t, const struct http_tls_options *o)
{
    SSL_CTX *ctx = t->ctx;
    unsigned char id[32];
    SSL_CTX_set_min_proto_version(ctx, o->only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets alone: nothing is kept here */
    SSL_CTX_set_timeout(ctx, TICKET_S);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_app_data(ctx, t);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    if (!use_certificate(ctx, o->cert))
        return "the certificate cannot be used";
    if (!use_key(ctx, o->key))
        return "the private key cannot be used, or is not the certificate's";
    if (o->client_ca[0] != '\0' && !use_authorities(ctx, o->client_ca))
        return "the authorities for clients cannot be used";
    SHA256((const unsigned char *)o->key, strlen(o->key), t->shared);
    id_random(t->own, sizeof t->own);
    /* A session is good only where the same clients may come. */
    SHA256((const unsigned char *)o->client_ca, strlen(o->client_ca), id);
    for (size_t i = 0; i < sizeof id; i++)
        t->shared[i] ^= id[i];
    return SSL_CTX_set_session_id_context(ctx, id, sizeof id) == 1 ? NULL : "no memory";
}

struct http_tls *http_tls_new(const struct http_tls_options *o, char *why, size_t size)
{
    struct http_tls *t = xcalloc(1, sizeof *t);
    t->refs = 1;
    str_copy(t->name, o->name, sizeof t->name);
    t->ctx = SSL_CTX_new(TLS_server_method());
    const char *wrong = t->ctx != NULL ? fill(t, o) : "no memory";
    if (wrong == NULL)
        return t;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(why, size, "%s%s%s", wrong, reason != NULL ? ": " : "", reason != NULL ? reason : "");
    ERR_clear_error();
    http_tls_unref(t);
    return NULL;
}

struct http_tls *http_tls_ref(struct http_tls *t)
{
    t->refs++;
    return t;
}

void http_tls_unref(struct http_tls *t)
{
    if (t == NULL || --t->refs > 0)
        return;
    SSL_CTX_free(t->ctx);
    OPENSSL_cleanse(t, sizeof *t);
    free(t);
}

const char *http_tls_name(const struct http_tls *t)
{
    return t->name;
}
