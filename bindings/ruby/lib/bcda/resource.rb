# frozen_string_literal: true

require "json"

module Bcda
  # One FHIR resource. The library has checked that its line is one JSON object in valid UTF-8 with a
  # resourceType. Strings are created only when they are read. A resource may be kept: when its batch is
  # released, the resource copies its bytes.
  class Resource
    # @api private
    def initialize(batch, index, kept = nil)
      @batch = batch
      @index = index
      @kept = kept
    end

    # The bare resource, byte for byte as the server wrote it.
    # @return [String] frozen, in UTF-8
    def json
      @batch ? @batch.json(@index) : @kept.json
    end

    # @return [Integer] the length of {#json} in bytes; does not create that string
    def bytesize
      @batch ? @batch.json_sizes[@index] : @kept.json.bytesize
    end

    # The whole line. It equals {#json}, except if the line is an envelope: until 2019-07-10, each line of
    # BCDA was a JSON object that contained the resource.
    # @return [String] frozen, in UTF-8
    def line
      @batch ? @batch.line(@index) : @kept.line
    end

    # @return [String] resourceType
    def type
      @batch ? @batch.types[@index] : @kept.type
    end

    # @return [String] id; "" where there is none
    def id
      @batch ? @batch.ids[@index] : @kept.id
    end

    # @return [String] meta.lastUpdated, unchanged; "" if there is none
    def last_updated
      @batch ? @batch.last_updated[@index] : @kept.last_updated
    end

    # The fullUrl of the envelope. BCDA's values had no host, so do not parse it as a URL.
    # @return [String] "" for a bare line
    def full_url
      @batch ? @batch.full_urls[@index] : @kept.full_url
    end

    # @return [Integer] the number of the line in the decoded file, from 1
    def line_number
      @batch ? @batch.line_numbers[@index] : @kept.line_number
    end

    # @return [Integer] the offset of the line in the decoded file, in bytes
    def offset
      @batch ? @batch.offsets[@index] : @kept.offset
    end

    # true if the end of the file had not been verified when the resource was delivered. The application
    # must then commit only when the file is complete, and undo when it fails.
    def provisional?
      @batch ? @batch.provisional? : @kept.provisional
    end

    # @return [Bcda::DataFile, nil] nil from a {Decoder}
    def file
      @batch ? @batch.file : @kept.file
    end

    # @param options [Hash] for JSON.parse, such as +symbolize_names: true+
    # @return [Hash]
    def parse(**options)
      JSON.parse(json, **options)
    end

    # The first value of a requested field (+fields:+).
    # @param path [String, Symbol] such as "patient.reference"
    # @return [String, nil] strings without quotes and escapes, numbers as written, "true" or "false"
    def field(path)
      field_values(path).first
    end

    # All values of a requested field, in the order of the document.
    # @param path [String, Symbol]
    # @return [Array<String>]
    def field_values(path)
      @batch ? @batch.field(path)[@index] : @kept.fields.fetch(path.to_s) { Batch.no_field(path) }
    end

    # Does not show the JSON and the id, which are patient data.
    # @return [String]
    def inspect
      "#<Bcda::Resource #{type} line #{line_number}>"
    end

    # The data of a resource whose batch was released.
    # @api private
    Kept = Struct.new(:json, :line, :type, :id, :last_updated, :full_url, :line_number, :offset,
                      :provisional, :file, :fields)
    private_constant :Kept

    # Copies a bcda_resource, which is valid only during the callback. The file is set later.
    # @api private
    def self.copy(pointer)
      json = Native.bytes { |size| Native.bcda_resource_json(pointer, size) }.freeze
      line = Native.bytes { |size| Native.bcda_resource_line(pointer, size) }
      Kept.new(json, line == json ? json : line.freeze, Native.text(Native.bcda_resource_type(pointer)),
               Native.text(Native.bcda_resource_id(pointer)),
               Native.text(Native.bcda_resource_last_updated(pointer)),
               Native.text(Native.bcda_resource_full_url(pointer)),
               Native.bcda_resource_line_number(pointer), Native.bcda_resource_offset(pointer),
               Native.bcda_resource_is_provisional(pointer) == 1, Native.bcda_resource_file(pointer), {})
    end

    # @api private
    def self.of_copy(kept, file)
      kept.file = file
      new(nil, nil, kept)
    end

    # Called before the batch is released: copies the data of this resource.
    # @api private
    def settle
      return unless @batch

      batch = @batch
      i = @index
      json = batch.json(i)
      @kept = Kept.new(json, batch.enveloped?(i) ? batch.line(i) : json, batch.types[i], batch.ids[i],
                       batch.last_updated[i], batch.full_urls[i], batch.line_numbers[i],
                       batch.offsets[i], batch.provisional?, batch.file, batch.fields_of(i))
      @batch = nil
    end
  end
end
