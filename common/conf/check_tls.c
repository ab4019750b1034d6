/* check_tls - do certificate, private key and authorities hold what they should, and does the key fit? So that a wrong
 * file is told by the check of the configuration, with its place, and a reload with one changes nothing. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "common/conf/internal.h"

#define EXPIRES_SOON_S (7 * 86400)

/* Nobody is there to be asked for a passphrase. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1;
}

static X509 *first_certificate(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x = bio != NULL ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    return x;
}

static EVP_PKEY *private_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *k = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    return k;
}

static void check_time(struct conf_layers *l, const struct conf_check_pem *p, const char *row, const X509 *x)
{
    int days = 0, seconds = 0;
    char text[160];
    if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)) != 1)
        return;
    long long left = (long long)days * 86400 + seconds;
    if (left <= 0)
        snprintf(text, sizeof text, "the certificate expired %d days ago; clients will refuse it", -days);
    else if (left < EXPIRES_SOON_S)
        snprintf(text, sizeof text, "the certificate expires in %d days; renew it, then dray reload", days);
    else if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notBefore(x)) == 1 && (days > 0 || seconds > 0))
        snprintf(text, sizeof text, "the certificate is not valid yet; is the clock right?");
    else
        return;
    conf_check_warn(l, p->section, p->id, p->element, row, text);
}

static void tell(struct conf_layers *l, const struct conf_check_pem *p, const char *row, const char *what)
{
    conf_check_tell(l, p->section, p->id, p->element, row, what);
}

void conf_check_tls(struct conf_layers *l, const struct conf_check_pem *p)
{
    bool cert = p->cert[0] != '\0', key = p->key[0] != '\0', ca = p->ca[0] != '\0';
    X509 *x = NULL, *authority = NULL;
    EVP_PKEY *k = NULL;
    if (!cert && !key && !ca)
        return;
    if (cert && !key)
        tell(l, p, p->key_row, "must be given too: a certificate needs its private key");
    if (key && !cert)
        tell(l, p, p->cert_row, "must be given too: a private key needs its certificate");
    if (cert && (x = first_certificate(p->cert)) == NULL)
        tell(l, p, p->cert_row, "holds no certificate (-----BEGIN CERTIFICATE-----)");
    if (key && (k = private_key(p->key)) == NULL)
        tell(l, p, p->key_row, "holds no private key that can be read without a passphrase");
    if (x != NULL && k != NULL && X509_check_private_key(x, k) != 1)
        tell(l, p, p->key_row, "is not the key of the certificate (the first one in its file)");
    if (x != NULL)
        check_time(l, p, p->cert_row, x);
    if (ca && (authority = first_certificate(p->ca)) == NULL)
        tell(l, p, p->ca_row, "holds no certificate (-----BEGIN CERTIFICATE-----)");
    if (ca && !cert && !key && p->ca_needs_cert)
        tell(l, p, p->cert_row, "must be given too: clients show certificates only over TLS");
    if (authority != NULL)
        check_time(l, p, p->ca_row, authority);
    X509_free(x);
    X509_free(authority);
    EVP_PKEY_free(k);
    ERR_clear_error();
}
