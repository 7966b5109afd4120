# frozen_string_literal: true

require "logger"
require "time"

module Bcda
  # One identity at one server, with its jobs. Any number of threads may use a client and its jobs: calls
  # are serialised, and a thread that waits does not block other threads. Each job's procs run in the
  # thread that iterates over the job or waits for it. A callable that provides tokens and the +logger:+ are
  # called in any thread that does so.
  #
  #   Bcda::Client.open(url, client_id: id, client_secret: secret) do |client|
  #     client.export("Patient").each { |resource| puts resource.json }
  #   end
  class Client
    include Unique

    # The levels at which an export can start.
    LEVELS = { resource: ABI::LEVEL_RESOURCE, patient: ABI::LEVEL_PATIENT, group: ABI::LEVEL_GROUP,
               system: ABI::LEVEL_SYSTEM }.freeze
    # The keys of {#stats}, and their numbers in C.
    STATS = { requests: ABI::STAT_REQUESTS, retries: ABI::STAT_RETRIES, tokens: ABI::STAT_TOKENS,
              bytes_wire: ABI::STAT_BYTES_WIRE, bytes_decoded: ABI::STAT_BYTES_DECODED,
              resources: ABI::STAT_RESOURCES, transfers: ABI::STAT_TRANSFERS,
              waits: ABI::STAT_WAITS, transport_ns: ABI::STAT_TRANSPORT_NS, hash_ns: ABI::STAT_HASH_NS,
              inflate_ns: ABI::STAT_INFLATE_NS, decrypt_ns: ABI::STAT_DECRYPT_NS,
              parse_ns: ABI::STAT_PARSE_NS, deliver_ns: ABI::STAT_DELIVER_NS,
              spool_ns: ABI::STAT_SPOOL_NS, sleep_ns: ABI::STAT_SLEEP_NS,
              yajl_lines: ABI::STAT_YAJL_LINES }.freeze
    # The metadata of the server: the whole answer, and some of its values. The versions and the token URL
    # are nil if the server does not give them.
    Metadata = Struct.new(:body, :software_version, :fhir_version, :token_url, keyword_init: true) do
      # @return [Hash] the answer, parsed
      def parse
        JSON.parse(body)
      end
    end
    # The default of the option batch_size, twice that of the library. A batch costs more in Ruby than in
    # C, because decoding displaces Ruby's data from the caches of the processor.
    BATCH_SIZE = 524_288
    # The library's names of settings in error texts, and the keywords that replace them.
    WORDS = { "the FHIR URL: " => "fhir_url: ", "the token URL: " => "token_url: ",
              "a rewritten URL: " => "url_rewrites: ", "the token cache " => "token_cache: ",
              "the request budget " => "request_budget: " }.freeze
    WAKE = Object.new.freeze
    SEVERITIES = { ABI::LOG_ERROR => Logger::ERROR, ABI::LOG_WARNING => Logger::WARN,
                   ABI::LOG_INFO => Logger::INFO, ABI::LOG_DEBUG => Logger::DEBUG }.freeze
    HANDLERS = { on_state: [:on_state, Trampolines::STATE], on_file: [:on_file, Trampolines::FILE],
                 on_progress: [:on_progress, Trampolines::TOUCH],
                 on_issue: [:on_server_issue, Trampolines::ISSUE], on_deletion: [:on_deleted, Trampolines::DELETION],
                 on_bad_line: [:on_bad_line, Trampolines::BAD_LINE] }.freeze
    private_constant :BATCH_SIZE, :HANDLERS, :WAKE, :SEVERITIES, :WORDS

    # Creates a client; with a block, yields it, closes it after the block, and returns the block's value.
    # @param (see #initialize)
    # @yieldparam client [Bcda::Client]
    def self.open(fhir_url, **settings)
      client = new(fhir_url, **settings)
      return client unless block_given?

      begin
        yield client
      ensure
        client.close
      end
    end

    # Sends nothing. Secrets are copied to locked memory of the library, and this object does not keep them.
    #
    # @param fhir_url [String] the base of the FHIR API, such as "https://sandbox.bcda.cms.gov/api/v2"
    # @param client_id [String, nil] the id of the client, with +client_secret+ or +private_key_jwt+
    # @param client_secret [String, nil] the secret of OAuth client credentials (BCDA)
    # @param private_key_jwt [String, #to_path, #to_pem, Hash, nil] the key that signs in by SMART Backend Services:
    #   RSA, or EC on P-384. The path of a file, its text (PEM, JWK or JWKS), an OpenSSL key, or a JWK or JWKS as
    #   a Hash
    # @param private_key_jwt_passphrase [String, nil] for an encrypted PEM key
    # @param kid [String, nil] the id under which the server has the public key; it also selects the key of a JWKS.
    #   The +kid+ of the JWK by default
    # @param scope [String, Array<String>, nil] what to ask for with a signing key, such as "system/Patient.rs"; by
    #   default to read all types. {#missing_scope} has what the server did not grant
    # @param token [String, #call, nil] in place of credentials: a bearer token, or a callable that is
    #   called when a token is needed and returns it, or the token and its lifetime in seconds
    # @param bearer_token [String, nil] the same as +token+, for a token only
    # @param token_provider [#call, nil] the same as +token+, for a callable only
    # @param token_file [String, #to_path, nil] a file that another program keeps up to date: the token, or a JSON
    #   document with "access_token". It is read again before the token expires, and after a 401
    # @param token_command [String, nil] a command that prints what a token file has; /bin/sh runs it when a token is
    #   needed. It must not be a secret. The option +token_command_timeout_ms+ limits its time
    # @param no_auth [Boolean] true for an open server, which requires no token
    # @param token_url [String, nil] the URL of token requests; by default "/auth/token" at the server with a secret,
    #   and what the server announces with a signing key
    # @param token_cache [String, #to_path, nil] a file (mode 0600) with which processes share the token of a client id
    # @param request_budget [String, #to_path, nil] a file (mode 0600) with which processes share the limit of requests
    #   per second
    # @param private_key [String, #to_path, #to_pem, Array, nil] for encrypted files: PEM text, the path of
    #   a PEM file, or several of these; the library tries each key. With +client_id+, but without +client_secret+ and
    #   +private_key_jwt+, a single +private_key+ is the key that signs in, as +private_key_jwt+ is, and there is no key
    #   for encrypted files
    # @param private_key_passphrase [String, nil]
    # @param ca_file [String, nil] the certificate authorities to trust, in place of the system's
    # @param client_certificate [String, nil] a client certificate for TLS: the path of a PEM file
    # @param client_key [String, nil] the path of its key, if it is in another file
    # @param client_key_passphrase [String, nil]
    # @param certificate_origins [Array<String>] the origins to which the certificate is shown; by default those of the
    #   FHIR URL and the token URL
    # @param proxy [String, nil] such as "http://proxy.example:3128"; the environment is not read
    # @param proxy_user [String, nil]
    # @param proxy_password [String, nil]
    # @param spool_directory [String, nil] the directory of the temporary files that hold each data file
    #   until it is verified, with +delivery: :verified+
    # @param url_rewrites [Hash{String => String}] replaces each key by its value in the URLs that the
    #   server returns; for a server behind a reverse proxy that returns its internal name
    # @param allowed_origins [Array<String>] origins of files besides the server's own; default: every https origin
    # @param logger [Logger, nil]
    # @param log_level [Symbol, nil] the most detailed level that is reported: +:error+, +:warn+, +:info+
    #   or +:debug+; the level of the logger by default
    # @param options [Hash] the options of bcda/config.h by their names, such as +parallel: 8+,
    #   +decode_threads: 2+, +delivery: :verified+ (or +:streaming+), +duplicate_job: :take_over+ (or
    #   +:wait+, +:refuse+), +bad_lines_max: -1+, +cancel_at_server: true+. +batch_size+ is 512 KiB here by
    #   default
    # @raise [Bcda::Error] a {ConfigError}, {PrivateKeyError}, {OptionError} ... that names the keyword
    # @raise [ArgumentError, TypeError] for a value of a wrong type or form
    def initialize(fhir_url, client_id: nil, client_secret: nil, private_key_jwt: nil,
                   private_key_jwt_passphrase: nil, kid: nil, scope: nil, token: nil, bearer_token: nil,
                   token_provider: nil, token_file: nil, token_command: nil, no_auth: false, token_url: nil,
                   token_cache: nil, request_budget: nil, private_key: nil, private_key_passphrase: nil, ca_file: nil,
                   client_certificate: nil, client_key: nil, client_key_passphrase: nil, certificate_origins: [],
                   proxy: nil, proxy_user: nil, proxy_password: nil, spool_directory: nil,
                   url_rewrites: {}, allowed_origins: [], logger: nil, log_level: nil, **options)
      Engine.sweep
      Arguments.needs(:log_level, log_level, :logger) if logger.nil?
      raise Arguments.mistyped(:logger, logger, "a Logger") unless logger.nil? || logger.respond_to?(:add)

      sign_in = SignIn.new(client_id: client_id, client_secret: client_secret, private_key_jwt: private_key_jwt,
                           private_key_jwt_passphrase: private_key_jwt_passphrase, kid: kid, scope: scope, token: token,
                           bearer_token: bearer_token, token_provider: token_provider, token_file: token_file,
                           token_command: token_command, no_auth: no_auth, token_url: token_url,
                           token_cache: token_cache, private_key: private_key,
                           private_key_passphrase: private_key_passphrase)
      @logger = logger
      @provider = sign_in.provider
      @provider_keyword = sign_in.way
      @listening = {}.compare_by_identity
      @cancels_at_server = options.fetch(:cancel_at_server, 0) == true || options[:cancel_at_server] == 1
      @confirms = Config.confirms?(options)
      host = []
      userdata = Trampolines.register(host)
      Config.fill do |config|
        config.text(:fhir_url, :set_fhir_url, fhir_url)
        sign_in.set(config)
        config.private_keys(sign_in.private_key, sign_in.private_key_passphrase)
        files = set_tls(config, ca_file, client_certificate, client_key, client_key_passphrase)
        set_certificate_origins(config, certificate_origins, client_certificate)
        set_proxy(config, proxy, proxy_user, proxy_password)
        set_places(config, request_budget, spool_directory, url_rewrites, allowed_origins)
        config.options({ batch_size: BATCH_SIZE, **options }, KEYWORDS)
        check_spool(spool_directory, options[:delivery])
        register(config, userdata, log_level)
        @engine = make_engine(config, host, userdata, files)
      end
      ObjectSpace.define_finalizer(self, Engine.finalizer(@engine))
      serve
    ensure
      Trampolines.forget(userdata) unless @engine
    end

    KEYWORDS = instance_method(:initialize).parameters.filter_map { |kind, name| name if kind == :key }.freeze
    private_constant :KEYWORDS

    # Prepares an export. It is sent when a thread iterates over the job or waits for it, so several
    # exports can be prepared and run together.
    #
    # @param types [Array<String>] resource types; an empty list means all types. {Job#missing_types} has
    #   the types for which the server lists no file
    # @param level [Symbol, nil] +:patient+, +:group+, +:system+, or +:resource+ for exactly one type, which
    #   BCDA had until 2019-12; by default +:group+ if a group is given, otherwise +:patient+
    # @param group [String, nil] such as "all"
    # @param since [String, Time, nil] only resources that changed since this time: usually the
    #   {Job#transaction_time} of the previous export, unchanged
    # @param type_filter [String, Array<String>, nil] unescaped, such as
    #   "ExplanationOfBenefit?service-date=ge2024"
    # @param parameters [Hash] any other query parameters, unescaped
    # @param fields [Array<String>] paths such as "patient.reference": their values are extracted while
    #   the line is parsed ({Resource#field}, {Batch#field})
    # @param callbacks [Hash] procs of the job
    # @option callbacks [#call] :on_state called with the new state ({Job#state})
    # @option callbacks [#call] :on_file called with a {DataFile} and +:begin+ or +:end+: at the end,
    #   commit the file's resources if it is {DataFile#complete? complete}, otherwise undo them
    # @option callbacks [#call] :on_progress called with the job when it has made progress
    # @option callbacks [#call] :on_issue called with each {Issue} of the job's error files
    # @option callbacks [#call] :on_deletion called with each {Deletion}, after all data files have ended: a
    #   resource that the server has deleted, which a copy of its data must remove. If its
    #   {Deletion#file file} fails, undo its deletions. Without this proc the files of deletions are not
    #   downloaded; {Job#deleted_files} counts them
    # @option callbacks [#call] :on_bad_line called with each {BadLine}
    # @return [Bcda::Job]
    def export(*types, level: nil, group: nil, since: nil, type_filter: nil, parameters: {},
               fields: [], **callbacks)
      start_export(nil, types, callbacks, level: level, group: group, since: since, type_filter: type_filter,
                                          parameters: parameters, fields: Array(fields))
    end

    EXPORT_KEYWORDS = instance_method(:export).parameters.filter_map { |kind, name| name if kind == :key }.freeze
    private_constant :EXPORT_KEYWORDS

    # Prepares an export of what a job has not loaded, such as a restored job that the server no longer has.
    # Only the types of the data files that are not complete are requested; all types, if these types are not
    # known: if the manifest was not received, if it names no types, or if a file of deletions is not complete.
    # The new job also returns resources that +job+ has loaded, so replace a resource that is there already.
    # The +since:+ of the next export is the {Job#transaction_time} of +job+, not of the new job.
    #
    # The other arguments are those of the {#export} that +job+ belongs to, unchanged.
    # @param job [Bcda::Job] usually a job of {#restore} that has ended with {NotFoundError}, {GoneError} or
    #   {JobError}
    # @param types [Array<String>] as for {#export}
    # @param level [Symbol, nil] as for {#export}
    # @param group [String, nil] as for {#export}
    # @param since [String, Time, nil] as for {#export}
    # @param type_filter [String, Array<String>, nil] as for {#export}
    # @param parameters [Hash] as for {#export}
    # @param fields [Array<String>] as for {#export}
    # @param callbacks [Hash] as for {#export}
    # @return [Bcda::Job, nil] nil if +job+ has loaded all its files
    def export_remaining(job, *types, level: nil, group: nil, since: nil, type_filter: nil, parameters: {},
                         fields: [], **callbacks)
      raise Arguments.mistyped(:job, job, "a Job") unless job.is_a?(Job)

      start_export(job, types, callbacks, level: level, group: group, since: since, type_filter: type_filter,
                                          parameters: parameters, fields: Array(fields))
    end

    # Resumes a job that was started before: polls, then downloads.
    # @param url [String] the {Job#url} of the job
    # @param fields [Array<String>] as for {#export}
    # @param callbacks [Hash] as for {#export}
    # @return [Bcda::Job]
    def attach(url, fields: [], **callbacks)
      text = Arguments.string(url, :url)
      fields = Array(fields)
      with_export(ABI::LEVEL_PATIENT, fields) do |export|
        start(fields, callbacks) do |session, handlers, slot|
          Native.bcda_job_attach(session, text, export, handlers, slot)
        end
      rescue ConfigError, OriginError => e
        raise Arguments.named(e, :url, text)
      end
    end

    # Resumes a job from its saved text; files that were complete are not downloaded again. If the server no
    # longer has the job (BCDA keeps the files for a day), the loop raises {NotFoundError}, {GoneError} or
    # {JobError}. {Job#files} then still lists the files of the job, +:skipped+ if they were complete, +:none+
    # otherwise; {#export_remaining} requests the rest.
    # @param saved [String] the text of {Job#save}, followed by each later text of {Job#save_changes}
    # @param fields [Array<String>] as for {#export}
    # @param callbacks [Hash] as for {#export}
    # @return [Bcda::Job]
    def restore(saved, fields: [], **callbacks)
      text = Arguments.string(saved, :saved)
      fields = Array(fields)
      with_export(ABI::LEVEL_PATIENT, fields) do |export|
        start(fields, callbacks) do |session, handlers, slot|
          Native.bcda_job_restore(session, text, text.bytesize, export, handlers, slot)
        end
      rescue UsageError, OriginError => e
        raise e if e.is_a?(StateError) || e.is_a?(ForkedError)

        raise Arguments.named(e, :saved, text)
      end
    end

    # Requests the server's CapabilityStatement.
    # @param timeout [Numeric, nil] seconds
    # @return [Bcda::Client::Metadata]
    # @raise [Bcda::TimeoutError]
    def metadata(timeout: nil)
      request(ABI::REQUEST_METADATA, timeout)
    end

    # Requests the version of the server's software.
    # @param timeout [Numeric, nil] seconds
    # @return [Bcda::Client::Metadata]
    # @raise [Bcda::TimeoutError]
    def server_version(timeout: nil)
      request(ABI::REQUEST_VERSION, timeout)
    end

    # @return [Hash{Symbol => Integer}] statistics since the creation of the client ({STATS})
    def stats
      slot = FFI::MemoryPointer.new(:int64)
      @engine.locked do |session|
        STATS.transform_values do |number|
          @engine.check(Native.bcda_session_stat(session, number, slot))
          slot.read_int64
        end
      end
    end

    # @return [Array<String>] the scopes that were asked for with a signing key, and that the server has not granted
    #   with the last token. Resources of a type that is missing here do not come
    def missing_scope
      @engine.locked { |session| Native.text(Native.bcda_session_missing_scope(session)).split }
    end

    # Ends all jobs of the client and frees its connections. {Job} objects stay valid. For a job that had
    # not ended, its procs are called. Nothing is sent to the server. A second call does nothing.
    # @return [nil]
    def close
      @engine.close
      @listening.keys.each(&:notify_rest)
      @listening.clear
      log_rest
      nil
    end

    # Whether {#close} was called.
    def closed?
      @engine.closed?
    end

    # @return [String]
    def inspect
      "#<Bcda::Client #{closed? ? 'closed' : 'open'}>"
    end

    # @api private
    def cancels_at_server?
      @cancels_at_server
    end

    # Warns the application: in its log, or with Kernel#warn if there is no logger.
    # @api private
    def warn_of(text)
      return @logger.add(Logger::WARN, text, "bcda") if @logger

      place = caller_locations&.find { |location| !location.absolute_path.to_s.start_with?(__dir__) }
      warn("#{"#{place.path}:#{place.lineno}: " if place}warning: bcda: #{text}")
    end

    # Called by a job that has ended and has nothing more to report: removes it from the list of jobs.
    # @api private
    def forget(job)
      @listening.delete(job)
    end

    # Does the same as Engine#run, and also handles log lines and token requests.
    # @api private
    def advance(deadline)
      host = @engine.host
      loop do
        serve unless host.empty?
        got = @engine.run(deadline) { host.empty? ? yield : WAKE }
        next if WAKE.equal?(got)

        serve unless host.empty?
        return got
      end
    end

    private

    # Sets the files for TLS. Returns a hash from each file to its keyword, for error texts.
    def set_tls(config, ca_file, certificate, key, passphrase)
      files = {}
      unless ca_file.nil?
        files[path = Arguments.path(ca_file, :ca_file)] = :ca_file
        config.set(:ca_file, :set_ca_file, path)
      end
      if certificate.nil?
        Arguments.needs(:client_key, key, :client_certificate)
        Arguments.needs(:client_key_passphrase, passphrase, :client_certificate)
        return files
      end
      pair = { client_certificate: certificate, client_key: key.nil? ? certificate : key }
             .map { |keyword, file| Arguments.path(file, keyword).tap { |path| files[path] ||= keyword } }
      config.set(:client_certificate, :set_client_certificate, *pair,
                 Arguments.optional(passphrase, :client_key_passphrase))
      files
    end

    def set_proxy(config, proxy, user, password)
      if proxy.nil?
        Arguments.needs(:proxy_user, user, :proxy)
        Arguments.needs(:proxy_password, password, :proxy)
        return
      end
      config.set(:proxy, :set_proxy, Arguments.string(proxy, :proxy), Arguments.optional(user, :proxy_user),
                 Arguments.optional(password, :proxy_password))
    end

    def set_certificate_origins(config, origins, certificate)
      origins = Array(origins)
      Arguments.needs(:certificate_origins, origins.first, :client_certificate) if certificate.nil?
      origins.each { |origin| config.text(:certificate_origins, :add_certificate_origin, origin) }
    end

    def set_places(config, request_budget, spool_directory, url_rewrites, allowed_origins)
      unless request_budget.nil?
        config.set(:request_budget, :set_request_budget, Arguments.path(request_budget, :request_budget))
      end
      unless spool_directory.nil?
        config.set(:spool_directory, :set_spool_directory, Arguments.path(spool_directory, :spool_directory))
      end
      Arguments.hash(url_rewrites, :url_rewrites).each do |from, to|
        from, to = [from, to].map { |url| Arguments.string(url, :url_rewrites) }
        config.set(:url_rewrites, :add_url_rewrite, from, to, shows: from)
      end
      Array(allowed_origins).each { |origin| config.text(:allowed_origins, :add_allowed_origin, origin) }
    end

    def check_spool(spool_directory, delivery)
      return unless spool_directory.nil? && [:verified, "verified", ABI::DELIVERY_VERIFIED].include?(delivery)

      raise Error.of_code(ABI::ERR_CONFIG, "delivery: :verified needs spool_directory")
    end

    # Creates the engine. An error about the configuration is reworded with the keywords of this method's
    # caller.
    def make_engine(config, host, userdata, files)
      Engine.new(config.pointer, host, userdata)
    rescue Error => e
      words = WORDS.merge(files.to_h { |path, keyword| ["#{path}: ", "#{keyword}: #{path}: "] })
      found = words.keys.find { |start| e.message.start_with?(start) }
      raise unless found

      raise e.reworded(words[found] + e.message.delete_prefix(found))
    end

    def register(config, userdata, log_level)
      config.set(@provider_keyword, :set_token_provider, Trampolines::TOKEN, userdata, nil) if @provider
      return unless @logger

      level = log_level.nil? ? level_of(@logger) : Arguments.one_of(Config::LEVELS, log_level, :log_level)
      config.set(:log_level, :set_log, level, Trampolines::LOG, userdata, nil)
    end

    def level_of(logger)
      SEVERITIES.select { |_, severity| severity >= logger.level }.keys.max || ABI::LOG_ERROR
    end

    # Runs without the lock, because it calls procs of the application.
    def serve
      while (what, *rest = @engine.host.shift)
        what == :log ? log(*rest) : provide_token(*rest)
      end
    end

    def log(level, component, message)
      @logger.add(SEVERITIES.fetch(level, Logger::DEBUG), Native.text(message),
                  "bcda.#{Native.text(component)}")
    end

    def log_rest
      while (what, *rest = @engine.host.shift)
        log(*rest) if what == :log
      end
    end

    def provide_token(request)
      answered = false
      token, lifetime = @provider.call
      token = Arguments.string(token, "the result of #{@provider_keyword}",
                               "a String, or a String and a number of seconds")
      unless lifetime.nil? || lifetime.is_a?(Numeric)
        raise Arguments.mistyped("the lifetime that #{@provider_keyword} returns", lifetime, "a number of seconds")
      end
      answered = true
      @engine.locked { Native.bcda_token_request_answer(request, token, lifetime ? lifetime.to_i : -1) }
    rescue ClosedError
      Native.bcda_token_request_fail(request)
    ensure
      @engine.reading { Native.bcda_token_request_fail(request) } unless answered
    end

    # Starts an export, or if a job is given, an export of what that job has not loaded.
    def start_export(job, types, callbacks, level:, group:, fields:, **what)
      level ||= group.nil? ? :patient : :group
      number = Arguments.one_of(LEVELS, level, :level)
      unless group.nil? || level == :group
        raise Error.of_code(ABI::ERR_CONFIG, "group is given, and level is #{level.inspect}: only an export of level " \
                                             ":group takes one")
      end

      with_export(number, fields) do |export|
        fill_export(export, types, group: group, **what)
        with_remaining(export, job) do |wanted|
          start(fields, callbacks, EXPORT_KEYWORDS) do |session, handlers, slot|
            Native.bcda_job_start(session, wanted, handlers, slot)
          end
        end
      end
    end

    def fill_export(export, types, group:, since:, type_filter:, parameters:)
      set(:group, :set_group, export, group) unless group.nil?
      types.flatten.each { |type| set(:types, :add_type, export, type) }
      set(:since, :set_since, export, Arguments.instant(since, :since)) unless since.nil?
      Array(type_filter).each { |filter| set(:type_filter, :add_type_filter, export, filter) }
      Arguments.hash(parameters, :parameters).each { |name, value| set_parameter(export, name, value) }
    end

    # Yields the export, restricted to what the job has not loaded. Returns nil if nothing remains.
    def with_remaining(export, job)
      return yield export if job.nil?

      remaining = job.remaining_of(export) or return
      yield remaining
    ensure
      Native.bcda_export_free(remaining) if remaining
    end

    def set(keyword, setter, export, value)
      text = Arguments.string(value, keyword)
      code = Native.public_send(:"bcda_export_#{setter}", export, text)
      raise Arguments.named(export_error(export, code), keyword, text) unless code.zero?
    end

    def export_error(export, code)
      Error.of(Native.bcda_export_error(export), code)
    end

    def set_parameter(export, name, value)
      name = Arguments.string(name, "a name in parameters")
      value = value.to_s if [true, false].include?(value) || value.is_a?(Numeric)
      value = Arguments.string(value, "the value of #{name} in parameters")
      code = Native.bcda_export_set_parameter(export, name, value)
      raise Arguments.named(export_error(export, code), :parameters, name) unless code.zero?
    end

    def with_export(level, fields)
      export = Native.make { |slot| Native.bcda_export_new(slot, level) }
      error = ->(code) { export_error(export, code) }
      Arguments.add_fields(fields, error) { |path, slot| Native.bcda_export_add_field(export, path, slot) }
      yield export
    ensure
      Native.bcda_export_free(export) if export
    end

    def start(fields, callbacks, keywords = [:fields], &starting)
      callbacks = known(callbacks, keywords)
      events = JobEvents.new(@confirms)
      userdata = Trampolines.register(events) if callbacks.any?
      handlers = make_handlers(callbacks, userdata)
      handle = JobHandle.new(@engine, events, userdata)
      job = start_job(handle, handlers, fields, callbacks, &starting)
      serve
      job
    ensure
      Native.bcda_handlers_free(handlers) if handlers
      Trampolines.forget(userdata) unless job
    end

    # Interrupts are deferred: one that arrived between the C call and the creation of the Ruby object would
    # lose the job.
    def start_job(handle, handlers, fields, callbacks)
      Thread.handle_interrupt(Engine::HOLD) do
        @engine.locked do |session|
          handle.start { |slot| yield session, handlers, slot }
        end
        job = Job.new(self, handle, fields.map(&:to_s).freeze, callbacks)
        @listening[job] = true if callbacks.any?
        job
      end
    end

    def known(callbacks, keywords)
      (callbacks.keys - Job::CALLBACKS).each do |name|
        raise ArgumentError, "there is no keyword #{name}; " +
                             Arguments.similar(name, (keywords + Job::CALLBACKS).map(&:to_s))
      end
      callbacks.compact.each { |keyword, value| Arguments.callable(value, keyword) }
    end

    # The handler of invalid lines gets those of files without batches: files of deletions and, if there is
    # on_issue, error files. The other invalid lines are read from the batches.
    def make_handlers(callbacks, userdata)
      wanted = HANDLERS.slice(*callbacks.keys)
      return Native::NULL if wanted.empty?

      handlers = Native.make { |slot| Native.bcda_handlers_new(slot) }
      wanted.each_value do |name, trampoline|
        code = Native.public_send(:"bcda_handlers_#{name}", handlers, trampoline, userdata, nil)
        raise Error.of_code(code) unless code.zero?
      end
      handlers
    end

    def request(what, timeout)
      deadline = Arguments.deadline(timeout)
      slot = FFI::MemoryPointer.new(:pointer)
      @engine.locked do |session|
        @engine.check(Native.bcda_request_start(session, what, nil, nil, nil, slot))
      end
      request = slot.read_pointer
      got = advance(deadline) { answer(request) unless Native.bcda_request_result(request) == ABI::ERR_AGAIN }
      raise TimeoutError.new(code: ABI::ERR_TIMEOUT) if got.nil?
      raise got if got.is_a?(Error)

      got
    ensure
      @engine.reading { Native.bcda_request_unref(slot.read_pointer) } if slot
    end

    def answer(request)
      failure = Native.bcda_request_error(request)
      return Error.of(failure) unless failure.null?

      said = %i[software_version fhir_version token_url].to_h do |name|
        text = Native.text(Native.public_send(:"bcda_request_#{name}", request))
        [name, text.empty? ? nil : text]
      end
      Metadata.new(body: Native.bytes { |size| Native.bcda_request_body(request, size) }, **said)
    end
  end
end
