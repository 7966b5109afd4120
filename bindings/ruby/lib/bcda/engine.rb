# frozen_string_literal: true

require "io/wait"

module Bcda
  # The objects of C that are to be released, by address. Finalizers queue them here and free nothing
  # themselves, because they run anywhere, also in the middle of a call. The next ordinary call releases
  # them.
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

      # For a finalizer; it must not hold the object.
      def finalizer(function, address)
        proc { add(function, address) }
      end
    end
  end

  # The callbacks that C knows: one of each kind, never collected, because C may call them at any time.
  # Userdata is the number of a queue. A callback only queues an event, and the application's procs run
  # when the call has returned: an exception, a throw or another fiber of a proc never crosses C. If
  # queueing fails, the callback returns zero, which stops the job, and ffi raises the exception after the
  # call.
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

      # The queue may not exist any more: its job was dropped, and is about to end.
      def put(userdata, *event)
        QUEUES[userdata.address]&.push(event)
        ABI::CONTINUE
      end

      # Progress: one event until the queue is read.
      def put_once(userdata, event)
        queue = QUEUES[userdata.address]
        queue << event if queue && !queue.last.equal?(event)
        ABI::CONTINUE
      end
    end

    PROGRESS = [:progress].freeze
    STATE = Native.callback(:bcda_state_cb) { |_, state, data| put(data, :state, state) }
    FILE = Native.callback(:bcda_file_cb) { |_, file, event, data| put(data, :file, file, event) }
    TOUCH = Native.callback(:bcda_progress_cb) { |_, data| put_once(data, PROGRESS) }
    LOG = Native.callback(:bcda_log_cb) do |level, component, message, data|
      put(data, :log, level, component, message)
    end
    TOKEN = Native.callback(:bcda_token_provider_cb) { |request, data| put(data, :token, request) }
    ISSUE = Native.callback(:bcda_issue_cb) { |_, issue, data| put(data, :issue, *Issue.copy(issue)) }
    BATCH = Native.callback(:bcda_batch_cb) do |_, batch, data|
      put(data, :batch, Native.bcda_batch_ref(batch))
    end
    BAD_LINE = Native.callback(:bcda_bad_line_cb) do |_, line, data|
      put(data, :bad_line, BadLine.of(line))
    end
  end

  # A session, and the rules for its use. C allows one thread at a time; here any number of threads may
  # use a client. The lock is held for calls of C only, never while a thread waits or while the
  # application's own code runs. One thread at a time (the leader) waits on the descriptor and steps; the
  # others wait for its notification. Interrupts are deferred during a call, so they arrive between two
  # calls.
  #
  # Cancelling, pausing and dropping may be requested in a trap handler or a finalizer, which cannot wait
  # for a lock: the requests are queued in +@deferred+, and the thread that holds the lock or waits
  # executes them.
  #
  # It refers to none of the application's procs, because finalizers refer to it.
  # @api private
  class Engine
    HOLD = { Object => :never }.freeze
    # How many steps are made under one lock: usually enough for a batch.
    STEPS = 4
    # How long a build on poll() waits in one call.
    SLICE_MS = 50
    # How long it sleeps if it cannot wait there, in seconds.
    BARREN = 0.002

    # Log lines and token requests, which the client handles.
    attr_reader :host

    @live = {}.compare_by_identity
    @at_exit_of = nil

    class << self
      attr_reader :live

      # At the end of the process sessions are freed, except one that another thread is using: that thread
      # is about to be killed, with the process.
      def add(engine)
        @live[engine] = true
        return if @at_exit_of == Process.pid

        @at_exit_of = Process.pid
        at_exit do
          @at_exit_of = nil
          @live.keys.each(&:close_if_idle)
        end
      end

      # For a finalizer of the client. Freeing runs callbacks, so the next Engine.sweep does it.
      def finalizer(engine)
        proc { @lost << engine }
      end

      # Called by ordinary calls: frees the sessions that finalizers have queued.
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

    # Yields the session under the lock. The block makes calls of C and nothing that waits.
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

    # As locked, but also when the client is closed: for objects that outlive their session.
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

      raise Error.of(Native.bcda_session_error(@session), code)
    end

    # Queues a request, which the next thread that uses the session executes. Safe in a trap handler.
    def defer(what, job)
      raise Error.of_code(ABI::ERR_FORKED) if forked?

      @deferred << [what, job]
      wake
    end

    # The same for a finalizer, which cannot report errors.
    def drop(job)
      @deferred << [:drop, job]
      wake
    end

    # Frees the session, which ends every job that still runs. Other threads that wait are released first.
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

    # Under the lock, with interrupts deferred. Ruby's mutexes are not fair: a thread that steps
    # repeatedly would lock the mutex before a thread that it has woken. A second mutex makes the threads
    # queue, so they alternate.
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

    # nil in a build on poll(), which has no single descriptor.
    def descriptor
      fd = Native.bcda_session_fd(@session)
      return nil if fd == ABI::ERR_UNSUPPORTED

      ::IO.for_fd(check(fd), autoclose: false)
    end

    # While there is always something to do, no thread waits, and other fibers would never run.
    def give_way
      sleep 0 if Fiber.scheduler && !Fiber.blocking?
    end

    # Does what can be done now; bounded.
    def step(session)
      inside do
        result = Native.bcda_session_step(session)
        notify_followers
        check(result)
      end
    end

    # In a child after fork() the state of a session that a thread was using is unknown.
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

    # Returns when there may be something to do. The first thread waits on the descriptor.
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

    # true: something has changed, or another leader has notified. false: the caller leads.
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

    # A build on poll() waits and works in one call, under the lock; interrupts arrive after it. The call
    # returns at once if there is nothing that it may do: the data of another job waits, or all jobs are
    # paused.
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

    # Makes the waiting thread read @deferred. If the lock is held, its holder reads it before it waits.
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
