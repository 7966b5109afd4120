# frozen_string_literal: true

module Bcda
  # An invalid line: a line that is not a resource.
  class BadLine
    # @return [Integer] the error code; see {#name}
    attr_reader :code
    # @return [Integer] the number of the line in its file, from 1
    attr_reader :line_number
    # @return [Integer] the offset of the line in the decoded file, in bytes
    attr_reader :offset
    # @return [Integer] how many bytes of the line were read
    attr_reader :length
    # The bytes of the line, which are patient data; keep them only in quarantine. nil if the line was
    # longer than the option +line_max+.
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

    # Returns the same invalid line with its file, which a callback of the library cannot look up.
    # @api private
    def with_file(file)
      self.class.new(code, line_number, offset, length, bytes, file)
    end

    # @return [String] the name of the code, such as "BCDA_ERR_LINE_JSON"
    def name
      Native.text(Native.bcda_error_name(code))
    end

    # @return [String] the meaning of the code
    def reason
      Native.text(Native.bcda_error_string(code))
    end

    # Does not show the bytes of the line, which are patient data.
    # @return [String]
    def inspect
      "#<Bcda::BadLine #{name} line #{line_number}#{" of #{file.name}" if file}>"
    end
  end
end
