# frozen_string_literal: true

require "io/wait"

module Bcda
  # The addresses of C objects that must be released. A finalizer can run at any point, also in the middle
  # of a call of the library, so it only adds its object to this queue. The next call of the application
  # releases the objects.
  # @api private
  module ReleaseQueue
    PENDING = []
    private_constant :PENDING

    class << self
      def add(function, address)
        PENDING << [function, address]
      end

      def sweep
        while (function, address = PENDING.shift)
          Native.public_send(function, FFI::Pointer.new(address))
        end
      end

      # Returns a finalizer. Its proc refers to the C address only: a reference to the Ruby object would
      # keep that object alive.
      def finalizer(function, address)
        proc { add(function, address) }
      end
    end
  end

  # The callbacks that are passed to C. There is one of each kind, and it is never collected, because C may
  # call it at any time. The userdata of a callback is the number of a queue. A callback only adds an event
  # to that queue; the application's procs run after the C function has returned. So an exception, a
  # +throw+ or a switch of fibers in a proc never happens inside C. If queueing fails, the callback returns
  # zero, which stops the job, and ffi raises the exception after the C function has returned.
  # @api private
  module Trampolines
    QUEUES = {}
    private_constant :QUEUES
    @last = 0
    @lock = Thread::Mutex.new

    class << self
      # @return [FFI::Pointer] the userdata that identifies the queue
      def register(queue)
        @lock.synchronize do
          @last += 1
          QUEUES[@last] = queue
          FFI::Pointer.new(@last)
        end
      end

      def forget(userdata)
        QUEUES.delete(userdata.address) if userdata
      end

      def count
        QUEUES.size
      end

      # There is no queue if the job's Ruby object was collected. The job then ends soon.
      def put(userdata, *event)
        QUEUES[userdata.address]&.push(event)
        ABI::CONTINUE
      end

      def put_file(userdata, job, file, event)
        QUEUES[userdata.address]&.add_file(job, file, event)
        ABI::CONTINUE
      end

      # For progress: adds no second event if the last event in the queue is the same.
      def put_once(userdata, event)
        queue = QUEUES[userdata.address]
        queue << event if queue && !queue.last.equal?(event)
        ABI::CONTINUE
      end
    end

    PROGRESS = [:progress].freeze
    STATE = Native.callback(:bcda_state_cb) { |_, state, data| put(data, :state, state) }
    FILE = Native.callback(:bcda_file_cb) { |job, file, event, data| put_file(data, job, file, event) }
    TOUCH = Native.callback(:bcda_progress_cb) { |_, data| put_once(data, PROGRESS) }
    LOG = Native.callback(:bcda_log_cb) do |level, component, message, data|
      put(data, :log, level, component, message)
    end
    TOKEN = Native.callback(:bcda_token_provider_cb) { |request, data| put(data, :token, request) }
    ISSUE = Native.callback(:bcda_issue_cb) { |_, issue, data| put(data, :issue, *Issue.copy(issue)) }
    DELETION = Native.callback(:bcda_deletion_cb) { |_, deletion, data| put(data, :deletion, *Deletion.copy(deletion)) }
    BATCH = Native.callback(:bcda_batch_cb) do |_, batch, data|
      put(data, :batch, Native.bcda_batch_ref(batch))
    end
    BAD_LINE = Native.callback(:bcda_bad_line_cb) do |_, line, data|
      put(data, :bad_line, BadLine.of(line), Native.bcda_bad_line_file(line))
    end
  end

  # Owns a C session and serialises its use. C allows one thread at a time to call a session; any number of
  # Ruby threads may use a client. The lock is held only during calls of C, never while a thread waits or
  # while the application's own code runs. One thread at a time, the leader, waits on the session's
  # descriptor and calls bcda_session_step(). The other threads (followers) wait until the leader notifies
  # them. Interrupts (Thread#raise, Timeout) are deferred during a call of C.
  #
  # Cancelling, pausing and releasing a job may be requested in a trap handler or a finalizer, which cannot
  # wait for a lock. These requests are queued in +@deferred+, and are executed by the thread that holds the
  # lock or waits.
  #
  # An engine refers to none of the application's procs: finalizers refer to the engine, and would keep the
  # procs alive.
  # @api private
  class Engine
    HOLD = { Object => :never }.freeze
    # How many steps are made before the lock is released; usually enough to decode a batch.
    STEPS = 4
    # The longest wait in one call of bcda_session_run(), for a build on poll().
    SLICE_MS = 50
    # How many seconds a thread sleeps if bcda_session_run() has returned at once without doing anything.
    BARREN = 0.002

    # The queue of log lines and token requests, which the client handles.
    attr_reader :host

    @live = {}.compare_by_identity
    @at_exit_of = nil

    class << self
      attr_reader :live

      # At the end of the process all sessions are freed, except those that another thread is using: that
      # thread ends with the process.
      def add(engine)
        @live[engine] = true
        return if @at_exit_of == Process.pid

        @at_exit_of = Process.pid
        at_exit do
          @at_exit_of = nil
          @live.keys.each(&:close_if_idle)
        end
      end

      # Returns the finalizer of a client. It does not free the session, because that runs callbacks; the
      # next Engine.sweep does.
      def finalizer(engine)
        proc { @lost << engine }
      end

      # Frees the sessions that finalizers have queued. Called by the application's calls, not by finalizers.
      def sweep
        ReleaseQueue.sweep
        while (engine = @lost.shift)
          engine.close
        end
      end
    end
    @lost = []

    # @param config [FFI::Pointer] a bcda_config
    # @param host [Array] the queue that the config's callbacks fill
    # @param userdata [FFI::Pointer, nil] the number of that queue
    def initialize(config, host, userdata)
      @host = host
      @userdata = userdata
      @pid = Process.pid
      @mutex = Thread::Mutex.new
      @queue_mutex = Thread::Mutex.new
      @barren = 0
      @changed = Thread::ConditionVariable.new
      @deferred = []
      @steps = @followers = 0
      @leader = @closing = @inside = false
      @session = Native.make { |slot| check_config(Native.bcda_session_new(slot, config), config) }
      @io = descriptor
      Engine.add(self)
    end

    def closed?
      @session.nil?
    end

    # Holds the lock and yields the session. The block calls C functions and must not wait.
    def locked
      Engine.sweep
      result = exclusive do
        raise ClosedError, "the client is closed" if @session.nil? || @closing

        settle
        yield @session
      end
      wake unless @deferred.empty?
      result
    end

    # Holds the lock, like #locked, but does not raise if the client is closed. For objects that stay valid
    # after their session was freed.
    def reading(&block)
      exclusive(&block)
    end

    # Drives the session until the block, which is called under the lock, returns a value other than nil,
    # or until the deadline (then nil).
    def run(deadline, &block)
      loop do
        moved = seen = nil
        result = locked do |session|
          found = yield session
          STEPS.times do
            break if !found.nil? || (moved = step(session)) != 1

            found = yield session
          end
          seen = @steps
          found
        end
        @barren = 0 unless result.nil?
        return result unless result.nil?
        return locked(&block) if deadline && deadline <= Engine.now

        moved == 1 ? give_way : wait(seen, deadline)
      end
    end

    def self.now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    # Raises the error of the last call on the session.
    def check(code)
      return code if code >= 0

      raise error(code)
    end

    # The error of the last call on the session; of its code alone if the session was freed.
    def error(code)
      @session ? Error.of(Native.bcda_session_error(@session), code) : Error.of_code(code)
    end

    # Queues a request for the thread that uses the session next. May be called in a trap handler.
    def defer(what, job)
      raise Error.of_code(ABI::ERR_FORKED) if forked?

      @deferred << [what, job]
      wake
    end

    # Queues the release of a job. For a finalizer, which cannot report errors.
    def drop(job)
      @deferred << [:drop, job]
      wake
    end

    # Frees the session, which ends every job that still runs. Before that, other threads that wait are
    # woken and leave.
    def close
      exclusive do
        return if @session.nil? || @closing

        @closing = true
        Native.bcda_session_wakeup(@session) unless forked?
        @changed.broadcast
        @changed.wait(@mutex) while @leader && !forked?
        free
      end
    end

    def close_if_idle
      return unless @mutex.try_lock

      begin
        free unless @session.nil? || @leader || @closing || forked?
      ensure
        @mutex.unlock
      end
    end

    def forked?
      Process.pid != @pid
    end

    def inspect
      "#<Bcda::Engine #{closed? ? 'closed' : 'open'}>"
    end

    private

    # Runs the block under the lock, with interrupts deferred. Ruby's mutexes are not fair: a thread that
    # steps repeatedly would lock the mutex again before a thread that it has woken. Each thread must first
    # lock a second mutex, so the threads alternate.
    def exclusive
      Thread.handle_interrupt(HOLD) do
        @queue_mutex.synchronize { @mutex.lock }
        yield
      ensure
        @mutex.unlock if @mutex.owned?
      end
    end

    def check_config(code, config)
      raise Error.of(Native.bcda_config_error(config), code) unless code.zero?

      code
    end

    # The IO of the session's descriptor; nil in a build on poll(), which has no single descriptor.
    def descriptor
      fd = Native.bcda_session_fd(@session)
      return nil if fd == ABI::ERR_UNSUPPORTED

      ::IO.for_fd(check(fd), autoclose: false)
    end

    # Lets other fibers run. As long as every step has work to do, nothing waits, and other fibers would
    # never run otherwise.
    def give_way
      sleep 0 if Fiber.scheduler && !Fiber.blocking?
    end

    # Calls bcda_session_step() once, and notifies the followers.
    def step(session)
      inside do
        result = Native.bcda_session_step(session)
        notify_followers
        check(result)
      end
    end

    # Marks that C is being called. If the process forks meanwhile, the child sees the mark and knows that
    # the state of the session is undefined.
    def inside
      @inside = true
      yield
    ensure
      @inside = false
    end

    def notify_followers
      @steps += 1
      @changed.broadcast if @followers.positive?
    end

    # Returns when there may be something to do. The first thread that calls it is the leader.
    def wait(seen, deadline)
      lead = false
      exclusive do
        return if follow(seen, deadline)

        @leader = (lead = true)
      end
      wait_readable(deadline) if @deferred.empty?
    ensure
      stop_leading if lead
    end

    # Returns true if something has changed or the leader has notified this thread, and false if there is
    # no leader: the caller then becomes the leader.
    def follow(seen, deadline)
      return true if @steps != seen || !@deferred.empty? || @closing
      return false unless @leader

      @followers += 1
      begin
        left = deadline && [deadline - Engine.now, 0].max
        Thread.handle_interrupt(Object => :immediate) { @changed.wait(@mutex, left) }
      ensure
        @followers -= 1
      end
      true
    end

    def stop_leading
      exclusive do
        @leader = false
        @changed.broadcast if @followers.positive? || @closing
      end
    end

    def wait_readable(deadline)
      left = deadline && [deadline - Engine.now, 0].max
      return @io.wait_readable(left) if @io

      wait_in_run(left ? [(left * 1000).ceil, SLICE_MS].min : SLICE_MS)
    end

    # For a build on poll(): bcda_session_run() waits and works in one call, under the lock. Interrupts
    # arrive after the call. The call returns at once if it can do nothing: because another job has data
    # that its thread has not taken, or because all jobs are paused.
    def wait_in_run(timeout_ms)
      result = locked do |session|
        inside { Native.bcda_session_run(session, timeout_ms).tap { notify_followers } }
      end
      case result
      when 0, 1 then sleep(BARREN) if (@barren += 1) > 1
      when ABI::ERR_TIMEOUT, ABI::ERR_INTERRUPTED then @barren = 0
      else check(result)
      end
    end

    # Wakes the waiting thread, so that it reads @deferred. If the lock is held, that is not necessary: the
    # holder reads @deferred before it waits.
    def wake
      return unless @mutex.try_lock

      begin
        Native.bcda_session_wakeup(@session) unless @session.nil?
      ensure
        @mutex.unlock
      end
    end

    def settle
      until @deferred.empty?
        what, job = @deferred.shift
        job.public_send(what)
      end
    end

    def free
      session = @session
      settle
      Native.bcda_session_free(session) unless forked? && @inside
      @session = nil
      Engine.live.delete(self)
      Trampolines.forget(@userdata)
      refuse_tokens
    end

    def refuse_tokens
      tokens, rest = @host.partition { |event| event.first == :token }
      @host.replace(rest)
      tokens.each { |_, request| Native.bcda_token_request_fail(request) }
    end
  end
end
