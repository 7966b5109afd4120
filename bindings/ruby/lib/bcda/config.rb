# frozen_string_literal: true

module Bcda
  # Fills a bcda_config from the keywords of {Client} and {Decoder}.
  # @api private
  class Config
    SYMBOLS = {
      streaming: ABI::DELIVERY_STREAMING, verified: ABI::DELIVERY_VERIFIED,
      wait: ABI::DUPLICATE_WAIT, refuse: ABI::DUPLICATE_REFUSE, take_over: ABI::DUPLICATE_TAKE_OVER,
      true => 1, false => 0
    }.freeze
    LEVELS = { debug: ABI::LOG_DEBUG, info: ABI::LOG_INFO, warn: ABI::LOG_WARNING,
               error: ABI::LOG_ERROR }.freeze

    # Yields the config and frees it.
    def self.fill
      config = new
      begin
        yield config
      ensure
        config.free
      end
    end

    attr_reader :pointer

    def initialize
      @pointer = Native.make { |slot| Native.bcda_config_new(slot) }
    end

    def free
      Native.bcda_config_free(@pointer)
      @pointer = Native::NULL
    end

    # Calls a setter; raises what the config says of it.
    def call(name, *arguments)
      arguments.map! { |value| value.is_a?(String) ? Native.string(value) : value }
      code = Native.public_send(:"bcda_config_#{name}", @pointer, *arguments)
      raise Error.of(Native.bcda_config_error(@pointer), code) unless code.zero?
    end

    def identity(client_id, client_secret, token)
      return call(:set_client_credentials, client_id.to_s, client_secret.to_s) if client_id
      return if token.nil? || token.respond_to?(:call)

      call(:set_bearer_token, token.to_s)
    end

    # A key is PEM text, something with +to_pem+ (an OpenSSL::PKey), or the path of a file.
    def private_keys(keys, passphrase)
      Array(keys).each do |key|
        key = key.to_pem if key.respond_to?(:to_pem)
        if key.is_a?(String) && key.include?("-----BEGIN")
          add_pem(key, passphrase)
        else
          call(:add_private_key_file, ::File.path(key), passphrase)
        end
      end
    end

    # Options by their names in C, in lower case.
    def options(options)
      options.each do |name, value|
        number = Native.bcda_option_by_name(name.to_s)
        raise Error.of_code(number, "no option is called #{name}") if number.negative?

        if value.is_a?(String)
          call(:set_str, number, value)
        else
          call(:set_int, number, Integer(SYMBOLS.fetch(value, value)))
        end
      end
    end

    private

    # The copy that C reads is wiped.
    def add_pem(key, passphrase)
      FFI::MemoryPointer.new(:char, key.bytesize) do |pem|
        pem.put_bytes(0, key)
        call(:add_private_key_pem, pem, key.bytesize, passphrase)
      ensure
        pem.clear
      end
    end
  end
end
