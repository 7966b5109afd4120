# frozen_string_literal: true

# A minimal fiber scheduler for the tests: it can wait for descriptors, sleep and block.
class TestScheduler
  attr_reader :waits

  def initialize
    @readable = {}
    @sleeping = {}
    @ready = []
    @blocked = {}
    @waits = 0
    @lock = Thread::Mutex.new
    @urgent = IO.pipe
  end

  def run
    until @readable.empty? && @sleeping.empty? && @ready.empty? && @blocked.empty?
      turn
    end
  end

  def close
    run
  end

  def io_wait(io, _events, timeout)
    @waits += 1
    @readable[Fiber.current] = io
    @sleeping[Fiber.current] = now + timeout if timeout
    Fiber.yield
    @sleeping.delete(Fiber.current)
    @readable.delete(Fiber.current) ? false : IO::READABLE
  end

  def kernel_sleep(duration = nil)
    block(:sleep, duration)
  end

  def block(_blocker, timeout = nil)
    @blocked[Fiber.current] = true
    @sleeping[Fiber.current] = now + timeout if timeout
    Fiber.yield
  ensure
    @blocked.delete(Fiber.current)
    @sleeping.delete(Fiber.current)
  end

  def unblock(_blocker, fiber)
    @lock.synchronize { @ready << fiber }
    @urgent.last.write_nonblock(".")
  end

  def fiber(&block)
    fiber = Fiber.new(blocking: false, &block)
    fiber.resume
    fiber
  end

  private

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  def turn
    soonest = @sleeping.values.min
    patience = @ready.empty? ? soonest && [soonest - now, 0].max : 0
    ready, = IO.select(@readable.values.uniq + [@urgent.first], nil, nil, patience)
    @urgent.first.read_nonblock(1024) if ready&.include?(@urgent.first)
    awake = @lock.synchronize { @ready.shift(@ready.size) }
    @readable.select { |_, io| ready&.include?(io) }.each_key { |fiber| @readable.delete(fiber) && awake << fiber }
    awake.concat(@sleeping.select { |_, at| at <= now }.keys)
    awake.uniq.each { |fiber| fiber.resume if fiber.alive? }
  end
end
