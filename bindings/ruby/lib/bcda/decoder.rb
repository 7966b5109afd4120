# frozen_string_literal: true

require "tempfile"

module Bcda
  # Decodes one file that was already downloaded, as the server stores it: pass its bytes to {#write} in
  # pieces of any size, then call {#finish}. Yielded resources are provisional until {#finish} has
  # returned.
  #
  #   decoder = Bcda::Decoder.new(gzip: true)
  #   File.open("claims.ndjson.gz", "rb") { |file| decoder.read(file) { |resource| p resource.id } }
  class Decoder
    include Unique

    # How many bytes are passed to C in one call. The resources of one call are held in memory until they
    # are yielded.
    PIECE = 256 * 1024
    # The same limit for gzip, whose data can be a thousand times longer after inflating.
    GZIP_PIECE = 16 * 1024
    private_constant :PIECE, :GZIP_PIECE

    # @param private_key [String, #to_path, #to_pem, Array, nil] as for {Client#initialize}
    # @param private_key_passphrase [String, nil]
    # @param wrapped_key [String, nil] the file's +encryptedKey+ (or its entry in +KeyMap+), in hex
    # @param label [String, nil] the file's name as in its URL, which may differ from its local name
    # @param gzip [Boolean] whether the bytes are gzip
    # @param name [String, nil] the name of the file in error texts
    # @param fields [Array<String>] as for {Client#export}
    # @param on_bad_line [#call, nil] called with each {BadLine}
    # @param options [Hash] the options of bcda/config.h by their names, such as +bad_lines_max: -1+
    # @raise [Bcda::Error]
    def initialize(private_key: nil, private_key_passphrase: nil, wrapped_key: nil, label: nil,
                   gzip: false, name: nil, fields: [], on_bad_line: nil, **options)
      Engine.sweep
      @fields = Array(fields).map { |path| Arguments.string(path, :fields) }.freeze
      @on_bad_line = Arguments.callable(on_bad_line, :on_bad_line)
      @piece = gzip ? GZIP_PIECE : PIECE
      @left = false
      @events = []
      @userdata = Trampolines.register(@events)
      @lock = Thread::Mutex.new
      Config.fill do |config|
        config.private_keys(private_key, private_key_passphrase)
        config.options(options, KEYWORDS)
        make(config.pointer)
      end
      set_up(name, wrapped_key, label, gzip)
    rescue Exception
      close if @pointer
      raise
    end

    KEYWORDS = instance_method(:initialize).parameters.filter_map { |kind, name| name if kind == :key }.freeze
    private_constant :KEYWORDS

    # Decodes the next bytes and yields their resources. If the block is left by an exception, +break+ or
    # +throw+, the decoder can only be closed. Without a block the resources are discarded, and the file is
    # only checked.
    # @param bytes [String]
    # @yieldparam resource [Bcda::Resource]
    # @return [self]
    # @raise [Bcda::Error] after an error, every call raises the same error
    def write(bytes, &block)
      raise Arguments.mistyped("bytes", bytes, "a String") unless bytes.is_a?(String)

      at = 0
      while at < bytes.bytesize
        piece = bytes.byteslice(at, @piece)
        FFI::MemoryPointer.new(:char, piece.bytesize) do |memory|
          memory.put_bytes(0, piece)
          call(block) { |pointer| Native.bcda_decoder_write(pointer, memory, piece.bytesize) }
        end
        at += piece.bytesize
      end
      self
    end

    # Ends the file. If this method returns, the file is complete and unaltered, as far as its format allows
    # that to be checked. If it raises, everything that was yielded is void.
    # @yieldparam resource [Bcda::Resource] the last resources
    # @return [self]
    # @raise [Bcda::Error]
    def finish(&block)
      call(block) { |pointer| Native.bcda_decoder_finish(pointer) }
      self
    end

    # Passes all bytes of an IO to {#write}, then calls {#finish}.
    # @param input [IO, #read] open in binary mode
    # @yieldparam resource [Bcda::Resource]
    # @return [self]
    # @raise [Bcda::Error]
    def read(input, &block)
      raise Arguments.mistyped("input", input, "something with a method read") unless input.respond_to?(:read)

      buffer = String.new(capacity: PIECE)
      write(buffer, &block) while input.read(PIECE, buffer)
      finish(&block)
    end

    # @return [Integer] how many resources were decoded so far
    def resources
      get(:bcda_decoder_resources)
    end

    # @return [Integer] how many invalid lines were found so far
    def bad_lines
      get(:bcda_decoder_bad_lines)
    end

    # @return [Integer] how many bytes of NDJSON were decoded so far
    def bytes
      get(:bcda_decoder_bytes)
    end

    # Frees the decoder's memory, including the private key. Without this call, the garbage collector frees
    # it later.
    # @return [nil]
    def close
      Thread.handle_interrupt(Engine::HOLD) do
        @lock.synchronize do
          return if @pointer.nil?

          ObjectSpace.undefine_finalizer(self)
          Native.bcda_decoder_free(@pointer)
          @pointer = nil
          drop_events
          Trampolines.forget(@userdata)
        end
      end
      nil
    end

    # @return [String]
    def inspect
      "#<Bcda::Decoder#{' closed' if @pointer.nil?}>"
    end

    private

    def make(config)
      handlers = Native.make { |slot| Native.bcda_handlers_new(slot) }
      code = Native.bcda_handlers_on_batch(handlers, Trampolines::BATCH, @userdata, nil)
      if code.zero? && @on_bad_line
        code = Native.bcda_handlers_on_bad_line(handlers, Trampolines::BAD_LINE, @userdata, nil)
      end
      raise Error.of_code(code) unless code.zero?

      @pointer = Native.make { |slot| Native.bcda_decoder_new(slot, config, handlers) }
      ObjectSpace.define_finalizer(self, Decoder.finalizer(@pointer.address, @userdata))
    ensure
      Native.bcda_handlers_free(handlers) if handlers
    end

    # @api private
    def self.finalizer(address, userdata)
      proc do
        Trampolines.forget(userdata)
        ReleaseQueue.add(:bcda_decoder_free, address)
      end
    end

    def set_up(name, wrapped_key, label, gzip)
      label = Arguments.optional(label, :label)
      name = Arguments.optional(name, :name) || label
      check(Native.bcda_decoder_set_name(@pointer, name)) if name
      set_key(wrapped_key, label || name) unless wrapped_key.nil?
      check(Native.bcda_decoder_set_gzip(@pointer, gzip ? 1 : 0))
      Arguments.add_fields(@fields, method(:error)) { |path, slot| Native.bcda_decoder_add_field(@pointer, path, slot) }
    end

    def set_key(wrapped_key, label)
      raise Error.of_code(ABI::ERR_CONFIG, "wrapped_key needs label: the file's name as in its URL") if label.nil?

      key = Arguments.string(wrapped_key, :wrapped_key)
      check(Native.bcda_decoder_set_wrapped_key(@pointer, key, label))
    rescue FileKeyError => e
      keywords = { ABI::ERR_KEY_LABEL => :label, ABI::ERR_KEY_MISSING => :private_key }
      raise Arguments.named(e, keywords.fetch(e.code, :wrapped_key))
    end

    def check(code)
      raise error(code) unless code.zero?
    end

    # The error of the last call that failed.
    def error(code)
      Error.of(Native.bcda_decoder_error(@pointer), code)
    end

    # Calls C, then yields the decoded resources, then raises the error if the call has failed.
    def call(block)
      failure = Thread.handle_interrupt(Engine::HOLD) do
        @lock.synchronize do
          code = yield live
          error(code) unless code.zero?
        end
      end
      hand_over(block)
      raise failure if failure
    end

    def live
      raise StateError, "the decoder is closed" if @pointer.nil?
      raise StateError, "a block was left before its end, so the rest of the file cannot be decoded" if @left

      @pointer
    end

    def hand_over(block)
      left = true
      while (what, thing = @events.shift)
        if what == :bad_line
          @on_bad_line.call(thing)
        else
          give(Batch.new(thing, fields: @fields), block)
        end
      end
      left = false
    ensure
      @left = left
      drop_events
    end

    def give(batch, block)
      batch.each(&block) if block
    ensure
      batch.release
    end

    # Discards the resources that were decoded but not yielded, because the block was left.
    def drop_events
      while (what, thing = @events.shift)
        Native.bcda_batch_unref(thing) if what == :batch
      end
    end

    def get(function)
      @lock.synchronize { Native.public_send(function, live) }
    end
  end

  # Decrypts a file that is already on disk. BCDA served such files until 2020.
  #
  # With +to:+ the resources are written to that file as NDJSON; the file is created only after the whole
  # encrypted file was checked. With a block each resource is yielded; it is provisional until this method
  # returns.
  #
  # @param path [String, #to_path] the encrypted file
  # @param wrapped_key [String] the file's +encryptedKey+ (or its entry in +KeyMap+), in hex
  # @param private_key [String, #to_path, #to_pem, Array] as for {Client#initialize}
  # @param private_key_passphrase [String, nil]
  # @param label [String, nil] the file's name at the server, if its local name differs
  # @param to [String, #to_path, nil] the file to write
  # @param more [Hash] as for {Decoder#initialize}
  # @yieldparam resource [Bcda::Resource]
  # @return [Integer] how many resources the file has
  # @raise [Bcda::Error]
  def self.decrypt_file(path, wrapped_key:, private_key:, private_key_passphrase: nil, label: nil,
                        to: nil, **more, &block)
    raise ArgumentError, "either to: or a block" if to.nil? == block.nil?

    decoder = Decoder.new(wrapped_key: wrapped_key, private_key: private_key,
                          private_key_passphrase: private_key_passphrase,
                          label: label || File.basename(path), **more)
    File.open(path, "rb") do |input|
      block ? decoder.read(input, &block) : write_checked(to) { |out| decoder.read(input) { |r| out << r.json << "\n" } }
    end
    decoder.resources
  ensure
    decoder&.close
  end

  # Writes a temporary file beside the target, and renames it after success.
  # @api private
  def self.write_checked(path)
    path = File.path(path)
    temporary = Tempfile.create([".bcda-", ".part"], File.dirname(path), binmode: true)
    yield temporary
    temporary.close
    File.rename(temporary.path, path)
    temporary = nil
  ensure
    if temporary
      temporary.close unless temporary.closed?
      File.unlink(temporary.path)
    end
  end
  private_class_method :write_checked
end
