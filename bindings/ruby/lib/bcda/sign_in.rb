# frozen_string_literal: true

module Bcda
  # How a client signs in: checks the keywords of {Client}, and sets them in a {Config}. It holds secrets, and
  # shows none of them.
  # @api private
  class SignIn
    # The ways to sign in. Only one of them can be given.
    WAYS = %i[client_secret private_key_jwt token bearer_token token_provider token_file token_command no_auth].freeze
    # The ways in which the library fetches tokens with the client id.
    FETCHING = %i[client_secret private_key_jwt].freeze
    # What is only for a signing key.
    OF_KEY = %i[kid scope private_key_jwt_passphrase].freeze
    # How the library calls a signing key that is not in a file.
    NAME_OF_TEXT = "signing key"

    # The keys for encrypted files, and their passphrase.
    attr_reader :private_key, :private_key_passphrase
    # What provides tokens, or nil.
    attr_reader :provider

    # +keywords+ are those of {Client} that belong to a way to sign in.
    def initialize(private_key:, private_key_passphrase:, no_auth:, **keywords)
      raise Arguments.mistyped(:no_auth, no_auth, "true or false") unless [true, false].include?(no_auth)

      @given = keywords.compact
      @given[:no_auth] = true if no_auth
      @private_key = private_key
      @private_key_passphrase = private_key_passphrase
      @key_keyword = :private_key_jwt
      @key_passphrase = @given[:private_key_jwt_passphrase]
      use_short_form if short?
      check
      @provider = @given[way] if way == :token_provider || (way == :token && @given[way].respond_to?(:call))
    end

    # The keyword of the way to sign in.
    def way
      WAYS.find { |name| @given.key?(name) }
    end

    # Sets the way to sign in, and what belongs to it, except the callback of a provider.
    def set(config)
      config.text(:token_url, :set_token_url, @given[:token_url]) if @given.key?(:token_url)
      set_way(config)
      config.text(:scope, :set_scope, scope) if @given.key?(:scope)
      return unless @given.key?(:token_cache)

      config.set(:token_cache, :set_token_cache, Arguments.path(@given[:token_cache], :token_cache))
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{way}>"
    end

    private

    # Whether +private_key+ is the key that signs in.
    def short?
      !@private_key.nil? && !@private_key.is_a?(Array) && @given.key?(:client_id) && way.nil?
    end

    def use_short_form
      @key_keyword = :private_key
      @key_passphrase = @private_key_passphrase
      @given[:private_key_jwt] = @private_key
      @private_key = @private_key_passphrase = nil
    end

    # Refuses keywords that contradict each other.
    def check
      check_way
      check_passphrase
      other = OF_KEY.find { |name| @given.key?(name) && way != :private_key_jwt }
      refuse("#{other} is given without private_key_jwt") if other
      if @given.key?(:token_cache) && !FETCHING.include?(way)
        refuse("token_cache is given without client_secret or private_key_jwt")
      end
      refuse("no_auth and token_url exclude each other") if way == :no_auth && @given.key?(:token_url)
      Arguments.callable(@given[:token_provider], :token_provider)
    end

    def check_way
      first, second = WAYS.select { |name| @given.key?(name) }
      refuse("#{first} and #{second} exclude each other") if second
      if first.nil?
        refuse("client_id needs client_secret or private_key_jwt") if @given.key?(:client_id)
        refuse("no identity: give client_id and client_secret, client_id and private_key_jwt, token, token_file, " \
               "token_command, or no_auth: true")
      end
      return if FETCHING.include?(first) == @given.key?(:client_id)

      refuse(FETCHING.include?(first) ? "#{first} needs client_id" : "client_id and #{first} exclude each other")
    end

    def check_passphrase
      return unless @key_keyword == :private_key && @given.key?(:private_key_jwt_passphrase)

      refuse("private_key_jwt_passphrase is given without private_key_jwt: the passphrase of private_key is " \
             "private_key_passphrase")
    end

    def refuse(words)
      raise Error.of_code(ABI::ERR_CONFIG, words)
    end

    def set_way(config)
      value = @given[way]
      case way
      when :client_secret then set_credentials(config)
      when :private_key_jwt then set_signing_key(config)
      when :token, :bearer_token then set_token(config, value) unless @provider
      when :token_file then config.set(way, :set_token_file, Arguments.path(value, way))
      when :token_command then config.set(way, :set_token_command, Arguments.string(value, way))
      when :no_auth then config.set(way, :set_no_authentication)
      end
    end

    def set_token(config, value)
      expected = way == :token ? "a String, or something with a method call" : "a String"
      config.set(way, :set_bearer_token, Arguments.string(value, way, expected))
    end

    # The first call has a placeholder as secret, so an error of it is about the id.
    def set_credentials(config)
      id = Arguments.string(@given[:client_id], :client_id)
      secret = Arguments.string(@given[:client_secret], :client_secret)
      config.set(:client_id, :set_client_credentials, id, "-", shows: id)
      config.set(:client_secret, :set_client_credentials, id, secret)
    end

    def set_signing_key(config)
      id = Arguments.string(@given[:client_id], :client_id)
      kid = Arguments.optional(@given[:kid], :kid)
      passphrase = Arguments.optional(@key_passphrase, :"#{@key_keyword}_passphrase")
      text = text_of_key(@given[:private_key_jwt])
      code = if text
               config.with_copy(text) { |copy, size| call(config, :set_signing_key, id, copy, size, passphrase, kid) }
             else
               path = Arguments.path(@given[:private_key_jwt], @key_keyword)
               call(config, :set_signing_key_file, id, path, passphrase, kid)
             end
      raise by_keyword(config.error(code), id, kid) unless code.zero?
    end

    def call(config, setter, *values)
      Native.public_send(:"bcda_config_#{setter}", config.pointer, *values)
    end

    # The text of the key, or nil if +key+ is the path of a file.
    def text_of_key(key)
      return JSON.generate(key.to_hash) if key.respond_to?(:to_hash)
      return key.to_pem if key.respond_to?(:to_pem)
      return if key.respond_to?(:to_path)
      raise Arguments.mistyped(@key_keyword, key, "a path, the text of a key, or a Hash") unless key.is_a?(String)

      bytes = key.b
      return key if bytes.include?(Arguments::PEM) || bytes.include?("\n") || bytes.lstrip.start_with?("{")
      return unless Arguments::NO_PATH.match?(bytes)

      raise ArgumentError, "#{@key_keyword} is neither the path of a file nor a key in PEM, JWK or JWKS: does it " \
                           "lack the line #{Arguments::PEM} PRIVATE KEY-----?"
    rescue JSON::JSONError, EncodingError # its message may show a value
      raise TypeError, "#{@key_keyword} is not a JWK or JWKS: it has a value that JSON does not have", cause: nil
    end

    # The library's error about a signing key; its message names the keyword.
    def by_keyword(error, id, kid)
      return Arguments.named(error, :client_id, id) if error.message.start_with?("the client id ")
      return Arguments.named(error, :kid, kid) if error.message.start_with?("the key id ")

      if error.message.start_with?(NAME_OF_TEXT)
        error = error.reworded("#{@key_keyword}#{error.message.delete_prefix(NAME_OF_TEXT)}")
      end
      # A JWK or JWKS without the requested key: it depends on kid, which of them can sign.
      Arguments.named(error, error.code == ABI::ERR_CONFIG ? :kid : @key_keyword)
    end

    def scope
      value = @given[:scope]
      return Arguments.string(value, :scope, "a String, or an Array of them") unless value.is_a?(Array)

      value.map { |one| Arguments.string(one, :scope) }.join(" ")
    end
  end
end
