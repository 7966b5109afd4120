// C++ by hand, as the file comes: see README.md.
#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <simdjson.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../../peak.h"

namespace
{
constexpr size_t NONCE = 12, TAG = 16, KEY = 32;
constexpr long RECEIVE = 512 * 1024;   // libcurl's largest buffer
constexpr size_t WINDOW = 128 * 1024;  // of text, so that it stays in the CPU cache
constexpr size_t INFLATED = 64 * 1024; // of text at once

template <auto function> struct deleter {
    template <typename T> void operator()(T *object) const
    {
        function(object);
    }
};
template <typename T, auto function> using owned = std::unique_ptr<T, deleter<function>>;

using bytes = std::vector<uint8_t>;
using private_key = owned<EVP_PKEY, EVP_PKEY_free>;
using headers = owned<curl_slist, curl_slist_free_all>;

std::string setting(const char *name)
{
    const char *value = std::getenv((std::string("BCDA_") + name).c_str());

    if (!value)
        throw std::runtime_error(std::string(name) + " is not set");
    return value;
}

void need(bool ok, const char *what)
{
    if (!ok)
        throw std::runtime_error(what);
}

double seconds(clockid_t id)
{
    timespec t;

    clock_gettime(id, &t);
    return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

bytes from_hex(const std::string &text)
{
    bytes out;

    for (size_t i = 0; i + 1 < text.size(); i += 2)
        out.push_back(uint8_t(std::stoul(text.substr(i, 2), nullptr, 16)));
    return out;
}

private_key load_private_key()
{
    owned<FILE, std::fclose> file(std::fopen(setting("PRIVATE_KEY").c_str(), "r"));

    need(file != nullptr, "the private key cannot be opened");
    private_key key(PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr));
    need(key != nullptr, "the private key cannot be read");
    return key;
}

// The file's AES key; empty: the file is not encrypted.
bytes open_key(EVP_PKEY *own)
{
    bytes wrapped = from_hex(setting("BENCH_KEY")), key;
    size_t len = size_t(EVP_PKEY_get_size(own));

    if (wrapped.empty())
        return key;
    owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free> ctx(EVP_PKEY_CTX_new(own, nullptr));
    std::string name = setting("BENCH_NAME");
    void *label = OPENSSL_memdup(name.data(), name.size());
    need(ctx && label && EVP_PKEY_decrypt_init(ctx.get()) > 0 &&
             EVP_PKEY_CTX_set_rsa_padding(ctx.get(), RSA_PKCS1_OAEP_PADDING) > 0 &&
             EVP_PKEY_CTX_set_rsa_oaep_md(ctx.get(), EVP_sha256()) > 0 &&
             EVP_PKEY_CTX_set_rsa_mgf1_md(ctx.get(), EVP_sha256()) > 0 &&
             EVP_PKEY_CTX_set0_rsa_oaep_label(ctx.get(), label, int(name.size())) > 0,
         "the private key cannot be used");
    key.resize(len);
    need(EVP_PKEY_decrypt(ctx.get(), key.data(), &len, wrapped.data(), wrapped.size()) > 0 &&
             len == KEY,
         "the file's key cannot be unwrapped");
    key.resize(len);
    return key;
}

// Parses each line, and counts the lines by type.
class Lines
{
  public:
    // Room for len more bytes of text, and behind it the padding that simdjson reads.
    uint8_t *room(size_t len)
    {
        if (window_.size() - end_ < len + simdjson::SIMDJSON_PADDING) {
            std::memmove(window_.data(), window_.data() + start_, end_ - start_);
            end_ -= start_;
            start_ = 0;
            if (window_.size() - end_ < len + simdjson::SIMDJSON_PADDING)
                window_.resize(2 * window_.size() + len + simdjson::SIMDJSON_PADDING);
        }
        return window_.data() + end_;
    }

    // So many bytes were written to the room.
    void add(size_t len)
    {
        const uint8_t *from = window_.data() + end_, *end = from + len;

        size_ += len;
        end_ += len;
        while (auto lf =
                   static_cast<const uint8_t *>(std::memchr(from, '\n', size_t(end - from)))) {
            const uint8_t *line = window_.data() + start_;
            take(line, size_t(lf - line));
            from = lf + 1;
            start_ = size_t(from - window_.data());
        }
    }

    void finish() const
    {
        need(start_ == end_, "a line without an end");
    }

    uint64_t count() const
    {
        uint64_t sum = 0;

        for (auto &type : types_)
            sum += type.second;
        return sum;
    }

    uint64_t size() const
    {
        return size_;
    }

  private:
    // What follows the line in the window is the padding.
    void take(const uint8_t *line, size_t len)
    {
        simdjson::dom::object entry, resource;
        std::string_view type, id;

        if (parser_.parse(line, len, false).get(entry) != simdjson::SUCCESS)
            throw std::runtime_error("a line is not a JSON object");
        if (entry["resource"].get(resource) != simdjson::SUCCESS)
            resource = entry;
        if (resource["resourceType"].get(type) != simdjson::SUCCESS ||
            resource["id"].get(id) != simdjson::SUCCESS || id.empty())
            throw std::runtime_error("a resource without a type or an id");
        auto known = types_.find(type);
        if (known == types_.end())
            known = types_.emplace(type, 0).first;
        known->second++;
    }

    simdjson::dom::parser parser_;
    std::vector<uint8_t> window_ = std::vector<uint8_t>(WINDOW);
    size_t start_ = 0, end_ = 0; // of the text whose line has no end yet
    uint64_t size_ = 0;
    std::map<std::string, uint64_t, std::less<>> types_;
};

// Receives the body, piece by piece.
class Sink
{
  public:
    virtual ~Sink() = default;
    virtual void write(const uint8_t *at, size_t len) = 0;
    virtual void finish() = 0;
};

class Plain : public Sink
{
  public:
    explicit Plain(Lines &lines) : lines_(lines)
    {
    }

    void write(const uint8_t *at, size_t len) override
    {
        std::memcpy(lines_.room(len), at, len);
        lines_.add(len);
    }

    void finish() override
    {
    }

  private:
    Lines &lines_;
};

// libcurl's own decoder ends with the first member of a gzip file. The server sends several.
class Inflater : public Sink
{
  public:
    explicit Inflater(Lines &lines) : lines_(lines)
    {
        need(inflateInit2(&zip_, MAX_WBITS + 16) == Z_OK, "zlib cannot be started");
    }

    Inflater(const Inflater &) = delete;

    ~Inflater() override
    {
        inflateEnd(&zip_);
    }

    void write(const uint8_t *at, size_t len) override
    {
        zip_.next_in = const_cast<uint8_t *>(at);
        zip_.avail_in = uInt(len);
        do {
            zip_.next_out = lines_.room(INFLATED);
            zip_.avail_out = uInt(INFLATED);
            if (ended_ && zip_.avail_in)
                need(inflateReset(&zip_) == Z_OK, "zlib failed");
            int rc = inflate(&zip_, Z_NO_FLUSH);
            need(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR, "the gzip data is damaged");
            ended_ = rc == Z_STREAM_END;
            lines_.add(INFLATED - zip_.avail_out);
        } while (zip_.avail_in || !zip_.avail_out);
    }

    void finish() override
    {
        need(ended_, "the gzip data is cut");
    }

  private:
    Lines &lines_;
    z_stream zip_ = {};
    bool ended_ = false;
};

// The last bytes received are held back, since they may be the tag.
class Decryptor : public Sink
{
  public:
    Decryptor(Lines &lines, const bytes &key)
        : lines_(lines), key_(key), cipher_(EVP_CIPHER_CTX_new())
    {
        need(cipher_ != nullptr, "out of memory");
    }

    void write(const uint8_t *at, size_t len) override
    {
        if (!begun_ && !begin(at, len))
            return;
        if (len < TAG) {
            write_short(at, len);
            return;
        }
        uint8_t *to = lines_.room(held_ + len - TAG);
        decrypt(to, tail_, held_);
        decrypt(to + held_, at, len - TAG);
        lines_.add(held_ + len - TAG);
        std::memcpy(tail_, at + len - TAG, TAG);
        held_ = TAG;
    }

    void finish() override
    {
        int len = 0;

        need(begun_ && held_ == TAG, "the file is too short");
        need(EVP_CIPHER_CTX_ctrl(cipher_.get(), EVP_CTRL_AEAD_SET_TAG, int(TAG), tail_) > 0 &&
                 EVP_DecryptFinal_ex(cipher_.get(), tail_, &len) > 0,
             "the tag is wrong");
    }

  private:
    // Collects the nonce, and skips it. Returns false while it is not whole.
    bool begin(const uint8_t *&at, size_t &len)
    {
        size_t part = std::min(len, NONCE - held_);

        std::memcpy(tail_ + held_, at, part);
        held_ += part;
        at += part;
        len -= part;
        if (held_ < NONCE)
            return false;
        need(EVP_DecryptInit_ex(cipher_.get(), EVP_aes_256_gcm(), nullptr, key_.data(), tail_) > 0,
             "AES-GCM cannot be started");
        held_ = 0;
        begun_ = true;
        return true;
    }

    // A piece that is shorter than the tag: the bytes in front of the last TAG are text.
    void write_short(const uint8_t *at, size_t len)
    {
        uint8_t both[2 * TAG];
        size_t all = held_ + len, text = all > TAG ? all - TAG : 0;

        std::memcpy(both, tail_, held_);
        std::memcpy(both + held_, at, len);
        decrypt(lines_.room(text), both, text);
        lines_.add(text);
        held_ = all - text;
        std::memcpy(tail_, both + text, held_);
    }

    void decrypt(uint8_t *to, const uint8_t *at, size_t len)
    {
        int written = 0;

        if (len)
            need(EVP_DecryptUpdate(cipher_.get(), to, &written, at, int(len)) > 0 &&
                     size_t(written) == len,
                 "decrypting failed");
    }

    Lines &lines_;
    const bytes &key_;
    owned<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free> cipher_;
    uint8_t tail_[TAG] = {};
    size_t held_ = 0; // bytes in tail_
    bool begun_ = false;
};

struct Download {
    CURL *easy;
    Lines &lines;
    const bytes &key;
    std::unique_ptr<Sink> sink;
    std::string error;

    // Called once the head of the response is known.
    Sink &body()
    {
        curl_header *coding;

        if (sink)
            return *sink;
        if (curl_easy_header(easy, "Content-Encoding", 0, CURLH_HEADER, -1, &coding) == CURLHE_OK) {
            need(std::string_view(coding->value) == "gzip" && key.empty(),
                 "unknown content coding");
            sink = std::make_unique<Inflater>(lines);
        } else if (key.empty()) {
            sink = std::make_unique<Plain>(lines);
        } else {
            sink = std::make_unique<Decryptor>(lines, key);
        }
        return *sink;
    }
};

// An exception must not pass through libcurl.
size_t on_body(char *data, size_t, size_t len, void *userdata)
{
    auto download = static_cast<Download *>(userdata);

    try {
        download->body().write(reinterpret_cast<uint8_t *>(data), len);
        return len;
    } catch (const std::exception &e) {
        download->error = e.what();
        return CURL_WRITEFUNC_ERROR;
    }
}

// Returns a longer list. The old one belongs to it.
headers with(headers list, const std::string &line)
{
    curl_slist *longer = curl_slist_append(list.get(), line.c_str());

    need(longer != nullptr, "out of memory");
    (void)list.release();
    return headers(longer);
}

void get(Lines &lines, const bytes &key)
{
    owned<CURL, curl_easy_cleanup> easy(curl_easy_init());
    headers sent = with(nullptr, "Authorization: Bearer " + setting("BENCH_TOKEN"));
    Download download{easy.get(), lines, key, nullptr, ""};
    auto set = [&](CURLoption option, auto value) {
        need(curl_easy_setopt(easy.get(), option, value) == CURLE_OK, "libcurl lacks an option");
    };

    need(easy != nullptr, "out of memory");
    if (key.empty())
        sent = with(std::move(sent), "Accept-Encoding: gzip");
    set(CURLOPT_URL, setting("BENCH_URL").c_str());
    set(CURLOPT_CAINFO, setting("CA_FILE").c_str());
    set(CURLOPT_CAPATH, static_cast<char *>(nullptr));
    set(CURLOPT_HTTPHEADER, sent.get());
    set(CURLOPT_HTTP_VERSION, long(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_FAILONERROR, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_BUFFERSIZE, RECEIVE);
    set(CURLOPT_WRITEFUNCTION, on_body);
    set(CURLOPT_WRITEDATA, &download);
    CURLcode code = curl_easy_perform(easy.get());
    need(download.error.empty(), download.error.c_str());
    need(code == CURLE_OK, curl_easy_strerror(code));
    download.body().finish();
    lines.finish();
}
} // namespace

int main()
try {
    need(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "libcurl cannot be started");
    long before = peak_kib();
    private_key own = load_private_key();
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    bytes key = open_key(own.get());
    Lines lines;

    get(lines, key);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    std::printf("%llu %llu %.6f %.6f %ld %ld\n", (unsigned long long)lines.count(),
                (unsigned long long)lines.size(), wall, cpu, peak_kib(), before);
    return 0;
} catch (const std::exception &e) {
    std::fprintf(stderr, "cpp_simdjson: %s\n", e.what());
    return 1;
}
