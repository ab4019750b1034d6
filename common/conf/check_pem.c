/* check_pem - are these the texts of PEM files that TLS can work with? Nothing asks for a password: an encrypted key is a
 * fault. */
#include "common/conf/internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

static int no_password(char *text, int size, int writing, void *arg)
{
    (void)text, (void)size, (void)writing, (void)arg;
    return 0;
}

static X509 *first_cert(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, (int)strlen(text));
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return cert;
}

static EVP_PKEY *read_key(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, (int)strlen(text));
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

const char *conf_check_pem_certs(const char *text)
{
    X509 *cert = first_cert(text);
    const char *bad = cert != NULL ? NULL
                      : strstr(text, "-----BEGIN CERTIFICATE-----") == NULL
                          ? "the file holds no certificate (-----BEGIN CERTIFICATE-----); give a PEM file"
                          : "the file's first certificate cannot be read; is it complete?";
    X509_free(cert);
    return bad;
}

const char *conf_check_pem_key(const char *text)
{
    EVP_PKEY *key = read_key(text);
    const char *bad =
        key != NULL ? NULL
        : strstr(text, "ENCRYPTED") != NULL
            ? "the key is encrypted; store it without a password (openssl pkey -in KEY -out PLAIN), mode 0600"
        : strstr(text, "PRIVATE KEY-----") == NULL
            ? "the file holds no private key (-----BEGIN PRIVATE KEY-----); give a PEM file"
            : "the file's private key cannot be read; is it complete?";
    EVP_PKEY_free(key);
    return bad;
}

const char *conf_check_pem_pair(const char *cert, const char *key)
{
    X509 *x = first_cert(cert);
    EVP_PKEY *k = read_key(key);
    const char *bad = NULL;
    if (x != NULL && k != NULL && X509_check_private_key(x, k) != 1)
        bad = "is not the key of the first certificate in the other file";
    ERR_clear_error();
    X509_free(x);
    EVP_PKEY_free(k);
    return bad;
}
