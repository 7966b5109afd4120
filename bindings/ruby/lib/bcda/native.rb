# frozen_string_literal: true

require "ffi"
require "bcda/abi"

module Bcda
  # libbcda is not there, is older than this gem needs, or lacks a function. The message says which
  # library was tried. Raised by +require "bcda"+.
  class LoadError < ::LoadError; end

  # The C functions, made from the generated table (abi.rb). Which library: what +BCDA_LIBRARY+
  # names, else one that the gem carries, else what the system's loader finds.
  # @api private
  module Native
    extend FFI::Library

    KINDS = {
      void: :void, int: :int, int32: :int32, uint32: :uint32, int64: :int64, uint64: :uint64,
      size: :size_t, str: :string, ptr: :pointer, out_ptr: :pointer, out_int: :pointer,
      out_int64: :pointer, out_size: :pointer
    }.freeze

    # These work or wait for long enough that other Ruby threads should run meanwhile.
    BLOCKING = %i[
      bcda_session_step bcda_session_run bcda_session_free bcda_decoder_write bcda_decoder_finish
      bcda_config_add_private_key_pem bcda_config_add_private_key_file
    ].freeze

    NULL = FFI::Pointer::NULL

    class << self
      # @return [String] the library that is in use
      attr_reader :path

      # What is tried, in order; the first that opens is taken.
      def candidates
        named = ENV.fetch("BCDA_LIBRARY", "")
        return [named] unless named.empty?

        names = %w[libbcda.so.0 libbcda.0.dylib]
        carried = names.map { |name| ::File.join(__dir__, name) }.select { |path| ::File.file?(path) }
        carried + names
      end

      def open_library
        failures = candidates.map do |name|
          ffi_lib_flags :lazy, :local
          return @path = ffi_lib(name).first.name
        rescue ::LoadError => e
          e.message.lines.first.strip
        end
        raise LoadError, "libbcda cannot be loaded (BCDA_LIBRARY can name it): #{failures.join('; ')}"
      end

      # An older library would fail later, in the middle of an export, and less clearly.
      def check_version
        attach(:bcda_version_number)
        attach(:bcda_version_string)
        return if bcda_version_number >= ABI::VERSION_NUMBER

        raise LoadError, "libbcda #{bcda_version_string} (#{path}) is older than this gem needs: " \
                         "#{Bcda::VERSION} or later"
      end

      def attach(name)
        result, parameters = ABI::FUNCTIONS.fetch(name)
        attach_function name, parameters.map { |kind| KINDS.fetch(kind, :pointer) },
                        KINDS.fetch(result), blocking: BLOCKING.include?(name)
      rescue FFI::NotFoundError
        raise LoadError, "libbcda (#{path}) has no function #{name}, which this gem needs; " \
                         "it was made for libbcda #{Bcda::VERSION}"
      end

      def attach_all
        open_library
        check_version
        ABI::FUNCTIONS.each_key { |name| attach(name) unless respond_to?(name) }
      end

      # A callback as the table declares it. Kept for ever by whoever calls this: C may hold it.
      def callback(name, &block)
        result, parameters = ABI::CALLBACKS.fetch(name)
        FFI::Function.new(KINDS.fetch(result), parameters.map { |kind| KINDS.fetch(kind) }, &block)
      end

      # What a constructor puts in its last argument, as a pointer; raises where it failed.
      def make
        slot = FFI::MemoryPointer.new(:pointer)
        code = yield slot
        raise Error.of_code(code) unless code.zero?

        slot.read_pointer
      end

      # A text of the library's as a Ruby string of its own.
      def text(string)
        string&.force_encoding(Encoding::UTF_8)
      end

      # Bytes of a getter that says their length beside them; nil for NULL.
      def bytes
        size = FFI::MemoryPointer.new(:size_t)
        pointer = yield size
        pointer.get_bytes(0, size.read(:size_t)).force_encoding(Encoding::UTF_8) unless pointer.null?
      end
    end

    attach_all
  end
end
