#!/bin/sh
# Makes the files beside it: one key with its certificate and that of its issuer, protected in every way that people's
# tools have. Run with OpenSSL 3.0.19 and its legacy provider, keytool of OpenJDK 17 and Python 3. They are kept because
# nothing else makes them everywhere: not every system has the legacy provider, and none has all of these tools.
#
# What OpenSSL 1.1 writes without options is what OpenSSL 3 writes with `-legacy`: RC2 of 40 bits for certificates and
# triple DES for keys. What Windows writes is, as `certutil -dump` and `openssl pkcs12 -info` show it, triple DES for both
# or AES-256 for both, with the name of a cryptographic provider and the mark of the machine's key set.
set -eu
cd "$(dirname "$0")"
rm -f ./*.p12 ./*.pem ./*.key
password='correct horse'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/ca.key" -out "$work/ca.pem" -days 36500 -subj "/CN=test authority" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout "$work/leaf.key" -out "$work/leaf.csr" -subj "/CN=test client" 2>/dev/null
printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n' > "$work/extensions"
openssl x509 -req -in "$work/leaf.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -days 36500 -extfile "$work/extensions" -out "$work/leaf.pem" 2>/dev/null
cat "$work/leaf.pem" "$work/ca.pem" > chain.pem
cp "$work/leaf.key" plain.key

export12() {
    name=$1
    shift
    openssl pkcs12 -export -inkey "$work/leaf.key" -in chain.pem -out "$name.p12" -passout "pass:$password" "$@"
}
export12 openssl-3
export12 openssl-1.1 -legacy
export12 windows-triple-des -legacy -descert -macalg sha1 -iter 2000 -name 'te-1f0c8e4a' -CSP 'Microsoft Enhanced Cryptographic Provider v1.0' -LMK
export12 windows-aes -keypbe AES-256-CBC -certpbe AES-256-CBC -macalg sha256 -iter 2000 -name 'te-1f0c8e4a' -CSP 'Microsoft Software Key Storage Provider' -LMK
export12 rc2-128 -legacy -certpbe PBE-SHA1-RC2-128 -keypbe PBE-SHA1-2DES
export12 aes-128-sha384 -keypbe AES-128-CBC -certpbe AES-192-CBC -macalg sha384
export12 sha512 -macalg sha512 -iter 100000
export12 sha224 -macalg sha224
export12 triple-des-pbes2 -keypbe DES-EDE3-CBC -certpbe DES-EDE3-CBC
export12 key-alone-encrypted -certpbe NONE
export12 not-encrypted -keypbe NONE -certpbe NONE
export12 no-mac -nomac
export12 rc4 -legacy -certpbe PBE-SHA1-RC4-128 -keypbe PBE-SHA1-RC4-128
password='' export12 empty-password
password='' export12 empty-password-1.1 -legacy
password='pässwörd 🔑' export12 beyond-ascii
password='pässwörd 🔑' export12 beyond-ascii-1.1 -legacy
keytool -importkeystore -srckeystore openssl-3.p12 -srcstorepass "$password" -destkeystore keytool.p12 -deststoretype PKCS12 -deststorepass "$password" 2>/dev/null
keytool -J-Dkeystore.pkcs12.legacy -importkeystore -srckeystore openssl-3.p12 -srcstorepass "$password" -destkeystore keytool-legacy.p12 -deststoretype PKCS12 -deststorepass "$password" 2>/dev/null

# PBMAC1 (RFC 9579), which OpenSSL has from 3.4 on: the same file without a check, and that check by Python's own library
python3 - "$password" <<'PYTHON'
import hashlib, hmac, sys

def field(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    length = bytes([n]) if n < 128 else (lambda b: bytes([0x80 | len(b)]) + b)(n.to_bytes((n.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + length + body

def oid(text):
    first, second, *rest = map(int, text.split("."))
    out = bytes([40 * first + second])
    for n in rest:
        digits = [n & 127]
        while n := n >> 7:
            digits.append(128 | n & 127)
        out += bytes(reversed(digits))
    return field(6, out)

def inside(der):
    n = der[1]
    start = 2 if n < 128 else 2 + (n & 127)
    end = start + (n if n < 128 else int.from_bytes(der[2:start], "big"))
    return der[start:end], der[end:]

pfx, _ = inside(open("no-mac.p12", "rb").read())
version, safe = pfx[:3], pfx[3:]
content, _ = inside(safe)
_, after = inside(content)  # the type
octets, _ = inside(after)
data, _ = inside(octets)
salt, rounds = bytes(range(16)), 2048
key = hashlib.pbkdf2_hmac("sha512", sys.argv[1].encode(), salt, rounds, 32)
digest = hmac.new(key, data, "sha256").digest()
integer = lambda n: field(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))
derivation = field(0x30, oid("1.2.840.113549.1.5.12"), field(0x30, field(4, salt), integer(rounds), integer(32),
                   field(0x30, oid("1.2.840.113549.2.11"), field(5))))
scheme = field(0x30, oid("1.2.840.113549.2.9"), field(5))
algorithm = field(0x30, oid("1.2.840.113549.1.5.14"), field(0x30, derivation, scheme))
mac = field(0x30, field(0x30, algorithm, field(4, digest)), field(4, b"NOT USED"), integer(1))
open("pbmac1.p12", "wb").write(field(0x30, version, safe, mac))
PYTHON

topk8() {
    name=$1
    shift
    openssl pkcs8 -topk8 -in "$work/leaf.key" -out "$name.key" -passout "pass:$password" "$@"
}
topk8 openssl-3
topk8 aes-128-sha1 -v2 aes-128-cbc -v2prf hmacWithSHA1
topk8 sha512 -v2 aes-256-cbc -v2prf hmacWithSHA512 -iter 100000
topk8 triple-des -v2 des3
topk8 pbes1-triple-des -v1 PBE-SHA1-3DES
topk8 pbes1-rc2 -v1 PBE-SHA1-RC2-40 -provider legacy -provider default
topk8 scrypt -scrypt
topk8 md5-des -v1 PBE-MD5-DES -provider legacy -provider default
openssl rsa -in "$work/leaf.key" -aes256 -traditional -passout "pass:$password" -out traditional.key 2>/dev/null
