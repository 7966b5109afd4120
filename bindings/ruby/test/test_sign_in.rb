# frozen_string_literal: true

require_relative "helper"
require "logger"
require "net/http"
require "openssl"
require "pathname"
require "stringio"
require "uri"

# The ways to sign in: a signing key, tokens from a file or a command, an open server, a token that clients
# share, and client certificates.
class TestSignIn < BcdaTest
  SMART = [*CURRENT, "--auth", "smart", "--control"].freeze
  BASIC = [*CURRENT, "--control"].freeze

  def smart
    Sandbox.shared(*SMART)
  end

  def key_file
    smart.env.fetch("BCDA_SIGNING_KEY_FILE")
  end

  def set_file
    smart.env.fetch("BCDA_SIGNING_JWKS_FILE")
  end

  def rsa_file(ending)
    File.join(File.dirname(set_file), "signing-rs384.#{ending}")
  end

  def id
    smart.env.fetch("BCDA_CLIENT_ID")
  end

  def kid
    smart.env.fetch("BCDA_SIGNING_KEY_ID")
  end

  # A client that knows only the URL and the authority of the sandbox.
  def sign_in(sandbox = smart, **settings, &block)
    Bcda::Client.open(sandbox.url, ca_file: sandbox.env.fetch("BCDA_CA_FILE"), poll_max_ms: 10, attempts: 1,
                                   **settings, &block)
  end

  def signs_in(sandbox = smart, **settings)
    sign_in(sandbox, **settings) { |client| exports(client) }
  end

  def exports(client)
    assert_equal 40, client.export("Patient").count
  end

  def count(sandbox, name, **certificate)
    uri = URI.join(sandbox.url, "/_sandbox/count?name=#{name}")
    Net::HTTP.start(uri.host, uri.port, use_ssl: true, ca_file: sandbox.env.fetch("BCDA_CA_FILE"), **certificate) do |http|
      Integer(http.get(uri.request_uri).body)
    end
  end

  # The parts of a key that no text may show: the lines of a PEM, the private members of a JWK.
  def secrets_of(key)
    return key.lines(chomp: true).reject { |line| line.empty? || line.start_with?("-") } if key.include?("-----BEGIN")

    set = JSON.parse(key)
    set.fetch("keys", [set]).flat_map { |jwk| jwk.values_at(*%w[d p q dp dq qi]).compact }
  end

  # Checks that the block fails, and that nothing that can be printed of its error has a secret.
  def fails(kind, words = [], secrets = [], &block)
    error = assert_raises(kind, &block)
    words.each { |word| assert_includes error.message, word }
    %w[bcda_ BCDA_].each { |word| refute_includes error.message, word }
    printed = [error.full_message, error.inspect, error.cause&.full_message,
               *error.instance_variables.map { |name| error.instance_variable_get(name) }].join("\n")
    secrets.each { |secret| refute_includes printed, secret }
    error
  end

  def ec_key(curve)
    OpenSSL::PKey::EC.generate(curve)
  end

  def test_keys_of_every_form
    pem = File.read(key_file)
    set = JSON.parse(File.read(set_file))
    rsa_kid = JSON.parse(File.read(rsa_file("jwk"))).fetch("kid")
    [{ private_key_jwt: key_file, kid: kid }, { private_key_jwt: Pathname(key_file), kid: kid },
     { private_key_jwt: pem, kid: kid }, { private_key_jwt: pem.b, kid: kid },
     { private_key_jwt: OpenSSL::PKey.read(pem), kid: kid },
     { private_key_jwt: rsa_file("pem"), kid: rsa_kid }, { private_key_jwt: rsa_file("jwk") },
     { private_key_jwt: OpenSSL::PKey.read(File.read(rsa_file("pem"))), kid: rsa_kid },
     { private_key_jwt: set_file, kid: kid }, { private_key_jwt: set_file, kid: rsa_kid },
     { private_key_jwt: File.read(set_file), kid: rsa_kid }, { private_key_jwt: set, kid: kid },
     { private_key_jwt: set["keys"][0].transform_keys(&:to_sym) },
     { private_key: key_file, kid: kid }, { private_key: File.read(rsa_file("pem")), kid: rsa_kid },
     { private_key: set["keys"][1], scope: %w[system/Patient.rs system/Coverage.rs] },
     { private_key: rsa_file("jwk"), scope: "system/Patient.read" },
     { private_key: key_file, kid: kid, token_url: smart.env.fetch("BCDA_TOKEN_URL") }].each do |settings|
      sign_in(client_id: id, **settings) do |client|
        exports(client)
        assert_equal [[], 1], [client.missing_scope, client.stats[:tokens]]
      end
    end
  end

  def test_encrypted_keys
    pem = OpenSSL::PKey.read(File.read(key_file)).private_to_pem(OpenSSL::Cipher.new("aes-256-cbc"), "opensesame")
    %i[private_key_jwt private_key].each do |keyword|
      signs_in(client_id: id, kid: kid, keyword => pem, "#{keyword}_passphrase": "opensesame")
      fails(Bcda::PrivateKeyError, ["#{keyword}: the passphrase is wrong"], ["openbarley", *secrets_of(pem)]) do
        sign_in(client_id: id, kid: kid, keyword => pem, "#{keyword}_passphrase": "openbarley")
      end
      fails(Bcda::PrivateKeyError, ["#{keyword} is encrypted; its passphrase is needed"], secrets_of(pem)) do
        sign_in(client_id: id, kid: kid, keyword => pem)
      end
    end
  end

  # The short form sets no key for encrypted files; private_key_jwt leaves private_key for them.
  def test_keys_for_files
    sandbox = Sandbox.shared(*ERA_2019, "--auth", "smart")
    client_id, kid, key, decrypting = sandbox.env.values_at(*%w[BCDA_CLIENT_ID BCDA_SIGNING_KEY_ID BCDA_SIGNING_KEY_FILE BCDA_PRIVATE_KEY])
    sign_in(sandbox, client_id: client_id, kid: kid, private_key_jwt: key, private_key: decrypting) do |client|
      assert_equal 40, client.export("Patient", level: :resource).count
    end
    sign_in(sandbox, client_id: client_id, kid: kid, private_key: key) do |client|
      error = fails(Bcda::FileKeyError) { client.export("Patient", level: :resource).count }
      assert_equal Bcda::ABI::ERR_KEY_MISSING, error.code
    end
  end

  # They are refused before anything is sent.
  def test_keys_that_cannot_be_used
    before = %w[token assertions discovery].map { |name| count(smart, name) }
    p256 = ec_key("prime256v1")
    naked = secrets_of(p256.to_pem).join
    set = File.read(set_file)
    %i[private_key_jwt private_key].each do |keyword|
      [[p256, "x", Bcda::PrivateKeyError, ["#{keyword} is an EC key on P-256", "P-384"]],
       [p256.to_pem, "x", Bcda::PrivateKeyError, ["#{keyword} is an EC key on P-256"]],
       [naked, "x", ArgumentError, ["#{keyword} is neither the path of a file nor a key in PEM"]],
       [set, "x", Bcda::ConfigError, ["kid: #{keyword}: no private key has the key id"]],
       [set, nil, Bcda::ConfigError, ["kid: #{keyword}: 2 of its keys can sign"]],
       [set_file, nil, Bcda::ConfigError, ["kid: #{set_file}: 2 of its keys can sign"]],
       [set[0...-9], "x", Bcda::PrivateKeyError, ["#{keyword}: "]]].each do |key, kid, kind, words|
        fails(kind, words, [naked, *secrets_of(p256.to_pem), *secrets_of(set)]) do
          sign_in(client_id: id, kid: kid, keyword => key)
        end
      end
    end
    assert_equal before, (%w[token assertions discovery].map { |name| count(smart, name) })
  end

  def test_what_the_server_refuses
    stranger = ec_key("secp384r1")
    secrets = secrets_of(stranger.to_pem) + secrets_of(File.read(key_file))
    [[{ client_id: "someone", private_key_jwt: key_file, kid: kid }, ["invalid_client", "client id"]],
     [{ client_id: id, private_key_jwt: stranger, kid: kid }, %w[invalid_client key]],
     [{ client_id: id, private_key_jwt: key_file }, ["invalid_client", "no key id (kid) is set"]]].each do |settings, words|
      log = StringIO.new
      sign_in(logger: Logger.new(log), log_level: :debug, **settings) do |client|
        error = fails(Bcda::AuthError, words, secrets) { client.export("Patient").count }
        assert_equal 400, error.http_status
        refute_empty log.string
        secrets.each { |secret| refute_includes log.string + client.inspect, secret }
      end
    end
  end

  def test_secrets_are_not_shown
    settings = { client_id: "a", client_secret: "MIIE-secret", private_key: "MIIE-secret", private_key_passphrase: nil }
    assert_equal "#<Bcda::SignIn client_secret>", Bcda::SignIn.new(**settings, no_auth: false).inspect
    error = fails(TypeError) { sign_in(client_id: "a", private_key_jwt: { "MIIE-secret" => Float::NAN }) }
    assert_nil error.cause # the messages of some versions of json show the value
  end

  def test_a_shared_token
    basic = Sandbox.shared(*BASIC)
    [[smart, { client_id: id, private_key_jwt: key_file, kid: kid }],
     [basic, basic.settings.slice(:client_id, :client_secret)]].each do |sandbox, settings|
      Dir.mktmpdir do |folder|
        cache = File.join(folder, "token")
        before = count(sandbox, "token")
        2.times { signs_in(sandbox, **settings, token_cache: cache) }
        assert_equal [1, 0o600], [count(sandbox, "token") - before, File.stat(cache).mode & 0o777]
      end
    end
  end

  def test_a_shared_budget
    Dir.mktmpdir do |folder|
      budget = File.join(folder, "budget")
      signs_in(client_id: id, private_key_jwt: key_file, kid: kid, request_budget: budget)
      assert_equal 0o600, File.stat(budget).mode & 0o777
      %i[token_cache request_budget].each do |keyword|
        fails(Bcda::LocalError, ["#{keyword}: #{folder} cannot be opened: "]) do
          sign_in(client_id: id, private_key_jwt: key_file, kid: kid, keyword => folder)
        end
      end
    end
  end

  def test_missing_scope
    asked = %w[system/Patient.rs system/Coverage.rs system/ExplanationOfBenefit.rs]
    sandbox = Sandbox.shared(*CURRENT, "--auth", "smart", "--grant-scope", asked.first)
    client_id, kid, key = sandbox.env.values_at(*%w[BCDA_CLIENT_ID BCDA_SIGNING_KEY_ID BCDA_SIGNING_KEY_FILE])
    client = sign_in(sandbox, client_id: client_id, kid: kid, private_key_jwt: key, scope: asked) do |open|
      assert_equal [], open.missing_scope
      exports(open)
      assert_equal asked.drop(1), open.missing_scope
      open
    end
    assert_raises(Bcda::ClosedError) { client.missing_scope }
  end

  def test_an_open_server
    sandbox = Sandbox.shared(*CURRENT, "--auth", "none")
    signs_in(sandbox, no_auth: true)
    sign_in(sandbox, token: "unwanted") do |client|
      fails(Bcda::ServerError, [], ["unwanted"]) { client.export("Patient").count }
    end
    sign_in(sandbox, client_id: id, private_key_jwt: key_file, kid: kid) do |client|
      error = fails(Bcda::AuthError, ["no token URL is set"]) { client.export("Patient").count }
      assert_equal Bcda::ABI::ERR_DISCOVERY, error.code
    end
  end

  # Tokens come from another program: the sandbox accepts those of a file. Yields the sandbox, the path of a
  # token file, and a proc that changes the token in both files.
  def with_tokens
    Dir.mktmpdir do |folder|
      accepted, file = %w[accepted token].map { |name| File.join(folder, name) }
      rotate = lambda do |token, written = "#{token}\n"|
        File.write(accepted, "#{token}\n")
        File.write(file, written) if written
      end
      rotate.call("first")
      sandbox = Sandbox.new(*CURRENT, "--auth", "bearer", "--bearer-tokens", accepted)
      yield sandbox, file, rotate
    ensure
      sandbox&.stop
    end
  end

  def test_a_token_file_that_changes
    with_tokens do |sandbox, file, rotate|
      [{ token: "first" }, { bearer_token: "first" }, { token: -> { "first" } }, { token_provider: -> { ["first", 60] } }]
        .each { |way| signs_in(sandbox, **way) }
      sign_in(sandbox, token_file: file) do |client|
        exports(client)
        rotate.call("second", JSON.generate(access_token: "second", expires_in: 300))
        exports(client)
        rotate.call("third", nil)
        fails(Bcda::AuthError, ["#{file}: the server refused this token"], %w[second third]) { client.export("Patient").count }
        rotate.call("third")
        exports(client)
      end
      File.write(file, "two words-of-a-secret\n")
      { file => [Bcda::AuthError, "not one token"], "#{file}x" => [Bcda::LocalError, "#{file}x: "] }.each do |path, (kind, words)|
        sign_in(sandbox, token_file: path) { |client| fails(kind, [words], ["words-of-a-secret"]) { client.export("Patient").count } }
      end
    end
  end

  def test_a_token_command
    with_tokens do |sandbox, file, rotate|
      runs = "#{file}.runs"
      sign_in(sandbox, token_command: "echo run >>'#{runs}'; cat '#{file}'") do |client|
        2.times { exports(client) }
        assert_equal "run\n", File.read(runs)
        rotate.call("second")
        exports(client)
        assert_equal "run\nrun\n", File.read(runs)
      end
      { "exit 3" => [Bcda::AuthError, "3"], "true" => [Bcda::AuthError, "no token"],
        "exec sleep 600" => [Bcda::AuthError, "token command"] }.each do |command, (kind, words)|
        limit = command.include?("sleep") ? { token_command_timeout_ms: 1 } : {}
        sign_in(sandbox, token_command: command, **limit) { |client| fails(kind, [words]) { client.export("Patient").count } }
      end
    end
  end

  # Creates an authority and a certificate of it. Returns the authority's certificate, the client's
  # certificate, and the key of both.
  def make_certificates
    key = OpenSSL::PKey::RSA.new(2048)
    subjects = %w[authority client].map { |name| OpenSSL::X509::Name.parse("/CN=#{name}") }
    certificates = subjects.each_with_index.map do |subject, i|
      OpenSSL::X509::Certificate.new.tap do |one|
        one.version = 2
        one.serial = i + 1
        one.subject = subject
        one.issuer = subjects.first
        one.public_key = key
        one.not_before = Time.now - 3600
        one.not_after = Time.now + 86_400
        one.add_extension(OpenSSL::X509::ExtensionFactory.new.create_extension("basicConstraints", "CA:TRUE", true)) if i.zero?
        one.sign(key, OpenSSL::Digest.new("SHA256"))
      end
    end
    [*certificates, key]
  end

  def test_origins_of_the_certificate
    authority, certificate, key = make_certificates
    Dir.mktmpdir do |folder|
      paths = { "ca" => authority, "certificate" => certificate, "key" => key }.map do |name, made|
        File.join(folder, name).tap { |path| File.write(path, made.to_pem) }
      end
      sandbox = Sandbox.new(*CURRENT, "--control", "--client-ca", paths.first, "--files-port", "0")
      shown = -> { count(sandbox, "client-certificates-elsewhere", cert: certificate, key: key) }
      settings = { **sandbox.settings.slice(:client_id, :client_secret), client_certificate: paths[1], client_key: paths[2] }
      signs_in(sandbox, **settings)
      assert_equal 0, shown.call
      signs_in(sandbox, **settings, certificate_origins: [sandbox.url[%r{\Ahttps://[^/]*}], sandbox.env.fetch("BCDA_FILES_URL")])
      assert_operator shown.call, :>, 0
      sign_in(sandbox, **settings, certificate_origins: "https://elsewhere.example") do |client|
        assert_equal 400, fails(Bcda::ServerError) { client.export("Patient").count }.http_status
      end
    ensure
      sandbox&.stop
    end
  end
end
