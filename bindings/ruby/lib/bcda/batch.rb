# frozen_string_literal: true

module Bcda
  # Consecutive resources of one file. Reading batches is faster than reading single resources: methods
  # such as {#ids} return one array with a value for each resource. {Job#each_batch} releases a batch
  # when its block ends, unless {#keep} was called. The resources of the batch stay valid after that.
  class Batch
    include Enumerable
    include Unique

    UTF8 = Encoding::UTF_8
    private_constant :UTF8

    # @return [Integer] how many resources
    attr_reader :size
    # @return [Bcda::DataFile, nil] the file of the resources; nil from a {Decoder}
    attr_reader :file

    alias length size

    # Raises the error for a field that was not requested.
    # @api private
    def self.no_field(path)
      raise ArgumentError, "the field #{path} was not requested (fields:)"
    end

    # @api private
    def initialize(pointer, file: nil, fields: [], owner: nil)
      @pointer = pointer
      @file = file
      @fields = fields
      @owner = owner
      @size = Native.bcda_batch_count(pointer)
      @provisional = Native.bcda_batch_is_provisional(pointer) == 1
      @slots = nil
      @handed = nil
      @kept = false
      @json = @types = @ids = @columns = nil
    end

    # true if the end of the file had not been verified when the batch was delivered.
    def provisional?
      @provisional
    end

    # Yields each resource.
    # @yieldparam resource [Bcda::Resource]
    # @return [self, Enumerator]
    def each
      return to_enum(:each) { size } unless block_given?

      i = -1
      yield self[i] while (i += 1) < @size
      self
    end

    # @param index [Integer]
    # @return [Bcda::Resource, nil]
    def [](index)
      return unless index >= 0 && index < @size

      live
      resource = Resource.new(self, index)
      (@handed ||= []) << resource
      resource
    end

    # @return [Array<String>] resourceType
    def types
      @types ||= column_of_types
    end

    # @return [Array<String>] id; "" where there is none
    def ids
      @ids ||= texts(ABI::COLUMN_ID)
    end

    # @return [Array<String>] meta.lastUpdated; "" where there is none
    def last_updated
      columns[:last_updated] ||= texts(ABI::COLUMN_LAST_UPDATED)
    end

    # @return [Array<String>] fullUrl of the envelopes; "" for bare lines
    def full_urls
      columns[:full_urls] ||= texts(ABI::COLUMN_FULL_URL)
    end

    # @return [Array<Integer>] the lengths of the resources' JSON in bytes
    def json_sizes
      json_column[2]
    end

    # @return [Array<Integer>] the numbers of the lines in the decoded file, from 1
    def line_numbers
      columns[:line_numbers] ||= numbers(Native.bcda_batch_line_numbers(live))
    end

    # @return [Array<Integer>] the offsets of the lines in the decoded file, in bytes
    def offsets
      columns[:offsets] ||= numbers(Native.bcda_batch_file_offsets(live))
    end

    # @param index [Integer]
    # @return [String] the JSON of one resource, frozen
    def json(index)
      base, offsets, sizes = json_column
      live
      base.get_bytes(offsets[index], sizes[index]).force_encoding(UTF8).freeze
    end

    # @return [Array<String>] the JSON of each resource
    def jsons
      Array.new(@size) { |i| json(i) }
    end

    # @param index [Integer]
    # @return [String] the whole line of one resource, frozen
    def line(index)
      base, offsets, sizes = line_column
      live
      base.get_bytes(offsets[index], sizes[index]).force_encoding(UTF8).freeze
    end

    # All resources as NDJSON, each followed by a line feed.
    # @return [String]
    def ndjson
      return +"" if @size.zero?

      base, offsets, sizes = json_column
      live
      span = offsets.last + sizes.last - offsets.first
      if span == sizes.sum + @size - 1 # only a line feed lies between any two resources: copy all at once
        return base.get_bytes(offsets.first, span).force_encoding(UTF8) << "\n"
      end

      jsons.each_with_object(+"") { |json, all| all << json << "\n" }
    end

    # The values of a requested field (+fields:+), for each resource.
    # @param path [String, Symbol]
    # @return [Array<Array<String>>]
    def field(path)
      number = @fields.index(path.to_s) || Batch.no_field(path)
      columns[number] ||= field_column(number)
    end

    # @return [Array<Bcda::BadLine>] the invalid lines of this batch
    def bad_lines
      columns[:bad_lines] ||= Array.new(Native.bcda_batch_bad_line_count(live)) do |i|
        BadLine.of(Native.bcda_batch_bad_line(@pointer, i), @file)
      end
    end

    # The deletions in a batch of a file of deletions, whose resources are Bundles of DELETE requests; empty
    # for other files. Such batches come with the option +pull_deletions:+, without +on_deletion+.
    # @return [Array<Bcda::Deletion>]
    def deletions
      columns[:deletions] ||= Array.new(deletion_count) do |i|
        type, id, line, = Deletion.copy(Native.bcda_batch_deletion(@pointer, i))
        Deletion.new(type, id, line, @file)
      end
    end

    # @return [Integer] the number of the last line in this batch, also if it is invalid
    def last_line
      bad = Native.bcda_batch_bad_line_count(live)
      last = bad.zero? ? 0 : Native.bcda_bad_line_number(Native.bcda_batch_bad_line(@pointer, bad - 1))
      [last, line_numbers.last || 0].max
    end

    # Keeps the batch after the block of {Job#each_batch}, until {#release} is called or the garbage
    # collector frees the batch. Call {#release}: the garbage collector does not know how much memory a
    # batch holds, and may free it late.
    # @return [self]
    def keep
      return self if @kept

      live
      @kept = true
      @owner&.delete(@pointer.address)
      ObjectSpace.define_finalizer(self, ReleaseQueue.finalizer(:bcda_batch_unref, @pointer.address))
      self
    end

    # Releases the batch. Its columns are then invalid; its resources stay valid.
    # @return [nil]
    def release
      return if @pointer.nil?

      @handed&.each(&:settle)
      pointer = @pointer
      @pointer = nil
      ObjectSpace.undefine_finalizer(self) if @kept
      @owner&.delete(pointer.address)
      Native.bcda_batch_unref(pointer)
      nil
    end

    # @api private
    def release_unless_kept
      release unless @kept
    end

    # @api private
    def enveloped?(index)
      line_column[2][index] != json_column[2][index]
    end

    # @api private
    def fields_of(index)
      @fields.to_h { |path| [path, field(path)[index]] }
    end

    # Does not show the resources, which are patient data.
    # @return [String]
    def inspect
      "#<Bcda::Batch #{size} of #{file ? file.name : 'a file'}#{' (released)' if @pointer.nil?}>"
    end

    private

    def live
      @pointer || raise(StateError, "the batch was released: keep it, or use it within its block")
    end

    def columns
      @columns ||= {}
    end

    def json_column
      @json ||= column(ABI::COLUMN_JSON)
    end

    def line_column
      columns[:line] ||= column(ABI::COLUMN_LINE)
    end

    # Returns the base address of a column, and arrays of the offsets and lengths of its values.
    def column(number)
      base, offsets, sizes = pointers(number)
      [base, numbers(offsets), numbers(sizes)]
    end

    def pointers(number)
      slots = (@slots ||= FFI::MemoryPointer.new(:pointer, 3))
      step = FFI::Pointer.size
      code = Native.bcda_batch_column(live, number, slots, slots + step, slots + 2 * step)
      raise Error.of_code(code) unless code.zero?

      [slots.get_pointer(0), slots.get_pointer(step), slots.get_pointer(2 * step)]
    end

    def deletion_count
      return 0 unless @file&.deletion_file?

      slot = FFI::MemoryPointer.new(:size_t)
      code = Native.bcda_batch_deletion_count(live, slot)
      raise Error.of_code(code) unless code.zero?

      slot.read(:size_t)
    end

    def numbers(pointer)
      @size.zero? ? [] : pointer.read_array_of_uint64(@size)
    end

    # The values of a column are stored in order, so the memory from the first to the last is read once.
    def texts(number)
      base, offsets, sizes = column(number)
      cut(base, offsets, sizes)
    end

    def cut(base, offsets, sizes)
      return [] if offsets.empty?

      first = offsets.first
      span = base.get_bytes(first, offsets.last + sizes.last - first).force_encoding(UTF8)
      Array.new(offsets.size) { |i| span.byteslice(offsets[i] - first, sizes[i]) }
    end

    # If all resources have the same type, the library stores its name once, and all offsets are equal.
    def column_of_types
      return [] if @size.zero?

      base, offsets, sizes = pointers(ABI::COLUMN_TYPE)
      first = offsets.get_uint64(0)
      return texts(ABI::COLUMN_TYPE) unless first == offsets.get_uint64(8 * (@size - 1))

      Array.new(@size, base.get_bytes(first, sizes.get_uint64(0)).force_encoding(UTF8).freeze)
    end

    def field_column(number)
      slots = FFI::MemoryPointer.new(:pointer, 4)
      at = Array.new(4) { |i| slots + i * FFI::Pointer.size }
      code = Native.bcda_batch_field_column(live, number, *at)
      raise Error.of_code(code) unless code.zero?

      base, first, offsets, sizes = at.map(&:read_pointer)
      bounds = first.read_array_of_uint64(@size + 1)
      values = values_between(base, offsets, sizes, bounds.first, bounds.last)
      Array.new(@size) { |i| values[bounds[i] - bounds.first...bounds[i + 1] - bounds.first] }
    end

    def values_between(base, offsets, sizes, from, to)
      return [] if from == to

      cut(base, offsets.get_array_of_uint64(8 * from, to - from),
          sizes.get_array_of_uint64(8 * from, to - from))
    end
  end
end
