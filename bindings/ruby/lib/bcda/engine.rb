# frozen_string_literal: true

require "io/wait"

module Bcda
  # What is to be given back to C, by address. Finalizers put it here and free nothing themselves: they
  # run anywhere, also in the middle of a call. The next ordinary call gives it back.
  # @api private
  module Graveyard
    BURIED = []
    private_constant :BURIED

    class << self
      def bury(function, address)
        BURIED << [function, address]
      end

      def sweep
        while (function, address = BURIED.shift)
          Native.public_send(function, FFI::Pointer.new(address))
        end
      end

      # For a finalizer; it must not hold the object.
      def finalizer(function, address)
        proc { bury(function, address) }
      end
    end
  end

  # The callbacks that C knows: one of each kind, for ever, so that none can be collected under C's
  # feet. Userdata is the number of a queue. A callback only takes down what happened, and the
  # program's procs run when the call has returned: nothing of theirs - an exception, a throw, another
  # fiber - ever crosses C. Where taking it down fails all the same, zero is returned, which stops the
  # job, and ffi raises the exception behind the call.
  # @api private
  module Trampolines
    QUEUES = {}
    private_constant :QUEUES
    @last = 0
    @lock = Thread::Mutex.new

    class << self
      # @return [FFI::Pointer] the userdata under which the queue is filled from now on
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

      # The queue may be gone: its job was dropped, and is about to end.
      def put(userdata, *event)
        QUEUES[userdata.address]&.push(event)
        ABI::CONTINUE
      end

      # Something moved: once is enough until somebody looks.
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

  # A session, and who may touch it when. C wants one thread at a time; here any number may use a
  # client. The lock is held for calls of C only, never while somebody waits or while the program's own
  # code runs. One thread at a time waits on the descriptor (the leader) and steps; the others wait for
  # its news. Interrupts are held off during a call, and so arrive between two of them.
  #
  # Cancelling, pausing and dropping may be asked for in a trap handler or a finalizer, where no lock
  # can be waited for: they are put down in +@deferred+, and whoever holds the lock or waits does them.
  #
  # It holds none of the program's procs, since finalizers hold it.
  # @api private
  class Engine
    HOLD = { Object => :never }.freeze
    # How many steps are made under one lock: as many as it mostly takes to a batch.
    STEPS = 4
    # How long a build on poll() waits in one call.
    SLICE_MS = 50
    # And how long it sleeps where waiting there is not to be had, in seconds.
    BARREN = 0.002

    # Log lines and questions for a token, for the client to see to.
    attr_reader :host

    @live = {}.compare_by_identity
    @at_exit_of = nil

    class << self
      attr_reader :live

      # At the end of the process sessions are freed, but for one that another thread is using: that
      # thread is about to be killed, and the process with it.
      def add(engine)
        @live[engine] = true
        return if @at_exit_of == Process.pid

        @at_exit_of = Process.pid
        at_exit do
          @at_exit_of = nil
          @live.keys.each(&:close_if_idle)
        end
      end

      # For a finalizer of the client. Freeing calls back; it is done by the next Engine.sweep.
      def finalizer(engine)
        proc { @lost << engine }
      end

      # At the beginning of ordinary calls: what finalizers have left to do.
      def sweep
        Graveyard.sweep
        while (engine = @lost.shift)
          engine.close
        end
      end
    end
    @lost = []

    # @param config [FFI::Pointer] a bcda_config
    # @param host [Array] the queue that the config's callbacks fill
    # @param userdata [FFI::Pointer, nil] what it is registered under
    def initialize(config, host, userdata)
      @host = host
      @userdata = userdata
      @pid = Process.pid
      @mutex = Thread::Mutex.new
      @turnstile = Thread::Mutex.new
      @barren = 0
      @news = Thread::ConditionVariable.new
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

    # Moves the session until the block, which is called under the lock, gives something else than nil
    # or the deadline is over (then nil).
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

    # Raises what the last call on the session failed with.
    def check(code)
      return code if code >= 0

      raise Error.of(Native.bcda_session_error(@session), code)
    end

    # To be done at the next occasion, by whichever thread is there. Safe in a trap handler.
    def defer(what, job)
      raise Error.of_code(ABI::ERR_FORKED) if forked?

      @deferred << [what, job]
      wake
    end

    # The same for a finalizer, which has nobody to complain to.
    def drop(job)
      @deferred << [:drop, job]
      wake
    end

    # Frees the session, and every job that still runs ends. Others that wait are sent away first.
    def close
      exclusive do
        return if @session.nil? || @closing

        @closing = true
        Native.bcda_session_wakeup(@session) unless forked?
        @news.broadcast
        @news.wait(@mutex) while @leader && !forked?
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

    # Under the lock, with interrupts held off. Ruby's mutexes are not fair: a thread that steps and steps
    # would have it again before another that it has woken. All queue at the turnstile, and so take turns.
    def exclusive
      Thread.handle_interrupt(HOLD) do
        @turnstile.synchronize { @mutex.lock }
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

    # While there is always something to do, nobody waits: other fibers would never get their turn.
    def give_way
      sleep 0 if Fiber.scheduler && !Fiber.blocking?
    end

    # Bounded: what can be done now.
    def step(session)
      inside do
        result = Native.bcda_session_step(session)
        news
        check(result)
      end
    end

    # In a child after fork() a session that somebody was inside of is in no known state.
    def inside
      @inside = true
      yield
    ensure
      @inside = false
    end

    def news
      @steps += 1
      @news.broadcast if @followers.positive?
    end

    # Returns when there may be something to do. Whoever comes first waits on the descriptor.
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

    # true: there is news, or somebody else who leads has brought some. false: the caller leads.
    def follow(seen, deadline)
      return true if @steps != seen || !@deferred.empty? || @closing
      return false unless @leader

      @followers += 1
      begin
        left = deadline && [deadline - Engine.now, 0].max
        Thread.handle_interrupt(Object => :immediate) { @news.wait(@mutex, left) }
      ensure
        @followers -= 1
      end
      true
    end

    def stop_leading
      exclusive do
        @leader = false
        @news.broadcast if @followers.positive? || @closing
      end
    end

    def wait_readable(deadline)
      left = deadline && [deadline - Engine.now, 0].max
      return @io.wait_readable(left) if @io

      wait_in_run(left ? [(left * 1000).ceil, SLICE_MS].min : SLICE_MS)
    end

    # A build on poll() waits and works in one call, under the lock; interrupts come after it. It comes
    # back at once where there is nothing that it may do: the data of another job waits, or all are paused.
    def wait_in_run(timeout_ms)
      result = locked do |session|
        inside { Native.bcda_session_run(session, timeout_ms).tap { news } }
      end
      case result
      when 0, 1 then sleep(BARREN) if (@barren += 1) > 1
      when ABI::ERR_TIMEOUT, ABI::ERR_INTERRUPTED then @barren = 0
      else check(result)
      end
    end

    # Makes whoever waits look at @deferred. Where the lock is taken, its holder looks before it waits.
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
