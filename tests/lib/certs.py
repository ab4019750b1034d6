"""Certificates for tests, made by openssl: an authority, servers and clients that it signed.

    ca = Authority(folder)                     folder/NAME.ca.pem
    cert, key = ca.issue("server", "127.0.0.1", "localhost")
"""
import os
import subprocess


def openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Authority:
    def __init__(self, folder, name="authority"):
        self.folder, self.name, self.serial = str(folder), name, 0
        self.key, self.cert = self.path(name + ".ca.key"), self.path(name + ".ca.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                "-subj", "/CN=" + name, "-keyout", self.key, "-out", self.cert)

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, *hosts, days=30):
        """Paths of a certificate for these hosts and of its key."""
        self.serial += 1
        key, cert = self.path("%s.%d.key" % (name, self.serial)), self.path("%s.%d.pem" % (name, self.serial))
        request, extra = cert + ".csr", cert + ".ext"
        names = ",".join(("IP:" if h.replace(".", "").isdigit() else "DNS:") + h for h in hosts or ("localhost",))
        with open(extra, "w") as f:
            f.write("subjectAltName=%s\nbasicConstraints=CA:FALSE\n" % names)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name,
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-set_serial",
                str(1000 + self.serial), "-days", str(days), "-extfile", extra, "-out", cert)
        os.chmod(key, 0o600)
        return cert, key
