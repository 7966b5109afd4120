# frozen_string_literal: true

require_relative "helper"

class TestErrors < BcdaTest
  CODES = Bcda::ABI.constants.grep(/\AERR_/).to_h { |name| [name, Bcda::ABI.const_get(name)] }

  def test_every_code_has_a_class
    assert_operator CODES.size, :>, 70
    CODES.each do |name, code|
      error = Bcda::Error.of_code(code)
      refute_equal Bcda::Error, error.class, name
      assert_equal ["BCDA_#{name}", code], [error.name, error.code]
      refute_empty error.message
      # The class that belongs to the range of the code must be a superclass of the error's class.
      group = Bcda::Error.const_get(:RANGES).find { |range, _| range.cover?(code) }.last
      assert_kind_of group, error, name
    end
    table = Bcda::Error.const_get(:CLASSES)
    assert_equal CODES.values.sort, table.keys.sort
  rescue NameError # a constant of Bcda::Error has another name now
    flunk
  end

  def test_codes_of_a_later_library
    assert_equal [Bcda::UsageError, Bcda::LocalError, Bcda::TransportError, Bcda::ServerError, Bcda::DataError, Bcda::HostError, Bcda::Error],
                 [-49, -99, -199, -299, -399, -499, -999].map { |code| Bcda::Error.class_of(code) }
  end

  def test_configuration
    url = "https://localhost/api/v2"
    identity = { client_id: "id", client_secret: "secret" }
    assert_raises(Bcda::ConfigError) { Bcda::Client.new(url) }
    assert_raises(Bcda::ConfigError) { Bcda::Client.new("nonsense", **identity) }
    error = assert_raises(Bcda::InsecureURLError) { Bcda::Client.new("http://example.org/api/v2", **identity) }
    assert_includes error.message, "https://example.org"
    assert_raises(Bcda::OptionError) { Bcda::Client.new(url, **identity, paralel: 3) }
    assert_raises(Bcda::OptionError) { Bcda::Client.new(url, **identity, parallel: -3) }
    assert_raises(Bcda::OptionError) { Bcda::Client.new(url, **identity, parallel: "three") }
    assert_raises(Bcda::LocalError) { Bcda::Client.new(url, **identity, ca_file: "/nowhere/ca.pem") }
    assert_raises(Bcda::LocalError) { Bcda::Client.new(url, **identity, private_key: "/nowhere/key.pem") }
    assert_raises(Bcda::PrivateKeyError) { Bcda::Client.new(url, **identity, private_key: "-----BEGIN NOTHING-----\n") }
    assert_raises(Bcda::UsageError) { Bcda::Client.new(url, client_id: "a:b", client_secret: "secret") }
    assert_raises(ArgumentError) { Bcda::Client.new(url, client_id: "a\0b", client_secret: "secret") }
  end

  # One fault of the sandbox for each kind of error: the class, the name of the code, and other attributes.
  FAULTS = {
    "status-html" => [Bcda::ProtocolError, "BCDA_ERR_NOT_JSON", {}],
    "manifest-not-manifest" => [Bcda::ProtocolError, "BCDA_ERR_MANIFEST", {}],
    "kickoff-no-location" => [Bcda::ProtocolError, "BCDA_ERR_NO_LOCATION", { http_status: 202 }],
    "token-no-token" => [Bcda::AuthError, "BCDA_ERR_TOKEN", {}],
    "job-expired" => [Bcda::ServerError, nil, { http_status: 404 }],
    "job-failed" => [Bcda::JobError, "BCDA_ERR_JOB_FAILED", { http_status: 500 }],
    "data-404" => [Bcda::NotFoundError, "BCDA_ERR_NOT_FOUND", { http_status: 404 }],
    "data-500" => [Bcda::UnavailableError, "BCDA_ERR_SERVER", { http_status: 500, retryable?: true }],
    "data-flip:-3" => [Bcda::TamperedFile, "BCDA_ERR_GZIP", {}],
    "data-short:200" => [Bcda::TamperedFile, "BCDA_ERR_GZIP_CUT", {}],
    "cut-line" => [Bcda::TamperedFile, "BCDA_ERR_LINE_CUT", {}],
    "bad-json" => [Bcda::LineError, "BCDA_ERR_LINE_JSON", { line: 2 }],
    "bad-utf8" => [Bcda::LineError, "BCDA_ERR_LINE_UTF8", { line: 2 }],
    "deep-line:70" => [Bcda::LineError, "BCDA_ERR_LINE_DEPTH", { line: 2 }],
    "redirect-loop" => [Bcda::OriginError, "BCDA_ERR_REDIRECT", {}],
    "reset" => [Bcda::TransportError, "BCDA_ERR_TRANSFER", { retryable?: true }],
    "headers-huge:300000" => [Bcda::TransportError, "BCDA_ERR_HEADERS_TOO_LARGE", {}]
  }.freeze

  FAULTS.each do |fault, (klass, name, fields)|
    define_method("test_fault_#{fault.tr('^a-z0-9', '_')}") do
      sandbox = Sandbox.new("--era", "current", "--polls", "0", "--fault", fault)
      begin
        fails(sandbox, klass, name, fields, level: :patient)
      ensure
        sandbox.stop
      end
    end
  end

  ENCRYPTED = {
    "data-flip:100" => [Bcda::TamperedFile, "BCDA_ERR_TAG", {}],
    "wrong-key" => [Bcda::FileKeyError, "BCDA_ERR_KEY_UNWRAP", {}],
    "wrong-label" => [Bcda::FileKeyError, "BCDA_ERR_KEY_LABEL", {}],
    "data-short:20" => [Bcda::TamperedFile, "BCDA_ERR_CIPHER_SHORT", {}]
  }.freeze

  ENCRYPTED.each do |fault, (klass, name, fields)|
    define_method("test_encrypted_#{fault.tr('^a-z0-9', '_')}") do
      sandbox = Sandbox.new("--era", "2019-04", "--polls", "0", "--fault", fault)
      begin
        fails(sandbox, klass, name, fields, level: :resource)
      ensure
        sandbox.stop
      end
    end
  end

  def fails(sandbox, klass, name, fields, level:)
    Bcda::Client.open(sandbox.url, **sandbox.settings, attempts: 2, retry_max_ms: 1, poll_max_ms: 10) do |client|
      verdicts = []
      job = client.export("Patient", level: level, on_file: ->(file, event) { verdicts << [file, file.verdict] if event == :end })
      error = assert_raises(klass) { job.each { nil } }
      assert_equal name, error.name if name
      fields.each { |field, value| assert_equal value, error.public_send(field), field }
      assert_equal [:failed, :failed], [job.state, job.verdict]
      assert_equal [error.code, error.message], [job.error.code, job.error.message]
      verdicts.each do |file, verdict| # on_file must have reported each file that was begun
        assert_equal :failed, verdict
        assert_equal [error.code, file.name], [file.error.code, error.file]
      end
      assert_kind_of klass, assert_raises(klass) { job.wait(:ended) } unless job.files.any?
    end
  end

  def test_server_words
    open(*CURRENT) do |client|
      error = assert_raises(Bcda::ServerError) { client.export("Nonsense").each { nil } }
      assert_equal 400, error.http_status
      refute_nil error.server_text
      refute error.retryable?
      assert_nil error.file
      assert_nil error.line
    end
  end

  def test_wrong_secret
    sandbox = Sandbox.shared(*CURRENT)
    Bcda::Client.open(sandbox.url, **sandbox.settings, client_secret: "wrong") do |client|
      error = assert_raises(Bcda::AuthError) { client.export("Patient").each { nil } }
      assert_equal 401, error.http_status
      refute_includes error.message, "wrong"
    end
  end

  def test_no_server
    open(*CURRENT) # starts a sandbox, which creates a CA file
    Bcda::Client.open("https://127.0.0.1:1/api/v2", client_id: "id", client_secret: "secret", attempts: 1) do |client|
      assert_raises(Bcda::ConnectError) { client.export("Patient").each { nil } }
      assert_raises(Bcda::ConnectError) { client.metadata }
    end
  end

  def test_untrusted_certificate
    sandbox = Sandbox.shared(*CURRENT)
    Bcda::Client.open(sandbox.url, **sandbox.settings.reject { |name, _| name == :ca_file }, attempts: 1) do |client|
      assert_equal "BCDA_ERR_TLS_VERIFY", assert_raises(Bcda::TLSError) { client.export("Patient").each { nil } }.name
    end
  end

  def test_no_key
    sandbox = Sandbox.shared(*ERA_2019)
    Bcda::Client.open(sandbox.url, **sandbox.settings.reject { |name, _| name == :private_key }) do |client|
      error = assert_raises(Bcda::FileKeyError) { client.export("Patient", level: :resource).each { nil } }
      assert_equal "BCDA_ERR_KEY_MISSING", error.name
      refute_nil error.file
    end
  end

  def test_keys_in_every_form
    sandbox = Sandbox.shared(*ERA_2019)
    path = sandbox.env.fetch("BCDA_PRIVATE_KEY")
    pem = File.read(path)
    with_pem = Struct.new(:to_pem).new(pem)
    with_path = Struct.new(:to_path).new(path)
    [path, pem, with_pem, with_path, [path]].each do |key|
      Bcda::Client.open(sandbox.url, **sandbox.settings, private_key: key) do |client|
        assert_equal 40, client.export("Patient", level: :resource).count
      end
    end
  end
end
