# frozen_string_literal: true

module Bcda
  # Fills a bcda_config from the keywords of {Client} and {Decoder}.
  # @api private
  class Config
    # The options whose values are names in Ruby and numbers in C.
    CHOICES = {
      delivery: { streaming: ABI::DELIVERY_STREAMING, verified: ABI::DELIVERY_VERIFIED },
      duplicate_job: { wait: ABI::DUPLICATE_WAIT, refuse: ABI::DUPLICATE_REFUSE, take_over: ABI::DUPLICATE_TAKE_OVER },
      confirm_lines: { none: ABI::CONFIRM_NONE, verified: ABI::CONFIRM_VERIFIED, staged: ABI::CONFIRM_STAGED }
    }.freeze
    # Options that are on or off.
    SWITCHES = %i[allow_http_loopback gzip check_count cancel_at_server scanner pull_deletions].freeze
    OPTIONS = ABI.constants.grep(/\AOPT_/).map { |name| name.to_s.delete_prefix("OPT_").downcase }.freeze
    INT64 = (-(1 << 63)...(1 << 63)).freeze
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

    # Whether the options let {Job#confirm} confirm lines.
    def self.confirms?(options)
      confirm, delivery = %i[confirm_lines delivery].map { |name| number_of(name, options[name]) }
      confirm == ABI::CONFIRM_STAGED || (confirm == ABI::CONFIRM_VERIFIED && delivery == ABI::DELIVERY_VERIFIED)
    end

    # The number in C of an option whose values are names.
    def self.number_of(name, value)
      CHOICES[name].fetch(value.is_a?(String) ? value.to_sym : value, value)
    end
    private_class_method :number_of

    attr_reader :pointer

    def initialize
      @pointer = Native.make { |slot| Native.bcda_config_new(slot) }
    end

    def free
      Native.bcda_config_free(@pointer)
      @pointer = Native::NULL
    end

    # The error of the last call that failed.
    def error(code)
      Error.of(Native.bcda_config_error(@pointer), code)
    end

    # Calls a setter for a keyword. +shows+ is the value that an error text quotes; nil for a secret.
    def set(keyword, setter, *values, shows: nil)
      code = Native.public_send(:"bcda_config_#{setter}", @pointer, *values)
      raise Arguments.named(error(code), keyword, shows) unless code.zero?
    end

    # Calls a setter that takes one text, which must not be a secret.
    def text(keyword, setter, value)
      text = Arguments.string(value, keyword)
      set(keyword, setter, text, shows: text)
    end

    # A key is PEM text, something with +to_pem+ (an OpenSSL::PKey), or the path of a file.
    def private_keys(keys, passphrase)
      Arguments.needs(:private_key_passphrase, passphrase, :private_key) if keys.nil?
      passphrase = Arguments.optional(passphrase, :private_key_passphrase)
      (keys.is_a?(Array) ? keys : [keys].compact).each do |key|
        key = key.to_pem if key.respond_to?(:to_pem)
        if key.is_a?(String) && key.include?(Arguments::PEM)
          with_copy(key) { |pem, size| set(:private_key, :add_private_key_pem, pem, size, passphrase) }
        else
          set(:private_key, :add_private_key_file, Arguments.path(key, :private_key), passphrase)
        end
      end
    end

    # Yields a copy of a key in memory for C, which is overwritten afterwards, and its size.
    def with_copy(key)
      FFI::MemoryPointer.new(:char, key.bytesize) do |copy|
        copy.put_bytes(0, key)
        return yield copy, key.bytesize
      ensure
        copy.clear
      end
    end

    # Options by their names in C, in lower case. +keywords+ are those of the called method, for
    # suggestions if a name is not an option.
    def options(options, keywords)
      options.each do |name, value|
        number = Native.bcda_option_by_name(name.to_s)
        if number.negative?
          raise Error.of_code(number, "there is no keyword and no option #{name}; " +
                                      Arguments.similar(name, OPTIONS + keywords.map(&:to_s)))
        end
        option(number, name.to_sym, value)
      end
    end

    private

    def option(number, name, value)
      what = "option \"#{name}\""
      value = choice(what, CHOICES[name], value) if CHOICES.key?(name)
      value = value ? 1 : 0 if SWITCHES.include?(name) && [true, false].include?(value)
      kind = text?(number) ? String : Integer
      raise wrong_kind(what, kind, value) unless value.is_a?(kind)
      raise refused(what, value, "within 64 bits") if kind == Integer && !INT64.cover?(value)

      set_option(number, kind, what, value)
    end

    def set_option(number, kind, what, value)
      code = if kind == Integer
               Native.bcda_config_set_int(@pointer, number, value)
             else
               Native.bcda_config_set_str(@pointer, number, Arguments.string(value, what))
             end
      raise error(code).then { |e| e.reworded("#{e.message}; given #{Arguments.quoted(value)}") } unless code.zero?
    end

    def choice(what, choices, value)
      return value if choices.value?(value)

      name = value.is_a?(String) ? value.to_sym : value
      choices.fetch(name) do
        raise refused(what, value, "one of #{choices.keys.map(&:inspect).join(', ')}")
      end
    end

    def wrong_kind(what, kind, value)
      expected = kind == Integer ? "an Integer" : "a String"
      return Arguments.mistyped(what, value, expected) unless value.is_a?(String) || value.is_a?(Integer)

      refused(what, value, expected, ABI::ERR_OPTION_TYPE)
    end

    def refused(what, value, expected, code = ABI::ERR_OPTION_RANGE)
      Error.of_code(code, "#{what}: #{Arguments.quoted(value)} is not #{expected}")
    end

    def text?(number)
      slot = FFI::MemoryPointer.new(:int64)
      Native.bcda_config_get_int(@pointer, number, slot) == ABI::ERR_OPTION_TYPE
    end
  end
end
