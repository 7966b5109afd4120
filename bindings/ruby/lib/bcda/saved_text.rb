# frozen_string_literal: true

module Bcda
  # The queue of one job's events. The event of a file has a fourth element: the changes of the saved text
  # up to this event, or nil.
  # @api private
  class JobEvents < Array
    COMPLETE = DataFile::VERDICTS.each_index.select { |i| DataFile::VERDICTS[i].start_with?("complete") }.freeze
    private_constant :COMPLETE

    # @param confirms [Boolean] whether a data file is complete only when its last line was confirmed
    def initialize(confirms)
      super()
      @confirms = confirms
      @begun = false
    end

    # Called in a callback. The first event, the beginning of a file, has the text of the whole job.
    def add_file(job, file, event)
      text = SavedText.from(:bcda_job_save_changes, job) if !@begun || (event == ABI::FILE_END && counts?(file))
      @begun = true
      push([:file, file, event, text])
    end

    # Whether a file has ended whose end was not reported to the application yet.
    def pending?
      any? { |event| end_of_file?(event) }
    end

    # Yields the text of the first event, which lists no file as complete, and removes it from the event.
    def settle
      return unless (event = find { |what, _, _, text| what == :file && text }) && !end_of_file?(event)

      yield event.pop
    end

    private

    def end_of_file?((what, _, event, text))
      what == :file && event == ABI::FILE_END && text
    end

    # Whether the library counts the file as complete from now on.
    def counts?(file)
      return false unless COMPLETE.include?(Native.bcda_file_verdict(file))

      !@confirms || Native.bcda_file_is_error(file) == 1 || Native.bcda_file_has_deletions(file) == 1
    end
  end

  # The saved text of a job. The library counts a file as complete when it reports the end of the file, but
  # the proc +on_file+ runs later, and several ends may be queued. A text that is saved in the proc of one
  # file must not list the next one. So the callback takes the changes up to each end, and they become part
  # of the saved text when the proc of that end is called.
  # @api private
  class SavedText
    # If the changes are larger than this and than the whole job, they are replaced by the whole job.
    CHANGES_MAX = 65_536
    private_constant :CHANGES_MAX

    # Calls a function of the library that returns a text.
    def self.from(function, job)
      slot = FFI::MemoryPointer.new(:pointer)
      code = Native.public_send(function, job, slot)
      raise StateError, "the server has not accepted the job: there is nothing to save yet" if code == ABI::ERR_STATE
      raise Error.of_code(code) unless code.zero?

      text = slot.read_pointer
      text.read_string.force_encoding(Encoding::UTF_8)
    ensure
      Native.bcda_free(text) if text
    end

    # @param events [JobEvents]
    def initialize(events)
      @events = events
      @text = +"" # the whole job, and the changes after it
      @given = 0 # the application has received this number of bytes of it
      @whole = 0 # the length of the whole job
      @closed = @refuses = false
    end

    # Adds the changes of an event, whose proc is called next.
    def add(changes)
      @refuses = @closed
      @before = @text.bytesize
      append(changes) unless @closed
    end

    # The proc has returned.
    def accept
      @refuses = false
    end

    # The proc of the end of a file has failed, so the file is not complete. The library counts it as
    # complete, so nothing that it says from now on is used: neither can a file be saved whose end was queued
    # behind this one.
    def withdraw
      @refuses = false
      return if @closed

      @text = @text.byteslice(0, @before)
      @given = 0
      @closed = true
    end

    # The text that replaces every text that was saved before.
    def whole(job)
      prepare
      replace(SavedText.from(:bcda_job_save, job)) unless waits?
      @given = @text.bytesize
      @text.dup
    end

    # What was added since the last call of this method or of #whole.
    def changes(job)
      prepare
      append(SavedText.from(:bcda_job_save_changes, job)) unless waits?
      replace(SavedText.from(:bcda_job_save, job)) if too_long? && !waits?
      text = @text.byteslice(@given..)
      text.prepend("\n") if @given.zero? && !text.empty?
      @given = @text.bytesize
      text
    end

    private

    def prepare
      @events.settle { |text| append(text) }
      raise StateError, "on_file has failed for another file before, so this file cannot be saved" if @refuses
    end

    def waits?
      @closed || @events.pending?
    end

    def too_long?
      @text.bytesize - @whole > [CHANGES_MAX, @whole].max
    end

    def append(changes)
      @text << (@text.empty? ? changes.delete_prefix("\n") : changes)
    end

    def replace(whole)
      @text = whole
      @whole = whole.bytesize
      @given = 0
    end
  end
end
