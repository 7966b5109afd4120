# frozen_string_literal: true

require_relative "helper"

# Tests of every way to leave a loop early, and of exceptions, cancelling and pausing during a loop.
class TestStopping < BcdaTest
  Oops = Class.new(Exception)

  # Yields a job that sends its data slowly, so it has not ended when the test leaves its loop.
  def slow(**settings)
    open(*SLOW, batch_delay_ms: 5, **settings) do |client|
      ends = []
      job = client.export("ExplanationOfBenefit", on_file: ->(file, event) { ends << file.verdict if event == :end })
      yield job, client
      assert_stopped(job, client)
      assert_equal [:failed], ends # reported so that the application can undo the file's resources
      assert_operator client.export("Patient").first.json.bytesize, :>, 0 # the client can still be used
    end
  end

  def assert_stopped(job, client)
    assert_equal [:failed, "BCDA_ERR_CANCELLED"], [job.state, job.error.name]
    assert_equal 0, client.stats[:transfers]
    assert_raises(Bcda::StateError) { job.each { flunk } }
  end

  def test_break
    slow { |job, _| assert_equal :out, job.each { break :out } }
    slow { |job, _| job.each_batch { break } }
  end

  def test_first_and_lazy
    slow { |job, _| assert_equal 2, job.first(2).size }
    slow { |job, _| assert_equal 1, job.lazy.map(&:json).first(1).size }
  end

  def test_raise
    slow do |job, _|
      error = Oops.new("unchanged")
      assert_same error, assert_raises(Oops) { job.each { raise error } }
    end
  end

  def test_throw
    slow { |job, _| assert_equal 5, catch(:done) { job.each { throw :done, 5 } } }
  end

  def test_return
    slow { |job, _| assert_equal :left, leave(job) }
  end

  def leave(job)
    job.each { return :left }
  end

  def test_exit
    slow { |job, _| assert_raises(SystemExit) { job.each { exit 3 } } }
  end

  def test_thread_kill_in_the_block
    slow do |job, _|
      Thread.new { job.each { Thread.current.kill } }.join
    end
  end

  def test_thread_kill_while_waiting
    open(*NEVER) do |client|
      job = client.export("Patient")
      thread = Thread.new { job.each { flunk } }
      until_true { job.state == :running && thread.stop? }
      thread.kill.join
      assert_stopped(job, client)
    end
  end

  def test_thread_raise_while_waiting
    open(*NEVER) do |client|
      job = client.export("Patient")
      thread = Thread.new { assert_raises(Oops) { job.each { flunk } } }
      until_true { job.state == :running && thread.stop? }
      thread.raise(Oops)
      thread.join
      assert_stopped(job, client)
    end
  end

  def test_timeout_while_waiting
    open(*NEVER) do |client|
      job = client.export("Patient")
      assert_raises(Timeout::Error) { Timeout.timeout(0.1) { job.each { flunk } } }
      assert_stopped(job, client)
      assert_raises(Timeout::Error) { Timeout.timeout(0.1) { client.export("Patient").wait } }
    end
  end

  def test_an_abandoned_enumerator
    open(*SLOW, batch_delay_ms: 5) do |client|
      enumerator = client.export("ExplanationOfBenefit").each
      enumerator.next
      enumerator.next
      enumerator = nil
      GC.start
      assert_operator client.export("Patient").first.json.bytesize, :>, 0
    end
  end

  STARTS = {
    on_state: [%w[--era current --polls 0], {}],
    on_file: [%w[--era current --polls 0], {}],
    on_progress: [SLOW, {}],
    on_issue: [%w[--era current --polls 0 --fault error-file], {}],
    on_deletion: [%w[--era current --polls 0 --fault deleted], {}],
    on_bad_line: [%w[--era current --polls 0 --fault bad-json@Patient], { bad_lines_max: -1 }]
  }.freeze

  STARTS.each do |name, (options, settings)|
    define_method("test_exception_in_#{name}") do
      open(*options, **settings) do |client|
        error = Oops.new(name.to_s)
        job = client.export(name == :on_progress ? "ExplanationOfBenefit" : "Patient", name => ->(*) { raise error })
        assert_same error, assert_raises(Oops) { job.each { nil } }
        assert job.ended?
        assert_raises(Bcda::StateError) { job.each { flunk } }
        job = client.export(name == :on_progress ? "ExplanationOfBenefit" : "Patient", name => ->(*) { throw :out, name })
        assert_equal name, catch(:out) { job.each { nil } }
        assert job.ended?
      end
    end
  end

  def test_exception_while_waiting_for_a_state
    open(*CURRENT) do |client|
      job = client.export("Patient", on_state: ->(state) { raise Oops if state == :running })
      assert_raises(Oops) { job.wait }
      assert_stopped(job, client)
    end
  end

  def test_exception_at_the_end_of_a_file_that_fails_does_not_hide_why
    open(*SLOW, batch_delay_ms: 5) do |client|
      job = client.export("ExplanationOfBenefit", on_file: ->(_, event) { raise "second" if event == :end })
      assert_equal "first", assert_raises(RuntimeError) { job.each { raise "first" } }.message
    end
  end

  def test_exception_in_the_logger
    logger = Logger.new(nil)
    def logger.add(*)
      raise Oops, "log"
    end
    open(*CURRENT, logger: logger) do |client|
      assert_raises(Oops) { client.export("Patient").each { nil } }
    end
  rescue Oops # closing the client logs, and so calls the logger that raises
    nil
  end

  def test_cancel_inside
    slow { |job, _| assert_raises(Bcda::CancelledError) { job.each { job.cancel } } }
  end

  def test_cancel_by_another_thread
    open(*NEVER) do |client|
      job = client.export("Patient")
      thread = Thread.new { assert_raises(Bcda::CancelledError) { job.each { flunk } } }
      until_true { job.state == :running && thread.stop? }
      job.cancel
      thread.join
      job.cancel # a second cancel has no effect
      assert_stopped(job, client)
    end
  end

  def test_cancel_in_a_trap_handler
    open(*NEVER) do |client|
      job = client.export("Patient").wait(:running)
      before = trap(:USR1) { job.cancel }
      signaller = Thread.new { Process.kill(:USR1, Process.pid) }
      assert_raises(Bcda::CancelledError) { job.each { flunk } }
      signaller.join
      trap(:USR1, before)
    end
  end

  def test_cancel_at_the_server
    open(*NEVER, cancel_at_server: true) do |client|
      job = client.export("Patient").wait(:running)
      job.cancel
      assert_raises(Bcda::CancelledError) { job.wait(:ended) }
      assert_raises(Bcda::ServerError) { client.attach(job.url).each { flunk } }
    end
    open(*NEVER) do |client| # without the option, the server's job continues
      job = client.export("Patient").wait(:running)
      job.cancel
      assert_raises(Bcda::CancelledError) { job.wait(:ended) }
      assert_equal :running, client.attach(job.url).wait(:running).state
    end
  end

  def test_pause_and_resume
    open(*CURRENT, batch_size: 4096) do |client|
      job = client.export("Patient")
      paused = Thread::Queue.new
      resumed = false
      thread = Thread.new do
        count = 0
        job.each_batch do |batch|
          count += batch.size
          refute job.paused? && !resumed
          next if resumed || job.paused?

          job.pause
          paused << count
        end
        count
      end
      before = paused.pop
      until_true { thread.stop? }
      assert job.paused?
      assert_equal before, job.resources
      refute job.ended?
      resumed = true
      job.resume
      assert_equal 40, thread.value
    end
  end

  def test_interrupt
    code = PREAMBLE + <<~RUBY
      client = new_client(poll_max_ms: 10)
      job = client.export("Patient")
      job.wait(:running)
      Thread.new { puts "waiting"; $stdout.flush }
      begin
        job.each { nil }
      rescue Interrupt
        puts "interrupted", job.state
      end
    RUBY
    Open3.popen3(Sandbox.shared(*NEVER).env, RbConfig.ruby, "-w", "-I", File.join(GEM_ROOT, "lib"), "-e", code) do |_, out, err, process|
      assert_equal "waiting\n", out.gets
      Process.kill(:INT, process.pid)
      assert_equal "interrupted\nfailed\n", out.read
      assert_equal "", err.read
      assert process.value.success?
    end
  end

  def test_interrupt_without_rescue
    code = PREAMBLE + <<~RUBY
      job = new_client(poll_max_ms: 10).export("Patient", on_state: ->(s) { puts s; $stdout.flush })
      job.each { nil }
    RUBY
    Open3.popen3(Sandbox.shared(*NEVER).env, RbConfig.ruby, "-I", File.join(GEM_ROOT, "lib"), "-e", code) do |_, out, err, process|
      assert_equal "starting\n", out.gets
      assert_equal "running\n", out.gets
      Process.kill(:INT, process.pid)
      assert_match(/Interrupt/, err.read)
      assert_equal Signal.list["INT"], process.value.termsig
    end
  end
end
