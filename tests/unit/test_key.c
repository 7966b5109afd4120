#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "bcda/error.h"
#include "codec/key.h"
#include "helper.h"
#include "sample.h"
#include "shell.h"
#include "suite.h"

static struct bcda_error err;
/* Makes one 2048-bit key for all tests, in several file formats. The tests only read these files.
 */
static void make_keys(void)
{
    make_dir();
    run("openssl genrsa -traditional -out pkcs1 2048 2>err");
    run("openssl pkcs8 -topk8 -nocrypt -in pkcs1 -out pkcs8");
    run("openssl rsa -in pkcs1 -traditional -outform DER -out der 2>err");
    run("cat > pem.py <<'END'\n"
        "import base64, textwrap\n"
        "def tlv(t, v):\n"
        "    n = len(v)\n"
        "    return bytes([t] + ([n] if n < 128 else [0x82, n >> 8, n & 255])) + v\n"
        "def pem(name, body, label='PRIVATE KEY'):\n"
        "    lines = textwrap.wrap(base64.b64encode(tlv(0x30, body)).decode(), 64)\n"
        "    with open(name, 'w') as f:\n"
        "        print('-----BEGIN ' + label + '-----', *lines, '-----END ' + label + '-----', "
        "sep=chr(10), file=f)\n"
        "END\n");
}

static void setup(void)
{
    ck_assert_int_eq(bcda__crypto_init(0, NULL), 0);
}

/* Reads a key from a buffer of exactly `len` bytes. Checks the key or the error, and returns 0 or
 * the error's code. */
static int read_text(const char *text, size_t len, const char *passphrase)
{
    struct bcda__key *k = NULL;
    char *exact = malloc(len + !len);
    int rc;

    memcpy(exact, text, len);
    memset(&err, 0x55, sizeof err);
    rc = bcda__key_new(&k, "my.pem", exact, len, passphrase, &err);
    free(exact);
    if (rc == 0) {
        ck_assert_int_eq(bcda__rsa_check(&k->parts), 0);
        ck_assert_uint_eq(k->parts.n_len, (k->bits + 7) / 8);
        ck_assert(k->der.len > 0 && k->parts.n > (const uint8_t *)k->der.data);
        bcda__key_free(k);
        return 0;
    }
    ck_assert(k == NULL);
    ck_assert_int_eq(err.code, rc);
    ck_assert(strncmp(err.text, "my.pem", 6) == 0);
    ck_assert_int_ne(err.text[strlen(err.text) - 1], '.');
    if (passphrase && strlen(passphrase) > 4)
        ck_assert(strstr(err.text, passphrase) == NULL);
    return rc;
}

static int read_file(const char *name, const char *passphrase)
{
    size_t len;
    char *text = slurp(name, &len);
    int rc = read_text(text, len, passphrase);

    free(text);
    return rc;
}

static void expect(int rc, int want, const char *words)
{
    ck_assert_msg(rc == want, "%d instead of %d: %s", rc, want, rc ? err.text : "");
    if (words)
        ck_assert_msg(strstr(err.text, words) != NULL, "`%s` not in: %s", words, err.text);
}

static void good(int rc)
{
    expect(rc, 0, NULL);
}

/* ---- keys that are not encrypted ---- */

START_TEST(test_plain)
{
    struct bcda__key *a, *b;
    size_t len;
    char *text = slurp("pkcs1", &len);

    ck_assert(strncmp(text, "-----BEGIN RSA PRIVATE KEY-----", 31) == 0);
    ck_assert_int_eq(bcda__key_new(&a, "a", text, len, NULL, &err), 0);
    free(text);
    text = slurp("pkcs8", &len);
    ck_assert(strncmp(text, "-----BEGIN PRIVATE KEY-----", 27) == 0);
    ck_assert_int_eq(bcda__key_new(&b, "b", text, len, "not needed", &err), 0);
    free(text);
    text = slurp("der", &len);
    ck_assert_uint_eq(a->bits, 2048);
    ck_assert_uint_eq(a->der.len, len);
    ck_assert_uint_eq(b->der.len, len);
    ck_assert_int_eq(memcmp(a->der.data, text, len), 0);
    ck_assert_int_eq(memcmp(b->der.data, text, len), 0);
    ck_assert_uint_eq(a->parts.n_len, 256);
    ck_assert_uint_eq(a->parts.e_len, 3);
    ck_assert_uint_eq(a->parts.p_len, 128);
    ck_assert_uint_eq(a->parts.q_len, 128);
    ck_assert_int_eq(memcmp(a->parts.e, "\1\0\1", 3), 0);
    free(text);
    bcda__key_free(a);
    bcda__key_free(b);
    bcda__key_free(NULL);
}
END_TEST

START_TEST(test_text_around)
{
    static const char *const commands[] = {
        "cat cert params pkcs1 | tee a > made",
        "(echo 'Bag Attributes'; echo '    friendlyName: x'; cat pkcs8; cat cert) > made",
        "sed 's/$/\r/' a > made",
        "sed 's/$/\r/' pkcs8 > made",
        "sed 's/^/  \t/; s/$/ \t /' pkcs8 > made",
        "printf '\357\273\277' > made && cat pkcs8 >> made",
        "(head -n 1 pkcs1; echo 'Comment: whatever'; echo; tail -n +2 pkcs1) > made",
        ("(head -n 1 pkcs8; tail -n +2 pkcs8 | head -n -1 | tr -d '\n'; echo; tail -n 1 pkcs8) "
         "> made"), /* the base64 in one long line */
        "(cat pkcs8; head -c 300000 /dev/zero | tr '\\0' x) > made",
        "printf '%s' \"$(cat pkcs8)\" > made", /* no LF at the end */
        /* two keys: the library reads the first */
        "(cat pkcs8; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256) > made",
    };
    size_t i;

    run("openssl req -x509 -new -key pkcs1 -subj /CN=test -out cert");
    run("openssl ecparam -name prime256v1 -out params");
    for (i = 0; i < COUNT(commands); i++) {
        run("%s", commands[i]);
        good(read_file("made", NULL));
    }
}
END_TEST

START_TEST(test_sizes)
{
    static const int bits[] = {2048, 2056, 3072, 4096};
    struct bcda__key *k;
    size_t i, len;

    for (i = 0; i < COUNT(bits); i++) {
        char *text;

        run("openssl genrsa -out sized %d 2>err", bits[i]);
        text = slurp("sized", &len);
        ck_assert_int_eq(bcda__key_new(&k, "x", text, len, NULL, NULL), 0);
        ck_assert_uint_eq(k->bits, (unsigned)bits[i]);
        bcda__key_free(k);
        free(text);
    }
    run("openssl genrsa -out sized 2047 2>err");
    expect(read_file("sized", NULL), BCDA_ERR_KEY_UNSUPPORTED, "of 2047 bits");
    run("openssl genrsa -out sized 1024 2>err");
    expect(read_file("sized", NULL), BCDA_ERR_KEY_UNSUPPORTED, "of 1024 bits; 2048 to 8192");
}
END_TEST

/* The primes of an 8192-bit key, in base64. To generate such a key in the test takes too long. */
static const char prime1[] =
    "6kIxOpciTxPIWWMtOw8vcF0tqbKOcrPTNkI6FJre3x7Misj/foatIOMleOl+rH6Pyl+okZ7wnXZfNzje+aHWoXuRKLcWl"
    "toyLr93eJ4FuJgR/nZ9ZSUwkIqjCnyXRmkfY6cPDB+PAUWC1HfMJyMvZzzLftD9klGLAI6eCd8FBXfP4qUt/oFiLA9m2Q"
    "AzsCbdRejXK47pVxkrqsrEu57440WoERsdd5MCMiAR17t/LRSNZK3p9SmPf5GQXAYLGAVTmMPqNjmjHBidaRzxx9cMHik"
    "/A3eCG8GvPbUaat0HCIICHy5wzvYcE4AWYDggGW4TPzdl4z1dFZE/Lj6CVn5048tApI/mwBVwOd197/fPbE1SLi9nhXVN"
    "zYJWrgGUx1jb9MctJiKxlUz7uVMY2xyik5TKx1O2BDptvSOdtjC8KGxVJOXe32BVFgBADDnXFje1W9nt5a8NCwNQuxM9K"
    "Ub4m48uUEEm2IfL6M2xM+A8AmzLb78DVwT/V19/4EcDEQ5uqhpXFMpKeJCuvRvctFsN5+LGLJ0cubg7CWIxkZGX9LF1hN"
    "p3A49Qm9nWHIZ1CoC4GkjhUOlWIOrsj4Up6cDiUHRIZ9Or+UVQPfvJILzj9YEeZin/sjn4iQRCSLMpoDJ/wXQt2N2I4M2"
    "6IMfW0qR1V3O8igQrmx5juoXXYhg8pIE=";
static const char prime2[] =
    "019DOVektoP/ncOmdW7iNU9G6ewRUaS5hdH2Kc2Sd7B+PI3GoxC7FPSAq1JeHrzQwNoRYoDGySZPswjoYHJNO6MDmKVTi"
    "T+0L6SBgrMiHH2Ery1xKhm6Et2Kre9yTgcp+FUCfpf074dTOCFLFGTYdk6lYtabyf1b3G8xQFxHOwfSVZce8N8f7NJ5hG"
    "iusigsOBU8g7efZdMM2j63M/clzBaFqQ+mmoaGFPpo7aizPymim0izucyJFC0y6dtX5iArM90wc4nn4jTX7eFMBwtH/2r"
    "lWOEdwWKbq08viEIy+/cayNwk869CpgGtWwiVxOX5EnOEedWxpIEbf2gJYPreRsvbo90/U+egFeHzA1zn3BaoT9kmqrCw"
    "4ArzJkWjkxHLy/Xip4CC9/YwxYuF4k5B9+XWNfil/CTfw/tURDp2y5GrjbKdx6m0cnXb15Xuxwr7aDXbBoYL6+FSxqtV+"
    "p5eQiTyyvqsbwBuBxkXY2U0dtuaGI20os47toByZZmfjWr2GpPI7+XUoT1Gns5uC/SvfDad3EWNWkQ2B2CUkq6SoQq9rF"
    "amrPo6iOI0SgAFyIj/WkCz9uPeEw/HWTfdRds785GqWO2HRnqyXMHtdYhaTCBCHN9OIGIksbeEsyxnM6LD3MttSz+9WLV"
    "yCD6NzZmHEArRBajRiXLs231uVGnGPfM=";

START_TEST(test_8192)
{
    uint8_t out[32];
    uint8_t *wrapped;
    struct bcda__key *k;
    size_t len;
    char *text;

    run("/usr/bin/python3 -c \"import base64\n"
        "from cryptography.hazmat.primitives.asymmetric import rsa\n"
        "from cryptography.hazmat.primitives.serialization import *\n"
        "p, q = (int.from_bytes(base64.b64decode(t), 'big') for t in ('%s', '%s')); e = 65537\n"
        "d = pow(e, -1, (p - 1) * (q - 1))\n"
        "k = rsa.RSAPrivateNumbers(p, q, d, d %% (p - 1), d %% (q - 1), pow(q, -1, p), "
        "rsa.RSAPublicNumbers(e, p * q)).private_key()\n"
        "open('big', 'wb').write(k.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, "
        "NoEncryption()))\"",
        prime1, prime2);
    text = slurp("big", &len);
    ck_assert_int_eq(bcda__key_new(&k, "big", text, len, NULL, &err), 0);
    ck_assert_uint_eq(k->bits, 8192);
    free(text);
    run("head -c 32 /dev/zero > zeros && openssl pkey -in big -pubout -out big.pub && "
        "openssl pkeyutl -encrypt -pubin -inkey big.pub -in zeros -out wrapped "
        "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256 "
        "-pkeyopt rsa_oaep_label:616263");
    wrapped = slurp("wrapped", &len);
    memset(out, 1, sizeof out);
    ck_assert_int_eq(bcda__rsa_unwrap(&k->parts, wrapped, len, "abc", 3, out, 32), 0);
    ck_assert(out[0] == 0 && out[31] == 0);
    ck_assert_int_eq(bcda__rsa_unwrap(&k->parts, wrapped, len, "abd", 3, out, 32),
                     BCDA_ERR_KEY_LABEL);
    free(wrapped);
    bcda__key_free(k);
}
END_TEST

/* Lets openssl build a DER structure from a description, and writes it as PEM. */
static void generate(const char *conf, const char *label, const char *name)
{
    run("printf '%%b' '%s' > conf && openssl asn1parse -genconf conf -noout -out gen && "
        "(echo '-----BEGIN %s-----'; openssl base64 -in gen; echo '-----END %s-----') > %s",
        conf, label, label, name);
}

START_TEST(test_made_up)
{
    char conf[5000];
    char n[2052] = "1"; /* a number of 8193 bits, in hex */

    memset(n + 1, '0', 2048);
    snprintf(conf, sizeof conf,
             "asn1=SEQ:s\\n[s]\\nv=INT:0\\nn=INT:0x%s\\ne=INT:65537\\nd=INT:5\\np=INT:5\\nq=INT:5"
             "\\na=INT:5\\nb=INT:5\\nc=INT:5\\n",
             n);
    generate(conf, "RSA PRIVATE KEY", "big");
    expect(read_file("big", NULL), BCDA_ERR_KEY_UNSUPPORTED, "of 8193 bits; 2048 to 8192");
    snprintf(conf, sizeof conf,
             "asn1=SEQ:s\\n[s]\\nv=INT:0\\nn=INT:0x%.600s\\ne=INT:65537\\nd=INT:5\\np=INT:5\\n"
             "q=INT:5\\na=INT:5\\nb=INT:5\\nc=INT:5\\n",
             n);
    generate(conf, "RSA PRIVATE KEY", "bad");
    expect(read_file("bad", NULL), BCDA_ERR_KEY_FORMAT, "do not fit together");
    snprintf(conf, sizeof conf,
             "asn1=SEQ:s\\n[s]\\nv=INT:1\\nn=INT:0x%.600s\\ne=INT:65537\\nd=INT:5\\np=INT:5\\n"
             "q=INT:5\\na=INT:5\\nb=INT:5\\nc=INT:5\\nz=SEQ:z\\n[z]\\ny=SEQ:y\\n[y]\\n1=INT:5\\n"
             "2=INT:5\\n3=INT:5\\n",
             n);
    generate(conf, "RSA PRIVATE KEY", "multi");
    expect(read_file("multi", NULL), BCDA_ERR_KEY_UNSUPPORTED, "more than two primes");
    generate("asn1=SEQ:s\\n[s]\\nv=INT:0\\nn=INT:-5\\ne=INT:0\\nd=INT:5\\np=INT:5\\nq=INT:5\\n"
             "a=INT:5\\nb=INT:5\\nc=INT:5\\n",
             "RSA PRIVATE KEY", "negative");
    expect(read_file("negative", NULL), BCDA_ERR_KEY_FORMAT, NULL);
}
END_TEST

/* Reads keys in PKCS#8 version 2, with attributes and with the public key after the private key. */
START_TEST(test_pkcs8_v2)
{
    run("/usr/bin/python3 -c \"from pem import *\n"
        "der = open('der', 'rb').read()\n"
        "alg = tlv(0x30, tlv(6, bytes.fromhex('2a864886f70d010101')) + b'\\x05\\x00')\n"
        "att = tlv(0xa0, tlv(0x30, tlv(6, bytes.fromhex('551d0f')) + tlv(0x31, "
        "tlv(3, b'\\x00\\x10'))))\n"
        "pem('v1', tlv(2, b'\\x00') + alg + tlv(4, der) + att)\n"
        "pem('v2', tlv(2, b'\\x01') + alg + tlv(4, der) + att + tlv(0x81, b'\\x00' + bytes(200)))\n"
        "pem('noatt', tlv(2, b'\\x01') + alg + tlv(4, der) + tlv(0x81, b'\\x00' + bytes(200)))\n"
        "pem('more', tlv(2, b'\\x00') + alg + tlv(4, der + b'\\x00'))\n"
        "pem('less', tlv(2, b'\\x00') + alg + tlv(4, der[:-1]))\n"
        "pem('none', tlv(2, b'\\x00') + alg + tlv(4, b''))\n"
        "\"");
    good(read_file("v1", NULL));
    good(read_file("v2", NULL));
    good(read_file("noatt", NULL));
    expect(read_file("more", NULL), BCDA_ERR_KEY_FORMAT, NULL);
    expect(read_file("less", NULL), BCDA_ERR_KEY_FORMAT, NULL);
    expect(read_file("none", NULL), BCDA_ERR_KEY_FORMAT, NULL);
}
END_TEST

/* ---- encrypted keys ---- */

START_TEST(test_pbes2)
{
    static const char *const ciphers[] = {"aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des3"};
    static const char *const prfs[] = {"hmacWithSHA1", "hmacWithSHA256", "hmacWithSHA384",
                                       "hmacWithSHA512"};
    size_t c, p;

    for (c = 0; c < 4; c++) {
        for (p = 0; p < 4; p++) {
            run("openssl pkcs8 -topk8 -in pkcs1 -v2 %s -v2prf %s -passout 'pass:sésame ouvre-toi' "
                "-out enc",
                ciphers[c], prfs[p]);
            good(read_file("enc", "s\303\251same ouvre-toi"));
            expect(read_file("enc", "sesame ouvre-toi"), BCDA_ERR_KEY_PASSPHRASE, "is wrong");
            expect(read_file("enc", ""), BCDA_ERR_KEY_PASSPHRASE, "is wrong");
            expect(read_file("enc", NULL), BCDA_ERR_KEY_PASSPHRASE, "passphrase is needed");
        }
    }
    run("openssl pkcs8 -topk8 -in pkcs1 -v2 aes-256-cbc -iter 1 -passout pass:x -out enc");
    good(read_file("enc", "x"));
    run("sed 's/$/\r/' enc > crlf && cat pkcs1 >> crlf");
    good(read_file("crlf", "x"));
    /* Of the two keys in the file, the library reads the first, which is encrypted. */
    expect(read_file("crlf", NULL), BCDA_ERR_KEY_PASSPHRASE, NULL);
}
END_TEST

/* With a wrong passphrase, about one decryption in 256 gives valid padding by chance. The decrypted
 * bytes are then not DER. */
START_TEST(test_many_wrong)
{
    char guess[32];
    int i;

    run("openssl pkcs8 -topk8 -in pkcs1 -v2 aes-128-cbc -iter 1 -passout pass:x -out enc8");
    run("openssl rsa -in pkcs1 -aes128 -traditional -passout pass:xxxx -out enc1 2>err");
    for (i = 0; i < 3000; i++) {
        snprintf(guess, sizeof guess, "a guess, no. %d", i);
        expect(read_file("enc8", guess), BCDA_ERR_KEY_PASSPHRASE, "is wrong");
        expect(read_file("enc1", guess), BCDA_ERR_KEY_PASSPHRASE, "is wrong");
    }
    good(read_file("enc8", "x"));
    good(read_file("enc1", "xxxx"));
}
END_TEST

START_TEST(test_traditional)
{
    static const char *const ciphers[] = {"aes128", "aes192", "aes256", "des3"};
    static const char *const faults[] = {
        "s/^DEK-Info.*/DEK-Info: AES-128-CBC,00/", "s/^DEK-Info.*/DEK-Info: AES-128-CBC/",
        "/^DEK-Info/d", "s/^DEK-Info.*/DEK-Info: AES-128-CBC,zz112233445566778899aabbccddeeff/"};
    size_t i;

    for (i = 0; i < 4; i++) {
        run("openssl rsa -in pkcs1 -%s -traditional -passout pass:hunter22 -out enc 2>err",
            ciphers[i]);
        run("grep -q 'Proc-Type: 4,ENCRYPTED' enc");
        good(read_file("enc", "hunter22"));
        expect(read_file("enc", "hunter2"), BCDA_ERR_KEY_PASSPHRASE, "is wrong");
        expect(read_file("enc", NULL), BCDA_ERR_KEY_PASSPHRASE, "passphrase is needed");
        run("sed 's/$/\r/' enc > crlf");
        good(read_file("crlf", "hunter22"));
    }
    run("openssl rsa -in pkcs1 -camellia128 -traditional -passout pass:hunter22 -out enc 2>err");
    expect(read_file("enc", "hunter22"), BCDA_ERR_KEY_UNSUPPORTED, "CAMELLIA-128-CBC");
    run("openssl rsa -in pkcs1 -aes128 -traditional -passout pass:hunter22 -out enc 2>err");
    for (i = 0; i < COUNT(faults); i++) {
        run("sed '%s' enc > bad", faults[i]);
        expect(read_file("bad", "hunter22"), BCDA_ERR_KEY_FORMAT, "DEK-Info");
    }
}
END_TEST

/* Reads encrypted keys whose PBES2 parameters have the optional keyLength, or lack the optional prf
 * (pseudo-random function), or are invalid. Python writes the structures; openssl encrypts the key.
 */
START_TEST(test_pbes2_parameters)
{
    run("/usr/bin/python3 -c \"import hashlib, subprocess; from pem import *\n"
        "der = subprocess.run(['openssl', 'pkcs8', '-topk8', '-nocrypt', '-in', 'pkcs1', "
        "'-outform', 'DER'], stdout=subprocess.PIPE, check=True).stdout\n"
        "def seq(*v): return tlv(0x30, b''.join(v))\n"
        "def num(n): return tlv(2, n.to_bytes(n.bit_length() // 8 + 1, 'big'))\n"
        "def oid(h): return tlv(6, bytes.fromhex(h))\n"
        "PBES2, PBKDF2 = oid('2a864886f70d01050d'), oid('2a864886f70d01050c')\n"
        "AES128 = oid('608648016503040102')\n"
        "NULL = b'\\x05\\x00'; salt = bytes(8); iv = bytes(16)\n"
        "key = hashlib.pbkdf2_hmac('sha1', b'pass', salt, 10, 16)\n"
        "body = subprocess.run(['openssl', 'enc', '-aes-128-cbc', '-K', key.hex(), '-iv', "
        "iv.hex()], input=der, stdout=subprocess.PIPE, check=True).stdout\n"
        "def enc(name, *kdf, scheme=PBES2, how=PBKDF2, cipher=AES128, vec=tlv(4, iv), cut=0):\n"
        "    pem(name, seq(scheme, seq(seq(how, seq(*kdf)), seq(cipher, vec))) + "
        "tlv(4, body[:len(body) - cut]), 'ENCRYPTED PRIVATE KEY')\n"
        "S = tlv(4, salt)\n"
        "enc('bare', S, num(10))\n"
        "enc('length', S, num(10), num(16))\n"
        "enc('both', S, num(10), num(16), seq(oid('2a864886f70d0207'), NULL))\n"
        "enc('wronglength', S, num(10), num(32))\n"
        "enc('sha224', S, num(10), seq(oid('2a864886f70d0208'), NULL))\n"
        "enc('many', S, num(10000001))\n"
        "enc('huge', S, num(1 << 40))\n"
        "enc('zero', S, num(0))\n"
        "enc('negative', S, tlv(2, b'\\x80'))\n"
        "enc('nosalt', tlv(4, b''), num(10))\n"
        "enc('othersalt', seq(PBES2), num(10))\n"
        "enc('shortiv', S, num(10), vec=tlv(4, bytes(8)))\n"
        "enc('noiv', S, num(10), vec=b'')\n"
        "enc('notiv', S, num(10), vec=num(5))\n"
        "enc('gcm', S, num(10), cipher=oid('608648016503040106'))\n"
        "enc('scrypt', S, num(10), how=oid('2b06010401da47040b'))\n"
        "enc('pbes1', S, num(10), scheme=oid('2a864886f70d010503'))\n"
        "enc('cut', S, num(10), cut=1)\n"
        "enc('cut16', S, num(10), cut=16)\n"
        "enc('empty', S, num(10), cut=len(body))\n"
        "\"");
    good(read_file("bare", "pass"));
    good(read_file("length", "pass"));
    good(read_file("both", "pass"));
    expect(read_file("wronglength", "pass"), BCDA_ERR_KEY_FORMAT, "key length");
    expect(read_file("sha224", "pass"), BCDA_ERR_KEY_UNSUPPORTED, "1.2.840.113549.2.8");
    expect(read_file("many", "pass"), BCDA_ERR_KEY_UNSUPPORTED, "iterations");
    expect(read_file("huge", "pass"), BCDA_ERR_KEY_UNSUPPORTED, "iterations");
    expect(read_file("zero", "pass"), BCDA_ERR_KEY_FORMAT, NULL);
    expect(read_file("negative", "pass"), BCDA_ERR_KEY_FORMAT, NULL);
    expect(read_file("nosalt", "pass"), BCDA_ERR_KEY_FORMAT, NULL);
    expect(read_file("othersalt", "pass"), BCDA_ERR_KEY_FORMAT, NULL);
    expect(read_file("shortiv", "pass"), BCDA_ERR_KEY_FORMAT, "initialisation vector");
    expect(read_file("noiv", "pass"), BCDA_ERR_KEY_FORMAT, "initialisation vector");
    expect(read_file("notiv", "pass"), BCDA_ERR_KEY_FORMAT, "initialisation vector");
    expect(read_file("gcm", "pass"), BCDA_ERR_KEY_UNSUPPORTED, "2.16.840.1.101.3.4.1.6");
    expect(read_file("scrypt", "pass"), BCDA_ERR_KEY_UNSUPPORTED, "1.3.6.1.4.1.11591.4.11");
    expect(read_file("pbes1", "pass"), BCDA_ERR_KEY_UNSUPPORTED, "1.2.840.113549.1.5.3");
    expect(read_file("cut", "pass"), BCDA_ERR_KEY_PASSPHRASE, NULL);
    expect(read_file("cut16", "pass"), BCDA_ERR_KEY_PASSPHRASE, NULL);
    expect(read_file("empty", "pass"), BCDA_ERR_KEY_PASSPHRASE, NULL);
}
END_TEST

/* Reads a key in FIPS mode. libgcrypt chooses that mode when it is initialised, so this function
 * runs in a second process of this program (see test_fips). */
static int fips_read(const char *where, const char *name, const char *passphrase)
{
    struct bcda__key *k;
    char path[300];
    char text[8000];
    size_t len;
    FILE *f;
    int rc;

    snprintf(path, sizeof path, "%s/%s", where, name);
    f = fopen(path, "rb");
    if (!f)
        return 1;
    len = fread(text, 1, sizeof text, f);
    fclose(f);
    rc = bcda__key_new(&k, "my.pem", text, len, passphrase, &err);
    if (!rc)
        bcda__key_free(k);
    return rc;
}

int suite_run_alone(int argc, char **argv)
{
    const char *where = argv[2];

    if (argc != 3 || strcmp(argv[1], "--fips") != 0)
        return 9;
    if (bcda__crypto_init(0, &err) || !bcda__crypto_fips())
        return 10;
    if (fips_read(where, "enc1", "hunter22") != BCDA_ERR_KEY_FIPS ||
        !strstr(err.text, "openssl pkcs8"))
        return 11;
    if (fips_read(where, "pkcs8", NULL))
        return 12;
    if (fips_read(where, "enc8", "thirteen char") != BCDA_ERR_LIBRARY ||
        !strstr(err.text, "14 bytes"))
        return 13;
    return fips_read(where, "encl", "fourteen chars") ? 14 : 0;
}

START_TEST(test_fips)
{
    char self[500];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    ck_assert_int_gt(n, 0);
    self[n] = '\0';
    run("openssl rsa -in pkcs1 -aes256 -traditional -passout pass:hunter22 -out enc1 2>err");
    run("openssl pkcs8 -topk8 -in pkcs1 -v2 aes-256-cbc -passout 'pass:thirteen char' -out "
        "enc8");
    run("openssl pkcs8 -topk8 -in pkcs1 -v2 aes-256-cbc -passout 'pass:fourteen chars' -out "
        "encl");
    run("LIBGCRYPT_FORCE_FIPS_MODE=1 '%s' --fips %s", self, dir);
}
END_TEST

/* ---- files that are not an RSA private key ---- */

START_TEST(test_other_things)
{
    run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec");
    expect(read_file("ec", NULL), BCDA_ERR_KEY_UNSUPPORTED, "EC key");
    run("openssl ec -in ec -out ec1 2>err");
    expect(read_file("ec1", NULL), BCDA_ERR_KEY_UNSUPPORTED, "EC key");
    run("openssl pkcs8 -topk8 -in ec -v2 aes-128-cbc -passout pass:abcd -out ec8");
    expect(read_file("ec8", "abcd"), BCDA_ERR_KEY_UNSUPPORTED, "EC key");
    run("openssl genpkey -algorithm ED25519 -out ed");
    expect(read_file("ed", NULL), BCDA_ERR_KEY_UNSUPPORTED, "1.3.101.112");
    run("openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out pss 2>err");
    expect(read_file("pss", NULL), BCDA_ERR_KEY_UNSUPPORTED, "1.2.840.113549.1.1.10");
    run("openssl pkey -in pkcs8 -pubout -out pub");
    expect(read_file("pub", NULL), BCDA_ERR_KEY_FORMAT, "holds a public key");
    run("openssl rsa -in pkcs1 -RSAPublicKey_out -out pub1 2>err");
    expect(read_file("pub1", NULL), BCDA_ERR_KEY_FORMAT, "holds a public key");
    run("openssl req -x509 -new -key pkcs1 -subj /CN=test -out cert2");
    expect(read_file("cert2", NULL), BCDA_ERR_KEY_FORMAT, "holds a certificate");
    expect(read_file("der", NULL), BCDA_ERR_KEY_FORMAT, "DER");
    run("openssl pkcs12 -export -inkey pkcs1 -in cert2 -passout pass:abcd -out p12");
    expect(read_file("p12", "abcd"), BCDA_ERR_KEY_FORMAT, "PKCS#12");
    run("iconv -f ASCII -t UTF-16 pkcs8 > utf16");
    expect(read_file("utf16", NULL), BCDA_ERR_KEY_FORMAT, "UTF-16");
    run("(echo '-----BEGIN OPENSSH PRIVATE KEY-----'; openssl base64 -in der; "
        "echo '-----END OPENSSH PRIVATE KEY-----') > ssh");
    expect(read_file("ssh", NULL), BCDA_ERR_KEY_UNSUPPORTED, "ssh-keygen -p -m PEM");
    run("sed 's/RSA PRIVATE/FUNNY PRIVATE/' pkcs1 > funny");
    expect(read_file("funny", NULL), BCDA_ERR_KEY_UNSUPPORTED, "FUNNY PRIVATE KEY");
    run("openssl pkcs8 -topk8 -in pkcs1 -v1 PBE-SHA1-3DES -passout pass:abcd -out pbe");
    expect(read_file("pbe", "abcd"), BCDA_ERR_KEY_UNSUPPORTED, "openssl pkcs8 -topk8");
    run("openssl pkcs8 -topk8 -in pkcs1 -scrypt -passout pass:abcd -out scrypt");
    expect(read_file("scrypt", "abcd"), BCDA_ERR_KEY_UNSUPPORTED, "openssl pkcs8 -topk8");
    expect(read_text("", 0, NULL), BCDA_ERR_KEY_FORMAT, "is empty");
    expect(read_text("hello\n", 6, NULL), BCDA_ERR_KEY_FORMAT, "no PEM private key");
    /* PEM labels that name another format than that of the key inside */
    run("sed 's/RSA PRIVATE/PRIVATE/' pkcs1 > mixed1 && sed 's/ PRIVATE/ RSA PRIVATE/' pkcs8 > "
        "mixed2 && sed 's/ PRIVATE/ ENCRYPTED PRIVATE/' pkcs8 > mixed3");
    expect(read_file("mixed1", NULL), BCDA_ERR_KEY_FORMAT, NULL);
    expect(read_file("mixed2", NULL), BCDA_ERR_KEY_FORMAT, NULL);
    expect(read_file("mixed3", "x"), BCDA_ERR_KEY_FORMAT, NULL);
}
END_TEST

/* ---- damaged keys ---- */

START_TEST(test_pem_damage)
{
    static const char *const texts[] = {
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nA=AA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\n=AAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nA===\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAA==AAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAA==\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAB==\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA====\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAA AA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAA_A\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY----\nMAA=\n-----END PRIVATE KEY-----\n",
        "-----BEGIN -----",
        "-----BEGIN ",
    };
    size_t i, len;
    char *text;

    for (i = 0; i < COUNT(texts); i++)
        ck_assert_msg(read_text(texts[i], strlen(texts[i]), "x") == BCDA_ERR_KEY_FORMAT, "%s",
                      texts[i]);
    expect(read_text(texts[10], strlen(texts[10]), NULL), BCDA_ERR_KEY_FORMAT, "a character that");
    text = slurp("pkcs1", &len);
    for (i = 0; i < len - 1; i++)
        ck_assert_int_eq(read_text(text, i, NULL), BCDA_ERR_KEY_FORMAT);
    good(read_text(text, len - 1, NULL));
    free(text);
    run("(echo '-----BEGIN PRIVATE KEY-----'; head -c 80000 /dev/zero | openssl base64; "
        "echo '-----END PRIVATE KEY-----') > long");
    expect(read_file("long", NULL), BCDA_ERR_KEY_FORMAT, "far too long");
}
END_TEST

static size_t to_pem(const uint8_t *der, size_t len, const char *label, char *out)
{
    char *p = out + sprintf(out, "-----BEGIN %s-----\n", label);
    size_t i;

    for (i = 0; i < len; i += 48) { /* 48 bytes are a line of 64 characters */
        bcda__text_base64(der + i, len - i < 48 ? len - i : 48, p);
        p = strcat(p, "\n") + strlen(p);
    }
    return (size_t)(p + sprintf(p, "-----END %s-----\n", label) - out);
}

static void mutate(uint8_t *der, size_t *len)
{
    size_t times = 1 + roll(3);
    size_t at, n;

    while (times--) {
        at = roll(2) ? roll((uint32_t)*len)
                     : roll(60) % *len; /* most of the structure is at the start */
        switch (roll(4)) {
        case 0:
            der[at] ^= (uint8_t)(1 << roll(8));
            break;
        case 1:
            der[at] = (uint8_t)roll(256);
            break;
        case 2: /* remove some bytes */
            n = 1 + roll(20);
            if (at + n < *len) {
                memmove(der + at, der + at + n, *len - at - n);
                *len -= n;
            }
            break;
        default: /* bytes that, as a DER length, mean a very great length or 0 */
            der[at] = (uint8_t)(roll(2) ? 0xFF : roll(2) ? 0x84 : 0);
        }
    }
}

/* Damaged keys must not crash the library. The library may accept such a key if it does not use the
 * damaged bytes. */
START_TEST(test_mutations)
{
    static const char *const labels[] = {"RSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"};
    const char *label = labels[_i];
    char pem[8000];
    uint8_t der[4000];
    size_t whole, len;
    uint64_t i, rounds = sample_rounds(2000, 8000);
    char *good_der;

    run("openssl pkcs8 -topk8 -nocrypt -in pkcs1 -outform DER -out fuzz1 && cp der fuzz0");
    run("openssl pkcs8 -topk8 -in pkcs1 -v2 aes-128-cbc -iter 1 -passout pass:x -outform DER -out "
        "fuzz2");
    good_der = slurp(_i == 0 ? "fuzz0" : _i == 1 ? "fuzz1" : "fuzz2", &whole);
    memcpy(der, good_der, whole);
    good(read_text(pem, to_pem(der, whole, label, pem), "x"));
    for (len = 1; len < whole; len++)
        ck_assert_int_ne(read_text(pem, to_pem(der, len, label, pem), "x"), 0);
    for (i = 0; i < rounds; i++) {
        int rc;

        memcpy(der, good_der, len = whole);
        mutate(der, &len);
        rc = read_text(pem, to_pem(der, len, label, pem), "x");
        ck_assert_msg(rc == 0 || rc == BCDA_ERR_KEY_FORMAT || rc == BCDA_ERR_KEY_UNSUPPORTED ||
                          rc == BCDA_ERR_KEY_PASSPHRASE,
                      "%d %s", rc, err.text);
    }
    free(good_der);
}
END_TEST

/* A key with one bit of n, e, d, p or q changed is always refused. */
START_TEST(test_parts_flipped)
{
    struct bcda__key *k;
    char pem[8000];
    uint8_t der[4000];
    size_t len, round;
    char *text = slurp("pkcs1", &len);
    const uint8_t *base;

    ck_assert_int_eq(bcda__key_new(&k, "x", text, len, NULL, &err), 0);
    base = (const uint8_t *)k->der.data;
    for (round = 0; round < 200; round++) {
        const uint8_t *from[] = {k->parts.n, k->parts.e, k->parts.d, k->parts.p, k->parts.q};
        const size_t lens[] = {k->parts.n_len, k->parts.e_len, k->parts.d_len, k->parts.p_len,
                               k->parts.q_len};
        size_t part = round % 5;
        size_t at = (size_t)(from[part] - base) + roll((uint32_t)lens[part]);

        memcpy(der, base, k->der.len);
        der[at] ^= (uint8_t)(1 << roll(8));
        ck_assert_int_ne(read_text(pem, to_pem(der, k->der.len, "RSA PRIVATE KEY", pem), NULL), 0);
    }
    free(text);
    bcda__key_free(k);
}
END_TEST

/* ---- keys that sign ---- */

static struct bcda__key *signing;

static int read_signing(const char *name, const char *passphrase)
{
    size_t len;
    char *text = slurp(name, &len);
    char *exact = malloc(len);
    int rc;

    memcpy(exact, text, len);
    bcda__key_free(signing);
    signing = NULL;
    memset(&err, 0x55, sizeof err);
    rc = bcda__key_new_signing(&signing, "my.pem", exact, len, passphrase, &err);
    free(exact);
    free(text);
    ck_assert_int_eq(rc ? err.code : 0, rc);
    ck_assert_int_eq(signing == NULL, rc != 0);
    return rc;
}

/* Makes an EC key on P-384 in the file "ec", in SEC 1. */
static void make_ec(void)
{
    run("openssl ecparam -name secp384r1 -genkey -noout -out ec");
}

/* Reads the same EC key in all forms. */
START_TEST(test_ec_forms)
{
    static const struct {
        const char *command, *passphrase;
    } rows[] = {
        {"cat ec > made", NULL},
        {"(openssl ecparam -name secp384r1; cat ec) > made", NULL},
        {"openssl pkcs8 -topk8 -nocrypt -in ec -out made", NULL},
        {"openssl pkcs8 -topk8 -in ec -v2 aes-256-cbc -passout pass:hunter22 -out made",
         "hunter22"},
        {"openssl ec -in ec -aes128 -passout pass:hunter22 -out made 2>err", "hunter22"},
        {"openssl ec -in ec -des3 -passout pass:hunter22 -out made 2>err", "hunter22"},
        {"openssl ec -in ec -no_public -out made 2>err", NULL},
        {"openssl ec -in ec -conv_form compressed -out made 2>err", NULL},
        {"openssl ec -in ec -conv_form compressed | openssl pkcs8 -topk8 -nocrypt -out made "
         "2>err",
         NULL},
    };
    struct bcda__p384 first;
    size_t i, len;
    char *der;

    make_ec();
    ck_assert_int_eq(read_signing("ec", NULL), 0);
    memcpy(&first, signing->p384.data, sizeof first);
    run("openssl ec -in ec -outform DER -out ec.der 2>err");
    der = slurp("ec.der", &len);
    ck_assert_int_eq(memcmp(der + 8, first.d, 48), 0); /* SEQUENCE, INTEGER 1, OCTET STRING */
    ck_assert_int_eq(memcmp(der + len - 96, first.x, 96), 0);
    free(der);
    for (i = 0; i < COUNT(rows); i++) {
        run("%s", rows[i].command);
        good(read_signing("made", rows[i].passphrase));
        ck_assert_int_eq(memcmp(&first, signing->p384.data, sizeof first), 0);
        /* This is no key for decryption. */
        expect(read_file("made", rows[i].passphrase), BCDA_ERR_KEY_UNSUPPORTED,
               "this is an EC key; an RSA private key is needed");
        if (!rows[i].passphrase)
            continue;
        expect(read_signing("made", NULL), BCDA_ERR_KEY_PASSPHRASE, "passphrase is needed");
        expect(read_signing("made", "hunter2"), BCDA_ERR_KEY_PASSPHRASE, "is wrong");
    }
    good(read_signing("pkcs1", NULL));
    ck_assert(signing->p384.data == NULL && signing->bits == 2048);
    bcda__key_free(signing);
}
END_TEST

START_TEST(test_ec_refused)
{
    run("openssl ecparam -name prime256v1 -genkey -noout -out made");
    expect(read_signing("made", NULL), BCDA_ERR_KEY_UNSUPPORTED,
           "is an EC key on P-256; RS384 needs an RSA key of 2048 to 8192 bits, ES384 an EC key "
           "on P-384");
    run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out made");
    expect(read_signing("made", NULL), BCDA_ERR_KEY_UNSUPPORTED, "on P-521; RS384");
    run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out made");
    expect(read_signing("made", NULL), BCDA_ERR_KEY_UNSUPPORTED, "on secp256k1; RS384");
    run("openssl ecparam -name brainpoolP384r1 -genkey -noout -out made");
    expect(read_signing("made", NULL), BCDA_ERR_KEY_UNSUPPORTED, "a curve that is not supported");
    run("openssl ecparam -name secp384r1 -genkey -noout -param_enc explicit -out made");
    expect(read_signing("made", NULL), BCDA_ERR_KEY_UNSUPPORTED, "named_curve");
    run("openssl pkcs8 -topk8 -nocrypt -in made -out made8");
    expect(read_signing("made8", NULL), BCDA_ERR_KEY_UNSUPPORTED, "named_curve");
    run("openssl genpkey -algorithm ED25519 -out made");
    expect(read_signing("made", NULL), BCDA_ERR_KEY_UNSUPPORTED, "kind 1.3.101.112; RS384");
    run("sed 's/RSA PRIVATE/FUNNY PRIVATE/' pkcs1 > made");
    expect(read_signing("made", NULL), BCDA_ERR_KEY_UNSUPPORTED, "FUNNY PRIVATE KEY`; RS384");
    run("openssl genrsa -out made 1024 2>err");
    expect(read_signing("made", NULL), BCDA_ERR_KEY_UNSUPPORTED, "of 1024 bits; 2048 to 8192");
    run("openssl pkey -in pkcs8 -pubout -out made");
    expect(read_signing("made", NULL), BCDA_ERR_KEY_FORMAT,
           "a public key; a private key is needed");
    run("echo hello > made");
    expect(read_signing("made", NULL), BCDA_ERR_KEY_FORMAT, "or a JWK with the member d is needed");
}
END_TEST

/* EC keys whose parts do not fit together, and structures that no program should write. */
START_TEST(test_ec_made_up)
{
    make_ec();
    run("openssl ec -in ec -outform DER -out ec.der 2>err; /usr/bin/python3 -c \"from pem import "
        "*\n"
        "der = open('ec.der', 'rb').read(); d, q = der[8:56], der[-97:]\n"
        "P384, P256 = tlv(6, bytes.fromhex('2b81040022')), tlv(6, "
        "bytes.fromhex('2a8648ce3d030107'))\n"
        "EC = tlv(6, bytes.fromhex('2a8648ce3d0201'))\n"
        "def sec(v=tlv(2, b'\\1'), d=d, c=P384, q=q, bits=b'\\0'):\n"
        "    return (v + tlv(4, d) + (tlv(0xa0, c) if c else b'') + "
        "(tlv(0xa1, tlv(3, bits + q)) if q is not None else b''))\n"
        "def ec(name, **k): pem(name, sec(**k), 'EC PRIVATE KEY')\n"
        "def p8(name, curve, **k): pem(name, tlv(2, b'\\0') + tlv(0x30, EC + curve) + "
        "tlv(4, tlv(0x30, sec(**k))))\n"
        "ec('good'); p8('good8', P384); p8('bare8', P384, c=b'', q=None)\n"
        "ec('nocurve', c=b''); p8('nocurve8', b''); p8('two8', P384, c=P256); p8('owt8', P256)\n"
        "ec('version', v=tlv(2, b'\\0')); ec('short', d=d[1:], q=None); ec('long', d=b'\\0' + d)\n"
        "ec('zero', d=bytes(48), q=None); ec('max', d=b'\\xff' * 48, q=None)\n"
        "ec('nopoint', q=b''); ec('infinity', q=b'\\0'); ec('cut', q=q[:-1]); ec('bits', "
        "bits=b'\\1')\n"
        "ec('nobits', bits=b'', q=b'')\n"
        "ec('other', q=q[:49] + (1).to_bytes(48, 'big')); ec('hybrid', q=bytes([6 + q[-1] %% 2]) + "
        "q[1:])\n"
        "ec('number', c=tlv(2, b'\\1'))\n"
        "\"");
    good(read_signing("good", NULL));
    good(read_signing("good8", NULL));
    good(read_signing("bare8", NULL));
    expect(read_signing("nocurve", NULL), BCDA_ERR_KEY_FORMAT, "does not name its curve");
    expect(read_signing("nocurve8", NULL), BCDA_ERR_KEY_FORMAT, "does not name its curve");
    expect(read_signing("two8", NULL), BCDA_ERR_KEY_UNSUPPORTED, "P-256");
    expect(read_signing("owt8", NULL), BCDA_ERR_KEY_UNSUPPORTED, "P-256");
    expect(read_signing("version", NULL), BCDA_ERR_KEY_FORMAT, "cannot be read");
    expect(read_signing("short", NULL), BCDA_ERR_KEY_FORMAT, "wrong length");
    expect(read_signing("long", NULL), BCDA_ERR_KEY_FORMAT, "wrong length");
    expect(read_signing("zero", NULL), BCDA_ERR_KEY_FORMAT, "do not fit together");
    expect(read_signing("max", NULL), BCDA_ERR_KEY_FORMAT, "do not fit together");
    expect(read_signing("nopoint", NULL), BCDA_ERR_KEY_FORMAT, NULL);
    expect(read_signing("infinity", NULL), BCDA_ERR_KEY_FORMAT, "do not fit together");
    expect(read_signing("cut", NULL), BCDA_ERR_KEY_FORMAT, "do not fit together");
    expect(read_signing("bits", NULL), BCDA_ERR_KEY_FORMAT, "cannot be read");
    expect(read_signing("nobits", NULL), BCDA_ERR_KEY_FORMAT, "cannot be read");
    expect(read_signing("other", NULL), BCDA_ERR_KEY_FORMAT, "do not fit together");
    expect(read_signing("hybrid", NULL), BCDA_ERR_KEY_FORMAT, "do not fit together");
    expect(read_signing("number", NULL), BCDA_ERR_KEY_UNSUPPORTED, "named_curve");
}
END_TEST

SUITE("key")
{
    suite_case("key");
    suite_timeout(180);
    suite_unchecked(make_keys, remove_dir);
    suite_checked(setup, NULL);
    suite_test(test_plain, test_text_around, test_sizes, test_8192, test_made_up, test_pkcs8_v2,
               test_pbes2, test_many_wrong, test_traditional, test_pbes2_parameters, test_fips,
               test_other_things, test_pem_damage);
    suite_loop(test_mutations, 0, 3);
    suite_test(test_parts_flipped, test_ec_forms, test_ec_refused, test_ec_made_up);
}
