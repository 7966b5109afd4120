# frozen_string_literal: true

require "ffi"
require "bcda/abi"

module Bcda
  # libbcda was not found, is older than this gem needs, or lacks a function. The message names the
  # library that was tried. Raised by +require "bcda"+.
  class LoadError < ::LoadError; end

  # The C functions, declared from the generated table (abi.rb). The library is loaded from the path in the
  # environment variable +BCDA_LIBRARY+; otherwise from the gem; otherwise the system's loader finds it.
  # @api private
  module Native
    extend FFI::Library

    KINDS = {
      void: :void, int: :int, int32: :int32, uint32: :uint32, int64: :int64, uint64: :uint64,
      size: :size_t, str: :string, ptr: :pointer, out_ptr: :pointer, out_int: :pointer,
      out_int64: :pointer, out_size: :pointer
    }.freeze

    # Functions that work or wait so long that other Ruby threads should run at the same time.
    BLOCKING = %i[
      bcda_session_step bcda_session_run bcda_session_free bcda_decoder_write bcda_decoder_finish
      bcda_config_add_private_key_pem bcda_config_add_private_key_file
    ].freeze

    NULL = FFI::Pointer::NULL

    class << self
      # @return [String] the path or name of the library that is loaded
      attr_reader :path

      # The candidates, in order; the first that can be loaded is used.
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

      # An older library would fail later, during an export, with a less clear error.
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

      # Creates a callback with the type that the table declares. The caller must keep a reference to it for
      # as long as the process runs, because C may call it at any time.
      def callback(name, &block)
        result, parameters = ABI::CALLBACKS.fetch(name)
        FFI::Function.new(KINDS.fetch(result), parameters.map { |kind| KINDS.fetch(kind) }, &block)
      end

      # Calls a constructor of the library, and returns the pointer that it has stored in its last argument.
      # Raises if the constructor failed.
      def make
        slot = FFI::MemoryPointer.new(:pointer)
        code = yield slot
        raise Error.of_code(code) unless code.zero?

        slot.read_pointer
      end

      # Marks a string that ffi has copied from the library as UTF-8.
      def text(string)
        string&.force_encoding(Encoding::UTF_8)
      end

      # Copies the bytes that a getter returns together with their length. nil if the getter returns NULL.
      def bytes
        size = FFI::MemoryPointer.new(:size_t)
        pointer = yield size
        pointer.get_bytes(0, size.read(:size_t)).force_encoding(Encoding::UTF_8) unless pointer.null?
      end
    end

    attach_all
  end
end
