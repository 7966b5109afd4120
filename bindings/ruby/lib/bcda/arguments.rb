# frozen_string_literal: true

module Bcda
  # Checks arguments and converts them for C. Errors name the keyword of the argument.
  # @api private
  module Arguments
    # The beginning of the text in a PEM file.
    PEM = "-----BEGIN"
    # What is not a path, but a secret: PEM text, JSON, a JWT, or a key in base64. An error text would quote it as
    # a path.
    NO_PATH = %r{-----BEGIN|\A\s*(\{|eyJ[\w-]*\.|M[\w+/=]{100,}\s*\z)}n
    # How much of a value an error text quotes.
    QUOTE_MAX = 80

    class << self
      # The value as an error text quotes it: shortened, and a URL without its user information.
      def quoted(value)
        value = value.scrub.sub(%r{\A([A-Za-z][\w+.-]*://)?.*@}m, '\1...@') if value.is_a?(String)
        text = value.inspect
        text.length <= QUOTE_MAX ? text : "#{text[0, QUOTE_MAX - 4]}...#{text[-1]}"
      end

      # The error for a value that is not +expected+.
      def refused(keyword, value, expected)
        ArgumentError.new("#{keyword}: #{quoted(value)} is not #{expected}")
      end

      # Returns the value of a name. For an unknown name, the error lists all names.
      def one_of(names, value, keyword)
        names.fetch(value) { raise refused(keyword, value, "one of #{names.keys.map(&:inspect).join(', ')}") }
      end

      # The error for a value of a wrong type. The error does not show the value.
      def mistyped(keyword, value, expected)
        TypeError.new("#{keyword} must be #{expected}, not #{value.nil? ? 'nil' : value.class}")
      end

      # The library's error, reworded: its message names the keyword, and quotes the value if it is not a
      # secret.
      def named(error, keyword, value = nil)
        words = error.message.start_with?(keyword.to_s) ? error.message : "#{keyword}: #{error.message}"
        error.reworded(value.nil? ? words : "#{words}; given #{quoted(value)}")
      end

      # Raises if +keyword+ has a value although +other+, which it requires, was not given.
      def needs(keyword, value, other)
        raise Error.of_code(ABI::ERR_CONFIG, "#{keyword} is given without #{other}") unless value.nil?
      end

      # Suggests the known name that is most similar to an unknown one; lists all if none is similar.
      def similar(name, names)
        close = DidYouMean::SpellChecker.new(dictionary: names).correct(name.to_s).first if defined?(DidYouMean)
        close ? "did you mean #{close}?" : "there are #{names.sort.join(', ')}"
      end

      # A string for C: in UTF-8, without a NUL, which would end it in C.
      def string(value, keyword, expected = "a String")
        text = text_of(value) or raise mistyped(keyword, value, expected)
        text = text.encode(Encoding::UTF_8)
        raise EncodingError unless text.valid_encoding?
        raise ArgumentError, "#{keyword} has a NUL character in it" if text.include?("\0")

        text
      rescue EncodingError
        raise ArgumentError, "#{keyword} cannot be written in UTF-8"
      end

      def optional(value, keyword)
        string(value, keyword) unless value.nil?
      end

      # The path of a file, for C.
      def path(value, keyword)
        unless value.is_a?(String) || value.respond_to?(:to_path) || value.respond_to?(:to_str)
          raise mistyped(keyword, value, "a path")
        end

        path = value.respond_to?(:to_path) ? value.to_path : value.to_str
        raise ArgumentError, "#{keyword} is the path of a file, not the text in it" if NO_PATH.match?(path.b)
        raise ArgumentError, "#{keyword} has a NUL character in it" if path.include?("\0")

        path
      end

      # Checks that a callback has a method +call+.
      def callable(value, keyword)
        raise mistyped(keyword, value, "something with a method call") unless value.nil? || value.respond_to?(:call)

        value
      end

      def hash(value, keyword)
        raise mistyped(keyword, value, "a Hash") unless value.respond_to?(:to_hash)

        value.to_hash
      end

      # The time at which a timeout of +seconds+ expires. nil if +seconds+ is nil (no timeout).
      def deadline(seconds, keyword = :timeout)
        return if seconds.nil?
        raise mistyped(keyword, seconds, "a number of seconds") unless seconds.is_a?(Numeric)

        Engine.now + seconds
      end

      # The fields to extract from each resource: the block passes a path to C, and +owner+ returns why it
      # was refused.
      def add_fields(fields, owner)
        slot = FFI::MemoryPointer.new(:int)
        paths = fields.map { |path| string(path, :fields) }
        paths.each_with_index do |path, i|
          raise ArgumentError, "fields: #{path.inspect} is given twice" if paths.first(i).include?(path)

          code = yield path, slot
          raise named(owner.call(code), :fields, path) unless code.zero?
        end
      end

      # Converts a time to the text of a FHIR instant.
      def instant(value, keyword)
        return value.iso8601(3) if value.is_a?(Time) || (defined?(DateTime) && value.is_a?(DateTime))

        string(value, keyword, "a String, a Time or a DateTime")
      end

      private

      def text_of(value)
        case value
        when String then value
        when Symbol then value.to_s
        else value.to_s if defined?(URI::Generic) && value.is_a?(URI::Generic)
        end
      end
    end
  end

  # For classes that own one object of the library: they refuse to be copied, because the copy would
  # release that object a second time.
  # @api private
  module Unique
    def marshal_dump
      raise TypeError, "#{self.class} cannot be marshalled, nor sent to another process: take bytes, such as Resource#json"
    end

    private

    def initialize_copy(_other)
      ObjectSpace.undefine_finalizer(self) # Ruby has copied the finalizer, too
      raise TypeError, "#{self.class} cannot be copied"
    end
  end

  # Converts numbers of C to symbols.
  # @api private
  module Names
    # A later version of the library may return a number that this gem does not know.
    def self.of(names, number)
      (number.negative? ? nil : names[number]) || :"unknown_#{number}"
    end
  end
end
