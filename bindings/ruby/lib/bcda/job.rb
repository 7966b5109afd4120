# frozen_string_literal: true

module Bcda
  # One export, from kick-off to the last byte. Nothing is sent before a thread iterates over the job or
  # waits for it.
  #
  # A job delivers its data once, to one loop of {#each} or {#each_batch}, or by {#next_batch}: a second
  # loop, also while the first one is open, raises {StateError}. Leaving a loop early (by +break+, an
  # exception, +throw+, or because the thread is killed) ends the job. A job that fails raises its {Error}
  # at the end of the loop; files that did not fail were still delivered. If a job does not fail, every
  # file is complete: {#verdict} says whether something needs attention, and {#missing_types} and
  # {#deleted_files} say which requested data is missing.
  #
  # The garbage collector ends a job that is no longer referenced; a job with procs ends with its client.
  class Job
    include Enumerable
    include Unique

    # The states of a job; the index is the number of the state in C, and no state has the number 0.
    STATES = [nil, :starting, :running, :downloading, :done, :failed].freeze
    EVENTS = { ABI::FILE_BEGIN => :begin, ABI::FILE_END => :end }.freeze
    WAKE = Object.new.freeze
    TAKEN = "the data of this job was taken before; a job delivers its data once"
    LEFT = "a loop over this job was left before its end, which ended the job; a job delivers its data once"
    TAKING = "a loop is already taking the data of this job; a job delivers its data once, to one loop"
    GOALS = { running: ABI::JOB_RUNNING, downloading: ABI::JOB_DOWNLOADING, ended: ABI::JOB_DONE }.freeze
    private_constant :EVENTS, :WAKE, :TAKEN, :LEFT, :TAKING, :GOALS

    # The callbacks that a job can have.
    # @api private
    CALLBACKS = %i[on_state on_file on_progress on_issue on_deletion on_bad_line].freeze

    # @return [Bcda::Client]
    attr_reader :client
    # @return [Array<String>] the requested fields
    attr_reader :fields

    # @api private
    def initialize(client, handle, fields, callbacks)
      @client = client
      @handle = handle
      @fields = fields
      @callbacks = callbacks
      @files = {}
      @put_back = []
      @taker = nil
      @taken = nil # the reason why no further loop can begin; nil if one can
      @permit = [true] # the first loop removes the element; a later loop finds none and is refused
      @paused = @warned = false
      ObjectSpace.define_finalizer(self, JobHandle.finalizer(handle))
    end

    # Yields each resource of the data files. The resources of one file are in the order of that file;
    # resources of different files alternate. Issues of error files are passed to +on_issue+, deletions to
    # +on_deletion+, invalid lines to +on_bad_line+.
    # @yieldparam resource [Bcda::Resource] may be kept
    # @return [self, Enumerator] an Enumerator without a block
    # @raise [Bcda::Error] the error of the job
    # @raise [Bcda::StateError] if another loop has taken the data
    def each(&block)
      return to_enum(:each) unless block

      each_batch { |batch| batch.each(&block) }
    end

    # Yields batches of resources: faster than {#each}.
    # @yieldparam batch [Bcda::Batch] valid until the block ends ({Batch#keep})
    # @return [self, Enumerator] an Enumerator without a block
    # @raise (see #each)
    def each_batch
      return to_enum(:each_batch) unless block_given?
      raise StateError, @taken || TAKING unless (permit = @permit.pop)

      over = false
      while (batch = next_batch)
        begin
          yield batch
        ensure
          batch.release_unless_kept
        end
      end
      over = true
      self
    ensure
      abandon if over == false
      @permit << true if permit
    end

    # Returns the next batch, for a loop of the application's own. Release the batch after use. An exception
    # of this method, such as {TimeoutError}, does not end the job.
    # @param timeout [Numeric, nil] seconds
    # @return [Bcda::Batch, nil] nil after the last batch
    # @raise [Bcda::TimeoutError] if no batch arrives before the timeout
    # @raise (see #each)
    def next_batch(timeout: nil)
      raise StateError, @taken if @taken

      @taker = Thread.current
      loop do
        batch = take_batch(timeout)
        return finish if batch == :end
        return batch unless batch.file.error_file? # only a job without on_issue gets batches of error files

        batch.release
      end
    end

    # Waits until the job has reached +state+: +:running+ (accepted; {#url} is known), +:downloading+
    # (the server has finished the export; {#files} is known), or +:ended+. If the job fails before it has
    # reached the state, its error is raised.
    # @param state [Symbol]
    # @param timeout [Numeric, nil] seconds
    # @return [self, nil] nil if the timeout has expired
    # @raise [Bcda::StateError] if +state+ is +:ended+ and no loop takes the data of the job
    def wait(state = :downloading, timeout: nil)
      least = Arguments.one_of(GOALS, state, :state)
      reached = advance(timeout) { has_come_to(least) }
      return nil if reached.nil?

      raise StateError, "no loop takes the data of this job, so it cannot end" if reached == :data
      raise error if reached == ABI::JOB_FAILED

      warn_once if reached == ABI::JOB_DONE
      self
    end

    # Ends the job: its loop raises {CancelledError}. May be called from any thread, and in a trap handler.
    # The server is not notified, so {Client#attach} can resume the server's job later. With
    # +cancel_at_server: true+ the server is asked to cancel its job. Has no effect on a job that has ended.
    # @return [self]
    def cancel
      defer(:cancel)
    end

    # Pauses the delivery: nothing is delivered until {#resume}, and loops wait. The server may close a
    # connection that is paused for long. May be called from any thread, and in a trap handler.
    # @return [self]
    def pause
      @paused = true
      defer(:pause)
    end

    # Resumes the job after {#pause}.
    # @return [self]
    def resume
      @paused = false
      defer(:resume)
    end

    # Whether the job is paused: {#pause} was called, and {#resume} was not called after it.
    def paused?
      @paused
    end

    # Returns the text with which {Client#restore} can resume the job later, also in another process: text
    # without secrets and patient data. It replaces all texts that were saved before. Call this method in
    # +on_file+ at the end of each file. Without +on_file+, a file counts as complete after the loop has
    # taken its last batch.
    # @return [String]
    # @raise [Bcda::StateError] if the server has not accepted the job yet
    def save
      read { |pointer| @handle.saved.whole(pointer) }
    end

    # Returns only what has changed since the last call of this method or of {#save}. Append the text to the
    # text that was saved before; {Client#restore} takes all of it. It is empty if nothing has changed. The
    # first call returns the whole job, so {#save} is not needed before it.
    #
    # To load each file exactly once, call this method in +on_file+ at the end of the file, and store the text
    # in the transaction that stores the file's resources. If the commit fails, let +on_file+ raise: the file
    # then does not count as complete.
    # @return [String]
    # @raise [Bcda::StateError] if the server has not accepted the job yet
    def save_changes
      read { |pointer| @handle.saved.changes(pointer) }
    end

    # Says that the lines of a file are stored: of a batch and all before it, or up to a line. Saved texts
    # then contain that line, and a restored job delivers only what follows it. Needs the option
    # +confirm_lines+: +:verified+ for lines of verified delivery, or +:staged+ also for provisional lines, if
    # what is stored of a file is discarded when the file fails. The file then counts as complete when its
    # last line was confirmed, and not before.
    #
    # If a file fails with a {DataError}, nothing of it is confirmed any more: discard what was stored of it.
    # After any other error the lines up to {DataFile#confirmed_line} stay valid.
    # @overload confirm(batch)
    #   @param batch [Bcda::Batch] all its lines are confirmed, with the invalid lines at its end
    # @overload confirm(file, line)
    #   @param file [Bcda::DataFile]
    #   @param line [Integer] the number of the last line that is stored, such as {Resource#line_number} or
    #     {BadLine#line_number}; lines are confirmed in increasing order
    # @return [Boolean] false if this line cannot be confirmed any more, because hundreds of later batches were
    #   delivered. Nothing has changed then. A later line can be confirmed, and so can the last line of every file
    # @raise [Bcda::UsageError] the line was not delivered, or a later one was confirmed before
    # @raise [Bcda::StateError] the option +confirm_lines+ does not allow it; the file has failed, or was skipped
    def confirm(what, line = nil)
      keyword, file, number = line_of(what, line)
      at = file&.pointer_of(@handle)
      raise Error.of_code(ABI::ERR_INVALID, "#{keyword}: it is not one of this job") if at.nil?

      read do |pointer|
        code = Native.bcda_job_confirm(pointer, at, number)
        [ABI::OK, ABI::ERR_AGAIN].include?(code) or raise line_error(code, number)
        code == ABI::OK
      end
    end

    # @return [Symbol] +:starting+, +:running+ (at the server), +:downloading+, +:done+ or +:failed+
    def state
      Names.of(STATES, get(:bcda_job_state))
    end

    # Whether the job has ended, successfully or not.
    def ended?
      get(:bcda_job_result) != ABI::ERR_AGAIN
    end

    # The verdict on the whole job: +:none+ while it runs; +:complete+; +:complete_errors+ (every file is
    # complete, but something needs attention: {#missing_types}, {#deleted_files} if there is no +on_deletion+,
    # {#bad_lines}, or {#issue_count} of +:error+ or +:fatal+); +:failed+.
    # @return [Symbol]
    def verdict
      Names.of(DataFile::VERDICTS, get(:bcda_job_verdict))
    end

    # @return [Bcda::Error, nil] why the job failed; nil while it runs, and if it succeeded
    def error
      read do |pointer|
        error = Native.bcda_job_error(pointer)
        error.null? ? nil : Error.of(error)
      end
    end

    # @return [String, nil] the status URL, for {Client#attach}; nil until the server has accepted it
    def url
      text(:bcda_job_url)
    end

    # @return [String, nil] the last segment of {#url}
    def id
      text(:bcda_job_id)
    end

    # Whether an identical export was already running, and this job took it over (+duplicate_job:
    # :take_over+).
    def taken_over?
      get(:bcda_job_is_taken_over) == 1
    end

    # @return [Integer, nil] the last percentage that the server reported; it may jump, and 100 does not
    #   mean that the job has ended
    def progress
      percent = get(:bcda_job_progress_percent)
      percent unless percent.negative?
    end

    # @return [String, nil] the server's progress text (X-Progress)
    def progress_text
      text(:bcda_job_progress_text)
    end

    # The time of this export at the server. Pass it, unchanged, as +since:+ of the next export.
    # @return [String, nil] nil before the manifest
    def transaction_time
      text(:bcda_job_transaction_time)
    end

    # @return [Array<Bcda::DataFile>] the files of the manifest: data files, then files of deletions if the
    #   job has +on_deletion+, then error files. Empty before the manifest, unless the job was restored from a
    #   text that lists them and has failed, because the server no longer has it
    def files
      read do |pointer|
        Array.new(Native.bcda_job_file_count(pointer)) { |i| file_at(Native.bcda_job_file(pointer, i)) }
      end
    end

    # The requested types that have no file in the manifest: the server had nothing to export for them
    # (with +since:+, nothing new), or left them out because another job exports them at the same time;
    # the manifest does not distinguish the two cases. Empty before the manifest.
    # @return [Array<String>]
    def missing_types
      read do |pointer|
        Array.new(Native.bcda_job_missing_type_count(pointer)) { |i| Native.text(Native.bcda_job_missing_type(pointer, i)) }
      end
    end

    # The number of files of deletions in the manifest. Without +on_deletion+ they are not downloaded, and they
    # are not among {#files}.
    # @return [Integer]
    def deleted_files
      get(:bcda_job_deleted_file_count)
    end

    # @return [Integer] how many deletions were reported to +on_deletion+
    def deletions
      get(:bcda_job_deletions)
    end

    # @return [Integer] how many files have a verdict
    def files_ended
      get(:bcda_job_files_ended)
    end

    # @return [Integer] how many bytes were received
    def bytes_received
      get(:bcda_job_bytes_received)
    end

    # @return [Integer] how many bytes of NDJSON were decoded
    def bytes
      get(:bcda_job_bytes)
    end

    # The number of resources that the loop yielded. Issues in error files and deletions are not counted; see
    # {#issue_count} and {#deletions}.
    # @return [Integer] resources of data files that were delivered
    def resources
      get(:bcda_job_resources)
    end

    # @return [Integer] how many lines were invalid
    def bad_lines
      get(:bcda_job_bad_lines)
    end

    # @param severity [Symbol] one of {Issue::SEVERITIES}
    # @return [Integer] how many issues of that severity the error files had
    def issue_count(severity)
      number = Arguments.one_of(Issue::SEVERITIES.each_with_index.to_h, severity, :severity)
      read { |pointer| Native.bcda_job_issue_count(pointer, number) }
    end

    # @return [String]
    def inspect
      "#<Bcda::Job #{id || 'new'} #{state}>"
    end

    # Makes a copy of an export that has only what this job has not loaded. Returns a bcda_export, or nil if
    # the job has loaded all its files.
    # @api private
    def remaining_of(export)
      slot = FFI::MemoryPointer.new(:pointer)
      code = read { |pointer| Native.bcda_export_new_remaining(slot, export, pointer) }
      return if code == ABI::ERR_END
      raise Error.of_code(code) unless code.zero?

      slot.read_pointer
    end

    # Runs the procs for the queued events.
    # @api private
    def dispatch
      guarded do
        while (event = @handle.events.shift)
          notify(*event)
        end
      end
    end

    # Reports the files that failed because the job ended or its client was closed, so that the application
    # can undo their resources. Exceptions of the procs are ignored, because the caller raises the error that
    # ended the job.
    # @api private
    def notify_rest
      while (event = @handle.events.shift)
        next unless %i[file state].include?(event.first)

        begin
          notify(*event)
        rescue StandardError
          nil
        end
      end
    end

    private

    # Drives the session until the block returns a value. Queued events are reported before each batch is
    # taken, because they happened before it.
    def advance(timeout)
      deadline = Arguments.deadline(timeout)
      events = @handle.events
      loop do
        dispatch unless events.empty?
        got = @client.advance(deadline) { events.empty? ? yield : WAKE }
        return got unless WAKE.equal?(got)
      end
    end

    # If an interrupt arrives before the batch was returned, the batch is kept for the next call, so none is
    # lost.
    def take_batch(timeout)
      hand = nil
      found = advance(timeout) { hand = @put_back.shift || wrap(@handle.next_batch) }
      raise TimeoutError.new(code: ABI::ERR_TIMEOUT) if found.nil?

      report_bad_lines(found) if found != :end && @callbacks[:on_bad_line]
      hand = nil
      found
    ensure
      @put_back.unshift(hand) if hand
    end

    # Yields to a proc of the application. If the proc raises or throws, the job is ended.
    def guarded
      over = false
      yield
      over = true
    ensure
      abandon unless over
    end

    def report_bad_lines(batch)
      guarded { batch.bad_lines.each { |line| @callbacks[:on_bad_line].call(line) } }
    end

    # Makes a Batch of the pointer to a bcda_batch; returns other values unchanged. The caller holds the lock.
    def wrap(found)
      return found unless found.is_a?(FFI::Pointer)

      Batch.new(found, file: file_at(Native.bcda_batch_file(found)), fields: @fields,
                       owner: @handle.open_batches)
    end

    def file_at(pointer)
      @files[pointer.address] ||= DataFile.new(@handle, pointer)
    end

    # Called after the last batch. Returns nil, or raises the error of the job.
    def finish
      @taken = TAKEN
      forget
      failure = error
      raise failure if failure

      warn_once
      nil
    end

    # Warns once about requested data that is missing and was reported to no proc.
    def warn_once
      return if @warned

      @warned = true
      found = lacks
      @client.warn_of("job #{id} is complete, but #{found.join('; ')}") if found.any?
    end

    def lacks
      missing = missing_types
      deleted = deleted_files
      deleted = 0 if deleted.positive? && files.any?(&:deletion_file?) # they were downloaded
      reported = @callbacks.key?(:on_issue) ? 0 : issue_count(:error) + issue_count(:fatal)
      [
        ("the server lists no file for #{missing.join(', ')}" if missing.any?),
        ("it lists #{counted(deleted, 'file')} of deleted resources, not delivered, which on_deletion would receive" \
         if deleted.positive?),
        ("it reports #{counted(reported, 'issue')} of severity error, which on_issue would receive" if reported.positive?)
      ].compact
    end

    def counted(number, noun)
      "#{number} #{noun}#{'s' unless number == 1}"
    end

    # Cancels the job, because its loop was left. Waits for the end of the job only if the server must be
    # notified (+cancel_at_server+).
    def abandon
      return if @taken || @handle.engine.closed? || @handle.engine.forked?

      @taken = LEFT
      cancel
      deadline = @client.cancels_at_server? ? nil : Engine.now
      @handle.engine.run(deadline) { @handle.ended? || nil }
      notify_rest
      forget if ended?
    rescue ClosedError
      nil
    end

    def forget
      Trampolines.forget(@handle.userdata)
      @client.forget(self)
    end

    def notify(what, first = nil, second = nil, *rest)
      case what
      when :state then @callbacks[:on_state]&.call(Names.of(STATES, first))
      when :file then report_file(find_file(first), Names.of(EVENTS, second), *rest)
      when :progress then @callbacks[:on_progress]&.call(self)
      when :issue then @callbacks[:on_issue]&.call(issue(first, second))
      when :deletion then @callbacks[:on_deletion]&.call(deletion(first, second, *rest))
      when :bad_line then @callbacks[:on_bad_line]&.call(first.with_file(find_file(second)))
      end
    end

    # If the proc raises or throws at the end of a file, the application could not store the file.
    def report_file(file, event, changes = nil)
      over = false
      read { @handle.saved.add(changes) } if changes
      @callbacks[:on_file]&.call(file, event)
      over = true
    ensure
      read { @handle.saved.public_send(over || event == :begin ? :accept : :withdraw) } if changes
    end

    # The arguments of {#confirm} as a keyword, a file and the number of a line.
    def line_of(what, line)
      case what
      when Batch
        raise ArgumentError, "line is given with a batch, whose last line is confirmed" unless line.nil?

        [:batch, what.file, what.last_line]
      when DataFile
        raise Arguments.mistyped(:line, line, "an Integer") unless line.is_a?(Integer)
        raise Arguments.refused(:line, line, "within 64 bits") unless Config::INT64.cover?(line)

        [:file, what, line]
      else
        raise Arguments.mistyped("the first argument", what, "a Batch or a DataFile")
      end
    end

    # The error of the last call; an error about the line names it. The caller holds the lock.
    def line_error(code, number)
      error = @handle.engine.error(code)
      code == ABI::ERR_INVALID ? Arguments.named(error, :line, number) : error
    end

    def issue(said, outcome)
      Issue.new(*said, Resource.of_copy(outcome, find_file(outcome.file)))
    end

    def deletion(type, id, line_number, file)
      Deletion.new(type, id, line_number, find_file(file))
    end

    def find_file(pointer)
      read { file_at(pointer) }
    end

    def has_come_to(least)
      state = Native.bcda_job_state(@handle.pointer)
      return state if state >= least
      return unless least == ABI::JOB_DONE && no_taker?

      @put_back << wrap(@handle.next_batch || return) if @put_back.empty?
      :data
    end

    def no_taker?
      @taker.nil? || @taker == Thread.current || !@taker.alive?
    end

    def defer(what)
      @handle.engine.defer(what, @handle)
      self
    end

    def read
      @handle.engine.reading { yield @handle.pointer }
    end

    def get(function)
      read { |pointer| Native.public_send(function, pointer) }
    end

    def text(function)
      found = Native.text(get(function))
      found unless found.empty?
    end
  end
end
