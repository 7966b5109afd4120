# frozen_string_literal: true

module Bcda
  # An invalid line: a line that is not a resource.
  class BadLine
    # @return [Integer] the number of the error; see {#name}
    attr_reader :code
    # @return [Integer] the line in its file, from 1
    attr_reader :line_number
    # @return [Integer] where it begins: bytes from the start of the decoded file
    attr_reader :offset
    # @return [Integer] its length, as far as it was read
    attr_reader :length
    # Its bytes, to keep them in quarantine: patient data. nil for a line over the limit (+line_max+).
    # @return [String, nil] in binary encoding
    attr_reader :bytes
    # @return [Bcda::DataFile, nil] nil from a {Decoder}
    attr_reader :file

    # @api private
    def initialize(code, line_number, offset, length, bytes, file)
      @code = code
      @line_number = line_number
      @offset = offset
      @length = length
      @bytes = bytes
      @file = file
    end

    # @api private
    def self.of(pointer, file = nil)
      new(Native.bcda_bad_line_code(pointer), Native.bcda_bad_line_number(pointer),
          Native.bcda_bad_line_offset(pointer), Native.bcda_bad_line_length(pointer),
          Native.bytes { |size| Native.bcda_bad_line_bytes(pointer, size) }
                &.force_encoding(Encoding::BINARY), file)
    end

    # @return [String] the name of the code, such as "BCDA_ERR_LINE_JSON"
    def name
      Native.text(Native.bcda_error_name(code))
    end

    # @return [String] the meaning of the code
    def reason
      Native.text(Native.bcda_error_string(code))
    end

    # Without its bytes, which are patient data.
    # @return [String]
    def inspect
      "#<Bcda::BadLine #{name} line #{line_number}#{" of #{file.name}" if file}>"
    end
  end
end
