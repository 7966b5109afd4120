# frozen_string_literal: true

module Bcda
  # One entry of a job's manifest. Its numbers are current, also during the download.
  class DataFile
    include Unique

    # The verdicts on a file, by their numbers in C.
    VERDICTS = %i[none complete complete_bad_lines failed skipped complete_errors].freeze

    # @return [String] the resource type, as in the manifest; "" for none
    attr_reader :type
    # @return [String]
    attr_reader :url
    # The last segment of the URL, unchanged. Check this text before you use it in a path.
    # @return [String]
    attr_reader :name
    # @return [Integer] the index of the file in the manifest, from 0
    attr_reader :index

    # @api private
    def initialize(handle, pointer)
      @handle = handle
      @pointer = pointer
      @type = Native.text(Native.bcda_file_type(pointer)).freeze
      @url = Native.text(Native.bcda_file_url(pointer)).freeze
      @name = Native.text(Native.bcda_file_name(pointer)).freeze
      @index = Native.bcda_file_index(pointer)
      @is_error = Native.bcda_file_is_error(pointer) == 1
      @has_deletions = Native.bcda_file_has_deletions(pointer) == 1
      @is_encrypted = Native.bcda_file_is_encrypted(pointer) == 1
    end

    # true if the file holds problems that the server reports (OperationOutcome lines), not data.
    def error_file?
      @is_error
    end

    # true if the file lists deletions (Bundles of DELETE requests), for +on_deletion:+.
    def deletion_file?
      @has_deletions
    end

    # true if the server stores the file encrypted.
    def encrypted?
      @is_encrypted
    end

    # The verdict: +:none+ (the file has not ended yet), +:complete+, +:complete_bad_lines+, +:failed+ (its
    # resources are void; see {#error}), or +:skipped+ (a file of a restored job that was complete before,
    # and is not downloaded again).
    # @return [Symbol]
    def verdict
      Names.of(VERDICTS, get(:bcda_file_verdict))
    end

    # Whether every check that the file allows has passed; the file may have tolerated invalid lines.
    def complete?
      %i[complete complete_bad_lines].include?(verdict)
    end

    # @return [Bcda::Error, nil] why the file failed; nil if it has not failed
    def error
      @handle.engine.reading do
        pointer = Native.bcda_file_error(@pointer)
        pointer.null? ? nil : Error.of(pointer)
      end
    end

    # @return [Integer] how many bytes were received so far
    def bytes_received
      get(:bcda_file_bytes_received)
    end

    # @return [Integer] how many bytes of NDJSON were decoded so far
    def bytes
      get(:bcda_file_bytes)
    end

    # @return [Integer, nil] how many bytes the server will send for the file; nil if that is not known
    def bytes_expected
      expected(:bcda_file_bytes_expected)
    end

    # @return [Integer] resources delivered so far
    def resources
      get(:bcda_file_resources)
    end

    # @return [Integer, nil] the number of resources that the manifest promises; nil if it has none (BCDA
    #   gives none)
    def resources_expected
      expected(:bcda_file_resources_expected)
    end

    # @return [Integer] invalid lines so far
    def bad_lines
      get(:bcda_file_bad_lines)
    end

    # The last line that was confirmed by {Job#confirm}, perhaps before the job was restored; 0 if there is
    # none. When a file begins, it is the line after which the delivery begins.
    # @return [Integer]
    def confirmed_line
      get(:bcda_file_confirmed_line)
    end

    # The C object, if the file is one of this job; otherwise nil.
    # @api private
    def pointer_of(handle)
      @pointer if @handle.equal?(handle)
    end

    # @return [String]
    def inspect
      "#<Bcda::DataFile #{index} #{type} #{name} #{verdict}>"
    end

    private

    def get(function)
      @handle.engine.reading { Native.public_send(function, @pointer) }
    end

    def expected(function)
      number = get(function)
      number unless number.negative?
    end
  end
end
