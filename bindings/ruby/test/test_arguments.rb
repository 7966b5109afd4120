# frozen_string_literal: true

require_relative "helper"
require "date"
require "openssl"
require "uri"

# Errors for wrong arguments must name the keyword, the given value and what is expected, and must not use
# names of the C library.
class TestArguments < BcdaTest
  URL = "https://bcda.example/api/v2"
  PEM = "-----BEGIN RSA #{'PRIVATE KEY'}-----\nMIIE-secret\n-----END RSA PRIVATE KEY-----\n" # not a real key
  SECRET = "MIIE-secret"
  ID = { token: "t" }.freeze
  KEY = "{#{SECRET}" # not a key
  P384 = OpenSSL::PKey::EC.generate("secp384r1")
  # The ways to sign in, without client_id. Only one can be given.
  WAYS = { client_secret: SECRET, private_key_jwt: KEY, token: SECRET, bearer_token: SECRET, token_provider: -> { SECRET },
           token_file: "/nowhere", token_command: "cat #{SECRET}", no_auth: true }.map { |name, value| { name => value } }.freeze
  OTHER_WAYS = WAYS.drop(2).freeze # than those with client_id
  # No message may contain these: C names, a secret, or a text that does not name the keyword.
  FOREIGN = ["bcda_", "BCDA_", "ABI::", SECRET, "an argument is not allowed", "undefined method", "no implicit"].freeze

  CLIENT = {
    fhir_url: [
      [{ **ID, fhir_url: "nonsense" }, Bcda::ConfigError, ["fhir_url: ", "not an absolute URL", 'given "nonsense"']],
      [{ **ID, fhir_url: "https://me:MIIE-secret@x/" }, Bcda::ConfigError, ["fhir_url: ", "given \"https://...@x/\""]],
      [{ **ID, fhir_url: "http://bcda.example/api" }, Bcda::InsecureURLError, ["fhir_url: ", "use https://bcda.example/api"]],
      [{ **ID, fhir_url: nil }, TypeError, ["fhir_url must be a String, not nil"]]
    ],
    client_id: [
      [{ client_id: "a:b", client_secret: SECRET }, Bcda::UsageError, ["client_id: ", 'given "a:b"']],
      [{ client_id: "a\n", private_key_jwt: KEY }, Bcda::UsageError, ["client_id: ", 'given "a\n"']],
      [{ client_id: "a" }, Bcda::ConfigError, ["client_id needs client_secret or private_key_jwt"]],
      [{ client_id: "a", private_key: [KEY] }, Bcda::ConfigError, ["client_id needs client_secret or private_key_jwt"]],
      [{ client_id: 5, client_secret: SECRET }, TypeError, ["client_id must be a String, not Integer"]],
      [{ client_id: 5, private_key_jwt: KEY }, TypeError, ["client_id must be a String, not Integer"]],
      *OTHER_WAYS.flat_map do |way|
        [{ client_id: "a", **way }, { client_id: "a", private_key: KEY, **way }].map do |settings|
          [settings, Bcda::ConfigError, ["client_id and #{way.keys.first} exclude each other"]]
        end
      end,
      *WAYS.combination(2).map do |one, other|
        [{ client_id: "a", **one, **other }, Bcda::ConfigError, ["#{one.keys.first} and #{other.keys.first} exclude each other"]]
      end,
      [{ client_id: "a", token: -> {} }, Bcda::ConfigError, ["client_id and token exclude each other"]],
      [{}, Bcda::ConfigError, ["no identity", "client_id and client_secret, client_id and private_key_jwt", "token", "no_auth: true"]],
      [{ private_key: KEY }, Bcda::ConfigError, ["no identity"]]
    ],
    client_secret: [
      [{ client_id: "a", client_secret: "#{SECRET}\n" }, Bcda::UsageError, ["client_secret: "]],
      [{ client_secret: SECRET }, Bcda::ConfigError, ["client_secret needs client_id"]],
      [{ client_id: "a", client_secret: 5 }, TypeError, ["client_secret must be a String, not Integer"]]
    ],
    token: [
      [{ token: "#{SECRET} x" }, Bcda::UsageError, ["token: "]],
      [{ token: "#{SECRET}\0" }, ArgumentError, ["token has a NUL character in it"]],
      [{ token: 5 }, TypeError, ["token must be a String, or something with a method call, not Integer"]]
    ],
    private_key_jwt: [
      [{ private_key_jwt: KEY }, Bcda::ConfigError, ["private_key_jwt needs client_id"]],
      [{ client_id: "a", private_key_jwt: KEY }, Bcda::PrivateKeyError, ["private_key_jwt: "]],
      [{ client_id: "a", private_key_jwt: PEM }, Bcda::PrivateKeyError, ["private_key_jwt: "]],
      [{ client_id: "a", private_key_jwt: "/nowhere/key.pem" }, Bcda::LocalError, ["private_key_jwt: /nowhere/key.pem: No such file"]],
      [{ client_id: "a", private_key_jwt: { kty: "EC", d: SECRET } }, Bcda::PrivateKeyError, ["private_key_jwt: "]],
      [{ client_id: "a", private_key_jwt: { SECRET => Float::NAN } }, TypeError, ["private_key_jwt is not a JWK or JWKS"]],
      [{ client_id: "a", private_key_jwt: { kty: "#{SECRET}\xff" } }, TypeError, ["private_key_jwt is not a JWK or JWKS"]],
      [{ client_id: "a", private_key_jwt: "MIIE#{'x' * 100}" }, ArgumentError,
       ["private_key_jwt is neither the path of a file nor a key in PEM, JWK or JWKS"]],
      [{ client_id: "a", private_key_jwt: [KEY] }, TypeError, ["private_key_jwt must be a path, the text of a key, or a Hash, not Array"]],
      [{ client_id: "a", private_key_jwt: "/dev/null\0" }, ArgumentError, ["private_key_jwt has a NUL character in it"]]
    ],
    private_key_jwt_passphrase: [
      [{ client_id: "a", private_key_jwt: KEY, private_key_jwt_passphrase: 5 }, TypeError,
       ["private_key_jwt_passphrase must be a String, not Integer"]],
      [{ **ID, private_key_jwt_passphrase: SECRET }, Bcda::ConfigError, ["private_key_jwt_passphrase is given without private_key_jwt"]],
      [{ client_id: "a", private_key: KEY, private_key_jwt_passphrase: SECRET }, Bcda::ConfigError,
       ["private_key_jwt_passphrase is given without private_key_jwt", "private_key_passphrase"]]
    ],
    kid: [
      [{ client_id: "a", private_key_jwt: KEY, kid: "" }, Bcda::UsageError, ["kid: ", 'given ""']],
      [{ client_id: "a", private_key_jwt: KEY, kid: 5 }, TypeError, ["kid must be a String, not Integer"]],
      [{ **ID, kid: "k" }, Bcda::ConfigError, ["kid is given without private_key_jwt"]],
      [{ client_id: "a", client_secret: SECRET, private_key: KEY, kid: "k" }, Bcda::ConfigError,
       ["kid is given without private_key_jwt"]]
    ],
    scope: [
      [{ **ID, scope: "system/*.rs" }, Bcda::ConfigError, ["scope is given without private_key_jwt"]],
      [{ client_id: "a", client_secret: SECRET, scope: "s" }, Bcda::ConfigError, ["scope is given without private_key_jwt"]],
      [{ client_id: "a", private_key_jwt: P384, scope: "a  b" }, Bcda::UsageError, ["scope", 'given "a  b"']],
      [{ client_id: "a", private_key_jwt: P384, scope: [] }, Bcda::UsageError, ["scope", 'given ""']],
      [{ client_id: "a", private_key_jwt: P384, scope: [5] }, TypeError, ["scope must be a String, not Integer"]],
      [{ client_id: "a", private_key_jwt: P384, scope: 5 }, TypeError, ["scope must be a String, or an Array of them, not Integer"]]
    ],
    bearer_token: [
      [{ bearer_token: "#{SECRET} x" }, Bcda::UsageError, ["bearer_token: "]],
      [{ bearer_token: -> { SECRET } }, TypeError, ["bearer_token must be a String, not Proc"]]
    ],
    token_provider: [
      [{ token_provider: SECRET }, TypeError, ["token_provider must be something with a method call, not String"]]
    ],
    token_file: [
      [{ token_file: 5 }, TypeError, ["token_file must be a path, not Integer"]],
      [{ token_file: "" }, Bcda::UsageError, ["token_file: ", "is empty"]],
      [{ token_file: "eyJhbGciOiJSUzUxMiJ9.MIIE-secret.x" }, ArgumentError, ["token_file is the path of a file, not the text in it"]],
      [{ token_file: '{"access_token": "MIIE-secret"}' }, ArgumentError, ["token_file is the path of a file, not the text in it"]]
    ],
    token_command: [
      [{ token_command: %w[cat x] }, TypeError, ["token_command must be a String, not Array"]],
      [{ token_command: "" }, Bcda::UsageError, ["token_command: ", "is empty"]]
    ],
    no_auth: [
      [{ no_auth: "yes" }, TypeError, ["no_auth must be true or false, not String"]],
      [{ no_auth: nil }, TypeError, ["no_auth must be true or false, not nil"]],
      [{ no_auth: true, token_url: URL }, Bcda::ConfigError, ["no_auth and token_url exclude each other"]],
      [{ no_auth: false }, Bcda::ConfigError, ["no identity"]]
    ],
    token_cache: [
      *OTHER_WAYS.map do |way|
        [{ **way, token_cache: "x" }, Bcda::ConfigError, ["token_cache is given without client_secret or private_key_jwt"]]
      end,
      [{ client_id: "a", client_secret: "s", token_cache: 5 }, TypeError, ["token_cache must be a path, not Integer"]],
      [{ client_id: "a", client_secret: "s", token_cache: "/nowhere/t" }, Bcda::LocalError,
       ["token_cache: /nowhere/t cannot be opened: No such file"]]
    ],
    request_budget: [
      [{ **ID, request_budget: 5 }, TypeError, ["request_budget must be a path, not Integer"]],
      [{ **ID, request_budget: "/nowhere/b" }, Bcda::LocalError, ["request_budget: /nowhere/b cannot be opened: No such file"]]
    ],
    token_url: [
      [{ **ID, token_url: "nonsense" }, Bcda::ConfigError, ["token_url: ", 'given "nonsense"']],
      [{ **ID, token_url: "http://bcda.example/t" }, Bcda::InsecureURLError, ["token_url: ", "https://"]]
    ],
    private_key: [
      [{ **ID, private_key: "/nowhere/key.pem" }, Bcda::LocalError, ["private_key: /nowhere/key.pem: "]],
      [{ **ID, private_key: PEM }, Bcda::PrivateKeyError, ["private_key: "]],
      [{ **ID, private_key: 5 }, TypeError, ["private_key must be a path, not Integer"]],
      [{ **ID, private_key: { kty: "RSA", d: SECRET } }, TypeError, ["private_key must be a path, not Hash"]],
      [{ **ID, private_key: "MIIE#{'x' * 100}" }, ArgumentError, ["private_key is the path of a file"]],
      [{ client_id: "a", private_key: PEM }, Bcda::PrivateKeyError, ["private_key: "]],
      [{ client_id: "a", private_key: "/nowhere/key.pem" }, Bcda::LocalError, ["private_key: /nowhere/key.pem: "]],
      [{ **ID, private_key: [nil] }, TypeError, ["private_key must be a path, not nil"]]
    ],
    private_key_passphrase: [
      [{ **ID, private_key_passphrase: SECRET }, Bcda::ConfigError, ["private_key_passphrase is given without private_key"]],
      [{ **ID, private_key: PEM, private_key_passphrase: 5 }, TypeError, ["private_key_passphrase must be a String"]]
    ],
    ca_file: [
      [{ **ID, ca_file: "/nowhere/ca.pem" }, Bcda::LocalError, ["ca_file: /nowhere/ca.pem: No such file"]],
      [{ **ID, ca_file: 5 }, TypeError, ["ca_file must be a path, not Integer"]],
      [{ **ID, ca_file: "/dev/null\0.pem" }, ArgumentError, ["ca_file has a NUL character in it"]],
      [{ **ID, ca_file: PEM }, ArgumentError, ["ca_file is the path of a file, not the text in it"]]
    ],
    client_certificate: [
      [{ **ID, client_certificate: "/nowhere/c.pem" }, Bcda::LocalError, ["client_certificate: /nowhere/c.pem: "]],
      [{ **ID, client_certificate: PEM }, ArgumentError, ["client_certificate is the path of a file"]]
    ],
    client_key: [
      [{ **ID, client_certificate: "/dev/null", client_key: "/nowhere/k.pem" }, Bcda::LocalError, ["client_key: /nowhere/k.pem: "]],
      [{ **ID, client_key: "/dev/null" }, Bcda::ConfigError, ["client_key is given without client_certificate"]]
    ],
    client_key_passphrase: [
      [{ **ID, client_key_passphrase: SECRET }, Bcda::ConfigError, ["client_key_passphrase is given without client_certificate"]]
    ],
    certificate_origins: [
      [{ **ID, certificate_origins: ["https://x"] }, Bcda::ConfigError, ["certificate_origins is given without client_certificate"]],
      [{ **ID, client_certificate: "/dev/null", certificate_origins: ["x"] }, Bcda::ConfigError,
       ["certificate_origins: ", 'given "x"']],
      [{ **ID, client_certificate: "/dev/null", certificate_origins: 5 }, TypeError,
       ["certificate_origins must be a String, not Integer"]]
    ],
    proxy: [[{ **ID, proxy: 5 }, TypeError, ["proxy must be a String, not Integer"]]],
    proxy_user: [[{ **ID, proxy_user: "me" }, Bcda::ConfigError, ["proxy_user is given without proxy"]]],
    proxy_password: [
      [{ **ID, proxy_password: SECRET }, Bcda::ConfigError, ["proxy_password is given without proxy"]],
      [{ **ID, proxy: "http://p", proxy_password: 5 }, TypeError, ["proxy_password must be a String, not Integer"]]
    ],
    spool_directory: [
      [{ **ID, delivery: :verified }, Bcda::ConfigError, ["delivery: :verified needs spool_directory"]],
      [{ **ID, spool_directory: 5 }, TypeError, ["spool_directory must be a path, not Integer"]]
    ],
    url_rewrites: [
      [{ **ID, url_rewrites: { "x" => "https://y/" } }, Bcda::ConfigError, ["url_rewrites: ", 'given "x"']],
      [{ **ID, url_rewrites: { "https://x/" => "http://y/" } }, Bcda::InsecureURLError, ["url_rewrites: "]],
      [{ **ID, url_rewrites: "https://x/" }, TypeError, ["url_rewrites must be a Hash, not String"]]
    ],
    allowed_origins: [
      [{ **ID, allowed_origins: ["x"] }, Bcda::ConfigError, ["allowed_origins: ", 'given "x"']],
      [{ **ID, allowed_origins: 5 }, TypeError, ["allowed_origins must be a String, not Integer"]]
    ],
    logger: [[{ **ID, logger: 5 }, TypeError, ["logger must be a Logger, not Integer"]]],
    log_level: [
      [{ **ID, log_level: :loud, logger: Logger.new(nil) }, ArgumentError, ["log_level: :loud is not one of :debug, :info, :warn, :error"]],
      [{ **ID, log_level: :info }, Bcda::ConfigError, ["log_level is given without logger"]]
    ],
    options: [
      [{ **ID, zebra: 1 }, Bcda::OptionError, ["no keyword and no option zebra; there are ", "parallel"]],
      [{ **ID, paralel: 1 }, Bcda::OptionError, ["no keyword and no option paralel; did you mean parallel?"]],
      [{ **ID, client_secert: SECRET }, Bcda::OptionError, ["did you mean client_secret?"]],
      [{ **ID, parallel: "three" }, Bcda::OptionError, ['option "parallel": "three" is not an Integer']],
      [{ **ID, user_agent: 5 }, Bcda::OptionError, ['option "user_agent": 5 is not a String']],
      [{ **ID, parallel: 1.5 }, TypeError, ['option "parallel" must be an Integer, not Float']],
      [{ **ID, parallel: nil }, TypeError, ['option "parallel" must be an Integer, not nil']],
      [{ **ID, parallel: true }, TypeError, ['option "parallel" must be an Integer, not TrueClass']],
      [{ **ID, parallel: :verified }, TypeError, ['option "parallel" must be an Integer, not Symbol']],
      [{ **ID, parallel: -3 }, Bcda::OptionError, ['option "parallel"', "1 to 64", "given -3"]],
      [{ **ID, parallel: 1 << 70 }, Bcda::OptionError, ['option "parallel"', "64 bits"]],
      [{ **ID, delivery: :verfied }, Bcda::OptionError, ['option "delivery": :verfied is not one of :streaming, :verified']],
      [{ **ID, duplicate_job: "takeover" }, Bcda::OptionError, ['option "duplicate_job": "takeover" is not one of :wait, :refuse, :take_over']],
      [{ **ID, duplicate_job: 7 }, Bcda::OptionError, ['option "duplicate_job": 7 is not one of :wait, :refuse, :take_over']]
    ]
  }.freeze

  EXPORT = {
    types: [
      [{ types: ["Pat ient"] }, Bcda::UsageError, ["types: ", "1 to 64 letters", 'given "Pat ient"']],
      [{ types: %w[Patient Patient] }, Bcda::UsageError, ["types: ", "there already", 'given "Patient"']],
      [{ types: [5] }, TypeError, ["types must be a String, not Integer"]],
      [{ types: ["Pat\xff"] }, ArgumentError, ["types cannot be written in UTF-8"]]
    ],
    level: [[{ level: :street }, ArgumentError, ["level: :street is not one of :resource, :patient, :group, :system"]]],
    group: [
      [{ group: "" }, Bcda::UsageError, ["group: ", "missing or empty"]],
      [{ group: "all", level: :patient }, Bcda::ConfigError, ["group is given, and level is :patient"]],
      [{ group: 5 }, TypeError, ["group must be a String, not Integer"]],
      [{ level: :group }, Bcda::ConfigError, ["group"]]
    ],
    since: [
      [{ since: "2024-01-01" }, Bcda::UsageError, ["since is not ", "such as 2024-01-31T00:00:00Z", 'given "2024-01-01"']],
      [{ since: Date.new(2024, 1, 1) }, TypeError, ["since must be a String, a Time or a DateTime, not Date"]]
    ],
    type_filter: [
      [{ type_filter: "" }, Bcda::UsageError, ["type_filter: ", "missing or empty"]],
      [{ type_filter: [5] }, TypeError, ["type_filter must be a String, not Integer"]]
    ],
    parameters: [
      [{ parameters: { "" => "x" } }, Bcda::UsageError, ["parameters: ", "a name that is not empty"]],
      [{ parameters: { _x: nil } }, TypeError, ["the value of _x in parameters must be a String, not nil"]],
      [{ parameters: "_x=5" }, TypeError, ["parameters must be a Hash, not String"]]
    ],
    fields: [
      [{ fields: ["a..b"] }, Bcda::UsageError, ["fields: ", "such as patient.reference", 'given "a..b"']],
      [{ fields: [5] }, TypeError, ["fields must be a String, not Integer"]]
    ],
    callbacks: [
      [{ on_wednesday: -> {} }, ArgumentError, ["there is no keyword on_wednesday"]],
      [{ on_fiel: -> {} }, ArgumentError, ["there is no keyword on_fiel; did you mean on_file?"]],
      *%i[on_state on_file on_progress on_issue on_deletion on_bad_line].map do |name|
        [{ name => 5 }, TypeError, ["#{name} must be something with a method call, not Integer"]]
      end
    ]
  }.freeze

  DECODER = {
    private_key: [[{ private_key: PEM }, Bcda::PrivateKeyError, ["private_key: "]]],
    private_key_passphrase: [[{ private_key_passphrase: SECRET }, Bcda::ConfigError, ["without private_key"]]],
    wrapped_key: [
      [{ wrapped_key: "00" }, Bcda::ConfigError, ["wrapped_key needs label"]],
      [{ wrapped_key: "00", label: "x" }, Bcda::FileKeyError, ["private_key: ", "no private key was given"]],
      [{ wrapped_key: 5, label: "x" }, TypeError, ["wrapped_key must be a String, not Integer"]]
    ],
    label: [[{ wrapped_key: "00", label: 5 }, TypeError, ["label must be a String, not Integer"]]],
    gzip: [],
    name: [[{ name: 5 }, TypeError, ["name must be a String, not Integer"]]],
    fields: [[{ fields: ["a..b"] }, Bcda::UsageError, ["fields: ", "such as patient.reference", 'given "a..b"']]],
    on_bad_line: [[{ on_bad_line: 5 }, TypeError, ["on_bad_line must be something with a method call, not Integer"]]],
    options: [[{ bad_line_max: 5 }, Bcda::OptionError, ["did you mean bad_lines_max?"]]]
  }.freeze

  def refused(kind, words, settings = nil, &call)
    error = assert_raises(kind, settings.inspect, &call)
    words.each { |word| assert_includes error.message, word, settings.inspect }
    FOREIGN.each { |word| refute_includes error.message, word, settings.inspect }
    refute_includes error.full_message, SECRET, settings.inspect # with the cause
  end

  # Checks that the table has all keywords of the method, and that each row causes its error.
  def every(table, method)
    assert_equal table.keys.sort, method.parameters.map(&:last).sort
    table.each_value do |rows|
      rows.each { |settings, kind, words| refused(kind, words, settings) { yield(**settings) } }
    end
  end

  def test_client
    every(CLIENT, Bcda::Client.instance_method(:initialize)) do |fhir_url: URL, **settings|
      Bcda::Client.new(fhir_url, **settings)
    end
  end

  def test_export
    open(*CURRENT) do |client|
      every(EXPORT, client.method(:export)) { |types: ["Patient"], **how| client.export(*types, **how) }
      refused(Bcda::ConfigError, ["exactly one type"]) { client.export("Patient", "Coverage", level: :resource) }
    end
  end

  def test_attach_and_restore
    open(*CURRENT) do |client|
      %i[attach restore].each do |name|
        (EXPORT[:fields] + EXPORT[:callbacks]).each do |how, kind, words|
          refused(kind, words, how) { client.public_send(name, "x", **how) }
        end
      end
      refused(Bcda::ConfigError, ["url: ", "not an absolute http or https URL", 'given "nonsense"']) { client.attach("nonsense") }
      refused(Bcda::OriginError, ["url: ", "elsewhere.example"]) { client.attach("https://elsewhere.example/jobs/1") }
      refused(TypeError, ["url must be a String, not nil"]) { client.attach(nil) }
      refused(Bcda::UsageError, ["saved: ", "not that of a saved job", 'given "state.json"']) { client.restore("state.json") }
      refused(TypeError, ["saved must be a String, not nil"]) { client.restore(nil) }
      %i[save save_changes].each do |name|
        refused(Bcda::StateError, ["the server has not accepted the job"]) { client.export("Patient").public_send(name) }
      end
      job = client.export("Patient").tap { |done| done.each { nil } }
      refused(Bcda::UsageError, ["saved: ", "damaged"]) { client.restore(job.save.sub(job.id, "1")) }
    end
  end

  def test_export_remaining
    open(*CURRENT) do |client|
      done = client.export("Patient")
      table = { **EXPORT, job: [[{ job: "Patient" }, TypeError, ["job must be a Job, not String"]]] }
      every(table, client.method(:export_remaining)) do |job: done, types: ["Patient"], **how|
        client.export_remaining(job, *types, **how)
      end
    end
  end

  def test_confirm
    open(*CURRENT, confirm_lines: :staged) do |client|
      job = client.export("Patient")
      other = client.export("Patient").tap { |done| done.each { nil } }
      batch = job.next_batch.keep
      file = batch.file
      loose = []
      Bcda::Decoder.new.tap { |decoder| decoder.write(%({"resourceType":"Patient"}\n)) { |r| loose << r } }.finish { |r| loose << r }
      assert_equal [true, true], [job.confirm(file, 5), job.confirm(file, 5)]
      [[[file, 0], Bcda::UsageError, ["line", "of the file was not delivered", "given 0"]],
       [[file, 41], Bcda::UsageError, ["line", "of the file was not delivered", "given 41"]],
       [[file, 4], Bcda::UsageError, ["line", "was confirmed before", "given 4"]],
       [[file, 1 << 64], ArgumentError, ["line: ", "is not within 64 bits"]],
       [[file, "5"], TypeError, ["line must be an Integer, not String"]],
       [[file], TypeError, ["line must be an Integer, not nil"]],
       [[batch, 5], ArgumentError, ["line is given with a batch"]],
       [[loose.first, 5], TypeError, ["the first argument must be a Batch or a DataFile, not Bcda::Resource"]],
       [[other.files.first, 5], Bcda::UsageError, ["file: ", "not one of this job"]]].each do |given, kind, words|
        refused(kind, words, given) { job.confirm(*given) }
      end
      refused(Bcda::UsageError, ["batch: ", "not one of this job"]) { other.confirm(batch) }
      batch.release
      refused(Bcda::StateError, ["the batch was released"]) { job.confirm(batch) }
    end
    [{}, { confirm_lines: :none }, { confirm_lines: "verified" }].each do |options|
      open(*CURRENT, **options) do |client|
        job = client.export("Patient")
        batch = job.next_batch
        refused(Bcda::StateError, ['set option "confirm_lines"', '"delivery"']) { job.confirm(batch) }
      end
    end
  end

  def test_decoder
    every(DECODER, Bcda::Decoder.instance_method(:initialize)) { |**settings| Bcda::Decoder.new(**settings) }
    decoder = Bcda::Decoder.new
    refused(TypeError, ["bytes must be a String, not Integer"]) { decoder.write(5) }
    refused(TypeError, ["input must be something with a method read, not Symbol"]) { decoder.read(:file) }
    decoder.close
  end

  def test_times_and_names
    open(*CURRENT) do |client|
      job = client.export("Patient")
      refused(TypeError, ["timeout must be a number of seconds, not String"]) { job.next_batch(timeout: "5") }
      refused(TypeError, ["timeout must be a number of seconds, not String"]) { job.wait(timeout: "5") }
      refused(TypeError, ["timeout must be a number of seconds, not String"]) { client.metadata(timeout: "5") }
      refused(ArgumentError, ["state: :christmas is not one of :running, :downloading, :ended"]) { job.wait(:christmas) }
      refused(ArgumentError, ["severity: :bad is not one of ", ":fatal"]) { job.issue_count(:bad) }
      refused(Bcda::TimeoutError, ["the timeout has expired"]) { job.next_batch(timeout: 0) }
    end
  end

  def test_what_a_token_proc_gives
    sandbox = Sandbox.shared(*CURRENT)
    settings = sandbox.settings.reject { |name, _| name.to_s.start_with?("client_") }
    [nil, 5, [5, 6], [nil]].each do |given|
      Bcda::Client.open(sandbox.url, **settings, token: -> { given }) do |client|
        refused(TypeError, ["the result of token must be a String, or a String and a number of seconds"]) { client.export("Patient").each { flunk } }
      end
    end
    Bcda::Client.open(sandbox.url, **settings, token_provider: -> { nil }) do |client|
      refused(TypeError, ["the result of token_provider must be a String"]) { client.export("Patient").each { flunk } }
    end
    Bcda::Client.open(sandbox.url, **settings, token: -> { %w[t soon] }) do |client|
      refused(TypeError, ["the lifetime that token returns must be a number of seconds"]) { client.export("Patient").each { flunk } }
    end
  end

  def test_what_is_taken_in_other_forms
    open(*CURRENT) do |client|
      assert_equal 40, client.export(:Patient, fields: :id).count { |r| r.field("id") == r.id }
      client.export("Patient", since: DateTime.new(2020, 1, 1), parameters: { _x: 5 })
    end
    [{ token: "t" }, { bearer_token: "t" }, { token: -> { "t" } }, { token_provider: -> { "t" } }].each do |way|
      Bcda::Client.new(URL, **way, certificate_origins: nil).close
    end
    Bcda::Client.new(URI(URL), **ID, allowed_origins: "https://files.example").close
  end

  # The gem's tables of options must have exactly the options and constants of the library.
  def test_options_by_name
    names = Bcda::ABI.constants.grep(/\AOPT_/).map { |name| Bcda::Native.bcda_option_name(Bcda::ABI.const_get(name)) }
    config = Bcda::Config
    assert_equal names.sort, config::OPTIONS.sort
    config::CHOICES.each do |name, choices|
      prefix = "#{name.to_s.split('_').first.upcase}_"
      constants = Bcda::ABI.constants.select { |constant| constant.start_with?(prefix) }
      assert_equal constants.to_h { |constant| [constant.to_s.delete_prefix(prefix).downcase.to_sym, Bcda::ABI.const_get(constant)] }, choices
      Dir.mktmpdir do |spool|
        choices.flat_map { |word, value| [word, word.to_s, value] }.each do |given|
          Bcda::Client.new(URL, **ID, spool_directory: spool, name => given).close
        end
      end
    end
    assert_equal config::SWITCHES.sort, switches(names).sort - config::CHOICES.keys
    config::SWITCHES.each { |name| [true, false, 1, 0].each { |given| Bcda::Client.new(URL, **ID, name => given).close } }
  end

  # Returns the options for which the library accepts 0 and 1 and no other number.
  def switches(names)
    Bcda::Config.fill do |config|
      names.map(&:to_sym).select do |name|
        number = Bcda::Native.bcda_option_by_name(name.to_s)
        [-1, 0, 1, 2].map { |value| Bcda::Native.bcda_config_set_int(config.pointer, number, value).zero? } == [false, true, true, false]
      end
    end
  end

  def test_errors_show_their_names
    error = Bcda::Error.of_code(Bcda::ABI::ERR_TAG)
    assert_equal "#<Bcda::TamperedFile BCDA_ERR_TAG: #{error.message}>", error.inspect
    assert_equal :unknown_77, Bcda::Names.of(Bcda::DataFile::VERDICTS, 77)
    assert_equal :unknown_77, Bcda::Names.of(Bcda::Job.const_get(:STATES), 77)
  end
end
