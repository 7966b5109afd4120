# frozen_string_literal: true

require_relative "helper"
require_relative "scheduler"

# Tests with threads, fibers, the garbage collector and fork, and of the end of the process.
class TestLife < BcdaTest
  def test_two_clients_in_two_threads
    counts = Array.new(2) do
      Thread.new { open(*CURRENT) { |client| Array.new(3) { client.export("ExplanationOfBenefit").count } } }
    end.map(&:value)
    assert_equal [[200] * 3] * 2, counts
  end

  # Six threads use one client, each with a job of its own. One of them waits on the descriptor and must
  # notify the others.
  def test_one_client_in_many_threads
    open(*CURRENT, batch_size: 4096) do |client|
      threads = Array.new(6) { |i| Thread.new { client.export(i.odd? ? "Patient" : "ExplanationOfBenefit").count } }
      assert_equal [200, 40] * 3, threads.map(&:value)
    end
  end

  def test_one_job_in_two_threads
    open(*CURRENT, batch_size: 4096) do |client|
      job = client.export("ExplanationOfBenefit").wait
      taken = Thread::Queue.new
      threads = Array.new(2) do
        Thread.new do
          while (batch = job.next_batch)
            batch.ids.each { |id| taken << id }
            batch.release
          end
        rescue Bcda::StateError # the other thread has taken the last batch
          nil
        end
      end
      threads.each(&:join)
      ids = Array.new(taken.size) { taken.pop }
      assert_equal [200, 200], [ids.size, ids.uniq.size]
    end
  end

  def test_others_run_while_one_waits
    open(*NEVER) do |client|
      job = client.export("Patient")
      waiter = Thread.new { assert_raises(Bcda::CancelledError) { job.wait } }
      count = 0
      until_true { (count += 1) > 1000 && job.state == :running }
      assert waiter.alive?
      job.cancel
      waiter.join
    end
  end

  def test_followers_go_on_when_the_leader_leaves
    open(*NEVER) do |client|
      jobs = Array.new(3) { client.export("Patient") }
      threads = jobs.map { |job| Thread.new { assert_raises(Bcda::CancelledError, Timeout::Error) { job.wait } } }
      until_true { jobs.all? { |job| job.state == :running } && threads.all?(&:stop?) }
      threads.first.raise(Timeout::Error) # this thread may be the leader
      threads.first.join
      jobs.drop(1).each(&:cancel)
      threads.each(&:join)
    end
  end

  def test_closing_while_another_thread_waits
    open(*NEVER) do |client|
      job = client.export("Patient")
      thread = Thread.new { assert_raises(Bcda::ClosedError) { job.each { flunk } } }
      until_true { job.state == :running && thread.stop? }
      client.close
      thread.join
      assert client.closed?
      assert_equal :failed, job.state # a Job stays valid after its client was closed
      assert_raises(Bcda::ClosedError) { client.export("Patient") }
      assert_raises(Bcda::ClosedError) { client.stats }
      client.close
    end
  end

  def test_closing_tells_of_files_that_were_begun
    ends = []
    open(*SLOW, batch_delay_ms: 5) do |client|
      job = client.export("ExplanationOfBenefit", on_file: ->(file, event) { ends << file.verdict if event == :end })
      job.next_batch.release
    end
    assert_equal [:failed], ends
  end

  def test_fiber_scheduler
    Sandbox.shared(*CURRENT)
    counts = []
    scheduler = TestScheduler.new
    Thread.new do
      Fiber.set_scheduler(scheduler)
      Fiber.schedule { open(*CURRENT) { |client| counts << client.export("Patient").count } }
      Fiber.schedule { open(*CURRENT) { |client| counts << client.export("ExplanationOfBenefit").count } }
      client = open(*CURRENT) # this client is shared by two fibers
      2.times { Fiber.schedule { counts << client.export("Coverage").count } }
    end.join
    assert_equal [40, 160, 160, 200], counts.sort
    assert_operator scheduler.waits, :>, 0 unless WAITS_IN_C
  end

  # In a build on poll(), Ruby has no descriptor to wait on.
  WAITS_IN_C = Bcda.library_path.include?("poll")

  def test_other_fibers_run_while_one_waits
    return if WAITS_IN_C

    Sandbox.shared(*NEVER)
    stopped = nil
    Thread.new do
      Fiber.set_scheduler(TestScheduler.new)
      client = open(*NEVER)
      job = client.export("Patient")
      Fiber.schedule { stopped = assert_raises(Bcda::CancelledError) { job.each { flunk } } }
      Fiber.schedule do
        sleep 0.01 until job.state == :running
        job.cancel
      end
    end.join
    refute_nil stopped
  end

  def test_gc_in_the_middle
    open(*CURRENT, batch_size: 4096) do |client|
      kept = []
      client.export("ExplanationOfBenefit", on_file: ->(*) { GC.start }, on_state: ->(*) { GC.start },
                                            on_progress: ->(*) { GC.start }).each_batch do |batch|
        GC.start
        kept.concat(batch.to_a)
        batch.keep if kept.size.odd?
      end
      GC.start
      assert_equal 200, kept.map(&:parse).uniq.size
    end
  end

  def test_gc_stress
    open("--era", "current", "--polls", "0", "--patients", "2", "--claims", "1") do |client|
      GC.stress = true
      ids = client.export("Patient", fields: ["name.family"], on_file: ->(*) {}).map { |r| [r.id, r.field("name.family")] }
      GC.stress = false
      assert_equal 2, ids.uniq.size
    ensure
      GC.stress = false
    end
  end

  # If a job is no longer referenced, later calls of the client must end it and release its C objects.
  def test_dropped_jobs
    open(*SLOW, batch_delay_ms: 5, requests_burst: 1_000_000) do |client|
      before = live(Bcda::JobHandle)
      elsewhere do
        3.times do
          job = client.export("ExplanationOfBenefit")
          job.next_batch
          job.each_batch.next
        end
      end
      until_true do
        GC.start
        client.metadata # this call steps the session
        client.stats[:transfers].zero? && live(Bcda::JobHandle) <= before
      end
    end
  end

  def test_dropped_jobs_with_procs_go_with_their_client
    before = Bcda::Trampolines.count
    ends = []
    open(*SLOW, batch_delay_ms: 5) do |client|
      elsewhere { client.export("ExplanationOfBenefit", on_file: ->(file, event) { ends << file.verdict if event == :end }).next_batch }
      GC.start
    end
    assert_equal [:failed], ends
    until_true do
      GC.start
      Bcda::Engine.sweep
      Bcda::Trampolines.count <= before
    end
  end

  def test_dropped_clients
    Sandbox.shared(*NEVER) # before the count, because starting a sandbox opens descriptors
    before = Bcda::Engine.live.size
    fds = open_descriptors
    elsewhere do
      client = open(*NEVER)
      job = client.export("Patient", on_state: ->(_) { client }).wait(:running)
      assert_equal :running, job.state
    end
    until_true do
      GC.start
      Bcda::Engine.sweep
      Bcda::Engine.live.size <= before
    end
    assert_operator open_descriptors, :<=, fds
  end

  def live(klass)
    ObjectSpace.each_object(klass).count
  end

  def open_descriptors
    GC.start
    Dir.children("/proc/self/fd").size
  end

  def resident_kib
    GC.start
    File.read("/proc/self/status")[/^VmRSS:\s+(\d+)/, 1].to_i
  end

  # Tables of Ruby, malloc and libcurl grow in some rounds; a leak grows in every round. So rounds are repeated
  # until one grows by little.
  def assert_little_growth(limit)
    grown = []
    while grown.size < 6 && (grown.empty? || grown.last >= limit)
      before = resident_kib
      yield
      grown << resident_kib - before
    end
    assert_operator grown.last, :<, limit, "KiB more in the last round of #{grown}"
  end

  # A thousand jobs, which end in different ways, must not leak memory, descriptors or objects.
  def test_no_leak
    open("--era", "current", "--polls", "0", requests_burst: 1_000_000) do |client|
      url = client.export("Patient").wait(:running).url
      run = lambda do |count|
        count.times do |i|
          job = client.attach(url, on_file: ->(*) {}, fields: ["id"])
          case i % 4
          when 0 then job.each { |r| r.json }
          when 1 then job.each_batch { |b| b.ids }
          when 2 then job.first
          else catch(:out) { job.each_batch { throw :out } }
          end
        end
      end
      run.call(400)
      fds = open_descriptors
      assert_little_growth(2048) { run.call(1000) }
      assert_operator open_descriptors, :<=, fds
      client.stats # releases the C objects that finalizers have queued
      GC.start
      client.stats
      GC.start
      assert_operator live(Bcda::JobHandle), :<, 20
      assert_operator Bcda::Trampolines.count, :<, 20
    end
  end

  # each_batch must release each batch before it takes the next.
  def test_batches_go_back_at_once
    open(*CURRENT, batch_size: 4096) do |client|
      job = client.export("ExplanationOfBenefit")
      open_batches = job.instance_variable_get(:@handle).open_batches
      kept = []
      job.each_batch { kept << open_batches.size }
      assert_operator kept.size, :>, 5
      assert_equal [1], kept.uniq
      assert_empty open_batches
    end
  end

  # Timeouts of different lengths hit a wait, a step, a callback or a log line. After all of them the client
  # must still work.
  def test_a_storm_of_timeouts
    open(*CURRENT, logger: Logger.new(nil), attempts: 2) do |client|
      url = client.export("Patient").tap { |job| job.each { nil } }.url
      200.times do |i|
        seen = []
        job = client.attach(url, on_file: ->(*event) { seen << event }, on_state: ->(state) { seen << state })
        begin
          Timeout.timeout(0.0001 * (1 + i % 60)) { job.each { |r| seen << r.json } }
        rescue Timeout::Error
          job.cancel # the timeout may have expired before the loop began, so the job was not cancelled
        end
      end
      assert_equal 40, client.attach(url, on_state: ->(_) {}).count
    end
  end

  def test_no_leak_of_clients
    sandbox = Sandbox.shared(*CURRENT)
    run = ->(count) { count.times { Bcda::Client.open(sandbox.url, **sandbox.settings, logger: Logger.new(nil)) { |c| c.export("Patient") } } }
    run.call(50)
    fds = open_descriptors
    trampolines = Bcda::Trampolines.count
    assert_little_growth(2048) { run.call(300) }
    assert_operator open_descriptors, :<=, fds
    assert_operator Bcda::Trampolines.count, :<=, trampolines
  end

  # Copying must be refused: a second object would release the same C object again.
  def test_nothing_is_copied
    open(*CURRENT) do |client|
      job = client.export("Patient")
      batch = job.next_batch
      decoder = Bcda::Decoder.new
      [client, job, batch, batch.file, decoder].each do |thing|
        %i[dup clone].each { |way| assert_match(/cannot be copied/, assert_raises(TypeError) { thing.public_send(way) }.message) }
        assert_match(/cannot be marshalled/, assert_raises(TypeError) { Marshal.dump(thing) }.message)
      end
      assert_match(/cannot be marshalled/, assert_raises(TypeError) { Marshal.dump(batch[0]) }.message)
      assert_equal batch[0].dup.json, batch[0].json
      decoder.close
      batch.release
    end
  end

  # A proc forks. Procs run between two calls of C, so the child returns from the proc into its loop, which
  # must raise ForkedError.
  def test_fork_in_a_proc
    reader, writer = IO.pipe
    pid = nil
    open(*CURRENT, batch_size: 4096) do |client|
      job = client.export("ExplanationOfBenefit", on_file: ->(_, event) { pid = fork if event == :begin })
      begin
        assert_equal 200, job.count
      rescue Bcda::ForkedError => e
        writer.write("#{e.name} #{job.files.size}")
        exit!(0)
      ensure
        exit!(1) if pid.nil?
      end
    end
    writer.close
    assert Process.wait2(pid).last.success?
    assert_equal "BCDA_ERR_FORKED 1", reader.read
  end

  def test_fork
    open(*CURRENT, batch_size: 4096) do |client|
      job = client.export("ExplanationOfBenefit")
      seen = job.next_batch.size
      status = in_child do
        [-> { job.next_batch }, -> { job.each { nil } }, -> { job.cancel }, -> { job.pause }, -> { job.wait(:ended) },
         -> { client.export("Patient") }, -> { client.metadata }].all? do |call|
          call.call
          false
        rescue Bcda::ForkedError
          true
        end && job.files.size == 1 && client.close.nil? && open(*CURRENT) { |fresh| fresh.export("Patient").count } == 40
      end
      assert status.success?
      job.each_batch { |batch| seen += batch.size }
      assert_equal 200, seen
    end
  end

  def test_fork_while_another_thread_waits
    open(*NEVER) do |client|
      job = client.export("Patient")
      thread = Thread.new { job.wait }
      thread.report_on_exception = false
      until_true { job.state == :running && thread.stop? }
      assert in_child { client.close.nil? }.success?
      assert thread.alive?
      job.cancel
      assert_raises(Bcda::CancelledError) { thread.value }
    end
  end

  # At the fork, another thread steps the session and holds locks. That thread does not exist in the child.
  # The child must get ForkedError, and must not wait for these locks.
  def test_fork_while_another_thread_works
    open(*SLOW, batch_delay_ms: 0) do |client|
      job = client.export("ExplanationOfBenefit")
      thread = Thread.new { assert_raises(Bcda::CancelledError) { job.each { |r| r.json } } }
      until_true { job.resources.positive? }
      20.times do
        status = in_child do
          assert_raises(Bcda::ForkedError) { client.export("Patient") }
          job.files.size == 1 && client.close.nil?
        end
        assert status.success?
      end
      job.cancel
      thread.join
    end
  end

  def in_child
    pid = fork do
      exit!(yield ? 0 : 1)
    rescue Exception => e
      warn e.full_message
      exit!(2)
    end
    Process.wait2(pid).last
  end

  # Programs that end while a job runs. Each must print nothing and exit with the expected status.
  ENDS = {
    "at the end" => ["job.wait(:running)", 0],
    "exit in the block" => ["job.each { exit 7 }", 7],
    "in a callback" => ["client.export('Patient', on_state: ->(_) { exit 7 }).each { nil }", 7],
    "exit!" => ["job.wait(:running); exit!(7)", 7],
    "with an enumerator" => ["$e = job.each; $e.next", 0],
    "with a batch" => ["$b = job.next_batch", 0],
    "with a kept batch" => ["job.each_batch { |b| $b = b.keep; break }", 0],
    "another thread waits" => ["Thread.new { job.each { sleep } }; job.wait(:running)", 0],
    "another thread works" => ["Thread.new { job.each { nil } }; Thread.pass until job.resources > 0", 0],
    "decode threads" => ["client.close; c = new_client(decode_threads: 2); c.export('ExplanationOfBenefit').next_batch", 0],
    "a forked child" => ["job.wait(:running); Process.wait(fork { nil }); exit($?.success? ? 7 : 1)", 7],
    "closed at exit" => ["at_exit { client.close }; job.next_batch", 0],
    "a decoder" => ["$d = Bcda::Decoder.new; $d.write('{\"resourceType\":')", 0]
  }.freeze

  ENDS.each do |name, (code, expected)|
    define_method("test_exit_#{name.tr('^a-z', '_')}") do
      out, err, status = ruby("#{PREAMBLE}client = new_client(poll_max_ms: 10, batch_delay_ms: 5); " \
                              "job = client.export('ExplanationOfBenefit'); #{code}", *SLOW)
      assert_equal ["", "", expected], [out, err, status.exitstatus]
    end
  end
end
